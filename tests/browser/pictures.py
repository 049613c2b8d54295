"""Take the pictures of the documentation, on request."""

import os
from pathlib import Path

from .chromium import Locator, Page

ASSETS = Path(__file__).parents[2] / "docs" / "assets"


def picture(view: Page | Locator, name: str) -> None:
    """Photograph what a test has brought about, with `JWT_DEPS_UPDATE_DOCS=1`."""
    if os.environ.get("JWT_DEPS_UPDATE_DOCS"):
        view.screenshot(path=ASSETS / name)
    assert (ASSETS / name).is_file(), f"{name}: run this with JWT_DEPS_UPDATE_DOCS=1"
