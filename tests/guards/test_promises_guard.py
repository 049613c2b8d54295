"""`jwt_guard()` is a plain dependency: it covers what FastAPI runs dependencies for.

Where an application that is not protected has plain routes or mounts under the guard, the guard
refuses to serve as soon as it is asked once, and names `protect`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount, Route, WebSocketRoute

from jwt_deps import ConfigurationError, JWTSettings, jwt_guard, protect, protected_router
from jwt_deps.audit import Verdict, audit
from tests.web.serving import OTHER, SETTINGS

from .asking import (
    FOREIGN,
    GOOD,
    HAS_FRONTEND,
    LIVE,
    REFUSED,
    answers_of,
    ask,
    assert_closed,
    assert_guarded,
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
    """A router with the guard that includes the router."""
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
    """Before it is accepted."""
    app = place(lambda router: router.websocket("/ws")(talk))

    assert [401, 401, 200] == answers_of(app, "/ws", by=knock)


if HAS_FRONTEND:

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
def test_a_guard_refuses_to_serve_beside_a_plain_route_and_names_protect(
    kind: str, place: Callable[[Fill], FastAPI]
) -> None:
    """A developer meets it with the first request that the guard is asked for."""
    add, path = PLAIN[kind]

    def fill(router: APIRouter) -> None:
        router.get("/first")(read)
        add(router)

    client = TestClient(place(fill))
    if not (LIVE or place is over_application or kind.startswith("route")):
        assert ask(client, path) == 404  # FastAPI did not copy the mount
        return

    for headers in ({}, FOREIGN, GOOD):
        with pytest.raises(ConfigurationError, match="protect"):
            client.get("/first", headers=headers)


@known_places
@plain_kinds
def test_a_plain_route_is_not_served_once_the_guard_was_asked(
    kind: str, place: Callable[[Fill], FastAPI]
) -> None:
    """From then on it needs a token, or is refused altogether."""
    add, path = PLAIN[kind]

    def fill(router: APIRouter) -> None:
        router.get("/first")(read)
        add(router)

    client = TestClient(place(fill))
    ask(client, "/first")

    for headers in ({}, FOREIGN):
        assert ask(client, path, headers) in (401, 404, REFUSED)


def test_a_plain_websocket_is_not_served_once_the_guard_was_asked() -> None:
    """FastAPI runs no dependencies for it either."""

    def fill(router: APIRouter) -> None:
        router.get("/first")(read)
        router.routes.append(WebSocketRoute("/ws", talk))

    client = TestClient(over_application(fill))
    assert ask(client, "/first") == REFUSED

    assert knock(client, "/ws") in (401, REFUSED)


@places
@plain_kinds
def test_the_audit_does_not_call_a_plain_route_under_a_plain_guard_guarded(
    kind: str, place: Callable[[Fill], FastAPI]
) -> None:
    """It is unguarded, or a problem, or the audit cannot be made: it sees what requests meet."""
    add, path = PLAIN[kind]

    def fill(router: APIRouter) -> None:
        router.get("/first")(read)
        add(router)

    app = place(fill)
    if ask(app, path) == 404:
        return  # FastAPI did not copy the mount

    try:
        found = audit(app)
    except ConfigurationError:
        return

    assert not found.ok


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
def test_a_protected_application_serves_what_a_plain_guard_in_it_cannot_cover(kind: str) -> None:
    """`protect` is the answer that the refusal names."""
    add, path = PLAIN[kind]
    router = APIRouter(dependencies=guarding())
    router.get("/first")(read)
    add(router)
    app = protect(including(router), SETTINGS)

    assert_guarded(app, "/first")
    assert_guarded(app, path, served=LIVE or kind.startswith("route"))


@plain_kinds
def test_a_protected_router_serves_what_a_plain_guard_in_it_cannot_cover(kind: str) -> None:
    """All of it is behind the protected router, or it is refused with a sentence."""
    add, path = PLAIN[kind]

    def build() -> FastAPI:
        router = APIRouter(dependencies=guarding())
        router.get("/first")(read)
        add(router)
        return including(protected_router(router, settings=SETTINGS))

    assert_closed(build, "/first")
    assert_closed(build, path, served=LIVE or kind.startswith("route"))


def test_a_guard_over_another_router_does_not_open_this_one() -> None:
    """Two guards, two settings, side by side."""
    app = FastAPI()
    for prefix, settings in (("/a", SETTINGS), ("/b", OTHER)):
        router = APIRouter(dependencies=guarding(settings))
        router.get("/x")(read)
        app.include_router(router, prefix=prefix)

    assert_guarded(app, "/a/x")
    assert_guarded(app, "/b/x", good=FOREIGN, bad=GOOD)


def test_a_guard_and_a_guard_inside_it_ask_the_innermost() -> None:
    """A token for the outer settings does not suffice, and none for them is needed."""
    router = APIRouter(dependencies=guarding(OTHER))
    router.get("/x")(read)
    app = FastAPI(dependencies=guarding(SETTINGS))
    app.include_router(router)

    assert_guarded(app, "/x", good=FOREIGN, bad=GOOD)


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


def test_an_api_route_is_judged_guarded_by_the_audit() -> None:
    """Where the guard covers everything, the audit says so."""
    app = over_application(lambda router: router.get("/first")(read))

    found = audit(app)

    assert [Verdict.GUARDED] == [route.verdict for route in found.routes if route.path == "/first"]
    assert found.ok, str(found)
