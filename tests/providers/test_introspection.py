"""Opaque tokens of a real authorization server, introspected by a real request (RFC 7662)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import CurrentUser, Introspection, JWTSettings, protect
from tests.minting import SECRET

from .conftest import running
from .identity import Provider
from .oauth import OAuthClient


@pytest.fixture
def oidc_provider(tmp_path: Path) -> Iterator[Provider]:
    with running("oidc-provider", tmp_path) as provider:
        yield provider


def test_an_opaque_token(oidc_provider: Provider) -> None:
    """It is accepted while it is active; an unknown one is refused, and an outage is 503."""
    oauth = OAuthClient(oidc_provider.issuer)
    url = oauth.metadata()["introspection_endpoint"]
    app = protect(
        FastAPI(),
        JWTSettings(
            secret_key=SECRET, audience="https://opaque.example.com", user_id_claim="client_id"
        ),
        credentials=[
            Introspection(url, "worker", "worker-secret", allow_loopback=True, cache_seconds=0)
        ],
    )

    @app.get("/me")
    async def me(user: Annotated[CurrentUser, Depends()]) -> list[object]:
        return [user.id, sorted(user.scopes)]

    client = TestClient(app)
    token = oauth.work(resource="https://opaque.example.com")["access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    assert "." not in token
    assert ["worker", ["read:items"]] == client.get("/me", headers=headers).json()
    assert 401 == client.get("/me", headers={"Authorization": "Bearer unknown"}).status_code
    oidc_provider.stop()
    assert 503 == client.get("/me", headers=headers).status_code
