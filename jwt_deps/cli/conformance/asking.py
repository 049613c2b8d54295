"""Ask a resource server the questions of the catalogue, one request after the other."""

import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from jwt_deps.testing import Answer as Served
from jwt_deps.testing import FakeIssuer

from .catalog import Question
from .requests import Maker, Request
from .verdict import Answer, faults

_ERRORS = frozenset({500, 502, 504})
_MOST = 65_536  # bytes of a body that are read
_WAIT = 0.3  # seconds for a server that accepts a WebSocket and closes it

#: What the issuer does before a question; afterwards it is well again.
_EVENTS: Mapping[str, Callable[[FakeIssuer], object]] = {
    "adds a key": lambda issuer: issuer.rotate(),
    "replaces its key": lambda issuer: issuer.rotate(overlap=False),
    "is down": lambda issuer: issuer.down(),
    "answers 500": lambda issuer: setattr(issuer, "jwks", Served(status=500)),
    "answers with a page": lambda issuer: setattr(issuer, "jwks", Served.html()),
    "has no keys": lambda issuer: setattr(issuer, "jwks", Served.json({"keys": []})),
    "redirects": lambda issuer: setattr(issuer, "jwks", Served.redirect(f"{issuer.origin}/else")),
    "closes in the middle": lambda issuer: setattr(issuer, "jwks", Served(cut=True)),
    "answers without end": lambda issuer: setattr(issuer, "jwks", Served(padding=20_000_000)),
}


class CannotAskError(Exception):
    """The server cannot be asked, with the reason."""


@dataclass(frozen=True, slots=True)
class Result:
    """A question with its outcome: `kept`, `not asked`, or the level of its fault."""

    question: Question
    outcome: str
    came: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """A resource server that is asked.

    Attributes:
        urls: its addresses; `guarded` is the one that is asked if a question names none.
        maker: makes the requests for it.
        has: what was told of it, which questions need.
        issuer: the issuer that it trusts, if that is served here.
        client: the HTTP client.
    """

    urls: Mapping[str, str]
    maker: Maker
    has: frozenset[str]
    issuer: FakeIssuer | None
    client: httpx2.Client

    def send(self, send: Mapping[str, Any]) -> tuple[Request, Answer]:
        """Make a request and send it."""
        request = self.maker.make(send, self.urls.get(send.get("at", ""), self.urls["guarded"]))
        return request, self._sent(request)

    def ask(self, question: Question) -> Result:
        """Ask one question."""
        if missing := question.needs - self.has:
            return Result(question, "not asked", f"needs {', '.join(sorted(missing))}")
        before = self._fetches()
        try:
            if (event := question.send.get("issuer")) is not None and self.issuer is not None:
                _EVENTS[event](self.issuer)
            found = list(self._answers(question.send))
        finally:
            if self.issuer is not None:
                self.issuer.jwks = None
                self.issuer.up()
        fetched = self._fetches() - before
        expect = self.maker.expected(question.expect)
        for request, answer in found:
            if wrong := faults(expect, answer, request.token, fetched):
                # An error of the server is one, however little the specifications say here.
                level = "MUST" if answer.status in _ERRORS else question.level
                return Result(question, level, str(answer), tuple(wrong))
        return Result(question, "kept", str(found[-1][1]))

    def _answers(self, send: Mapping[str, Any]) -> Iterator[tuple[Request, Answer]]:
        if "first" in send:
            self.send(send["first"])
        for _ in range(send.get("times", 1)):
            request, answer = self.send(send)
            yield request, self._sent(request) if send.get("again") else answer

    def _fetches(self) -> Counter[str]:
        if self.issuer is None:
            return Counter()
        return Counter(request.endpoint for request in self.issuer.requests)

    def _sent(self, request: Request) -> Answer:
        try:
            websocket = request.url.startswith("ws")
            answer = _handshake(request, self.client) if websocket else self._response(request)
        except (httpx2.HTTPError, WebSocketException, OSError):
            return Answer(0)
        self.maker.nonce = next(iter(answer.values("dpop-nonce")), self.maker.nonce)
        return answer

    def _response(self, request: Request) -> Answer:
        lines = list(request.lines)
        if request.form is not None:
            lines.append(("Content-Type", "application/x-www-form-urlencoded"))
        headers = [(name.encode(), value.encode("latin-1")) for name, value in lines]
        with self.client.stream(
            request.method, request.url, headers=headers, content=request.form
        ) as response:
            body = b""
            for piece in response.iter_bytes(_MOST):
                body += piece
                if len(body) >= _MOST:
                    break
        text = body.decode(errors="replace")
        self.client.cookies.clear()
        return Answer(
            response.status_code, tuple(response.headers.multi_items()), text, _json(text)
        )


def ask(server: Server, questions: list[Question]) -> list[Result]:
    """Ask the questions in order, after a good token and a request without any.

    Raises:
        CannotAskError: the server does not answer, refuses a good token, or serves its guarded
            address without one.
    """
    server.send({})  # which tells of the server's DPoP-Nonce
    _, good = server.send({})
    _, bare = server.send({"lines": []})
    if not good.status:
        raise CannotAskError("the server does not answer")
    if good.status // 100 != 2:  # noqa: PLR2004
        raise CannotAskError(
            f"a good token was answered with {good}. Compare --audience, --claim, --typ and the "
            "key with what the server expects."
        )
    if bare.status // 100 == 2:  # noqa: PLR2004
        raise CannotAskError("the guarded address is served without a token")
    return [server.ask(question) for question in questions]


def _handshake(request: Request, client: httpx2.Client) -> Answer:
    url = urlsplit(request.url)
    lines = [(name, value) for name, value in request.lines]
    offered = [v for name, v in lines if name == "Sec-WebSocket-Protocol"]
    protocols = [Subprotocol(it.strip()) for value in offered for it in value.split(",")]
    others = [(name, value) for name, value in lines if name != "Sec-WebSocket-Protocol"]
    timeout = client.timeout.connect
    # An own socket, because the client would use a proxy of the environment.
    port = url.port or {"ws": 80, "wss": 443}[url.scheme]
    with socket.create_connection((url.hostname, port), timeout) as connection:
        try:
            with connect(
                request.url,
                sock=connection,
                subprotocols=protocols or None,
                additional_headers=others,
                open_timeout=timeout,
                close_timeout=_WAIT,
                compression=None,
            ) as websocket:
                return _first(websocket)
        except InvalidStatus as refused:
            response = refused.response
            body = (response.body or b"").decode(errors="replace")
            headers = tuple(response.headers.raw_items())
            return Answer(response.status_code, headers, body, _json(body))


def _first(websocket: Any) -> Answer:
    try:
        websocket.recv(_WAIT)
    except TimeoutError:
        pass
    except ConnectionClosed as closed:
        return Answer(closed.rcvd.code if closed.rcvd else 0)
    return Answer(101, tuple(websocket.response.headers.raw_items()))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
