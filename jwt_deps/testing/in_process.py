"""How is an issuer asked without a socket? In process, and judged as over HTTP.

What `httpx2` does is left out, everything that this package does with an answer is not: its
status, encoding, length and pieces go through the very same checks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias

from jwt_deps.keys import Fetched, Fetcher, FetchError, HTTPKeyProvider, shown
from jwt_deps.settings import JWTSettings

from .answers import Answer
from .tokens import isolated

__all__ = ["InProcess", "settings_in_process"]

#: Answers to a URL and headers, their names in lower case; `None` refuses the connection.
InProcess: TypeAlias = Callable[[str, Mapping[str, str]], Answer | None]


class _Fetcher(Fetcher):
    """Asks a function."""

    def __init__(self, ask: InProcess, max_bytes: int) -> None:
        super().__init__(max_bytes=max_bytes)
        self._ask = ask

    async def get(self, url: str, *, etag: str | None = None, fresh: bool = False) -> Fetched:
        """Fetch a document, as over HTTP.

        Raises:
            FetchError: there was no answer, or not the one that was asked for.
        """
        import httpx2  # noqa: PLC0415 - an extra, loaded by whoever uses it

        told = {"if-none-match": etag, "cache-control": "no-cache" if fresh else None}
        answer = self._ask(url, {name: value for name, value in told.items() if value is not None})
        if answer is None:
            raise FetchError(f"{shown(url)} cannot be fetched: it refuses connections")
        if answer.hang:
            await asyncio.Event().wait()  # until whoever waits has waited long enough
        await asyncio.sleep(answer.delay)
        encoding = {"content-encoding": "gzip"} if answer.gzip else {}
        response = httpx2.Response(
            answer.status, headers={**encoding, **answer.headers}, content=_body(answer)
        )
        try:
            return await self._read(url, response, conditional=etag is not None)
        except httpx2.RemoteProtocolError as error:
            raise FetchError(f"{shown(url)} cannot be fetched: {type(error).__name__}") from error


async def _body(answer: Answer) -> AsyncIterator[bytes]:
    import httpx2  # noqa: PLC0415 - as above

    for piece in filter(None, answer.pieces()):
        yield piece
        await asyncio.sleep(answer.drip)
    if answer.cut:
        raise httpx2.RemoteProtocolError("the connection was closed amid the body")


class _Provider(HTTPKeyProvider):
    """Asks with another fetcher, and makes keys of what comes as ever."""

    def __init__(self, fetcher: Fetcher, issuer: str, **options: Any) -> None:
        super().__init__(issuer, **options)
        self._fetcher = fetcher


def settings_in_process(ask: InProcess, values: Mapping[str, Any]) -> JWTSettings:
    """Settings whose keys are asked for in process; a copy of them asks there too.

    Raises:
        ConfigurationError: the values contradict each other.
    """

    class InProcessSettings(JWTSettings):
        def _key_provider(self) -> HTTPKeyProvider:
            return _Provider(
                _Fetcher(ask, self.jwks_cache.max_bytes),
                self.accepted_issuers[0],
                algorithms=self.algorithms,
                policy=self.jwks_cache,
                jwks_url=self.jwks_url,
                discovery_url=self.discovery_url,
                allow_loopback=self.allow_loopback,
            )

    return isolated(values, InProcessSettings)
