"""Does the demo's page show, in a real browser, what the toolkit does?"""

import logging
import re

import pytest

from jwt_deps.demo.api import demo_app
from jwt_deps.demo.server import running
from jwt_deps.demo.tokens import make_secret

from .chromium import OTHER_SITE, Browser, Page, expect

_POST_A_NOTE = """async (url) => {
    const answer = await fetch(url + "/notes", {
        method: "POST", mode: "no-cors", credentials: "include", body: "{}",
    });
    return answer.type;
}"""
_OPEN_A_WEBSOCKET = """(url) => new Promise((resolve) => {
    const socket = new WebSocket(url.replace("http", "ws") + "/ws");
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => resolve("refused");
})"""


@pytest.mark.parametrize(
    ("token", "route", "status", "challenge"),
    [
        pytest.param("no token", "GET /health", "200", "none", id="public"),
        pytest.param("alice, scope notes", "GET /me", "200", "none", id="user"),
        pytest.param("alice, scope notes", "POST /notes", "201", "none", id="written"),
        pytest.param("no token", "GET /me", "401", 'Bearer realm="api"', id="no-token"),
        pytest.param("alice, expired", "GET /me", "401", "expired", id="expired"),
        pytest.param("alice, tampered with", "GET /me", "401", "signature", id="tampered"),
        pytest.param("bob, no scope", "GET /admin/notes", "403", 'scope="admin"', id="scope"),
    ],
)
def test_pick_and_send(
    page: Page, url: str, token: str, route: str, status: str, challenge: str
) -> None:
    """Status and challenge are those of the guard; the keyboard is enough to send."""
    page.goto(url)
    page.get_by_label("Token", exact=True).select_option(token)
    page.get_by_label("Route").select_option(route)
    page.get_by_role("button", name="Send").press("Enter")

    expect(page.locator("#status")).to_have_text(status)
    expect(page.locator("#challenge")).to_contain_text(challenge)


def test_websocket_with_the_subprotocol_pair(page: Page, url: str) -> None:
    """The page's own script offers `bearer, <token>` and is greeted."""
    page.goto(url)
    page.get_by_role("button", name="Open a WebSocket").click()

    expect(page.locator("#status")).to_have_text("101")
    expect(page.locator("#body")).to_contain_text("alice: ping")


def log_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Log in by cookie").click()
    expect(page.locator("#status")).to_have_text("204")
    page.get_by_label("Token", exact=True).select_option("no token")


def test_cookie(page: Page, url: str) -> None:
    """Once logged in, no token is needed; once logged out, it is again."""
    log_in(page, url)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#status")).to_have_text("200")

    page.get_by_role("button", name="Log out").click()
    expect(page.locator("#status")).to_have_text("204")
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#status")).to_have_text("401")


@pytest.mark.parametrize(
    ("host", "statuses", "reasons"),
    [
        # The cookie is `SameSite=Strict`, so the browser keeps it to itself.
        pytest.param(OTHER_SITE, [401], ["missing", "missing"], id="another-site"),
        # DESIGN §4: a second port is the same site, and 422 is the route's own word on the body.
        # Chromium sends no `Sec-Fetch-Site` with a handshake, and the origin is another one.
        pytest.param("127.0.0.1", [422], ["cross_site"], id="second-port"),
    ],
)
def test_page_from_elsewhere(
    page: Page,
    url: str,
    host: str,
    statuses: list[int],
    reasons: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another site gets nothing; a second port may POST, and opens no WebSocket."""
    caplog.set_level(logging.INFO, logger="jwt_deps")
    log_in(page, url)
    with running(demo_app(make_secret())) as second:
        # A page without the policy of the demo's own, which forbids to ask elsewhere.
        page.goto(f"{second.replace('127.0.0.1', host)}/health")
        answered: list[int] = []
        page.on("response", lambda answer: answered.append(answer.status))
        page.evaluate(_POST_A_NOTE, url)
        greeting = page.evaluate(_OPEN_A_WEBSOCKET, url)

    assert statuses == answered
    assert greeting == "refused"
    assert reasons == re.findall(r"reason=(\w+)", caplog.text)


def test_nothing_breaks_the_policy(page: Page, url: str) -> None:
    """The content security policy stops nothing that the page needs."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(url)
    expect(page.locator("#claims")).to_contain_text(re.compile('"sub": "alice"'))

    assert [] == complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow(browser: Browser, url: str, scheme: str) -> None:
    """Nothing is wider than a phone of 390 px."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#status")).to_have_text("200")
    widest = page.evaluate("document.documentElement.scrollWidth")
    context.close()

    assert 390 == widest
