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

SCOPES = {"POST /reports/*": ["reports:write"]}


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
    options: dict[str, Any], headers: Callable[[str], dict[str, str]]
) -> None:
    """The token is whose request it is: nothing that the account may do is lent to its user."""
    base = FastAPI()
    base.post("/reports/{name}")(who)
    settings = JWTSettings(secret_key=SECRET, **options)
    app = protect_agent_os(agent_os(base_app=base), settings, scope_mappings=SCOPES)
    with TestClient(app) as client:
        root = headers(token(sub="root", scopes=[ADMIN]))
        robot = {"Authorization": f"Bearer {account(client, 'ci', 'reports:write', by=root)}"}
        app.state.user_store, app.state.user_auto_provision = Directory(), False
        app.state.user_directory_fail_closed = True

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


@pytest.mark.parametrize("in_a_test", [False, True])
def test_a_service_account_that_is_revoked(*, in_a_test: bool) -> None:
    """By what the settings say of revocation, too: those that a test puts in their place."""
    revocation, other = MemoryRevocations(), Revocations()
    other.is_out = True
    settings = JWTSettings(secret_key=SECRET, revocation=revocation)
    own = JWTSettings(secret_key=SECRET, revocation=other) if in_a_test else settings
    app = protect_agent_os(agent_os(), own)
    with using_settings(app, settings) if in_a_test else nullcontext(), TestClient(app) as client:
        headers = {"Authorization": f"Bearer {stored_account(app, 'agents:read')}"}
        assert 200 == client.get("/agents", headers=headers).status_code
        revocation.revoke(subject="sa:robot")
        assert 401 == client.get("/agents", headers=headers).status_code


def test_an_administrator_among_service_accounts() -> None:
    """By what the settings say, too: those that a test puts in their place."""
    base = FastAPI()
    base.get("/reports", dependencies=[Depends(require_scopes("reports:read"))])(who)
    own, other = (JWTSettings(secret_key=SECRET, admin_scope=it) for it in ("root", "other"))
    app = protect_agent_os(agent_os(base_app=base), own)
    client = TestClient(app, headers={"Authorization": f"Bearer {stored_account(app, 'root')}"})

    assert 200 == client.get("/reports").status_code
    with using_settings(app, other):
        assert 403 == client.get("/reports").status_code


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
def served() -> Iterator[tuple[TestClient, Revocations]]:
    revocations = Revocations()
    settings = JWTSettings(secret_key=SECRET, revocation=revocations, leeway=0)
    with TestClient(protect_agent_os(agent_os(), settings)) as client:
        yield client, revocations


@pytest.fixture
def revocation(served: tuple[TestClient, Revocations]) -> Revocations:
    served[1].begin()
    return served[1]


@pytest.fixture
def socket(served: tuple[TestClient, Revocations], revocation: Revocations) -> Iterator[Any]:  # noqa: ARG001
    """AgentOS's WebSocket, to which nothing was sent yet."""
    with served[0].websocket_connect("/workflows/ws") as connection:
        assert "connected" == connection.receive_json()["event"]
        yield connection


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


@dataclass(frozen=True)
class House:
    """An AgentOS on an application with routes of its own, of which `/open` needs no token."""

    app: FastAPI
    robot: str

    def client(self, credential: str) -> TestClient:
        return TestClient(self.app, headers={"Authorization": f"Bearer {credential}"})


@pytest.fixture(scope="module")
def house() -> House:
    base = FastAPI()

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

    @base.get("/stored")
    def stored() -> str:
        return json.dumps(authorization_snapshot())

    @base.get("/known")
    @base.get("/open")
    async def known(request: Request) -> list[str]:
        told = {"user_id", "service_account_name", "is_internal_service"}
        return sorted(told & {*request.scope["state"]})

    @base.get("/parts")
    async def parts(request: Request) -> list[Any]:
        asked = request.query_params.multi_items()
        found = [await part(request.scope, credential, path) for path, credential in asked]
        return [*found, [request.state.user_id, request.user.identity]]

    @base.get("/part")
    async def behind(request: Request, path: str) -> Any:
        return await part(request.scope, token(), path, to=request.app.router)

    app = protect_agent_os(agent_os(base_app=base), SETTINGS, exclude=["/open"])
    return House(app, stored_account(app, "agents:read"))


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


def test_what_a_middleware_put_into_the_state_stays_for_a_service_account() -> None:
    """An account brings no dependencies of its own, and no session state."""
    base = FastAPI()

    @base.get("/state")
    async def state_of(request: Request) -> Any:
        return [request.scope["state"].get(it) for it in ("dependencies", "session_state")]

    @base.middleware("http")
    async def with_pool(request: Request, call_next: Callable[[Request], Any]) -> Any:
        request.state.dependencies = {"pool": "p"}
        return await call_next(request)

    app = protect_agent_os(agent_os(base_app=base), SETTINGS)
    headers = {"Authorization": f"Bearer {stored_account(app, 'agents:read')}"}

    assert [{"pool": "p"}, None] == TestClient(app).get("/state", headers=headers).json()


def test_a_middleware_has_its_state_when_agno_refuses() -> None:
    """It may answer with what it has put there, the id of the request for instance."""

    class RequestId:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def send_with_id(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message)["X-Request-ID"] = scope["state"]["id"]
                await send(message)

            scope.setdefault("state", {})["id"] = "7"
            await self.app(scope, receive, send_with_id)

    app = protect_agent_os(agent_os(), SETTINGS)
    app.add_middleware(RequestId)
    headers = {"Authorization": f"Bearer {TOKEN_PREFIX}unknown"}
    refused = TestClient(app).get("/agents", headers=headers)

    assert (401, "7") == (refused.status_code, refused.headers.get("x-request-id"))


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


def test_attack_an_account_of_one_agent_os_at_another_one_in_it() -> None:
    """Each knows its own accounts."""
    inner_base, base = FastAPI(), FastAPI()
    inner_base.get("/me")(who)
    inner = protect_agent_os(agent_os(base_app=inner_base), SETTINGS)
    base.host("inner.test", inner)
    app = protect_agent_os(agent_os(base_app=base), SETTINGS)
    with TestClient(app) as client, TestClient(inner):
        robot = stored_account(app, "agents:read")
        headers = {"Authorization": f"Bearer {robot}", "Host": "inner.test"}

        assert 401 == client.get("/me", headers=headers).status_code
        good = {"Authorization": f"Bearer {token()}", "Host": "inner.test"}
        assert 200 == client.get("/me", headers=good).status_code


def test_websocket_of_an_agent_os_on_a_host_of_another_one() -> None:
    """Its own rules say what it needs."""
    inner, base = protect_agent_os(agent_os(), SETTINGS), FastAPI()
    base.host("inner.test", inner)
    client = TestClient(protect_agent_os(agent_os(base_app=base), SETTINGS))
    with client.websocket_connect("/workflows/ws", headers={"Host": "inner.test"}) as connection:
        assert "connected" == connection.receive_json()["event"]
        assert "authenticated" == authenticate(connection, token())


def authority() -> Any:
    """Whose permissions agno's own tools check, and which scope grants them all."""
    found = current_authorization()
    return found and (found.context.principal_id, found.context.admin_scope)


@pytest.mark.parametrize("exclude", [("/inner/*",), ()], ids=["excluded", "guarded"])
def test_attack_the_rules_of_an_agent_os_in_another_one(exclude: tuple[str, ...]) -> None:
    """It asks its scopes, and has its users, its admin scope and its scheduler."""
    inner_base, base = FastAPI(), FastAPI()
    inner_base.get("/authority")(authority)
    inner = protect_agent_os(agent_os(base_app=inner_base), SETTINGS, admin_scope="root")
    inner.state.internal_service_token = "of-the-inner-one"
    base.mount("/inner", inner)
    app = protect_agent_os(agent_os(base_app=base), SETTINGS, exclude=exclude)
    scopes = ("agents:run", "sessions:read")
    with TestClient(app) as client, TestClient(inner):
        client.headers = as_user("alice", *scopes)
        form = {"message": "hello", "stream": "false", "session_id": "alices"}
        ran = client.post("/inner/agents/helper/runs", data=form)
        assert (200, "alice") == (ran.status_code, ran.json()["user_id"])
        assert ["alice", "root"] == client.get("/inner/authority").json()
        assert 200 == client.get("/inner/sessions/alices?type=agent").status_code

        client.headers = as_user("bob", *scopes)
        assert 404 == client.get("/inner/sessions/alices?type=agent").status_code
        assert 403 == client.get("/inner/service-accounts").status_code

        client.headers = {"Authorization": f"Bearer {INTERNAL}"}
        assert 401 == client.get("/inner/authority").status_code

        client.headers = {}
        asked = [client.get(path).status_code for path in ("/inner/agents", "/inner/health")]
        assert [401, 200] == asked


@pytest.mark.parametrize("kind", [NewState, Copies])
def test_attack_tools_of_a_user_behind_a_middleware(kind: Any) -> None:
    """Agno's tools check the permissions of the user that they find, and nothing without one."""
    own = FastAPI()
    own.get("/authority")(authority)
    own.add_middleware(kind)

    @own.get("/streamed")
    async def streamed() -> StreamingResponse:
        async def later() -> AsyncIterator[str]:
            yield json.dumps(authority())

        return StreamingResponse(later())

    app = protect_agent_os(agent_os(base_app=own), SETTINGS, admin_scope="root")
    robot, base = stored_account(app, "agents:read"), FastAPI()
    base.mount("/inner", app)
    outer = protect_agent_os(agent_os(base_app=base), SETTINGS)
    expected = [
        (TestClient(app), token(), "alice"),
        (TestClient(app), robot, "sa:robot"),
        # An account is none of the outer one's.
        (TestClient(outer, base_url="http://localhost/inner"), token(), "alice"),
    ]

    for client, credential, user in expected:
        for path in ("/authority", "/streamed"):
            answer = client.get(path, headers={"Authorization": f"Bearer {credential}"})
            assert [user, "root"] == answer.json()


@pytest.mark.parametrize("exclude", [("/inner/*",), ()], ids=["excluded", "guarded"])
def test_mcp_of_an_agent_os_in_another_one(
    monkeypatch: pytest.MonkeyPatch, exclude: tuple[str, ...]
) -> None:
    """It knows the user and the scopes, as where it is alone."""
    monkeypatch.setattr("sse_starlette.sse.AppStatus.should_exit", False)
    inner = protect_agent_os(agent_os(mcp=True), SETTINGS, admin_scope="root")
    base = FastAPI(lifespan=inner.router.lifespan_context)
    base.mount("/inner", inner)
    app = protect_agent_os(agent_os(base_app=base, mcp=True), SETTINGS, exclude=exclude)
    with TestClient(app, base_url="http://localhost/inner") as client:
        alice, bob = (
            Talk(client, as_user(user, "agents:helper:run", "sessions:read", of_the_outer))
            for user, of_the_outer in (("alice", "x:read"), ("bob", ADMIN))
        )
        run: dict[str, str] = {"message": "hello", "session_id": "hers"}
        assert "alice" in alice.call("run_agent", agent_id="helper", **run)[1]
        assert "hers" in alice.call("get_sessions", session_type="agent")[1]
        assert "hers" not in bob.call("get_sessions", session_type="agent")[1]
        assert "Insufficient permissions" in bob.call("run_agent", agent_id="writer", **run)[1]
        assert 401 == Talk(client, {}).opening.status_code
