"""A key that signs: made on the spot, or loaded from PEM, a JWK or a shared secret.

No sentence of an error quotes the text, and no error leads back to one that does.
"""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias
from uuid import uuid4

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from .encoding import encode_base64url, parse_object
from .jwk import (
    CURVE_BY_CRV,
    MIN_RSA_BITS,
    is_pem,
    jwk_integer,
    jwk_octets,
    public_jwk,
    thumbprint,
)
from .key_forms import key_form
from .signatures import (
    ALGORITHMS,
    CURVES,
    ED25519_ALGORITHMS,
    HMAC_ALGORITHMS,
    RSA_ALGORITHMS,
    PrivateKey,
    algorithms_of,
    sign,
)

#: What a text signs with, and the `kid` and `alg` that it has.
_Loaded: TypeAlias = tuple[PrivateKey | bytes, str | None, str | None]

_PRIVATE = "give the private key, in PEM or as a JWK"
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
        """Make a new key.

        Args:
            algorithm: what it signs with.
            kid: its name; `None` is a random one.

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
        private, own_kid, own_algorithm = _load(text)
        fitting = _algorithms_of(private)
        named = algorithm or own_algorithm or fitting[0]
        if named not in fitting:
            raise ValueError(f"it signs with {', '.join(fitting)} and nothing else")
        if own_algorithm not in {None, named}:
            raise ValueError("it is a JWK whose alg is another one")
        if isinstance(private, rsa.RSAPrivateKey) and private.key_size < MIN_RSA_BITS:
            raise ValueError(f"it has {private.key_size} bits, and {MIN_RSA_BITS} are needed")
        return cls(kid or own_kid or _name_of(private), named, private)

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

        Args:
            header: the members of the header; nothing is added.
            claims: the members of the payload; nothing is added.

        Returns:
            The token.
        """
        return self.sign_bytes(_json(header), _json(claims))

    def sign_bytes(self, header: bytes, payload: bytes) -> str:
        """Make a JWS of these very bytes, whatever they say.

        Args:
            header: the bytes of the header, before base64url.
            payload: those of the payload.

        Returns:
            The token.
        """
        head = f"{encode_base64url(header)}.{encode_base64url(payload)}"
        return f"{head}.{encode_base64url(sign(self.private, head.encode(), self.algorithm))}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _private_key(algorithm: str) -> PrivateKey | bytes:
    if algorithm in HMAC_ALGORITHMS:
        return secrets.token_urlsafe(48).encode()  # 64 bytes, and text: enough for all three
    if algorithm in RSA_ALGORITHMS:
        return rsa.generate_private_key(public_exponent=65537, key_size=MIN_RSA_BITS)
    if algorithm in ED25519_ALGORITHMS:
        return ed25519.Ed25519PrivateKey.generate()
    for curve in CURVES.values():
        if curve.algorithm == algorithm:
            return ec.generate_private_key(curve.curve)
    raise ValueError(f"no key serves {algorithm!r}; there is {', '.join(sorted(ALGORITHMS))}")


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


def _load(text: str | bytes) -> _Loaded:
    r"""Find out what a text signs with; a literal `\n` in PEM is a line break."""
    data = text.encode() if isinstance(text, str) else text
    with suppress(UnicodeDecodeError):
        readable = data.decode()
        if is_pem(readable):
            return _from_pem(readable), None, None
    jwk = _jwk(data)
    if jwk is not None:
        return _from_jwk(jwk)
    if key_form(data) is not None:
        raise ValueError(f"it is a public key, or a key in another form: {_PRIVATE}")
    return data, None, None


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


def _from_jwk(jwk: Mapping[str, Any]) -> _Loaded:
    if "keys" in jwk:
        raise ValueError("it is a JWK Set: give one of its keys, the private one")
    secret = jwk.get("kty") == "oct"
    if ("k" if secret else "d") not in jwk:
        raise ValueError(f"it is a JWK without its private members: {_PRIVATE}")
    private: PrivateKey | bytes | None = None
    with suppress(KeyError, ValueError, UnsupportedAlgorithm):
        private = jwk_octets(jwk["k"]) if secret else _pair(jwk)
    if private is None:
        raise ValueError("it is a JWK with missing or malformed members, or of an unsupported type")
    kid, algorithm = (it if isinstance(it, str) else None for it in map(jwk.get, ("kid", "alg")))
    return private, kid, algorithm


def _pair(jwk: Mapping[str, Any]) -> PrivateKey:
    """The key pair, whose public members (RFC 7518 §6, RFC 8037 §2) have to be its own."""
    private: PrivateKey
    match jwk["kty"]:
        case "RSA":
            private = _rsa(jwk)
        case "EC":
            private = ec.derive_private_key(jwk_integer(jwk["d"]), CURVE_BY_CRV[jwk["crv"]].curve)
        case "OKP":
            private = ed25519.Ed25519PrivateKey.from_private_bytes(jwk_octets(jwk["d"]))
        case _:
            raise ValueError("no type of key that signs")
    if any(jwk[name] != value for name, value in public_jwk(private.public_key()).items()):
        raise ValueError("the public members are those of another key")
    return private


def _rsa(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    n, e, d = (jwk_integer(jwk[name]) for name in ("n", "e", "d"))
    # RFC 7518 §6.3.2: the primes SHOULD be there, and follow from the rest if they are not.
    p, q = (
        (jwk_integer(jwk["p"]), jwk_integer(jwk["q"]))
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
