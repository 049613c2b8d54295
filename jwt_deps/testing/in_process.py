"""Settings that ask an issuer in process instead of over HTTP, without a socket.

Only `httpx2`'s transport is replaced: status, encoding, length and pieces of a response go through
the same checks as over HTTP.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from jwt_deps.keys import Fetched, Fetcher, FetchError, shown
from jwt_deps.settings import JWTSettings

from .answers import Answer
from .members import merge
from .tokens import isolated

#: Maps a URL and headers, their names in lower case, to an answer; `None` refuses the connection.
Responder: TypeAlias = Callable[[str, Mapping[str, str]], Answer | None]


@dataclass(kw_only=True, repr=False, eq=False)
class _Fetcher(Fetcher):
    """Calls a function in place of an HTTP request."""

    respond: Responder

    async def get(self, url: str, *, etag: str | None = None, fresh: bool = False) -> Fetched:
        """Fetch a document as over HTTP.

        Raises:
            FetchError: there was no response, or not one with the document.
        """
        import httpx2  # noqa: PLC0415 - an extra, loaded where it is used

        headers = {"if-none-match": etag, "cache-control": "no-cache" if fresh else None}
        answer = self.respond(url, merge(headers, None))
        if answer is None:
            raise FetchError(f"{shown(url)} cannot be fetched: it refuses connections")
        if answer.hang:
            await asyncio.Event().wait()  # until the caller's timeout
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


def settings_in_process(respond: Responder, values: Mapping[str, Any]) -> JWTSettings:
    """Return settings that fetch their keys in process, as copies of them do.

    Args:
        respond: answers the requests.
        values: values of `JWTSettings`.

    Raises:
        ConfigurationError: the values contradict each other.
    """

    class InProcessSettings(JWTSettings):
        def make_fetcher(self) -> Fetcher:
            return _Fetcher(respond=respond, max_bytes=self.jwks_cache.max_bytes)

    return isolated(values, InProcessSettings)
