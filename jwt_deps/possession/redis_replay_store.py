"""The replay store that several processes share, in Valkey or Redis."""

import asyncio
import secrets
import weakref
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from jwt_deps.errors import ConfigurationError, require_positive

from .replay_store import StoreUnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Of every client: what the address says of them comes before arguments, and is refused.
REDIS_OPTIONS: Mapping[str, Any] = MappingProxyType({"protocol": 2, "decode_responses": False})


# What an address can say of a connection; redis-py would take a text for other objects, too.
_OPTIONS = frozenset({
    *("db", "username", "password", "client_name", "protocol", "max_connections"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_cert_reqs", "ssl_check_hostname"),
    *("ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ciphers"),
})  # fmt: skip
_LONGEST_TIMEOUT = 3600


def is_redis_url(text: str) -> bool:
    """Return whether a text is the address of a Valkey or Redis server that commands can use."""
    from redis import ConnectionPool  # noqa: PLC0415 - of an extra
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        if not parse_qs(urlsplit(text).query).keys() <= _OPTIONS:
            return False
        pool = ConnectionPool.from_url(text, **REDIS_OPTIONS)
        pool.make_connection()  # nothing is sent
    except (AttributeError, RedisError, TypeError, ValueError):
        return False  # their messages quote the text, which may hold a password
    options = pool.connection_kwargs
    timeouts = options.keys() & {"socket_timeout", "socket_connect_timeout"}
    return all(0 < options[it] <= _LONGEST_TIMEOUT for it in timeouts) and all(
        options[name] == it for name, it in REDIS_OPTIONS.items()
    )


class RedisReplayStore:
    """A store of used DPoP proofs in Valkey or Redis: `SET NX PX`, one command per proof.

    Args:
        url: a `redis://`, `rediss://` or `unix://` address; its credentials are never shown.
        prefix: the beginning of the names of its keys.
        timeout: seconds to wait for the server, after which the request is answered with 503.

    Raises:
        ConfigurationError: the extra `jwt-deps[redis]` is not installed, the URL is another, or
            the timeout is no number above 0.

    Example:
        ```python
        settings = JWTSettings(dpop_replay_store=RedisReplayStore("redis://localhost"), ...)
        ```
    """

    def __init__(self, url: str, *, prefix: str = "jwt-deps:dpop:", timeout: float = 1.0) -> None:
        if find_spec("redis") is None:
            raise ConfigurationError(
                "redis_missing",
                "JWT_DPOP_REPLAY_STORE (dpop_replay_store) needs pip install 'jwt-deps[redis]'.",
            )
        if not is_redis_url(url):
            raise ConfigurationError(
                "replay_store",
                "JWT_DPOP_REPLAY_STORE (dpop_replay_store) is 'memory', or a redis://, rediss:// "
                "or unix:// URL with options that it can have; credentials are percent-encoded.",
            )
        require_positive(timeout=timeout)
        self._url = url
        self._prefix = prefix
        self._timeout = timeout
        # A connection works only in the event loop in which it was opened.
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = (
            weakref.WeakKeyDictionary()
        )

    def __repr__(self) -> str:
        return "redis"

    async def add_if_absent(self, key: str, ttl: float) -> bool:
        """Add the key of a proof as `ReplayStore` says.

        Raises:
            StoreUnavailableError: the server does not answer, or refuses to write.
        """
        client, name, mark = self._client(), self._prefix + key, secrets.token_hex(8)
        try:
            async with asyncio.timeout(self._timeout):
                if await client.set(name, mark, nx=True, px=max(1, round(ttl * 1000))):
                    return True
                # A command that was sent again may find what it wrote the first time.
                found: object = await client.get(name)
        except Exception as error:  # of many kinds, for an answer that cannot be read
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
        from redis.exceptions import ReadOnlyError  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = Redis.from_url(
                self._url,
                **REDIS_OPTIONS,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                # One more attempt by a new connection: the server may have closed an idle one, or
                # another one has become the primary since.
                retry=Retry(NoBackoff(), 1),
                retry_on_error=[ReadOnlyError],
            )
        return client
