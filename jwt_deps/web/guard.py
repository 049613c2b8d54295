"""The guard, which decides, by the route that matched, whether a request may pass."""

from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, Self, TypeAlias

from fastapi import WebSocket
from fastapi.params import Depends
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from starlette.types import Scope

from jwt_deps.errors import AuthError
from jwt_deps.settings import JWTSettings
from jwt_deps.tokens import Claims, Principal

from ._fastapi import dependants, scopes_at
from .dependencies import optional_of
from .request_principal import (
    TokenDependency,
    default_settings,
    is_overridden,
    principal_or_error,
    refuse_without,
    refused,
    token_dependency,
)
from .request_state import RequestState, matched, state_of
from .request_user import write_anonymous
from .responses import refusal
from .route_scopes import methods_of
from .routing import (
    UNKNOWN,
    MatchedRoute,
    RouteGuard,
    guards_among,
    is_excluded,
    security_scopes_of,
)
from .websockets import answer_with_bearer

#: An async function from a request to its sender's claims, or `None` if the request has no such
#: credential. One of this package may return a principal, to which the settings do not apply.
Credential: TypeAlias = Callable[[HTTPConnection], Awaitable[Claims | Principal | None]]


class JWTGuard(RouteGuard, TokenDependency[None]):
    """A dependency that lets a request pass with a token that verifies, or to a public route.

    Of several guards that apply to a route the innermost decides, and whichever is asked first
    asks it: nothing else that applies to the route runs before.
    """

    def __init__(
        self,
        settings: JWTSettings | None = None,
        exclude: Iterable[str | Callable[..., Any]] = (),
        watch: Callable[[Scope], object] = lambda _: None,
        scopes: Mapping[str, Any] | None = None,
        credentials: Iterable[Any] = (),
    ) -> None:
        RouteGuard.__init__(self, settings, exclude, scopes, credentials)
        self._present(self.decide)
        self.__name__ = "jwt_guard"
        self._watch = watch

    def __copy__(self) -> Self:
        """Return the guard itself: a copy would be another guard, which nothing knows."""
        return self

    def __deepcopy__(self, _: object) -> Self:
        """Return the guard itself."""
        return self

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> None:
        """Refuse the request, or let it pass."""
        state = state_of(connection.scope)
        state.decision.raise_failure()
        if not state.entered:
            self._watch(connection.scope)
        if state.overriding is not None and self in state.overriding.dependency_overrides:
            # It runs although it is overridden: in a mounted router FastAPI overrides nothing.
            state.overriding = None
        match = matched(connection.scope, state)
        innermost, settings, adds = state.innermost(match), None, False
        if self in match.guards:
            guard = innermost if isinstance(innermost, JWTGuard) else self
            # Even if it has decided before: the scope may be served again, with another token.
            await guard.decide(connection, match, state)
        else:
            adds = state.has_decided(innermost, besides=self) and self._is_parameter_of(match)
            match = UNKNOWN
            if adds:
                await self.check(connection, match, state)
            else:
                # FastAPI names another route, or none: this guard decides for all that follows.
                state.decide_alone(self)
                await self.decide(connection, match, state)
            settings = state.settings
        if security_scopes.scopes or self.route_scopes.rules:
            await require_for_guard(self, security_scopes.scopes, connection, match, settings)
        if adds:
            # The user is that of the route's guard: what this check wrote is replaced.
            await principal_or_error(connection, None, state)

    def _is_parameter_of(self, match: MatchedRoute) -> bool:
        """Whether a route asks for this guard, by itself or by what `optional` is given."""
        nodes = () if match.dependant is None else dependants(match.dependant)
        calls = [node.call for node in nodes]
        inside = guards_among(Depends(it) for it in map(optional_of, calls))
        return any(call is self for call in (*calls, *inside))

    async def decide(
        self, connection: HTTPConnection, match: MatchedRoute, state: RequestState
    ) -> None:
        """Check a request, and record that it may pass.

        Raises:
            HTTPException: as `check`.
        """
        await self.check(connection, match, state)
        state.decision.let_pass()

    async def check(
        self, connection: HTTPConnection, match: MatchedRoute, state: RequestState
    ) -> None:
        """Check a request to a route that this guard is the innermost of.

        Raises:
            HTTPException: the request is refused; or `WebSocketException` where a server cannot
                deny a handshake.
        """
        if not self.excludes(match):
            settings = self.settings
            if settings is None:
                settings = await default_settings(connection)
            state.match, state.settings = match, settings
            if not (settings.excluded_route_paths and is_excluded(match, settings)):
                found = await principal_or_error(connection, settings, state)
                if isinstance(found, AuthError):
                    refused_with = refusal(settings, found, connection, match)
                    state.decision.refuse(refused_with)
                    raise refused_with from found
                return
        state.take_back(connection.scope, self.settings)
        write_anonymous(connection.scope)
        if isinstance(connection, WebSocket):
            answer_with_bearer(connection)


async def ask_guard(connection: HTTPConnection, state: RequestState) -> None:
    """Ask the guard that decides about a request before FastAPI does.

    That the guard lets it pass is not recorded: what else applies to the route has not run, and an
    answer may follow only where FastAPI runs the guard.

    Raises:
        HTTPException: the request is refused.
    """
    match = matched(connection.scope, state)
    guard = state.innermost(match)
    if not isinstance(guard, JWTGuard):
        return  # the application overrides every guard, and its overrides decide
    await guard.check(connection, match, state)
    # What applies to a route that the guard excludes may ask for a token all the same.
    asked = [_refuses_anonymous(it, connection, match) for it in match.applied]
    asking = [refuses for refuses in asked if refuses is not None]
    if asking:
        found = await principal_or_error(connection, None, state)
        error = found if isinstance(found, AuthError) else found.error
        if error is not None and (error is found or any(asking)):
            raise await refused(error, connection) from error


def needs_no_token(connection: HTTPConnection) -> bool | None:
    """Whether no guard has asked for a token at the route that a request matched.

    `None` where that of what is mounted there is still to decide.
    """
    state = state_of(connection.scope)
    if not state.decision.passed:
        return None
    match = matched(connection.scope, state)
    guard = state.innermost(match)
    return guard is None or guard.opens(match, state.settings)


def _refuses_anonymous(
    depends: Depends, connection: HTTPConnection, match: MatchedRoute
) -> bool | None:
    """Whether a dependency refuses a request without a token also under `validate=False`.

    `None` of one that asks for no token under the settings of the route: a guard without scopes,
    what is overridden, and a guard in `optional`, which has settings of its own.
    """
    call: Any = depends.dependency
    scopes = security_scopes_of(depends)
    asked = (optional_of(call) if scopes else None) or call
    if is_overridden(connection, call) or is_overridden(connection, asked):
        return None
    if isinstance(call, RouteGuard):
        return bool(_scopes_for(call, scopes, connection, match)) or None
    one = None if isinstance(asked, RouteGuard) else token_dependency(asked)
    return None if one is None else bool(scopes) or one.refuses_anonymous


async def require_for_guard(
    guard: RouteGuard,
    scopes: Sequence[str],
    connection: HTTPConnection,
    match: MatchedRoute,
    settings: JWTSettings | None = None,
) -> None:
    """Require the scopes that `Security(guard, scopes=[...])`, and the guard by template, ask for.

    They hold for whatever the innermost guard lets in; the scopes of a guard that itself excludes
    the route are not asked for.

    Without settings the token has to have them under those of the route.

    Raises:
        HTTPException: the request is refused.
    """
    needed = _scopes_for(guard, scopes, connection, match)
    if needed:
        await refuse_without(connection, needed, settings)


def _scopes_for(
    guard: RouteGuard, scopes: Sequence[str], connection: HTTPConnection, match: MatchedRoute
) -> tuple[str, ...]:
    by_template = guard.route_scopes.needed(match.paths, methods_of(connection.scope))
    needed = (*scopes, *by_template)
    if needed and guard.asks_scopes(match, state_of(connection.scope).settings):
        return needed
    return ()


def token_dependencies_of(
    match: MatchedRoute, overridden: Container[Any] = (), methods: Collection[str] = ()
) -> Iterator[tuple[TokenDependency[Any], tuple[str, ...]]]:
    """The dependencies of this package that run for a route, each with the scopes asked for.

    Of the guards of the route only the innermost, and only if it does not exclude the route, asks
    for a token: which one that is, the caller has to know.

    Args:
        match: the route.
        overridden: what does not run, and nothing below it.
        methods: of the requests; none for all that the route has.
    """

    def by_template(call: TokenDependency[Any]) -> list[str]:
        if not isinstance(call, RouteGuard):
            return []
        # A guard that is a parameter of an endpoint is told nothing of the route.
        paths = match.paths if any(call is it for it in match.guards) else ()
        return call.route_scopes.needed(paths, methods)

    for node in dependants(match.dependant, overridden) if match.dependant is not None else ():
        scopes = scopes_at(node)
        # Scopes asked of an optional dependency are asked of requests without a token too.
        call = token_dependency((optional_of(node.call) if scopes else None) or node.call)
        if call is not None:
            yield call, (*scopes, *by_template(call), *call.scopes)
    for depends in match.dependencies:
        given: Any = depends.dependency
        found = None if given in overridden else token_dependency(given)
        if found is not None:
            yield found, (*security_scopes_of(depends), *by_template(found), *found.scopes)
