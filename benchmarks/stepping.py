"""A process of the chaos run, with a wall clock that the run can step.

    python -m benchmarks.stepping serve CLOCK PORT
    python -m benchmarks.stepping revoke CLOCK URL

`serve` is the guarded application of the revocation tests. `revoke` revokes each `jti` that it
reads, and says whether the server took it. CLOCK is a file with the difference in seconds.
"""

import importlib
import mmap
import struct
import sys
import time
from pathlib import Path

SIZE = struct.calcsize("d")


def _step(clock: Path) -> None:
    """Have `time.time` differ from the machine's clock by what the file says."""
    with clock.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), SIZE)
    machine = time.time
    time.time = lambda: machine() + float(struct.unpack_from("d", shared)[0])


def step_to(clock: Path, seconds: float) -> None:
    """Set the difference of a process's clock."""
    with clock.open("r+b" if clock.exists() else "w+b") as file:
        file.write(struct.pack("d", seconds))


def _revoke(url: str) -> None:
    jwt_deps = importlib.import_module("jwt_deps")
    revocations = jwt_deps.RedisRevocations(url)
    for line in sys.stdin:
        try:
            revocations.revoke(jti=line.strip())
            taken = True
        except jwt_deps.RevocationUnavailableError:
            taken = False
        sys.stdout.write(f"{taken:d}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    role, clock, argument = sys.argv[1:]
    _step(Path(clock))  # before anything takes `time.time` as a default
    if role == "serve":
        importlib.import_module("uvicorn").run(
            "tests.revocation.application:app", port=int(argument), log_level="critical"
        )
    else:
        _revoke(argument)
