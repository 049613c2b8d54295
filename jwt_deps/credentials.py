"""Who is calling this route, and is it proven? Found once per request, whoever asks how often."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from fastapi import WebSocket
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from . import overrides
from .claims import Claims
from .confirmation import confirm
from .errors import AuthError, InsufficientScopeError, MissingTokenError
from .notes import Notes, notes_of
from .principals import STATE_NAMES, Principal
from .recognition import recognize
from .responses import refusal
from .routes import UNKNOWN, RouteGuard, dependants, guards_of_app, match_of
from .settings import JWTSettings, KeylessSettings, TokenSource, get_settings
from .subprotocols import answer_with_bearer
from .tokens import RequestHead, find_token

__all__ = [
    "CallerDependency",
    "TokenDependency",
    "caller_of",
    "get_claims",
    "get_token",
    "refused",
    "require",
    "scopes_of_route",
    "settings_for",
    "settings_of",
    "token_of",
]

T = TypeVar("T")


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
        self._present(answer)

    def _present(self, answer: Callable[..., Any]) -> None:
        """Look like the function that answers, to OpenAPI and to people."""
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


class CallerDependency(TokenDependency[T]):
    """A dependency that reads its answer off the caller, once the token is verified."""

    def __init__(self, read: Callable[[Principal], T]) -> None:
        self._read = read
        self._present(read)

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> T:
        """Answer, or refuse the request, as any `TokenDependency`.

        Raises:
            HTTPException: the refusal; or `WebSocketException`.
        """
        try:
            needed = security_scopes.scopes
            caller = await (require(connection, needed) if needed else caller_of(connection))
            return self._read(caller)
        except AuthError as error:
            raise await refused(error, connection) from error


@TokenDependency
async def get_token(connection: HTTPConnection) -> str:
    """The encoded token, found where the settings say to look and not yet verified."""
    return await token_of(connection, await settings_for(connection))


@CallerDependency
def get_claims(caller: Principal) -> Claims:
    """The claims of the verified token.

    With `validate=False`, a caller who proves nothing has none.
    """
    return caller.claims


async def refused(error: AuthError, connection: HTTPConnection) -> Exception:
    """The exception that answers for an error under the settings of the matched route."""
    settings = await settings_for(connection)
    return refusal(error, connection, explained=settings.explain, senders=settings.senders)


async def settings_for(connection: HTTPConnection) -> JWTSettings:
    """The settings that hold for the matched route: the innermost guard's, else `get_settings`."""
    return await _settled(connection, notes_of(connection.scope))


async def _settled(connection: HTTPConnection, notes: Notes) -> JWTSettings:
    scope = connection.scope
    match = match_of(scope)
    if notes.settings is not None and notes.match is match:
        return notes.settings
    over_all = guards_of_app(scope) if match is UNKNOWN else ()
    outside = (notes.guard,) if notes.guard is not None else ()
    guards = match.guards or over_all or outside
    guard = guards[-1] if guards else None
    if guard is None and notes.overriding is None:
        settings = get_settings()
    else:
        settings = await settings_of(guard, connection)
    notes.settle(match, settings)
    return settings


async def settings_of(guard: RouteGuard | None, connection: HTTPConnection) -> JWTSettings:
    """The settings of a guard, those of `get_settings` for one without its own.

    Raises:
        ConfigurationError: the environment holds no configuration that can work.
    """
    if guard is not None and guard.settings is not None:
        return guard.settings
    if notes_of(connection.scope).overriding is None:
        return get_settings()
    if overrides.is_overridden(connection, get_settings):
        return cast("JWTSettings", await _once(connection, get_settings))
    if overrides.is_overridden(connection, get_claims):
        # Nothing is verified here then, and a test need not configure keys that nobody uses.
        return KeylessSettings()
    return get_settings()


async def caller_of(connection: HTTPConnection, settings: JWTSettings | None = None) -> Principal:
    """Find out who is calling, once per request and configuration.

    What was found goes to `request.state` under the names that the AgentOS middleware uses.

    Raises:
        AuthError: nobody who proved anything, unless `validate=False` lets them be anonymous.
    """
    notes = notes_of(connection.scope)
    if settings is None:
        settings = await _settled(connection, notes)
    known = notes.callers.get(id(settings))
    if known is None:
        known = (settings, await _authenticate(connection, settings, notes))
        notes.callers[id(settings)] = known
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
) -> Principal:
    """Refuse a caller who lacks scopes: all of them, or with `any_of` the last one too.

    Raises:
        InsufficientScopeError: it names every scope that the route needs, not only the first
            one missing, so that a client can ask for all of them at once.
    """
    caller = (await caller_of(connection, settings)).known()
    granted = caller.scopes
    if granted.isdisjoint(needed) if any_of else not granted.issuperset(needed):
        raise InsufficientScopeError(dict.fromkeys((*needed, *scopes_of_route(connection.scope))))
    return caller


def scopes_of_route(scope: Scope) -> list[str]:
    """Every scope that the matched route asks for, in the order declared."""
    root = match_of(scope).dependant
    if root is None:
        return []
    names: list[str] = []
    for node in dependants(root):
        names.extend(node.own_oauth_scopes or ())
        if isinstance(node.call, TokenDependency):
            names.extend(node.call.scopes)
    return names


async def _authenticate(
    connection: HTTPConnection, settings: JWTSettings, notes: Notes
) -> Principal | AuthError:
    scope = connection.scope
    state = scope.setdefault("state", {})
    if state:
        for name in STATE_NAMES:  # an outer guard's, or those of the request that this one copies
            state.pop(name, None)
    token = None
    try:
        if notes.overriding is not None and overrides.is_overridden(connection, get_claims):
            principal = await _replaced(connection, settings)
        else:
            plain = notes.overriding is None and scope["type"] == "http"
            token = _sent(scope, settings) if plain else await token_of(connection, settings)
            principal = await recognize(token, settings)
            if settings.senders is not None:
                await confirm(scope, token, principal, settings.senders)
    except AuthError as error:
        if settings.validate:
            return error
        state["authenticated"] = False
        return Principal(Claims({}), settings, error)
    state.update(principal.state())
    if token is not None:
        state["token"] = token
    return principal


async def _replaced(connection: HTTPConnection, settings: JWTSettings) -> Principal:
    """Who the replacement of `get_claims` says is calling."""
    claims: Mapping[str, Any] = await _once(connection, get_claims)
    replaced = claims if isinstance(claims, Claims) else Claims(claims)
    return Principal(replaced, settings.settings_of(replaced.iss) or settings)


async def _once(connection: HTTPConnection, dependency: Callable[..., Any]) -> Any:
    replaced = notes_of(connection.scope).replaced
    if dependency not in replaced:
        replaced[dependency] = await overrides.call(connection, dependency)
    return replaced[dependency]


async def token_of(connection: HTTPConnection, settings: JWTSettings) -> str:
    """The encoded token, from `get_token`'s replacement or from where the settings say to look.

    Raises:
        AuthError: there is none, or not exactly one, or it came from another site.
    """
    scope = connection.scope
    if notes_of(scope).overriding is not None and overrides.is_overridden(connection, get_token):
        replaced: str | None = await _once(connection, get_token)
        if replaced is None:
            raise MissingTokenError("Invalid token: none was given")
        return replaced
    if scope["type"] == "http":
        return _sent(scope, settings)
    head = RequestHead(scope["headers"], None, scope.get("subprotocols") or ())
    token = find_token(head, settings)
    if isinstance(connection, WebSocket) and settings.token_source is not TokenSource.COOKIE:
        answer_with_bearer(connection)
    return token


def _sent(scope: Scope, settings: JWTSettings) -> str:
    """The token of an HTTP request."""
    return find_token(RequestHead(scope["headers"], scope.get("method")), settings)
