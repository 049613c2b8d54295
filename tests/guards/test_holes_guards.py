"""Attack: a guard that comes late, that a mount hides, or that never meets its application."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Match, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import ConfigurationError, jwt_guard, protect, protected_router
from jwt_deps.audit import Verdict, audit
from tests.pairing import pairwise
from tests.web.serving import OTHER, SETTINGS, bearer

from .asking import (
    FOREIGN,
    GOOD,
    HAS_FRONTEND,
    INSIDE,
    LIVE,
    REFUSED,
    Copying,
    Layer,
    ask,
    assert_closed,
    assert_guarded,
    filled,
    including,
    page,
    plain,
    read,
)

GUARD = Depends(jwt_guard(SETTINGS))


# ---- a guard that comes late --------------------------------------------------------------------


def included_first(app: FastAPI, _: Path) -> None:
    router = APIRouter()
    router.get("/x")(read)
    app.include_router(router)


def route_first(app: FastAPI, _: Path) -> None:
    """Add a route of the application's own."""
    app.get("/x")(read)


def plain_first(app: FastAPI, _: Path) -> None:
    """Add a route of Starlette's."""
    app.add_route("/x", plain)


def mount_first(app: FastAPI, _: Path) -> None:
    app.mount("/x", page())


def frontend_first(app: FastAPI, folder: Path) -> None:
    (folder / "index.html").write_text(INSIDE)
    app.frontend("/x", directory=folder)


BEFORE: list[Callable[[FastAPI, Path], None]] = [
    included_first,
    route_first,
    plain_first,
    mount_first,
]
if HAS_FRONTEND:
    BEFORE.append(frontend_first)
befores = pytest.mark.parametrize("before", BEFORE, ids=lambda before: before.__name__)


def late(before: Callable[[FastAPI, Path], None], folder: Path) -> FastAPI:
    """Make an application whose guard came after something else."""
    app = FastAPI()
    before(app, folder)
    app.router.dependencies.append(GUARD)
    app.get("/first")(read)
    return app


def path_of(before: Callable[[FastAPI, Path], None]) -> str:
    return "/x/" if before in {mount_first, *BEFORE[4:]} else "/x"


@befores
def test_a_guard_that_came_after_a_route_refuses_as_soon_as_it_is_asked(
    before: Callable[[FastAPI, Path], None], tmp_path: Path
) -> None:
    """FastAPI gave the earlier route no guard: that is told, with what to do instead."""
    client = TestClient(late(before, tmp_path))

    with pytest.raises(ConfigurationError, match="protect"):
        client.get("/first", headers=GOOD)

    for headers in ({}, FOREIGN, GOOD):
        assert ask(client, "/first", headers) == REFUSED


@befores
@pytest.mark.parametrize("settings", [SETTINGS, OTHER], ids=["same", "other"])
@pytest.mark.parametrize("outer", ["protected_router", "protect"])
def test_an_outer_guard_does_not_step_back_for_a_guard_that_came_late(
    before: Callable[[FastAPI, Path], None], outer: str, settings: Any, tmp_path: Path
) -> None:
    """A token that neither of the two accepts, or none, opens nothing."""
    inner = late(before, tmp_path)

    def build() -> FastAPI:
        if outer == "protect":
            app = protect(FastAPI(), settings)
            app.mount("/m", inner)
            return app
        router = protected_router(settings=settings)
        router.mount("/m", inner)
        app = FastAPI()
        app.mount("/p", router)
        return app

    prefix = "/m" if outer == "protect" else "/p/m"
    client = TestClient(build())
    for headers in ({}, bearer("yet-another-secret-of-nobody-".ljust(64, "2"))):
        assert ask(client, prefix + path_of(before), headers) in (401, REFUSED)


@befores
def test_an_application_with_a_late_guard_can_be_protected(
    before: Callable[[FastAPI, Path], None], tmp_path: Path
) -> None:
    """`protect` covers what came before the guard."""
    assert_closed(lambda: protect(late(before, tmp_path), SETTINGS), path_of(before))


def test_a_dependency_appended_to_a_protected_router_takes_nothing_away() -> None:
    """Nor does clearing the list."""

    def build() -> FastAPI:
        router = filled(protected_router(settings=SETTINGS))
        router.dependencies.clear()
        router.get("/late")(read)
        router.add_route("/late-plain", plain)
        return including(router)

    for path in ("/api", "/plain", "/late", "/late-plain"):
        assert_closed(build, path)


# ---- middleware on a mount ----------------------------------------------------------------------


async def dispatch(request: Request, call_next: Any) -> Any:
    """Do nothing, in the way of `BaseHTTPMiddleware`."""
    return await call_next(request)


LAYERS: dict[str, Callable[[ASGIApp], Mount]] = {
    "none": lambda app: Mount("/m", app=app),
    "middleware": lambda app: Mount("/m", app=app, middleware=[Middleware(Layer)]),
    "several": lambda app: Mount(
        "/m", app=app, middleware=[Middleware(Layer), Middleware(GZipMiddleware)]
    ),
    "copying": lambda app: Mount("/m", app=app, middleware=[Middleware(Copying)]),
    "base-http": lambda app: Mount(
        "/m", app=app, middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)]
    ),
    "wrapped-by-hand": lambda app: Mount("/m", app=Layer(app)),
    "wrapped-twice": lambda app: Mount("/m", app=Layer(Copying(app))),
    "starlette": lambda app: Mount("/m", app=Starlette(routes=[Mount("", app=app)])),
    "router": lambda app: Mount("/m", app=Router(routes=[Mount("", app=app)])),
    "router-middleware": lambda app: Mount(
        "/m", app=Router(routes=[Mount("", app=app)], middleware=[Middleware(Layer)])
    ),
    "mounted-routes": lambda app: Mount(
        "/m", routes=[Mount("", app=app)], middleware=[Middleware(Layer)]
    ),
    "host": lambda app: Mount("/m", app=Router(routes=[Host("testserver", app=app)])),
}
layers = pytest.mark.parametrize("layer", list(LAYERS))


def inner_router(router: APIRouter, folder: Path) -> APIRouter:
    """Fill a router with every kind of route."""
    (folder / "y").write_text(INSIDE)
    filled(router).mount("/files", StaticFiles(directory=folder))
    return router


PATHS = ["/m/api", "/m/plain", "/m/files/y"]


@layers
@pytest.mark.parametrize("path", PATHS)
def test_a_protected_router_below_a_mount_with_layers_is_closed(
    path: str, layer: str, tmp_path: Path
) -> None:
    """The router guards itself, whatever stands around it."""
    app = FastAPI()
    app.router.routes.append(
        LAYERS[layer](inner_router(protected_router(settings=SETTINGS), tmp_path))
    )

    assert_guarded(app, path)


@pairwise(
    inner=["open", "plain-guard", "protected"],
    outer=["protect", "protected_router"],
    path=PATHS,
    layer=list(LAYERS),
)
def test_a_mount_with_layers_below_a_guard_is_closed(
    inner: str, outer: str, path: str, layer: str, tmp_path: Path
) -> None:
    """The guard around it stands, whatever the layers hide; the innermost one it sees decides."""

    def build() -> FastAPI:
        routers: dict[str, APIRouter] = {
            "open": APIRouter(),
            "plain-guard": APIRouter(dependencies=[GUARD]),
            "protected": protected_router(settings=SETTINGS),
        }
        mount = LAYERS[layer](inner_router(routers[inner], tmp_path))
        app = FastAPI()
        if outer == "protect":
            app.router.routes.append(mount)
            return protect(app, SETTINGS)
        around = protected_router(settings=SETTINGS)
        around.routes.append(mount)
        app.mount("/p", around)
        return app

    assert_closed(build, path if outer == "protect" else f"/p{path}")


@layers
def test_a_mount_with_layers_does_not_let_an_outer_guard_accept_the_wrong_token(
    layer: str, tmp_path: Path
) -> None:
    """The inner guard's settings hold; a token for the outer ones alone opens nothing."""
    inner = inner_router(protected_router(settings=OTHER), tmp_path)
    app = protect(FastAPI(), SETTINGS)
    app.router.routes.append(LAYERS[layer](inner))

    for path in PATHS:
        for headers in ({}, GOOD):
            assert ask(app, path, headers) in (401, REFUSED)


@layers
def test_the_audit_does_not_call_a_plain_route_below_layers_guarded(
    layer: str, tmp_path: Path
) -> None:
    """`Mount("/m", app=APIRouter(dependencies=[guard]), middleware=[...])`: no dependency runs."""
    app = FastAPI()
    app.router.routes.append(LAYERS[layer](inner_router(APIRouter(dependencies=[GUARD]), tmp_path)))
    if ask(app, "/m/plain") != 200:
        return

    try:
        found = audit(app)
    except ConfigurationError:
        return

    verdicts = {route.path: route.verdict for route in found.routes}
    assert not found.ok
    assert Verdict.GUARDED not in (verdicts.get("/m/plain"), verdicts.get("/m/files"))


@pytest.mark.skipif(
    not LIVE or "max_body_size" not in APIRouter.__init__.__annotations__,
    reason="this FastAPI has no max_body_size",
)
@pytest.mark.parametrize("where", ["router", "inclusion", "application"])
def test_a_body_limit_hides_no_mount(where: str) -> None:
    """FastAPI wraps the mounts of a router that has one."""
    limit: Any = {"max_body_size": 100}
    router = protected_router(settings=SETTINGS, **(limit if where == "router" else {}))
    router.mount("/m", page())
    router.add_route("/plain", plain)
    app = FastAPI(**(limit if where == "application" else {}))
    app.include_router(router, **(limit if where == "inclusion" else {}))

    for path in ("/m/x", "/plain"):
        assert_guarded(app, path)


# ---- a guard that never meets its application ---------------------------------------------------


class OwnStack(FastAPI):
    """An application that builds its middleware around FastAPI's own."""

    def build_middleware_stack(self) -> ASGIApp:
        return Layer(super().build_middleware_stack())


class OwnCall(FastAPI):
    """An application that is called its own way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(dict(scope), receive, send)


class OwnSetUp(FastAPI):
    """An application that adds routes while it is set up."""

    def setup(self) -> None:
        """Add a route of a kind that is not known."""
        super().setup()
        self.add_route("/plain", plain)


subclasses = pytest.mark.parametrize(
    "kind", [OwnStack, OwnCall, OwnSetUp], ids=lambda kind: kind.__name__
)


@subclasses
@pytest.mark.parametrize("how", ["before", "after", "router", "mounted"])
def test_a_subclass_with_ways_of_its_own_is_closed(how: str, kind: type[FastAPI]) -> None:
    """Nothing depends on what `FastAPI` itself would do."""
    app = kind()
    if how == "before":
        protect(app, SETTINGS)
    router = APIRouter() if how in {"before", "after"} else protected_router(settings=SETTINGS)
    router.get("/api")(read)
    router.add_route("/plain" if kind is not OwnSetUp else "/plain-2", plain)
    prefix = ""
    if how == "mounted":
        prefix = "/m"
        app.mount(prefix, router)
    else:
        app.include_router(router)
    if how == "after":
        protect(app, SETTINGS)

    assert_guarded(app, f"{prefix}/api")
    if kind is not OwnSetUp or how in {"before", "after"}:
        assert_guarded(app, f"{prefix}/plain")


@pytest.mark.skipif(not LIVE, reason="up to 0.136 late inclusions are not served")
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("serving", [True, False], ids=["serving", "not-serving"])
def test_a_guarded_router_included_late_below_an_included_router_is_closed(
    depth: int, *, serving: bool
) -> None:
    outermost = router = APIRouter()
    router.get("/first")(read)
    for _ in range(depth):
        inner = APIRouter()
        router.include_router(inner)
        router = inner
    client = TestClient(including(outermost))
    if serving:
        assert ask(client, "/first") == 200
    guarded = filled(protected_router(settings=SETTINGS))
    guarded.mount("/m", page())

    router.include_router(guarded)

    for path in ("/api", "/plain", "/m/x"):
        assert_guarded(client, path)
    assert ask(client, "/first") == 200


@pytest.mark.parametrize("serving", [True, False], ids=["serving", "not-serving"])
@pytest.mark.parametrize("what", ["router", "application"])
def test_a_guarded_router_that_is_mounted_while_serving_is_closed(
    what: str, *, serving: bool
) -> None:
    app = FastAPI()
    app.get("/first")(read)
    client = TestClient(app)
    if serving:
        assert ask(client, "/first") == 200
    inner: Any = protected_router(settings=SETTINGS) if what == "router" else FastAPI()
    filled(inner)
    inner.mount("/m", page())
    if what == "application":
        protect(inner, SETTINGS)

    app.mount("/late", inner)

    for path in ("/late/api", "/late/plain", "/late/m/x"):
        assert_guarded(client, path)
    assert ask(client, "/first") == 200


# ---- wrappers that others see -------------------------------------------------------------------


class RateLimit(Layer):
    """What slowapi's middleware does: find the endpoint, and name it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in scope["app"].routes:
                match, _ = route.matches(dict(scope))
                if match is Match.FULL and hasattr(route, "endpoint"):
                    SEEN.append(f"{route.endpoint.__module__}.{route.endpoint.__name__}")
        await self.app(scope, receive, send)


SEEN: list[str] = []


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/api", "/plain"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_middleware_that_names_endpoints_works(moment: str, path: str) -> None:
    """Every endpoint that a route shows has a name, as without the guard."""
    names: list[list[str]] = []
    for guarded in (False, True):
        app = FastAPI()
        app.add_middleware(RateLimit)
        if guarded and moment == "before":
            protect(app, SETTINGS)
        filled(app)
        if guarded and moment == "after":
            protect(app, SETTINGS)
        SEEN.clear()

        assert 200 == TestClient(app).get(path, headers=GOOD).status_code

        names.append(list(SEEN))

    assert names[0] == names[1]
    assert names[0]


def test_url_for_works_below_a_host() -> None:
    """Names of routes in a guarded host are found."""
    inner = APIRouter()

    @inner.get("/here", name="here")
    async def here(request: Request) -> str:
        return f"{INSIDE} {request.url_for('site:here')}"

    app = FastAPI()
    app.router.routes.append(Host("testserver", inner, name="site"))
    protect(app, SETTINGS)

    answer = TestClient(app).get("/here", headers=GOOD)

    assert f'"{INSIDE} http://testserver/here"' == answer.text


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copied_protected_router_is_a_protected_router(how: Callable[[Any], Any]) -> None:
    """The copy guards what it has and what it gets."""
    router = filled(protected_router(settings=SETTINGS))

    copied = how(router)
    copied.get("/late")(read)
    copied.add_route("/late-plain", plain)

    for path in ("/api", "/plain", "/late", "/late-plain"):
        if how is copy.deepcopy:
            assert_guarded(including(copied), path)
        else:  # it shares its routes with the original
            assert_closed(lambda: including(copied), path)


def test_a_router_that_was_guarded_once_serves_openly_elsewhere() -> None:
    """Guarding it in one application changes nothing in another."""
    router = filled(APIRouter())
    protected = including(protected_router(router, settings=SETTINGS))
    app = including(router)

    for path in ("/api", "/plain"):
        assert_guarded(protected, path)
        assert [200, 200] == [ask(app, path, headers) for headers in ({}, GOOD)]


def test_a_mounted_application_of_starlettes_keeps_its_type() -> None:
    """What walks the routes finds the application that was mounted."""
    inner = Starlette(routes=[Route("/x", plain, name="x")])
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", inner, name="inner")

    assert "/m/x" == str(app.url_path_for("inner:x"))
    assert_guarded(app, "/m/x")
    assert "/m/x" == str(app.url_path_for("inner:x"))


def test_a_guard_of_a_router_in_a_starlette_application_refuses_what_it_cannot_cover() -> None:
    """Each time that FastAPI asks it, until there are no plain routes beside those of FastAPI."""
    inner = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
    inner.get("/x")(read)
    app = FastAPI()
    app.mount("/deep", Starlette(routes=[Mount("/inner", inner)]))
    client = TestClient(app)

    assert [401, 200] == [ask(client, "/deep/inner/x", it) for it in ({}, GOOD)]
    inner.add_route("/plain", plain)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"protect\(app\)"):
            client.get("/deep/inner/x", headers=GOOD)
    inner.routes.pop()
    assert [200, 200] == [ask(client, "/deep/inner/x", GOOD) for _ in range(2)]


def test_a_guard_of_a_router_that_is_served_alone() -> None:
    """There is no application around it, whose handlers could answer the refusal."""
    router = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
    router.get("/x")(read)
    stack = pytest.importorskip("fastapi.middleware.asyncexitstack")
    client = TestClient(stack.AsyncExitStackMiddleware(router))

    assert 200 == ask(client, "/x", GOOD)
    with pytest.raises(HTTPException, match="401"):
        client.get("/x")


def test_a_layer_that_answers_itself_is_not_the_guards_business() -> None:
    """A page of maintenance comes before everything else."""
    app = FastAPI()
    app.get("/x")(read)
    protect(app, SETTINGS)

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("later", 503)(scope, receive, send)

    app.add_middleware(lambda _: closed)

    assert 503 == TestClient(app).get("/x").status_code
