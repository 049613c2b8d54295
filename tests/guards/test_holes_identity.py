"""Attack: `CurrentUser` and `SessionState` on a route without a guard, where nothing else asks."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient

from jwt_deps import CurrentUser, SessionState, get_settings
from tests.web.serving import SETTINGS

from .asking import FOREIGN, GOOD

Asked = Annotated[Any, Depends(CurrentUser)]


async def by_class(user: Annotated[CurrentUser, Depends()]) -> str:
    """Ask for the class, and never look at it."""
    del user
    return "inside"


async def by_name(user: Asked) -> str:
    """Ask for it by name, and never look at it."""
    del user
    return "inside"


async def by_security(user: Annotated[CurrentUser, Security(CurrentUser)]) -> str:
    """Ask for it with scopes, and never look at it."""
    del user
    return "inside"


async def by_session(state: Annotated[SessionState, Depends()]) -> str:
    """Ask for the session, and never look at it."""
    del state
    return "inside"


@pytest.mark.parametrize(
    "endpoint", [by_class, by_name, by_security, by_session], ids=lambda one: one.__name__
)
def test_an_identity_class_authenticates_even_if_its_value_is_unused(endpoint: Any) -> None:
    """The endpoint does not run without a token."""
    app = FastAPI()
    app.get("/x")(endpoint)
    app.dependency_overrides[get_settings] = lambda: SETTINGS
    client = TestClient(app)

    assert [401, 401, 200] == [
        client.get("/x", headers=headers).status_code for headers in ({}, FOREIGN, GOOD)
    ]


@pytest.mark.parametrize("kind", [CurrentUser, SessionState])
def test_an_identity_class_authenticates_among_the_dependencies_of_a_route(kind: Any) -> None:
    """`dependencies=[Depends(CurrentUser)]`."""
    app = FastAPI()

    @app.get("/x", dependencies=[Depends(kind)])
    async def endpoint() -> str:
        return "inside"

    app.dependency_overrides[get_settings] = lambda: SETTINGS
    client = TestClient(app)

    assert [401, 401, 200] == [
        client.get("/x", headers=headers).status_code for headers in ({}, FOREIGN, GOOD)
    ]
