"""Ask small applications without a token, with a foreign one and with a good one.

An answer is a status code, or `REFUSED` where the application raises `ConfigurationError`. Every
endpoint here answers `inside`: a refusal that contains this text fails the test at once.
"""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextvars import copy_context
from typing import Any, TypeAlias, TypeVar

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from jwt_deps import ConfigurationError, JWTSettings, jwt_guard, protect, protected_router
from tests.minting import OTHER_SECRET
from tests.web.serving import HAS_FRONTEND, LIVE, SETTINGS, bearer, including

__all__ = [
    "FOREIGN",
    "GOOD",
    "HAS_FRONTEND",
    "INSIDE",
    "LIVE",
    "REFUSED",
    "Answer",
    "Copying",
    "Cutting",
    "Homemade",
    "Layer",
    "answers_of",
    "ask",
    "assert_closed",
    "assert_guarded",
    "drive",
    "filled",
    "guarded_by",
    "headers_of",
    "including",
    "kinds_of_guard",
    "knock",
    "page",
    "plain",
    "read",
    "send_request",
    "talk",
]

Headers: TypeAlias = dict[str, str]
Answer: TypeAlias = int | str

INSIDE = "inside"

_PLAIN_PATH = re.compile(r"(/[\w.-]*[\w-])*/?")
_REDIRECTS = {302, 303, 307, 308}

REFUSED = "ConfigurationError"

#: For requests that are sent straight to an application: a new event loop takes longer than these.
_RUNNER = asyncio.Runner()

#: Accepted by `SETTINGS`, and a token of another issuer, accepted by `OTHER`.
GOOD = bearer()
FOREIGN = bearer(OTHER_SECRET)


async def read() -> str:
    """Answer as an API route."""
    return INSIDE


async def plain(_: Request) -> PlainTextResponse:
    """Answer as a route of Starlette's."""
    return PlainTextResponse(INSIDE)


async def talk(websocket: WebSocket) -> None:
    """Accept a WebSocket and say one thing."""
    await websocket.accept()
    await websocket.send_text(INSIDE)
    await websocket.close()


def page() -> ASGIApp:
    """Make an ASGI application that answers everything."""
    return PlainTextResponse(INSIDE)


class Layer:
    """A middleware that hands on what it gets."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Copying(Layer):
    """A middleware that hands on a copy of the scope."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(dict(scope), receive, send)


class Cutting(Layer):
    """A middleware that takes a slash at the end of the path away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "path": scope["path"].rstrip("/")}, receive, send)


Router = TypeVar("Router", bound=APIRouter | FastAPI)


def filled(router: Router) -> Router:
    """Add `/api`, a route of FastAPI's, and `/plain`, one of Starlette's."""
    router.get("/api")(read)
    router.add_route("/plain", plain)
    return router


class Homemade(BaseRoute):
    """A kind of route that neither FastAPI nor Starlette knows."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.NONE if scope["type"] == "lifespan" else Match.FULL), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, or accept it."""
        if scope["type"] == "websocket":
            await talk(WebSocket(scope, receive, send))
        else:
            await PlainTextResponse(INSIDE)(scope, receive, send)


def ask(
    target: ASGIApp | TestClient, path: str, headers: Headers | None = None, method: str = "GET"
) -> Answer:
    """Return the status of the answer to one request, or `REFUSED`."""
    try:
        status, text = _answer(target, path, headers or {}, method)
    except ConfigurationError:
        return REFUSED
    assert (INSIDE in text) == (status == 200), f"{path}: {status} {text}"
    return status


def _answer(
    target: ASGIApp | TestClient, path: str, headers: Headers, method: str
) -> tuple[int, str]:
    """Ask straight, which is ten times faster, where a client would do nothing else."""
    client = target if isinstance(target, TestClient) else TestClient(target)
    if client.portal is TestClient.portal and _PLAIN_PATH.fullmatch(path):
        status, body, _ = send_request(client.app, method, path, headers)
        if status not in _REDIRECTS:
            return status, body.decode()
    answer = client.request(method, path, headers=headers)
    return answer.status_code, answer.text


def knock(target: ASGIApp | TestClient, path: str, headers: Headers | None = None) -> Answer:
    """Return the status of the answer to a WebSocket handshake.

    200 means that it was accepted; 404 that Starlette closed it, which it does without a route.
    """
    client = target if isinstance(target, TestClient) else TestClient(target)
    try:
        with client.websocket_connect(path, headers=headers or {}) as websocket:
            assert websocket.receive_text() == INSIDE
            return 200
    except WebSocketDenialResponse as denied:
        return denied.status_code
    except WebSocketDisconnect as closed:
        assert closed.code == 1000  # noqa: PT017 - what Starlette sends where it has no route
        return 404
    except ConfigurationError:
        return REFUSED


def answers_of(
    target: ASGIApp | TestClient,
    path: str,
    *,
    good: Headers = GOOD,
    bad: Headers = FOREIGN,
    by: Callable[..., Answer] = ask,
) -> list[Answer]:
    """Return the answers without a token, with a bad one and with the good one."""
    client = target if isinstance(target, TestClient) else TestClient(target)
    return [by(client, path, headers) for headers in ({}, bad, good)]


def assert_guarded(
    target: ASGIApp | TestClient,
    path: str,
    *,
    good: Headers = GOOD,
    bad: Headers = FOREIGN,
    served: bool = True,
) -> None:
    """401 without a token and with a bad one, 200 with the good one; 404 where it is not served."""
    expected = [401, 401, 200] if served else [404, 404, 404]
    found = answers_of(target, path, good=good, bad=bad)
    assert expected == found, f"{path}: {found}, not {expected}"


def assert_closed(
    build: Callable[[], ASGIApp | TestClient],
    path: str,
    *,
    good: Headers = GOOD,
    bad: Headers = FOREIGN,
    by: Callable[..., Answer] = ask,
    served: bool = True,
) -> None:
    """Guarded, or refused with `ConfigurationError` while it is built or asked.

    Where FastAPI does not serve the path, 404 will do as well.
    """
    try:
        target = build()
    except ConfigurationError:
        return
    found = answers_of(target, path, good=good, bad=bad, by=by)
    unserved = () if served else (404,)
    assert {*found[:2]} <= {401, REFUSED, *unserved}, found
    assert found[2] in (200, REFUSED, *unserved), found


def send_request(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Headers | None = None,
    body: Iterable[bytes] = (b"",),
) -> tuple[int, bytes, int]:
    """Send one request straight to the application, chunk by chunk.

    Returns:
        The status, the body of the answer, and how many chunks were asked for before its start.
    """
    sent = drive(app, scope_of(method, path, headers or {}), list(body))
    return _RUNNER.run(sent, context=copy_context())


def scope_of(method: str, path: str, headers: Headers) -> dict[str, Any]:
    """Make the ASGI scope of an HTTP request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers_of({"host": "testserver", **headers}),
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "state": {},
    }


def headers_of(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Write headers as an ASGI scope has them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


async def drive(
    app: Callable[[Any, Any, Any], Awaitable[None]],
    scope: MutableMapping[str, Any],
    body: Sequence[bytes] = (b"",),
    pause: float | None = None,
) -> tuple[int, bytes, int]:
    """Send a request with any scope; `pause` seconds pass before each chunk of its body."""
    waiting = itertools.count(1)
    asked, asked_before_answer, status, answer = 0, 0, 0, b""

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked = next(waiting)
        if pause is not None:
            await asyncio.sleep(pause)
        if asked > len(body):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body[asked - 1], "more_body": asked < len(body)}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal asked_before_answer, status, answer
        if message["type"] == "http.response.start":
            status, asked_before_answer = message["status"], asked
        else:
            answer += message.get("body", b"")

    await app(scope, receive, send)
    return status, answer, asked_before_answer


kinds_of_guard = pytest.mark.parametrize("kind", ["protect", "protected_router", "jwt_guard"])


def guarded_by(
    kind: str,
    router: APIRouter,
    settings: JWTSettings = SETTINGS,
    exclude: Sequence[str | Callable[..., Any]] = (),
) -> FastAPI:
    """Make an application that includes a router, guarded in one of the three ways."""
    if kind == "protect":
        app = protect(FastAPI(), settings, exclude)
        app.include_router(router)
        return app
    if kind == "protected_router":
        return including(protected_router(router, settings=settings, exclude=exclude))
    return including(router, dependencies=[Depends(jwt_guard(settings, exclude))])
