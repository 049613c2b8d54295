"""The documentation is readable on a phone."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.browser.chromium import chromium

ROOT = Path(__file__).parents[2]
PHONE, DESK = 390, 1280


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """Serve the built site: its address, and its pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True)  # noqa: S603 - our own pages
    pages = [path.parent.relative_to(folder).as_posix() for path in folder.rglob("index.html")]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sorted(pages)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_no_page_is_wider_than_the_screen(site: tuple[str, list[str]], width: int) -> None:
    """Nothing has to be moved sideways, and nothing is asked of another host."""
    address, pages = site
    asked: list[str] = []
    too_wide: list[str] = []
    with chromium() as browser:
        view = browser.new_page(viewport={"width": width, "height": 844})
        view.on("request", lambda request: asked.append(request.url))
        for page in pages:
            view.goto(f"{address}/{page}/", wait_until="load")
            if view.evaluate("document.documentElement.scrollWidth") > width:
                too_wide.append(page)

    assert [] == too_wide
    assert [] == [url for url in asked if not url.startswith((address, "data:"))]
