"""A fake authorization server for tests, over HTTP or in process."""

import hashlib
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit
from uuid import uuid4

from jwt_deps.jose import SigningKey
from jwt_deps.settings import JWTSettings

from .answers import Answer
from .in_process import settings_in_process
from .key_ring import KeyRing
from .members import merge
from .server import LoopbackServer
from .tokens import isolated

Endpoint: TypeAlias = Literal["jwks", "discovery", "other"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the issuer received."""

    endpoint: Endpoint
    """`jwks`, `discovery` or `other`."""
    path: str
    """Path and query."""
    headers: Mapping[str, str] = field(repr=False)
    """The headers, their names in lower case."""
    time: float
    """The time of `time.monotonic`, in seconds."""


class FakeIssuer(KeyRing):
    """An authorization server with keys, metadata and tokens, as a resource server sees one.

        with FakeIssuer(path="/realms/a") as issuer:
            httpx2.get(issuer.jwks_url)

    With `url` it opens no socket: the settings that `settings` returns ask it in process.

        issuer = FakeIssuer(url="https://login.example.com")
        settings = issuer.settings("api")

    These attributes can be changed while it runs:

    - `jwks` and `discovery`: an `Answer` in place of the real document; `None` is the real one.
    - `metadata`: the members of the discovery document.
    - `discovery_paths`: the paths of the discovery document.
    - `elsewhere`: the `Answer` at every other path.
    - `cache_control`: the header of that name, on both documents.
    - `requests`: the requests received so far.

    Args:
        url: the issuer URL, for use in process; `path`, `host` and `port` are not used then.
        algorithm: the algorithm of the first key: RS*, PS*, ES*, EdDSA or Ed25519.
        path: the path of the issuer URL, for example `/realms/a`, or `/`.
        host: the loopback address to listen on, or `localhost`.
        port: the port to listen on; 0 picks a free one, which further starts keep.
        ssl_context: serves HTTPS; `None` serves HTTP.
        clock: returns the time at which tokens are issued, in seconds since the epoch.

    Raises:
        ValueError: the algorithm is unknown or symmetric, or the host is not a loopback address.
    """

    def __init__(  # noqa: PLR0913 - each with a default, and by name
        self,
        *,
        url: str | None = None,
        algorithm: str = "RS256",
        path: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(algorithm)
        self._server = LoopbackServer(self._respond, host=host, port=port, ssl_context=ssl_context)
        self._clock = clock
        self._origin: str | None = None
        self._is_down = False
        self._delay: float = 0
        if url is not None:
            scheme, host, path, *_ = urlsplit(url)
            self._origin = f"{scheme}://{host}"
        self._path = path
        # RFC 8414 §3.1: a slash at the end of the issuer is not part of the other addresses.
        self._base = path.removesuffix("/")
        self.jwks: Answer | None = None
        self.discovery: Answer | None = None
        self.elsewhere = Answer(status=404)
        self.discovery_paths = {
            f"/.well-known/oauth-authorization-server{self._base}",
            f"/.well-known/openid-configuration{self._base}",
            f"{self._base}/.well-known/openid-configuration",
        }
        self.metadata: dict[str, Any] = {}
        self.cache_control: str | None = None
        self.requests: list[Request] = []
        if url is not None:
            self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def issuer(self) -> str:
        """The issuer URL, `iss` of its tokens.

        Raises:
            RuntimeError: it was never started, so the port is not known.
        """
        return self.origin + self._path

    @property
    def origin(self) -> str:
        """The issuer URL without its path.

        Raises:
            RuntimeError: it was never started, so the port is not known.
        """
        return self._origin or self._server.origin

    @property
    def jwks_url(self) -> str:
        """The URL of the JWK Set."""
        return f"{self.origin}{self._base}/jwks.json"

    @property
    def discovery_url(self) -> str:
        """The URL of the metadata, by OpenID Connect Discovery."""
        return f"{self.origin}{self._base}/.well-known/openid-configuration"

    def start(self) -> None:
        """Answer requests, on the same port as before if there was one.

        Raises:
            OSError: the port is in use.
        """
        self.up()
        metadata = {
            "issuer": self.issuer,
            "jwks_uri": self.jwks_url,
            "authorization_endpoint": f"{self.origin}{self._base}/authorize",
            "token_endpoint": f"{self.origin}{self._base}/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.signing_key.algorithm],
        }
        self.metadata = {**metadata, **self.metadata}

    def stop(self) -> None:
        """Close all connections and the port at once; in process, refuse as `down` does."""
        self._is_down = True
        self._server.close()

    def down(self) -> None:
        """Close all connections and refuse new ones until `up`.

        Raises:
            OSError: the port is in use.
        """
        self._is_down = True
        if self._origin is None:
            self._server.refuse()

    def up(self) -> None:
        """Answer requests again, on the same port.

        Raises:
            OSError: the port is in use.
        """
        self._is_down = False
        if self._origin is None:
            self._server.listen()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Refuse connections while the block runs.

        Raises:
            OSError: the port is in use.
        """
        self.down()
        try:
            yield
        finally:
            self.up()

    @contextmanager
    def latency(self, seconds: float) -> Iterator[None]:
        """Delay every answer while the block runs.

        Args:
            seconds: the delay, in addition to that of an `Answer`.
        """
        former, self._delay = self._delay, seconds
        try:
            yield
        finally:
            self._delay = former

    def settings(
        self,
        audience: str | Sequence[str] | None = "api",
        *,
        clock: Callable[[], float] | None = None,
        **values: Any,
    ) -> JWTSettings:
        """Return settings that accept its tokens and find its keys by discovery.

            with using_settings(app, issuer.settings("api")):
                client.get("/notes", headers=bearer(issuer.token({"sub": "alice"}, audience="api")))

        Nothing is read from the environment.

        Args:
            audience: the accepted audience; `None` leaves it to `values`.
            clock: returns the time by which cached keys expire, in seconds; `None` is the real one.
            values: further values of `JWTSettings`; they replace those above.

        Returns:
            The settings.

        Raises:
            RuntimeError: it was never started, so the port is not known.
            ConfigurationError: the values contradict each other.
        """
        # `discovery` and `jwks_url` exclude each other.
        usual = {"issuer": self.issuer, "audience": audience, "discovery": "jwks_url" not in values}
        given = {**usual, **values}
        if self._origin is None:
            settings = isolated({"allow_loopback": True, **given})
        else:
            settings = settings_in_process(self._answer_in_process, given)
        for keys in settings.server.key_caches.values():
            keys.clock = clock or keys.clock
        return settings

    def token(  # noqa: PLR0913 - likewise
        self,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | Sequence[str] | None = None,
        expires_in: float = 300,
        now: float | None = None,
        key: SigningKey | None = None,
        header: Mapping[str, object] | None = None,
    ) -> str:
        """Issue a token.

            issuer.token({"sub": "alice", "scope": "notes:read"}, audience="api")

        It has `iss`, `iat`, `exp` and `jti`, and in its header `alg`, `kid` and `typ`.

        Args:
            claims: further claims; they replace those of the same name, and `None` removes one.
            audience: `aud`; `None` leaves it out.
            expires_in: seconds from `iat` to `exp`.
            now: the time of issue, in seconds since the epoch; `None` asks the clock.
            key: the key that signs it; `None` is the signing key.
            header: further members of the header, likewise.

        Returns:
            The token, a JWS in compact serialization.
        """
        key = key or self.signing_key
        now = self._clock() if now is None else now
        times = {"iat": int(now), "exp": int(now + expires_in)}
        payload = {"iss": self.issuer, "aud": audience, **times, "jti": uuid4().hex}
        head = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}
        return key.sign(merge(head, header), merge(payload, claims))

    async def fetch_keys(self) -> dict[str, Any]:
        """Return the published keys, so that the issuer is a `KeySource` too.

            JWTSettings(key_source=issuer, issuer=issuer.issuer, audience="api")

        Raises:
            ConnectionError: it is down.
        """
        if self._is_down:
            raise ConnectionError("the issuer is down")
        return self.jwk_set

    def count(self, endpoint: Endpoint) -> int:
        """Count the requests that an endpoint received.

        Args:
            endpoint: `jwks`, `discovery` or `other`.

        Returns:
            The number of requests.
        """
        return sum(request.endpoint == endpoint for request in self.requests)

    def _answer_in_process(self, url: str, headers: Mapping[str, str]) -> Answer | None:
        if self._is_down or not url.startswith(f"{self.origin}/"):
            return None
        return self._respond(url.removeprefix(self.origin), headers)

    def _respond(self, target: str, headers: Mapping[str, str]) -> Answer:
        answer = self._answer(target, headers)
        return replace(answer, delay=answer.delay + self._delay)

    def _answer(self, target: str, headers: Mapping[str, str]) -> Answer:
        endpoint = self._endpoint(target.partition("?")[0])
        self.requests.append(Request(endpoint, target, headers, time.monotonic()))
        if endpoint == "other":
            return replace(self.elsewhere, body=self.elsewhere.body or b"")
        if endpoint == "jwks":
            return _with_document(self.jwks or Answer(), self.jwk_set, headers, self.cache_control)
        answer, metadata = self.discovery or Answer(), self.metadata.copy()
        return _with_document(answer, metadata, headers, self.cache_control)

    def _endpoint(self, path: str) -> Endpoint:
        if path == f"{self._base}/jwks.json":
            return "jwks"
        return "discovery" if path in self.discovery_paths else "other"


def _with_document(
    answer: Answer, document: object, asked: Mapping[str, str], cache_control: str | None
) -> Answer:
    """Complete an answer: the document where it has no body, its `ETag`, and 304."""
    body, status, headers = answer.body, answer.status, {"content-type": "application/json"}
    if body is None:
        body = json.dumps(document).encode()
        etag = headers["etag"] = f'"{hashlib.sha256(body).hexdigest()}"'
        if cache_control is not None:
            headers["cache-control"] = cache_control
        if status == HTTPStatus.OK and etag in asked.get("if-none-match", ""):
            status = HTTPStatus.NOT_MODIFIED
    return replace(answer, status=status, body=body, headers={**headers, **answer.headers})
