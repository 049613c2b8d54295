"""Attack: take routes from an open router and put them, by hand, where a guard applies.

A route object of FastAPI brings the dependencies that it was made with, and so does the object
that an inclusion is: neither has those of the router that it is moved to.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi.routing
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute

from jwt_deps import ConfigurationError, jwt_guard, protect, protected_router
from jwt_deps.audit import Verdict, audit
from tests.pairing import pairwise
from tests.web.serving import SETTINGS, live_routes

from .asking import (
    FOREIGN,
    GOOD,
    HAS_FRONTEND,
    INSIDE,
    LIVE,
    REFUSED,
    Answer,
    Homemade,
    answers_of,
    ask,
    assert_closed,
    including,
    knock,
    page,
    plain,
    read,
    talk,
)

# ---- what is moved ------------------------------------------------------------------------------


def an_api_route() -> APIRouter:
    """Make a router with a route of its own."""
    router = APIRouter()
    router.get("/x")(read)
    return router


def an_inclusion() -> APIRouter:
    """Make a router that includes a router."""
    router = APIRouter()
    router.include_router(an_api_route())
    return router


def an_inclusion_of_an_inclusion() -> APIRouter:
    """Make a router that includes a router that includes a router."""
    router = APIRouter()
    router.include_router(an_inclusion())
    return router


def a_plain_route() -> APIRouter:
    """Make a router with a route of Starlette's."""
    router = APIRouter()
    router.add_route("/x", plain)
    return router


def an_included_plain_route() -> APIRouter:
    """Make a router that includes one with a route of Starlette's."""
    router = APIRouter()
    router.include_router(a_plain_route())
    return router


def a_mount() -> APIRouter:
    """Make a router with a mount at `/x`, that answers `/x` as well."""
    router = APIRouter()
    router.mount("/x", Router(routes=[Route("/", plain)], redirect_slashes=True))
    return router


def an_open_route_class() -> APIRouter:
    """Make a router whose route was made without a router."""
    router = APIRouter()
    router.routes.append(APIRoute("/x", read))
    return router


OTHERS = [
    an_api_route,
    an_inclusion,
    an_inclusion_of_an_inclusion,
    a_plain_route,
    an_included_plain_route,
    a_mount,
    an_open_route_class,
]
others = pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.__name__)


def websockets() -> APIRouter:
    """Make a router with a WebSocket."""
    router = APIRouter()
    router.websocket("/x")(talk)
    return router


def included_websockets() -> APIRouter:
    """Make a router that includes one with a WebSocket."""
    router = APIRouter()
    router.include_router(websockets())
    return router


def plain_websockets() -> APIRouter:
    """Make a router with a WebSocket of Starlette's."""
    router = APIRouter()
    router.routes.append(WebSocketRoute("/x", talk))
    return router


def websocket_object() -> APIRouter:
    """Make a router with a WebSocket route that was made without a router."""
    router = APIRouter()
    router.routes.append(APIWebSocketRoute("/x", talk))
    return router


# ---- how it is moved ----------------------------------------------------------------------------


def by_extend(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes.extend(...)`."""
    router.routes.extend(routes)


def by_append(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes.append(...)`, one by one."""
    for route in routes:
        router.routes.append(route)


def by_insert(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes.insert(0, ...)`."""
    for route in routes:
        router.routes.insert(0, route)


def by_addition(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes += ...`."""
    router.routes += routes


def by_list_addition(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes = routes + ...`."""
    router.routes = [*router.routes, *routes]


def by_slice(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes[0:0] = ...`."""
    router.routes[0:0] = routes


def by_whole_slice(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes[:] = ...`."""
    router.routes[:] = routes


def by_assignment(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`router.routes = ...`."""
    router.routes = list(routes)


def by_shared_list(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`router.routes = other.routes`, the very list."""
    router.routes = routes


def by_item(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`routes[-1] = ...`, in the place of another one."""
    for route in routes:
        router.add_route("/y", plain)
        router.routes[-1] = route


def by_list_methods(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`list.extend(routes, ...)`, past any method of the object's own."""
    list.extend(router.routes, routes)


WAYS: list[Callable[[APIRouter, list[BaseRoute]], None]] = [
    by_extend,
    by_append,
    by_insert,
    by_addition,
    by_list_addition,
    by_slice,
    by_whole_slice,
    by_assignment,
    by_shared_list,
    by_item,
    by_list_methods,
]

# ---- where it is moved --------------------------------------------------------------------------

Move = Callable[[APIRouter], None]


def to_protected_router(move: Move) -> FastAPI:
    """Into the protected router itself."""
    router = protected_router(settings=SETTINGS)
    move(router)
    return including(router)


def to_protected_router_after_inclusion(move: Move) -> FastAPI:
    """Into the protected router, which is included already."""
    router = protected_router(settings=SETTINGS)
    app = including(router)
    move(router)
    router.add_route("/again", plain)  # so that FastAPI reads the routes again
    return app


def to_protected_router_while_serving(move: Move) -> FastAPI:
    """Into the protected router, of which a route was asked for."""
    router = protected_router(settings=SETTINGS)
    router.get("/first")(read)
    app = including(router)
    assert ask(app, "/first") == 401
    move(router)
    router.add_route("/again", plain)
    return app


def to_router_in_protected_router(move: Move) -> FastAPI:
    """Into a router that is given to a protected one."""
    router = APIRouter()
    move(router)
    return including(protected_router(router, settings=SETTINGS))


def to_router_in_protected_router_late(move: Move) -> FastAPI:
    """Into a router that was given to a protected one."""
    router = APIRouter()
    app = including(protected_router(router, settings=SETTINGS))
    move(router)
    router.add_route("/again", plain)
    return app


def to_router_deep_in_protected_router(move: Move) -> FastAPI:
    """Into a router two inclusions below a protected one."""
    router, middle, outer = APIRouter(), APIRouter(), APIRouter()
    middle.include_router(router)
    outer.include_router(middle)
    app = including(protected_router(outer, settings=SETTINGS))
    move(router)
    router.add_route("/again", plain)
    return app


def to_protected_router_that_is_mounted(move: Move) -> FastAPI:
    """Into a protected router that is mounted at the root."""
    router = protected_router(settings=SETTINGS)
    app = FastAPI(openapi_url=None)
    app.mount("", router)
    move(router)
    return app


def to_router_mounted_in_protected_router(move: Move) -> FastAPI:
    """Into a router that is mounted in a protected one, which is mounted."""
    router, outer = APIRouter(), protected_router(settings=SETTINGS)
    outer.mount("", router)
    app = FastAPI(openapi_url=None)
    app.mount("", outer)
    move(router)
    return app


def to_router_behind_a_host(move: Move) -> FastAPI:
    """Into a router behind a host of a protected application."""
    router, app = APIRouter(), protect(FastAPI(openapi_url=None), SETTINGS)
    app.router.routes.append(Host("testserver", router))
    move(router)
    return app


def to_protected_application(move: Move) -> FastAPI:
    """Into the router of a protected application."""
    app = protect(FastAPI(), SETTINGS)
    move(app.router)
    return app


def to_application_protected_later(move: Move) -> FastAPI:
    """Into the router of an application that is protected then."""
    app = FastAPI()
    move(app.router)
    return protect(app, SETTINGS)


def to_protected_application_while_serving(move: Move) -> FastAPI:
    """Into the router of a protected application, of which a route was asked for."""
    app = protect(FastAPI(), SETTINGS)
    app.get("/first")(read)
    assert ask(app, "/first") == 401
    move(app.router)
    return app


PLACES = [
    to_protected_router,
    to_protected_router_after_inclusion,
    to_protected_router_while_serving,
    to_router_in_protected_router,
    to_router_in_protected_router_late,
    to_router_deep_in_protected_router,
    to_protected_router_that_is_mounted,
    to_router_mounted_in_protected_router,
    to_router_behind_a_host,
    to_protected_application,
    to_application_protected_later,
    to_protected_application_while_serving,
]
NOT_COPIED = {
    to_protected_router_that_is_mounted,
    to_router_mounted_in_protected_router,
    to_router_behind_a_host,
    to_protected_application,
    to_application_protected_later,
    to_protected_application_while_serving,
}
LATE = {
    to_protected_router_after_inclusion,
    to_protected_router_while_serving,
    to_router_in_protected_router_late,
    to_router_deep_in_protected_router,
}
places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)


def _served(place: Callable[..., Any], other: Callable[[], APIRouter]) -> bool:
    copied = place not in LATE and other is not a_mount
    return LIVE or place in NOT_COPIED or copied


@pairwise(way=WAYS, other=OTHERS, place=PLACES)
def test_routes_moved_by_hand_are_guarded_or_refused(
    way: Callable[[APIRouter, list[BaseRoute]], None],
    other: Callable[[], APIRouter],
    place: Callable[[Move], FastAPI],
) -> None:
    """401 without a token and with a foreign one, wherever the routes come from."""
    assert_closed(
        lambda: place(lambda router: way(router, other().routes)),
        "/x",
        served=_served(place, other),
    )


@pairwise(
    way=[by_extend, by_slice, by_assignment],
    other=[websockets, included_websockets, plain_websockets, websocket_object],
    place=PLACES,
)
def test_websockets_moved_by_hand_are_guarded_or_refused(
    way: Callable[[APIRouter, list[BaseRoute]], None],
    other: Callable[[], APIRouter],
    place: Callable[[Move], FastAPI],
) -> None:
    """Denied before they are accepted."""
    assert_closed(
        lambda: place(lambda router: way(router, other().routes)),
        "/x",
        by=knock,
        served=_served(place, other),
    )


class Secret(HTTPException):
    """An answer of an endpoint that is no success."""


@pairwise(
    outcome=["success", "redirect", "refusal", "error"],
    place=PLACES,
    kind=["api", "plain", "object"],
    included=[True, False],
)
def test_the_endpoint_of_a_moved_route_never_runs_without_a_token(
    outcome: str, place: Callable[[Move], FastAPI], kind: str, *, included: bool
) -> None:
    """It is too late to refuse its answer when it has run, and not every answer is a success."""
    ran: list[str] = []

    async def endpoint(_: Request) -> Response:
        ran.append(outcome)
        if outcome == "refusal":
            raise Secret(404, INSIDE)
        if outcome == "error":
            raise ZeroDivisionError
        headers = {"location": "https://a.example/?token=inside"}
        return Response(INSIDE, 302 if outcome == "redirect" else 200, headers)

    def move(router: APIRouter) -> None:
        other, outer = APIRouter(), APIRouter()
        if kind == "api":
            other.get("/x")(endpoint)
        elif kind == "plain":
            other.add_route("/x", endpoint)
        else:
            other.routes.append(APIRoute("/x", endpoint))
        outer.include_router(other)
        router.routes.extend((outer if included else other).routes)

    try:
        client = TestClient(place(move), raise_server_exceptions=False)
    except ConfigurationError:
        return
    for headers in ({}, FOREIGN):
        answer = client.get("/x", headers=headers, follow_redirects=False)
        assert answer.status_code in {401, 404, 500}
        assert INSIDE not in answer.text
    assert [] == ran


@others
def test_routes_given_to_the_constructor_are_guarded_or_refused(
    other: Callable[[], APIRouter],
) -> None:
    """`protected_router(routes=[...])`."""
    assert_closed(
        lambda: including(protected_router(settings=SETTINGS, routes=other().routes)),
        "/x",
        served=LIVE or other is not a_mount,
    )


@others
def test_routes_given_to_the_constructor_of_a_router_below_are_guarded_or_refused(
    other: Callable[[], APIRouter],
) -> None:
    """`protected_router(APIRouter(routes=[...]))`."""
    assert_closed(
        lambda: including(protected_router(APIRouter(routes=other().routes), settings=SETTINGS)),
        "/x",
        served=LIVE or other is not a_mount,
    )


@others
@pytest.mark.parametrize("order", ["protected", "protected-and-more"])
def test_routes_given_to_the_constructor_of_a_protected_application_are_guarded(
    other: Callable[[], APIRouter], order: str
) -> None:
    """`protect(FastAPI(routes=[...]))`."""

    def build() -> FastAPI:
        app = protect(FastAPI(routes=other().routes), SETTINGS)
        if order == "protected-and-more":
            app.get("/more")(read)
        return app

    assert_closed(build, "/x")


@others
def test_routes_given_to_the_constructor_beside_a_guard_are_refused_once_it_is_asked(
    other: Callable[[], APIRouter],
) -> None:
    """`FastAPI(routes=[...], dependencies=[guard])`: FastAPI applies no dependencies to them."""
    app = FastAPI(routes=other().routes, dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/first")(read)
    client = TestClient(app)

    with pytest.raises(ConfigurationError, match="protect"):
        client.get("/first", headers=GOOD)

    for headers in ({}, FOREIGN):
        assert ask(client, "/x", headers) in (401, REFUSED)


@others
@pytest.mark.parametrize("where", ["router", "application"])
def test_routes_moved_beside_a_plain_guard_are_refused_once_it_is_asked(
    where: str, other: Callable[[], APIRouter]
) -> None:
    """`APIRouter(dependencies=[guard]).routes.extend(...)`, and the same of an application."""
    guard = Depends(jwt_guard(SETTINGS))
    if where == "router":
        router = APIRouter(dependencies=[guard])
        app = FastAPI()
    else:
        app = FastAPI(dependencies=[guard])
        router = app.router
    router.get("/first")(read)
    router.routes.extend(other().routes)
    if where == "router":
        app.include_router(router)
    if not LIVE and where == "router":
        pytest.skip("up to 0.136 nothing tells which router a copied route came from")
    client = TestClient(app)

    with pytest.raises(ConfigurationError, match="protect"):
        client.get("/first", headers=GOOD)

    for headers in ({}, FOREIGN):
        assert ask(client, "/x", headers) in (401, REFUSED)


@others
def test_the_audit_does_not_call_moved_routes_guarded_that_are_open(
    other: Callable[[], APIRouter],
) -> None:
    """What a request without a token meets decides."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/first")(read)
    app.router.routes.extend(other().routes)
    if ask(app, "/x") != 200:
        return

    try:
        found = audit(app)
    except ConfigurationError:
        return

    assert not found.ok
    assert Verdict.GUARDED not in {
        route.verdict for route in found.routes if route.path.startswith("/x")
    }


def test_a_route_moved_from_one_protected_router_to_another_is_guarded() -> None:
    """By either guard, or it is refused."""

    def build() -> FastAPI:
        first, second = protected_router(settings=SETTINGS), protected_router(settings=SETTINGS)
        first.get("/x")(read)
        second.routes.extend(first.routes)
        return including(second)

    assert_closed(build, "/x")


def test_a_route_moved_out_of_a_protected_router_is_guarded_or_refused() -> None:
    """It was made behind a guard."""
    guarded = protected_router(settings=SETTINGS)
    guarded.get("/x")(read)
    app = FastAPI()

    app.router.routes.extend(guarded.routes)

    assert ask(app, "/x") in (401, REFUSED)


def test_an_inclusion_of_a_protected_router_moved_by_hand_is_guarded() -> None:
    """The object that an inclusion is, taken from one application and put into another."""
    guarded = protected_router(settings=SETTINGS)
    guarded.get("/x")(read)
    guarded.add_route("/plain", plain)
    first, app = including(guarded), FastAPI()

    app.router.routes.extend(first.router.routes[4:] or first.router.routes)

    for path in ("/x", "/plain"):
        assert ask(app, path) in (401, REFUSED)


@pytest.mark.parametrize("by", [ask, knock])
@pytest.mark.parametrize("place", [place for place in PLACES if place in NOT_COPIED])
@pytest.mark.parametrize("way", [by_append, by_assignment])
def test_an_unknown_kind_of_route_moved_by_hand_never_succeeds(
    way: Callable[..., None], place: Callable[[Move], FastAPI], by: Callable[..., Answer]
) -> None:
    """A 2xx or an `accept` without a decision is the one thing that must not happen."""
    assert_closed(lambda: place(lambda router: way(router, [Homemade()])), "/x", by=by)


@pytest.mark.skipif(not HAS_FRONTEND, reason="this FastAPI has no frontend()")
@pytest.mark.parametrize("place", [to_protected_router, to_protected_application])
def test_a_router_with_a_frontend_moved_by_its_inclusion_is_guarded(
    place: Callable[[Move], FastAPI], tmp_path: Path
) -> None:
    """Files are no route in `routes`, and come with the inclusion."""
    (tmp_path / "index.html").write_text("inside")
    inner, other = APIRouter(), APIRouter()
    inner.frontend("/x", directory=tmp_path)
    other.include_router(inner)

    assert_closed(lambda: place(lambda router: router.routes.extend(other.routes)), "/x/")


@pytest.mark.parametrize("below", ["mount", "mounted-application", "host", "mount-in-mount"])
@pytest.mark.parametrize("place", [to_protected_router_that_is_mounted, to_protected_application])
def test_routes_moved_below_a_mount_or_a_host_are_guarded(
    place: Callable[[Move], FastAPI], below: str
) -> None:
    """Also after the mount was there, and served."""
    inner = APIRouter()
    application = FastAPI()
    route: BaseRoute = {
        "mount": Mount("/m", inner),
        "mounted-application": Mount("/m", application),
        "host": Host("testserver", Router(routes=[Mount("/m", inner)])),
        "mount-in-mount": Mount("/m", routes=[Mount("", inner)]),
    }[below]
    app = place(lambda router: router.routes.append(route))
    assert ask(app, "/m/x") == 401

    target = application.router if below == "mounted-application" else inner
    target.routes.extend(an_inclusion().routes)
    target.routes.append(Route("/plain", plain))

    assert_closed(lambda: app, "/m/x")
    assert_closed(lambda: app, "/m/plain")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_pages_of_another_application_moved_by_hand_are_guarded(moment: str) -> None:
    """They describe that one: only an application's own pages are open."""
    other = FastAPI()
    other.get("/secret-plans")(read)
    app = FastAPI(openapi_url=None)
    if moment == "before":
        protect(app, SETTINGS)
    app.router.routes.extend(other.routes)
    if moment != "before":
        protect(app, SETTINGS)
    client = TestClient(app)

    for path in ("/openapi.json", "/docs"):
        try:
            answer = client.get(path)
        except ConfigurationError:
            continue
        assert 401 == answer.status_code
        assert "secret-plans" not in answer.text


@pytest.mark.parametrize("serving", [True, False], ids=["serving", "not-serving"])
def test_another_router_in_a_protected_application_is_guarded_or_refused(*, serving: bool) -> None:
    """`app.router = APIRouter()`, after `protect`."""
    app = protect(FastAPI(), SETTINGS)
    app.get("/first")(read)
    client = TestClient(app)
    if serving:
        assert 401 == ask(client, "/first")

    app.router = APIRouter()
    app.router.get("/x")(read)
    app.get("/y")(read)
    app.add_route("/plain", plain)

    for path in ("/x", "/y", "/plain"):
        for headers in ({}, FOREIGN):
            assert ask(client, path, headers) in (401, 404, REFUSED)


def test_mounted_pages_moved_by_hand_are_guarded() -> None:
    """A ready `Mount` object."""
    assert_closed(
        lambda: to_protected_application(lambda router: router.routes.append(Mount("/x", page()))),
        "/x/y",
    )


@live_routes
@pytest.mark.parametrize("by", [ask, knock])
def test_a_plain_route_taken_out_of_an_inclusion_stays_guarded(by: Callable[..., Answer]) -> None:
    """A library that lists what a protected router serves, and puts that into an application."""
    inner, app = APIRouter(), FastAPI()
    inner.add_route("/x", plain)
    inner.add_websocket_route("/x", talk)
    protected = protected_router(inner, settings=SETTINGS)

    for served in fastapi.routing.iter_route_contexts(protected.routes):
        app.router.routes.append(served.original_route)

    assert [401, 401, 200] == answers_of(app, "/x", by=by)
