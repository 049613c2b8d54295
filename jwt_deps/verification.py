"""Is this token genuine, current and meant for us? Text in, verified claims out.

The order is part of the contract, each step with a reason of its own: size, form, header, key,
signature, payload, times, audience. Nothing that a token says is used before its signature
has been checked, except `alg` and `kid` to choose the key, and where keys have to be fetched
(`authentication`), `iss` to choose the issuer, and what would refuse the token anyway.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .errors import (
    ClaimError,
    ExpiredTokenError,
    InvalidTokenError,
    MalformedTokenError,
    Reason,
    SignatureError,
    Step,
)
from .issuers import IssuerSettings
from .keys import VerificationKey
from .serialization import decode_base64url, parse_object
from .settings import JWTSettings

__all__ = [
    "CLAIM_CHECKS",
    "ParsedToken",
    "check_claims",
    "check_signature",
    "parse",
    "read_claims",
    "unverified_expiry",
    "verify",
]

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ENCRYPTED = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){4}")

# RFC 7515 §4.1.9: a name without a slash stands for `application/<name>`; RFC 9068 §2.1 has
# `at+jwt`. Whatever else calls itself something (`dpop+jwt`, `logout+jwt`) is not an access token.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_MAX_KID = 256


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A JWS in compact serialization (RFC 7515 §7.1), taken apart and not yet believed."""

    algorithm: str
    kid: str | None
    signing_input: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def verify(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Return the claims of a token that passes every check, with configured keys.

    Args:
        token: the encoded token.
        settings: what is accepted.
        clock: seconds since the epoch.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
    """
    parsed = parse(token, settings.keys.algorithms, settings.max_token_size)
    try:
        check_signature(parsed, settings.keys.choose(parsed.algorithm, parsed.kid))
        claims = read_claims(parsed)
        check_claims(claims, settings, clock())
    except InvalidTokenError as error:
        error.kid = parsed.kid
        raise
    return claims


def parse(token: str, algorithms: Collection[str], max_size: int) -> ParsedToken:
    """Take a token apart, as far as that needs no key.

    Raises:
        MalformedTokenError: not a JWS with one reading, or with a header that is not accepted.
    """
    if len(token) > max_size:
        raise _malformed(Reason.TOO_LARGE, "it is longer than this service reads")
    match = _COMPACT.fullmatch(token)
    if match is None:
        if _ENCRYPTED.fullmatch(token):
            raise _malformed(Reason.ENCRYPTED, "encrypted tokens are not supported")
        raise _malformed(Reason.NOT_COMPACT, "it is not a JWS in compact serialization")
    segments = token.encode("ascii").split(b".")
    header, payload, signature = map(_decoded, segments)
    algorithm, kid = _header(header, algorithms)
    return ParsedToken(
        algorithm=algorithm,
        kid=kid,
        signing_input=segments[0] + b"." + segments[1],
        payload=payload,
        signature=signature,
    )


def check_signature(parsed: ParsedToken, candidates: Iterable[VerificationKey]) -> None:
    """Check the signature with the keys that were chosen for the token.

    Raises:
        SignatureError: the signature is not theirs.
    """
    for candidate in candidates:
        if candidate.key.verify(parsed.signing_input, parsed.signature):
            return
    raise SignatureError


def read_claims(parsed: ParsedToken) -> dict[str, Any]:
    """Read the payload, which is worth what the signature is worth.

    Raises:
        MalformedTokenError: it is not a JSON object with one reading.
    """
    return _payload(parsed.payload)


def check_claims(claims: dict[str, Any], settings: IssuerSettings, now: float) -> None:
    """Check what a token says against what an issuer's tokens must say.

    Raises:
        InvalidTokenError: the first thing that is wrong.
    """
    for check in CLAIM_CHECKS.values():
        check(claims, settings, now)


def unverified_expiry(token: str) -> float | None:
    """Read `exp` of a token that this service was handed by its own issuer, without a check.

    Raises:
        MalformedTokenError: not a JWS with a readable payload.
        ClaimError: its `exp` is not a number.
    """
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise _malformed(Reason.NOT_COMPACT, "it is not a JWS in compact serialization")
    return _numeric_date(_payload(_decoded(match[2].encode("ascii"))), "exp")


# The parsers' own errors quote what they read, and that is the token: the package's errors are
# raised outside of their handlers, so that not even `__context__` leads back to them.


def _decoded(segment: bytes) -> bytes:
    with suppress(ValueError):
        return decode_base64url(segment)
    raise _malformed(Reason.ENCODING, "it is not base64url as RFC 7515 has it")


def _payload(data: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        return parse_object(data)
    raise _malformed(Reason.PAYLOAD, "its payload is not a JSON object")


def _header(data: bytes, algorithms: Collection[str]) -> tuple[str, str | None]:
    header: dict[str, Any] | None = None
    with suppress(ValueError):
        header = parse_object(data)
    if header is None:
        raise _malformed(Reason.HEADER, "its header is not a JSON object")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise _malformed(Reason.ALGORITHM, "its algorithm is not accepted")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _malformed(Reason.TYPE, "its type is not that of an access token")
    if "crit" in header:
        # RFC 7515 §4.1.11: an extension that is not understood must not be passed over,
        # and none is understood.
        raise _malformed(Reason.CRITICAL, "it needs an extension that is not understood")
    if "kid" not in header:
        return algorithm, None
    kid = header["kid"]
    if not isinstance(kid, str) or len(kid) > _MAX_KID:
        raise _malformed(Reason.KEY_ID, "its key id is not a short string")
    return algorithm, kid


def _check_times(claims: dict[str, Any], settings: IssuerSettings, now: float) -> None:
    expires = _numeric_date(claims, "exp")
    if expires is None:
        if settings.require_exp:
            raise ClaimError(Reason.CLAIM_MISSING, "exp", "it has no expiry", Step.TIMES)
    elif now - settings.leeway >= expires:  # RFC 7519 §4.1.4: "on or after"
        raise ExpiredTokenError
    for name in ("nbf", "iat"):
        begins = _numeric_date(claims, name)
        if begins is not None and begins > now + settings.leeway:
            raise ClaimError(Reason.NOT_YET_VALID, name, "it is not valid yet", Step.TIMES)


def _numeric_date(claims: dict[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):  # a bool is an int to Python
        raise _claim_type(name, "a number", Step.TIMES)
    with suppress(OverflowError):
        return float(value)  # finite: the parser lets neither infinity nor NaN through
    raise _claim_type(name, "a number", Step.TIMES)


def _check_subject(claims: dict[str, Any], _: IssuerSettings, __: float) -> None:
    if not isinstance(claims.get("sub", ""), str):
        raise _claim_type("sub", "a string", Step.SUBJECT)


def _check_issuer(claims: dict[str, Any], settings: IssuerSettings, _: float) -> None:
    accepted = settings.accepted_issuers
    if not accepted:
        return
    if "iss" not in claims:
        raise ClaimError(Reason.CLAIM_MISSING, "iss", "it names no issuer", Step.ISSUER)
    issuer = claims["iss"]
    if not isinstance(issuer, str):
        raise _claim_type("iss", "a string", Step.ISSUER)
    if issuer not in accepted:
        raise ClaimError(Reason.CLAIM_FOREIGN, "iss", "its issuer is not accepted", Step.ISSUER)


def _check_audience(claims: dict[str, Any], settings: IssuerSettings, _: float) -> None:
    name, accepted = settings.audience_claim, settings.accepted_audiences
    if not accepted:
        return
    if name not in claims:
        raise ClaimError(Reason.CLAIM_MISSING, name, "it names no audience", Step.AUDIENCE)
    audience = claims[name]
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise _claim_type(name, "a string or a list of strings", Step.AUDIENCE)
    if not any(one in accepted for one in audiences):
        foreign = "it is meant for another service"
        raise ClaimError(Reason.CLAIM_FOREIGN, name, foreign, Step.AUDIENCE)


def _refuse_confirmation(claims: dict[str, Any], _: IssuerSettings, __: float) -> None:
    # RFC 7800: the token is bound to a key that its holder has to prove. Taking it without
    # that proof would turn it into the bearer token that its issuer meant to prevent.
    if "cnf" in claims:
        unproved = "it is bound to a key that was not proved"
        raise ClaimError(Reason.CONFIRMATION, "cnf", unproved, Step.CONFIRMATION)


#: What a token says is checked by these, in this order.
CLAIM_CHECKS: dict[Step, Callable[[dict[str, Any], IssuerSettings, float], None]] = {
    Step.TIMES: _check_times,
    Step.SUBJECT: _check_subject,
    Step.ISSUER: _check_issuer,
    Step.AUDIENCE: _check_audience,
    Step.CONFIRMATION: _refuse_confirmation,
}


def _malformed(reason: Reason, description: str) -> MalformedTokenError:
    return MalformedTokenError(reason, description)


def _claim_type(name: str, expected: str, step: Step) -> ClaimError:
    return ClaimError(Reason.CLAIM_INVALID, name, f"its {name} is not {expected}", step)
