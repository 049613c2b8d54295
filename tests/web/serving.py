"""Two configurations, tokens for them and small applications, for the tests of the web room.

And what the installed FastAPI serves at all.
"""

import time
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, current_user_id
from tests.minting import OTHER_SECRET, SECRET, claims, mint

VERSION = tuple(int(part) for part in fastapi.__version__.split(".")[:2])

#: Whether `include_router` is live. Up to FastAPI 0.136 it copies: routes added later, and mounts
#: and hosts of an included router, are 404 there whatever this package does.
LIVE = VERSION >= (0, 137)
HAS_FRONTEND = hasattr(APIRouter, "frontend")

#: For tests, and cases of them, that need what this FastAPI does not serve.
live_routes = pytest.mark.skipif(
    not LIVE, reason="up to 0.136 what is added after the inclusion is not served"
)
live_mounts = pytest.mark.skipif(
    not LIVE, reason="up to 0.136 mounts of included routers are not served"
)
frontend = pytest.mark.skipif(not HAS_FRONTEND, reason="this FastAPI has no frontend()")

#: The configuration of most tests, and a second one that shares no key with it.
SETTINGS = JWTSettings(secret_key=SECRET, roles_claim="roles")
OTHER = JWTSettings(secret_key=OTHER_SECRET, roles_claim="roles")


def token(secret: str = SECRET, **members: Any) -> str:
    """A token for a day: tables are made when tests are collected, long before they run."""
    now = time.time()
    return mint(claims(now=now, **{"exp": int(now) + 86_400, **members}), secret)


def bearer(secret: str = SECRET, **members: Any) -> dict[str, str]:
    """The header that carries one."""
    return {"Authorization": f"Bearer {token(secret, **members)}"}


async def who(user_id: Annotated[str, Depends(current_user_id)]) -> str:
    return user_id


def including(*routers: APIRouter, **options: Any) -> FastAPI:
    """An application that includes the routers."""
    app = FastAPI()
    for router in routers:
        app.include_router(router, **options)
    return app


def client_of(*routers: APIRouter) -> TestClient:
    """A client of such an application."""
    return TestClient(including(*routers))


def document_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application, as it is once the application has started."""
    with TestClient(app):
        return app.openapi()
