"""Who may pass this route? The guard, which decides by the route that matched."""

from collections.abc import Callable, Container, Iterable, Iterator
from inspect import unwrap
from typing import TYPE_CHECKING, Any

from fastapi.params import Security
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes

from .credentials import TokenDependency, caller_or_error, require, settings_of
from .environment import get_settings
from .errors import AuthError
from .notes import notes_of
from .pointers import refusal_under
from .routes import UNKNOWN, Match, RouteGuard, dependants, match_of
from .settings import JWTSettings

if TYPE_CHECKING:
    from .principals import Principal

__all__ = ["JWTGuard", "asked_of", "is_excluded"]


class JWTGuard(RouteGuard, TokenDependency[None]):
    """A dependency that lets a request pass with a token that verifies, or to a public route.

    Of several guards over a route only the innermost decides.
    """

    def __init__(
        self, settings: JWTSettings | None = None, exclude: Iterable[str | Callable[..., Any]] = ()
    ) -> None:
        RouteGuard.__init__(self, settings, exclude)
        TokenDependency.__init__(self, self._pass)
        self.__name__ = "jwt_guard"

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> None:
        """Refuse the request, or let it pass."""
        match = match_of(connection.scope)
        innermost = match.guards[-1] if match.guards else None
        if innermost is self:
            await self.admit(connection, match, security_scopes.scopes)
        elif self not in match.guards:
            # FastAPI's books speak of another route: nobody else will decide.
            await self.admit(connection, UNKNOWN, security_scopes.scopes)
        elif security_scopes.scopes and isinstance(innermost, JWTGuard):
            # It decides, and scopes asked for out here hold for whomever it lets in.
            await innermost.admit(connection, match, security_scopes.scopes)

    async def admit(
        self, connection: HTTPConnection, match: Match, scopes: list[str] | None = None
    ) -> None:
        """Decide about a request to a route that this guard is the innermost over.

        Raises:
            HTTPException: the request is refused; or `WebSocketException` where a server cannot
                deny a handshake.
        """
        if self.leaves_out(match):
            return
        notes, settings = notes_of(connection.scope), self.settings
        if settings is None:
            plain = notes.overriding is None
            settings = get_settings() if plain else await settings_of(self, connection)
        notes.match, notes.settings = match, settings
        if settings.excluded_route_paths and is_excluded(match, settings):
            return
        caller: Principal | AuthError
        try:
            if scopes:
                caller = await require(connection, scopes, settings=settings)
            else:
                caller = await caller_or_error(connection, settings)
        except AuthError as error:
            caller = error
        if isinstance(caller, AuthError):
            raise refusal_under(settings, caller, connection, match) from caller

    async def _pass(self, connection: HTTPConnection) -> None:
        """Never asked: a guard decides by the route, in `__call__`."""


def is_excluded(match: Match, settings: JWTSettings) -> bool:
    """Whether the settings' `excluded_route_paths` mean this route."""
    excluded = settings.excluded
    known = match.open_by.get(excluded)
    if known is None:
        known = match.open_by[excluded] = any(map(excluded.match, match.paths))
    return known


def asked_of(
    match: Match, replaced: Container[Any] = ()
) -> Iterator[tuple[TokenDependency[Any], tuple[str, ...]]]:
    """The dependencies of this package that run for a route, each with the scopes asked for.

    What stands in `replaced` does not run, and nothing below it. Of the guards over the route only
    the innermost, and only if it does not leave the route out, asks for a token: which one that
    is, the caller has to know.
    """
    for node in dependants(match.dependant, replaced) if match.dependant is not None else ():
        call = unwrap(node.call)
        if isinstance(call, TokenDependency):
            asked = (*(node.parent_oauth_scopes or ()), *(node.own_oauth_scopes or ()))
            yield call, (*asked, *call.scopes)
    for depends in match.dependencies:
        if depends.dependency is None or depends.dependency in replaced:
            continue
        call = unwrap(depends.dependency)
        if isinstance(call, TokenDependency):
            asked = tuple(depends.scopes or ()) if isinstance(depends, Security) else ()
            yield call, (*asked, *call.scopes)
