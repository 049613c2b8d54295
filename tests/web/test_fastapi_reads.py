"""What is read of FastAPI beside its public names, function by function, on every release.

Each also answers where FastAPI has something else in that place: with what leads to a refusal.
What only the audit reads has its tests in `tests/audit/test_reading_fastapi.py`.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Request, Response, Security, routing
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import HTTPException, RequestValidationError, ResponseValidationError
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Mount, Route
from starlette.types import Receive, Scope, Send

from jwt_deps import ConfigurationError, jwt_guard, protect, protected_router
from jwt_deps.web import _fastapi, dependencies, trial
from jwt_deps.web.guarded_routes import GuardedRoutes
from jwt_deps.web.routing import match_of_frontend
from tests.guards.asking import HAS_FRONTEND, kinds_of_guard
from tests.web.serving import SETTINGS

included = pytest.mark.skipif(_fastapi.COPIES, reason="up to 0.136 routers copy what they include")
with_frontend = pytest.mark.skipif(not HAS_FRONTEND, reason="this FastAPI has no frontend()")


def marker() -> None: ...


def other() -> None: ...


def takes_body(number: Annotated[int, Body()]) -> int:
    return number


async def page(_: Request) -> PlainTextResponse:
    return PlainTextResponse("a page")


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("mounted")(scope, receive, send)


class Web:
    """An application, and methods that can be endpoints."""

    async def page(self, request: Request) -> PlainTextResponse:
        return await page(request)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi(scope, receive, send)

    __call__ = serve


WEB, ROUTER = Web(), APIRouter()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("index")
    (tmp_path / "page.txt").write_text("page")
    return tmp_path


class TestOfARequest:
    @pytest.mark.parametrize(
        "read", [_fastapi.route_context, _fastapi.inclusion_of, _fastapi.frontend_path]
    )
    @pytest.mark.parametrize("scope", [{}, {"fastapi": {}}, {"fastapi": {"other": 1}}])
    def test_nothing_is_written(self, read: Callable[[Scope], Any], scope: Scope) -> None:
        """Then no route, no inclusion and no file is known."""
        assert read(scope) is None

    @pytest.mark.parametrize(
        ("told", "expected"),
        [
            pytest.param({"endpoint": page}, True, id="handler"),
            pytest.param({"endpoint": WEB.page}, True, id="handler-method"),
            pytest.param({"endpoint": asgi}, False, id="application"),
            pytest.param({"endpoint": WEB.serve}, False, id="application-method"),
            pytest.param({"endpoint": WEB}, False, id="application-object"),
            pytest.param({"endpoint": WEB, "route": Route("/", WEB)}, True, id="its-route"),
            pytest.param({"endpoint": WEB, "route": Mount("/", WEB)}, False, id="its-mount"),
            pytest.param({"endpoint": page, "route": Mount("/", asgi)}, False, id="any-mount"),
            pytest.param({"endpoint": ROUTER, "route": Route("/", ROUTER)}, False, id="router"),
            pytest.param(
                {"endpoint": WEB, "route": Route("/", WEB), "app": WEB}, False, id="its-own"
            ),
        ],
    )
    def test_a_scope_that_was_routed_before(self, told: Scope, *, expected: bool) -> None:
        """By a router, to a route: not to a mount, nor to what it comes to now."""
        assert expected == _fastapi.is_routed({"router": 1, **told}, ROUTER)
        assert not _fastapi.is_routed(told, ROUTER)  # a middleware has looked for its route

    @with_frontend
    @pytest.mark.parametrize(
        ("told", "paths"),
        [
            pytest.param("y/page.txt", ("/x", "/x/{path:path}"), id="its-own"),
            pytest.param("y/other.js", (), id="that-of-another-request"),
        ],
    )
    def test_the_file_that_is_told_of_is_at_the_path(
        self, told: str, paths: tuple[str, ...], files: Path
    ) -> None:
        """Else it is not known which `frontend()` serves the request."""
        router: Any = APIRouter()
        router.frontend("/x", directory=files)
        scope: Scope = {"path": "/x/y/page.txt", "fastapi": {"frontend_path": told}}
        (group,) = _fastapi.low_priority_routes(router)

        assert paths == match_of_frontend(group, group.routes, scope).paths

    def test_a_path_of_another_kind(self) -> None:
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
        scope: Scope = {"path": "/"}

        _fastapi.forget_route(scope)

        assert {"path": "/"} == scope

    @pytest.mark.parametrize(
        ("match", "told", "expected"),
        [
            pytest.param(Match.FULL, {}, True, id="this-path"),
            pytest.param(Match.FULL, {"id": "1"}, False, id="other-parameters"),
            pytest.param(Match.NONE, {}, False, id="another-path"),
        ],
    )
    def test_the_route_that_is_told_of_is_for(
        self, match: Match, told: dict[str, str], *, expected: bool
    ) -> None:
        context = SimpleNamespace(matches=lambda _: (match, {"path_params": told}))

        assert expected == _fastapi.fits({"fastapi": {"effective_route_context": context}})


class TestOfRoutes:
    @pytest.mark.parametrize("value", [None, object(), SimpleNamespace(other=1)])
    def test_what_is_not_there(self, value: Any) -> None:
        """No route was added, none is plain, and there is no prefix."""
        assert _fastapi.added_route(value) is None
        assert _fastapi.plain_route(value) is None
        assert "" == _fastapi.frontend_prefix(value)

    def test_a_prefix_of_another_kind(self) -> None:
        assert "" == _fastapi.frontend_prefix(SimpleNamespace(frontend_prefix=1))

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

    @pytest.mark.parametrize("router", [APIRouter(), None, object()])
    def test_no_files(self, router: Any) -> None:
        """None in a router without them, nor in anything else."""
        assert [] == list(_fastapi.low_priority_routes(router))

    def test_what_is_mounted_where_it_has_another_name(self) -> None:
        """It is not looked through: what is around it has to be guarded."""
        route: Any = SimpleNamespace(app="around")

        assert "around" == _fastapi.mounted_app(route)


class Endless:
    """What makes a new member each time that it is looked at."""

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return {"next": Endless()}


def test_what_has_no_end_is_not_read_to_one() -> None:
    """Then nothing says that a route solves the dependencies of another."""
    assert not _fastapi.solves_another(SimpleNamespace(app=Endless(), dependant=object()))


def noting(ran: list[str], name: str) -> Any:
    async def dependency() -> None:
        ran.append(name)

    return Depends(dependency)


class TestApplyFirst:
    def test_they_run_before_those_that_the_route_has(self) -> None:
        """In their order, and none of the others is lost."""
        ran: list[str] = []
        app = FastAPI()
        app.get("/x", dependencies=[noting(ran, "own"), noting(ran, "last")])(other)

        _fastapi.apply_first(app.routes[-1], [noting(ran, "first"), noting(ran, "second")])

        assert 200 == TestClient(app).get("/x").status_code
        assert ["first", "second", "own", "last"] == ran

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


async def refusing() -> None:
    raise HTTPException(403)


async def refuses() -> None:
    raise HTTPException(403)


class TestBeforeTheEndpoint:
    @pytest.mark.parametrize(
        ("method", "path", "expected"),
        [
            pytest.param("GET", "/nowhere", True, id="no-route"),
            pytest.param("PATCH", "/body", True, id="no-method"),
            pytest.param("GET", "/dependency", True, id="dependency"),
            pytest.param("GET", "/query", True, id="parameters"),
            pytest.param("POST", "/body", True, id="body-that-is-no-json"),
            pytest.param("GET", "/refuses", False, id="endpoint"),
            pytest.param("GET", "/answer", False, id="answer-of-another-type"),
        ],
    )
    def test_an_exception_is_raised(self, method: str, path: str, *, expected: bool) -> None:
        """By a router, while dependencies run, or while the body is read."""
        found: list[bool] = []

        async def answer(_: Request, error: Exception) -> Response:
            found.append(_fastapi.is_before_endpoint(error))
            return Response()

        app = FastAPI()
        for kind in (StarletteHTTPException, RequestValidationError, ResponseValidationError):
            app.add_exception_handler(kind, answer)
        app.get("/dependency", dependencies=[Depends(refusing)])(other)
        app.get("/query")(lambda number: number)
        app.post("/body")(takes_body)
        app.get("/refuses")(refuses)
        app.get("/answer", response_model=int)(lambda: "text")

        TestClient(app).request(method, path, content="{")

        assert [expected] == found

    def test_another_package_may_have_replaced_a_function_of_fastapi(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The Sentry SDK does, also before this package is imported."""
        found: list[bool] = []
        original = routing.get_request_handler

        def replacement(**given: Any) -> Any:
            return original(**given)

        monkeypatch.setattr(routing, "get_request_handler", replacement)
        spec: Any = find_spec(_fastapi.__name__)
        imported = module_from_spec(spec)
        spec.loader.exec_module(imported)

        async def answer(_: Request, error: Exception) -> Response:
            found.append(imported.is_before_endpoint(error))
            return Response()

        app = FastAPI(exception_handlers={RequestValidationError: answer})
        app.post("/body")(takes_body)
        TestClient(app).post("/body", content="{")

        assert [True] == found


def scoped(_: Annotated[None, Security(marker, scopes=["inner"])]) -> None: ...


def deep(_: Annotated[None, Security(scoped, scopes=["outer"])]) -> None: ...


class TestOfDependencies:
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
    def test_stacks_that_fastapi_opened_are_there_again(self) -> None:
        """An endpoint can have a plain route serve the scope of its own request."""
        kept: list[bool] = []

        async def endpoint(request: Request) -> None:
            before = {name: it for name, it in request.scope.items() if name in STACKS}
            async with _fastapi.solved(request, [Depends(marker)]):
                pass
            kept.append(before.items() <= request.scope.items())

        app = FastAPI()
        app.get("/r")(endpoint)

        assert 200 == TestClient(app).get("/r").status_code
        assert [True] == kept

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
                ["A guarded route answered before its guard had decided"],
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

    @included
    def test_a_class_that_is_not_awaited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A route would get a generator in place of its user."""
        monkeypatch.setattr(dependencies, "CLASSES_ARE_AWAITED", False)

        assert ["CurrentUser is not awaited"] == list(trial._failures())

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

    def test_a_guard_that_is_asked_and_not_among_those_of_the_route(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then it would not know that it decides."""
        decide = trial._Guard.decide

        async def decide_without_guards(
            guard: Any, connection: Any, match: Any, *rest: Any
        ) -> None:
            await decide(guard, connection, replace(match, guards=()), *rest)

        monkeypatch.setattr(trial._Guard, "decide", decide_without_guards)

        late = ["/own has no guard that comes late", "/in/api has no guard that comes late"]
        assert late == [it for it in trial._failures() if "comes late" in it]

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


def guarded(kind: str, router: APIRouter) -> FastAPI:
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))] if kind == "jwt_guard" else [])
    app.include_router(protected_router(router) if kind == "protected_router" else router)
    return protect(app, SETTINGS) if kind == "protect" else app


@included
@kinds_of_guard
def test_an_inclusion_that_tells_nothing_of_its_dependencies_is_not_served(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing is known of them does not mean that there are none."""
    trial.try_out()
    router = APIRouter()
    router.get("/x")(other)
    monkeypatch.setattr(_fastapi, "inclusion_dependencies", lambda _: None)

    with pytest.raises(ConfigurationError) as refused:
        TestClient(guarded(kind, router)).get("/x")

    assert "unguarded_route" == refused.value.reason


def routers() -> tuple[APIRouter, APIRouter, APIRouter]:
    """As the trial has them when it reads what they include."""
    inner, middle, outer = APIRouter(), APIRouter(), APIRouter()
    if HAS_FRONTEND:
        inner.frontend("/files", directory=str(Path(__file__).parent))
    middle.include_router(inner)
    outer.include_router(middle)
    assert [] == list(trial._unread(inner, middle, outer))
    return inner, middle, outer
