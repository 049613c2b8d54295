"""Requests per second of a server, and the latency of each request.

A few connections that are kept alive, each sending its next request when the answer is there:
never more requests under way than connections.
"""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import cast

__all__ = ["Answered", "load"]

_OK = b"HTTP/1.1 200"
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_PATIENCE = 30


@dataclass(frozen=True)
class Answered:
    """What came of the load: requests per second, and waiting times in milliseconds."""

    per_second: float
    p50: float
    p99: float


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self.request = request
        self.until = until
        self.done = done
        self.waits: list[float] = []
        self.sent = 0.0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transport is one in all but its classes.
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(_END)
        if not end:
            return
        if not head.startswith(_OK):
            self.end(RuntimeError(f"the server answers {head[9:12].decode()}"))
            return
        begins = head.index(_LENGTH) + len(_LENGTH)
        if len(body) < int(head[begins:].split(b"\r\n", 1)[0]):
            return
        self.received = b""
        now = time.perf_counter()
        self.waits.append(now - self.sent)
        if now < self.until:
            self.ask()
        else:
            self.end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(exc or ConnectionError("the server closed the connection"))

    def end(self, error: Exception | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
        self.transport.close()


def _same(client: _Client) -> _Client:
    return client


async def load(port: int, token: str | None, seconds: float, connections: int = 16) -> Answered:
    """Ask a server on this machine for so long.

    Raises:
        RuntimeError: it answers something else than 200.
        OSError: it is not there, closes its connections, or does not answer.
    """
    lines = ["GET /x HTTP/1.1", f"Host: 127.0.0.1:{port}", "User-Agent: benchmark", "Accept: */*"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    request = "\r\n".join([*lines, "", ""]).encode()
    loop, begun = asyncio.get_running_loop(), time.perf_counter()
    clients = [_Client(request, begun + seconds, loop.create_future()) for _ in range(connections)]
    async with asyncio.timeout(seconds + _PATIENCE):
        for client in clients:
            await loop.create_connection(partial(_same, client), "127.0.0.1", port)
        await asyncio.gather(*(client.done for client in clients))
    spent = time.perf_counter() - begun
    waits = [wait for client in clients for wait in client.waits]
    hundredths = quantiles(waits, n=100)
    return Answered(len(waits) / spent, hundredths[49] * 1e3, hundredths[98] * 1e3)
