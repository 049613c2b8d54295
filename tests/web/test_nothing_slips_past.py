"""Every route of a guarded router is guarded."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security, WebSocket
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
    protect,
    protected_router,
    public,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.pairing import pairwise
from tests.web.serving import (
    LIVE,
    OTHER,
    SETTINGS,
    bearer,
    frontend,
    live_mounts,
)

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


def below_a_protected_application(router: APIRouter) -> FastAPI:
    app = protect(FastAPI(), SETTINGS)
    app.include_router(router)
    return app


def below_an_application_protected_later(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    return protect(app, SETTINGS)


def below_a_protected_inclusion(router: APIRouter) -> FastAPI:
    outer = protected_router(settings=SETTINGS)
    outer.include_router(router)
    app = FastAPI()
    app.include_router(outer)
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


#: Where everything is covered, what FastAPI runs no dependencies for too.
PLACES: list[Place] = [
    below_protected_router,
    below_two_protected_routers,
    below_a_protected_application,
    below_an_application_protected_later,
    below_a_protected_inclusion,
    mounted_as_it_is,
]
#: Where the guard is one plain dependency.
PLAIN_GUARDS: list[Place] = [
    below_a_guarded_application,
    below_a_guarded_inclusion,
    below_a_guarded_router,
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


def notice(router: APIRouter) -> None:
    """Let FastAPI see what was put into the list of routes by hand: it looks when one is added."""
    router.get("/noticed")(read)


def append_plain_route(router: APIRouter, _: Path) -> None:
    router.routes.append(Route("/x", plain))
    notice(router)


def extend_plain_routes(router: APIRouter, _: Path) -> None:
    router.routes.extend([Route("/x", plain)])
    notice(router)


def increase_plain_routes(router: APIRouter, _: Path) -> None:
    router.routes += [Route("/x", plain)]
    notice(router)


def insert_plain_route(router: APIRouter, _: Path) -> None:
    router.routes.insert(0, Route("/x", plain))
    notice(router)


def assign_plain_routes(router: APIRouter, _: Path) -> None:
    router.routes[:] = [Route("/x", plain), *router.routes]
    notice(router)


def assign_one_plain_route(router: APIRouter, _: Path) -> None:
    router.add_route("/y", plain)
    router.routes[-1] = Route("/x", plain)
    notice(router)


def add_mount(router: APIRouter, _: Path) -> None:
    router.mount("/x", PlainTextResponse("inside"))
    notice(router)


def add_mounted_application(router: APIRouter, _: Path) -> None:
    app = FastAPI()
    app.get("/")(read)
    router.mount("/x", app)
    notice(router)


def add_mounted_routes(router: APIRouter, _: Path) -> None:
    router.routes.append(Mount("/x", routes=[Route("/", plain)]))
    notice(router)


def add_host(router: APIRouter, _: Path) -> None:
    router.routes.append(Host("testserver", PlainTextResponse("inside")))
    notice(router)


def add_frontend(router: APIRouter, folder: Path) -> None:
    (folder / "index.html").write_text("inside")
    router.frontend("/x", directory=folder)


def add_nested_frontend(router: APIRouter, folder: Path) -> None:
    inner = APIRouter()
    router.include_router(inner)
    add_frontend(inner, folder)


Way = Callable[[APIRouter, Path], None]

#: What FastAPI runs dependencies for.
ITS_OWN: list[Any] = [
    add_api_route,
    add_nested_api_route,
    pytest.param(add_frontend, marks=frontend),
    pytest.param(add_nested_frontend, marks=frontend),
]
#: What it runs none for.
STARLETTES: list[Way] = [
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
]
#: What an inclusion copies up to FastAPI 0.136, if it is there before.
COPIED: list[Way] = [
    add_api_route,
    add_plain_route,
    append_plain_route,
    extend_plain_routes,
    increase_plain_routes,
    insert_plain_route,
    assign_plain_routes,
    assign_one_plain_route,
]
MOMENTS = ["before", "after-inclusion", "after-the-schema", "while-serving"]


def client_at(
    moment: str, way: Way, place: Place, folder: Path, headers: dict[str, str] | None = None
) -> TestClient:
    """A client of an application to which the route came at that moment."""
    if not LIVE and way is add_host and moment == "before":
        pytest.skip("up to 0.136 `include_router` fails for a route that has no path")
    router = APIRouter()
    router.get("/first")(read)
    if moment == "before":
        way(router, folder)
    app = place(router)
    client = TestClient(app)
    if moment == "after-inclusion":
        way(router, folder)
    if moment == "after-the-schema":
        way(router, folder)
        app.openapi()
    if moment == "while-serving":
        expected = 401 if headers is None else 200
        assert expected == client.get("/first", headers=headers).status_code
        way(router, folder)
    return client


def is_served(way: Way, moment: str) -> bool:
    """Whether FastAPI serves what came to an included router in that way at that moment."""
    return LIVE or (moment == "before" and way in COPIED)


def assert_guarded(client: TestClient, path: str, *, served: bool = True) -> None:
    """Closed without a token and with another's, open with a good one; 404 if it is not served."""
    without = client.get(path)
    forged = client.get(path, headers=bearer(OTHER_SECRET))
    good = client.get(path, headers=bearer())

    if not served:
        assert [404] * 3 == [answer.status_code for answer in (without, forged, good)]
        return
    assert [401, 401] == [without.status_code, forged.status_code]
    assert "inside" not in without.text + forged.text
    assert (200, True) == (good.status_code, "inside" in good.text)


@pairwise(way=[*ITS_OWN, *STARLETTES], place=PLACES, moment=MOMENTS)
def test_every_route_is_guarded_however_and_whenever_it_came(
    way: Way, place: Place, moment: str, tmp_path: Path
) -> None:
    """FastAPI's routes and Starlette's, mounts and files, early and late, at any depth."""
    client = client_at(moment, way, place, tmp_path)

    assert_guarded(client, "/x/", served=is_served(way, moment))


@pairwise(way=ITS_OWN, place=PLAIN_GUARDS, moment=MOMENTS)
def test_a_plain_guard_covers_what_fastapi_runs_dependencies_for(
    way: Way, place: Place, moment: str, tmp_path: Path
) -> None:
    """`jwt_guard` is one dependency, and FastAPI runs it."""
    client = client_at(moment, way, place, tmp_path)

    assert_guarded(client, "/x/", served=is_served(way, moment))


@pairwise(way=STARLETTES, place=PLAIN_GUARDS, moment=MOMENTS)
def test_a_plain_guard_refuses_loudly_what_fastapi_does_not_ask_it_for(
    way: Way, place: Place, moment: str, tmp_path: Path
) -> None:
    """From the first request on that it is asked for, nothing is served, and `protect` is named."""
    if not LIVE and moment == "before" and place is not below_a_guarded_application:
        pytest.skip("up to 0.136 nothing tells which router a copied route came from")
    client = client_at(moment, way, place, tmp_path, bearer())
    if not is_served(way, moment):
        assert_guarded(client, "/first")
        assert_guarded(client, "/x/", served=False)
        return

    if moment != "while-serving":
        with pytest.raises(ConfigurationError, match=r"protect\(app\)"):
            client.get("/first", headers=bearer())
    for path in ("/x/", "/x", "/first"):
        for headers in ({}, bearer()):
            with pytest.raises(ConfigurationError, match=r"protect\(app\)"):
                client.get(path, headers=headers)


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
    """`protect` covers what was added to the application."""
    app = protect(FastAPI(), SETTINGS)
    app.add_route("/x", plain)
    app.mount("/m", PlainTextResponse("inside"))
    client = TestClient(app)

    assert [401, 401] == [client.get(path).status_code for path in ("/x", "/m/y")]
    assert [200, 200] == [client.get(path, headers=bearer()).status_code for path in ("/x", "/m/y")]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
@pytest.mark.parametrize("how", ["protect", "jwt_guard"])
def test_the_pages_of_fastapi_itself_stay_open_in_a_guarded_application(
    how: str, path: str
) -> None:
    """Swagger UI has to load before a user can authorize in it."""
    if how == "protect":
        app = protect(FastAPI(), SETTINGS)
    else:
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/x")(read)
    client = TestClient(app)

    assert [200, 401, 200] == [client.get(it).status_code for it in (path, "/x", path)]


def test_the_pages_of_another_application_do_not() -> None:
    """Its router is a router like any other; its documentation is part of it."""
    inner = FastAPI()
    app = FastAPI()
    app.include_router(protected_router(inner.router, settings=SETTINGS), prefix="/inner")

    assert 401 == TestClient(app).get("/inner/openapi.json").status_code


@live_mounts
@pytest.mark.parametrize(
    "exclude",
    [pytest.param(["/x"], id="its-path"), pytest.param(["/x/*"], id="everything-below")],
)
def test_a_mount_can_be_excluded_as_a_whole(exclude: list[str]) -> None:
    """It is one route."""
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


@live_mounts
def test_dependencies_in_a_mounted_application_go_by_the_settings_of_the_guard_before_it() -> None:
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
        inner: FastAPI | APIRouter = protect(FastAPI(), OTHER)
    else:
        inner = protected_router(settings=OTHER)
    inner.get("/x")(read)
    inner.add_route("/plain", plain)

    @inner.get("/open")
    @public
    async def opened() -> None: ...

    app = protect(FastAPI(), SETTINGS)
    app.mount("/inner", inner)
    client = TestClient(app)

    for path in ("/inner/x", "/inner/plain"):
        assert [401, 401, 200] == [
            client.get(path, headers=headers).status_code
            for headers in ({}, bearer(), bearer(OTHER_SECRET))
        ]
    assert 200 == client.get("/inner/open").status_code


@frontend
def test_a_frontend_of_a_mounted_router_is_guarded_by_its_own_guard(tmp_path: Path) -> None:
    """The outer one leaves the decision to it."""
    inner = protected_router(settings=OTHER)
    add_frontend(inner, tmp_path)
    app = protect(FastAPI(), SETTINGS)
    app.mount("/inner", inner)
    client = TestClient(app)

    assert [401, 401, 200] == [
        client.get("/inner/x/", headers=headers).status_code
        for headers in ({}, bearer(), bearer(OTHER_SECRET))
    ]


@frontend
@pytest.mark.parametrize("how", ["protect", "jwt_guard"])
def test_the_frontend_of_an_application_goes_by_the_applications_settings(
    how: str, tmp_path: Path
) -> None:
    """The caller's own dependencies of it, too."""
    seen: list[str] = []

    async def note(user_id: Annotated[str, Depends(current_user_id)]) -> None:
        seen.append(user_id)

    if how == "protect":
        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(note)])
    else:
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


@pytest.mark.skipif(
    not LIVE, reason="up to 0.136 `include_router` fails for a route that has no path"
)
def test_a_route_of_an_unknown_kind_is_refused_loudly() -> None:
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


class Layered(FastAPI):
    """An application that builds its own middleware, as another package may have it do."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put one layer around the router."""

        async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
            await self.router(scope, receive, send)

        return outermost


def test_an_application_with_middleware_of_its_own_making_is_closed_too() -> None:
    """The guard is inside of all middleware, whichever code builds it."""
    app = protect(Layered(), SETTINGS)
    app.add_route("/x", plain)

    with TestClient(app) as client:
        with pytest.raises(HTTPException) as refused:
            client.get("/x")
        assert 200 == client.get("/x", headers=bearer()).status_code

    assert 401 == refused.value.status_code


def test_an_application_that_served_before_is_closed_when_it_is_protected() -> None:
    """Its middleware is built already."""
    app = FastAPI()
    app.add_route("/x", plain)
    client = TestClient(app)
    assert 200 == client.get("/x").status_code

    protect(app, SETTINGS)

    assert_guarded(client, "/x")


def test_a_router_that_was_guarded_once_serves_as_before_where_it_is_not() -> None:
    """Its plain routes are wrapped, and a wrapper to which no guard applies changes nothing."""
    router = APIRouter()
    router.add_route("/x", plain)
    protected_router(router, settings=SETTINGS)
    app = FastAPI()
    app.include_router(router)

    assert "inside" == TestClient(app).get("/x").text


def test_a_plain_route_is_told_its_settings_exclusions() -> None:
    """`excluded_route_paths` reaches Starlette's routes as well."""
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/x"])
    app = protect(FastAPI(), settings)
    app.add_route("/x", plain)
    app.add_route("/closed", plain)
    client = TestClient(app)

    assert [200, 401] == [client.get(path).status_code for path in ("/x", "/closed")]


@pytest.mark.parametrize(
    ("route", "path"),
    [
        pytest.param(Route("/x", plain), "/x", id="route"),
        pytest.param(
            Mount("/m", PlainTextResponse("inside")), "/m/x", id="mount", marks=live_mounts
        ),
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


@frontend
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
@pytest.mark.parametrize("outer", [False, True], ids=["open", "guarded"])
@pytest.mark.parametrize("kind", ["protected_router", "jwt_guard"])
def test_a_router_with_a_guard_of_its_own_is_closed_where_it_is_mounted(
    kind: str, depth: int, *, outer: bool
) -> None:
    """Its plain routes too, also below a mount of Starlette's.

    In an application without `protect`, a router with a plain guard has none.
    """
    if kind == "jwt_guard":
        inner = APIRouter(dependencies=[Depends(jwt_guard(OTHER))])
    else:
        inner = protected_router(settings=OTHER)
    if outer or kind == "protected_router":
        inner.add_route("/plain", plain)
    inner.get("/x")(read)
    mount = Mount("/inner", inner)
    app = protect(FastAPI(), SETTINGS) if outer else FastAPI()
    app.router.routes.append(Mount("/deep", routes=[mount]) if depth else mount)
    client = TestClient(app)

    paths = ("/x", "/plain") if outer or kind == "protected_router" else ("/x",)
    for path in (f"/deep/inner{path}" if depth else f"/inner{path}" for path in paths):
        assert [401, 401] == [
            client.get(path, headers=headers).status_code for headers in ({}, bearer())
        ]
        if not (depth and outer):
            assert 200 == client.get(path, headers=bearer(OTHER_SECRET)).status_code


def test_a_mounted_router_with_a_plain_guard_over_plain_routes_is_refused_loudly() -> None:
    """In an application without `protect`, FastAPI does not ask it for them."""
    inner = APIRouter(dependencies=[Depends(jwt_guard(OTHER))])
    inner.get("/x")(read)
    inner.add_route("/plain", plain)
    app = FastAPI()
    app.mount("/inner", inner)
    client = TestClient(app)

    for path in ("/inner/x", "/inner/plain"):
        with pytest.raises(ConfigurationError, match=r"protect\(app\)"):
            client.get(path, headers=bearer(OTHER_SECRET))


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
