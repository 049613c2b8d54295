"""Overriding a dependency in a test changes everything that depends on it."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Query, Request
from fastapi.testclient import TestClient
from starlette.requests import Request as PlainRequest
from starlette.responses import PlainTextResponse

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    SessionState,
    current_user_id,
    get_claims,
    get_session_state,
    get_settings,
    get_token,
    jwt_guard,
    optional,
    protect,
    protected_router,
    require_scopes,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, token, who


async def plain(request: PlainRequest) -> PlainTextResponse:
    return PlainTextResponse(request.state.user_id)


def application(settings: JWTSettings | None = None) -> FastAPI:
    app = protect(FastAPI(), settings)
    router = protected_router(settings=settings, prefix="/r")

    @router.get("/me")
    async def me(
        user: Annotated[CurrentUser, Depends()],
        user_id: Annotated[str, Depends(current_user_id)],
        maybe: Annotated[str | None, Depends(optional(current_user_id))],
        state: Annotated[SessionState, Depends()],
        same: Annotated[Any, Depends(get_session_state)],
        request: Request,
    ) -> Any:
        names = {user.id, user_id, maybe, request.state.user_id}
        return {"names": sorted(map(str, names)), "state": [dict(state), dict(same)]}

    @router.get("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin() -> str:
        return "admin"

    app.include_router(router)
    app.add_route("/plain", plain)
    return app


ZOE = Claims({"sub": "zoe", "scope": "admin"})


async def coroutine() -> Claims:
    return ZOE


async def with_a_request(request: Request) -> Claims:
    return Claims({"sub": request.headers["x-user"], "scope": "admin"})


async def name(who: Annotated[str, Query()]) -> str:
    return who


async def with_dependencies_and_client_input(who: Annotated[str, Depends(name)]) -> Claims:
    return Claims({"sub": who, "scope": "admin"})


def generator() -> Iterator[Claims]:
    yield ZOE


async def async_generator() -> AsyncIterator[Claims]:
    yield ZOE


@pytest.mark.parametrize(
    "replacement",
    [
        pytest.param(lambda: ZOE, id="lambda"),
        *(coroutine, with_a_request, with_dependencies_and_client_input),
        *(generator, async_generator),
    ],
)
@pytest.mark.parametrize("settings", [None, SETTINGS], ids=["environment", "own-settings"])
def test_overriding_get_claims_changes_everything_downstream(
    replacement: Callable[..., Any], settings: JWTSettings | None
) -> None:
    """Guards, classes, optional ones, scopes and plain routes; no token, no key, no variable."""
    app = application(settings)
    app.dependency_overrides[get_claims] = replacement

    with TestClient(app, headers={"x-user": "zoe"}) as client:
        me = client.get("/r/me?who=zoe")
        admin = client.get("/r/admin?who=zoe")
        raw = client.get("/plain?who=zoe")

    assert (200, ["zoe"]) == (me.status_code, me.json()["names"])
    assert (200, 200, "zoe") == (admin.status_code, raw.status_code, raw.text)


@pytest.mark.parametrize("settings", [None, SETTINGS], ids=["environment", "own-settings"])
def test_overriding_get_claims_changes_a_plain_guard_too(settings: JWTSettings | None) -> None:
    """`jwt_guard` goes by it as the others do."""
    app = FastAPI(dependencies=[Depends(jwt_guard(settings))])

    app.get("/me")(who)
    app.dependency_overrides[get_claims] = lambda: {"sub": "zoe"}

    assert (200, "zoe") == ((answer := TestClient(app).get("/me")).status_code, answer.json())


def test_an_override_that_asks_for_client_input_gets_a_validation_error_without_it() -> None:
    """As every other dependency of FastAPI would."""
    app = application(SETTINGS)
    app.dependency_overrides[get_claims] = with_dependencies_and_client_input

    assert 422 == TestClient(app).get("/r/me").status_code


def test_overriding_get_claims_reads_claim_names_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the keys are not needed then."""
    monkeypatch.setenv("JWT_USER_ID_CLAIM", "uid")
    monkeypatch.setenv("JWT_SESSION_STATE_CLAIMS", "plan")
    app = application()
    app.dependency_overrides[get_claims] = lambda: Claims({"uid": 7, "plan": "pro"})

    answer = TestClient(app).get("/r/me").json()

    assert {"names": ["7"], "state": [{"plan": "pro"}, {"plan": "pro"}]} == answer


def test_a_routers_own_settings_are_not_touched_by_it() -> None:
    """`get_settings` is what counts elsewhere."""
    app = application(SETTINGS)
    app.dependency_overrides[get_settings] = lambda: OTHER

    assert 200 == TestClient(app).get("/r/me", headers=bearer(SECRET)).status_code


def test_overriding_get_token_takes_the_token_from_elsewhere() -> None:
    """It is verified all the same."""

    async def from_query(t: Annotated[str | None, Query()] = None) -> str | None:
        return t

    app = application(SETTINGS)
    app.dependency_overrides[get_token] = from_query
    client = TestClient(app)

    assert 200 == client.get("/r/me", params={"t": token()}).status_code
    assert 401 == client.get("/r/me", params={"t": token(OTHER_SECRET)}).status_code
    assert 401 == client.get("/r/me").status_code
    # Where it gives none there is none, whatever else the request has.
    assert 401 == client.get("/r/me", headers=bearer()).status_code


def test_overriding_one_dependency_leaves_the_guard_standing() -> None:
    """`current_user_id` replaced for an endpoint does not replace the proof."""
    app = application(SETTINGS)
    app.dependency_overrides[current_user_id] = lambda: "zoe"
    client = TestClient(app)

    assert 401 == client.get("/r/me").status_code
    assert ["alice", "zoe"] == client.get("/r/me", headers=bearer()).json()["names"]


def test_overriding_one_dependency_holds_where_it_is_optional() -> None:
    """With or without a credential."""
    app = FastAPI()

    @app.get("/")
    async def read(user_id: Annotated[str | None, Depends(optional(current_user_id))]) -> Any:
        return user_id

    app.dependency_overrides |= {current_user_id: lambda: "bob", get_settings: lambda: SETTINGS}
    client = TestClient(app)

    assert ["bob", "bob"] == [client.get("/", headers=it).json() for it in ({}, bearer())]


@pytest.mark.parametrize(
    ("given", "named"), [pytest.param(None, "NoneType", id="no-return"), ({}, "dict")]
)
@pytest.mark.parametrize("guarded", [False, True])
def test_settings_that_are_none_are_named(given: Any, named: str, *, guarded: bool) -> None:
    """A function without `return` in place of `get_settings`, for instance."""
    app = protect(FastAPI()) if guarded else FastAPI()
    app.get("/me")(who)
    app.dependency_overrides[get_settings] = lambda: given

    with pytest.raises(ConfigurationError, match=f"get_settings returned {named}: return a JWT"):
        TestClient(app).get("/me", headers=bearer())


def test_an_override_is_called_once_per_request_by_the_guards() -> None:
    """However many guards and dependencies ask."""
    calls: list[str] = []

    async def claims() -> Claims:
        calls.append("claims")
        return Claims({"sub": "zoe"})

    app = application(SETTINGS)
    app.dependency_overrides[get_claims] = claims

    TestClient(app).get("/r/me")

    assert ["claims"] == calls


def test_an_override_of_something_else_leaves_the_settings_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the environment hold."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

    async def something() -> str:
        return "theirs"

    app = FastAPI()

    @app.get("/")
    async def read(
        user: Annotated[str, Depends(current_user_id)], other: Annotated[str, Depends(something)]
    ) -> list[str]:
        return [user, other]

    app.dependency_overrides[something] = lambda: "replaced"

    assert ["alice", "replaced"] == TestClient(app).get("/", headers=bearer()).json()


def test_what_an_override_writes_to_the_state_stays() -> None:
    """It takes the place of the verification, which writes there too."""
    app = application()

    async def claims(request: Request) -> Claims:
        request.state.tenant = "its own"
        request.state.session_id = "not in the claims"
        return Claims({"sub": "alice"})

    async def session(request: Request, _: Annotated[str, Depends(current_user_id)]) -> Any:
        return [request.state.tenant, request.state.user_id, request.state.session_id]

    app.dependency_overrides[get_claims] = claims
    app.get("/session")(session)

    expected = ["its own", "alice", "not in the claims"]
    assert expected == TestClient(app).get("/session").json()
