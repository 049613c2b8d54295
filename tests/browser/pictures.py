"""Where do the pictures in the documentation come from? From these tests, when they are asked."""

import os
from pathlib import Path

from .chromium import Page

ASSETS = Path(__file__).parents[2] / "docs" / "assets"


def picture(page: Page, name: str) -> None:
    """Photograph the page as a test has left it, with `JWT_DEPS_UPDATE_DOCS=1`."""
    if os.environ.get("JWT_DEPS_UPDATE_DOCS"):
        page.screenshot(path=ASSETS / name)
    assert (ASSETS / name).is_file(), f"{name}: run this with JWT_DEPS_UPDATE_DOCS=1"
