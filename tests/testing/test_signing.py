"""Which tokens and keys come out of a `SigningKey`: those that this library, strict, takes."""

import json
from pathlib import Path

import pytest

from jwt_deps import JWTSettings, SignatureError
from jwt_deps.testing import SigningKey
from jwt_deps.verification import verify

ALGORITHMS = [
    *(f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512)),
    "EdDSA",
    "Ed25519",
]
CLAIMS = {"sub": "alice", "exp": 4_000_000_000}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_public_key_in_pem_checks_its_tokens(algorithm: str) -> None:
    """As `secret_key`."""
    key = SigningKey.generate(algorithm)
    settings = JWTSettings(secret_key=key.public_pem, algorithm=algorithm)

    claims = verify(key.sign({"alg": algorithm}, CLAIMS), settings)

    assert CLAIMS == claims


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_jwk_checks_its_tokens(algorithm: str, tmp_path: Path) -> None:
    """As a member of `jwks_file`, found by its `kid`."""
    key = SigningKey.generate(algorithm, kid="a")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [key.jwk]}))

    token = key.sign({"alg": algorithm, "kid": "a"}, CLAIMS)

    assert CLAIMS == verify(token, JWTSettings(jwks_file=file, algorithm=algorithm))


def test_every_key_is_another_one() -> None:
    """With a name of its own."""
    one, other = (SigningKey.generate("ES256") for _ in range(2))

    with pytest.raises(SignatureError):
        verify(
            one.sign({"alg": "ES256"}, CLAIMS),
            JWTSettings(secret_key=other.public_pem, algorithm="ES256"),
        )
    assert one.kid != other.kid


@pytest.mark.parametrize("algorithm", ["HS256", "none", "RS257", "RSA", ""])
def test_other_algorithms_have_no_key_pair(algorithm: str) -> None:
    """The error names those that have one."""
    with pytest.raises(ValueError, match=r"there is ES256, .*RS512$"):
        SigningKey.generate(algorithm)


def test_the_private_key_is_not_shown() -> None:
    """Not even that of a test."""
    key = SigningKey.generate("Ed25519", kid="a")

    assert "SigningKey(kid='a', algorithm='Ed25519')" == repr(key)
