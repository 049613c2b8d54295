"""The page of the demo in a real browser."""

import logging
import re
from pathlib import Path
from typing import Literal

import pytest
from fastapi import Response

from jwt_deps import set_token_cookie
from jwt_deps.cli.demo.api import demo_app
from jwt_deps.cli.demo.server import running
from jwt_deps.cli.demo.tokens import demo_tokens, make_secret

from .chromium import OTHER_SITE, Browser, Page, expect, travelling_cookies
from .pictures import picture

_POST_A_NOTE = """async (url) => {
    const answer = await fetch(url + "/notes", {
        method: "POST", mode: "no-cors", credentials: "include", body: "{}",
    });
    return answer.type;
}"""
_GET_THE_NOTES = """async (url) => {
    await fetch(url + "/notes", { mode: "no-cors", credentials: "include" });
}"""
_OPEN_A_WEBSOCKET = """(url) => new Promise((resolve) => {
    const socket = new WebSocket(url.replace("http", "ws") + "/ws");
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => resolve("refused");
})"""


NONE = "none: refused with 401"


@pytest.mark.parametrize(
    ("token", "route", "status", "challenge", "claims"),
    [
        pytest.param("no token", "GET /health", "200", "none", NONE, id="public"),
        pytest.param("alice, scope notes", "GET /me", "200", "none", '"sub": "alice"', id="user"),
        pytest.param("alice, scope notes", "POST /notes", "201", "none", '"alice"', id="written"),
        pytest.param("no token", "GET /me", "401", 'Bearer realm="api"', NONE, id="no-token"),
        pytest.param("alice, expired", "GET /me", "401", "expired", NONE, id="expired"),
        pytest.param("alice, tampered with", "GET /me", "401", "signature", NONE, id="tampered"),
    ],
)
def test_pick_and_send(
    page: Page, url: str, token: str, route: str, status: str, challenge: str, claims: str
) -> None:
    """Status, challenge and claims are those of the guard; the keyboard is enough to send."""
    page.goto(url)
    page.get_by_label("Token", exact=True).select_option(token)
    page.get_by_label("Route").select_option(route)
    page.get_by_role("button", name="Send").press("Enter")

    expect(page.locator("#status")).to_have_text(status)
    expect(page.locator("#challenge")).to_contain_text(challenge)
    expect(page.locator("#claims")).to_contain_text(claims)


@pytest.mark.parametrize(
    ("token", "route", "status", "other", "header"),
    [
        pytest.param("alice, scope notes", "GET /me", "200", "401", False, id="accepted"),
        pytest.param("alice, expired", "GET /me", "401", "200", True, id="refused"),
        pytest.param("bob, no scope", "GET /admin/notes", "403", "200", True, id="scope"),
        pytest.param("no token", "GET /health", "200", "200", False, id="public"),
    ],
)
def test_the_same_request_beside_it(
    page: Page, url: str, token: str, route: str, status: str, other: str, *, header: bool
) -> None:
    """Without a token where it was accepted, with the administrator's where it was refused."""
    page.goto(url)
    page.get_by_label("Token", exact=True).select_option(token)
    page.get_by_label("Route").select_option(route)
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#other-status")).to_have_text(other)
    expect(page.locator("#status")).to_have_text(status)
    assert header == ("Authorization" in (page.locator("#other-sent").text_content() or ""))


def test_without_the_cookie_beside_it(page: Page, url: str) -> None:
    """A user who is logged in sees that nothing but the cookie makes the difference."""
    log_in(page, url)
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#other-status")).to_have_text("401")
    expect(page.locator("#status")).to_have_text("200")


def test_click_before_the_tokens_have_come(page: Page, url: str) -> None:
    """The buttons wait for the tokens: a fast click sends the token that is shown, not none."""
    page.add_init_script(
        "const ask = fetch; window.fetch = async (...sent) => {"
        " if (sent[0] === '/demo/tokens') await new Promise((go) => setTimeout(go, 1000));"
        " return ask(...sent); };"
    )

    page.goto(url)
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#status")).to_have_text("200")


def test_websocket_with_the_subprotocol_pair(page: Page, url: str) -> None:
    """The page's own script offers `bearer, <token>` and is greeted."""
    page.goto(url)
    page.get_by_role("button", name="Open a WebSocket").click()

    expect(page.locator("#status")).to_have_text("101")
    expect(page.locator("#body")).to_contain_text("alice: ping")


def go_to_a_page_from(url: str, page: Page) -> None:
    # Not the demo's own page, whose policy forbids it to ask elsewhere.
    page.goto(f"{url}/health")


def statuses(page: Page) -> list[int]:
    answered: list[int] = []
    page.on("response", lambda answer: answered.append(answer.status))
    return answered


def log_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Log in by cookie").click()
    expect(page.locator("#status")).to_have_text("204")
    page.get_by_label("Token", exact=True).select_option("no token")


def test_cookie(page: Page, url: str) -> None:
    """Once logged in, neither a request nor the claims need a token; once logged out, both do."""
    log_in(page, url)
    expect(page.locator("#claims")).to_contain_text('"sub": "alice"')
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#status")).to_have_text("200")

    page.get_by_role("button", name="Log out").click()
    expect(page.locator("#status")).to_have_text("204")
    expect(page.locator("#claims")).to_have_text(NONE)
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#status")).to_have_text("401")


@pytest.mark.parametrize(
    ("host", "status", "reason"),
    [
        # The cookie is `SameSite=Strict`, so the browser keeps it to itself.
        pytest.param(OTHER_SITE, 401, "missing", id="another-site"),
        # Another port is the same site, and gets it: it is the demo that refuses.
        pytest.param("127.0.0.1", 403, "cross_site", id="second-port"),
    ],
)
def test_page_from_elsewhere(
    page: Page, url: str, host: str, status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the cookie of a user who is logged in, it can neither POST nor open a WebSocket."""
    caplog.set_level(logging.INFO, logger="jwt_deps")
    log_in(page, url)
    with running(demo_app(make_secret())) as second:
        go_to_a_page_from(second.replace("127.0.0.1", host), page)
        answered = statuses(page)
        page.evaluate(_POST_A_NOTE, url)
        greeting = page.evaluate(_OPEN_A_WEBSOCKET, url)

    assert [status] == answered
    assert "refused" == greeting
    assert [reason, reason] == re.findall(r"reason=(\w+)", caplog.text)


def test_own_page(page: Page, url: str) -> None:
    """The demo's own page may do both with the cookie."""
    log_in(page, url)
    page.get_by_label("Route").select_option("POST /notes")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#status")).to_have_text("201")

    page.get_by_role("button", name="Open a WebSocket").click()

    expect(page.locator("#status")).to_have_text("101")
    expect(page.locator("#body")).to_contain_text("Hello, alice")


def test_cookie_that_goes_everywhere(
    browser: Browser, secret: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With `SameSite=None` the browser sends it from another site too, and the guard refuses."""
    caplog.set_level(logging.INFO, logger="jwt_deps")
    app = demo_app(secret)

    @app.post("/login-everywhere", status_code=204)
    async def login(response: Response) -> None:
        token = demo_tokens(secret)["user"]
        # `Secure`, which the browser takes from loopback without TLS as well.
        set_token_cookie(response, token, app.state.settings, samesite="none")

    with (
        running(app) as url,
        running(demo_app(make_secret())) as second,
        travelling_cookies(browser, tmp_path) as page,
    ):
        page.goto(url)
        page.evaluate("fetch('/login-everywhere', { method: 'POST' })")
        go_to_a_page_from(second.replace("127.0.0.1", OTHER_SITE), page)
        answered = statuses(page)
        page.evaluate(_GET_THE_NOTES, url)
        page.evaluate(_POST_A_NOTE, url)
        greeting = page.evaluate(_OPEN_A_WEBSOCKET, url)

    # That the notes are read, by a page that sees nothing of them, shows that the cookie came.
    assert [200, 403] == answered
    assert "refused" == greeting
    assert ["cross_site", "cross_site"] == re.findall(r"reason=(\w+)", caplog.text)


def test_want_of_a_scope(page: Page, url: str) -> None:
    """The token is good, its claims are there, and the challenge names what it lacks."""
    page.set_viewport_size({"width": 1000, "height": 1010})
    page.goto(url)
    page.get_by_label("Token", exact=True).select_option("bob, no scope")
    page.get_by_label("Route").select_option("GET /admin/notes")
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#claims")).to_contain_text('"sub": "bob"')
    expect(page.locator("#challenge")).to_contain_text('scope="admin"')
    expect(page.locator("#other-status")).to_have_text("200")
    picture(page, "demo.png")


def test_nothing_breaks_the_policy(page: Page, url: str) -> None:
    """The content security policy stops nothing that the page needs."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(url)
    expect(page.locator("#claims")).to_contain_text(re.compile('"sub": "alice"'))

    assert [] == complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow(page: Page, url: str, scheme: Literal["light", "dark"]) -> None:
    """Nothing is wider than a phone of 390 px."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.goto(url)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#status")).to_have_text("200")
    expect(page.locator("#other-status")).to_have_text("401")
    widest = page.evaluate("document.documentElement.scrollWidth")
    if scheme == "light":
        page.set_viewport_size({"width": 390, "height": 1420})
        picture(page, "demo-narrow.png")

    assert 390 == widest
