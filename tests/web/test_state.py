"""`request.state` has what the AgentOS middleware sets there."""

import time
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import Claims, JWTSettings, get_claims, protect, protected_router
from tests.minting import SECRET, claims, mint
from tests.web.serving import bearer, including

SETTINGS = JWTSettings(
    secret_key=SECRET,
    scopes_claim="scope",
    dependencies_claims=["tenant"],
    session_state_claims=["plan"],
)


def application(settings: JWTSettings = SETTINGS) -> tuple[TestClient, dict[str, Any]]:
    seen: dict[str, Any] = {}
    router = protected_router(settings=settings)

    @router.get("/")
    async def read(request: Request) -> None:
        seen.update(request.state._state)

    @router.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        seen.update(websocket.state._state)
        await websocket.accept()

    app = including(router, prefix="/r")
    return TestClient(app), seen


def test_everything_that_the_token_says_is_there() -> None:
    """Under the middleware's names and in its types."""
    client, seen = application()
    members = {"session_id": "s", "scope": "b a", "tenant": {"id": 1}, "plan": ["pro"]}
    encoded = mint(claims(now=time.time(), **members))

    client.get("/r/", headers={"Authorization": f"Bearer {encoded}"})

    assert isinstance(seen["claims"], Claims)
    del seen["claims"]
    assert {
        "authenticated": True,
        "token": encoded,
        "user_id": "alice",
        "session_id": "s",
        "scopes": ["a", "b"],
        "audience": None,
        "dependencies": {"tenant": {"id": 1}},
        "session_state": {"plan": ["pro"]},
    } == seen
    assert dict is type(seen["dependencies"]) is type(seen["session_state"])


def test_what_the_token_does_not_say_is_there_and_empty() -> None:
    """In the middleware's shapes: AgentOS takes an absent list of scopes for root."""
    client, seen = application()

    client.get("/r/", headers=bearer(sub=""))

    assert {
        **dict.fromkeys(["user_id", "session_id", "audience"]),
        "scopes": [],
        "dependencies": {},
        "session_state": {},
    } == {name: seen[name] for name in set(seen) - {"authenticated", "claims", "token"}}


def test_scopes_are_those_that_are_granted() -> None:
    """In the registered claim, where no setting names another."""
    client, seen = application(JWTSettings(secret_key=SECRET))

    client.get("/r/", headers=bearer(scope="a"))

    assert ["a"] == seen["scopes"]


@pytest.mark.parametrize("value", [{"id": "x"}, 1.5, True, ["x"]])
def test_a_value_of_no_shape_is_none(value: object) -> None:
    """A claim that cannot be an identifier gives none."""
    client, seen = application()

    answer = client.get("/r/", headers=bearer(session_id=value))

    assert 200 == answer.status_code
    assert seen["session_id"] is None


def test_a_websocket_has_it_too() -> None:
    """`websocket.state` is the same."""
    client, seen = application()

    with client.websocket_connect("/r/ws", headers=bearer()):
        assert ("alice", True) == (seen["user_id"], seen["authenticated"])


def test_nothing_is_there_after_a_refusal() -> None:
    """Handlers that run after it find no identity."""
    client, seen = application()
    states: list[dict[str, Any]] = []
    app = client.app
    assert isinstance(app, FastAPI)

    @app.exception_handler(401)
    async def handler(request: Request, _: Exception) -> Any:
        states.append(dict(request.state._state))
        return JSONResponse({}, 401)

    client.get("/r/", headers={"Authorization": "Bearer bad"})

    assert ({}, [{}]) == (seen, states)


@pytest.mark.parametrize("looks_up", ["route", "endpoint", "nothing"])
def test_a_middleware_that_looks_the_route_up_reads_what_the_guard_wrote(looks_up: str) -> None:
    """It is one request, although its scope names a route before a router has served it."""
    app, seen = protect(FastAPI(), SETTINGS), []

    @app.get("/x")
    async def read(request: Request) -> None:
        request.state.mark = "endpoint"

    @app.middleware("http")
    async def metrics(request: Request, call_next: Any) -> Any:
        request.state.started = True
        route = app.routes[-1]
        if looks_up == "route":
            request.scope["route"] = route
        elif looks_up == "endpoint":
            request.scope.update(route.matches(request.scope)[1])
        answer = await call_next(request)
        seen.append((request.state.mark, request.state.user_id))
        return answer

    assert 200 == TestClient(app).get("/x", headers=bearer()).status_code
    assert [("endpoint", "alice")] == seen


class NewState:
    """A middleware by which what is mounted knows nothing of the application around it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {}
        await self.app(scope, receive, send)


class Copies:
    """A middleware that hands on a copy of the scope, as those that change the path do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope}, receive, send)


@pytest.mark.parametrize("kinds", [(NewState,), (Copies, NewState), (NewState, Copies)])
def test_a_mounted_application_with_a_new_state_has_the_user_in_it(kinds: tuple[Any, ...]) -> None:
    """The guard there has been asked before, for the dependencies of the application around it."""
    inner, outer = FastAPI(), FastAPI()
    for kind in kinds:
        inner.add_middleware(kind)

    @inner.get("/x")
    async def read(request: Request) -> Any:
        return request.state._state.get("user_id")

    outer.mount("/inner", protect(inner, SETTINGS))
    client = TestClient(protect(outer, SETTINGS, dependencies=[Depends(get_claims)]))

    assert "alice" == client.get("/inner/x", headers=bearer()).json()
