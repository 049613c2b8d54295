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
from typing import NamedTuple, TypeAlias

from . import telemetry
from .authentication import (
    Awaiting,
    Verified,
    authenticate_at_hand,
    with_fetched_keys,
)
from .claim_checks import time_limits
from .claims import Claims
from .errors import (
    AuthError,
    InvalidTokenError,
    KeysUnavailableError,
    RevocationUnavailableError,
    RevokedTokenError,
)
from .keys import VerificationKey
from .principals import Principal
from .revocation import refuse_revoked, refuse_revoked_at_hand
from .settings import JWTSettings

__all__ = [
    "AwaitingRevocation",
    "Recognized",
    "recall",
    "recognize",
    "recognize_at_hand",
    "recognize_new_at_hand",
    "recognize_waiting",
]

# Longer ones are rare, and few of them would fill the memory of many.
_LONGEST = 4096


class AwaitingRevocation(NamedTuple):
    """A token that is good unless it was revoked, and it takes a fetch to find that out."""

    principal: Principal

    def __repr__(self) -> str:
        return "<a token that waits for revocations>"


#: Who a token speaks for, or what has to be waited for before that is known.
Recognized: TypeAlias = Principal | Awaiting | AwaitingRevocation


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


def recall(
    credentials: bytes, settings: JWTSettings, clock: Callable[[], float] = time.time
) -> Principal | AwaitingRevocation | None:
    """Who the credentials speak for, if they were verified before and that still holds.

    Where it takes a fetch to know whether the token was revoked, that has to be waited for.

    Args:
        credentials: `Bearer`, a space and the encoded token, as nearly every client sends them.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        RevokedTokenError: the token has been revoked since.
        RevocationUnavailableError: nobody can tell whether it was.
    """
    known: _Remembered | None = settings.verified_tokens.get(credentials)
    if known is None:
        return None
    began = telemetry.start()
    principal, _, _, begins, ends, always = known
    if begins <= clock() < ends and (always or known.holds(settings)):
        if settings.revocations is not None:
            return _unrevoked(principal, settings, began)
        if began is not None:
            telemetry.validated(principal.settings.issuer, "accepted", began)
        return principal
    settings.verified_tokens.discard(credentials)
    return None


def recognize_at_hand(
    token: str, settings: JWTSettings, clock: Callable[[], float] = time.time
) -> Recognized:
    """Find out who a token speaks for with what is here; if keys are not, say what it waits for.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
    """
    known = recall(_as_sent(token), settings, clock)
    return recognize_new_at_hand(token, settings, clock) if known is None else known


def recognize_new_at_hand(
    token: str, settings: JWTSettings, clock: Callable[[], float] = time.time
) -> Recognized:
    """The same for a token that is not remembered.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
    """
    began = telemetry.start()
    try:
        found = authenticate_at_hand(token, settings, clock)
    except InvalidTokenError:
        telemetry.validated(settings.issuer, "rejected", began)
        raise
    if not isinstance(found, Verified):
        return found
    principal = _remembered(token, found, settings)
    if settings.revocations is not None:
        return _unrevoked(principal, settings, began)
    telemetry.validated(principal.settings.issuer, "accepted", began)
    return principal


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
    if isinstance(found, AwaitingRevocation):
        return await _once_known(found.principal, settings)
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
    if settings.revocations is not None:
        return await _once_known(_remembered(token, verified, settings), settings, began)
    telemetry.validated(verified.settings.issuer, "accepted", began)
    return _remembered(token, verified, settings)


# A token is remembered before it is asked of: what is remembered is asked of with every use.


def _unrevoked(
    principal: Principal, settings: JWTSettings, began: float | None
) -> Principal | AwaitingRevocation:
    try:
        if not refuse_revoked_at_hand(settings.revocations, principal.claims.view()):
            return AwaitingRevocation(principal)
    except (RevokedTokenError, RevocationUnavailableError) as error:
        _tell(error, principal, began)
        raise
    telemetry.validated(principal.settings.issuer, "accepted", began)
    return principal


async def _once_known(
    principal: Principal, settings: JWTSettings, began: float | None = None
) -> Principal:
    began = telemetry.start() if began is None else began
    try:
        await refuse_revoked(settings.revocations, principal.claims.view())
    except (RevokedTokenError, RevocationUnavailableError) as error:
        _tell(error, principal, began)
        raise
    telemetry.validated(principal.settings.issuer, "accepted", began)
    return principal


def _tell(error: AuthError, principal: Principal, began: float | None) -> None:
    issuer = principal.settings.issuer
    revoked = isinstance(error, RevokedTokenError)
    if revoked:
        telemetry.revoked(issuer)
    telemetry.validated(issuer, "rejected" if revoked else "unavailable", began)


def _remembered(token: str, verified: Verified, settings: JWTSettings) -> Principal:
    claims = verified.claims
    principal = Principal(Claims.of(claims), verified.settings, token=token)
    if settings.token_cache_size and len(token) <= _LONGEST:
        # Configured keys are those of these settings for good.
        always = verified.settings is settings and settings.key_cache is None
        limits = time_limits(claims, verified.settings.leeway)
        settings.verified_tokens.put(
            _as_sent(token),
            _Remembered(principal, verified.key, verified.kid, *limits, always),
        )
    return principal


def _as_sent(token: str) -> bytes:
    # No token that verified has a "?" in it: what is replaced is found nowhere.
    return b"Bearer " + token.encode("ascii", "replace")
