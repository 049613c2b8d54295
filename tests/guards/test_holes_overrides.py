"""Attack: overrides of `get_settings`, the state that a lifespan left, and what the audit says."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    current_user_id,
    get_settings,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
)
from jwt_deps.audit import Verdict, audit, probe
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import OTHER, SETTINGS, bearer

from .asking import FOREIGN, GOOD, LIVE, REFUSED, answers_of, ask, including, page, plain, read

# ---- overrides ----------------------------------------------------------------------------------


def as_function() -> JWTSettings:
    """Return them."""
    return OTHER


async def as_coroutine() -> JWTSettings:
    """Return them from a coroutine."""
    return OTHER


def as_generator() -> Iterator[JWTSettings]:
    """Yield them."""
    yield OTHER


async def as_async_generator() -> AsyncIterator[JWTSettings]:
    """Yield them asynchronously."""
    yield OTHER


def per_request(request: Request) -> JWTSettings:
    """Return them for every request."""
    assert request.method
    return OTHER


async def per_connection(connection: HTTPConnection) -> JWTSettings:
    """Return them for every connection."""
    assert connection.scope["path"]
    return OTHER


class Callable_:  # noqa: N801 - `Callable` is taken
    """A callable object."""

    def __call__(self) -> JWTSettings:
        return OTHER


class AsyncCallable:
    """An object whose `__call__` is a coroutine function."""

    async def __call__(self) -> JWTSettings:
        return OTHER


class GeneratorCallable:
    """An object whose `__call__` is a generator function."""

    def __call__(self) -> Iterator[JWTSettings]:
        yield OTHER


class AsyncGeneratorCallable:
    """An object whose `__call__` is an asynchronous generator function."""

    async def __call__(self) -> AsyncIterator[JWTSettings]:
        yield OTHER


async def given(settings: JWTSettings) -> JWTSettings:
    """Return what a `partial` binds."""
    return settings


async def depending(settings: Annotated[JWTSettings, Depends(as_function)]) -> JWTSettings:
    """Return what another dependency returns."""
    return settings


OVERRIDES: dict[str, Any] = {
    "function": as_function,
    "lambda": lambda: OTHER,
    "coroutine": as_coroutine,
    "generator": as_generator,
    "async-generator": as_async_generator,
    "callable": Callable_(),
    "async-callable": AsyncCallable(),
    "generator-callable": GeneratorCallable(),
    "async-generator-callable": AsyncGeneratorCallable(),
    "method": AsyncCallable().__call__,
    "partial": partial(as_function),
    "per-request": per_request,
    "per-connection": per_connection,
    "depending": depending,
}
overrides = pytest.mark.parametrize("name", list(OVERRIDES))
places = pytest.mark.parametrize("place", ["router", "application", "dependency"])


def application(place: str) -> FastAPI:
    """Make an application whose guards go by `get_settings`."""
    router = APIRouter()
    router.get("/api")(read)
    if place == "dependency":
        return including(router, dependencies=[Depends(jwt_guard())])
    router.add_route("/plain", plain)
    if place == "router":
        return including(protected_router(router))
    return protect(including(router))


def paths(place: str) -> list[str]:
    return ["/api"] if place == "dependency" else ["/api", "/plain"]


@overrides
@places
def test_an_override_of_the_settings_of_any_kind_holds(place: str, name: str) -> None:
    """For API routes and plain ones."""
    app = application(place)
    app.dependency_overrides[get_settings] = OVERRIDES[name]

    for path in paths(place):
        assert [401, 401, 200] == answers_of(app, path, good=FOREIGN, bad=GOOD)


@overrides
@places
def test_a_schema_is_served_under_an_override_of_any_kind(place: str, name: str) -> None:
    """Guarded routes have their lock in it, whatever the settings come from."""
    app = application(place)
    app.dependency_overrides[get_settings] = OVERRIDES[name]

    answer = TestClient(app).get("/openapi.json")

    assert 200 == answer.status_code
    assert answer.json()["paths"]["/api"]["get"]["security"]


@overrides
@places
@pytest.mark.parametrize("moment", ["script", "running-loop"])
def test_an_audit_is_made_under_an_override_of_any_kind(moment: str, place: str, name: str) -> None:
    """Also where a loop runs; what it cannot know is a problem, and nothing is called open."""
    app = application(place)
    app.dependency_overrides[get_settings] = OVERRIDES[name]

    async def in_a_loop() -> Any:
        return audit(app)

    found = audit(app) if moment == "script" else asyncio.run(in_a_loop())

    verdicts = {route.path: route.verdict for route in found.routes}
    for path in paths(place):
        assert verdicts[path] is Verdict.GUARDED or not found.ok
        assert verdicts[path] is not Verdict.PUBLIC
    assert found.ok or any("get_settings" in problem for problem in found.problems)


class NoSettingsError(Exception):
    """What an override raises."""


def raising() -> JWTSettings:
    """Fail."""
    raise NoSettingsError


async def raising_async() -> JWTSettings:
    """Fail in a coroutine."""
    raise NoSettingsError


def raising_configuration() -> JWTSettings:
    """Fail as the settings do."""
    return JWTSettings(secret_key=None)


def raising_http() -> JWTSettings:
    """Answer in place of the settings."""
    raise HTTPException(503)


def raising_generator() -> Iterator[JWTSettings]:
    """Fail before anything is yielded."""
    raise NoSettingsError
    yield OTHER


RAISING: list[Any] = [
    raising,
    raising_async,
    raising_configuration,
    raising_http,
    raising_generator,
]


@pytest.mark.parametrize("override", RAISING, ids=lambda override: override.__name__)
@places
def test_an_override_that_raises_opens_nothing(place: str, override: Any) -> None:
    """Its error is the application's own; the endpoint never runs."""
    app = application(place)
    app.dependency_overrides[get_settings] = override
    client = TestClient(app, raise_server_exceptions=False)

    for path in paths(place):
        for headers in (GOOD, FOREIGN):
            answer = client.get(path, headers=headers)
            assert answer.status_code in {500, 503}
        assert client.get(path).status_code in {401, 500, 503}


@pytest.mark.parametrize("override", RAISING, ids=lambda override: override.__name__)
@places
def test_a_schema_and_an_audit_survive_an_override_that_raises(place: str, override: Any) -> None:
    """The schema keeps its lock; the audit has a problem."""
    app = application(place)
    app.dependency_overrides[get_settings] = override
    client = TestClient(app)

    answer = client.get("/openapi.json")
    found = audit(app)

    assert 200 == answer.status_code
    assert answer.json()["paths"]["/api"]["get"]["security"]
    assert not found.ok
    assert found.problems


@pytest.mark.parametrize("result", [None, "settings", 1, {}], ids=repr)
@places
def test_an_override_that_gives_no_settings_opens_nothing(place: str, result: Any) -> None:
    """Something went wrong in a test's fixture."""
    app = application(place)
    app.dependency_overrides[get_settings] = lambda: result
    client = TestClient(app, raise_server_exceptions=False)

    for path in paths(place):
        for headers in (GOOD, FOREIGN):
            assert 500 == client.get(path, headers=headers).status_code


@pytest.mark.parametrize("outer", ["protected_router", "protect", "jwt_guard"])
def test_an_override_of_an_inner_guard_leaves_the_outer_one_on(outer: str) -> None:
    """The outer one decides, under its own settings."""
    inner = jwt_guard(OTHER)
    router = APIRouter(dependencies=[Depends(inner)])
    router.get("/x")(read)
    if outer == "protected_router":
        app = including(protected_router(router, settings=SETTINGS))
    elif outer == "protect":
        app = protect(including(router), SETTINGS)
    else:
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
        app.include_router(router)
    assert [401, 401, 200] == answers_of(app, "/x", good=FOREIGN, bad=GOOD)

    app.dependency_overrides[inner] = lambda: None

    assert [401, 401, 200] == answers_of(app, "/x", good=GOOD, bad=FOREIGN)


def test_an_override_of_an_outer_guard_leaves_the_inner_one_on() -> None:
    """The inner one decides anyway."""
    outer = jwt_guard(SETTINGS)
    router = APIRouter(dependencies=[Depends(jwt_guard(OTHER))])
    router.get("/x")(read)
    app = FastAPI(dependencies=[Depends(outer)])
    app.include_router(router)

    app.dependency_overrides[outer] = lambda: None

    assert [401, 401, 200] == answers_of(app, "/x", good=FOREIGN, bad=GOOD)


def test_the_audit_does_not_call_a_route_guarded_whose_only_guard_is_replaced() -> None:
    """A test's override that stayed on."""
    guard = jwt_guard(SETTINGS)
    app = FastAPI(dependencies=[Depends(guard)])
    app.get("/x")(read)
    app.dependency_overrides[guard] = lambda: None

    assert 200 == ask(app, "/x")
    assert not audit(app).ok


def tenant(connection: HTTPConnection) -> JWTSettings:
    """Return the settings of the tenant that a request names."""
    return OTHER if connection.headers.get("x-tenant") == "other" else SETTINGS


@pytest.mark.parametrize("outer", ["router", "application"])
@pytest.mark.parametrize("kind", ["open-application", "open-router"])
def test_settings_per_request_reach_into_what_is_mounted(kind: str, outer: str) -> None:
    """The dependencies inside go by the settings that the guard at the mount found."""
    inner: Any = FastAPI() if kind == "open-application" else APIRouter()

    async def me(user: Annotated[str, Depends(current_user_id)]) -> str:
        return user

    inner.get("/me")(me)
    app = FastAPI()
    if outer == "router":
        router = protected_router()
        router.mount("/in", inner)
        app.mount("/m", router)
    else:
        app.mount("/m/in", inner)
        protect(app)
    app.dependency_overrides[get_settings] = tenant
    client = TestClient(app)

    def who(secret: str, tenant: str) -> Any:
        headers = {**bearer(secret, sub="bob"), "x-tenant": tenant}
        answer = client.get("/m/in/me", headers=headers)
        return answer.json() if answer.status_code == 200 else answer.status_code

    assert ["bob", 401, 401, "bob"] == [
        who(SECRET, "first"),
        who(OTHER_SECRET, "first"),
        who(SECRET, "other"),
        who(OTHER_SECRET, "other"),
    ]
    assert 401 == client.get("/m/in/me").status_code


# ---- what a lifespan put into the state ---------------------------------------------------------

STATE = {
    "dependencies": "a pool",
    "scopes": "a registry",
    "token": "a token of the service itself",
    "claims": "an insurance",
    "user_id": "the service account",
    "session_id": "the worker",
    "audience": "the public",
    "session_state": "the machine",
    "authenticated": "the connection to the broker",
}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Put something under every name that the package writes."""
    yield dict(STATE)


def kept(request: Request) -> dict[str, Any]:
    return {name: getattr(request.state, name, "gone") for name in STATE}


async def answer_refused(request: Request, _: Exception) -> JSONResponse:
    """Show the state of a refused request."""
    return JSONResponse(kept(request), 401)


def stateful(place: str, settings: JWTSettings = SETTINGS) -> FastAPI:
    """Make an application with a lifespan, a guard, and routes that show the state."""
    router = APIRouter()

    @router.get("/closed")
    async def closed(request: Request) -> Any:
        return kept(request)

    @router.get("/open")
    @public
    async def opened(request: Request) -> Any:
        return kept(request)

    @router.get("/optional")
    @public
    async def maybe(
        request: Request, user: Annotated[str | None, Depends(optional(current_user_id))]
    ) -> Any:
        assert user is None
        return kept(request)

    async def plain_state(request: Request) -> JSONResponse:
        return JSONResponse(kept(request))

    router.add_route("/plain", plain_state)
    router.add_route("/plain-open", public(plain_open_state))
    router.mount("/mount", page())
    app = FastAPI(lifespan=lifespan)
    app.add_exception_handler(HTTPException, answer_refused)
    app.add_exception_handler(401, answer_refused)
    if place == "router":
        app.include_router(protected_router(router, settings=settings))
        return app
    if place == "nested":
        inner = protected_router(router, settings=settings)
        app.include_router(protected_router(inner, settings=OTHER))
        return app
    app.include_router(router)
    return protect(app, settings)


async def plain_open_state(request: Request) -> JSONResponse:
    """Show the state of an open plain route."""
    return JSONResponse(kept(request))


state_places = pytest.mark.parametrize("place", ["router", "nested", "application"])


@state_places
@pytest.mark.parametrize("path", ["/closed", "/plain", "/mount/x"])
@pytest.mark.parametrize("headers", [{}, FOREIGN], ids=["without", "foreign"])
def test_a_refused_request_keeps_what_the_lifespan_put_into_its_state(
    headers: dict[str, str], path: str, place: str
) -> None:
    """An exception handler still finds its database there."""
    if not LIVE and path == "/mount/x":
        pytest.skip("up to 0.136 mounts of an included router are not served")
    with TestClient(stateful(place)) as client:
        answer = client.get(path, headers=headers)

    assert (401, STATE) == (answer.status_code, answer.json())


@state_places
@pytest.mark.parametrize("path", ["/open", "/plain-open", "/optional"])
def test_a_public_request_keeps_what_the_lifespan_put_into_its_state(path: str, place: str) -> None:
    """Nothing is authenticated, so nothing is written or taken away."""
    with TestClient(stateful(place)) as client:
        answer = client.get(path)

    assert (200, STATE) == (answer.status_code, answer.json())


@state_places
@pytest.mark.parametrize("path", ["/closed", "/plain"])
def test_an_anonymous_request_keeps_what_the_lifespan_put_into_its_state(
    path: str, place: str
) -> None:
    """`validate=False` writes `authenticated`, and nothing else."""
    settings = JWTSettings(secret_key=SECRET, validate=False)
    with TestClient(stateful(place, settings)) as client:
        answer = client.get(path)

    assert (200, {**STATE, "authenticated": False}) == (answer.status_code, answer.json())


@state_places
def test_one_request_leaves_nothing_in_the_state_of_the_next(place: str) -> None:
    """What the lifespan gave is there again, whichever caller came before."""
    with TestClient(stateful(place)) as client:
        assert "alice" == client.get("/closed", headers=GOOD).json()["user_id"]

        assert STATE == client.get("/open").json()
        assert STATE == client.get("/plain-open").json()


# ---- what the audit says ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 405, 422, 302])
@pytest.mark.parametrize("kind", ["api", "plain"])
def test_a_probe_does_not_take_an_endpoints_own_answer_for_a_refusal(
    kind: str, status: int
) -> None:
    """An endpoint that ran without a token is a problem, or at least not known to be refused."""
    ran: list[int] = []

    async def endpoint() -> None:
        ran.append(status)
        raise HTTPException(status)

    async def plain_endpoint(_: Request) -> Any:
        ran.append(status)
        raise HTTPException(status)

    router = APIRouter()
    if kind == "api":
        router.get("/x")(endpoint)
    else:
        router.add_route("/x", plain_endpoint)
    app = including(protected_router(router, settings=SETTINGS))
    looked = audit(app)
    assert looked.ok, str(looked)

    # The same routes, and whatever guarded them is gone.
    found = asyncio.run(probe(including(router), looked))

    assert [status] == ran
    assert not found.ok


@pytest.mark.parametrize("place", ["router", "application"])
def test_a_probe_finds_a_guarded_application_closed(place: str) -> None:
    """Its refusals come from the guards."""
    app = application(place)
    app.dependency_overrides[get_settings] = as_function

    found = asyncio.run(probe(app, audit(app)))

    assert {"401"} == {route.answer for route in found.routes if route.path in paths(place)}
    assert found.ok, str(found)


def test_an_audit_changes_nothing_about_the_application() -> None:
    """A plain route is as open after it as before."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/api")(read)
    app.add_route("/plain", plain)
    before = ask(app, "/plain")
    routes = [(type(route), id(route)) for route in app.routes]

    try:
        found = audit(app)
    except ConfigurationError:
        return

    assert routes == [(type(route), id(route)) for route in app.routes]
    assert ask(app, "/plain") in (before, REFUSED, 401)
    assert before != 200 or not found.ok


@pytest.mark.parametrize("place", ["router", "application"])
def test_what_the_audit_calls_guarded_is_closed(place: str) -> None:
    """Verdicts and answers agree, route by route."""
    router = APIRouter()
    router.get("/api")(read)
    router.get("/open")(public_read)
    router.add_route("/plain", plain)
    router.mount("/m", page())
    app = FastAPI()
    if place == "router":
        app.include_router(protected_router(router, settings=SETTINGS))
    else:
        app.include_router(router)
        protect(app, SETTINGS)

    found = audit(app)

    assert found.ok, str(found)
    verdicts = {route.path: route.verdict for route in found.routes}
    assert verdicts["/api"] is verdicts["/plain"] is Verdict.GUARDED
    assert verdicts["/open"] is Verdict.PUBLIC
    assert [401, 401, 200] == [ask(app, path) for path in ("/api", "/plain", "/open")]
    assert not LIVE or 401 == ask(app, "/m/x")


@public
async def public_read() -> str:
    """Answer."""
    return "inside"
