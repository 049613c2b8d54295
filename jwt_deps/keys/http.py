"""How is a document got from a provider that may be slow, broken or hostile? With bounds.

One GET, no redirects, no proxies or credentials from the environment, a body that is counted
while it arrives, and a connection whose other end is looked at before anything is sent.
"""

import re
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jwt_deps.errors import ConfigurationError, JWTDepsError

from .addresses import host_of, is_loopback_host, refuse_address, shown, split_url

if TYPE_CHECKING:
    import httpx2

__all__ = ["FetchError", "Fetched", "Fetcher"]

_OK = 200
_NOT_MODIFIED = 304
# Request Timeout and Too Many Requests speak of now, not of the document.
_FOR_NOW = frozenset({408, 429})
# RFC 9110 §8.8.3, and short.
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')
_MAX_PIECES = 4096

_PROBLEMS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not trusted; see JWT_CA_FILE (ca_file)"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "its host is not known"),
    (ConnectionRefusedError, "it refuses connections"),
)


class FetchError(JWTDepsError):
    """An identity provider did not give what it was asked for.

    Attributes:
        outage: whether nothing is known of the document, since there was no answer about it.
    """

    def __init__(self, message: str, *, outage: bool = True) -> None:
        super().__init__(message)
        self.outage = outage


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document; `body` is `None` when it is the one that is already known (RFC 9110 §15.4.5)."""

    body: bytes | None = field(repr=False)
    etag: str | None = None
    cache_control: str = ""
    age: str = ""


class Fetcher:
    """Fetches the documents of one issuer; it holds no connection and belongs to no event loop."""

    def __init__(  # noqa: PLR0913 - every limit
        self,
        *,
        trusted_hosts: Collection[str] = (),
        allow_loopback: bool = False,
        ca_file: Path | None = None,
        connect_timeout: float = 2,
        max_bytes: int = 256 * 1024,
        accept: str = "application/jwk-set+json, application/json",
    ) -> None:
        """Prepare to fetch.

        Args:
            trusted_hosts: hosts that the configuration names, which may be in a private network.
            allow_loopback: whether this machine may be asked, by `http` too.
            ca_file: certificate authorities in PEM that are trusted in place of the system's.
            connect_timeout: seconds to wait for a connection; the caller bounds the whole.
            max_bytes: longest body that is read.
            accept: the media types that are asked for (RFC 9110 §12.5.1).

        Raises:
            ConfigurationError: `httpx2` is not installed, or the authorities cannot be read.
        """
        if find_spec("httpx2") is None:
            raise ConfigurationError(
                "httpx2_missing",
                "Keys over HTTP need the package httpx2: pip install 'jwt-deps[http]'.",
            )
        self._trusted_hosts = frozenset(trusted_hosts)
        self._allow_loopback = allow_loopback
        self._connect_timeout = connect_timeout
        self._max_bytes = max_bytes
        self._accept = accept
        import httpx2  # noqa: F401, PLC0415 - now, so that no request waits for it

        self._tls = _tls_context(ca_file)

    async def get(self, url: str, *, etag: str | None = None, fresh: bool = False) -> Fetched:
        """Fetch a document.

        Args:
            url: where it is.
            etag: of the version that is already known.
            fresh: whether caches on the way have to ask the origin (RFC 9111 §5.2.1.4).

        Raises:
            FetchError: there was no answer, or not the one that was asked for.
        """
        import httpx2  # noqa: PLC0415 - an extra, loaded by whoever uses it

        try:
            split_url(url, allow_loopback=self._allow_loopback)
        except ValueError as error:
            raise FetchError(f"{shown(url)} {error}", outage=False) from None
        headers = {
            "Accept": self._accept,
            "Accept-Encoding": "identity",
            "User-Agent": "jwt-deps",
        }
        if etag is not None:
            headers["If-None-Match"] = etag
        if fresh:
            headers["Cache-Control"] = "no-cache"

        seen = False

        async def look(event: str, info: dict[str, Any]) -> None:
            nonlocal seen
            if event == "connection.connect_tcp.complete":
                seen = True
                await self._refuse_peer(url, info["return_value"])

        try:
            async with (
                httpx2.AsyncClient(
                    verify=self._tls,
                    trust_env=False,
                    timeout=httpx2.Timeout(None, connect=self._connect_timeout),
                ) as client,
                client.stream("GET", url, headers=headers, extensions={"trace": look}) as response,
            ):
                if not seen:  # the client library has changed its ways
                    raise FetchError(f"nobody saw where {shown(url)} leads")
                return await self._read(url, response, conditional=etag is not None)
        except httpx2.TimeoutException as error:
            raise FetchError(f"{shown(url)} did not answer in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise FetchError(f"{shown(url)} cannot be fetched: {_problem(error)}") from error

    async def _refuse_peer(self, url: str, stream: Any) -> None:
        peer = stream.get_extra_info("server_addr")  # None once it has been reset
        try:
            if peer is None:
                raise ValueError("nobody, it was closed at once")  # noqa: TRY301
            address = peer[0]
            if urlsplit(url).scheme == "http" and not is_loopback_host(address):
                raise ValueError("another machine, and not by https")  # noqa: TRY301
            refuse_address(
                address,
                allow_loopback=self._allow_loopback,
                allow_private=host_of(url) in self._trusted_hosts,
            )
        except ValueError as error:
            await stream.aclose()
            raise FetchError(f"{shown(url)} leads to {error}") from None

    async def _read(self, url: str, response: "httpx2.Response", *, conditional: bool) -> Fetched:
        status, headers = response.status_code, response.headers
        cache_control, age = headers.get("cache-control", ""), headers.get("age", "")
        # It will be sent back, so it has to be something that can be sent.
        stated = headers.get("etag", "")
        etag = stated if _ETAG.fullmatch(stated) else None
        if status == _NOT_MODIFIED and conditional:
            return Fetched(None, etag, cache_control, age)
        if status != _OK:
            # A redirect is an answer like any other that is not the document: what it points to
            # was never configured.
            outage = status // 100 not in {3, 4} or status in _FOR_NOW
            raise FetchError(f"{shown(url)} answered with status {status}", outage=outage)
        if headers.get("content-encoding", "identity").lower() != "identity":
            # It was not asked for, and a few compressed bytes can be gigabytes.
            raise FetchError(f"{shown(url)} sent a compressed body", outage=False)
        body, pieces = bytearray(), 0
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                long = f"{shown(url)} sent more than {self._max_bytes} bytes"
                raise FetchError(long, outage=False)
            pieces += 1
            if pieces > _MAX_PIECES:  # each costs time on the event loop, however small it is
                raise FetchError(f"{shown(url)} sent more than {_MAX_PIECES} pieces")
        return Fetched(bytes(body), etag, cache_control, age)


def _problem(error: BaseException) -> str:
    """What was wrong, in words that hold nothing of the answer."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, words in _PROBLEMS:
            if isinstance(cause, kind):
                return words
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return _system_tls_context()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):
        raise ConfigurationError(
            "ca_file", "JWT_CA_FILE (ca_file) cannot be read, or holds no certificate in PEM."
        ) from None


@cache
def _system_tls_context() -> ssl.SSLContext:
    # Shared: reading the system's authorities takes 30 ms, and a service can have many issuers.
    import httpx2  # noqa: PLC0415 - as above

    return httpx2.create_ssl_context(trust_env=False)
