"""The callables for `Depends()`: what a route can ask of its token.

FastAPI calls a class that is a dependency in a thread, with arguments from the request. For
`CurrentUser` and `SessionState` neither may happen, so each names the dependency that reads the
verified token, in `func` as a `functools.partial` does, which it says it is: FastAPI looks there,
newer ones before they ask for a class, for what to await and for its lock in OpenAPI.
(`__wrapped__` is not enough: `inspect.unwrap` stops at a class since Python 3.13.) For a FastAPI
that does not look, the class takes that dependency's answer as its parameter and has an
asynchronous generator as `__call__`, which such a FastAPI runs in the event loop.
"""

import math
import time
from abc import ABCMeta
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self, TypeVar, cast, overload

import anyio
from fastapi import APIRouter, Depends
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from pydantic import BaseModel, ValidationError

from jwt_deps.errors import (
    AuthError,
    ClaimError,
    ConfigurationError,
    ExpiredTokenError,
    MissingTokenError,
    Reason,
)
from jwt_deps.tokens import (
    ClaimMapping,
    Claims,
    Principal,
    client_id_of,
    digest_of,
)

from . import _fastapi
from .factories import Dependency, dependency_factory, identity_of
from .request_principal import (
    TokenDependency,
    get_claims,
    is_overridden,
    principal_dependency,
    principal_of,
    principal_or_error,
    refused,
    settings_for,
    token_dependency,
    token_of,
)
from .routing import guards_among


class _LikePartial(type):
    """The class of classes that FastAPI takes for a `functools.partial` of their `func`."""

    @property  # type: ignore[misc] # which cannot be set
    def __class__(cls) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What `isinstance(cls, partial)` asks; `type(cls)` is another question."""
        return partial


def _is_func_awaited() -> bool:
    """Whether this FastAPI awaits what such a class names: one request finds it out.

    It takes a millisecond and needs no event loop. A router has it, because an application would
    record the request in the process's telemetry.
    """
    answers: list[object] = []

    async def named() -> str:
        return "awaited"

    class Trial(metaclass=_LikePartial):
        func, __signature__ = named, Signature()

        def __new__(cls) -> Any:
            return named()

    async def endpoint(answer: Annotated[Any, Depends(Trial)]) -> None:
        answers.append(answer)

    async def nothing(*_: Any) -> Any: ...

    with suppress(Exception):  # StopIteration too, with which a coroutine ends
        router = APIRouter()
        router.add_api_route("/", endpoint)
        request = router(_fastapi.scope_of_get("/", router), nothing, nothing)
        with closing(request):
            request.send(None)
    return answers == ["awaited"]


#: Otherwise they are generators, which works up to FastAPI 0.136: the guards refuse newer ones.
CLASSES_ARE_AWAITED = _is_func_awaited()
_FROM_FUNC = {"connection", "security_scopes"}
_FROM_GENERATOR = {"verified_by_jwt_deps"}


async def _hand_on(verified_by_jwt_deps: object) -> AsyncIterator[object]:  # old FastAPI
    yield verified_by_jwt_deps


class _Injected(_LikePartial):
    """The class of classes that are made of the verified token when FastAPI calls them."""

    _dependency: TokenDependency[Any]
    _of: Any
    _refuses_anonymous = False

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        super().__init__(name, bases, members)
        cls._dependency = principal_dependency(cls._of)
        cls._dependency.__name__, cls._dependency.__doc__ = name, cls.__doc__
        cls._dependency.refuses_anonymous = cls._refuses_anonymous
        if not CLASSES_ARE_AWAITED:  # old FastAPI
            cls.__call__ = staticmethod(_hand_on)  # type: ignore[method-assign]

    # Properties of the classes and not of their instances.

    @property
    def func(cls) -> TokenDependency[Any]:
        """What FastAPI calls in place of the class."""
        return cls._dependency

    @property
    def __signature__(cls) -> Signature:
        """What FastAPI passes: nothing that a client sends."""
        if not CLASSES_ARE_AWAITED:  # old FastAPI
            (name,), verified = _FROM_GENERATOR, Annotated[Any, Depends(cls._dependency)]
            return Signature([Parameter(name, Parameter.KEYWORD_ONLY, annotation=verified)])
        return cls._dependency.__signature__

    if TYPE_CHECKING:
        pass  # a type checker goes by the constructor
    else:

        def __call__(cls, *arguments: Any, **members: Any) -> Any:
            """Make an instance; for FastAPI, answer with one that is made of the token."""
            if not arguments:
                if members.keys() == _FROM_FUNC:
                    return cls._dependency(**members)
                if members.keys() == _FROM_GENERATOR:  # old FastAPI
                    return _hand_on(**members)
            return super().__call__(*arguments, **members)

    def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
        """Refuse to be a parameter or a body: an identity must never come from the client.

        Raises:
            ConfigurationError: always, when the route is registered.
        """
        raise _no_input(cls)


def _no_input(cls: type) -> ConfigurationError:
    return ConfigurationError(
        "identity_as_input",
        f"{cls.__name__} is a dependency, not input: write "
        f"Annotated[{cls.__name__}, Depends()] or Depends({cls.__name__}), and annotate an "
        "endpoint that returns one with a model of your own.",
    )


class _InjectedMapping(_Injected, ABCMeta):
    """The same for a mapping, whose own metaclass is `ABCMeta`."""


@dataclass(frozen=True, repr=False)
class CurrentUser(metaclass=_Injected):
    """The user that the verified token names: `user: Annotated[CurrentUser, Depends()]`.

    A request without a token, or whose token names no user, is refused with 401. A subclass is a
    dependency too, and what it adds to the constructor needs defaults. A test makes one with
    `CurrentUser("alice", None, frozenset(), Claims({}))`. Its `repr` shows a digest and no value.

    Attributes:
        id: the user's id, from the claim that `user_id_claim` names.
        session_id: the session's id, from the claim that `session_id_claim` names; `None` if the
            token has none.
        scopes: the scopes granted.
        claims: all verified claims.
        issuer: the token's `iss`, if it has one.
        client_id: the client that the token was issued to: the claim `client_id` (RFC 9068 §2.2),
            else `azp` (OpenID Connect Core §2).
        roles: the roles of the claim that `roles_claim` names; none if it is not set.
    """

    id: str = field(repr=False)
    session_id: str | None = field(repr=False)
    scopes: frozenset[str] = field(repr=False)
    claims: Claims  # its digest is in the `repr` of subclasses that are dataclasses
    issuer: str | None = field(default=None, repr=False)
    client_id: str | None = field(default=None, repr=False)
    roles: frozenset[str] = field(default=frozenset(), repr=False)

    _refuses_anonymous = True

    def __repr__(self) -> str:
        values = [*map(repr, (self.id, self.session_id, self.issuer, self.client_id, self.claims))]
        digest = digest_of([values, sorted(self.scopes), sorted(self.roles)])
        return f"<{type(self).__name__} {digest}>"

    @classmethod
    def _of(cls, principal: Principal) -> Self:
        return cls(*principal.require_authenticated().identity)


class SessionState(ClaimMapping, metaclass=_InjectedMapping):
    """The session state in the verified token: `state: Annotated[SessionState, Depends()]`.

    A read-only mapping of the claims that `session_state_claims` names; empty if the token has
    none of them. A request without a token is refused with 401. A test makes one with
    `SessionState({"cart": "c1"})`. Its `repr` shows names and a digest, and no values.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
        """Refuse to be a parameter or a body, as `CurrentUser` does.

        Raises:
            ConfigurationError: always, when the route is registered.
        """
        raise _no_input(cls)

    @classmethod
    def _of(cls, principal: Principal) -> Self:
        return cls(principal.session_state)


@asynccontextmanager
async def until_expiry(user: CurrentUser | Claims) -> AsyncIterator[None]:
    """End a block when the token expires, in a WebSocket or a stream that outlives the check.

        async with until_expiry(user):
            async for text in websocket.iter_text():
                await websocket.send_text(text)

    That is at its `exp`, or `max_token_age` after its `iat`. The block is cancelled where it waits.
    Do not `yield` inside it, because the code that takes the value would be cancelled instead.

    Args:
        user: the user, or the claims that `verify_token` or `get_claims` returned. Without `exp`
            and `max_token_age` the block is never ended.

    Raises:
        ExpiredTokenError: the token has expired, before the block or in it; `leeway` is not added.
            Nothing answers it: catch it and close the connection.
    """
    claims = user if isinstance(user, Claims) else user.claims
    ends = claims.expires_at
    left = math.inf if ends is None else ends - time.time()
    if left <= 0:
        raise ExpiredTokenError
    with anyio.move_on_after(left) as scope:
        yield
    if scope.cancelled_caught:
        raise ExpiredTokenError


T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)


@principal_dependency
def current_user_id(principal: Principal) -> str:
    """The id of the user: the claim that `user_id_claim` names, `sub` unless set otherwise.

        @app.get("/me")
        async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str: ...

    Returns:
        The id, with the issuer's `user_id_prefix` if it has one. An integer claim becomes text.

    Raises:
        HTTPException: 401 without a token, with one that does not verify, or with one that has no
            such claim (RFC 6750 §3.1); 503 if keys or revocations cannot be fetched.
    """
    return principal.user_id


current_user_id.refuses_anonymous = True


@principal_dependency
def current_client_id(principal: Principal) -> str:
    """The client that the token was issued to: `client_id` (RFC 9068 §2.2), else `azp`.

    Tokens of programs (the client credentials grant) name no user, or their client as `sub`.

    Returns:
        The id, as the issuer has it.

    Raises:
        HTTPException: 401 without a token, with one that does not verify, or with one that names no
            client (RFC 6750 §3.1); 503 if keys or revocations cannot be fetched.
    """
    client_id = client_id_of(principal.require_authenticated().claims)
    if client_id is None:
        raise ClaimError(Reason.CLAIM_MISSING, "client_id", "it names no client")
    return client_id


current_client_id.refuses_anonymous = True


@principal_dependency
def current_session_id(principal: Principal) -> str | None:
    """The id of the session: the claim that `session_id_claim` names.

    Returns:
        The id; `None` if the token has no such claim.

    Raises:
        HTTPException: 401 without a token, with one that does not verify, or with a claim that is
            neither a text nor an integer (RFC 6750 §3.1); 503 if keys or revocations cannot be
            fetched.
    """
    return principal.session_id


@principal_dependency
def get_scopes(principal: Principal) -> frozenset[str]:
    """The scopes that the token grants (RFC 6749 §3.3).

    Returns:
        The scopes of the claim that `scopes_claim` names, else of `scope` or `scp`; an empty set
        if the token has none.

    Raises:
        HTTPException: 401 without a token or with one that does not verify (RFC 6750 §3.1); 503 if
            keys or revocations cannot be fetched.
    """
    return principal.scopes


@principal_dependency
def get_dependencies(principal: Principal) -> Mapping[str, Any]:
    """The claims that `dependencies_claims` names, as AgentOS takes them for a run.

    Returns:
        A read-only mapping from the name of the claim to its value, without those that the token
        does not have.

    Raises:
        HTTPException: 401 without a token or with one that does not verify (RFC 6750 §3.1); 503 if
            keys or revocations cannot be fetched.
    """
    return principal.dependencies


@principal_dependency
def get_session_state(principal: Principal) -> Mapping[str, Any]:
    """The claims that `session_state_claims` names, as AgentOS takes them for a session.

    Returns:
        A read-only mapping from the name of the claim to its value, without those that the token
        does not have.

    Raises:
        HTTPException: 401 without a token or with one that does not verify (RFC 6750 §3.1); 503 if
            keys or revocations cannot be fetched.
    """
    return principal.session_state


@cache
def _claims_as(model: type[BaseModel]) -> TokenDependency[BaseModel]:
    @principal_dependency
    def claims_as_model(principal: Principal) -> BaseModel:
        """The verified claims as the model has them."""
        try:
            return model.model_validate(dict(principal.claims))
        except ValidationError as error:
            location = error.errors()[0]["loc"]
        # Raised out here, because pydantic's error holds the claims' values.
        claim = str(location[0]) if location else model.__name__
        raise ClaimError(
            Reason.CLAIM_INVALID, claim, "its claims are not those that this service needs"
        )

    return claims_as_model


@dependency_factory
def claims_as(model: type[ModelT]) -> TokenDependency[ModelT]:
    """Make the dependency that validates the verified claims into a pydantic model.

        profile: Annotated[Profile, Depends(claims_as(Profile))]

    Args:
        model: a subclass of `pydantic.BaseModel`, validated from a dict of all claims.

    Returns:
        A dependency that returns an instance of the model. Claims that do not fit, or no token,
        are refused with 401 `invalid_token` (RFC 6750 §3.1); with `validate=False` a request
        without a token has no claims. The same model gives the same callable, so that FastAPI
        runs it once per request and tests can override it.

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
@dependency_factory
def optional(dependency: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Make the same dependency, which returns `None` when the request carries no credential.

        user_id: Annotated[str | None, Depends(optional(current_user_id))]

    Args:
        dependency: one of this package, or one of your own that is built on these. It is run apart:
            what it depends on, a database session for instance, is not the one that the endpoint
            has, and takes a second place of its `max_concurrency`; headers or background tasks that
            it sets are lost.

    Returns:
        A dependency. A credential that is present and bad is still refused with 401. So is, by a
        guard, a request without one, unless the route is public. The same argument gives the same
        callable.

    Raises:
        ConfigurationError: it has a parameter from the body, or is `Claims` or the like, which no
            request can bring.
    """
    _fastapi.refuse_body([Depends(dependency)])
    key = identity_of(dependency)  # none of these is ever dropped
    if key not in _optionals:
        _optionals[key] = _Optional(dependency)
    return _optionals[key]


_optionals: dict[tuple[int, ...], Callable[..., Awaitable[Any]]] = {}


class _Optional(Dependency):
    def __init__(self, dependency: Callable[..., Any]) -> None:
        self.__name__, self.__doc__ = "optional", getattr(dependency, "__doc__", None)
        self.of = dependency

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> Any:
        try:
            # A request without a token has no scopes, and is refused where some are needed.
            if not (security_scopes.scopes or await _has_credential(connection, self.of)):
                return None
        except AuthError as error:
            raise await refused(error, connection) from error
        called = token_dependency(self.of)
        if (
            called is not None
            and "own" not in called.__signature__.parameters
            and not is_overridden(connection, self.of)
        ):
            return await called(connection=connection, security_scopes=security_scopes)
        return await _fastapi.call(connection, self.of, security_scopes.scopes)


def optional_of(dependency: Any) -> Callable[..., Any] | None:
    """What `optional` made a dependency of; `None` of any other."""
    return dependency.of if isinstance(dependency, _Optional) else None


def is_optional(dependency: Callable[..., Any]) -> bool:
    """Whether that is a dependency that `optional` made."""
    return isinstance(dependency, _Optional)


async def _has_credential(connection: HTTPConnection, dependency: Callable[..., Any]) -> bool:
    if any(is_overridden(connection, it) for it in (dependency, get_claims)):
        return True  # the override decides, with or without a credential
    guards = guards_among([Depends(dependency)])
    own = guards[0].settings if guards else None
    settings = await settings_for(connection) if own is None else own
    try:
        await token_of(connection, settings)
    except MissingTokenError:
        if not settings.server.credentials:
            return False
        found = await principal_or_error(connection, settings)
        if isinstance(found, AuthError):
            return not isinstance(found, MissingTokenError)
        return found.error is None  # with `validate=False` an anonymous request has one
    except AuthError:
        if settings.validate:
            raise
    return settings.validate or (await principal_of(connection, settings)).error is None
