"""The tutorial and the first test work as written: files are served and commands run."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jwt_deps import JWTSettings
from tests.cli.processes import PATIENCE, environment
from tests.documented import check_page, commands_of, shell
from tests.minting import SECRET
from tests.test_quick_start import free_port

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [*sorted((DOCS / "tutorial").glob("*.md")), DOCS / "testing.md"]
PLACE, ISSUER = "localhost:8000", "localhost:9000"
FILE = re.compile(r'^```python title="([\w.]+)"\n(.*?)^```', re.DOTALL | re.MULTILINE)
EXPORT = re.compile(r"^export (JWT_\w+)=(\S+)$", re.MULTILINE)


def files_of(page: Path) -> dict[str, str]:
    """The files that a reader saves, by their names."""
    return dict(FILE.findall(page.read_text()))


@contextmanager
def provided(folder: Path) -> Iterator[str]:
    """Serve the issuer that a reader saves, if there is one, and not on the port of the page."""
    if not (folder / "issuer.py").exists():
        yield ISSUER
        return
    port = free_port()
    _replace(folder / "issuer.py", "9000", str(port))
    issuer = subprocess.Popen(
        [sys.executable, "issuer.py"], cwd=folder, env=environment(), stdout=subprocess.DEVNULL
    )
    try:
        _until_it_listens(issuer, port)
        yield f"localhost:{port}"
    finally:
        issuer.terminate()
        issuer.wait(PATIENCE)


@contextmanager
def served(folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """Serve `main:app` of a folder, as `uvicorn main:app` does but on a port that is free."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port)]
    server = subprocess.Popen(  # noqa: S603 - our own server
        [*command, "--log-level", "warning"], cwd=folder, env=environment(**variables)
    )
    try:
        _until_it_listens(server, port)
        yield f"localhost:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _replace(file: Path, text: str, by: str) -> None:
    file.write_text(file.read_text().replace(text, by))


def _until_it_listens(server: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail("the application of the tutorial does not serve")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tutorial(page: Path, tmp_path: Path) -> None:
    """Every command of a page prints what the page shows."""
    files = files_of(page)
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with provided(tmp_path) as issuer:
        secret = {} if "issuer.py" in files else {"JWT_SECRET_KEY": SECRET}
        exported = EXPORT.findall(page.read_text().replace(ISSUER, issuer))
        variables = {**secret, **dict(exported)}
        with served(tmp_path, variables) as place:
            for name in files:
                _replace(tmp_path / name, PLACE, place)
            run = shell(tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path)]), **variables)
            check_page(
                page, lambda command: run(command.replace(PLACE, place)).replace(issuer, ISSUER)
            )


def test_the_settings_of_each_provider_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in the tabs, whose keys are not there."""
    page = next(page for page in PAGES if page.stem == "provider").read_text()
    tabs = re.findall(r"^    ```ini\n(.*?)^    ```", page, re.DOTALL | re.MULTILINE)

    assert 3 == len(tabs)
    for tab in tabs:
        with monkeypatch.context() as environment_:
            for line in tab.split():
                environment_.setenv(*line.split("=", 1))
            assert JWTSettings().discovery


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_of_the_tutorial_is_used(page: Path) -> None:
    """What a reader saves is served or run."""
    commands = "\n".join(commands_of(page))

    others = files_of(page).keys() - {"main.py", "issuer.py"}

    assert set() == {name for name in others if name not in commands}
