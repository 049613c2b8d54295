"""A token that brings its own key in the header `jwk` (CVE-2018-0114)."""

import json
from pathlib import Path

import pytest

from jwt_deps.errors import InvalidTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import KINDS, SECRET, b64, claims, clock, mint, pair, verification_text
from tests.verifying import verify


@pytest.mark.parametrize("algorithm", list(KINDS))
def test_key_in_the_header_is_not_used(algorithm: str) -> None:
    """A token signed with a stranger's key, which it carries along, is refused."""
    settings = JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)
    stranger = pair(KINDS[algorithm], "stranger")
    token = mint(claims(sub="admin"), stranger, algorithm, header={"jwk": stranger.jwk()})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.SIGNATURE


def test_key_in_the_header_does_not_replace_one_of_the_set(tmp_path: Path) -> None:
    """Nor does it by taking the `kid` of a key of the JWK Set."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [pair("RSA").jwk(kid="a")]}))
    settings = JWTSettings(jwks_file=path, algorithm="RS256")
    stranger = pair("RSA", "stranger")
    header = {"kid": "a", "jwk": stranger.jwk(kid="a", use="sig", alg="RS256")}

    with pytest.raises(InvalidTokenError) as refused:
        verify(mint(claims(), stranger, "RS256", header=header), settings, clock=clock)

    assert refused.value.reason is Reason.SIGNATURE


def test_secret_in_the_header_is_not_used() -> None:
    """A secret that the token carries along is none."""
    secret = b"s" * 32
    token = mint(claims(), secret, header={"jwk": {"kty": "oct", "k": b64(secret)}})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, JWTSettings(secret_key=SECRET), clock=clock)

    assert refused.value.reason is Reason.SIGNATURE


@pytest.mark.parametrize("jwk", [pair("RSA", "stranger").jwk(), "x", None, [], 1], ids=type)
def test_a_good_token_may_carry_one(jwk: object) -> None:
    """Whatever stands in `jwk` is passed over, so it does not spoil a good token either."""
    token = mint(claims(), header={"jwk": jwk})

    assert verify(token, JWTSettings(secret_key=SECRET), clock=clock)["sub"] == "alice"
