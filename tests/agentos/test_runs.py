"""A run gets the values of the token, and none that the client sends instead."""

import json
from concurrent.futures import ThreadPoolExecutor

from .clients import AgentOSClient, good, name, seen_by_the_tool

FORGED = {
    "user_id": "evil",
    "session_id": "evil",
    "dependencies": json.dumps({"tenant": "evil", "isolation": "none"}),
    "session_state": json.dumps({"theme": "evil", "admin": True}),
}


def test_claims_reach_the_run(agents: AgentOSClient) -> None:
    """All four arrive, and a tool of the agent reads them."""
    session = name("session")
    headers = good(
        sub="alice", session_id=session, tenant="acme", plan={"seats": 3}, theme="dark", other=1
    )

    response = agents.run(headers, **FORGED)

    body = response.json()
    assert (response.status_code, body["status"]) == (200, "COMPLETED")
    assert (body["user_id"], body["session_id"]) == ("alice", session)
    assert body["session_state"] == {"theme": "dark"}
    assert seen_by_the_tool(body["tools"][0]) == {
        "user_id": "alice",
        "session_id": session,
        "dependencies": {"tenant": "acme", "plan": {"seats": 3}},
        "session_state": {"theme": "dark"},
    }
    assert body["content"].startswith("The tool says: ")


def test_claims_reach_a_streamed_run(agents: AgentOSClient) -> None:
    session = name("session")

    events = agents.events(good(session_id=session, tenant="acme", theme="dark"), **FORGED)

    names = [event["event"] for event in events]
    assert (names[0], names[-1]) == ("RunStarted", "RunCompleted")
    assert {event["session_id"] for event in events} == {session}
    assert events[-1]["session_state"] == {"theme": "dark"}
    [tool] = [event["tool"] for event in events if event["event"] == "ToolCallCompleted"]
    assert seen_by_the_tool(tool) == {
        "user_id": "alice",
        "session_id": session,
        "dependencies": {"tenant": "acme"},
        "session_state": {"theme": "dark"},
    }


def test_users_at_the_same_time_stay_apart(agents: AgentOSClient) -> None:
    """Of forty runs at once, each has its own user, session and dependencies."""
    callers = [(name("user"), name("session"), name("tenant")) for _ in range(40)]

    def run(caller: tuple[str, str, str]) -> tuple[str, str, str]:
        user, session, tenant = caller
        seen = agents.answer(good(sub=user, session_id=session, tenant=tenant))
        return seen["user_id"], seen["session_id"], seen["dependencies"]["tenant"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, callers)) == callers
