"""What each user may do, tested without tokens, keys or configuration."""

import httpx2
import pytest
from fastapi.testclient import TestClient

from examples.testing.app import app
from jwt_deps.testing import acting_as


def test_users_have_separate_notes(client: TestClient) -> None:
    with acting_as(app, "alice", scopes=["notes:write"]):
        client.post("/notes", params={"text": "Buy milk"})
        alices = client.get("/notes").json()
    with acting_as(app, "bob"):
        bobs = client.get("/notes").json()

    assert (alices, bobs) == (["Buy milk"], [])


def test_writing_needs_a_scope(client: TestClient) -> None:
    with acting_as(app, "alice", scopes=["notes:read"]):
        response = client.post("/notes", params={"text": "Buy milk"})

    assert response.status_code == 403


def test_notes_over_a_websocket(client: TestClient) -> None:
    with acting_as(app, "alice", scopes=["notes:write"]):
        client.post("/notes", params={"text": "Buy milk"})
        with client.websocket_connect("/notes") as websocket:
            assert websocket.receive_text() == "Buy milk"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asynchronous_client() -> None:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        with acting_as(app, "alice"):
            response = await client.get("/notes")

    assert response.json() == []
