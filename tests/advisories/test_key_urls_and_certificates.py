"""A token that says where its key is: `jku`, `x5u`, `x5c`, `x5t` (RFC 8725 §3.10)."""

import json
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from jwt_deps.errors import InvalidTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import claims, clock, mint, pair
from tests.verifying import verify

HEADERS = [
    pytest.param({"jku": "https://evil.example/jwks.json"}, id="jku"),
    pytest.param({"jku": "http://169.254.169.254/latest/meta-data"}, id="jku-metadata"),
    pytest.param({"jku": "file:///etc/passwd"}, id="jku-file"),
    pytest.param({"x5u": "https://evil.example/chain.pem"}, id="x5u"),
    pytest.param({"x5c": ["MIIBszCCAVmgAwIBAgIU"]}, id="x5c"),
    pytest.param({"x5t": "AAAA", "x5t#S256": "AAAA"}, id="x5t"),
    pytest.param({"jku": {}, "x5u": 1, "x5c": "MII", "x5t": None}, id="of-other-types"),
]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a token made the service use the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def settings(tmp_path: Path) -> JWTSettings:
    """A JWK Set with one RSA key, `a`."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [pair("RSA").jwk(kid="a")]}))
    return JWTSettings(jwks_file=path, algorithm="RS256")


@pytest.mark.parametrize("header", HEADERS)
def test_is_not_followed(settings: JWTSettings, header: dict[str, object]) -> None:
    """A stranger's key is not looked for where the token says, and nothing is fetched."""
    token = mint(claims(), pair("RSA", "stranger"), "RS256", header={"kid": "a", **header})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.SIGNATURE


@pytest.mark.parametrize("header", HEADERS)
def test_does_not_stand_in_for_a_kid(settings: JWTSettings, header: dict[str, object]) -> None:
    """Where the `kid` names no key, these do not find one."""
    token = mint(claims(), pair("RSA"), "RS256", header={"kid": "b", **header})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("header", HEADERS)
def test_does_not_spoil_a_good_token(settings: JWTSettings, header: dict[str, object]) -> None:
    """They are passed over: `kid` and `alg` choose the key as if they were not there."""
    token = mint(claims(), pair("RSA"), "RS256", header={"kid": "a", **header})

    assert verify(token, settings, clock=clock)["sub"] == "alice"
