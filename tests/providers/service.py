"""Serve the guarded application with uvicorn, configured by `JWT_*` only."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx2

from .identity import API
from .programs import Program, browser

_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")
_UVICORN = ("-m", "uvicorn", "tests.providers.app:app", "--host", "127.0.0.1", "--port", "0")

#: Refusals as `refused` returns them: the status and the error code of RFC 6750.
Refusal: TypeAlias = tuple[int, str | None]

INVALID: Refusal = (401, "invalid_token")
INSUFFICIENT: Refusal = (403, "insufficient_scope")


@dataclass(frozen=True)
class Service:
    """The guarded application as its callers see it."""

    http: httpx2.Client

    def get(self, token: str, path: str = "/me") -> httpx2.Response:
        """Read something with a token."""
        return self.http.get(path, headers={"Authorization": f"Bearer {token}"})

    def post(self, token: str, path: str) -> httpx2.Response:
        """Write something with a token."""
        return self.http.post(path, headers={"Authorization": f"Bearer {token}"})

    def refresh_keys(self) -> dict[str, Any]:
        """Let an application with one issuer fetch its keys anew, and return how they are."""
        health: dict[str, Any]
        (health,) = self.http.post("/keys/refresh").json().values()
        return health


def discovering(issuer: str) -> dict[str, str]:
    """Return the configuration that trusts an issuer and is told nothing else about it."""
    return {
        "JWT_ISSUER": issuer,
        "JWT_AUDIENCE": API,
        "JWT_DISCOVERY": "true",
        "JWT_ALLOW_LOOPBACK": "true",
    }


@contextmanager
def served(configuration: Mapping[str, str], directory: Path, *options: str) -> Iterator[Service]:
    """Serve the application with a configuration, and options of uvicorn."""
    program = Program(
        [sys.executable, *_UVICORN, "--no-use-colors", *options],
        ready=_RUNNING,
        log=directory / "app.log",
        environment={"PATH": os.environ["PATH"], **configuration},
    )
    try:
        url = program.start()[1]
        with browser(url) as http:
            yield Service(http)
    finally:
        program.stop()


def refused(response: httpx2.Response) -> Refusal:
    """Return the status of a refusal, and its error code, if it has one."""
    challenge = response.headers.get("www-authenticate", "")
    code = re.search(r'\berror="([^"]+)"', challenge)
    return response.status_code, code and code[1]
