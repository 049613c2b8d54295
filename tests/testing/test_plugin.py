"""The pytest fixtures, and their cost where they are not used."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, protected_router
from jwt_deps.audit import audit
from jwt_deps.testing import FakeIssuer, TokenFactory, VirtualClock, bearer
from tests.verifying import verify

ROOT = Path(__file__).parents[2]
SUITE = """
import sys

def test_before():
    assert "jwt_deps" not in sys.modules

def test_tokens(jwt_tokens, jwt_settings):
    import asyncio
    from jwt_deps.tokens.verify import verify
    verified = asyncio.run(verify(jwt_tokens("alice"), jwt_settings))
    assert verified.claims["sub"] == "alice"
"""

SETTING_VARIABLES = """
import os
from unittest import mock

import pytest
from jwt_deps import get_settings

@pytest.fixture
def at_alices(monkeypatch):
    monkeypatch.setenv("JWT_SECRET_KEY", "a" * 32)
    monkeypatch.setenv("JWT_AUDIENCE", "alices")

@pytest.fixture(scope="session")
def kept():
    return get_settings()

def test_fixture(at_alices):
    assert "alices" == get_settings().audience

def test_none_of_the_fixture():
    assert "JWT_AUDIENCE" not in os.environ
    with mock.patch.dict(os.environ, {"JWT_SECRET_KEY": "b" * 32, "JWT_AUDIENCE": "bobs"}):
        assert "bobs" == get_settings().audience

def test_none_of_the_block(monkeypatch):
    monkeypatch.setenv("JWT_SECRET_KEY", "c" * 32)
    assert None is get_settings().audience

@pytest.mark.parametrize("again", [False, True])
def test_what_a_session_has_stays(kept, again, monkeypatch):
    monkeypatch.setenv("OTHER", "1")
    assert kept is get_settings()
"""


@pytest.fixture
def app(jwt_settings: JWTSettings) -> FastAPI:
    router = APIRouter()

    @router.get("/")
    async def something() -> str:
        return "something"

    app = FastAPI()
    app.include_router(protected_router(router, settings=jwt_settings))
    return app


def test_tokens_and_settings_belong_together(
    jwt_tokens: TokenFactory, jwt_settings: JWTSettings
) -> None:
    assert "alice" == verify(jwt_tokens("alice"), jwt_settings)["sub"]


def test_the_issuer_answers_over_http(jwt_issuer: FakeIssuer) -> None:
    assert jwt_issuer.issuer.startswith("http://127.0.0.1:")


def test_the_clock_stands_at_the_present(jwt_clock: VirtualClock) -> None:
    """So that tokens by it are good now."""
    tokens = TokenFactory(clock=jwt_clock)

    assert "alice" == verify(tokens("alice"), tokens.settings)["sub"]


def test_acting_lasts_as_long_as_the_test(
    app: FastAPI, jwt_acting_as: Callable[..., None], jwt_tokens: TokenFactory
) -> None:
    client = TestClient(app)
    before = [
        client.get("/", headers=headers).status_code for headers in ({}, bearer(jwt_tokens()))
    ]
    jwt_acting_as(app, "alice")

    assert ([401, 200], 200) == (before, client.get("/").status_code)


def test_the_audit(jwt_audit: Callable[..., Any]) -> None:
    """It is that of `jwt_deps.audit`."""
    assert audit is jwt_audit


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a project that is not this one."""
    environment = {name: text for name, text in os.environ.items() if "COV" not in name}
    return subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_project_has_them_at_once(tmp_path: Path) -> None:
    """By the entry point, and nothing of the package is imported before a fixture is used."""
    # A checkout that was installed before it had the entry point names the plugin.
    installed = entry_points(group="pytest11", name="pytest_jwt_deps")
    options = () if installed else ("-p", "pytest_jwt_deps")
    (tmp_path / "test_it.py").write_text(SUITE)

    done = pytest_in(tmp_path, *options, "test_it.py")

    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert "2 passed" in done.stdout


def test_no_test_reads_the_environment_of_another(tmp_path: Path) -> None:
    """Wherever that sets its variables; and what a session has read stays where they are equal."""
    (tmp_path / "test_it.py").write_text(SETTING_VARIABLES)
    (tmp_path / "conftest.py").write_text(
        "import os; os.environ.setdefault('JWT_SECRET_KEY', 'd' * 32)"
    )

    done = pytest_in(tmp_path, "-p", "pytest_jwt_deps", "test_it.py")

    assert "5 passed" in done.stdout, done.stdout


def test_the_example_passes() -> None:
    """As its reader would run it."""
    done = pytest_in(ROOT, "-p", "pytest_jwt_deps", "examples/testing")

    assert (0, "") == (done.returncode, done.stderr), done.stdout


def test_no_test_framework_is_needed() -> None:
    """`jwt_deps.testing` can be used without pytest."""
    code = "import sys; sys.modules['pytest'] = None; import jwt_deps.testing"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)  # noqa: S603 - our own

    assert 0 == done.returncode
