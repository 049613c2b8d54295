"""A key that signs: made on the spot, or loaded from PEM, a JWK or a shared secret."""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .encoding import encode_base64url
from .jwk import MIN_RSA_BITS, public_jwk, thumbprint
from .private_keys import load_private_key
from .signatures import ALGORITHMS, CURVES, HMAC_ALGORITHMS, PrivateKey, algorithms_of, sign

__all__ = ["SigningKey"]

_RSA = frozenset(name for name in ALGORITHMS if name.startswith(("RS", "PS")))
_CURVES = {curve.algorithm: curve.curve for curve in CURVES.values()}
_ED25519 = frozenset({"EdDSA", "Ed25519"})
_NO_PUBLIC_HALF = "a shared secret has no public half: keep it, and publish nothing of it"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs: a key pair's private half or a shared secret, with a name and one algorithm."""

    kid: str
    algorithm: str
    private: PrivateKey | bytes = field(repr=False)
    """The secret itself as `bytes`, for HS256, HS384 and HS512."""

    @classmethod
    def generate(cls, algorithm: str = "RS256", kid: str | None = None) -> Self:
        """Make a key of one's own; without a `kid` it gets one that is like no other.

        Raises:
            ValueError: the algorithm is not known.
        """
        return cls(kid=kid or uuid4().hex, algorithm=algorithm, private=_private_key(algorithm))

    @classmethod
    def load(cls, text: str | bytes, algorithm: str | None = None, kid: str | None = None) -> Self:
        """Load a private key or a shared secret.

        Args:
            text: a private key in PEM (PKCS #8, traditional RSA, SEC 1), a private JWK (RFC 7517),
                or else the shared secret itself.
            algorithm: what it is to sign with; `None` is what the JWK says, or the usual one:
                RS256, ES256, ES384, ES512, EdDSA, and HS256 for a secret.
            kid: its name; `None` is the JWK's own, or the thumbprint (RFC 7638) of a key pair. A
                secret gets a random one, because its thumbprint would help to guess it.

        Raises:
            ValueError: nothing that signs, or not with that algorithm; never quotes the text.
        """
        loaded = load_private_key(text)
        fitting = _algorithms_of(loaded.private)
        named = algorithm or loaded.algorithm or fitting[0]
        if named not in fitting:
            raise ValueError(f"it signs with {', '.join(fitting)} and nothing else")
        if loaded.algorithm not in {None, named}:
            raise ValueError("it is a JWK whose alg is another one")
        return cls(kid or loaded.kid or _name_of(loaded.private), named, loaded.private)

    @property
    def is_secret(self) -> bool:
        """Whether it is a shared secret, which checks what it signs."""
        return isinstance(self.private, bytes)

    @property
    def public_pem(self) -> str:
        """The public half in PEM.

        Raises:
            ValueError: a shared secret has none.
        """
        public = _pair_of(self.private).public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def verification_text(self) -> str:
        """What `JWT_SECRET_KEY` takes to check its tokens: the public half in PEM, or the secret.

        Raises:
            ValueError: the secret is not UTF-8 text.
        """
        if not isinstance(self.private, bytes):
            return self.public_pem
        with suppress(UnicodeDecodeError):
            return self.private.decode()
        raise ValueError("the secret is not UTF-8 text, which JWT_SECRET_KEY has to be")

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as a JWK (RFC 7517), a new dict each time.

        Raises:
            ValueError: a shared secret has none.
        """
        members = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        return {**public_jwk(_pair_of(self.private).public_key()), **members}

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Make a JWS in compact serialization (RFC 7515 §5.1) of these very members.

        The signature is made with the key's own algorithm, whatever the header says.
        """
        return self.sign_bytes(_json(header), _json(claims))

    def sign_bytes(self, header: bytes, payload: bytes) -> str:
        """Make one of these very bytes, whatever they say."""
        head = f"{encode_base64url(header)}.{encode_base64url(payload)}"
        return f"{head}.{encode_base64url(sign(self.private, head.encode(), self.algorithm))}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _private_key(algorithm: str) -> PrivateKey | bytes:
    if algorithm in HMAC_ALGORITHMS:
        return secrets.token_urlsafe(48).encode()  # 64 bytes, and text: enough for all three
    if algorithm in _RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=MIN_RSA_BITS)
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm in _ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    known = ", ".join(sorted({*HMAC_ALGORITHMS, *_RSA, *_CURVES, *_ED25519}))
    raise ValueError(f"no key serves {algorithm!r}; there is {known}")


def _algorithms_of(private: PrivateKey | bytes) -> tuple[str, ...]:
    """What it can sign with, the usual one first."""
    if not isinstance(private, bytes):
        fitting = algorithms_of(private.public_key())
        if not fitting:
            raise ValueError("it is on a curve that JWS does not use (RFC 7518 §3.4)")
        return fitting
    if len(private) < min(HMAC_ALGORITHMS.values()):
        raise ValueError(
            f"it is a shared secret of {len(private)} bytes, and HS256 needs at least "
            f"{HMAC_ALGORITHMS['HS256']} (RFC 7518 §3.2)"
        )
    return tuple(name for name, size in HMAC_ALGORITHMS.items() if len(private) >= size)


def _pair_of(private: PrivateKey | bytes) -> PrivateKey:
    if isinstance(private, bytes):
        raise ValueError(_NO_PUBLIC_HALF)  # noqa: TRY004 - one error for all
    return private


def _name_of(private: PrivateKey | bytes) -> str:
    if isinstance(private, bytes):
        return uuid4().hex
    return thumbprint(public_jwk(private.public_key()))
