"""Attack: mounts inside a guard, with guards of their own there, and with layers between."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    current_user_id,
    get_settings,
    jwt_guard,
    optional,
    protect,
    protected_router,
    require_roles,
    require_scopes,
)
from jwt_deps.audit import audit
from jwt_deps.testing import Prover, TokenFactory, acting_as
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, including, live_mounts, live_routes

from .asking import FOREIGN, GOOD, Cutting, Layer, drive, guarded_by

#: `jwt_guard` refuses applications with mounts.
covering = pytest.mark.parametrize("kind", ["protect", "protected_router"])

EMPLOYEES = JWTSettings(secret_key=SECRET, user_id_claim="employee", scopes_claim="granted")
BOSS = bearer(sub="boss", employee="e1", granted="none", scope="admin")


def with_a_guard_inside(inside: str) -> Any:
    """An application, or a router, that has a guard of its own and a route `/x`."""
    if inside == "protected_router":
        router = protected_router(settings=SETTINGS)
        router.get("/x")(lambda: "x")
        return router
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))] if inside == "jwt_guard" else [])
    app.get("/x")(lambda: "x")
    return protect(app, SETTINGS) if inside == "protect" else app


@live_routes
@covering
@pytest.mark.parametrize("inside", ["protect", "protected_router", "jwt_guard", "none"])
def test_attack_a_dependency_over_a_mount_with_a_guard_of_its_own(inside: str, kind: str) -> None:
    """It reads who is calling before that guard has decided, and refuses whom it has to."""

    async def refuse_blocked(request: Request) -> None:
        if getattr(request.state, "user_id", None) == "mallory":
            raise HTTPException(403)

    if kind == "protect":
        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(refuse_blocked)])
        app.mount("/m", with_a_guard_inside(inside))
    else:
        outer = protected_router(settings=SETTINGS, dependencies=[Depends(refuse_blocked)])
        outer.mount("/m", with_a_guard_inside(inside))
        app = including(outer)
    client = TestClient(app)

    statuses = [
        client.get("/m/x", headers=headers).status_code
        for headers in (GOOD, bearer(sub="mallory"), FOREIGN, {})
    ]

    assert [200, 403, 401, 401] == statuses


@covering
def test_attack_a_guard_that_an_endpoint_asks_for_is_not_who_is_calling(kind: str) -> None:
    """It adds to the guards of the route and takes the place of none, in `request.state` too."""
    router = APIRouter()

    async def me(request: Request) -> Any:
        return [request.state.user_id, request.user.identity]

    @router.get("/parameter")
    async def with_parameter(
        request: Request, _: Annotated[None, Security(jwt_guard(SETTINGS), scopes=["admin"])]
    ) -> Any:
        return await me(request)

    @router.get("/refused")
    async def refused(request: Request, _: Annotated[None, Depends(jwt_guard(OTHER))]) -> Any:
        return await me(request)

    client = TestClient(guarded_by(kind, router, EMPLOYEES))

    assert ["e1", "e1"] == client.get("/parameter", headers=BOSS).json()
    assert 403 == client.get("/parameter", headers=bearer(employee="e1")).status_code
    assert 401 == client.get("/refused", headers=BOSS).status_code


class Forwarded(Layer):
    """A middleware that puts the prefix which a proxy has cut off in front again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = dict(scope["headers"]).get(b"x-forwarded-prefix", b"").decode()
        root, path = prefix + scope.get("root_path", ""), prefix + scope["path"]
        await self.app({**scope, "root_path": root, "path": path}, receive, send)


class NamingItsRouter(Layer):
    """A middleware with which `url_for` of a mounted application finds its own routes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "router": scope["app"].router}, receive, send)


@live_routes
@covering
@pytest.mark.parametrize("layer", [Forwarded, NamingItsRouter])
@pytest.mark.parametrize("where", ["middleware", "around"])
def test_attack_a_layer_below_two_mounts_that_changes_the_scope(
    where: str, layer: Callable[[ASGIApp], ASGIApp], kind: str
) -> None:
    """The settings are those of the guard, and what applies to plain routes is asked."""
    tool, between, router = FastAPI(), FastAPI(), APIRouter()
    tool.dependency_overrides[get_settings] = lambda: SETTINGS

    @tool.get("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    @tool.get("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin() -> str:
        return "admin"

    plain = APIRouter(dependencies=[Depends(require_scopes("admin"))])
    plain.add_route("/plain", lambda _: PlainTextResponse("plain"))
    tool.mount("/in", plain)
    if where == "middleware":
        tool.add_middleware(layer)
    between.mount("/tool", layer(tool) if where == "around" else tool)
    router.mount("/apps", between)
    client = TestClient(guarded_by(kind, router, EMPLOYEES))

    for prefix in ({}, {"X-Forwarded-Prefix": "/v1"}):
        assert "e1" == client.get("/apps/tool/me", headers={**BOSS, **prefix}).json()
        assert 403 == client.get("/apps/tool/admin", headers={**BOSS, **prefix}).status_code
        assert 403 == client.get("/apps/tool/in/plain", headers={**BOSS, **prefix}).status_code


@live_routes
def test_a_router_that_is_mounted_behind_a_layer_that_changes_the_path() -> None:
    """The request is the same: its state is there, and its proof is used once."""
    origin = "https://api.example.com"
    settings = JWTSettings(secret_key=SECRET, dpop="required", public_origin=origin)
    router, prover = APIRouter(), Prover(origin)
    router.add_route("/state", lambda request: JSONResponse(request.state.user_id))

    @router.get("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    app = FastAPI()
    app.mount("/m", Cutting(router))
    protect(app, settings)
    client = TestClient(app, base_url=origin)
    token = TokenFactory.for_settings(settings)("alice", claims=prover.binding)

    for path in ("/m/state/", "/m/me/"):
        assert "alice" == client.get(path, headers=prover(token, "GET", path)).json()


@live_routes
def test_attack_a_part_of_a_batch_that_names_its_sender_in_the_query() -> None:
    """A plain route of the application that it is sent to does not read who sent the batch."""
    settings = JWTSettings(secret_key=SECRET, token_getter=lambda c: c.query_params.get("token"))
    inner, between = FastAPI(), FastAPI()
    inner.add_route("/who", lambda request: JSONResponse(getattr(request.state, "user_id", None)))

    @between.get("/batch")
    async def batch(request: Request) -> Any:
        root = f"{request.scope['root_path']}/deep"
        path = {"path": f"{root}/who", "root_path": root, "query_string": b"token=of.some.other"}
        _, body, _ = await drive(inner, {**request.scope, **path})
        return Response(body)

    between.mount("/deep", inner)
    app = protect(FastAPI(), settings)
    app.mount("/m", between)
    token = TokenFactory.for_settings(settings)("alice")

    assert TestClient(app).get("/m/batch", params={"token": token}).json() is None


@pytest.mark.parametrize("path", ["/me", "/me/"])
def test_headers_that_a_server_gives_as_lists(path: str) -> None:
    """ASGI allows any pairs; Mangum has lists."""

    class Lists(Layer):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope["headers"] = [[name, value] for name, value in scope["headers"]]
            await self.app(scope, receive, send)

    inner, app = FastAPI(), FastAPI()
    inner.add_middleware(Cutting)

    @inner.get("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    app.mount("/m", inner)
    client = TestClient(Lists(protect(app, SETTINGS)))

    assert "alice" == client.get(f"/m{path}", headers=GOOD).json()


@live_routes
def test_a_middleware_that_tries_a_plain_route_again() -> None:
    """It serves one scope twice, the first time until its answer was read."""

    class Retry(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            first: Any = await call_next(request)
            async for _ in first.body_iterator:
                pass
            return await call_next(request)

    app = protect(FastAPI(), SETTINGS)
    app.add_route("/plain", lambda _: PlainTextResponse("plain"))
    app.add_middleware(Retry)

    assert "plain" == TestClient(app).get("/plain", headers=GOOD).text


def test_scopes_of_a_router_behind_a_layer() -> None:
    """The rule is for one of its routes, and the application starts."""
    router = protected_router(settings=SETTINGS, scopes={"GET /x": "s"})
    router.get("/x")(lambda: "x")
    app = FastAPI()
    app.mount("/m", GZipMiddleware(router))
    client = TestClient(app)

    statuses = [client.get("/m/x", headers=it).status_code for it in ({}, GOOD, bearer(scope="s"))]

    assert [401, 403, 200] == statuses


@live_routes
@pytest.mark.parametrize(
    "route",
    [
        Route("/x", lambda _: Response()),
        Mount("/x", PlainTextResponse("x")),
        Mount("/x", Starlette(routes=[Route("/", lambda _: Response())])),
    ],
    ids=["route", "mount", "routes-in-a-mount"],
)
def test_roles_of_a_plain_route_without_a_claim_for_them(route: Any) -> None:
    """The start is refused, as for routes of FastAPI's."""
    without = JWTSettings(secret_key=SECRET)
    router = protected_router(settings=without, dependencies=[Depends(require_roles("admin"))])
    router.routes.append(route)

    with pytest.raises(ConfigurationError, match="JWT_ROLES_CLAIM"), TestClient(including(router)):
        pass


@live_routes
def test_roles_of_an_inclusion_with_a_plain_route_without_a_claim_for_them() -> None:
    """Likewise."""
    router, app = APIRouter(), protect(FastAPI(), JWTSettings(secret_key=SECRET))
    router.add_route("/x", lambda _: Response())
    app.include_router(router, dependencies=[Depends(require_roles("admin"))])

    with pytest.raises(ConfigurationError, match="JWT_ROLES_CLAIM"), TestClient(app):
        pass


@live_routes
def test_roles_of_a_plain_route() -> None:
    """They are asked for."""
    router = protected_router(settings=SETTINGS, dependencies=[Depends(require_roles("admin"))])
    router.add_route("/x", lambda _: Response())

    with TestClient(including(router)) as client:
        statuses = [
            client.get("/x", headers=headers).status_code
            for headers in (GOOD, bearer(roles=["admin"]))
        ]

    assert [403, 200] == statuses


def test_roles_that_a_route_behind_a_guard_further_out_asks_for() -> None:
    """They are found under the settings of that guard: the environment need have none."""
    router, inner = protected_router(settings=SETTINGS), FastAPI()
    router.get("/own")(lambda: "x")
    inner.include_router(router)
    inner.get("/x", dependencies=[Depends(require_roles("admin"))])(lambda: "x")
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", inner)
    client = TestClient(app)

    statuses = [
        client.get(path, headers=headers).status_code
        for path, headers in (
            ("/m/own", GOOD),
            ("/m/x", GOOD),
            ("/m/x", bearer(roles=["admin"])),
        )
    ]

    assert [200, 403, 200] == statuses


SUPERVISORS = JWTSettings(secret_key=OTHER_SECRET, token_header_key="X-Supervisor")


def supervised_by(secret: str = OTHER_SECRET, **members: Any) -> dict[str, str]:
    return {"X-Supervisor": bearer(secret, **members)["Authorization"]}


@covering
def test_attack_scopes_of_a_guard_that_an_endpoint_asks_for(kind: str) -> None:
    """They are asked of the token that this guard checks."""
    router = APIRouter()

    @router.get("/x")
    async def read(
        user_id: Annotated[str, Depends(current_user_id)],
        _: Annotated[None, Security(jwt_guard(SUPERVISORS), scopes=["approve"])],
    ) -> str:
        return user_id

    client = TestClient(guarded_by(kind, router, SETTINGS))

    statuses = [
        client.get("/x", headers=headers).status_code
        for headers in (
            {**bearer(scope="approve"), **supervised_by()},
            {**GOOD, **supervised_by(scope="approve")},
        )
    ]

    assert [403, 200] == statuses


def test_an_optional_guard_looks_where_its_own_settings_look() -> None:
    """A bad credential is refused, one that is not there is none."""
    app = protect(FastAPI(), SETTINGS)

    @app.get("/x")
    async def read(_: Annotated[None, Depends(optional(jwt_guard(SUPERVISORS)))]) -> str:
        return "x"

    client = TestClient(app)

    statuses = [
        client.get("/x", headers={**GOOD, **it}).status_code
        for it in ({}, supervised_by(SECRET), supervised_by())
    ]

    assert [200, 401, 200] == statuses


@live_mounts
def test_the_audit_shows_what_an_application_below_a_guard_asks_of_its_plain_routes() -> None:
    """As requests meet it."""
    inner, app = FastAPI(dependencies=[Depends(require_scopes("in"))], openapi_url=None), FastAPI()
    inner.add_route("/plain", lambda _: Response())
    app.mount("/m", inner)
    protect(app, SETTINGS)
    client = TestClient(app)

    statuses = [client.get("/m/plain", headers=it).status_code for it in (GOOD, bearer(scope="in"))]

    assert [403, 200] == statuses
    assert ("in",) in [route.scopes for route in audit(app).routes if route.path == "/m/plain"]


@live_mounts
@covering
@pytest.mark.parametrize("asked", ["itself", "below-another", "optional", "below-an-optional"])
@pytest.mark.parametrize("mounted", [False, True])
def test_attack_a_supervisor_is_not_who_is_calling(kind: str, asked: str, *, mounted: bool) -> None:
    """However the guard is asked for, and also below a mount of the guard that decides."""
    guard = jwt_guard(SUPERVISORS)

    async def supervised(_: Annotated[None, Depends(guard)]) -> None: ...

    dependencies: dict[str, Callable[..., Any]] = {
        "itself": guard,
        "below-another": supervised,
        "optional": optional(guard),
        "below-an-optional": optional(supervised),
    }
    inner = APIRouter()

    @inner.get("/x")
    async def read(
        request: Request,
        _: Annotated[None, Depends(dependencies[asked])],
        user_id: Annotated[str, Depends(current_user_id)],
    ) -> Any:
        return [request.state.user_id, request.user.identity, user_id]

    router = APIRouter()
    if mounted:
        between = FastAPI()
        between.include_router(inner)
        router.mount("/m", between)
    else:
        router.include_router(inner, prefix="/m")
    client = TestClient(guarded_by(kind, router, SETTINGS))

    answer = client.get("/m/x", headers={**GOOD, **supervised_by(sub="boss")})
    refused = client.get("/m/x", headers={**GOOD, **supervised_by(SECRET)})

    assert (["alice"] * 3, 401) == (answer.json(), refused.status_code)


@live_mounts
def test_a_third_application_that_is_called_from_below_a_mount_with_a_layer() -> None:
    """It goes by its own settings: it is not below that mount."""
    inner, third, app = FastAPI(), FastAPI(), FastAPI()
    third.dependency_overrides[get_settings] = lambda: OTHER

    @third.get("/who")
    async def who_is_calling(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    @inner.get("/ask")
    async def ask_third(request: Request) -> list[int]:
        statuses = []
        for headers in (GOOD, bearer(OTHER_SECRET)):
            kept = [it for it in request.scope["headers"] if it[0] != b"authorization"]
            kept.append((b"authorization", headers["Authorization"].encode()))
            scope = {**request.scope, "path": "/who", "root_path": "", "headers": kept}
            statuses.append((await drive(third, scope))[0])
        return statuses

    app.mount("/m", GZipMiddleware(inner))
    protect(app, SETTINGS)

    assert [401, 200] == TestClient(app).get("/m/ask", headers=GOOD).json()


class Foreign:
    """An application of another framework, whose `routes` are not Starlette's."""

    def __init__(self, routes: Any) -> None:
        self._routes = routes

    @property
    def routes(self) -> Any:
        """Raise what was given, as a lazy proxy does before there is something behind it."""
        if isinstance(self._routes, Exception):
            raise self._routes
        return self._routes

    app = unwrapped = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("inside")(scope, receive, send)


@pytest.mark.parametrize(
    "routes",
    [None, list, 7, RuntimeError("not yet")],
    ids=["none", "method", "number", "raises"],
)
@pytest.mark.parametrize(
    "kind", ["protect", pytest.param("protected_router", marks=live_mounts), "beside"]
)
def test_an_application_of_another_framework(kind: str, routes: Any) -> None:
    """It is one route, behind the guard or beside it."""
    app = protect(FastAPI(), SETTINGS) if kind == "protect" else FastAPI()
    router = protected_router(settings=SETTINGS)
    (router if kind == "protected_router" else app).mount("/other", Foreign(routes))
    app.include_router(router)

    with TestClient(app) as client, acting_as(app, "alice"):
        assert 200 == client.get("/other/x").status_code
    with TestClient(app) as client:
        assert (200 if kind == "beside" else 401) == client.get("/other/x").status_code
    assert audit(app, allow=["/other/*"]).ok


@live_mounts
@covering
def test_an_application_of_starlettes_that_is_mounted_in_itself(kind: str) -> None:
    """Under one more path, as for another version of it."""
    inner = Starlette(routes=[Route("/x", lambda _: PlainTextResponse("x"))])
    inner.mount("/v1", inner)
    router = APIRouter()
    router.mount("/m", inner)
    client = TestClient(guarded_by(kind, router))

    for path in ("/m/x", "/m/v1/x"):
        assert (401, 200) == (
            client.get(path).status_code,
            client.get(path, headers=GOOD).status_code,
        )
