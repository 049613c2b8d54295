"""Is there a way into a guarded router that no guard stands over?"""

from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security, WebSocket, params
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    current_user_id,
    jwt_guard,
    protected_router,
    public,
)
from jwt_deps.applications import extend_fastapi
from tests.edge.serving import OTHER, SETTINGS, bearer
from tests.minting import OTHER_SECRET, SECRET

Place = Callable[[APIRouter], FastAPI]


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse("inside")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("inside")
    await websocket.close()


async def read() -> str:
    return "inside"


def below_protected_router(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.include_router(protected_router(router, settings=SETTINGS))
    return app


def below_two_protected_routers(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.include_router(
        protected_router(protected_router(router, settings=SETTINGS), settings=OTHER)
    )
    return app


def below_a_guarded_application(router: APIRouter) -> FastAPI:
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.include_router(router)
    return app


def below_a_guarded_inclusion(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.include_router(router, dependencies=[Depends(jwt_guard(SETTINGS))])
    return app


def below_a_guarded_router(router: APIRouter) -> FastAPI:
    outer = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
    outer.include_router(router)
    app = FastAPI()
    app.include_router(outer)
    return app


def mounted_as_it_is(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.mount("", protected_router(router, settings=SETTINGS))
    return app


PLACES = [
    below_protected_router,
    below_two_protected_routers,
    below_a_guarded_application,
    below_a_guarded_inclusion,
    below_a_guarded_router,
    mounted_as_it_is,
]


def add_api_route(router: APIRouter, _: Path) -> None:
    router.get("/x")(read)


def add_nested_api_route(router: APIRouter, _: Path) -> None:
    inner = APIRouter()
    middle = APIRouter()
    middle.include_router(inner)
    router.include_router(middle)
    inner.get("/x")(read)


def add_plain_route(router: APIRouter, _: Path) -> None:
    router.add_route("/x", plain)


def add_nested_plain_route(router: APIRouter, _: Path) -> None:
    inner = APIRouter()
    router.include_router(inner)
    inner.add_route("/x", plain)


def append_plain_route(router: APIRouter, _: Path) -> None:
    router.routes.append(Route("/x", plain))
    router._mark_routes_changed()


def extend_plain_routes(router: APIRouter, _: Path) -> None:
    router.routes.extend([Route("/x", plain)])
    router._mark_routes_changed()


def increase_plain_routes(router: APIRouter, _: Path) -> None:
    router.routes += [Route("/x", plain)]
    router._mark_routes_changed()


def insert_plain_route(router: APIRouter, _: Path) -> None:
    router.routes.insert(0, Route("/x", plain))
    router._mark_routes_changed()


def assign_plain_routes(router: APIRouter, _: Path) -> None:
    router.routes[:] = [Route("/x", plain)]
    router._mark_routes_changed()


def assign_one_plain_route(router: APIRouter, _: Path) -> None:
    router.add_route("/y", plain)
    router.routes[-1] = Route("/x", plain)
    router._mark_routes_changed()


def add_mount(router: APIRouter, _: Path) -> None:
    router.mount("/x", PlainTextResponse("inside"))
    router._mark_routes_changed()


def add_mounted_application(router: APIRouter, _: Path) -> None:
    app = FastAPI()
    app.get("/")(read)
    router.mount("/x", app)
    router._mark_routes_changed()


def add_mounted_routes(router: APIRouter, _: Path) -> None:
    router.routes.append(Mount("/x", routes=[Route("/", plain)]))
    router._mark_routes_changed()


def add_host(router: APIRouter, _: Path) -> None:
    router.routes.append(Host("testserver", PlainTextResponse("inside")))
    router._mark_routes_changed()


def add_frontend(router: APIRouter, folder: Path) -> None:
    (folder / "index.html").write_text("inside")
    router.frontend("/x", directory=folder)


def add_nested_frontend(router: APIRouter, folder: Path) -> None:
    inner = APIRouter()
    router.include_router(inner)
    add_frontend(inner, folder)


WAYS = [
    add_api_route,
    add_nested_api_route,
    add_plain_route,
    add_nested_plain_route,
    append_plain_route,
    extend_plain_routes,
    increase_plain_routes,
    insert_plain_route,
    assign_plain_routes,
    assign_one_plain_route,
    add_mount,
    add_mounted_application,
    add_mounted_routes,
    add_host,
    add_frontend,
    add_nested_frontend,
]
MOMENTS = ["before", "after-inclusion", "after-the-schema", "while-serving"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_route_is_guarded_however_and_whenever_it_came(
    way: Callable[[APIRouter, Path], None], place: Place, moment: str, tmp_path: Path
) -> None:
    """FastAPI's routes and Starlette's, mounts and files, early and late, at any depth."""
    router = APIRouter()
    router.get("/first")(read)
    if moment == "before":
        way(router, tmp_path)
    app = place(router)
    client = TestClient(app)
    if moment == "after-inclusion":
        way(router, tmp_path)
    if moment == "after-the-schema":
        way(router, tmp_path)
        app.openapi()
    if moment == "while-serving":
        assert 401 == client.get("/first").status_code
        way(router, tmp_path)

    without = client.get("/x/")
    forged = client.get("/x/", headers=bearer(OTHER_SECRET))
    good = client.get("/x/", headers=bearer())

    assert [401, 401] == [without.status_code, forged.status_code]
    assert "inside" not in without.text + forged.text
    assert (200, True) == (good.status_code, "inside" in good.text)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("kind", ["fastapi", "starlette"])
def test_websockets_are_guarded_before_they_are_accepted(kind: str, place: Place) -> None:
    """The handshake is denied with 401 and a challenge."""
    router = APIRouter()
    if kind == "fastapi":
        router.websocket("/ws")(talk)
    else:
        router.routes.append(WebSocketRoute("/ws", talk))
    client = TestClient(place(router))

    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
        pytest.fail("it was accepted")

    assert (401, 'Bearer realm="api"') == (
        denied.value.status_code,
        denied.value.headers["www-authenticate"],
    )
    with client.websocket_connect("/ws", headers=bearer()) as websocket:
        assert "inside" == websocket.receive_text()


def test_plain_routes_of_the_application_itself_are_guarded() -> None:
    """`jwt_guard` on an application covers what was added to the application."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.add_route("/x", plain)
    app.mount("/m", PlainTextResponse("inside"))
    client = TestClient(app)

    assert [401, 401] == [client.get(path).status_code for path in ("/x", "/m/y")]
    assert [200, 200] == [client.get(path, headers=bearer()).status_code for path in ("/x", "/m/y")]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_the_pages_of_fastapi_itself_stay_open_below_a_guarded_application(path: str) -> None:
    """Swagger UI has to load before anybody can authorize in it."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])

    assert 200 == TestClient(app).get(path).status_code


def test_the_pages_of_another_application_do_not() -> None:
    """Its router is a router like any other; its documentation is part of it."""
    inner = FastAPI()
    app = FastAPI()
    app.include_router(protected_router(inner.router, settings=SETTINGS), prefix="/inner")

    assert 401 == TestClient(app).get("/inner/openapi.json").status_code


@pytest.mark.parametrize(
    "exclude",
    [pytest.param(["/x"], id="its-path"), pytest.param(["/x/*"], id="everything-below")],
)
def test_a_mount_can_be_excluded_as_a_whole(exclude: list[str]) -> None:
    """It is one route, with one door."""
    router = protected_router(settings=SETTINGS, exclude=exclude)
    router.mount("/x", PlainTextResponse("inside"))
    app = FastAPI()
    app.include_router(router)

    assert 200 == TestClient(app).get("/x/anything").status_code


def test_plain_routes_can_be_public() -> None:
    """By mark, by endpoint and by pattern, as any other."""
    marked = public(Marked())
    router = protected_router(settings=SETTINGS, prefix="/r", exclude=[plain, "/r/pattern"])
    router.routes.append(Route("/r/marked", marked))
    router.routes.append(Route("/r/endpoint", plain))
    router.routes.append(Route("/r/pattern", Marked()))
    router.routes.append(Route("/r/closed", Marked()))
    app = FastAPI()
    app.include_router(router)
    client = TestClient(app)

    statuses = {
        name: client.get(f"/r/{name}").status_code
        for name in ("marked", "endpoint", "pattern", "closed")
    }

    assert {"marked": 200, "endpoint": 200, "pattern": 200, "closed": 401} == statuses


class Marked:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("inside")(scope, receive, send)


def test_dependencies_in_a_mounted_application_go_by_the_settings_at_its_door() -> None:
    """The mounted application knows nothing of the guard, and its dependencies do."""
    inner = FastAPI()

    @inner.get("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    router = protected_router(settings=OTHER)
    router.mount("/inner", inner)
    app = FastAPI()
    app.include_router(router)

    answer = TestClient(app).get("/inner/me", headers=bearer(OTHER_SECRET, sub="bob"))

    assert "bob" == answer.json()


@pytest.mark.parametrize("kind", ["application", "router"])
def test_a_mounted_application_with_a_guard_of_its_own_decides_for_itself(kind: str) -> None:
    """The innermost guard is the one inside, and it leaves nothing open."""
    if kind == "application":
        inner: FastAPI | APIRouter = FastAPI(dependencies=[Depends(jwt_guard(OTHER))])
    else:
        inner = protected_router(settings=OTHER)
    inner.get("/x")(read)
    inner.add_route("/plain", plain)

    @inner.get("/open")
    @public
    async def opened() -> None: ...

    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.mount("/inner", inner)
    client = TestClient(app)

    for path in ("/inner/x", "/inner/plain"):
        assert [401, 401, 200] == [
            client.get(path, headers=headers).status_code
            for headers in ({}, bearer(), bearer(OTHER_SECRET))
        ]
    assert 200 == client.get("/inner/open").status_code


def test_a_frontend_of_a_mounted_router_is_guarded_by_its_own_guard(tmp_path: Path) -> None:
    """Where FastAPI's books name no route, every guard decides for itself."""
    inner = protected_router(settings=OTHER)
    add_frontend(inner, tmp_path)
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.mount("/inner", inner)
    client = TestClient(app)

    assert [401, 401, 200] == [
        client.get("/inner/x/", headers=headers).status_code
        for headers in ({}, bearer(), bearer(OTHER_SECRET))
    ]


def test_the_frontend_of_an_application_goes_by_the_applications_settings(tmp_path: Path) -> None:
    """The caller's own dependencies of it, too."""
    seen: list[str] = []

    async def note(user_id: Annotated[str, Depends(current_user_id)]) -> None:
        seen.append(user_id)

    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS)), Depends(note)])
    (tmp_path / "index.html").write_text("inside")
    app.frontend("/x", directory=tmp_path)

    answer = TestClient(app).get("/x/", headers=bearer())

    assert (200, ["alice"]) == (answer.status_code, seen)


class Homemade(BaseRoute):
    def matches(self, _: Scope) -> tuple[Match, Scope]:
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("inside")(scope, receive, send)


def test_a_route_of_a_kind_that_nobody_knows_is_refused_loudly() -> None:
    """What can be neither guarded nor wrapped must not be there."""
    router = APIRouter()
    router.routes.append(Homemade())

    with pytest.raises(ConfigurationError, match="Homemade cannot be guarded"):
        protected_router(router, settings=SETTINGS)


def test_an_application_without_a_guard_is_left_as_it_is() -> None:
    """Nothing of it is wrapped, not even once."""
    app = FastAPI()
    app.add_route("/x", plain)
    before = list(app.router.routes)

    TestClient(app).get("/x")

    assert type(app.router.routes) is list
    assert before == app.router.routes


def test_a_guarded_application_with_a_foreign_layer_outermost_is_closed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another package may have put one there before this one came."""

    def layered(self: FastAPI) -> ASGIApp:
        async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
            await self.router(scope, receive, send)

        return outermost

    monkeypatch.setattr(FastAPI, "openapi", FastAPI.openapi)
    monkeypatch.setattr(FastAPI, "build_middleware_stack", layered)
    extend_fastapi()
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.add_route("/x", plain)

    assert isinstance(app.build_middleware_stack(), MethodType)
    with TestClient(app) as client, pytest.raises(HTTPException) as refused:
        client.get("/x")

    assert 401 == refused.value.status_code


def test_a_router_that_was_guarded_once_serves_as_before_where_it_is_not() -> None:
    """Its plain routes are wrapped, and a wrapper without a guard over it changes nothing."""
    router = APIRouter()
    router.add_route("/x", plain)
    protected_router(router, settings=SETTINGS)
    app = FastAPI()
    app.include_router(router)

    assert "inside" == TestClient(app).get("/x").text


def test_a_plain_route_is_told_its_settings_exclusions() -> None:
    """`excluded_route_paths` reaches Starlette's routes as well."""
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/x"])
    app = FastAPI(dependencies=[Depends(jwt_guard(settings))])
    app.add_route("/x", plain)

    assert 200 == TestClient(app).get("/x").status_code


@pytest.mark.parametrize(
    ("route", "path"),
    [
        pytest.param(Route("/x", plain), "/x", id="route"),
        pytest.param(Mount("/m", PlainTextResponse("inside")), "/m/x", id="mount"),
    ],
)
def test_a_route_that_two_routers_share_is_wrapped_once(route: BaseRoute, path: str) -> None:
    """And guarded by whichever it is served through."""
    app = FastAPI()
    for prefix, settings in (("/a", SETTINGS), ("/b", OTHER)):
        router = APIRouter()
        router.routes.append(route)
        app.include_router(protected_router(router, settings=settings), prefix=prefix)
    client = TestClient(app)

    for prefix, secret, other in (("/a", SECRET, OTHER_SECRET), ("/b", OTHER_SECRET, SECRET)):
        assert [401, 401, 200] == [
            client.get(prefix + path, headers=headers).status_code
            for headers in ({}, bearer(other), bearer(secret))
        ]


def test_scopes_are_asked_of_a_frontend_too(tmp_path: Path) -> None:
    """Its route is unknown, and the guard's own scopes hold all the same."""
    app = FastAPI(dependencies=[Security(jwt_guard(SETTINGS), scopes=["files"])])
    (tmp_path / "index.html").write_text("inside")
    app.frontend("/x", directory=tmp_path)
    client = TestClient(app)

    assert [403, 200] == [
        client.get("/x/", headers=bearer(scope=scope)).status_code for scope in ("", "files")
    ]


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("outer", [[], [Depends(jwt_guard(SETTINGS))]], ids=["open", "guarded"])
def test_a_router_with_a_guard_of_its_own_is_closed_where_it_is_mounted(
    outer: list[params.Depends], depth: int
) -> None:
    """Its plain routes too, also below a mount of Starlette's."""
    inner = APIRouter(dependencies=[Depends(jwt_guard(OTHER))])
    inner.add_route("/plain", plain)
    inner.get("/x")(read)
    mount = Mount("/inner", inner)
    app = FastAPI(dependencies=outer)
    app.router.routes.append(Mount("/deep", routes=[mount]) if depth else mount)
    client = TestClient(app)

    for path in ("/deep/inner/plain", "/deep/inner/x") if depth else ("/inner/plain", "/inner/x"):
        assert [401, 401] == [
            client.get(path, headers=headers).status_code for headers in ({}, bearer())
        ]
        if not (depth and outer):
            assert 200 == client.get(path, headers=bearer(OTHER_SECRET)).status_code


def test_the_endpoint_of_a_wrapped_route_can_serve_elsewhere() -> None:
    """Its exclusions stay where they were."""
    first = Route("/open", plain)
    router = protected_router(settings=SETTINGS, exclude=["/open"])
    router.routes.append(first)
    router.routes.append(Route("/closed", first.endpoint))
    app = FastAPI()
    app.include_router(router)
    client = TestClient(app)

    assert (200, 401) == (client.get("/open").status_code, client.get("/closed").status_code)
