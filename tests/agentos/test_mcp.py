"""The MCP server of an AgentOS, and FastMCP behind a guard, know the user of the token."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, protect
from tests.minting import SECRET

from .clients import Talk
from .side_by_side import ADMIN, Pair, as_user
from .test_credentials import stored_account

fastmcp = pytest.importorskip("fastmcp")
auth = pytest.importorskip("fastmcp.server.auth")
dependencies = pytest.importorskip("fastmcp.server.dependencies")

SETTINGS = JWTSettings(secret_key=SECRET)


@pytest.fixture(autouse=True)
def _streams_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uvicorn that ended in this process would end every later event stream in it."""
    monkeypatch.setattr("sse_starlette.sse.AppStatus.should_exit", False)


@pytest.fixture(scope="module")
def both(served: Callable[[str], Pair]) -> Pair:
    """Clients of both, with `mcp=True`."""
    return served("mcp")


def each(both: Pair, user: dict[str, str]) -> tuple[Talk, Talk]:
    return Talk(both.control, user), Talk(both.guarded, user)


@pytest.mark.parametrize(
    ("user", "status"),
    [
        pytest.param({}, 401, id="nothing"),
        pytest.param(as_user("sa:robot", ADMIN), 401, id="reserved"),
        pytest.param(as_user(), 200, id="without-scopes"),
    ],
)
def test_who_may_open_a_session(both: Pair, user: dict[str, str], status: int) -> None:
    assert [status, status] == [talk.opening.status_code for talk in each(both, user)]


@pytest.mark.parametrize(
    ("scopes", "agent", "runs"),
    [
        ((), "helper", False),
        (("agents:helper:run",), "helper", True),
        (("agents:helper:run",), "writer", False),
        (("agents:*:run",), "writer", True),
        ((ADMIN,), "writer", True),
    ],
)
def test_tools_need_the_scopes_of_their_routes(
    both: Pair, scopes: tuple[str, ...], agent: str, *, runs: bool
) -> None:
    """Agno asks for them, and finds them."""
    for talk in each(both, as_user("alice", *scopes)):
        _, said = talk.call("run_agent", agent_id=agent, message="hello")
        assert runs == ("Insufficient permissions" not in said)


def test_user_is_the_tokens_and_data_are_their_users(both: Pair) -> None:
    scopes = ("agents:run", "sessions:read")
    for alice, bob in zip(
        each(both, as_user("alice", *scopes)), each(both, as_user("bob", *scopes)), strict=True
    ):
        _, said = alice.call(
            "run_agent", agent_id="helper", message="hello", session_id="hers", user_id="bob"
        )
        assert "alice" in said
        _, sessions = bob.call("get_sessions", session_type="agent", user_id="alice")
        _, runs = bob.call(
            "get_session_runs", session_id="hers", session_type="agent", user_id="alice"
        )
        assert "hers" not in sessions
        assert "not found" in runs


def test_session_is_its_users(both: Pair) -> None:
    """Stricter: behind the middleware the SDK knows no user, and a session is everybody's."""
    for client, status in ((both.control, 200), (both.guarded, 404)):
        alice = Talk(client, as_user("alice", "sessions:read"))
        bob = Talk(client, as_user("bob", "sessions:read"))

        assert status == bob.call("get_sessions", alice.session, session_type="agent")[0]
        assert status == bob.end(alice.session)


def test_nothing_below_the_mount_is_open(both: Pair, served: Callable[[str], Pair]) -> None:
    """Stricter: AgentOS leaves the card of the server open where it adds the middleware."""
    asked = [it.ask("GET", "/mcp/server-card") for it in (both, served("own"))]

    assert [401, 401, 200, 401] == [it.status for answers in asked for it in answers]


def test_a_service_account_reads_the_card_of_the_server(both: Pair) -> None:
    """It is asked for a credential there, so agno looks at it."""
    client = both.guarded
    robot = {"Authorization": f"Bearer {stored_account(client.app, 'agents:read')}"}
    asked = [client.get("/mcp/server-card", headers=it).status_code for it in (robot, {})]

    assert [200, 401] == asked


def test_fastmcp_has_the_token_and_asks_its_scopes_for_each_tool() -> None:
    """`get_access_token()` and `auth=`."""
    mcp = fastmcp.FastMCP("tools")

    def whoami() -> str:
        token = dependencies.get_access_token()
        return f"{token.claims['sub']} {token.scopes}"

    def write() -> str:
        return "written"

    mcp.tool(whoami)
    mcp.tool(auth=auth.require_scopes("write"))(write)

    served = mcp.http_app(path="/mcp")
    app = protect(FastAPI(lifespan=served.lifespan), SETTINGS)
    app.mount("/", served)

    with TestClient(app, base_url="http://localhost:8000") as client:
        reader = Talk(client, as_user("alice", scope="read"))
        writer = Talk(client, as_user("bob", scope="read write"))

        assert (200, "alice ['read']") == reader.call("whoami")
        assert (200, "written") == writer.call("write")
        assert "written" not in reader.call("write")[1]
        assert 404 == writer.call("whoami", reader.session)[0]
