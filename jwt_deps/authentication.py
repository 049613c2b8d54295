"""Whose token is this, and is it genuine? The issuer first, then its keys, then every check.

An issuer is chosen from those configured by what the token says of itself, and that choice is
checked with all other claims once the signature is. Before anything is fetched, the token has to
be one that good keys would make acceptable: a stranger cannot make this service ask for keys with
a token that is expired, meant for others, or of an issuer that it does not know.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from .claim_checks import check_claims
from .errors import (
    AuthError,
    ClaimError,
    InvalidTokenError,
    KeysUnavailableError,
    MalformedTokenError,
    Reason,
    Step,
)
from .issuers import IssuerSettings
from .key_cache import KeyCache
from .keys import VerificationKey
from .profiles import check_profile
from .settings import JWTSettings
from .verification import (
    ParsedToken,
    check_signature,
    parse,
    read_claims,
    remember_header,
    verify_with,
)

__all__ = [
    "Awaiting",
    "Verified",
    "authenticate",
    "authenticate_at_hand",
    "issuer_of",
    "with_fetched_keys",
]


class Verified(NamedTuple):
    """The claims of a token that passed every check, and the settings that it passed them under."""

    claims: dict[str, Any]
    settings: IssuerSettings
    key: VerificationKey
    kid: str | None = None

    def __repr__(self) -> str:
        return f"<verified by {self.key!r}>"


class Awaiting(NamedTuple):
    """A token that good keys would make acceptable, and where they have to be fetched."""

    parsed: ParsedToken
    claims: dict[str, Any]
    settings: IssuerSettings
    keys: KeyCache

    def __repr__(self) -> str:
        return "<a token that waits for keys>"


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
        KeysUnavailableError: nobody can tell, because the issuer's keys cannot be fetched.
    """
    found = authenticate_at_hand(token, settings, clock)
    if isinstance(found, Verified):
        return found
    return await with_fetched_keys(token, found, settings, clock)


def authenticate_at_hand(
    token: str, settings: JWTSettings, clock: Callable[[], float]
) -> Verified | Awaiting:
    """Verify a token with the keys that are here; if they are not, say what it waits for.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
    """
    if settings.key_cache is None and not settings.routes_by_issuer:
        claims, key = verify_with(token, settings, clock)
        return Verified(claims, settings, key)
    known = settings.known_headers
    parsed = parse(token, settings.accepted_algorithms, settings.max_token_size, known)
    try:
        claims = read_claims(parsed.payload)
        issuer = issuer_of(claims, parsed, settings)
        if issuer.is_rfc9068:
            check_profile(token, claims)
        check_claims(claims, issuer, clock(), settings.provable)
        name, fetched = (parsed.algorithm, parsed.kid), issuer.key_cache
        if fetched is None:
            candidates = issuer.keys.choose(*name)
        elif (at_hand := fetched.at_hand(*name)) is not None:
            candidates = at_hand
        else:
            return Awaiting(parsed, claims, issuer, fetched)
        key = check_signature(parsed, candidates)
    except (InvalidTokenError, KeysUnavailableError) as error:
        error.kid = parsed.kid
        raise
    remember_header(parsed, known)
    return Verified(claims, issuer, key, parsed.kid)


async def with_fetched_keys(
    token: str, waiting: Awaiting, settings: JWTSettings, clock: Callable[[], float]
) -> Verified:
    """Verify a token that waits for keys, once they are here.

    Raises:
        InvalidTokenError: one of its subclasses.
        KeysUnavailableError: nobody can tell, because the issuer's keys cannot be fetched.
    """
    parsed, claims, issuer, keys = waiting
    try:
        try:
            candidates = await keys.choose(parsed.algorithm, parsed.kid)
        except AuthError:
            if issuer_of(claims, parsed, settings) is issuer:
                raise
            return await authenticate(token, settings, clock=clock)
        # Both can have changed while keys were fetched: who is accepted, and the time.
        if issuer_of(claims, parsed, settings) is not issuer:
            return await authenticate(token, settings, clock=clock)
        check_claims(claims, issuer, clock(), settings.provable)
        key = check_signature(parsed, candidates)
    except (InvalidTokenError, KeysUnavailableError) as error:
        error.kid = parsed.kid
        raise
    remember_header(parsed, settings.known_headers)
    return Verified(claims, issuer, key, parsed.kid)


def issuer_of(claims: dict[str, Any], parsed: ParsedToken, settings: JWTSettings) -> IssuerSettings:
    """The settings of the issuer that a token names.

    Raises:
        InvalidTokenError: no accepted issuer, or an algorithm that is not its.
    """
    issuer = settings.settings_of(claims.get("iss"))
    if issuer is None:
        if "iss" not in claims:
            raise ClaimError(Reason.CLAIM_MISSING, "iss", "it names no issuer", Step.ISSUER)
        raise ClaimError(Reason.CLAIM_FOREIGN, "iss", "its issuer is not accepted", Step.ISSUER)
    if parsed.algorithm not in issuer.keys.algorithms:
        raise MalformedTokenError(Reason.ALGORITHM, "its algorithm is not accepted")
    return issuer
