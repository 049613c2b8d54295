"""Which client a token was issued to, and tokens that name no user."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import CurrentUser, JWTSettings, current_client_id, optional, protected_router
from tests.minting import SECRET
from tests.web.serving import including

from .serving import SETTINGS, bearer


def app_of(settings: JWTSettings = SETTINGS) -> FastAPI:
    """An application for people and programs."""
    router = protected_router(settings=settings)

    @router.get("/client")
    async def client(client_id: Annotated[str, Depends(current_client_id)]) -> str:
        return client_id

    @router.get("/user")
    async def user(user: Annotated[CurrentUser, Depends()]) -> str | None:
        return user.client_id

    @router.get("/either")
    async def either(
        client_id: Annotated[str | None, Depends(optional(current_client_id))],
    ) -> str | None:
        return client_id

    return including(router)


@pytest.mark.parametrize(
    ("members", "client_id"),
    [
        ({"client_id": "web"}, "web"),
        ({"azp": "web"}, "web"),
        ({"client_id": "web", "azp": "other"}, "web"),
        ({"client_id": 7, "azp": "web"}, "web"),
    ],
    ids=["client_id", "azp", "both", "client_id-that-is-no-text"],
)
def test_the_client_is_found(members: dict[str, Any], client_id: str) -> None:
    """`client_id` (RFC 9068 §2.2), else `azp` (OpenID Connect Core §2)."""
    client = TestClient(app_of())

    for path in ("/client", "/user", "/either"):
        assert client_id == client.get(path, headers=bearer(**members)).json()


def test_a_token_that_names_no_client_is_refused() -> None:
    """401, where the client is asked for alone."""
    client = TestClient(app_of())

    refused = client.get("/client", headers=bearer())

    assert (401, {"detail": "Invalid token: it names no client"}) == (
        refused.status_code,
        refused.json(),
    )
    assert client.get("/user", headers=bearer()).json() is None


def test_a_token_of_a_program_names_no_user() -> None:
    """It is a good token: only what asks for the user refuses it."""
    client = TestClient(app_of())
    program = bearer(client_id="nightly")

    assert "nightly" == client.get("/client", headers=program).json()
    without_users = JWTSettings(secret_key=SECRET, user_id_claim="user")
    asked = TestClient(app_of(without_users))
    assert [200, 401] == [
        asked.get(path, headers=program).status_code for path in ("/client", "/user")
    ]
