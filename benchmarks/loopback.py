"""Requests per second of a server with one worker and with two, compared with a bare one.

Each contestant is a server process of its own, under load between two runs of the bare one.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.contestants import AGAIN, BARE, NOOP
from benchmarks.load import Answered, load
from benchmarks.measuring import Effort, Findings
from benchmarks.peers import AGENTOS
from benchmarks.per_request import in_a_loop

__all__ = ["SERVED", "run"]

_ROOT = Path(__file__).parent.parent
_SECONDS = 1.0
SERVED = (
    AGAIN,
    NOOP,
    "jwt-deps: token seen before HS256",
    "jwt-deps: token seen before RS256",
    "jwt-deps: new token HS256",
    "jwt-deps: new token RS256",
    f"{AGENTOS} HS256",
    f"{AGENTOS} RS256",
    "authx HS256",
    "fastapi-azure-auth RS256",
    "auth0-fastapi-api RS256",
    "jwks-client RS256",
)
_WITH_TWO = SERVED[: SERVED.index("authx HS256")]
_WHY = """\
uvicorn with {workers}, {connections} connections that are kept alive, {rounds} rounds of
{seconds:g} s each, each between two runs of the bare server; medians. {beside}"""
_BESIDE = {
    1: "A cell is right to about ten\nper cent.",
    2: "The load shares the CPUs\nwith the workers: its part is in every rate.",
}


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[str]
    port: int
    token: str | None


def run(effort: Effort) -> Findings:
    """Serve them all, and ask them in turns: by one worker each, then by two."""
    figures: dict[str, float] = {}
    # Two first: after the other this process, and what it starts, stays on one CPU.
    two = _compare(2, SERVED[2:3] if effort.quick else _WITH_TWO, effort, figures)
    one = _compare(1, SERVED[2:3] if effort.quick else SERVED, effort, figures)
    return Findings("Over loopback", figures, "\n".join([*one, "", *two]))


def _compare(
    workers: int, names: tuple[str, ...], effort: Effort, figures: dict[str, float]
) -> list[str]:
    """Serve each by so many workers, add its figures, and return the lines of the report."""
    rounds = effort.share(20)
    absent: list[str] = []
    with _servers((BARE, *names), workers, absent) as servers:
        if workers == 1:
            _pin(os.getpid(), 1, effort)
        for name, server in list(servers.items()):
            if workers == 1:
                _pin(server.process.pid, 0, effort)
            try:
                _ask(server, effort)
            except (OSError, RuntimeError):
                _end(servers.pop(name).process)
                absent.append(name)
        found = _rounds(servers, rounds, effort)
    bare = found.pop(BARE)
    group = "loopback" if workers == 1 else f"loopback by {workers}"
    figures[f"{group}/bare"] = median(it.per_second for it in bare)
    lines = [
        _WHY.format(
            workers="one worker" if workers == 1 else f"{workers} workers",
            connections=16,
            rounds=rounds,
            seconds=_SECONDS,
            beside=_BESIDE[workers],
        ),
        "",
        "| Server | req/s | of bare's | p50 ms | times bare's | p99 ms | times bare's |",
        "|---|---:|---:|---:|---:|---:|---:|",
        _row(BARE, bare, (1.0, 1.0, 1.0)),
    ]
    for name, answers in found.items():
        # Round by round, the runs of the bare server before and after this one.
        at = list(found).index(name)
        beside = [_between(bare[number * (len(found) + 1) + at :][:2]) for number in range(rounds)]
        ratios = tuple(
            median(
                getattr(it, what) / getattr(base, what)
                for it, base in zip(answers, beside, strict=True)
            )
            for what in ("per_second", "p50", "p99")
        )
        figures[f"{group}/rate/{name}"], _, figures[f"{group}/p99/{name}"] = ratios
        lines.append(_row(name, answers, ratios))
    if absent:
        lines += ["", *(f"- {it} is not here, or does not answer: not served." for it in absent)]
    return lines


def _rounds(servers: dict[str, _Server], rounds: int, effort: Effort) -> dict[str, list[Answered]]:
    found: dict[str, list[Answered]] = {name: [] for name in servers}
    for _ in range(rounds):
        found[BARE].append(_ask(servers[BARE], effort))
        for name, server in servers.items():
            if name != BARE:
                found[name].append(_ask(server, effort))
                found[BARE].append(_ask(servers[BARE], effort))
    return found


def _ask(server: _Server, effort: Effort) -> Answered:
    seconds = 0.05 if effort.quick else _SECONDS
    return in_a_loop(load(server.port, server.token, seconds))


def _between(pair: list[Answered]) -> Answered:
    one, other = pair
    return Answered(
        (one.per_second + other.per_second) / 2,
        (one.p50 + other.p50) / 2,
        (one.p99 + other.p99) / 2,
    )


def _row(name: str, answers: list[Answered], ratios: tuple[float, ...]) -> str:
    rate, p50, p99 = (
        median(getattr(it, what) for it in answers) for what in ("per_second", "p50", "p99")
    )
    return (
        f"| {name} | {rate:,.0f} | {ratios[0]:.2f} | {p50:.2f} | {ratios[1]:.2f} | "
        f"{p99:.2f} | {ratios[2]:.2f} |"
    )


@contextmanager
def _servers(
    names: tuple[str, ...], workers: int, absent: list[str]
) -> Iterator[dict[str, _Server]]:
    """Start a server for each name, one after the other, and end them all."""
    servers: dict[str, _Server] = {}
    try:
        for name in names:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "benchmarks.server", name, str(workers)],
                cwd=_ROOT,
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            said = process.stdout.readline() if process.stdout is not None else ""
            if not said:
                _end(process)
                absent.append(name)
                continue
            servers[name] = _Server(process, **json.loads(said))
        yield servers
    finally:
        for server in servers.values():
            _end(server.process)


def _end(process: subprocess.Popen[str]) -> None:
    """End it and its other worker, which is a process of its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _pin(process: int, cpu: int, effort: Effort) -> None:
    """Servers on one CPU and the load on another, where there are two and the system can."""
    if effort.quick or not hasattr(os, "sched_setaffinity"):
        return
    cpus = sorted(os.sched_getaffinity(0) | set(range(os.cpu_count() or 1)))
    if len(cpus) > 1:
        os.sched_setaffinity(process, {cpus[cpu]})
