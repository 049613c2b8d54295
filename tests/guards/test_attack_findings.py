"""What two attacks by people who had not seen the code got through, and what is right instead."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    current_user_id,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
    require_scopes,
)
from tests.web.serving import OTHER, SETTINGS, bearer, token

from .asking import FOREIGN, GOOD, INSIDE, LIVE, REFUSED, ask, including, page, plain, read

live = pytest.mark.skipif(not LIVE, reason="up to 0.136 mounts of included routers are not served")


async def own_organisation(org: str, _: Annotated[str, Depends(current_user_id)]) -> str:
    """A check of the path as callers write it."""
    if org != "mine":
        raise HTTPException(403)
    return org


class TestAPathParameterIsNotReadFromTheQuery:
    """FastAPI decides by the path that it is told where a parameter comes from."""

    @pytest.mark.parametrize("kind", ["plain", pytest.param("files/x", marks=live)])
    def test_on_a_plain_route(self, kind: str) -> None:
        """The victim's path stays the victim's, whatever the query says."""
        router = protected_router(settings=SETTINGS, dependencies=[Depends(own_organisation)])
        router.add_route("/orgs/{org}/plain", plain)
        router.mount("/orgs/{org}/files", page())
        client = TestClient(including(router))

        assert 200 == client.get(f"/orgs/mine/{kind}", headers=GOOD).status_code
        assert 403 == client.get(f"/orgs/victim/{kind}?org=mine", headers=GOOD).status_code

    def test_below_optional(self) -> None:
        """`optional` runs the caller's own dependency as FastAPI would."""
        app = protect(FastAPI(), SETTINGS)

        @app.get("/orgs/{org}")
        async def organisation(
            org: str, _: Annotated[str | None, Depends(optional(own_organisation))]
        ) -> str:
            return org

        client = TestClient(app)

        assert 200 == client.get("/orgs/mine", headers=GOOD).status_code
        assert 403 == client.get("/orgs/victim?org=mine", headers=GOOD).status_code


async def child(app: ASGIApp, scope: Scope, path: str, headers: dict[str, str]) -> tuple[Any, str]:
    """Serve a copy of a scope, as a batch endpoint does."""
    sent: list[Message] = []
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({**scope, "path": path, "raw_path": path.encode(), "headers": raw}, receive, send)
    return sent[0]["status"], b"".join(it.get("body", b"") for it in sent).decode()


class TestABatchThatNoGuardKnows:
    """Its own route is unguarded, so nothing of this package has seen the scope that it copies."""

    @pytest.mark.parametrize("kind", ["protected_router", "jwt_guard"])
    def test_one_that_is_excluded_does_not_open_the_other(self, kind: str) -> None:
        """Both wait above the guard, and what FastAPI writes into the scope is one dictionary."""
        ran: list[str] = []
        router = APIRouter()

        @router.get("/x")
        async def x(request: Request) -> str:
            ran.append(request.url.path)
            return INSIDE

        async def slow() -> None:
            await asyncio.sleep(0.02)

        exclude = ["/open/x"]
        if kind == "protected_router":
            guarded: APIRouter = protected_router(router, settings=SETTINGS, exclude=exclude)
        else:
            guarded = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS, exclude))])
            guarded.include_router(router)
        app = FastAPI(dependencies=[Depends(slow)])
        app.include_router(guarded, prefix="/closed")
        app.include_router(guarded, prefix="/open")

        @app.get("/batch")
        async def batch(request: Request) -> list[int]:
            async def later(path: str, wait: float) -> int:
                await asyncio.sleep(wait)
                status, _ = await child(app, request.scope, path, {})
                return int(status)

            return list(await asyncio.gather(later("/closed/x", 0), later("/open/x", 0.01)))

        assert [401, 200] == TestClient(app).get("/batch").json()
        assert ["/open/x"] == ran

    @pytest.mark.parametrize("started", [False, True])
    def test_the_state_of_each_is_its_own(self, *, started: bool) -> None:
        """Also where the state was there before: it is one dictionary in all copies, too.

        Up to FastAPI 0.136 the application has to have started, or to have met the guard.
        """
        router = APIRouter()

        @router.get("/me")
        async def me(request: Request) -> str:
            await asyncio.sleep(0.02 if "x-slow" in request.headers else 0.01)
            return str(request.state.user_id)

        @router.get("/anybody")
        @public
        async def anybody(request: Request) -> str:
            return str(getattr(request.state, "user_id", None))

        app = including(protected_router(router, settings=SETTINGS))

        @app.get("/batch")
        async def batch(request: Request) -> list[str]:
            request.state.mine = 1
            alice = {**bearer(sub="alice"), "X-Slow": "1"}
            both = [
                child(app, request.scope, "/me", alice),
                child(app, request.scope, "/me", bearer(sub="bob")),
            ]
            texts = [text for _, text in await asyncio.gather(*both)]
            texts.append((await child(app, request.scope, "/anybody", {}))[1])
            return [*texts, str(getattr(request.state, "user_id", None))]

        expected = ['"alice"', '"bob"', '"None"', "None"]
        with TestClient(app) if started else nullcontext(TestClient(app)) as client:
            assert LIVE or started or 401 == ask(client, "/me")
            assert expected == client.get("/batch").json()


class Answering:
    """A middleware that answers by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(INSIDE)(scope, receive, send)


class OwnHandle(APIRoute):
    """A route class that answers without FastAPI's dependencies."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(INSIDE)(scope, receive, send)


class TestWhatIsAroundAnInnerGuard:
    """The outer guard leaves the decision to the inner one, and sees that there is one."""

    @pytest.mark.parametrize(
        "inner",
        [
            pytest.param(lambda: protect(FastAPI(), OTHER), id="protect"),
            pytest.param(lambda: protected_router(settings=OTHER), id="protected_router"),
        ],
    )
    def test_a_middleware_of_the_mount_answers_no_anonymous_request(
        self, inner: Callable[[], ASGIApp]
    ) -> None:
        """It is in front of the inner guard."""
        app = protect(FastAPI(), SETTINGS)
        mounted = Mount("/sub", app=inner(), middleware=[Middleware(Answering)])
        app.router.routes.append(mounted)

        assert REFUSED == ask(app, "/sub/x")

    @pytest.mark.parametrize("kind", [FastAPI, APIRouter])
    def test_a_route_that_runs_no_dependencies_answers_no_anonymous_request(
        self, kind: Any
    ) -> None:
        """The inner guard is a mere dependency."""
        inner = kind(dependencies=[Depends(jwt_guard(OTHER))])
        (inner if kind is APIRouter else inner.router).route_class = OwnHandle
        inner.get("/x")(read)
        app = protect(FastAPI(), SETTINGS)
        app.mount("/sub", inner)

        assert REFUSED == ask(app, "/sub/x")


class Again:
    """A middleware that serves a scope a second time when the first answer is an error."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for _ in range(2):
                try:
                    await self.app(scope, receive, send)
                except ConfigurationError:
                    continue
                return
        await self.app(scope, receive, send)


@pytest.mark.parametrize("way", ["protect", pytest.param("protected_router", marks=live)])
def test_a_scope_that_is_served_twice_passes_the_gate_twice(way: str) -> None:
    """What was put around the first passage is gone with it."""
    app = FastAPI()
    if way == "protect":
        protect(app, SETTINGS)
        app.router.route_class = OwnHandle
        app.get("/x")(read)
    else:
        router = protected_router(settings=SETTINGS, route_class=OwnHandle)
        router.get("/x")(read)
        app.include_router(router)
    app.add_middleware(Again)

    assert REFUSED == ask(app, "/x")


@pytest.mark.parametrize(
    "take",
    [
        pytest.param(lambda app, router: app.router.routes.extend(router.routes), id="extended"),
        pytest.param(
            lambda app, router: app.router.routes.append(Mount("/z", routes=router.routes)),
            id="mounted",
        ),
    ],
)
def test_plain_routes_taken_out_of_a_protected_router_stay_guarded(
    take: Callable[[FastAPI, APIRouter], None],
) -> None:
    """The guard is around each of them."""
    router = protected_router(settings=SETTINGS)
    router.add_route("/p", plain)
    app = FastAPI()
    take(app, router)

    assert 401 == ask(app, "/z/p" if isinstance(app.router.routes[-1], Mount) else "/p")


class TestTheRouterOfAProtectedApplication:
    """The gate is in it."""

    def test_another_one_in_its_place_is_refused(self) -> None:
        """Nothing of this package would be asked there."""
        app = protect(FastAPI(), SETTINGS)
        app.router = APIRouter()
        app.get("/x")(read)

        assert REFUSED == ask(app, "/x", GOOD)

    def test_one_that_is_called_in_its_own_way_is_refused(self) -> None:
        """It may never come to the gate."""

        class Own(APIRouter):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await self.app(scope, receive, send)

        app = FastAPI()
        app.router = Own()

        with pytest.raises(ConfigurationError, match="called in its own way"):
            protect(app, SETTINGS)


@pytest.mark.parametrize("path", ["/x/plain", "/x/api", "/x/in/plain"])
def test_what_applies_to_a_mounted_router_holds_for_its_plain_routes(path: str) -> None:
    """Mounted as an application, without a guard of its own."""
    mounted = APIRouter(dependencies=[Depends(require_scopes("admin"))])
    mounted.add_route("/plain", plain)
    mounted.mount("/in", APIRouter(routes=[Route("/plain", plain)]))
    mounted.get("/api")(read)
    app = protect(FastAPI(), SETTINGS)
    app.mount("/x", mounted)

    assert [401, 403, 200] == [ask(app, path, it) for it in ({}, GOOD, bearer(scope="admin"))]


def test_a_router_that_is_guarded_in_one_application_is_itself_in_another() -> None:
    """There FastAPI runs nothing for its plain routes, and neither does this package."""
    shared = APIRouter(dependencies=[Depends(require_scopes("admin"))])
    shared.add_route("/plain", plain)
    guarded, free = protect(FastAPI(), SETTINGS), FastAPI()
    guarded.mount("/x", shared)
    free.mount("/x", shared)

    assert 401 == ask(guarded, "/x/plain")
    assert 200 == ask(free, "/x/plain")


def test_a_route_that_another_thread_adds_meanwhile_is_guarded() -> None:
    """It comes while the routes are looked at, and is new with the next request."""
    app = protect(FastAPI(), SETTINGS)
    app.router.routes.extend(Route(f"/r{number}", plain) for number in range(4_000))
    timer = threading.Timer(0.02, app.add_route, ("/late", plain))
    timer.start()

    ask(app, "/nowhere")
    timer.join()

    assert (401, 200) == (ask(app, "/late"), ask(app, "/late", GOOD))


async def effect(scope: Scope, *_: Any) -> None:
    """An application that must not run."""
    if scope["type"] != "lifespan":
        pytest.fail("it ran")


class TestWhatServesInAnotherWayLater:
    """Nothing runs before it is looked at."""

    def test_a_mount_of_something_else(self) -> None:
        """What a mount serves can be replaced."""
        app = protect(FastAPI(), SETTINGS)
        app.mount("/m", page())
        assert 401 == ask(app, "/m/x")
        (mount,) = [it for it in app.router.routes if isinstance(it, Mount)]
        mount.app = effect

        assert 401 == ask(app, "/m/x")

    def test_a_default_application(self) -> None:
        """It would serve what no route matches."""
        app = protect(FastAPI(), SETTINGS)
        app.get("/x")(read)
        assert 401 == ask(app, "/x")
        app.router.default = effect

        assert REFUSED == ask(app, "/nowhere")

    def test_a_route_with_a_handle_of_its_own(self) -> None:
        """Set on the one instance."""
        app = protect(FastAPI(), SETTINGS)
        route: Any = Route("/p", plain)
        route.handle = effect
        app.router.routes.append(route)

        assert REFUSED == ask(app, "/p")

    def test_a_route_that_lets_nothing_be_put_around_it(self) -> None:
        """Its application is a property."""

        class Fixed(Route):
            @property
            def app(self) -> ASGIApp:
                return effect

            @app.setter
            def app(self, _: ASGIApp) -> None:
                """Take nothing."""

        app = protect(FastAPI(), SETTINGS)
        app.router.routes.append(Fixed("/p", plain))

        assert REFUSED == ask(app, "/p")

    @live
    def test_a_router_with_a_handle_of_its_own(self) -> None:
        """FastAPI leaves it to the router what it serves."""

        class Own(APIRouter):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await effect(scope, receive, send)

        with pytest.raises(ConfigurationError, match="in its own way"):
            protected_router(Own(), settings=SETTINGS)


def test_an_application_that_has_served_keeps_its_public_routes() -> None:
    """What was known of its routes is found out anew."""
    app = FastAPI()

    @app.get("/anybody")
    @public
    async def anybody(user: Annotated[str | None, Depends(optional(current_user_id))]) -> str:
        return f"{INSIDE} {user}"

    from jwt_deps import get_settings  # noqa: PLC0415 - this test alone overrides it

    app.dependency_overrides[get_settings] = lambda: SETTINGS
    client = TestClient(app)
    assert 200 == client.get("/anybody").status_code

    protect(app, SETTINGS)

    assert 200 == client.get("/anybody").status_code
    assert 401 == client.get("/anybody", headers=FOREIGN).status_code


def test_a_mere_guard_below_an_excluded_mount_looks_at_its_own_application() -> None:
    """The guard of the application around it is another one's."""
    inner = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    inner.get("/api")(read)
    inner.add_route("/plain", plain)

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    app = protect(FastAPI(), SETTINGS, exclude=["/m"])
    app.mount("/m", around)

    assert [REFUSED, REFUSED] == [ask(app, "/m/api", GOOD), ask(app, "/m/plain")]


def test_a_dependency_may_read_the_body_before_a_plain_route_does() -> None:
    """It arrives there whole."""

    async def reading(request: Request) -> None:
        assert b"a body" == await request.body()

    async def length(request: Request) -> PlainTextResponse:
        return PlainTextResponse((await request.body()).decode())

    app = protect(FastAPI(), SETTINGS, dependencies=[Depends(reading)])
    app.add_route("/plain", length, methods=["POST"])

    answer = TestClient(app).post("/plain", content=b"a body", headers=GOOD)

    assert (200, "a body") == (answer.status_code, answer.text)


class TestOverriddenGuards:
    """What an application puts in the place of its guard takes its part, and no other."""

    @pytest.mark.parametrize("path", ["/api", "/plain"])
    def test_another_guard(self, path: str) -> None:
        """It is asked for plain routes too."""
        app = protect(FastAPI(), SETTINGS)
        app.get("/api")(read)
        app.add_route("/plain", plain)
        guard: Any = app.router.dependencies[0].dependency
        app.dependency_overrides[guard] = jwt_guard(OTHER)

        assert [401, 401, 200] == [ask(app, path, it) for it in ({}, GOOD, FOREIGN)]

    @pytest.mark.parametrize("path", ["/m/api", "/m/plain"])
    def test_a_mounted_application_does_not_switch_the_outer_guard_off(self, path: str) -> None:
        """Where the inner guard is replaced, the outer one decides."""
        inner = protect(FastAPI(), SETTINGS)
        inner.get("/api")(read)
        inner.add_route("/plain", plain)
        guard: Any = inner.router.dependencies[0].dependency
        inner.dependency_overrides[guard] = lambda: None
        outer = protect(FastAPI(), SETTINGS)
        outer.mount("/m", inner)

        assert [401, 401, 200] == [ask(outer, path, it) for it in ({}, FOREIGN, GOOD)]

    def test_the_user_is_then_the_one_whom_the_outer_guard_let_pass(self) -> None:
        """Its settings say which claim names the user."""
        inner = protect(FastAPI(), OTHER)

        @inner.get("/me")
        async def me(user: Annotated[str, Depends(current_user_id)]) -> str:
            return user

        guard: Any = inner.router.dependencies[0].dependency
        inner.dependency_overrides[guard] = lambda: None
        outer = protect(FastAPI(), SETTINGS.model_copy(update={"user_id_claim": "employee"}))
        outer.mount("/m", inner)

        answer = TestClient(outer).get("/m/me", headers=bearer(sub="customer", employee="e1"))

        assert (200, "e1") == (answer.status_code, answer.json())


class Slash:
    """A middleware that changes the path, as many an application has one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the slash from the end."""
        if scope["type"] == "http":
            scope["path"] = scope["path"].rstrip("/")
        await self.app(scope, receive, send)


class TestAPathThatIsChangedBelowAMount:
    """It stays below the mount, and so below the guard of the mount."""

    @pytest.mark.parametrize("path", ["/sub/plain", "/sub/plain/"])
    def test_a_requirement_within_still_holds(self, path: str) -> None:
        """An excluded mount lets requests pass that the application within refuses."""
        answers = []
        for exclude in ([], ["/sub"]):
            inner = FastAPI(dependencies=[Depends(require_scopes("admin"))])
            inner.add_route("/plain", plain)
            inner.add_middleware(Slash)
            app = protect(FastAPI(), SETTINGS, exclude=exclude)
            app.mount("/sub", inner)
            answers += [ask(app, path, it) for it in ({}, GOOD, bearer(scope="admin"))]

        assert [401, 403, 200] == answers[:3]
        assert [401, 403, 200] == answers[3:]

    @pytest.mark.parametrize("path", ["/sub/me", "/sub/me/"])
    def test_the_user_is_the_one_whom_the_guard_let_pass(self, path: str) -> None:
        """The settings of the guard say which claim names the user."""
        inner = FastAPI()
        inner.add_middleware(Slash)

        @inner.get("/me")
        async def me(user: Annotated[str, Depends(current_user_id)]) -> str:
            return user

        settings = SETTINGS.model_copy(update={"user_id_claim": "employee"})
        app = protect(FastAPI(), settings)
        app.mount("/sub", inner)

        answer = TestClient(app).get(path, headers=bearer(sub="customer", employee="e1"))

        assert "e1" == answer.json()


def test_a_copy_of_a_handshake_with_another_token_is_another_request() -> None:
    """A WebSocket brings its token as a subprotocol too."""
    app = protect(FastAPI(), SETTINGS)
    users: list[str] = []

    @app.websocket("/ws")
    async def endpoint(
        websocket: WebSocket, user: Annotated[str, Depends(current_user_id)]
    ) -> None:
        users.append(user)
        if "copy" in websocket.scope:
            return
        await websocket.accept(subprotocol="bearer")
        for second in (token(sub="bob"), "garbage"):
            copy = {**websocket.scope, "copy": True, "subprotocols": ["bearer", second]}
            await app(copy, websocket.receive, unheard)
        await websocket.close()

    async def unheard(message: Message) -> None:
        pass

    with TestClient(app).websocket_connect(
        "/ws", subprotocols=["bearer", token(sub="alice")]
    ) as websocket:
        websocket.receive()

    assert ["alice", "bob"] == users


@live
def test_templates_that_overlap_do_not_excuse_each_other() -> None:
    """What FastAPI writes into the scope can be of the other one, and both fit the path."""
    ran: list[str] = []
    router = APIRouter()

    @router.get("/x")
    async def x(request: Request) -> None:
        ran.append(request.url.path)

    guarded = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS, ["/{tenant}/x"]))])
    guarded.include_router(router)

    async def slow() -> None:
        await asyncio.sleep(0.02)

    app = FastAPI(dependencies=[Depends(slow)])
    app.include_router(guarded, prefix="/admin")
    app.include_router(guarded, prefix="/{tenant}")

    @app.get("/batch")
    async def batch(request: Request) -> list[int]:
        async def later(path: str, seconds: float) -> int:
            await asyncio.sleep(seconds)
            status, _ = await child(app, request.scope, path, {})
            return int(status)

        both = await asyncio.gather(
            later("/admin/x", 0), later("/t1/x", 0.01), return_exceptions=True
        )
        return [it if isinstance(it, int) else 500 for it in both]

    status, _ = TestClient(app).get("/batch").json()

    assert status in {401, 500}
    assert "/admin/x" not in ran


class Served:
    """An application that records what reaches it, and answers 302 as an effect without a body."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count one request and answer it."""
        self.requests += 1
        await PlainTextResponse("secret", 302)(scope, receive, send)


class TestAGuardThatIsNotAskedAnyMore:
    """The application was changed after its guard had been found."""

    def test_what_a_mount_serves_is_replaced(self) -> None:
        """The guard of what was mounted there decides nothing."""
        app = protect(FastAPI(), SETTINGS)
        inner = protect(FastAPI(), OTHER)
        inner.get("/x")(read)
        app.mount("/m", inner)
        assert 401 == ask(app, "/m/x")
        served = Served()
        (mount,) = (it for it in app.router.routes if isinstance(it, Mount))
        mount.app = served

        assert ask(app, "/m/x") in {REFUSED, 401}
        assert 0 == served.requests

    @pytest.mark.parametrize("when", ["before the inclusion", "after a request"])
    def test_a_router_is_given_another_handle(self, when: str) -> None:
        """It may run no dependencies."""
        served = Served()
        router = APIRouter()
        router.get("/x")(read)
        app = protect(FastAPI(), SETTINGS)
        if when == "before the inclusion":
            vars(router)["handle"] = served
        app.include_router(router)
        if when == "after a request":
            assert 401 == ask(app, "/x")
            vars(router)["handle"] = served

        assert ask(app, "/x") in {REFUSED, 401}
        assert 0 == served.requests

    def test_a_route_redirects_without_having_asked_its_guard(self) -> None:
        """A redirect can carry a code or a session, as an answer does."""
        served = Served()

        class Own(APIRoute):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await served(scope, receive, send)

        app = protect(FastAPI(), SETTINGS)
        app.router.route_class = Own
        app.get("/x")(read)

        assert REFUSED == ask(app, "/x")

    def test_the_router_of_an_application_that_had_served_before(self) -> None:
        """A new stack of middleware closes the router that is there then."""
        app = FastAPI()
        app.get("/before")(read)
        assert 200 == ask(app, "/before")
        protect(app, SETTINGS)
        app.router = APIRouter()
        app.get("/x")(read)
        app.middleware_stack = None

        assert ask(app, "/x") in {REFUSED, 401}

    @pytest.mark.parametrize("kind", ["protect", "jwt_guard"])
    def test_a_mounted_application_redirects_to_the_right_spelling(self, kind: str) -> None:
        """No route of it has matched, so there is nothing to decide."""
        inner = FastAPI(dependencies=[] if kind == "protect" else [Depends(jwt_guard(OTHER))])
        if kind == "protect":
            protect(inner, OTHER)
        inner.get("/x")(read)
        app = protect(FastAPI(), SETTINGS)
        app.mount("/m", inner)

        answer = TestClient(app, follow_redirects=False).get("/m/x/")

        assert (307, "http://testserver/m/x") == (answer.status_code, answer.headers["location"])
