"""One browser and one demo for the tests of a module, a profile for each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from jwt_deps.cli.demo.api import demo_app
from jwt_deps.cli.demo.server import running
from jwt_deps.cli.demo.tokens import make_secret

if TYPE_CHECKING:  # without Playwright the modules are skipped, and this one is still read
    from playwright.sync_api import Browser, Page


# Not for the session: as long as Playwright runs, no other test can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from .chromium import chromium  # noqa: PLC0415 - it skips what imports it

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def secret() -> str:
    """Return what the tokens of the demo are signed with."""
    return make_secret()


@pytest.fixture(scope="module")
def url(secret: str) -> Iterator[str]:
    """Return where the demo is served."""
    with running(demo_app(secret)) as url:
        yield url


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """Return a page with cookies of its own."""
    context = browser.new_context()
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()
