"""The demo's Swagger UI in a real browser: locks, and a token in *Authorize*."""

from jwt_deps.cli.demo.tokens import demo_tokens

from .chromium import Page, expect
from .pictures import picture
from .swagger import dialogue, execute, open_docs, operations


def test_locks(page: Page, url: str) -> None:
    """Exactly the guarded routes have one."""
    open_docs(page, url)

    assert {
        "GET /health": False,
        "GET /me": True,
        "GET /notes": True,
        "POST /notes": True,
        "GET /admin/notes": True,
        "POST /login": True,
        "POST /logout": False,
    } == operations(page)


def test_without_a_token(page: Page, url: str) -> None:
    """The guarded route is refused, the public one answers."""
    open_docs(page, url)

    assert ("401", "200") == (execute(page, "/me"), execute(page, "/health"))


def test_authorize_with_a_pasted_token(page: Page, url: str, secret: str) -> None:
    """Paste it, press *Authorize*, *Close* and *Execute*: 200, and the lock is closed."""
    page.set_viewport_size({"width": 1000, "height": 1420})
    open_docs(page, url)
    bearer = dialogue(page, "JWT")
    bearer.get_by_role("textbox").fill(demo_tokens(secret)["user"])
    bearer.get_by_role("button", name="Apply credentials").click()
    bearer.get_by_role("button", name="Close").click()

    assert "200" == execute(page, "/me")
    block = page.locator("#operations-user-me_me_get")
    expect(block.locator(".live-responses-table")).to_contain_text('"id": "alice"')
    expect(block.get_by_role("button", name="authorization button locked")).to_be_visible()
    page.evaluate("window.scrollTo(0, 0)")
    picture(page, "docs.png")
