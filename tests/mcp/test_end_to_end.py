"""A client of the official SDK gets from a bare 401 to the result of a tool."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest

from jwt_deps.audit import Verdict, audit
from tests.providers.conftest import running
from tests.providers.identity import Provider
from tests.providers.oauth import REDIRECT_URI, OAuthClient, authorized
from tests.providers.programs import Program, browser, unused_port

pytest.importorskip("mcp.server.mcpserver", reason="the MCP SDK, version 2, is not installed")

from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

_UVICORN = ("-m", "uvicorn", "examples.mcp.app:app", "--host", "127.0.0.1", "--no-use-colors")
_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """Return npm's oidc-provider, which registers clients that it does not know."""
    with running("oidc-provider", tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture(scope="module")
def server(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the example, and return the URL of the MCP server in it."""
    port = unused_port()
    url = f"http://127.0.0.1:{port}/mcp"
    program = Program(
        [sys.executable, *_UVICORN, "--port", str(port)],
        ready=_RUNNING,
        log=tmp_path_factory.mktemp("mcp") / "app.log",
        environment={
            "PATH": os.environ["PATH"],
            "JWT_RESOURCE": url,
            "JWT_ISSUER": provider.issuer,
            "JWT_ALLOW_LOOPBACK": "true",
        },
    )
    try:
        program.start()
        yield url
    finally:
        program.stop()


@dataclass
class Person:
    """A user with a browser, in which the client's pages open."""

    name: str
    asked: dict[str, list[str]] = field(default_factory=dict)
    _answer: dict[str, str] = field(default_factory=dict)

    async def open(self, url: str) -> None:
        self.asked = parse_qs(urlsplit(url).query)
        with browser() as http:
            self._answer = authorized(http, http.get(url), self.name)

    async def answer(self) -> AuthorizationCodeResult:
        """Return what the provider sent to the client's redirect URI."""
        told = self._answer
        return AuthorizationCodeResult(code=told["code"], state=told["state"], iss=told["iss"])


@dataclass
class Memory:
    """Where the client keeps what it is given."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Visit:
    """What a client got, and which way it went."""

    said: str
    paths: list[str]
    person: Person
    memory: Memory


def visit(url: str, name: str) -> Visit:
    """Call the tool, knowing the server's URL and nothing else."""
    person, memory, paths = Person(name), Memory(), []

    async def note(response: httpx2.Response) -> None:
        paths.append(f"{response.status_code} {response.request.url.path}")

    async def go() -> str:
        metadata = OAuthClientMetadata.model_validate(
            {
                "redirect_uris": [REDIRECT_URI],
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code"],
            }
        )
        auth = OAuthClientProvider(url, metadata, memory, person.open, person.answer)
        hooks = {"response": [note]}
        async with httpx2.AsyncClient(auth=auth, event_hooks=hooks, trust_env=False) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport) as client:
                result = await client.call_tool("items", {})
        return str(result.content[0].text)  # type: ignore[union-attr]

    said = anyio.run(go)
    return Visit(said, paths, person, memory)


def test_from_the_challenge_to_the_answer_of_a_tool(provider: Provider, server: str) -> None:
    """401, metadata, provider, registration, login, token, tool: with nothing configured."""
    done = visit(server, "alice")

    assert "a hammer and a nail, for alice" == done.said
    discovery = ["401 /mcp", "200 /.well-known/oauth-protected-resource/mcp"]
    assert discovery == done.paths[:2]
    assert [server] == done.person.asked["resource"]
    assert ["read:items"] == done.person.asked["scope"]
    assert ["S256"] == done.person.asked["code_challenge_method"]
    assert done.memory.client is not None
    assert provider.issuer == done.memory.client.issuer


def test_a_token_for_another_resource_opens_nothing(provider: Provider, server: str) -> None:
    """Token passthrough: the provider is trusted, its token is for another audience."""
    token = OAuthClient(provider.issuer).log_in()["access_token"]
    with browser() as http:
        answer = http.post(server, headers={"Authorization": f"Bearer {token}"}, json={})

    assert 401 == answer.status_code
    challenge = answer.headers["www-authenticate"]
    where = server.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    assert challenge.startswith('Bearer error="invalid_token"')
    assert challenge.endswith(f', scope="read:items", resource_metadata="{where}"')


def test_the_audit_says_what_a_tool_call_needs(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The MCP server is a route like any other."""
    monkeypatch.setenv("JWT_RESOURCE", "https://mcp.example.com/mcp")
    monkeypatch.setenv("JWT_ISSUER", provider.issuer)
    monkeypatch.setenv("JWT_ALLOW_LOOPBACK", "true")
    monkeypatch.delitem(sys.modules, "examples.mcp.app", raising=False)
    app = import_module("examples.mcp.app").app

    routes = {route.path: route for route in audit(app).routes}

    assert (Verdict.GUARDED, ("read:items",)) == (routes["/mcp"].verdict, routes["/mcp"].scopes)
    assert Verdict.PUBLIC == routes["/.well-known/oauth-protected-resource/mcp"].verdict


def test_the_example_is_in_the_docs() -> None:
    """As it is, word by word."""
    root = Path(__file__).parents[2]

    assert (root / "examples/mcp/app.py").read_text() in (root / "docs/mcp.md").read_text()
