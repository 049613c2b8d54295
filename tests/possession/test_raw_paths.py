"""A DPoP proof for one file opens no other, in a real uvicorn.

The requests are written by hand: HTTP clients rewrite such paths before they send them.
"""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.minting import SECRET
from tests.providers.service import served
from tests.proving import ORIGIN, bound_token, with_dpop


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve files to the clients of tokens that are bound to a key."""
    configuration = {"JWT_SECRET_KEY": SECRET, "JWT_DPOP": "required", "JWT_PUBLIC_ORIGIN": ORIGIN}
    with served(configuration, tmp_path_factory.mktemp("raw-paths")) as service:
        yield str(service.http.base_url)


def ask(address: str, target: str, htu: str) -> tuple[int, str]:
    """Return the status and the body of the answer to a request for this very target."""
    parts = urlsplit(address)
    headers = {"Host": "a.test", "Connection": "close", **with_dpop(bound_token(), htu=htu)}
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("target", "htu"),
    [
        pytest.param("/files/a/b", "/files/a/b", id="as-it-is"),
        pytest.param("/files/a/b?x=/../..", "/files/a/b", id="query"),
        pytest.param("/files/a%2fb", "/files/a%2Fb", id="escape-that-stays"),
        pytest.param("/files/%61", "/files/a", id="escape-that-goes"),
        pytest.param("/files/a/b", "/x/../files/./a/b", id="dots-in-the-claim"),
    ],
)
def test_same_file(address: str, target: str, htu: str) -> None:
    """Both are the same URI by RFC 3986 §6.2.2 (RFC 9449 §4.3)."""
    assert 200 == ask(address, target, f"{ORIGIN}{htu}")[0]


@pytest.mark.parametrize(
    ("target", "htu", "file"),
    [
        pytest.param("/files/1#/../../x", "/files/1", "1", id="fragment"),
        pytest.param("/files/1#", "/files/1", "1", id="empty-fragment"),
        pytest.param("/files/secret/../1", "/files/1", "1", id="dots"),
        pytest.param("/files/secret/%2e%2e/1", "/files/1", "1", id="escaped-dots"),
        pytest.param("/files/secret/.%2E/1", "/files/1", "1", id="half-escaped-dots"),
        pytest.param("/files/./1", "/files/1", "1", id="dot"),
        pytest.param("/files/1/.", "/files/1/", "1/", id="dot-at-the-end"),
        pytest.param("/files/secret/../1", "/files/secret/../1", "secret/../1", id="dots-in-both"),
    ],
)
def test_attack_other_file(address: str, target: str, htu: str, file: str) -> None:
    """A proof for one file is never one for what the router serves under another name."""
    status, body = ask(address, target, f"{ORIGIN}{htu}")

    assert status in {400, 401} or (status, body) == (200, f'"{file}"')
