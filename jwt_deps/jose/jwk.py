"""Keys as text: PEM, shared secrets, JWKs (RFC 7517) and their thumbprints (RFC 7638)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from jwt_deps.errors import ConfigurationError

from .encoding import decode_base64url, encode_base64url
from .key_forms import KeyForm
from .signatures import CURVES, HMAC_ALGORITHMS, PublicKey, algorithms_of

#: Where a static key and a JWK Set come from: every sentence about one says where to look.
STATIC_KEYS = "JWT_SECRET_KEY (secret_key) or JWT_VERIFICATION_KEYS (verification_keys)"
JWK_SET = "JWT_JWKS (jwks) or JWT_JWKS_FILE (jwks_file)"

#: Why a JWK is not used, in the key sets of real issuers.
FOR_ENCRYPTION = "it is for encryption"
NOT_SUPPORTED = "its kty or crv is not supported"

#: RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used".
MIN_RSA_BITS = 2048
# OpenSSL checks no signature with a longer one (OPENSSL_RSA_MAX_MODULUS_BITS).
_MAX_RSA_BITS = 16_384
# A check takes as many squarings: with 3,072 bits it would take 15 ms of each forged token.
_EXPONENT_BITS = 32

_ED25519_PRIME = 2**255 - 19
# The `y` of two of the points of order 8; that of the other two is its negative.
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# Of the points of order 8, 4, 2 and 1, in every spelling that 255 bits have room for.
_SMALL_ORDER = frozenset(
    {
        _ORDER_8,
        _ED25519_PRIME - _ORDER_8,
        0,
        _ED25519_PRIME,
        _ED25519_PRIME - 1,
        1,
        _ED25519_PRIME + 1,
    }
)

CURVE_BY_CRV = {curve.crv: curve for curve in CURVES.values()}
# RFC 7638 §3.2 and RFC 8037 §2: the members that make the key, in lexicographic order.
_REQUIRED = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}
_NO_SECRETS = {
    KeyForm.CERTIFICATE: f"A certificate is configured in {STATIC_KEYS} where a public key "
    "belongs: take the key out of it with `openssl x509 -in certificate.pem -pubkey -noout`.",
    KeyForm.PRIVATE: f"A private key is configured in {STATIC_KEYS} where a public key belongs: "
    "give the public half, `openssl pkey -in private.pem -pubout`, and keep the private one with "
    "the issuer.",
    KeyForm.OPENSSH: f"A key in {STATIC_KEYS} is a public key in OpenSSH form: give it in PEM, "
    "`ssh-keygen -e -m PKCS8 -f key.pub`.",
    KeyForm.ADDRESS: f"A key in {STATIC_KEYS} is an address and no secret: keys are fetched with "
    "JWT_JWKS_URL (jwks_url) or JWT_DISCOVERY=true (discovery); a shared secret is random, "
    "`openssl rand -base64 48`.",
    KeyForm.REFERENCE: f"A key in {STATIC_KEYS} is a path, or a reference that nothing resolved, "
    "and no secret: a file is named by JWT_SECRET_KEY_FILE (secret_key_file).",
    KeyForm.PUBLIC: f"A key in {STATIC_KEYS} is a public key and not in PEM: give it in PEM, with "
    "its -----BEGIN PUBLIC KEY----- line, or a JWK Set in JWT_JWKS_FILE (jwks_file).",
}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def is_pem(text: str) -> bool:
    """Whether a text has a PEM header, well-formed or not."""
    return "-----BEGIN" in text


def pem_public_key(text: str) -> PublicKey:
    r"""Load a public key from PEM; a literal `\n`, as environments have it, is a line break.

    Raises:
        ConfigurationError: a private key, a certificate, several keys, a weak or unusable key.
    """
    pem = text.replace("\\n", "\n").strip().encode()
    if b"PRIVATE KEY" in pem:
        raise no_secret(KeyForm.PRIVATE)
    if b"CERTIFICATE" in pem:
        raise no_secret(KeyForm.CERTIFICATE)
    name = f"A key in {STATIC_KEYS}"
    if pem.count(b"-----BEGIN") > 1:  # `cryptography` reads the first and says nothing
        raise ConfigurationError(
            "not_pem",
            f"{name} is several keys in one text, of which only the first would be used: give one "
            "each in JWT_VERIFICATION_KEYS (verification_keys).",
        )
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm:
        raise _unsupported(name) from None
    except ValueError:
        # `from None`: the parser's own message may quote the key.
        raise ConfigurationError("not_pem", f"{name} is not a public key in PEM.") from None
    return _usable(key, name)


def no_secret(form: KeyForm) -> ConfigurationError:
    """Make the error about a key, a certificate or an address in the place of a shared secret."""
    return ConfigurationError(form.value, _NO_SECRETS[form])


def require_strong_secret(secret: bytes, algorithm: str) -> None:
    """Refuse a shared secret shorter than its hash (RFC 7518 §3.2)."""
    needed = HMAC_ALGORITHMS[algorithm]
    if len(secret) < needed:
        raise ConfigurationError(
            "short_secret",
            f"A shared secret in {STATIC_KEYS} has {len(secret)} bytes and {algorithm} needs at "
            f"least {needed} (RFC 7518 §3.2): set a random one, `openssl rand -base64 48`.",
        )


def jwk_unused(jwk: Mapping[str, Any]) -> str | None:
    """Say why a JWK is not meant for checking signatures here; `None` if it is.

    Key sets of real issuers also hold encryption keys and new key types (RFC 7517 §5: "ignore
    JWKs within a JWK Set that use kty values that are not understood").
    """
    if jwk.get("use", "sig") != "sig":
        return FOR_ENCRYPTION if jwk["use"] == "enc" else "its use is neither sig nor enc"
    operations = jwk.get("key_ops", ["verify"])
    if not (isinstance(operations, list) and "verify" in operations):
        return "its key_ops lack verify"
    match jwk:
        case {"kty": "RSA" | "oct"} | {"kty": "OKP", "crv": "Ed25519"}:
            return None
        case {"kty": "EC", "crv": str(curve)} if curve in CURVE_BY_CRV:
            return None
        case {"kty": _}:
            return NOT_SUPPORTED
        case _:
            return "it has no kty"


def is_secret_jwk(jwk: Mapping[str, Any]) -> bool:
    """Whether a JWK has private or secret members (RFC 7518 §6)."""
    return jwk.get("kty") == "oct" or not _PRIVATE_MEMBERS.isdisjoint(jwk)


def jwk_public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """Build the public key of a JWK that is not `jwk_unused` (RFC 7518 §6, RFC 8037 §2)."""
    name = f"A key in {JWK_SET}"
    if is_secret_jwk(jwk):
        raise ConfigurationError(
            "secret_jwk",
            f"{name} is secret: a JWK Set holds public keys only, and a shared secret belongs "
            "in JWT_SECRET_KEY (secret_key).",
        )
    try:
        match jwk["kty"]:
            case "RSA":
                key: PublicKey = rsa.RSAPublicNumbers(
                    e=jwk_integer(jwk["e"]), n=jwk_integer(jwk["n"])
                ).public_key()
            case "EC":
                curve = CURVE_BY_CRV[jwk["crv"]]
                x, y = (jwk_integer(jwk[name], curve.size) for name in ("x", "y"))
                key = ec.EllipticCurvePublicNumbers(x, y, curve.curve).public_key()
            case _:
                key = ed25519.Ed25519PublicKey.from_public_bytes(jwk_octets(jwk["x"]))
    except UnsupportedAlgorithm:
        raise _unsupported(name) from None
    except (KeyError, ValueError):
        raise ConfigurationError(
            "malformed_jwk", f"{name} has missing or malformed members."
        ) from None
    return _usable(key, name)


def _unsupported(name: str) -> ConfigurationError:
    return ConfigurationError(
        "unsupported_key",
        f"{name} is of a kind that the installed cryptography does not support, as in FIPS mode: "
        "have the issuer sign with RS256 or ES256.",
    )


def _usable(key: object, name: str) -> PublicKey:
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise ConfigurationError("key_type", f"{name} is neither RSA, nor EC, nor Ed25519.")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise ConfigurationError(
            "short_rsa_key",
            f"{name} is an RSA key of {key.key_size} bits and {MIN_RSA_BITS} are needed "
            "(RFC 7518 §3.3): have the issuer make a longer one.",
        )
    if isinstance(key, rsa.RSAPublicKey) and key.key_size > _MAX_RSA_BITS:
        raise ConfigurationError(
            "long_rsa_key",
            f"{name} is an RSA key of {key.key_size} bits and at most {_MAX_RSA_BITS} are "
            "supported: have the issuer make a shorter one.",
        )
    if isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e >> _EXPONENT_BITS:
        raise ConfigurationError(
            "long_rsa_key",
            f"{name} is an RSA key with an exponent of more than {_EXPONENT_BITS} bits, and takes "
            "too long: have the issuer make one with 65537.",
        )
    if isinstance(key, ed25519.Ed25519PublicKey) and _has_small_order(key):
        raise ConfigurationError(
            "small_order_key",
            f"{name} is an Ed25519 point of small order (RFC 8032 §5.1), whose signatures need no "
            "private key: have the issuer make a new key.",
        )
    if not algorithms_of(key):
        raise ConfigurationError(
            "key_curve", f"{name} is on a curve that JWS does not use (RFC 7518 §3.4)."
        )
    return key


def _has_small_order(key: ed25519.Ed25519PublicKey) -> bool:
    sign_bit = 1 << 255
    return int.from_bytes(key.public_bytes_raw(), "little") % sign_bit in _SMALL_ORDER


def jwk_octets(value: object) -> bytes:
    """Decode a member of a JWK."""
    if not isinstance(value, str):
        raise ValueError("a JWK member is not a string")  # noqa: TRY004 - one error, one question
    return decode_base64url(value.encode())


def jwk_integer(value: object, size: int | None = None) -> int:
    """Decode a number in a JWK, or a coordinate of so many octets."""
    octets = jwk_octets(value)
    if size is not None and len(octets) != size:  # RFC 7518 §6.2.1.2: full length, always
        raise ValueError("a coordinate has the wrong length")
    return int.from_bytes(octets, "big")


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint of a JWK (RFC 7638 §3): 43 characters of base64url.

    A key pair has that of its public half, whether or not private members are present. That of
    a shared secret (`oct`) must stay as secret as the secret itself (RFC 7638 §7).

    Raises:
        ValueError: no key type that is known, or a member that makes the key is missing.
    """
    kind = jwk.get("kty")
    names = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if names is None:
        raise ValueError("the key type of a JWK is EC, OKP, RSA or oct")
    members = {name: jwk.get(name) for name in names}
    if not all(isinstance(value, str) and value.isascii() for value in members.values()):
        raise ValueError(f"a JWK of type {kind} has the members {', '.join(names)}, all ASCII text")
    canonical = json.dumps(members, separators=(",", ":")).encode("ascii")
    return encode_base64url(hashlib.sha256(canonical).digest())


def public_jwk(key: PublicKey) -> dict[str, str]:
    """Write a public key as a JWK (RFC 7518 §6, RFC 8037 §2), with the members that make it."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _encoded(numbers.n), "e": _encoded(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve, point = CURVES.get(key.curve.name), key.public_numbers()
        if curve is None:
            raise ValueError("the key is on a curve that JWS does not use")
        return {
            "kty": "EC",
            "crv": curve.crv,
            "x": _encoded(point.x, curve.size),
            "y": _encoded(point.y, curve.size),
        }
    return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(key.public_bytes_raw())}


def _encoded(value: int, size: int | None = None) -> str:
    """Big-endian octets; a coordinate has its full length (RFC 7518 §6.2.1.2)."""
    return encode_base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
