"""Each dependency returns the values of the token, and refuses invalid ones."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient
from pydantic import BaseModel

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    SessionState,
    claims_as,
    current_session_id,
    current_user_id,
    get_claims,
    get_dependencies,
    get_scopes,
    get_session_state,
    get_token,
    optional,
    protect,
    protected_router,
    require_any_scope,
    require_scopes,
)
from tests.minting import SECRET
from tests.web.serving import SETTINGS, bearer, client_of, live_routes, token

RICH = JWTSettings(
    secret_key=SECRET,
    scopes_claim="permissions",
    user_id_claim="account.id",
    session_id_claim="sid",
    dependencies_claims=["tenant", "account.plan"],
    session_state_claims=["locale"],
)


def asking(dependency: Any, settings: JWTSettings = SETTINGS) -> TestClient:
    router = APIRouter()

    @router.get("/")
    async def ask(answer: Annotated[Any, Depends(dependency)]) -> Any:
        return {"answer": sorted(answer) if isinstance(answer, frozenset) else answer}

    return client_of(protected_router(router, settings=settings, prefix="/ask"))


@pytest.mark.parametrize(
    ("dependency", "members", "expected"),
    [
        pytest.param(current_user_id, {}, "alice", id="user-id"),
        pytest.param(current_session_id, {"session_id": "s1"}, "s1", id="session-id"),
        pytest.param(current_session_id, {"session_id": 7}, "7", id="session-id-integer"),
        pytest.param(current_session_id, {}, None, id="session-id-absent"),
        pytest.param(get_scopes, {"scope": "b a"}, ["a", "b"], id="scopes-registered-claim"),
        pytest.param(get_scopes, {}, [], id="scopes-absent"),
        pytest.param(get_dependencies, {"tenant": "t"}, {}, id="dependencies-none-configured"),
        pytest.param(get_session_state, {"locale": "de"}, {}, id="state-none-configured"),
    ],
)
def test_dependencies_with_default_claims(
    dependency: Any, members: dict[str, Any], expected: Any
) -> None:
    """Without configuration, the registered claims are what counts."""
    answer = asking(dependency).get("/ask/", headers=bearer(**members))

    assert expected == answer.json()["answer"]


@pytest.mark.parametrize(
    ("dependency", "members", "expected"),
    [
        pytest.param(current_user_id, {"account": {"id": "ann"}}, "ann", id="nested-user-id"),
        pytest.param(current_user_id, {"account": {"id": 42}}, "42", id="integer-user-id"),
        pytest.param(current_session_id, {"sid": "s2"}, "s2", id="session-id"),
        pytest.param(get_scopes, {"permissions": ["x", "y"]}, ["x", "y"], id="scopes-list"),
        pytest.param(get_scopes, {"permissions": "y x"}, ["x", "y"], id="scopes-string"),
        pytest.param(get_scopes, {"permissions": {"x": 1}}, [], id="scopes-of-no-shape"),
        pytest.param(
            get_dependencies,
            {"tenant": "t", "account": {"plan": "pro"}, "more": 1},
            {"tenant": "t", "account.plan": "pro"},
            id="dependencies",
        ),
        pytest.param(get_session_state, {"locale": ["de"]}, {"locale": ["de"]}, id="state"),
    ],
)
def test_dependencies_with_configured_claims(
    dependency: Any, members: dict[str, Any], expected: Any
) -> None:
    """The settings name the claims, and a dotted path reaches into nested ones."""
    answer = asking(dependency, RICH).get("/ask/", headers=bearer(**members))

    assert expected == answer.json()["answer"]


@pytest.mark.parametrize("user_id", [None, "", True, 1.5, ["a"], {"id": "a"}])
@pytest.mark.parametrize("dependency", [current_user_id, CurrentUser])
def test_a_token_that_names_no_user_is_refused_where_the_user_is_asked_for(
    dependency: Any, user_id: object
) -> None:
    """Only a non-empty string or an integer identifies a user; anything else is 401."""
    answer = asking(dependency, RICH).get("/ask/", headers=bearer(account={"id": user_id}))

    assert 401 == answer.status_code
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["detail"].startswith("Invalid token")


def test_a_token_that_names_no_user_passes_the_guard() -> None:
    """A service account's token is good for routes that ask for no user."""
    answer = asking(get_claims, RICH).get("/ask/", headers=bearer())

    assert 200 == answer.status_code


def test_a_session_id_of_no_shape_is_refused() -> None:
    """A session id is text or a number, never a structure."""
    answer = asking(current_session_id).get("/ask/", headers=bearer(session_id={"a": 1}))

    assert 401 == answer.status_code


def test_get_token_hands_out_the_encoded_token() -> None:
    encoded = token()

    answer = asking(get_token).get("/ask/", headers={"Authorization": f"Bearer {encoded}"})

    assert encoded == answer.json()["answer"]


def test_get_claims_hands_out_all_verified_claims() -> None:
    """`Claims` is a mapping of everything that the token says."""
    answer = asking(get_claims).get("/ask/", headers=bearer(roles=["a"]))

    assert {"sub", "iat", "exp", "roles"} == set(answer.json()["answer"])


def test_claims_that_leave_are_never_shared() -> None:
    """What one dependency does to a value, the endpoint does not see."""
    router = APIRouter()

    async def vandal(claims: Annotated[Claims, Depends(get_claims)]) -> None:
        claims["roles"].append("admin")
        dict(claims)["roles"].append("admin")

    @router.get("/", dependencies=[Depends(vandal)])
    async def read(claims: Annotated[Claims, Depends(get_claims)]) -> Any:
        return claims["roles"]

    client = client_of(protected_router(router, settings=SETTINGS, prefix="/r"))

    assert ["user"] == client.get("/r/", headers=bearer(roles=["user"])).json()


def test_the_token_is_verified_once_however_many_ask(verified: list[str]) -> None:
    """Guard, class, functions, factories and scopes share one verification."""
    router = APIRouter()

    @router.get("/", dependencies=[Depends(require_scopes("a")), Depends(require_any_scope("a"))])
    async def read(
        user: Annotated[CurrentUser, Depends()],
        user_id: Annotated[str, Security(current_user_id, scopes=["a"])],
        claims: Annotated[Claims, Security(get_claims, scopes=["b"])],
        state: Annotated[SessionState, Depends()],
    ) -> None: ...

    forgetful = JWTSettings(secret_key=SECRET, token_cache_size=0)
    client = client_of(protected_router(router, settings=forgetful, prefix="/r"))

    answer = client.get("/r/", headers=bearer(scope="a b"))

    assert (200, 1) == (answer.status_code, len(verified))


class Profile(BaseModel):
    sub: str
    tier: int


def test_claims_as_validates_the_claims_into_a_model() -> None:
    """The caller's own model is what the endpoint gets."""
    answer = asking(claims_as(Profile)).get("/ask/", headers=bearer(tier="3"))

    assert {"sub": "alice", "tier": 3} == answer.json()["answer"]


def test_claims_that_do_not_fit_the_model_are_an_invalid_token() -> None:
    """401, with a fixed sentence that holds neither the value nor pydantic's words."""
    answer = asking(claims_as(Profile)).get("/ask/", headers=bearer(tier="confidential"))

    assert 401 == answer.status_code
    assert {"detail": "Invalid token: its claims are not those that this service needs"} == (
        answer.json()
    )


def test_insufficient_scope_names_every_scope_of_the_route() -> None:
    """A client can ask its authorization server for all of them at once."""
    router = APIRouter(dependencies=[Depends(require_scopes("read"))])

    async def own(user: Annotated[str, Depends(current_user_id)]) -> str:
        return user

    @router.get("/", dependencies=[Depends(require_any_scope("x", "y"))])
    async def read(user: Annotated[str, Security(own, scopes=["write"])]) -> None: ...

    client = client_of(protected_router(router, settings=SETTINGS, prefix="/r"))

    answer = client.get("/r/", headers=bearer(scope="x"))

    assert 403 == answer.status_code
    assert 'scope="read x y write"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "dependency",
    [
        *(get_token, get_claims, current_user_id, current_session_id, get_scopes),
        *(get_dependencies, get_session_state, CurrentUser, SessionState),
        *(claims_as(Profile), require_scopes("a"), optional(current_user_id)),
    ],
)
def test_scopes_of_security_are_enforced_on_every_dependency(dependency: Any) -> None:
    """`Security(..., scopes=[...])` is FastAPI's own spelling, and ignoring it would be a hole."""
    router = protected_router(settings=SETTINGS)
    router.get("/r", dependencies=[Security(dependency, scopes=["admin"])])(lambda: None)

    answer = client_of(router).get("/r", headers=bearer(scope="a", tier=1))

    assert 403 == answer.status_code
    assert "admin" in answer.headers["www-authenticate"]


def test_scopes_of_security_above_a_dependency_of_the_callers_own_are_enforced() -> None:
    """Scopes flow down to whatever dependency of this package the caller's own stands on."""

    async def own(user: Annotated[CurrentUser, Depends()]) -> str:
        return user.id

    router = APIRouter()

    @router.get("/")
    async def read(user: Annotated[str, Security(own, scopes=["admin"])]) -> str:
        return user

    client = client_of(protected_router(router, settings=SETTINGS, prefix="/r"))

    assert 403 == client.get("/r/", headers=bearer()).status_code
    assert "alice" == client.get("/r/", headers=bearer(scope="admin")).json()


async def own_user(user: Annotated[CurrentUser, Depends()]) -> str:
    return f"own {user.id}"


def own_sync_user(user_id: Annotated[str, Depends(current_user_id)]) -> str:
    return f"sync {user_id}"


def answering(dependency: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(value: Annotated[Any, Depends(dependency)]) -> Any:
        return value

    return answer


def asking_optionally(dependency: Any) -> TestClient:
    """A client of the public route `/r`, which returns what the optional dependency does."""
    router = protected_router(settings=SETTINGS, exclude="/r")
    router.get("/r")(answering(optional(dependency)))
    return client_of(router)


@pytest.mark.parametrize(
    ("dependency", "expected"),
    [
        pytest.param(current_user_id, "alice", id="function"),
        pytest.param(own_user, "own alice", id="callers-own"),
        pytest.param(own_sync_user, "sync alice", id="callers-own-sync"),
    ],
)
def test_optional_answers_like_the_dependency_when_there_is_a_credential(
    dependency: Any, expected: str
) -> None:
    """It is the same dependency, then."""
    client = asking_optionally(dependency)

    assert expected == client.get("/r", headers=bearer()).json()
    assert client.get("/r").json() is None
    assert client.get("/r", headers={"Authorization": "Basic abc"}).json() is None
    assert client.get("/r", headers={"Authorization": "Bearer"}).json() is None
    assert 401 == client.get("/r", headers={"Authorization": "Bearer bad"}).status_code


def test_optional_refuses_a_request_with_two_tokens() -> None:
    """Whatever the dependency asks for: which of them counts is not known (RFC 6750 §3.1)."""

    async def nothing() -> None: ...

    client = asking_optionally(nothing)
    twice = client.get("/r", headers={"Authorization": "Bearer a, Bearer b"})

    assert [400, 200] == [twice.status_code, client.get("/r").status_code]


def test_optional_takes_the_classes_too() -> None:
    """`optional(CurrentUser)` is an anonymous visitor or a user."""
    client = asking_optionally(CurrentUser)

    assert "alice" == client.get("/r", headers=bearer()).json()["id"]
    assert client.get("/r").json() is None


def test_an_optional_token_is_not_yet_verified() -> None:
    """As that of `get_token`, which an application may verify in a way of its own."""
    client = asking_optionally(get_token)

    assert "a.b.c" == client.get("/r", headers={"Authorization": "Bearer a.b.c"}).json()
    assert client.get("/r").json() is None


def test_optional_calls_what_wraps_a_dependency() -> None:
    """It may refuse what the dependency accepts."""

    @wraps(current_user_id)
    async def in_capitals(**given: Any) -> str:
        return (await current_user_id(**given)).upper()

    assert "ALICE" == asking_optionally(in_capitals).get("/r", headers=bearer()).json()


@live_routes
def test_what_an_optional_dependency_opens_stays_open_until_the_endpoint_has_run() -> None:
    """A database session, for instance."""
    ran: list[str] = []

    async def session(_: Annotated[str, Depends(current_user_id)]) -> AsyncIterator[str]:
        ran.append("opened")
        yield "session"
        ran.append("closed")

    router = protected_router(settings=SETTINGS, exclude="/r")

    @router.get("/r")
    async def read(_: Annotated[str | None, Depends(optional(session))]) -> None:
        ran.append("endpoint")

    client = client_of(router)
    client.get("/r", headers=bearer())
    client.get("/r")

    assert ["opened", "endpoint", "closed", "endpoint"] == ran


def test_optional_tells_equal_dependencies_apart() -> None:
    """They can be equal and answer differently."""

    @dataclass(frozen=True)
    class Load:
        name: str
        rows: str = field(compare=False)

        async def __call__(self, _: Annotated[str, Depends(current_user_id)]) -> str:
            return self.rows

    ours, theirs = Load("rows", "ours"), Load("rows", "theirs")
    app = protect(FastAPI(), SETTINGS)
    for path, load in (("/ours", ours), ("/theirs", theirs)):
        app.get(path)(answering(optional(load)))
    client = TestClient(app)

    assert optional(ours) is optional(ours)
    assert ["ours", "theirs"] == [
        client.get(path, headers=bearer()).json() for path in ("/ours", "/theirs")
    ]


def test_an_optional_dependency_takes_no_body() -> None:
    """FastAPI reads the body for the dependencies that it runs itself."""

    async def takes_body(body: dict[str, str]) -> None: ...

    with pytest.raises(ConfigurationError, match="a parameter from the body"):
        optional(takes_body)


@pytest.mark.parametrize(
    "secret", [pytest.param(get_claims, id="claims"), pytest.param(CurrentUser, id="user")]
)
def test_what_is_handed_out_shows_no_value_in_its_repr(secret: Any) -> None:
    """A log line or a telemetry processor that prints a parameter prints no claim."""
    seen: list[str] = []
    router = APIRouter()

    @router.get("/")
    async def read(value: Annotated[Any, Depends(secret)]) -> None:
        seen.append(repr(value))

    client_of(protected_router(router, settings=SETTINGS, prefix="/r")).get(
        "/r/", headers=bearer(sub="alice@example.com")
    )

    assert len(seen) == 1
    assert "alice" not in seen[0]
