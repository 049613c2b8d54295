"""What requests need of `JWTSettings`: keys, caches and policies, built once with them."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jwt_deps.concurrency import LRUMap
from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import ALGORITHMS
from jwt_deps.keys import KeyCache
from jwt_deps.possession import SenderPolicy
from jwt_deps.revocation import ManagedSource, RevocationSource

from .issuer import IssuerSettings
from .issuer_policy import IssuerPolicy
from .issuers import AcceptedIssuer, UserPrefix, accepted_by_issuer, issuer_table
from .path_patterns import PathPatterns
from .tenants import TenantIssuers


class AcceptedIssuers:
    """The accepted issuers, which `replace` changes as a whole.

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
        self.named = named
        self.tenants = tenants
        self._by_issuer: dict[str, AcceptedIssuer] = {}
        self.algorithms: Collection[str] = policy.algorithms
        self.types: Collection[str] | None = policy.types
        if tenants is not None:
            self.algorithms, self.types = ALGORITHMS, None
        elif named is not None:
            self._accept(named)

    def _accept(self, named: Mapping[str, IssuerSettings]) -> None:
        # One assignment: a request sees the former table or the new one.
        self._by_issuer = accepted_by_issuer(named)
        policies = [one.policy for one in named.values()]
        self.algorithms = frozenset().union(*(one.algorithms for one in policies))
        self.types = frozenset().union(*(one.types for one in policies))
        self.named = dict(named)

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

    def replace(self, issuers: Mapping[str, IssuerSettings]) -> None:
        """Accept these issuers from now on, and no other; close the key caches of the others."""
        former, issuers = self.named, issuer_table(issuers)
        if former is None or self.tenants is not None:
            raise ConfigurationError(
                "no_issuers",
                "replace_issuers needs settings with a table of issuers: build them with "
                "issuers={...}, or set JWT_ISSUERS (issuers).",
            )
        self._accept(issuers)
        for settings in former.values():
            if not any(settings is other for other in issuers.values()):
                for cache in settings.policy.key_caches:
                    cache.close()


def _of_tenant(issuer: str, policy: IssuerPolicy, tenants: TenantIssuers) -> AcceptedIssuer:
    text, usual = policy.settings.user_id_prefix, f"{issuer}|"
    if text is None or text == usual:
        return AcceptedIssuer(policy, UserPrefix(usual))
    return AcceptedIssuer(policy, UserPrefix(text, settings_of=tenants.get))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ResourceServer:
    """Keys, caches and policies of a service (RFC 6749 §1.1: the resource server).

    Attributes:
        header_name: the header of the token, as ASGI has it.
        excluded: path patterns of routes that need no token.
        sender_policy: the sender constraint; `None` if tokens are plain bearer tokens.
        provable: the members of `cnf` (RFC 7800) that a sender can prove.
        credentials: what else than a JWT is accepted, from a request to `Claims` or `None`.
        applications: those that run with it, or with settings that share keys and revocations.
    """

    accepted: AcceptedIssuers
    max_token_size: int
    header_name: bytes
    excluded: PathPatterns
    sender_policy: SenderPolicy | None
    provable: Collection[str]
    revocations: RevocationSource | None
    token_cache: LRUMap[str, Any] = field(repr=False)
    credentials: tuple[Any, ...] = ()
    applications: set[object] = field(default_factory=set, repr=False)

    @property
    def key_caches(self) -> dict[str, KeyCache]:
        """The keys that are fetched, by the issuer's name; that of a single one is `default`.

        Those of a second place have the name with `.2` behind it, and so on.
        """
        return {
            name if number == 1 else f"{name}.{number}": cache
            for name, policy in self.policies()
            for number, cache in enumerate(policy.key_caches, 1)
        }

    def policies(self) -> Iterator[tuple[str, IssuerPolicy]]:
        """What is accepted of each issuer, by its name as in `key_caches`."""
        accepted = self.accepted
        if accepted.single is not None:
            yield "default", accepted.single.policy
        for name, settings in (accepted.named or {}).items():
            yield name, settings.policy
        if accepted.tenants is not None:
            for issuer, settings in accepted.tenants.remembered():
                yield issuer, settings.policy

    @property
    def has_roles(self) -> bool:
        """Whether tokens can have roles; where a function gives the issuers, they may."""
        return self.accepted.tenants is not None or any(
            policy.roles_claims for _, policy in self.policies()
        )

    async def open_revocations(self) -> None:
        """Start the source of revocations, and wait a few seconds for the first load."""
        if isinstance(self.revocations, ManagedSource):
            await asyncio.to_thread(self.revocations.open)

    async def close(self) -> None:
        """Stop the source of revocations, and close the connections of the replay store.

        An application that still runs needs the source, and opens connections again.
        """
        if isinstance(self.revocations, ManagedSource) and not self.applications:
            await asyncio.to_thread(self.revocations.close)
        store = None if self.sender_policy is None else self.sender_policy.store
        close = getattr(store, "close", None)
        if close is not None:
            await close()
