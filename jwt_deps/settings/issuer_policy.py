"""What requests need of `IssuerSettings`: keys and accepted values, built once with them."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jwt_deps.errors import KeysUnavailableError, UnknownKeyError
from jwt_deps.jose import HMAC_ALGORITHMS
from jwt_deps.keys import KeyCache, KeyFiles, KeySet, VerificationKey

if TYPE_CHECKING:
    from .issuer import IssuerSettings


def accepted_types(names: Iterable[str]) -> frozenset[str]:
    """The values of `typ` that name these types.

    Media types are compared without regard to case, and a name without a slash stands for
    `application/<name>` (RFC 7515 §4.1.9).
    """
    short = [name.lower().removeprefix("application/") for name in names]
    return frozenset({*short, *(f"application/{name}" for name in short if "/" not in name)})


async def _chosen(
    cache: KeyCache, algorithm: str, kid: str | None
) -> tuple[tuple[VerificationKey, ...], KeysUnavailableError | None]:
    try:
        return await cache.choose(algorithm, kid), None
    except UnknownKeyError:
        return (), None
    except KeysUnavailableError as error:
        return (), error


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IssuerPolicy:
    """What is accepted of one issuer.

    Attributes:
        settings: what an operator wrote, which describes what is not listed here.
        issuers, audiences: the accepted values; empty where the claim is not checked.
        audience_optional: whether a token without an audience is accepted where one is.
        scopes_claims, roles_claims: the claims that hold them; empty where none is set.
        types: the accepted `typ`, in lower case and in both spellings.
        key_set: the configured keys, where none of them is in a file.
        key_files: the configured keys, where some are in files.
        key_caches: the fetched keys.
    """

    settings: "IssuerSettings" = field(repr=False)
    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    audience_claim: str
    verify_audience: bool
    required_claims: tuple[str, ...]
    max_token_age: float | None
    scopes_claims: tuple[str, ...]
    roles_claims: tuple[str, ...]
    leeway: float
    require_exp: bool
    is_rfc9068: bool
    types: frozenset[str]
    allow_numeric_sub: bool
    algorithms: frozenset[str]
    key_set: KeySet
    key_files: KeyFiles | None = field(repr=False)
    key_caches: tuple[KeyCache, ...] = field(repr=False)
    audience_optional: bool = False

    @property
    def typ(self) -> str:
        """The `typ` of tokens that are made for it."""
        return "at+jwt" if self.is_rfc9068 else "JWT"

    @property
    def key_cache(self) -> KeyCache | None:
        """The only cache, where no keys are beside it."""
        alone = len(self.key_caches) == 1 and not self.key_set.size and self.key_files is None
        return self.key_caches[0] if alone else None

    @property
    def keys(self) -> KeySet:
        """The configured keys; none when all are fetched."""
        return self.key_set if self.key_files is None else self.key_files.current()

    @property
    def is_fixed(self) -> bool:
        """Whether the keys never change."""
        return self.key_files is None and not self.key_caches

    @property
    def is_mixed(self) -> bool:
        """Whether there are fetched keys and others beside them."""
        return bool(self.key_caches) and self.key_cache is None

    def cached_keys(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...] | None:
        """The keys that may check a token's signature; `None` if they have to be fetched."""
        if self.key_cache is not None:
            return self.key_cache.cached(algorithm, kid)
        if not self.key_caches:
            return self.keys.choose(algorithm, kid)
        found = self._configured(algorithm, kid)
        for cache in self._caches_for(algorithm):
            found += cache.cached(algorithm, kid) or ()
        return found or None

    async def fetched_keys(
        self, algorithm: str, kid: str | None, *, everywhere: bool = True
    ) -> tuple[tuple[VerificationKey, ...], KeysUnavailableError | None]:
        """The same, fetched where that can help, and why further ones cannot be fetched.

        If not `everywhere`, only from those of several places that had them before.
        """
        if self.key_cache is not None:
            return await self.key_cache.choose(algorithm, kid), None
        if not self.key_caches:
            return self.keys.choose(algorithm, kid), None
        found, outage = self._configured(algorithm, kid), None
        asked = (
            _chosen(cache, algorithm, kid)
            for cache in self._caches_for(algorithm)
            if everywhere or cache.has(algorithm, kid)
        )
        for keys, failure in await asyncio.gather(*asked):  # no request waits for one after another
            found, outage = found + keys, failure or outage
        if found:
            return found, outage
        raise outage or UnknownKeyError

    def _caches_for(self, algorithm: str) -> tuple[KeyCache, ...]:
        # Nothing that is published checks HS* (RFC 8725 §2.1), so nothing is fetched for it.
        return () if algorithm in HMAC_ALGORITHMS else self.key_caches

    def _configured(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        with suppress(UnknownKeyError):
            return self.keys.choose(algorithm, kid)
        return ()
