"""Verify a token: every check in one order, wherever the keys come from.

Size, form, header, payload, issuer, claims, key, signature. What needs no key comes first, so
that nothing is fetched for a token that good keys would not make acceptable: a client cannot make
this service ask an issuer for keys with a token that is expired, meant for another service, or of
an issuer that is not accepted. A token that is both forged and expired is refused as expired,
whether its keys are configured, fetched or still to be fetched.

Until the signature is checked, what the token says is used to refuse it and to choose its issuer
and key, and for nothing else.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from jwt_deps.errors import (
    AuthError,
    ClaimError,
    InvalidTokenError,
    KeysUnavailableError,
    MalformedTokenError,
    Reason,
    Step,
)
from jwt_deps.keys.key_set import VerificationKey
from jwt_deps.settings.issuer import IssuerSettings
from jwt_deps.settings.service import JWTSettings

from .claim_checks import check_claims, check_issuer
from .profiles import check_profile
from .verify import (
    ParsedToken,
    check_signature,
    parse,
    read_claims,
    remember_header,
)

__all__ = [
    "Verified",
    "authenticate",
    "issuer_of",
    "keys_for",
]

# A request waits for keys a second time only if the issuers were replaced while it waited.
_MOST_WAITS = 2

_Keys: TypeAlias = tuple[VerificationKey, ...]


class Verified(NamedTuple):
    """The claims of a token that passed every check, and the settings that it passed them under."""

    claims: dict[str, Any]
    settings: IssuerSettings
    key: VerificationKey
    kid: str | None = None

    def __repr__(self) -> str:
        return f"<verified by {self.key!r}>"


async def authenticate(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> Verified:
    """Verify a token with the keys of its issuer, fetching them where needed.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
        KeysUnavailableError: the issuer's keys cannot be fetched, so the token cannot be judged.
    """
    known = settings.known_headers
    accepted = (
        settings.accepted_algorithms if settings.routes_by_issuer else settings.keys.algorithms
    )
    parsed = parse(token, accepted, settings.max_token_size, known)
    try:
        claims = read_claims(parsed.payload)
        issuer = _accept(token, parsed, claims, settings, clock())
        keys = _cached_keys(parsed, issuer)
        if keys is None:
            issuer, keys = await _fetched_keys(token, parsed, claims, settings, issuer, clock)
        key = check_signature(parsed, keys)
    except (InvalidTokenError, KeysUnavailableError) as error:
        error.kid = parsed.kid
        raise
    remember_header(parsed, known)
    return Verified(claims, issuer, key, parsed.kid)


def _accept(
    token: str, parsed: ParsedToken, claims: dict[str, Any], settings: JWTSettings, now: float
) -> IssuerSettings:
    """Make every check that needs no key, and return the settings of the token's issuer."""
    issuer = issuer_of(claims, parsed, settings)
    if issuer.is_rfc9068:
        check_profile(token, claims)
    check_claims(claims, issuer, now, settings.provable)
    return issuer


def _cached_keys(parsed: ParsedToken, issuer: IssuerSettings) -> _Keys | None:
    """The keys that may check the signature; `None` if they have to be fetched."""
    cache = issuer.key_cache
    if cache is None:
        return issuer.keys.choose(parsed.algorithm, parsed.kid)
    return cache.cached(parsed.algorithm, parsed.kid)


async def keys_for(parsed: ParsedToken, issuer: IssuerSettings) -> _Keys:
    """The keys that may check a token's signature, fetched where that can help.

    Raises:
        UnknownKeyError: the issuer has no such key.
        KeysUnavailableError: the issuer's keys cannot be fetched.
    """
    cache = issuer.key_cache
    if cache is None:
        return issuer.keys.choose(parsed.algorithm, parsed.kid)
    return await cache.choose(parsed.algorithm, parsed.kid)


async def _fetched_keys(  # noqa: PLR0913, PLR0917 - all that is known of the token by now
    token: str,
    parsed: ParsedToken,
    claims: dict[str, Any],
    settings: JWTSettings,
    issuer: IssuerSettings,
    clock: Callable[[], float],
) -> tuple[IssuerSettings, _Keys]:
    """Wait for the keys of a token's issuer, and return them with the issuer's settings.

    Time passes while a request waits, and the accepted issuers can be replaced, so every check
    that needs no key is made again after the wait.
    """
    for _ in range(_MOST_WAITS):
        keys: _Keys | None = None
        failure: AuthError | None = None
        try:
            keys = await keys_for(parsed, issuer)
        except AuthError as error:
            failure = error
        waited_for, issuer = issuer, _accept(token, parsed, claims, settings, clock())
        if issuer is not waited_for:
            keys, failure = _cached_keys(parsed, issuer), None
        if failure is not None:
            raise failure
        if keys is not None:
            return issuer, keys
    raise KeysUnavailableError(1)


def issuer_of(claims: dict[str, Any], parsed: ParsedToken, settings: JWTSettings) -> IssuerSettings:
    """The settings of the issuer that a token names.

    Raises:
        ClaimError: it names none, or one that is not accepted.
        MalformedTokenError: the issuer does not sign with the token's algorithm.
    """
    if not settings.routes_by_issuer:
        check_issuer(claims, settings)
        return settings
    issuer = settings.settings_of(claims.get("iss"))
    if issuer is None:
        if "iss" not in claims:
            raise ClaimError(Reason.CLAIM_MISSING, "iss", "it names no issuer", Step.ISSUER)
        raise ClaimError(Reason.CLAIM_FOREIGN, "iss", "its issuer is not accepted", Step.ISSUER)
    if parsed.algorithm not in issuer.keys.algorithms:
        raise MalformedTokenError(Reason.ALGORITHM, "its algorithm is not accepted")
    return issuer
