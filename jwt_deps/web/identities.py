"""`CurrentUser` and `SessionState`: classes that FastAPI makes of the verified token.

FastAPI calls a class that is a dependency in a thread, with arguments from the request. Here
neither may happen, so each of these classes names in `__wrapped__`, as `functools.wraps` does, the
dependency that reads the verified token. FastAPI looks there from 0.123 on, for what to await, its
parameters and its lock in OpenAPI.

For a FastAPI that does not look there, the class takes that dependency's answer as its parameter
and has an asynchronous generator as `__call__`, which every FastAPI runs in the event loop.
"""

from abc import ABCMeta
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

from fastapi import Depends
from fastapi.applications import FastAPI

from jwt_deps.errors import ConfigurationError
from jwt_deps.tokens.claims import ClaimMapping, Claims
from jwt_deps.tokens.principal import Principal, session_state_of

from .caller import CallerDependency

__all__ = ["CurrentUser", "SessionState"]


def _is_wrapped_awaited() -> bool:
    """Whether this FastAPI awaits what a class names in `__wrapped__`: one request finds it out.

    It takes a millisecond and needs no event loop. However it fails, the other way works.
    """
    answers: list[object] = []

    async def wrapped() -> str:
        return "awaited"

    class Trial:
        __wrapped__ = wrapped

        def __new__(cls) -> Any:
            return wrapped()

    async def endpoint(answer: Annotated[Any, Depends(Trial)]) -> None:
        answers.append(answer)

    async def nothing(*_: Any) -> Any: ...

    head = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    with suppress(Exception):  # StopIteration too, with which a coroutine ends
        app = FastAPI(openapi_url=None)
        app.add_api_route("/", endpoint)
        request = app(head, nothing, nothing)
        with closing(request):
            request.send(None)
    return answers == ["awaited"]


_WRAPPED_IS_AWAITED = _is_wrapped_awaited()
_FROM_WRAPPED = {"connection", "security_scopes"}
_FROM_GENERATOR = {"verified_by_jwt_deps"}


async def _hand_on(verified_by_jwt_deps: object) -> AsyncIterator[object]:
    yield verified_by_jwt_deps


class _Injected(type):
    """The class of classes that are made of the verified token when FastAPI calls them."""

    _dependency: CallerDependency[Any]
    _of: Any

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        super().__init__(name, bases, members)
        cls._dependency = CallerDependency(cls._of)
        cls._dependency.__name__, cls._dependency.__doc__ = name, cls.__doc__
        if not _WRAPPED_IS_AWAITED:
            cls.__call__ = staticmethod(_hand_on)  # type: ignore[method-assign]

    # Properties of the classes and not of their instances.

    @property
    def __wrapped__(cls) -> CallerDependency[Any]:
        """What FastAPI calls in place of the class."""
        return cls._dependency

    @property
    def __signature__(cls) -> Signature:
        """What FastAPI passes: nothing that a client sends."""
        if _WRAPPED_IS_AWAITED:
            return cls._dependency.__signature__
        (name,), verified = _FROM_GENERATOR, Annotated[Any, Depends(cls._dependency)]
        return Signature([Parameter(name, Parameter.KEYWORD_ONLY, annotation=verified)])

    if not TYPE_CHECKING:  # pragma: no branch - a type checker goes by the constructor

        def __call__(cls, *arguments: Any, **members: Any) -> Any:
            """Make an instance; for FastAPI, answer with one that is made of the token."""
            if not arguments:
                if members.keys() == _FROM_WRAPPED:
                    return cls._dependency(**members)
                if members.keys() == _FROM_GENERATOR:
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
        f"Annotated[{cls.__name__}, Depends()] or Depends({cls.__name__}).",
    )


class _InjectedMapping(_Injected, ABCMeta):
    """The same for a mapping, whose own metaclass is `ABCMeta`."""


@dataclass(frozen=True)
class CurrentUser(metaclass=_Injected):
    """The user that the verified token names: `user: Annotated[CurrentUser, Depends()]`.

    A request without a token, or whose token names no user, is refused with 401. A subclass is a
    dependency too, and what it adds to the constructor needs defaults. A test makes one with
    `CurrentUser("alice", None, frozenset(), Claims({}))`. Its `repr` shows no value.

    Attributes:
        id: the user's id, from the claim that `user_id_claim` names.
        session_id: the session's id, from the claim that `session_id_claim` names; `None` if the
            token has none.
        scopes: the scopes granted.
        claims: all verified claims.
        issuer: the token's `iss`, if it has one.
        client_id: the client that the token was issued to: the claim `client_id` (RFC 9068 §2.2),
            else `azp` (OpenID Connect Core §2).
        roles: the roles granted; none yet, as no setting names the claim that holds them.
    """

    id: str = field(repr=False)
    session_id: str | None = field(repr=False)
    scopes: frozenset[str] = field(repr=False)
    claims: Claims = field(repr=False)
    issuer: str | None = field(default=None, repr=False)
    client_id: str | None = field(default=None, repr=False)
    roles: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def _of(cls, principal: Principal) -> Self:
        return cls(*principal.known().identity)


class SessionState(ClaimMapping, metaclass=_InjectedMapping):
    """The session state in the verified token: `state: Annotated[SessionState, Depends()]`.

    A read-only mapping of the claims that `session_state_claims` names; empty if the token has
    none of them. A request without a token is refused with 401. A test makes one with
    `SessionState({"cart": "c1"})`. Its `repr` shows names and no values.
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
        return cls(session_state_of(principal.claims, principal.settings))
