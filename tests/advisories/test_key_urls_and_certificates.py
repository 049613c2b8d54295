"""A token that says where its key is: `jku`, `x5u`, `x5c`, `x5t` (RFC 8725 §3.10)."""

import socket
from typing import NoReturn

import pytest

from tests.minting import signing_key
from tests.sources import Service, each_source, minted

HEADERS: dict[str, dict[str, object]] = {
    "jku": {"jku": "https://evil.example/jwks.json"},
    "jku-metadata": {"jku": "http://169.254.169.254/latest/meta-data"},
    "jku-file": {"jku": "file:///etc/passwd"},
    "x5u": {"x5u": "https://evil.example/chain.pem"},
    "x5c": {"x5c": ["MIIBszCCAVmgAwIBAgIU"]},
    "x5t": {"x5t": "AAAA", "x5t#S256": "AAAA"},
    "of-other-types": {"jku": {}, "x5u": 1, "x5c": "MII", "x5t": None},
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a token made the service use the network")

    # An event loop needs sockets, and connects none.
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@each_source("HS256", "RS256", "ES256")
def test_is_not_followed(source: str, algorithm: str) -> None:
    """A stranger's key is not looked for where the token says, and nothing is fetched."""
    service, stranger = Service(source, algorithm), signing_key(algorithm, "stranger")

    assert dict.fromkeys(HEADERS, "signature") == {
        name: service.reason(minted(algorithm, stranger, header))
        for name, header in HEADERS.items()
    }


@each_source("RS256")
def test_does_not_stand_in_for_a_kid(source: str, algorithm: str) -> None:
    """Where the `kid` names no key, these do not find one; a single key serves any `kid`."""
    service = Service(source, algorithm)
    expected = "accepted" if source in {"pem", "issuers"} else "unknown_key"

    assert dict.fromkeys(HEADERS, expected) == {
        name: service.reason(minted(algorithm, header={"kid": "b", **header}))
        for name, header in HEADERS.items()
    }


@each_source("HS256", "RS256", "ES256")
def test_does_not_spoil_a_good_token(source: str, algorithm: str) -> None:
    """They are passed over: `kid` and `alg` choose the key as if they were not there."""
    service = Service(source, algorithm)

    assert dict.fromkeys(HEADERS, "accepted") == {
        name: service.reason(minted(algorithm, header=header)) for name, header in HEADERS.items()
    }
