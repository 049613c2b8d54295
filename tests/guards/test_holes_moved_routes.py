"""Attack: take routes from an open router and put them, by hand, where a guard applies.

A route object of FastAPI brings the dependencies that it was made with, and so does the object
that an inclusion is: neither has those of the router that it is moved to.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi.routing
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute

from jwt_deps import (
    ConfigurationError,
    jwt_guard,
    protect,
    protected_router,
    require_scopes,
)
from jwt_deps.audit import Verdict, audit
from tests.minting import OTHER_SECRET
from tests.pairing import pairwise
from tests.web.serving import OTHER, SETTINGS, bearer, frontend, live_routes

from .asking import (
    FOREIGN,
    GOOD,
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
    plain,
    read,
    talk,
)
from .kinds import (
    PLACES,
    Fill,
    Place,
    Placed,
    few_places,
    is_protected,
    is_router_of_protected_application,
)


def with_route(add: Callable[[APIRouter], Any], inclusions: int = 0) -> Callable[[], APIRouter]:
    """What makes a router with a route, below so many inclusions."""

    def make() -> APIRouter:
        router = APIRouter()
        add(router)
        for _ in range(inclusions):
            outer = APIRouter()
            outer.include_router(router)
            router = outer
        return router

    return make


def _mount(router: APIRouter) -> None:
    router.mount("/x", Router(routes=[Route("/", plain)], redirect_slashes=True))


#: Routers from which routes are taken.
OTHERS = {
    "api": with_route(lambda router: router.get("/x")(read)),
    "inclusion": with_route(lambda router: router.get("/x")(read), 1),
    "inclusion-of-an-inclusion": with_route(lambda router: router.get("/x")(read), 2),
    "plain": with_route(lambda router: router.add_route("/x", plain)),
    "included-plain": with_route(lambda router: router.add_route("/x", plain), 1),
    "mount": with_route(_mount),
    "made-without-a-router": with_route(lambda router: router.routes.append(APIRoute("/x", read))),
}
SOCKETS = {
    "socket": with_route(lambda router: router.websocket("/x")(talk)),
    "included-socket": with_route(lambda router: router.websocket("/x")(talk), 1),
    "plain-socket": with_route(lambda router: router.routes.append(WebSocketRoute("/x", talk))),
    "socket-made-without-a-router": with_route(
        lambda router: router.routes.append(APIWebSocketRoute("/x", talk))
    ),
}
others = pytest.mark.parametrize("other", OTHERS)


def by_extend(router: APIRouter, routes: list[BaseRoute]) -> None:
    router.routes.extend(routes)


def by_insert(router: APIRouter, routes: list[BaseRoute]) -> None:
    for route in routes:
        router.routes.insert(0, route)


def by_slice(router: APIRouter, routes: list[BaseRoute]) -> None:
    router.routes[:] = routes


def by_item(router: APIRouter, routes: list[BaseRoute]) -> None:
    """In the place of another one."""
    for route in routes:
        router.add_route("/y", plain)
        router.routes[-1] = route


def by_another_list(router: APIRouter, routes: list[BaseRoute]) -> None:
    router.routes = [*router.routes, *routes]


def by_shared_list(router: APIRouter, routes: list[BaseRoute]) -> None:
    """`router.routes = other.routes`, the very list."""
    router.routes = routes


WAYS = [by_extend, by_insert, by_slice, by_item, by_another_list, by_shared_list]


def mounted_in_protected_and_mounted(fill: Fill) -> Placed:
    router, outer, app = APIRouter(), protected_router(settings=SETTINGS), FastAPI(openapi_url=None)
    fill(router)
    outer.mount("", router)
    app.mount("", outer)
    return Placed(app, router, included=False)


def behind_a_host(fill: Fill) -> Placed:
    router, app = APIRouter(), protect(FastAPI(openapi_url=None), SETTINGS)
    fill(router)
    app.router.routes.append(Host("testserver", router))
    return Placed(app, router, included=False)


MOVED_TO = [*PLACES, mounted_in_protected_and_mounted, behind_a_host]


@pairwise(
    way=WAYS, other=[*OTHERS, *SOCKETS], place=MOVED_TO, moment=["before", "after", "serving"]
)
def test_routes_moved_by_hand_are_guarded_or_refused(
    way: Callable[[APIRouter, list[BaseRoute]], None], other: str, place: Place, moment: str
) -> None:
    """401 without a token and with a foreign one, wherever the routes come from."""

    def move(router: APIRouter) -> None:
        way(router, (OTHERS | SOCKETS)[other]().routes)

    try:
        placed = place(move if moment == "before" else lambda router: router.get("/first")(read))
        if moment == "serving":
            assert ask(placed.app, f"{placed.prefix}/first") == 401
        if moment != "before":
            move(placed.router)
            placed.router.add_route("/again", plain)  # so that FastAPI reads the routes again
    except ConfigurationError:
        return

    served = LIVE or not placed.included or (moment == "before" and other != "mount")
    by = knock if other in SOCKETS else ask
    assert_closed(lambda: placed.app, f"{placed.prefix}/x", by=by, served=served)


@pairwise(
    outcome=["success", "redirect", "refusal", "error"],
    place=MOVED_TO,
    kind=["api", "plain", "object"],
    included=[True, False],
)
def test_the_endpoint_of_a_moved_route_never_runs_without_a_token(
    outcome: str, place: Place, kind: str, *, included: bool
) -> None:
    """It is too late to refuse its answer when it has run, and not every answer is a success."""
    ran: list[str] = []

    async def endpoint(_: Request) -> Response:
        ran.append(outcome)
        if outcome == "refusal":
            raise HTTPException(404, INSIDE)
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
        placed = place(move)
        client = TestClient(placed.app, raise_server_exceptions=False)
    except ConfigurationError:
        return

    for headers in ({}, FOREIGN):
        answer = client.get(f"{placed.prefix}/x", headers=headers, follow_redirects=False)
        assert answer.status_code in {401, 404, 500}
        assert INSIDE not in answer.text
    assert [] == ran


@others
@pytest.mark.parametrize("to", ["protected_router", "router-below", "protect", "protect-and-more"])
def test_routes_given_to_a_constructor_are_guarded_or_refused(to: str, other: str) -> None:
    """`protected_router(routes=[...])`, `APIRouter(routes=[...])` and `FastAPI(routes=[...])`."""

    def build() -> FastAPI:
        routes = OTHERS[other]().routes
        if to == "protected_router":
            return including(protected_router(settings=SETTINGS, routes=routes))
        if to == "router-below":
            return including(protected_router(APIRouter(routes=routes), settings=SETTINGS))
        app = protect(FastAPI(routes=routes), SETTINGS)
        if to == "protect-and-more":
            app.get("/more")(read)
        return app

    assert_closed(build, "/x", served=LIVE or to.startswith("protect-") or other != "mount")


@others
@pytest.mark.parametrize(
    "how", ["constructor", "application", pytest.param("router", marks=live_routes)]
)
def test_routes_beside_a_plain_guard_are_refused_once_it_is_asked(how: str, other: str) -> None:
    """FastAPI applies no dependencies to them, and the sentence says what to do."""
    guard, routes = Depends(jwt_guard(SETTINGS)), OTHERS[other]().routes
    app = FastAPI(
        routes=routes if how == "constructor" else None,
        dependencies=[] if how == "router" else [guard],
    )
    router = APIRouter(dependencies=[guard]) if how == "router" else app.router
    router.get("/first")(read)
    if how != "constructor":
        router.routes.extend(routes)
    if how == "router":
        app.include_router(router)
    client = TestClient(app)

    with pytest.raises(ConfigurationError, match="protect"):
        client.get("/first", headers=GOOD)

    for headers in ({}, FOREIGN):
        assert ask(client, "/x", headers) in (401, REFUSED)


@others
def test_the_audit_does_not_call_moved_routes_guarded_that_are_open(other: str) -> None:
    """What a request without a token meets decides."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/first")(read)
    app.router.routes.extend(OTHERS[other]().routes)
    if ask(app, "/x") != 200:
        return

    try:
        found = audit(app)
    except ConfigurationError:
        return

    assert not found.ok
    assert Verdict.GUARDED not in {it.verdict for it in found.routes if it.path.startswith("/x")}


@pytest.mark.parametrize("to", ["protected_router", "application", "application-by-inclusion"])
def test_a_route_moved_out_of_a_protected_router_is_guarded_or_refused(to: str) -> None:
    guarded = protected_router(settings=SETTINGS)
    guarded.get("/x")(read)
    guarded.add_route("/plain", plain)
    app = FastAPI()
    if to == "protected_router":
        second = protected_router(settings=SETTINGS)
        second.routes.extend(guarded.routes)
        try:
            app.include_router(second)
        except ConfigurationError:
            return
    elif to == "application":
        app.router.routes.extend(guarded.routes)
    else:
        first = including(guarded)
        app.router.routes.extend(first.router.routes[4:] or first.router.routes)

    for path in ("/x", "/plain"):
        assert ask(app, path) in (401, REFUSED)


@pytest.mark.parametrize("by", [ask, knock])
@few_places
@pytest.mark.parametrize("way", [by_extend, by_another_list])
def test_an_unknown_kind_of_route_moved_by_hand_never_succeeds(
    way: Callable[..., None], place: Place, by: Callable[..., Answer]
) -> None:
    """A 2xx or an `accept` without a decision is the one thing that must not happen."""
    try:
        placed = place(lambda router: way(router, [Homemade()]))
    except (ConfigurationError, AttributeError):
        return  # up to 0.136 `include_router` itself fails for a route without a path

    assert_closed(lambda: placed.app, f"{placed.prefix}/x", by=by, served=LIVE)


@frontend
@pytest.mark.parametrize("place", [is_protected, is_router_of_protected_application])
def test_a_router_with_a_frontend_moved_by_its_inclusion_is_guarded(
    place: Place, tmp_path: Path
) -> None:
    """Files are no route in `routes`, and come with the inclusion."""
    (tmp_path / "index.html").write_text("inside")
    inner, other = APIRouter(), APIRouter()
    inner.frontend("/x", directory=tmp_path)
    other.include_router(inner)

    assert_closed(lambda: place(lambda router: router.routes.extend(other.routes)).app, "/x/")


@pytest.mark.parametrize("how", ["before", "after", "protected_router"])
def test_the_pages_of_another_application_moved_by_hand_are_guarded(how: str) -> None:
    """They describe that one: only an application's own pages are open."""
    other, app = FastAPI(), FastAPI(openapi_url=None)
    other.get("/secret-plans")(read)
    if how == "before":
        protect(app, SETTINGS)
    if how == "protected_router":
        app.include_router(protected_router(other.router, settings=SETTINGS))
    else:
        app.router.routes.extend(other.routes)
    if how == "after":
        protect(app, SETTINGS)
    client = TestClient(app)

    for path in ("/openapi.json", "/docs"):
        try:
            answer = client.get(path)
        except ConfigurationError:
            continue
        assert 401 == answer.status_code
        assert "secret-plans" not in answer.text


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


@live_routes
@pytest.mark.parametrize("made", ["route", "mount"])
def test_attack_a_route_made_of_a_plain_one_with_another_path(made: str) -> None:
    """The exclusion and the scopes of a template are not those of another that ends like it."""
    app, routes = FastAPI(openapi_url=None), []
    router = protected_router(settings=SETTINGS, exclude=["/x"], scopes={"/admin/*": "admin"})
    for prefix in ("", "/admin"):
        inner = APIRouter()
        inner.add_route("/x", plain)
        router.include_router(inner, prefix=prefix)
        endpoint: Any = inner.routes[0].endpoint  # type: ignore[attr-defined]
        routes.append(Route(f"{prefix}/x", endpoint))  # as Cadwyn does for each version
    app.router.routes.extend([Mount("/v1", routes=routes)] if made == "mount" else routes)

    path = "/v1/admin/x" if made == "mount" else "/admin/x"
    assert [401, 401, 403] == answers_of(app, path)
    assert 200 == ask(app, path, bearer(scope="admin"))


def test_attack_a_plain_route_copied_into_a_router_that_is_mounted() -> None:
    """Up to FastAPI 0.136 an inclusion is a copy, which nothing but its own path describes."""
    inner, outer, app = APIRouter(), APIRouter(), FastAPI(openapi_url=None)
    inner.add_route("/x", plain)
    inner.add_route("/admin/x", plain)
    outer.include_router(
        protected_router(inner, settings=SETTINGS, exclude=["/x", "/admin/x"], scopes={"/x": "x"}),
        prefix="/admin",
    )
    app.mount("/m", outer)

    assert ask(app, "/m/admin/admin/x") in {401, REFUSED}


def _add_plain(router: APIRouter, inner: APIRouter, path: str, way: str) -> None:
    if way == "late-in-an-inclusion":
        inner.add_route(path, plain)
    elif way == "in-place-of-another":
        router.add_route("/former", plain)
        router.routes[-1] = Route(path, plain)
    elif way == "mount":
        router.mount(path, Router(routes=[Route("/", plain)], redirect_slashes=True))
    else:
        router.add_route(path, plain)


@live_routes
@pytest.mark.parametrize("taken", ["routes", "contexts"])
@pytest.mark.parametrize("way", ["add", "mount", "late-in-an-inclusion", "in-place-of-another"])
def test_attack_the_plain_routes_that_a_protected_router_hands_out(way: str, taken: str) -> None:
    """Each has its guard, the last one too, whenever a library lists them."""
    inner, app = APIRouter(), FastAPI(openapi_url=None)
    router = protected_router(inner, settings=SETTINGS)
    for number in (1, 2):
        _add_plain(router, inner, f"/x{number}", way)

    if taken == "routes":
        app.router.routes.extend(router.routes)
    else:
        contexts = list(fastapi.routing.iter_route_contexts(router.routes))
        app.router.routes.extend(it.original_route for it in contexts)

    for number in (1, 2):
        assert {*answers_of(app, f"/x{number}")[:2]} <= {401, 404}


def _rebuilt(router: APIRouter) -> list[BaseRoute]:
    """Routes of the same endpoints, as a library makes them anew."""
    routes: list[Any] = list(router.routes)
    return [Route(it.path, it.endpoint) for it in routes]


#: Where a guarded application holds the plain routes of a protected router.
HOLDING: dict[str, Callable[[FastAPI, APIRouter], None]] = {
    "router": lambda app, p: app.include_router(APIRouter(routes=p.routes)),
    "application": lambda app, p: app.mount("", FastAPI(routes=p.routes, openapi_url=None)),
    "appended": lambda app, p: app.router.routes.extend(p.routes),
    "another-protected-router": lambda app, p: app.include_router(
        protected_router(settings=SETTINGS, routes=p.routes)
    ),
    "another-protected-router-mounted": lambda app, p: app.mount(
        "", protected_router(settings=SETTINGS, routes=p.routes)
    ),
    "rebuilt": lambda app, p: app.router.routes.extend(_rebuilt(p)),
    "rebuilt-in-a-router": lambda app, p: app.include_router(APIRouter(routes=_rebuilt(p))),
    "rebuilt-in-a-protected-router": lambda app, p: app.include_router(
        protected_router(APIRouter(routes=_rebuilt(p)), settings=SETTINGS)
    ),
}


@pytest.mark.parametrize("by", ["dependencies", "scopes"])
@pytest.mark.parametrize("held", HOLDING)
def test_attack_a_guard_around_moved_routes_takes_no_requirement_away(held: str, by: str) -> None:
    """What a protected router asks of its plain routes is asked where they were moved to."""
    options: dict[str, Any] = {"scopes": {"/*": "admin"}}
    if by == "dependencies":
        options = {"dependencies": [Depends(require_scopes("admin"))]}
    router = protected_router(settings=SETTINGS, **options)
    router.add_route("/x", plain)
    app = protect(FastAPI(openapi_url=None), SETTINGS)
    HOLDING[held](app, router)

    assert [401, 401, 403] == answers_of(app, "/x")
    assert 200 == ask(app, "/x", bearer(scope="admin"))


@live_routes
@pytest.mark.parametrize("held", HOLDING)
def test_attack_a_moved_route_opens_to_the_tokens_of_the_guard_where_it_is_served(
    held: str,
) -> None:
    """The guard that it had before adds its requirements; it opens nothing to tokens of its own."""
    router = protected_router(settings=OTHER)
    router.add_route("/x", plain)
    app = protect(FastAPI(openapi_url=None), SETTINGS)
    HOLDING[held](app, router)

    # What an application below a mount asks is asked besides what was asked at the mount.
    here = 401 if held == "application" else 200
    assert (here, 401) == (ask(app, "/x", bearer()), ask(app, "/x", bearer(OTHER_SECRET)))


@live_routes
def test_attack_what_an_inclusion_asks_is_asked_of_a_route_made_of_its_own() -> None:
    """Also where the application that takes it is below a guard of its own."""
    inner, taking = APIRouter(), FastAPI(openapi_url=None)
    inner.add_route("/x", plain)
    router = protected_router(settings=SETTINGS)
    router.include_router(inner, dependencies=[Depends(require_scopes("admin"))])
    endpoint: Any = inner.routes[0].endpoint  # type: ignore[attr-defined]
    taking.router.routes.append(Route("/x", endpoint))
    app = protect(FastAPI(openapi_url=None), SETTINGS)
    app.mount("/m", taking)

    assert [401, 401, 403] == answers_of(app, "/m/x")
    assert 200 == ask(app, "/m/x", bearer(scope="admin"))


@live_routes
@pytest.mark.parametrize("wrong", ["class", "api", "inclusion", "frontend"])
def test_attack_routes_handed_out_beside_one_that_cannot_be_guarded(wrong: str) -> None:
    """The others have their guards all the same; that one is refused where the router serves."""
    app, router = FastAPI(openapi_url=None), protected_router(settings=SETTINGS)
    if wrong == "class":
        router.routes.append(Homemade())
    elif wrong == "api":
        router.routes.append(APIRoute("/api", read))
    elif wrong == "inclusion":
        router.routes.extend(OTHERS["inclusion"]().routes)
    else:
        router.default = Router(routes=[Route("/default", plain)])
    router.add_route("/x2", plain)
    router.mount("/x1", Router(routes=[Route("/", plain)], redirect_slashes=True))
    routes = [it for it in router.routes if getattr(it, "path", "") in {"/x1", "/x2"}]

    app.router.routes.extend(routes)

    assert 2 == len(routes)
    for path in ("/x1", "/x2"):
        assert {*answers_of(app, path)[:2]} <= {401, REFUSED}
    with pytest.raises(ConfigurationError):
        TestClient(including(router)).get("/x2")
