"""What the audit reads of FastAPI beside its public names, function by function."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.params import Path as PathParameter
from starlette.routing import Mount, Route

from jwt_deps.web import _fastapi
from tests.audit.holes import endpoint, page

included = pytest.mark.skipif(_fastapi.COPIES, reason="up to 0.136 routers copy what they include")


def marker() -> None:
    """Be a dependency."""


def inclusion_of(router: APIRouter, **options: Any) -> Any:
    """The entry of a router among the routes of another."""
    outer = APIRouter()
    outer.include_router(router, **options)
    return outer.routes[0]


def below(inclusion: Any) -> Any:
    """The first that is included in an inclusion."""
    found = _fastapi.candidates(inclusion)
    return found[0][1] if found else None


@included
class TestCandidates:
    def test_each_route_as_it_was_added_and_as_it_is_served(self) -> None:
        """With the prefix, whatever its kind."""
        router = APIRouter()
        router.add_api_route("/x", endpoint())
        router.add_route("/p", page)
        router.routes.append(Mount("/m", routes=[]))

        found = _fastapi.candidates(inclusion_of(router, prefix="/r")) or []

        assert [id(route) for route in router.routes] == [id(added) for added, _ in found]
        assert ["/r/x", "/r/p", "/r/m"] == [served.path for _, served in found]

    def test_a_router_below(self) -> None:
        """Is an inclusion with all that applies to it."""
        inner, outer = APIRouter(), APIRouter()
        inner.add_api_route("/x", endpoint())
        outer.include_router(inner, prefix="/i", dependencies=[Depends(marker)])

        inside = below(inclusion_of(outer, prefix="/o"))

        assert inner is _fastapi.included_router(inside)
        assert [marker] == [it.dependency for it in _fastapi.inclusion_dependencies(inside) or ()]
        assert "/o/i/x" == below(inside).path

    def test_a_route_that_came_by_hand(self) -> None:
        """It is there although FastAPI does not serve it yet, and once."""
        router = APIRouter()
        router.add_api_route("/x", endpoint())
        inclusion = inclusion_of(router)
        _fastapi.candidates(inclusion)
        router.routes.append(Route("/p", page))

        found = [served.path for _, served in _fastapi.candidates(inclusion) or ()]

        assert ["/x", "/p"] == found

    @pytest.mark.parametrize(
        "other",
        [object(), Route("/x", page), SimpleNamespace(effective_candidates=list)],
        ids=["object", "route", "another-kind"],
    )
    def test_what_is_no_inclusion(self, other: Any) -> None:
        assert _fastapi.candidates(other) is None

    def test_another_fastapi(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In which the name has changed: it cannot be read, either."""
        inclusion = inclusion_of(APIRouter())
        monkeypatch.delattr(type(inclusion), "effective_candidates")

        assert _fastapi.candidates(inclusion) is None


@pytest.mark.skipif(not hasattr(APIRouter, "frontend"), reason="this FastAPI has no frontend()")
class TestIncludedFrontends:
    @pytest.fixture
    def router(self, tmp_path: Path) -> Any:
        router: Any = APIRouter()
        router.frontend("/f", directory=tmp_path)
        return router

    def test_those_of_the_router_itself(self, router: APIRouter) -> None:
        outer = APIRouter()
        outer.include_router(router)
        inclusion = inclusion_of(router, prefix="/r")

        found = _fastapi.included_frontends(inclusion) or []

        assert [["/f"]] == [[one.path for one in group.routes] for group, _ in found]
        assert ["/r"] == [served.frontend_prefix for _, served in found]
        assert [] == _fastapi.included_frontends(inclusion_of(outer))

    def test_another_fastapi(self, router: APIRouter, monkeypatch: pytest.MonkeyPatch) -> None:
        """In which the name has changed: it cannot be read."""
        inclusion = inclusion_of(router)
        monkeypatch.delattr(type(inclusion), "effective_low_priority_routes")

        assert _fastapi.included_frontends(inclusion) is None


def test_nothing_is_served_by_frontend() -> None:
    """Then there is none, whatever else cannot be read."""
    assert [] == _fastapi.included_frontends(object())


class TestUnchanged:
    @included
    def test_what_fastapi_remembers_of_an_inclusion(self) -> None:
        """At any depth, and also where something failed."""
        inner, router, outer = APIRouter(), APIRouter(), APIRouter()
        inner.add_api_route("/x", endpoint())
        router.include_router(inner)
        outer.include_router(router)
        (inclusion,) = outer.routes
        inside = below(inclusion)
        before = dict(vars(inclusion)), dict(vars(inside))

        def fail_after_reading() -> None:
            with _fastapi.unchanged([outer]):
                _fastapi.candidates(inside)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_after_reading()

        assert before == (vars(inclusion), vars(inside))

    def test_other_objects(self) -> None:
        app = FastAPI()
        kept = dict(vars(app))

        with _fastapi.unchanged((), app):
            app.openapi()
            app.new = 1  # type: ignore[attr-defined]

        assert kept == vars(app)


class OwnCall(FastAPI):
    async def __call__(self, *connection: Any) -> None: ...


class OwnStack(FastAPI):
    def build_middleware_stack(self) -> Any:
        return super().build_middleware_stack()


class Closed:
    """A middleware that does not tell what is behind it."""


class Hiding:
    """The same, as a middleware that is added."""

    def __init__(self, app: Any) -> None:
        self.hidden = app


def around(app: FastAPI) -> Any:
    app.add_middleware(Hiding)  # type: ignore[arg-type]
    return FastAPI.build_middleware_stack(app)


def past(app: FastAPI) -> Any:
    return app.router.app


def hidden(_: FastAPI) -> Any:
    return Closed()


def built(app: FastAPI) -> Any:
    return FastAPI.build_middleware_stack(app)


STACKS = [
    pytest.param(FastAPI, None, True, id="not-built"),
    pytest.param(FastAPI, built, True, id="built"),
    pytest.param(FastAPI, around, True, id="built-around-what-hides"),
    pytest.param(FastAPI, past, False, id="put-in-by-hand"),
    pytest.param(OwnStack, None, False, id="own-and-not-built"),
    pytest.param(OwnStack, built, True, id="own-and-built"),
    pytest.param(OwnStack, past, False, id="own-and-past-the-router"),
    pytest.param(OwnStack, hidden, False, id="own-and-hidden"),
    pytest.param(OwnCall, None, False, id="own-call"),
    pytest.param(OwnCall, built, False, id="own-call-and-built"),
]


@pytest.mark.parametrize(("kind", "stack", "expected"), STACKS)
def test_whether_the_router_serves_the_application(
    kind: type[FastAPI], stack: Callable[[FastAPI], Any] | None, expected: Any
) -> None:
    """It is known only where FastAPI builds the middleware, or has built what can be read."""
    app = kind()
    app.middleware_stack = None if stack is None else stack(app)

    assert expected is _fastapi.is_served_by_router(app)


def test_an_instance_that_builds_in_a_way_of_its_own() -> None:
    app = FastAPI()
    app.build_middleware_stack = lambda: past(app)  # type: ignore[method-assign]

    assert _fastapi.is_served_by_router(app) is False


def test_an_instance_whose_building_is_wrapped() -> None:
    """As OpenTelemetry does: what it wraps is FastAPI's."""
    app = FastAPI()
    build = app.build_middleware_stack
    app.build_middleware_stack = wraps(build)(lambda: past(app))  # type: ignore[method-assign]

    assert _fastapi.is_served_by_router(app) is True


def test_a_dependency_tree() -> None:
    """As that of a route, in the order of a run."""

    def outer(_: Annotated[None, Depends(marker)]) -> None: ...

    tree = _fastapi.dependency_tree([Depends(outer), Depends(marker)])

    assert [outer, marker, marker] == [node.call for node in _fastapi.dependants(tree)]


def test_types_of_path_parameters() -> None:
    """Of the endpoint and of its dependencies, by the names in the path."""

    def of_b(b: str) -> None: ...

    def read(
        a: Annotated[int, PathParameter(ge=2)], _: Annotated[None, Depends(of_b)], q: int = 0
    ) -> None: ...

    app = FastAPI()
    app.add_api_route("/{a}/{b}", read)
    (route,) = [one for one in app.routes if getattr(one, "dependant", None)]

    types = _fastapi.path_parameters(route.dependant)  # type: ignore[attr-defined]

    assert {"a", "b"} == types.keys()
    assert str is types["b"]
    assert int is types["a"].__origin__


def test_a_tree_without_path_parameters() -> None:
    """What cannot be read is not there."""

    class Parameter:
        """Another FastAPI's."""

    class Tree:
        dependencies: tuple[Any, ...] = ()
        path_params = (Parameter(),)

    assert {} == _fastapi.path_parameters(Tree())


@included
def test_what_another_thread_adds_meanwhile_stays() -> None:
    """FastAPI reads routes again when one is added, so one is for a moment, and that one goes."""

    class Raced(list[Any]):
        def append(self, route: Any) -> None:
            super().append(Route("/other", endpoint()))
            super().append(route)

    router = APIRouter()
    router.routes = Raced(router.routes)

    _fastapi.read_again(router)

    assert ["/other"] == [getattr(it, "path", None) for it in router.routes]
