"""What has to happen at an API that is guarded? The requests, and the answers by heart.

What is expected stands here as text, never computed by the code that it is there to check.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["SCENARIO", "WEBSOCKET", "Answer", "Step"]

#: The method of a step that opens a WebSocket and says "ping".
WEBSOCKET = "WS"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, or should.

    Attributes:
        status: 101 for a WebSocket that was accepted, 0 for no answer at all.
        body: the JSON, or the list of messages on a WebSocket.
        headers: those that tell something here; no token in them.
    """

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request. Cookies are kept from step to step, as a browser keeps them.

    Attributes:
        sends: what is special about the request, in words.
        tokens: names of tokens, each for one `Authorization` header, or for the subprotocol
            pair of a WebSocket.
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
_CROSS_SITE = _refused(403, "Invalid token: the cookie came with a cross-site request", None)

SCENARIO: tuple[Step, ...] = (
    Step(
        method="GET",
        path="/health",
        sends="no token, public route",
        expected=Answer(200, {"status": "ok"}),
    ),
    Step(method="GET", path="/me", sends="no token", expected=_MISSING),
    Step(
        method="GET",
        path="/me",
        sends="something that is no token",
        tokens=("nonsense",),
        expected=_NO_JWS,
    ),
    Step(
        method="GET",
        path="/me",
        sends="token without a signature",
        tokens=("unsigned",),
        expected=_NO_JWS,
    ),
    Step(
        method="GET",
        path="/me",
        sends="token signed with another secret",
        tokens=("forged",),
        expected=_invalid(
            "Invalid token: signature verification failed", "signature verification failed"
        ),
    ),
    Step(
        method="GET",
        path="/me",
        sends="expired token",
        tokens=("expired",),
        expected=_invalid("Token has expired", "The access token expired"),
    ),
    Step(
        method="GET",
        path="/me",
        sends="two Authorization headers",
        tokens=("user", "admin"),
        expected=_refused(
            400,
            "Invalid token: more than one header carries credentials",
            'Bearer error="invalid_request", '
            'error_description="more than one header carries credentials"',
        ),
    ),
    Step(
        method="GET",
        path="/me",
        sends="user's token",
        tokens=("user",),
        expected=Answer(200, _ALICE),
    ),
    Step(
        method="GET",
        path="/admin/notes",
        sends="user's token, scope missing",
        tokens=("user",),
        expected=_refused(
            403,
            "Invalid token: the access token lacks a scope that this needs",
            'Bearer error="insufficient_scope", '
            'error_description="the access token lacks a scope that this needs", scope="admin"',
        ),
    ),
    Step(
        method="GET",
        path="/admin/notes",
        sends="admin's token",
        tokens=("admin",),
        expected=Answer(200, {}),
    ),
    Step(method="POST", path="/login", sends="no token", expected=_MISSING),
    Step(method="WS", path="/ws", sends="no token", expected=_MISSING),
    Step(
        method="WS",
        path="/ws",
        sends="subprotocols: bearer, expired token",
        tokens=("expired",),
        expected=_invalid("Token has expired", "The access token expired"),
    ),
    Step(
        method="WS",
        path="/ws",
        sends="subprotocols: bearer, user's token",
        tokens=("user",),
        expected=Answer(101, ["Hello, alice", "alice: ping"], {"sec-websocket-protocol": "bearer"}),
    ),
    Step(
        method="POST",
        path="/login",
        sends="user's token",
        tokens=("user",),
        expected=Answer(204, None, {"set-cookie": _COOKIE}),
    ),
    Step(method="GET", path="/me", sends="cookie", expected=Answer(200, _ALICE)),
    Step(
        method="POST",
        path="/notes",
        sends="cookie, from another site",
        headers={"Sec-Fetch-Site": "cross-site"},
        json={"text": "Evil"},
        expected=_CROSS_SITE,
    ),
    Step(
        method="POST",
        path="/notes",
        sends="cookie, from another port",
        headers={"Sec-Fetch-Site": "same-site"},
        json={"text": "Evil"},
        expected=_CROSS_SITE,
    ),
    Step(
        method="POST",
        path="/notes",
        sends="cookie, foreign Origin",
        headers={"Origin": "https://evil.example"},
        json={"text": "Evil"},
        expected=_CROSS_SITE,
    ),
    Step(
        method="POST",
        path="/notes",
        sends="cookie, from its own site",
        headers={"Sec-Fetch-Site": "same-origin"},
        json=_NOTE,
        expected=Answer(201, _NOTE),
    ),
    Step(
        method="GET",
        path="/notes",
        sends="cookie; one note was written",
        expected=Answer(200, [_NOTE]),
    ),
    Step(
        method="WS",
        path="/ws",
        sends="cookie, foreign Origin",
        headers={"Origin": "https://evil.example"},
        expected=_CROSS_SITE,
    ),
    Step(
        method="WS",
        path="/ws",
        sends="cookie, from its own site",
        headers={"Sec-Fetch-Site": "same-origin"},
        expected=Answer(101, ["Hello, alice", "alice: ping"]),
    ),
    Step(
        method="POST",
        path="/logout",
        sends="cookie",
        expected=Answer(204, None, {"set-cookie": _NO_COOKIE}),
    ),
    Step(method="GET", path="/me", sends="no cookie any more", expected=_MISSING),
)
