"""Fetch documents of an identity provider over HTTP, with bounds on what is reached and read.

One GET, no redirects, no proxies or credentials from the environment unless `trust_env` says so,
and a body that is counted while it arrives. A URL is checked twice: when it is configured or read
in a discovery document, and again by the address that the connection really reached, before
anything is sent, because a name can resolve to any address (RFC 8725 §3.10).
"""

import asyncio
import ipaddress
import re
import socket
import ssl
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from jwt_deps.errors import ConfigurationError, JWTDepsError

from .file_version import FileVersion, version_of

if TYPE_CHECKING:
    import httpx2

# RFC 3986 §2: what a URL consists of. Python's parser drops tabs and line breaks silently.
_URL = re.compile(r"[\x21-\x7e]+")

# Where clouds keep the credentials of the machine itself; most are link-local, these are not.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::23",
            "fd00:ec2::254",
            "fd20:ce::254",
        ),
    )
)
# IPv6 addresses that lead to an IPv4 one: NAT64 (RFC 6052, RFC 8215) carries it at the end.
_NAT64 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48")))

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_OK = 200
_NOT_MODIFIED = 304
# Request Timeout and Too Many Requests are about this moment, not about the document.
_FOR_NOW = frozenset({408, 429})
# Not Found and Gone say that there is no document.
_GONE = frozenset({404, 410})
# RFC 9110 §8.8.3, and short.
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')
_MAX_PIECES = 4096
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")  # RFC 9110 §5.5
_ENCODINGS = frozenset({"identity", "gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
#: Seconds for a connection; the caller limits the whole.
_CONNECT_TIMEOUT = 2
# Octets of an answer up to its body, and those that are read at once. The HTTP client goes through
# informational responses (RFC 9110 §15.2) without a pause, and a server can send them without end.
_LONGEST_HEAD, _HEAD_PIECE = 32 * 1024, 4096

_CLIENT_CERTIFICATE = "a client certificate; see JWT_JWKS_CERTIFICATE_FILE (jwks_certificate_file)"
_PROBLEMS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not trusted; see JWT_CA_FILE (ca_file)"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "its host is not known"),
    (ConnectionRefusedError, "it refuses connections"),
    # It may have closed before its alert was read.
    (BrokenPipeError, f"it closed the connection; it may ask for {_CLIENT_CERTIFICATE}"),
)


class FetchError(JWTDepsError):
    """A document of an identity provider could not be fetched, or cannot be used.

    Attributes:
        outage: whether there was no answer about the document, as opposed to a useless one.
        withdrawn: whether the answer is that there is no such document, or no key in it.
    """

    def __init__(self, message: str, *, outage: bool = True, withdrawn: bool = False) -> None:
        super().__init__(message)
        self.outage = outage
        self.withdrawn = withdrawn


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document; `is_known`: the answer is that it has not changed (RFC 9110 §15.4.5)."""

    body: bytes = field(repr=False)
    etag: str | None = None
    cache_control: str = ""
    age: str = ""
    is_known: bool = False


@dataclass(kw_only=True, repr=False, eq=False)
class Fetcher:
    """Fetches the documents of one issuer; it holds no connection and belongs to no event loop.

    Attributes:
        trusted_hosts: hosts that the configuration names, which may be in a private network.
        allow_loopback: whether this machine may be asked, by `http` too.
        http_hosts: hosts, or hosts with ports, that may be asked by plain http.
        trust_env: whether proxies, `SSL_CERT_FILE` and `SSL_CERT_DIR` of the environment hold.
        ca_file: certificate authorities in PEM that are trusted in place of the system's.
        origins: of the configuration; credentials are sent there and nowhere else.
        headers: of each request to them.
        token_file: a file with a bearer token, read for each request to them.
        certificate_file, key_file: a client certificate and its private key in PEM.
        max_bytes: longest body that is read.
        accept: the media types that are asked for (RFC 9110 §12.5.1).
    """

    trusted_hosts: Collection[str] = ()
    allow_loopback: bool = False
    http_hosts: Collection[str] = ()
    trust_env: bool = False
    ca_file: Path | None = None
    origins: Collection[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    token_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    max_bytes: int = 256 * 1024
    accept: str = "application/jwk-set+json, application/json"

    def __post_init__(self) -> None:
        if find_spec("httpx2") is None:
            raise ConfigurationError(
                "httpx2_missing",
                "Keys over HTTP need the package httpx2: pip install 'jwt-deps[http]'.",
            )
        by_http = (host_of(f"//{entry}") for entry in self.http_hosts)
        self.trusted_hosts = frozenset({*self.trusted_hosts, *by_http})
        import httpx2  # noqa: F401, PLC0415 - now, so that no request waits for it

        self._tls: dict[bool, tuple[FileVersion | None, ssl.SSLContext]] = {}
        for with_certificate in {False, bool(self.certificate_file or self.key_file)}:
            self._read_tls(with_certificate=with_certificate)  # what cannot be read stops the start

    def check_url(self, url: str) -> None:
        """Refuse a URL that nothing may be fetched from; the `ValueError` does not quote it."""
        split_url(url, allow_loopback=self.allow_loopback, http_hosts=self.http_hosts)

    async def get(self, url: str, *, etag: str | None = None, fresh: bool = False) -> Fetched:
        """Fetch a document, unless its version is known by its `etag`.

        Where it has to be `fresh`, caches on the way ask the origin (RFC 9111 §5.2.1.4).

        Raises:
            FetchError: there was no answer, or not the one that was asked for.
        """
        conditions = {
            **({"If-None-Match": etag} if etag is not None else {}),
            **({"Cache-Control": "no-cache"} if fresh else {}),
        }
        return await self._send("GET", url, conditions)

    async def post(self, url: str, form: bytes, headers: Mapping[str, str]) -> Fetched:
        """Send a form, and read the answer to it; `FetchError` as for `get`."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._send("POST", url, {**kind, **headers}, form)

    async def _send(
        self, method: str, url: str, further: Mapping[str, str], content: bytes | None = None
    ) -> Fetched:
        import httpx2  # noqa: PLC0415 - an extra, loaded where it is used

        try:
            self.check_url(url)
        except ValueError as error:
            raise FetchError(f"{shown(url)} {error}", outage=False) from None
        headers = {
            "Accept": self.accept,
            "Accept-Encoding": "identity",
            "User-Agent": "jwt-deps",
            **further,
            **await self._credentials(url),
        }
        tls = await self._current_tls(url)
        connection = _Connection(self, url)
        client = self._client(tls)
        try:
            async with (
                client,
                client.stream(
                    method,
                    url,
                    headers=headers,
                    content=content,
                    extensions={"trace": connection.look},
                ) as response,
            ):
                if not connection.is_checked:  # the HTTP client reports no connection any more
                    raise FetchError(f"the address that {shown(url)} leads to was not checked")
                return await self._read(url, response, conditional="If-None-Match" in headers)
        except httpx2.TimeoutException as error:
            raise FetchError(f"{shown(url)} did not answer in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as error:
            raise FetchError(f"{shown(url)} cannot be fetched: {_problem(error)}") from error

    def _client(self, tls: ssl.SSLContext) -> "httpx2.AsyncClient":
        import httpx2  # noqa: PLC0415 - as above

        timeout = httpx2.Timeout(None, connect=_CONNECT_TIMEOUT)
        try:
            return httpx2.AsyncClient(verify=tls, trust_env=self.trust_env, timeout=timeout)
        except (httpx2.InvalidURL, ImportError, ValueError):
            # `from None`: it quotes the address, which may have a password.
            raise FetchError(
                "the proxy of the environment cannot be used; for SOCKS there is "
                "pip install 'httpx2[socks]'"
            ) from None

    async def refuse_peer(self, url: str, stream: Any) -> None:
        """Close a connection to an address that nothing may be fetched from, and raise.

        Raises:
            FetchError: it is one.
        """
        peer = stream.get_extra_info("server_addr")  # None once it has been reset
        try:
            if peer is None:
                raise ValueError("a connection that was closed at once")  # noqa: TRY301
            address = peer[0]
            plain = urlsplit(url).scheme == "http"
            if plain and not (
                is_loopback_host(address) or _is_among(urlsplit(url), self.http_hosts)
            ):
                raise ValueError("another machine, and not by https")  # noqa: TRY301
            refuse_address(
                address,
                allow_loopback=self.allow_loopback,
                allow_private=host_of(url) in self.trusted_hosts,
            )
        except ValueError as error:
            await stream.aclose()
            raise FetchError(f"{shown(url)} leads to {error}") from None

    async def _current_tls(self, url: str) -> ssl.SSLContext:
        with_certificate = self.certificate_file is not None and origin_of_url(url) in self.origins
        version, tls = self._tls[with_certificate]
        if version == self._tls_version(with_certificate=with_certificate):
            return tls
        try:  # certificates are renewed while the service runs
            return await asyncio.to_thread(self._read_tls, with_certificate=with_certificate)
        except ConfigurationError as error:
            raise FetchError(error.message) from None

    def _read_tls(self, *, with_certificate: bool) -> ssl.SSLContext:
        """Read the certificates, and keep them until a file changes: that takes up to 100 ms."""
        version = self._tls_version(with_certificate=with_certificate)
        tls = self._tls_context(with_certificate=with_certificate)
        self._tls[with_certificate] = version, tls
        return tls

    def _tls_version(self, *, with_certificate: bool) -> FileVersion | None:
        own = (self.certificate_file, self.key_file) if with_certificate else ()
        return version_of(path for path in (self.ca_file, *own) if path is not None)

    async def _credentials(self, url: str) -> dict[str, str]:
        """The headers that the client authenticates with."""
        if origin_of_url(url) not in self.origins:
            return {}
        headers = dict(self.headers)
        if (path := self.token_file) is not None:
            try:
                token = (await asyncio.to_thread(path.read_text)).strip()
            except (OSError, ValueError) as error:
                problem = getattr(error, "strerror", None) or type(error).__name__
                raise FetchError(
                    f"JWT_JWKS_TOKEN_FILE (jwks_token_file) cannot be read: {problem}"
                ) from None
            if not HEADER_VALUE.fullmatch(token):
                raise FetchError("JWT_JWKS_TOKEN_FILE (jwks_token_file) holds no token")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _tls_context(self, *, with_certificate: bool) -> ssl.SSLContext:
        if self.ca_file is None and not with_certificate:
            return _shared_tls_context(trust_env=self.trust_env)
        if with_certificate:
            # First without the authorities, which would be read for each token while it is broken.
            self._load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        try:
            context = (
                _system_tls_context(trust_env=self.trust_env)
                if self.ca_file is None
                else ssl.create_default_context(cafile=self.ca_file)
            )
        except (OSError, ValueError):
            raise ConfigurationError(
                "ca_file", "JWT_CA_FILE (ca_file) cannot be read, or holds no certificate in PEM."
            ) from None
        if with_certificate:
            self._load_certificate(context)
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        try:  # a key without its certificate is as one whose file is not there
            context.load_cert_chain(self.certificate_file or "", self.key_file, _no_password)
        except (OSError, ValueError):
            raise ConfigurationError(
                "jwks_certificate",
                "JWT_JWKS_CERTIFICATE_FILE (jwks_certificate_file) and JWT_JWKS_KEY_FILE "
                "(jwks_key_file), or certificate_file and key_file of Introspection, cannot be "
                "read, or are not a certificate and its private key in PEM, without a password.",
            ) from None

    async def _read(self, url: str, response: "httpx2.Response", *, conditional: bool) -> Fetched:
        status, headers = response.status_code, response.headers
        cache_control, age = headers.get("cache-control", ""), headers.get("age", "")
        # It is sent back as a header, so it must be a valid one.
        stated = headers.get("etag", "")
        etag = stated if _ETAG.fullmatch(stated) else None
        if status == _NOT_MODIFIED and conditional:
            return Fetched(b"", etag, cache_control, age, is_known=True)
        if status != _OK:
            # A redirect is refused: the URL that it points to was never configured.
            outage = status // 100 not in {3, 4} or status in _FOR_NOW
            withdrawn = status in _GONE
            said = f"{shown(url)} answered with status {status}"
            raise FetchError(said, outage=outage, withdrawn=withdrawn)
        encoding = headers.get("content-encoding", "identity").lower()
        if encoding not in _ENCODINGS:
            raise FetchError(f"{shown(url)} sent a compressed body", outage=False)
        body, pieces = bytearray(), 0
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.max_bytes:
                raise self._too_long(url)
            pieces += 1
            if pieces > _MAX_PIECES:  # each costs time on the event loop
                raise FetchError(f"{shown(url)} sent more than {_MAX_PIECES} pieces")
        data = bytes(body) if encoding == "identity" else self._decompressed(url, body)
        return Fetched(data, etag, cache_control, age)

    def _decompressed(self, url: str, body: bytearray) -> bytes:
        """Decompress what some servers send although `identity` was asked for (RFC 9110 §8.4.1).

        A few compressed bytes can be gigabytes: no more of them are made than are read.
        """
        inflater, data = zlib.decompressobj(_GZIP_OR_ZLIB), b""
        with suppress(zlib.error):
            data = inflater.decompress(body, self.max_bytes + 1)
        if len(data) > self.max_bytes:
            raise self._too_long(url)
        if not inflater.eof:
            raise FetchError(f"{shown(url)} sent a body that cannot be decompressed", outage=False)
        return data

    def _too_long(self, url: str) -> FetchError:
        return FetchError(f"{shown(url)} sent more than {self.max_bytes} bytes", outage=False)


class _Connection:
    """The connection of one request, by what the HTTP client reports of it."""

    def __init__(self, fetcher: Fetcher, url: str) -> None:
        self._fetcher = fetcher
        self._url = url
        self._dialled = ""
        self._stream: Any = None
        #: Whether the address that it leads to was looked at.
        self.is_checked = False

    async def look(self, event: str, info: dict[str, Any]) -> None:
        """Check where it leads, and limit what is read of it before the body."""
        if event.endswith(".connect_tcp.started"):  # of a connection, or one to a SOCKS proxy
            self._dialled = info["host"]
        elif event.endswith(".connect_tcp.complete"):
            if not (self._fetcher.trust_env and _is_proxy(self._dialled, self._url)):
                await self._fetcher.refuse_peer(self._url, info["return_value"])
            self.is_checked = True
            self._limit_head(info["return_value"])
        elif event.endswith(".start_tls.complete"):
            self._limit_head(info["return_value"])
        elif self.is_checked and event == "http11.receive_response_headers.complete":
            del self._stream.read  # the limit: its class has its own `read`

    def _limit_head(self, stream: Any) -> None:
        read, left = stream.read, _LONGEST_HEAD

        async def read_head(max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
            nonlocal left
            if left <= 0:
                said = f"{shown(self._url)} sent {_LONGEST_HEAD} bytes, and no answer among them"
                raise FetchError(said)
            data: bytes = await read(min(max_bytes, _HEAD_PIECE), timeout)
            left -= len(data)
            return data

        stream.read = read_head
        self._stream = stream


def _problem(error: BaseException) -> str:
    """Describe the problem in words that hold nothing of the response."""
    cause: BaseException | None = error
    while cause is not None:
        if "CERTIFICATE_REQUIRED" in str(getattr(cause, "reason", "")):
            return f"it asks for {_CLIENT_CERTIFICATE}"
        for kind, words in _PROBLEMS:
            if isinstance(cause, kind):
                return words
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _no_password() -> str:
    raise ValueError("a password is needed")  # OpenSSL would ask for it on the terminal


def _system_tls_context(*, trust_env: bool) -> ssl.SSLContext:
    import httpx2  # noqa: PLC0415 - as above

    return httpx2.create_ssl_context(trust_env=trust_env)


#: Reading the system's authorities takes 30 ms, and a service can have many issuers.
_shared_tls_context = cache(_system_tls_context)


def _is_proxy(dialled: str, url: str) -> bool:
    """Whether a connection was made to a proxy, which alone knows the address behind it."""
    import httpx2  # noqa: PLC0415 - as above

    # In the client's own spelling: it escapes what no host has, `^` for one, and looks that up.
    return dialled != httpx2.URL(url).raw_host.decode("ascii")


def origin_of_url(url: str) -> str:
    """The scheme, host and port of a URL, in lower case and without the default port."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return ""  # an `iss` can be any text
    return f"{parts.scheme}://{parts.hostname}:{port}"


def split_url(
    url: str, *, allow_loopback: bool = False, http_hosts: Collection[str] = ()
) -> SplitResult:
    """Split a URL that keys may be fetched from: `https`, a host, no credentials.

    It may be `http` for `http_hosts`, with or without their ports, and where told on this machine.

    Raises:
        ValueError: it is not such a URL; the message says why and does not quote it.
    """
    if not _URL.fullmatch(url):
        raise ValueError("is not a URL")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise ValueError("is not a URL") from None  # the parser's message quotes it
    if not parts.hostname:
        raise ValueError("names no host")
    if "@" in parts.netloc:
        raise ValueError("holds credentials")
    if "#" in url:
        raise ValueError("has a fragment")
    local = allow_loopback and is_loopback_host(parts.hostname)
    by_http = local or _is_among(parts, http_hosts)
    if parts.scheme != "https" and not (parts.scheme == "http" and by_http):
        raise ValueError("does not begin with https://")
    return parts


def _is_among(parts: SplitResult, http_hosts: Collection[str]) -> bool:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return host in http_hosts or f"{host}:{parts.port or 80}" in http_hosts


def is_issuer_url(text: str) -> bool:
    """Whether an issuer is the URL of an authorization server (RFC 8414 §2)."""
    try:
        split_url(text, allow_loopback=True)
    except ValueError:
        return False
    return "?" not in text


def host_of(url: str) -> str:
    """The host that a URL names, in lower case; none if it is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def shown(url: str) -> str:
    """Return a URL for logs and health reports, without its query, which may hold an API key."""
    return repr(url.partition("?")[0][:256])


def is_loopback_host(host: str) -> bool:
    """Whether a host, as a URL names it, is this machine."""
    if host == "localhost":  # what it leads to is checked when it is dialled
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Python 3.13 began to count ::ffff:127.0.0.1, a second spelling of an address, as loopback.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def refuse_address(text: str, *, allow_loopback: bool, allow_private: bool) -> None:
    """Refuse an address that an identity provider cannot have.

    Link-local, metadata, multicast and reserved addresses are refused always.

    Raises:
        ValueError: the address is refused; the message names its kind.
    """
    address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    if address.is_link_local or site_local or address in _METADATA:
        raise ValueError("a link-local or metadata address")
    if address.is_loopback:
        if not allow_loopback:
            raise ValueError("a loopback address")
        return
    if address.is_multicast or address.is_reserved or address.is_unspecified:
        raise ValueError("a multicast, reserved or unspecified address")
    if not address.is_global and not allow_private:
        raise ValueError("a private address")


def _innermost(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
