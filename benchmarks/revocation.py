"""The cost of revocation with a million entries, and its delay with a real Valkey.

    python -m benchmarks.revocation
    python -m benchmarks.revocation --entries 100000

It prints one Markdown table.
"""

import argparse
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from jwt_deps import MemoryRevocations, RedisRevocations, RevocationUnavailableError
from tests.revocation.valkey import Valkey, fill, until, valkey

__all__ = ["main"]

_MONTH = 30 * 24 * 60 * 60
_CLAIMS = {"iss": "https://issuer.example", "jti": "x", "sub": "alice", "sid": "s", "iat": 1}


def _per_call(call: Callable[[], object]) -> float:
    """Nanoseconds, the median of several rounds."""
    rounds = []
    for _ in range(7):
        began = time.perf_counter_ns()
        for _ in range(20_000):
            call()
        rounds.append((time.perf_counter_ns() - began) / 20_000)
    return median(rounds)


@contextmanager
def _filled(entries: int, spread: int) -> Iterator[Valkey]:
    """A server with entries whose ends are spread over `spread` seconds."""
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as server:
        with server.client() as client:
            client.config_set("appendfsync", "no")
        fill(server, entries, spread)
        yield server


class _Load(NamedTuple):
    seconds: float
    processor: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.processor:.1f} s of CPU)"


def _loaded(replica: RedisRevocations) -> _Load:
    processor = time.process_time()
    seconds = until(lambda: _is_loaded(replica), 300)
    return _Load(seconds, time.process_time() - processor)


def _refused_in_bulk(entries: int) -> float:
    """Seconds in which a replica with the shortest bound answers 503 during a bulk revocation."""
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as server:
        replica = RedisRevocations(server.url, max_staleness=2)
        replica.open()
        thread = threading.Thread(target=fill, args=(server, entries, _MONTH))
        thread.start()
        refused, last = 0.0, time.perf_counter()
        while thread.is_alive() or len(replica) < entries:
            time.sleep(0.001)
            began, last = last, time.perf_counter()
            try:
                replica.is_revoked(_CLAIMS)
            except RevocationUnavailableError:
                refused += last - began
        replica.close()
    return refused


def _propagation(one: RedisRevocations, two: RedisRevocations, times: int) -> list[float]:
    """Milliseconds from the beginning of a revocation to its effect in another replica."""
    found = []
    for number in range(times):
        jti = f"new-{number}"
        claims = {**_CLAIMS, "jti": jti}
        began = time.perf_counter()
        one.revoke(jti=jti)
        while not two.is_revoked(claims):
            time.sleep(0.0001)
        found.append((time.perf_counter() - began) * 1000)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries: int = parser.parse_args(arguments).entries
    empty = MemoryRevocations()
    with _filled(entries, _MONTH) as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        replica = RedisRevocations(server.url)
        load = _loaded(replica)
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        count = len(replica)
        look_up = _per_call(lambda: replica.is_revoked(_CLAIMS))
        replica.close()
    with _filled(entries, 60) as server:
        together = RedisRevocations(server.url)
        load_together = _loaded(together)
        together.close()
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as server:
        first, last = RedisRevocations(server.url), RedisRevocations(server.url)
        first.open()
        last.open()
        delay = _propagation(first, last, 300)
        first.close()
        last.close()
    rows = {
        "Entries in the replica": f"{count:,}",
        "Load at start, ends spread over 30 days": load,
        "Load at start, ends within a minute": load_together,
        "Memory of the replica": f"{memory:.0f} MiB",
        "Cost per request, no entries": f"{_per_call(lambda: empty.is_revoked(_CLAIMS)):.0f} ns",
        "Cost per request, all entries": f"{look_up:.0f} ns",
        "Propagation, p50": f"{median(delay):.1f} ms",
        "Propagation, p99": f"{quantiles(delay, n=100)[98]:.1f} ms",
        "503 during a bulk revocation of 40,000": f"{_refused_in_bulk(40_000):.1f} s",
    }
    lines = ["| What | Measured |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]
    sys.stdout.write("\n".join(lines) + "\n")


def _is_loaded(replica: RedisRevocations) -> bool:
    if not replica.health().loaded:
        replica.open()
    health = replica.health()
    return health.loaded and not health.stale


if __name__ == "__main__":
    main()
