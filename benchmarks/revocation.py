"""The cost of revocation with a million entries, and its delay with a real Valkey.

    python -m benchmarks.revocation
    python -m benchmarks.revocation --entries 100000

It prints one Markdown table.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from jwt_deps import MemoryRevocations, RedisRevocations
from tests.revocation.valkey import STREAM, Valkey, until, valkey

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


def _filled(server: Valkey, entries: int, spread: int) -> None:
    """Write entries as they are stored, faster than by revoking each.

    Their ends are spread over `spread` seconds.
    """
    now = int(time.time()) + 3600
    with server.client() as client:
        client.config_set("appendfsync", "no")
        for first in range(0, entries, 5000):
            pipe = client.pipeline(transaction=False)
            for number in range(first, min(first + 5000, entries)):
                end = now + number * 7919 % spread
                entry = ["jti", "https://issuer.example", f"{number:032}", end]
                pipe.xadd(STREAM, {"e": json.dumps({"e": [entry]})})
            pipe.execute()


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
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as server:
        _filled(server, entries, _MONTH)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        one = RedisRevocations(server.url)
        seconds = until(lambda: _is_loaded(one), 300)
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        count = len(one)
        look_up = _per_call(lambda: one.is_revoked(_CLAIMS))
        with tempfile.TemporaryDirectory() as other, valkey(Path(other)) as second:
            first, last = RedisRevocations(second.url), RedisRevocations(second.url)
            first.open()
            last.open()
            spread = _propagation(first, last, 300)
            first.close()
            last.close()
        one.close()
    together = _load_together(entries)
    rows = {
        "Entries in the replica": f"{count:,}",
        "Load at start, ends spread over 30 days": f"{seconds:.1f} s",
        "Load at start, ends within a minute": f"{together:.1f} s",
        "Memory of the replica": f"{memory:.0f} MiB",
        "Cost per request, no entries": f"{_per_call(lambda: empty.is_revoked(_CLAIMS)):.0f} ns",
        "Cost per request, all entries": f"{look_up:.0f} ns",
        "Propagation, p50": f"{median(spread):.1f} ms",
        "Propagation, p99": f"{quantiles(spread, n=100)[98]:.1f} ms",
    }
    lines = ["| What | Measured |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]
    sys.stdout.write("\n".join(lines) + "\n")


def _load_together(entries: int) -> float:
    """Seconds to load entries that end within a minute."""
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as server:
        _filled(server, entries, 60)
        replica = RedisRevocations(server.url)
        seconds = until(lambda: _is_loaded(replica), 300)
        replica.close()
    return seconds


def _is_loaded(replica: RedisRevocations) -> bool:
    if not replica.health().loaded:
        replica.open()
    health = replica.health()
    return health.loaded and not health.stale


if __name__ == "__main__":
    main()
