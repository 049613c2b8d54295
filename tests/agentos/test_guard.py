"""`protect_agent_os`: what it refuses to guard, and what of agno it leaves to agno."""

import asyncio
import gc
import importlib
import json
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import pytest
from agno.os.authz import Authorization, AuthorizationContext, AuthorizationProvider
from agno.os.authz.audit import AuditEvent, AuditSink
from agno.os.middleware.jwt import JWTMiddleware
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    Pair,
    Setup,
    account,
    agent_os,
    as_user,
    pair,
    served,
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


def test_application_in_place_of_its_agent_os() -> None:
    """The likely mistake: the former code called `get_app()`."""
    app: Any = agent_os().get_app()

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

    with TestClient(app) as client:
        answers = [
            client.get("/agents", headers=headers).status_code
            for headers in (
                as_user("alice", ADMIN),
                {"Authorization": f"Bearer {token(OTHER_SECRET, scopes=[ADMIN])}"},
                {"Authorization": "Bearer the-key-of-the-operating-system"},
            )
        ]

    assert [200, 401, 401] == answers


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [
        pytest.param({}, {None: 200, "support": 200, "other": 401}, id="the-id"),
        pytest.param({"audience": "api"}, {None: 401, "support": 401, "api": 200}, id="configured"),
        pytest.param({"verify_audience": False}, {"other": 200}, id="not-checked"),
        pytest.param({"audience_claim": "for"}, {None: 200, "other": 401}, id="another-claim"),
    ],
)
def test_audience_is_the_id_of_the_agent_os(
    settings: dict[str, Any], statuses: dict[str | None, int]
) -> None:
    options = {"secret_key": SECRET, **settings}
    app = protect_agent_os(agent_os(), JWTSettings(**options))
    with TestClient(app) as client:
        found = {
            aud: client.get("/agents", headers=as_user("alice", ADMIN, aud=aud)).status_code
            for aud in statuses
        }

    assert statuses == found


def test_the_given_settings_have_the_keys_that_requests_use() -> None:
    """For a readiness endpoint, `key_health` and `refresh_keys`."""
    with FakeIssuer() as issuer:
        settings = issuer.settings("api")
        app = protect_agent_os(agent_os(), settings)
        sent = issuer.token({"sub": "ann", "scopes": ["agents:read"]}, audience="api")
        with TestClient(app) as client:
            answer = client.get("/agents", headers={"Authorization": f"Bearer {sent}"})

    assert (200, 1) == (answer.status_code, settings.key_health()["default"].keys)
    assert settings.scopes_claim is None


def test_each_of_several_issuers_has_its_own_users_and_scopes() -> None:
    """Two people with one `sub` at two issuers are two people."""
    issuers = {
        name: IssuerSettings(
            secret_key=key,
            issuer=f"https://{name}.example",
            audience="support",
            scopes_claim=claim,
            admin_scope=ADMIN,
        )
        for name, key, claim in (("one", SECRET, "scopes"), ("two", OTHER_SECRET, "roles"))
    }
    app = protect_agent_os(agent_os(), JWTSettings(issuers=issuers))

    with TestClient(app) as client:
        answers = [
            client.get("/agents", headers={"Authorization": f"Bearer {minted}"}).status_code
            for minted in (
                token(SECRET, iss="https://one.example", aud="support", scopes=[ADMIN]),
                token(OTHER_SECRET, iss="https://two.example", aud="support", roles=[ADMIN]),
                token(OTHER_SECRET, iss="https://two.example", aud="support", scopes=[ADMIN]),
            )
        ]

    assert [200, 200, 403] == answers


def socket_claims(app: FastAPI, minted: str) -> dict[str, Any]:
    """What AgentOS's WebSocket takes from a token."""
    validator = app.state.jwt_validator

    async def claims() -> dict[str, Any]:
        await validator.verify({"text": json.dumps({"action": "authenticate", "token": minted})})
        found: dict[str, Any] = validator.extract_claims(validator.validate_token(minted))
        return found

    return asyncio.run(claims())


def test_the_websocket_knows_the_users_of_several_issuers_apart() -> None:
    """Their ids begin with the issuer's name, as over HTTP."""
    issuers = {
        name: IssuerSettings(secret_key=key, issuer=f"https://{name}.example", audience="support")
        for name, key in (("one", SECRET), ("two", OTHER_SECRET))
    }
    app = protect_agent_os(agent_os(), JWTSettings(issuers=issuers))
    minted = token(OTHER_SECRET, iss="https://two.example", aud="support", scopes=[ADMIN])

    assert "two|alice" == socket_claims(app, minted)["user_id"]


@pytest.mark.parametrize(("kind", "in_a_test"), [("table", False), ("function", True)])
def test_attack_an_administrator_of_another_issuer(kind: str, *, in_a_test: bool) -> None:
    """A customer's own provider can write any scope: only an issuer that is named for it counts.

    Also where a test puts the settings in the place of others.
    """
    own, customer = (
        IssuerSettings(
            secret_key=key,
            issuer=f"https://{name}.example",
            audience="support",
            scopes_claim="scopes",
            admin_scope=admin,
        )
        for name, key, admin in (("own", SECRET, ADMIN), ("customer", OTHER_SECRET, None))
    )
    known = {it.issuer: it for it in (own, customer)}
    issuers: Any = known.get if kind == "function" else {"own": own, "customer": customer}
    settings = JWTSettings(issuers=issuers)
    app = protect_agent_os(agent_os(), SETTINGS if in_a_test else settings)
    tokens = [
        token(key, iss=one.issuer, aud="support", scopes=["sessions:read", *scopes])
        for one, key in ((own, SECRET), (customer, OTHER_SECRET))
        for scopes in ([], [ADMIN])
    ]

    with using_settings(app, settings) if in_a_test else nullcontext(), TestClient(app) as client:
        answers = [
            client.get("/agents", headers={"Authorization": f"Bearer {it}"}).status_code
            for it in tokens
        ]
        administrators = [ADMIN in socket_claims(app, it)["scopes"] for it in tokens]

    assert [403, 200, 403, 403] == answers
    assert [False, True, False, False] == administrators


# Applications


@pytest.fixture(scope="module")
def guarded() -> Iterator[TestClient]:
    """An AgentOS for questions that leave nothing behind."""
    with TestClient(protect_agent_os(agent_os(), SETTINGS)) as client:
        yield client


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
    guarded: TestClient, message: dict[str, Any]
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


def test_the_scheduler_is_asked_for_scopes_as_users_are(guarded: TestClient) -> None:
    without = TestClient(protect_agent_os(agent_os(), SETTINGS, authorization=False))
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

    @base.get("/agents/{agent_id}/billing")
    async def billing(agent_id: str) -> str:
        return agent_id

    base.add_route("/report", report)
    base.mount("/files", PlainTextResponse("secret"))
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
        "GET /report": ["reports:read"],
        "GET /sub/*": ["own:read"],
    }
    return protect_agent_os(agent_os(base_app=base), SETTINGS, scope_mappings=scopes)


@pytest.fixture(scope="module")
def own_routes() -> Iterator[TestClient]:
    """Of which a header of a proxy can name the prefix, too."""
    with TestClient(extended()) as client:
        yield client


def test_attack_the_router_of_an_agent_os_in_another_application() -> None:
    """Its middleware is not there, and without it agno's tools check no permissions."""
    other = FastAPI()
    other.include_router(protect_agent_os(agent_os(), SETTINGS).router)

    with pytest.raises(ConfigurationError, match="mount the application"):
        TestClient(other).get("/agents", headers=as_user("alice", ADMIN))


def test_a_state_of_the_application_that_was_replaced() -> None:
    """Agno goes by the one that the application has."""
    app = protect_agent_os(agent_os(), SETTINGS)
    app.state = State({**vars(app.state)["_state"]})

    assert 200 == TestClient(app).get("/agents", headers=as_user("alice", ADMIN)).status_code


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


def test_handler_of_the_base_application_answers_refusals() -> None:
    """Nothing of it is replaced."""
    base = FastAPI()

    @base.exception_handler(HTTPException)
    async def answer(_: Any, error: HTTPException) -> Any:
        from starlette.responses import PlainTextResponse  # noqa: PLC0415

        return PlainTextResponse(f"no: {error.detail}", error.status_code)

    with TestClient(protect_agent_os(agent_os(base_app=base), SETTINGS)) as client:
        assert "no: Authorization header missing" == client.get("/agents").text


def test_routes_that_are_added_later_are_guarded_and_mapped() -> None:
    """The rules are agno's: by method and path."""
    app = protect_agent_os(
        agent_os(), SETTINGS, scope_mappings={"POST /reports/{name}": ["reports:write"]}
    )

    @app.post("/reports/{name}")
    async def report(name: str) -> str:
        return name

    with TestClient(app) as client:
        answers = [
            client.post("/reports/may", headers=headers).status_code
            for headers in ({}, as_user(), as_user("alice", "reports:write"))
        ]

    assert [401, 403, 200] == answers


@pytest.mark.parametrize("when", ["in the lifespan", "while it serves"])
def test_agents_that_resync_adds_leave_the_websocket_as_it_is(when: str) -> None:
    """It makes all its routes anew, with other endpoints."""

    @asynccontextmanager
    async def resync(app: FastAPI) -> AsyncIterator[None]:
        if when == "in the lifespan":
            supported.resync(app)
        yield

    supported = agent_os(base_app=FastAPI(lifespan=resync))
    app = protect_agent_os(supported, SETTINGS)
    with TestClient(app) as client:
        if when == "while it serves":
            supported.resync(app)

        assert 401 == client.get("/agents").status_code
        with client.websocket_connect("/workflows/ws") as socket:
            assert socket.receive_json()["requires_auth"]


@pytest.mark.parametrize("when", ["before", "after", "in front of all"])
def test_attack_another_route_at_the_path_of_the_websocket(when: str) -> None:
    async def read() -> str:
        return "open"

    base = FastAPI()
    if when == "before":
        base.get("/workflows/ws")(read)
    app = protect_agent_os(agent_os(base_app=base), SETTINGS)
    if when != "before":
        app.get("/workflows/ws")(read)
    if when == "in front of all":  # agno's own /workflows/{workflow_id} would answer
        app.router.routes.insert(0, app.router.routes.pop())
    with TestClient(app) as client:
        assert 401 == client.get("/workflows/ws").status_code
        with client.websocket_connect("/workflows/ws") as socket:
            assert socket.receive_json()["requires_auth"]


def test_attack_a_mount_at_the_path_of_the_websocket() -> None:
    """The exclusion of the path is none of what is mounted there."""
    app = protect_agent_os(agent_os(), SETTINGS)
    app.mount("/workflows/ws", PlainTextResponse("open"))
    app.router.routes.insert(0, app.router.routes.pop())
    with TestClient(app) as client:
        answers = [client.get(f"/workflows/ws{rest}") for rest in ("/", "/a", "/../ws/a")]

    assert [401] * 3 == [answer.status_code for answer in answers]


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
def test_attack_a_line_break_at_the_end_of_a_path(
    guarded: TestClient, method: str, path: str
) -> None:
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
        pytest.param("/v1/config", True, [403, 200], id="middleware-added-afterwards"),
    ],
)
def test_service_account_behind_a_middleware_that_names_the_prefix(
    own_routes: TestClient,
    request: pytest.FixtureRequest,
    path: str,
    *,
    is_outside: bool,
    expected: list[int],
) -> None:
    """It is let in where agno has decided about the path that the router has matched."""
    opened: AbstractContextManager[TestClient] = nullcontext(own_routes)
    if is_outside:
        app = protect_agent_os(agent_os(base_app=FastAPI()), SETTINGS)
        app.add_middleware(Prefixed)
        opened = TestClient(app)

    with opened as client:
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
    ],
)
def test_scopes_are_for_a_route(guarded: TestClient, name: str, *, is_known: bool) -> None:
    """A pattern may be for one resource, and for less than a route has."""
    app: Any = guarded.app
    rules = jwt_deps.agentos._Rules(app, [name], (), authorization=True)

    with (
        nullcontext()
        if is_known
        else pytest.raises(ConfigurationError, match="the application has no such route")
    ):
        rules.look()


@pytest.mark.parametrize("name", ["GET /hosted", "GET //h.example/hosted"])
def test_attack_scopes_for_a_route_of_a_host(name: str) -> None:
    """They are asked for there, or stop the start: agno compares paths without hosts."""
    base, hosted = FastAPI(), FastAPI()
    hosted.get("/hosted")(who)
    base.host("h.example", hosted)
    app = protect_agent_os(agent_os(base_app=base), SETTINGS, scope_mappings={name: ["x:read"]})
    client = TestClient(app, base_url="http://h.example", headers=as_user("alice"))

    with (
        nullcontext()
        if name == "GET /hosted"
        else pytest.raises(ConfigurationError, match="the application has no such route")
    ):
        assert 403 == client.get("/hosted").status_code


@pytest.mark.parametrize(
    ("started", "mcp"),
    [
        pytest.param(True, False, id="start"),
        pytest.param(False, False, id="first request"),
        # Its server makes another error of one at the start.
        pytest.param(False, True, id="first request, MCP mounted at the root"),
    ],
)
def test_scopes_for_no_route_stop_the_start(*, started: bool, mcp: bool) -> None:
    """A route whose path is misspelt there would ask for none."""
    app = protect_agent_os(
        agent_os(mcp=mcp), SETTINGS, scope_mappings={"POST /agent/*/runs": ["agents:run"]}
    )

    client = TestClient(app)
    with (
        pytest.raises(ConfigurationError, match="the application has no such route"),
        client if started else nullcontext(),
    ):
        client.get("/agents", headers=as_user("root", ADMIN))


def test_scopes_for_routes_are_served_without_a_start_too() -> None:
    app = protect_agent_os(agent_os(), SETTINGS, scope_mappings={"HEAD /agents": ["agents:run"]})

    assert 200 == TestClient(app).get("/agents", headers=as_user("root", ADMIN)).status_code


@pytest.mark.parametrize(
    ("path", "mounted"),
    [("/health", FastAPI()), ("/info", PlainTextResponse("open"))],
    ids=["app", "asgi"],
)
def test_a_mount_at_a_path_that_is_open_by_default(path: str, mounted: ASGIApp) -> None:
    """All below it would be open."""
    base = FastAPI()
    base.mount(path, mounted)
    with (
        pytest.raises(ConfigurationError, match="A mount at"),
        TestClient(protect_agent_os(agent_os(base_app=base), SETTINGS)),
    ):
        pass


def test_a_mount_that_the_caller_excludes_is_open() -> None:
    base = FastAPI()
    for path in ("/health", "/info"):
        base.mount(path, PlainTextResponse("open"))
    app = protect_agent_os(agent_os(base_app=base), SETTINGS, exclude=["/health", "/info"])

    with TestClient(app) as client:
        statuses = [client.get(it).status_code for it in ("/health/x", "/info/x", "/agents")]

    assert [200, 200, 401] == statuses


def test_below_a_mount_the_path_is_that_of_the_application() -> None:
    inner = FastAPI()

    @inner.get("/may")
    async def may() -> str:
        return "may"

    base = FastAPI()
    base.mount("/reports", inner)
    app = protect_agent_os(
        agent_os(base_app=base), SETTINGS, scope_mappings={"GET /reports/*": ["reports:read"]}
    )
    outer = FastAPI(lifespan=app.router.lifespan_context)
    outer.mount("/os", app)

    with TestClient(app) as client, TestClient(outer, root_path="") as mounted:
        for at, prefix in ((client, ""), (mounted, "/os")):
            answers = [
                at.get(f"{prefix}/reports/may", headers=as_user("alice", scope)).status_code
                for scope in ("reports:read", "agents:read")
            ]
            assert [200, 403] == answers


def test_service_account_is_let_in_to_the_route_that_agno_decided_about() -> None:
    """Not to another, for which a batch endpoint sends a copy of the request."""
    base = FastAPI()

    base.get("/me")(who)

    @base.get("/batch")
    async def batch(request: Request) -> list[int]:
        statuses: list[int] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        for path in ("/me", "/reports"):
            copy = {**request.scope, "path": path, "raw_path": path.encode()}
            await base.router(copy, request.receive, send)
        return statuses

    @base.get("/reports")
    async def reports() -> None: ...

    app = protect_agent_os(
        agent_os(base_app=base), SETTINGS, scope_mappings={"GET /reports": ["reports:read"]}
    )
    with TestClient(app) as client:
        secret = account(client, "robot", "agents:run")
        headers = {"Authorization": f"Bearer {secret}"}
        assert (200, "sa:robot") == (
            client.get("/me", headers=headers).status_code,
            client.get("/me", headers=headers).json(),
        )
        assert 403 == client.get("/reports", headers=headers).status_code
        assert [401, 401] == client.get("/batch", headers=headers).json()


def test_audit_shows_which_routes_are_open(guarded: TestClient) -> None:
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


@pytest.mark.parametrize(
    "guarded",
    [
        pytest.param(
            lambda: protect_agent_os(agent_os(), SETTINGS, authorization=False),
            id="without-authorization",
        ),
        pytest.param(lambda: protect(agent_os().get_app(), SETTINGS), id="guard-alone"),
    ],
)
def test_audit_says_where_every_token_runs_every_agent(guarded: Callable[[], FastAPI]) -> None:
    """A guard alone asks for a token, and AgentOS for nothing."""
    assert any("protect_agent_os" in it for it in audit(guarded()).problems)


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


def directories(both: Pair, *, provision: bool, closed: bool, fails: bool) -> list[Directory]:
    found = []
    for client in (both.control, both.guarded):
        app: Any = client.app
        app.state.user_store = directory = Directory(fails=fails)
        app.state.user_auto_provision = provision
        app.state.user_directory_fail_closed = closed
        app.state.role_store = None
        app.state.user_email_claim, app.state.user_name_claim = "email", "name"
        found.append(directory)
    return found


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    with pair(Setup()) as clients:
        yield clients


@pytest.mark.parametrize("user", ["alice", "mallory", None])
@pytest.mark.parametrize("provision", [False, True])
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_user_directory(
    both: Pair, user: str | None, *, provision: bool, closed: bool, fails: bool
) -> None:
    """Disabled users are refused, new ones are made; the operator says what an outage means."""
    made = directories(both, provision=provision, closed=closed, fails=fails)

    control, guarded = both.ask("GET", "/agents", headers=as_user(user, "agents:read"))

    assert (control.status, control.body) == (guarded.status, guarded.body)
    assert made[0].made == made[1].made


# Roles, providers and the audit trail


class Sink(AuditSink):
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)

    def told(self) -> list[tuple[str, str | None, str | None, Any]]:
        return [(it.action, it.actor, it.target, it.metadata) for it in self.events]


class Provider(AuthorizationProvider):
    """It grants carol everything, and others the agent `helper`."""

    def check(self, ctx: AuthorizationContext) -> bool:
        if ctx.principal_id == "broken":
            raise OSError("the policy cannot be reached")
        return ctx.principal_id == "carol" or ctx.resource_id == "helper"

    def accessible_resource_ids(self, ctx: AuthorizationContext) -> set[str]:
        return {"helper"} if ctx.action == "read" else set()


def with_provider(**options: Any) -> Setup:
    authorization = Authorization(
        verification_keys=[SECRET], algorithm="HS256", authorization_provider=Provider(), **options
    )
    return Setup(os={"authorization": authorization, "user_isolation": True}, own=True)


@pytest.fixture(scope="module")
def decided() -> Iterator[tuple[Pair, Sink, Sink]]:
    """Clients of both, whose `Authorization` has a provider and a trail."""
    sinks = Sink(), Sink()
    setups = [with_provider(audit=sink) for sink in sinks]
    with (
        served(setups[0].control()) as control,
        served(setups[1].guarded()) as guarded,
    ):
        yield Pair(control, guarded), *sinks


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
    decided: tuple[Pair, Sink, Sink], user: str, method: str, path: str
) -> None:
    """Not the scopes of the token; and the trail tells of each decision."""
    clients, first, second = decided
    first.events.clear()
    second.events.clear()
    headers = as_user(user, "agents:run", jti="the-token")

    control, guarded = clients.ask(
        method, path, headers=headers, data={"message": "hello", "stream": "false"}
    )

    assert (control.status, control.detail) == (guarded.status, guarded.detail)
    assert first.told() == second.told()
