"""One browser for the tests of a module, a profile and a demo for each."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from jwt_deps.demo.api import demo_app
from jwt_deps.demo.server import running
from jwt_deps.demo.tokens import make_secret

from .chromium import chromium


# Not for the session: as long as Playwright runs, no other test can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return the browser."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def url() -> Iterator[str]:
    """Return where a demo of the test's own is served."""
    with running(demo_app(make_secret())) as url:
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return a page with cookies of its own."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()
