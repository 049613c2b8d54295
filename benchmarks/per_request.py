"""The cost that each dependency adds to a request.

Every application is asked in one process, without a server, taking turns with the bare one. Those
that say they check tokens are first held to it.
"""

import asyncio
import sys
from collections.abc import Coroutine
from importlib import import_module
from typing import Any, TypeVar

from benchmarks.contestants import BARE, NOOP, Contestant, ours, simple
from benchmarks.driving import bars, flaws, requests_of
from benchmarks.measuring import Effort, Findings, Measured, take_turns
from benchmarks.peers import peers

__all__ = ["in_a_loop", "run"]

_WHY = """\
`added` is what a request costs more than on a bare route, in microseconds when all is quiet;
`units` is the same in no-op class dependencies, the cheapest dependency that FastAPI can have.
Every contestant was first checked to accept the good token and to refuse one with a tampered
signature, with changed claims, expired, with `alg` none, and no token."""

T = TypeVar("T")


def run(effort: Effort) -> Findings:
    """Measure all contestants that are here."""
    return in_a_loop(_run(effort))


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run it in uvloop where that is installed, as a server would."""
    try:
        factory = import_module("uvloop").new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


async def _run(effort: Effort) -> Findings:
    here, notes = list[Contestant](), list[str]()
    for found in (*simple(), *ours(), *peers()):
        if not isinstance(found, Contestant):
            notes.append(f"- {found[0]} did not take part: {found[1]}.")
            continue
        wrong = await flaws(found)
        if any(map(bars, wrong)):
            notes.append(f"- {found.name} did not take part: {', '.join(wrong)}.")
            continue
        here.append(found)
        if wrong:
            notes.append(f"- {found.name} refuses with a server error: {', '.join(wrong)}.")
    slices = {contestant.name: requests_of(contestant) for contestant in here}
    measured = await take_turns(slices.pop(BARE), slices, effort)
    figures = {f"requests/ratio/{name}": it.ratio for name, it in measured.items()}
    figures |= {f"requests/added/{name}": it.added for name, it in measured.items()}
    base = next(iter(measured.values())).base
    figures |= {"requests/bare": base, "requests/unit": measured[NOOP].added}
    loop = "uvloop" if "uvloop" in sys.modules else "asyncio"
    lines = [
        f"The bare route costs {base:.1f} µs ({loop}), a unit is {measured[NOOP].added:.1f} µs.",
        "",
        _WHY,
        "",
        *_table(measured),
    ]
    if notes:
        lines += ["", *notes]
    return Findings("Per request, in process", figures, "\n".join(lines))


def _table(measured: dict[str, Measured]) -> list[str]:
    unit = measured[NOOP].added
    lines = [
        "| What stands before the route | added µs | units | ratio to bare | quartiles |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, it in sorted(measured.items(), key=lambda row: row[1].ratio):
        lines.append(
            f"| {name} | {it.added:.1f} | {it.added / unit:.1f} | {it.ratio:.2f} | "
            f"{it.low:.2f}-{it.high:.2f} |"
        )
    return lines
