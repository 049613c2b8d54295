"""Attack: what a router or an application asks beside its guard, where routes come in by hand."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Form, HTTPException, Security
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute

from jwt_deps import (
    ConfigurationError,
    current_user_id,
    jwt_guard,
    protect,
    protected_router,
    require_scopes,
)
from jwt_deps.web import _fastapi
from tests.minting import OTHER_SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, including, live_routes

from .asking import GOOD, INSIDE, REFUSED, answers_of, ask, page, plain, read

ADMIN = Depends(require_scopes("admin"))


def _open_routes(kind: str, depth: int) -> list[BaseRoute]:
    """The routes of a router that nothing applies to."""
    router = APIRouter()
    if kind == "api":
        router.get("/x")(read)
    elif kind == "plain":
        router.add_route("/x", plain)
    else:
        router.mount("/x", page())
    for _ in range(depth):
        outer = APIRouter()
        outer.include_router(router)
        router = outer
    return router.routes


def _extended(router: APIRouter, routes: list[BaseRoute]) -> APIRouter:
    router.routes.extend(routes)
    return router


#: Where an application or a router asks for the scope `admin`, and gets routes that were others'.
ASKING: dict[str, Callable[[list[BaseRoute]], FastAPI]] = {
    "constructor": lambda routes: including(
        protected_router(settings=SETTINGS, dependencies=[ADMIN], routes=routes)
    ),
    "constructor of a router below": lambda routes: including(
        protected_router(APIRouter(dependencies=[ADMIN], routes=routes), settings=SETTINGS)
    ),
    "extended": lambda routes: including(
        _extended(protected_router(settings=SETTINGS, dependencies=[ADMIN]), routes)
    ),
    "extended below": lambda routes: including(
        protected_router(_extended(APIRouter(dependencies=[ADMIN]), routes), settings=SETTINGS)
    ),
    "application": lambda routes: protect(FastAPI(dependencies=[ADMIN], routes=routes), SETTINGS),
    "included in an application": lambda routes: including_in(
        protect(FastAPI(), SETTINGS), APIRouter(dependencies=[ADMIN], routes=routes)
    ),
    "application below a guard": lambda routes: mounting(
        protect(FastAPI(openapi_url=None), SETTINGS),
        protect(FastAPI(dependencies=[ADMIN], routes=routes), SETTINGS),
    ),
}


def including_in(app: FastAPI, router: APIRouter) -> FastAPI:
    app.include_router(router)
    return app


def mounting(outer: FastAPI, inner: FastAPI) -> FastAPI:
    outer.mount("", inner)
    return outer


@pytest.mark.parametrize("depth", [0, 1, 2], ids=["route", "inclusion", "inclusion below another"])
@pytest.mark.parametrize("kind", ["api", "plain", "mount"])
@pytest.mark.parametrize("asking", ASKING)
def test_a_requirement_holds_for_routes_that_are_moved_in(
    asking: str, kind: str, depth: int
) -> None:
    """Or the start is refused: FastAPI applies the dependencies of a router when a route is added.

    Up to 0.136 mounts of an included router are not served at all.
    """
    try:
        app = ASKING[asking](_open_routes(kind, depth))
    except ConfigurationError:
        return

    assert ask(app, "/x", GOOD) in {403, 404, REFUSED}
    assert ask(app, "/x", bearer(scope="admin")) in {200, 404, REFUSED}


@pytest.mark.parametrize("depth", [0, 1], ids=["route", "inclusion"])
@pytest.mark.parametrize("served", [True, False], ids=["served before", "not served before"])
@pytest.mark.parametrize("over", ["application", "router"])
def test_a_requirement_that_comes_late_holds_or_is_refused(
    over: str, depth: int, *, served: bool
) -> None:
    """`app.router.dependencies.append(...)` reaches no route that is there already."""
    routes = _open_routes("api", depth)
    if over == "application":
        app = protect(FastAPI(routes=routes), SETTINGS)
        asking = app.router
    else:
        asking = protected_router(settings=SETTINGS)
        asking.get("/x")(read)
        app = including(asking)
    if served:
        assert ask(app, "/x", GOOD) == 200

    asking.dependencies.append(ADMIN)

    assert ask(app, "/x", GOOD) in ({403, REFUSED} if over == "application" or LATE else {200})


#: Up to FastAPI 0.136 an inclusion has copied the routes, and the router has no part in them.
LATE = not _fastapi.COPIES


@live_routes
@pytest.mark.parametrize("kind", ["plain", "mount"])
def test_routes_taken_out_of_two_inclusions_keep_the_scopes_of_both(kind: str) -> None:
    """One dependency with two scopes, which `Security` spells, is two requirements."""
    inner, app = APIRouter(), FastAPI()
    if kind == "plain":
        inner.add_route("/x", plain)
    else:
        inner.mount("/x", page())
    router = protected_router(settings=SETTINGS)
    for scope in ("read", "admin"):
        asked = [Security(current_user_id, scopes=[scope])]
        router.include_router(inner, prefix=f"/{scope}", dependencies=asked)

    app.router.routes.extend(served for _, served in _fastapi.served_routes(router))

    for path in ("/read/x", "/admin/x"):
        assert [401, 401, 403] == answers_of(app, path)
        assert 403 == ask(app, path, bearer(scope="read"))
        assert 200 == ask(app, path, bearer(scope="read admin"))


def _of(endpoint: Any) -> Callable[[], list[BaseRoute]]:
    return lambda: [APIRoute("/x", endpoint)]


def _one_inclusion() -> list[BaseRoute]:
    outer = APIRouter()
    outer.include_router(APIRouter(routes=[APIRoute("/x", read)]))
    return outer.routes


def test_what_an_inclusion_copied_is_no_route_of_two_applications() -> None:
    """Up to FastAPI 0.136 a router's routes are copied where it is included."""
    service, gateway = protect(FastAPI(), SETTINGS), FastAPI()
    service.get("/x")(read)
    gateway.include_router(service.router)

    assert [401, 401, 200] == answers_of(protect(gateway, SETTINGS), "/x")


def _again(routes: list[BaseRoute]) -> list[BaseRoute]:
    return routes


def _copies(routes: list[BaseRoute]) -> list[BaseRoute]:
    return [copy.copy(route) for route in routes]


def _protected_with(routes: list[BaseRoute]) -> FastAPI:
    return protect(FastAPI(routes=routes), SETTINGS, exclude=["/x"])


def _protected_before(routes: list[BaseRoute]) -> FastAPI:
    app = protect(FastAPI(), SETTINGS, exclude=["/x"])
    if any(isinstance(it, APIRoute) for it in routes):
        app.get("/x")(read)
    else:
        app.include_router(APIRouter(routes=routes))
    return app


@pytest.mark.parametrize(
    ("build", "taken"),
    [
        (_protected_with, _again),
        (_protected_with, _copies),
        (_protected_with, copy.deepcopy),
        (_protected_before, _again),
        (_protected_before, _copies),  # a deep copy is one of the application, which has none
    ],
)
@pytest.mark.parametrize("made", [_of(read), _one_inclusion], ids=["route", "inclusion"])
@pytest.mark.parametrize("second", [SETTINGS, OTHER], ids=["same settings", "other settings"])
def test_two_applications_under_protect_share_no_route(
    made: Callable[[], list[BaseRoute]],
    build: Callable[[list[BaseRoute]], FastAPI],
    taken: Callable[[Any], list[BaseRoute]],
    second: Any,
) -> None:
    """The guard of the first would decide in the second, with its keys and its exclusions."""
    first = build(made())
    routes = [it for it in first.router.routes if getattr(it, "path", "/x") == "/x"]

    def joined() -> APIRouter:
        return APIRouter(routes=taken(routes))

    ways: list[Callable[[], Any]] = [
        lambda: protect(FastAPI(routes=taken(routes)), second),
        lambda: protect(including(joined()), second),
        lambda: live_routes(including(protected_router(joined(), settings=second))),
    ]
    if _fastapi.COPIES:  # old FastAPI copies what it includes, a router of the first one's too
        del ways[1:]
    # An inclusion of a newer FastAPI has a lock, and cannot be copied deeply.
    refusals = (ConfigurationError, TypeError) if made is _one_inclusion else ConfigurationError
    for way in ways:
        with pytest.raises(refusals, match=r"another application|_thread\.lock"):
            way()

    assert 200 == ask(first, "/x")


class Limited(APIRoute):
    """A route whose handler is wrapped in a partial of a method."""

    def get_route_handler(self) -> Callable[..., Any]:
        """Return the handler, called by keyword."""
        return partial(self.limited, 5, inner=super().get_route_handler())

    async def limited(self, _: int, request: Request, *, inner: Callable[..., Any]) -> Any:
        """Call the handler."""
        return await inner(request)


class Kept(APIRoute):
    """A route whose handler is a method that calls what FastAPI made."""

    def get_route_handler(self) -> Callable[..., Any]:
        """Return a bound method."""
        self.kept = super().get_route_handler()
        return self.call

    async def call(self, request: Request) -> Any:
        """Call the handler."""
        return await self.kept(request)


class Dependant(APIRoute):
    """A route whose dependencies are replaced after its handler was made."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.dependant = copy.copy(self.dependant)
        self.dependant.dependencies = []


class Compressed(APIRoute):
    """A route with a middleware around what FastAPI made."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.app = GZipMiddleware(self.app)


@pytest.mark.parametrize("route", [APIRoute, Limited, Kept, Dependant, Compressed])
@pytest.mark.parametrize("copied", [True, False], ids=["copied", "as it is"])
def test_the_handler_of_a_route_runs_the_guard_or_protect_refuses_it(
    route: type[APIRoute], *, copied: bool
) -> None:
    """A deep copy has the handler of the route that it was copied from."""
    routes: list[BaseRoute] = [route("/x", read)]
    is_another = copied or route is Dependant
    try:
        app = protect(FastAPI(routes=copy.deepcopy(routes) if copied else routes), SETTINGS)
    except ConfigurationError:
        assert is_another
        return

    assert not is_another
    assert [401, 401, 200] == answers_of(app, "/x")


def _same_tenant(tenant: Annotated[str | None, Body(embed=True)] = None) -> None:
    if tenant != "mine":
        raise HTTPException(403)


def test_an_application_that_was_refused_can_be_protected_once_it_is_right() -> None:
    """Nothing of what was refused decides."""
    app = FastAPI()
    app.get("/x")(read)
    app.router.default = page()
    with pytest.raises(ConfigurationError, match="default"):
        protect(app, OTHER, exclude=["/x"])

    app.router.default = app.router.not_found

    assert [401, 401, 200] == answers_of(protect(app, SETTINGS), "/x")
    assert 401 == ask(app, "/x", bearer(OTHER_SECRET))


def test_a_dependency_that_reads_the_body_comes_before_the_routes() -> None:
    """A route reads its body for what applied to it when it was added."""
    late, early = FastAPI(), protect(FastAPI(), SETTINGS, dependencies=[Depends(_same_tenant)])
    late.post("/x")(read)
    early.post("/x")(read)

    with pytest.raises(ConfigurationError, match="before protect"):
        protect(late, SETTINGS, dependencies=[Depends(_same_tenant)])

    client = TestClient(early)
    assert INSIDE == client.post("/x", json={"tenant": "mine"}, headers=GOOD).json()
    assert 403 == client.post("/x", json={"tenant": "other"}, headers=GOOD).status_code


GUARD = Depends(jwt_guard(SETTINGS))


def _under_a_plain_guard(*, late: bool) -> FastAPI:
    base = APIRouter(dependencies=[GUARD])
    base.get("/x")(read)
    if not late:
        return FastAPI(dependencies=[GUARD, ADMIN], routes=base.routes)
    app = FastAPI(dependencies=[GUARD])
    app.include_router(base)
    app.router.dependencies.append(ADMIN)
    return app


def _over_a_protected_router(*, late: bool) -> FastAPI:
    protected = protected_router(settings=SETTINGS)
    protected.get("/x")(read)
    if late:
        app = including(protected)
        app.router.dependencies.append(ADMIN)
        return app
    api = APIRouter()
    api.include_router(protected)
    app = FastAPI(dependencies=[ADMIN])
    app.router.routes.extend(api.routes)
    return app


@pytest.mark.parametrize("late", [True, False], ids=["appended", "moved"])
@pytest.mark.parametrize("made", [_under_a_plain_guard, _over_a_protected_router])
def test_a_requirement_over_guarded_routes_holds_without_protect(
    made: Callable[..., FastAPI], *, late: bool
) -> None:
    """An application is looked at by the guards in it, too."""
    assert ask(made(late=late), "/x", GOOD) in {403, REFUSED}


def test_an_open_route_is_as_fastapi_has_it() -> None:
    """Beside a guarded one: what was appended late does not reach it, and nothing is refused."""
    app = FastAPI()
    app.get("/open")(read)
    app.router.dependencies.append(ADMIN)
    protected = protected_router(settings=SETTINGS)
    protected.get("/x")(read)
    app.include_router(protected)

    assert [200, 403] == [ask(app, "/open"), ask(app, "/x", GOOD)]


class Sorted(list[Any]):
    """A list of routes that keeps literal paths before those with parameters."""

    def append(self, route: Any) -> None:
        """Add a route where it belongs."""
        super().append(route)
        self.sort(key=lambda it: getattr(it, "path", "").count("{"))


class Ordered(APIRouter):
    """A router that keeps literal paths before those with parameters."""

    def add_route(self, *arguments: Any, **options: Any) -> None:
        """Add a route, and sort all of them."""
        super().add_route(*arguments, **options)
        self.routes.sort(key=lambda it: getattr(it, "path", "").count("{"))


@pytest.mark.parametrize("sorts", ["router", "list"])
@pytest.mark.parametrize("by", ["protect", "protected_router"])
def test_a_router_that_sorts_its_routes_loses_none(by: str, sorts: str) -> None:
    """Looking at them adds nothing and takes nothing away."""
    router = Ordered() if sorts == "router" else APIRouter()
    if sorts == "list":
        router.routes = Sorted()
    router.get("/items/{item}")(read)
    router.add_route("/health", plain)
    if by == "protect":
        app = protect(including(router), SETTINGS)
    else:
        app = including(protected_router(router, settings=SETTINGS))

    assert [200, 200, 404] == [ask(app, path, GOOD) for path in ("/health", "/items/1", "/")]


async def _length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.mark.skipif(
    "form_limits" not in vars(APIRouter()), reason="this FastAPI has no limits of a router"
)
def test_the_limits_of_a_router_with_an_empty_path_stay() -> None:
    """Its inclusion is made before the prefix is known."""
    limits: Any = {"max_body_size": 100, "form_limits": {"max_fields": 2}}
    router, app = APIRouter(**limits), FastAPI()

    @router.post("")
    async def first(a: Annotated[str, Form()]) -> str:
        return a

    router.add_route("/plain", _length, methods=["POST"])
    app.include_router(protected_router(router, settings=SETTINGS), prefix="/users")
    client = TestClient(app)

    for path in ("/users", "/users/plain"):
        answer = client.post(path, content=b"x" * 5000, headers=GOOD)
        assert 413 == answer.status_code, path
    fields = dict.fromkeys("abc", "x")
    assert 400 == client.post("/users", data=fields, headers=GOOD).status_code
