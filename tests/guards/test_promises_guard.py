"""`jwt_guard()` is a plain dependency: it covers what FastAPI runs dependencies for.

Where an application that is not protected has plain routes or mounts under the guard, the guard
refuses to serve as soon as it is asked once, and names `protect`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient
from starlette.routing import Mount, Route, WebSocketRoute

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    current_user_id,
    jwt_guard,
    protect,
    protected_router,
    require_scopes,
)
from tests.web.serving import OTHER, SETTINGS, bearer, frontend

from .asking import (
    FOREIGN,
    GOOD,
    LIVE,
    REFUSED,
    answers_of,
    ask,
    assert_closed,
    assert_guarded,
    guarded_by,
    including,
    knock,
    page,
    plain,
    read,
    talk,
)

Fill = Callable[[APIRouter], Any]


def guarding(settings: JWTSettings = SETTINGS) -> list[Any]:
    return [Depends(jwt_guard(settings))]


def over_application(fill: Fill) -> FastAPI:
    """`FastAPI(dependencies=[guard])`, and the routes are its own."""
    app = FastAPI(dependencies=guarding())
    fill(app.router)
    return app


def over_application_including(fill: Fill) -> FastAPI:
    """`FastAPI(dependencies=[guard])`, and the routes are in a router."""
    app, router = FastAPI(dependencies=guarding()), APIRouter()
    fill(router)
    app.include_router(router)
    return app


def over_router(fill: Fill) -> FastAPI:
    """`APIRouter(dependencies=[guard])`."""
    router = APIRouter(dependencies=guarding())
    fill(router)
    return including(router)


def over_inclusion(fill: Fill) -> FastAPI:
    """`include_router(router, dependencies=[guard])`."""
    router = APIRouter()
    fill(router)
    return including(router, dependencies=guarding())


def over_outer_router(fill: Fill) -> FastAPI:
    router, outer = APIRouter(), APIRouter(dependencies=guarding())
    fill(router)
    outer.include_router(router)
    return including(outer)


PLACES = [
    over_application,
    over_application_including,
    over_router,
    over_inclusion,
    over_outer_router,
]
places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
# Up to 0.136 FastAPI copies the routes of an included router: nothing tells which router a plain
# route came from, and so nothing tells whether the guard of one applies to it.
known_places = pytest.mark.parametrize(
    "place", PLACES if LIVE else PLACES[:2], ids=lambda place: place.__name__
)

PLAIN: dict[str, tuple[Fill, str]] = {
    "route": (lambda router: router.add_route("/x", plain), "/x"),
    "route-object": (lambda router: router.routes.append(Route("/x", plain)), "/x"),
    "mount": (lambda router: router.mount("/x", page()), "/x/y"),
    "mount-routes": (
        lambda router: router.routes.append(Mount("/x", routes=[Route("/y", plain)])),
        "/x/y",
    ),
}
plain_kinds = pytest.mark.parametrize("kind", list(PLAIN))


@places
def test_an_api_route_is_guarded(place: Callable[[Fill], FastAPI]) -> None:
    """401 without a token, 200 with a good one."""
    assert_guarded(place(lambda router: router.get("/first")(read)), "/first")


@places
def test_a_websocket_route_is_guarded(place: Callable[[Fill], FastAPI]) -> None:
    app = place(lambda router: router.websocket("/ws")(talk))

    assert [401, 401, 200] == answers_of(app, "/ws", by=knock)


@frontend
@places
def test_a_frontend_is_guarded(place: Callable[[Fill], FastAPI], tmp_path: Path) -> None:
    """FastAPI runs dependencies for it."""
    (tmp_path / "index.html").write_text("inside")

    app = place(lambda router: router.frontend("/x", directory=tmp_path))

    assert_guarded(app, "/x/")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
@pytest.mark.parametrize("asked", [True, False], ids=["after-a-request", "first"])
def test_the_pages_of_fastapi_are_no_plain_routes_to_refuse(path: str, *, asked: bool) -> None:
    """They stay open, and the guard does not complain of them."""
    client = TestClient(over_application(lambda router: router.get("/first")(read)))
    if asked:
        assert_guarded(client, "/first")

    assert 200 == client.get(path).status_code


@known_places
@plain_kinds
@pytest.mark.parametrize("moment", ["before", "after-inclusion", "serving"])
def test_a_guard_refuses_to_serve_beside_a_plain_route_and_names_protect(
    moment: str, kind: str, place: Callable[[Fill], FastAPI]
) -> None:
    """From the first request on that the guard is asked for, whenever the plain route came."""
    add, path = PLAIN[kind]
    routers: list[APIRouter] = []

    def fill(router: APIRouter) -> None:
        router.get("/first")(read)
        routers.append(router)
        if moment == "before":
            add(router)

    client = TestClient(place(fill))
    if moment == "serving":
        assert ask(client, "/first", GOOD) == 200
    if moment != "before":
        add(routers[0])
        routers[0].get("/again")(read)  # so that FastAPI reads the routes again

    copied = moment == "before" and kind.startswith("route")
    if not (LIVE or place is over_application or copied):
        assert ask(client, path) == 404  # FastAPI did not copy it
        return
    if moment != "serving":
        for headers in ({}, FOREIGN, GOOD):
            with pytest.raises(ConfigurationError, match="protect"):
                client.get("/first", headers=headers)
    for asked in (path, "/first"):
        for headers in ({}, FOREIGN):
            assert ask(client, asked, headers) in (401, REFUSED)


def test_a_plain_websocket_is_not_served_once_the_guard_was_asked() -> None:
    """FastAPI runs no dependencies for it either."""

    def fill(router: APIRouter) -> None:
        router.get("/first")(read)
        router.routes.append(WebSocketRoute("/ws", talk))

    client = TestClient(over_application(fill))
    assert ask(client, "/first") == REFUSED

    assert knock(client, "/ws") in (401, REFUSED)


@plain_kinds
def test_a_plain_route_beside_the_guard_is_nothing_to_complain_of(kind: str) -> None:
    """What the guard does not apply to is the application's own business."""
    add, path = PLAIN[kind]
    router = APIRouter(dependencies=guarding())
    router.get("/first")(read)
    app = including(router)
    add(app.router)
    client = TestClient(app)

    assert_guarded(client, "/first")
    assert [200, 200, 200] == answers_of(client, path)


@plain_kinds
@pytest.mark.parametrize("by", ["protect", "protected_router"])
def test_a_guarded_application_serves_what_a_plain_guard_in_it_cannot_cover(
    by: str, kind: str
) -> None:
    """It is what the refusal names: all of it is behind the guard, or refused with a sentence."""
    add, path = PLAIN[kind]

    def build() -> FastAPI:
        router = APIRouter(dependencies=guarding())
        router.get("/first")(read)
        add(router)
        return guarded_by(by, router)

    assert_closed(build, "/first")
    assert_closed(build, path, served=LIVE or kind.startswith("route"))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("outer", [False, True], ids=["open", "guarded"])
@pytest.mark.parametrize("kind", ["protected_router", "jwt_guard"])
def test_a_router_with_a_guard_of_its_own_is_closed_where_it_is_mounted(
    kind: str, *, outer: bool, deep: bool
) -> None:
    """Its plain routes too, also below a mount of Starlette's, or they are refused loudly."""
    inner = APIRouter(dependencies=guarding(OTHER))
    if kind == "protected_router":
        inner = protected_router(settings=OTHER)
    inner.get("/x")(read)
    inner.add_route("/plain", plain)
    mount = Mount("/inner", inner)
    app = protect(FastAPI(), SETTINGS) if outer else FastAPI()
    app.router.routes.append(Mount("/deep", routes=[mount]) if deep else mount)
    client = TestClient(app)

    for path in ("/x", "/plain"):
        path = f"/deep/inner{path}" if deep else f"/inner{path}"  # noqa: PLW2901
        if kind == "jwt_guard" and not outer:
            with pytest.raises(ConfigurationError, match=r"protect\(app\)"):
                client.get(path, headers=FOREIGN)
        else:
            assert [401, 401] == [ask(client, path, it) for it in ({}, GOOD)]
            assert (deep and outer) or 200 == ask(client, path, FOREIGN)


@frontend
def test_a_frontend_of_a_mounted_router_is_guarded_by_its_own_guard(tmp_path: Path) -> None:
    """The outer one leaves the decision to it."""
    (tmp_path / "index.html").write_text("inside")
    inner: Any = protected_router(settings=OTHER)
    inner.frontend("/x", directory=tmp_path)
    app = protect(FastAPI(), SETTINGS)
    app.mount("/inner", inner)

    assert_guarded(app, "/inner/x/", good=FOREIGN, bad=GOOD)


@frontend
@pytest.mark.parametrize("how", ["protect", "jwt_guard"])
def test_the_frontend_of_an_application_goes_by_the_applications_settings(
    how: str, tmp_path: Path
) -> None:
    """The caller's own dependencies of it, too, and scopes that are asked of the guard."""
    seen: list[str] = []

    async def note(user_id: Annotated[str, Depends(current_user_id)]) -> None:
        seen.append(user_id)

    (tmp_path / "index.html").write_text("inside")
    if how == "protect":
        asked = [Depends(require_scopes("files")), Depends(note)]
        app: Any = protect(FastAPI(), SETTINGS, dependencies=asked)
    else:
        guard = Security(jwt_guard(SETTINGS), scopes=["files"])
        app = FastAPI(dependencies=[guard, Depends(note)])
    app.frontend("/x", directory=tmp_path)

    assert [403, 200] == [ask(app, "/x/", it) for it in (GOOD, bearer(scope="files"))]
    assert ["alice"] == seen


def test_a_guard_over_another_router_does_not_open_this_one() -> None:
    """Two guards, two settings, side by side."""
    app = FastAPI()
    for prefix, settings in (("/a", SETTINGS), ("/b", OTHER)):
        router = APIRouter(dependencies=guarding(settings))
        router.get("/x")(read)
        app.include_router(router, prefix=prefix)

    assert_guarded(app, "/a/x")
    assert_guarded(app, "/b/x", good=FOREIGN, bad=GOOD)


def test_the_guard_of_a_route_is_a_guard() -> None:
    """It stands in the dependencies of one route alone."""
    app = FastAPI()
    app.get("/x", dependencies=guarding())(read)
    app.add_route("/plain", plain)

    assert_guarded(app, "/x")
    assert 200 == ask(app, "/plain")


def test_a_guard_as_a_parameter_is_a_guard() -> None:
    """`Annotated[None, Depends(guard)]`."""
    guard = jwt_guard(SETTINGS)
    app = FastAPI()

    @app.get("/x")
    async def endpoint(_: Annotated[None, Depends(guard)]) -> str:
        return "inside"

    assert_guarded(app, "/x")
