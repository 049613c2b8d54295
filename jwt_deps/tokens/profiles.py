"""Is this token what RFC 9068 calls an access token? Its type, key id and claims.

Looked at only where the profile is set, and beside all other checks. It reads the header again,
so that nothing has to be kept of it where the profile is not.
"""

from typing import Any

from jwt_deps.errors import ClaimError, MalformedTokenError, Reason, Step
from jwt_deps.jose.encoding import decode_base64url, parse_object

__all__ = ["check_profile"]

# RFC 9068 §2.1 and §4; media types are compared without regard to case (RFC 2045 §5.1).
_TYPES = frozenset({"at+jwt", "application/at+jwt"})

# RFC 9068 §2.2.
_REQUIRED = {
    "exp": Step.TIMES,
    "iat": Step.TIMES,
    "sub": Step.SUBJECT,
    "client_id": Step.SUBJECT,
    "jti": Step.SUBJECT,
    "iss": Step.ISSUER,
    "aud": Step.AUDIENCE,
}
_STRINGS = ("client_id", "jti")


def check_profile(token: str, claims: dict[str, Any]) -> None:
    """Check what RFC 9068 asks of a token beyond what is asked of all.

    Args:
        token: the encoded token, whose header was read before.
        claims: what it says.

    Raises:
        MalformedTokenError: it is typed as something else, or names no key.
        ClaimError: a claim is missing, or is of another kind.
    """
    header = parse_object(decode_base64url(token.partition(".")[0].encode("ascii")))
    if header.get("typ", "").lower() not in _TYPES:
        raise MalformedTokenError(Reason.TYPE, "its type is not at+jwt")
    if "kid" not in header:
        raise MalformedTokenError(Reason.KEY_ID, "it names no key")
    for name, step in _REQUIRED.items():
        if name not in claims:
            raise ClaimError(Reason.CLAIM_MISSING, name, f"it has no {name}", step)
    for name in _STRINGS:
        if not isinstance(claims[name], str):
            raise ClaimError(
                Reason.CLAIM_INVALID, name, f"its {name} is not a string", _REQUIRED[name]
            )
