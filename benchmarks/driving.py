"""Call an application in process, and check that it accepts and refuses what it should."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice

from starlette.types import Message, Scope

from benchmarks import tokens
from benchmarks.contestants import Contestant
from benchmarks.measuring import Slice

__all__ = ["bars", "bearer", "flaws", "requests_of", "scope_of", "status_of"]

#: Requests that are not counted, after the preparation has used the processor for other things.
_WARM = 30
_OK = 200
_MUTE = "does not answer the good token as it should"
_ACCEPTS = "accepts: "


def bearer(token: str | None) -> bytes | None:
    """The `Authorization` header of a token; `None` without one."""
    return None if token is None else b"Bearer " + token.encode()


def scope_of(authorization: bytes | None, path: str = "/x") -> Scope:
    """A GET request with that `Authorization` header, as a server passes it to an application."""
    headers = [
        (b"host", b"api.example.com"),
        (b"user-agent", b"benchmark/1.0"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"x-request-id", b"4d3e9f00112233445566"),
    ]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def _fresh(requests: Sequence[Scope], count: int) -> list[Scope]:
    """So many requests, of new objects each: bytes remember the hash that they once had."""
    return [
        {
            **request,
            "headers": [(name, bytes(bytearray(value))) for name, value in request["headers"]],
            "state": {},
        }
        for request in islice(cycle(requests), count)
    ]


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_: Message) -> None:
    """Discard the message."""


def requests_of(
    contestant: Contestant,
    path: str = "/x",
    headers: Sequence[bytes] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Slice:
    """Make a slice of requests, one after the other.

    Args:
        contestant: the application, and the token that it gets.
        path: of the route.
        headers: `Authorization` headers that the requests have in turn, in place of that token.
        clock: what the seconds are of.
    """
    app = contestant.app
    values: Sequence[bytes | None] = headers or [bearer(contestant.token)]
    requests = [scope_of(value, path) for value in values]

    async def run(count: int) -> float:
        contestant.prepare()
        waiting = _fresh(requests, _WARM + count)
        for _ in range(_WARM):
            await app(waiting.pop(), _receive, _send)
        begun = clock()
        while waiting:  # what is answered is gone, as in a server
            await app(waiting.pop(), _receive, _send)
        return (clock() - begun) / count

    return run


async def status_of(contestant: Contestant, token: str | None, path: str = "/x") -> int:
    """What it answers to a token; 500 when an exception comes out of it."""
    found: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    contestant.prepare()
    try:
        await contestant.app(scope_of(bearer(token), path), _receive, send)
    except Exception:  # noqa: BLE001 - whatever a peer lets escape, a server makes 500 of it
        return 500
    return found[0]


async def flaws(contestant: Contestant) -> list[str]:
    """What a contestant gets wrong of what it has to get right: to accept and to refuse."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # refusals are what this is about
    try:
        found = []
        if await status_of(contestant, contestant.token) != contestant.status:
            found.append(_MUTE)
        if contestant.secure and contestant.algorithm is not None:
            found += [
                f"{_ACCEPTS}{wrong}" if status == _OK else f"{status} on {wrong}"
                for wrong, status in await _answers(contestant, contestant.algorithm)
                if status == _OK or status >= 500  # noqa: PLR2004 - server errors
            ]
        return found
    finally:
        logging.disable(level)


def bars(flaw: str) -> bool:
    """Whether it may not take part for that: it is no peer of those that do their work."""
    return flaw == _MUTE or flaw.startswith(_ACCEPTS)


async def _answers(contestant: Contestant, algorithm: str) -> Iterable[tuple[str, int]]:
    return [
        (wrong, await status_of(contestant, token))
        for wrong, token in tokens.bad(algorithm).items()
    ]
