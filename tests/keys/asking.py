"""Ask an issuer over HTTP on loopback, each time in a new event loop.

ES256 throughout, because such keys are made in no time.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest

from jwt_deps import IssuerSettings, JWTSettings
from jwt_deps.errors import AuthError
from jwt_deps.keys import Fetched, Fetcher, FetchError
from jwt_deps.testing import FakeIssuer
from jwt_deps.tokens.verify import Verification, verify

__all__ = [
    "AUDIENCE",
    "accepted",
    "authenticated",
    "discovering",
    "eventually",
    "fetched",
    "issuer_settings",
    "listening",
    "refused",
    "reset_at_once",
    "resolving",
    "settings_for",
    "undone",
]

AUDIENCE = "api"


def fetched(url: str, *, etag: str | None = None, fresh: bool = False, **options: Any) -> Fetched:
    """Fetch a document from this machine."""
    fetcher = Fetcher(**{"allow_loopback": True, **options})
    return asyncio.run(fetcher.get(url, etag=etag, fresh=fresh))


def undone(url: str, **options: Any) -> FetchError:
    """Fail to fetch a document, and return why."""
    with pytest.raises(FetchError) as failed:
        fetched(url, **options)
    return failed.value


def discovering(issuer: FakeIssuer, **options: Any) -> dict[str, Any]:
    """Return the settings that trust an issuer, and let it say itself where its keys are."""
    trusted = {"issuer": issuer.issuer, "audience": AUDIENCE, "discovery": True}
    return {**trusted, "allow_loopback": True, **options}


def issuer_settings(issuer: FakeIssuer, **options: Any) -> IssuerSettings:
    """Return them as one entry among several."""
    return IssuerSettings(**discovering(issuer, **options))


def settings_for(*issuers: FakeIssuer, **options: Any) -> JWTSettings:
    """Return settings that trust one issuer, or several under the names `0`, `1`, ..."""
    if len(issuers) == 1:
        return JWTSettings(**discovering(issuers[0], **options))
    entries = {str(index): issuer_settings(issuer) for index, issuer in enumerate(issuers)}
    return JWTSettings(issuers=entries, **options)


def authenticated(
    token: str, settings: JWTSettings, clock: Callable[[], float] = time.time
) -> Verification:
    """Authenticate a token."""
    return asyncio.run(verify(token, settings, clock=clock))


def accepted(token: str, settings: JWTSettings) -> bool:
    """Authenticate a token, where it matters that it is accepted and not what it says."""
    return bool(authenticated(token, settings).claims)


def refused(token: str, settings: JWTSettings) -> AuthError:
    """Fail to authenticate a token, and return why."""
    with pytest.raises(AuthError) as failed:
        authenticated(token, settings)
    return failed.value


async def eventually(fact: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - what happens in a server's thread sets no event
            await asyncio.sleep(0.005)


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """Listen on a port, and note what every connection to it sends until it is closed."""
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[Thread] = []

    def read(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            data = bytearray()
            while piece := connection.recv(4096):
                data += piece
        seen.append(bytes(data))

    def accept() -> None:
        while True:
            connection, peer = listener.accept()
            if peer in last:
                connection.close()
                return
            threads.append(Thread(target=read, args=(connection,)))
            threads[-1].start()

    last: list[object] = []
    acceptor = Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        with socket.socket() as end:  # comes after all others, so that none of them is missed
            end.bind(("127.0.0.1", 0))
            last.append(end.getsockname())
            end.connect(listener.getsockname())
            acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


@contextmanager
def reset_at_once() -> Iterator[str]:
    """Serve a URL whose every connection is reset as soon as it is there."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = Event()

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()

    thread = Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def resolving(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """Resolve a name to an address, as the owner of the name can."""
    resolve = socket.getaddrinfo

    def lie(host: Any, *arguments: Any, **options: Any) -> Any:
        asked = host.decode() if isinstance(host, bytes) else host
        return resolve(address if asked == name else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
