"""Serve the files of Swagger UI from npm instead of FastAPI's CDN."""

import re

import pytest

from tests.providers.identity import NODE

from .chromium import Locator, Page, expect

_FILES = NODE / "node_modules" / "swagger-ui-dist"


def open_docs(page: Page, url: str) -> None:
    """Open `/docs`, or skip the test where Swagger UI is not installed."""
    if not _FILES.is_dir():
        pytest.skip("npm install --prefix tests/providers/oidc_provider has not been run")
    page.route(
        re.compile(r"^https://cdn\.jsdelivr\.net/npm/swagger-ui-dist@5/"),
        lambda route: route.fulfill(path=_FILES / route.request.url.rpartition("/")[2]),
    )
    page.route(
        re.compile(r"^https://fastapi\.tiangolo\.com/img/favicon\.png$"),
        lambda route: route.fulfill(path=_FILES / "favicon-32x32.png"),
    )
    page.goto(f"{url}/docs")
    expect(page.locator(".opblock").first).to_be_visible()


def operations(page: Page) -> dict[str, bool]:
    """Say of each operation on the page whether it has a lock."""
    return {
        " ".join(
            block.locator(".opblock-summary-method, .opblock-summary-path").all_inner_texts()
        ): (block.locator(".authorization__btn").count() == 1)
        for block in page.locator(".opblock").all()
    }


def dialogue(page: Page, heading: str) -> Locator:
    """Press *Authorize*, and return the part of the dialogue that is below a heading."""
    page.get_by_role("button", name="Authorize").first.click()
    return page.locator(".auth-container", has=page.get_by_text(heading, exact=True))


def execute(page: Page, operation: str) -> str:
    """Open an operation, send it as it stands, and return the status that came back."""
    block = page.locator(".opblock", has=page.get_by_text(operation, exact=True)).first
    block.locator(".opblock-summary-control").click()
    tried = block.locator(".try-out button")
    if tried.inner_text() == "Try it out":  # the demo opens them so already
        tried.click()
    block.get_by_role("button", name="Execute").click()
    return (
        block.locator(".live-responses-table .response-col_status").nth(1).inner_text().split()[0]
    )
