"""What is read of FastAPI beside its public names, function by function, on every release.

Each also answers where FastAPI has something else in that place: with what leads to a refusal.
What only the audit reads has its tests in `tests/audit/test_reading_fastapi.py`.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    Query,
    Request,
    Response,
    Security,
    WebSocket,
)
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import HTTPException
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import ConfigurationError, jwt_guard, protect, protected_router
from jwt_deps.web import _fastapi, trial
from jwt_deps.web.plain_routes import GuardedRoutes
from tests.guards.asking import HAS_FRONTEND

included = pytest.mark.skipif(_fastapi.COPIES, reason="up to 0.136 routers copy what they include")
with_frontend = pytest.mark.skipif(not HAS_FRONTEND, reason="this FastAPI has no frontend()")


def marker() -> None: ...


def other() -> None: ...


async def page(_: Request) -> PlainTextResponse:
    return PlainTextResponse("a page")


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("mounted")(scope, receive, send)


def kept_scopes(router: APIRouter, *paths: str, **options: Any) -> list[Scope]:
    """The scopes of requests to an application that includes a router, as dependencies get them."""
    kept: list[Scope] = []

    async def keep(request: Request) -> None:
        kept.append(request.scope)

    app = FastAPI()
    app.include_router(router, dependencies=[Depends(keep)], **options)
    client = TestClient(app)
    for path in paths:
        assert 200 == client.get(path).status_code
    return kept


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("index")
    (tmp_path / "page.txt").write_text("page")
    return tmp_path


class TestOfARequest:
    @included
    def test_the_route_as_it_is_served(self) -> None:
        """With the prefixes of all inclusions, their dependencies, and the route that was added."""
        inner, outer = APIRouter(), APIRouter()
        inner.get("/r", dependencies=[Depends(other)])(lambda: None)
        outer.include_router(inner, prefix="/i", dependencies=[Depends(marker)])

        (scope,) = kept_scopes(outer, "/o/i/r", prefix="/o")

        context = _fastapi.route_context(scope)
        assert "/o/i/r" == context.path
        assert [marker, other] == [it.dependency for it in context.dependencies[1:]]
        assert inner.routes[0] is _fastapi.added_route(context)
        assert _fastapi.plain_route(context) is None

    @included
    def test_the_inclusion(self) -> None:
        """The innermost, of the router that the route was added to."""
        inner, outer = APIRouter(), APIRouter()
        inner.get("/r")(lambda: None)
        outer.include_router(inner)

        (scope,) = kept_scopes(outer, "/r")

        assert inner is _fastapi.included_router(_fastapi.inclusion_of(scope))

    @pytest.mark.parametrize("inclusions", [0, 1] if _fastapi.COPIES else [0])
    def test_a_route_that_is_served_as_it_was_added(self, inclusions: int) -> None:
        """Nothing is written for it: those of an application, and copies up to 0.136."""
        kept: list[Scope] = []

        async def keep(request: Request) -> None:
            kept.append(request.scope)

        app, router = FastAPI(), APIRouter()
        to = router if inclusions else app.router
        to.get("/r", dependencies=[Depends(keep)])(lambda: None)
        if inclusions:
            app.include_router(router)

        assert 200 == TestClient(app).get("/r").status_code
        (scope,) = kept
        assert _fastapi.route_context(scope) is None
        assert _fastapi.inclusion_of(scope) is None
        assert _fastapi.frontend_path(scope) is None
        assert any(scope["route"] is route for route in app.routes)

    @with_frontend
    def test_the_path_of_a_file(self, files: Path) -> None:
        """Below the `frontend()`, with the prefixes of that on the route as it is served."""
        router = APIRouter()
        router.frontend("/front", directory=files)

        (scope,) = kept_scopes(router, "/p/front/page.txt", prefix="/p")

        assert "page.txt" == (_fastapi.frontend_path(scope) or "").strip("/")
        assert "/p" == _fastapi.frontend_prefix(_fastapi.route_context(scope))
        group = _fastapi.added_route(_fastapi.route_context(scope))
        assert any(group is it for it in _fastapi.low_priority_routes(router))

    @pytest.mark.parametrize(
        "read", [_fastapi.route_context, _fastapi.inclusion_of, _fastapi.frontend_path]
    )
    @pytest.mark.parametrize("scope", [{}, {"fastapi": {}}, {"fastapi": {"other": 1}}])
    def test_nothing_is_written(self, read: Callable[[Scope], Any], scope: Scope) -> None:
        """Then no route, no inclusion and no file is known."""
        assert read(scope) is None

    def test_a_path_of_another_kind(self) -> None:
        """It is none."""
        assert _fastapi.frontend_path({"fastapi": {"frontend_path": 1}}) is None

    def test_a_route_is_forgotten(self) -> None:
        """In the copy of a scope alone; what FastAPI keeps of the request stays in both."""
        told = {"effective_route_context": 1, "frontend_path": "/x", "included_router": 2}
        scope: Scope = {"fastapi": told, "route": 3, "endpoint": 4, "path": "/"}
        copy = dict(scope)

        _fastapi.forget_route(copy)

        assert {"fastapi": {"included_router": 2}, "path": "/"} == copy
        assert {"fastapi": told, "route": 3, "endpoint": 4, "path": "/"} == scope
        assert 3 == len(told)

    def test_there_is_no_route_to_forget(self) -> None:
        """Nothing is added."""
        scope: Scope = {"path": "/"}

        _fastapi.forget_route(scope)

        assert {"path": "/"} == scope


class TestOfRoutes:
    @pytest.mark.parametrize("value", [None, object(), SimpleNamespace(other=1)])
    def test_what_is_not_there(self, value: Any) -> None:
        """No route was added, none is plain, and there is no prefix."""
        assert _fastapi.added_route(value) is None
        assert _fastapi.plain_route(value) is None
        assert "" == _fastapi.frontend_prefix(value)

    def test_a_prefix_of_another_kind(self) -> None:
        """It is none."""
        assert "" == _fastapi.frontend_prefix(SimpleNamespace(frontend_prefix=1))

    @included
    def test_a_plain_route(self) -> None:
        """It is served by a copy, with the prefixes."""
        inner, outer = APIRouter(), APIRouter()
        inner.add_route("/plain", page)
        outer.include_router(inner, prefix="/i")

        ((added, served),) = _fastapi.served_routes(outer)

        assert inner.routes[0] is added
        assert added is not served
        assert "/i/plain" == served.path

    @included
    def test_an_inclusion(self) -> None:
        """With its router, and what applies to all of it."""
        inner, outer = APIRouter(dependencies=[Depends(other)]), APIRouter()
        outer.include_router(inner, dependencies=[Depends(marker)])
        (inclusion,) = outer.routes

        assert inner is _fastapi.included_router(inclusion)
        found = _fastapi.inclusion_dependencies(inclusion) or ()
        assert marker in [it.dependency for it in found]

    @pytest.mark.parametrize(
        "entry",
        [
            pytest.param(Route("/", page), id="route"),
            pytest.param(Mount("/m", app=asgi), id="mount"),
            pytest.param(SimpleNamespace(original_router="no router"), id="another-kind"),
        ],
    )
    def test_no_inclusion(self, entry: Any) -> None:
        """Neither a router nor dependencies: not even an empty list of these."""
        assert _fastapi.included_router(entry) is None
        assert _fastapi.inclusion_dependencies(entry) is None

    def test_an_inclusion_whose_dependencies_have_another_name(self) -> None:
        """They are not known, which is not that there are none."""
        entry = SimpleNamespace(include_context=SimpleNamespace(requirements=[]))

        assert _fastapi.inclusion_dependencies(entry) is None

    def test_routes_as_they_are_served(self) -> None:
        """At any depth, in their order, whatever their kind."""
        inner, outer, app = APIRouter(), APIRouter(), FastAPI(openapi_url=None)
        inner.get("/api")(lambda: None)
        inner.add_route("/plain", page)
        outer.include_router(inner, prefix="/i")
        outer.get("/own")(lambda: None)
        app.include_router(outer, prefix="/o")

        found = list(_fastapi.served_routes(app.router))

        assert ["/o/i/api", "/o/i/plain", "/o/own"] == [served.path for _, served in found]
        if not _fastapi.COPIES:
            assert [*inner.routes, outer.routes[1]] == [added for added, _ in found]

    @with_frontend
    def test_files(self, files: Path) -> None:
        """Each group as it was added and as it is served, and the router that has it."""
        inner, outer = APIRouter(), APIRouter()
        inner.frontend("/front", directory=files)
        outer.include_router(inner, prefix="/o")

        (group,) = _fastapi.low_priority_routes(inner)
        ((added, served),) = _fastapi.frontends(outer)

        assert group is added
        assert "/o" == _fastapi.frontend_prefix(served)
        assert [] == list(_fastapi.low_priority_routes(outer))
        assert [(group, group)] == list(_fastapi.frontends(inner))

    @pytest.mark.parametrize("router", [APIRouter(), None, object()])
    def test_no_files(self, router: Any) -> None:
        """None in a router without them, nor in anything else."""
        assert [] == list(_fastapi.low_priority_routes(router))
        assert [] == list(_fastapi.frontends(router))

    def test_what_is_mounted(self) -> None:
        """Without the middleware that the mount puts around it."""

        class Around:
            def __init__(self, app: ASGIApp) -> None:
                self.app = app

            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                """Never called."""

        around = Mount("/m", app=asgi, middleware=[Middleware(Around)])

        assert around.app is not asgi
        assert _fastapi.mounted_app(around) is asgi
        assert _fastapi.mounted_app(Mount("/m", app=asgi)) is asgi
        assert _fastapi.mounted_app(Host("example.com", asgi)) is asgi

    def test_what_is_mounted_where_it_has_another_name(self) -> None:
        """It is not looked through: what is around it has to be guarded."""
        route: Any = SimpleNamespace(app="around")

        assert "around" == _fastapi.mounted_app(route)


def noting(ran: list[str], name: str) -> Any:
    async def dependency() -> None:
        ran.append(name)

    return Depends(dependency)


class TestApplyFirst:
    def applied(self, router: APIRouter, ran: list[str]) -> TestClient:
        for entry in (*router.routes, *_fastapi.low_priority_routes(router)):
            _fastapi.apply_first(entry, [noting(ran, "first"), noting(ran, "second")])
        app = FastAPI()
        app.include_router(router)
        return TestClient(app)

    def test_a_route(self) -> None:
        """They run before those that it has."""
        ran: list[str] = []
        router = APIRouter(dependencies=[noting(ran, "router")])
        router.get("/r", dependencies=[noting(ran, "own")])(lambda: None)

        self.applied(router, ran).get("/r")

        assert ["first", "second", "router", "own"] == ran

    def test_a_websocket(self) -> None:
        """Likewise."""
        ran: list[str] = []
        router = APIRouter()

        @router.websocket("/talk", dependencies=[noting(ran, "own")])
        async def talk(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.close()

        with self.applied(router, ran).websocket_connect("/talk"):
            pass

        assert ["first", "second", "own"] == ran

    def test_an_inclusion(self) -> None:
        """What it includes is served with them, and what comes into it later is too."""
        ran: list[str] = []
        router, inner = APIRouter(), APIRouter()
        inner.get("/r", dependencies=[noting(ran, "own")])(lambda: None)
        router.include_router(inner, dependencies=[noting(ran, "including")])

        client = self.applied(router, ran)
        inner.get("/late", dependencies=[noting(ran, "late")])(lambda: None)
        client.get("/r")
        client.get("/late")

        late = [] if _fastapi.COPIES else ["first", "second", "including", "late"]
        assert ["first", "second", "including", "own", *late] == ran

    @with_frontend
    def test_files(self, files: Path) -> None:
        """Likewise."""
        ran: list[str] = []
        router = APIRouter(dependencies=[noting(ran, "router")])
        router.frontend("/front", directory=files)
        list(_fastapi.frontends(router))  # which FastAPI builds

        assert 200 == self.applied(router, ran).get("/front/page.txt").status_code
        assert ["first", "second", "router"] == ran

    def test_it_is_built_again(self) -> None:
        """Where an inclusion was read, and so built, before."""
        ran: list[str] = []
        router, inner = APIRouter(), APIRouter()
        inner.get("/r")(lambda: None)
        router.include_router(inner)
        app = FastAPI()
        app.include_router(router)
        client = TestClient(app)
        client.get("/r")

        for entry in app.routes:
            if _fastapi.included_router(entry) or getattr(entry, "dependant", None):
                _fastapi.apply_first(entry, [noting(ran, "first")])
        client.get("/r")

        assert ["first"] == ran

    @pytest.mark.parametrize(
        "entry",
        [
            pytest.param(Route("/", page), id="plain"),
            pytest.param(SimpleNamespace(include_context=object()), id="inclusion"),
        ],
    )
    def test_what_has_none(self, entry: Any) -> None:
        """Nothing is said to apply that does not."""
        with pytest.raises(AttributeError):
            _fastapi.apply_first(entry, [Depends(marker)])


class TestReadAgain:
    @included
    def test_what_was_put_there_by_hand_is_served(self) -> None:
        """FastAPI has built without it, and builds once more."""
        inner, app = APIRouter(), FastAPI()
        inner.get("/r")(lambda: None)
        app.include_router(inner)
        client = TestClient(app)
        client.get("/r")
        inner.routes.append(Route("/late", page))
        before = client.get("/late").status_code

        _fastapi.read_again(inner)

        assert 404 == before
        assert 200 == client.get("/late").status_code

    def test_the_routes_stay(self) -> None:
        """Also their list, and no further one is served."""
        router = APIRouter()
        router.get("/r")(lambda: None)
        routes, kept = router.routes, list(router.routes)

        _fastapi.read_again(router)

        assert routes is router.routes
        assert kept == routes
        assert 404 == TestClient(router, raise_server_exceptions=False).get("/").status_code


class TestEmptyPaths:
    def test_whether_there_is_one(self) -> None:
        """In the router, or in one that it includes without a prefix."""
        empty, prefixed, full = APIRouter(), APIRouter(), APIRouter()
        empty.get("")(lambda: None)
        prefixed.include_router(empty, prefix="/x")
        full.get("/r")(lambda: None)

        assert _fastapi.has_empty_path(empty)
        assert not _fastapi.has_empty_path(prefixed)
        assert not _fastapi.has_empty_path(full)
        assert not _fastapi.has_empty_path(APIRouter())

    @included
    def test_it_is_included_before_its_prefix_is_known(self) -> None:
        """With all options of the inclusion, and routes that come later."""
        ran: list[str] = []
        inner, outer, app = APIRouter(), APIRouter(), FastAPI()
        inner.get("")(lambda: "empty")

        _fastapi.include_before_prefix(
            outer,
            outer.include_router,
            inner,
            dependencies=[noting(ran, "including")],
            tags=["tagged"],
        )
        inner.get("/late")(lambda: "late")
        app.include_router(outer, prefix="/users")
        client = TestClient(app)

        (inclusion,) = outer.routes
        assert inner is _fastapi.included_router(inclusion)
        assert [200, 200] == [client.get(f"/users{path}").status_code for path in ("", "/late")]
        assert ["including", "including"] == ran
        assert ["tagged"] == app.openapi()["paths"]["/users"]["get"]["tags"]

    @included
    def test_its_lifespan_and_its_response_class_are_its_own(self) -> None:
        """The empty router that is included first has them too."""
        ran: list[str] = []

        @asynccontextmanager
        async def lifespan(_: Any) -> AsyncIterator[None]:
            ran.append("started")
            yield

        inner = APIRouter(lifespan=lifespan, default_response_class=PlainTextResponse)
        outer, app = APIRouter(), FastAPI()
        inner.get("")(lambda: "text")
        _fastapi.include_before_prefix(outer, outer.include_router, inner)
        app.include_router(outer, prefix="/users")

        with TestClient(app) as client:
            assert "text" == client.get("/users").text
        assert ["started"] == ran


def scoped(_: Annotated[None, Security(marker, scopes=["inner"])]) -> None: ...


def deep(_: Annotated[None, Security(scoped, scopes=["outer"])]) -> None: ...


class TestOfDependencies:
    def test_the_nodes_below_one(self) -> None:
        """At any depth, in the order of a run."""

        def first(_: Annotated[None, Depends(marker)]) -> None: ...

        def root(
            _: Annotated[None, Depends(first)], __: Annotated[None, Depends(other)]
        ) -> None: ...

        assert [first, marker, other] == [node.call for node in _fastapi.nodes_below(root)]
        assert [] == _fastapi.nodes_below(marker)

    def test_nodes_that_are_replaced(self) -> None:
        """Neither they nor what is below them."""

        def first(_: Annotated[None, Depends(marker)]) -> None: ...

        def root(
            _: Annotated[None, Depends(first)], __: Annotated[None, Depends(other)]
        ) -> None: ...

        tree = get_dependant(path="", call=root)

        assert [other] == [node.call for node in _fastapi.dependants(tree, {first})]
        assert [first, marker, other] == [node.call for node in _fastapi.dependants(tree)]

    def test_scopes(self) -> None:
        """Those of a node, after those of the nodes above it; none where none are asked for."""
        nodes = {node.call: _fastapi.scopes_at(node) for node in _fastapi.nodes_below(deep)}

        (plain,) = _fastapi.nodes_below(depends_on_marker)
        # Up to 0.122 FastAPI itself hands a node those of the nodes below it, too.
        above = ("outer",) if hasattr(plain, "own_oauth_scopes") else ("outer", "inner")
        assert {scoped: above, marker: ("outer", "inner")} == nodes
        assert () == _fastapi.scopes_at(plain)

    @pytest.mark.parametrize(
        ("node", "scopes"),
        [
            pytest.param(
                {"own_oauth_scopes": ["b"], "parent_oauth_scopes": ["a"]}, ("a", "b"), id="from-123"
            ),
            pytest.param({"own_oauth_scopes": None, "parent_oauth_scopes": None}, (), id="none"),
            pytest.param({"security_scopes": ["a"]}, ("a",), id="to-122"),
            pytest.param({"security_scopes": None}, (), id="to-122-none"),
        ],
    )
    def test_scopes_of_either_form(self, node: dict[str, Any], scopes: tuple[str, ...]) -> None:
        """FastAPI has changed how it keeps them once."""
        assert scopes == _fastapi.scopes_at(SimpleNamespace(**node))

    def test_scopes_that_have_another_name(self) -> None:
        """They are not taken for none."""
        with pytest.raises(AttributeError):
            _fastapi.scopes_at(SimpleNamespace(scopes=["a"]))


def depends_on_marker(_: Annotated[None, Depends(marker)]) -> None: ...


def ask(path: str, endpoint: Callable[..., Any], app: FastAPI | None = None) -> Any:
    """Ask a plain route, for which FastAPI runs no dependencies."""
    app = app or FastAPI()
    app.add_route("/plain", endpoint)
    return TestClient(app).get(path)


STACKS = {"fastapi_inner_astack", "fastapi_function_astack"}


class TestCall:
    def test_as_fastapi_would(self) -> None:
        """Async or sync, with dependencies of its own and client input."""

        def plain(q: Annotated[int, Query()]) -> int:
            return q

        async def outer(found: Annotated[int, Depends(plain)], request: Request) -> str:
            return f"{request.url.path} {found}"

        async def endpoint(request: Request) -> Response:
            return PlainTextResponse(await _fastapi.call(request, outer))

        assert "/plain 5" == ask("/plain?q=5", endpoint).text

    def test_scopes_are_handed_on(self) -> None:
        """As `Security` around it would."""

        async def wanted(scopes: SecurityScopes) -> list[str]:
            return scopes.scopes

        async def endpoint(request: Request) -> Response:
            return PlainTextResponse(",".join(await _fastapi.call(request, wanted, ["a", "b"])))

        assert "a,b" == ask("/plain", endpoint).text

    def test_overrides(self) -> None:
        """Those of the application that serves."""
        app = FastAPI()
        app.dependency_overrides[marker] = lambda: "replaced"

        async def endpoint(request: Request) -> Response:
            return PlainTextResponse(await _fastapi.call(request, marker))

        assert "replaced" == ask("/plain", endpoint, app).text

    def test_input_that_is_not_there(self) -> None:
        """It is never a value."""

        async def asks(q: int) -> int:
            return q

        async def endpoint(request: Request) -> Response:
            return PlainTextResponse(str(await _fastapi.call(request, asks)))

        assert 422 == ask("/plain", endpoint).status_code

    def test_what_is_opened_is_closed(self) -> None:
        """A generator ends with the call, and the scope is as before."""
        steps: list[str] = []

        async def opened() -> AsyncIterator[str]:
            steps.append("open")
            yield "value"
            steps.append("close")

        async def endpoint(request: Request) -> Response:
            found = await _fastapi.call(request, opened)
            assert STACKS.isdisjoint(request.scope)
            steps.append("after")
            return PlainTextResponse(found)

        assert "value" == ask("/plain", endpoint).text
        assert ["open", "close", "after"] == steps

    def test_stacks_that_fastapi_opened_stay(self) -> None:
        """They end with its own route."""
        kept: list[bool] = []

        async def calls(request: Request) -> None:
            before = dict(request.scope)
            await _fastapi.call(request, marker)
            kept.append(all(request.scope[name] is it for name, it in before.items()))

        app = FastAPI()
        app.get("/r", dependencies=[Depends(calls)])(lambda: None)

        assert 200 == TestClient(app).get("/r").status_code
        assert [True] == kept


class TestSolved:
    def test_dependencies_run_around_a_block(self) -> None:
        """In their order; generators end after it, whatever it raises, the last one first."""
        steps: list[str] = []

        def opening(name: str) -> Any:
            async def opened() -> AsyncIterator[None]:
                steps.append(f"open {name}")
                try:
                    yield
                finally:
                    steps.append(f"close {name}")

            return Depends(opened)

        async def endpoint(request: Request) -> Response:
            async with _fastapi.solved(request, [opening("a"), opening("b")]):
                steps.append("inside")
                raise LookupError

        with pytest.raises(LookupError):
            ask("/plain", endpoint)
        assert ["open a", "open b", "inside", "close b", "close a"] == steps

    def test_headers_and_background_tasks(self) -> None:
        """What dependencies leave for the answer is in what is found."""
        done: list[str] = []

        async def leaves(response: Response, tasks: BackgroundTasks) -> None:
            response.headers["X-Left"] = "yes"
            tasks.add_task(done.append, "done")

        async def endpoint(request: Request) -> Response:
            async with _fastapi.solved(request, [Depends(leaves)]) as found:
                headers, tasks = found.response.headers, found.background_tasks
            return PlainTextResponse("", headers=dict(headers), background=tasks)

        assert "yes" == ask("/plain", endpoint).headers["X-Left"]
        assert ["done"] == done

    def test_scopes_overrides_and_no_dependency_at_all(self) -> None:
        """As on a route of FastAPI's own."""
        asked: list[list[str]] = []

        async def wanted(scopes: SecurityScopes) -> None:
            asked.append(scopes.scopes)

        app = FastAPI()
        app.dependency_overrides[marker] = wanted

        async def endpoint(request: Request) -> Response:
            async with _fastapi.solved(request, [Security(marker, scopes=["a"])]):
                pass
            async with _fastapi.solved(request, []):
                return PlainTextResponse("served")

        assert "served" == ask("/plain", endpoint, app).text
        assert [["a"]] == asked

    def test_input_that_is_not_there(self) -> None:
        """The block does not run."""

        async def asks(q: int) -> None: ...

        async def endpoint(request: Request) -> Response:
            async with _fastapi.solved(request, [Depends(asks)]):
                pytest.fail("served")

        assert 422 == ask("/plain", endpoint).status_code


class Odd(HTTPException):
    """An exception of the tests' own."""


class TestReplaceDefaultHandler:
    @pytest.mark.parametrize("kind", [HTTPException, StarletteHTTPException, Odd])
    @pytest.mark.parametrize("own", [True, False], ids=["own-handler", "default-handler"])
    def test_only_the_default_is_replaced(self, kind: Any, *, own: bool) -> None:
        """A handler that the application registered, for a base class too, goes on answering."""
        app = FastAPI()
        if own:
            app.add_exception_handler(kind, lambda *_: PlainTextResponse("own", 419))

        async def endpoint(request: Request) -> Response:
            _fastapi.replace_default_handler(
                request.scope, Odd, lambda *_: PlainTextResponse("handled", 418)
            )
            raise Odd(400)

        assert (419 if own else 418) == ask("/plain", endpoint, app).status_code

    def test_no_handlers_at_all(self) -> None:
        """Then nothing is added, and the error is the server's business."""
        scope: Scope = {}

        _fastapi.replace_default_handler(scope, Odd, None)

        assert {} == scope


try_out = trial.try_out.__wrapped__


def nowhere(*_: Any) -> Iterator[Any]:
    return iter(())


def unread(*_: Any) -> None: ...


class TestTrial:
    """Whether the installed FastAPI is a known one: a sentence for each thing that is not."""

    def test_the_installed_one_is_known(self) -> None:
        """Nothing fails, and it is tried once in a process."""
        try_out()
        trial.try_out()
        before = trial.try_out.cache_info().misses
        trial.try_out()

        assert [] == list(trial._failures())
        assert before == trial.try_out.cache_info().misses

    @pytest.mark.parametrize(
        ("reader", "instead", "sentence"),
        [
            pytest.param(
                "low_priority_routes",
                lambda _: (),
                "frontend() is not found",
                id="frontend",
                marks=with_frontend,
            ),
            pytest.param(
                "frontends",
                nowhere,
                "frontend() is not found where it is served",
                id="frontend-served",
                marks=with_frontend,
            ),
            pytest.param(
                "scopes_at", lambda _: (), "the scopes of a dependency are not found", id="scopes"
            ),
            pytest.param(
                "included_router", unread, "an inclusion is not found", id="router", marks=included
            ),
            pytest.param(
                "inclusion_dependencies",
                unread,
                "the dependencies of an inclusion are not found",
                id="dependencies",
                marks=included,
            ),
            pytest.param(
                "mounted_app",
                lambda route: route.app,
                "what is mounted is not found",
                id="mounted",
                marks=included,
            ),
        ],
    )
    def test_what_cannot_be_read(
        self, monkeypatch: pytest.MonkeyPatch, reader: str, instead: Any, sentence: str
    ) -> None:
        """Although it is there."""
        inner, middle, outer = routers()
        monkeypatch.setattr(_fastapi, reader, instead)

        assert sentence in list(trial._unread(inner, middle, outer))

    @pytest.mark.parametrize(
        ("reader", "instead", "sentences"),
        [
            pytest.param(
                "route_context",
                unread,
                ["/api has no template", "/api has no guard", "/plain has no template"],
                id="route-context",
                marks=included,
            ),
            pytest.param(
                "inclusion_of",
                unread,
                ["/plain has not all dependencies", "/mount has not all dependencies"],
                id="inclusion",
                marks=included,
            ),
            pytest.param(
                "frontend_path",
                unread,
                ["/files has no template"],
                id="frontend-path",
                marks=with_frontend,
            ),
            pytest.param(
                "apply_first",
                unread,
                ["/own has no guard that comes late", "/in/api has no guard that comes late"],
                id="apply-first",
            ),
            pytest.param(
                "read_again",
                unread,
                ["A guarded route answered without its guard having been asked"],
                id="read-again",
                marks=included,
            ),
        ],
    )
    def test_what_a_guard_is_not_told(
        self, monkeypatch: pytest.MonkeyPatch, reader: str, instead: Any, sentences: list[str]
    ) -> None:
        """No guard is made, and the sentence says what to do."""
        monkeypatch.setattr(_fastapi, reader, instead)

        with pytest.raises(ConfigurationError) as raised:
            try_out()

        assert "unknown_fastapi" == raised.value.reason
        assert "install a release of jwt-deps that knows it" in str(raised.value)
        for sentence in sentences:
            assert sentence in str(raised.value)

    def test_a_route_that_is_served(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Plain ones are, where nothing wraps them."""
        monkeypatch.setattr(GuardedRoutes, "update", unread)
        monkeypatch.setattr(
            trial, "wrap_receive_and_send", lambda _, receive, send, *__, **___: (receive, send)
        )

        assert "/plain is served" in list(trial._failures())

    def test_a_route_whose_guard_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It answers with an error of another kind, which a next release may not."""
        monkeypatch.setattr(trial, "_answers", lambda *_: False)

        assert "/api is not asked for" in list(trial._failures())

    def test_an_error_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever it is, this FastAPI is not a known one."""

        def fail(*_: Any) -> None:
            raise LookupError("gone")

        monkeypatch.setattr(_fastapi, "scopes_at", fail)

        with pytest.raises(ConfigurationError, match="LookupError: gone"):
            try_out()

    @pytest.mark.parametrize("make", [jwt_guard, protected_router, lambda: protect(FastAPI())])
    def test_no_guard_is_made(self, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
        """Of any kind, each time that one is asked for."""
        trial.try_out.cache_clear()
        monkeypatch.setattr(_fastapi, "scopes_at", lambda _: ())
        try:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="unknown_fastapi"):
                    make()
        finally:
            trial.try_out.cache_clear()


def routers() -> tuple[APIRouter, APIRouter, APIRouter]:
    """As the trial has them when it reads what they include."""
    inner, middle, outer = APIRouter(), APIRouter(), APIRouter()
    if HAS_FRONTEND:
        inner.frontend("/files", directory=str(Path(__file__).parent))
    middle.include_router(inner)
    outer.include_router(middle)
    assert [] == list(trial._unread(inner, middle, outer))
    return inner, middle, outer
