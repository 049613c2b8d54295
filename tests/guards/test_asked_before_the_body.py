"""The guard is asked when the body is first received, and nothing else of the request changes."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.responses import Response

from jwt_deps import JWTSettings, get_claims
from jwt_deps.testing import Prover
from tests.minting import SECRET
from tests.web.serving import SETTINGS, token, who

from .asking import GOOD, INSIDE, guarded_by, kinds_of_guard, read

ORIGIN = "https://api.example.com"


def reading() -> APIRouter:
    """Make a router with a route that has a body."""
    router = APIRouter()

    @router.post("/x")
    async def x(number: Annotated[int, Body(embed=True)]) -> list[Any]:
        return [INSIDE, number]

    return router


class Unreachable:
    """A list of revoked tokens that cannot be asked."""

    def is_revoked(self, _: Mapping[str, Any]) -> bool:
        """Fail as a database that is down."""
        raise ConnectionError


@kinds_of_guard
def test_an_error_of_the_check_is_no_error_of_the_body(kind: str) -> None:
    """FastAPI would answer it with 400, as if the client were to blame."""
    router = reading()
    router.get("/x")(read)
    settings = SETTINGS.model_copy(update={"revocation": Unreachable()})
    client = TestClient(guarded_by(kind, router, settings))

    for method, sent in (("GET", None), ("POST", {"number": 1})):
        with pytest.raises(ConnectionError):
            client.request(method, "/x", headers=GOOD, json=sent)


@kinds_of_guard
def test_what_replaces_a_dependency_may_read_the_body(kind: str) -> None:
    """It is there for the route afterwards."""

    async def claims(request: Request) -> dict[str, str]:
        return {"sub": str((await request.json())["number"])}

    app = guarded_by(kind, reading())
    app.dependency_overrides[get_claims] = claims

    assert [INSIDE, 1] == TestClient(app).post("/x", json={"number": 1}).json()


class Distant:
    """A store of proofs that takes its time, as one in the network does."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    async def add_if_absent(self, key: str, _: float) -> bool:
        """Keep the proof, and answer later."""
        is_new = key not in self.known
        self.known.add(key)
        await asyncio.sleep(0.01)
        return is_new


async def connected(request: Request) -> None:
    """End the request if the client has gone: Starlette cancels what it waits for then."""
    if await request.is_disconnected():
        raise HTTPException(499)


class Connected(APIRoute):
    """A route class that asks first whether the client has gone."""

    def get_route_handler(self) -> Any:
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            await connected(request)
            answer: Response = await original(request)
            return answer

        return handler


@pytest.mark.parametrize("place", ["dependency", "route class"])
@kinds_of_guard
def test_a_proof_is_not_used_up_by_asking_whether_the_client_is_there(
    kind: str, place: str
) -> None:
    """The check of the proof is not cancelled half-way."""
    alice = Prover(ORIGIN)
    bound = token(**alice.binding)
    settings = JWTSettings(
        secret_key=SECRET, public_origin=ORIGIN, dpop="required", dpop_replay_store=Distant()
    )
    router = APIRouter(route_class=Connected if place == "route class" else APIRoute)

    router.get("/me")(who)
    inner = guarded_by(kind, router, settings)
    app = FastAPI(dependencies=[Depends(connected)] if place == "dependency" else [])
    app.include_router(inner.router) if kind != "protect" else app.mount("", inner)

    answer = TestClient(app).get("/me", headers=alice(bound, "GET", "/me"))

    assert (200, "alice") == (answer.status_code, answer.json())
