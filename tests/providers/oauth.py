"""Get tokens by the flows of OAuth 2.1, with a user who fills in forms."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import httpx2

from .identity import API
from .programs import browser

#: No server listens there: the last redirect is read, not followed.
REDIRECT_URI = "http://127.0.0.1/callback"

TokenResponse: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class OAuthClient:
    """A client that knows nothing of a provider but its issuer."""

    issuer: str

    def metadata(self) -> dict[str, Any]:
        """Return the discovery document (OpenID Connect Discovery 1.0, section 4)."""
        with browser() as http:
            document: dict[str, Any] = _json(
                http.get(f"{self.issuer}/.well-known/openid-configuration")
            )
        assert self.issuer == document["issuer"]
        return document

    def log_in(
        self,
        user: str = "alice",
        *,
        scope: str = "openid read:items",
        resource: str | None = API,
        client_id: str = "app",
    ) -> TokenResponse:
        """Let a user log in and consent, and exchange the code (RFC 6749, 7636, 8707, 9207)."""
        metadata = self.metadata()
        verifier = secrets.token_urlsafe(32)
        state = secrets.token_urlsafe(16)
        target = {} if resource is None else {"resource": resource}
        request = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": scope,
            "state": state,
            "code_challenge": _s256(verifier),
            "code_challenge_method": "S256",
            **target,
        }
        with browser() as http:
            page = http.get(metadata["authorization_endpoint"], params=request)
            answer = authorized(http, page, user)
            assert state == answer["state"]
            assert self.issuer == answer["iss"]
            exchange = {
                "grant_type": "authorization_code",
                "client_id": client_id,
                "redirect_uri": REDIRECT_URI,
                "code": answer["code"],
                "code_verifier": verifier,
                **target,
            }
            return _json(http.post(metadata["token_endpoint"], data=exchange))

    def work(self, *, scope: str = "read:items", resource: str = API) -> TokenResponse:
        """Let the worker, a client without a user, get a token (RFC 6749, section 4.4)."""
        request = {"grant_type": "client_credentials", "scope": scope, "resource": resource}
        endpoint = self.metadata()["token_endpoint"]
        with browser() as http:
            return _json(http.post(endpoint, data=request, auth=("worker", "worker-secret")))


def _json(response: httpx2.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorized(http: httpx2.Client, page: httpx2.Response, user: str) -> dict[str, str]:
    """Follow redirects and send forms until the provider answers the client."""
    for _ in range(20):
        if page.status_code in {302, 303}:
            where = str(page.url.join(page.headers["location"]))
            if where.startswith(REDIRECT_URI):
                query = parse_qs(urlsplit(where).query)
                assert "code" in query, query
                return {name: value for name, (value,) in query.items()}
            page = http.get(where)
        else:
            assert page.status_code == 200, page.text
            form = _Form.on(page.text)
            page = http.post(page.url.join(form.action), data=form.filled_in(user))
    raise AssertionError("the provider goes round in circles")


@dataclass
class _Form(HTMLParser):
    """The form of a page: where it goes and what its fields hold."""

    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def on(cls, page: str) -> "_Form":
        form = cls()
        form.feed(page)
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.action = attributes.get("action") or ""
        elif tag == "input":
            self.fields[attributes["name"] or ""] = attributes.get("value") or ""

    def filled_in(self, user: str) -> dict[str, str]:
        typed = {"login": user, "password": "anything"}
        return {name: typed.get(name, value) for name, value in self.fields.items()}
