"""`request.user` and `request.auth` are those of the token, as Starlette has them."""

import json
import sys
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    SimpleUser,
    UnauthenticatedUser,
    requires,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from jwt_deps import (
    Claims,
    JWTSettings,
    current_user_id,
    get_claims,
    get_settings,
    optional,
    protect,
    protected_router,
    public,
)
from tests.guards.asking import drive
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import OTHER, SETTINGS, bearer


@pytest.fixture(autouse=True)
def _without_mcp(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that has not imported the MCP SDK; another test of this process may have."""
    monkeypatch.delitem(sys.modules, "mcp.server.auth.middleware.auth_context", raising=False)


def told(request: Request | WebSocket) -> dict[str, Any]:
    """What Starlette tells of the user."""
    user = request.user
    return {
        "known": user.is_authenticated,
        "name": user.display_name,
        "scopes": sorted(request.auth.scopes),
    }


def application(settings: JWTSettings = SETTINGS) -> TestClient:
    async def plain(request: Request) -> JSONResponse:
        return JSONResponse(told(request))

    app = protect(FastAPI(routes=[Route("/plain", plain)]), settings)

    @app.get("/me")
    async def me(request: Request) -> Any:
        return {**told(request), "identity": request.user.identity}

    @app.get("/open")
    @public
    async def open_to_all(request: Request) -> Any:
        return told(request)

    @app.get("/either")
    @public
    async def either(
        request: Request, _: Annotated[str | None, Depends(optional(current_user_id))]
    ) -> Any:
        return told(request)

    @app.get("/writers")
    @requires("write")
    async def writers(request: Request) -> Any:
        return told(request)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(told(websocket))

    @app.get("/changing")
    async def changing(request: Request) -> Any:
        before = list(request.auth.scopes)
        request.auth.scopes.append("write")
        return before

    return TestClient(app)


ALICE = {"known": True, "name": "alice", "scopes": ["a", "b"]}
UNKNOWN = {"known": False, "name": "", "scopes": []}


@pytest.mark.parametrize(
    ("path", "configured", "headers", "expected"),
    [
        pytest.param("/plain", {}, bearer(scope="b a"), ALICE, id="plain-route"),
        pytest.param("/either", {}, bearer(scope="b a"), ALICE, id="optional"),
        pytest.param("/plain", {}, bearer(sub=""), {**UNKNOWN, "known": True}, id="names-no-user"),
        pytest.param("/open", {}, {}, UNKNOWN, id="public-without-a-token"),
        pytest.param("/either", {}, {}, UNKNOWN, id="optional-without-a-token"),
        pytest.param("/plain", {"excluded_route_paths": ["/plain"]}, {}, UNKNOWN, id="excluded"),
        pytest.param("/plain", {"validate": False}, {}, UNKNOWN, id="validate-false"),
    ],
)
def test_user_is_the_tokens(
    path: str, configured: dict[str, Any], headers: dict[str, str], expected: dict[str, Any]
) -> None:
    """On FastAPI's routes and on plain ones; an unauthenticated one where there is no token."""
    client = application(JWTSettings(secret_key=SECRET, **configured))

    assert expected == client.get(path, headers=headers).json()


def test_identity_is_the_user_id() -> None:
    """The claim that `user_id_claim` names."""
    client = application(JWTSettings(secret_key=SECRET, user_id_claim="uid"))

    assert "u7" == client.get("/me", headers=bearer(uid="u7")).json()["identity"]


def test_token_without_a_user_has_no_identity() -> None:
    """An empty text in place of it."""
    assert "" == application().get("/me", headers=bearer(sub="")).json()["identity"]


def test_websocket_has_the_user_too() -> None:
    """`websocket.user` is the same."""
    with application().websocket_connect("/ws", headers=bearer(scope="a b")) as socket:
        assert ALICE == socket.receive_json()


@pytest.mark.parametrize(("scope", "status"), [("write", 200), ("read", 403)])
def test_starlettes_requires_asks_the_scopes_of_the_token(scope: str, status: int) -> None:
    """`@requires` stands on FastAPI's routes, too."""
    assert status == application().get("/writers", headers=bearer(scope=scope)).status_code


def test_scopes_are_the_requests_own() -> None:
    """A handler that changes them changes no other request's with the same token."""
    client, headers = application(), bearer(scope="read")

    assert [["read"]] * 2 == [client.get("/changing", headers=headers).json() for _ in range(2)]


def test_user_that_the_application_set_stays_where_there_is_no_token() -> None:
    """An `AuthenticationMiddleware` of its own holds for public routes."""

    class Anonymous:
        async def authenticate(self, _: Any) -> None:
            return None

    app = FastAPI(middleware=[Middleware(AuthenticationMiddleware, backend=Anonymous())])  # type: ignore[arg-type]
    users: list[Any] = []

    @app.get("/open")
    @public
    async def open_to_all(request: Request) -> None:
        users.append(request.user)

    @app.get("/me")
    async def me(request: Request) -> None:
        users.append(request.user.identity)

    client = TestClient(protect(app, SETTINGS))
    client.get("/open")
    client.get("/me", headers=bearer())

    assert isinstance(users[0], UnauthenticatedUser)
    assert "alice" == users[1]


def test_attack_one_repr_for_two_users() -> None:
    """A cache whose key it is would mix them up: an object at the address of a former one."""
    app, shown = protect(FastAPI(), SETTINGS), []

    @app.get("/me")
    async def me(request: Request) -> None:
        shown.append(repr(request.user))

    client, alice, bob = TestClient(app), bearer(), bearer(sub="bob")
    for headers in (alice, bob, alice):
        client.get("/me", headers=headers)

    assert shown[0] == shown[2] != shown[1]
    assert "alice" not in shown[0]


@pytest.mark.parametrize(
    ("inner", "known"), [(SETTINGS, True), (OTHER, False)], ids=["same", "other"]
)
@pytest.mark.parametrize("guarded", ["router", "layer"])
def test_attack_a_user_of_another_issuer_on_a_public_route(
    guarded: str, inner: JWTSettings, *, known: bool
) -> None:
    """The guard of a mount lets in the users of its issuer; the one inside goes by its own."""
    router = APIRouter()

    @router.get("/offers")
    async def offers(request: Request) -> Any:
        return told(request)["known"], getattr(request.state, "user_id", None)

    shop = FastAPI()
    if guarded == "router":
        shop.include_router(protected_router(router, settings=inner, exclude=["/offers"]))
    else:
        shop.include_router(router)
        protect(shop, inner, exclude=["/offers"])
    app = protect(FastAPI(), SETTINGS)
    app.mount("/shop", shop if guarded == "router" else GZipMiddleware(shop))

    answer = TestClient(app).get("/shop/offers", headers=bearer())

    assert [known, "alice" if known else None] == answer.json()


def offering(request: Request) -> Any:
    """Answer on a public route whom it has found."""
    return told(request)["known"], getattr(request.state, "user_id", None)


@pytest.mark.parametrize("who_asks", ["first", "second"])
def test_attack_a_user_of_another_mount_on_a_public_route(who_asks: str) -> None:
    """Below two mounts, whether the first guard or a dependency above the second has found them."""
    second, third = (JWTSettings(secret_key=SECRET, token_header_key=it) for it in ("X-B", "X-C"))
    shop = protect(FastAPI(), third, exclude=[offering])
    shop.get("/offers")(offering)
    between, app = FastAPI(), FastAPI()
    protect(between, second).mount("/shop", shop)
    if who_asks == "first":
        protect(app, SETTINGS).mount("/m", Starlette(routes=[Mount("/b", between)]))
    else:
        protect(app, SETTINGS, dependencies=[Depends(lambda: None)]).mount("/m/b", between)
    user = {**bearer(), "X-B": bearer()["Authorization"]}

    assert [False, None] == TestClient(app).get("/m/b/shop/offers", headers=user).json()


@pytest.mark.parametrize("replaced", [True, False])
def test_attack_a_user_by_replaced_settings_on_a_public_route(
    monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    """The application around replaces `get_settings`, and the one inside does not."""
    monkeypatch.setenv("JWT_SECRET_KEY", OTHER_SECRET if replaced else SECRET)
    shop, router = FastAPI(), protected_router(exclude=[offering])
    router.get("/offers")(offering)
    shop.include_router(router)
    app = protect(FastAPI())
    app.mount("/shop", shop)
    if replaced:
        app.dependency_overrides[get_settings] = lambda: SETTINGS

    answer = TestClient(app).get("/shop/offers", headers=bearer()).json()

    assert ([False, None] if replaced else [True, "alice"]) == answer


@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("replaced", [told, get_settings, get_claims])
def test_a_user_on_a_public_route_of_an_application_with_overrides(
    monkeypatch: pytest.MonkeyPatch, replaced: Any, *, mounted: bool
) -> None:
    """An override of something else changes nothing; one of the settings gives their user."""
    if replaced is told:
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    settings = SETTINGS if mounted else None
    router = protected_router(exclude=[offering], settings=settings)
    router.get("/offers")(offering)
    shop = FastAPI(dependencies=[] if mounted else [Depends(optional(current_user_id))])
    shop.include_router(router)
    shop.dependency_overrides[replaced] = lambda: (
        Claims({"sub": "alice"}) if replaced is get_claims else SETTINGS
    )
    app = shop
    if mounted:
        app = protect(FastAPI(), settings)
        app.mount("/", shop)
    seen = [True, "alice"] if mounted or replaced is not get_claims else [False, None]

    assert seen == TestClient(app).get("/offers", headers=bearer()).json()


def test_copy_of_a_scope_has_the_user_of_its_own_token() -> None:
    """A batch endpoint sends copies: none gets the user of the request that it came with."""
    app = protect(FastAPI(), SETTINGS)

    @app.get("/me")
    @public
    async def me(
        request: Request, _: Annotated[str | None, Depends(optional(current_user_id))]
    ) -> Any:
        return told(request)

    @app.get("/batch")
    async def batch(request: Request) -> list[str]:
        names = []
        for headers in ([], [(b"authorization", bearer(sub="bob")["Authorization"].encode())]):
            copy = {**request.scope, "path": "/me", "raw_path": b"/me", "headers": headers}
            answers: list[bytes] = []

            async def send(message: Any, answers: list[bytes] = answers) -> None:
                answers.append(message.get("body", b""))

            await app(copy, request.receive, send)
            names.append(b"".join(answers).decode())
        return [*names, request.user.identity]

    answer = TestClient(app).get("/batch", headers=bearer(sub="alice")).json()

    assert [False, True, True] == ["true" in name or name == "alice" for name in answer]
    assert '"bob"' in answer[1]


def test_copy_to_a_public_route_has_the_user_that_the_application_set() -> None:
    """It is as the first request was before its token was known."""
    app = protect(FastAPI(), SETTINGS)

    @app.get("/me")
    @public
    async def me(request: Request) -> Any:
        return [told(request), request.state.user_id]

    @app.get("/batch")
    async def batch(request: Request) -> Any:
        copy = {**request.scope, "path": "/me", "raw_path": b"/me", "headers": []}
        _, answer, _ = await drive(app, copy)
        return [json.loads(answer), told(request)]

    async def naming(scope: Any, receive: Any, send: Any) -> None:
        named = {"user": SimpleUser("theirs"), "auth": AuthCredentials(["x"])}
        await app({**scope, **named, "state": {"user_id": "told"}}, receive, send)

    found = TestClient(naming).get("/batch", headers=bearer(scope="a b")).json()

    assert [[{"known": True, "name": "theirs", "scopes": ["x"]}, "told"], ALICE] == found


def test_copy_below_two_guards_has_the_user_of_neither() -> None:
    """Each wrote one: what was there before both is what a public route is told."""
    inner, outer = protect(FastAPI(), JWTSettings(secret_key=SECRET)), protect(FastAPI(), SETTINGS)
    outer.mount("/m", Starlette(routes=[Mount("/in", inner)]))

    @inner.get("/me")
    @public
    async def me(request: Request) -> Any:
        return [*told(request).values(), "user_id" in request.state._state]

    @inner.get("/batch")
    async def batch(request: Request) -> Any:
        copy = {**request.scope, "path": "/m/in/me", "raw_path": b"/m/in/me", "headers": []}
        _, answer, _ = await drive(inner, copy)
        return [json.loads(answer), request.user.identity]

    found = TestClient(outer).get("/m/in/batch", headers=bearer()).json()

    assert [[*UNKNOWN.values(), False], "alice"] == found
