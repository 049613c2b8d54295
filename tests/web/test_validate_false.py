"""`validate=False` refuses no request and uses no unverified claim."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from jwt_deps import (
    Claims,
    CurrentUser,
    JWTSettings,
    SessionState,
    current_client_id,
    current_session_id,
    current_user_id,
    get_claims,
    get_dependencies,
    get_scopes,
    get_settings,
    granted,
    optional,
    protect,
    protected_router,
    require,
    require_acr,
    require_claim,
    require_roles,
    require_scopes,
)
from jwt_deps.audit import audit
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import SETTINGS as USUAL
from tests.web.serving import bearer, including

SETTINGS = JWTSettings(secret_key=SECRET, validate=False, token_source="both")
NOTHING_PROVED = [
    pytest.param({}, id="nothing"),
    pytest.param({"Authorization": "Bearer bad"}, id="malformed"),
    pytest.param(bearer(OTHER_SECRET), id="forged"),
    pytest.param(bearer(exp=1), id="expired"),
    pytest.param({"Authorization": "Bearer"}, id="half-a-credential"),
    pytest.param({"Authorization": "Bearer a, Bearer b"}, id="two-credentials"),
    pytest.param({"Cookie": "access_token=a.b.c", "Sec-Fetch-Site": "cross-site"}, id="cross-site"),
]


def client() -> TestClient:
    router = protected_router(settings=SETTINGS)

    @router.post("/open")
    async def read(
        request: Request,
        claims: Annotated[Claims, Depends(get_claims)],
        session_id: Annotated[str | None, Depends(current_session_id)],
        scopes: Annotated[Any, Depends(get_scopes)],
        dependencies: Annotated[Any, Depends(get_dependencies)],
        state: Annotated[SessionState, Depends()],
        maybe: Annotated[CurrentUser | None, Depends(optional(CurrentUser))],
    ) -> Any:
        return {
            "authenticated": request.state.authenticated,
            "user_id": getattr(request.state, "user_id", None),
            "empty": [len(claims), session_id, len(scopes), len(dependencies), len(state)],
            "maybe": maybe.id if maybe else None,
        }

    @router.post("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    @router.post("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin() -> None: ...

    app = including(router)
    return TestClient(app)


@pytest.mark.parametrize("headers", NOTHING_PROVED)
def test_a_request_that_proves_nothing_goes_on_as_anonymous(headers: dict[str, str]) -> None:
    """`authenticated` is false, and there are no claims of any kind."""
    answer = client().post("/open", headers=headers)

    assert 200 == answer.status_code
    assert {
        "authenticated": False,
        "user_id": None,
        "empty": [0, None, 0, 0, 0],
        "maybe": None,
    } == answer.json()


def test_a_token_that_verifies_is_believed() -> None:
    """It is injected as ever."""
    answer = client().post("/open", headers=bearer())

    assert (True, "alice", "alice") == (
        answer.json()["authenticated"],
        answer.json()["user_id"],
        answer.json()["maybe"],
    )


@pytest.mark.parametrize("path", ["/me", "/admin"])
@pytest.mark.parametrize("headers", NOTHING_PROVED)
def test_no_user_is_invented_for_a_route_that_needs_one(path: str, headers: dict[str, str]) -> None:
    """Where an endpoint asks for a user or a scope, anonymous is an answer that it cannot have."""
    assert client().post(path, headers=headers).status_code in {400, 401, 403}


def has_claims(claims: Claims) -> bool:
    return bool(claims)


@pytest.mark.parametrize("lax", [True, False], ids=["validate-false", "without-a-guard"])
@pytest.mark.parametrize(
    "dependency",
    [
        current_client_id,
        require_scopes("a"),
        require_roles("a"),
        require_claim("plan"),
        require(has_claims),
        require_acr("phr"),
        require_acr(max_age=60),
        granted("agents", "read"),
    ],
    ids=["client", "scopes", "roles", "claim", "check", "acr", "age", "granted"],
)
def test_what_is_asked_of_a_user_is_refused_without_one(dependency: Any, *, lax: bool) -> None:
    """By the dependency itself, where a guard lets the request pass and where there is none."""
    app, asked = FastAPI(), [Depends(dependency)]
    if lax:
        settings = USUAL.model_copy(update={"validate": False})
        app = protect(FastAPI(), settings)
    app.get("/x", dependencies=asked)(lambda: "inside")
    app.dependency_overrides[get_settings] = lambda: USUAL
    (route,) = (it for it in audit(app).routes if it.path == "/x")

    assert 401 == TestClient(app).get("/x").status_code
    assert "guarded" == route.verdict


def test_claims_that_a_router_asks_for_refuse_no_request() -> None:
    """Also where the guard is asked before, because the body is read first."""
    router = protected_router(settings=SETTINGS, dependencies=[Depends(get_claims)])

    @router.post("/sent")
    async def sent(body: dict[str, str]) -> dict[str, str]:
        return body

    answer = TestClient(including(router)).post("/sent", json={"a": "b"})

    assert (200, {"a": "b"}) == (answer.status_code, answer.json())
