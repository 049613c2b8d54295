"""A refusal that an exception handler answers stays that answer on its way out."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import RedirectResponse, Response

from jwt_deps import jwt_guard, protect
from tests.minting import OTHER_SECRET
from tests.web.serving import OTHER, SETTINGS, bearer


async def to_the_login(_: Request, __: Exception) -> Response:
    return RedirectResponse("/login", 303)


async def in_a_task(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


class Timed(APIRoute):
    """A route class as FastAPI's documentation writes them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def timed(request: Request) -> Response:
            return await handler(request)

        return timed


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_handler_below_a_middleware_that_serves_in_a_task(method: str) -> None:
    """The guard of the application around it lets the redirect to the login pass."""
    inner = FastAPI(
        dependencies=[Depends(jwt_guard(OTHER))], exception_handlers={HTTPException: to_the_login}
    )
    inner.add_middleware(BaseHTTPMiddleware, dispatch=in_a_task)
    inner.router.route_class = Timed
    inner.add_api_route("/x", lambda: "inside", methods=[method])
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", inner)

    client = TestClient(app, follow_redirects=False)

    # From its first request on the inner application is known to have a guard.
    good = client.request(method, "/m/x", headers=bearer(OTHER_SECRET))

    assert (200, 303) == (good.status_code, client.request(method, "/m/x").status_code)
