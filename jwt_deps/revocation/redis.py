"""Revocations of a service in many processes: each has a replica, fed by Redis or Valkey.

A request is answered from the replica and never waits for the network. A thread fills the replica
at start and follows a stream of changes. Without an answer of the server for `max_staleness`
seconds the replica is stale, and the policy applies: `refuse`, or `serve` and report it. A replica
drops no entry before its end, and returns entries to a server that has lost them. Until it has
been loaded once, every token is refused with 503.
"""

import logging
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jwt_deps.concurrency import ForkSafeLock
from jwt_deps.errors import ConfigurationError, RevocationUnavailableError

from .entries import Revocation
from .memory import MONTH, SESSION_CLAIMS, SUBJECT_CLAIMS, Revocations
from .redis_stream import BATCH, Position, RevocationStore, Update

__all__ = ["RedisRevocations", "RevocationHealth", "WhenStale"]

logger = logging.getLogger("jwt_deps")

_HEARTBEAT = 0.5  # seconds after which a silent server is asked for its position
_SHORTEST_STALENESS = 2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_DROPPED_AT_ONCE = 10_000
_RECENT = 10_000  # more entries of this process than a server loses that crashes
_START_TIMEOUT = 5.0  # seconds that a start waits for the first load


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
        last_error: the class of the error of the last attempt; `None` when it succeeded.
    """

    loaded: bool
    stale: bool
    serving_stale: bool
    age: float | None
    entries: int
    last_error: str | None


class _Changed(Exception):  # noqa: N818 - no error: the server's data is not what was followed
    """The server was restarted, or its data was replaced."""


class _Gap(_Changed):
    """The stream no longer has entries that were not read."""


class RedisRevocations(Revocations):
    """The revocations of a service in many processes, kept by Redis or Valkey."""

    def __init__(  # noqa: PLR0913 - what can be set
        self,
        url: str,
        *,
        prefix: str = "jwt-deps:revocations",
        max_staleness: float = 10,
        when_stale: WhenStale | str = WhenStale.REFUSE,
        session_claims: Sequence[str] = SESSION_CLAIMS,
        subject_claims: Sequence[str] = SUBJECT_CLAIMS,
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
        if not _SHORTEST_STALENESS <= max_staleness < float("inf"):
            raise ConfigurationError(
                "revocation_staleness",
                "JWT_REVOCATION_MAX_STALENESS (max_staleness) must be 2 seconds or more: the "
                "server is asked for an answer every half second.",
            )
        super().__init__(session_claims, subject_claims, longest_lifetime, time.time)
        self._max_staleness = max_staleness
        self._serves_stale = WhenStale(when_stale) is WhenStale.SERVE
        self._timeout = min(2.0, max_staleness / 2)
        self._address = (url, prefix)
        self._store = self._connected()
        self._position: Position | None = None
        self._unsent = False
        self._recent: deque[Revocation] = deque(maxlen=_RECENT)
        self._reader: threading.Thread | None = None
        self._stop = threading.Event()
        self._loaded = threading.Event()
        self._answered_at = self._fresh_until = float("-inf")
        self._error: str | None = None
        self._stale_logged = False
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
        revoked = self._entries.match(claims)
        # A revoked token stays so, however old the replica is.
        if not revoked and time.monotonic() >= self._fresh_until:
            self._answer_stale()
        return revoked

    def _publish(self, entry: Revocation) -> None:
        self._recent.append(entry)
        try:
            self._store.add([entry])
        except self._store.errors as error:
            self._unsent = True
            self._failed(error)
            raise RevocationUnavailableError from None

    def open(self) -> None:
        """Load the replica and follow the stream; waits for the load for at most five seconds."""
        self._begin()
        self._loaded.wait(_START_TIMEOUT)

    def close(self) -> None:
        """Stop following the stream, until the next look-up begins again."""
        with self._lock():
            reader, self._reader = self._reader, None
            self._stop.set()
        if reader is not None:
            reader.join(self._timeout + _HEARTBEAT)
        self._store.close()

    def health(self) -> RevocationHealth:
        """Return the state of the replica."""
        now = time.monotonic()
        stale = now >= self._fresh_until
        seen, loaded = self._answered_at > float("-inf"), self._loaded.is_set()
        return RevocationHealth(
            loaded=loaded,
            stale=stale,
            serving_stale=stale and loaded and self._serves_stale,
            age=now - self._answered_at if seen else None,
            entries=len(self),
            last_error=self._error,
        )

    def after_fork(self) -> None:
        """Start again in a forked process, which has neither the thread nor the connections."""
        self._reader = None
        self._stop, self._loaded = threading.Event(), threading.Event()
        self._answered_at = self._fresh_until = float("-inf")
        self._store = self._connected()

    def _connected(self) -> RevocationStore:
        return RevocationStore(*self._address, self._timeout)

    def _answer_stale(self) -> None:
        self._begin()
        # A replica that was never loaded knows no revocations, so it cannot serve either.
        if not (self._serves_stale and self._loaded.is_set()):
            raise RevocationUnavailableError
        if not self._stale_logged:
            self._stale_logged = True
            logger.error("revocations are stale, and tokens are accepted all the same")

    def _begin(self) -> None:
        with self._lock():
            if self._reader is None or not self._reader.is_alive():
                self._stop = threading.Event()
                self._reader = threading.Thread(
                    target=self._run, args=(self._stop,), name="jwt-deps-revocations", daemon=True
                )
                self._reader.start()

    def _run(self, stop: threading.Event) -> None:
        pause, reload = _FIRST_PAUSE, False
        while not stop.is_set():
            try:
                if reload or not self._resumed():
                    self._load()
                pause, reload = _FIRST_PAUSE, False
                self._follow(stop)
            except _Changed as changed:
                reload = isinstance(changed, _Gap)
                logger.warning("revocations are read again: the server's data has changed")
            except self._store.errors as error:
                self._failed(error)
                stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _resumed(self) -> bool:
        """Continue at the position of this replica, if the server still has it after a restart.

        Reading a million entries again takes longer than most values of `max_staleness`.
        """
        before, now = self._position, self._store.position()
        if before is None or self._unsent or not self._store.holds(before):
            return False
        if before.run != now.run:  # a crash may have lost the last entries
            self._store.add(tuple(self._recent))
        self._position = before._replace(run=now.run)
        return True

    def _load(self) -> None:
        """Read every entry, after returning to the server those that it may have lost."""
        before, now = self._position, self._store.position()
        known = before is not None and before.precedes(now)
        if self._unsent or not known:
            self._unsent = False
            try:
                # Even no entries: that creates the generation.
                self._store.add(self._entries.all())
            except self._store.errors:
                self._unsent = True
                raise
            now = self._store.position()
        wall = time.time()
        for entry in self._store.entries():
            self._entries.add(entry, wall)
        self._position = now

    def _follow(self, stop: threading.Event) -> None:
        position = self._position
        checked, wait = float("-inf"), 0.0  # entries that came during the load are there
        while not stop.is_set() and position is not None:
            asked = time.monotonic()
            ahead, lost = False, self._unsent
            if asked >= checked + _HEARTBEAT:
                now = self._store.position()
                lost = lost or not position.precedes(now)
                ahead = now.number > position.number
                checked = asked
                self._entries.drop_ended(time.time(), _DROPPED_AT_ONCE)
            if lost:
                raise _Changed
            updates = self._store.updates(position.stream_id, wait)
            if ahead and not updates:
                raise _Gap  # the stream has dropped entries that this replica lacks
            position = self._position = self._apply(updates, position)
            if len(updates) < BATCH:  # the replica is up to date
                self._refreshed(asked)
                wait = _HEARTBEAT

    def _apply(self, updates: Sequence[Update], position: Position) -> Position:
        for update in updates:
            if (update.generation, update.number) != (position.generation, position.number + 1):
                raise _Gap
            self._entries.add(update.entry, time.time())
            position = position._replace(number=update.number, stream_id=update.stream_id)
        return position

    def _refreshed(self, at: float) -> None:
        self._error = None
        self._stale_logged = False
        self._answered_at = at
        self._fresh_until = at + self._max_staleness
        self._loaded.set()

    def _failed(self, error: Exception) -> None:
        kind = type(error).__name__  # its message may hold what the server sent
        if self._error != kind:
            logger.warning("revocations cannot be read: %s", kind)
        self._error = kind


_instances: weakref.WeakSet[RedisRevocations] = weakref.WeakSet()


def _after_fork() -> None:
    for one in list(_instances):
        one.after_fork()


os.register_at_fork(after_in_child=_after_fork)
