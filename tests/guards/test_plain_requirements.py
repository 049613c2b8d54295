"""What applies to a router holds for its plain routes and mounts as for FastAPI's own routes.

Wherever the router is, whatever is around it, and whenever the route or mount was added.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, File, Form, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Mount, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from jwt_deps import (
    ConfigurationError,
    get_settings,
    jwt_guard,
    protect,
    protected_router,
    require_scopes,
)
from tests.web.serving import OTHER, SETTINGS, bearer, frontend, live_routes

from .asking import (
    GOOD,
    INSIDE,
    REFUSED,
    Answer,
    Layer,
    answers_of,
    ask,
    filled,
    guarded_by,
    including,
    knock,
    page,
    plain,
    read,
    talk,
)

ADMIN = bearer(scope="admin")
both = pytest.mark.parametrize("path", ["/api", "/plain"])


def for_admins(kind: Any = APIRouter) -> Any:
    """Make a router or an application in which a scope is required."""
    return filled(kind(dependencies=[Depends(require_scopes("admin"))]))


def asked(app: ASGIApp, path: str) -> list[Answer]:
    """Ask without a token, with a token that lacks the scope, and with the scope."""
    return [ask(app, path, it) for it in ({}, GOOD, ADMIN)]


class Tenant(BaseModel):
    """What a client says in a body."""

    name: str


async def body(tenant: Annotated[str | None, Body(embed=True)] = None) -> None:
    """Check a member of the body."""


async def form(tenant: Annotated[str | None, Form()] = None) -> None:
    """Check a field of a form."""


async def file(tenant: Annotated[bytes | None, File()] = None) -> None:
    """Check a file."""


async def model(tenant: Tenant) -> None:
    """Check a whole body."""


async def below(_: Annotated[None, Depends(body)]) -> None:
    """Check by another dependency."""


class TestADependencyWithAParameterFromTheBody:
    """FastAPI reads the body for its own routes alone: the check would be made of the default."""

    @pytest.mark.parametrize("dependency", [body, form, file, model, below])
    @pytest.mark.parametrize("place", ["protect", "protected_router", "mounted"])
    def test_is_refused_over_plain_routes(self, place: str, dependency: Any) -> None:
        """Whether or not the parameter has a default."""
        router = filled(APIRouter(dependencies=[Depends(dependency)]))

        with pytest.raises(ConfigurationError, match="parameter from the body"):
            self.serve(place, router)

    def test_is_taken_over_routes_of_fastapi_alone(self) -> None:
        """FastAPI runs it for each of them."""
        router = protected_router(settings=SETTINGS, dependencies=[Depends(body)])
        router.post("/x")(read)

        assert [401, 200] == [ask(including(router), "/x", it, "POST") for it in ({}, GOOD)]

    @live_routes
    def test_is_refused_where_a_guarded_router_is_included_with_it(self) -> None:
        """What is given to `include_router` applies to plain routes too."""
        router = protected_router(filled(APIRouter()), settings=SETTINGS)
        app = including(router, dependencies=[Depends(body)])

        assert (200, REFUSED) == (ask(app, "/api", GOOD), ask(app, "/plain", GOOD))

    @pytest.mark.parametrize("place", ["protect", "protected_router"])
    def test_applies_to_routes_of_fastapi(self, place: str) -> None:
        router = APIRouter(dependencies=[Depends(model)])
        router.post("/api")(read)
        client = TestClient(guarded_by(place, router))

        answers = [client.post("/api", headers=GOOD, json=it) for it in ({}, {"name": "a"})]

        assert [422, 200] == [it.status_code for it in answers]

    def test_applies_to_websockets_of_fastapi(self) -> None:
        """Which have no body: there the default is what is meant."""
        router = APIRouter(dependencies=[Depends(body)])
        router.websocket("/api")(talk)

        assert 200 == knock(guarded_by("protected_router", router), "/api", GOOD)

    def serve(self, place: str, router: APIRouter) -> None:
        """Make an application in which a router is guarded, and ask for the plain route."""
        if place == "mounted":
            app = protect(FastAPI(), SETTINGS)
            app.mount("", router)
        else:
            app = guarded_by(place, router)
        TestClient(app).get("/plain", headers=GOOD)


@both
@pytest.mark.parametrize("kind", [FastAPI, APIRouter])
class TestWhatIsMounted:
    """What applies to it holds for all that is in it."""

    @pytest.mark.parametrize("layer", [CORSMiddleware, GZipMiddleware, Layer])
    def test_in_a_layer(self, layer: Callable[[ASGIApp], ASGIApp], kind: Any, path: str) -> None:
        """Starlette's own, or one that has what is inside as `app`."""
        app = protect(FastAPI(), SETTINGS)
        app.mount("/m", layer(layer(for_admins(kind))))

        assert [401, 403, 200] == asked(app, f"/m{path}")

    def test_in_a_layer_that_is_excluded(self, kind: Any, path: str) -> None:
        """The guard around it asks for no token, and the requirement does."""
        app = protect(FastAPI(), SETTINGS, exclude=["/m"])
        app.mount("/m", CORSMiddleware(for_admins(kind)))

        assert [401, 403, 200] == asked(app, f"/m{path}")

    def test_as_the_endpoint_of_a_route(self, kind: Any, path: str) -> None:
        """A route of Starlette's takes an application too."""
        app = protect(FastAPI(), SETTINGS)
        app.router.routes.append(Route(path, endpoint=for_admins(kind)))

        assert [401, 403, 200] == asked(app, path)

    @pytest.mark.parametrize("outer", [Starlette, Router])
    def test_late_in_an_application_of_starlette(self, outer: Any, kind: Any, path: str) -> None:
        """Requests had been served before."""
        sub, app = outer(), protect(FastAPI(), SETTINGS)
        app.mount("/s", sub)
        assert 404 == ask(app, "/s/late/api", ADMIN)
        sub.mount("/late", for_admins(kind))

        assert [401, 403, 200] == asked(app, f"/s/late{path}")

    def test_where_the_guard_is_overridden(self, kind: Any, path: str) -> None:
        """Another guard takes its place, and the requirement stays."""
        app, mounted = protect(FastAPI(), SETTINGS), for_admins(kind)
        app.mount("/m", mounted)
        guard: Any = app.router.dependencies[0].dependency
        app.dependency_overrides[guard] = jwt_guard(SETTINGS)
        for one in {app, mounted if kind is FastAPI else app}:
            one.dependency_overrides[get_settings] = lambda: SETTINGS

        assert [401, 403, 200] == asked(app, f"/m{path}")


@both
def test_a_route_of_fastapi_beside_a_mounted_router(path: str) -> None:
    app = protect(FastAPI(), SETTINGS)
    routes = [APIRoute("/own", read), Mount("/m", for_admins())]
    app.router.routes.append(Mount("/s", routes=routes))

    assert [401, 401, 200] == answers_of(app, "/s/own")
    assert [401, 403, 200] == asked(app, f"/s/m{path}")


def test_a_protected_router_in_an_application_of_starlette() -> None:
    """It is asked for itself, and runs what else applies to it."""
    ran: list[str] = []
    router = protected_router(settings=SETTINGS, dependencies=[Depends(lambda: ran.append("ran"))])
    router.add_route("/plain", plain)
    app = Starlette(routes=[Mount("/m", router)])

    assert [401, 401, 200] == answers_of(app, "/m/plain")
    assert ["ran"] == ran


class TestAnOverrideOnTheWayToAGuard:
    """A dependency of the application that asks a guard is replaced, and the guard with it."""

    @both
    @pytest.mark.parametrize("by", ["dependency", "guard"])
    def test_in_a_protected_application(self, by: str, path: str) -> None:
        app, overridden = protect(FastAPI(), SETTINGS), self.replaced(by)
        app.include_router(filled(APIRouter(dependencies=[Depends(self.authenticated)])))
        app.dependency_overrides[overridden] = lambda: None

        assert [401, 401, 200] == answers_of(app, path)

    @both
    @pytest.mark.parametrize("by", ["dependency", "guard"])
    def test_in_a_mounted_application(self, by: str, path: str) -> None:
        """The guard around it decides, before anything inside runs."""
        inner, app = (
            FastAPI(dependencies=[Depends(self.authenticated)]),
            protect(FastAPI(), SETTINGS),
        )
        filled(inner).dependency_overrides[self.replaced(by)] = lambda: None
        app.mount("/m", inner)

        assert [401, 401, 200] == answers_of(app, f"/m{path}")

    def test_an_error_by_an_endpoint_inside(self) -> None:
        """It does not run, though its answer would be no success."""
        inner, app = (
            FastAPI(dependencies=[Depends(self.authenticated)]),
            protect(FastAPI(), SETTINGS),
        )
        inner.get("/error")(lambda: Response(status_code=418))
        inner.websocket("/talk")(talk)
        inner.dependency_overrides[self.authenticated] = lambda: None
        app.mount("/m", inner)

        assert [401, 401, 418] == answers_of(app, "/m/error")
        assert [401, 401, 200] == answers_of(app, "/m/talk", by=knock)

    guard = jwt_guard(OTHER)

    @staticmethod
    async def authenticated(_: Annotated[None, Depends(guard)]) -> None:
        """Ask a guard, as a dependency of the application does."""

    def inner(self) -> FastAPI:
        """An application that needs the dependency."""
        return FastAPI(dependencies=[Depends(self.authenticated)])

    def replaced(self, by: str) -> Any:
        return self.guard if by == "guard" else self.authenticated


@live_routes
class TestARouterThatIsIncludedTwice:
    """What is found at one place says nothing about the other."""

    @pytest.mark.parametrize("order", ["guarded first", "open first", "mounted"])
    def test_once_under_a_mere_guard(self, order: str) -> None:
        """It does not cover plain routes, and nothing is served."""
        router, app = filled(APIRouter()), FastAPI()
        guarded: dict[str, Any] = {
            "prefix": "/guarded",
            "dependencies": [Depends(jwt_guard(SETTINGS))],
        }
        if order == "open first":
            app.include_router(router, prefix="/open")
        app.include_router(router, **guarded)
        if order == "guarded first":
            app.include_router(router, prefix="/open")
        if order == "mounted":
            app.mount("/open", router)
        client = TestClient(app)

        assert REFUSED == ask(client, "/guarded/api", GOOD)
        assert REFUSED == ask(client, "/guarded/plain")

    @pytest.mark.parametrize("first", ["open", "required"])
    def test_once_under_a_requirement(self, first: str) -> None:
        """A route that runs no dependencies in a way that is not known is refused."""
        ran: list[str] = []

        class Own(Route):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                ran.append("ran")
                await super().handle(scope, receive, send)

        router, sub, app = APIRouter(), FastAPI(), protect(FastAPI(), SETTINGS)
        router.routes.append(Own("/own", plain))
        required: dict[str, Any] = {
            "prefix": "/admin",
            "dependencies": [Depends(require_scopes("admin"))],
        }
        for options in ({}, required) if first == "open" else (required, {}):
            sub.include_router(router, **options)
        app.mount("/m", sub)

        assert REFUSED == ask(app, "/m/admin/own", GOOD)
        assert [] == ran


class TestARouteThatServesSomethingElseLater:
    """The guards are around what it serves then."""

    @pytest.mark.parametrize("status", [200, 302])
    @pytest.mark.parametrize("kind", ["protect", "protected_router"])
    def test_another_endpoint(self, kind: str, status: int) -> None:
        """FastAPI builds what it serves from that when the next route comes."""
        ran: list[str] = []

        async def other(_: Request) -> PlainTextResponse:
            ran.append("other")
            return PlainTextResponse(INSIDE, status, {"location": "/"})

        router = APIRouter()
        router.add_route("/plain", plain)
        app = guarded_by(kind, router)
        assert 401 == ask(app, "/plain")
        (route,) = (it for it in router.routes if isinstance(it, Route))
        route.endpoint = other
        router.add_route("/late", plain)

        client = TestClient(app, follow_redirects=False)
        assert 401 == client.get("/plain").status_code
        assert [] == ran
        assert client.get("/plain", headers=GOOD).status_code in {200, status}

    def test_another_endpoint_before_the_first_request(self) -> None:
        """FastAPI builds what it serves from that when the first request comes."""
        router = APIRouter()
        router.add_route("/plain", plain)
        app = including(protected_router(router, settings=SETTINGS))
        (route,) = (it for it in router.routes if isinstance(it, Route))
        route.endpoint = plain

        assert [401, 401, 200] == answers_of(app, "/plain")

    def test_another_endpoint_of_a_websocket(self) -> None:
        """The same holds for it."""
        router, app = APIRouter(), protect(FastAPI(), SETTINGS)
        router.add_websocket_route("/talk", talk)
        app.include_router(router)
        assert 401 == knock(app, "/talk")
        (route,) = (it for it in router.routes if isinstance(it, WebSocketRoute))

        async def other(websocket: Any) -> None:
            await talk(websocket)

        route.endpoint = other
        router.add_route("/late", plain)

        assert [401, 401, 200] == answers_of(app, "/talk", by=knock)

    def test_a_mount_that_chooses_what_it_serves_while_it_matches(self) -> None:
        """Its class is not known to serve its application, and is refused."""
        ran: list[str] = []

        async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
            ran.append("ran")
            await page()(scope, receive, send)

        class Choosing(Mount):
            def matches(self, scope: Scope) -> tuple[Match, Scope]:
                self.app = chosen
                return super().matches(scope)

        app = protect(FastAPI(), SETTINGS)
        app.router.routes.append(Choosing("/t", page()))

        assert [REFUSED, REFUSED] == [ask(app, "/t/x", it) for it in ({}, GOOD)]
        assert [] == ran


def test_a_handshake_that_lacks_a_parameter_of_a_dependency_is_closed() -> None:
    """As FastAPI closes it for its own routes: not every server can deny one."""

    async def needs(parameter: str) -> str:
        return parameter

    router = protected_router(settings=SETTINGS, dependencies=[Depends(needs)])
    router.add_websocket_route("/plain", talk)
    router.websocket("/api")(talk)
    client = TestClient(including(router))

    for path in ("/api", "/plain"):
        with pytest.raises(WebSocketDisconnect) as closed:
            client.websocket_connect(path, headers=GOOD).__enter__()
        assert 1008 == closed.value.code


@both
def test_ready_made_routes_that_lack_a_requirement_of_a_mounted_application(path: str) -> None:
    """FastAPI applies it in the methods that add routes, so they are refused."""
    routes = filled(APIRouter()).routes
    inner = FastAPI(routes=routes, dependencies=[Depends(require_scopes("admin"))])
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", inner)

    assert [REFUSED] * 3 == [ask(app, f"/m{path}", it) for it in ({}, GOOD, ADMIN)]


def test_ready_made_routes_that_lack_a_requirement_of_their_application() -> None:
    """`protect` says so at once."""
    routes = filled(APIRouter()).routes
    app = FastAPI(routes=routes, dependencies=[Depends(require_scopes("admin"))])

    with pytest.raises(ConfigurationError, match="no dependency of that router applies"):
        protect(app, SETTINGS)


@live_routes
def test_ready_made_routes_that_lack_a_requirement_of_their_router() -> None:
    """Up to FastAPI 0.136 its inclusion applies the requirement."""
    router = for_admins()
    router.routes.extend(filled(APIRouter()).routes)

    with pytest.raises(ConfigurationError, match="no dependency of that router applies"):
        protected_router(router, settings=SETTINGS)


@frontend
def test_a_frontend_that_lacks_a_requirement_of_its_router(tmp_path: Path) -> None:
    """FastAPI gives it those that the router has when it is added."""
    router = APIRouter()
    router.frontend("/files", directory=tmp_path)
    router.dependencies.append(Depends(require_scopes("admin")))

    with pytest.raises(ConfigurationError, match="no dependency of that router applies"):
        protected_router(router, settings=SETTINGS)


@both
@pytest.mark.parametrize("depth", [1, 2])
def test_requirements_of_an_application_over_a_protected_router(depth: int, path: str) -> None:
    """Nothing else in it is guarded, and a router between them changes nothing."""
    app = FastAPI(dependencies=[Depends(require_scopes("admin"))])
    router: APIRouter = filled(protected_router(settings=SETTINGS))
    for _ in range(1, depth):
        inner, router = router, APIRouter()
        router.include_router(inner)
    app.include_router(router, prefix="/v1")

    assert [401, 403, 200] == asked(app, f"/v1{path}")
