"""One key, another algorithm: RS256's key asked to check PS256, ES256's to check ES384, ..."""

import json
from pathlib import Path

import pytest

from jwt_deps.errors import InvalidTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import (
    ALGORITHMS,
    KINDS,
    claims,
    clock,
    mint,
    pair,
    signing_key,
    verification_text,
)
from tests.verifying import verify


@pytest.mark.parametrize("used", ALGORITHMS)
@pytest.mark.parametrize("allowed", ALGORITHMS)
def test_only_what_is_allowed_is_accepted(allowed: str, used: str) -> None:
    """Of all pairs, a token is accepted where its algorithm is the one that is allowed."""
    settings = JWTSettings(secret_key=verification_text(allowed), algorithm=allowed)
    token = mint(claims(), signing_key(used), used)

    if used == allowed:
        assert verify(token, settings, clock=clock)["sub"] == "alice"
    else:
        with pytest.raises(InvalidTokenError) as refused:
            verify(token, settings, clock=clock)
        assert refused.value.reason is Reason.ALGORITHM


@pytest.mark.parametrize(
    ("claimed", "used"),
    [
        pytest.param(claimed, used, id=f"{used}-called-{claimed}")
        for claimed in ALGORITHMS
        for used in ALGORITHMS
        if claimed != used
        and KINDS.get(claimed, "oct") == KINDS.get(used, "oct")
        and KINDS.get(claimed) != "Ed25519"
    ],
)
def test_what_a_token_calls_itself_does_not_help(claimed: str, used: str) -> None:
    """A token made with one algorithm is refused under the name of another one of that key."""
    settings = JWTSettings(secret_key=verification_text(claimed), algorithm=claimed)
    token = mint(claims(), signing_key(used), used, header={"alg": claimed})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.SIGNATURE


@pytest.mark.parametrize("used", ["PS256", "RS512", "PS512"])
def test_the_alg_of_a_jwk_binds_it(tmp_path: Path, used: str) -> None:
    """A key that is published for RS256 serves nothing else, though another key of the set does."""
    path = tmp_path / "jwks.json"
    keys = [
        pair("RSA").jwk(kid="a", alg="RS256"),
        pair("RSA", "other").jwk(kid="b", alg=used),
    ]
    path.write_text(json.dumps({"keys": keys}))
    settings = JWTSettings(jwks_file=path, algorithm=["RS256", used])
    token = mint(claims(), pair("RSA"), used, header={"kid": "a"})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.UNKNOWN_KEY
