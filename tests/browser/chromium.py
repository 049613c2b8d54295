"""Start Debian's Chromium headless by Playwright, without network access."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="there is no playwright: uv sync --group dev")

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

__all__ = ["OTHER_SITE", "Browser", "Locator", "Page", "chromium", "expect", "travelling_cookies"]

EXECUTABLE = Path("/usr/bin/chromium")

#: A name of this machine that is another site than 127.0.0.1 and localhost.
OTHER_SITE = "other.test"

_FLAGS = (
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {OTHER_SITE} 127.0.0.1",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser, or skip the test where there is none."""
    if not EXECUTABLE.exists():
        pytest.skip("there is no /usr/bin/chromium: apt-get install chromium")
    expect.set_options(timeout=60_000)  # milliseconds: a slow machine is not a wrong page
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def travelling_cookies(browser: Browser, profile: Path) -> Iterator[Page]:
    """Open a page in a profile whose user lets cookies of third parties pass, as many still do."""
    preferences = {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}}
    (profile / "Default").mkdir()
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences))
    context = browser.browser_type.launch_persistent_context(
        profile, executable_path=EXECUTABLE, args=list(_FLAGS)
    )
    try:
        yield context.new_page()
    finally:
        context.close()
