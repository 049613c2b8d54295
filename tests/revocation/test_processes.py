"""Revocation with several workers of uvicorn, killed and paused, and a real Valkey."""

import json
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.processes import environment
from tests.minting import SECRET, claims, mint
from tests.providers.programs import unused_port

from .valkey import Valkey, until

ROOT = Path(__file__).parents[2]
WORKERS = 2
BOUND = 2  # seconds: the shortest staleness that can be set

#: A machine that tests run on can be busy, and asking all the time would keep it so.
eventually = partial(until, patience=180, every=0.1)


class Answered(NamedTuple):
    status: int
    body: Any


class Service:
    """Workers behind one port; each request has a connection of its own, so all are met."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, jti: str = "1", method: str = "GET") -> Answered:
        token = mint(claims(now=time.time(), jti=jti))
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return Answered(answer.status, json.loads(text))

    def healths(self) -> dict[int, dict[str, Any]]:
        """What the processes say of themselves, asked often enough to meet all."""
        found = {}
        for _ in range(8 * WORKERS):
            with suppress(OSError, HTTPException):
                health = self.get("/health").body
                found[health["pid"]] = health
        return found

    def workers(self) -> set[int]:
        """The processes that answer."""
        return set(self.healths())

    def statuses(self, jti: str) -> set[int]:
        """What the workers say of a token; a worker that dies meanwhile says nothing."""
        found = set()
        for _ in range(6 * WORKERS):
            with suppress(OSError, HTTPException):
                found.add(self.get("/me", jti).status)
        return found

    def replace(self, victim: int) -> set[int]:
        """Kill -9 a worker and wait for its successor; what is said of the first token until then.

        uvicorn's supervisor starts it.
        """
        said: set[int] = set()
        os.kill(victim, signal.SIGKILL)

        def replaced() -> bool:
            said.update(self.statuses("1"))
            alive = self.workers()
            return victim not in alive and len(alive) == WORKERS

        eventually(replaced)
        return said | self.statuses("1")


@contextmanager
def serving(server: Valkey, **variables: str) -> Iterator[Service]:
    """The workers, started and stopped."""
    port = unused_port()
    command = ["uvicorn", "tests.revocation.application:app", "--log-level", "critical"]
    values = environment(
        JWT_SECRET_KEY=SECRET,
        JWT_REVOCATION_URL=server.url,
        JWT_REVOCATION_MAX_STALENESS=str(BOUND),
        PYTHONPATH=str(ROOT),
    )
    process = subprocess.Popen(  # noqa: S603 - its own command
        [sys.executable, "-m", *command, "--port", str(port), "--workers", str(WORKERS)],
        env={**values, **variables},
        cwd=ROOT,
    )
    service = Service(port)
    try:
        eventually(lambda: len(service.workers()) == WORKERS)
        yield service
    finally:
        process.terminate()
        process.wait(30)


def test_workers(server: Valkey) -> None:
    """A revocation through one worker holds in all, and survives kill -9 and pauses of any process.

    Within the bound they answer, then with 503, and they recover; a connection looks open.
    """
    with serving(server) as service:
        assert {200} == service.statuses("1")

        assert 200 == service.get("/revoke/1", method="POST").status
        eventually(lambda: service.statuses("1") == {401})
        assert {200} == service.statuses("2")

        assert {401} == service.replace(min(service.workers()))

        server.pause()
        assert 200 == service.get("/me", "2").status
        eventually(lambda: service.statuses("2") == {503})
        assert {401} == service.statuses("1")
        server.resume()
        eventually(lambda: service.statuses("2") == {200})

        server.kill()
        assert {401} == service.statuses("1")
        eventually(lambda: service.statuses("2") == {503})
        server.start()
        eventually(lambda: service.statuses("2") == {200})
        assert {401} == service.statuses("1")

        server.lose_everything()
        assert {401} == service.statuses("1")
        eventually(lambda: len(server.stored()) == 1)
        assert {401} == service.statuses("1")


def test_workers_that_go_on(server: Valkey) -> None:
    """With `serve` a paused server stops no request, and health says so; a new process refuses."""
    with serving(server, JWT_REVOCATION_WHEN_STALE="serve") as service:
        service.get("/revoke/1", method="POST")
        eventually(lambda: service.statuses("1") == {401})

        server.pause()
        going_on = operator.itemgetter("serving_stale")
        eventually(lambda: all(map(going_on, service.healths().values())))
        assert {200} == service.statuses("2")
        assert {401} == service.statuses("1")

        said = service.replace(min(service.workers()))
        assert {401} <= said <= {401, 503}
        eventually(lambda: service.statuses("2") == {200, 503})
        assert {401} <= service.statuses("1") <= {401, 503}

        server.resume()
        eventually(lambda: service.statuses("2") == {200})
        eventually(lambda: not any(map(going_on, service.healths().values())))
        assert {401} == service.statuses("1")
