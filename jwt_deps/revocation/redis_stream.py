"""The revocations on a Redis or Valkey server: one stream, and nothing else.

    {prefix}:stream     first   the first record, there as long as the stream
                        e       entries as JSON, at most 100
                        lost    says that the server has an older copy of the stream

The server itself counts the records that were added to a stream (`entries-added`). What removes
ended ones, or returns lost ones, corrects that number: more than there are records says that some
are missing. Only the first record makes a stream; another is added to one that is there. So a
stream that is whole cannot come about from what is left after a loss. That the last records were
lost, as by a failover, is seen by readers: the one that they read last is gone.

Redis 7 or later, or Valkey.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

from jwt_deps.concurrency import JITTER
from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import is_numeric_date
from jwt_deps.possession import REDIS_OPTIONS, is_redis_url

from .entries import Kind, Revocation, is_text, minute_after
from .memory import MONTH

#: The most entries that are written at once.
BATCH = 100
_PAGE = 400  # records that are read at once
_SWEPT = 20  # records that a write looks through for ended ones
_SETTLED = 60  # seconds after which every reader has read on

#: The id of the last record, to a reader that has read none.
START = b"0-0"
_FIRST = b"0-1"


class Update(NamedTuple):
    """What was read.

    Attributes:
        entries: the entries, each with the id of its record.
        skipped: how many entries and records have a form that is not known.
        last: the id of the last record that was read.
        is_last: whether there was no more to read.
        missing: how many records are missing on the server; 0 if it has all of them.
        is_older: whether a reader found that it is an older copy.
    """

    entries: Sequence[tuple[bytes, Revocation]]
    skipped: int
    last: bytes
    is_last: bool
    missing: int
    is_older: bool


class UnsupportedServer(Exception):  # noqa: N818 - the name is what health and log say
    """The server does not count the records that were added to a stream, as Redis 7 does."""


class _State(NamedTuple):
    last: bytes
    records: int
    missing: int


def time_of(record: bytes) -> float:
    """Return the time of the server when a record was added, in seconds since the epoch."""
    return int(record.partition(b"-")[0]) / 1000


class RevocationStore:
    """The commands to the server; every call may raise one of `errors`."""

    #: For an answer that cannot be read the client raises errors of many kinds.
    errors = (Exception,)

    def __init__(self, url: str, prefix: str, timeout: float) -> None:
        """Prepare to connect.

        Raises:
            ConfigurationError: `redis` is not installed, or the URL is not one of it.
        """
        if find_spec("redis") is None:
            raise ConfigurationError(
                "redis_missing",
                "Revocations in Redis or Valkey need the package redis: "
                "pip install 'jwt-deps[redis]'.",
            )
        import redis  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        if not is_redis_url(url):
            raise ConfigurationError(
                "revocation_url",
                "JWT_REVOCATION_URL (revocation_url) is not a redis://, rediss:// or unix:// URL "
                "with options that it can have; credentials are percent-encoded.",
            )
        self._client = redis.Redis.from_url(
            url,
            **REDIS_OPTIONS,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._stream = f"{{{prefix}}}:stream"
        # Each process looks for ended records from another place, so that together, and with each
        # start of `jwt-deps revoke`, they come by all of them.
        age = JITTER.uniform(0, 2 * MONTH)
        self._swept: bytes | str = f"{int((time.time() - age) * 1000)}-0"

    def read(self, last: bytes, wait: float) -> Update | None:
        """Read what was added after a record; `None` if the server has lost that record.

        Args:
            last: the id of the record that was read last.
            wait: the longest wait for the first record, in seconds.
        """
        # Looked up before the read: what is there then is read.
        state = self._state(self._client)
        pipe = self._client.pipeline(transaction=False)
        pipe.xread({self._stream: last}, count=_PAGE, block=int(wait * 1000) or None)
        # Looked up after the read: what was read is what follows that record.
        pipe.xrange(self._stream, last, last)
        answer, held = pipe.execute()
        if not held and last != START:
            return None
        records = answer[0][1] if answer else ()
        entries: list[tuple[bytes, Revocation]] = []
        skipped = 0
        for last, fields in records:  # noqa: PLR1704 - the last one
            for entry in _read(fields):
                if entry is None:
                    skipped += 1
                else:
                    entries.append((last, entry))
        is_older = any(b"lost" in fields for _, fields in records)
        return Update(entries, skipped, last, len(records) < _PAGE, state.missing, is_older)

    def page(self, after: bytes, until: bytes) -> tuple[list[Revocation], bytes | None]:
        """Return entries between records, and the id to go on from; `None` if these are all."""
        records: Any = self._client.xrange(self._stream, b"(" + after, until, count=_PAGE)
        entries = [entry for _, fields in records for entry in _read(fields) if entry is not None]
        return entries, records[-1][0] if len(records) == _PAGE else None

    def held(self, first: bytes, last: bytes) -> set[bytes]:
        """Return the ids of the records that are there, from one to another."""
        records: Any = self._client.xrange(self._stream, first, last)
        return {record for record, _ in records}

    def add(self, entries: Sequence[Revocation]) -> None:
        """Add entries, at most `BATCH`."""
        record = json.dumps({"e": [_written(entry) for entry in entries]}, separators=(",", ":"))
        while self._client.xadd(self._stream, {"e": record}, nomkstream=True) is None:
            self.declare_missing()

    def declare_missing(self) -> int:
        """Say that records are missing: there is no stream, which is made, or an older copy.

        Returns:
            how many are missing: the number that was there already, or 1.
        """
        return self._declare(lambda missing: missing or 1)

    def declare_whole(self, found: int | None = None) -> None:
        """Say that no record is missing.

        Args:
            found: how many were missing when the others were returned. If it is another number
                now, more was lost since. `None`: whatever is missing.
        """
        self._declare(lambda missing: 0 if found in {None, missing} else missing)

    def _declare(self, change: Callable[[int], int]) -> int:
        changed = 0

        def transaction(pipe: Any) -> None:
            nonlocal changed
            last, records, missing = self._state(pipe)
            changed = change(missing)
            pipe.multi()
            if last == START:
                pipe.xadd(self._stream, {"first": "1"}, id=_FIRST)
                last, records = _FIRST, 1
            self._set_missing(pipe, last, records, changed)
            if changed > missing:
                pipe.xadd(self._stream, {"lost": "1"})

        self._client.transaction(transaction, self._stream)
        return changed

    def _state(self, client: Any) -> _State:
        import redis  # noqa: PLC0415 - an extra

        try:
            info = client.xinfo_stream(self._stream)
        except redis.ResponseError:
            if client.exists(self._stream):
                raise
            return _State(START, 0, 1)
        if "entries-added" not in info:
            raise UnsupportedServer
        records: int = info["length"]
        return _State(info["last-generated-id"], records, info["entries-added"] - records)

    def _set_missing(self, pipe: Any, last: bytes, records: int, missing: int) -> None:
        pipe.execute_command("XSETID", self._stream, last, "ENTRIESADDED", records + missing)

    def time(self) -> float:
        """Return the time of the server, in seconds since the epoch."""
        seconds, microseconds = self._client.time()
        return float(seconds) + microseconds / 1_000_000

    def sweep(self, now: float) -> None:
        """Remove some records whose entries have ended, by the server's time and by this clock.

        A record that readers may have read last stays.
        """
        with self._client.pipeline() as untyped:
            pipe: Any = untyped
            pipe.watch(self._stream)
            page = pipe.xrange(self._stream, self._swept, "+", count=_SWEPT)
            ended = min(now, time.time())
            gone = [
                record
                for (record, fields), (following, _) in pairwise(page)
                if time_of(following) < now - _SETTLED and _has_ended(fields, ended)
            ]
            if gone:
                state = self._state(pipe)
                pipe.multi()
                pipe.xdel(self._stream, *gone)
                self._set_missing(pipe, state.last, state.records - len(gone), state.missing)
                pipe.execute()
        self._swept = page[-1][0] if len(page) == _SWEPT else "-"

    def reconnect(self) -> None:
        """Close the connections that are idle, which may lead to what became a replica."""
        self._client.connection_pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _written(entry: Revocation) -> list[str | float | None]:
    members: list[str | float | None] = [entry.kind.value, entry.issuer, entry.name, entry.until]
    return members if entry.issued_until is None else [*members, entry.issued_until]


def _read(fields: Mapping[bytes, bytes]) -> Iterator[Revocation | None]:
    """Yield the entries of a record; `None` for what has another form."""
    if b"e" not in fields:
        if not fields.keys() & {b"first", b"lost"}:
            yield None
        return
    try:
        # Not as a token is read: there one bad value costs all that is beside it.
        record = json.loads(fields[b"e"])
    except (ValueError, RecursionError):
        record = None
    entries = record.get("e") if isinstance(record, dict) else None
    if not isinstance(entries, list):
        yield None
        return
    for entry in entries:
        yield _entry(entry)


_KINDS = {kind.value: kind for kind in Kind}
_ISSUED_UNTIL = {Kind.SUBJECT, Kind.ISSUER}


def _entry(members: object) -> Revocation | None:
    if not isinstance(members, list) or len(members) not in {4, 5}:
        return None
    name, issuer, value, until, *issued = members
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None or not (issuer is None or is_text(issuer)) or not is_text(value):
        return None
    if len(issued) != (kind in _ISSUED_UNTIL) or not all(map(is_numeric_date, [until, *issued])):
        return None
    return Revocation(kind, issuer, value, issued[0] if issued else None, minute_after(until))


def _has_ended(fields: Mapping[bytes, bytes], now: float) -> bool:
    entries = list(_read(fields))
    return bool(entries) and all(one is not None and one.until <= now for one in entries)
