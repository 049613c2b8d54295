"""Smaller promises of guarded routers and applications, one by one."""

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
    WebSocket,
)
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import (
    JWTSettings,
    current_user_id,
    jwt_guard,
    mount_resource_metadata,
    optional,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.audit import audit
from jwt_deps.web import guards_in
from jwt_deps.web.request_state import Decision
from tests.forking import Halt, in_a_child, may_fork
from tests.minting import SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, frontend, who

from .asking import (
    FOREIGN,
    GOOD,
    INSIDE,
    LIVE,
    REFUSED,
    Copying,
    Layer,
    answers_of,
    ask,
    assert_guarded,
    drive,
    filled,
    including,
    knock,
    page,
    plain,
    read,
    scope_of,
)

live = pytest.mark.skipif(not LIVE, reason="up to 0.136 FastAPI refuses it itself")


def test_a_guard_over_several_routes_is_found_once() -> None:
    guard = jwt_guard(SETTINGS)
    app = FastAPI(dependencies=[Depends(guard)])
    for path in ("/a", "/b"):
        app.get(path)(read)

    assert [guard] == list(guards_in(app))


def _protected(router: APIRouter) -> FastAPI:
    app = protect(FastAPI(), SETTINGS)
    app.include_router(router)
    return app


def _in_starlette(router: APIRouter) -> FastAPI:
    inner = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
    inner.get("/x")(read)
    app = FastAPI()
    app.mount("/deep", Starlette(routes=[Mount("", inner)]))
    app.include_router(router)
    return app


def _with_metadata(router: APIRouter) -> FastAPI:
    settings = JWTSettings(secret_key=SECRET, resource="https://api.example.com")
    app = including(protected_router(router, settings=settings))
    mount_resource_metadata(app, settings)
    return app


@pytest.mark.parametrize("build", [_protected, _in_starlette, _with_metadata])
def test_an_application_that_is_no_longer_used_is_freed(
    build: Callable[[APIRouter], FastAPI],
) -> None:
    """Factories make one for each test, some of them with a router of a module."""
    router = APIRouter()
    router.get("/api")(read)
    router.add_route("/plain", plain)

    def used() -> weakref.ref[FastAPI]:
        app = build(router)
        with TestClient(app) as client:
            for path in ("/api", "/plain", "/deep/x", "/.well-known/oauth-protected-resource"):
                client.get(path, headers=GOOD)
        return weakref.ref(app)

    made = [used() for _ in range(3)]
    gc.collect()

    assert [None, None, None] == [it() for it in made]


def test_a_guarded_application_can_be_pickled() -> None:
    """Ray Serve sends applications to other processes."""
    guard = pickle.loads(pickle.dumps(next(guards_in(protect(FastAPI(), SETTINGS)))))  # noqa: S301

    assert guard.app is not None
    assert guard.app() is None


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
        ran: list[str] = []

        async def logged(tasks: BackgroundTasks) -> None:
            tasks.add_task(ran.append, "task")

        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(logged)])
        app.add_route("/plain", plain)

        assert (401, []) == (ask(app, "/plain"), ran)
        assert (200, ["task"]) == (ask(app, "/plain", GOOD), ran)

    def test_background_tasks_are_dropped_where_an_exception_handler_answers(self) -> None:
        """As those of FastAPI's own routes are."""
        ran: list[str] = []

        async def logged(tasks: BackgroundTasks) -> None:
            tasks.add_task(ran.append, "task")

        async def gone(_: Request) -> PlainTextResponse:
            raise HTTPException(410)

        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(logged)])
        app.add_route("/plain", gone)
        app.get("/api")(gone)

        assert [410, 410] == [ask(app, it, GOOD) for it in ("/plain", "/api")]
        assert [] == ran


@live
def test_a_plain_route_that_is_put_in_front_of_another_is_served_from_then_on() -> None:
    """And guarded: FastAPI reads the routes of the router anew."""
    router = APIRouter()
    router.add_route("/plain", plain)
    app = FastAPI()
    app.include_router(protected_router(router, settings=SETTINGS))
    assert [401, 200] == [ask(app, "/plain", it) for it in ({}, GOOD)]

    router.routes.insert(0, Route("/new", plain))

    assert [401, 200] == [ask(app, "/new", it) for it in ({}, GOOD)]


@live
def test_a_router_of_an_own_class_below_a_guarded_mount() -> None:
    """Nothing applies to it but the guard of the mount, which is asked before."""

    class Own(APIRouter):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            await super().handle(scope, receive, send)

    own, inner, app = Own(), APIRouter(), protect(FastAPI(), SETTINGS)
    own.get("/x")(read)
    inner.include_router(own)
    app.mount("/m", inner)

    assert [401, 200] == [ask(app, "/m/x", it) for it in ({}, GOOD)]


def test_an_error_of_another_origin_is_no_answer_to_a_refusal() -> None:
    """A route class that swallowed the refusal can raise one that a handler answers with 200."""
    decision, refusal = Decision(), HTTPException(401)
    decision.refuse(refusal)

    decision.handle(LookupError(), 200)

    assert decision.answered is None


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

    inner.get("/x")(who)
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


async def check_api_key(_: Any = None) -> None:
    """Take the place of a guard."""
    raise HTTPException(403)


class TestAGuardThatIsReplacedOverARouterThatIsMounted:
    """FastAPI replaces nothing there, and runs the guard itself."""

    @pytest.mark.parametrize("by", ["jwt_guard", "protected_router", "protect"])
    def test_the_guard_decides(self, by: str) -> None:
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
    router = protected_router(settings=SETTINGS)
    router.add_route("/p", plain)
    app = FastAPI()
    take(app, router)

    assert 401 == ask(app, "/z/p" if isinstance(app.router.routes[-1], Mount) else "/p")


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


@may_fork
def test_a_fork_while_a_thread_looks_at_the_routes() -> None:
    """The forked process does not wait for a thread that only its parent has."""
    halt, app = Halt(), protect(FastAPI(), SETTINGS)

    class Slow:
        @property
        def routes(self) -> list[Route]:
            halt()
            return []

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            answer = await plain(Request(scope))
            await answer(scope, receive, send)

    app.mount("/m", Slow())

    async def answers() -> list[int]:
        return [(await drive(app, scope_of("GET", "/m/", it)))[0] for it in ({}, GOOD)]

    with halt.held(lambda: ask(app, "/m/")):
        said = in_a_child(answers())

    assert "[401, 200]" == said


def test_an_application_that_has_served_keeps_its_public_routes() -> None:
    """What was known of its routes is found out anew."""
    app = FastAPI()

    @app.get("/optional")
    @public
    async def optional_user(user: Annotated[str | None, Depends(optional(current_user_id))]) -> str:
        return f"{INSIDE} {user}"

    from jwt_deps import get_settings  # noqa: PLC0415 - this test alone overrides it

    app.dependency_overrides[get_settings] = lambda: SETTINGS
    client = TestClient(app)
    assert 200 == client.get("/optional").status_code

    protect(app, SETTINGS)

    assert 200 == client.get("/optional").status_code
    assert 401 == client.get("/optional", headers=FOREIGN).status_code


def test_a_mere_guard_below_an_excluded_mount_looks_at_its_own_application() -> None:
    """The guard of the application around it is another one's."""
    inner = filled(FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))]))

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    app = protect(FastAPI(), SETTINGS, exclude=["/m"])
    app.mount("/m", around)

    assert [REFUSED, REFUSED] == [ask(app, "/m/api", GOOD), ask(app, "/m/plain")]


def test_a_dependency_may_read_the_body_before_a_plain_route_does() -> None:
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
        app = filled(protect(FastAPI(), SETTINGS))
        guard: Any = app.router.dependencies[0].dependency
        app.dependency_overrides[guard] = jwt_guard(OTHER)

        assert [401, 401, 200] == [ask(app, path, it) for it in ({}, GOOD, FOREIGN)]

    @pytest.mark.parametrize("path", ["/m/api", "/m/plain"])
    def test_a_mounted_application_does_not_switch_the_outer_guard_off(self, path: str) -> None:
        """Where the inner guard is replaced, the outer one decides."""
        inner = filled(protect(FastAPI(), SETTINGS))
        guard: Any = inner.router.dependencies[0].dependency
        inner.dependency_overrides[guard] = lambda: None
        outer = protect(FastAPI(), SETTINGS)
        outer.mount("/m", inner)

        assert [401, 401, 200] == [ask(outer, path, it) for it in ({}, FOREIGN, GOOD)]

    def test_one_of_a_mounted_application_behind_a_layer_that_copies_the_scope(self) -> None:
        """The overrides are those of the application that serves the copy."""
        inner, outer = filled(protect(FastAPI(), OTHER)), protect(FastAPI(), SETTINGS)
        guard: Any = inner.router.dependencies[0].dependency
        inner.dependency_overrides[guard] = lambda: None
        outer.mount("/m", Copying(inner))

        assert [401, 401, 200] == [ask(outer, "/m/api", it) for it in ({}, FOREIGN, GOOD)]

    def test_the_user_is_then_the_one_whom_the_outer_guard_let_pass(self) -> None:
        """Its settings say which claim names the user."""
        inner = protect(FastAPI(), OTHER)

        inner.get("/me")(who)
        guard: Any = inner.router.dependencies[0].dependency
        inner.dependency_overrides[guard] = lambda: None
        outer = protect(FastAPI(), SETTINGS.model_copy(update={"user_id_claim": "employee"}))
        outer.mount("/m", inner)

        answer = TestClient(outer).get("/m/me", headers=bearer(sub="customer", employee="e1"))

        assert (200, "e1") == (answer.status_code, answer.json())

    @live
    def test_a_dependency_around_the_guard_of_a_router(self) -> None:
        """The guard of the router itself is not replaced with it, and nothing is served."""
        router = protected_router(settings=SETTINGS)
        guard: Any = router.dependencies[0].dependency

        async def guarded(_: Annotated[None, Depends(guard)]) -> None: ...

        router.dependencies[:] = [Depends(guarded)]

        @router.post("/x")
        async def x(number: Annotated[int, Body(embed=True)] = 0) -> str:
            return f"{INSIDE} {number}"

        app = including(router)
        app.dependency_overrides[guarded] = lambda: None

        assert [401, REFUSED] == [ask(app, "/x", it, "POST") for it in ({}, GOOD)]


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

        inner.get("/me")(who)
        settings = SETTINGS.model_copy(update={"user_id_claim": "employee"})
        app = protect(FastAPI(), settings)
        app.mount("/sub", inner)

        answer = TestClient(app).get(path, headers=bearer(sub="customer", employee="e1"))

        assert "e1" == answer.json()


@live
def test_the_routes_of_a_router_that_is_going_to_be_refused_can_be_read() -> None:
    """What came in by hand and cannot be guarded is refused with the next request."""

    class Own(APIRouter):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse(INSIDE)(scope, receive, send)

    other, router = APIRouter(), filled(protected_router(settings=SETTINGS))
    other.include_router(Own(), dependencies=[Depends(current_user_id)])
    app = including(router)
    router.routes.extend(other.routes)

    assert 3 == len(router.routes)
    assert REFUSED == ask(app, "/api", GOOD)


@live
def test_a_page_of_fastapis_own_is_open_in_no_router_behind_a_mere_guard() -> None:
    """Put there by hand it is a plain route like any other, which such a guard does not cover."""
    app, router = FastAPI(), APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
    router.get("/api")(read)
    router.routes.append(app.routes[0])
    app.include_router(router)

    assert REFUSED == ask(app, "/api", GOOD)


def test_a_page_of_fastapis_own_is_open_at_its_own_address_alone() -> None:
    """Where the application puts its function elsewhere, that is a route like any other."""
    app = FastAPI()
    schema: Any = app.routes[0]
    app.add_route("/elsewhere", schema.endpoint)
    protect(app, SETTINGS)

    assert [401, 200] == [
        TestClient(app).get(it).status_code for it in ("/elsewhere", "/openapi.json")
    ]


def test_nothing_is_answered_where_the_router_was_replaced() -> None:
    """Not even by middleware that was there before `protect`."""

    class Answering(Layer):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse(INSIDE)(scope, receive, send)

    app = protect(FastAPI(middleware=[Middleware(Answering)]), SETTINGS)
    assert 200 == ask(app, "/x")
    app.router = APIRouter()

    assert REFUSED == ask(app, "/x")


def test_protected_routers_where_the_middleware_of_a_router_is_replaced_meanwhile() -> None:
    """Each has its guard, the one that is met only then too."""
    app = FastAPI()
    for prefix in ("/a", "/b"):
        router = protected_router(settings=SETTINGS)
        router.get("/x")(read)
        app.include_router(router, prefix=prefix)
    assert_guarded(app, "/a/x")

    app.router.middleware_stack = app.router.app

    assert_guarded(app, "/b/x")


def test_a_mounted_application_whose_middleware_answers_its_first_request() -> None:
    """An endpoint of the application around it is none that this one served."""

    class Closed(Layer):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and b"x-closed" in dict(scope["headers"]):
                await PlainTextResponse("closed", 418)(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    sub, app = protect(FastAPI(), SETTINGS), FastAPI()
    sub.get("/api")(read)
    sub.add_middleware(Closed)
    app.mount("/m", sub)

    answers = [ask(app, "/m/api", it) for it in ({"x-closed": "1"}, {}, GOOD)]

    assert [418, 401, 200] == answers
