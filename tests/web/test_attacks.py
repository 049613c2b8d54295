"""Attacks that once succeeded are refused.

Each test is named for what was open. The reviewer was given the contract and the source.
"""

import copy
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient
from starlette.requests import Request as PlainRequest
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.testclient import WebSocketDenialResponse

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    current_user_id,
    get_claims,
    get_settings,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
    require_scopes,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import (
    LIVE,
    OTHER,
    SETTINGS,
    bearer,
    client_of,
    including,
    live_mounts,
    token,
    who,
)


async def read() -> str:
    return "inside"


async def plain(_: PlainRequest) -> PlainTextResponse:
    return PlainTextResponse("inside")


async def talk(websocket: Any) -> None:
    await websocket.accept()


def statuses(client: TestClient, *paths: str, **headers: str) -> list[int]:
    return [client.get(path, headers=headers).status_code for path in paths]


def connect(client: TestClient, path: str, headers: dict[str, str]) -> None:
    with client.websocket_connect(path, headers=headers):
        pytest.fail("it was accepted")


def assert_never_served(app: FastAPI, path: str, match: str, *, websocket: bool = False) -> None:
    """Say why at start, where there is one, and at each request."""
    with pytest.raises(ConfigurationError, match=match), TestClient(app):
        pytest.fail("it started")
    client = TestClient(app)
    for headers in ({}, bearer()):
        with pytest.raises(ConfigurationError, match=match):
            connect(client, path, headers) if websocket else client.get(path, headers=headers)


@pytest.mark.parametrize(
    "route", [APIRoute("/x", read), APIWebSocketRoute("/x", talk)], ids=["http", "websocket"]
)
@pytest.mark.parametrize("where", ["constructor", "protected_router", "protect"])
def test_a_ready_made_route_below_a_guard_is_refused(route: BaseRoute, where: str) -> None:
    """FastAPI gives it none of its router's dependencies, silently."""
    refusal = "'/x' is in a guarded router and no guard applies to it"
    if where == "constructor":
        with pytest.raises(ConfigurationError, match=refusal):
            protected_router(settings=SETTINGS, routes=[route])
        return

    router, app = protected_router(settings=SETTINGS), FastAPI()
    if where == "protect":
        protect(app, SETTINGS).router.routes.append(route)
    else:
        router.routes.append(route)
        try:
            app.include_router(router)
        except ConfigurationError as error:  # up to FastAPI 0.136, which would copy it
            assert refusal in str(error)  # noqa: PT017
            return

    assert_never_served(app, "/x", refusal, websocket=isinstance(route, APIWebSocketRoute))


def test_ready_made_routes_of_an_application_are_guarded_when_it_is_protected() -> None:
    """`protect` finds them there, and gives them its dependencies."""
    routes: list[BaseRoute] = [APIRoute("/x", read), APIWebSocketRoute("/ws", talk)]
    client = TestClient(protect(FastAPI(routes=routes), SETTINGS))

    assert [401] == statuses(client, "/x")
    assert [200] == statuses(client, "/x", **bearer())
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/ws"):
        pytest.fail("it was accepted")


@pytest.mark.parametrize("when", ["lifespan", "serving"])
def test_routes_that_replace_a_list_are_guarded(when: str) -> None:
    """AgentOS puts a new list in the place of `app.router.routes`, and mounts MCP after it."""

    def resync(app: FastAPI) -> None:
        app.router.routes = [*app.router.routes]
        app.mount("/mcp", PlainTextResponse("inside"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if when == "lifespan":
            resync(app)
        yield

    app = protect(FastAPI(lifespan=lifespan), SETTINGS)
    with TestClient(app) as client:
        if when == "serving":
            assert [404] == statuses(client, "/mcp/")
            resync(app)

        assert [401] == statuses(client, "/mcp/")
        assert [200] == statuses(client, "/mcp/", **bearer())


def test_a_router_of_an_application_that_is_mounted_is_closed() -> None:
    """`app.mount("/r", other.router)` mounts an `APIRouter`."""
    inner = protect(FastAPI(openapi_url=None), OTHER)
    inner.get("/x")(read)
    inner.add_route("/plain", plain)
    app = FastAPI()
    app.mount("/r", inner.router)
    client = TestClient(app)

    assert [401, 401] == statuses(client, "/r/x", "/r/plain")
    assert [401, 401] == statuses(client, "/r/x", "/r/plain", **bearer())
    assert [200, 200] == statuses(client, "/r/x", "/r/plain", **bearer(OTHER_SECRET))


async def house_rules(_: Annotated[None, Depends(jwt_guard(SETTINGS))]) -> None: ...


@pytest.mark.parametrize("where", ["application", "router"])
def test_a_guard_inside_a_dependency_of_the_callers_own_covers_plain_routes(where: str) -> None:
    """What applies to FastAPI's routes applies to Starlette's."""
    rules = [Depends(house_rules)]
    app = FastAPI()
    router: APIRouter = app.router
    if where == "application":
        protect(app, OTHER, dependencies=rules)
    else:
        router = protected_router(settings=OTHER, dependencies=rules)
    router.add_route("/plain", plain)
    router.mount("/m", PlainTextResponse("inside"))
    router.get("/x")(read)
    if where == "router":
        app.include_router(router)
    client = TestClient(app)
    paths = ("/x", "/plain", "/m/") if LIVE or where == "application" else ("/x", "/plain")

    assert {401} == {*statuses(client, *paths)}
    assert {401} == {*statuses(client, *paths, **bearer(OTHER_SECRET))}
    assert {200} == {*statuses(client, *paths, **bearer())}
    assert LIVE or where == "application" or [404] == statuses(client, "/m/")


def test_a_guard_inside_a_dependency_alone_refuses_plain_routes_once_it_is_asked() -> None:
    """FastAPI runs it for its own routes only."""
    app = FastAPI(dependencies=[Depends(house_rules)])
    app.get("/x")(read)
    app.add_route("/plain", plain)
    client = TestClient(app)

    for path in ("/x", "/plain", "/x"):
        with pytest.raises(ConfigurationError, match=r"protect\(app\)"):
            client.get(path, headers=bearer())


def test_a_copied_router_shares_its_routes_and_not_its_guards() -> None:
    """`copy.copy` of a router shares the list of its routes."""
    inner = APIRouter()
    inner.add_route("/plain", plain)
    app = FastAPI()
    app.include_router(protected_router(inner, settings=SETTINGS), prefix="/a")
    app.include_router(protected_router(copy.copy(inner), settings=OTHER), prefix="/b")
    client = TestClient(app)

    assert [401, 401] == statuses(client, "/a/plain", "/b/plain")
    assert [200, 401] == statuses(client, "/a/plain", "/b/plain", **bearer())
    assert [401, 200] == statuses(client, "/a/plain", "/b/plain", **bearer(OTHER_SECRET))


@pytest.mark.parametrize("mounted", [False, True], ids=["included", "mounted"])
@pytest.mark.parametrize(
    "route",
    [
        pytest.param(Route("/x", plain), id="route"),
        pytest.param(Mount("/x", PlainTextResponse("inside")), id="mount"),
    ],
)
def test_a_route_shared_by_two_guarded_routers_opens_to_the_tokens_of_each_where_it_is_theirs(
    route: BaseRoute, *, mounted: bool
) -> None:
    """The settings of the one are not believed in the other, nor any where no guard applies."""
    app = FastAPI()
    for prefix, settings in (("/a", SETTINGS), ("/b", OTHER)):
        router = protected_router(settings=settings)
        router.routes.append(route)
        app.mount(prefix, router) if mounted else app.include_router(router, prefix=prefix)
    app.mount("/c", APIRouter(routes=[route]))
    client = TestClient(app)

    mine, others = bearer(), bearer(OTHER_SECRET)
    found = [statuses(client, "/a/x/", "/b/x/", "/c/x/", **it) for it in ({}, mine, others)]

    if LIVE or mounted:
        assert [[401, 401, 401], [200, 401, 401], [401, 200, 401]] == found
    else:  # it is not known through which of the two a copy is served, and so it is closed
        closed = 404 if isinstance(route, Mount) else 401
        assert [[closed, closed, 401]] * 3 == found


def test_routes_shared_with_an_application_that_served_before_are_guarded() -> None:
    """One that has no guard, and so left them as they were."""
    shared: list[BaseRoute] = [Route("/x", plain), Mount("/m", PlainTextResponse("inside"))]
    open_ = FastAPI(routes=shared)
    assert [200, 200] == statuses(TestClient(open_), "/x", "/m/")

    closed = protect(FastAPI(routes=shared), SETTINGS)

    assert [401, 401] == statuses(TestClient(closed), "/x", "/m/")
    # From then on it is not known through which of the two it is served, and so it is closed.
    assert [401, 401] == statuses(TestClient(open_), "/x", "/m/")


@pytest.mark.parametrize("kind", ["guard", "own", "plain-guard"])
def test_scopes_of_an_outer_guard_hold_below_an_inner_one(kind: str) -> None:
    """The inner guard decides who is let in, and the scopes are asked of them.

    A route that the inner guard excludes is public for it; what applies further out stays.
    """
    scopes = Security(jwt_guard(SETTINGS), scopes=["admin"])
    if kind == "own":
        scopes = Depends(require_scopes("admin"))
    app = FastAPI(dependencies=[scopes] if kind == "plain-guard" else [])
    paths = ["/x", "/open"]
    router = protected_router(settings=OTHER, exclude=["/open"])
    router.get("/x")(read)
    router.get("/open")(read)
    if kind != "plain-guard":
        protect(app, SETTINGS, dependencies=[scopes])
        router.add_route("/plain", plain)
        paths.append("/plain")
    app.include_router(router)
    client = TestClient(app)

    for headers, status in (
        ({}, 401),
        (bearer(scope="admin"), 401),
        (bearer(OTHER_SECRET), 403),
        (bearer(OTHER_SECRET, scope="admin"), 200),
    ):
        assert {status} == {*statuses(client, *paths, **headers)}


@pytest.mark.skipif(
    not LIVE, reason="up to 0.136 nothing tells which router a copied route came from"
)
@pytest.mark.parametrize("how", ["inclusion", "router"])
def test_a_plain_guard_that_came_while_serving_refuses_plain_routes_once_it_is_asked(
    how: str,
) -> None:
    """It is a dependency, and sees the application with the first request to it."""
    app = FastAPI()
    app.get("/first")(read)
    client = TestClient(app)
    assert [200] == statuses(client, "/first")
    guard = [Depends(jwt_guard(SETTINGS))]
    router = APIRouter(dependencies=guard if how == "router" else None)
    router.get("/x")(read)
    router.add_route("/plain", plain)
    router.mount("/m", PlainTextResponse("inside"))

    app.include_router(router, dependencies=guard if how == "inclusion" else None)

    for path in ("/x", "/plain", "/m/"):
        with pytest.raises(ConfigurationError, match=r"protect\(app\)"):
            client.get(path, headers=bearer())


def test_a_default_application_of_a_guarded_router_is_refused() -> None:
    """No dependency applies to what serves when no route matches."""
    with pytest.raises(ConfigurationError, match="default application"):
        protected_router(settings=SETTINGS, default=PlainTextResponse("inside"))


@pytest.mark.parametrize("how", ["protect", "jwt_guard"])
def test_a_default_application_of_a_guarded_application_is_refused(how: str) -> None:
    """It serves every path that no other route does."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))] if how == "jwt_guard" else None)
    if how == "protect":
        protect(app, SETTINGS)
    app.get("/x")(read)
    app.router.default = PlainTextResponse("inside")
    client = TestClient(app)

    for path in ("/x", "/nowhere"):
        with pytest.raises(ConfigurationError, match="default application"):
            client.get(path, headers=bearer())


class Odd(Route):
    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("inside")(scope, receive, send)


def test_a_plain_route_that_handles_requests_in_its_own_way_is_refused() -> None:
    """It would not ask the application that was wrapped."""
    with pytest.raises(ConfigurationError, match="Odd cannot be guarded"):
        protected_router(settings=SETTINGS, routes=[Odd("/x", plain)])

    router = protected_router(settings=SETTINGS)
    router.routes.append(Odd("/x", plain))
    app = FastAPI()
    if not LIVE:  # it would be copied
        with pytest.raises(ConfigurationError, match="Odd cannot be guarded"):
            app.include_router(router)
        return
    app.include_router(router)

    assert_never_served(app, "/x", "Odd cannot be guarded")


def test_a_guard_that_an_endpoint_asks_for_adds_and_replaces_nothing() -> None:
    """A helper's guard, with other settings or exclusions, opens no stricter router."""

    async def helper(_: Annotated[None, Depends(jwt_guard(OTHER, exclude=["/x"]))]) -> None: ...

    router = protected_router(settings=SETTINGS)

    @router.get("/x")
    async def endpoint(_: Annotated[None, Depends(helper)]) -> None: ...

    client = TestClient(client_of(router).app)
    assert [401, 401, 401] == [
        status
        for headers in ({}, bearer(), bearer(OTHER_SECRET))
        for status in statuses(client, "/x", **headers)
    ]


@pytest.mark.parametrize("junk", ["\xa0", "\x85", "\x1c", "\x0b"])
def test_a_cookie_whose_name_only_looks_like_a_host_cookie_is_another_one(junk: str) -> None:
    """Python strips more than HTTP does, and browsers let a subdomain set that other name."""
    settings = JWTSettings(secret_key=SECRET, token_source="cookie", cookie_name="__Host-token")
    router = protected_router(settings=settings)
    router.get("/x")(read)
    header = f"{junk}__Host-token={token()}".encode("latin-1")

    answer = client_of(router).get("/x", headers=[(b"cookie", header)])

    assert 401 == answer.status_code


@live_mounts
def test_a_mounted_application_has_overrides_of_its_own() -> None:
    """What the outer one puts in the place of `get_claims` is not asked for the inner one's."""
    inner = FastAPI()

    inner.get("/me")(who)
    router = protected_router(settings=SETTINGS)
    router.mount("/inner", inner)
    app = including(router)
    app.dependency_overrides[get_claims] = lambda: {"sub": "outer"}
    inner.dependency_overrides[get_claims] = lambda: {"sub": "inner"}

    assert "inner" == TestClient(app).get("/inner/me").json()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("Bearer\tbad", id="tab"),
        pytest.param("Basic x, Bearer bad", id="behind-another-scheme"),
        pytest.param("bearer  bad", id="two-spaces"),
    ],
)
def test_optional_takes_no_odd_credential_for_none(header: str) -> None:
    """Present and bad is refused, however it is spelt."""
    router = protected_router(settings=SETTINGS, exclude=["/x"])

    @router.get("/x")
    async def endpoint(_: Annotated[str | None, Depends(optional(current_user_id))]) -> None: ...

    assert client_of(router).get("/x", headers={"Authorization": header}).status_code in {400, 401}


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\t", "\x1c", "\n"])
def test_scopes_are_separated_by_spaces_alone(space: str) -> None:
    """An issuer that lets users choose a scope's name must not let them choose two."""
    router = protected_router(settings=SETTINGS)
    router.get("/x", dependencies=[Depends(require_scopes("admin"))])(read)

    assert [403] == statuses(client_of(router), "/x", **bearer(scope=f"x{space}admin"))


def test_the_settings_class_in_the_place_of_get_settings_reads_no_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`dependency_overrides[get_settings] = JWTSettings` means the environment."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    app = FastAPI()
    router = protected_router()
    router.get("/x")(read)
    app.include_router(router)
    app.dependency_overrides[get_settings] = JWTSettings
    client = TestClient(app)

    attack = f"/x?secret_key={OTHER_SECRET}&validate=false"

    assert [401] == statuses(client, attack, **bearer(OTHER_SECRET))
    assert [200] == statuses(client, attack, **bearer())


def test_another_class_in_the_place_of_get_settings_is_called_as_a_dependency() -> None:
    """With the request, if it asks for that."""

    class OfTenant:
        def __new__(cls, request: Request) -> Any:
            return OTHER if request.headers.get("x-tenant") == "other" else SETTINGS

    router = protected_router()
    router.get("/x")(read)
    app = including(router)
    app.dependency_overrides[get_settings] = OfTenant
    client = TestClient(app)

    assert [200] == statuses(client, "/x", **bearer())
    assert [401] == statuses(client, "/x", **bearer(), **{"x-tenant": "other"})


def test_nothing_of_a_token_hangs_on_the_exceptions() -> None:
    """Collectors of errors walk `__cause__` and `__context__`, suppressed or not."""
    seen: list[BaseException] = []
    app = FastAPI()
    router = protected_router(settings=SETTINGS)
    router.get("/x")(read)
    app.include_router(router)

    @app.exception_handler(HTTPException)
    async def collect(_: Request, error: HTTPException) -> PlainTextResponse:
        chain: BaseException | None = error
        while chain is not None:
            seen.append(chain)
            chain = chain.__cause__ or chain.__context__
        return PlainTextResponse("", error.status_code)

    for text in ("e30.e30.e30", "eyJhIjox.e30.e30", "____.e30.e30", token(exp="secret")):
        TestClient(app).get("/x", headers={"Authorization": f"Bearer {text}"})

    assert {"HTTPException", "MalformedTokenError", "ClaimError"} == {
        type(error).__name__ for error in seen
    }


def test_a_decorator_that_wraps_a_public_endpoint_is_public_too() -> None:
    """The mark goes with `functools.wraps`, as everything else about the endpoint does."""

    @public
    async def opened() -> str:
        return "opened"

    @functools.wraps(opened)
    async def counted() -> str:
        return await opened()

    router = protected_router(settings=SETTINGS)
    router.get("/x")(counted)

    assert [200] == statuses(client_of(router), "/x")
