"""Signatures: every algorithm of RFC 7518 and RFC 8037 that can be configured, and no other."""

import pickle

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from jose.backends.cryptography_backend import (
    CryptographyECKey,
    CryptographyHMACKey,
    CryptographyRSAKey,
)

from jwt_deps.jose import PublicKey, algorithms_of, signature_key, signatures
from tests.minting import ALGORITHMS, SECRET, Key, KeyPair, pair, sign, signing_key

MESSAGE = b"eyJhbGciOiJIUzI1NiJ9.e30"


def _material(key: Key) -> PublicKey | bytes:
    return key.private.public_key() if isinstance(key, KeyPair) else SECRET.encode()


def test_algorithms_are_those_of_the_rfcs() -> None:
    """HS, RS, PS and ES with three hashes each, and Ed25519 under both of its names."""
    assert frozenset(ALGORITHMS) == signatures.ALGORITHMS


@pytest.mark.parametrize("name", ["none", "None", "", "ES256K", "ES521", "RSA1_5", "A256GCM"])
def test_other_algorithms_do_not_exist(name: str) -> None:
    """`none`, encryption algorithms and curves outside RFC 7518 are not among them."""
    assert name not in signatures.ALGORITHMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_is_that_of_one_key_and_message(algorithm: str) -> None:
    """What `cryptography` signs with the same key verifies; all else is refused, and never raises.

    That of another message, of another key of the same kind, and zeros of any length.
    """
    key = signature_key(_material(signing_key(algorithm)), algorithm)
    good, forged = (
        sign(MESSAGE, signing_key(algorithm, name), algorithm) for name in ("issuer", "other")
    )
    lengths = (0, 1, 32, 63, 64, 65, 96, 132, 256, 257, 10_000)

    assert key.verify(MESSAGE, good) is True
    assert key.verify(MESSAGE + b"0", good) is False
    assert key.verify(MESSAGE, forged) is False
    assert {False} == {key.verify(MESSAGE, bytes(length)) for length in lengths}


@pytest.mark.parametrize("salt_length", [0, 20, 31, 33, 222])
def test_pss_salt_is_as_long_as_the_hash(salt_length: int) -> None:
    """RSASSA-PSS with a salt of another length does not verify (RFC 7518 §3.5)."""
    private = pair("RSA").private
    assert isinstance(private, rsa.RSAPrivateKey)
    salted = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length)

    verified = signature_key(private.public_key(), "PS256").verify(
        MESSAGE, private.sign(MESSAGE, salted, hashes.SHA256())
    )

    assert verified is False


def test_ecdsa_signature_is_not_der() -> None:
    """An ECDSA signature in the DER form of X.509 does not verify (RFC 7518 §3.4)."""
    private = pair("P-256").private
    assert isinstance(private, ec.EllipticCurvePrivateKey)

    verified = signature_key(private.public_key(), "ES256").verify(
        MESSAGE, private.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    )

    assert verified is False


@pytest.mark.parametrize(
    ("algorithm", "theirs"),
    [
        *((name, CryptographyRSAKey) for name in ("RS256", "RS384", "RS512")),
        *((name, CryptographyECKey) for name in ("ES256", "ES384", "ES512")),
    ],
)
def test_python_joses_own_keys_check(algorithm: str, theirs: type) -> None:
    """RS* and ES* are checked by python-jose, and by none of its slower backends."""
    key = signature_key(_material(signing_key(algorithm)), algorithm)

    assert type(key) is theirs


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(message=st.binary(max_size=300), data=st.data())
def test_a_changed_signature_does_not_verify(
    algorithm: str, message: bytes, data: st.DataObject
) -> None:
    """A signature with another octet, or without its last ones, is refused and does not raise."""
    signer = signing_key(algorithm)
    signature = bytearray(sign(message, signer, algorithm))
    good = bytes(signature)
    if data.draw(st.booleans()):
        signature[data.draw(st.integers(0, len(signature) - 1))] ^= data.draw(st.integers(1, 255))
    signature = signature[: data.draw(st.integers(len(signature) - 2, len(signature)))]

    verified = signature_key(_material(signer), algorithm).verify(message, bytes(signature))

    assert verified is (good == signature)


@pytest.mark.parametrize(
    ("material", "algorithm"),
    [
        pytest.param(SECRET.encode(), "RS256", id="secret-for-RS256"),
        pytest.param(SECRET.encode(), "PS256", id="secret-for-PS256"),
        pytest.param(SECRET.encode(), "EdDSA", id="secret-for-EdDSA"),
        pytest.param(SECRET.encode(), "none", id="secret-for-none"),
        pytest.param(pair("RSA").private.public_key(), "HS256", id="rsa-for-HS256"),
        pytest.param(pair("RSA").private.public_key(), "ES256", id="rsa-for-ES256"),
        pytest.param(pair("P-384").private.public_key(), "ES256", id="P-384-for-ES256"),
        pytest.param(pair("Ed25519").private.public_key(), "none", id="ed25519-for-none"),
    ],
)
def test_a_key_is_for_its_own_algorithms(material: PublicKey | bytes, algorithm: str) -> None:
    """Whatever was checked before, no key is built for another one."""
    with pytest.raises(ValueError, match="not one for this algorithm"):
        signature_key(material, algorithm)


def test_a_secret_goes_to_another_process() -> None:
    """A key with an HS* secret can be pickled."""
    key = pickle.loads(pickle.dumps(signature_key(SECRET.encode(), "HS384")))  # noqa: S301 - ours

    assert key.verify(MESSAGE, sign(MESSAGE, SECRET, "HS384")) is True


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@given(message=st.binary(max_size=300), secret=st.binary(min_size=64, max_size=200))
def test_shared_secrets_agree_with_python_joses_key(
    algorithm: str, message: bytes, secret: bytes
) -> None:
    """The prepared HMAC accepts what python-jose's own key signs."""
    ours, theirs = signature_key(secret, algorithm), CryptographyHMACKey(secret, algorithm)

    assert isinstance(ours, CryptographyHMACKey)
    assert ours.verify(message, theirs.sign(message)) is True  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        pytest.param("RSA", ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), id="RSA"),
        pytest.param("P-256", ("ES256",), id="P-256"),
        pytest.param("P-384", ("ES384",), id="P-384"),
        pytest.param("P-521", ("ES512",), id="P-521"),
        pytest.param("secp256k1", (), id="a-curve-that-JWS-does-not-know"),
        pytest.param("Ed25519", ("EdDSA", "Ed25519"), id="Ed25519"),
    ],
)
def test_a_key_knows_its_algorithms(kind: str, algorithms: tuple[str, ...]) -> None:
    """Each curve means one ECDSA algorithm; RSA serves RS and PS; Ed25519 has two names."""
    found = algorithms_of(pair(kind).private.public_key())

    assert found == algorithms
