"""What requests need of `JWTSettings`: keys, caches and policies, built once with them."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from jwt_deps.concurrency import LRUMap
from jwt_deps.keys import KeyCache
from jwt_deps.possession import SenderPolicy
from jwt_deps.revocation import RevocationSource

from .issuer_policy import IssuerPolicy
from .issuers import AcceptedIssuers
from .path_patterns import PathPatterns


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
        if (start := getattr(self.revocations, "open", None)) is not None:
            await asyncio.to_thread(start)

    async def close(self) -> None:
        """Stop the source of revocations, and close the connections of the replay store.

        An application that still runs needs the source, and opens connections again.
        """
        stop = getattr(self.revocations, "close", None)
        if stop is not None and not self.applications:
            await asyncio.to_thread(stop)
        store = None if self.sender_policy is None else self.sender_policy.store
        if (close := getattr(store, "close", None)) is not None:
            await close()
