"""Who is calling this route, and is it proven? Found once per request, whoever asks how often."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import is_not
from typing import Any, Generic, TypeVar, cast

from fastapi import WebSocket
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from . import overrides
from .authentication import authenticate
from .claims import Claims
from .errors import AuthError, InsufficientScopeError, MissingTokenError
from .issuers import IssuerSettings
from .principals import STATE_NAMES, scopes_of, state_of
from .responses import refusal
from .routes import UNKNOWN, RouteGuard, dependants, guards_of_app, match_of
from .settings import JWTSettings, KeylessSettings, TokenSource, get_settings
from .subprotocols import answer_with_bearer
from .tokens import RequestHead, find_token

__all__ = [
    "Caller",
    "TokenDependency",
    "caller_of",
    "get_claims",
    "get_token",
    "refused",
    "require",
    "settings_for",
    "settings_of",
    "token_of",
    "under",
]

T = TypeVar("T")


@dataclass(slots=True)
class _Notes:
    """What this package remembers of one request, in the ASGI scope and nowhere else.

    A copy of the scope that asks something else, as a batch endpoint makes them, is another
    request: what the notes were taken of is kept beside them.
    """

    request: tuple[Any, Any, Any]
    guard: RouteGuard | None = None
    # Each kept beside its settings: their id is theirs only for as long as they live.
    callers: dict[int, "tuple[JWTSettings, Caller | AuthError]"] = field(default_factory=dict)
    replaced: dict[Callable[..., Any], Any] = field(default_factory=dict)


def _notes(scope: Scope) -> _Notes:
    notes: _Notes | None = scope.get("jwt_deps")
    # Dependencies are overridden per application, and one may be mounted in another.
    overriding = scope.get("app") if getattr(scope.get("app"), "dependency_overrides", 0) else None
    request = (scope["headers"], scope.get("method"), overriding)
    if notes is None or any(map(is_not, notes.request, request)):
        notes = scope["jwt_deps"] = _Notes(request, notes.guard if notes is not None else None)
    return notes


@dataclass(frozen=True, slots=True)
class Caller:
    """What is known of the caller under one configuration.

    Attributes:
        claims: the verified claims; none for an anonymous caller.
        settings: what was asked of them, and what they mean: those of the token's issuer.
        error: why the caller is anonymous, which only `validate=False` lets anyone be.
    """

    claims: Claims
    settings: IssuerSettings
    error: AuthError | None = None

    def known(self) -> "Caller":
        """This caller, or the error that made it anonymous."""
        if self.error is not None:
            raise self.error
        return self


class TokenDependency(SecurityBase, Generic[T]):
    """A dependency that answers from the request's token.

    Every one takes the connection and the scopes that `Security(...)` asks for, and nothing
    else, because any other parameter would be input from the client. Being a `SecurityBase`, it
    puts the lock on the operations that use it.
    """

    #: Scopes that it needs by itself, for OpenAPI and for the challenge.
    scopes: tuple[str, ...] = ()

    def __init__(self, answer: Callable[[HTTPConnection], Awaitable[T]]) -> None:
        self._answer = answer
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "JWT"
        self.__doc__ = answer.__doc__
        self.__name__ = getattr(answer, "__name__", type(self).__name__)

    def __repr__(self) -> str:
        return f"<dependency {self.__name__}>"

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> T:
        """Answer, or refuse the request.

        Raises:
            HTTPException: the refusal; or `WebSocketException` where a server cannot deny a
                handshake. The typed error is its `__cause__`.
        """
        try:
            if security_scopes.scopes:
                await require(connection, security_scopes.scopes)
            return await self._answer(connection)
        except AuthError as error:
            raise await refused(error, connection) from error


@TokenDependency
async def get_token(connection: HTTPConnection) -> str:
    """The encoded token, found where the settings say to look and not yet verified."""
    return await token_of(connection, await settings_for(connection))


@TokenDependency
async def get_claims(connection: HTTPConnection) -> Claims:
    """The claims of the verified token.

    With `validate=False`, a caller who proves nothing has none.
    """
    return (await caller_of(connection)).claims


async def refused(error: AuthError, connection: HTTPConnection) -> Exception:
    """The exception that answers for an error under the settings of the matched route."""
    settings = await settings_for(connection)
    return refusal(error, connection, explained=settings.explain)


def under(scope: Scope, guard: RouteGuard) -> None:
    """Note that everything below this point is under a guard, in applications mounted there too."""
    _notes(scope).guard = guard


async def settings_for(connection: HTTPConnection) -> JWTSettings:
    """The settings that hold for the matched route: the innermost guard's, else `get_settings`."""
    scope = connection.scope
    match = match_of(scope)
    outside = _notes(scope).guard
    over_all = guards_of_app(scope) if match is UNKNOWN else ()
    guards = match.guards or over_all or ((outside,) if outside is not None else ())
    return await settings_of(guards[-1] if guards else None, connection)


async def settings_of(guard: RouteGuard | None, connection: HTTPConnection) -> JWTSettings:
    """The settings of a guard, those of `get_settings` for one without its own.

    Raises:
        ConfigurationError: the environment holds no configuration that can work.
    """
    if guard is not None and guard.settings is not None:
        return guard.settings
    if overrides.is_overridden(connection, get_settings):
        return cast("JWTSettings", await _once(connection, get_settings))
    if overrides.is_overridden(connection, get_claims):
        # Nothing is verified here then, and a test need not configure keys that nobody uses.
        return KeylessSettings()
    return get_settings()


async def caller_of(connection: HTTPConnection, settings: JWTSettings | None = None) -> Caller:
    """Find out who is calling, once per request and configuration.

    What was found goes to `request.state` under the names that the AgentOS middleware uses.

    Raises:
        AuthError: nobody who proved anything, unless `validate=False` lets them be anonymous.
    """
    if settings is None:
        settings = await settings_for(connection)
    callers = _notes(connection.scope).callers
    known = callers.get(id(settings))
    if known is None:
        known = callers[id(settings)] = (settings, await _authenticate(connection, settings))
    found = known[1]
    if isinstance(found, AuthError):
        raise found
    return found


async def require(
    connection: HTTPConnection,
    needed: Sequence[str],
    *,
    any_of: bool = False,
    settings: JWTSettings | None = None,
) -> Caller:
    """Refuse a caller who lacks scopes: all of them, or with `any_of` the last one too.

    Raises:
        InsufficientScopeError: it names every scope that the route needs, not only the first
            one missing, so that a client can ask for all of them at once.
    """
    caller = (await caller_of(connection, settings)).known()
    granted = scopes_of(caller.claims, caller.settings)
    if granted.isdisjoint(needed) if any_of else not granted.issuperset(needed):
        raise InsufficientScopeError(dict.fromkeys((*needed, *_scopes_of_route(connection.scope))))
    return caller


def _scopes_of_route(scope: Scope) -> list[str]:
    root = match_of(scope).dependant
    if root is None:
        return []
    names: list[str] = []
    for node in dependants(root):
        names.extend(node.own_oauth_scopes or ())
        if isinstance(node.call, TokenDependency):
            names.extend(node.call.scopes)
    return names


async def _authenticate(connection: HTTPConnection, settings: JWTSettings) -> Caller | AuthError:
    state = connection.scope.setdefault("state", {})
    for name in STATE_NAMES:  # an outer guard's, or those of the request that this one copies
        state.pop(name, None)
    try:
        token, claims, issuer = await _prove(connection, settings)
    except AuthError as error:
        if settings.validate:
            return error
        state["authenticated"] = False
        return Caller(Claims({}), settings, error)
    state.update(state_of(claims, issuer))
    if token is not None:
        state["token"] = token
    return Caller(claims, issuer)


async def _prove(
    connection: HTTPConnection, settings: JWTSettings
) -> tuple[str | None, Claims, IssuerSettings]:
    if overrides.is_overridden(connection, get_claims):
        claims: Mapping[str, Any] = await _once(connection, get_claims)
        replaced = claims if isinstance(claims, Claims) else Claims(claims)
        return None, replaced, settings.settings_of(replaced.iss) or settings
    token = await token_of(connection, settings)
    verified = await authenticate(token, settings)
    return token, Claims.of(verified.claims), verified.settings


async def _once(connection: HTTPConnection, dependency: Callable[..., Any]) -> Any:
    replaced = _notes(connection.scope).replaced
    if dependency not in replaced:
        replaced[dependency] = await overrides.call(connection, dependency)
    return replaced[dependency]


async def token_of(connection: HTTPConnection, settings: JWTSettings) -> str:
    """The encoded token, from `get_token`'s replacement or from where the settings say to look.

    Raises:
        AuthError: there is none, or not exactly one, or it came from another site.
    """
    scope = connection.scope
    if overrides.is_overridden(connection, get_token):
        replaced: str | None = await _once(connection, get_token)
        if replaced is None:
            raise MissingTokenError("Invalid token: none was given")
        return replaced
    subprotocols = scope.get("subprotocols") or ()
    head = RequestHead(scope["headers"], scope.get("method"), subprotocols)
    token = find_token(head, settings)
    if isinstance(connection, WebSocket) and settings.token_source is not TokenSource.COOKIE:
        answer_with_bearer(connection)
    return token
