"""A token that says where its key is: `jku`, `x5u`, `x5c`, `x5t` (RFC 8725 §3.10)."""

import socket
from typing import NoReturn

import pytest

from tests.minting import signing_key
from tests.sources import Service, each_source, minted

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

    # An event loop needs sockets, and connects none.
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@each_source("HS256", "RS256", "ES256")
@pytest.mark.parametrize("header", HEADERS)
def test_is_not_followed(source: str, algorithm: str, header: dict[str, object]) -> None:
    """A stranger's key is not looked for where the token says, and nothing is fetched."""
    token = minted(algorithm, signing_key(algorithm, "stranger"), header)

    assert "signature" == Service(source, algorithm).reason(token)


@each_source("RS256")
@pytest.mark.parametrize("header", HEADERS)
def test_does_not_stand_in_for_a_kid(
    source: str, algorithm: str, header: dict[str, object]
) -> None:
    """Where the `kid` names no key, these do not find one; a single key serves any `kid`."""
    reason = Service(source, algorithm).reason(minted(algorithm, header={"kid": "b", **header}))

    assert ("accepted" if source in {"pem", "issuers"} else "unknown_key") == reason


@each_source("HS256", "RS256", "ES256")
@pytest.mark.parametrize("header", HEADERS)
def test_does_not_spoil_a_good_token(
    source: str, algorithm: str, header: dict[str, object]
) -> None:
    """They are passed over: `kid` and `alg` choose the key as if they were not there."""
    assert Service(source, algorithm).accepts(minted(algorithm, header=header))
