"""Which tokens and keys come out of a `SigningKey`: those that this library, strict, takes."""

import json
from base64 import b64decode
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from jwt_deps import JWTSettings, SignatureError
from jwt_deps.jose import encode_base64url, thumbprint
from jwt_deps.testing import SigningKey
from tests.mistakes import refusing
from tests.verifying import verify

PAIRS = [
    *(f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512)),
    "EdDSA",
    "Ed25519",
]
SECRETS = ["HS256", "HS384", "HS512"]
CLAIMS = {"sub": "alice", "exp": 4_000_000_000}
USUAL = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
SECRET = "correct-horse-battery-staple-".ljust(64, "0")


def pem_of(private: object, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    text: bytes = private.private_bytes(Encoding.PEM, form, NoEncryption())  # type: ignore[attr-defined]
    return text.decode()


def number(value: int, size: int | None = None) -> str:
    return encode_base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def private_jwk(key: SigningKey) -> dict[str, str]:
    """With the members that RFC 7518 §6 and RFC 8037 §2 require, and no others."""
    private = key.private
    assert not isinstance(private, bytes)
    if isinstance(private, rsa.RSAPrivateKey):
        return {**key.jwk, "d": number(private.private_numbers().d)}
    if isinstance(private, ec.EllipticCurvePrivateKey):
        size = (private.key_size + 7) // 8
        return {**key.jwk, "d": number(private.private_numbers().private_value, size)}
    return {**key.jwk, "d": encode_base64url(private.private_bytes_raw())}


@cache
def made(algorithm: str) -> SigningKey:
    """A key that is made once for all tests, since RSA's take long."""
    return SigningKey.generate(algorithm, kid="a")


def accepts(checking: SigningKey, signing: SigningKey) -> bool:
    """Whether what the one signs is what the other checks."""
    settings = JWTSettings(secret_key=checking.verification_text, algorithm=checking.algorithm)
    token = signing.sign({"alg": signing.algorithm, "kid": signing.kid}, CLAIMS)
    return verify(token, settings) == CLAIMS


class TestMadeOnTheSpot:
    @pytest.mark.parametrize("algorithm", [*PAIRS, *SECRETS])
    def test_what_a_service_is_given_checks_its_tokens(self, algorithm: str) -> None:
        """As `secret_key`: the public half in PEM, or the secret."""
        assert accepts(made(algorithm), made(algorithm))

    @pytest.mark.parametrize("algorithm", PAIRS)
    def test_the_jwk_checks_its_tokens(self, algorithm: str, tmp_path: Path) -> None:
        """As a member of `jwks_file`, found by its `kid`."""
        key = made(algorithm)
        file = tmp_path / "jwks.json"
        file.write_text(json.dumps({"keys": [key.jwk]}))

        token = key.sign({"alg": algorithm, "kid": "a"}, CLAIMS)

        assert CLAIMS == verify(token, JWTSettings(jwks_file=file, algorithm=algorithm))

    @pytest.mark.parametrize("algorithm", ["ES256", "HS256"])
    def test_every_key_is_another_one(self, algorithm: str) -> None:
        """With a name of its own."""
        one, other = (SigningKey.generate(algorithm) for _ in range(2))

        with pytest.raises(SignatureError):
            accepts(other, one)
        assert one.kid != other.kid

    @pytest.mark.parametrize("algorithm", ["HS128", "none", "RS257", "RSA", ""])
    def test_other_algorithms_have_no_key(self, algorithm: str) -> None:
        """The error names those that have one."""
        with pytest.raises(ValueError, match=r"there is ES256, .*HS256, .*RS512$"):
            SigningKey.generate(algorithm)

    @pytest.mark.parametrize("algorithm", ["Ed25519", "HS256"])
    def test_the_private_key_is_not_shown(self, algorithm: str) -> None:
        key = made(algorithm)

        assert f"SigningKey(kid='a', algorithm='{algorithm}')" == repr(key)


class TestSecrets:
    def test_a_secret_is_called_one(self) -> None:
        """Because it checks what it signs."""
        kinds = [made(algorithm).is_secret for algorithm in ("HS256", "ES256")]

        assert [True, False] == kinds

    @pytest.mark.parametrize("half", ["jwk", "public_pem"])
    def test_a_secret_has_no_public_half(self, half: str) -> None:
        """Every reader of a published secret could sign with it."""
        with pytest.raises(ValueError, match="no public half"):
            getattr(made("HS256"), half)

    def test_a_secret_that_is_no_text_cannot_be_configured(self) -> None:
        """`JWT_SECRET_KEY` is text; it signs all the same."""
        key = SigningKey.load(b"\xff" * 32)

        assert 2 == key.sign({"alg": "HS256"}, CLAIMS).count(".")
        with pytest.raises(ValueError, match="not UTF-8 text"):
            _ = key.verification_text


class TestLoaded:
    @pytest.mark.parametrize("algorithm", USUAL)
    def test_from_pem(self, algorithm: str) -> None:
        """PKCS #8; it signs with what is usual for its kind, under its thumbprint."""
        key = made(algorithm)

        loaded = SigningKey.load(pem_of(key.private))

        assert accepts(key, loaded)
        assert (algorithm, thumbprint(key.jwk)) == (loaded.algorithm, loaded.kid)

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    def test_from_traditional_pem(self, algorithm: str) -> None:
        """`BEGIN RSA PRIVATE KEY` and `BEGIN EC PRIVATE KEY`, as bytes too."""
        key = made(algorithm)
        text = pem_of(key.private, PrivateFormat.TraditionalOpenSSL)

        assert accepts(key, SigningKey.load(text.encode()))

    def test_from_an_environment(self) -> None:
        r"""Where line breaks are written as `\n`."""
        key = made("ES256")

        assert accepts(key, SigningKey.load(pem_of(key.private).replace("\n", "\\n")))

    @pytest.mark.parametrize("algorithm", PAIRS)
    def test_from_a_jwk(self, algorithm: str) -> None:
        """It has a name and an algorithm of its own."""
        key = made(algorithm)

        loaded = SigningKey.load(json.dumps(private_jwk(key)))

        assert accepts(key, loaded)
        assert ("a", algorithm) == (loaded.kid, loaded.algorithm)

    def test_from_a_jwk_with_its_primes(self) -> None:
        """As most programs write it (RFC 7518 §6.3.2)."""
        key = made("RS256")
        assert isinstance(key.private, rsa.RSAPrivateKey)
        numbers = key.private.private_numbers()
        jwk = {**private_jwk(key), "p": number(numbers.p), "q": number(numbers.q)}

        assert accepts(key, SigningKey.load(json.dumps(jwk)))

    def test_from_a_jwk_that_is_a_secret(self) -> None:
        """Of the type `oct` (RFC 7518 §6.4); what is not text in it is not taken."""
        jwk = {"kty": "oct", "k": encode_base64url(SECRET.encode()), "kid": 1, "alg": None}

        loaded = SigningKey.load(json.dumps(jwk))

        assert (SECRET, "HS256") == (loaded.verification_text, loaded.algorithm)

    @pytest.mark.parametrize(
        "text", [SECRET, SECRET.encode(), f"{{{SECRET}", f'{{"a":"{SECRET}"}}']
    )
    def test_from_a_secret(self, text: str | bytes) -> None:
        """Whatever is no key is one; its name says nothing of it."""
        one, other = SigningKey.load(text), SigningKey.load(text)

        assert accepts(one, other)
        assert ("HS256", True) == (one.algorithm, one.kid != other.kid)

    @pytest.mark.parametrize(
        ("usual", "asked"), [("RS256", "PS384"), ("EdDSA", "Ed25519"), ("HS256", "HS512")]
    )
    def test_what_it_is_to_sign_with_can_be_said(self, usual: str, asked: str) -> None:
        private = made(usual).private
        text = private if isinstance(private, bytes) else pem_of(private)

        loaded = SigningKey.load(text, asked, "b")

        assert accepts(loaded, loaded)
        assert (asked, "b") == (loaded.algorithm, loaded.kid)


def test_a_kind_that_cryptography_does_not_support_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in FIPS mode: it is refused like any other that does not sign."""
    jwk = json.dumps(private_jwk(made("EdDSA")))
    monkeypatch.setattr(ed25519.Ed25519PrivateKey, "from_private_bytes", refusing)

    with pytest.raises(ValueError, match="of an unsupported type"):
        SigningKey.load(jwk)


EC = made("ES256")
JWK = private_jwk(EC)
PUBLIC_DER = "".join(EC.public_pem.splitlines()[1:-1])


class TestNotLoaded:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            pytest.param(EC.public_pem, "no private key in PEM", id="public-pem"),
            pytest.param(PUBLIC_DER, "a public key", id="public-base64"),
            pytest.param(json.dumps(EC.jwk), "without its private members", id="public-jwk"),
            pytest.param('{"kty": "oct"}', "without its private members", id="oct-without-k"),
            pytest.param(json.dumps({"keys": [JWK]}), "a JWK Set", id="jwk-set"),
            pytest.param(
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
                "cannot be read",
                id="no-key",
            ),
            pytest.param(
                pem_of(dsa.generate_private_key(1024)),  # noqa: S505 - it is refused
                "neither RSA, nor EC",
                id="dsa",
            ),
            pytest.param(
                pem_of(ec.generate_private_key(ec.SECP256K1())), "on a curve", id="secp256k1"
            ),
            pytest.param(json.dumps({**JWK, "crv": "P-257"}), "malformed", id="unknown-curve"),
            pytest.param(json.dumps({**JWK, "kty": "AKP"}), "unsupported type", id="unknown-type"),
            pytest.param(json.dumps({**JWK, "d": 1}), "malformed", id="number"),
            pytest.param(
                json.dumps({**JWK, "x": SigningKey.generate("ES256").jwk["x"]}),
                "malformed",
                id="other-public-half",
            ),
            pytest.param("s3cret", "of 6 bytes, and HS256 needs at least 32", id="short-secret"),
        ],
    )
    def test_what_does_not_sign(self, text: str, problem: str) -> None:
        """The sentence says what it is, quotes nothing, and leads back to nothing that does."""
        with pytest.raises(ValueError, match=problem) as caught:
            SigningKey.load(text)

        assert text not in str(caught.value)
        assert (None, None) == (caught.value.__cause__, caught.value.__context__)

    def test_octets_of_a_public_key(self) -> None:
        """DER is no shared secret either."""
        with pytest.raises(ValueError, match="a public key"):
            SigningKey.load(b64decode(PUBLIC_DER))

    def test_what_needs_a_password(self) -> None:
        """It is taken off with OpenSSL, not here."""
        assert isinstance(EC.private, ec.EllipticCurvePrivateKey)
        text = EC.private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a")
        )

        with pytest.raises(ValueError, match="needs a password"):
            SigningKey.load(text)

    @pytest.mark.parametrize(
        ("text", "algorithm", "problem"),
        [
            pytest.param(pem_of(EC.private), "RS256", "signs with ES256 and nothing", id="pair"),
            pytest.param(SECRET, "ES256", "signs with HS256, HS384, HS512", id="secret"),
            pytest.param(SECRET[:32], "HS512", "signs with HS256 and nothing", id="short"),
            pytest.param(json.dumps({**JWK, "alg": "RS256"}), None, "ES256 and nothing", id="alg"),
            pytest.param(
                json.dumps({**JWK, "alg": "ES384"}), "ES256", "alg is another", id="other-alg"
            ),
        ],
    )
    def test_another_algorithm(self, text: str, algorithm: str | None, problem: str) -> None:
        """A key serves its own algorithms only (RFC 8725 §3.1)."""
        with pytest.raises(ValueError, match=problem):
            SigningKey.load(text, algorithm)
