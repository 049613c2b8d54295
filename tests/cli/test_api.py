"""The demo's API, apart from what the scenario shows of it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from jwt_deps.cli.demo.api import demo_app
from jwt_deps.cli.demo.server import running
from jwt_deps.cli.demo.tokens import demo_tokens, make_secret

from .processes import PATIENCE, environment

SCHEMATHESIS = "from schemathesis.cli import schemathesis; schemathesis()"
PUBLIC = {"/health", "/logout"}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation of the schema, by method and path."""
    app = demo_app(make_secret())
    with TestClient(app):
        paths = app.openapi()["paths"]
    return {
        (method, path): operation
        for path, item in paths.items()
        for method, operation in item.items()
    }


def test_locks() -> None:
    """OpenAPI shows a lock on every guarded route and on no public one."""
    locked = {path for (_, path), operation in operations().items() if operation.get("security")}
    paths = {path for _, path in operations()}

    assert locked == {"/me", "/notes", "/admin/notes", "/login"}
    assert paths - locked == PUBLIC


def test_authorize() -> None:
    """*Authorize* offers the bearer token, which is what the description says to paste."""
    schema = demo_app(make_secret()).openapi()

    assert schema["components"]["securitySchemes"]["JWT"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    assert "**JWT (http, Bearer)**" in schema["info"]["description"]


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_openapi_is_true(tmp_path: Path) -> None:
    """Schemathesis finds no answer that the document does not promise, and no lock that is open."""
    secret = make_secret()
    with running(demo_app(secret)) as url:
        done = subprocess.run(  # noqa: S603 - an own command
            [
                *(sys.executable, "-c", SCHEMATHESIS, "run", f"{url}/openapi.json"),
                *("--header", f"Authorization: Bearer {demo_tokens(secret)['admin']}"),
                *("--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "1"),
                # Starlette answers a wrong method with that of the first of several routes.
                *("--exclude-checks", "allow_header_conformance", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=PATIENCE,
            check=False,
        )

    assert 0 == done.returncode, done.stdout


def test_every_operation_is_explained() -> None:
    """Each has a tag that is described, and a sentence."""
    schema = demo_app(make_secret()).openapi()
    described = {tag["name"] for tag in schema["tags"]}

    assert {tag for operation in operations().values() for tag in operation["tags"]} == described
    assert all(operation["description"].endswith(".") for operation in operations().values())


def test_page() -> None:
    """The front page and its files need no token and allow no script but their own."""
    with TestClient(demo_app(make_secret())) as client:
        answers = [client.get(path) for path in ("/", "/demo/page.js", "/demo/page.css")]
        docs = client.get("/docs")
        elsewhere = client.get("/demo/index.html")

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
    assert "innerHTML" not in answers[1].text
    assert "swagger-ui" in docs.text
    assert elsewhere.status_code == 422


def test_page_offers_tokens() -> None:
    """Each gets from `/me` the answer that its name says; no cache stores them."""
    with TestClient(demo_app(make_secret())) as client:
        answer = client.get("/demo/tokens")
        statuses = {
            name: client.get(
                "/me", headers={"Authorization": f"Bearer {token}"} if token else {}
            ).status_code
            for name, token in answer.json().items()
        }

    assert answer.headers["cache-control"] == "no-store"
    assert statuses == {
        "alice, scope notes": 200,
        "grace, scopes notes and admin": 200,
        "bob, no scope": 200,
        "alice, expired": 401,
        "alice, tampered with": 401,
        "no token": 401,
    }


def test_page_shows_injected_claims() -> None:
    """Those of the token that the guard let pass; of another one, and without one, none."""
    secret = make_secret()
    tokens = demo_tokens(secret)
    with TestClient(demo_app(secret)) as client:
        good, expired = (
            client.get("/demo/claims", headers={"Authorization": f"Bearer {tokens[name]}"})
            for name in ("admin", "expired")
        )
        without = client.get("/demo/claims")

    assert (good.json()["sub"], good.headers["cache-control"]) == ("grace", "no-store")
    assert (expired.status_code, without.status_code) == (401, 401)
    assert "alice" not in expired.text


def test_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that is set up for another application does not change the demo."""
    for name, value in (
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_ALGORITHM", "RS256"),
        ("JWT_COOKIE_NAME", "other"),
        ("JWT_VALIDATE", "false"),
    ):
        monkeypatch.setenv(name, value)
    secret = make_secret()

    with TestClient(demo_app(secret)) as client:
        client.headers["Authorization"] = f"Bearer {demo_tokens(secret)['user']}"
        me = client.get("/me")
        nobody = client.get("/me", headers={"Authorization": "Bearer nonsense"})

    assert me.json() == {"id": "alice", "session_id": "alice-1", "scopes": ["notes"]}
    assert nobody.status_code == 401


def test_notes_belong_to_their_user() -> None:
    """Each user reads their own notes, an admin all of them; a note can be too long."""
    secret = make_secret()
    tokens = demo_tokens(secret)
    alice = {"Authorization": f"Bearer {tokens['user']}"}
    grace = {"Authorization": f"Bearer {tokens['admin']}"}

    with TestClient(demo_app(secret)) as client:
        written = client.post("/notes", json={"text": "Buy milk"}, headers=alice)
        too_long = client.post("/notes", json={"text": "x" * 201}, headers=alice)
        of_grace = client.get("/notes", headers=grace)
        of_all = client.get("/admin/notes", headers=grace)

    assert written.status_code == 201
    assert too_long.status_code == 422
    assert of_grace.json() == []
    assert of_all.json() == {"alice": [{"text": "Buy milk"}]}


def test_apps_share_nothing() -> None:
    """Two demos in one process have their own secrets and their own notes."""
    secret, other = make_secret(), make_secret()
    headers = {"Authorization": f"Bearer {demo_tokens(secret)['user']}"}

    with TestClient(demo_app(secret)) as client, TestClient(demo_app(other)) as stranger:
        client.post("/notes", json={"text": "Buy milk"}, headers=headers)
        here = client.get("/notes", headers=headers)
        there = stranger.get("/notes", headers=headers)

    assert here.json() == [{"text": "Buy milk"}]
    assert there.status_code == 401
