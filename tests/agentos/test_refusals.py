"""Which requests an AgentOS refuses, and with which words."""

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.minting import OTHER_SECRET, b64, compact, pair, unb64

from .clients import (
    DAY,
    EXPIRED,
    MISSING,
    NO_BEARER,
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
from .configurations import environments
from .conftest import ROOT

OPEN = {"/", "/health", "/info"}
DOCUMENTATION = {"/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"}


def forged() -> str:
    """Mint a good token and give it another payload."""
    header, payload, signature = token().split(".")
    other = unb64(payload).replace(b"alice", b"admin")
    return f"{header}.{b64(other)}.{signature}"


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what the examples say of themselves."""
    environment = environments(tmp_path_factory.mktemp("keys"))["secret"]
    process = subprocess.run(
        [sys.executable, "-m", "tests.agentos.facts"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(process.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, MISSING, id="nothing"),
        pytest.param({"Authorization": "Basic YWxpY2U6c2VjcmV0"}, NO_BEARER, id="other-scheme"),
        pytest.param(
            bearer("nonsense"),
            invalid("it is not a JWS in compact serialization"),
            id="no-token",
        ),
        pytest.param(bearer(token(exp=time.time() - DAY)), EXPIRED, id="expired"),
        pytest.param(bearer(token(exp=None)), invalid("it has no expiry"), id="no-expiry"),
        pytest.param(
            bearer(token(nbf=time.time() + DAY / 2)), invalid("it is not valid yet"), id="not-yet"
        ),
        pytest.param(
            bearer(token(OTHER_SECRET)),
            invalid("signature verification failed"),
            id="other-key",
        ),
        pytest.param(bearer(forged()), invalid("signature verification failed"), id="forged"),
        pytest.param(
            bearer(compact(b'{"alg":"none"}', b'{"sub":"alice"}', b"x")),
            invalid("its algorithm is not accepted"),
            id="alg-none",
        ),
        pytest.param(
            bearer(token(cnf={"jkt": "x"})),
            invalid("it is bound to a key that was not proved"),
            id="bound-to-a-key",
        ),
    ],
)
def test_refusal(agents: AgentOSClient, headers: dict[str, str], expected: Refusal) -> None:
    """The same words on a route that reads and on the route that runs."""
    assert refused(agents.http.get("/agents", headers=headers)) == expected
    assert refused(agents.run(headers)) == expected


def test_two_credentials(agents: AgentOSClient) -> None:
    """Two headers are no request that can be answered."""
    response = agents.http.get(
        "/agents", headers=[("Authorization", f"Bearer {token()}") for _ in range(2)]
    )

    assert response.status_code == 400
    assert response.headers["www-authenticate"].startswith('Bearer error="invalid_request"')


def test_every_route_needs_a_token(
    agents: AgentOSClient, facts: dict[str, dict[str, Any]], example: str
) -> None:
    """Of all routes that the application has, only the excluded ones answer without."""
    routes = [
        (method, re.sub(r"{[^}]*}", "x", path), path)
        for path, methods in facts[example]["routes"]
        for method in methods
    ]
    statuses = {
        (method, template): agents.http.request(method, path).status_code
        for method, path, template in routes
        if method != "WEBSOCKET"
    }

    answered = {route for route, status in statuses.items() if status != 401}
    assert {path for _, path in answered} == OPEN | DOCUMENTATION
    assert {statuses[route] for route in answered} == {200}
    assert len(statuses) > 100
    assert [path for method, path, _ in routes if method == "WEBSOCKET"] == ["/workflows/ws"]


def test_middleware_of_agno_is_not_there(facts: dict[str, dict[str, Any]], example: str) -> None:
    """The rest of AgentOS's own is."""
    names = facts[example]["middleware"]

    assert "TrailingSlashMiddleware" in names
    assert not [name for name in names if re.search("JWT|Auth[A-Z]", name)]


@pytest.mark.parametrize("path", sorted(OPEN))
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param(bearer("nonsense"), id="nonsense"),
        pytest.param(bearer(token(exp=1)), id="expired"),
    ],
)
def test_excluded_route_is_open(agents: AgentOSClient, path: str, headers: dict[str, str]) -> None:
    """Whatever the request carries."""
    assert agents.http.get(path, headers=headers).status_code == 200


def test_info_tells_clients_how_users_are_known(agents: AgentOSClient) -> None:
    """A client learns that the token names the user, and that it need not."""
    info = agents.http.get("/info").json()

    assert (info["auth_mode"], info["user_isolation"]) == ("jwt", True)


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


@pytest.mark.parametrize("subject", ["sa:deploy", "__scheduler__", "__oauth__:client"])
def test_subject_that_agentos_reserves(agents: AgentOSClient, subject: str) -> None:
    """A claim cannot name a service of AgentOS."""
    expected = (
        401,
        "Invalid token subject",
        'Bearer error="invalid_token", error_description="Invalid token subject"',
    )

    assert refused(agents.run(good(sub=subject))) == expected
    assert refused(agents.http.get("/sessions", headers=good(sub=subject))) == expected


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


def test_signature_by_another_kind_of_key(agents: AgentOSClient) -> None:
    """A token of an algorithm that is not configured is not tried with any key."""
    signed = token(pair("RSA"), "RS256")

    assert refused(agents.run(bearer(signed))) == invalid("its algorithm is not accepted")


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
