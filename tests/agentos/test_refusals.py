"""Which requests an AgentOS refuses, and with which words."""

import json
import re
import time
from importlib import import_module
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from websockets.sync.client import connect

from jwt_deps import get_settings
from tests.minting import OTHER_SECRET, b64, unb64

from .clients import (
    DAY,
    ENVIRONMENT,
    EXPIRED,
    MISSING,
    NOBODY,
    RUNS,
    AgentOSClient,
    Refusal,
    bearer,
    good,
    invalid,
    name,
    refused,
    token,
)

OPEN = {"/", "/health", "/info"}
DOCUMENTATION = {"/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"}


def forged() -> str:
    """Mint a good token and give it another payload."""
    header, payload, signature = token().split(".")
    other = unb64(payload).replace(b"alice", b"admin")
    return f"{header}.{b64(other)}.{signature}"


@pytest.fixture(scope="session")
def application(example: str) -> FastAPI:
    """The application of the example itself, because OpenAPI does not show all routes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        app: FastAPI = import_module(f"examples.agentos.{example}").app
    get_settings.cache_clear()
    return app


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, MISSING, id="nothing"),
        pytest.param(bearer(token(exp=time.time() - DAY)), EXPIRED, id="expired"),
        pytest.param(bearer(forged()), invalid("signature verification failed"), id="forged"),
    ],
)
def test_refusal(agents: AgentOSClient, headers: dict[str, str], expected: Refusal) -> None:
    """The same words on a route that reads and on the route that runs."""
    assert refused(agents.http.get("/agents", headers=headers)) == expected
    assert refused(agents.run(headers)) == expected


def test_every_route_needs_a_token(agents: AgentOSClient, application: FastAPI) -> None:
    """Of all routes that the application has, only the excluded ones answer without."""
    served: list[Any] = [
        # Up to FastAPI 0.142 the walker stops short of routes that are not FastAPI's APIRoute.
        getattr(route, "starlette_route", None) or route
        for route in iter_route_contexts(application.routes)
    ]
    routes = [(it.path, method) for it in served for method in getattr(it, "methods", None) or ()]

    statuses = {
        (method, path): agents.http.request(method, re.sub(r"{[^}]*}", "x", path)).status_code
        for path, method in routes
    }

    answered = {route for route, status in statuses.items() if status != 401}
    assert {path for _, path in answered} == OPEN | DOCUMENTATION
    assert {statuses[route] for route in answered} == {200}
    assert len(statuses) > 100
    assert {it.path for it in served} - {path for path, _ in routes} == {"/workflows/ws"}


def test_middleware_of_agno_is_not_there(application: FastAPI) -> None:
    """The rest of AgentOS's own is."""
    names = [entry.cls.__name__ for entry in application.user_middleware]  # type: ignore[attr-defined]
    assert "TrailingSlashMiddleware" in names
    assert not [name for name in names if re.search("JWT|Auth[A-Z]", name)]


def test_openapi_shows_the_lock_where_a_token_is_needed(agents: AgentOSClient) -> None:
    """On every operation but the excluded ones."""
    paths = agents.http.get("/openapi.json").json()["paths"]

    unlocked = {
        path
        for path, operations in paths.items()
        for operation in operations.values()
        if {"JWT": []} not in operation.get("security", [])
    }
    assert unlocked == OPEN & set(paths)
    assert "401" in paths["/sessions"]["get"]["responses"]


@pytest.mark.parametrize("subject", [None, ""], ids=["absent", "empty"])
def test_token_without_a_user_reaches_no_data(agents: AgentOSClient, subject: str | None) -> None:
    """It is a good token; the client cannot say who it is for, in a form or in a query."""
    owner, session = name("owner"), name("session")
    agents.answer(good(sub=owner, session_id=session))
    headers = bearer(token(sub=subject))

    assert agents.http.get("/agents", headers=headers).status_code == 200
    assert refused(agents.run(headers, user_id=owner, session_id=session)) == NOBODY
    for path in ("/sessions", f"/sessions/{session}", f"/sessions/{session}/runs", "/memories"):
        response = agents.http.get(path, params={"user_id": owner}, headers=headers)
        assert refused(response) == NOBODY
    assert agents.session(headers, session, "DELETE", user_id=owner).status_code == 403
    assert agents.sessions(good(sub=owner)) == [session]


def test_websocket_takes_the_user_of_the_token_in_the_message(agents: AgentOSClient) -> None:
    """Nothing is done before it has come."""
    url = str(agents.http.base_url.copy_with(scheme="ws", path="/workflows/ws"))

    def say(**message: str) -> dict[str, Any]:
        socket.send(json.dumps(message))
        return json.loads(socket.recv())  # type: ignore[no-any-return]

    with connect(url) as socket:
        assert json.loads(socket.recv())["requires_auth"]
        assert say(action="start-workflow", user_id="bob")["event"] == "auth_required"
        bad = say(action="authenticate", token=token(OTHER_SECRET))
        assert bad["error"] == "Invalid token: signature verification failed"
        say(action="authenticate", token=token(sub="ann"))
        assert json.loads(socket.recv())["user_id"] == "ann"


def test_refusals_leave_no_trace_of_the_token(agents: AgentOSClient) -> None:
    """Neither the body nor a header of the answer repeats what was sent."""
    sent = token(OTHER_SECRET, sub="canary-in-the-claims")

    response = agents.http.post(RUNS, data={"message": "x"}, headers=bearer(sent))

    told = response.text + str(response.headers)
    assert "canary" not in told
    assert not [part for part in sent.split(".") if part in told]
