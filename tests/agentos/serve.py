"""Run the servers of the tests until standard input ends.

    python -m tests.agentos.serve PLAN.json

Every server is an application of `examples/agentos` under `uvicorn`, in a process of its own with
an environment of its own. Importing agno costs seconds, so most are forked from a process that
has done that already; those marked `cold` are started the way a user starts them. Standard input
ends when pytest does, in whatever way it does.
"""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import TypedDict


class Entry(TypedDict):
    """One line of the plan."""

    target: str
    environment: dict[str, str]
    log: str
    cold: bool


def arguments(entry: Entry) -> list[str]:
    """Return what `uvicorn` is called with: a port that is free, and loopback only."""
    return [entry["target"], "--host", "127.0.0.1", "--port", "0", "--no-use-colors"]


def start_cold(entry: Entry) -> subprocess.Popen[bytes]:
    """Start a server as a user does."""
    with Path(entry["log"]).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - the plan is the tests' own
            [sys.executable, "-m", "uvicorn", *arguments(entry)],
            env=entry["environment"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def become(entry: Entry) -> None:
    """Turn this forked process into a server."""
    from uvicorn.main import main  # noqa: PLC0415 - after agno, see `run`

    log = os.open(entry["log"], os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(entry["environment"])
    main(arguments(entry))


def run(plan: list[Entry]) -> None:
    """Start every server, wait for the end of standard input, stop every server."""
    cold = [start_cold(entry) for entry in plan if entry["cold"]]
    import agno.os  # noqa: F401, PLC0415 - the seconds that no fork has to spend again

    fork = multiprocessing.get_context("fork")
    warm = [fork.Process(target=become, args=(entry,)) for entry in plan if not entry["cold"]]
    try:
        for process in warm:
            process.start()
        sys.stdin.read()
    finally:
        for process in warm:
            process.terminate()
        for popen in cold:
            popen.terminate()
            popen.wait()
        for process in warm:
            process.join()


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text()))
