"""Every route of a router behind `protected_router` or in a protected application needs a token."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, WebSocketRoute
from starlette.types import Receive, Scope, Send

from jwt_deps import (
    Claims,
    ConfigurationError,
    JWTSettings,
    current_user_id,
    get_claims,
    optional,
    protect,
    protected_router,
    public,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.pairing import pairwise
from tests.web.serving import OTHER, SETTINGS, bearer, live_routes

from .asking import (
    FOREIGN,
    GOOD,
    HAS_FRONTEND,
    LIVE,
    REFUSED,
    Answer,
    Homemade,
    answers_of,
    ask,
    assert_guarded,
    including,
    knock,
    page,
    plain,
    read,
    talk,
)
from .kinds import FEW_PLACES, KINDS, PLACES, Kind, Place, kinds, places


def first(router: APIRouter) -> None:
    router.get("/first")(read)


# ---- every route needs a token -----------------------------------------------------------------


@places
@kinds
def test_a_route_of_any_kind_needs_a_token(kind: Kind, place: Place, tmp_path: Path) -> None:
    """401 without a token and with a foreign one, 200 with a good one."""

    def fill(router: APIRouter) -> None:
        first(router)
        kind.add(router, tmp_path)

    placed = place(fill)

    assert placed.expected(kind) == answers_of(placed.app, placed.prefix + kind.path)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        pytest.param(kind, place, id=f"{name}-{place.__name__}")
        for name, kind in KINDS.items()
        for place in PLACES
        if name in {"api-nested", "plain", "mount"} or place in FEW_PLACES
    ],
)
def test_a_route_that_is_added_while_the_application_serves_needs_a_token(
    kind: Kind, place: Place, tmp_path: Path
) -> None:
    """It is guarded from its first request on."""
    placed = place(first)
    client = TestClient(placed.app)
    assert_guarded(client, f"{placed.prefix}/first")

    kind.add(placed.router, tmp_path)
    placed.router.add_route("/again", plain)

    expected = placed.expected(kind, late=True)
    assert expected == answers_of(client, placed.prefix + kind.path)


WEBSOCKETS: dict[str, Callable[[APIRouter], Any]] = {
    "api": lambda router: router.websocket("/ws")(talk),
    "plain": lambda router: router.add_websocket_route("/ws", talk),
    "object": lambda router: router.routes.append(WebSocketRoute("/ws", talk)),
}


@pairwise(kind=list(WEBSOCKETS), place=PLACES, moment=["before", "after", "serving"])
def test_a_websocket_needs_a_token_before_it_is_accepted(
    kind: str, place: Place, moment: str
) -> None:
    """The handshake is denied with 401."""
    add = WEBSOCKETS[kind]

    def fill(router: APIRouter) -> None:
        first(router)
        if moment == "before":
            add(router)

    placed = place(fill)
    client = TestClient(placed.app)
    if moment == "serving":
        ask(client, f"{placed.prefix}/first")
    if moment != "before":
        add(placed.router)
        placed.router.add_route("/again", plain)

    expected = placed.expected(late=moment != "before")
    assert expected == answers_of(client, f"{placed.prefix}/ws", by=knock)


@places
def test_a_handshake_for_a_mount_needs_a_token(place: Place) -> None:
    """What is mounted may accept WebSockets as well as answer requests."""
    inner = FastAPI()
    inner.websocket("/ws")(talk)

    placed = place(lambda router: router.mount("/x", inner))

    expected = placed.expected(KINDS["mount"])
    assert expected == answers_of(placed.app, f"{placed.prefix}/x/ws", by=knock)


@places
@pytest.mark.parametrize("by", [ask, knock])
@pytest.mark.parametrize("moment", ["before", "serving"])
def test_a_route_of_an_unknown_class_never_answers_without_a_token(
    place: Place, by: Callable[..., Answer], moment: str
) -> None:
    """It is guarded or refused; where FastAPI serves no such route, it is 404."""

    def fill(router: APIRouter) -> None:
        first(router)
        if moment == "before":
            router.routes.append(Homemade())

    try:
        placed = place(fill)
    except (ConfigurationError, AttributeError):
        # Up to 0.136 `include_router` itself fails for a route without a path.
        return
    client = TestClient(placed.app)
    if moment == "serving":
        assert ask(client, f"{placed.prefix}/first", GOOD) == 200
        with suppress(ConfigurationError):
            placed.router.routes.append(Homemade())
            placed.router.add_route("/again", plain)

    for headers in ({}, FOREIGN):
        assert by(client, f"{placed.prefix}/x", headers) in (401, 404, REFUSED)


@places
@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_a_route_of_an_unknown_class_does_not_even_run_without_a_token(
    place: Place, status: int
) -> None:
    """Whatever it would have answered."""
    ran: list[int] = []

    class Running(Homemade):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            ran.append(status)
            await PlainTextResponse("inside", status)(scope, receive, send)

    try:
        placed = place(lambda router: router.routes.append(Running()))
    except (ConfigurationError, AttributeError):
        # Up to 0.136 `include_router` itself fails for a route without a path.
        return
    client = TestClient(placed.app, raise_server_exceptions=False)

    for headers in ({}, FOREIGN):
        answer = client.get(f"{placed.prefix}/x", headers=headers, follow_redirects=False)
        assert "inside" not in answer.text
    assert [] == ran


@pytest.mark.parametrize("protected", ["before", "after"])
@pytest.mark.parametrize("where", ["application", "mounted-router"])
def test_a_host_needs_a_token(where: str, protected: str) -> None:
    """In the router of an application, and in one that is mounted, on any FastAPI."""
    app, router = FastAPI(), APIRouter()
    if protected == "before":
        protect(app, SETTINGS)
    (app.router if where == "application" else router).routes.append(Host("testserver", page()))
    if where == "mounted-router":
        app.mount("/m", router)
    if protected == "after":
        protect(app, SETTINGS)

    assert_guarded(app, "/x" if where == "application" else "/m/x")


def test_a_protected_router_is_one_to_decorate() -> None:
    """It is an `APIRouter` like any other."""
    router = protected_router(settings=SETTINGS)
    router.get("/first")(read)

    assert isinstance(router, APIRouter)
    assert_guarded(including(router), "/first")


def test_a_late_route_is_told_at_the_start_or_guarded() -> None:
    """An application that starts after the route came serves it behind the guard."""
    router = APIRouter()
    router.get("/first")(read)
    app = including(protected_router(router, settings=SETTINGS))
    router.get("/x")(read)

    with TestClient(app) as client:
        assert_guarded(client, "/x", served=LIVE)


def test_a_second_inclusion_while_serving_is_guarded() -> None:
    """The exclusion names the route at its first place, and holds for that place alone."""
    router = APIRouter()
    router.get("/first")(read)
    protected = protected_router(router, settings=SETTINGS, exclude=["/a/first"])
    app = including(protected, prefix="/a")
    client = TestClient(app)
    assert ask(client, "/a/first") == 200

    app.include_router(protected, prefix="/b")

    assert_guarded(client, "/b/first")


@pytest.mark.parametrize("kind", ["plain", "mount"])
def test_a_plain_route_of_a_router_included_twice_is_open_only_where_nothing_guards_it(
    kind: str,
) -> None:
    """The same route object serves both places."""
    router = APIRouter()
    if kind == "plain":
        router.add_route("/x", plain)
    else:
        router.mount("/x", page())
    app = including(protected_router(router, settings=SETTINGS), prefix="/closed")
    app.include_router(router, prefix="/open")
    served = LIVE or kind == "plain"

    assert_guarded(app, "/closed/x/" if kind == "mount" else "/closed/x", served=served)
    assert ask(app, "/open/x/" if kind == "mount" else "/open/x") == (200 if served else 404)


@pytest.mark.parametrize(
    "path",
    [
        "/api/public/../secret",
        "/api/public/%2e%2e/secret",
        "/api/public%2f..%2fsecret",
        "/api/secret/",
        "/api/./secret",
        "//api/public",
        "//api/secret",
        "/api//secret",
        "/API/SECRET",
        "/api/secret%00/public",
        "/api/secret;/public",
        "/api/secret?/api/public",
        "/api/public/..;/secret",
        "/api/secret#/api/public",
    ],
)
def test_no_spelling_of_a_path_opens_a_route(path: str) -> None:
    """Exclusions are decided by the route that matched."""
    router = protected_router(settings=SETTINGS, prefix="/api", exclude=["/api/public"])
    router.get("/public")(lambda: "public")
    router.get("/secret")(read)
    router.add_route("/secret-plain", plain)

    client = TestClient(including(router))

    for spelling in (path, path.replace("secret", "secret-plain")):
        assert ask(client, spelling) in (401, 404)


# ---- public routes ------------------------------------------------------------------------------


@pytest.mark.parametrize("decorated", [True, False], ids=["decorated", "included"])
@pytest.mark.parametrize("order", ["above", "below"])
def test_public_opens_an_endpoint_above_and_below_the_route_decorator(
    order: str, *, decorated: bool
) -> None:
    """The mark belongs to the endpoint."""

    async def endpoint() -> str:
        return "inside"

    router = protected_router(settings=SETTINGS) if decorated else APIRouter()
    if order == "above":
        router.get("/open")(endpoint)
        public(endpoint)
    else:
        router.get("/open")(public(endpoint))
    router.get("/closed")(read)
    app = including(router if decorated else protected_router(router, settings=SETTINGS))

    assert (200, 401) == (ask(app, "/open"), ask(app, "/closed"))


def test_plain_routes_and_mounts_can_be_excluded() -> None:
    """A mount is meant by its path."""
    router = protected_router(settings=SETTINGS, exclude=["/x", "/m"])
    router.add_route("/x", plain)
    router.mount("/m", page())
    app = including(router)

    assert ask(app, "/x") == 200
    assert ask(app, "/m/y") == (200 if LIVE else 404)


@pytest.mark.parametrize("started", [True, False], ids=["started", "not-started"])
@pytest.mark.parametrize(
    ("exclude", "by_settings"),
    [
        pytest.param(["/v1/api/first"], False, id="in-exclude"),
        pytest.param(["/v1/api/fir*"], True, id="in-settings"),
        pytest.param(["*/first"], False, id="star"),
    ],
)
def test_a_pattern_is_matched_against_the_whole_template(
    exclude: list[str], *, by_settings: bool, started: bool
) -> None:
    """The prefixes of the router and of the inclusion belong to it."""
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=exclude if by_settings else [])
    router = APIRouter()
    router.get("/first")(read)
    router.get("/second")(read)
    protected = protected_router(
        router, settings=settings, exclude=[] if by_settings else exclude, prefix="/api"
    )
    app = including(protected, prefix="/v1")

    client = TestClient(app)
    if started:
        with client:
            found = ask(client, "/v1/api/first"), ask(client, "/v1/api/second")
    else:
        found = ask(client, "/v1/api/first"), ask(client, "/v1/api/second")

    assert (200, 401) == found


def test_requests_are_refused_when_an_exclusion_matches_no_route() -> None:
    """Where no lifespan runs, the first request tells, and each one after it."""
    router = protected_router(settings=SETTINGS, exclude=["/nowhere"])
    router.get("/first")(read)
    client = TestClient(including(router))

    assert [REFUSED, REFUSED] == [ask(client, "/first", GOOD) for _ in range(2)]


# ---- several guards -----------------------------------------------------------------------------


@kinds
def test_the_innermost_protected_router_decides(kind: Kind, tmp_path: Path) -> None:
    """Its settings hold, and a token for the outer one alone is refused."""
    inner = protected_router(settings=OTHER)
    kind.add(inner, tmp_path)
    outer = protected_router(settings=SETTINGS)
    outer.include_router(inner, prefix="/i")
    app = including(outer, prefix="/o")

    served = LIVE or kind.copied
    assert_guarded(app, f"/o/i{kind.path}", good=FOREIGN, bad=GOOD, served=served)


def test_a_route_is_public_if_the_innermost_guard_says_so() -> None:
    """The outer guard does not close what the inner one opens."""
    inner = protected_router(settings=SETTINGS, prefix="/i", exclude=["/o/i/x"])
    inner.get("/x")(read)
    app = including(protected_router(inner, settings=OTHER, prefix="/o"))

    assert ask(app, "/o/i/x") == 200


@pytest.mark.parametrize("kind", ["api", "plain"])
def test_an_outer_exclusion_does_not_open_what_the_inner_guard_closes(kind: str) -> None:
    """It is refused, or it is an error that names the idle exclusion; never served."""
    inner = protected_router(settings=SETTINGS)
    if kind == "api":
        inner.get("/x")(read)
    else:
        inner.add_route("/x", plain)
    outer = protected_router(settings=OTHER, exclude=["/o/i/x"])
    outer.include_router(inner, prefix="/i")
    app = including(outer, prefix="/o")

    assert ask(app, "/o/i/x") in (401, REFUSED)


@pytest.mark.skipif(not HAS_FRONTEND, reason="this FastAPI has no frontend()")
@pytest.mark.parametrize("order", ["inner-other", "inner-settings"])
def test_a_frontend_behind_two_guards_goes_by_the_innermost_settings(
    order: str, tmp_path: Path
) -> None:
    """FastAPI tells no dependency which frontend it runs for."""
    (tmp_path / "index.html").write_text("inside")
    settings = (OTHER, SETTINGS) if order == "inner-other" else (SETTINGS, OTHER)
    inner = protected_router(settings=settings[0])
    inner.frontend("/x", directory=tmp_path)
    app = including(protected_router(inner, settings=settings[1]))
    good, bad = (FOREIGN, GOOD) if order == "inner-other" else (GOOD, FOREIGN)

    assert_guarded(app, "/x/", good=good, bad=bad)


# ---- settings, users, claims --------------------------------------------------------------------


def test_a_dependency_before_the_guard_goes_by_the_settings_of_the_router() -> None:
    """Every dependency of the request does, one of the application too."""
    seen: list[str | None] = []

    async def note(claims: Annotated[Claims, Depends(get_claims)]) -> None:
        seen.append(claims.sub)

    app = FastAPI(dependencies=[Depends(note)])
    router = protected_router(settings=OTHER)
    router.get("/x")(read)
    app.include_router(router)

    assert (200, ["bob"]) == (ask(app, "/x", bearer(OTHER_SECRET, sub="bob")), seen)


def test_a_public_route_goes_by_the_settings_of_its_router() -> None:
    """`optional` believes the tokens of that router, and refuses any other."""
    router = protected_router(settings=OTHER)

    @router.get("/who")
    @public
    async def who(user: Annotated[str | None, Depends(optional(current_user_id))]) -> str | None:
        return user

    client = TestClient(including(router))

    assert "alice" == client.get("/who", headers=FOREIGN).json()
    assert 401 == client.get("/who", headers=GOOD).status_code
    assert client.get("/who").json() is None


# ---- lifespan -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["router", "application"])
def test_a_lifespan_of_an_included_router_still_runs(place: str) -> None:
    """The guard adds to it, and takes nothing away."""
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")

    router = APIRouter(lifespan=lifespan)
    router.get("/first")(read)
    if place == "router":
        app = including(protected_router(router, settings=SETTINGS))
    else:
        app = protect(including(router), SETTINGS)

    with TestClient(app) as client:
        assert_guarded(client, "/first")

    assert ["up", "down"] == seen


def test_the_state_of_a_lifespan_reaches_guarded_routes() -> None:
    """What an application's lifespan yields is in the state of its requests."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"database": "db"}

    seen: list[str] = []

    async def note(request: Request) -> PlainTextResponse:
        seen.append(request.state.database)
        return PlainTextResponse("inside")

    router = protected_router(settings=SETTINGS, lifespan=lifespan)
    router.add_route("/x", note)

    with TestClient(including(router)) as client:
        assert ask(client, "/x", GOOD) == 200

    assert ["db"] == seen


@live_routes
def test_a_route_of_an_unknown_class_that_is_there_already_is_told() -> None:
    """It can be neither guarded nor wrapped."""
    router = APIRouter(routes=[Homemade()])

    with pytest.raises(ConfigurationError, match="Homemade cannot be guarded"):
        protected_router(router, settings=SETTINGS)
