"""The tutorial works as written: its files are served and its commands run."""

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

from tests.cli.processes import PATIENCE, environment
from tests.documented import check_page, commands_of, shell
from tests.minting import SECRET

PAGES = sorted((Path(__file__).parent.parent / "docs" / "tutorial").glob("*.md"))
PLACE = "localhost:8000"
FILE = re.compile(r'^```python title="([\w.]+)"\n(.*?)^```', re.DOTALL | re.MULTILINE)
EXPORT = re.compile(r"^export (JWT_\w+)=([\w,]+)$", re.MULTILINE)


def files_of(page: Path) -> dict[str, str]:
    """The files that a reader saves, by their names."""
    return dict(FILE.findall(page.read_text()))


@contextmanager
def served(folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """Serve `main:app` of a folder, as `uvicorn main:app` does but on a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
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
    variables = {"JWT_SECRET_KEY": SECRET, **dict(EXPORT.findall(page.read_text()))}
    for name, text in files_of(page).items():
        (tmp_path / name).write_text(text)

    with served(tmp_path, variables) as place:
        for name, text in files_of(page).items():
            (tmp_path / name).write_text(text.replace(PLACE, place))
        run = shell(tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path)]), **variables)
        check_page(page, lambda command: run(command.replace(PLACE, place)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_of_the_tutorial_is_used(page: Path) -> None:
    """What a reader saves is served or run."""
    commands = "\n".join(commands_of(page))

    others = files_of(page).keys() - {"main.py"}

    assert set() == {name for name in others if name not in commands}
