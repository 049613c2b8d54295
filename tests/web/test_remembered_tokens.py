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
        roles = user.claims["roles"]
        roles.append("admin")
        request.state.session_state["roles"].append("admin")
        return {"id": user.id, "roles": user.claims["roles"]}

    @router.get("/state")
    async def state(
        request: Request, claims: Annotated[dict[str, Any], Depends(get_claims)]
    ) -> dict[str, Any]:
        return {"state": request.state.session_state, "claims": claims["roles"]}

    settings = JWTSettings(secret_key=SECRET, session_state_claims=["roles"], **values)
    return client_of(protected_router(router, settings=settings))


@pytest.mark.parametrize("size", [0, 2048], ids=["forgetting", "remembering"])
def test_no_request_sees_what_another_one_changed(size: int) -> None:
    """Claims and state are each request's own."""
    asking, headers = client(token_cache_size=size), bearer(roles=["a"])

    for _ in range(3):
        assert {"id": "alice", "roles": ["a"]} == asking.get("/user", headers=headers).json()
        assert {"state": {"roles": ["a"]}, "claims": ["a"]} == asking.get(
            "/state", headers=headers
        ).json()


def test_a_remembered_token_is_verified_once(verified: list[str]) -> None:
    """However many requests bring it."""
    asking, headers = client(), bearer(roles=["a"])

    for _ in range(5):
        assert 200 == asking.get("/user", headers=headers).status_code

    assert 1 == len(verified)
