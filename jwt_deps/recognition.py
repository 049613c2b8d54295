"""Has this very token been verified before, and does all that it rested on still hold?

A token that verified is remembered under its full text, together with who it speaks for, the
key that its signature belongs to, and its times. What was refused is never remembered. With
each use it is asked again whether the token has begun and not ended, whether its issuer is
still accepted, and whether the issuer still publishes that key; if not, the token is verified
like a new one, and refused for the reason that it would be.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from . import telemetry
from .authentication import (
    Awaiting,
    Verified,
    authenticate_at_hand,
    with_fetched_keys,
)
from .claim_checks import time_limits
from .claims import Claims
from .errors import AuthError, InvalidTokenError, KeysUnavailableError
from .keys import VerificationKey
from .principals import Principal
from .settings import JWTSettings

__all__ = ["recognize", "recognize_at_hand", "recognize_waiting"]

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
        at_hand = cache.at_hand(self.key.algorithm, self.kid)
        return at_hand is not None and any(key is self.key for key in at_hand)


def recognize_at_hand(
    token: str, settings: JWTSettings, clock: Callable[[], float] = time.time
) -> Principal | Awaiting:
    """Find out who a token speaks for with what is here; if keys are not, say what it waits for.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
    """
    began = telemetry.start()
    remembered = settings.verified_tokens
    known: _Remembered | None = remembered.get(token)
    if known is not None:
        if known.begins <= clock() < known.ends and (known.always or known.holds(settings)):
            if began is not None:
                telemetry.validated(known.principal.settings.issuer, "accepted", began)
            return known.principal
        remembered.discard(token)
    try:
        found = authenticate_at_hand(token, settings, clock)
    except InvalidTokenError:
        telemetry.validated(settings.issuer, "rejected", began)
        raise
    if isinstance(found, Awaiting):
        return found
    telemetry.validated(found.settings.issuer, "accepted", began)
    return _remembered(token, found, settings)


async def recognize(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> Principal:
    """Find out who a token speaks for, verifying it unless that was done.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
        KeysUnavailableError: nobody can tell, because the issuer's keys cannot be fetched.
    """
    found = recognize_at_hand(token, settings, clock)
    if isinstance(found, Principal):
        return found
    return await recognize_waiting(token, found, settings, clock)


async def recognize_waiting(
    token: str, waiting: Awaiting, settings: JWTSettings, clock: Callable[[], float] = time.time
) -> Principal:
    """Find out who a token speaks for that waits for keys, once they are here.

    Raises:
        InvalidTokenError: one of its subclasses.
        KeysUnavailableError: nobody can tell, because the issuer's keys cannot be fetched.
    """
    began = telemetry.start()
    try:
        verified = await with_fetched_keys(token, waiting, settings, clock)
    except AuthError as error:
        outage = isinstance(error, KeysUnavailableError)
        result = "unavailable" if outage else "rejected"
        telemetry.validated(waiting.settings.issuer, result, began)
        raise
    telemetry.validated(verified.settings.issuer, "accepted", began)
    return _remembered(token, verified, settings)


def _remembered(token: str, verified: Verified, settings: JWTSettings) -> Principal:
    claims = verified.claims
    principal = Principal(Claims.of(claims), verified.settings)
    if settings.token_cache_size and len(token) <= _LONGEST:
        # Configured keys are those of these settings for good.
        always = verified.settings is settings and settings.key_cache is None
        limits = time_limits(claims, verified.settings.leeway)
        settings.verified_tokens.put(
            token, _Remembered(principal, verified.key, verified.kid, *limits, always)
        )
    return principal
