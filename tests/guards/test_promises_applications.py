"""`protect(app)` guards a whole application, whatever is in it and whenever it came."""

import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from jwt_deps import ConfigurationError, jwt_guard, protect, protected_router
from jwt_deps.audit import Verdict, audit
from tests.web.serving import OTHER, SETTINGS

from .asking import (
    FOREIGN,
    GOOD,
    LIVE,
    REFUSED,
    answers_of,
    ask,
    assert_guarded,
    filled,
    including,
    page,
    plain,
    read,
)
from .kinds import Kind, kinds

moments = pytest.mark.parametrize("moment", ["before", "after"])


def application(moment: str, fill: Callable[[FastAPI], Any], exclude: Any = ()) -> FastAPI:
    """Protect an application before or after it is filled."""
    app = FastAPI()
    if moment == "before":
        protect(app, SETTINGS, exclude)
    fill(app)
    return app if moment == "before" else protect(app, SETTINGS, exclude)


def test_protect_returns_the_application_itself() -> None:
    """So that it can stand around the call that makes it."""
    app = FastAPI()

    assert protect(app, SETTINGS) is app


def test_an_application_can_be_protected_after_it_has_served() -> None:
    """FastAPI has built what it serves by then."""
    router, app = APIRouter(), FastAPI()
    router.get("/x")(read)
    app.include_router(router)
    assert 200 == ask(app, "/x")

    protect(app, SETTINGS)

    assert_guarded(app, "/x")


@moments
@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_the_pages_of_fastapi_stay_open(path: str, moment: str) -> None:
    """Swagger UI has to load before a user can authorize in it."""
    app = application(moment, lambda app: app.get("/first")(read))

    assert 200 == TestClient(app).get(path).status_code


@moments
@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_a_route_that_only_has_the_path_of_a_page_is_guarded(path: str, moment: str) -> None:
    """Pages are known by what serves them, not by their address."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if moment == "before":
        protect(app, SETTINGS)
    app.add_route(path, plain)
    protect(app, SETTINGS) if moment == "after" else None

    assert_guarded(app, path)


@moments
@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_a_route_in_front_of_a_page_is_guarded(path: str, moment: str) -> None:
    """It is served in place of the page, and is none."""
    app = application(moment, lambda app: app.router.routes.insert(0, Route(path, plain)))

    assert_guarded(app, path)


@moments
@pytest.mark.parametrize("where", ["mount", "host"])
def test_the_pages_of_a_mounted_application_need_a_token(where: str, moment: str) -> None:
    """They describe the inside of what is guarded."""
    inner = FastAPI()
    inner.get("/x")(read)

    def fill(app: FastAPI) -> None:
        app.mount("/m", inner) if where == "mount" else app.host("testserver", inner)

    app = FastAPI(openapi_url=None)
    if moment == "before":
        protect(app, SETTINGS)
    fill(app)
    client = TestClient(app if moment == "before" else protect(app, SETTINGS))

    for path in ("/x", "/openapi.json"):
        path = f"/m{path}" if where == "mount" else path  # noqa: PLW2901
        assert [401, 200] == [client.get(path, headers=it).status_code for it in ({}, GOOD)]


@moments
@pytest.mark.parametrize("started", [True, False], ids=["started", "not-started"])
def test_an_exclusion_that_matches_no_route_is_told(moment: str, *, started: bool) -> None:
    """At the start, or where no lifespan runs with each request."""
    app = application(moment, lambda app: app.get("/first")(read), ["/nowhere"])

    if started:
        with pytest.raises(ConfigurationError, match="/nowhere"), TestClient(app):
            pytest.fail("it started")
    else:
        assert [REFUSED, REFUSED] == [ask(app, "/first", GOOD) for _ in range(2)]


@kinds
def test_an_application_that_served_already_is_guarded_from_then_on(
    kind: Kind, tmp_path: Path
) -> None:
    """The routes that it had and those that it gets later are closed, or protect raises."""
    app = FastAPI()
    kind.add(app.router, tmp_path)
    client = TestClient(app)
    served = LIVE or not kind.lost
    assert ask(client, kind.path) == (200 if served else 404)

    try:
        protect(app, SETTINGS)
    except ConfigurationError:
        return

    assert_guarded(client, kind.path, served=served)
    app.add_route("/later", plain)
    app.get("/later-api")(read)
    assert_guarded(client, "/later")
    assert_guarded(client, "/later-api")


@pytest.mark.parametrize("inner_moment", ["before", "after"])
@moments
def test_a_mounted_protected_application_decides_for_itself(moment: str, inner_moment: str) -> None:
    """Both are protected, each with its own settings."""
    inner = FastAPI()
    if inner_moment == "before":
        protect(inner, OTHER)
    inner.get("/x")(read)
    inner.add_route("/plain", plain)
    inner.mount("/files", page())
    if inner_moment == "after":
        protect(inner, OTHER)
    app = application(moment, lambda app: app.mount("/i", inner))

    for path in ("/i/x", "/i/plain", "/i/files/y"):
        assert_guarded(app, path, good=FOREIGN, bad=GOOD)


@moments
def test_an_exception_handler_of_the_application_answers_for_refusals(moment: str) -> None:
    """401 comes as an `HTTPException`, for plain routes and mounts as well."""

    async def mine(_: Request, error: Any) -> PlainTextResponse:
        return PlainTextResponse("mine", error.status_code)

    def fill(app: FastAPI) -> None:
        app.get("/first")(read)
        app.add_route("/plain", plain)
        app.mount("/m", page())
        app.add_exception_handler(HTTPException, mine)

    client = TestClient(application(moment, fill))

    assert [("mine", 401)] * 3 == [
        (answer.text, answer.status_code)
        for answer in (client.get(path) for path in ("/first", "/plain", "/m/x"))
    ]


@moments
def test_a_refusal_passes_the_middleware_of_the_application(moment: str) -> None:
    """A browser can read a 401 from another origin only with its CORS headers."""

    def fill(app: FastAPI) -> None:
        app.add_middleware(CORSMiddleware, allow_origins=["https://front.example"])
        app.get("/first")(read)
        app.add_route("/plain", plain)

    client = TestClient(application(moment, fill))
    headers = {"Origin": "https://front.example"}

    for path in ("/first", "/plain"):
        answer = client.get(path, headers=headers)
        assert (401, "https://front.example") == (
            answer.status_code,
            answer.headers.get("access-control-allow-origin"),
        )


def test_a_preflight_request_needs_no_token() -> None:
    """Browsers send none with it; the CORS middleware answers."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["POST"])
    app.post("/first")(read)
    protect(app, SETTINGS)

    answer = TestClient(app).options(
        "/first", headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    )

    assert 200 == answer.status_code


@moments
@pytest.mark.parametrize("path", ["/nowhere", "/first/"])
def test_what_does_not_exist_answers_as_without_a_guard(path: str, moment: str) -> None:
    """404 and redirects to the right spelling tell nothing that the schema does not."""
    app = application(moment, lambda app: app.get("/first")(read))

    answer = TestClient(app).get(path, follow_redirects=False)

    assert answer.status_code in {404, 307}


@moments
def test_a_lifespan_of_a_protected_application_runs_once(moment: str) -> None:
    """Also when the application is started twice."""
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, int]]:
        seen.append("up")
        yield {"number": 1}
        seen.append("down")

    app = FastAPI(lifespan=lifespan)
    if moment == "before":
        protect(app, SETTINGS)

    @app.get("/first")
    async def first(request: Request) -> str:
        return "inside" if request.state.number == 1 else ""

    if moment == "after":
        protect(app, SETTINGS)
    for _ in range(2):
        with TestClient(app) as client:
            assert_guarded(client, "/first")

    assert ["up", "down"] * 2 == seen


def test_an_application_with_a_layer_of_its_own_around_the_stack_is_guarded() -> None:
    """A subclass may build its middleware stack however it likes."""

    class Own(FastAPI):
        def build_middleware_stack(self) -> ASGIApp:
            if find_spec("fastapi.middleware.asyncexitstack") is None:  # before 0.118
                return self.router
            layers: Any = import_module("fastapi.middleware.asyncexitstack")
            stack: ASGIApp = layers.AsyncExitStackMiddleware(self.router)
            return stack

    app = protect(Own(), SETTINGS)
    app.add_route("/x", plain)
    app.mount("/m", page())
    app.get("/api")(read)

    for path in ("/x", "/m/y", "/api"):
        try:
            status: Any = ask(app, path)
        except HTTPException as refused:  # there is nothing in this stack that answers for it
            status = refused.status_code
        assert status in {401, REFUSED}


def test_protecting_twice_is_told() -> None:
    """The application keeps the guard that it has."""
    app = protect(FastAPI(), SETTINGS)
    app.get("/first")(read)

    with pytest.raises(ConfigurationError, match="called before"):
        protect(app, OTHER)

    assert_guarded(app, "/first")


@pytest.mark.parametrize("outer", [SETTINGS, OTHER], ids=["same", "other"])
def test_an_application_with_a_guard_among_its_dependencies_can_be_protected(outer: Any) -> None:
    """`jwt_guard` is the inner one then; or `protect` says that there is one already."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/first")(read)
    app.add_route("/plain", plain)

    try:
        protect(app, outer)
    except ConfigurationError:
        return

    assert_guarded(app, "/first")
    assert ask(app, "/plain") == 401


@moments
def test_the_application_can_be_asked_for_urls(moment: str) -> None:
    """`url_path_for` knows guarded routes, plain ones and mounts."""

    def fill(app: FastAPI) -> None:
        app.get("/first", name="first")(read)
        app.add_route("/plain", plain, name="plain")
        app.mount("/m", page(), name="files")

    app = application(moment, fill)
    app.get("/second", name="second")(read)

    assert ["/first", "/plain", "/second", "/m/a"] == [
        str(app.url_path_for("first")),
        str(app.url_path_for("plain")),
        str(app.url_path_for("second")),
        str(app.url_path_for("files", path="a")),
    ]


def test_another_application_is_not_guarded_with_it() -> None:
    """The guard is on this instance only."""
    guarded, free = protect(FastAPI(), SETTINGS), FastAPI()
    for app in (guarded, free):
        app.get("/first")(read)
        app.add_route("/plain", plain)
        app.mount("/m", page())

    for path in ("/first", "/plain", "/m/x"):
        assert_guarded(guarded, path)
        assert [200, 200, 200] == answers_of(free, path)


def test_a_copy_of_an_application_is_looked_at_by_itself() -> None:
    """That the routes of the original are in order says nothing of a router that the copy has."""
    dependencies = [Depends(jwt_guard(SETTINGS))]
    app = FastAPI(dependencies=dependencies)
    app.get("/api")(read)
    assert 200 == ask(app, "/api", GOOD)

    copied = copy.copy(app)
    copied.router, copied.middleware_stack = filled(APIRouter(dependencies=dependencies)), None

    assert REFUSED == ask(copied, "/api", GOOD)


@pytest.mark.parametrize("guarded_by", [partial(protect, settings=SETTINGS), lambda app: app])
def test_a_copy_of_an_application_shares_its_router_with_the_original(guarded_by: Any) -> None:
    """It is put behind the guard, or looked at, once."""
    app = guarded_by(including(filled(protected_router(settings=SETTINGS))))
    copied = copy.copy(app)

    for one in (copied, app, copied):
        for path in ("/api", "/plain"):
            assert_guarded(one, path)


@moments
def test_a_router_of_the_protected_application_can_be_served_elsewhere(moment: str) -> None:
    """It stays guarded: the routes were taken from an application that is closed."""
    router = APIRouter()
    router.get("/x")(read)
    app = application(moment, lambda app: app.include_router(router))

    other = including(app.router, prefix="/copy")

    assert ask(other, "/copy/x") in (401, REFUSED)


@moments
def test_the_router_of_the_protected_application_is_guarded_where_it_is_mounted(
    moment: str,
) -> None:
    """`app.mount("/v1", app.router)` gives a second address, not a second door."""

    def fill(app: FastAPI) -> None:
        app.get("/x")(read)
        app.add_route("/plain", plain)

    app = application(moment, fill)
    app.mount("/v1", app.router)

    for path in ("/x", "/plain", "/v1/x", "/v1/plain"):
        assert_guarded(app, path)


@pytest.mark.parametrize(
    "wrong", [APIRouter(), None, "app", page()], ids=["router", "none", "text", "asgi"]
)
def test_what_is_no_application_is_refused(wrong: Any) -> None:
    """The sentence says what protect takes."""
    with pytest.raises(ConfigurationError, match="FastAPI"):
        protect(wrong, SETTINGS)


class TestTheStateOfAnApplication:
    """`app.state` is the caller's: guards are not kept there."""

    def test_two_applications_share_it(self) -> None:
        """Each has its own guard, and both serve."""
        app, sub = FastAPI(), FastAPI()
        sub.state = app.state
        protect(app, SETTINGS)
        app.add_route("/plain", plain)
        app.include_router(protected_router(settings=SETTINGS))
        protect(sub, SETTINGS).get("/x")(read)
        app.mount("/sub", sub)

        with TestClient(app) as client:
            for path in ("/plain", "/sub/x"):
                assert_guarded(client, path)

    def test_a_guard_in_one_says_nothing_of_the_other(self) -> None:
        """The audit looks at each application."""
        app, sub = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))]), FastAPI()
        app.add_route("/plain", plain)
        sub.state = app.state
        app.mount("/sub", protect(sub, SETTINGS))

        (route,) = (it for it in audit(app).routes if it.path == "/plain")

        assert Verdict.UNGUARDED is route.verdict

    @pytest.mark.parametrize("state", [None, {}, object()], ids=["none", "dict", "object"])
    def test_it_is_replaced(self, state: Any) -> None:
        """By whatever the caller keeps there."""
        app = protect(FastAPI(), SETTINGS)
        app.get("/x")(read)
        app.include_router(protected_router(settings=SETTINGS))
        app.state = state

        assert_guarded(app, "/x")


def test_a_router_is_included_by_keyword() -> None:
    """The parameter has the name that FastAPI gives it."""
    router, app = APIRouter(), protect(FastAPI(), SETTINGS)
    filled(router)
    app.router.include_router(router=router, prefix="/x")

    assert_guarded(app, "/x/api")
    assert_guarded(app, "/x/plain")


def test_a_public_route_that_any_spelling_matches_stays_public() -> None:
    """Its class changes the path of the scope while it matches."""

    class AnySpelling(APIRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            scope["path"] = scope["path"].lower()
            return super().matches(scope)

    app = protect(FastAPI(), SETTINGS, exclude=["/open"])
    app.router.route_class = AnySpelling
    app.get("/open")(read)
    app.get("/closed")(read)

    assert 200 == ask(app, "/OPEN")
    assert_guarded(app, "/CLOSED")
