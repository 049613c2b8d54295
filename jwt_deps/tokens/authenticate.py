"""Has this very token been verified before, and does all that it rested on still hold?

A token that verified is remembered under its full text, as nearly every client puts it into a
header, so that the header of the next request need not be taken apart. Remembered with it are who
it speaks for, the key that its signature belongs to, and its times. What was refused is never
remembered. With each use it is asked again whether the token has begun and not ended, whether its
issuer is still accepted, and whether the issuer still publishes that key; if not, the token is
verified like a new one, and refused for the reason that it would be. Whether it was revoked is
asked of every token, remembered or new, and last.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from jwt_deps import telemetry
from jwt_deps.errors import AuthError, KeysUnavailableError, RevokedTokenError
from jwt_deps.keys.key_set import VerificationKey
from jwt_deps.revocation.memory import refuse_revoked
from jwt_deps.settings.service import JWTSettings

from .authentication import Verified, authenticate
from .claim_checks import time_limits
from .claims import Claims
from .principal import Principal

__all__ = ["recognize"]

# Longer ones are rare, and few of them would fill the memory of many.
_LONGEST = 4096


class _Remembered(NamedTuple):
    principal: Principal
    key: VerificationKey
    kid: str | None
    #: From when to when it holds, with the clock difference that is forgiven.
    begins: float
    ends: float
    #: Whether there is nothing else to ask.
    always: bool

    def __repr__(self) -> str:
        return f"<remembered {self.principal!r}>"

    def holds(self, settings: JWTSettings) -> bool:
        """Whether its issuer and its key would be accepted as they were."""
        issuer = self.principal.settings
        if issuer is not settings and settings.settings_of(self.principal.claims.iss) is not issuer:
            return False
        cache = issuer.key_cache
        if cache is None:
            return True
        cached = cache.cached(self.key.algorithm, self.kid)
        return cached is not None and any(key is self.key for key in cached)


async def recognize(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> Principal:
    """Find out who a token speaks for, verifying it unless that was done.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was; revoked tokens too.
        KeysUnavailableError: it cannot be told, because keys or revocations cannot be had.
    """
    began, judge = telemetry.start(), settings.issuer
    try:
        principal = _recalled(token, settings, clock)
        if principal is None:
            verified = await authenticate(token, settings, clock=clock)
            principal = _remembered(token, verified, settings)
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


def _recalled(token: str, settings: JWTSettings, clock: Callable[[], float]) -> Principal | None:
    """Who a token speaks for that was verified before, if that still holds."""
    known: _Remembered | None = settings.verified_tokens.get(token)
    if known is None:
        return None
    principal, _, _, begins, ends, always = known
    if begins <= clock() < ends and (always or known.holds(settings)):
        return principal
    settings.verified_tokens.discard(token)
    return None


def _remembered(token: str, verified: Verified, settings: JWTSettings) -> Principal:
    claims = verified.claims
    principal = Principal(Claims.of(claims), verified.settings, token=token)
    if settings.token_cache_size and len(token) <= _LONGEST:
        # Configured keys are those of these settings for good.
        always = verified.settings is settings and settings.key_cache is None
        limits = time_limits(claims, verified.settings.leeway)
        settings.verified_tokens.put(
            token,
            _Remembered(principal, verified.key, verified.kid, *limits, always),
        )
    return principal
