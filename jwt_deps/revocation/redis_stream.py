"""The revocations on a Redis or Valkey server: one stream, and nothing else.

    {prefix}:stream     e: entries as JSON, at most 500
                        whole: says that all entries up to here are in the stream

One key cannot be lost in part. A reader that finds the entry it read last, and the mark, has lost
nothing; a reader that starts and finds no mark knows that entries are missing. The stream is never
cut: entries leave it after they have ended. Redis 6.2 or later, or Valkey.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

from jwt_deps.concurrency import JITTER
from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import is_numeric_date, parse_object

from .entries import Kind, Revocation
from .memory import MONTH

__all__ = ["BATCH", "START", "Position", "RevocationStore", "Update"]

#: The most entries that are written at once.
BATCH = 500
_PAGE = 2000  # records that are read at once
_SWEPT = 20  # records that a write looks through for ended ones
_SETTLED = 60  # seconds after which every reader has read on


class Position(NamedTuple):
    """What a reader has read of the stream.

    Attributes:
        last: the id of the last record.
        mark: the id of the last mark; `None` before the first.
    """

    last: bytes
    mark: bytes | None

    @property
    def time(self) -> float:
        """The time of the server when the last record was added, in seconds since the epoch."""
        return int(self.last.partition(b"-")[0]) / 1000


#: The position of a reader that has read nothing.
START = Position(b"0-0", None)


class Update(NamedTuple):
    """What was read.

    Attributes:
        entries: the entries.
        skipped: how many entries and records have a form that is not known.
        position: where the reader is now.
        is_last: whether there was no more to read.
    """

    entries: Sequence[Revocation]
    skipped: int
    position: Position
    is_last: bool


class RevocationStore:
    """The commands to the server; every call may raise one of `errors`."""

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

        try:
            self._client = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError):
            raise ConfigurationError(
                "revocation_url",
                "JWT_REVOCATION_URL (revocation_url) is not a redis://, rediss:// or unix:// URL.",
            ) from None  # the parser's message may quote it, and it may hold a password
        self._stream = f"{{{prefix}}}:stream"
        # Each process looks for ended records from another place, so that together, and with each
        # start of `jwt-deps revoke`, they come by all of them.
        age = JITTER.uniform(0, 2 * MONTH)
        self._swept: bytes | str = f"{int((time.time() - age) * 1000)}-0"

    def read(self, position: Position, wait: float) -> Update | None:
        """Read what was added after a position; `None` if the server has lost what was before it.

        Args:
            position: what was read before.
            wait: the longest wait for the first record, in seconds.
        """
        held = [one for one in position if one is not None and one != START.last]
        pipe = self._client.pipeline(transaction=False)
        block = int(wait * 1000) or None
        pipe.xread({self._stream: position.last}, count=_PAGE, block=block)
        # Looked up after the read: what was read is what follows the position.
        for one in held:
            pipe.xrange(self._stream, one, one)
        answer: list[Any] = pipe.execute()
        if not all(answer[1:]):
            return None
        records = answer[0][0][1] if answer[0] else ()
        entries: list[Revocation] = []
        skipped = 0
        for place, fields in records:
            position = Position(place, place if b"whole" in fields else position.mark)
            for entry in _read(fields):
                if entry is None:
                    skipped += 1
                else:
                    entries.append(entry)
        return Update(entries, skipped, position, len(records) < _PAGE)

    def holds(self, mark: bytes) -> bool:
        """Return whether a mark is there."""
        return bool(self._client.xrange(self._stream, mark, mark))

    def add(self, entries: Sequence[Revocation]) -> None:
        """Add entries, at most `BATCH`."""
        record = json.dumps({"e": [_written(entry) for entry in entries]}, separators=(",", ":"))
        self._client.xadd(self._stream, {"e": record})

    def mark(self) -> None:
        """Say that all entries are there."""
        self._client.xadd(self._stream, {"whole": "1"})

    def unmark(self, mark: bytes) -> None:
        """Say that entries are missing, until the next mark."""
        self._client.xdel(self._stream, mark)

    def time(self) -> float:
        """Return the time of the server, in seconds since the epoch."""
        seconds, microseconds = self._client.time()
        return float(seconds) + microseconds / 1_000_000

    def sweep(self, now: float) -> None:
        """Remove some records whose entries have ended, by the server's clock and by this one's.

        A record that readers may have read last stays.

        Args:
            now: the time of the server.
        """
        page: Any = self._client.xrange(self._stream, self._swept, "+", count=_SWEPT)
        ended = min(now, time.time())
        settled = (now - _SETTLED) * 1000
        gone = [
            place
            for (place, fields), (following, _) in pairwise(page)
            if int(following.partition(b"-")[0]) < settled and _has_ended(fields, ended)
        ]
        if gone:
            self._client.xdel(self._stream, *gone)
        self._swept = page[-1][0] if len(page) == _SWEPT else "-"

    def evicts(self) -> bool:
        """Return whether the server may drop the stream when its memory is full."""
        policy = self._client.config_get("maxmemory-policy")
        return str(policy.get("maxmemory-policy", "")).startswith("allkeys")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The errors of calls: the server does not answer, or refuses."""
        import redis  # noqa: PLC0415 - as above

        return (redis.RedisError, OSError)


def _written(entry: Revocation) -> list[str | float | None]:
    members: list[str | float | None] = [entry.kind.value, entry.issuer, entry.name, entry.until]
    return members if entry.issued_until is None else [*members, entry.issued_until]


def _read(fields: Mapping[bytes, bytes]) -> Iterator[Revocation | None]:
    """Yield the entries of a record; `None` for what has another form."""
    if b"e" not in fields:
        if b"whole" not in fields:
            yield None
        return
    try:
        entries = parse_object(fields[b"e"]).get("e")
    except ValueError:
        entries = None
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
    if kind is None or not isinstance(issuer, str | None) or not isinstance(value, str):
        return None
    if len(issued) != (kind in _ISSUED_UNTIL) or not all(map(is_numeric_date, [until, *issued])):
        return None
    return Revocation(kind, issuer, value, issued[0] if issued else None, int(until))


def _has_ended(fields: Mapping[bytes, bytes], now: float) -> bool:
    entries = list(_read(fields))
    return bool(entries) and all(one is not None and one.until <= now for one in entries)
