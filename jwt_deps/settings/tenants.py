"""Issuers that a function knows: a customer, or a tenant of Entra ID, for each `iss`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any, TypeAlias

from pydantic_settings import BaseSettings

from jwt_deps.concurrency import Answer, Answers, LRUMap, Threads, TooManyCallsError, uptime
from jwt_deps.errors import ConfigurationError, KeysUnavailableError, UnknownKeyError
from jwt_deps.keys import EVERY_TENANT, TENANT_ID, KeyCache, VerificationKey

from .issuer import IssuerSettings

logger = logging.getLogger("jwt_deps")

#: A function from an `iss` to the settings of that issuer, or `None` if it is not accepted.
IssuerLookup: TypeAlias = Callable[
    [str], "IssuerSettings | Awaitable[IssuerSettings | None] | None"
]

_LONGEST_ISSUER = 1024
# Ends the prefix of user ids: with it in an `iss`, which is a URI (RFC 3986 §2 has no such
# character), two users of two issuers could have one id.
_BEHIND = "|"
# Half of each is remembered for certain (`LRUMap`).
_MOST_ACCEPTED, _MOST_REFUSED = 40_000, 8_192
#: Calls of the function at once; further unknown issuers get 503.
_MOST_CALLS = 64
#: Calls of a plain function at once, and as many for issuers that were accepted before.
_MOST_THREADS = 16
_TIMEOUT = 5
#: Share of its time in which an answer is asked for again, so that no request waits for one.
_RENEWED = 0.1
#: Seconds after which it is asked for once more, if there was none.
_PAUSE = 1
#: Seconds before its end in which a request waits for the next one, because it may need longer.
_ENDING = 0.5


class TenantIssuers:
    """What a function said of issuers: each is asked for once, and the answer is remembered."""

    def __init__(self, lookup: IssuerLookup, ttl: float) -> None:
        """Start with no answers; each is remembered for `ttl` seconds, a refusal too."""
        self.clock: Callable[[], float] = uptime
        self.lookup = lookup
        self._ttl = ttl
        self._threads = Threads(_MOST_THREADS)
        self._asked_at: LRUMap[str, float] = LRUMap(_MOST_REFUSED)
        self._answers: Answers[str, IssuerSettings] = Answers(
            accepted=_MOST_ACCEPTED, refused=_MOST_REFUSED, asked=_MOST_CALLS, timeout=_TIMEOUT
        )

    def get(self, issuer: str) -> IssuerSettings | None:
        """The settings of an issuer, as far as they are remembered."""
        answer = self._answers.get(issuer)
        return None if answer is None or self.clock() >= answer.ends else answer.value

    def is_due(self, issuer: str) -> bool:
        """Whether an issuer has to be asked for, for the first time or anew."""
        if self._is_known(issuer, self._ttl * _RENEWED):
            return False
        asked_at = self._asked_at.get(issuer)  # the function may fail
        was_asked = asked_at is not None and self.clock() < asked_at + _PAUSE
        return not (was_asked and self._is_known(issuer, _ENDING))

    async def resolve(self, issuer: object) -> None:
        """Ask for an issuer, unless the answer is remembered.

        In the last tenth of its time it is asked for anew, and holds until there is another one.
        """
        if not isinstance(issuer, str) or len(issuer) > _LONGEST_ISSUER or _BEHIND in issuer:
            return
        if not self.is_due(issuer):
            return
        with suppress(TimeoutError):  # the function goes on
            async with asyncio.timeout(0 if self._is_known(issuer, _ENDING) else None):
                await self._answers.ask(issuer, partial(self._ask, issuer))
        if not self._is_known(issuer):  # there was no answer, or it has ended since
            raise KeysUnavailableError(1)

    def remembered(self) -> Iterator[tuple[str, IssuerSettings]]:
        """The accepted issuers that are remembered."""
        for issuer in self._answers.accepted():
            if (settings := self.get(issuer)) is not None:
                yield issuer, settings

    def _is_known(self, issuer: str, seconds: float = 0) -> bool:
        """Whether an answer is remembered, which has more than so many seconds left."""
        answer = self._answers.get(issuer)
        return answer is not None and self.clock() < answer.ends - seconds

    async def _ask(self, issuer: str) -> Answer[IssuerSettings] | None:
        self._asked_at.put(issuer, self.clock())
        former = self._answers.get(issuer)
        is_known = former is not None and former.value is not None
        try:
            async with asyncio.timeout(_TIMEOUT):
                found = await _called(self.lookup, issuer, self._threads, is_known=is_known)
                settings = _checked(issuer, found)
        except TooManyCallsError:  # the calls that hang were logged
            return None
        except ConfigurationError as error:  # its sentence has no value
            logger.error("the function in issuers: %s", error.message)  # noqa: TRY400
            return None
        except Exception as error:  # noqa: BLE001 - the application's own code
            # Only its class: a library's error may quote a password.
            logger.error("the function in issuers raised %s", type(error).__name__)  # noqa: TRY400
            return None
        if settings is not None and former is not None and _are_equal(former.value, settings):
            settings = former.value  # which has the keys
        return Answer(settings, self.clock() + self._ttl)


async def _called(
    function: Callable[[str], Any], name: str, threads: Threads, *, is_known: bool
) -> Any:
    """Call a function, a plain one in a thread."""
    if iscoroutinefunction(function):
        return await function(name)
    found: Any = await threads.call(function, name, is_known=is_known)
    return await found if isawaitable(found) else found


def _checked(issuer: str, found: Any) -> IssuerSettings | None:
    if found is None:
        return None
    # JWTSettings say more than those of an issuer, which would not count here.
    if not isinstance(found, IssuerSettings) or isinstance(found, BaseSettings):
        raise ConfigurationError("issuer_form", "It returned no IssuerSettings.")
    if found.accepted_issuers and issuer not in found.accepted_issuers:
        raise ConfigurationError("issuer_form", "It returned the settings of another issuer.")
    if found.verify_audience and not found.accepted_audiences:
        raise ConfigurationError("issuer_audience", "It returned settings without an audience.")
    return found


def _are_equal(former: IssuerSettings | None, latter: IssuerSettings) -> bool:
    fields = IssuerSettings.model_fields
    return former is not None and all(getattr(former, it) == getattr(latter, it) for it in fields)


#: What Entra ID assigns, so that no two users of two tenants have the same.
_ASSIGNED = ("oid", "sub")
_Keys: TypeAlias = tuple[VerificationKey, ...]


class EntraTenants:
    """Accept tenants of Microsoft Entra ID, for `JWTSettings(issuers=EntraTenants(...))`.

        EntraTenants(audience="6e74172b-...", tenants=["8eaef023-..."], scopes_claim="scp")

    Tokens of version 2 are accepted, `https://login.microsoftonline.com/<tenant>/v2.0`. Their keys
    come from the one key set of all tenants; a key that this set has for one issuer alone checks
    tokens of that issuer alone.

    Args:
        audience: the client id of the API, or several.
        tenants: the id of the tenant, or several, or a function, plain or async, from an id to
            whether that tenant is accepted. It is asked before anything is fetched.
        host: of another cloud, `login.microsoftonline.us` for instance.
        jwks_url: the address of the key set; `None` is that of the host.
        **values: further values of each tenant's `IssuerSettings`.

    Raises:
        ConfigurationError: the values cannot work.
    """

    def __init__(
        self,
        audience: str | list[str],
        tenants: str | Collection[str] | Callable[[str], bool | Awaitable[bool]],
        *,
        host: str = "login.microsoftonline.com",
        jwks_url: str | None = None,
        **values: Any,
    ) -> None:
        self._host = host
        named = [tenants] if isinstance(tenants, str) else tenants
        self._tenants = named if callable(named) else _tenant_ids(named)
        url = jwks_url or f"https://{host}/common/discovery/v2.0/keys"
        options: dict[str, Any] = {"algorithm": "RS256", "audience": audience, "jwks_url": url}
        # Its cache has the common keys; no token is of this tenant.
        self._settings = IssuerSettings(issuer=self._issuer(EVERY_TENANT), **{**options, **values})
        several = callable(self._tenants) or len(self._tenants) > 1
        has_one_prefix = several and self._settings.user_id_prefix is not None
        if has_one_prefix and self._settings.user_id_claim not in _ASSIGNED:
            raise ConfigurationError(
                "prefix_twice",
                'EntraTenants with a user_id_prefix needs user_id_claim="oid": administrators of a '
                "tenant choose the other claims, and could name a user of another tenant.",
            )
        (self._common,) = self._settings.policy.key_caches
        self._threads, self._accepted = Threads(_MOST_THREADS), LRUMap[str, bool](_MOST_ACCEPTED)

    def _issuer(self, tenant: str) -> str:
        return f"https://{self._host}/{tenant}/v2.0"

    async def __call__(self, issuer: str) -> IssuerSettings | None:
        """Return the settings of a tenant.

        Args:
            issuer: the `iss` of a token, which is not verified yet.

        Returns:
            The settings; `None` if the tenant is not accepted.
        """
        tenant = issuer.removeprefix(f"https://{self._host}/").removesuffix("/v2.0")
        if not TENANT_ID.fullmatch(tenant) or issuer != self._issuer(tenant):
            return None
        if not await self._accepts(tenant) or tenant == EVERY_TENANT:
            return None
        keys: Any = _TenantKeys(self._common, issuer, tenant)
        return self._settings.of_tenant(issuer, keys)

    async def _accepts(self, tenant: str) -> bool:
        if not callable(self._tenants):
            return tenant in self._tenants
        is_known = self._accepted.get(tenant) is not None
        accepted = await _called(self._tenants, tenant, self._threads, is_known=is_known) is True
        if accepted:
            self._accepted.put(tenant, accepted)
        return accepted


def _tenant_ids(named: Collection[str]) -> frozenset[str]:
    ids = frozenset(map(str.lower, named))
    if not ids or EVERY_TENANT in ids or not all(map(TENANT_ID.fullmatch, ids)):
        raise ConfigurationError(
            "issuer_placeholder",
            "EntraTenants takes ids of tenants, 8eaef023-2b34-4da1-9baa-8bc8c9d6a490 for instance: "
            "tokens have no names such as common or contoso.onmicrosoft.com in their iss.",
        )
    return ids


class _TenantKeys:
    """The cache of the common keys, which gives those that are for one tenant."""

    def __init__(self, common: KeyCache, issuer: str, tenant: str) -> None:
        self._common = common
        self._issuer = issuer
        self._tenant = tenant

    def __getattr__(self, name: str) -> Any:
        return getattr(self._common, name)

    def cached(self, algorithm: str, kid: str | None) -> _Keys | None:
        keys = self._common.cached(algorithm, kid)
        return None if keys is None else self._own(keys) or None

    async def choose(self, algorithm: str, kid: str | None) -> _Keys:
        own = self._own(await self._common.choose(algorithm, kid))
        if not own:
            raise UnknownKeyError
        return own

    def _own(self, keys: _Keys) -> _Keys:
        named = (self._issuer, None)
        return tuple(it for it in keys if it.issuer_with(self._tenant) in named)
