"""The service accepts valid tokens and refuses every kind of invalid one."""

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from jwt_deps.testing import TokenFactory, Wrong, bearer


def test_a_valid_token(client: TestClient, jwt_tokens: TokenFactory) -> None:
    response = client.get("/notes", headers=bearer(jwt_tokens("alice")))

    assert response.status_code == 200


def test_no_token(client: TestClient) -> None:
    assert (client.get("/health").status_code, client.get("/notes").status_code) == (200, 401)


@pytest.mark.parametrize("wrong", TokenFactory().ways)
def test_an_invalid_token(client: TestClient, jwt_tokens: TokenFactory, wrong: Wrong) -> None:
    response = client.get("/notes", headers=bearer(jwt_tokens("alice", wrong=wrong)))

    assert response.status_code == 401


def test_a_websocket_with_an_expired_token(client: TestClient, jwt_tokens: TokenFactory) -> None:
    headers = bearer(jwt_tokens("alice", wrong=Wrong.EXPIRED))

    with (
        pytest.raises(WebSocketDenialResponse) as refusal,
        client.websocket_connect("/notes", headers=headers),
    ):
        pass

    assert refusal.value.status_code == 401
