"""How is an application as a test wants it? Called as somebody, or with other settings."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from starlette.routing import BaseRoute, Host, Mount

from jwt_deps.jose import SigningKey
from jwt_deps.settings import IssuerSettings, JWTSettings, get_settings
from jwt_deps.tokens import Claims
from jwt_deps.web import (
    get_claims,
    get_token,
    mounted,
    routers_of,
    settings_for,
)

from .naming import claims_for

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
    back what was there before. Blocks can be nested and can overlap: of those that are open, the
    one entered last holds. No keys need to be configured. Claims stand under the names that the
    settings of the matched route read, and times and issuer are those that a real token would
    have.

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
    if issuer is None and (named := settings.server.accepted.named):
        return next(iter(named.values()))
    return settings.settings_of(issuer) or settings


@dataclass(slots=True, eq=False)
class _Override:
    """A replaced dependency of one application.

    Attributes:
        app: the application.
        dependency: what is replaced.
        replacement: what stands in its place.
        below: what was there before, and comes back.
    """

    app: FastAPI
    dependency: Any
    replacement: Any
    below: Any

    def remove(self, others: "Iterable[_Override]") -> None:
        """Take the replacement away, from the application or from below a later block's.

        Where it is in neither place, the test itself has put something else there, which stays.
        """
        overrides = self.app.dependency_overrides
        if overrides.get(self.dependency, _ABSENT) is self.replacement:
            if self.below is _ABSENT:
                del overrides[self.dependency]
            else:
                overrides[self.dependency] = self.below
            return
        for other in others:
            if other.app is self.app and other.below is self.replacement:
                other.below = self.below


# Those of all blocks that have not ended: blocks may overlap without one being inside the other.
_open: list[_Override] = []


class _Overrides(AbstractContextManager[None]):
    """Dependencies replaced in an application and those mounted in it, until the block ends.

    A class and not a generator, which could decorate a test: of an `async` one it would be over
    before the first request.
    """

    def __init__(self, app: FastAPI, replacements: Mapping[Any, Callable[..., Any]]) -> None:
        self._app = app
        self._replacements = replacements
        self._entered: list[list[_Override]] = []

    def __enter__(self) -> None:
        entered = [
            _Override(
                app, dependency, replacement, app.dependency_overrides.get(dependency, _ABSENT)
            )
            for app in _applications_in(self._app)
            for dependency, replacement in self._replacements.items()
        ]
        for override in entered:
            override.app.dependency_overrides[override.dependency] = override.replacement
        _open.extend(entered)
        self._entered.append(entered)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for override in self._entered.pop():
            _open.remove(override)
            override.remove(_open)


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
        app = mounted(route)
        if isinstance(app, FastAPI):
            yield app
        else:
            yield from _mounted(getattr(app, "routes", ()))
