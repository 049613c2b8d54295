"""The documentation is readable on a phone and at a desk, and its search finds answers."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest

from jwt_deps import __version__
from tests.browser.chromium import Browser, expect

ROOT = Path(__file__).parents[2]
PHONE, DESK = 390, 1280

#: What people look for, and the page that answers.
SEARCHES = {
    "HTTPBearer": "moving/other-packages/",
    ".env": "settings/",
    "refresh token": "how-to/log-in/",
    "Keycloak": "providers/",
    "CORS": "troubleshooting/",
    "current_user_id": "reference/",
    "PyJWT": "moving/other-packages/",
    "fastapi-users": "moving/other-packages/",
    "dotenv": "settings/",
    "blacklist": "revocation/",
    "performance": "speed/",
}


#: How many blocks of code have to be moved sideways.
_CUT_CODE = """[...document.querySelectorAll(".md-typeset pre > code")]
    .filter((code) => code.scrollWidth > code.clientWidth + 1).length"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """Serve the built site: its address, and its pages."""
    folder = tmp_path_factory.mktemp("site")
    # Not `--quiet`, with which MkDocs counts no warnings, and `--strict` does nothing.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(  # noqa: S603 - our own pages
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    pages = [path.parent.relative_to(folder).as_posix() for path in folder.rglob("index.html")]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sorted(pages)
    server.shutdown()
    server.server_close()


def test_no_page_is_wider_than_the_screen(browser: Browser, site: tuple[str, list[str]]) -> None:
    """Nothing has to be moved sideways, and nothing is asked of another host."""
    address, pages = site
    asked: list[str] = []
    too_wide: list[tuple[str, int]] = []
    cut: list[tuple[str, int]] = []
    with browser.new_page() as view:
        view.on("request", lambda request: asked.append(request.url))
        # Each page would make an index of it, for a search that there is none of here.
        view.route("**/search_index.json", lambda route: route.abort())
        for page in pages:
            view.set_viewport_size({"width": DESK, "height": 844})
            view.goto(f"{address}/{page}/", wait_until="load")
            for width in (DESK, PHONE):
                view.set_viewport_size({"width": width, "height": 844})
                if view.evaluate("document.documentElement.scrollWidth") > width:
                    too_wide.append((page, width))
                if view.evaluate(_CUT_CODE):
                    cut.append((page, width))

    assert [] == too_wide
    assert [] == cut
    assert [] == [url for url in asked if not url.startswith((address, "data:"))]


def test_search(browser: Browser, site: tuple[str, list[str]]) -> None:
    """The page that answers is among the first results."""
    address, _ = site
    missed: dict[str, list[str]] = {}
    with browser.new_page(viewport={"width": DESK, "height": 844}) as view:
        results = view.locator(".md-search-result__item > a")
        for words, page in SEARCHES.items():
            view.goto(f"{address}/?q={quote(words)}")
            expect(results.first).to_be_visible()
            found = [result.get_attribute("href") or "" for result in results.all()[:5]]
            if not any(f"/{page}" in it for it in found):
                missed[words] = found

    assert {} == missed


def test_the_version_at_the_foot() -> None:
    """It is that of the package."""
    assert f"copyright: jwt-deps {__version__} " in (ROOT / "mkdocs.yml").read_text()
