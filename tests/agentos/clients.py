"""HTTP clients of an AgentOS: JSON, forms and event streams."""

import json
import time
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

import httpx2
from fastapi.testclient import TestClient

from tests.minting import SECRET, JSONObject, Key, claims, mint

RUNS = "/agents/assistant/runs"

#: The settings under which the examples are served, as their README has them.
ENVIRONMENT = {
    "JWT_SECRET_KEY": SECRET,
    "JWT_DEPENDENCIES_CLAIMS": "tenant,plan",
    "JWT_SESSION_STATE_CLAIMS": "theme",
}

DAY = 86_400
#: What the tests ask for, as agno's scopes: neither administration nor service accounts.
SCOPES = [f"agents:{action}" for action in ("run", "read")]
SCOPES += [f"sessions:{action}" for action in ("read", "write", "delete")]
SCOPES += ["memories:read", "teams:read", "workflows:read"]

#: Refusals as `refused` returns them.
Refusal: TypeAlias = tuple[int, str, str | None]

MISSING = (401, "Authorization header missing", 'Bearer realm="api"')
EXPIRED = (
    401,
    "Token has expired",
    'Bearer error="invalid_token", error_description="The access token expired"',
)
#: What AgentOS itself answers where something belongs to a user and the caller is none.
NOBODY = (403, "Authenticated request is missing a user identity", None)


def invalid(description: str) -> Refusal:
    """Return the refusal of a token, in the words of RFC 6750 and of the middleware."""
    challenge = f'Bearer error="invalid_token", error_description="{description}"'
    return 401, f"Invalid token: {description}", challenge


def name(prefix: str) -> str:
    """Return a name that no other test uses, as all tests share the servers' memory."""
    return f"{prefix}-{uuid4().hex[:8]}"


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def token(
    key: Key = SECRET, algorithm: str = "HS256", kid: str | None = None, /, **members: object
) -> str:
    """Mint a token of `alice`, good for a day but for what is said here; `None` leaves out."""
    now = time.time()
    scopes = {"scopes": SCOPES, "permissions": SCOPES}
    stated = claims(now=now, **{"exp": int(now) + DAY, **scopes, **members})
    present = {claim: value for claim, value in stated.items() if value is not None}
    return mint(present, key, algorithm, header={} if kid is None else {"kid": kid})


def good(**members: object) -> dict[str, str]:
    """Return the header with a token that is good for a day, signed with `SECRET`."""
    return bearer(token(SECRET, **members))


@dataclass(frozen=True)
class AgentOSClient:
    """A client of one running server."""

    http: httpx2.Client

    def run(self, headers: dict[str, str] | None = None, **form: str) -> httpx2.Response:
        """Run the agent; `form` adds to the message."""
        data = {"message": "Who am I?", "stream": "false", **form}
        return self.http.post(RUNS, data=data, headers=headers)

    def answer(self, headers: dict[str, str], **form: str) -> JSONObject:
        """Run the agent and return what its tool has seen."""
        response = self.run(headers, **form)
        assert response.status_code == 200, response.text
        return seen_by_the_tool(response.json()["tools"][0])

    def events(self, headers: dict[str, str], **form: str) -> list[JSONObject]:
        """Run the agent and return the events of the stream."""
        response = self.run(headers, **{**form, "stream": "true"})
        assert response.headers["content-type"].startswith("text/event-stream"), response.text
        lines = response.text.splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("data:")]

    def sessions(self, headers: dict[str, str], **query: str) -> list[str]:
        """Return the ids of the sessions that are listed."""
        params = {"type": "agent", **query}
        response = self.http.get("/sessions", params=params, headers=headers)
        assert response.status_code == 200, response.text
        return [session["session_id"] for session in response.json()["data"]]

    def session(
        self, headers: dict[str, str], session_id: str, method: str = "GET", **query: str
    ) -> httpx2.Response:
        """Ask for one session, or delete it."""
        params = {"type": "agent", **query}
        return self.http.request(method, f"/sessions/{session_id}", params=params, headers=headers)


def seen_by_the_tool(call: dict[str, Any]) -> JSONObject:
    """Return what `whoami` saw, without what agno itself adds to the session state."""
    seen: JSONObject = json.loads(call["result"])
    state = seen["session_state"].items()
    seen["session_state"] = {key: value for key, value in state if not key.startswith("current_")}
    return seen


def refused(response: httpx2.Response) -> Refusal:
    """Return the status, the detail and the challenge of a refusal."""
    return (
        response.status_code,
        response.json()["detail"],
        response.headers.get("www-authenticate"),
    )


ACCEPT = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


class Talk:
    """What one user says to an MCP server, in a session."""

    def __init__(
        self, client: httpx2.Client | TestClient, user: dict[str, str], prefix: str = ""
    ) -> None:
        self._client, self._headers, self._path = client, {**ACCEPT, **user}, f"{prefix}/mcp"
        self.opening = self._post("initialize", INITIALIZE)
        self.session = self.opening.headers.get("mcp-session-id", "")

    def call(self, tool: str, session: str | None = None, **arguments: Any) -> tuple[int, str]:
        """Call a tool; the status, and what it said."""
        answer = self._post(
            "tools/call", {"name": tool, "arguments": arguments}, session or self.session
        )
        data = [line[5:] for line in answer.text.splitlines() if line.startswith("data:")]
        return answer.status_code, _without_ids(json.loads(data[-1])) if data else ""

    def end(self, session: str) -> int:
        """End a session; the status."""
        return self._client.delete(
            self._path, headers={**self._headers, "Mcp-Session-Id": session}
        ).status_code

    def _post(self, method: str, params: dict[str, Any], session: str = "") -> httpx2.Response:
        headers = {**self._headers, **({"Mcp-Session-Id": session} if session else {})}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer: Any = self._client.post(self._path, headers=headers, json=body)
        return answer  # type: ignore[no-any-return]


def _without_ids(answer: dict[str, Any]) -> str:
    result = answer.get("result", answer)
    return "\n".join(it.get("text", "") for it in result.get("content", [])) or str(result)
