"""Serve the demo with uvicorn on the loopback interface."""

import copy
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.config import LOGGING_CONFIG

_GRACE = 2  # seconds for open WebSockets at the end


def listen(host: str, port: int) -> socket.socket:
    """Bind a port; 0 picks a free one.

    Raises:
        OSError: it is in use, or this process may not bind it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    # asyncio sets it only where the socket names its protocol; without it each answer takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve until Ctrl-C, with the reasons of refusals in the log.

    Raises:
        KeyboardInterrupt: uvicorn has ended after Ctrl-C.
    """
    config = uvicorn.Config(app, log_config=_log_config(), timeout_graceful_shutdown=_GRACE)
    uvicorn.Server(config).run([listener])


def _log_config() -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["jwt_deps"] = {"handlers": ["default"], "level": "INFO"}
    config["filters"] = {"handshake": {"()": lambda: _is_relevant}}
    config["handlers"]["default"]["filters"] = ["handshake"]
    return config


def _is_relevant(record: logging.LogRecord) -> bool:
    # uvicorn logs this for every handshake that is refused with 401 or 403, as ASGI allows.
    return record.getMessage() != "ASGI callable returned without completing handshake."


@contextmanager
def running(app: ASGIApp, listener: socket.socket | None = None) -> Iterator[str]:
    """Serve without logs while the block runs, on a free port by default; yield the URL."""
    config = uvicorn.Config(
        app, log_config=None, log_level="critical", timeout_graceful_shutdown=_GRACE
    )
    server = uvicorn.Server(config)
    listener = listener or listen("127.0.0.1", 0)

    def run() -> None:
        with listener:  # if the start fails, requests must not wait
            server.run([listener])

    # The port listens already, so an early request waits for its answer.
    url, thread = address_of(listener), Thread(target=run, name="jwt-deps-demo")
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()
