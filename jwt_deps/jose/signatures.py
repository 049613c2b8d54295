"""Sign, and check signatures, with python-jose's keys. The only module that imports python-jose.

python-jose's own `Key` classes do HS*, RS* and ES*; for HS* the HMAC with the secret is prepared
once. RSASSA-PSS and Ed25519, which python-jose lacks, have `Key`s here on the same `cryptography`
primitives. It is used for nothing else: its parser and its claim checks are looser than the RFCs
(see `docs/security.md`).
"""

import hmac
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hmac import HMAC
from jose import backends
from jose.backends.base import Key

# By name: an installation without this backend fails here, and never falls back.
from jose.backends.cryptography_backend import (
    CryptographyECKey,
    CryptographyHMACKey,
    CryptographyRSAKey,
)
from jose.exceptions import JWKError

from jwt_deps.errors import ConfigurationError

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
SignatureKey: TypeAlias = Key
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


#: Bytes of the hash, which is also the shortest secret (RFC 7518 §3.2).
HMAC_ALGORITHMS = {"HS256": 32, "HS384": 48, "HS512": 64}

_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "PS256": hashes.SHA256,
    "PS384": hashes.SHA384,
    "PS512": hashes.SHA512,
}
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", *_HASHES)


class Curve(NamedTuple):
    """An elliptic curve of JWS: its name in a JWK (RFC 7518 §6.2.1.1), and its one algorithm."""

    crv: str
    algorithm: str
    curve: ec.EllipticCurve

    @property
    def size(self) -> int:
        """Octets of a coordinate, and of each half of a signature."""
        return (self.curve.key_size + 7) // 8


#: The curves by the names that `cryptography` has for them (SEC 2).
CURVES = {
    curve.curve.name: curve
    for curve in (
        Curve("P-256", "ES256", ec.SECP256R1()),
        Curve("P-384", "ES384", ec.SECP384R1()),
        Curve("P-521", "ES512", ec.SECP521R1()),
    )
}
_ECDSA_ALGORITHMS = tuple(curve.algorithm for curve in CURVES.values())
# RFC 8037 named it EdDSA, RFC 9864 gave the curve its own name; issuers use both.
ED25519_ALGORITHMS = ("EdDSA", "Ed25519")

#: Every algorithm that can be configured. `none` is not among them and cannot be added.
ALGORITHMS = frozenset({*HMAC_ALGORITHMS, *RSA_ALGORITHMS, *_ECDSA_ALGORITHMS, *ED25519_ALGORITHMS})


def _holds(verify: Callable[..., None], *arguments: Any) -> bool:
    """Turn the exception of `cryptography` into the answer that python-jose gives."""
    try:
        verify(*arguments)
    except InvalidSignature:
        return False
    return True


class _PSSKey(Key):
    """RSASSA-PSS with MGF1 and a salt as long as the hash (RFC 7518 §3.5)."""

    def __init__(self, key: Any, algorithm: str) -> None:
        digest = _HASHES[algorithm]()
        self._key = key
        self._digest = digest
        self._padding = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)

    def sign(self, msg: bytes) -> bytes:
        signature: bytes = self._key.sign(msg, self._padding, self._digest)
        return signature

    def verify(self, msg: bytes, sig: bytes) -> bool:
        return _holds(self._key.verify, sig, msg, self._padding, self._digest)


class _Ed25519Key(Key):
    """Ed25519 (RFC 8037 §3.1)."""

    def __init__(self, key: Any, _: str) -> None:
        self._key = key

    def sign(self, msg: bytes) -> bytes:
        signature: bytes = self._key.sign(msg)
        return signature

    def verify(self, msg: bytes, sig: bytes) -> bool:
        return _holds(self._key.verify, sig, msg)


class _HMACKey(CryptographyHMACKey):
    """HS* (RFC 7518 §3.2) with the HMAC of the secret prepared once.

    It saves more than 3 % of a request with a new token. A check takes a copy of it.
    """

    def __init__(self, key: bytes, algorithm: str) -> None:
        super().__init__(key, algorithm)
        self._made_of = (key, algorithm)
        self._keyed = HMAC(self.prepared_key, self.ALG_MAP[algorithm])

    def __reduce__(self) -> tuple[Any, ...]:
        return _HMACKey, self._made_of  # OpenSSL's state stays here

    def verify(self, msg: bytes, sig: bytes) -> bool:
        code = self._keyed.copy()
        code.update(msg)
        return hmac.compare_digest(code.finalize(), sig)


# python-jose's other backends are `ecdsa`, which is not constant-time (CVE-2024-23342), and `rsa`.
if (backends.RSAKey, backends.ECKey, backends.HMACKey) != (
    CryptographyRSAKey,
    CryptographyECKey,
    CryptographyHMACKey,
):
    raise ConfigurationError(
        "signature_backend",
        "python-jose does not check signatures with cryptography: install it again, "
        "pip install --force-reinstall 'python-jose[cryptography]'.",
    )

_KEYS: dict[str, Callable[[Any, str], Key]] = {
    **dict.fromkeys(HMAC_ALGORITHMS, _HMACKey),
    **dict.fromkeys(("RS256", "RS384", "RS512"), CryptographyRSAKey),
    **dict.fromkeys(_ECDSA_ALGORITHMS, CryptographyECKey),
    **dict.fromkeys(_HASHES, _PSSKey),
    **dict.fromkeys(ED25519_ALGORITHMS, _Ed25519Key),
}


def algorithms_of(key: PublicKey) -> tuple[str, ...]:
    """Name the algorithms that a public key can check; none for a curve that JWS does not know."""
    if isinstance(key, rsa.RSAPublicKey):
        return RSA_ALGORITHMS
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = CURVES.get(key.curve.name)
        return (curve.algorithm,) if curve is not None else ()
    return ED25519_ALGORITHMS


def signature_key(material: PublicKey | bytes, algorithm: str) -> SignatureKey:
    """Build the `Key` for one key and one algorithm (RFC 8725 §3.1).

    Raises:
        ValueError: the algorithm is not one of this key's, or python-jose recognises the shared
            secret as a public key.
    """
    return _key(material, material, algorithm)


def sign(private: PrivateKey | bytes, message: bytes, algorithm: str) -> bytes:
    """Sign a message (RFC 7518 §3, RFC 8037 §3.1); `ValueError` as for `signature_key`."""
    public = private if isinstance(private, bytes) else private.public_key()
    signature: bytes = _key(private, public, algorithm).sign(message)
    return signature


def _key(material: PrivateKey | PublicKey | bytes, public: PublicKey | bytes, name: str) -> Key:
    fitting = HMAC_ALGORITHMS if isinstance(public, bytes) else algorithms_of(public)
    if name not in fitting:
        raise ValueError("the key is not one for this algorithm")
    try:
        return _KEYS[name](material, name)
    except JWKError as error:
        raise ValueError("a public key is no shared secret") from error
