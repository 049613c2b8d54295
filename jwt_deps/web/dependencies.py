"""What can a route ask of its token? The callables to put into `Depends()`."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from inspect import unwrap
from typing import Any, TypeVar, cast, overload

from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from pydantic import BaseModel, ValidationError

from jwt_deps.errors import AuthError, ClaimError, ConfigurationError, MissingTokenError, Reason
from jwt_deps.tokens.principal import Principal, dependencies_of, session_state_of

from . import _fastapi
from .caller import (
    CallerDependency,
    TokenDependency,
    caller_of,
    get_claims,
    is_overridden,
    refused,
    require,
    settings_for,
    token_of,
)
from .responses import is_scope

__all__ = [
    "claims_as",
    "current_session_id",
    "current_user_id",
    "get_dependencies",
    "get_scopes",
    "get_session_state",
    "is_optional",
    "optional",
    "require_any_scope",
    "require_scopes",
]

_OPTIONAL = "__jwt_deps_optional__"

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)


@CallerDependency
def current_user_id(caller: Principal) -> str:
    """The id of the user that the token names; 401 if it names none."""
    return caller.user_id


@CallerDependency
def current_session_id(caller: Principal) -> str | None:
    """The id of the session that the token names, if any."""
    return caller.session_id


@CallerDependency
def get_scopes(caller: Principal) -> frozenset[str]:
    """The scopes that the token grants."""
    return caller.scopes


@CallerDependency
def get_dependencies(caller: Principal) -> Mapping[str, Any]:
    """The claims that `dependencies_claims` names, read-only."""
    return dependencies_of(caller.claims, caller.settings)


@CallerDependency
def get_session_state(caller: Principal) -> Mapping[str, Any]:
    """The claims that `session_state_claims` names, read-only."""
    return session_state_of(caller.claims, caller.settings)


@cache
def _claims_as(model: type[BaseModel]) -> TokenDependency[BaseModel]:
    @CallerDependency
    def claims_as_model(caller: Principal) -> BaseModel:
        """The verified claims as the model has them."""
        try:
            return model.model_validate(dict(caller.claims))
        except ValidationError as error:
            location = error.errors(include_url=False, include_context=False)[0]["loc"]
        # Raised out here, because pydantic's error holds the claims' values.
        claim = str(location[0]) if location else model.__name__
        raise ClaimError(
            Reason.CLAIM_INVALID, claim, "its claims are not those that this service needs"
        )

    return claims_as_model


def claims_as(model: type[ModelT]) -> TokenDependency[ModelT]:
    """Make the dependency that validates the verified claims into a pydantic model.

    The same model gives the same callable, so that FastAPI runs it once per request and tests
    can override it. Claims that do not fit are 401 `invalid_token`.

    Raises:
        ConfigurationError: it is not a pydantic model.
    """
    given: object = model
    if not (isinstance(given, type) and issubclass(given, BaseModel)):
        raise ConfigurationError(
            "not_a_model", "claims_as takes a pydantic model, a subclass of BaseModel."
        )
    return cast("TokenDependency[ModelT]", _claims_as(model))


@overload
def optional(dependency: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T | None]]: ...
@overload
def optional(dependency: Callable[..., T]) -> Callable[..., Awaitable[T | None]]: ...
def optional(dependency: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Make the same dependency, answering `None` when the request carries no credential.

    A credential that is present and bad is still refused. It takes the dependencies of this
    package and any of the caller's own; the same one gives the same callable.
    """
    return _optional(dependency)


@cache
def _optional(dependency: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def optional_dependency(
        connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> Any:
        try:
            # Scopes asked for are asked of everybody: nobody has none of them.
            if not (security_scopes.scopes or await _has_credential(connection, dependency)):
                return None
        except AuthError as error:
            raise await refused(error, connection) from error
        called = unwrap(dependency)
        if isinstance(called, TokenDependency) and not (is_overridden(connection, dependency)):
            return await called(connection=connection, security_scopes=security_scopes)
        return await _fastapi.call(connection, dependency, security_scopes.scopes)

    setattr(optional_dependency, _OPTIONAL, True)
    return optional_dependency


def is_optional(dependency: Callable[..., Any]) -> bool:
    """Whether that is a dependency that `optional` made."""
    return getattr(dependency, _OPTIONAL, False) is True


async def _has_credential(connection: HTTPConnection, dependency: Callable[..., Any]) -> bool:
    if any(is_overridden(connection, it) for it in (dependency, get_claims)):
        return True  # the replacement speaks for the caller, whatever the request carries
    settings = await settings_for(connection)
    try:
        await token_of(connection, settings)
    except MissingTokenError:
        return False
    except AuthError:
        if settings.validate:
            raise
    return settings.validate or (await caller_of(connection, settings)).error is None


class _RequireScopes(TokenDependency[None]):
    def __init__(self, scopes: tuple[str, ...], *, any_of: bool) -> None:
        wrong = [scope for scope in scopes if not is_scope(scope)]
        if wrong or not scopes:
            raise ConfigurationError(
                "scope_names",
                "require_scopes and require_any_scope take one or more scopes, each without "
                "spaces, quotes or backslashes (RFC 6749 §3.3), each as an argument of its own.",
            )

        async def scopes_required(connection: HTTPConnection) -> None:
            """Nothing: the caller has the scopes, or is refused with 403."""
            await require(connection, scopes, any_of=any_of)

        super().__init__(scopes_required)
        self.scopes = scopes
        self.any_of = any_of


_required = cache(_RequireScopes)


def require_scopes(*scopes: str) -> TokenDependency[None]:
    """Make the dependency that refuses a token which lacks one of the scopes.

    403 `insufficient_scope`, naming every scope that the route needs (RFC 6750 §3.1). The same
    scopes give the same callable.

    Raises:
        ConfigurationError: no scope, or a text that cannot be one.
    """
    return _required(tuple(map(str, scopes)), any_of=False)


def require_any_scope(*scopes: str) -> TokenDependency[None]:
    """Make the dependency that refuses a token which has none of the scopes.

    The same scopes give the same callable.

    Raises:
        ConfigurationError: no scope, or a text that cannot be one.
    """
    return _required(tuple(map(str, scopes)), any_of=True)
