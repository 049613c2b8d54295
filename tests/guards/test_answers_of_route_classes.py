"""What decides where a guard was refused, replaced, mounted or covered from further out.

A route class that swallows a refusal answers nothing, and a guard that FastAPI runs decides.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from jwt_deps import ConfigurationError, jwt_guard, protect, protected_router, require_scopes
from jwt_deps.audit import audit
from tests.web.serving import OTHER, SETTINGS, frontend

from .asking import (
    FOREIGN,
    GOOD,
    INSIDE,
    REFUSED,
    answers_of,
    ask,
    guarded_by,
    kinds_of_guard,
    knock,
    plain,
    read,
)


async def check_api_key(_: Any = None) -> None:
    """Take the place of a guard."""
    raise HTTPException(403)


class Swallowing(APIRoute):
    """A class that takes whatever goes wrong with the body for no body."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Answer by itself."""

        async def handler(request: Request) -> Response:
            try:
                await request.json()
            except Exception:  # noqa: BLE001 - that is the point
                return JSONResponse(INSIDE)
            return await original(request)

        original = super().get_route_handler()
        return handler


@kinds_of_guard
def test_a_route_class_that_swallows_the_refusal_answers_nothing(kind: str) -> None:
    """It reads the body under `except Exception`, and meant no JSON."""
    router = APIRouter(route_class=Swallowing)

    @router.post("/x")
    async def x(_: dict[str, str]) -> str:
        return INSIDE

    app = guarded_by(kind, router)
    # A mere guard has to have been asked once.
    assert 200 == TestClient(app).post("/x", json={}, headers=GOOD).status_code

    assert [REFUSED, REFUSED] == [ask(app, "/x", it, "POST") for it in ({}, FOREIGN)]


def test_a_route_class_that_answers_a_refusal_itself_answers_nothing() -> None:
    """Only an exception handler of the application may."""

    class Catching(APIRoute):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await Request(scope, receive).body()
            except HTTPException:
                await JSONResponse(INSIDE)(scope, receive, send)

    router = APIRouter()
    router.add_api_route("/x", read, route_class_override=Catching)

    assert REFUSED == ask(guarded_by("protect", router), "/x")


class OwnHandle(APIRoute):
    """Answers by itself where the body cannot be had."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        except Exception:  # noqa: BLE001 - as such classes are written
            await JSONResponse(INSIDE)(scope, receive, send)


@pytest.mark.parametrize("kind", ["protect", "protected_router"])
def test_a_handle_that_swallows_the_refusal_answers_nothing(kind: str) -> None:
    """It answers while the refusal is handled, and is no exception handler all the same."""
    router = APIRouter(route_class=OwnHandle)
    router.post("/x")(read)
    app = guarded_by(kind, router)

    with TestClient(app):
        assert REFUSED == ask(app, "/x", {}, "POST")


class OwnWebSocket(APIWebSocketRoute):
    """Answers a handshake without accepting it."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.receive()
        await websocket.send_denial_response(JSONResponse(INSIDE))


def test_a_handshake_that_is_answered_with_a_successful_denial_response() -> None:
    """It says as much as an answer to a request."""
    app = protect(FastAPI(), SETTINGS)
    app.add_api_websocket_route("/ws", read)
    app.routes[-1].__class__ = OwnWebSocket

    with pytest.raises(ConfigurationError), TestClient(app).websocket_connect("/ws"):
        pass


class LoginNeededError(Exception):
    """An error of the application's own."""


class Translating(APIRoute):
    """Makes an error of the application's own of a refusal."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def translating(request: Request) -> Any:
            try:
                return await handler(request)
            except HTTPException as error:
                raise LoginNeededError from error

        return translating


@pytest.mark.parametrize("kind", ["protect", "protected_router"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_that_becomes_an_error_of_the_application(kind: str, method: str) -> None:
    """The handler of that error answers as it likes."""
    router = APIRouter(route_class=Translating)
    router.add_api_route("/x", read, methods=[method])
    app = guarded_by(kind, router)
    app.add_exception_handler(LoginNeededError, lambda *_: Response(status_code=303))

    with TestClient(app, follow_redirects=False) as client:
        answers = [client.request(method, "/x", headers=it).status_code for it in ({}, GOOD)]

    assert [303, 200] == answers


class Cyclic:
    """A layer that has itself inside."""

    def __init__(self) -> None:
        self.app = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(INSIDE)(scope, receive, send)


def test_a_layer_that_has_itself_inside() -> None:
    """It is not looked through for ever, and it is guarded."""
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", Cyclic())

    assert [401, 200] == [ask(app, "/m/x", it) for it in ({}, GOOD)]


@pytest.mark.parametrize("layer", [Cyclic(), MagicMock()], ids=["cyclic", "mock"])
def test_a_layer_without_an_end_that_takes_the_place_of_what_was_mounted(layer: Any) -> None:
    """The audit ends all the same."""
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", FastAPI())
    app.routes[-1].app = layer  # type: ignore[attr-defined]

    assert audit(app).routes


class TestAGuardThatIsReplacedOverARouterThatIsMounted:
    """FastAPI replaces nothing there, and runs the guard itself."""

    @pytest.mark.parametrize("by", ["jwt_guard", "protected_router", "protect"])
    def test_the_guard_decides(self, by: str) -> None:
        """Over the router, and again over one in it."""
        guard = jwt_guard(SETTINGS)
        inner = APIRouter(dependencies=[Depends(guard)])
        outer = APIRouter(dependencies=[Depends(guard)])
        if by == "protected_router":
            outer = protected_router(settings=SETTINGS, dependencies=[Depends(guard)])
        inner.get("/x")(read)

        @inner.websocket("/ws")
        async def talk(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(INSIDE)
            await websocket.close()

        outer.include_router(inner)
        app = protect(FastAPI(), SETTINGS) if by == "protect" else FastAPI()
        app.mount("/m", outer)
        app.dependency_overrides[guard] = check_api_key

        assert [401, 401, 200] == answers_of(app, "/m/x")
        assert [401, 401, 200] == answers_of(app, "/m/ws", by=knock)


class TestAGuardBelowAProtectedApplication:
    """The guard inside decides, and nothing is wrong with the application."""

    @pytest.mark.parametrize("exclude", [[], ["/m"]], ids=["guarded", "excluded"])
    @pytest.mark.parametrize("where", ["router", "route", "inclusion", "protected_router"])
    def test_in_a_router_that_is_mounted(self, where: str, exclude: list[str]) -> None:
        """Over it, over one of its routes, over an inclusion, or a protected router in it."""
        guarded = [Depends(jwt_guard(SETTINGS))]
        router = APIRouter(dependencies=guarded if where == "router" else [])
        if where == "inclusion":
            inner = APIRouter()
            inner.get("/x")(read)
            router.include_router(inner, dependencies=guarded)
        elif where == "protected_router":
            protected = protected_router(settings=SETTINGS)
            protected.get("/x")(read)
            router.include_router(protected)
        else:
            router.get("/x", dependencies=guarded if where == "route" else [])(read)
        app = protect(FastAPI(), SETTINGS, exclude)
        app.mount("/m", router)

        assert [401, 401, 200] == answers_of(app, "/m/x")

    def test_over_an_application_with_plain_routes(self) -> None:
        """The guard outside covers these, also once the one inside was asked."""
        inner = FastAPI(dependencies=[Depends(jwt_guard(OTHER))])
        inner.get("/x")(read)
        inner.add_route("/plain", plain)
        app = protect(FastAPI(), OTHER)
        app.mount("/m", inner)

        for path in ("/m/plain", "/m/x", "/m/plain"):
            assert [401, 401, 200] == answers_of(app, path, good=FOREIGN, bad=GOOD)


@frontend
def test_an_excluded_frontend_is_open_where_its_path_begins_like_the_root_path(
    tmp_path: Path,
) -> None:
    """`/app` is no part of `/app-assets`."""
    (tmp_path / "x").write_text(INSIDE)
    app: Any = FastAPI()
    app.frontend("/app-assets", directory=tmp_path)
    protect(app, SETTINGS, exclude=["/app-assets/*"])

    assert 200 == TestClient(app, root_path="/app").get("/app-assets/x").status_code


@pytest.mark.parametrize("over", ["protect", "application", "jwt_guard"])
def test_the_audit_calls_the_pages_of_fastapi_public_below_requirements(over: str) -> None:
    """They are served without them."""
    required = [Depends(require_scopes("s0"))]
    if over == "protect":
        app = protect(FastAPI(), SETTINGS, dependencies=required)
    elif over == "application":
        app = protect(FastAPI(dependencies=required), SETTINGS)
    else:
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS)), *required])

    found = {it.path: (it.verdict.value, it.scopes) for it in audit(app).routes}

    assert ("public", ()) == found["/docs"] == found["/openapi.json"]
    assert 200 == TestClient(app).get("/docs").status_code
