"""Keys as texts: what is accepted, and the sentence for what is not."""

from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import is_pem, jwk_public_key, pem_public_key, public_jwk, require_strong_secret
from tests.minting import KINDS, JSONObject, KeyPair, b64, pair, unb64
from tests.saying import everything_said

CERTIFICATE = (
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUdGVzdA==\n-----END CERTIFICATE-----\n"
)
STATIC = ("JWT_SECRET_KEY (secret_key)", "JWT_VERIFICATION_KEYS (verification_keys)")
JWKS = ("JWT_JWKS_FILE (jwks_file)",)


#: The points of order 1, 2, 4 and 8 of edwards25519 without their sign, in each spelling of `y`.
SMALL_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


def _fits_without_a_private_key(key: ed25519.Ed25519PublicKey, message: bytes) -> bool:
    """Whether a signature made without a private key fits: `R` the identity, `S` zero."""
    try:
        key.verify((1).to_bytes(32, "little") + bytes(32), message)
    except InvalidSignature:
        return False
    return True


def _pem_of(key: PublicKeyTypes) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


class TestPEM:
    @pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
    def test_public_key(self, kind: str) -> None:
        """A public key in PEM is read, for each kind of key."""
        key = pem_public_key(pair(kind).public_pem)

        assert key == pair(kind).private.public_key()

    @pytest.mark.parametrize(
        "spelling",
        [
            pytest.param(lambda pem: pem.replace("\n", "\\n"), id="literal-backslash-n"),
            pytest.param(lambda pem: pem.replace("\n", "\r\n"), id="windows-line-ends"),
            pytest.param(lambda pem: pem.replace("\n", " "), id="spaces-for-line-breaks"),
            pytest.param(lambda pem: f"\n  {pem}\n\n", id="white-space-around"),
            pytest.param(str.strip, id="no-line-end-at-the-end"),
        ],
    )
    def test_spellings(self, spelling: Callable[[str], str]) -> None:
        """Line breaks arrive as files, shells and `.env` files write them."""
        text = spelling(pair("RSA").public_pem)

        key = pem_public_key(text)

        assert key == pair("RSA").private.public_key()

    def test_pkcs1(self) -> None:
        """`BEGIN RSA PUBLIC KEY` is read too."""
        public = pair("RSA").private.public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        text = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
        ).decode()

        key = pem_public_key(text)

        assert key == public

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            pytest.param(pair("RSA").private_pem, "A private key", id="private-rsa"),
            pytest.param(pair("P-256").private_pem, "A private key", id="private-ec"),
            pytest.param(pair("Ed25519").private_pem, "A private key", id="private-ed25519"),
            pytest.param(
                pair("RSA").public_pem + pair("RSA").private_pem,
                "A private key",
                id="private-behind-public",
            ),
            pytest.param(
                pair("RSA").private_pem.replace("PRIVATE", "ENCRYPTED PRIVATE"),
                "A private key",
                id="private-encrypted",
            ),
            pytest.param(CERTIFICATE, "A certificate", id="certificate"),
            pytest.param(pair("RSA").public_pem[:200], "is not a public key in PEM", id="cut-off"),
            pytest.param("-----BEGIN PUBLIC KEY-----", "is not a public key in PEM", id="begin"),
            pytest.param(
                pair("RSA").public_pem + pair("P-256").public_pem, "give one each", id="several"
            ),
            pytest.param(
                f"{pair('RSA').public_pem}{pair('P-256').public_pem}".replace("\n", "\\n"),
                "give one each",
                id="several-in-one-line",
            ),
            pytest.param(
                _pem_of(x25519.X25519PrivateKey.generate().public_key()),
                "neither RSA, nor EC, nor Ed25519",
                id="x25519",
            ),
            pytest.param(
                _pem_of(ed448.Ed448PrivateKey.generate().public_key()),
                "neither RSA, nor EC, nor Ed25519",
                id="ed448",
            ),
            pytest.param(pair("RSA-1024").public_pem, "1024 bits and 2048", id="rsa-1024"),
            pytest.param(pair("RSA-2040").public_pem, "2040 bits and 2048", id="rsa-2040"),
            pytest.param(pair("secp256k1").public_pem, "curve", id="secp256k1"),
        ],
    )
    def test_refused(self, text: str, sentence: str) -> None:
        """Anything else is refused; the sentence says what it is and shows none of it."""
        with pytest.raises(ConfigurationError, match=sentence) as refused:
            pem_public_key(text)

        said = everything_said(refused.value)
        assert all(setting in str(refused.value) for setting in STATIC)
        assert not any(line in said for line in text.splitlines()[1:-1])

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param(pair("RSA").public_pem, True, id="public"),
            pytest.param(pair("RSA").private_pem, True, id="private"),
            pytest.param(CERTIFICATE, True, id="certificate"),
            pytest.param("\n -----BEGIN PUBLIC KEY", True, id="cut-off"),
            pytest.param("begin public key", False, id="words"),
            pytest.param("", False, id="nothing"),
        ],
    )
    def test_is_recognised(self, text: str, expected: bool) -> None:  # noqa: FBT001
        """What means to be PEM is recognised, well-formed or not."""
        assert is_pem(text) is expected


class TestSecret:
    @pytest.mark.parametrize(("algorithm", "length"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
    def test_as_long_as_its_hash(self, algorithm: str, length: int) -> None:
        """A secret as long as the hash is strong enough (RFC 7518 §3.2)."""
        require_strong_secret(bytes(length), algorithm)

    @pytest.mark.parametrize(
        ("algorithm", "length"), [("HS256", 31), ("HS256", 0), ("HS384", 47), ("HS512", 63)]
    )
    def test_shorter_than_its_hash(self, algorithm: str, length: int) -> None:
        """One byte less is refused, with both numbers and what to set."""
        with pytest.raises(ConfigurationError, match=rf"{length} bytes.*{algorithm}") as refused:
            require_strong_secret(bytes(length), algorithm)

        assert all(setting in str(refused.value) for setting in STATIC)


def _with_a_zero_ahead() -> JSONObject:
    """Return a P-256 key whose `x` begins with a zero byte."""
    pairs = (KeyPair(ec.derive_private_key(number, ec.SECP256R1())) for number in range(1, 10_000))
    return next(jwk for jwk in (each.jwk() for each in pairs) if unb64(jwk["x"])[0] == 0)


class TestJWK:
    def test_coordinate_with_a_zero_ahead(self) -> None:
        """A coordinate keeps its leading zeros (RFC 7518 §6.2.1.2)."""
        jwk = _with_a_zero_ahead()

        key = jwk_public_key(jwk)

        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.public_numbers().x == int.from_bytes(unb64(jwk["x"]), "big")

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda octets: octets[1:], id="zero-left-out"),
            pytest.param(lambda octets: b"\x00" + octets, id="zero-too-many"),
        ],
    )
    def test_coordinate_of_another_length(self, change: Callable[[bytes], bytes]) -> None:
        """The same number in fewer bytes, or in more, is a second spelling and refused."""
        jwk = _with_a_zero_ahead()
        respelled = {**jwk, "x": b64(change(unb64(jwk["x"])))}

        with pytest.raises(ConfigurationError, match="missing or malformed members"):
            jwk_public_key(respelled)

    @pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
    def test_public_key(self, kind: str) -> None:
        """A JWK becomes the key that it describes, for each kind of key."""
        key = jwk_public_key(pair(kind).jwk(kid="a"))

        assert key == pair(kind).private.public_key()

    @pytest.mark.parametrize(
        "jwk",
        [
            pytest.param({"kty": "oct", "k": b64(bytes(64))}, id="oct"),
            pytest.param({"kty": "oct"}, id="oct-without-k"),
            *(
                pytest.param(pair("RSA").jwk(**{member: "AQAB"}), id=f"rsa-with-{member}")
                for member in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
            ),
            pytest.param(pair("P-256").jwk(d="AQAB"), id="ec-with-d"),
            pytest.param(pair("Ed25519").jwk(d="AQAB"), id="okp-with-d"),
        ],
    )
    def test_secret_material_is_refused(self, jwk: JSONObject) -> None:
        """A secret or private key in a JWK Set is a leak, and is said so."""
        with pytest.raises(ConfigurationError, match="is secret") as refused:
            jwk_public_key(jwk)

        said = everything_said(refused.value)
        assert "JWT_SECRET_KEY (secret_key)" in str(refused.value)
        assert JWKS[0] in str(refused.value)
        assert not any(str(jwk.get(name, "AQAB")) in said for name in ("d", "k"))

    @pytest.mark.parametrize(
        "jwk",
        [
            pytest.param({"kty": "RSA", "e": "AQAB"}, id="rsa-without-n"),
            pytest.param({"kty": "RSA", "n": pair("RSA").jwk()["n"]}, id="rsa-without-e"),
            pytest.param(pair("RSA").jwk(n=17), id="rsa-number-for-text"),
            pytest.param(pair("RSA").jwk(n=""), id="rsa-empty-n"),
            pytest.param(pair("RSA").jwk(n="A==="), id="rsa-padding"),
            pytest.param(pair("RSA").jwk(n="ä"), id="rsa-not-ascii"),
            pytest.param(pair("RSA").jwk(e="AQ"), id="rsa-exponent-one"),
            pytest.param(pair("RSA").jwk(e="Ag"), id="rsa-exponent-even"),
            pytest.param({"kty": "EC", "crv": "P-256", "x": "AA"}, id="ec-without-y"),
            pytest.param(
                pair("P-256").jwk(y=pair("P-256", "other").jwk()["y"]), id="ec-off-the-curve"
            ),
            pytest.param(pair("P-256").jwk(crv="P-384"), id="ec-other-curve"),
            pytest.param(
                pair("P-256").jwk(x=b64(bytes(1)) + pair("P-256").jwk()["x"]),
                id="ec-coordinate-too-long",
            ),
            pytest.param(pair("P-256").jwk(x=b64(bytes(31))), id="ec-coordinate-too-short"),
            pytest.param(pair("P-256").jwk(kty="RSA"), id="ec-called-rsa"),
            pytest.param(pair("Ed25519").jwk(x=b64(bytes(31))), id="okp-too-short"),
            pytest.param({"kty": "OKP", "crv": "Ed25519"}, id="okp-without-x"),
        ],
    )
    def test_malformed(self, jwk: JSONObject) -> None:
        """Missing and malformed members are refused with one sentence that shows none of them."""
        with pytest.raises(ConfigurationError, match="missing or malformed members") as refused:
            jwk_public_key(jwk)

        said = everything_said(refused.value)
        shown = [text for text in map(str, jwk.values()) if len(text) > 10 and text in said]
        assert JWKS[0] in str(refused.value)
        assert shown == []

    @pytest.mark.parametrize("y", SMALL_ORDER)
    @pytest.mark.parametrize("sign", [0x00, 0x80])
    def test_small_order(self, y: str, sign: int) -> None:
        """A point of small order, in each spelling, is refused: it fits what no key signed."""
        octets = bytearray.fromhex(y)
        octets[-1] |= sign
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes(octets))

        with pytest.raises(ConfigurationError, match="small order") as refused:
            jwk_public_key(pair("Ed25519").jwk(x=b64(bytes(octets))))
        with pytest.raises(ConfigurationError, match="small order"):
            pem_public_key(_pem_of(key))

        assert any(_fits_without_a_private_key(key, bytes([number])) for number in range(200))
        assert JWKS[0] in str(refused.value)

    def test_attack_a_long_rsa_exponent(self) -> None:
        """A check with it takes 20 times as long, and the key may be a client's own (DPoP)."""
        longest, longer = (
            rsa.RSAPublicNumbers(exponent, (1 << 3071) + 1).public_key()
            for exponent in (2**32 - 1, 2**32 + 1)
        )

        assert longest == jwk_public_key(public_jwk(longest))
        with pytest.raises(ConfigurationError, match="exponent of more than 32 bits") as refused:
            jwk_public_key(public_jwk(longer))
        assert "long_rsa_key" == refused.value.reason
        with pytest.raises(ConfigurationError, match="exponent of more than 32 bits"):
            pem_public_key(_pem_of(longer))

    def test_longest_rsa_key(self) -> None:
        """An RSA key of 16,384 bits is read, and one bit more is refused: OpenSSL checks none."""
        longest, longer = (
            rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 1).public_key()
            for bits in (16_384, 16_385)
        )

        assert longest == jwk_public_key(public_jwk(longest))
        with pytest.raises(ConfigurationError, match="16385 bits and at most 16384"):
            jwk_public_key(public_jwk(longer))
        with pytest.raises(ConfigurationError, match="16385 bits and at most 16384"):
            pem_public_key(_pem_of(longer))

    @pytest.mark.parametrize("bits", [1024, 2040])
    def test_weak_rsa_key(self, bits: int) -> None:
        """An RSA key under 2,048 bits is refused (RFC 7518 §3.3)."""
        with pytest.raises(ConfigurationError, match=f"{bits} bits and 2048") as refused:
            jwk_public_key(pair(f"RSA-{bits}").jwk())

        assert JWKS[0] in str(refused.value)
