"""How long does it take to import the package? Processes of their own, in turns."""

import subprocess
import sys
import time
from statistics import median

from benchmarks.measuring import Effort, Findings

__all__ = ["run"]

_EMPTY = "pass"
_BASE = "import fastapi, jose.jwt, pydantic_settings"
_OURS = "import jwt_deps"
_STATEMENTS = (_EMPTY, "import fastapi", _BASE, _OURS)


def run(effort: Effort) -> Findings:
    """Import everything in turns and compare with what the package is built on."""
    times: dict[str, list[float]] = {statement: [] for statement in _STATEMENTS}
    for _ in range(effort.share(7)):
        for statement, found in times.items():
            found.append(_seconds(statement))
    empty = median(times[_EMPTY])
    over = {statement: median(found) - empty for statement, found in times.items()}
    ratio = median(
        (ours - empty) / (base - empty)
        for ours, base in zip(times[_OURS], times[_BASE], strict=True)
    )
    lines = ["| In a new process | ms over an empty one |", "|---|---:|"]
    lines += [f"| `{name}` | {spent * 1e3:.0f} |" for name, spent in over.items() if name != _EMPTY]
    figures = {"imports/ratio": ratio, "imports/milliseconds": over[_OURS] * 1e3}
    return Findings("Import", figures, "\n".join(lines))


def _seconds(statement: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603 - our own words
    return time.perf_counter() - begun
