"""Run a program for the duration of a test."""

import re
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0

# All speak plain HTTP here, and reading the system's authorities takes longer than a test.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def browser(base_url: str = "", *, address: str | None = None) -> httpx2.Client:
    """Return a client for loopback, with cookies of its own, at an address such as 127.0.0.2."""
    transport = httpx2.HTTPTransport(verify=_NO_AUTHORITIES, local_address=address)
    return httpx2.Client(base_url=base_url, transport=transport, timeout=10)


_given: set[int] = set()


def unused_port() -> int:
    """Return a free port of the loopback interface.

    It lies below those that the kernel gives to outgoing connections, so that it stays free while
    the program that it is meant for is down. No two calls of a process get the same one.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        if port in _given:
            continue
        with closing(socket.socket()) as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port


class Program:
    """A program that says when it is ready, with all that it prints in one file."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        ready: re.Pattern[str],
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._arguments = arguments
        self._environment = dict(environment)
        self._ready = ready
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> re.Match[str]:
        """Start the program and return the line that says that it is ready."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - programs of this directory
                self._arguments,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self._process.poll() is not None
            printed = self.printed()
            if said := self._ready.search(printed):
                return said
            assert not ended, printed
            assert time.monotonic() < deadline, printed
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask the program to end, and wait until it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def kill(self) -> None:
        """End the program as a crash would, with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def printed(self) -> str:
        """Return everything that the program has printed since its start."""
        return self._log.read_text()
