"""The time to import the package, in new processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from statistics import median

from benchmarks.measuring import Effort, Findings

__all__ = ["BASE", "EMPTY", "OURS", "run", "seconds_in_turn"]

EMPTY = "pass"
BASE = "import fastapi, jose.jwt, pydantic_settings"
OURS = "import jwt_deps"
_STATEMENTS = (EMPTY, "import fastapi", BASE, OURS)


def run(effort: Effort) -> Findings:
    """Import everything in turns and compare with what the package is built on."""
    times = seconds_in_turn(_STATEMENTS, effort.share(7))
    empty = median(times[EMPTY])
    over = {statement: median(found) - empty for statement, found in times.items()}
    ratio = median(
        (ours - empty) / (base - empty) for ours, base in zip(times[OURS], times[BASE], strict=True)
    )
    lines = ["| In a new process | ms over an empty one |", "|---|---:|"]
    lines += [f"| `{name}` | {spent * 1e3:.0f} |" for name, spent in over.items() if name != EMPTY]
    figures = {"imports/ratio": ratio, "imports/milliseconds": over[OURS] * 1e3}
    return Findings("Import", figures, "\n".join(lines))


def seconds_in_turn(
    statements: Iterable[str], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Run each statement in a process of its own, in turn, and return the seconds of each."""
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    # Installed packages are compiled; a checkout would be compiled by each process.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    for _ in range(rounds):
        for statement, found in times.items():
            begun = clock()
            subprocess.run([sys.executable, "-c", statement], check=True, env=environment)  # noqa: S603 - our own words
            found.append(clock() - begun)
    return times
