"""Every example in the README and the documentation runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.minting import SECRET
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


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_quick_start_does_what_it_says(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every route but the public one needs a token."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    namespace: dict[str, Any] = {"__name__": "main"}
    exec(blocks(ROOT / page)[0], namespace)  # noqa: S102 - our own page

    with TestClient(namespace["app"]) as client:
        assert (200, 401) == (client.get("/health").status_code, client.get("/me").status_code)
        assert {"user_id": "alice"} == client.get("/me", headers=bearer()).json()


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
