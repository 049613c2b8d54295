"""Service accounts and the scheduler beside tokens, and how long the WebSocket believes a token."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Annotated, Any
from unittest.mock import ANY

import pytest
from agno.os.service_accounts import TOKEN_PREFIX, hash_token
from agno.run.authorization import authorization_snapshot, current_authorization
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from jwt_deps import (
    CurrentUser,
    JWTSettings,
    MemoryRevocations,
    RevocationUnavailableError,
    current_user_id,
    get_scopes,
    require_scopes,
)
from jwt_deps.agentos import protect_agent_os
from jwt_deps.testing import acting_as, using_settings
from tests.minting import SECRET
from tests.web.serving import who
from tests.web.test_state import Copies, NewState

from .clients import Talk
from .side_by_side import ADMIN, INTERNAL, account, agent_os, as_user, token
from .test_guard import SETTINGS, Directory


def stored_account(app: FastAPI, *scopes: str, name: str = "robot") -> str:
    """The token of a service account that is in the database already."""
    secret, now = f"{TOKEN_PREFIX}{token_urlsafe(32)}", int(time.time())
    app.state.service_account_verifier.db.create_service_account(
        {
            **dict.fromkeys(("expires_at", "revoked_at", "last_used_at")),
            "id": name,
            "name": name,
            "created_by": "root",
            "user_id": "root",
            "token_hash": hash_token(secret),
            "token_prefix": secret[:14],
            "scopes": list(scopes),
            "created_at": now,
        }
    )
    return secret


class Revocations:
    """Revocations that begin anew for each test, and may be unavailable."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.known, self.is_out = MemoryRevocations(), False

    def is_revoked(self, claims: Any) -> bool:
        if self.is_out:
            raise RevocationUnavailableError
        return self.known.is_revoked(claims)


@pytest.fixture(scope="module")
def revoking() -> Iterator[tuple[TestClient, Revocations]]:
    revocations = Revocations()
    settings = JWTSettings(secret_key=SECRET, revocation=revocations, leeway=0)
    with TestClient(protect_agent_os(agent_os(), settings)) as client:
        yield client, revocations


@pytest.fixture
def revocation(revoking: tuple[TestClient, Revocations]) -> Revocations:
    revoking[1].begin()
    return revoking[1]


@pytest.fixture
def socket(revoking: tuple[TestClient, Revocations], revocation: Revocations) -> Iterator[Any]:  # noqa: ARG001
    """AgentOS's WebSocket, to which nothing was sent yet."""
    with revoking[0].websocket_connect("/workflows/ws") as connection:
        assert "connected" == connection.receive_json()["event"]
        yield connection


@pytest.mark.parametrize("in_a_test", [False, True])
def test_a_service_account_that_is_revoked(
    revoking: tuple[TestClient, Revocations], revocation: Revocations, *, in_a_test: bool
) -> None:
    """By what the settings say of revocation, too: those that a test puts in their place."""
    client, name = revoking[0], f"in-a-test-{in_a_test}".lower()
    app: Any = client.app
    headers = {"Authorization": f"Bearer {stored_account(app, 'agents:read', name=name)}"}
    known = MemoryRevocations() if in_a_test else revocation.known
    revocation.is_out = in_a_test
    other = JWTSettings(secret_key=SECRET, revocation=known)
    with using_settings(app, other) if in_a_test else nullcontext():
        assert 200 == client.get("/agents", headers=headers).status_code
        known.revoke(subject=f"sa:{name}")
        assert 401 == client.get("/agents", headers=headers).status_code


def authenticate(socket: Any, credential: str) -> str:
    socket.send_json({"action": "authenticate", "token": credential})
    found: str = socket.receive_json()["event"]
    if found == "authenticated":
        socket.receive_json()  # says the same of the user
    return found


def act(socket: Any, **members: str) -> str | int:
    """What is answered to an action, or the code with which the connection was closed."""
    socket.send_json({"action": "ping", **members})
    try:
        return str(json.loads(socket.receive_text())["event"])
    except WebSocketDisconnect as closed:
        return closed.code


@pytest.mark.parametrize(
    ("what", "code"), [("expired", 1008), ("revoked", 1008), ("not known any more", 1013)]
)
def test_attack_the_websocket_after_the_end_of_its_token(
    socket: Any, revocation: Any, what: str, code: int
) -> None:
    """Each message is answered as a request with that token would be."""
    expires = int(time.time()) + (2 if what == "expired" else 60)
    assert "authenticated" == authenticate(socket, token(exp=expires))
    assert "pong" == act(socket)

    if what == "expired":
        time.sleep(max(0, expires - time.time()))
    elif what == "revoked":
        revocation.known.revoke(subject="alice")
    else:
        revocation.is_out = True

    assert code == act(socket)


def test_a_new_token_on_the_websocket_takes_the_place_of_the_former(
    socket: Any, revocation: Any
) -> None:
    """A token that is not accepted takes no place."""
    first, second = token(jti="1"), token(jti="2")
    assert "authenticated" == authenticate(socket, first)
    assert "authenticated" == authenticate(socket, second)
    revocation.known.revoke(jti="1")
    assert "pong" == act(socket)
    authenticate(socket, first)
    assert "pong" == act(socket)
    revocation.known.revoke(jti="2")

    assert 1008 == act(socket)


def test_attack_a_token_in_a_message_that_does_not_authenticate(
    socket: Any, revocation: Any
) -> None:
    """It takes no place either."""
    assert "authenticated" == authenticate(socket, token(jti="1"))
    revocation.known.revoke(jti="1")

    assert 1008 == act(socket, token=token(jti="2"))


def test_attack_a_token_that_agno_refuses(socket: Any, revocation: Any) -> None:
    """The user and the scopes stay those of the former token, and so does the token."""
    assert "authenticated" == authenticate(socket, token(jti="1"))
    assert "auth_error" == authenticate(socket, token(jti="2", sub="__scheduler__"))
    revocation.known.revoke(jti="1")

    assert 1008 == act(socket)


def test_a_service_account_on_the_websocket(socket: Any, revocation: Any) -> None:
    """It takes the place of a token; Agno alone checks it, when it comes."""
    assert "auth_error" == authenticate(socket, "agno_pat_unknown")
    assert "auth_required" == act(socket)
    assert "authenticated" == authenticate(socket, token(jti="1"))
    assert "authenticated" == authenticate(socket, stored_account(socket.app, "workflows:run"))
    revocation.known.revoke(jti="1")

    assert "pong" == act(socket)


def authority() -> Any:
    """Whose permissions agno's own tools check, and which scope grants them all."""
    found = current_authorization()
    return found and (found.context.principal_id, found.context.admin_scope)


async def streamed() -> StreamingResponse:
    async def later() -> AsyncIterator[str]:
        yield json.dumps(authority())

    return StreamingResponse(later())


def inner_one(*middleware: Any, **options: Any) -> FastAPI:
    """An AgentOS for others to serve, whose administrators have another scope."""
    base = FastAPI(middleware=[Middleware(it) for it in middleware])
    base.get("/me")(who)
    base.get("/authority")(authority)
    base.get("/streamed")(streamed)
    return protect_agent_os(agent_os(base_app=base, **options), SETTINGS, admin_scope="root")


@pytest.fixture(scope="module")
def inner() -> FastAPI:
    """One that has a scheduler of its own."""
    app = inner_one(mcp=True)
    app.state.internal_service_token = "of-the-inner-one"
    return app


@dataclass(frozen=True)
class House:
    """An AgentOS on an application with routes and middleware of its own; `/open` is excluded.

    On the host `inner.test` it serves another AgentOS.
    """

    app: FastAPI
    robot: str

    def client(self, credential: str) -> TestClient:
        return TestClient(self.app, headers={"Authorization": f"Bearer {credential}"})


class RequestId:
    """A middleware that keeps something in the state, and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = scope["state"]["id"]
            await send(message)

        scope.setdefault("state", {})["id"] = "7"
        await self.app(scope, receive, send_with_id)


@pytest.fixture(scope="module")
def house(inner: FastAPI) -> House:
    base = FastAPI()
    base.host("inner.test", inner)
    base.post("/reports/{name}")(who)
    base.get("/reports", dependencies=[Depends(require_scopes("reports:read"))])(who)
    base.get("/mapped")(who)

    @base.get("/me")
    async def me(request: Request, user: Annotated[str, Depends(current_user_id)]) -> str:
        return f"{user} {getattr(request.state, 'service_account_name', None)}"

    @base.get("/caller")
    async def caller(
        request: Request,
        user: Annotated[CurrentUser, Depends()],
        scopes: Annotated[frozenset[str], Depends(get_scopes)],
    ) -> list[Any]:
        state = request.state
        return [user.id, sorted(scopes), state.user_id, state.scopes, request.user.identity]

    @base.get("/state")
    async def state_of(request: Request) -> Any:
        return [request.scope["state"].get(it) for it in ("dependencies", "session_state")]

    @base.middleware("http")
    async def with_pool(request: Request, call_next: Callable[[Request], Any]) -> Any:
        request.state.dependencies = {"pool": "p"}
        return await call_next(request)

    @base.get("/stored")
    def stored() -> str:
        return json.dumps(authorization_snapshot())

    @base.get("/known")
    @base.get("/open")
    async def known(request: Request) -> list[str]:
        told = {"user_id", "service_account_name", "is_internal_service", "_agno_auth_complete"}
        return sorted(told & {*request.scope["state"]})

    @base.get("/parts")
    async def parts(request: Request) -> list[Any]:
        asked = request.query_params.multi_items()
        found = [await part(request.scope, credential, path) for path, credential in asked]
        return [*found, [request.state.user_id, request.user.identity]]

    @base.get("/part")
    async def behind(request: Request, path: str, credential: str = "") -> Any:
        return await part(request.scope, credential or token(), path, to=request.app.router)

    settings = JWTSettings(secret_key=SECRET, admin_scope="root")
    scopes = {"POST /reports/*": ["reports:write"], "GET /mapped": ["mapped:read"]}
    app = protect_agent_os(
        agent_os(base_app=base), settings, exclude=["/open"], scope_mappings=scopes
    )
    app.add_middleware(RequestId)
    return House(app, stored_account(app, "agents:read"))


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        pytest.param(
            {"token_source": "cookie"},
            lambda it: {"Cookie": f"access_token={it}"},
            id="cookie",
        ),
        pytest.param(
            {"token_header_key": "X-Token"}, lambda it: {"X-Token": f"Bearer {it}"}, id="own-header"
        ),
        pytest.param(
            {"token_getter": lambda connection: connection.headers.get("x-own")},
            lambda it: {"X-Own": it},
            id="getter",
        ),
    ],
)
def test_attack_a_service_account_beside_a_token(
    house: House,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    headers: Callable[[str], dict[str, str]],
) -> None:
    """The token is whose request it is: nothing that the account may do is lent to its user."""
    client, name = TestClient(house.app), f"beside-{request.node.callspec.id}"
    settings = JWTSettings(secret_key=SECRET, scopes_claim="scopes", **options)
    with using_settings(house.app, settings):
        root = headers(token(sub="root", scopes=[ADMIN]))
        robot = {"Authorization": f"Bearer {account(client, name, 'reports:write', by=root)}"}
        for setting, value in {
            "user_store": Directory(),
            "user_auto_provision": False,
            "user_directory_fail_closed": True,
        }.items():
            monkeypatch.setattr(house.app.state, setting, value, raising=False)

        answers = [
            client.post("/reports/q3", headers=sent | robot).status_code
            for sent in (
                {},
                headers(token(sub="mallory")),  # who is disabled
                headers(token(sub="__scheduler__")),
                headers(token(sub="alice", scopes=[])),
                headers(token(sub="alice", exp=1)),
            )
        ]

    assert [200, 403, 401, 403, 401] == answers


def test_an_administrator_among_service_accounts(house: House) -> None:
    """By what the settings say, too: those that a test puts in their place."""
    client = house.client(stored_account(house.app, "root", name="administrator"))

    assert 200 == client.get("/reports").status_code
    with using_settings(house.app, JWTSettings(secret_key=SECRET, admin_scope="other")):
        assert 403 == client.get("/reports").status_code


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {
                "required_claims": ["tenant"],
                "dpop": "required",
                "public_origin": "https://a.example",
                "user_id_prefix": "p|",
                "scopes_claim": "permissions",
                "user_id_claim": "oid",
            },
            id="claims-and-proofs",
        ),
        pytest.param({"issuers": lambda _: None}, id="issuers"),
        pytest.param({"token_source": "cookie"}, id="cookie"),
    ],
)
def test_what_settings_say_of_tokens_is_not_applied_to_agnos_credentials(
    house: House, options: dict[str, Any]
) -> None:
    """Agno has checked these, and says whose they are and what they may do."""
    if "issuers" not in options:
        options = {"secret_key": SECRET, **options}
    with using_settings(house.app, JWTSettings(**options)):
        robot, scheduler = (
            house.client(credential).get("/caller").json() for credential in (house.robot, INTERNAL)
        )

    assert ["sa:robot", ["agents:read"], "sa:robot", ["agents:read"], "sa:robot"] == robot
    assert ["__scheduler__"] * 3 == scheduler[::2]
    assert scheduler[1] == sorted(scheduler[3]) != []


@pytest.mark.parametrize("scopes", [["agents:read"], []], ids=str)
def test_who_acts_in_a_test_has_their_own_scopes_beside_a_service_account(
    house: House, scopes: list[str]
) -> None:
    with acting_as(house.app, "alice", claims={"scopes": scopes}):
        found = house.client(house.robot).get("/agents/helper").status_code

    assert found == (200 if scopes else 403)


def test_a_service_account_makes_and_changes_a_schedule(house: House) -> None:
    """It is the account's own, and its endpoint needs the account's scopes."""
    scopes = "schedules:write", "schedules:read", "agents:helper:run"
    client = house.client(stored_account(house.app, *scopes, name="planner"))
    wanted = {"name": "nightly", "cron_expr": "0 0 * * *", "endpoint": "/agents/helper/runs"}

    made = client.post("/schedules", json=wanted)
    changed = client.patch(f"/schedules/{made.json()['id']}", json={"description": "at night"})
    refused = client.post("/schedules", json={**wanted, "endpoint": "/agents/other/runs"})

    assert [201, 200, 403] == [it.status_code for it in (made, changed, refused)]
    assert ("sa:planner", "at night") == (changed.json()["user_id"], changed.json()["description"])


def test_what_agno_stores_of_a_service_account_is_json(house: House) -> None:
    """It is stored with a schedule, and with a run that waits."""
    found = json.loads(house.client(house.robot).get("/stored").json())

    assert ("sa:robot", ["agents:read"]) == (
        found["context"]["principal_id"],
        found["context"]["scopes"],
    )


def test_a_service_account_at_a_route_that_needs_no_token(house: House) -> None:
    """Neither a token nor an account makes a user of it, nor does one in the request around it."""
    client = house.client(house.robot)
    answers = client.get("/parts", params={"/open": [house.robot, token()]}).json()

    assert [] == client.get("/open").json()
    assert [[200, "[]"]] * 2 == answers[:2]


def test_what_a_middleware_put_into_the_state_stays_for_a_service_account(house: House) -> None:
    """An account brings no dependencies of its own, and no session state."""
    assert [{"pool": "p"}, None] == house.client(house.robot).get("/state").json()


def test_a_middleware_has_its_state_when_agno_refuses(house: House) -> None:
    """It may answer with what it has put there, the id of the request for instance."""
    refused = house.client(f"{TOKEN_PREFIX}unknown").get("/agents")

    assert (401, "7") == (refused.status_code, refused.headers.get("x-request-id"))


def test_service_account_is_let_in_to_the_route_that_agno_decided_about(house: House) -> None:
    """Not to another, for which a batch endpoint sends a copy of the request."""
    client = house.client(house.robot)
    parts = [
        client.get("/part", params={"path": path, "credential": house.robot}).json()[0]
        for path in ("/me", "/mapped")
    ]

    assert (200, "sa:robot robot") == (client.get("/me").status_code, client.get("/me").json())
    assert 403 == client.get("/mapped").status_code
    assert [401, 401] == parts


async def part(
    scope: Scope, credential: str, path: str = "/me", to: ASGIApp | None = None
) -> tuple[int, str]:
    """Serve a part of a batch, which has a credential of its own."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"authorization", f"Bearer {credential}".encode())]
    copy = {**scope, "path": path, "raw_path": path.encode()}
    copy |= {"query_string": b"", "headers": headers}
    await (to or scope["app"])(copy, receive, send)
    return sent[0]["status"], b"".join(it["body"] for it in sent[1:]).decode()


def test_attack_a_part_of_a_batch_is_let_in_by_what_agno_said_of_another(house: House) -> None:
    """Each has a state of its own, in which agno has said nothing yet."""
    bob, alice = token(sub="bob", scopes=[]), token(sub="alice", scopes=[])
    params = {"/me": [house.robot, "agno_pat_unknown", bob]}

    answers = [
        house.client(sender).get("/parts", params=params).json() for sender in (alice, house.robot)
    ]

    parts = [[200, '"sa:robot robot"'], [401, ANY], [200, '"bob None"']]
    assert [[*parts, ["alice"] * 2], [*parts, ["sa:robot"] * 2]] == answers


@pytest.mark.parametrize("path", ["/known", "/open"])
@pytest.mark.parametrize("sender", ["account", "scheduler"])
def test_attack_a_part_of_a_batch_behind_all_middleware(
    house: House, sender: str, path: str
) -> None:
    """It is asked for what its user may do, whatever has sent the batch."""
    credential = house.robot if sender == "account" else INTERNAL
    status, told = house.client(credential).get("/part", params={"path": path}).json()

    assert (200, ["user_id"] if path == "/known" else []) == (status, json.loads(told))


#: What takes the state of a request away, or copies it.
KINDS: dict[str, Any] = {"/new-state": NewState, "/copies": Copies}


@dataclass(frozen=True)
class Nested:
    """An AgentOS that serves another one at `/inner` and at `/open`, which is an excluded path.

    And one behind each of `KINDS`, at their paths.
    """

    client: TestClient
    behind: dict[str, FastAPI]


@pytest.fixture(scope="module")
def nested(inner: FastAPI) -> Iterator[Nested]:
    behind = {path: inner_one(kind) for path, kind in KINDS.items()}
    base = FastAPI(lifespan=inner.router.lifespan_context)
    for path, app in {"/inner": inner, "/open": inner, **behind}.items():
        base.mount(path, app)
    outer = protect_agent_os(agent_os(base_app=base, mcp=True), SETTINGS, exclude=["/open/*"])
    with TestClient(outer, base_url="http://localhost") as client:
        yield Nested(client, behind)


def test_attack_an_account_of_one_agent_os_at_another_one_in_it(house: House) -> None:
    """Each knows its own accounts."""
    host = {"Host": "inner.test"}
    statuses = [
        house.client(it).get("/me", headers=host).status_code for it in (house.robot, token())
    ]

    assert [401, 200] == statuses


def test_attack_an_account_at_another_agent_os_whose_tokens_are_in_another_header(
    house: House, inner: FastAPI
) -> None:
    """That the one has accepted it says nothing to the other, which looks at no such header."""
    headers = {"Host": "inner.test", "X-Token": "Bearer opaque"}
    with using_settings(inner, JWTSettings(secret_key=SECRET, token_header_key="X-Token")):
        assert 401 == house.client(house.robot).get("/me", headers=headers).status_code


def test_websocket_of_an_agent_os_on_a_host_of_another_one(house: House) -> None:
    """Its own rules say what it needs."""
    client, host = TestClient(house.app), {"Host": "inner.test"}
    with client.websocket_connect("/workflows/ws", headers=host) as connection:
        assert "connected" == connection.receive_json()["event"]
        assert "authenticated" == authenticate(connection, token())


def test_an_account_of_an_agent_os_in_another_one_whose_tokens_are_in_another_header(
    nested: Nested, inner: FastAPI
) -> None:
    """Each asks for its own, and is known by its own path."""
    outer: Any = nested.client.app
    headers = {
        "X-Token": f"Bearer {token()}",
        "Authorization": f"Bearer {stored_account(inner, 'agents:read', name='of-the-inner')}",
    }
    with (
        using_settings(outer, JWTSettings(secret_key=SECRET, token_header_key="X-Token")),
        using_settings(inner, SETTINGS),
    ):
        found = nested.client.get("/inner/authority", headers=headers)

    assert (200, ["sa:of-the-inner", "root"]) == (found.status_code, found.json())


@pytest.mark.parametrize("at", ["/inner", "/open"])
def test_attack_the_rules_of_an_agent_os_in_another_one(nested: Nested, at: str) -> None:
    """It asks its scopes, and has its users, its admin scope and its scheduler."""
    scopes = ("agents:run", "sessions:read")
    alice, bob = as_user("alice", *scopes), as_user("bob", *scopes)
    scheduler = {"Authorization": f"Bearer {INTERNAL}"}
    session = f"alices{at.replace('/', '-')}"
    form = {"message": "hello", "stream": "false", "session_id": session}

    def get(path: str, headers: dict[str, str]) -> Any:
        return nested.client.get(f"{at}{path}", headers=headers)

    ran = nested.client.post(f"{at}/agents/helper/runs", data=form, headers=alice)
    assert (200, "alice") == (ran.status_code, ran.json()["user_id"])
    assert ["alice", "root"] == get("/authority", alice).json()
    assert 200 == get(f"/sessions/{session}?type=agent", alice).status_code

    assert 404 == get(f"/sessions/{session}?type=agent", bob).status_code
    assert 403 == get("/service-accounts", bob).status_code

    assert 401 == get("/authority", scheduler).status_code

    assert [401, 200] == [get(path, {}).status_code for path in ("/agents", "/health")]


@pytest.mark.parametrize("at", KINDS)
def test_attack_tools_of_a_user_behind_a_middleware(nested: Nested, at: str) -> None:
    """Agno's tools check the permissions of the user that they find, and nothing without one."""
    inner = nested.behind[at]
    expected = [
        (TestClient(inner), "", token(), "alice"),
        (TestClient(inner), "", stored_account(inner, "agents:read"), "sa:robot"),
        # An account is none of the outer one's.
        (nested.client, at, token(), "alice"),
    ]

    for client, prefix, credential, user in expected:
        for path in ("/authority", "/streamed"):
            headers = {"Authorization": f"Bearer {credential}"}
            assert [user, "root"] == client.get(f"{prefix}{path}", headers=headers).json()


@pytest.mark.parametrize("at", ["/inner", "/open"])
def test_mcp_of_an_agent_os_in_another_one(
    nested: Nested, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """It knows the user and the scopes, as where it is alone."""
    monkeypatch.setattr("sse_starlette.sse.AppStatus.should_exit", False)
    alice, bob = (
        Talk(nested.client, as_user(user, "agents:helper:run", "sessions:read", of_the_outer), at)
        for user, of_the_outer in (("alice", "x:read"), ("bob", ADMIN))
    )
    run: dict[str, str] = {"message": "hello", "session_id": f"hers{at.replace('/', '-')}"}
    assert "alice" in alice.call("run_agent", agent_id="helper", **run)[1]
    assert run["session_id"] in alice.call("get_sessions", session_type="agent")[1]
    assert "hers" not in bob.call("get_sessions", session_type="agent")[1]
    assert "Insufficient permissions" in bob.call("run_agent", agent_id="writer", **run)[1]
    assert 401 == Talk(nested.client, {}, at).opening.status_code
