"""Make tokens for tests by hand, signed with `cryptography` only.

Nothing here touches `jwt_deps` or python-jose: a mistake that both sides shared would go unseen.

    mint(claims())                                          HS256 with SECRET, good at NOW
    mint(claims(now=time.time()))                           the same for a running application
    mint(claims(), pair("RSA"), "RS256", header={"kid": "a"})
    mint_raw(b'{"alg":"HS256"}', b"[]", SECRET, "HS256")    bytes that no library would write

Key pairs are made once per test run: `pair("RSA")` is always the same pair, `pair("RSA", "other")`
another one. `pair(...).public_pem` and `pair(...).jwk(kid="a")` are what a service is given.
"""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
JSONObject: TypeAlias = dict[str, Any]

#: The moment at which the tests of the core take place: `verify(..., clock=clock)`.
NOW = 1_700_000_000

#: 64 bytes, long enough for every HS* algorithm.
SECRET = "correct-horse-battery-staple-".ljust(64, "0")
OTHER_SECRET = "incorrect-donkey-accumulator-".ljust(64, "1")

#: Which kind of key pair signs with which algorithm; HS* is absent, as it needs a secret.
KINDS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
}
ALGORITHMS = ("HS256", "HS384", "HS512", *KINDS)

_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
}
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}


@dataclass(frozen=True)
class KeyPair:
    """The issuer's key, and the forms in which a service can be given its public half."""

    private: PrivateKey

    @property
    def public_pem(self) -> str:
        """The public key in PEM (SubjectPublicKeyInfo)."""
        return (
            self.private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    @property
    def private_pem(self) -> str:
        """The private key in PEM (PKCS #8), which no service should ever be given."""
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def jwk(self, **members: object) -> JSONObject:
        """The public key as a JWK (RFC 7517), with further members such as `kid` and `use`."""
        return {**_jwk(self.private), **members}


Key: TypeAlias = str | bytes | KeyPair


def pair(kind: str, name: str = "issuer") -> KeyPair:
    """Return the key pair of that kind and name: `RSA`, `RSA-1024`, `P-256`, `Ed25519`, ..."""
    return _pair(kind, name)


@cache
def _pair(kind: str, _: str) -> KeyPair:
    if kind in _CURVES:
        return KeyPair(ec.generate_private_key(_CURVES[kind]()))
    if kind == "Ed25519":
        return KeyPair(ed25519.Ed25519PrivateKey.generate())
    _, _, bits = kind.partition("-")
    return KeyPair(rsa.generate_private_key(65537, int(bits or 2048)))


def signing_key(algorithm: str, name: str = "issuer") -> Key:
    """Return what signs with an algorithm: a secret for HS*, else a key pair."""
    if algorithm in KINDS:
        return pair(KINDS[algorithm], name)
    return SECRET if name == "issuer" else OTHER_SECRET


def verification_text(algorithm: str, name: str = "issuer") -> str:
    """Return what a service is given for it, `JWT_SECRET_KEY`: the secret or the public PEM."""
    key = signing_key(algorithm, name)
    return key.public_pem if isinstance(key, KeyPair) else str(key)


def clock() -> float:
    """Stand still at `NOW`."""
    return NOW


def claims(*, now: float = NOW, **members: object) -> JSONObject:
    """Return the claims of a good token: `sub` alice, valid for five minutes from `now`."""
    return {"sub": "alice", "iat": int(now), "exp": int(now) + 300, **members}


def mint(
    members: Mapping[str, object],
    key: Key = SECRET,
    algorithm: str = "HS256",
    *,
    header: Mapping[str, object] | None = None,
) -> str:
    """Make a token; `header` adds to `{"alg": algorithm, "typ": "JWT"}` and wins over it."""
    full = {"alg": algorithm, "typ": "JWT", **(header or {})}
    return mint_raw(_json(full), _json(members), key, algorithm)


def mint_raw(header: bytes, payload: bytes, key: Key = SECRET, algorithm: str = "HS256") -> str:
    """Make a token out of these very bytes, properly signed."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(sign(signing_input.encode(), key, algorithm))}"


def compact(header: bytes, payload: bytes, signature: bytes) -> str:
    """Put a token together out of three parts, whatever they are."""
    return f"{b64(header)}.{b64(payload)}.{b64(signature)}"


def sign(message: bytes, key: Key, algorithm: str) -> bytes:
    """Sign as RFC 7518 §3 and RFC 8037 §3.1 have it."""
    if not isinstance(key, KeyPair):
        secret = key.encode() if isinstance(key, str) else key
        return hmac.digest(secret, message, f"sha{algorithm[2:]}")
    private = key.private
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(message)
    digest = _HASHES[algorithm[2:]]()
    if isinstance(private, rsa.RSAPrivateKey):
        if algorithm.startswith("PS"):
            salted = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            return private.sign(message, salted, digest)
        return private.sign(message, padding.PKCS1v15(), digest)
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
    size = (private.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def b64(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Decode base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _jwk(private: PrivateKey) -> JSONObject:
    if isinstance(private, rsa.RSAPrivateKey):
        public = private.public_key().public_numbers()
        return {"kty": "RSA", "n": _integer(public.n), "e": _integer(public.e)}
    if isinstance(private, ed25519.Ed25519PrivateKey):
        raw = private.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    point = private.public_key().public_numbers()
    size = (private.curve.key_size + 7) // 8
    curve = next(name for name, curve in _CURVES.items() if isinstance(private.curve, curve))
    return {"kty": "EC", "crv": curve, "x": _integer(point.x, size), "y": _integer(point.y, size)}


def _integer(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
