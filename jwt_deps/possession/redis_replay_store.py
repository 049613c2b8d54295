"""Has any process seen this proof before? The replay store in Valkey or Redis."""

import asyncio
import secrets
import weakref
from importlib.util import find_spec
from typing import TYPE_CHECKING

from jwt_deps.errors import ConfigurationError

from .replay_store import StoreUnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisReplayStore", "is_store_url"]

_SCHEMES = ("redis://", "rediss://", "unix://")


def is_store_url(text: str) -> bool:
    """Whether a text is the address of a Valkey or Redis server."""
    return text.startswith(_SCHEMES)


class RedisReplayStore:
    """A store that several processes share: `SET NX PX`, one command per proof.

    Args:
        url: `redis://`, `rediss://` or `unix://`, credentials included; never shown.
        prefix: what the names of its keys begin with.
        timeout: seconds to wait for the server; then the answer is 503.

    Raises:
        ConfigurationError: the extra `jwt-deps[redis]` is not installed, or it is no such URL.
    """

    def __init__(self, url: str, *, prefix: str = "jwt-deps:dpop:", timeout: float = 1.0) -> None:
        if find_spec("redis") is None:
            raise ConfigurationError(
                "redis_missing",
                "JWT_DPOP_REPLAY_STORE (dpop_replay_store) needs pip install 'jwt-deps[redis]'.",
            )
        if not is_store_url(url):
            raise ConfigurationError(
                "replay_store",
                "JWT_DPOP_REPLAY_STORE (dpop_replay_store) is 'memory', or a redis://, rediss:// "
                "or unix:// address.",
            )
        self._url = url
        self._prefix = prefix
        self._timeout = timeout
        # A connection belongs to the event loop that it was opened in.
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = (
            weakref.WeakKeyDictionary()
        )

    def __repr__(self) -> str:
        return "redis"

    async def add_if_absent(self, key: str, ttl: float) -> bool:
        """Add a key; whether it was absent.

        Raises:
            StoreUnavailableError: the server does not answer, or refuses to remember.
        """
        from redis.exceptions import RedisError  # noqa: PLC0415 - of an extra

        client, name, mark = self._client(), self._prefix + key, secrets.token_hex(8)
        try:
            if await client.set(name, mark, nx=True, px=max(1, round(ttl * 1000))):
                return True
            # A command that had to be sent again may have met what it wrote the first time.
            found: object = await client.get(name)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailableError from error
        return found == mark.encode()

    async def close(self) -> None:
        """Close the connections of this event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _client(self) -> "Redis":
        from redis.asyncio import Redis  # noqa: PLC0415 - of an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = Redis.from_url(
                self._url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                # Once: a connection that was idle may have been closed by the server.
                retry=Retry(NoBackoff(), 1),
            )
        return client
