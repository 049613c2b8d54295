"""One browser, one profile and one demo for the tests of a module, and a page for each test."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from jwt_deps.cli.demo.api import demo_app
from jwt_deps.cli.demo.server import running
from jwt_deps.cli.demo.tokens import make_secret

if TYPE_CHECKING:  # without Playwright the modules are skipped, and this one is still read
    from playwright.sync_api import Browser, BrowserContext, Page


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


@pytest.fixture(scope="module")
def profile(browser: "Browser") -> Iterator["BrowserContext"]:
    """Return a profile; to make one for each test takes longer than most of the tests."""
    with browser.new_context() as profile:
        profile.set_default_timeout(60_000)
        yield profile


@pytest.fixture
def page(profile: "BrowserContext") -> Iterator["Page"]:
    """Return a page that no cookie of another test is sent to."""
    with profile.new_page() as page:
        yield page
    profile.clear_cookies()
