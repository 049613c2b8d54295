"""What `JWT_EXPLAIN` adds to a refusal, and what it does not change."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
    WebSocket,
    WebSocketDisconnect,
)
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import (
    JWTSettings,
    TokenSource,
    claims_as,
    current_user_id,
    get_claims,
    get_settings,
    optional,
    protected_router,
    require_scopes,
)
from jwt_deps.errors import ExpiredTokenError
from jwt_deps.testing import Answer, FakeIssuer
from jwt_deps.tokens import HINTS
from tests.minting import OTHER_SECRET, SECRET, claims, mint
from tests.web.serving import bearer, client_of, live_mounts

OPEN = JWTSettings(secret_key=SECRET, audience="api", token_source=TokenSource.BOTH)
EXPLAINING = OPEN.model_copy(update={"explain": True})


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sub: str
    aud: str
    iat: int
    exp: int


def app_of(settings: JWTSettings, **options: Any) -> FastAPI:
    router = APIRouter()

    @router.get("/")
    @router.post("/")
    async def read() -> None: ...

    @router.get("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin() -> None: ...

    @router.get("/strict")
    async def strict(_: Annotated[Strict, Depends(claims_as(Strict))]) -> None: ...

    @router.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

    app = FastAPI(**options)
    app.include_router(protected_router(router, settings=settings))
    return app


def good(**members: Any) -> dict[str, str]:
    return bearer(aud="api", **members)


REFUSALS = [
    pytest.param("GET", "/", {}, "missing", "credentials", None, id="no-token"),
    pytest.param(
        *("GET", "/", {"Authorization": "Bearer"}, "header_form", "credentials", None),
        id="empty",
    ),
    pytest.param(
        *("POST", "/", {"Cookie": "access_token=x", "Sec-Fetch-Site": "cross-site"}),
        *("cross_site", "credentials", None),
        id="cross-site",
    ),
    pytest.param(
        *("GET", "/", {"Authorization": "Bearer x"}, "not_compact", "form", None), id="no-jwt"
    ),
    pytest.param(
        *("GET", "/", bearer(OTHER_SECRET, aud="api"), "signature", "signature", None), id="forged"
    ),
    pytest.param("GET", "/", good(exp=1), "expired", "times", None, id="expired"),
    pytest.param("GET", "/", bearer(aud="x"), "claim_foreign", "audience", "aud", id="audience"),
    pytest.param("GET", "/", bearer(), "claim_missing", "audience", "aud", id="no-audience"),
    pytest.param("GET", "/admin", good(), "scope", "scopes", None, id="scope"),
    pytest.param("GET", "/strict", good(**{"x" * 99: 1}), *("claim_invalid", "claims"), "x" * 64,
                 id="a-claim-that-a-model-forbids"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "headers", "reason", "step", "claim"), REFUSALS)
def test_a_refusal_says_which_check_failed_and_what_helps(
    method: str, path: str, headers: Mapping[str, str], reason: str, step: str, claim: str | None
) -> None:
    """Beside the words, the status and the challenge that it has anyway."""
    plain, explained = (
        TestClient(app_of(settings)).request(method, path, headers=headers)
        for settings in (OPEN, EXPLAINING)
    )

    named = {"reason": reason, "step": step, **({"claim": claim} if claim else {})}
    assert {"detail"} == set(plain.json())
    hint = next(hint for code, hint in HINTS.items() if code == reason)
    told = {**named, "hint": hint, "see": f"jwt-deps explain {reason}"}
    assert {**told, **plain.json()} == explained.json()
    assert plain.status_code == explained.status_code
    different = {"content-length"}
    assert {name: plain.headers[name] for name in set(plain.headers) - different} == {
        name: explained.headers[name] for name in set(explained.headers) - different
    }
    assert str(len(explained.content)) == explained.headers["content-length"]


def test_the_log_says_it_too(caplog: pytest.LogCaptureFixture) -> None:
    """The claim's name always, the check and the hint on request, on the same line."""
    TestClient(app_of(EXPLAINING)).get("/", headers=bearer(aud="x"))

    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith(
        "request refused: reason=claim_foreign claim='aud' kid=None; the check that failed: "
        "audience; Compare the claim with JWT_ISSUER"
    )
    assert said.endswith(" More: jwt-deps explain claim_foreign")


def test_a_claim_with_a_hostile_name_stays_on_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """A model that forbids more names the token's own claim."""
    TestClient(app_of(OPEN)).get("/strict", headers=good(**{"x\nlevel=ERROR": 1}))

    (record,) = caplog.records
    assert "\n" not in record.getMessage()


def test_each_router_decides_for_itself() -> None:
    """One explains, the other does not."""
    app = app_of(OPEN)
    router = APIRouter(prefix="/talkative")

    @router.get("/")
    async def read() -> None: ...

    app.include_router(protected_router(router, settings=EXPLAINING))
    client = TestClient(app)

    assert {"detail"} == set(client.get("/").json())
    assert "reason" in client.get("/talkative/").json()


def test_dependencies_without_a_guard_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the settings of the environment."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_EXPLAIN", "true")
    get_settings.cache_clear()
    app = FastAPI()

    @app.get("/user")
    async def user(_: Annotated[str, Depends(current_user_id)]) -> None: ...

    @app.get("/maybe")
    async def maybe(_: Annotated[str | None, Depends(optional(current_user_id))]) -> None: ...

    client = TestClient(app)
    forged = bearer(OTHER_SECRET)

    assert "missing" == client.get("/user").json()["reason"]
    assert 200 == client.get("/maybe").status_code
    assert "signature" == client.get("/maybe", headers=forged).json()["reason"]
    twice = {"Authorization": "Bearer a, Bearer b"}
    assert "repeated_credentials" == client.get("/maybe", headers=twice).json()["reason"]


@pytest.mark.parametrize("path", ["/plain", pytest.param("/below/x", marks=live_mounts)])
def test_what_fastapi_runs_no_dependencies_for_explains(path: str) -> None:
    """It is refused in the same words."""
    router = protected_router(settings=EXPLAINING)
    router.routes += [Route("/plain", lambda _: PlainTextResponse()), Mount("/below", Starlette())]

    assert "missing" == client_of(router).get(path).json()["reason"]


def test_a_denied_handshake_explains() -> None:
    """In the body of the denial response."""
    client = TestClient(app_of(EXPLAINING))

    with pytest.raises(WebSocketDenialResponse) as denial, client.websocket_connect("/ws"):
        pass

    assert "missing" == denial.value.json()["reason"]


async def _closed(settings: JWTSettings) -> list[Any]:
    sent: list[Any] = []
    scope = {
        "type": "websocket",
        "path": "/ws",
        "headers": [],
        "subprotocols": [],
        "query_string": b"",
    }

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app_of(settings)(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("settings", "reason"),
    [pytest.param(OPEN, "", id="plain"), pytest.param(EXPLAINING, " (missing)", id="explaining")],
)
@pytest.mark.anyio
async def test_a_closed_handshake_names_the_reason(settings: JWTSettings, reason: str) -> None:
    """There is room for little more."""
    words = "JWT token missing from both Authorization header and 'access_token' cookie"

    assert [{"type": "websocket.close", "code": 1008, "reason": words + reason}] == await _closed(
        settings
    )


async def _as_json(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"title": error.detail}, error.status_code, {"X-Own": "1"})


def _sync(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"title": error.detail}, error.status_code, {"X-Own": "1"})


async def _as_text(_: Request, error: HTTPException) -> Response:
    return PlainTextResponse(error.detail, error.status_code)


async def _streamed(_: Request, error: HTTPException) -> Response:
    parts = iter(['{"title": ', '"x"}'])
    return StreamingResponse(parts, error.status_code, media_type="application/json")


def _without_handler(settings: JWTSettings) -> Any:
    app = app_of(settings)
    del app.exception_handlers[StarletteHTTPException]
    return TestClient(app).get("/")


class TestOwnHandlers:
    @pytest.mark.parametrize("handler", [_as_json, _sync, _as_text, _streamed])
    @pytest.mark.parametrize("kind", [HTTPException, StarletteHTTPException, 401])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_their_answers_are_left_alone(
        self, method: str, kind: Any, handler: Callable[..., Any]
    ) -> None:
        """The same bytes as without `explain`: hints are in the package's own body only."""
        plain, explained = (
            TestClient(app_of(settings, exception_handlers={kind: handler})).request(
                method, "/", json={"a": 1}
            )
            for settings in (OPEN, EXPLAINING)
        )

        assert (401, plain.content) == (explained.status_code, explained.content)
        assert plain.headers == explained.headers

    @pytest.mark.parametrize("settings", [OPEN, EXPLAINING], ids=["plain", "explaining"])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/"),
            ("POST", "/"),
            ("POST", "/body"),
            pytest.param("GET", "/below/x", marks=live_mounts),
        ],
    )
    def test_a_status_of_its_own_is_sent(
        self, method: str, path: str, settings: JWTSettings
    ) -> None:
        """Some applications answer everything with 200 and say what was wrong in the body."""

        async def handler(_: Request, error: HTTPException) -> Response:
            return JSONResponse({"code": error.status_code}, 200)

        router = protected_router(settings=settings)
        router.mount("/below", Starlette())

        @router.post("/body")
        async def body(value: Strict) -> None: ...

        app = app_of(settings, exception_handlers={HTTPException: handler})
        app.include_router(router)

        answer = TestClient(app).request(method, path, json={"a": 1})

        assert (200, 401) == (answer.status_code, answer.json()["code"])

    def test_a_handler_may_answer_a_handshake_itself(self) -> None:
        """And returns nothing then, as Starlette has it."""

        async def handler(websocket: WebSocket, _: HTTPException) -> None:
            await websocket.close(4401)

        app = app_of(EXPLAINING, exception_handlers={HTTPException: handler})

        with pytest.raises(WebSocketDisconnect) as closed, TestClient(app).websocket_connect("/ws"):
            pass
        assert 4401 == closed.value.code

    def test_a_handler_that_was_taken_away_leaves_starlettes(self) -> None:
        """Which answers in plain text, as without `JWT_EXPLAIN`."""
        plain, explained = (_without_handler(settings) for settings in (OPEN, EXPLAINING))

        assert (401, plain.text) == (explained.status_code, explained.text)

    def test_a_handler_that_comes_too_late_is_not_asked(self) -> None:
        """The application goes on with those that it began to serve with."""
        app = app_of(EXPLAINING)
        client = TestClient(app)
        client.get("/")
        app.exception_handler(StarletteHTTPException)(_as_text)

        assert "missing" == client.get("/").json()["reason"]


class _NamingAnother:
    """A middleware that puts something else in the place of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = object()
        await self.app(scope, receive, send)


def test_it_does_not_matter_what_calls_itself_the_application() -> None:
    """The handlers are those that the request is answered by."""
    app = app_of(EXPLAINING, middleware=[Middleware(_NamingAnother)])

    assert "missing" == TestClient(app).get("/").json()["reason"]


def test_an_outage_is_explained() -> None:
    """It is still 503, and still says when to come again."""
    with FakeIssuer() as issuer:
        issuer.jwks = Answer(status=500)
        settings = JWTSettings(
            jwks_url=issuer.jwks_url,
            issuer=issuer.issuer,
            audience="api",
            allow_loopback=True,
            explain=True,
        )
        headers = {"Authorization": f"Bearer {issuer.token(audience='api')}"}
        answer = TestClient(app_of(settings)).get("/", headers=headers)

    assert (503, "keys_unavailable", "key") == (
        answer.status_code,
        answer.json()["reason"],
        answer.json()["step"],
    )
    assert answer.headers["retry-after"].isdigit()


def _replacing(replaced: Callable[..., Any], error: Exception) -> Any:
    def failing() -> None:
        raise error

    app = FastAPI()

    @app.get("/")
    async def user(_: Annotated[str, Depends(current_user_id)]) -> str:
        return "let in"

    @app.get("/maybe")
    async def maybe(_: Annotated[str | None, Depends(optional(current_user_id))]) -> str:
        return "let in"

    app.dependency_overrides[replaced] = failing
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("path", ["/", "/maybe"])
@pytest.mark.parametrize("error", [RuntimeError(), ExpiredTokenError()], ids=["bug", "refusal"])
def test_without_settings_every_request_is_refused(path: str, error: Exception) -> None:
    """Without settings there is no challenge to send either: 500."""
    answer = _replacing(get_settings, error).get(path, headers=bearer())

    assert (500, "Internal Server Error") == (answer.status_code, answer.text)


@pytest.mark.parametrize("path", ["/", "/maybe"])
def test_a_replacement_that_refuses_is_a_refusal(path: str) -> None:
    """A test may raise what a token would have; without settings nothing is explained."""
    answer = _replacing(get_claims, ExpiredTokenError()).get(path)

    assert (401, {"detail": "Token has expired"}) == (answer.status_code, answer.json())


@pytest.mark.parametrize("name", ["\r\nX-Evil: 1", "<script>", "\u2028", "\x00"], ids=ascii)
def test_the_name_of_a_forbidden_claim_is_escaped(name: str) -> None:
    """It is a JSON string in the body, and nowhere in the headers."""
    answer = TestClient(app_of(EXPLAINING)).get("/strict", headers=good(**{name: "hidden"}))

    assert name == answer.json()["claim"]
    assert "application/json" == answer.headers["content-type"]
    assert "x-evil" not in answer.headers
    assert "hidden" not in answer.text


def test_no_value_is_told() -> None:
    """Of a token whose claims and header are all secret."""
    secrets = {"sub": "hidden-sub", "aud": "hidden-aud", "jti": "hidden-jti"}
    token = mint({**claims(), **secrets}, SECRET, header={"kid": "hidden-kid"})

    answer = TestClient(app_of(EXPLAINING)).get("/", headers={"Authorization": f"Bearer {token}"})

    assert 401 == answer.status_code
    assert "hidden" not in answer.text + str(answer.headers)
