"""The same rules for WebSocket handshakes, with what browsers can send."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import (
    CurrentUser,
    JWTSettings,
    current_user_id,
    optional,
    protect,
    protected_router,
    public,
    require_scopes,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import SETTINGS, bearer, including, token


def application(settings: JWTSettings = SETTINGS) -> FastAPI:
    router = protected_router(settings=settings)

    @router.websocket("/ws")
    async def ws(
        websocket: WebSocket,
        user_id: Annotated[str, Depends(current_user_id)],
        user: Annotated[CurrentUser, Depends()],
    ) -> None:
        await websocket.accept()
        await websocket.send_json([user_id, user.id, websocket.state.user_id])

    @router.websocket("/chosen")
    async def chosen(websocket: WebSocket) -> None:
        await websocket.accept("chat")

    @router.websocket("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin(websocket: WebSocket) -> None:
        await websocket.accept()

    @router.websocket("/open")
    @public
    async def opened(
        websocket: WebSocket, user: Annotated[str | None, Depends(optional(current_user_id))]
    ) -> None:
        await websocket.accept()
        await websocket.send_json(user)

    async def plain(websocket: WebSocket) -> None:
        await websocket.accept()

    async def plain_chosen(websocket: WebSocket) -> None:
        await websocket.accept("chat")

    router.add_websocket_route("/plain", plain)
    router.add_websocket_route("/plain-chosen", plain_chosen)
    return including(router)


@pytest.fixture
def client() -> TestClient:
    return TestClient(application())


@pytest.mark.parametrize("path", ["/ws", "/plain"])
def test_the_subprotocol_pair_carries_a_token(client: TestClient, path: str) -> None:
    """`new WebSocket(url, ["bearer", token])`, and a plain `accept()` answers with `bearer`."""
    with client.websocket_connect(path, subprotocols=["bearer", token()]) as websocket:
        assert "bearer" == websocket.accepted_subprotocol


def test_the_header_carries_a_token(client: TestClient) -> None:
    """Clients that are not browsers send it as always; no subprotocol is chosen for them."""
    with client.websocket_connect("/ws", headers=bearer()) as websocket:
        assert ["alice", "alice", "alice"] == websocket.receive_json()
        assert websocket.accepted_subprotocol is None


@pytest.mark.parametrize("path", ["/chosen", "/plain-chosen"])
def test_the_pair_may_stand_among_other_subprotocols(client: TestClient, path: str) -> None:
    """The endpoint's own choice wins."""
    offered = ["chat", "bearer", token()]

    with client.websocket_connect(path, subprotocols=offered) as websocket:
        assert "chat" == websocket.accepted_subprotocol


def test_a_public_endpoint_accepts_the_pair_without_looking_at_it() -> None:
    """A browser drops a connection that chooses none of what it offered."""
    app = protect(FastAPI(), SETTINGS, exclude=["/news"])

    @app.websocket("/news")
    async def news(websocket: WebSocket) -> None:
        await websocket.accept()

    with TestClient(app).websocket_connect("/news", subprotocols=["bearer", "bad"]) as websocket:
        assert "bearer" == websocket.accepted_subprotocol


def test_a_public_endpoint_may_look_at_the_pair(client: TestClient) -> None:
    """`optional` finds it, and finds nothing without it."""
    with client.websocket_connect("/open", subprotocols=["bearer", token()]) as websocket:
        assert "alice" == websocket.receive_json()
        assert "bearer" == str(websocket.accepted_subprotocol)
    with client.websocket_connect("/open") as websocket:
        assert websocket.receive_json() is None


@pytest.mark.parametrize(
    ("path", "options", "status", "challenge"),
    [
        pytest.param("/ws", {}, 401, 'Bearer realm="api"', id="nothing"),
        pytest.param(
            "/ws", {"subprotocols": ["bearer", "bad"]}, 401, "invalid_token", id="bad-token"
        ),
        pytest.param("/ws", {"subprotocols": ["bearer"]}, 401, "realm=", id="half-a-pair"),
        pytest.param(
            "/ws", {"subprotocols": ["chat", "x"]}, 401, 'Bearer realm="api"', id="other-protocols"
        ),
        pytest.param(
            "/ws",
            {"subprotocols": ["bearer", "a.b.c", "bearer", "d.e.f"]},
            400,
            "invalid_request",
            id="two-pairs",
        ),
        pytest.param(
            "/ws",
            {"subprotocols": ["bearer", "a.b.c"], "headers": {"Authorization": "Bearer a.b.c"}},
            400,
            "invalid_request",
            id="pair-and-header",
        ),
        pytest.param("/admin", {"headers": bearer()}, 403, 'scope="admin"', id="missing-scope"),
        pytest.param("/ws", {"headers": bearer(OTHER_SECRET)}, 401, "invalid_token", id="forged"),
    ],
)
def test_a_refused_handshake_is_denied_with_status_and_challenge(
    client: TestClient, path: str, options: dict[str, Any], status: int, challenge: str
) -> None:
    """Before it is accepted, as a request would be."""
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect(path, **options),
    ):
        pytest.fail("it was accepted")

    assert status == denied.value.status_code
    assert challenge in denied.value.headers["www-authenticate"]


class WithoutDenials:
    """A server that cannot deny a handshake with a response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "extensions": {}}, receive, send)


@pytest.mark.parametrize("path", ["/ws", "/plain"])
def test_a_server_without_denial_responses_closes_with_1008(path: str) -> None:
    """Policy violation, and the reason in the words of the answer."""
    client = TestClient(WithoutDenials(application()))

    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(path):
        pytest.fail("it was accepted")

    assert (1008, "Authorization header missing") == (closed.value.code, closed.value.reason)


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        pytest.param({"Origin": "http://testserver"}, True, id="own-origin"),
        pytest.param({"Origin": "http://evil.example"}, False, id="foreign-origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, False, id="cross-site"),
        pytest.param({}, True, id="no-browser"),
    ],
)
def test_a_cookie_on_a_handshake_has_to_come_from_the_own_site(
    headers: dict[str, str], *, accepted: bool
) -> None:
    """No same-origin policy protects a WebSocket, so the cookie alone opens none."""
    client = TestClient(application(JWTSettings(secret_key=SECRET, token_source="cookie")))
    client.cookies.set("access_token", token())

    if accepted:
        with client.websocket_connect("/ws", headers=headers) as websocket:
            assert "alice" == websocket.receive_json()[0]
        return
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect("/ws", headers=headers),
    ):
        pytest.fail("it was accepted")
    assert 403 == denied.value.status_code


def test_the_pair_is_not_read_where_only_cookies_are() -> None:
    """`token_source=cookie` means the cookie, and leaves the subprotocols alone."""
    client = TestClient(application(JWTSettings(secret_key=SECRET, token_source="cookie")))
    client.cookies.set("access_token", token())

    with client.websocket_connect("/ws", subprotocols=["bearer", "bad"]) as websocket:
        assert websocket.accepted_subprotocol is None
