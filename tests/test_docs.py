"""Every example in the README and the documentation runs."""

import re
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient

from tests.minting import SECRET, mint
from tests.web.serving import bearer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda p: p.name)
def test_every_example_runs(page: Path) -> None:
    """In the order of its page, as a reader would paste it."""
    namespace: dict[str, Any] = {"__name__": page.stem}

    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)  # noqa: S102 - our own pages


def _application(page: str, number: int) -> TestClient:
    """An application as a block of a page makes it."""
    namespace: dict[str, Any] = {"__name__": "main"}
    exec(blocks(ROOT / page)[number], namespace)  # noqa: S102 - our own page
    return TestClient(namespace["app"], raise_server_exceptions=False)


@pytest.mark.parametrize(("page", "number"), [("README.md", 0), ("docs/index.md", 1)])
def test_the_quick_start_does_what_it_says(
    page: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every route but the public one needs a token."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

    with _application(page, number) as client:
        assert (200, 401) == (client.get("/health").status_code, client.get("/me").status_code)
        assert {"user_id": "alice"} == client.get("/me", headers=bearer()).json()
        assert 403 == client.get("/reports", headers=bearer()).status_code
        assert 200 == client.get("/reports", headers=bearer(scope="reports:read")).status_code


def test_the_middleware_of_the_first_page_is_as_it_says() -> None:
    """The page says what it lacks."""
    key = "a secret of at least thirty-two bytes"
    client = _application("docs/index.md", 0)
    app = cast("FastAPI", client.app)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    good = {"sub": "alice", "scope": "reports:read"}

    def statuses(**claims: Any) -> list[int]:
        headers = {"Authorization": f"Bearer {mint(claims, key)}"}
        return [client.get(path, headers=headers).status_code for path in ("/me", "/reports")]

    assert [200, 200] == statuses(**good)  # for ever: there is no `exp`
    assert [200, 403] == statuses(**good | {"scope": "other"})
    assert [500, 500] == statuses(sub="alice")
    assert (200, 401) == (client.get("/health").status_code, client.get("/me").status_code)
    with client.websocket_connect("/socket"):
        pass
    assert "security" not in app.openapi()["paths"]["/me"]["get"]


def test_the_readme_has_its_two_commands() -> None:
    """The ones that `.ci/run` calls."""
    readme, gate = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()

    demo = "python3 -m venv .venv && .venv/bin/pip install -e '.[cli]' && .venv/bin/jwt-deps demo"

    assert f"{demo}\n" in readme
    assert demo in gate
    assert "pip install uv && uv run pytest -n auto\n" in readme
    assert "uv run pytest -n auto\n" in gate


def test_the_gate_begins_with_the_lowest_fastapi() -> None:
    """The one that the package and its README name."""
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    fastapi = next(it for it in package["dependencies"] if it.startswith("fastapi"))
    floor = fastapi.removeprefix("fastapi>=").partition(",")[0]

    assert f"older=({floor} " in (ROOT / ".ci" / "run").read_text()
    assert f"FastAPI {floor} or newer" in (ROOT / "README.md").read_text()
