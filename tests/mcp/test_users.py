"""A server of the MCP SDK behind a guard knows the user: sessions are bound, tools can ask."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware, get_access_token
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import (
    JWTSettings,
    current_user_id,
    get_claims,
    protect,
    protected_router,
    public,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import SETTINGS, bearer

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
CALL = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "whoami", "arguments": {}},
}
ACCEPT = {"Accept": "application/json, text/event-stream", "Host": "localhost:80"}


def server() -> MCPServer:
    mcp = MCPServer("whoami")

    @mcp.tool()
    async def whoami() -> str:
        """Say what the SDK knows of the token."""
        token = get_access_token()
        if token is None:
            return "null"
        known = token.model_dump(exclude={"token", "claims", "expires_at"})
        told = token.claims or {}
        ends = token.expires_at == told.get("exp")
        return json.dumps({**known, "claim": told.get("tenant"), "ends": ends})

    return mcp


def routed(mcp: MCPServer) -> FastAPI:
    app = FastAPI(lifespan=running(mcp))
    router = protected_router(settings=SETTINGS)
    router.routes.extend(mcp.streamable_http_app(streamable_http_path="/mcp").routes)
    app.include_router(router)
    return app


def mounted(mcp: MCPServer) -> FastAPI:
    app = protect(FastAPI(lifespan=running(mcp)), SETTINGS)
    app.mount("/", mcp.streamable_http_app(streamable_http_path="/mcp"))
    return app


def excluded(mcp: MCPServer) -> FastAPI:
    app = protect(FastAPI(lifespan=running(mcp)), SETTINGS, exclude=["/mcp"])
    app.router.routes.extend(mcp.streamable_http_app(streamable_http_path="/mcp").routes)
    return app


def running(mcp: MCPServer) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with mcp.session_manager.run():
            yield

    return lifespan


@pytest.fixture(autouse=True)
def _streams_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uvicorn that ended in this process would end every later event stream in it."""
    monkeypatch.setattr("sse_starlette.sse.AppStatus.should_exit", False)


def client_of(app: ASGIApp) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(params=[routed, mounted], ids=["a-route", "a-mount"])
def client(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """A client of the server, as a route of a protected router or mounted."""
    yield from client_of(request.param(server()))


def post(
    client: TestClient, user: dict[str, str], body: dict[str, Any], session: str | None = None
) -> httpx2.Response:
    headers = {**ACCEPT, **user, **({} if session is None else {"Mcp-Session-Id": session})}
    answer: Any = client.post("/mcp", headers=headers, json=body)
    return answer  # type: ignore[no-any-return]


def opened(client: TestClient, user: dict[str, str]) -> str:
    """Open a session and return its id."""
    answer = post(client, user, INITIALIZE)
    assert answer.status_code == 200, answer.text
    return answer.headers["mcp-session-id"]


def said(answer: httpx2.Response) -> Any:
    data = next(line[5:] for line in answer.text.splitlines() if line.startswith("data:"))
    return json.loads(json.loads(data)["result"]["content"][0]["text"])


ALICE = bearer(sub="alice", client_id="desk", scope="read", tenant="acme", iss="https://a.example")
BOB = bearer(sub="bob", client_id="desk", scope="read", iss="https://a.example")


def test_tool_knows_client_subject_scopes_and_claims(client: TestClient) -> None:
    """`get_access_token()` is the SDK's own."""
    session = opened(client, ALICE)

    assert {
        "client_id": "desk",
        "subject": "alice",
        "scopes": ["read"],
        "resource": None,
        "claim": "acme",
        "ends": True,
    } == said(post(client, ALICE, CALL, session))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(BOB, id="another-user"),
        pytest.param(bearer(sub="alice", client_id="desk"), id="another-issuer"),
        pytest.param(bearer(sub="alice", iss="https://a.example"), id="another-client"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_session_is_its_users(client: TestClient, other: dict[str, str], method: str) -> None:
    """With another token its id is unknown: 404, as the SDK answers."""
    session = opened(client, ALICE)

    headers = {**ACCEPT, **other, "Mcp-Session-Id": session}
    answer = client.request(method, "/mcp", headers=headers, json=CALL)

    assert 404 == answer.status_code
    assert "alice" == said(post(client, ALICE, CALL, session))["subject"]


def test_renewed_token_goes_on_with_the_session(client: TestClient) -> None:
    """It is bound to the user, not to the token."""
    session = opened(client, ALICE)
    renewed = bearer(
        sub="alice", client_id="desk", scope="read write", iss="https://a.example", tenant="acme"
    )

    assert ["read", "write"] == said(post(client, renewed, CALL, session))["scopes"]


def test_token_without_client_or_subject_is_one_all_the_same() -> None:
    """What it has not is empty for the SDK."""
    for client in client_of(routed(server())):
        nameless = bearer(sub="")
        session = opened(client, nameless)

        known = said(post(client, nameless, CALL, session))
        assert ("", None, []) == (known["client_id"], known["subject"], known["scopes"])


def user_of(app: FastAPI, headers: dict[str, str]) -> Any:
    """The `request.user` of one request."""
    users: list[Any] = []

    @app.get("/me")
    async def me(request: Request) -> None:
        users.append(request.user)

    TestClient(app).get("/me", headers=headers)
    (user,) = users
    return user


def test_user_of_a_request_is_the_sdks() -> None:
    """And Starlette's, on all routes of an application that has imported the SDK."""
    headers = bearer(client_id="desk", scope="a")

    user = user_of(protect(FastAPI(), SETTINGS), headers)

    assert isinstance(user, AuthenticatedUser)
    assert ("alice", "alice", ["a"], "desk") == (
        user.identity,
        user.display_name,
        user.scopes,
        user.access_token.client_id,
    )
    assert headers["Authorization"] == f"Bearer {user.access_token.token}"


@pytest.mark.parametrize(
    ("claims", "subject"),
    [
        pytest.param({"uid": "u7", "sub": "alice"}, "u7", id="the-user-id"),
        pytest.param({"sub": "alice"}, "alice", id="sub-without-a-user-id"),
    ],
)
def test_subject_is_the_user_id_if_the_token_has_one(claims: dict[str, Any], subject: str) -> None:
    """Sessions are bound to it, whatever claim `user_id_claim` names."""
    settings = JWTSettings(secret_key=SECRET, user_id_claim="uid")

    user = user_of(protect(FastAPI(), settings), bearer(**claims))

    assert subject == user.access_token.subject


def test_user_of_replaced_claims_has_an_empty_token() -> None:
    """There is none where a test replaces `get_claims`."""
    app = protect(FastAPI(), SETTINGS)
    app.dependency_overrides[get_claims] = lambda: {"sub": "alice"}

    user = user_of(app, {})

    assert ("alice", "") == (user.identity, user.access_token.token)


def test_excluded_server_has_no_access_token() -> None:
    """A public route knows no user."""
    for client in client_of(excluded(server())):
        session = opened(client, {})

        assert said(post(client, {}, CALL, session)) is None


def test_a_token_that_a_layer_below_a_mount_exchanges_is_the_one_of_the_tool() -> None:
    """The guard of the mount accepted another one."""

    class Exchanging:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope["headers"] = [(b"authorization", BOB["Authorization"].encode())]
            await self.app(scope, receive, send)

    async def subject(_: Annotated[str, Depends(current_user_id)]) -> str | None:
        token = get_access_token()
        return None if token is None else token.subject

    inner, app = FastAPI(), protect(FastAPI(), SETTINGS)
    inner.add_middleware(Exchanging)
    inner.get("/subject")(subject)
    app.mount("/deep", inner)

    assert "bob" == TestClient(app).get("/deep/subject", headers=ALICE).json()


def test_an_application_that_is_asked_in_between_leaves_the_user_of_the_tool() -> None:
    """It is asked in the same task with a token of its own, as for the tools of an API."""

    async def subject() -> str | None:
        token = get_access_token()
        return None if token is None else token.subject

    async def users() -> list[str | None]:
        before = await subject()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as client:
            answers = [
                await client.get("http://localhost/subject", headers=BOB),
                await client.get("http://localhost/deep/subject", headers=BOB),
                await client.get("http://localhost/open"),
            ]
        return [before, *(it.json() for it in answers), await subject()]

    app, router = protect(FastAPI(), SETTINGS), protected_router(settings=SETTINGS)
    app.get("/subject")(subject)
    app.get("/open")(public(partial(subject)))
    app.get("/users")(users)
    router.get("/subject")(subject)
    app.mount("/deep", router)

    answer = TestClient(app).get("/users", headers=ALICE)

    assert ["alice", "bob", "bob", None, "alice"] == answer.json()


@pytest.mark.parametrize("set_before", [False, True])
@pytest.mark.parametrize("validate", [False, True])
def test_attack_a_user_of_another_issuer_where_no_user_is_known(
    *, validate: bool, set_before: bool
) -> None:
    """On a public route, and under `validate=False`: an application may have set a user before."""

    class Anonymous:
        async def authenticate(self, _: Any) -> None:
            return None

    async def subject() -> str | None:
        token = get_access_token()
        return None if token is None else token.subject

    other = JWTSettings(secret_key=OTHER_SECRET, validate=validate)
    inner = protect(FastAPI(), other, exclude=["/subject"] if validate else [])
    inner.get("/subject")(subject)
    middleware: Any = Middleware(AuthenticationMiddleware, backend=Anonymous())  # type: ignore[arg-type]
    app = protect(FastAPI(middleware=[middleware] if set_before else []), SETTINGS)
    app.mount("/m", Starlette(routes=[Mount("/in", inner)]))

    assert TestClient(app).get("/m/in/subject", headers=ALICE).json() is None


def test_attack_a_user_of_another_issuer_where_the_sdk_knows_one_of_its_own() -> None:
    """On a public route of other settings, whose user is the one that the SDK verified."""

    class OfTheSDK:
        async def authenticate(self, _: Any) -> tuple[AuthCredentials, AuthenticatedUser]:
            token = AccessToken(token="t", client_id="desk", scopes=[], subject="carol")
            return AuthCredentials(), AuthenticatedUser(token)

    async def subjects(request: Request) -> list[str | None]:
        token = get_access_token()
        known = request.user.access_token.subject
        return [known, None if token is None else token.subject]

    inner = protect(FastAPI(), JWTSettings(secret_key=OTHER_SECRET), exclude=["/subjects"])
    inner.get("/subjects")(subjects)
    middleware: Any = Middleware(AuthenticationMiddleware, backend=OfTheSDK())  # type: ignore[arg-type]
    app = protect(FastAPI(middleware=[middleware, Middleware(AuthContextMiddleware)]), SETTINGS)
    app.get("/open")(public(subjects))
    app.mount("/m", Starlette(routes=[Mount("/in", inner)]))
    client = TestClient(app)

    assert ["carol", "carol"] == client.get("/open", headers=ALICE).json()
    assert ["carol", None] == client.get("/m/in/subjects", headers=ALICE).json()
