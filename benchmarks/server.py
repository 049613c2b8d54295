"""Serve one contestant in its own process; standard output has the address.

python -m benchmarks.server NAME [WORKERS]
"""

import json
import os
import socket
import sys
from importlib.util import find_spec

import uvicorn

from benchmarks.contestants import Contestant, ours, simple
from benchmarks.peers import PEERS
from benchmarks.tokens import good

__all__ = ["find", "main"]


def find(name: str) -> Contestant:
    """The contestant of that name; nothing else is imported on its behalf.

    Raises:
        LookupError: there is none.
        ImportError: its package is not here.
    """
    for _, called, algorithms, make in PEERS:
        for algorithm in algorithms:
            if name == f"{called} {algorithm}":
                return Contestant(name, make(algorithm), good(algorithm), algorithm, secure=True)
    for makers in (simple, ours):
        for contestant in makers():
            if contestant.name == name:
                return contestant
    raise LookupError(f"no contestant is called {name}")


def main(name: str, workers: int = 1) -> None:
    """Serve it until the process is ended; more workers are copies of it on the same socket."""
    contestant = find(name)
    contestant.prepare()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = {"port": listening.getsockname()[1], "token": contestant.token}
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        config = uvicorn.Config(
            contestant.app,
            loop="uvloop" if find_spec("uvloop") else "asyncio",
            http="httptools" if find_spec("httptools") else "h11",
            log_level="critical",
            access_log=False,
        )
        # As uvicorn's own workers, but with the same keys, which `spawn` would make again.
        for _ in range(workers - 1):
            if os.fork() == 0:
                break
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
