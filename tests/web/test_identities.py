"""`CurrentUser` and `SessionState` are dependencies like any other, and never input."""

import copy
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pickle import dumps, loads
from typing import Annotated, Any, get_args

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Query, Security
from fastapi.dependencies import utils
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    SessionState,
    get_settings,
    protected_router,
)
from jwt_deps.tokens import ClaimMapping
from jwt_deps.web import dependencies
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import bearer, client_of

SETTINGS = JWTSettings(secret_key=SECRET, session_state_claims=["plan"])


def asking(user: Any, state: Any) -> TestClient:
    router = protected_router(settings=SETTINGS)

    @router.get("/r")
    async def read(user: user, state: state) -> Any:
        return [
            isinstance(user, CurrentUser),
            isinstance(state, SessionState),
            user.id,
            user.session_id,
            sorted(user.scopes),
            user.claims["sub"],
            dict(state),
        ]

    return client_of(router)


@pytest.mark.parametrize(
    ("user", "state"),
    [
        pytest.param(
            Annotated[CurrentUser, Depends()], Annotated[SessionState, Depends()], id="bare"
        ),
        pytest.param(
            Annotated[CurrentUser, Depends(CurrentUser)],
            Annotated[SessionState, Depends(SessionState)],
            id="named",
        ),
        pytest.param(
            Annotated[Any, Depends(CurrentUser)], Annotated[Any, Depends(SessionState)], id="any"
        ),
    ],
)
def test_both_spellings_give_instances(user: Any, state: Any) -> None:
    """`Annotated[CurrentUser, Depends()]` and `Depends(CurrentUser)` are the same."""
    answer = asking(user, state).get("/r", headers=bearer(session_id="s", scope="b a", plan="pro"))

    assert [True, True, "alice", "s", ["a", "b"], "alice", {"plan": "pro"}] == answer.json()


def test_neither_costs_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """They run on the event loop: a hop would cost more than the verification."""

    def no_threads(*_: Any) -> None:
        pytest.fail("a dependency was run in a thread")

    monkeypatch.setattr(utils, "run_in_threadpool", no_threads)
    client = asking(Annotated[CurrentUser, Depends()], Annotated[SessionState, Depends()])

    assert 200 == client.get("/r", headers=bearer()).status_code
    assert threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize("annotation", [CurrentUser, SessionState, Claims])
@pytest.mark.parametrize(
    "around",
    [
        pytest.param(lambda given: given, id="bare"),
        pytest.param(lambda given: given | None, id="optional"),
        pytest.param(lambda given: given | int, id="union"),
        pytest.param(
            lambda given: list[given],  # type: ignore[valid-type]
            id="list",
        ),
        pytest.param(
            lambda given: dict[str, given],  # type: ignore[valid-type]
            id="dict",
        ),
        pytest.param(lambda given: Annotated[given, Body()], id="body"),
        pytest.param(lambda given: Annotated[given, Query()], id="query"),
    ],
)
def test_a_forgotten_depends_stops_the_start(annotation: Any, around: Any) -> None:
    """An identity must never be read from the query or the body."""
    app = FastAPI()
    kind = around(annotation)

    with pytest.raises(ConfigurationError, match="Depends"):

        @app.get("/r")
        async def read(who: kind) -> None: ...  # type: ignore[valid-type]


@pytest.mark.parametrize("annotation", [CurrentUser, SessionState, Claims])
def test_no_model_can_have_one_as_a_field(annotation: Any) -> None:
    """Nor can it be smuggled into a body."""
    with pytest.raises(ConfigurationError, match="Depends"):

        class Body(BaseModel):
            model_config = ConfigDict(frozen=True)
            who: annotation


def test_a_user_cannot_be_changed() -> None:
    """What was verified stays what it was."""
    router = protected_router(settings=SETTINGS)
    refused: list[str] = []

    @router.get("/r")
    async def read(
        user: Annotated[CurrentUser, Depends()], state: Annotated[SessionState, Depends()]
    ) -> None:
        for change in (lambda: setattr(user, "id", "x"), lambda: state.update(a=1)):  # type: ignore[attr-defined]
            try:
                change()
            except AttributeError as error:
                refused.append(type(error).__name__)

    client_of(router).get("/r", headers=bearer())

    assert 2 == len(refused)


ALICE = CurrentUser("alice", "s", frozenset({"a"}), Claims({"sub": "alice", "n": [1]}))
STATE = SessionState({"plan": "pro", "cart": ["book"]})


def test_a_user_is_constructed_like_any_object() -> None:
    """With the four arguments that every token fills; the others have defaults."""
    assert ("alice", "s", frozenset({"a"}), "alice") == (
        ALICE.id,
        ALICE.session_id,
        ALICE.scopes,
        ALICE.claims.sub,
    )
    assert (None, None, frozenset()) == (ALICE.issuer, ALICE.client_id, ALICE.roles)
    assert "web" == CurrentUser("a", None, frozenset(), Claims({}), client_id="web").client_id
    assert ALICE == CurrentUser(
        id="alice", session_id="s", scopes=ALICE.scopes, claims=ALICE.claims
    )
    with pytest.raises(TypeError):
        CurrentUser("mallory")  # type: ignore[call-arg]


def test_what_is_the_same_is_equal_and_has_one_hash() -> None:
    """So that users and states can be in sets, and be compared in tests."""
    again = CurrentUser("alice", "s", frozenset({"a"}), Claims({"sub": "alice", "n": [1]}))
    other = replace(ALICE, claims=Claims({"sub": "alice", "n": [2]}))

    assert (True, True, False) == (again == ALICE, hash(again) == hash(ALICE), other == ALICE)
    assert 2 == len({ALICE, again, other})
    assert STATE == SessionState(dict(STATE))
    assert 1 == len({STATE, SessionState(dict(STATE))})


@pytest.mark.parametrize("made", [ALICE, STATE], ids=["user", "state"])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: loads(dumps(it))])  # noqa: S301 - its own
def test_it_can_be_copied_and_sent_to_another_process(made: Any, copied: Any) -> None:
    """Its class is what the name says, so pickle finds it."""
    again = copied(made)

    assert (True, type(made)) == (again == made, type(again))


def test_a_match_statement_takes_one_apart() -> None:
    """By position and by name; a state by its keys."""
    found: list[Any] = []
    for one in (ALICE, STATE, "alice"):
        match one:
            case CurrentUser(name, session_id="s"):
                found.append(name)
            case SessionState() as state:
                found.append(state["plan"])
            case _:
                found.append(None)

    assert ["alice", "pro", None] == found


def test_no_log_shows_a_value() -> None:
    """Only names of claims, and a digest with a key of the process."""
    shown = [re.sub("[0-9a-f]{16}", "X", repr(it)) for it in (ALICE, STATE)]

    assert ["<CurrentUser X>", "<SessionState with cart, plan, X>"] == shown


def test_they_are_classes_where_a_class_is_expected() -> None:
    """For `isinstance`, `issubclass` and in unions either way round."""
    assert isinstance(ALICE, CurrentUser)
    assert not isinstance("alice", CurrentUser)
    assert issubclass(Member, CurrentUser)
    assert issubclass(SessionState, Mapping)
    assert not issubclass(CurrentUser, SessionState)
    assert get_args(CurrentUser | None) == tuple(reversed(get_args(None | CurrentUser)))


class Member(CurrentUser):
    """A subclass that reads one more claim."""

    @property
    def email(self) -> str:
        return str(self.claims["email"])


@dataclass(frozen=True)
class Employee(CurrentUser):
    """One that has a field of its own."""

    team: str = field(default="none", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "team", self.claims["team"])


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        pytest.param(CurrentUser, {"claims": Claims({"sub": "bob"})}, id="claims"),
        pytest.param(CurrentUser, {"id": "bob"}, id="id"),
        pytest.param(CurrentUser, {"scopes": frozenset({"b"})}, id="scopes"),
        pytest.param(CurrentUser, {"roles": frozenset({"b"})}, id="roles"),
        pytest.param(CurrentUser, {"issuer": "b"}, id="issuer"),
        pytest.param(Member, {"id": "bob"}, id="subclass"),
        pytest.param(Employee, {"claims": Claims({"sub": "bob", "team": 1})}, id="dataclass"),
    ],
)
def test_attack_a_cache_whose_key_is_the_repr_of_arguments(
    kind: type[CurrentUser], changes: dict[str, Any]
) -> None:
    """fastapi-cache2 and aiocache have such keys: no user gets what was cached for another."""
    claims = Claims({"sub": "alice", "team": 1})
    values: dict[str, Any] = {"session_id": None, "scopes": frozenset(), "claims": claims}
    values["id"] = "alice"
    alice, again, bob = kind(**values), kind(**values), kind(**{**values, **changes})

    assert repr(alice) == repr(again) != repr(bob)


def test_the_repr_of_a_dataclass_shows_no_value() -> None:
    """`dataclass` makes one for a subclass, in place of the one that it would inherit."""
    secret = "a value"
    user = Employee(
        secret,
        secret,
        frozenset({secret}),
        Claims({"team": secret}),
        secret,
        secret,
        frozenset({secret}),
    )

    assert secret not in repr(user)


class Cart(SessionState):
    """A state that knows what is in it."""

    @property
    def plan(self) -> str:
        return str(self["plan"])


def told_of_subclasses() -> TestClient:
    router = APIRouter()

    @router.get("/r")
    async def read(
        member: Annotated[Member, Depends()],
        employee: Annotated[Employee, Depends(Employee)],
        cart: Annotated[Cart, Depends()],
    ) -> list[str]:
        return [member.email, employee.id, employee.team, cart.plan]

    return client_of(protected_router(router, settings=SETTINGS))


def test_a_subclass_is_a_dependency_too() -> None:
    """A plain one, a dataclass, and one of the state."""
    answer = told_of_subclasses().get("/r", headers=bearer(email="a@b.test", team="x", plan="pro"))

    assert ["a@b.test", "alice", "x", "pro"] == answer.json()
    assert 401 == told_of_subclasses().get("/r").status_code


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param({}, [None, None, []], id="absent"),
        pytest.param({"client_id": "web", "azp": "other"}, [None, "web", []], id="client-id"),
        pytest.param({"azp": "spa"}, [None, "spa", []], id="azp"),
        pytest.param({"client_id": 7, "azp": "spa"}, [None, "spa", []], id="client-id-no-string"),
        pytest.param({"iss": "https://a.test"}, ["https://a.test", None, []], id="issuer"),
        pytest.param({"iss": 7}, [None, None, []], id="issuer-no-string"),
    ],
)
def test_issuer_and_client(members: dict[str, Any], expected: list[Any]) -> None:
    """RFC 7519 §4.1.1; RFC 9068 §2.2, and `azp` of OpenID Connect."""
    router = APIRouter()

    @router.get("/r")
    async def read(user: Annotated[CurrentUser, Depends()]) -> list[Any]:
        return [user.issuer, user.client_id, sorted(user.roles)]

    client = client_of(protected_router(router, settings=SETTINGS))

    assert expected == client.get("/r", headers=bearer(**members)).json()


async def replaced() -> CurrentUser:
    return ALICE


class OfAFixture:
    def __call__(self) -> CurrentUser:
        return ALICE


@pytest.mark.parametrize(
    "replacement",
    [lambda: ALICE, replaced, OfAFixture()],
    ids=["lambda", "coroutine", "callable-object"],
)
def test_a_test_replaces_it_by_an_instance(replacement: Any) -> None:
    """In `app.dependency_overrides`, like any dependency."""
    app = FastAPI()

    @app.get("/r")
    async def read(user: Annotated[CurrentUser, Depends()]) -> str:
        return user.id

    app.dependency_overrides[CurrentUser] = replacement

    assert "alice" == TestClient(app).get("/r").json()


@pytest.mark.parametrize("dependency", [CurrentUser, SessionState, Member, Cart])
def test_a_client_passes_nothing(dependency: Any) -> None:
    """Not under the names of the parameters, and not as a body."""
    app = FastAPI()

    @app.post("/r")
    async def read(it: Annotated[Any, Depends(dependency)]) -> None: ...

    operation = app.openapi()["paths"]["/r"]["post"]
    forged = {"id": "mallory", "connection": "x", "security_scopes": "y"}

    assert (False, False) == ("parameters" in operation, "requestBody" in operation)
    assert [{"JWT": []}] == operation["security"]
    app.dependency_overrides[get_settings] = lambda: SETTINGS
    assert 401 == TestClient(app).post("/r", params=forged, json=forged).status_code


def test_a_fastapi_that_fails_the_trial_gets_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "APIRouter", None)

    assert dependencies._is_func_awaited() is False


@pytest.mark.parametrize("annotation", [Claims, ClaimMapping])
def test_claims_as_a_dependency_by_mistake_stop_the_start(annotation: Any) -> None:
    """`Depends(Claims)` for `Depends(get_claims)` must not read them from a body."""
    app = FastAPI()

    with pytest.raises(ConfigurationError, match=r"^Claims come from a verified token"):

        @app.get("/r")
        async def read(claims: Annotated[annotation, Depends()]) -> None: ...


def beside(kind: Any) -> FastAPI:
    app = FastAPI()
    app.get("/x", dependencies=[Depends(kind)])(lambda: None)
    return app


def unused(asked: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/x")
    async def x(_: asked) -> None: ...

    return app


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(unused(Annotated[CurrentUser, Depends()]), id="class"),
        pytest.param(unused(Annotated[Any, Depends(CurrentUser)]), id="name"),
        pytest.param(unused(Annotated[CurrentUser, Security(CurrentUser)]), id="security"),
        pytest.param(unused(Annotated[SessionState, Depends()]), id="session"),
        pytest.param(beside(CurrentUser), id="user-of-the-route"),
        pytest.param(beside(SessionState), id="session-of-the-route"),
    ],
)
def test_an_identity_class_authenticates_without_a_guard(app: FastAPI) -> None:
    """The endpoint does not run without a token, even if the value is unused."""
    app.dependency_overrides[get_settings] = lambda: SETTINGS
    tokens: list[dict[str, str]] = [{}, bearer(OTHER_SECRET), bearer()]

    assert [401, 401, 200] == [TestClient(app).get("/x", headers=it).status_code for it in tokens]
