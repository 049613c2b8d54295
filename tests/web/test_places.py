"""Places of a token that real deployments have: headers of proxies, and what a function finds."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import JWTSettings, current_user_id, optional, protect
from tests.minting import SECRET
from tests.web.serving import token


def serving(**options: Any) -> TestClient:
    app = protect(FastAPI(), JWTSettings(secret_key=SECRET, **options), exclude=["/maybe"])

    @app.get("/me")
    @app.post("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    @app.get("/maybe")
    async def maybe(user_id: Annotated[str | None, Depends(optional(current_user_id))]) -> str:
        return user_id or "no user"

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, user_id: Annotated[str, Depends(current_user_id)]) -> None:
        await websocket.accept()
        await websocket.send_text(user_id)

    return TestClient(app)


@pytest.mark.parametrize(
    "name",
    [
        "Cf-Access-Jwt-Assertion",
        "X-Goog-IAP-JWT-Assertion",
        "X-Forwarded-Access-Token",
        "X-MS-TOKEN-AAD-ACCESS-TOKEN",
        "X-Amzn-Oidc-Accesstoken",
        "X-JWT-Assertion",
    ],
    ids=["cloudflare", "google-iap", "oauth2-proxy", "azure-easy-auth", "aws-alb", "wso2"],
)
def test_a_proxy_writes_the_bare_token(name: str) -> None:
    """Over HTTP and WebSocket; `Authorization` beside it counts for nothing."""
    client = serving(token_header_key=name, token_header_scheme="")
    headers = {name: token(), "Authorization": "Basic YTpi"}

    assert "alice" == client.get("/me", headers=headers).json()
    with client.websocket_connect("/ws", headers=headers) as websocket:
        assert "alice" == websocket.receive_text()


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", None])
def test_a_bare_token_is_held_to_the_rule_for_cookies(site: str | None) -> None:
    """The proxy may have made the header of a cookie, which another site had the browser send."""
    name = "Cf-Access-Jwt-Assertion"
    client = serving(token_header_key=name, token_header_scheme="")
    headers = {name: token(), **({} if site is None else {"Sec-Fetch-Site": site})}

    expected = 403 if site == "cross-site" else 200
    assert expected == client.post("/me", headers=headers).status_code
    assert 200 == client.get("/me", headers=headers).status_code


def test_basic_before_a_staging_site_leaves_the_cookie() -> None:
    """The token is in the cookie, the password of the site in `Authorization`."""
    client = serving(token_source="both")
    headers = {"Authorization": "Basic YTpi", "Cookie": f"access_token={token()}"}

    assert "alice" == client.get("/me", headers=headers).json()


def in_query(connection: HTTPConnection) -> str | None:
    return connection.query_params.get("access_token")


def in_chunks(connection: HTTPConnection) -> str:
    cookies = connection.cookies
    names = sorted(name for name in cookies if name.startswith("session."))
    return "".join(cookies[name] for name in names)


def in_several_headers(connection: HTTPConnection) -> str | None:
    for name in ("X-Internal-Token", "X-Forwarded-Access-Token"):
        if (found := connection.headers.get(name)) is not None:
            return found
    return None


def halves(text: str) -> str:
    return f"session.0={text[:50]}; session.1={text[50:]}"


@pytest.mark.parametrize(
    ("getter", "request_with"),
    [
        pytest.param(in_query, lambda it: {"params": {"access_token": it}}, id="query"),
        pytest.param(in_chunks, lambda it: {"headers": {"Cookie": halves(it)}}, id="chunks"),
        pytest.param(
            in_several_headers,
            lambda it: {"headers": {"X-Forwarded-Access-Token": it, "Authorization": "Basic YQ=="}},
            id="headers-in-order",
        ),
    ],
)
class TestGetter:
    """A function looks where no setting can say."""

    def test_it_finds_the_token(self, getter: Any, request_with: Any) -> None:
        """Which is verified as any other."""
        client = serving(token_getter=getter)

        good, bad = request_with(token()), request_with(token("x" * 64))

        assert "alice" == client.get("/me", **good).json()
        assert 401 == client.get("/me", **bad).status_code
        assert "alice" == client.get("/maybe", **good).json()
        assert 401 == client.get("/maybe", **bad).status_code

    def test_it_finds_nothing(self, getter: Any, request_with: Any) -> None:
        """Then the token is missing, also where the usual header has one."""
        client = serving(token_getter=getter)
        usual: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token()}"}}

        answer = client.get("/me", **usual)

        assert (401, {"detail": "JWT token missing"}) == (answer.status_code, answer.json())
        assert 'Bearer realm="api"' == answer.headers["www-authenticate"]
        assert "no user" == client.get("/maybe", **usual).json()
        assert 401 == client.get("/me", **request_with("")).status_code

    def test_the_rule_for_cookies_applies(self, getter: Any, request_with: Any) -> None:
        """The function may have read one, which browsers send with requests of other sites."""
        client = serving(token_getter=getter)
        options = request_with(token())
        options["headers"] = {**options.get("headers", {}), "Sec-Fetch-Site": "cross-site"}

        assert 403 == client.post("/me", **options).status_code
        assert 200 == client.get("/me", **options).status_code


def test_a_websocket_brings_its_token_in_the_query() -> None:
    """The subprotocols are the function's to read, and none is chosen for it."""
    client = serving(token_getter=in_query)

    with client.websocket_connect(f"/ws?access_token={token()}", subprotocols=["bearer"]) as socket:
        assert (None, "alice") == (socket.accepted_subprotocol, socket.receive_text())


async def asynchronous(_: HTTPConnection) -> None: ...


class AsynchronousObject:
    async def __call__(self, _: HTTPConnection) -> None: ...


@pytest.mark.parametrize(
    "getter", [asynchronous, AsynchronousObject(), "query"], ids=["async", "object", "text"]
)
def test_what_is_no_plain_function_is_refused(getter: Any) -> None:
    """A coroutine would never be awaited, and count as a token."""
    with pytest.raises(
        Exception, match=r"JWT_TOKEN_GETTER \(token_getter\): has to be a plain function"
    ):
        JWTSettings(secret_key=SECRET, token_getter=getter)


def test_attack_headers_that_can_be_read_only_once() -> None:
    """ASGI has headers as any iterable: one that runs dry does not hide the other site."""
    settings = JWTSettings(secret_key=SECRET, token_source="cookie")
    sent = [(b"cookie", f"access_token={token()}".encode()), (b"sec-fetch-site", b"cross-site")]

    class Iterating:
        """A server that gives headers as an iterator."""

        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope["headers"] = iter(sent)
            await self.app(scope, receive, send)

    app = protect(FastAPI(), settings)

    @app.post("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    with TestClient(Iterating(app)) as client:
        answer = client.post("/me")
        sent.pop()

        assert [403, 200] == [answer.status_code, client.post("/me").status_code]
