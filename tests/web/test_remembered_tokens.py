"""A request with a cached token gets the same answer as one with a new token."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, Request
from fastapi.testclient import TestClient

from jwt_deps import CurrentUser, JWTSettings, get_claims, protected_router
from tests.minting import SECRET
from tests.web.serving import bearer, client_of


def client(**values: Any) -> TestClient:
    router = APIRouter()

    @router.get("/user")
    async def user(user: Annotated[CurrentUser, Depends()], request: Request) -> dict[str, Any]:
        state, roles = request.state, user.claims["roles"]
        for changed in (
            *(roles, state.claims["roles"], state.scopes),
            *(state.dependencies["roles"], state.session_state["roles"]),
        ):
            changed.append("admin")
        state.user_id = "root"
        return {"id": user.id, "roles": user.claims["roles"]}

    @router.get("/state")
    async def state(
        request: Request, claims: Annotated[dict[str, Any], Depends(get_claims)]
    ) -> list[Any]:
        state = request.state
        read = [claims, state.dependencies, state.session_state, state.claims]
        return [*(it["roles"] for it in read), state.scopes, state.user_id]

    named = {"session_state_claims": ["roles"], "dependencies_claims": ["roles"]}
    settings = JWTSettings(secret_key=SECRET, **{**named, **values})
    return client_of(protected_router(router, settings=settings))


@pytest.mark.parametrize("size", [0, 2048], ids=["forgetting", "remembering"])
def test_no_request_sees_what_another_one_changed(size: int) -> None:
    """Claims and state are each request's own."""
    asking, headers = client(token_cache_size=size), bearer(roles=["a"], scope="b")

    for _ in range(3):
        user = asking.get("/user", headers=headers).json()
        state = asking.get("/state", headers=headers).json()

        assert {"id": "alice", "roles": ["a"]} == user
        assert [*[["a"]] * 4, ["b"], "alice"] == state


def test_a_remembered_token_is_verified_once(verified: list[str]) -> None:
    """However many requests bring it."""
    asking, headers = client(), bearer(roles=["a"])

    for _ in range(5):
        assert 200 == asking.get("/user", headers=headers).status_code

    assert 1 == len(verified)
