"""Over real HTTP, in both wirings, Bob never sees or changes what is Alice's.

Two agents, a team and a workflow; REST, MCP and the WebSocket; the token in the header or in a
cookie; and everything with which a client could say that it is another user.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from websockets.sync.client import connect

from jwt_deps import JWTSettings
from jwt_deps.agentos import protect_agent_os
from jwt_deps.testing import TokenFactory
from tests.listening import listening
from tests.providers.conftest import running
from tests.providers.identity import API, Provider
from tests.providers.oauth import OAuthClient

from .clients import Talk
from .side_by_side import HAS_MCP, agent_os, store_data_of

FAMILIES = ("agents", "teams", "workflows", "sessions", "memories", "traces", "evals", "learnings")
SCOPES = [f"{family}:{act}" for family in FAMILIES for act in ("read", "run", "write", "delete")]
RUNS = {
    "helper": "/agents/helper/runs",
    "writer": "/agents/writer/runs",
    "crew": "/teams/crew/runs",
    "flow": "/workflows/flow/runs",
}
KINDS = {"helper": "agent", "writer": "agent", "crew": "team", "flow": "workflow"}
#: In all that Alice said, and in nothing that Bob asks for.
SECRET = "the-words-of-alice"
CLAIMS_TO_BE_ALICE = {
    "query": {"params": {"user_id": "alice"}},
    "headers": {"headers": {"X-User-Id": "alice", "User-Id": "alice"}},
    "all": {
        "params": {"user_id": "alice"},
        "headers": {"X-User-Id": "alice", "Cookie": "user_id=alice"},
    },
}


@dataclass(frozen=True)
class House:
    """A running AgentOS, and the tokens of its users."""

    port: int
    tokens: dict[str, str]
    client: httpx2.Client

    def ask(self, user: str, place: str, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request with the token in the header or in the cookie."""
        given = request.pop("headers", {})
        sent = self.credential(user, place)
        if "Cookie" in sent and "Cookie" in given:
            sent["Cookie"] += f"; {given['Cookie']}"
        return self.client.request(method, path, headers={**given, **sent}, **request)

    def credential(self, user: str, place: str) -> dict[str, str]:
        if place == "cookie":
            return {"Cookie": f"access_token={self.tokens[user]}"}
        return {"Authorization": f"Bearer {self.tokens[user]}"}

    def session(self, name: str) -> httpx2.Response:
        """Alice's session, as she reads it."""
        path = f"/sessions/of-{name}?type={KINDS[name]}"
        return self.ask("alice", "header", "GET", path)


#: What each user has been granted.
GRANTED = {"alice": SCOPES, "bob": SCOPES, "carol": ["agents:helper:run"]}


def shared_secret() -> tuple[JWTSettings, dict[str, str]]:
    tokens = TokenFactory(token_source="both", audience="support")
    return tokens.settings, {
        user: tokens(user, claims={"scopes": scopes}) for user, scopes in GRANTED.items()
    }


def discovery(provider: Provider) -> tuple[JWTSettings, dict[str, str]]:
    """The users log in at a real provider, which puts what they consent to into `scope`."""
    client = OAuthClient(provider.issuer)
    settings = JWTSettings(
        issuer=provider.issuer,
        discovery=True,
        allow_loopback=True,
        audience=API,
        scopes_claim="scope",
        token_source="both",
    )
    return settings, {
        user: client.log_in(user, scope=" ".join(["openid", *scopes]))["access_token"]
        for user, scopes in GRANTED.items()
    }


@contextmanager
def configured(name: str, directory: Path) -> Iterator[tuple[JWTSettings, dict[str, str]]]:
    if name == "HS256":
        yield shared_secret()
        return
    with running("authlib", directory) as provider:
        yield discovery(provider)


@pytest.fixture(
    scope="module",
    params=[("HS256", "own-app"), ("discovery", "base_app")],
    ids="-".join,
)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """An AgentOS in which Alice has sessions of everything, and a memory."""
    keys, base = request.param
    with configured(keys, tmp_path_factory.mktemp(keys)) as (settings, tokens):
        base_app = FastAPI() if base == "base_app" else None
        os = agent_os(mcp=HAS_MCP, base_app=base_app)
        store_data_of("alice", os.db)
        app = protect_agent_os(os, settings)
        with (
            listening(app) as port,
            httpx2.Client(base_url=f"http://localhost:{port}", timeout=30, trust_env=False) as it,
        ):
            house = House(port, tokens, it)
            for name, path in RUNS.items():
                form = {"message": SECRET, "stream": "false", "session_id": f"of-{name}"}
                ran = house.ask("alice", "header", "POST", path, data=form)
                assert (200, True) == (ran.status_code, "alice" in ran.text)
            memory = {"memory": SECRET, "topics": [SECRET], "user_id": "alice"}
            stored = house.ask("alice", "cookie", "POST", "/memories", json=memory)
            assert 200 == stored.status_code
            yield house


@pytest.fixture(autouse=True)
def _streams_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uvicorn that ended in this process would end every later event stream in it."""
    monkeypatch.setattr("sse_starlette.sse.AppStatus.should_exit", False)


@pytest.mark.parametrize("place", ["header", "cookie"])
def test_carol_runs_what_she_was_granted(house: House, place: str) -> None:
    """One agent, and no other, no team and no workflow."""
    form = {"message": "hello", "stream": "false"}
    statuses = {
        name: house.ask("carol", place, "POST", path, data=form).status_code
        for name, path in RUNS.items()
    }

    assert {**dict.fromkeys(RUNS, 403), "helper": 200} == statuses


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("place", ["header", "cookie"])
def test_alice_sees_what_is_hers(house: House, name: str, place: str) -> None:
    """Else nothing below would say anything."""
    answer = house.ask("alice", place, "GET", f"/sessions/of-{name}?type={KINDS[name]}")
    memories = house.ask("alice", place, "GET", "/memories")

    assert (200, True) == (answer.status_code, SECRET in answer.text)
    assert SECRET in memories.text


@pytest.mark.parametrize("claimed", CLAIMS_TO_BE_ALICE)
@pytest.mark.parametrize("place", ["header", "cookie"])
def test_bob_reads_nothing_of_alices(house: House, claimed: str, place: str) -> None:
    """Whatever he says of himself, by itself or all at once."""
    paths = [f"/sessions?type={kind}" for kind in sorted(set(KINDS.values()))]
    paths += [
        f"/sessions/of-{name}{below}?type={KINDS[name]}"
        for name in RUNS
        for below in ("", "/runs", "/run-previews")
    ]
    paths += ["/memories", "/memory_topics", "/user_memory_stats", "/learnings/users"]
    paths += ["/traces", "/trace_session_stats", "/eval-runs", "/learnings"]
    paths += ["/traces/alices-trace", "/eval-runs/alices-eval", "/learnings/alices-learning"]
    for path in paths:
        target, _, query = path.partition("?")
        request = dict(CLAIMS_TO_BE_ALICE[claimed])
        params = {**dict(part.split("=") for part in query.split("&") if part)}
        request["params"] = {**params, **request.get("params", {})}

        answer = house.ask("bob", place, "GET", target, **request)

        assert SECRET not in answer.text, path
        assert 404 == answer.status_code or not re.search("of-|alices-", answer.text), path
        assert answer.status_code in {200, 403, 404}, path


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("place", ["header", "cookie"])
def test_bob_runs_nothing_in_a_session_of_alices(house: House, name: str, place: str) -> None:
    """Nor is a run of his, in a session of his, hers."""
    claimed = {"user_id": "alice", "stream": "false", "message": "I am Alice"}
    say_all = {"params": {"user_id": "alice"}, "headers": {"X-User-Id": "alice"}}

    into = house.ask(
        "bob", place, "POST", RUNS[name], data={**claimed, "session_id": f"of-{name}"}, **say_all
    )
    own = house.ask(
        "bob", place, "POST", RUNS[name], data={**claimed, "session_id": f"bobs-{name}"}, **say_all
    )

    assert 200 != into.status_code
    assert SECRET not in into.text
    assert "I am Alice" not in house.session(name).text
    assert (200, True, False) == (own.status_code, "bob" in own.text, SECRET in own.text)
    hers = house.ask("alice", place, "GET", f"/sessions?type={KINDS[name]}")
    assert f"bobs-{name}" not in hers.text


@pytest.mark.parametrize("place", ["header", "cookie"])
@pytest.mark.parametrize("claimed", CLAIMS_TO_BE_ALICE)
def test_bob_changes_nothing_of_alices(house: House, claimed: str, place: str) -> None:
    """By no method, whatever he says."""
    before = [house.session(name).json()["session_name"] for name in RUNS]
    memories = house.ask("alice", "header", "GET", "/memories").json()["data"]
    mine = {"session_name": "Bob's", "user_id": "alice"}
    for name, kind in KINDS.items():
        several = {"session_ids": [f"of-{name}"], "session_types": [kind], "user_id": "alice"}
        for method, path, body in (
            ("POST", f"/sessions/of-{name}/rename", mine),
            ("PATCH", f"/sessions/of-{name}", mine),
            ("DELETE", f"/sessions/of-{name}", None),
            ("DELETE", "/sessions", several),
        ):
            request = dict(CLAIMS_TO_BE_ALICE[claimed])
            request["params"] = {"type": kind, **request.get("params", {})}
            house.ask("bob", place, method, path, json=body, **request)
    for memory in memories:
        path = f"/memories/{memory['memory_id']}"
        changed = {"memory": "Bob's", "topics": [], "user_id": "alice"}
        house.ask("bob", place, "PATCH", path, json=changed, **CLAIMS_TO_BE_ALICE[claimed])
        house.ask("bob", place, "DELETE", path, **CLAIMS_TO_BE_ALICE[claimed])

    assert before == [house.session(name).json()["session_name"] for name in RUNS]
    assert memories == house.ask("alice", "header", "GET", "/memories").json()["data"]


@pytest.mark.parametrize("place", ["header", "cookie"])
def test_bob_sees_nothing_of_alices_over_mcp(house: House, place: str) -> None:
    """Neither with the arguments of a tool nor in her MCP session."""
    pytest.importorskip("fastmcp")
    alice = Talk(house.client, house.credential("alice", place))
    bob = Talk(house.client, {**house.credential("bob", place), "X-User-Id": "alice"})
    assert SECRET in alice.call("get_session_runs", session_id="of-helper")[1]

    for tool, arguments in (
        ("get_sessions", {"session_type": "agent"}),
        ("get_session_runs", {"session_id": "of-helper", "session_type": "agent"}),
        ("get_session_runs", {"session_id": "of-crew", "session_type": "team"}),
        ("get_memories", {}),
    ):
        _, said = bob.call(tool, user_id="alice", **arguments)
        assert SECRET not in said
    _, ran = bob.call(
        "run_agent", agent_id="writer", message="I am Alice", user_id="alice", session_id="bobs"
    )
    taken = bob.call("get_sessions", alice.session, session_type="agent")

    assert "alice" not in ran.replace("I am Alice", "")
    assert (404, 404) == (taken[0], bob.end(alice.session))
    assert 200 == alice.call("get_sessions", session_type="agent")[0]


REFUSED = '{"event": "error"'


def conversation(house: House, user: str, url: str = "", **message: Any) -> str:
    """What the WebSocket says to a message about the workflow, until that has ended."""
    sent = {"workflow_id": "flow", "user_id": "alice", **message}
    with connect(
        f"ws://localhost:{house.port}/workflows/ws{url}",
        additional_headers={"X-User-Id": "alice"},
    ) as socket:
        socket.recv(timeout=30)
        socket.send(json.dumps({"action": "authenticate", "token": house.tokens[user]}))
        said = ""
        while f'"{user}"' not in said:
            said = str(socket.recv(timeout=30))
            assert "auth_error" not in said
        socket.send(json.dumps(sent))
        said = ""
        while not any(it in said for it in (REFUSED, "WorkflowCompleted", "replay")):
            said += str(socket.recv(timeout=30))
    return said


def test_bob_sees_nothing_of_alices_over_the_websocket(house: House) -> None:
    """Neither by a user, a session nor a run of hers in a message, nor by the handshake."""
    start = {"action": "start-workflow", "message": SECRET, "session_id": "of-socket"}
    hers = conversation(house, "alice", **start)
    found = re.search(r'"run_id": ?"([^"]+)"', hers)
    assert found is not None

    as_alice = {**start, "message": "I am Alice"}
    own = conversation(house, "bob", "?user_id=alice", **{**as_alice, "session_id": "bobs-socket"})
    into = conversation(house, "bob", "?user_id=alice", **as_alice)
    reconnect = {"action": "reconnect", "run_id": found[1], "session_id": "of-socket"}
    again = conversation(house, "bob", **reconnect)

    assert (True, True) == ("WorkflowCompleted" in own, "bob" in own)
    assert [True, True] == [it.startswith(REFUSED) for it in (into, again)]
    assert not conversation(house, "alice", **reconnect).startswith(REFUSED)
    assert [] == [it for it in (own, into, again) if SECRET in it]
    hers_now = house.ask("alice", "header", "GET", "/sessions/of-socket?type=workflow")
    assert (200, False) == (hers_now.status_code, "I am Alice" in hers_now.text)
