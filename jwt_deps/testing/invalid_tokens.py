"""The kinds of invalid tokens, each with the reason for which it is refused."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jwt_deps.errors import Reason
from jwt_deps.jose import (
    HMAC_ALGORITHMS,
    SigningKey,
    decode_base64url,
    encode_base64url,
    put_at,
    written_members,
)
from jwt_deps.settings import IssuerSettings, JWTSettings


class Wrong(StrEnum):
    """A kind of invalid token: exactly one thing about it is wrong.

    tokens("alice", wrong=Wrong.EXPIRED)
    """

    EXPIRED = "expired"
    """`exp` and the leeway have passed."""
    NOT_YET_VALID = "not_yet_valid"
    """`nbf` is an hour ahead."""
    ISSUED_IN_FUTURE = "issued_in_future"
    """`iat` is an hour ahead."""
    NO_EXPIRY = "no_expiry"
    """No `exp`; only where `require_exp` is true."""
    BAD_EXPIRY = "bad_expiry"
    """`exp` is a string."""
    BAD_ISSUER = "bad_issuer"
    """`iss` is another issuer; only where `iss` is checked."""
    NO_ISSUER = "no_issuer"
    """No `iss`; only where `iss` is checked."""
    BAD_AUDIENCE = "bad_audience"
    """The audience is another service; only where it is checked."""
    NO_AUDIENCE = "no_audience"
    """No audience; only where it is checked."""
    NO_USER = "no_user"
    """No user id: refused by routes that need one."""
    BAD_SUBJECT = "bad_subject"
    """`sub` is a number; only where `allow_numeric_sub` is false."""
    BOUND_TO_KEY = "bound_to_key"
    """`cnf` binds it to a key that the request does not prove (RFC 7800)."""
    FOREIGN_KEY = "foreign_key"
    """Signed with another key under the `kid` of the right one."""
    BAD_SIGNATURE = "bad_signature"
    """One bit of the signature is flipped."""
    UNKNOWN_KID = "unknown_kid"
    """`kid` names no key; only where the keys are a JWK Set."""
    ALG_NONE = "alg_none"
    """`alg` is `none`, with a signature."""
    UNSIGNED = "unsigned"
    """`alg` is `none`, with an empty signature (RFC 7519 §6)."""
    WRONG_ALGORITHM = "wrong_algorithm"
    """Not an accepted algorithm: HS256 with the public key as the secret (RFC 8725 §2.1)."""
    WRONG_TYPE = "wrong_type"
    """`typ` is `logout+jwt`."""
    CRITICAL_EXTENSION = "critical_extension"
    """`crit` names an unknown extension (RFC 7515 §4.1.11)."""
    BAD_KEY_ID = "bad_key_id"
    """`kid` is a number."""
    BAD_HEADER = "bad_header"
    """The header is an array."""
    BAD_PAYLOAD = "bad_payload"
    """The payload is an array."""
    BAD_ENCODING = "bad_encoding"
    """A part is not base64url: no such text has its length."""
    NOT_A_JWT = "not_a_jwt"
    """An opaque token."""
    ENCRYPTED = "encrypted"
    """Five parts, as a JWE has (RFC 7516)."""
    OVERSIZED = "oversized"
    """Longer than `max_token_size`."""

    @property
    def reason(self) -> Reason:
        """The reason for which such a token is refused, as logs and debug hints have it."""
        return _REASONS[self]


_REASONS = {
    Wrong.EXPIRED: Reason.EXPIRED,
    Wrong.NOT_YET_VALID: Reason.NOT_YET_VALID,
    Wrong.ISSUED_IN_FUTURE: Reason.NOT_YET_VALID,
    Wrong.NO_EXPIRY: Reason.CLAIM_MISSING,
    Wrong.BAD_EXPIRY: Reason.CLAIM_INVALID,
    Wrong.BAD_ISSUER: Reason.CLAIM_FOREIGN,
    Wrong.NO_ISSUER: Reason.CLAIM_MISSING,
    Wrong.BAD_AUDIENCE: Reason.CLAIM_FOREIGN,
    Wrong.NO_AUDIENCE: Reason.CLAIM_MISSING,
    Wrong.NO_USER: Reason.CLAIM_MISSING,
    Wrong.BAD_SUBJECT: Reason.CLAIM_INVALID,
    Wrong.BOUND_TO_KEY: Reason.CONFIRMATION,
    Wrong.FOREIGN_KEY: Reason.SIGNATURE,
    Wrong.BAD_SIGNATURE: Reason.SIGNATURE,
    Wrong.UNKNOWN_KID: Reason.UNKNOWN_KEY,
    Wrong.ALG_NONE: Reason.ALGORITHM,
    Wrong.UNSIGNED: Reason.NOT_COMPACT,
    Wrong.WRONG_ALGORITHM: Reason.ALGORITHM,
    Wrong.WRONG_TYPE: Reason.TYPE,
    Wrong.CRITICAL_EXTENSION: Reason.CRITICAL,
    Wrong.BAD_KEY_ID: Reason.KEY_ID,
    Wrong.BAD_HEADER: Reason.HEADER,
    Wrong.BAD_PAYLOAD: Reason.PAYLOAD,
    Wrong.BAD_ENCODING: Reason.ENCODING,
    Wrong.NOT_A_JWT: Reason.NOT_COMPACT,
    Wrong.ENCRYPTED: Reason.ENCRYPTED,
    Wrong.OVERSIZED: Reason.TOO_LARGE,
}

_HOUR = 3600  # longer than the longest leeway
# HS* first, for the attack that uses a public key as the secret.
_ALGORITHMS = (*HMAC_ALGORITHMS, "ES256", "EdDSA", "RS256")


@dataclass(frozen=True, slots=True)
class TokenParts:
    """A valid token before it is signed."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: SigningKey
    settings: JWTSettings
    issuer: IssuerSettings
    now: float

    def signed(self, key: SigningKey | None = None) -> str:
        """Sign the token with its own key or with another one."""
        return (key or self.key).sign(self.header, self.claims)


def is_checked(kind: Wrong, settings: JWTSettings, issuer: IssuerSettings, key: SigningKey) -> bool:
    """Whether the settings refuse this kind of invalid token."""
    match kind:
        case Wrong.NO_EXPIRY:
            return issuer.require_exp
        case Wrong.BAD_ISSUER | Wrong.NO_ISSUER:
            return settings.server.accepted.single is None or bool(issuer.accepted_issuers)
        case Wrong.BAD_AUDIENCE | Wrong.NO_AUDIENCE:
            foreign = kind is Wrong.BAD_AUDIENCE and issuer.verify_audience
            return foreign or bool(issuer.accepted_audiences)
        case Wrong.UNKNOWN_KID:
            return key.algorithm not in issuer.policy.keys.static
        case Wrong.WRONG_ALGORITHM:
            return _not_accepted(settings) is not None
        case _:
            return not (kind is Wrong.BAD_SUBJECT and issuer.allow_numeric_sub)


def make_invalid(kind: Wrong, parts: TokenParts) -> str:
    """Make an invalid token of this kind from the parts of a valid one."""
    return _MAKERS[kind](parts)


def _not_accepted(settings: JWTSettings) -> str | None:
    accepted = settings.server.accepted.algorithms
    return next((name for name in _ALGORITHMS if name not in accepted), None)


def _with_header(**members: object) -> Callable[[TokenParts], str]:
    def make(parts: TokenParts) -> str:
        parts.header.update(members)
        return parts.signed()

    return make


def _with_claims(**members: object) -> Callable[[TokenParts], str]:
    def make(parts: TokenParts) -> str:
        parts.claims.update(members)
        return parts.signed()

    return make


def _without(name: Callable[[IssuerSettings], str]) -> Callable[[TokenParts], str]:
    def make(parts: TokenParts) -> str:
        parts.claims.pop(written_members(name(parts.issuer))[0], None)
        return parts.signed()

    return make


def _at(name: str, seconds: float) -> Callable[[TokenParts], str]:
    def make(parts: TokenParts) -> str:
        parts.claims[name] = int(parts.now + seconds)
        return parts.signed()

    return make


def _expired(parts: TokenParts) -> str:
    exp = int(parts.now) - _HOUR
    parts.claims.update(iat=exp - _HOUR, exp=exp)
    return parts.signed()


def _for_another_audience(parts: TokenParts) -> str:
    put_at(parts.claims, parts.issuer.audience_claim, "another-service")
    return parts.signed()


def _with_foreign_key(parts: TokenParts) -> str:
    return parts.signed(SigningKey.generate(parts.key.algorithm))


def _with_bad_signature(parts: TokenParts) -> str:
    signed, _, signature = parts.signed().rpartition(".")
    first, *others = decode_base64url(signature.encode())
    return f"{signed}.{encode_base64url(bytes([first ^ 1, *others]))}"


def _unsigned(parts: TokenParts) -> str:
    parts.header["alg"] = "none"
    return f"{parts.signed().rpartition('.')[0]}."


def _with_wrong_algorithm(parts: TokenParts) -> str:
    name = _not_accepted(parts.settings) or "none"
    parts.header["alg"] = name
    if name not in HMAC_ALGORITHMS:
        return parts.signed(SigningKey.generate(name))
    # An attacker can know the public key that the service is configured with.
    secret = parts.key.verification_text.encode()
    signed = parts.signed().rpartition(".")[0]
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), f'sha{name[2:]}'))}"


def _with_bad_header(parts: TokenParts) -> str:
    return parts.key.sign_bytes(b"[]", b"{}")


def _with_bad_payload(parts: TokenParts) -> str:
    _, payload, _ = parts.key.sign(parts.header, parts.claims).split(".")
    header = parts.signed().partition(".")[0]
    listed = b"[%b]" % decode_base64url(payload.encode())
    return parts.key.sign_bytes(decode_base64url(header.encode()), listed)


def _with_bad_encoding(parts: TokenParts) -> str:
    head, payload, signature = parts.signed().split(".")
    payload += "A" * ((1 - len(payload)) % 4)
    return f"{head}.{payload}.{signature}"


def _encrypted(parts: TokenParts) -> str:
    return f"{parts.signed()}.AAAA.AAAA"


def _oversized(parts: TokenParts) -> str:
    parts.claims["padding"] = "x" * parts.settings.max_token_size
    return parts.signed()


_MAKERS: dict[Wrong, Callable[[TokenParts], str]] = {
    Wrong.EXPIRED: _expired,
    Wrong.NOT_YET_VALID: _at("nbf", _HOUR),
    Wrong.ISSUED_IN_FUTURE: _at("iat", _HOUR),
    Wrong.NO_EXPIRY: _without(lambda _: "exp"),
    Wrong.BAD_EXPIRY: _with_claims(exp="tomorrow"),
    Wrong.BAD_ISSUER: _with_claims(iss="https://another-issuer.test"),
    Wrong.NO_ISSUER: _without(lambda _: "iss"),
    Wrong.BAD_AUDIENCE: _for_another_audience,
    Wrong.NO_AUDIENCE: _without(lambda issuer: issuer.audience_claim),
    Wrong.NO_USER: _without(lambda issuer: issuer.user_id_claim),
    Wrong.BAD_SUBJECT: _with_claims(sub=1),
    Wrong.BOUND_TO_KEY: _with_claims(cnf={"kid": "another-key"}),
    Wrong.FOREIGN_KEY: _with_foreign_key,
    Wrong.BAD_SIGNATURE: _with_bad_signature,
    Wrong.UNKNOWN_KID: _with_header(kid="unknown"),
    Wrong.ALG_NONE: _with_header(alg="none"),
    Wrong.UNSIGNED: _unsigned,
    Wrong.WRONG_ALGORITHM: _with_wrong_algorithm,
    Wrong.WRONG_TYPE: _with_header(typ="logout+jwt"),
    Wrong.CRITICAL_EXTENSION: _with_header(crit=["unknown"], unknown=True),
    Wrong.BAD_KEY_ID: _with_header(kid=1),
    Wrong.BAD_HEADER: _with_bad_header,
    Wrong.BAD_PAYLOAD: _with_bad_payload,
    Wrong.BAD_ENCODING: _with_bad_encoding,
    Wrong.NOT_A_JWT: lambda _: "not-a-jwt",
    Wrong.ENCRYPTED: _encrypted,
    Wrong.OVERSIZED: _oversized,
}
