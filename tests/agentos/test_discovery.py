"""An AgentOS with the keys and the users of a real provider, found by discovery."""

from pathlib import Path

from fastapi.testclient import TestClient

from jwt_deps import JWTSettings
from jwt_deps.agentos import protect_agent_os
from tests.providers.conftest import running
from tests.providers.identity import API
from tests.providers.oauth import OAuthClient

from .side_by_side import agent_os


def test_user_of_a_provider_does_what_the_scope_allows(tmp_path: Path) -> None:
    """Scopes are in `scope` there, and the provider's own names can be asked for."""
    with running("authlib", tmp_path) as provider:
        settings = JWTSettings(
            issuer=provider.issuer,
            discovery=True,
            allow_loopback=True,
            audience=API,
            scopes_claim="scope",
        )
        app = protect_agent_os(
            agent_os(), settings, scope_mappings={"GET /sessions": ["read:items"]}
        )
        tokens = OAuthClient(provider.issuer).log_in(scope="openid read:items")
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        with TestClient(app) as client:
            answers = [
                client.get(path, headers=headers).status_code
                for path in ("/sessions?type=agent", "/config", "/agents/helper")
            ]

    assert [200, 403, 403] == answers
