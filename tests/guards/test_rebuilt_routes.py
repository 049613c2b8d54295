"""What serves a FastAPI route was replaced or wrapped since FastAPI made it.

Where that no longer runs the guard, the answer is refused. Where it does, and where a tool only
traces the methods of FastAPI's classes, exception handlers answer as they do elsewhere.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import fastapi.routing
import pytest
import starlette.routing
import wrapt
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import jwt_guard, protect, protected_router
from jwt_deps.audit import Verdict, audit
from tests.web.serving import SETTINGS

from .asking import (
    GOOD,
    INSIDE,
    REFUSED,
    ask,
    guarded_by,
    kinds_of_guard,
    knock,
    plain,
    read,
    talk,
)

# Starlette's, until FastAPI had one of its own.
to_app = getattr(fastapi.routing, "request_response", starlette.routing.request_response)


async def other() -> str:
    """Answer in place of the endpoint."""
    return INSIDE


def with_another_endpoint(route: APIRoute) -> None:
    """As a decorator does that comes after the route."""
    route.endpoint = other
    route.dependant = get_dependant(path=route.path_format, call=other)
    route.app = to_app(route.get_route_handler())


def without_dependencies(route: APIRoute) -> None:
    """As a tool does that removes some of them."""
    route.dependant.dependencies.clear()
    route.app = to_app(route.get_route_handler())


def with_a_cache(route: APIRoute) -> None:
    """It answers from its cache, and asks FastAPI only for what is not in it."""

    async def handler(_: Request) -> PlainTextResponse:
        return PlainTextResponse(INSIDE)

    route.app = to_app(handler)


def asked_before(kind: str) -> tuple[FastAPI, APIRoute]:
    """Make an application whose two routes have refused a request, and return the first too."""
    guards = [Depends(jwt_guard(SETTINGS))] if kind == "jwt_guard" else []
    app = FastAPI(openapi_url=None, dependencies=guards)
    app.get("/x")(read)
    app.get("/y")(read)
    if kind == "protect":
        protect(app, SETTINGS)
    assert [401, 401] == [ask(app, path) for path in ("/x", "/y")]
    return app, next(it for it in app.routes if isinstance(it, APIRoute) and it.path == "/x")


@pytest.mark.parametrize("rebuild", [with_another_endpoint, without_dependencies, with_a_cache])
@pytest.mark.parametrize("kind", ["protect", "jwt_guard"])
def test_a_route_that_no_longer_runs_its_guard_answers_nothing(
    kind: str, rebuild: Callable[[APIRoute], None]
) -> None:
    """With a token neither: the guard is what reads it."""
    app, route = asked_before(kind)
    rebuild(route)

    assert [REFUSED, REFUSED] == [ask(app, "/x", headers) for headers in ({}, GOOD)]
    assert 401 == ask(app, "/y")


class Answering(APIRoute):
    """A class that serves its routes by a handler of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = to_app(self.answer)

    async def answer(self, _: Request) -> PlainTextResponse:
        """Answer."""
        return PlainTextResponse(INSIDE)


def test_a_route_class_that_replaces_what_serves_it_answers_nothing() -> None:
    """As the one of `fastapi-jsonrpc`."""
    app = FastAPI(openapi_url=None)
    app.router.route_class = Answering
    app.get("/x")(read)

    assert REFUSED == ask(protect(app, SETTINGS), "/x", GOOD)


class Timed(APIRoute):
    """A class that looks at each answer, as in FastAPI's documentation."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Call FastAPI's."""
        original = super().get_route_handler()

        async def handler(request: Request) -> Any:
            return await original(request)

        return handler


class Compressing(APIRoute):
    """A class that puts a middleware around its routes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = GZipMiddleware(self.app)


@pytest.mark.parametrize("route_class", [APIRoute, Timed, Compressing])
@pytest.mark.parametrize("kind", ["protected_router", "jwt_guard"])
def test_a_dependency_further_out_can_redirect(kind: str, route_class: type[APIRoute]) -> None:
    """Before the guard is asked, with a token and without one."""

    async def moved() -> None:
        raise HTTPException(307, headers={"Location": "/elsewhere"})

    router = APIRouter(route_class=route_class, dependencies=[Depends(jwt_guard(SETTINGS))])
    router.get("/x")(read)
    if kind == "protected_router":
        router = protected_router(settings=SETTINGS, route_class=route_class)
        router.get("/x")(read)
    app = FastAPI(dependencies=[Depends(moved)], openapi_url=None)
    app.include_router(router)

    with TestClient(app, follow_redirects=False) as client:
        found = [client.get("/x", headers=it).status_code for it in ({}, GOOD, GOOD)]

    assert [307] * 3 == found


def test_an_answer_that_a_route_class_raises_is_refused() -> None:
    """What it had cached reaches a handler as an exception, and the guard was not asked."""

    class CachedError(Exception):
        """A cached answer."""

    class Raising(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            async def handler(_: Request) -> Any:
                raise CachedError

            return handler

    app = FastAPI(openapi_url=None)
    app.router.route_class = Raising
    app.get("/x")(read)
    app.add_exception_handler(CachedError, lambda *_: PlainTextResponse(INSIDE))

    assert REFUSED == ask(protect(app, SETTINGS), "/x")


async def unreachable(_: Message) -> None:
    """Send nothing."""
    raise ConnectionError


async def to_the_cache(_: Message) -> None:
    """Send something to a server that is down."""
    raise ConnectionError


class FromCache:
    """An ASGI application around a route, which answers where its cache is down."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or accept."""
        try:
            await to_the_cache({})
        except ConnectionError:
            if scope["type"] == "websocket":
                await talk(WebSocket(scope, receive, send))
            else:
                await PlainTextResponse(INSIDE)(scope, receive, send)


class Stale:
    """An ASGI application around a route, which answers for it where it fails or refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the answer, and send another one."""
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        try:
            await self.app(scope, receive, keep)
        except Exception:  # noqa: BLE001 - whatever it is
            await PlainTextResponse(INSIDE)(scope, receive, send)
        else:
            await PlainTextResponse(INSIDE)(scope, receive, send)


@pytest.mark.parametrize("around", [FromCache, Stale])
@pytest.mark.parametrize("kind", ["protect", "jwt_guard"])
def test_what_answers_in_an_except_block_is_no_exception_handler(
    kind: str, around: Callable[[ASGIApp], ASGIApp]
) -> None:
    """It is around the route, and has asked no guard, or keeps what the guard said to itself."""
    app, route = asked_before(kind)
    route.app = around(route.app)

    assert REFUSED == ask(app, "/x")


def test_a_websocket_that_is_accepted_in_an_except_block_is_refused() -> None:
    """Its route never asks the guard."""
    app = protect(FastAPI(openapi_url=None), SETTINGS)
    app.websocket("/x")(talk)
    route = next(it for it in app.routes if isinstance(it, APIWebSocketRoute))
    route.app = FromCache(route.app)

    assert [REFUSED, REFUSED] == [knock(app, "/x", headers) for headers in ({}, GOOD)]


def test_what_a_rebuilt_route_raises_is_not_answered() -> None:
    """Its endpoint has run, and no guard was asked."""

    async def handler(_: Request) -> PlainTextResponse:
        raise HTTPException(303, headers={"Location": "/done"})

    app = protect(FastAPI(openapi_url=None), SETTINGS)
    app.get("/x")(read)
    next(it for it in app.routes if isinstance(it, APIRoute)).app = to_app(handler)

    assert REFUSED == ask(app, "/x")


@pytest.mark.parametrize("handler", [partial(PlainTextResponse, INSIDE), None])
def test_a_body_that_cannot_be_read_may_be_answered_with_success(handler: Any) -> None:
    """The guard let the request pass before, and what FastAPI raises comes from no endpoint."""

    async def later(request: Request, error: Exception) -> PlainTextResponse:  # noqa: ARG001
        return PlainTextResponse(INSIDE)

    app = protect(FastAPI(openapi_url=None), SETTINGS)

    @app.post("/x")
    async def x(body: dict[str, int]) -> str:
        return INSIDE * len(body)

    answer = partial(later) if handler is None else lambda *_: handler()
    app.add_exception_handler(RequestValidationError, answer)
    client = TestClient(app)

    found = [client.post("/x", content="{", headers=it).status_code for it in ({}, GOOD)]

    assert [401, 200] == found


@pytest.fixture
def _traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `wrapt` wrap methods of FastAPI's and Starlette's classes, as Datadog's tracer does."""

    def traced(wrapped: Callable[..., Any], _: object, args: Any, options: Any) -> Any:
        return wrapped(*args, **options)

    for kind, name in (
        (FastAPI, "build_middleware_stack"),
        (APIRoute, "handle"),
        (starlette.routing.Route, "handle"),
        (starlette.routing.Mount, "handle"),
    ):
        wrapped = wrapt.FunctionWrapper(getattr(kind, name), traced)
        monkeypatch.setattr(kind, name, wrapped)


@pytest.mark.usefixtures("_traced")
class TestATracer:
    """It replaces methods by wrappers, which are not equal from one look to the next."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @kinds_of_guard
    def test_a_handler_may_answer_a_refusal(self, kind: str, method: str) -> None:
        """With a redirect to a log-in, say."""
        router = APIRouter()

        @router.api_route("/x", methods=["GET", "POST"])
        async def x(body: Any = None) -> str:  # noqa: ARG001 - there is one to read
            return INSIDE

        app = guarded_by(kind, router)
        app.add_exception_handler(401, lambda *_: RedirectResponse("/log-in", 302))

        with TestClient(app, follow_redirects=False) as client:
            assert 302 == client.request(method, "/x").status_code
            assert 200 == client.request(method, "/x", headers=GOOD).status_code

    @pytest.mark.parametrize("kind", ["protect", "protected_router"])
    def test_the_audit_finds_the_guard(self, kind: str) -> None:
        """Of plain routes and mounts too."""
        router = APIRouter()
        router.get("/x")(read)
        router.add_route("/plain", plain)
        app = guarded_by(kind, router)

        found = {it.path: it.verdict for it in audit(app).routes if it.path in {"/x", "/plain"}}

        assert {"/x": Verdict.GUARDED, "/plain": Verdict.GUARDED} == found
        assert [401, 401] == [ask(app, path) for path in ("/x", "/plain")]


def test_jwt_guard_goes_on_refusing_what_calls_its_router_in_its_own_way() -> None:
    """Not only the first time: an error in the log is easily missed."""

    class Versioned(APIRouter):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send)

    app = FastAPI(openapi_url=None)
    app.router = Versioned(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/api")(read)
    app.add_route("/plain", plain)

    assert [REFUSED] * 3 == [ask(app, "/api", headers) for headers in ({}, GOOD, GOOD)]


def test_a_guard_that_applies_twice_is_one() -> None:
    """To the audit as to requests."""
    guard = jwt_guard(SETTINGS)
    app = FastAPI(openapi_url=None, dependencies=[Depends(guard)])
    app.get("/x", dependencies=[Depends(guard)])(read)

    assert [Verdict.GUARDED] == [it.verdict for it in audit(app).routes]
    assert [401, 200] == [ask(app, "/x", headers) for headers in ({}, GOOD)]
