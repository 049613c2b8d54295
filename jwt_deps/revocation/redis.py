"""How do many processes learn of a revocation, when no request may wait for a network?

Each keeps a replica in memory, which a thread fills at start and feeds from a stream. Without a
sign of the server for `max_staleness` seconds the replica is no answer any more, and the policy
holds: `refuse`, or `serve` and say so. What a replica knows it never forgets before its time, and
gives back to a server that has lost it. Before it knows anything, it is no answer either.
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

from .entries import Entries, Revocation, new_revocation
from .redis_stream import BATCH, Position, RevocationStore, Update

__all__ = ["RedisRevocations", "RevocationHealth", "WhenStale"]

logger = logging.getLogger("jwt_deps")

_MONTH = 30 * 24 * 60 * 60
_HEARTBEAT = 0.5  # seconds after which a silent server is asked for a sign of life
_SHORTEST_STALENESS = 2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_SWEPT_AT_ONCE = 10_000
_OWN = 10_000  # what this process revoked last, more than a server loses that dies
_PATIENCE = 5.0  # seconds that a start waits for the first load


class WhenStale(StrEnum):
    """What holds when the server has been out of reach for too long."""

    REFUSE = "refuse"
    SERVE = "serve"


@dataclass(frozen=True, slots=True)
class RevocationHealth:
    """How the replica of this process is, for a readiness endpoint: report it, and do not fail.

    Attributes:
        loaded: whether everything was read at least once.
        stale: whether `max_staleness` has passed without a sign of the server.
        serving_stale: whether requests are served all the same.
        age: seconds since the last sign of the server; `None` before the first.
        entries: how many there are.
        last_error: what kind of error the last attempt ended with; `None` when it did not.
    """

    loaded: bool
    stale: bool
    serving_stale: bool
    age: float | None
    entries: int
    last_error: str | None


class _Changed(Exception):  # noqa: N818 - no error: the server's data is not what was followed
    """The server is another process, or its data is other data."""


class _Gap(_Changed):
    """The stream lacks entries that were not read."""


class RedisRevocations:
    """The revocations of a service in many processes, kept by Redis or Valkey."""

    def __init__(  # noqa: PLR0913 - what can be set
        self,
        url: str,
        *,
        prefix: str = "jwt-deps:revocations",
        max_staleness: float = 10,
        when_stale: WhenStale | str = WhenStale.REFUSE,
        session_claims: Sequence[str] = ("sid", "session_id"),
        subject_claims: Sequence[str] = ("sub",),
        longest_lifetime: float = _MONTH,
    ) -> None:
        """Prepare; the server is asked when an application starts, or a token is.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            prefix: of the keys on the server; services that share it share revocations.
            max_staleness: seconds without a sign of the server after which `when_stale` holds.
            when_stale: `refuse` with 503, or `serve` and say so in `health` and the log.
            session_claims: the claims that name a session; dotted paths reach into nested ones.
            subject_claims: the claims that name a user, likewise.
            longest_lifetime: seconds that the longest-lived token lives; for so long an entry is
                kept that does not say when its token expires.

        Raises:
            ConfigurationError: `redis` is not installed, or a value cannot work.
        """
        if not _SHORTEST_STALENESS <= max_staleness < float("inf"):
            raise ConfigurationError(
                "revocation_staleness",
                "JWT_REVOCATION_MAX_STALENESS (max_staleness) must be 2 seconds or more: the "
                "server gives a sign of life every half second.",
            )
        self._max_staleness = max_staleness
        self._serves_stale = WhenStale(when_stale) is WhenStale.SERVE
        self._longest_lifetime = longest_lifetime
        self._timeout = min(2.0, max_staleness / 2)
        self._entries = Entries(session_claims, subject_claims)
        self._where = (url, prefix)
        self._store = self._connected()
        self._position: Position | None = None
        self._unsent = False
        self._own: deque[Revocation] = deque(maxlen=_OWN)
        self._reader: threading.Thread | None = None
        self._stop = threading.Event()
        self._loaded = threading.Event()
        self._seen_at = self._good_until = float("-inf")
        self._error: str | None = None
        self._told = False
        self._lock = ForkSafeLock()
        _all.add(self)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self)} entries>"

    def is_revoked(self, claims: Mapping[str, Any]) -> bool:
        """Whether the token with these claims was revoked, as far as the replica knows.

        Raises:
            RevocationUnavailableError: the replica is too old, and `when_stale` is `refuse`; or
                nothing was loaded yet.
        """
        revoked = self._entries.names(claims)
        # What is known as revoked stays so, however old the replica is.
        if not revoked and time.monotonic() >= self._good_until:
            self._go_on_stale()
        return revoked

    def revoke(
        self,
        *,
        jti: str | None = None,
        session: str | None = None,
        subject: str | None = None,
        issuer: str | None = None,
        expires: float | None = None,
    ) -> None:
        """Revoke a token, a session, or what a user or an issuer was given until now.

        It waits for the server: call it in a thread, `asyncio.to_thread(revocations.revoke, ...)`.
        In this process it holds at once, and should the server be out of reach, it is sent as
        soon as it is back.

        Args:
            jti: of one token.
            session: of the tokens to revoke.
            subject: whose tokens are revoked that were issued until now (`iat`); one without
                `iat` counts as issued before.
            issuer: whose tokens, of every issuer if absent; alone, all that it issued until now.
            expires: the `exp` of the token that `jti` names, after which the entry ends.

        Raises:
            ValueError: it names several things, or none.
            RevocationUnavailableError: the server does not know of it yet.
        """
        now = time.time()
        entry = new_revocation(
            jti=jti,
            session=session,
            subject=subject,
            issuer=issuer,
            expires=expires,
            longest_lifetime=self._longest_lifetime,
            now=now,
        )
        self._entries.put(entry, now)
        self._own.append(entry)
        try:
            self._store.add([entry])
        except self._store.errors as error:
            self._unsent = True
            self._failed(error)
            raise RevocationUnavailableError from None

    def open(self) -> None:
        """Load the replica and follow the stream; waits for the load, for a few seconds."""
        self._begin()
        self._loaded.wait(_PATIENCE)

    def close(self) -> None:
        """Stop following the stream; being asked again begins again."""
        with self._lock():
            reader, self._reader = self._reader, None
            self._stop.set()
        if reader is not None:
            reader.join(self._timeout + _HEARTBEAT)
        self._store.close()

    def health(self) -> RevocationHealth:
        """How the replica is."""
        now = time.monotonic()
        stale = now >= self._good_until
        seen, loaded = self._seen_at > float("-inf"), self._loaded.is_set()
        return RevocationHealth(
            loaded=loaded,
            stale=stale,
            serving_stale=stale and loaded and self._serves_stale,
            age=now - self._seen_at if seen else None,
            entries=len(self),
            last_error=self._error,
        )

    def forked(self) -> None:
        """Begin anew in a process that was forked: threads and connections stayed behind."""
        self._reader = None
        self._stop, self._loaded = threading.Event(), threading.Event()
        self._seen_at = self._good_until = float("-inf")
        self._store = self._connected()

    def _connected(self) -> RevocationStore:
        return RevocationStore(*self._where, self._timeout)

    def _go_on_stale(self) -> None:
        self._begin()
        # Who has read nothing yet has nothing to go on with.
        if not (self._serves_stale and self._loaded.is_set()):
            raise RevocationUnavailableError
        if not self._told:
            self._told = True
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
        pause, anew = _FIRST_PAUSE, False
        while not stop.is_set():
            try:
                if anew or not self._resumed():
                    self._load()
                pause, anew = _FIRST_PAUSE, False
                self._follow(stop)
            except _Changed as changed:
                anew = isinstance(changed, _Gap)
                logger.warning("revocations are looked for anew: the server's data has changed")
            except self._store.errors as error:
                self._failed(error)
                stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _resumed(self) -> bool:
        """Go on where this replica has read to, if the server, perhaps restarted, still has that.

        Reading a million entries takes longer than most bounds on staleness.
        """
        before, now = self._position, self._store.position()
        if before is None or self._unsent or not self._store.holds(before):
            return False
        if before.run != now.run:  # what nobody has read back yet may be lost
            self._store.add(tuple(self._own))
        self._position = before._replace(run=now.run)
        return True

    def _load(self) -> None:
        """Read everything; and first give back what the server may have lost."""
        before, now = self._position, self._store.position()
        known = before is not None and before.precedes(now)
        if self._unsent or not known:
            self._unsent = False
            try:
                # Even nothing is given back: that names the generation.
                self._store.add(self._entries.all())
            except self._store.errors:
                self._unsent = True
                raise
            now = self._store.position()
        wall = time.time()
        for entry in self._store.entries():
            self._entries.put(entry, wall)
        self._position = now

    def _follow(self, stop: threading.Event) -> None:
        position = self._position
        checked, wait = float("-inf"), 0.0  # what came while everything was read is there
        while not stop.is_set() and position is not None:
            asked = time.monotonic()
            ahead, lost = False, self._unsent
            if asked >= checked + _HEARTBEAT:
                now = self._store.position()
                lost = lost or not position.precedes(now)
                ahead = now.number > position.number
                checked = asked
                self._entries.sweep(time.time(), _SWEPT_AT_ONCE)
            if lost:
                raise _Changed
            updates = self._store.updates(position.stream_id, wait)
            if ahead and not updates:
                raise _Gap  # there was more, and the stream does not have it any more
            position = self._position = self._take(updates, position)
            if len(updates) < BATCH:  # these were all that there were
                self._seen(asked)
                wait = _HEARTBEAT

    def _take(self, updates: Sequence[Update], position: Position) -> Position:
        for update in updates:
            if (update.generation, update.number) != (position.generation, position.number + 1):
                raise _Gap
            self._entries.put(update.entry, time.time())
            position = position._replace(number=update.number, stream_id=update.stream_id)
        return position

    def _seen(self, at: float) -> None:
        self._error = None
        self._told = False
        self._seen_at = at
        self._good_until = at + self._max_staleness
        self._loaded.set()

    def _failed(self, error: Exception) -> None:
        kind = type(error).__name__  # its message may hold what the server sent
        if self._error != kind:
            logger.warning("revocations cannot be followed: %s", kind)
        self._error = kind


_all: weakref.WeakSet[RedisRevocations] = weakref.WeakSet()


def _after_fork() -> None:
    for one in list(_all):
        one.forked()


os.register_at_fork(after_in_child=_after_fork)
