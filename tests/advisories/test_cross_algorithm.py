"""One key, another algorithm: RS256's key asked to check PS256, ES256's to check ES384, ..."""

import json
from pathlib import Path

import pytest

from jwt_deps.errors import InvalidTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import ALGORITHMS, KINDS, claims, clock, mint, pair, signing_key
from tests.sources import Service, each_source, good, minted
from tests.verifying import verify


@each_source()
def test_only_what_is_allowed_is_accepted(source: str, algorithm: str) -> None:
    """Of all algorithms, a token is accepted where its own is the one that is allowed."""
    service = Service(source, algorithm)

    reasons = {used: service.reason(minted(used)) for used in ALGORITHMS}

    assert {
        used: "accepted" if used == algorithm else "algorithm" for used in ALGORITHMS
    } == reasons


@each_source()
def test_what_a_token_calls_itself_does_not_help(source: str, algorithm: str) -> None:
    """A token made with one algorithm is refused under the name of another one of that key."""
    service = Service(source, algorithm)
    kind = KINDS.get(algorithm, "oct")
    others = [
        used
        for used in ALGORITHMS
        if used != algorithm and KINDS.get(used, "oct") == kind != "Ed25519"
    ]
    tokens = [mint(good(), signing_key(used), used, header={"alg": algorithm}) for used in others]

    assert {"signature"} >= {service.reason(token) for token in tokens}


@pytest.mark.parametrize("used", ["PS256", "RS512", "PS512"])
def test_the_alg_of_a_jwk_binds_it(tmp_path: Path, used: str) -> None:
    """A key that is published for RS256 serves nothing else, though another key of the set does."""
    path = tmp_path / "jwks.json"
    keys = [pair("RSA").jwk(kid="a", alg="RS256"), pair("RSA", "other").jwk(kid="b", alg=used)]
    path.write_text(json.dumps({"keys": keys}))
    settings = JWTSettings(jwks_file=path, algorithm=["RS256", used])
    token = mint(claims(), pair("RSA"), used, header={"kid": "a"})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.UNKNOWN_KEY
