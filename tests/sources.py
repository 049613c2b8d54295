"""A service for each source of keys, asked by HTTP's own door: what is refused there is refused.

    service = Service("discovery_cold", "RS256")
    service.accepts(minted("RS256"))
    service.reason(token)                       why it refuses a token

Keys that are fetched come from an issuer in process, so a case takes about a millisecond.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from jwt_deps import Claims, IssuerSettings, JWTSettings, get_claims, get_settings
from jwt_deps.errors import AuthError
from jwt_deps.testing import Answer, FakeIssuer
from tests.minting import (
    ALGORITHMS,
    KINDS,
    OTHER_SECRET,
    JSONObject,
    Key,
    KeyPair,
    claims,
    mint,
    signing_key,
)

__all__ = ["AUDIENCE", "ISSUER", "SOURCES", "Service", "each_source", "good", "minted"]

ISSUER = "https://issuer.example"
AUDIENCE = "orders"

#: Where a service has its keys from.
SOURCES = ("secret", "pem", "jwks_file", "discovery_cold", "discovery_warm", "issuers")

_ASYMMETRIC = tuple(KINDS)
_SYMMETRIC = tuple(name for name in ALGORITHMS if name not in KINDS)
_ALGORITHMS = {
    **dict.fromkeys(SOURCES, _ASYMMETRIC),
    "secret": _SYMMETRIC,
    "issuers": ALGORITHMS,
}


def each_source(*algorithms: str) -> pytest.MarkDecorator:
    """Parametrize a test by the sources of keys, each with its algorithms among these, or all."""
    return pytest.mark.parametrize(
        ("source", "algorithm"),
        [
            pytest.param(source, algorithm, id=f"{source}-{algorithm}")
            for source in SOURCES
            for algorithm in _ALGORITHMS[source]
            if not algorithms or algorithm in algorithms
        ],
    )


def good(**members: object) -> JSONObject:
    """The claims of a token that every service here accepts."""
    return claims(now=time.time(), **{"iss": ISSUER, "aud": AUDIENCE, **members})


def minted(
    algorithm: str,
    key: Key | None = None,
    header: Mapping[str, object] | None = None,
    **members: Any,
) -> str:
    """A token for a service of that algorithm, by the issuer's key or by another one."""
    signer = signing_key(algorithm) if key is None else key
    return mint(good(**members), signer, algorithm, header={"kid": "a", **(header or {})})


class Service:
    """An application whose settings have their keys from one source."""

    def __init__(self, source: str, algorithm: str, key: Key | None = None) -> None:
        self.settings = _settings(source, algorithm, signing_key(algorithm) if key is None else key)
        if source.startswith("discovery"):  # a copy has fetched nothing, and forced no fetch
            self.settings = self.settings.model_copy(update={"leeway": self.settings.leeway})
        if source == "discovery_warm":
            _runner().run(self.settings.refresh_keys())

    def asked(self, token: str) -> AuthError | Mapping[str, Any]:
        """The claims of a token that is accepted, or the error that refused it."""
        return _ask(self.settings, token)

    def accepts(self, token: str) -> bool:
        """Whether a token is accepted."""
        return not isinstance(self.asked(token), AuthError)

    def reason(self, token: str) -> str:
        """Why a token is refused; `accepted` if it is not."""
        answer = self.asked(token)
        return answer.reason.value if isinstance(answer, AuthError) else "accepted"


@cache
def _settings(source: str, algorithm: str, key: Key) -> JWTSettings:
    """Settings that accept what a key signs."""
    checked: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": algorithm}
    if source in {"secret", "pem"}:
        return JWTSettings(secret_key=_text(key), **checked)
    if source == "issuers":
        own = IssuerSettings(secret_key=_text(key), **checked)
        other = IssuerSettings(
            secret_key=OTHER_SECRET, issuer="https://other.example", audience=AUDIENCE
        )
        return JWTSettings(issuers={"own": own, "other": other})
    assert isinstance(key, KeyPair)
    published = json.dumps({"keys": [key.jwk(kid="a", use="sig")]})
    if source == "jwks_file":
        path = Path(tempfile.mkdtemp()) / "jwks.json"
        path.write_text(published)
        return JWTSettings(jwks_file=path, **checked)
    issuer = FakeIssuer(url=ISSUER, algorithm="ES256")
    issuer.jwks = Answer(body=published.encode())
    return issuer.settings(AUDIENCE, algorithm=algorithm)


def _text(key: Key) -> str:
    return key.public_pem if isinstance(key, KeyPair) else str(key)


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


@cache
def _application() -> FastAPI:
    app = FastAPI()

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        request.scope["test_answer"].append(error.__cause__)  # the error that the answer is for
        return JSONResponse({}, error.status_code)

    @app.get("/")
    async def read(request: Request, found: Annotated[Claims, Depends(get_claims)]) -> None:
        request.scope["test_answer"].append(dict(found))

    return app


def _ask(settings: JWTSettings, token: str) -> AuthError | Mapping[str, Any]:
    app = _application()
    app.dependency_overrides[get_settings] = lambda: settings
    answers: list[AuthError | Mapping[str, Any]] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "test_answer": answers,
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None: ...

    _runner().run(app(scope, receive, send))
    (answer,) = answers
    return answer
