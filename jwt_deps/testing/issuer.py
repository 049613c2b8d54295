"""Who issues the tokens of a test? `FakeIssuer`, over HTTP or in process, as the test says."""

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
from .server import LoopbackServer
from .tokens import isolated

__all__ = ["Endpoint", "FakeIssuer", "Request"]

Endpoint: TypeAlias = Literal["jwks", "discovery", "other"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the issuer has received."""

    endpoint: Endpoint
    path: str
    headers: Mapping[str, str] = field(repr=False)
    """Their names in lower case."""
    time: float
    """When, by `time.monotonic`."""


class FakeIssuer(KeyRing):
    """An authorization server as far as a resource server sees one: keys, metadata and tokens.

        with FakeIssuer(path="/realms/a") as issuer:
            httpx2.get(issuer.jwks_url)

    With a `url` of its own it is asked in process, by the settings that `settings` makes, and no
    socket is opened.

        issuer = FakeIssuer(url="https://login.example.com")
        settings = issuer.settings("api")

    It starts with one key and tells the truth. `jwks` and `discovery` hold what it says instead,
    `metadata` the members of its discovery document, `discovery_paths` where that is found,
    `cache_control` the header of that name, `requests` what was asked. All of them can be changed
    while it runs.

    Args:
        url: its own address, if it is only asked in process; `path` is not used then.
        algorithm: what the first key signs with: RS*, PS*, ES*, EdDSA or Ed25519.
        path: the path of the issuer's URL, for example `/realms/a`, or `/`.
        host: `localhost`, or an address of the loopback interface.
        port: 0 is any free one, the same after every further start.
        ssl_context: makes it an HTTPS server.
        clock: the time at which tokens are issued, in seconds since the epoch.

    Raises:
        ValueError: the algorithm is not known, or the host is no loopback address.
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

    # Where it is

    @property
    def issuer(self) -> str:
        """What its tokens have as `iss`; known once it was started.

        Raises:
            RuntimeError: it was never started.
        """
        return self.origin + self._path

    @property
    def origin(self) -> str:
        """Its URL without a path.

        Raises:
            RuntimeError: it was never started.
        """
        return self._origin or self._server.origin

    @property
    def jwks_url(self) -> str:
        """Where its keys are."""
        return f"{self.origin}{self._base}/jwks.json"

    @property
    def discovery_url(self) -> str:
        """Where its metadata are, by OpenID Connect Discovery."""
        return f"{self.origin}{self._base}/.well-known/openid-configuration"

    def start(self) -> None:
        """Begin to answer, on the same port as before if there was one.

        Raises:
            OSError: the port is taken.
        """
        self.up()
        truth = {
            "issuer": self.issuer,
            "jwks_uri": self.jwks_url,
            "authorization_endpoint": f"{self.origin}{self._base}/authorize",
            "token_endpoint": f"{self.origin}{self._base}/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.signing_key.algorithm],
        }
        self.metadata = {**truth, **self.metadata}

    def stop(self) -> None:
        """End at once, whoever is still waiting for an answer; in process, refuse as `down`."""
        self._is_down = True
        self._server.close()

    def down(self) -> None:
        """Refuse connections until `up`, and cut those that are open.

        Raises:
            OSError: somebody else has got the port.
        """
        self._is_down = True
        if self._origin is None:
            self._server.refuse()

    def up(self) -> None:
        """Answer again, on the same port."""
        self._is_down = False
        if self._origin is None:
            self._server.listen()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Be down for as long as the block lasts."""
        self.down()
        try:
            yield
        finally:
            self.up()

    @contextmanager
    def latency(self, seconds: float) -> Iterator[None]:
        """Answer late for as long as the block lasts, whatever the answer is."""
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
        """Settings that accept its tokens, with keys that are found by discovery.

        Nothing is read from the environment. They ask over HTTP, or in process if the issuer has
        a `url` of its own.

        Args:
            audience: whose tokens are accepted; `None` where `values` say something else about it.
            clock: by which keys grow old, in seconds; `None` is the real one.
            values: further values of `JWTSettings`; they win.

        Raises:
            RuntimeError: it was never started, so it has no address.
            ConfigurationError: the values contradict each other.
        """
        # Not `discovery` beside a `jwks_url`, which says where the keys are.
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

        `iss`, `iat`, `exp`, `jti`, `alg`, `kid` and `typ` are filled in. What `claims` and `header`
        say wins, and what they give as `None` is left out.

        Args:
            claims: its claims.
            audience: its `aud`.
            expires_in: seconds from `iat` to `exp`.
            now: the time of issue; `None` asks the clock.
            key: what signs it; `None` is the signing key.
            header: members of its header.
        """
        key = key or self.signing_key
        now = self._clock() if now is None else now
        times = {"iat": int(now), "exp": int(now + expires_in)}
        filled = {"iss": self.issuer, "aud": audience, **times, "jti": uuid4().hex}
        named = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}
        return key.sign(_given(named, header), _given(filled, claims))

    # What it was asked, and what it answers

    def count(self, endpoint: Endpoint) -> int:
        """How many requests an endpoint has received."""
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
            return Answer(status=404, body=b"")
        if endpoint == "jwks":
            return self._filled_in(self.jwks or Answer(), self.jwk_set, headers)
        return self._filled_in(self.discovery or Answer(), self.metadata.copy(), headers)

    def _endpoint(self, path: str) -> Endpoint:
        if path == f"{self._base}/jwks.json":
            return "jwks"
        return "discovery" if path in self.discovery_paths else "other"

    def _filled_in(self, answer: Answer, truth: object, asked: Mapping[str, str]) -> Answer:
        body, status, headers = answer.body, answer.status, {"content-type": "application/json"}
        if body is None:
            body = json.dumps(truth).encode()
            etag = headers["etag"] = f'"{hashlib.sha256(body).hexdigest()}"'
            if self.cache_control is not None:
                headers["cache-control"] = self.cache_control
            if status == HTTPStatus.OK and etag in asked.get("if-none-match", ""):
                status = HTTPStatus.NOT_MODIFIED
        return replace(answer, status=status, body=body, headers={**headers, **answer.headers})


def _given(filled: Mapping[str, object], given: Mapping[str, object] | None) -> dict[str, object]:
    members = {**filled, **(given or {})}
    return {name: value for name, value in members.items() if value is not None}
