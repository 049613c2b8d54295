"""The revocations on a Redis or Valkey server, and a stream of changes without gaps.

    {prefix}:entries      a sorted set: each entry as JSON, by its end
    {prefix}:stream       the same entries in the order of their addition, numbered without a gap
    {prefix}:count        the number of the last one
    {prefix}:generation   a random name, given to the data when it was empty

A script writes an entry and its number into all of them at once. A replica that starts reads the
position in the stream first and the entries after it, so that it reads an entry that is added
meanwhile twice, and misses none. Redis 6.2 or later, or Valkey.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import Any, NamedTuple, cast

from jwt_deps.errors import ConfigurationError

from .entries import Kind, Revocation

__all__ = ["BATCH", "Position", "RevocationStore", "Update"]

#: The most entries that are read or written at once.
BATCH = 500
_PAGE = 5000
_STREAM_LENGTH = 100_000

# An entry that is there already is not announced again, so that many processes can return theirs.
# Each call removes some entries that have ended.
_ADD = """
local time = redis.call('TIME')
local now = tonumber(time[1])
if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('SET', KEYS[4], ARGV[1]) end
local generation = redis.call('GET', KEYS[4])
for i = 3, #ARGV, 2 do
  local changed = redis.call('ZADD', KEYS[1], 'GT', 'CH', ARGV[i + 1], ARGV[i])
  if changed == 1 then
    local number = redis.call('INCR', KEYS[3])
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*',
      'n', number, 'g', generation, 'e', ARGV[i], 'u', ARGV[i + 1])
  end
end
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 500)
if #ended > 0 then redis.call('ZREM', KEYS[1], unpack(ended)) end
return generation
"""


class Position(NamedTuple):
    """A position of a reader in the stream.

    Attributes:
        generation: the generation of the data; `None` if there is no data.
        number: the number of the last entry that was read.
        stream_id: the id of that entry in the stream.
        run: the id of the server process.
    """

    generation: str | None
    number: int
    stream_id: str
    run: str

    def precedes(self, now: "Position") -> bool:
        """Return whether no entry can be lost since: the same server process, and no step back."""
        same = (self.generation, self.run) == (now.generation, now.run)
        return same and self.number <= now.number


class Update(NamedTuple):
    """An entry that was added."""

    generation: str
    number: int
    stream_id: str
    entry: Revocation


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
                decode_responses=True,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError):
            raise ConfigurationError(
                "revocation_url",
                "JWT_REVOCATION_URL (revocation_url) is not a redis://, rediss:// or unix:// URL.",
            ) from None  # the parser's message may quote it, and it may hold a password
        # The braces keep them on one node of a cluster.
        self._entries, self._stream, self._count, self._generation = (
            f"{{{prefix}}}:{name}" for name in ("entries", "stream", "count", "generation")
        )
        self._add = self._client.register_script(_ADD)

    def add(self, entries: Iterable[Revocation]) -> None:
        """Add entries to the data and to the stream; those that are there already stay."""
        rest = iter(entries)
        first = True
        while (batch := list(islice(rest, BATCH))) or first:
            arguments: list[str | int] = [secrets.token_hex(8), _STREAM_LENGTH]
            for entry in batch:
                arguments += [_written(entry), entry.until]
            self._add(
                keys=[self._entries, self._stream, self._count, self._generation], args=arguments
            )
            first = False

    def position(self) -> Position:
        """Return the position of the end of the stream."""
        pipe = self._client.pipeline(transaction=True)
        pipe.get(self._generation)
        pipe.get(self._count)
        pipe.xrevrange(self._stream, count=1)
        pipe.info("server")
        generation, count, last, server = pipe.execute()
        return Position(
            generation, int(count or 0), last[0][0] if last else "0-0", server["run_id"]
        )

    def holds(self, position: Position) -> bool:
        """Return whether the stream has the entry at a position: then none up to it was lost."""
        place = position.stream_id
        found: Any = self._client.xrange(self._stream, place, place)
        there = [(fields["g"], int(fields["n"])) for _, fields in found]
        return there == [(position.generation, position.number)]

    def entries(self) -> Iterator[Revocation]:
        """Yield every entry that is there from the first page to the last."""
        cursor = 0
        while True:
            answer: Any = self._client.zscan(self._entries, cursor, count=_PAGE)
            cursor, page = answer
            for text, until in page:
                yield _read(text, int(until))
            if not cursor:
                return

    def updates(self, after: str, wait: float) -> Sequence[Update]:
        """Return the entries that were added after a stream id, and wait for the first.

        Args:
            after: the stream id.
            wait: the longest wait in seconds.
        """
        answer: Any = self._client.xread(
            {self._stream: after}, count=BATCH, block=max(1, int(wait * 1000))
        )
        return [
            Update(fields["g"], int(fields["n"]), place, _read(fields["e"], int(fields["u"])))
            for _, added in answer or ()
            for place, fields in added
        ]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The errors of calls: the server does not answer, or its data has another form."""
        import redis  # noqa: PLC0415 - as above

        return (redis.RedisError, OSError, ValueError, KeyError, TypeError)


def _written(entry: Revocation) -> str:
    members = [entry.kind.value, entry.issuer, entry.name]
    return json.dumps(members if entry.issued_until is None else [*members, entry.issued_until])


def _read(text: str, until: int) -> Revocation:
    """Raises ValueError: it has another form."""
    kind, issuer, name, *before = json.loads(text)
    return Revocation(
        Kind(kind),
        cast("str | None", issuer),
        str(name),
        float(before[0]) if before else None,
        until,
    )
