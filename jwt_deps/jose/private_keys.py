"""Load what signs: a private key in PEM or as a JWK, else a shared secret.

No sentence of an error quotes the text, and no error leads back to one that does.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .encoding import decode_base64url, parse_object
from .jwk import is_pem, public_jwk
from .key_forms import key_form
from .signatures import CURVES, PrivateKey

__all__ = ["Loaded", "load_private_key"]

_CURVES = {curve.crv: curve.curve for curve in CURVES.values()}
_PRIVATE = "give the private key, in PEM or as a JWK"


@dataclass(frozen=True, slots=True, repr=False)
class Loaded:
    """What a text turned out to be, and what it says of itself."""

    private: PrivateKey | bytes
    kid: str | None = None
    algorithm: str | None = None


def load_private_key(text: str | bytes) -> Loaded:
    r"""Find out what a text signs with; a literal `\n` in PEM is a line break.

    Args:
        text: PEM (PKCS #8, traditional RSA, SEC 1), a private JWK (RFC 7517), or the secret.

    Raises:
        ValueError: a public key, or one that nothing here signs with.
    """
    data = text.encode() if isinstance(text, str) else text
    readable: str | None = None
    with suppress(UnicodeDecodeError):
        readable = data.decode()
    if readable is not None and is_pem(readable):
        return Loaded(_from_pem(readable))
    jwk = _jwk(data)
    if jwk is not None:
        return _from_jwk(jwk)
    if key_form(data) is not None:
        raise ValueError(f"it is a public key, or a key in another form: {_PRIVATE}")
    return Loaded(data)


def _from_pem(text: str) -> PrivateKey:
    pem = text.replace("\\n", "\n").strip().encode()
    if b"PRIVATE KEY" not in pem:
        raise ValueError(f"it is no private key in PEM: {_PRIVATE}")
    key: object = None
    # TypeError: it wants a password. Whatever the parser's own message quotes stays in here.
    with suppress(TypeError, ValueError, UnsupportedAlgorithm):
        key = load_pem_private_key(pem, password=None)
    if key is None:
        raise ValueError("it is a private key in PEM that cannot be read, or needs a password")
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) and not isinstance(
        key, ed25519.Ed25519PrivateKey
    ):
        raise ValueError("it is neither RSA, nor EC, nor Ed25519")  # noqa: TRY004 - one error
    return key


def _jwk(data: bytes) -> dict[str, Any] | None:
    """The JWK or JWK Set that the text is, by its members."""
    with suppress(ValueError):
        document = parse_object(data)
        return document if not {"kty", "keys"}.isdisjoint(document) else None
    return None


def _from_jwk(jwk: Mapping[str, Any]) -> Loaded:
    if "keys" in jwk:
        raise ValueError("it is a JWK Set: give one of its keys, the private one")
    secret = jwk.get("kty") == "oct"
    if ("k" if secret else "d") not in jwk:
        raise ValueError(f"it is a JWK without its private members: {_PRIVATE}")
    private: PrivateKey | bytes | None = None
    with suppress(KeyError, ValueError, UnsupportedAlgorithm):
        private = _octets(jwk["k"]) if secret else _pair(jwk)
    if private is None:
        raise ValueError("it is a JWK with missing or malformed members, or of an unsupported type")
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    return Loaded(
        private,
        kid if isinstance(kid, str) else None,
        algorithm if isinstance(algorithm, str) else None,
    )


def _pair(jwk: Mapping[str, Any]) -> PrivateKey:
    """The key pair, whose public members (RFC 7518 §6, RFC 8037 §2) have to be its own.

    Raises:
        KeyError: a member, or the curve, is not there.
        ValueError: they do not belong together.
    """
    private: PrivateKey
    match jwk["kty"]:
        case "RSA":
            private = _rsa(jwk)
        case "EC":
            private = ec.derive_private_key(_integer(jwk["d"]), _CURVES[jwk["crv"]])
        case "OKP":
            private = ed25519.Ed25519PrivateKey.from_private_bytes(_octets(jwk["d"]))
        case _:
            raise ValueError("no type of key that signs")
    if any(jwk[name] != value for name, value in public_jwk(private.public_key()).items()):
        raise ValueError("the public members are those of another key")
    return private


def _rsa(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    n, e, d = (_integer(jwk[name]) for name in ("n", "e", "d"))
    # RFC 7518 §6.3.2: the primes SHOULD be there, and follow from the rest if they are not.
    p, q = (
        (_integer(jwk["p"]), _integer(jwk["q"]))
        if "p" in jwk
        else rsa.rsa_recover_prime_factors(n, e, d)
    )
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(e, n),
    ).private_key()


def _octets(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("a JWK member is not a string")  # noqa: TRY004 - one error
    return decode_base64url(value.encode())


def _integer(value: object) -> int:
    return int.from_bytes(_octets(value), "big")
