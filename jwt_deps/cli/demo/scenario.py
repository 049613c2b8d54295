"""The requests of `jwt-deps demo --once` and the expected answers.

The answers are literals: the code under test computes none of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: The method of a step that opens a WebSocket and sends "ping".
WEBSOCKET = "WS"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, expected or received.

    Attributes:
        status: the status; 101 for an accepted WebSocket, 0 without an answer.
        body: the JSON value, or the messages of a WebSocket.
        headers: the headers to compare, without tokens.
    """

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Step:
    """A request and its expected answer; the steps share a cookie jar.

    Attributes:
        method: the HTTP method, or `WEBSOCKET`.
        path: the path.
        sends: a description of the request.
        expected: the expected answer.
        tokens: names of tokens, one `Authorization` header each, or the subprotocols of a
            WebSocket.
        headers: further headers.
        json: the body.
    """

    method: str
    path: str
    sends: str
    expected: Answer
    tokens: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    json: object = None


_ALICE = {"id": "alice", "session_id": "alice-1", "scopes": ["notes"]}
_NOTE = {"text": "Buy milk"}
_COOKIE = "access_token=...; HttpOnly; Max-Age=...; Path=/; SameSite=strict"
_NO_COOKIE = 'access_token=""; HttpOnly; Max-Age=0; Path=/; SameSite=strict'


def _refused(status: int, detail: str, challenge: str | None) -> Answer:
    headers = {} if challenge is None else {"www-authenticate": challenge}
    return Answer(status, {"detail": detail}, headers)


def _invalid(detail: str, description: str) -> Answer:
    challenge = f'Bearer error="invalid_token", error_description="{description}"'
    return _refused(401, detail, challenge)


_MISSING = _refused(
    401,
    "JWT token missing from both Authorization header and 'access_token' cookie",
    'Bearer realm="api"',
)
_NO_JWS = _invalid(
    "Invalid token: it is not a JWS in compact serialization",
    "it is not a JWS in compact serialization",
)
_FORGED = _invalid("Invalid token: signature verification failed", "signature verification failed")
_EXPIRED = _invalid("Token has expired", "The access token expired")
_TWO_HEADERS = _refused(
    400,
    "Invalid token: more than one header carries credentials",
    'Bearer error="invalid_request", error_description="more than one header carries credentials"',
)
_NO_SCOPE = _refused(
    403,
    "Insufficient permissions: the access token lacks a scope that this needs",
    'Bearer error="insufficient_scope", '
    'error_description="the access token lacks a scope that this needs", scope="admin"',
)
_CROSS_SITE = _refused(403, "Invalid token: it came with a cross-site request", None)
_ECHO = ["Hello, alice", "alice: ping"]
_CROSS = {"Sec-Fetch-Site": "cross-site"}
_SAME_SITE = {"Sec-Fetch-Site": "same-site"}
_FOREIGN = {"Origin": "https://evil.example"}
_OWN = {"Sec-Fetch-Site": "same-origin"}

SCENARIO = (
    Step("GET", "/health", "no token, public route", Answer(200, {"status": "ok"})),
    Step("GET", "/me", "no token", _MISSING),
    Step("GET", "/me", "something that is no token", _NO_JWS, tokens=("nonsense",)),
    Step("GET", "/me", "token without a signature", _NO_JWS, tokens=("unsigned",)),
    Step("GET", "/me", "token signed with another secret", _FORGED, tokens=("forged",)),
    Step("GET", "/me", "expired token", _EXPIRED, tokens=("expired",)),
    Step("GET", "/me", "two Authorization headers", _TWO_HEADERS, tokens=("user", "admin")),
    Step("GET", "/me", "user's token", Answer(200, _ALICE), tokens=("user",)),
    Step("GET", "/admin/notes", "user's token, scope missing", _NO_SCOPE, tokens=("user",)),
    Step("GET", "/admin/notes", "admin's token", Answer(200, {}), tokens=("admin",)),
    Step("POST", "/login", "no token", _MISSING),
    Step(WEBSOCKET, "/ws", "no token", _MISSING),
    Step(WEBSOCKET, "/ws", "subprotocols: bearer, expired token", _EXPIRED, tokens=("expired",)),
    Step(
        WEBSOCKET,
        "/ws",
        "subprotocols: bearer, user's token",
        Answer(101, _ECHO, {"sec-websocket-protocol": "bearer"}),
        tokens=("user",),
    ),
    Step(
        "POST",
        "/login",
        "user's token",
        Answer(204, None, {"set-cookie": _COOKIE}),
        tokens=("user",),
    ),
    Step("GET", "/me", "cookie", Answer(200, _ALICE)),
    Step(
        "POST",
        "/notes",
        "cookie, from another site",
        _CROSS_SITE,
        headers=_CROSS,
        json={"text": "Evil"},
    ),
    Step(
        "POST",
        "/notes",
        "cookie, from another port",
        _CROSS_SITE,
        headers=_SAME_SITE,
        json={"text": "Evil"},
    ),
    Step(
        "POST",
        "/notes",
        "cookie, foreign Origin",
        _CROSS_SITE,
        headers=_FOREIGN,
        json={"text": "Evil"},
    ),
    Step(
        "POST", "/notes", "cookie, from its own site", Answer(201, _NOTE), headers=_OWN, json=_NOTE
    ),
    Step("GET", "/notes", "cookie; one note was written", Answer(200, [_NOTE])),
    Step(WEBSOCKET, "/ws", "cookie, foreign Origin", _CROSS_SITE, headers=_FOREIGN),
    Step(WEBSOCKET, "/ws", "cookie, from its own site", Answer(101, _ECHO), headers=_OWN),
    Step("POST", "/logout", "cookie", Answer(204, None, {"set-cookie": _NO_COOKIE})),
    Step("GET", "/me", "no cookie any more", _MISSING),
)
