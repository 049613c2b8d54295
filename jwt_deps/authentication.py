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
from .keys import VerificationKey
from .profiles import check_profile
from .settings import JWTSettings
from .verification import (
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
]


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

    The order is the same wherever keys come from: form, header, payload, issuer, claims, key,
    signature. Nothing is fetched for a token that good keys would not make acceptable.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
        KeysUnavailableError: nobody can tell, because the issuer's keys cannot be fetched.
    """
    known = settings.known_headers
    several = settings.routes_by_issuer
    algorithms = settings.accepted_algorithms if several else settings.keys.algorithms
    parsed = parse(token, algorithms, settings.max_token_size, known)
    try:
        claims = read_claims(parsed.payload)
        issuer = issuer_of(claims, parsed, settings) if several else settings
        if issuer.is_rfc9068:
            check_profile(token, claims)
        check_claims(claims, issuer, clock(), settings.provable)
        cache, name = issuer.key_cache, (parsed.algorithm, parsed.kid)
        candidates = issuer.keys.choose(*name) if cache is None else cache.at_hand(*name)
        if cache is not None and candidates is None:
            try:
                candidates = await cache.choose(*name)
            except AuthError:
                if issuer_of(claims, parsed, settings) is issuer:
                    raise
            # Both can have changed meanwhile: who is accepted, and the time.
            if candidates is None or issuer_of(claims, parsed, settings) is not issuer:
                return await authenticate(token, settings, clock=clock)
            check_claims(claims, issuer, clock(), settings.provable)
        key = check_signature(parsed, candidates or ())
    except (InvalidTokenError, KeysUnavailableError) as error:
        error.kid = parsed.kid
        raise
    remember_header(parsed, known)
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
