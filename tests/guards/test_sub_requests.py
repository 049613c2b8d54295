"""A scope that comes to an application again is another request; one changed on its way is not.

What comes again is authenticated on its own, also where nothing in it has changed. What a wrapper,
a route or a dependency copies or changes stays below the guard that let it pass.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import (
    JWTSettings,
    current_user_id,
    get_settings,
    get_token,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.testing import Prover, TokenFactory
from tests.minting import SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, token

from .asking import (
    FOREIGN,
    GOOD,
    ask,
    drive,
    guarded_by,
    headers_of,
    including,
    kinds_of_guard,
    plain,
    read,
)

ALICE, BOB = bearer(sub="alice"), bearer(sub="bob")


async def me(user: Annotated[str, Depends(current_user_id)]) -> str:
    """Say who is calling, by a dependency."""
    return user


async def plain_me(request: Request) -> PlainTextResponse:
    """Say who is calling, by the state."""
    return PlainTextResponse(json.dumps(getattr(request.state, "user_id", None)))


async def token_of_query(request: Request) -> str | None:
    """Take the token from the query."""
    return request.query_params.get("t")


async def send_copy(app: ASGIApp, scope: Scope, **changes: Any) -> tuple[int, Any]:
    """Serve a copy of a scope with something changed, and return the status and the JSON."""
    if "path" in changes:
        changes["raw_path"] = changes["path"].encode()
    status, answer, _ = await drive(app, {**scope, **changes})
    return status, json.loads(answer) if status == 200 else None


class TestEachOneIsAuthenticated:
    """Whatever the scope of a request was used for before."""

    @pytest.mark.parametrize(
        ("kind", "path"),
        [
            *((kind, "/api") for kind in ("protect", "protected_router", "jwt_guard")),
            *((kind, "/plain") for kind in ("protect", "protected_router")),
        ],
    )
    def test_headers_that_are_edited_in_place(self, kind: str, path: str) -> None:
        """One scope and one list of headers serve all requests of a batch."""
        router = APIRouter()
        router.get("/api")(me)
        if path == "/plain":
            router.add_route("/plain", plain_me)

        @router.get("/batch")
        @public
        async def batch(request: Request) -> list[Any]:
            scope = {**request.scope, "path": path, "raw_path": path.encode(), "headers": []}
            answers = []
            for one in ({}, ALICE, BOB, {}):
                scope["headers"][:] = headers_of(one)
                status, answer, _ = await drive(app, scope)
                answers.append(json.loads(answer) if status == 200 else status)
            return answers

        app = guarded_by(kind, router)

        assert [401, "alice", "bob", 401] == TestClient(app).get("/batch").json()

    @pytest.mark.parametrize("path", ["/api", "/plain"])
    def test_a_token_that_a_middleware_renews(self, path: str) -> None:
        """It serves the same scope again after a 401."""

        class Renewing:
            def __init__(self, app: ASGIApp) -> None:
                self.app = app

            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                sent: list[Message] = []

                async def keep(message: Message) -> None:
                    sent.append(message)

                scope["headers"].append((b"authorization", b"Bearer old"))
                await self.app(scope, receive, keep)
                assert 401 == sent[0]["status"]
                scope["headers"][-1] = (b"authorization", GOOD["Authorization"].encode())
                scope["path"] = path
                await self.app(scope, receive, send)

        app = protect(FastAPI(), SETTINGS)
        app.get("/api")(read)
        app.add_route("/plain", plain)
        app.add_middleware(Renewing)

        assert 200 == ask(app, path)

    @kinds_of_guard
    def test_a_token_in_the_query(self, kind: str) -> None:
        """The rest of the request is the same."""
        router = APIRouter()

        @router.get("/me")
        async def batch(
            request: Request, user: Annotated[str, Depends(current_user_id)], last: int = 0
        ) -> Any:
            queries = [] if last else [token(sub="alice"), token(sub="bob"), "garbage"]
            return user, [
                await send_copy(app, request.scope, query_string=f"last=1&t={it}".encode())
                for it in queries
            ]

        app = guarded_by(kind, router)
        app.dependency_overrides[get_token] = token_of_query

        answer = TestClient(app).get(f"/me?t={token()}").json()

        expected = [[200, ["alice", []]], [200, ["bob", []]], [401, None]]
        assert ["alice", expected] == answer

    @pytest.mark.parametrize("is_open", [False, True])
    @kinds_of_guard
    def test_a_proof_serves_one_of_them(self, kind: str, *, is_open: bool) -> None:
        """RFC 9449 §11.1: also where the batch itself was accepted with DPoP."""
        settings = JWTSettings(
            secret_key=SECRET, dpop="allowed", public_origin="https://api.example.com"
        )
        alice = Prover("https://api.example.com")
        bound = TokenFactory.for_settings(settings)(claims=alice.binding)
        paid: list[int] = []
        router = APIRouter()

        @router.post("/pay")
        async def pay() -> None:
            paid.append(1)

        async def batch(request: Request) -> list[int]:
            headers = headers_of(alice(bound, "POST", "/pay"))
            found = [
                await send_copy(app, request.scope, path="/pay", headers=headers) for _ in range(3)
            ]
            return [status for status, _ in found]

        router.post("/batch")(public(batch) if is_open else batch)
        app = guarded_by(kind, router, settings)

        headers = {} if is_open else alice(bound, "POST", "/batch")
        assert [200, 401, 401] == TestClient(app).post("/batch", headers=headers).json()
        assert [1] == paid


class TestAnEqualCopyInAnotherApplication:
    """It shares nothing with the request that it was copied from."""

    @pytest.mark.parametrize(("path", "answer"), [("/old", "inside"), ("/new", "own page")])
    @kinds_of_guard
    def test_the_answer_of_the_first_is_its_own(self, kind: str, path: str, answer: str) -> None:
        """An endpoint asks another application, and answers itself where that has no such route."""
        legacy, router = protect(FastAPI(), SETTINGS), APIRouter()
        legacy.get("/old")(read)

        @router.get("/{path:path}")
        async def page(request: Request, path: str) -> Any:  # noqa: ARG001 - it takes any
            status, found = await send_copy(legacy, request.scope)
            return found if status == 200 else "own page"

        got = TestClient(guarded_by(kind, router)).get(path, headers=GOOD)

        assert (200, answer) == (got.status_code, got.json())

    @kinds_of_guard
    def test_the_state_of_the_first_is_its_own(self, kind: str) -> None:
        """The other application may name another user, or refuse."""
        employees = protect(FastAPI(), SETTINGS.model_copy(update={"user_id_claim": "employee"}))
        refusing, router = protect(FastAPI(), OTHER), APIRouter()
        employees.get("/x")(read)
        refusing.get("/x")(read)

        @router.get("/x")
        async def x(request: Request) -> list[str]:
            users = [request.state.user_id]
            for other in (employees, refusing):
                await send_copy(other, request.scope)
                users.append(request.state.user_id)
            return users

        headers = bearer(sub="customer", employee="e1")
        answer = TestClient(guarded_by(kind, router)).get("/x", headers=headers)

        assert ["customer"] * 3 == answer.json()

    @pytest.mark.parametrize("path", ["/x", "/y"])
    @kinds_of_guard
    def test_the_settings_of_the_first_are_its_own(self, kind: str, path: str) -> None:
        """A dependency without a guard goes by `get_settings` in the other application."""
        other, router = FastAPI(), APIRouter()
        other.dependency_overrides[get_settings] = lambda: OTHER
        other.get(path)(me)

        @router.get("/x")
        async def x(request: Request) -> int:
            return (await send_copy(other, request.scope, path=path))[0]

        assert 401 == TestClient(guarded_by(kind, router)).get("/x", headers=GOOD).json()


class TestACopyThatLeavesAMount:
    """The guard of the mount is not the guard of what is beside it."""

    @pytest.mark.parametrize(
        ("path", "root"),
        [("/submarine/me", ""), ("/marine/me", ""), ("/me", None), ("/me", "")],
        ids=["name that begins alike", "other name", "root path kept", "outermost"],
    )
    def test_its_guard_stays_behind(self, path: str, root: str | None) -> None:
        """Neither what the paths begin with nor the root path that was kept decides."""
        top, sub, leaf = FastAPI(), protect(FastAPI(), SETTINGS), FastAPI()
        beside = [FastAPI(), FastAPI()]
        for app in (top, *beside):
            app.dependency_overrides[get_settings] = lambda: OTHER
            app.get("/me")(me)

        @leaf.get("/batch")
        async def batch(request: Request) -> int:
            kept = request.scope["root_path"] if root is None else root
            return (await send_copy(top, request.scope, path=path, root_path=kept))[0]

        sub.mount("", leaf)
        top.mount("/submarine", beside[0])
        top.mount("/marine", beside[1])
        top.mount("/sub", sub)

        assert 401 == ask(top, path, GOOD)
        assert 401 == TestClient(top).get("/sub/batch", headers=GOOD).json()


class TestTheStateOfEach:
    """That of one is not another's, and a middleware around a request sees its state."""

    def test_where_no_guard_applies_to_the_route(self) -> None:
        """A guard is somewhere else in the application."""
        app = including(protected_router(settings=SETTINGS, prefix="/guarded"))
        app.dependency_overrides[get_settings] = lambda: SETTINGS

        @app.get("/me")
        async def slow(request: Request, user: Annotated[str, Depends(current_user_id)]) -> Any:
            await asyncio.sleep(0.01)
            return [user, request.state.user_id]

        @app.get("/anyone")
        async def anyone(request: Request) -> Any:
            return getattr(request.state, "user_id", None)

        @app.get("/batch")
        async def batch(request: Request) -> Any:
            both = (
                send_copy(app, request.scope, path="/me", headers=headers_of(it))
                for it in (ALICE, BOB)
            )
            return [
                *await asyncio.gather(*both),
                await send_copy(app, request.scope, path="/anyone", headers=[]),
            ]

        expected = [[200, ["alice", "alice"]], [200, ["bob", "bob"]], [200, None]]
        with TestClient(app) as client:
            assert expected == client.get("/batch").json()

    @pytest.mark.parametrize(
        "mount",
        [
            pytest.param(lambda app: Mount("/api", app=app), id="itself"),
            pytest.param(lambda app: Mount("/api", app=CORSMiddleware(app)), id="in a layer"),
            pytest.param(
                lambda app: Mount("/api", app=app, middleware=[Middleware(CORSMiddleware)]),
                id="with middleware",
            ),
            pytest.param(lambda app: Mount("/api", routes=[Mount("", app=app)]), id="in a mount"),
            pytest.param(lambda app: Mount("/api", app=Calling(app)), id="in another object"),
            pytest.param(lambda app: Mount("/api", app=Calling(app).serve), id="in a method"),
        ],
    )
    @kinds_of_guard
    def test_a_middleware_outside_sees_what_an_application_inside_wrote(
        self, kind: str, mount: Callable[[ASGIApp], Mount]
    ) -> None:
        """The application is mounted, with whatever is around it."""
        seen: list[Any] = []

        class Logging:
            def __init__(self, app: ASGIApp) -> None:
                self.app = app

            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                state = Request(scope).state
                state.begun = True
                await self.app(scope, receive, send)
                seen.append((getattr(state, "user_id", None), getattr(state, "tenant", None)))

        router, top = APIRouter(), FastAPI()

        @router.get("/x")
        async def x(request: Request) -> str:
            request.state.tenant = "t1"
            return "inside"

        top.router.routes.append(mount(guarded_by(kind, router)))
        top.add_middleware(Logging)
        answers = [ask(top, "/api/x", GOOD) for _ in range(2)]

        assert [200, 200] == answers
        assert [("alice", "t1")] * 2 == seen


class Calling:
    """An application that calls another one."""

    def __init__(self, app: ASGIApp) -> None:
        self.inner = app

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call it."""
        await self.inner(scope, receive, send)

    __call__ = serve


def test_dependencies_of_a_plain_route_end_with_its_request() -> None:
    """And not with the request of the batch, or never."""
    log: list[str] = []

    async def session() -> AsyncIterator[None]:
        log.append("open")
        yield
        log.append("close")

    async def page(_: Request) -> PlainTextResponse:
        log.append("page")
        return PlainTextResponse("null")

    app = protect(FastAPI(), SETTINGS, dependencies=[Depends(session)])
    app.add_route("/page", page)

    @app.get("/batch")
    async def batch(request: Request) -> None:
        await send_copy(app, request.scope, path="/page")
        log.append("end of batch")

    TestClient(app).get("/batch", headers=GOOD)

    assert ["open", "open", "page", "close", "end of batch", "close"] == log


def assigning(request: Request) -> None:
    """Add a header by a new list."""
    request.scope["headers"] = [*request.scope["headers"], (b"x-request-id", b"1")]


def appending(request: Request) -> None:
    """Add a header to the list."""
    request.scope["headers"].append((b"x-request-id", b"1"))


def setting(request: Request) -> None:
    """Add a header as Starlette lets a middleware do it."""
    MutableHeaders(scope=request.scope)["x-request-id"] = "1"


def lowering(request: Request) -> None:
    """Change the path."""
    request.scope["path"] = request.scope["path"].lower()


def overriding(request: Request) -> None:
    """Change the method."""
    request.scope["method"] = "PUT"


@pytest.mark.parametrize("change", [assigning, appending, setting, lowering, overriding])
@kinds_of_guard
class TestADependencyThatChangesTheScope:
    """It runs after the guard, and the request stays what it was."""

    def answers(
        self, kind: str, change: Callable[..., None], endpoint: Callable[..., Awaitable[Any]]
    ) -> list[tuple[int, Any]]:
        """Ask with a good token, with a token of `get_settings` and without one."""
        router = APIRouter(dependencies=[Depends(change)])
        router.get("/A/x")(endpoint)
        app = guarded_by(kind, router)
        app.dependency_overrides[get_settings] = lambda: OTHER
        client = TestClient(app)
        found = [client.get("/A/x", headers=it) for it in (GOOD, FOREIGN, {})]
        return [(it.status_code, it.json() if it.status_code == 200 else None) for it in found]

    def test_the_user(self, kind: str, change: Callable[..., None]) -> None:
        """Whom the guard let pass."""
        expected = [(200, "alice"), (401, None), (401, None)]

        assert expected == self.answers(kind, change, me)

    def test_the_user_on_a_public_route(self, kind: str, change: Callable[..., None]) -> None:
        """By the settings of the guard, and not by `get_settings`."""

        @public
        async def anyone(user: Annotated[str | None, Depends(optional(current_user_id))]) -> Any:
            return user

        expected = [(200, "alice"), (401, None), (200, None)]

        assert expected == self.answers(kind, change, anyone)

    def test_scopes(self, kind: str, change: Callable[..., None]) -> None:
        """Those of the token that the guard accepted."""

        async def admin(_: Annotated[Any, Depends(require_scopes("admin"))]) -> None:
            """Be for administrators."""

        assert [403, 401, 401] == [status for status, _ in self.answers(kind, change, admin)]


class Forwarding:
    """A middleware that puts `X-Forwarded-Prefix` before the paths."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a copy of the scope."""
        root = "/proxy" + scope["root_path"]
        await self.app(
            {**scope, "root_path": root, "path": "/proxy" + scope["path"]}, receive, send
        )


class Outermost(Forwarding):
    """A middleware that hides from an application that it is mounted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a copy of the scope."""
        path = scope["path"].removeprefix(scope["root_path"])
        await self.app({**scope, "root_path": "", "path": path}, receive, send)


@pytest.mark.parametrize("around", [Forwarding, Outermost])
@pytest.mark.parametrize("exclude", [[], ["/sub"]], ids=["guarded", "excluded"])
@pytest.mark.parametrize("place", ["in the application", "around it"])
def test_a_mounted_application_keeps_the_settings_of_the_guard_around_it(
    around: Callable[[ASGIApp], ASGIApp], exclude: list[str], place: str
) -> None:
    """Whatever a middleware makes of its root path."""
    app, sub = protect(FastAPI(), SETTINGS, exclude), FastAPI()
    sub.get("/me")(me)
    for one in (app, sub):
        one.dependency_overrides[get_settings] = lambda: OTHER
    if place == "in the application":
        sub.add_middleware(around)
    app.mount("/sub", sub if place == "in the application" else around(sub))
    client = TestClient(app)

    found = [client.get("/sub/me", headers=it).status_code for it in (GOOD, FOREIGN)]

    assert [200, 401] == found


def test_the_first_request_to_a_public_route_is_served() -> None:
    """A middleware hands on a copy of the scope before anything of it is known."""

    class Adding(Forwarding):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            headers = [*scope["headers"], (b"x-request-id", b"1")]
            await self.app({**scope, "headers": headers}, receive, send)

    guarded = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS, ["/anyone"]))])
    guarded.get("/anyone")(read)
    sub, app = including(guarded), protect(FastAPI(), SETTINGS, exclude=["/m"])
    sub.add_middleware(Adding)
    app.mount("/m", sub)

    assert [200, 200] == [ask(app, "/m/anyone") for _ in range(2)]
