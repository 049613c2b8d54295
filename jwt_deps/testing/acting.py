"""How is an application as a test wants it? Called as somebody, or with other settings."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from starlette.routing import BaseRoute, Host, Mount

from jwt_deps.claims import Claims
from jwt_deps.credentials import get_claims, get_token, settings_for
from jwt_deps.environment import get_settings
from jwt_deps.issuers import IssuerSettings
from jwt_deps.routers import routers_of
from jwt_deps.settings import JWTSettings

from .naming import claims_for
from .signing import SigningKey

__all__ = ["acting_as", "using_settings"]

_ABSENT = object()


def acting_as(  # noqa: PLR0913 - each by name
    app: FastAPI,
    user_id: str,
    *,
    scopes: str | Iterable[str] = (),
    session_id: str | None = None,
    claims: Mapping[str, Any] | None = None,
    issuer: str | None = None,
) -> AbstractContextManager[None]:
    """Let every request be somebody's, whatever it carries, for as long as the block lasts.

        with acting_as(app, "alice", scopes=["notes:read"]):
            assert client.get("/notes").status_code == 200

    Guards are satisfied, scopes are still asked for. It replaces `get_claims` and `get_token` in
    `app.dependency_overrides` and in those of the FastAPI applications mounted there, and puts
    back what was there before. Blocks can be nested: the innermost holds. No keys need to be
    configured. Claims stand under the names that the settings of the matched route read, and
    times and issuer are those that a real token would have.

    Args:
        app: the application under test.
        user_id: who is calling.
        scopes: what they may do: one text with spaces, or each scope by itself.
        session_id: of which session they are.
        claims: further claims; they win, and `None` leaves one out.
        issuer: of several issuers, the `iss` of theirs; `None` is the first.
    """
    granted = scopes if isinstance(scopes, str) else tuple(scopes)
    key = SigningKey.generate("HS256")

    async def claims_of(connection: HTTPConnection) -> dict[str, Any]:
        return claims_for(
            await _issuer_of(connection, issuer),
            user_id,
            scopes=granted,
            session_id=session_id,
            claims=claims,
            issuer=issuer,
            now=time.time(),
        )

    async def acting_claims(connection: HTTPConnection) -> Claims:
        return Claims(await claims_of(connection))

    async def acting_token(connection: HTTPConnection) -> str:
        # Signed by nobody whom anybody knows: it looks like a token, and opens no door.
        return key.sign({"alg": key.algorithm, "typ": "JWT"}, await claims_of(connection))

    return _Overrides(app, {get_claims: acting_claims, get_token: acting_token})


def using_settings(app: FastAPI, settings: JWTSettings) -> AbstractContextManager[None]:
    """Let an application go by these settings for as long as the block lasts.

        with using_settings(app, tokens.settings), TestClient(app) as client:
            client.get("/notes", headers=bearer(tokens("alice")))

    They stand in for `get_settings`, in the FastAPI applications that are mounted there too.
    Routers and guards that were given settings of their own keep those.
    """

    # No coroutine: the OpenAPI document and the audit have to know the settings without a request.
    def these() -> JWTSettings:
        return settings

    return _Overrides(app, {get_settings: these})


async def _issuer_of(connection: HTTPConnection, issuer: str | None) -> IssuerSettings:
    settings = await settings_for(connection)
    if issuer is None and settings.issuers:
        return next(iter(settings.issuers.values()))
    return settings.settings_of(issuer) or settings


class _Overrides(AbstractContextManager[None]):
    """Dependencies replaced in an application and those below it, and put back at the end.

    A class and not a generator, which could decorate a test: of an `async` one it would be over
    before the first request.
    """

    def __init__(self, app: FastAPI, replacements: Mapping[Any, Callable[..., Any]]) -> None:
        self._app = app
        self._replacements = replacements
        self._former: list[tuple[FastAPI, dict[Any, Any]]] = []

    def __enter__(self) -> None:
        self._former = [
            (
                app,
                {name: app.dependency_overrides.get(name, _ABSENT) for name in self._replacements},
            )
            for app in _applications_in(self._app)
        ]
        for app, _ in self._former:
            app.dependency_overrides.update(self._replacements)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for app, former in self._former:
            for name, replaced in former.items():
                if replaced is _ABSENT:
                    app.dependency_overrides.pop(name, None)
                else:
                    app.dependency_overrides[name] = replaced


def _applications_in(app: FastAPI) -> list[FastAPI]:
    """The application and all FastAPI applications that are mounted in it, each once."""
    found: list[FastAPI] = []
    waiting = [app]
    while waiting:
        current = waiting.pop()
        if not any(current is known for known in found):
            found.append(current)
            for router in routers_of(current.router):
                waiting.extend(_mounted(router.routes))
    return found


def _mounted(routes: Iterable[BaseRoute]) -> Iterator[FastAPI]:
    """Below a Starlette application too, without what stands around it."""
    for route in routes:
        if not isinstance(route, Mount | Host):
            continue
        app = getattr(route, "_base_app", getattr(route.app, "unwrapped", route.app))
        if isinstance(app, FastAPI):
            yield app
        else:
            yield from _mounted(getattr(app, "routes", ()))
