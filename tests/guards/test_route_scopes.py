"""Scopes by method and template: `protected_router(scopes=...)` and `protect(app, scopes=...)`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.websockets import WebSocketDisconnect

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.audit import audit, compare
from jwt_deps.web.route_scopes import RouteScopes, methods_of
from tests.minting import SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, document_of, including, live_mounts

from .asking import GOOD, REFUSED, ask, filled, plain, read

SCOPES = {
    "POST /agents/{agent_id}/runs": ["agents:{agent_id}:run"],
    "GET /reports/*": "reports:read",
    "/admin/*": ["admin", "audit"],
    "websocket /ws": ["talk"],
}


def written_by_others() -> APIRouter:
    """Routes without any requirement of their own."""
    router = APIRouter()

    @router.post("/agents/{agent_id}/runs")
    @router.get("/agents/{agent_id}/runs")
    async def runs(agent_id: str) -> str:
        return agent_id

    @router.get("/reports/{name}")
    @router.post("/reports/{name}")
    async def report(name: str) -> str:
        return name

    @router.get("/reports/open/health")
    @public
    async def health() -> str:
        return "up"

    router.api_route("/admin/x", methods=["GET", "DELETE"], include_in_schema=False)(lambda: "x")

    @router.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return router


def by_router(scopes: Any = SCOPES) -> FastAPI:
    return including(protected_router(written_by_others(), settings=SETTINGS, scopes=scopes))


def by_application(scopes: Any = SCOPES) -> FastAPI:
    app = including(written_by_others())
    return protect(app, SETTINGS, scopes=scopes)


def by_outer_router(scopes: Any = SCOPES) -> FastAPI:
    """The scopes apply around a guard with settings of its own."""
    inner = protected_router(written_by_others(), settings=SETTINGS)
    return including(protected_router(inner, settings=OTHER, scopes=scopes))


ways = pytest.mark.parametrize("build", [by_router, by_application, by_outer_router])
Build = Callable[..., FastAPI]


@ways
@pytest.mark.parametrize(
    ("method", "path", "scope", "status"),
    [
        pytest.param("POST", "/agents/a/runs", "agents:a:run", 200, id="parameter"),
        pytest.param("POST", "/agents/a/runs", "agents:b:run", 403, id="another-parameter"),
        pytest.param("POST", "/agents/a/runs", "agents:*", 200, id="wildcard"),
        pytest.param("GET", "/agents/a/runs", None, 200, id="another-method"),
        pytest.param("GET", "/reports/x", "reports:read", 200, id="pattern"),
        pytest.param("GET", "/reports/x", None, 403, id="pattern-without"),
        pytest.param("POST", "/reports/x", None, 200, id="not-a-get"),
        pytest.param("DELETE", "/admin/x", "admin", 403, id="each-method-and-each-scope"),
        pytest.param("GET", "/admin/x", "admin audit", 200, id="all-scopes"),
    ],
)
def test_scopes_are_enforced(
    build: Build, method: str, path: str, scope: str | None, status: int
) -> None:
    """For the method and the template that matched."""
    answer = TestClient(build()).request(method, path, headers=bearer(scope=scope))

    assert status == answer.status_code


@pytest.mark.parametrize("rule", ["/files/{number}", "/files/{number:int}"])
@pytest.mark.parametrize("kind", ["route", pytest.param("mount", marks=live_mounts)])
def test_attack_a_plain_route_whose_parameter_has_a_type(kind: str, rule: str) -> None:
    """A template may leave the type out, as for FastAPI's routes."""
    router = APIRouter()

    @router.post("/files/{number:int}")
    async def write(number: int) -> int:
        return number

    below = "/files/{number:int}"
    if kind == "route":
        router.routes.append(Route(below, plain))
    else:
        router.mount(below, Starlette(routes=[Route("/", plain)]))
        rule = f"{rule}*"
    path = "/files/1" if kind == "route" else "/files/1/"
    app = protect(including(router), SETTINGS, scopes={rule: "files"})
    client = TestClient(app, headers=GOOD)

    answers = [client.get(path), client.post("/files/1")]

    assert [403, 403] == [it.status_code for it in answers]
    assert 200 == client.get(path, headers=bearer(scope="files")).status_code


@ways
def test_public_routes_need_no_token(build: Build) -> None:
    """A mark opens a route to its guard's scopes; those of a guard outside hold all the same."""
    status = 401 if build is by_outer_router else 200

    assert status == TestClient(build()).get("/reports/open/health").status_code


def test_routes_that_the_settings_exclude_need_no_token() -> None:
    """The scopes of the guard that decides there are asked of none of them."""
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/reports/*"])
    app = protect(including(written_by_others()), settings, scopes=SCOPES)

    assert 200 == TestClient(app).get("/reports/x").status_code


@pytest.mark.parametrize("path", ["/api", "/plain"])
def test_a_guard_that_the_application_replaces_asks_for_no_scopes(path: str) -> None:
    """What is put in its place decides."""
    router = protected_router(settings=SETTINGS, scopes={path: "read"})
    app = including(filled(router))
    guard: Any = router.dependencies[0].dependency
    app.dependency_overrides[guard] = lambda: None

    assert 200 == ask(app, path)


@ways
def test_on_a_websocket(build: Build) -> None:
    client = TestClient(build())

    with client.websocket_connect("/ws", headers=bearer(scope="talk")):
        pass
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=bearer()):
        pass


@ways
def test_the_challenge_names_them(build: Build) -> None:
    """With what the route asks itself."""
    refused = TestClient(build()).post("/agents/a/runs", headers=bearer())

    assert 'scope="agents:a:run"' in refused.headers["www-authenticate"]
    assert "Insufficient permissions" in refused.json()["detail"]


def test_the_challenge_of_a_request_without_a_token_names_those_of_its_method() -> None:
    """Where the metadata of the resource is named too, which clients ask by."""
    settings = JWTSettings(secret_key=SECRET, resource="https://api.example")
    app = protect(FastAPI(), settings, scopes={"GET /x": "read", "POST /x": "write"})
    app.add_api_route("/x", lambda: None, methods=["GET", "POST"])
    client = TestClient(app)

    challenges = [client.request(it, "/x").headers["www-authenticate"] for it in ("GET", "POST")]

    assert ['scope="read"', 'scope="write"'] == [it.split(", ")[1] for it in challenges]


@ways
def test_the_audit_shows_them_for_each_method(build: Build) -> None:
    """And a comparison reports what was dropped or widened."""
    before = audit(build())

    found = {(it.path, it.methods): it.scopes for it in before.routes}

    assert found["/agents/{agent_id}/runs", ("POST",)] == ("agents:{agent_id}:run",)
    assert found["/agents/{agent_id}/runs", ("GET",)] == ()
    assert found["/reports/{name}", ("GET",)] == ("reports:read",)
    assert found["/reports/{name}", ("POST",)] == ()
    assert found["/admin/x", ("DELETE", "GET")] == ("admin", "audit")
    assert found["/ws", ("WEBSOCKET",)] == ("talk",)
    assert before.ok, str(before)
    for name in SCOPES:
        rest = {it: scopes for it, scopes in SCOPES.items() if it != name}
        assert [] != compare(before, audit(build(rest)))


def test_many_rules_are_gone_through_once_for_a_route() -> None:
    """What it needs is remembered, and once for all methods that clients make up."""
    scopes = RouteScopes({f"GET /r{number}/{{x}}": "s" for number in range(1000)})
    path = ("/r7/{x}",)
    assert (["s"], []) == (scopes.needed(path, ("GET",)), scopes.needed(path, ("POST",)))

    scopes.rules = ()

    assert (["s"], ["s"]) == (scopes.needed(path, ("GET",)), scopes.needed(path, ("HEAD",)))
    assert [] == scopes.needed(path, ("MADE-UP",))


def test_the_audit_shows_those_of_a_mount_for_each_method_below_it() -> None:
    """Of a WebSocket none: no method is its own."""
    inner = FastAPI(openapi_url=None)
    inner.get("/orders")(read)
    inner.post("/orders")(read)
    inner.api_route("/both", methods=["GET", "POST"])(read)

    @inner.websocket("/socket")
    async def socket(_: WebSocket) -> None: ...

    app = protect(FastAPI(openapi_url=None), SETTINGS, scopes={"POST /shop/*": "write"})
    app.mount("/shop", inner)

    found = {(it.path, it.methods): it.scopes for it in audit(app).routes}

    assert {
        ("/shop/orders", ("GET",)): (),
        ("/shop/orders", ("POST",)): ("write",),
        ("/shop/both", ("GET",)): (),
        ("/shop/both", ("POST",)): ("write",),
        ("/shop/socket", ("WEBSOCKET",)): (),
    } == found


@ways
def test_openapi_shows_them_for_each_method(build: Build) -> None:
    paths = document_of(build())["paths"]

    assert [{"JWT": ["agents:{agent_id}:run"]}] == paths["/agents/{agent_id}/runs"]["post"][
        "security"
    ]
    assert [{"JWT": []}] == paths["/agents/{agent_id}/runs"]["get"]["security"]
    assert [{"JWT": ["reports:read"]}] == paths["/reports/{name}"]["get"]["security"]
    assert [{"JWT": []}] == paths["/reports/{name}"]["post"]["security"]


@ways
@pytest.mark.parametrize(
    "name",
    ["PUT /agents/{agent_id}/runs", "/agents/{id}/runs", "POST /agents", "GET /ws", "/nowhere/*"],
)
def test_what_matches_no_route_stops_the_start(build: Build, name: str) -> None:
    """With its name; the audit says so too."""
    app = build({name: ["x"]})

    assert any(repr(name) in it for it in audit(app).problems)
    with pytest.raises(ConfigurationError, match="are for no route"), TestClient(app):
        pass


def test_a_route_that_is_not_behind_the_guard_counts_for_nothing() -> None:
    """The scopes would not be asked there."""
    app = FastAPI()
    app.router.routes.append(Route("/plain", lambda _: PlainTextResponse("hello")))
    router = protected_router(settings=SETTINGS, scopes={"/plain": ["x"]})
    router.get("/x")(lambda: "x")
    app.include_router(router)

    with pytest.raises(ConfigurationError, match="are for no route"), TestClient(app):
        pass


@pytest.mark.parametrize(
    "scopes",
    [
        ["POST /x"],
        {"POST /x": []},
        {"POST /x": ""},
        {"POST /x": ["a b"]},
        {"POST /x": ["a:{b"]},
        {"POST /x": [7]},
        {"POST /x": None},
        {"POST x": ["a"]},
        {" /x": ["a"]},
        {"POST GET /x": ["a"]},
        {7: ["a"]},
    ],
)
def test_what_says_nothing_is_refused(scopes: Any) -> None:
    """A mistake in it would leave a route open."""
    with pytest.raises(ConfigurationError, match="a mapping from a method and a template"):
        protected_router(settings=SETTINGS, scopes=scopes)


@live_mounts
def test_plain_routes_and_mounts() -> None:
    """Routes that FastAPI runs no dependencies for; a mount is one route, with any method."""
    app, answer = FastAPI(), PlainTextResponse("hello")
    app.router.routes += [
        Route("/plain/{x}", lambda _: answer, methods=["GET", "POST"]),
        Mount("/files/{x}", answer),
    ]
    protect(app, SETTINGS, scopes={"GET /plain/{x}": "read:{x}", "/files/*": "files:{x}"})
    client = TestClient(app)

    def status(method: str, path: str, scope: str | None = None) -> int:
        return client.request(method, path, headers=bearer(scope=scope)).status_code

    assert [200, 403] == [status("GET", "/plain/a", it) for it in ("read:a", "read:b")]
    assert [403, 200] == [status(it, "/plain/a") for it in ("HEAD", "POST")]
    assert [200, 403] == [status("PUT", "/files/a/b", it) for it in ("files:a", None)]
    found = {(it.path, it.methods): it.scopes for it in audit(app).routes}
    assert found["/plain/{x}", ("GET",)] == ("read:{x}",)
    assert found["/plain/{x}", ("POST",)] == ()
    assert found["/files/{x}/*", ("*",)] == ("files:{x}",)


@live_mounts
def test_a_host_has_no_template() -> None:
    """What it serves needs every scope: none of them can name it."""
    app = FastAPI()
    app.router.routes.append(Host("files.example", PlainTextResponse("hello")))
    app.get("/x")(lambda: "x")
    protect(app, SETTINGS, scopes={"GET /x": "a"})
    client = TestClient(app, base_url="http://files.example")

    assert [200, 403] == [client.get("/", headers=bearer(scope=it)).status_code for it in "ab"]


def test_requirements_add_up() -> None:
    """Those of the route, the router and the application."""
    inner = APIRouter()
    inner.get("/x", dependencies=[Depends(require_scopes("c"))])(lambda: "x")
    app = including(protected_router(inner, settings=SETTINGS, scopes={"/x": "b"}))
    protect(app, SETTINGS, scopes={"GET /x": "a"})
    client = TestClient(app)

    statuses = [
        client.get("/x", headers=bearer(scope=it)).status_code for it in ("a b", "b c", "a c")
    ]

    assert [403, 403, 403] == statuses
    assert 200 == client.get("/x", headers=bearer(scope="a b c")).status_code
    (route,) = (it for it in audit(app).routes if it.path == "/x")
    assert {"a", "b", "c"} == set(route.scopes)


def test_settings_that_refuse_no_request_still_ask_for_them() -> None:
    """`validate=False` opens what needs nothing."""
    lax = SETTINGS.model_copy(update={"validate": False})
    app = including(protected_router(written_by_others(), settings=lax, scopes=SCOPES))
    client = TestClient(app)

    assert [401, 200] == [
        client.request(it, "/agents/a/runs").status_code for it in ("POST", "GET")
    ]


def test_of_a_route_that_is_not_known_every_scope_is_asked() -> None:
    """Unknown means refused: no template, or no method. No scope is there for such a route."""
    asked = RouteScopes({"GET /x": ["a"], "POST /y": ["b"], "/z": ["c"]})

    assert ["a", "c"] == asked.needed((), ("GET",))
    assert ["a"] == asked.needed(("/x",), ())
    assert ["GET /x", "POST /y", "/z"] == list(asked.idle([((), ("GET",))]))


@pytest.mark.parametrize(
    ("scope", "methods"),
    [
        ({"type": "http", "method": "POST"}, ("POST",)),
        ({"type": "http", "method": "post"}, ("POST",)),
        ({"type": "http", "method": "HEAD"}, ("HEAD",)),
        ({"type": "websocket"}, ("WEBSOCKET",)),
    ],
    ids=["method", "small-letters", "head", "websocket"],
)
def test_a_request_is_named_by_its_methods(scope: dict[str, Any], methods: tuple[str, ...]) -> None:
    """What is mounted may not mind the case."""
    assert methods == methods_of(scope)


def test_head_needs_what_get_does() -> None:
    """Where one is answered, so is the other; the document says it too."""
    app = protect(FastAPI(), SETTINGS, scopes={"GET /x": "read", "HEAD /x": "look"})
    app.get("/x", operation_id="get")(read)
    app.head("/x", operation_id="head")(read)
    client = TestClient(app)

    statuses = {
        (method, scope): client.request(method, "/x", headers=bearer(scope=scope)).status_code
        for method in ("GET", "HEAD")
        for scope in ("look", "read", "look read")
    }

    assert {("GET", "read"), ("GET", "look read"), ("HEAD", "look read")} == {
        it for it, status in statuses.items() if status == 200
    }
    operations = document_of(app)["paths"]["/x"]
    assert [["read"], ["read", "look"]] == [
        operations[it]["security"][0]["JWT"] for it in ("get", "head")
    ]


def test_the_audit_shows_them_where_the_settings_are_not_known() -> None:
    """In a build without secrets, for one."""
    app = protect(FastAPI(openapi_url=None), scopes={"/x": "a"})
    app.get("/x")(read)

    assert [("a",)] == [it.scopes for it in audit(app).routes]


@live_mounts
@pytest.mark.parametrize("inside", [FastAPI, APIRouter, Starlette, Router])
def test_a_mount_is_one_route(inside: Callable[[], Any]) -> None:
    """Also where what is mounted has routes."""
    mounted = inside()
    mounted.routes.append(Route("/x", plain))
    app = protect(FastAPI(), SETTINGS, scopes={"/m/*": "inside"})
    app.mount("/m", mounted)

    assert [403, 200] == [ask(app, "/m/x", bearer(scope=it)) for it in ("outside", "inside")]


@live_mounts
def test_a_template_that_matches_no_route_of_a_router_in_another_application() -> None:
    """No `FastAPI` is there to look at it, so it is refused with the first request."""
    router = protected_router(settings=SETTINGS, scopes={"/reports": "read"})
    router.get("/report")(read)
    app = FastAPI()
    app.mount("/m", Starlette(routes=[Mount("/", router)]))

    assert REFUSED == ask(app, "/m/report", GOOD)


@live_mounts
@pytest.mark.parametrize("around", [APIRouter, partial(protected_router, settings=SETTINGS)])
def test_templates_are_whole_in_a_router_of_another_application(
    around: Callable[[], APIRouter],
) -> None:
    """Those of a protected router begin with the prefixes of the routers that it is included in."""
    scopes, outer = {"GET /v1/api": "inside"}, around()
    inner = filled(protected_router(settings=SETTINGS, exclude=["/v1/plain"], scopes=scopes))
    outer.include_router(inner, prefix="/v1")
    app = FastAPI()
    app.mount("/m", Starlette(routes=[Mount("", outer)]))

    assert 401 == ask(app, "/m/v1/api")
    tokens = bearer(scope="outside"), bearer(scope="inside")
    assert [403, 200] == [ask(app, "/m/v1/api", it) for it in tokens]
    assert {200} == {ask(served, "/m/v1/plain"[at:]) for served, at in ((app, 0), (outer, 2))}
