"""*Authorize* logs in at a real provider, and a guarded route accepts the token."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from jwt_deps.cli.demo.server import running
from tests.providers import conftest as providers
from tests.providers.identity import Provider
from tests.providers.programs import unused_port
from tests.providers.service import discovering

from .chromium import Page, expect
from .pictures import picture
from .swagger import dialogue, execute, open_docs

_PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "log-in.md"


@pytest.fixture
def app() -> FastAPI:
    """Return the application that the documentation shows."""
    found = re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (code,) = (block for block in found if "swagger_ui_init_oauth" in block)
    namespace: dict[str, Any] = {"__name__": "main"}
    exec(compile(code, str(_PAGE), "exec"), namespace)  # noqa: S102 - our own page
    app: FastAPI = namespace["app"]
    return app


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """Return a provider that knows the client of the documentation."""
    with providers.running("oidc-provider", tmp_path) as provider:
        yield provider


def trust(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in discovering(issuer).items():
        monkeypatch.setenv(name, value)


def test_code_flow_with_pkce(
    page: Page, app: FastAPI, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log in, consent, come back, and call what needs a scope."""
    trust(provider.issuer, monkeypatch)
    place = provider.issuer.removeprefix("http://").replace(":", "-")
    with running(app) as url:
        # Swagger UI offers the dialogue before it knows where the provider logs in.
        with page.expect_response(re.compile(r"/\.well-known/")):
            open_docs(page, url)
        flow = dialogue(page, f"JWT-openid-{place} (OAuth2, authorization_code with PKCE)")
        expect(flow.get_by_label("client_id:")).to_have_value("docs")
        # The dialogue scrolls, and is photographed in one piece.
        page.set_viewport_size({"width": 1000, "height": 2600})
        page.add_style_tag(content=".swagger-ui .modal-ux-content { max-height: none !important }")
        picture(flow, "log-in.png")
        with page.expect_popup() as opened:
            flow.get_by_role("button", name="Apply given OAuth2 credentials").click()
        popup = opened.value
        popup.get_by_placeholder("login").fill("alice")
        popup.get_by_placeholder("password").fill("anything")
        popup.get_by_role("button", name="Sign-in").click()
        with popup.expect_event("close"):
            popup.get_by_role("button", name="Continue").click()
        expect(flow.get_by_role("button", name="Remove authorization")).to_be_visible()
        flow.get_by_role("button", name="Close").click()

        assert "200" == execute(page, "/items")
        expect(page.locator(".opblock.is-open .live-responses-table")).to_contain_text("hammer")


def test_provider_out_of_reach(page: Page, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there all the same, and takes a pasted token."""
    trust(f"http://127.0.0.1:{unused_port()}", monkeypatch)
    with running(app) as url:
        open_docs(page, url)

        expect(dialogue(page, "JWT").get_by_role("textbox")).to_be_visible()
        expect(page.locator(".auth-container")).to_have_count(1)
