"""Minutes of failures of the server of revocations, and what tokens were answered meanwhile.

    python -m benchmarks.revocation_chaos
    python -m benchmarks.revocation_chaos --minutes 1 --entries 20000 --seed 7

A Valkey with a replica, three servers, and a process that only revokes. Failures come one after the
other, in an order that the seed decides; the next one begins when all is well again. It prints a
Markdown table, and fails if a bound was not kept.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks.stepping import step_to
from jwt_deps.testing import FakeIssuer
from tests.cli.processes import environment
from tests.providers.programs import unused_port
from tests.revocation.valkey import STREAM, Valkey, evict, fill, until

__all__ = ["Row", "main", "run"]

_STALENESS = 10.0  # seconds: the default
_RECONNECT = 5.0  # a pause of at most 2.4 s, and two time-outs of the connection
_REST = 10  # commands a second of one process: three every half second, and some to spare
_LINES = 10  # of three processes, about each failure: none repeats what it has said
_RECOVERY = 300
_GROWTH = 1.2  # of the memory of a process
_MONTH = 30 * 86_400
_BULK = 40_000
_COMMANDS = ("xread", "xrange", "xinfo|stream", "xadd", "xdel", "exists", "time", "exec", "watch")


class Row(NamedTuple):
    """A line of the table."""

    what: str
    promised: str
    measured: str
    kept: bool = True


@dataclass
class Revoked:
    """A token, and since when it is revoked."""

    jti: str
    since: float


class Process:
    """A program with a wall clock of its own."""

    def __init__(self, folder: Path, name: str, role: str, variables: dict[str, str]) -> None:
        """Prepare; the log is a file in the folder."""
        self.clock, self.log = folder / f"{name}.clock", folder / f"{name}.log"
        self.port = unused_port()
        self.started = self.loaded_at = float("inf")
        self._role, self._variables = role, variables
        step_to(self.clock, 0)

    def start(self, argument: str) -> None:
        """Start it."""
        self.started, self.loaded_at = time.monotonic(), float("inf")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - its own command
                [sys.executable, "-m", "benchmarks.stepping", self._role, self.clock, argument],
                env=environment(**self._variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.communicate()

    def megabytes(self) -> float:
        """Its memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1024**2

    def ask(self, path: str, token: str = "", method: str = "GET") -> tuple[int, Any]:
        """Return status and body of an answer; 0 if there is none."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or "null")
        except (OSError, HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    def tell(self, line: str) -> str:
        """Return what it says to a line."""
        stdin: Any = self.process.stdin
        stdout: Any = self.process.stdout
        stdin.write(f"{line}\n")
        stdin.flush()
        return str(stdout.readline()).strip()


class Chaos:
    """The processes, what happens to them, and what was found."""

    def __init__(self, folder: Path, entries: int, seed: int) -> None:
        """Prepare."""
        self.entries, self.chance = entries, random.Random(seed)  # noqa: S311 - to be repeatable
        self.issuer = FakeIssuer(algorithm="ES256")
        self.issuer.start()
        self.primary, self.standby = Valkey(folder / "a"), Valkey(folder / "b")
        self.url = self.primary.url
        variables = {
            "JWT_ISSUER": self.issuer.issuer,
            "JWT_JWKS_URL": self.issuer.jwks_url,
            "JWT_ALLOW_LOOPBACK": "true",
            "JWT_ALGORITHM": "ES256",
            "JWT_AUDIENCE": "api",
            "JWT_REVOCATION_URL": self.url,
        }
        self.workers = [Process(folder, f"worker{n}", "serve", variables) for n in range(3)]
        self.revoker = Process(folder, "revoker", "revoke", {})
        self.revoked: list[Revoked] = []
        self.unsent: list[Revoked] = []
        self.outages: list[list[float]] = []
        self.stopping = threading.Event()
        self.counts: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.longest: defaultdict[str, float] = defaultdict(float)  # seconds, by what took them
        self.load = self.rate = 0.0
        self.memory: list[float] = []
        self.problems: list[str] = []

    def start(self) -> None:
        """Start everything, and wait until every worker has loaded."""
        for server in (self.primary, self.standby):
            server.folder.mkdir()
            server.start()
            with server.client() as client:
                client.config_set("appendfsync", "no")
        self.primary.initialize()
        fill(self.primary, self.entries, _MONTH, issuer=None)
        with self.standby.client() as client:
            client.replicaof("127.0.0.1", self.primary.port)
        began = time.monotonic()
        for worker in self.workers:
            worker.start(str(worker.port))
        self.revoker.start(self.url)
        until(self._is_well, 600)
        self.load = time.monotonic() - began
        numbers = self.chance.sample(range(self.entries), 200)
        self.revoked = [Revoked(f"{number:032}", time.monotonic()) for number in numbers]
        self.memory = [self.workers[0].megabytes()]

    def stop(self) -> None:
        """Stop everything."""
        for process in (*self.workers, self.revoker):
            with suppress(AttributeError):  # it was not started
                process.kill()
        for server in (self.primary, self.standby):
            server.kill()
        self.issuer.stop()

    # What clients see.

    def watch(self, worker: Process) -> None:
        """Ask a worker about good and revoked tokens until the end."""
        chance = random.Random(worker.port)  # noqa: S311
        refusing: float | None = None
        while not self.stopping.is_set():
            asked = time.monotonic()
            status, _ = worker.ask("/me", self._token("good"))
            refusing = self._judge_good(worker, status, asked, refusing)
            for one in (*self.revoked[-3:], *chance.sample(self.revoked, 3)):
                asked = time.monotonic()
                status, _ = worker.ask("/me", self._token(one.jti))
                self.counts[f"revoked {status}"] += 1
                if status == HTTPStatus.OK and asked > one.since:
                    self._longest("accepted", asked - one.since)
            self.stopping.wait(0.1)

    def _judge_good(
        self, worker: Process, status: int, asked: float, refusing: float | None
    ) -> float | None:
        """Return since when the worker has refused the good token against what is promised."""
        self.counts[f"good {status}"] += 1
        if status == HTTPStatus.OK:
            if worker.loaded_at == float("inf"):
                worker.loaded_at = asked
                self._longest("loading", asked - worker.started)
            return None
        if not status or worker.loaded_at == float("inf"):
            return None
        for begun, ended in self.outages:
            if begun + _STALENESS - 1 <= asked <= ended:
                return None
            if ended <= asked < ended + 60 and refusing is None and asked < ended + _RECONNECT:
                refusing = ended
        refusing = asked if refusing is None else refusing
        if asked - refusing > self.longest["refused"] + 1:
            self._tell(f"  {worker.ask('/health')[1]}")
        self._longest("refused", asked - refusing)
        return refusing

    def _longest(self, what: str, seconds: float) -> None:
        if int(seconds) > int(self.longest[what]):
            self._tell(f"  {what} for {seconds:.1f} s")
        self.longest[what] = max(self.longest[what], seconds)

    @staticmethod
    def _tell(line: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def _token(self, jti: str) -> str:
        # Issued in the past, so that a clock that is stepped back does not refuse it.
        claims = {"sub": "alice", "jti": jti}
        return self.issuer.token(claims, audience="api", now=time.time() - 900, expires_in=7200)

    def revoke(self, *, serving: bool = False) -> Revoked:
        """Revoke a token, by a worker or by the process that only revokes."""
        one = Revoked(f"revoked-{len(self.revoked)}", float("inf"))
        if serving:
            status, _ = self.workers[0].ask(f"/revoke/{one.jti}", method="POST")
            taken = status == HTTPStatus.OK
        else:
            taken = self.revoker.tell(one.jti) == "1"
        if taken:
            one.since = time.monotonic()
        else:
            self.unsent.append(one)
        self.revoked.append(one)
        return one

    # The failures.

    @contextmanager
    def outage(self) -> Iterator[float]:
        """Say that the server is out of reach while the block runs; how long it should take."""
        interval = [time.monotonic(), float("inf")]
        self.outages.append(interval)
        yield self.chance.uniform(1, 20)
        interval[1] = time.monotonic()
        for one in self.unsent:
            one.since = interval[1] + _RECONNECT
        self.unsent.clear()

    def _meanwhile(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.revoke()
        self.revoke(serving=True)
        time.sleep(max(0, end - time.monotonic()))

    def kill(self) -> None:
        """Kill the server, and start it again with what it had."""
        with self.outage() as seconds:
            self.primary.kill()
            self._meanwhile(seconds)
            self.primary.start()
            until(lambda: self._missing() == 0)

    def pause(self) -> None:
        """Stop the server without closing a connection."""
        with self.outage() as seconds:
            self.primary.pause()
            self._meanwhile(seconds)
            self.primary.resume()

    def refuse_writes(self) -> None:
        """The server is full."""
        with self.primary.client() as client:
            client.config_set("maxmemory", 1)
            interval = time.monotonic()
            self._meanwhile(self.chance.uniform(1, 5))
            client.config_set("maxmemory", 0)
        for one in self.unsent:
            one.since = time.monotonic() + _RECONNECT
        self.unsent.clear()
        self._longest("full", time.monotonic() - interval)

    def flush(self) -> None:
        """Delete everything on the server."""
        with self.primary.client() as client:
            client.flushall()

    def delete(self) -> None:
        """Delete the stream."""
        with self.primary.client() as client:
            client.delete(STREAM)

    def evict(self) -> None:
        """Let the server drop the stream."""
        with self.primary.client() as client:
            evict(client)

    def delete_a_record(self) -> None:
        """Delete a record from the stream."""
        with self.primary.client() as client:
            oldest: Any = client.xrange(STREAM, count=50)
            client.xdel(STREAM, self.chance.choice(oldest)[0])

    def fail_over(self) -> None:
        """Promote the replica, without the last revocations."""
        with self.standby.client() as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
            client.replicaof("NO", "ONE")
            lost = [self.revoke() for _ in range(3)]
            token = self._token(lost[-1].jti)
            until(lambda: self.workers[0].ask("/me", token)[0] == HTTPStatus.UNAUTHORIZED)
            port = self.primary.port
            with self.outage():
                self.primary.kill()
                client.config_set("port", port)
        self.primary, self.standby = self.standby, self.primary
        self.primary.port, self.standby.port = port, self.primary.port
        self.standby.start()
        with self.standby.client() as client:
            client.replicaof("127.0.0.1", port)

    def kill_a_worker(self) -> None:
        """Kill a server, and start another in its place."""
        worker = self.chance.choice(self.workers[1:])
        worker.kill()
        worker.start(str(worker.port))

    def step_clocks(self) -> None:
        """Step the clock of each process, by at most five minutes."""
        for process in (*self.workers, self.revoker):
            step_to(process.clock, self.chance.uniform(-300, 300))

    def rotate(self) -> None:
        """Sign with another key from now on."""
        self.issuer.rotate()

    def revoke_in_bulk(self) -> None:
        """Revoke 40,000 tokens at once."""
        names = f"bulk-{len(self.revoked)}-"
        size = min(_BULK, self.entries // 10)
        fill(self.primary, size, _MONTH, names, issuer=None)
        now = time.monotonic()
        numbers = self.chance.sample(range(size), 20)
        self.revoked += [Revoked(f"{names}{number:032}", now) for number in numbers]

    def happen(self, until_then: float) -> None:
        """Let failures happen, each after the other, until the time is up."""
        failures = [
            *(self.kill, self.pause, self.refuse_writes, self.flush, self.delete, self.evict),
            *(self.delete_a_record, self.fail_over, self.kill_a_worker, self.step_clocks),
            *(self.rotate, self.revoke_in_bulk),
        ]
        while True:
            for failure in self.chance.sample(failures, len(failures)):
                if time.monotonic() > until_then:
                    return
                self._tell(failure.__name__)
                self.revoke()
                failure()
                began = time.monotonic()
                self.revoke(serving=True)
                self.revoke()
                self.events[failure.__name__] += 1
                if not self._recovers():
                    self.problems.append(failure.__name__)
                    return
                self._longest("recovery", time.monotonic() - began)
                self._rest()
                self.memory.append(self.workers[0].megabytes())

    def _recovers(self) -> bool:
        with suppress(AssertionError):
            until(self._is_well, _RECOVERY)
            return True
        return False

    def _missing(self) -> int | None:
        with self.primary.client() as client, suppress(redis.RedisError):
            info: Any = client.xinfo_stream(STREAM)
            return int(info["entries-added"]) - int(info["length"])
        return None

    def _is_well(self) -> bool:
        if self._missing() != 0:
            return False
        healths = [worker.ask("/health")[1] for worker in self.workers]
        return all(
            one and one["loaded"] and not (one["unsent"] or one["last_error"]) for one in healths
        )

    def _rest(self) -> None:
        """Count the commands while nothing happens."""
        end = time.monotonic() + _RECOVERY
        rate = float("inf")
        while rate > _REST and time.monotonic() < end:  # some may still look up what they know
            before = self._commands()
            time.sleep(2)
            rate = (self._commands() - before) / 2 / (len(self.workers) + 1)
        self.rate = max(self.rate, rate)

    def _commands(self) -> int:
        with self.primary.client() as client:
            found: Any = client.info("commandstats")
        return sum(found.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in _COMMANDS)

    def rows(self) -> Iterator[Row]:
        """What was found."""
        accepted, refused = self.longest["accepted"], self.longest["refused"]
        good = {status: n for status, n in self.counts.items() if status.startswith("good")}
        bad = {status: n for status, n in self.counts.items() if status.startswith("revoked")}
        yield Row("failures", "", ", ".join(f"{n} {what}" for what, n in self.events.items()))
        yield Row("answers", "", ", ".join(f"{n:,} {what}" for what, n in {**good, **bad}.items()))
        yield Row(
            "a revoked token is accepted",
            f"for at most {_STALENESS:g} s",
            f"{accepted:.1f} s",
            accepted <= _STALENESS,
        )
        yield Row(
            "a good token is refused while the server is in reach",
            f"for at most {_RECONNECT:g} s",
            f"{refused:.1f} s",
            refused <= _RECONNECT,
        )
        yield Row("a process starts (first load, of three at once)", "", f"{self.load:.1f} s")
        yield Row("a process starts again", "", f"{self.longest['loading']:.1f} s")
        yield Row(
            "until all is well again",
            f"at most {_RECOVERY} s",
            f"{self.longest['recovery']:.1f} s {' '.join(self.problems)}".strip(),
            not self.problems,
        )
        yield Row(
            "commands a second of one process at rest",
            f"at most {_REST}",
            f"{self.rate:.1f}",
            self.rate <= _REST,
        )
        lines = sum(self._lines(one) for one in self.workers)
        yield Row(
            "lines in the logs, without those of refused requests",
            f"at most {_LINES} for each failure",
            f"{lines}",
            lines <= _LINES * self.events.total(),
        )
        third, end = max(self.memory[: len(self.memory) // 3 + 1]), self.memory[-1]
        yield Row(
            "memory of a process",
            f"at the end at most {_GROWTH:g} times the first third",
            f"{self.memory[0]:.0f} MiB loaded, {third:.0f} MiB, {end:.0f} MiB",
            end <= third * _GROWTH,
        )

    @staticmethod
    def _lines(process: Process) -> int:
        lines = process.log.read_bytes().splitlines()
        return sum(not line.startswith(b"request refused") for line in lines)


def run(minutes: float, entries: int, seed: int) -> list[Row]:
    """Let failures happen, and return the table."""
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), entries, seed)
        watchers = [
            threading.Thread(target=chaos.watch, args=(worker,)) for worker in chaos.workers
        ]
        try:
            chaos.start()
            for watcher in watchers:
                watcher.start()
            chaos.happen(time.monotonic() + minutes * 60)
            chaos.stopping.set()
            for watcher in watchers:
                watcher.join()
            return list(chaos.rows())
        finally:
            chaos.stopping.set()
            chaos.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run it, print the table, and say by the exit status whether the bounds were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    rows = run(given.minutes, given.entries, given.seed)
    lines = ["| What | Promised | Measured |", "|---|---|---|"]
    for row in rows:
        broken = "" if row.kept else " **broken**"
        lines.append(f"| {row.what} | {row.promised} | {row.measured}{broken} |")
    sys.stdout.write("\n".join(lines) + f"\n\nload of the machine: {os.getloadavg()}\n")
    return int(not all(row.kept for row in rows))


if __name__ == "__main__":
    sys.exit(main())
