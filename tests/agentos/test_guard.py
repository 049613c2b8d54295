"""`protect_agent_os`: what it refuses to guard, and what of agno it leaves to agno."""

import asyncio
import gc
import importlib
import json
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from agno.os.middleware.jwt import JWTMiddleware
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import jwt_deps.agentos
from jwt_deps import (
    ConfigurationError,
    InvalidTokenError,
    IssuerSettings,
    JWTSettings,
    get_settings,
    jwt_guard,
    protect,
    protected_router,
)
from jwt_deps.agentos import protect_agent_os
from jwt_deps.audit import Verdict, audit
from jwt_deps.testing import FakeIssuer, using_settings
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import who

from .side_by_side import (
    ADMIN,
    INTERNAL,
    TRAIL,
    Answer,
    Client,
    Pair,
    account,
    agent_os,
    as_user,
    token,
)

SETTINGS = JWTSettings(secret_key=SECRET)


# What is refused at the start


def test_agno_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the extra."""
    monkeypatch.setitem(sys.modules, "agno.os", None)
    monkeypatch.delitem(sys.modules, "jwt_deps.agentos")

    with pytest.raises(ConfigurationError, match=r"pip install 'jwt-deps\[agentos\]'"):
        importlib.import_module("jwt_deps.agentos")


@pytest.mark.parametrize("name", ["check_route_scopes", "is_reserved_principal"])
def test_agno_that_decides_otherwise(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    allowing = type("Allowing", (), {"allowed": True, "accessible_resource_ids": None})()
    monkeypatch.setattr(jwt_deps.agentos, name, lambda *_, **__: allowing)

    with pytest.raises(ConfigurationError, match="not one that jwt-deps knows"):
        protect_agent_os(agent_os(), SETTINGS)


def test_agent_os_that_has_changed() -> None:
    """A name that is gone is named."""
    changed: Any = type("AgentOS", (), {"id": "x"})()

    with pytest.raises(ConfigurationError, match="AgentOS has no authorization, auth"):
        protect_agent_os(changed, SETTINGS)


def test_socket_that_asks_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would believe the messages of the client."""
    monkeypatch.setattr(jwt_deps.agentos, "resolve_ws_jwt_config", lambda _: {})

    with pytest.raises(ConfigurationError, match="WebSocket"):
        protect_agent_os(agent_os(), SETTINGS)


@pytest.mark.parametrize("name", ["public", "mcp_auth"])
def test_agent_os_with_rules_of_its_own(name: str) -> None:
    """They let requests in that the guard knows nothing of."""
    os = agent_os()
    setattr(os, name, object())

    with pytest.raises(ConfigurationError, match=f"{name}=..."):
        protect_agent_os(os, SETTINGS)


def test_middleware_that_was_left_in() -> None:
    app = FastAPI()
    app.add_middleware(JWTMiddleware, verification_keys=[SECRET], algorithm="HS256")

    with pytest.raises(ConfigurationError, match="remove it"):
        protect_agent_os(agent_os(base_app=app), SETTINGS)


def test_application_that_was_taken_before() -> None:
    """AgentOS has built it without what the guard needs."""
    os = agent_os(base_app=FastAPI())
    os.get_app()

    with pytest.raises(ConfigurationError, match="get_app"):
        protect_agent_os(os, SETTINGS)


def test_application_in_place_of_its_agent_os(plain: Pair) -> None:
    """The likely mistake: the former code called `get_app()`."""
    app: Any = plain.control.app

    with pytest.raises(ConfigurationError, match=r"in place of agent_os\.get_app"):
        protect_agent_os(app, SETTINGS)


def test_exclusion_that_matches_nothing_stops_the_start() -> None:
    """As with `protect`."""
    app = protect_agent_os(agent_os(), SETTINGS, exclude=["/helth"])

    with pytest.raises(ConfigurationError, match="/helth"), TestClient(app):
        pass


# Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for all guards, also where AgentOS reads variables of these names."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_VERIFICATION_KEY", OTHER_SECRET)
    monkeypatch.setenv("OS_SECURITY_KEY", "the-key-of-the-operating-system")
    get_settings.cache_clear()
    app = protect_agent_os(agent_os())
    get_settings.cache_clear()

    client = TestClient(app)
    answers = [
        client.get("/agents", headers=headers).status_code
        for headers in (
            as_user("alice", ADMIN),
            {"Authorization": f"Bearer {token(OTHER_SECRET, scopes=[ADMIN])}"},
            {"Authorization": "Bearer the-key-of-the-operating-system"},
        )
    ]

    assert [200, 401, 401] == answers


def by_audience(client: httpx2.Client, *audiences: str | None) -> list[int]:
    """What is answered to tokens of these audiences."""
    sent = [as_user("alice", ADMIN, aud=it) for it in audiences]
    return [client.get("/agents", headers=it).status_code for it in sent]


def test_audience_is_the_id_of_the_agent_os(plain: Pair) -> None:
    """Of a token that names one."""
    assert [200, 200, 401] == by_audience(plain.guarded, None, "support", "other")


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [
        pytest.param({"verify_audience": False}, [200, 200, 200, 200], id="not-checked"),
        pytest.param({"audience_claim": "for"}, [200, 200, 401, 401], id="another-claim"),
    ],
)
def test_audience_where_the_settings_name_none(
    settings: dict[str, Any], statuses: list[int]
) -> None:
    options = {"secret_key": SECRET, **settings}
    app = protect_agent_os(agent_os(), JWTSettings(**options))

    assert statuses == by_audience(TestClient(app), None, "support", "api", "other")


@dataclass(frozen=True)
class Issued:
    """An AgentOS with the settings of an issuer, for the audience `api`."""

    issuer: FakeIssuer
    settings: JWTSettings
    client: TestClient

    def status_for(self, audience: str | None) -> int:
        sent = self.issuer.token({"sub": "ann", "scopes": ["agents:read"]}, audience=audience)
        headers = {"Authorization": f"Bearer {sent}"}
        return self.client.get("/agents", headers=headers).status_code


@pytest.fixture(scope="module")
def issued() -> Iterator[Issued]:
    with FakeIssuer() as issuer:
        settings = issuer.settings("api")
        yield Issued(issuer, settings, TestClient(protect_agent_os(agent_os(), settings)))


def test_audience_that_is_configured_takes_the_place_of_the_id(issued: Issued) -> None:
    """Each token has to name it."""
    assert [401, 401, 200] == [issued.status_for(it) for it in (None, "support", "api")]


def test_the_given_settings_have_the_keys_that_requests_use(issued: Issued) -> None:
    """For a readiness endpoint, `key_health` and `refresh_keys`."""
    assert 200 == issued.status_for("api")
    assert 1 == issued.settings.key_health()["default"].keys
    assert issued.settings.scopes_claim is None


#: The keys of three issuers.
KEYS = {"one": SECRET, "two": OTHER_SECRET, "customer": "c" * 64}


def of_issuer(name: str, **members: Any) -> str:
    """A token of alice of one of them."""
    return token(KEYS[name], iss=f"https://{name}.example", aud="support", **members)


def issuer(name: str, **options: Any) -> IssuerSettings:
    return IssuerSettings(
        secret_key=KEYS[name], issuer=f"https://{name}.example", audience="support", **options
    )


ISSUERS = {
    "one": issuer("one", scopes_claim="scopes", admin_scope=ADMIN),
    "two": issuer("two", scopes_claim="roles", admin_scope=ADMIN),
    "customer": issuer("customer", scopes_claim="scopes"),
}


@pytest.fixture(scope="module")
def several() -> TestClient:
    """An AgentOS that has these issuers."""
    return TestClient(protect_agent_os(agent_os(), JWTSettings(issuers=ISSUERS)))


def test_each_of_several_issuers_has_its_own_users_and_scopes(several: TestClient) -> None:
    """Two people with one `sub` at two issuers are two people."""
    answers = [
        several.get("/agents", headers={"Authorization": f"Bearer {minted}"}).status_code
        for minted in (
            of_issuer("one", scopes=[ADMIN]),
            of_issuer("two", roles=[ADMIN]),
            of_issuer("two", scopes=[ADMIN]),
        )
    ]

    assert [200, 200, 403] == answers


def socket_claims(client: Any, minted: str) -> dict[str, Any]:
    """What AgentOS's WebSocket takes from a token."""
    validator = client.app.state.jwt_validator

    async def claims() -> dict[str, Any]:
        await validator.verify({"text": json.dumps({"action": "authenticate", "token": minted})})
        found: dict[str, Any] = validator.extract_claims(validator.validate_token(minted))
        return found

    return asyncio.run(claims())


def test_the_websocket_knows_the_users_of_several_issuers_apart(several: TestClient) -> None:
    """Their ids begin with the issuer's name, as over HTTP."""
    minted = of_issuer("two", roles=[ADMIN])

    assert "two|alice" == socket_claims(several, minted)["user_id"]


@pytest.mark.parametrize("kind", ["table", "function"])
def test_attack_an_administrator_of_another_issuer(
    several: TestClient, guarded: Client, kind: str
) -> None:
    """A customer's own provider can write any scope: only an issuer that is named for it counts.

    Also where a test puts the settings in the place of others.
    """
    known: Any = {it.issuer: it for it in ISSUERS.values()}.get
    client: Any = several if kind == "table" else guarded
    tokens = [
        of_issuer(name, scopes=["sessions:read", *scopes])
        for name in ("one", "customer")
        for scopes in ([], [ADMIN])
    ]

    with (
        nullcontext() if kind == "table" else using_settings(client.app, JWTSettings(issuers=known))
    ):
        answers = [
            client.get("/agents", headers={"Authorization": f"Bearer {it}"}).status_code
            for it in tokens
        ]
        administrators = [ADMIN in socket_claims(client, it)["scopes"] for it in tokens]

    assert [403, 200, 403, 403] == answers
    assert [False, True, False, False] == administrators


# Applications


@pytest.fixture(scope="module")
def guarded(plain: Pair) -> Client:
    """An AgentOS for questions that leave nothing behind."""
    return plain.guarded


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"type": "websocket.receive", "text": "[]"}, id="a-list"),
        pytest.param({"type": "websocket.receive", "text": "no JSON"}, id="no-json"),
        pytest.param({"type": "websocket.receive", "text": '{"token": 7}'}, id="a-number"),
        pytest.param({"type": "websocket.receive", "text": "{}"}, id="nothing"),
        pytest.param({"type": "websocket.receive", "bytes": b"x"}, id="bytes"),
        pytest.param({"type": "websocket.disconnect"}, id="the-end"),
    ],
)
def test_message_of_another_shape_verifies_nothing(
    guarded: Client, message: dict[str, Any]
) -> None:
    """What AgentOS asks in place of its validator knows no token then."""
    app: Any = guarded.app
    validator = app.state.jwt_validator

    async def receive() -> None:
        await validator.verify(message)
        validator.validate_token(token())

    with pytest.raises(InvalidTokenError):
        asyncio.run(receive())


def test_agent_os_that_asks_for_nothing() -> None:
    """Without authorization and validation a request without a token has no user."""
    settings = JWTSettings(secret_key=SECRET, validate=False)
    app = protect_agent_os(agent_os(), settings, authorization=False, exclude=["/teams"])
    form = {"message": "hello", "stream": "false", "user_id": "alice"}
    with TestClient(app) as client:
        robot = {"Authorization": f"Bearer {account(client, 'robot', 'teams:read')}"}
        answers = [
            client.get("/teams", headers=robot),
            client.get("/agents"),
            client.post("/agents/helper/runs", data=form),
            client.post("/agents/helper/runs", data=form, headers=as_user("bob")),
        ]

    assert [200, 403, 403, 200] == [it.status_code for it in answers]
    assert "bob" in answers[-1].text
    assert not any("alice" in it.text for it in answers)


def test_the_scheduler_is_asked_for_scopes_as_users_are(
    guarded: Client, served: Callable[[str], Pair]
) -> None:
    without = served("no-authorization").guarded
    headers = {"Authorization": f"Bearer {INTERNAL}"}

    statuses = [it.get("/memories", headers=headers).status_code for it in (guarded, without)]

    assert [403, 200] == statuses


class Prefixed:
    """A middleware that believes a proxy about the path of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = dict(scope.get("headers", ())).get(b"x-forwarded-prefix", b"").decode()
        await self.app({**scope, "root_path": prefix or scope.get("root_path", "")}, receive, send)


def extended() -> FastAPI:
    """An AgentOS on an application that has routes and mounts of its own, with scopes for them."""
    base = FastAPI(middleware=[Middleware(Prefixed)])
    base.state.ran = []

    async def report(request: Request) -> PlainTextResponse:
        base.state.ran.append(request.method)
        return PlainTextResponse("report")

    @base.exception_handler(HTTPException)
    async def answer(_: Any, error: HTTPException) -> PlainTextResponse:
        return PlainTextResponse(f"no: {error.detail}", error.status_code)

    @base.get("/agents/{agent_id}/billing")
    async def billing(agent_id: str) -> str:
        return agent_id

    base.add_route("/report", report)
    for path in ("/files", "/health", "/info"):
        base.mount(path, PlainTextResponse("secret"))
    inner, hosted = FastAPI(), FastAPI()
    inner.get("/may")(lambda: "may")
    base.mount("/reports", inner)
    hosted.get("/hosted")(who)
    base.host("h.example", hosted)
    settings = JWTSettings(secret_key=SECRET, scopes_claim="scopes")
    guarded_ones: dict[str, Any] = {
        "protect": FastAPI(),
        "jwt_guard": FastAPI(dependencies=[Depends(jwt_guard(settings))]),
        "protected_router": protected_router(settings=settings),
    }
    for name, guarded_one in guarded_ones.items():
        guarded_one.get("/own")(lambda: "own")
        base.mount(
            f"/sub/{name}", protect(guarded_one, settings) if name == "protect" else guarded_one
        )
    scopes = {
        "GET /agents/*/billing": ["billing:read"],
        "GET /files/secret/*": ["files:secret"],
        "GET /hosted": ["hosted:read"],
        "GET /report": ["reports:read"],
        "GET /reports/*": ["reports:read"],
        "GET /sub/*": ["own:read"],
        "HEAD /teams": ["teams:run"],
        "POST /later/{name}": ["later:write"],
    }
    app = protect_agent_os(
        agent_os(base_app=base), SETTINGS, scope_mappings=scopes, exclude=["/health", "/info"]
    )
    app.post("/later/{name}")(lambda name: name)
    return app


@pytest.fixture(scope="module")
def own_routes() -> TestClient:
    """Of which a header of a proxy can name the prefix, too. It is served without a start."""
    return TestClient(extended())


def test_attack_the_router_of_an_agent_os_in_another_application(guarded: Client) -> None:
    """Its middleware is not there, and without it agno's tools check no permissions."""
    other = FastAPI()
    other.include_router(guarded.app.router)

    with pytest.raises(ConfigurationError, match="mount the application"):
        TestClient(other).get("/agents", headers=as_user("alice", ADMIN))


def test_a_state_of_the_application_that_was_replaced(
    guarded: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agno goes by the one that the application has."""
    monkeypatch.setattr(guarded.app, "state", State({**vars(guarded.app.state)["_state"]}))

    assert 200 == guarded.get("/agents", headers=as_user("alice", ADMIN)).status_code


def test_an_agent_os_that_is_no_longer_used_is_freed() -> None:
    """Tests make many, and FastAPI remembers the dependencies of each."""

    def used() -> weakref.ref[FastAPI]:
        app = protect_agent_os(agent_os(), SETTINGS)
        with TestClient(app) as client:
            assert 200 == client.get("/agents", headers=as_user("alice", ADMIN)).status_code
        return weakref.ref(app)

    made = used()
    gc.collect()

    assert made() is None


def test_handler_of_the_base_application_answers_refusals(own_routes: TestClient) -> None:
    """Nothing of it is replaced."""
    assert "no: Authorization header missing" == own_routes.get("/agents").text


def test_routes_that_are_added_later_are_guarded_and_mapped(own_routes: TestClient) -> None:
    """The rules are agno's: by method and path."""
    answers = [
        own_routes.post("/later/may", headers=headers).status_code
        for headers in ({}, as_user(), as_user("alice", "later:write"))
    ]

    assert [401, 403, 200] == answers


def test_agents_that_resync_adds_leave_the_websocket_as_it_is() -> None:
    """It makes all its routes anew, with other endpoints: in the lifespan, and while it serves."""

    @asynccontextmanager
    async def resync(app: FastAPI) -> AsyncIterator[None]:
        supported.resync(app)
        yield

    supported = agent_os(base_app=FastAPI(lifespan=resync))
    app = protect_agent_os(supported, SETTINGS)
    with TestClient(app) as client:
        for _ in range(2):
            assert 401 == client.get("/agents").status_code
            with client.websocket_connect("/workflows/ws") as socket:
                assert socket.receive_json()["requires_auth"]
            supported.resync(app)


async def read() -> str:
    return "open"


def assert_guarded_at_the_websocket(app: FastAPI, *below: str) -> None:
    """A token is needed, there or below; AgentOS's own WebSocket asks for one in a message."""
    with TestClient(app) as client:
        for path in below or ("",):
            assert 401 == client.get(f"/workflows/ws{path}").status_code
        if not below:
            with client.websocket_connect("/workflows/ws") as socket:
                assert socket.receive_json()["requires_auth"]


def test_attack_another_route_at_the_path_of_the_websocket() -> None:
    base = FastAPI()
    base.get("/workflows/ws")(read)
    app = protect_agent_os(agent_os(base_app=base), SETTINGS)

    assert_guarded_at_the_websocket(app)


def test_attack_what_is_added_at_the_path_of_the_websocket() -> None:
    """A route behind agno's own, one in front of all, and a mount: none of them is excluded."""
    app = protect_agent_os(agent_os(), SETTINGS)
    routes = app.router.routes

    app.get("/workflows/ws")(read)
    assert_guarded_at_the_websocket(app)

    routes.insert(0, routes.pop())  # else agno's own /workflows/{workflow_id} answers
    assert_guarded_at_the_websocket(app)

    app.mount("/workflows/ws", PlainTextResponse("open"))
    routes.insert(0, routes.pop())
    assert_guarded_at_the_websocket(app, "/", "/a", "/../ws/a")


def test_head_needs_the_scopes_of_get(own_routes: TestClient) -> None:
    """A plain route answers it by running the handler."""
    statuses = [
        own_routes.head("/report", headers=as_user("alice", scope)).status_code
        for scope in ("agents:read", "reports:read")
    ]

    assert [403, 200] == statuses


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        pytest.param("HEAD", "/report", {}, id="head"),
        pytest.param("GET", "/v1/report", {"X-Forwarded-Prefix": "/v1"}, id="middleware"),
    ],
)
def test_attack_a_service_account_where_agno_asks_for_no_scopes(
    own_routes: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    """It has decided about another path, or method, than is served."""
    robot = account(own_routes, f"robot-{method}".lower(), "agents:run")
    ran = own_routes.app.state.ran  # type: ignore[attr-defined]
    ran.clear()

    answer = own_routes.request(
        method, path, headers=headers | {"Authorization": f"Bearer {robot}"}
    )

    assert (True, []) == (answer.status_code in {401, 403}, ran)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("get", "/files/secret/x", id="method-in-another-case"),
        pytest.param("GET", "/files//secret/x", id="two-slashes"),
        pytest.param("GET", "/files/%2e/secret/x", id="dot"),
        pytest.param("GET", "/files/y/%2e%2e/secret/x", id="dots"),
        pytest.param("GET", "/files/secret//x/", id="slash-at-the-end"),
    ],
)
def test_attack_a_spelling_that_what_is_mounted_does_not_mind(
    own_routes: TestClient, request: pytest.FixtureRequest, method: str, path: str
) -> None:
    """The scopes of what it means are asked for: a file server has one file for all of these."""
    robot = account(own_routes, request.node.callspec.id, "agents:run")

    statuses = [
        own_routes.request(method, path, headers=headers).status_code
        for headers in (
            as_user("alice", "agents:read"),
            {"Authorization": f"Bearer {robot}"},
            as_user("alice", "files:secret"),
        )
    ]

    assert [403, True, 200] == [statuses[0], statuses[1] in {401, 403}, statuses[2]]


@pytest.mark.parametrize("inside", ["protect", "jwt_guard", "protected_router"])
def test_attack_a_mount_of_the_base_application_with_a_guard_of_its_own(
    own_routes: TestClient, inside: str
) -> None:
    """The rules of agno are asked there, too."""
    statuses = [
        own_routes.get(f"/sub/{inside}/own", headers=headers).status_code
        for headers in (
            as_user("alice", "agents:read"),
            as_user("__scheduler__", "own:read"),
            as_user("alice", "own:read"),
        )
    ]

    assert [403, 401, 200] == statuses


def test_mappings_given_come_before_those_of_agno(own_routes: TestClient) -> None:
    """It goes by the first that fits, and `*` is any text for it."""
    statuses = [
        own_routes.get("/agents/helper/billing", headers=as_user("alice", scope)).status_code
        for scope in ("agents:read", "billing:read")
    ]

    assert [403, 200] == statuses


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/config", "/sessions", "/service-accounts", "/agents/helper"])
def test_attack_a_line_break_at_the_end_of_a_path(guarded: Client, method: str, path: str) -> None:
    """Templates of Starlette match in front of it, those of agno do not, and would ask nothing."""
    robot = account(guarded, f"{method}{path}".lower().replace("/", "-"), "agents:run")

    for headers in (as_user("alice"), {"Authorization": f"Bearer {robot}"}):
        answer = guarded.request(method, f"{path}%0A", headers=headers)
        assert 404 == answer.status_code


@pytest.mark.parametrize(
    ("root", "path", "headers"),
    [
        pytest.param("/api", "/api/config", {}, id="root"),
        pytest.param("/api/", "/api//config", {}, id="root-with-a-slash"),
        pytest.param("/", "//config", {}, id="root-of-a-slash"),
        pytest.param("", "/v1/config", {"X-Forwarded-Prefix": "/v1"}, id="middleware"),
        pytest.param("", "/config", {"X-Forwarded-Prefix": "/v1"}, id="prefix-cut-off"),
    ],
)
def test_attack_scopes_are_asked_whatever_the_root_path(
    own_routes: TestClient, root: str, path: str, headers: dict[str, str]
) -> None:
    """Agno is asked about the path that the router has matched."""
    app = own_routes.app

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": path, "root_path": root}, receive, send)

    client = TestClient(served)
    statuses = [
        client.get("/", headers=as_user("alice", scope) | headers).status_code
        for scope in ("nothing:read", "config:read")
    ]

    assert [403, 200] == statuses


@pytest.mark.parametrize(
    ("path", "is_outside", "expected"),
    [
        pytest.param("/config", False, [403, 200], id="prefix-cut-off"),
        pytest.param("/v1/config", False, [401, 401], id="agno-was-asked-about-another-path"),
        pytest.param("/v1/config", True, [403, 200], id="middleware-around-it"),
    ],
)
def test_service_account_behind_a_middleware_that_names_the_prefix(
    own_routes: TestClient,
    guarded: Client,
    request: pytest.FixtureRequest,
    path: str,
    *,
    is_outside: bool,
    expected: list[int],
) -> None:
    """It is let in where agno has decided about the path that the router has matched."""
    client = TestClient(Prefixed(guarded.app)) if is_outside else own_routes

    statuses = []
    for of in ("agents", "config"):
        secret = account(client, f"{of}-{request.node.callspec.id}", f"{of}:read")
        headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-Prefix": "/v1"}
        statuses.append(client.get(path, headers=headers).status_code)

    assert expected == statuses


@pytest.mark.parametrize(
    "name", ["/reports", "get /reports", "GET reports", "GET  /reports", "* /reports", "GET /a b"]
)
def test_mappings_of_another_form_are_refused(name: str) -> None:
    """Agno would find no scopes for them, and ask for none."""
    with pytest.raises(ConfigurationError, match="scope_mappings"):
        protect_agent_os(agent_os(), SETTINGS, scope_mappings={name: ["reports:read"]})


@pytest.mark.parametrize("scopes", ["reports:read", None, [5]], ids=str)
def test_scopes_of_another_form(scopes: Any) -> None:
    """A text would ask for each of its letters."""
    with pytest.raises(ConfigurationError, match="a list of scopes"):
        protect_agent_os(agent_os(), SETTINGS, scope_mappings={"GET /reports": scopes})


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("POST /agents/helper/runs", True),
        ("POST /agents/helper/*", True),
        ("POST /agents/{agent_id}/runs", True),
        ("HEAD /agents", True),
        ("POST /agents/*/run", False),
        ("POST /agent/*/runs", False),
        ("GET /agents/helper/run/*", False),
        ("PUT /agents", False),
        ("GET /nowhere/*", False),
        ("WEBSOCKET /workflows/ws", False),
        ("GET /agents/helper/nowhere", False),
        ("GET //h.example/hosted", False),  # agno compares paths without hosts
    ],
)
def test_scopes_are_for_a_route(own_routes: TestClient, name: str, *, is_known: bool) -> None:
    """A pattern may be for one resource, and for less than a route has."""
    app: Any = own_routes.app
    rules = jwt_deps.agentos._Rules(app, [name], (), authorization=True)

    with (
        nullcontext()
        if is_known
        else pytest.raises(ConfigurationError, match="the application has no such route")
    ):
        rules.look()


def test_scopes_of_a_route_of_a_host_are_asked_for_there(own_routes: TestClient) -> None:
    client = TestClient(own_routes.app, base_url="http://h.example")
    scopes = "agents:read", "hosted:read"

    statuses = [client.get("/hosted", headers=as_user("alice", it)).status_code for it in scopes]

    assert [403, 200] == statuses


@pytest.mark.parametrize("mcp", [False, True])
def test_scopes_for_no_route_stop_the_start(*, mcp: bool) -> None:
    """And the first request: a route whose path is misspelt there would ask for none."""
    app = protect_agent_os(
        agent_os(mcp=mcp), SETTINGS, scope_mappings={"POST /agent/*/runs": ["agents:run"]}
    )
    client = TestClient(app)

    with pytest.raises(ConfigurationError, match="the application has no such route"):
        client.get("/agents", headers=as_user("root", ADMIN))
    if not mcp:  # mounted at the root, its server makes another error of one at the start
        with pytest.raises(ConfigurationError, match="the application has no such route"), client:
            pass


def test_scopes_for_routes_are_served_without_a_start_too(own_routes: TestClient) -> None:
    assert 200 == own_routes.get("/agents", headers=as_user("root", ADMIN)).status_code


def test_a_mount_at_a_path_that_is_open_by_default() -> None:
    """All below it would be open."""
    app = protect_agent_os(agent_os(), SETTINGS)
    mounts: dict[str, ASGIApp] = {"/health": FastAPI(), "/info": PlainTextResponse("open")}
    for path, mounted in mounts.items():
        app.mount(path, mounted)

        with pytest.raises(ConfigurationError, match=f"A mount at {path}"), TestClient(app):
            pass

        app.router.routes.pop()


def test_a_mount_that_the_caller_excludes_is_open(own_routes: TestClient) -> None:
    statuses = [own_routes.get(it).status_code for it in ("/health/x", "/info/x", "/agents")]

    assert [200, 200, 401] == statuses


def test_below_a_mount_the_path_is_that_of_the_application(own_routes: TestClient) -> None:
    outer = FastAPI()
    outer.mount("/os", own_routes.app)

    for client, prefix in ((own_routes, ""), (TestClient(outer), "/os")):
        answers = [
            client.get(f"{prefix}/reports/may", headers=as_user("alice", scope)).status_code
            for scope in ("reports:read", "agents:read")
        ]
        assert [200, 403] == answers


def test_audit_shows_which_routes_are_open(guarded: Client) -> None:
    """The WebSocket takes the token in a message; and each token runs what its scopes name."""
    app: Any = guarded.app
    report = audit(app)
    routes = {route.path: route.verdict for route in report.routes}

    public = {path for path, verdict in routes.items() if verdict is Verdict.PUBLIC}
    pages = {"/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"}
    assert {"/", "/health", "/info", "/workflows/ws"} | pages == public
    assert Verdict.GUARDED is routes["/agents/{agent_id}/runs"]
    assert Verdict.UNGUARDED not in routes.values()
    assert not any("protect_agent_os" in it for it in report.problems)
    assert {it.settings for it in report.routes if it.settings} == {
        "own: HS256 for support scopes_claim=scopes or a service account of agno"
    }


@pytest.mark.parametrize("is_agnos", [True, False], ids=["without-authorization", "guard-alone"])
def test_audit_says_where_every_token_runs_every_agent(
    served: Callable[[str], Pair], *, is_agnos: bool
) -> None:
    """A guard alone asks for a token, and AgentOS for nothing."""
    app = (
        served("no-authorization").guarded.app
        if is_agnos
        else protect(agent_os().get_app(), SETTINGS)
    )

    assert any("protect_agent_os" in it for it in audit(app).problems)


# The user directory


class Directory:
    """Users of whom one is disabled."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.made: list[str] = []

    async def ais_disabled(self, subject: str) -> bool:
        if self.fails:
            raise OSError("the directory cannot be reached")
        return subject == "mallory"

    async def aget(self, subject: str) -> dict[str, Any] | None:
        return {"disabled": True} if await self.ais_disabled(subject) else None

    async def aprovision_from_claims(
        self, subject: str, *_: Any, **__: Any
    ) -> tuple[dict[str, Any], bool]:
        self.made.append(subject)
        return {"disabled": False}, True


def directories(
    both: Pair, patch: pytest.MonkeyPatch, *, provision: bool, closed: bool, fails: bool
) -> list[Directory]:
    found = [Directory(fails=fails), Directory(fails=fails)]
    for client, directory in zip((both.control, both.guarded), found, strict=True):
        for name, value in {
            "user_store": directory,
            "user_auto_provision": provision,
            "user_directory_fail_closed": closed,
            "role_store": None,
            "user_email_claim": "email",
            "user_name_claim": "name",
        }.items():
            patch.setattr(client.app.state, name, value, raising=False)
    return found


@pytest.mark.parametrize("user", ["alice", "mallory", None])
@pytest.mark.parametrize("provision", [False, True])
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_user_directory(
    plain: Pair,
    monkeypatch: pytest.MonkeyPatch,
    user: str | None,
    *,
    provision: bool,
    closed: bool,
    fails: bool,
) -> None:
    """Disabled users are refused, new ones are made; the operator says what an outage means."""
    made = directories(plain, monkeypatch, provision=provision, closed=closed, fails=fails)

    control, guarded = plain.ask("GET", "/agents", headers=as_user(user, "agents:read"))

    assert (control.status, control.body) == (guarded.status, guarded.body)
    assert made[0].made == made[1].made


# Roles, providers and the audit trail


@pytest.mark.parametrize("user", ["alice", "carol", "broken"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/agents"),
        ("GET", "/teams"),
        ("GET", "/agents/writer"),
        ("GET", "/config"),
        ("GET", "/sessions"),
        ("POST", "/agents/helper/runs"),
        ("POST", "/agents/writer/runs"),
        ("POST", "/service-accounts"),
        ("GET", "/queue"),
    ],
)
def test_provider_of_the_authorization_decides(
    served: Callable[[str], Pair], user: str, method: str, path: str
) -> None:
    """Not the scopes of the token; and the trail tells of each decision."""
    both, found = served("own"), []
    for client in (both.control, both.guarded):
        TRAIL.events.clear()
        headers = as_user(user, "agents:run", jti="the-token")
        form = {"message": "hello", "stream": "false"}
        answer = Answer.of(client.request(method, path, headers=headers, data=form))
        found.append((answer.status, answer.detail, TRAIL.told()))

    assert found[0] == found[1]
