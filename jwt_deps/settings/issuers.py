"""Which issuers are accepted: one, those of a table, or those that a function knows."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

from pydantic_settings import BaseSettings

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import ALGORITHMS

from .issuer import IssuerSettings
from .issuer_policy import IssuerPolicy
from .tenants import TenantIssuers

#: One of these is in any `iss` but a bare name, and in no name of a connection (`auth0|65f1`).
_IN_A_URI = frozenset(":/.")


class UserPrefix(NamedTuple):
    """The prefix of the user ids of one issuer.

    No id may have a `foreign` prefix, a longer one of another issuer that begins with it. Where a
    function gives the issuers, not all others are known, only those that `settings_of` remembers;
    their prefix is their `iss`, which is a URI, with a `|` behind it.
    """

    text: str
    foreign: tuple[str, ...] = ()
    settings_of: Callable[[str], IssuerSettings | None] | None = None

    def is_foreign(self, user_id: str) -> bool:
        """Whether a user id of this issuer could be that of a user of another one."""
        if self.settings_of is None:
            return user_id.startswith(self.foreign)
        head, mark, _ = user_id.partition("|")
        # The last character of the prefix may divide: `c:auth0|65f1`.
        size = len(self.text)
        begins = head[: size - 1] + head[size:] if size else head
        is_known = self.settings_of(head) is not None
        return bool(mark) and (is_known or not _IN_A_URI.isdisjoint(begins))


class AcceptedIssuer(NamedTuple):
    """An issuer as it was accepted at one moment; equal while that does not change."""

    policy: IssuerPolicy
    prefix: UserPrefix | None


def _prefixes(issuers: Mapping[str, IssuerSettings]) -> dict[str, UserPrefix]:
    """The prefix of each issuer, by its name."""
    texts = {
        name: f"{name}|" if one.user_id_prefix is None else one.user_id_prefix
        for name, one in issuers.items()
    }
    found: dict[str, UserPrefix] = {}
    ranked = sorted(texts.values())  # so that those that begin with a text are behind it
    for name, text in texts.items():
        behind = range(bisect_left(ranked, text) + 1, len(ranked))
        others = tuple(takewhile(_begins_with(text), map(ranked.__getitem__, behind)))
        if text in others:
            raise ConfigurationError(
                "prefix_twice",
                f"JWT_ISSUERS__{name.upper()}__USER_ID_PREFIX (user_id_prefix) is another issuer's "
                "too, and two users with one sub would have one id: give each its own.",
            )
        found[name] = UserPrefix(text, others)
    return found


def _begins_with(text: str) -> Callable[[str], bool]:
    return lambda other: other.startswith(text)


def issuer_table(value: Any) -> Any:
    """Build each issuer by itself, so that a sentence about one says which."""
    if not isinstance(value, Mapping):
        return value
    built = {}
    for name, members in value.items():
        try:
            built[name] = _issuer(str(name), members)
        except ConfigurationError as error:
            variable, said = f"JWT_ISSUERS__{str(name).upper()}__", error.message
            if variable not in said:
                said = said.replace("JWT_", variable)
            raise ConfigurationError(error.reason, said) from None
    return built


def _issuer(name: str, members: Any) -> IssuerSettings:
    # JWTSettings say more than those of an issuer, which would not count here.
    if isinstance(members, IssuerSettings) and not isinstance(members, BaseSettings):
        return members
    if not isinstance(members, dict):
        raise ConfigurationError(
            "issuer_form",
            f"JWT_ISSUERS__{name.upper()} (issuers) has to be IssuerSettings: "
            f"JWT_ISSUERS__{name.upper()}__ISSUER and so on.",
        )
    return IssuerSettings(**{str(name): value for name, value in members.items()})


def _accepted_by_issuer(issuers: Mapping[str, IssuerSettings]) -> dict[str, AcceptedIssuer]:
    """What is accepted of each `iss`, which belongs to exactly one of the issuers."""
    names: dict[str, str] = {}
    for name, settings in issuers.items():
        label = f"JWT_ISSUERS__{name.upper()}__"
        if not settings.accepted_issuers:
            raise ConfigurationError("issuer_unnamed", f"{label}ISSUER (issuer) is missing.")
        if settings.verify_audience and not settings.accepted_audiences:
            raise ConfigurationError(
                "issuer_audience",
                f"{label}AUDIENCE (audience) is missing; {label}VERIFY_AUDIENCE=false "
                "(verify_audience) accepts tokens for any service.",
            )
        for issuer in settings.accepted_issuers:
            if issuer in names:
                raise ConfigurationError(
                    "issuer_twice",
                    f"{label}ISSUER (issuer) is that of JWT_ISSUERS__{names[issuer].upper()}__ "
                    "too: make one entry of both.",
                )
            names[issuer] = name
    prefixes = _prefixes(issuers)
    return {iss: AcceptedIssuer(issuers[it].policy, prefixes[it]) for iss, it in names.items()}


class AcceptedIssuers:
    """The accepted issuers.

    Attributes:
        single: that of a service with one issuer; `None` with several.
        named: the settings of several issuers by the operator's names; `None` with one.
        tenants: the issuers of a function; `None` without one.
        algorithms, types: those of all issuers, each of which accepts only its own; `types` is
            `None` where they are not known before the issuer.
    """

    __slots__ = (
        "_by_issuer",
        "algorithms",
        "named",
        "single",
        "tenants",
        "types",
    )

    def __init__(
        self,
        policy: IssuerPolicy,
        named: Mapping[str, IssuerSettings] | None,
        tenants: TenantIssuers | None = None,
    ) -> None:
        text = policy.settings.user_id_prefix
        alone = AcceptedIssuer(policy, UserPrefix(text) if text else None)
        self.single = alone if named is None else None
        self.named = None if named is None else dict(named)
        self.tenants = tenants
        self._by_issuer: dict[str, AcceptedIssuer] = {}
        self.algorithms: Collection[str] = policy.algorithms
        self.types: Collection[str] | None = policy.types
        if tenants is not None:
            self.algorithms, self.types = ALGORITHMS, None
        elif named is not None:
            self._by_issuer = _accepted_by_issuer(named)
            policies = [one.policy for one in named.values()]
            self.algorithms = frozenset().union(*(one.algorithms for one in policies))
            self.types = frozenset().union(*(one.types for one in policies))

    @property
    def settings(self) -> list[IssuerSettings]:
        """Those of each issuer that is known before a request."""
        return [self.single.policy.settings] if self.single else [*(self.named or {}).values()]

    def of(self, issuer: object) -> AcceptedIssuer | None:
        """What is accepted of an issuer, by the `iss` of its tokens; `None` if it is not accepted.

        With one issuer it is that one's, whatever the token says.
        """
        if self.single is not None:
            return self.single
        if not isinstance(issuer, str):
            return None
        if self.tenants is not None:
            settings = self.tenants.get(issuer)
            return None if settings is None else _of_tenant(issuer, settings.policy, self.tenants)
        return self._by_issuer.get(issuer)

    async def resolve(self, issuer: object) -> None:
        """Ask the function for an issuer, where there is one, so that `of` knows the answer.

        Raises:
            KeysUnavailableError: it gave none.
        """
        if self.tenants is not None:
            await self.tenants.resolve(issuer)

    def without_issuer(self, issuer: object, policy: IssuerPolicy) -> AcceptedIssuer:
        """What holds for claims of another credential than a JWT, or for replaced ones.

        They may not be those of an accepted issuer's user.
        """
        if self.tenants is not None:
            named = issuer if isinstance(issuer, str) else ""
            return _of_tenant(named, policy, self.tenants)
        prefixes = [one.prefix.text for one in self._by_issuer.values() if one.prefix]
        return AcceptedIssuer(policy, UserPrefix("", tuple(filter(None, prefixes))))


def _of_tenant(issuer: str, policy: IssuerPolicy, tenants: TenantIssuers) -> AcceptedIssuer:
    text, usual = policy.settings.user_id_prefix, f"{issuer}|"
    if text is None or text == usual:
        return AcceptedIssuer(policy, UserPrefix(usual))
    return AcceptedIssuer(policy, UserPrefix(text, settings_of=tenants.get))
