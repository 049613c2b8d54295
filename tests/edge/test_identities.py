"""Are the two classes dependencies like any other, and never input?"""

import threading
import types
from typing import Annotated, Any, get_args

import pytest
from fastapi import Depends, FastAPI
from fastapi.dependencies import utils
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    SessionState,
    current_user_id,
    protected_router,
)
from jwt_deps.claims import ClaimMapping
from jwt_deps.credentials import TokenDependency
from tests.edge.serving import bearer, client_of
from tests.minting import SECRET

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
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "optional"])
def test_a_forgotten_depends_stops_the_start(annotation: Any, *, wrapped: bool) -> None:
    """An identity must never be read from the query or the body."""
    app = FastAPI()
    kind = annotation | None if wrapped else annotation

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


def test_calling_the_class_is_asking_for_the_dependency() -> None:
    """There is no constructor that somebody could call with an id of their choice."""
    with pytest.raises(TypeError):
        CurrentUser("mallory")  # type: ignore[call-arg]


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


def test_dependencies_have_names_and_docs() -> None:
    """A debugger and a documentation tool can tell them apart."""
    assert "<dependency current_user_id>" == repr(current_user_id)
    assert "user" in (current_user_id.__doc__ or "")
    assert isinstance(CurrentUser, TokenDependency)
    assert "CurrentUser" == CurrentUser.__name__


def test_it_stands_for_its_class_where_a_class_is_expected() -> None:
    """For `isinstance`, and in unions either way round."""
    assert not isinstance("alice", CurrentUser)
    assert get_args(CurrentUser | None) == tuple(reversed(get_args(None | CurrentUser)))


@pytest.mark.parametrize("base", [CurrentUser, SessionState])
def test_it_cannot_be_a_base_class(base: Any) -> None:
    """A subclass would be an ordinary class to FastAPI, its fields read from the request."""
    with pytest.raises(ConfigurationError, match="cannot be a base class"):
        type(base.__name__, types.resolve_bases((base,)), {})


@pytest.mark.parametrize("annotation", [Claims, ClaimMapping])
def test_claims_as_a_dependency_by_mistake_stop_the_start(annotation: Any) -> None:
    """`Depends(Claims)` for `Depends(get_claims)` must not read them from a body."""
    app = FastAPI()

    with pytest.raises(ConfigurationError, match="get_claims"):

        @app.get("/r")
        async def read(claims: Annotated[annotation, Depends()]) -> None: ...
