"""The name of a key by RFC 7638, against the examples of the RFCs."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from jwt_deps.jose import public_jwk, thumbprint
from tests.minting import pair

#: RFC 7638 §3.1.
RSA = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qv"
        "zqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We"
        "Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
#: RFC 8037, appendix A.3.
ED25519 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@pytest.mark.parametrize(
    ("jwk", "expected"),
    [
        pytest.param(RSA, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", id="rfc7638-rsa"),
        pytest.param(ED25519, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", id="rfc8037-ed25519"),
    ],
)
def test_examples_of_the_rfcs(jwk: dict[str, Any], expected: str) -> None:
    """The thumbprints that the RFCs print."""
    assert expected == thumbprint(jwk)


@pytest.mark.parametrize("kind", ["RSA", "P-256", "P-521", "Ed25519"])
def test_only_what_makes_the_key_counts(kind: str) -> None:
    """Names, uses and private members change nothing; another key has another name."""
    bare = pair(kind).jwk()

    assert thumbprint(bare) == thumbprint(pair(kind).jwk(kid="a", use="sig", alg="x", d="AA"))
    assert thumbprint(bare) != thumbprint(pair(kind, "other").jwk())
    assert 43 == len(thumbprint(bare))


def test_shared_secret() -> None:
    """A shared secret has one too (RFC 7638 §3.2)."""
    assert thumbprint({"kty": "oct", "k": "AAAA"}) != thumbprint({"kty": "oct", "k": "AAAB"})


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param({}, id="empty"),
        pytest.param({"kty": "AKP", "pub": "AA"}, id="unknown-type"),
        pytest.param({"kty": ["RSA"]}, id="type-that-is-no-text"),
        pytest.param({"kty": "RSA", "n": "AA"}, id="missing-member"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": 7}, id="member-that-is-no-text"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": "é"}, id="member-that-is-no-ascii"),
    ],
)
def test_no_key(jwk: dict[str, Any]) -> None:
    """What is no key has no name."""
    with pytest.raises(ValueError, match="JWK"):
        thumbprint(jwk)


@pytest.mark.parametrize("kind", ["RSA", "P-256", "P-384", "P-521", "Ed25519"])
def test_a_key_as_a_jwk(kind: str) -> None:
    """A public key is written as an independent implementation writes it."""
    assert pair(kind).jwk() == public_jwk(pair(kind).private.public_key())


def test_coordinates_have_their_full_length() -> None:
    """Also those that begin with zeros (RFC 7518 §6.2.1.2)."""
    private = derive_private_key(43, SECP256R1())  # its y begins with a zero octet

    assert {43} == {len(public_jwk(private.public_key())[name]) for name in ("x", "y")}


def test_foreign_curve() -> None:
    """A curve that JWS does not use has no JWK here."""
    with pytest.raises(ValueError, match="curve"):
        public_jwk(pair("secp256k1").private.public_key())
