"""What dependencies with `yield` see of how a request ends, on plain routes and on others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router

from jwt_deps import current_user_id, protect
from tests.web.serving import SETTINGS

from .asking import GOOD, INSIDE, Copying, ask, plain


class Transaction:
    """A dependency that notes how it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def __call__(self) -> AsyncIterator[None]:
        """Commit, or roll back because of an error."""
        try:
            yield
        except Exception:
            self.ended.append("rollback")
            raise
        self.ended.append("commit")


@pytest.fixture
def transaction() -> Transaction:
    """What applies to the application."""
    return Transaction()


@pytest.fixture
def app(transaction: Transaction) -> FastAPI:
    """A protected application."""
    return protect(FastAPI(), SETTINGS, dependencies=[Depends(transaction)])


async def conflict() -> None:
    """Refuse."""
    raise HTTPException(409)


async def conflict_plainly(_: Request) -> Any:
    """Refuse."""
    raise HTTPException(409)


@pytest.mark.parametrize("path", ["/api", "/plain", "/inner/plain", "/copied", "/copies/plain"])
def test_what_the_endpoint_raises(app: FastAPI, transaction: Transaction, path: str) -> None:
    """A transaction is not committed where an exception handler answers."""
    app.add_api_route("/api", conflict)
    app.add_route("/plain", conflict_plainly)
    inner = APIRouter(dependencies=[Depends(current_user_id)])
    inner.add_route("/plain", conflict_plainly)
    app.mount("/inner", inner)
    app.router.routes.append(Route("/copied", conflict_plainly, middleware=[Middleware(Copying)]))
    app.mount("/copies", Copying(inner))

    assert [409, ["rollback"]] == [ask(app, path, GOOD), transaction.ended]


@pytest.mark.parametrize("path", ["/api", "/plain"])
def test_what_an_exception_handler_raises(
    app: FastAPI, transaction: Transaction, path: str
) -> None:
    """It is an error of the server, as without a guard."""

    @app.exception_handler(HTTPException)
    async def handler(_: Request, error: HTTPException) -> None:
        raise error

    app.add_api_route("/api", conflict)
    app.add_route("/plain", conflict_plainly)

    with pytest.raises(HTTPException):
        TestClient(app).get(path, headers=GOOD)
    assert ["rollback"] == transaction.ended


def test_parts_that_a_plain_endpoint_serves(app: FastAPI, transaction: Transaction) -> None:
    """What a part is refused with is no error of the endpoint."""
    parts = Router([Route("/part", conflict_plainly)])

    async def batch(request: Request) -> PlainTextResponse:
        async def nothing(_: Any) -> None: ...

        await parts({**request.scope, "path": "/part"}, request.receive, nothing)
        return PlainTextResponse(INSIDE)

    app.add_route("/batch", batch)

    assert [200, ["commit"]] == [ask(app, "/batch", GOOD), transaction.ended]


def test_what_a_mounted_application_answers(app: FastAPI, transaction: Transaction) -> None:
    """Its own exception handlers answer, whatever was asked of it before."""
    mounted = FastAPI(dependencies=[Depends(current_user_id)])
    mounted.add_api_route("/conflict", conflict)
    mounted.add_route("/plain", plain)
    app.mount("/mounted", mounted)

    answers = [ask(app, f"/mounted{path}", GOOD) for path in ("/conflict", "/plain", "/conflict")]

    assert [[409, 200, 409], ["commit"] * 3] == [answers, transaction.ended]


def test_what_a_plain_route_of_a_mounted_application_raises(
    app: FastAPI, transaction: Transaction
) -> None:
    """What applies to that application sees the error, which its exception handlers answer."""
    inside = Transaction()
    mounted = FastAPI(dependencies=[Depends(inside)])
    mounted.add_route("/plain", conflict_plainly)
    app.mount("/mounted", mounted)

    assert 409 == ask(app, "/mounted/plain", GOOD)
    assert [["rollback"], ["commit"]] == [inside.ended, transaction.ended]
