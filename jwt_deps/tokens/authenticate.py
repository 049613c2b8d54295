"""Authenticate the sender of a token: from the token cache, or by verifying the token.

A verified token is cached under its full text, so that the next request with it needs no parsing.
Cached with it are its principal, the key that its signature matched, and its times. A refused
token is never cached. Each use checks again whether the token has begun and not ended, whether its
issuer is still accepted, and whether the issuer still has that key; if not, the token is verified
like a new one. Revocation is checked last, for cached and new tokens alike.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from jwt_deps import telemetry
from jwt_deps.errors import AuthError, KeysUnavailableError, RevokedTokenError
from jwt_deps.keys import VerificationKey
from jwt_deps.revocation import refuse_revoked
from jwt_deps.settings import JWTSettings

from .claim_checks import time_limits
from .claims import Claims
from .principal import Principal
from .verify import VerifiedToken, verify

__all__ = ["authenticate_token"]

# Longer tokens are rare, and a few of them would fill the memory of many.
_MAX_CACHED = 4096


class _CacheEntry(NamedTuple):
    principal: Principal
    key: VerificationKey
    kid: str | None
    #: From when to when the token is valid, leeway included.
    begins: float
    ends: float
    #: Whether issuer and key cannot change: they are configured.
    fixed: bool

    def __repr__(self) -> str:
        return f"<token cache entry of {self.principal!r}>"

    def is_current(self, settings: JWTSettings) -> bool:
        """Whether the issuer is still accepted, and still has the key."""
        issuer = self.principal.settings
        if issuer is not settings and settings.settings_of(self.principal.claims.iss) is not issuer:
            return False
        cache = issuer.key_cache
        if cache is None:
            return True
        cached = cache.cached(self.key.algorithm, self.kid)
        return cached is not None and any(key is self.key for key in cached)


async def authenticate_token(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> Principal:
    """Return the principal of a token, verifying the token unless it is in the token cache.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses; revoked tokens too.
        KeysUnavailableError: keys or revocations are unavailable, so the token cannot be checked.
    """
    began, judge = telemetry.start(), settings.issuer
    try:
        principal = _cached(token, settings, clock)
        if principal is None:
            verified = await verify(token, settings, clock=clock)
            principal = _cache(token, verified, settings)
        judge = principal.settings.issuer
        if settings.revocations is not None:
            await refuse_revoked(settings.revocations, principal.claims.view())
    except AuthError as error:
        if isinstance(error, RevokedTokenError):
            telemetry.revoked(judge)
        outage = isinstance(error, KeysUnavailableError)
        telemetry.validated(judge, "unavailable" if outage else "rejected", began)
        raise
    if began is not None:
        telemetry.validated(judge, "accepted", began)
    return principal


def _cached(token: str, settings: JWTSettings, clock: Callable[[], float]) -> Principal | None:
    """Look up the token cache; `None` if the token has to be verified."""
    entry: _CacheEntry | None = settings.verified_tokens.get(token)
    if entry is None:
        return None
    principal, _, _, begins, ends, fixed = entry
    if begins <= clock() < ends and (fixed or entry.is_current(settings)):
        return principal
    settings.verified_tokens.discard(token)
    return None


def _cache(token: str, verified: VerifiedToken, settings: JWTSettings) -> Principal:
    """Make the principal of a verified token, and put it into the token cache."""
    claims = verified.claims
    principal = Principal(Claims.of(claims), verified.settings, token=token)
    if settings.token_cache_size and len(token) <= _MAX_CACHED:
        fixed = verified.settings is settings and settings.key_cache is None
        limits = time_limits(claims, verified.settings.leeway)
        settings.verified_tokens.put(
            token,
            _CacheEntry(principal, verified.key, verified.kid, *limits, fixed),
        )
    return principal
