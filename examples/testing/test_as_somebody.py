"""What may whom? Asked without tokens, keys or configuration."""

import httpx2
import pytest
from fastapi.testclient import TestClient

from examples.testing.app import app
from jwt_deps.testing import acting_as


def test_everybody_has_notes_of_their_own(client: TestClient) -> None:
    with acting_as(app, "alice", scopes=["notes:write"]):
        client.post("/notes", params={"text": "Buy milk"})
        alices = client.get("/notes").json()
    with acting_as(app, "bob"):
        bobs = client.get("/notes").json()

    assert (alices, bobs) == (["Buy milk"], [])


def test_writing_needs_its_scope(client: TestClient) -> None:
    with acting_as(app, "alice", scopes=["notes:read"]):
        response = client.post("/notes", params={"text": "Buy milk"})

    assert response.status_code == 403


def test_notes_are_told(client: TestClient) -> None:
    with acting_as(app, "alice", scopes=["notes:write"]):
        client.post("/notes", params={"text": "Buy milk"})
        with client.websocket_connect("/told") as websocket:
            assert websocket.receive_text() == "Buy milk"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asynchronous_client_is_somebody_too() -> None:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        with acting_as(app, "alice"):
            response = await client.get("/notes")

    assert response.json() == []
