"""Smaller promises of guarded routers and applications, one by one."""

import asyncio
import copy
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import (
    JWTSettings,
    current_user_id,
    get_settings,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
)
from tests.minting import SECRET
from tests.web.serving import OTHER, SETTINGS, bearer

from .asking import FOREIGN, GOOD, INSIDE, LIVE, REFUSED, ask, including, plain, read

live = pytest.mark.skipif(not LIVE, reason="up to 0.136 FastAPI refuses it itself")


class TestAnEmptyPath:
    """`@router.get("")`, as `include_router` takes it below a prefix."""

    def test_below_the_prefix_of_the_protected_router(self) -> None:
        """`protected_router(router, prefix="/users")`."""
        router = APIRouter()
        router.get("")(read)
        app = including(protected_router(router, settings=SETTINGS, prefix="/users"))

        assert (401, 200) == (ask(app, "/users"), ask(app, "/users", GOOD))

    @live
    def test_below_the_prefix_of_its_inclusion(self) -> None:
        """`app.include_router(protected_router(router), prefix="/users")`."""
        router, app = APIRouter(), FastAPI()
        router.get("")(read)
        app.include_router(protected_router(router, settings=SETTINGS), prefix="/users")
        router.get("/late")(read)

        for path in ("/users", "/users/late"):
            assert (401, 200) == (ask(app, path), ask(app, path, GOOD))

    @live
    def test_without_any_prefix(self) -> None:
        """FastAPI says that there is nothing to serve it at."""
        router = APIRouter()
        router.get("")(read)

        with pytest.raises(Exception, match="cannot be both empty"):
            including(protected_router(router, settings=SETTINGS))

    @live
    def test_the_lifespan_of_the_included_router_runs(self) -> None:
        """What it is included as has it, too."""
        ran: list[str] = []

        @asynccontextmanager
        async def lifespan(_: Any) -> Any:
            ran.append("started")
            yield

        router, app = APIRouter(lifespan=lifespan), FastAPI()
        router.get("")(read)
        app.include_router(protected_router(router, settings=SETTINGS), prefix="/users")
        with TestClient(app):
            assert ["started"] == ran


class TestDependenciesOfAPlainRoute:
    """FastAPI runs none for it: this package does, as FastAPI would."""

    def test_headers_that_they_set_are_sent(self) -> None:
        """On the `Response` that they ask for."""

        async def limited(response: Response) -> None:
            response.headers["X-Remaining"] = "7"

        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(limited)])
        app.add_route("/plain", plain)

        answer = TestClient(app).get("/plain", headers=GOOD)

        assert (200, "7") == (answer.status_code, answer.headers["X-Remaining"])

    def test_background_tasks_that_they_add_run(self) -> None:
        """After the answer."""
        ran: list[str] = []

        async def logged(tasks: BackgroundTasks) -> None:
            tasks.add_task(ran.append, "task")

        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(logged)])
        app.add_route("/plain", plain)

        assert (401, []) == (ask(app, "/plain"), ran)
        assert (200, ["task"]) == (ask(app, "/plain", GOOD), ran)


def test_an_api_route_with_a_handle_of_its_own_is_refused() -> None:
    """Set on the one instance, it runs no dependencies."""
    app = protect(FastAPI(), SETTINGS)
    app.get("/x")(read)
    (route,) = [it for it in app.router.routes if isinstance(it, APIRoute)]

    async def handle(*_: Any) -> None:
        pytest.fail("it ran")

    route.handle = handle  # type: ignore[method-assign, assignment]

    assert REFUSED == ask(app, "/x")


def test_a_guard_that_is_copied_is_the_guard() -> None:
    """A copy would be another one, which nothing knows."""
    guard = jwt_guard(SETTINGS)

    assert guard is copy.copy(guard) is copy.deepcopy(guard)


class TestAProtectedRouterWithoutFastAPI:
    """It is an ASGI application, too."""

    def test_alone(self) -> None:
        """Its own lifespan starts it."""
        router = protected_router(settings=SETTINGS)
        router.add_route("/x", plain)
        with TestClient(router) as client:
            assert [401, 200] == [
                client.get("/x", headers=it).status_code if it else _refused(client)
                for it in ({}, GOOD)
            ]


def _refused(client: TestClient) -> int:
    """The status of the refusal, which nothing around the router makes an answer of."""
    with pytest.raises(Exception, match="Authorization header missing") as refused:
        client.get("/x")
    return int(refused.value.status_code)  # type: ignore[attr-defined]


async def served(app: ASGIApp, headers: Any, path: str = "/x") -> int:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {"root_path": "", "query_string": b"", "headers": headers, "http_version": "1.1"}
    await app(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_headers_may_be_any_iterable(kind: Any) -> None:
    """ASGI promises no more."""
    app = protect(FastAPI(), SETTINGS)
    app.get("/x")(read)
    raw = [(b"host", b"x"), (b"authorization", GOOD["Authorization"].encode())]

    assert 200 == asyncio.run(served(app, kind(raw)))
    assert 401 == asyncio.run(served(app, kind(raw[:1])))


class Removing:
    """A middleware that takes the token away, or puts another one there."""

    def __init__(self, app: ASGIApp, authorization: str | None) -> None:
        self.app = app
        self.authorization = authorization

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        if self.authorization is not None:
            kept.append((b"authorization", self.authorization.encode()))
        scope["headers"] = kept
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    ("authorization", "expected"), [(None, 401), (bearer(sub="bob")["Authorization"], 200)]
)
def test_headers_that_are_changed_on_the_way_are_read_anew(
    authorization: str | None, expected: int
) -> None:
    """By what is mounted behind the guard: the token that is there then counts."""
    inner = FastAPI()

    @inner.get("/x")
    async def x(user: Annotated[str, Depends(current_user_id)]) -> str:
        return user

    app = protect(FastAPI(), SETTINGS)
    app.mount("/in", Removing(inner, authorization))

    answer = TestClient(app).get("/in/x", headers=bearer(sub="alice"))

    assert expected == answer.status_code
    assert authorization is None or answer.json() == "bob"


def test_what_a_lifespan_put_into_the_state_comes_back_below_another_guard() -> None:
    """Under the inner settings the outer token is none, and the outer caller is not told."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        yield {"dependencies": "the lifespan's", "user_id": "nobody"}

    inner = protect(FastAPI(), OTHER)

    @inner.get("/x")
    @public
    async def x(
        request: Request, user: Annotated[str | None, Depends(optional(current_user_id))]
    ) -> list[Any]:
        return [user, request.state.user_id, request.state.dependencies]

    async def knows(_: Annotated[str, Depends(current_user_id)]) -> None:
        """Have the token read under the settings of the inner guard."""

    app = FastAPI(lifespan=lifespan)
    router = protected_router(settings=SETTINGS)
    router.get("/y")(x)
    app.mount("/in", inner)
    app.include_router(router)
    with TestClient(app) as client:
        assert [None, "nobody", "the lifespan's"] == client.get("/in/x").json()
        assert 401 == client.get("/in/x", headers=GOOD).status_code
        assert ["alice", "alice", "the lifespan's"] == client.get("/y", headers=GOOD).json()
        assert 200 == client.get("/in/x", headers=FOREIGN).status_code


class Stripping(APIRoute):
    """A route class that takes the token away once it has read the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Read, strip, and go on."""
        handler = super().get_route_handler()

        async def strip(request: Request) -> Response:
            await request.body()
            kept = [it for it in request.scope["headers"] if it[0] != b"authorization"]
            request.scope["headers"] = kept
            return await handler(request)

        return strip


def test_a_token_that_is_gone_after_the_body_was_read_is_missed() -> None:
    """The guard is asked again, as FastAPI does."""
    app = protect(FastAPI(), SETTINGS)
    app.router.route_class = Stripping
    app.post("/x")(read)

    assert 401 == ask(app, "/x", GOOD, method="POST")


@live
def test_the_state_of_a_router_in_a_mounted_application_is_that_of_its_own_settings() -> None:
    """Both guards ask; what the outer one wrote goes, and the lifespan's own comes back."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        yield {"dependencies": "the lifespan's"}

    inner, router = (
        FastAPI(),
        protected_router(settings=JWTSettings(secret_key=SECRET, user_id_claim="name")),
    )

    @router.get("/x")
    async def x(request: Request) -> list[Any]:
        return [request.state.user_id, request.state.dependencies]

    inner.include_router(router)
    app = protect(FastAPI(lifespan=lifespan), SETTINGS)
    app.mount("/in", inner)
    with TestClient(app) as client:
        answer = client.get("/in/x", headers=bearer(sub="alice", name="Alice"))

    assert ["Alice", "the lifespan's"] == answer.json()


def test_a_batch_without_a_state() -> None:
    """A server that runs no lifespan gives none."""
    router, app = APIRouter(), FastAPI()
    router.get("/me")(read)
    app.include_router(protected_router(router, settings=SETTINGS))

    @app.get("/batch")
    async def batch(request: Request) -> int:
        scope = {**request.scope, "path": "/me", "raw_path": b"/me", "headers": []}
        return await _child(app, scope)

    assert 200 == asyncio.run(served(app, [(b"host", b"x")], "/batch"))


def test_a_batch_in_an_application_without_guards() -> None:
    """Each of its requests has a caller of its own, also where only dependencies ask."""
    app = FastAPI()
    app.dependency_overrides[get_settings] = lambda: SETTINGS

    @app.get("/me")
    async def me(user: Annotated[str, Depends(current_user_id)]) -> str:
        return f"{INSIDE} {user}"

    @app.get("/batch")
    async def batch(request: Request, user: Annotated[str, Depends(current_user_id)]) -> list[Any]:
        raw = [(b"authorization", bearer(sub="bob")["Authorization"].encode())]
        scope = {**request.scope, "path": "/me", "raw_path": b"/me"}
        both = [_child(app, {**scope, "headers": raw}), _child(app, {**scope, "headers": []})]
        return [user, *await asyncio.gather(*both)]

    answer = TestClient(app).get("/batch", headers=bearer(sub="alice"))

    assert ["alice", 200, 401] == answer.json()


async def _child(app: ASGIApp, scope: Scope) -> int:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])
