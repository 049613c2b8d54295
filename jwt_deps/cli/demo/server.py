"""Where does the demo listen? On the loopback interface, with uvicorn, and nowhere else."""

import copy
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

__all__ = ["address_of", "listen", "running", "serve"]

_GRACE = 2  # seconds that an open WebSocket may delay the end


def listen(host: str, port: int) -> socket.socket:
    """Take a port, before anything is said about it; 0 is any free one.

    Raises:
        OSError: it is taken, or not this process's to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def address_of(listener: socket.socket) -> str:
    """The URL at which the port answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve until Ctrl-C, and tell in the log why a request was refused.

    Raises:
        KeyboardInterrupt: uvicorn has ended, and hands on the signal that ended it.
    """
    config = uvicorn.Config(app, log_config=_log_config(), timeout_graceful_shutdown=_GRACE)
    uvicorn.Server(config).run([listener])


def _log_config() -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["jwt_deps"] = {"handlers": ["default"], "level": "INFO"}
    config["filters"] = {"complaint": {"()": lambda: _is_no_complaint}}
    config["handlers"]["default"]["filters"] = ["complaint"]
    return config


def _is_no_complaint(record: logging.LogRecord) -> bool:
    # uvicorn says so of every handshake that is answered with 401 or 403 as ASGI allows.
    return record.getMessage() != "ASGI callable returned without completing handshake."


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Serve on a free port while the block runs, in silence; the URL is what you get."""
    config = uvicorn.Config(
        app, log_config=None, log_level="critical", timeout_graceful_shutdown=_GRACE
    )
    server = uvicorn.Server(config)
    listener = listen("127.0.0.1", 0)

    def run() -> None:
        with listener:  # were the start to fail, a request would else wait for ever
            server.run([listener])

    # The port listens already, so a request that is too early waits for its answer.
    url, thread = address_of(listener), Thread(target=run, name="jwt-deps-demo")
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()
