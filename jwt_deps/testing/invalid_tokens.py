"""In which ways can a token be wrong? A closed list, each with the reason to refuse it."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jwt_deps.errors import Reason
from jwt_deps.jose import HMAC_ALGORITHMS, SigningKey, decode_base64url, encode_base64url
from jwt_deps.settings import IssuerSettings, JWTSettings

from .naming import take

__all__ = ["Draft", "Wrong", "applies", "spoil"]


class Wrong(StrEnum):
    """A way in which a token is wrong; everything else about it is right."""

    EXPIRED = "expired"
    """`exp` has passed, leeway included."""
    NOT_YET_VALID = "not_yet_valid"
    """`nbf` is an hour away."""
    ISSUED_IN_FUTURE = "issued_in_future"
    """`iat` is an hour away."""
    NO_EXPIRY = "no_expiry"
    """No `exp`; where `require_exp` is true."""
    BAD_EXPIRY = "bad_expiry"
    """`exp` is a text."""
    BAD_ISSUER = "bad_issuer"
    """`iss` is somebody else; where it is checked."""
    NO_ISSUER = "no_issuer"
    """No `iss`; where it is checked."""
    BAD_AUDIENCE = "bad_audience"
    """The audience is another service; where it is checked."""
    NO_AUDIENCE = "no_audience"
    """No audience; where it is checked."""
    NO_USER = "no_user"
    """Nothing in the claim that identifies the user: refused by routes that ask who it is."""
    BAD_SUBJECT = "bad_subject"
    """`sub` is a number."""
    BOUND_TO_KEY = "bound_to_key"
    """`cnf`: only who proves to have a key may use it (RFC 7800)."""
    FOREIGN_KEY = "foreign_key"
    """Signed with another key under the name of the right one."""
    BAD_SIGNATURE = "bad_signature"
    """One bit of the signature is another."""
    UNKNOWN_KID = "unknown_kid"
    """It names a key that is not there; where keys have names: a JWK Set."""
    ALG_NONE = "alg_none"
    """`alg` is `none`, with a signature all the same."""
    UNSIGNED = "unsigned"
    """`alg` is `none`, and nothing where the signature belongs (RFC 7519 §6)."""
    WRONG_ALGORITHM = "wrong_algorithm"
    """Another algorithm: HS256 with the public key as the secret (RFC 8725 §2.1)."""
    WRONG_TYPE = "wrong_type"
    """`typ` is that of a logout token."""
    CRITICAL_EXTENSION = "critical_extension"
    """`crit` names an extension that nobody knows (RFC 7515 §4.1.11)."""
    BAD_KEY_ID = "bad_key_id"
    """`kid` is a number."""
    BAD_HEADER = "bad_header"
    """The header is an array."""
    BAD_PAYLOAD = "bad_payload"
    """The payload is an array."""
    BAD_ENCODING = "bad_encoding"
    """A part has a length that no base64url text has."""
    NOT_A_JWT = "not_a_jwt"
    """An opaque token."""
    ENCRYPTED = "encrypted"
    """Five parts: a JWE (RFC 7516)."""
    OVERSIZED = "oversized"
    """Longer than `max_token_size`."""

    @property
    def reason(self) -> Reason:
        """Why such a token is refused."""
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

# Longer than any leeway that can be set.
_HOUR = 3600
# Secrets first, for the attack that treats a public key as one.
_ALGORITHMS = (*HMAC_ALGORITHMS, "ES256", "EdDSA", "RS256")


@dataclass(frozen=True, slots=True)
class Draft:
    """A good token that is not signed yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: SigningKey
    settings: JWTSettings
    issuer: IssuerSettings
    now: float

    def signed(self, key: SigningKey | None = None) -> str:
        """The token, by its own key or by another one."""
        return (key or self.key).sign(self.header, self.claims)


def applies(wrong: Wrong, settings: JWTSettings, issuer: IssuerSettings, key: SigningKey) -> bool:
    """Whether these settings refuse such a token at all."""
    match wrong:
        case Wrong.NO_EXPIRY:
            return issuer.require_exp
        case Wrong.BAD_ISSUER | Wrong.NO_ISSUER:
            return settings.server.accepted.single is None or bool(issuer.accepted_issuers)
        case Wrong.BAD_AUDIENCE | Wrong.NO_AUDIENCE:
            return bool(issuer.accepted_audiences)
        case Wrong.UNKNOWN_KID:
            return key.algorithm not in issuer.keys.static
        case Wrong.WRONG_ALGORITHM:
            return _unaccepted(settings) is not None
        case _:
            return True


def spoil(wrong: Wrong, draft: Draft) -> str:
    """Make the token wrong in this way, and sign it as it would be signed."""
    return _SPOILERS[wrong](draft)


def _unaccepted(settings: JWTSettings) -> str | None:
    accepted = settings.server.accepted.algorithms
    return next((name for name in _ALGORITHMS if name not in accepted), None)


def _with_header(**members: object) -> Callable[[Draft], str]:
    def spoiled(draft: Draft) -> str:
        draft.header.update(members)
        return draft.signed()

    return spoiled


def _with_claims(**members: object) -> Callable[[Draft], str]:
    def spoiled(draft: Draft) -> str:
        draft.claims.update(members)
        return draft.signed()

    return spoiled


def _without(name: Callable[[IssuerSettings], str]) -> Callable[[Draft], str]:
    def spoiled(draft: Draft) -> str:
        take(draft.claims, name(draft.issuer))
        return draft.signed()

    return spoiled


def _at(name: str, seconds: float) -> Callable[[Draft], str]:
    def spoiled(draft: Draft) -> str:
        draft.claims[name] = int(draft.now + seconds)
        return draft.signed()

    return spoiled


def _expired(draft: Draft) -> str:
    exp = int(draft.now) - _HOUR
    draft.claims.update(iat=exp - _HOUR, exp=exp)
    return draft.signed()


def _meant_for_another(draft: Draft) -> str:
    draft.claims[draft.issuer.audience_claim] = "another-service"
    return draft.signed()


def _by_foreign_key(draft: Draft) -> str:
    return draft.signed(SigningKey.generate(draft.key.algorithm))


def _with_bad_signature(draft: Draft) -> str:
    signed, _, signature = draft.signed().rpartition(".")
    first, *others = decode_base64url(signature.encode())
    return f"{signed}.{encode_base64url(bytes([first ^ 1, *others]))}"


def _unsigned(draft: Draft) -> str:
    draft.header["alg"] = "none"
    return f"{draft.signed().rpartition('.')[0]}."


def _by_another_algorithm(draft: Draft) -> str:
    name = _unaccepted(draft.settings) or "none"
    draft.header["alg"] = name
    if name not in HMAC_ALGORITHMS:
        return draft.signed(SigningKey.generate(name))
    # With what the service holds to check tokens, which an attacker can know.
    secret = draft.key.verification_text.encode()
    signed = draft.signed().rpartition(".")[0]
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), f'sha{name[2:]}'))}"


def _with_bad_header(draft: Draft) -> str:
    return draft.key.sign_bytes(b"[]", b"{}")


def _with_bad_payload(draft: Draft) -> str:
    _, payload, _ = draft.key.sign(draft.header, draft.claims).split(".")
    header = draft.signed().partition(".")[0]
    listed = b"[%b]" % decode_base64url(payload.encode())
    return draft.key.sign_bytes(decode_base64url(header.encode()), listed)


def _with_bad_encoding(draft: Draft) -> str:
    head, payload, signature = draft.signed().split(".")
    payload += "A" * ((1 - len(payload)) % 4)
    return f"{head}.{payload}.{signature}"


def _encrypted(draft: Draft) -> str:
    return f"{draft.signed()}.AAAA.AAAA"


def _oversized(draft: Draft) -> str:
    draft.claims["padding"] = "x" * draft.settings.max_token_size
    return draft.signed()


_SPOILERS: dict[Wrong, Callable[[Draft], str]] = {
    Wrong.EXPIRED: _expired,
    Wrong.NOT_YET_VALID: _at("nbf", _HOUR),
    Wrong.ISSUED_IN_FUTURE: _at("iat", _HOUR),
    Wrong.NO_EXPIRY: _without(lambda _: "exp"),
    Wrong.BAD_EXPIRY: _with_claims(exp="tomorrow"),
    Wrong.BAD_ISSUER: _with_claims(iss="https://another-issuer.test"),
    Wrong.NO_ISSUER: _without(lambda _: "iss"),
    Wrong.BAD_AUDIENCE: _meant_for_another,
    Wrong.NO_AUDIENCE: _without(lambda issuer: issuer.audience_claim),
    Wrong.NO_USER: _without(lambda issuer: issuer.user_id_claim),
    Wrong.BAD_SUBJECT: _with_claims(sub=1),
    Wrong.BOUND_TO_KEY: _with_claims(cnf={"kid": "another-key"}),
    Wrong.FOREIGN_KEY: _by_foreign_key,
    Wrong.BAD_SIGNATURE: _with_bad_signature,
    Wrong.UNKNOWN_KID: _with_header(kid="unknown"),
    Wrong.ALG_NONE: _with_header(alg="none"),
    Wrong.UNSIGNED: _unsigned,
    Wrong.WRONG_ALGORITHM: _by_another_algorithm,
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
