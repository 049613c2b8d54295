"""Revocations of a service in many processes: each has a replica, fed by Redis or Valkey.

A request is answered from the replica and never waits for the network. A thread reads the stream
of revocations from its beginning and follows it. Without an answer of the server for
`max_staleness` seconds the replica is stale, and the policy applies: `refuse`, or `serve` and
report it. A replica drops no entry before its end, and returns entries to a server that has lost
them. Until it has read all entries once, every token is refused with 503.
"""

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, count, islice
from typing import Any

from jwt_deps.concurrency import Backoff, ForkSafeLock, uptime
from jwt_deps.errors import ConfigurationError, RevocationUnavailableError, is_number

from .entries import Revocation
from .memory import MONTH, SESSION_CLAIMS, SUBJECT_CLAIMS, Revocations
from .redis_stream import BATCH, START, RevocationStore, time_of

logger = logging.getLogger("jwt_deps")

_HEARTBEAT = 0.5  # seconds after which a silent server is asked whether it has lost entries
_SHORTEST_STALENESS = 2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_RECENT = 10_000  # entries that are known to be lost if their records are
_RETURN = 1.0  # seconds for each process to see that something is missing
_SETTLED = 5.0  # seconds after which a process would have heard of a loss before its load
_LONGEST_WAIT = 5.0  # seconds for the first load when a service starts, and for the thread to end


class WhenStale(StrEnum):
    """What happens to tokens when the replica is stale: `refuse` them with 503, or `serve`."""

    REFUSE = "refuse"
    SERVE = "serve"


@dataclass(frozen=True, slots=True)
class RevocationHealth:
    """The state of the replica of this process, for a readiness endpoint to report.

    Attributes:
        loaded: whether every entry was read at least once.
        stale: whether `max_staleness` has passed without an answer of the server.
        serving_stale: whether tokens are accepted although it is stale.
        age: seconds since the last answer of the server; `None` before the first.
        entries: the number of entries.
        skipped: the number of entries on the server that have an unknown form: damaged, or written
            by a newer version of this package.
        unsent: the number of revocations of this process that the server has not taken yet.
        last_error: the class of the error of the last attempt; `Incomplete` when the server does
            not have all entries, `UnsupportedServer` when it is older than Redis 7; `None` when it
            succeeded.
    """

    loaded: bool
    stale: bool
    serving_stale: bool
    age: float | None
    entries: int
    skipped: int
    unsent: int
    last_error: str | None


class Incomplete(Exception):  # noqa: N818 - the name is what health and log say
    """The server does not have all revocations."""


class RedisRevocations(Revocations):
    """The revocations of a service in many processes, kept by Redis or Valkey."""

    def __init__(  # noqa: PLR0913 - what can be set
        self,
        url: str,
        *,
        prefix: str = "jwt-deps:revocations",
        max_staleness: float = 10,
        when_stale: WhenStale | str = WhenStale.REFUSE,
        session_claims: str | Sequence[str] = SESSION_CLAIMS,
        subject_claims: str | Sequence[str] = SUBJECT_CLAIMS,
        longest_lifetime: float = MONTH,
    ) -> None:
        """Prepare. The server is first asked when an application starts, or with the first token.

        Args:
            url: a `redis://`, `rediss://` or `unix://` address.
            prefix: of the keys on the server; services with the same one share revocations.
            max_staleness: seconds without an answer of the server after which `when_stale`
                applies; 2 or more.
            when_stale: `refuse` tokens with 503, or `serve` and report it in `health` and the log.
            session_claims: the claims that name a session; dotted paths reach into nested ones.
            subject_claims: the claims that name a user, likewise.
            longest_lifetime: the lifetime of the longest-lived token in seconds; for so long an
                entry is kept that does not say when its token expires.

        Raises:
            ConfigurationError: the extra `jwt-deps[redis]` is not installed, or a value cannot
                work.

        Example:
            ```python
            revocations = RedisRevocations("redis://localhost")
            settings = JWTSettings(revocation=revocations)
            ```
        """
        if not is_number(max_staleness) or max_staleness < _SHORTEST_STALENESS:
            raise ConfigurationError(
                "revocation_staleness",
                "JWT_REVOCATION_MAX_STALENESS (max_staleness) must be 2 seconds or more: the "
                "server is asked for an answer every half second.",
            )
        super().__init__(session_claims, subject_claims, longest_lifetime)
        self._max_staleness = max_staleness
        self._serves_stale = WhenStale(when_stale) is WhenStale.SERVE
        self._timeout = min(2.0, max_staleness / 2)
        self._address = (url, prefix)
        self._epochs = count()
        self._reader: threading.Thread | None
        self._stop: threading.Event
        self._unsent: deque[Revocation] = deque()
        self._server_time = 0.0
        self._stale_logged = False
        self._begin_anew()
        self._lock = ForkSafeLock()
        _instances.add(self)

    def is_revoked(self, claims: Mapping[str, Any]) -> bool:
        """Return whether the token with these claims was revoked, by the replica.

        Args:
            claims: the claims of a token that passed every other check.

        Raises:
            RevocationUnavailableError: the replica is stale and `when_stale` is `refuse`, or it
                was never loaded; 503.
        """
        # Before the entries are: a load that ends meanwhile says nothing of what they were then.
        is_fresh, is_loaded = uptime() < self._fresh_until, self._loaded.is_set()
        revoked = self._entries.match(claims)
        # A revoked token stays so, however old the replica is.
        if not (revoked or is_fresh):
            self._answer_stale(is_loaded=is_loaded)
        return revoked

    def initialize(self) -> None:
        """Declare that the server has all entries, once, before the first process starts.

        Until then it is taken for one that has lost entries, and processes that have not read all
        of them before answer with 503.

        Raises:
            RevocationUnavailableError: the server does not answer, or takes no writes.
        """
        try:
            self._store.declare_whole()
        except self._store.errors as error:
            self._failed("written", error)
            raise RevocationUnavailableError from None

    def _now(self) -> float:
        # The later of two clocks: a revocation that reaches too far is the lesser evil.
        with suppress(*self._store.errors):
            self._server_time = self._store.time()
        return max(time.time(), self._server_time)

    def _add(self, entry: Revocation, now: float) -> None:  # noqa: ARG002 - the clocks of two
        self._entries.drop_ended(self._ended())
        self._entries.add(entry)
        try:
            self._store.add([entry])
        except self._store.errors as error:
            self._unsent.append(entry)
            self._failed("written", error)
            self._begin()
            raise RevocationUnavailableError from None
        with suppress(*self._store.errors):
            self._store.sweep(self._server_time)

    def open(self) -> None:
        """Load the replica and follow the stream; waits for the load for at most five seconds."""
        self._begin()
        self._loaded.wait(_LONGEST_WAIT)

    def close(self) -> None:
        """Stop following the stream, until the next look-up begins again."""
        with self._lock():
            reader, self._reader = self._reader, None
            self._stop.set()
        if reader is not None:
            reader.join(_LONGEST_WAIT)
        self._store.close()

    def health(self) -> RevocationHealth:
        """Return the state of the replica."""
        now = uptime()
        stale = now >= self._fresh_until
        seen, loaded = self._answered_at > float("-inf"), self._loaded.is_set()
        return RevocationHealth(
            loaded=loaded,
            stale=stale,
            serving_stale=stale and loaded and self._serves_stale,
            age=now - self._answered_at if seen else None,
            entries=len(self),
            skipped=self._skipped,
            unsent=len(self._unsent),
            last_error=next(iter(self._errors.values()), None),
        )

    def after_fork(self) -> None:
        """Start again in a forked process, which has neither the thread nor the connections."""
        self._unsent.clear()  # the parent sends it
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._store = RevocationStore(*self._address, self._timeout)
        self._reader = None
        self._stop, self._loaded = threading.Event(), threading.Event()
        self._answered_at = self._fresh_until = float("-inf")
        self._errors: dict[str, str] = {}  # the class of each, by what failed
        self._retry_at = self._settled_at = self._whole_at = float("-inf")
        self._recent: deque[tuple[bytes, Revocation]] = deque(maxlen=_RECENT)
        self._may_lack = True
        self._lacking: Iterator[Revocation] = iter(())
        self._read_from_start()

    def _read_from_start(self) -> None:
        self._last = START
        self._skipped = 0
        self._recent.clear()
        self._missing: int | None = None
        self._unchecked: tuple[bytes, bytes] | None = None
        self._epoch = next(self._epochs)

    def _ended(self) -> float:
        """Return the time until which entries have ended, by the server's clock and by ours."""
        return min(time.time(), self._server_time)

    def _answer_stale(self, *, is_loaded: bool) -> None:
        self._begin()
        # A replica that was never loaded knows no revocations, so it cannot serve either.
        if not (self._serves_stale and is_loaded):
            raise RevocationUnavailableError
        if not self._stale_logged:
            self._stale_logged = True
            logger.error("revocations are stale, and tokens are accepted all the same")

    def _begin(self) -> None:
        with self._lock():
            if self._reader is None or not self._reader.is_alive():
                self._may_lack = True  # what was revoked before this thread began
                self._stop = threading.Event()
                self._reader = threading.Thread(
                    target=self._run, args=(self._stop,), name="jwt-deps-revocations", daemon=True
                )
                self._reader.start()

    def _run(self, stop: threading.Event) -> None:
        backoff, wait = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE), 0.0
        while not stop.is_set():
            try:
                wait = self._follow(wait)
                backoff.succeed()
            except Exception as error:  # noqa: BLE001 - else each request would start a thread
                self._failed("read", error)
                self._may_lack = True  # a crash may have lost what was not read yet
                backoff.fail(0)
                stop.wait(backoff.retry_at)
                wait = 0.0

    def _follow(self, wait: float) -> float:
        """Read on, send what the server lacks, and return how long the next read may wait."""
        asked = uptime()
        read = self._store.read(self._last, wait)
        if read is None:
            self._recover()
            return 0.0
        for _, entry in read.entries:
            self._entries.add(entry, self._epoch)
        self._recent.extend(read.entries)
        self._last = read.last
        self._skipped += read.skipped
        self._server_time = max(self._server_time, time_of(read.last))
        if read.is_older and uptime() < self._settled_at:
            self._forget()  # that copy may be what this process began with
        if not read.is_last:
            self._sent(all_read=False)
            return 0.0
        self._entries.drop_ended(self._ended())
        self._compare(read.missing)
        if not read.missing or self._loaded.is_set():
            self._refreshed(asked)
        else:
            self._failed("read", Incomplete())
        if self._checked():
            return 0.0
        if self._may_lack:
            self._may_lack = False
            self._lacking = self._entries.unseen(self._epoch)
        return 0.0 if self._sent(all_read=True) else _HEARTBEAT

    def _compare(self, missing: int) -> None:
        """Compare what is missing on the server with what was missing before."""
        if missing == self._missing:
            return
        if missing and self._missing is not None:
            self._doubt()
            # Which ones is not known: all that was read is looked up.
            self._epoch = next(self._epochs)
            self._unchecked = (START, self._last)
        self._missing = missing
        self._whole_at = uptime() + _RETURN

    def _doubt(self) -> None:
        """Return what the server has lost, and answer meanwhile if this process knows it all."""
        logger.warning("the server has lost revocations: those of this process are returned")
        self._may_lack = True
        # Others may have revoked more while it was out of reach.
        if uptime() >= self._fresh_until and not self._serves_stale:
            self._forget()

    def _forget(self) -> None:
        self._loaded.clear()
        self._fresh_until = float("-inf")

    def _recover(self) -> None:
        """Go back to the last record that the server still has."""
        recent = list(self._recent)
        held = self._store.held(recent[0][0], self._last) if recent else ()
        kept = [record for record, _ in recent if record in held]
        if kept:
            logger.warning("the server has lost its last revocations: they are returned")
            for record, entry in recent:
                if record not in held:
                    self._entries.add(entry)
            self._may_lack = True
            self._last = kept[-1]
            return
        self._doubt()
        # First the last ones: other processes may not have read them.
        self._unsent.extend(entry for _, entry in reversed(recent))
        self._read_from_start()
        with suppress(*self._store.errors):  # this process may not be allowed to write
            self._compare(self._store.declare_missing())

    def _checked(self) -> bool:
        """Look up the next of the records that were read before; return whether there were any."""
        if self._unchecked is None:
            return False
        after, until = self._unchecked
        entries, last = self._store.page(after, until)
        for entry in entries:
            self._entries.add(entry, self._epoch)
        self._unchecked = None if last is None else (last, until)
        return True

    def _sent(self, *, all_read: bool) -> bool:
        """Send the next entries that the server lacks; return whether there were any.

        Before all was read, only those that could not be sent: so reading keeps up with others.
        """
        now = uptime()
        if now < self._retry_at:
            return False
        candidates = chain(self._pop_unsent(), self._lacking if all_read else ())
        lacking = (it for it in candidates if self._entries.is_unseen(it, self._epoch))
        batch = list(dict.fromkeys(islice(lacking, BATCH)))
        try:
            if batch:
                self._store.add(batch)
            elif all_read and self._missing and self._loaded.is_set() and now >= self._whole_at:
                self._store.declare_whole(self._missing)
            else:
                return False
            self._errors.pop("written", None)
        except self._store.errors as error:
            self._unsent.extend(batch)
            self._retry_at = now + _LONGEST_PAUSE
            self._failed("written", error)
            return False
        return True

    def _pop_unsent(self) -> Iterator[Revocation]:
        while self._unsent:
            yield self._unsent.popleft()

    def _refreshed(self, at: float) -> None:
        self._errors.pop("read", None)
        self._stale_logged = False
        self._answered_at = at
        self._fresh_until = at + self._max_staleness
        if not self._loaded.is_set():
            self._settled_at = uptime() + _SETTLED
            self._loaded.set()

    def _failed(self, what: str, error: Exception) -> None:
        if what == "written":  # the next attempt is by a new connection, to a new primary
            self._store.reconnect()
        kind = type(error).__name__  # its message may hold what the server sent
        if self._errors.get(what) != kind:
            logger.warning("revocations cannot be %s: %s", what, kind)
        self._errors[what] = kind


_instances: weakref.WeakSet[RedisRevocations] = weakref.WeakSet()


def _after_fork() -> None:
    for one in list(_instances):
        one.after_fork()


# Windows has no `fork`.
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_after_fork)
