"""How can a class be a dependency without a thread hop, and never be built from a request?

FastAPI runs `Depends(SomeClass)` in a thread, because a constructor is no coroutine function. So
what is called `CurrentUser` at run time is a dependency like all others, and stands for its class
where a class is expected: in annotations, for `isinstance`. Type checkers see the class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, Union, cast

from fastapi.requests import HTTPConnection

from .claims import ClaimMapping, Claims
from .credentials import Caller, TokenDependency, caller_of
from .errors import ConfigurationError
from .principals import scopes_of, session_id_of, session_state_of, user_id_of

__all__ = ["CurrentUser", "SessionState"]

T = TypeVar("T")


class _ClassDependency(TokenDependency[Any]):
    def __init__(self, cls: type[Any], build: Callable[[type[Any], Caller], Any]) -> None:
        async def answer(connection: HTTPConnection) -> object:
            return build(cls, await caller_of(connection))

        super().__init__(answer)
        self._class = cls
        self.__name__, self.__qualname__, self.__doc__ = cls.__name__, cls.__qualname__, cls.__doc__

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._class)

    def __mro_entries__(self, _: tuple[object, ...]) -> NoReturn:
        # A subclass would be an ordinary class to FastAPI, with its fields read from the request.
        raise ConfigurationError(
            f"{self.__name__} cannot be a base class: write a dependency of your own on top of it."
        )

    def __or__(self, other: Any) -> Any:
        return Union[self._class, other]  # noqa: UP007 - made, not annotated

    def __ror__(self, other: Any) -> Any:
        return Union[other, self._class]  # noqa: UP007 - made, not annotated

    def __get_pydantic_core_schema__(self, *_: object) -> NoReturn:
        """Refuse to be a parameter or a body: an identity must never come from the client.

        Raises:
            ConfigurationError: always, when the route is registered.
        """
        raise _no_input(self.__name__)


def _dependency(build: Callable[[Any, Caller], Any]) -> Callable[[type[T]], type[T]]:
    def decorate(cls: type[T]) -> type[T]:
        return cast("type[T]", _ClassDependency(cls, build))

    return decorate


def _no_input(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is a dependency, not input: write Annotated[{name}, Depends()] or Depends({name})."
    )


def _build_user(cls: type[Any], caller: Caller) -> object:
    claims, settings = caller.known().claims, caller.settings
    return cls(
        user_id_of(claims, settings),
        session_id_of(claims, settings),
        scopes_of(claims, settings),
        claims,
    )


def _build_state(cls: type[Any], caller: Caller) -> object:
    return cls(session_state_of(caller.claims, caller.settings))


@_dependency(_build_user)
@dataclass(frozen=True, slots=True, repr=False)
class CurrentUser:
    """The user that the verified token names: `user: Annotated[CurrentUser, Depends()]`.

    A token that names no user is refused with 401.

    Attributes:
        id: the user's id.
        session_id: the session's id, if the token names one.
        scopes: the scopes granted.
        claims: all verified claims.
    """

    id: str
    session_id: str | None
    scopes: frozenset[str]
    claims: Claims

    def __repr__(self) -> str:
        return "<CurrentUser>"

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
        """Refuse to be a parameter or a body, in a union too."""
        raise _no_input("CurrentUser")


@_dependency(_build_state)
class SessionState(ClaimMapping):
    """The session state in the verified token: `state: Annotated[SessionState, Depends()]`.

    A read-only mapping of the claims that `session_state_claims` names.
    """

    __slots__ = ()
