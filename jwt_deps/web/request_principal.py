"""Finds the principal of a request, once per request and settings."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from functools import cache, wraps
from inspect import Signature, signature
from typing import Any, Generic, TypeVar, cast

from fastapi import WebSocket
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from jwt_deps.errors import (
    AuthError,
    ClaimError,
    ConfigurationError,
    InsufficientScopeError,
    InvalidTokenError,
    MissingTokenError,
    Reason,
)
from jwt_deps.possession import SenderPolicy, confirm
from jwt_deps.settings import JWTSettings, TokenSource, get_settings, settings_without_keys
from jwt_deps.tokens import (
    Claims,
    Principal,
    authenticate_claims,
    authenticate_token,
    check_found,
    filled_scopes,
    find_token,
    is_no_jwt,
    sent_with_dpop,
)

from . import _fastapi
from .factories import Dependency
from .request_state import STATE_KEY, RequestState, matched, state_of
from .responses import needed_scopes, refusal
from .websockets import answer_with_bearer

T = TypeVar("T")


def is_overridden(connection: HTTPConnection, dependency: Callable[..., Any]) -> bool:
    """Whether `app.dependency_overrides` replaces a dependency."""
    overrides = getattr(connection.scope.get("app"), "dependency_overrides", None)
    return bool(overrides) and dependency in cast("dict[Any, Any]", overrides)


class TokenDependency(SecurityBase, Dependency, Generic[T]):
    """A dependency that answers from the request's token.

    Every one takes the connection and the scopes that `Security(...)` asks for, and nothing
    else, because any other parameter would be input from the client. Being a `SecurityBase`, it
    puts the lock on the operations that use it.
    """

    #: Scopes that it needs by itself, for OpenAPI and for the challenge.
    scopes: tuple[str, ...] = ()
    #: Whether it refuses a request without a token even under `validate=False`.
    refuses_anonymous = False

    def __init__(self, answer: Callable[[HTTPConnection], Awaitable[T]]) -> None:
        self._answer = answer
        self._present(answer)

    def _present(self, answer: Callable[..., Any]) -> None:
        """Look like the function that answers, to OpenAPI and to people."""
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "JWT"
        self.__doc__ = answer.__doc__
        self.__name__ = getattr(answer, "__name__", type(self).__name__)
        # FastAPI asks for it with every route, and finding it out takes longest.
        self.__signature__ = _signature_of_instances(cast("Any", type(self)))

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> T:
        """Answer, or refuse the request.

        Raises:
            HTTPException: the refusal; or `WebSocketException` where a server cannot deny a
                handshake. The typed error is its `__cause__`.
        """
        try:
            if security_scopes.scopes:
                await require_granted(connection, security_scopes.scopes)
            return await self._answer(connection)
        except AuthError as error:
            raise await refused(error, connection) from error


def principal_dependency(read: Callable[[Principal], T]) -> TokenDependency[T]:
    """Make a dependency that reads its answer from the principal, once the token is verified."""

    @wraps(read)
    async def answer(connection: HTTPConnection) -> T:
        return read(await principal_of(connection))

    return TokenDependency(answer)


def token_dependency(call: Any) -> TokenDependency[Any] | None:
    """The `TokenDependency` that a callable is, or that a class such as `CurrentUser` stands for.

    A wrapper does not count: it may not call the dependency, or may swallow its refusal.
    """
    found = getattr(call, "func", None) if isinstance(call, type) else call
    return found if isinstance(found, TokenDependency) else None


@cache
def _signature_of_instances(kind: type[Any]) -> Signature:
    called = signature(kind.__call__)
    return called.replace(parameters=list(called.parameters.values())[1:])


@TokenDependency
async def get_token(connection: HTTPConnection) -> str:
    """The encoded token, found where the settings say to look and not yet verified.

    Returns:
        The text of the token. Only `get_claims` and what is built on it verifies it.

    Raises:
        HTTPException: 401 if there is none; 400 if there are several (RFC 6750 §3.1); 403 if it is
            in a cookie and the request comes from another site.
    """
    return await token_of(connection, await settings_for(connection))


get_token.refuses_anonymous = True


@principal_dependency
def get_claims(principal: Principal) -> Claims:
    """The claims of the verified token.

    Returns:
        A read-only mapping, with the registered claims as attributes. With `validate=False` it is
        empty for a request without a token that verifies.

    Raises:
        HTTPException: 401 without a token or with one that does not verify (RFC 6750 §3.1); 503 if
            keys or revocations cannot be fetched.
    """
    return principal.claims


async def refused(error: AuthError, connection: HTTPConnection) -> Exception:
    """The exception that answers for an error under the settings of the matched route."""
    settings = await settings_for(connection)
    match = matched(connection.scope, state_of(connection.scope))
    return refusal(settings, error, connection, match)


async def settings_for(
    connection: HTTPConnection, state: RequestState | None = None
) -> JWTSettings:
    """The settings that hold for the matched route: the innermost guard's, else `get_settings`."""
    if state is None:
        state = state_of(connection.scope)
    match = matched(connection.scope, state)
    if state.match is match and state.settings is not None:
        return state.settings
    settings = state.guard_settings(match)
    if settings is None:
        app = state.overriding_for(match)
        outer = None if app is None else _as_in(connection, app)
        settings = get_settings() if outer is None else await default_settings(outer)
    state.match, state.settings = match, settings
    return settings


def _as_in(connection: HTTPConnection, app: Any) -> HTTPConnection:
    """A request as an application further out would have it, whose overrides are to be asked."""
    if connection.scope.get("app") is app:
        return connection
    outer = copy(connection)
    outer.scope = {name: it for name, it in connection.scope.items() if name != STATE_KEY}
    outer.scope["app"] = app
    return outer


async def default_settings(connection: HTTPConnection) -> JWTSettings:
    """The settings where no guard has its own: those of `get_settings`, or of what replaces it.

    Raises:
        ConfigurationError: the environment holds no configuration that can work, or what replaces
            `get_settings` returns something else.
    """
    if is_overridden(connection, get_settings):
        override = connection.scope["app"].dependency_overrides[get_settings]
        if isinstance(override, type) and issubclass(override, JWTSettings):
            return override()  # FastAPI would take its parameters for inputs of the client
        given = await _override_answer(connection, get_settings)
        if isinstance(given, JWTSettings):
            return given
        raise ConfigurationError(
            "not_settings",
            f"What replaces get_settings returned {type(given).__name__}: return a JWTSettings.",
        )
    if is_overridden(connection, get_claims):
        return settings_without_keys()
    return get_settings()


async def principal_of(
    connection: HTTPConnection, settings: JWTSettings | None = None
) -> Principal:
    """The principal of the request, authenticated once per request and settings.

    It is written to `request.state` under the names that the AgentOS middleware uses.

    Raises:
        AuthError: there is no token, or one that does not verify, and `validate` is on.
    """
    found = await principal_or_error(connection, settings)
    if isinstance(found, AuthError):
        raise found
    return found


async def principal_or_error(
    connection: HTTPConnection,
    settings: JWTSettings | None = None,
    state: RequestState | None = None,
) -> Principal | AuthError:
    """The principal of the request, or the error with which it will be refused."""
    scope = connection.scope
    if state is None:
        state = state_of(scope)
    if settings is None:
        settings = await settings_for(connection, state)
    known = state.principal(scope, settings)
    if known is not None:
        return known
    found: Principal | AuthError
    try:
        if state.overriding is not None and is_overridden(connection, get_claims):
            found = await _principal_by_override(connection, settings)
        else:
            token = None if state.overriding is None else await _token_by_override(connection)
            if token is None:
                token = sent_token(connection, settings)
            found = await authenticate_token(token, settings)
            if (policy := settings.server.sender_policy) is not None:
                await _confirm_sender(scope, policy, found.claims, token, state)
    except AuthError as error:
        found = error
        if settings.server.credentials:
            found = await _by_other_credentials(connection, settings, error, state)
    return state.record(scope, settings, found)


async def _confirm_sender(
    scope: Scope, policy: SenderPolicy, claims: Claims, token: str, state: RequestState
) -> None:
    """Check that the sender has the key or certificate that a token is bound to (RFC 7800)."""
    by_dpop = sent_with_dpop(scope["headers"], policy.token_header, token)
    bound = claims.get("cnf") or {}
    await confirm(scope, token, bound, policy, by_dpop=by_dpop, used=state.proofs)


async def _by_other_credentials(
    connection: HTTPConnection, settings: JWTSettings, error: AuthError, state: RequestState
) -> Principal | AuthError:
    """The principal of a credential other than a JWT; the error if there is none."""
    # A JWT that is expired or forged is refused, whatever else the request has.
    if not (isinstance(error, MissingTokenError) or is_no_jwt(error)):
        return error
    try:
        for credential in settings.server.credentials:
            try:
                with state.decision.making():
                    found: object = await credential(connection)
            except InvalidTokenError as unknown:
                if unknown.reason is not Reason.INACTIVE:
                    raise
                error = unknown  # of one authorization server: another may have issued it
                continue
            if isinstance(found, Principal):  # of this package, which has checked all
                return found
            if found is not None:
                is_bearer = not isinstance(error, MissingTokenError)
                is_bearer = is_bearer and getattr(credential, "is_bearer", True)
                return await _principal_with(found, connection, settings, state, is_bearer)
    except AuthError as refusal:
        return refusal
    return error


async def _principal_with(
    claims: object,
    connection: HTTPConnection,
    settings: JWTSettings,
    state: RequestState,
    is_bearer: bool,  # noqa: FBT001 - whether the bearer token is the credential
) -> Principal:
    """The principal for what a credential other than a JWT returned."""
    if not isinstance(claims, Claims):  # what `HTTPBasic()` returns is not yet verified
        raise ConfigurationError(
            "credential_form",
            f"A credential returned {type(claims).__name__}: return Claims(...) of what was "
            "verified, or None.",
        )
    if not claims:
        raise ClaimError(Reason.CLAIM_MISSING, "sub", "its credential has no claims")
    token = await token_of(connection, settings) if is_bearer else ""
    principal = await authenticate_claims(claims, settings, token)
    policy = settings.server.sender_policy
    if policy is not None and (is_bearer or "cnf" in claims):
        await _confirm_sender(connection.scope, policy, claims, token, state)
    return principal


async def require_granted(
    connection: HTTPConnection, needed: Sequence[str], settings: JWTSettings | None = None
) -> Principal:
    """Refuse a request whose token lacks one of the scopes.

    Raises:
        InsufficientScopeError: as `lacking_scopes`.
    """
    principal = (await principal_of(connection, settings)).require_authenticated()
    error = lacking_scopes(principal, connection.scope, needed)
    if error is not None:
        raise error
    return principal


async def refuse_without(
    connection: HTTPConnection, needed: Sequence[str], settings: JWTSettings | None = None
) -> None:
    """Refuse a request whose token lacks one of the scopes, with its answer.

    A `TokenDependency` answers by itself what `require_granted` raises.

    Raises:
        HTTPException: the refusal; or `WebSocketException`.
    """
    try:
        await require_granted(connection, needed, settings)
    except AuthError as error:
        raise await refused(error, connection) from error


def lacking_scopes(
    principal: Principal, scope: Scope, needed: Sequence[str], *, any_of: bool = False
) -> InsufficientScopeError | None:
    """The error for a principal who lacks one of the scopes, or with `any_of` all of them.

    It names every scope that the route needs, not only the first one missing, so that a client can
    ask for all of them at once.
    """
    grants, values = principal.grants, scope.get("path_params", {})
    has = [grants.has(one, values) for one in needed]
    if any(has) if any_of else all(has):
        return None
    return InsufficientScopeError(
        dict.fromkeys((*filled_scopes(needed, values), *scopes_of_route(scope)))
    )


def scopes_of_route(scope: Scope) -> list[str]:
    """Every scope that the matched route asks for, in the order declared, each once."""
    state = state_of(scope)
    needed = needed_scopes(matched(scope, state), scope, state.settings)
    return filled_scopes(needed, scope.get("path_params", {}))


async def _principal_by_override(connection: HTTPConnection, settings: JWTSettings) -> Principal:
    """The principal for the claims that an override of `get_claims` returns."""
    claims: Mapping[str, Any] = await _override_answer(connection, get_claims)
    given = claims if isinstance(claims, Claims) else Claims(claims)
    accepted = settings.server.accepted
    await accepted.resolve(given.iss)
    issuer = accepted.of(given.iss) or accepted.without_issuer(given.iss, settings.policy)
    return Principal(given, issuer.policy.settings, prefix=issuer.prefix)


async def _override_answer(connection: HTTPConnection, dependency: Callable[..., Any]) -> Any:
    """What the override of a dependency returns, which is called once per request."""
    state = state_of(connection.scope)
    if dependency not in state.override_answers:
        with state.decision.making():
            state.override_answers[dependency] = await _fastapi.call(connection, dependency)
    return state.override_answers[dependency]


async def token_of(connection: HTTPConnection, settings: JWTSettings) -> str:
    """The encoded token, from the override of `get_token` or from where the settings say to look.

    Raises:
        AuthError: there is none, or not exactly one, or it came from another site.
    """
    given = await _token_by_override(connection)
    return sent_token(connection, settings) if given is None else given


async def _token_by_override(connection: HTTPConnection) -> str | None:
    """The token that the override of `get_token` gives; `None` if there is no override.

    Raises:
        MissingTokenError: it gives none.
    """
    if not is_overridden(connection, get_token):
        return None
    given: str | None = await _override_answer(connection, get_token)
    if given is None:
        raise MissingTokenError("Invalid token: none was given")
    return given


def sent_token(connection: HTTPConnection, settings: JWTSettings) -> str:
    """The encoded token, from where the settings say to look.

    Raises:
        AuthError: there is none, or not exactly one, or it came from another site.
    """
    scope = connection.scope
    if (getter := settings.token_getter) is not None:
        return check_found(getter(connection), scope, settings)
    token = find_token(scope, settings)
    if isinstance(connection, WebSocket) and settings.token_source is not TokenSource.COOKIE:
        answer_with_bearer(connection)
    return token
