"""What requests need of `IssuerSettings`: keys and accepted values, built once with them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jwt_deps.keys import KeyCache, KeySet, VerificationKey

if TYPE_CHECKING:
    from .issuer import IssuerSettings

__all__ = ["IssuerPolicy", "accepted_types"]


def accepted_types(names: Iterable[str]) -> frozenset[str]:
    """The values of `typ` that name these types.

    Media types are compared without regard to case, and a name without a slash stands for
    `application/<name>` (RFC 7515 §4.1.9).
    """
    short = [name.lower().removeprefix("application/") for name in names]
    return frozenset({*short, *(f"application/{name}" for name in short if "/" not in name)})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IssuerPolicy:
    """What is accepted of one issuer.

    Attributes:
        settings: what an operator wrote, with the names of claims.
        issuers, audiences: the accepted values; empty where the claim is not checked.
        audience_claim: the claim that names the audience.
        scopes_claims, roles_claims: the claims that hold them; empty where none is set.
        leeway: clock difference that is forgiven, in seconds.
        require_exp: whether a token must have `exp`.
        is_rfc9068: whether a token must keep to RFC 9068.
        types: the accepted `typ`, in lower case and in both spellings.
        allow_numeric_sub: whether an integer `sub` is read as its text.
        keys: the configured keys; none when they are fetched.
        key_cache: the fetched keys; `None` when they are configured.
    """

    settings: "IssuerSettings" = field(repr=False)
    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    audience_claim: str
    scopes_claims: tuple[str, ...]
    roles_claims: tuple[str, ...]
    leeway: float
    require_exp: bool
    is_rfc9068: bool
    types: frozenset[str]
    allow_numeric_sub: bool
    keys: KeySet
    key_cache: KeyCache | None = field(repr=False)

    def cached_keys(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...] | None:
        """The keys that may check a token's signature; `None` if they have to be fetched.

        Raises:
            UnknownKeyError: the issuer has no such key.
        """
        if self.key_cache is None:
            return self.keys.choose(algorithm, kid)
        return self.key_cache.cached(algorithm, kid)

    async def fetched_keys(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        """The same, fetched where that can help.

        Raises:
            UnknownKeyError: the issuer has no such key.
            KeysUnavailableError: the issuer's keys cannot be fetched.
        """
        if self.key_cache is None:
            return self.keys.choose(algorithm, kid)
        return await self.key_cache.choose(algorithm, kid)
