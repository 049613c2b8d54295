"""How can a class be a dependency without a thread hop, and never be built from a request?

FastAPI runs `Depends(SomeClass)` in a thread, because a constructor is no coroutine function. So
what is called `CurrentUser` at run time is a dependency like all others, and stands for its class
where a class is expected: in annotations, for `isinstance`. Type checkers see the class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar, Union, cast

from .claims import ClaimMapping, Claims
from .credentials import CallerDependency
from .errors import ConfigurationError
from .principals import Principal, session_state_of

__all__ = ["CurrentUser", "SessionState"]

T = TypeVar("T")


class _ClassDependency(CallerDependency[Any]):
    def __init__(self, cls: type[Any], build: Callable[[type[Any], Principal], Any]) -> None:
        super().__init__(partial(build, cls))
        self._class = cls
        self.__name__, self.__qualname__, self.__doc__ = cls.__name__, cls.__qualname__, cls.__doc__

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._class)

    def __mro_entries__(self, _: tuple[object, ...]) -> NoReturn:
        # A subclass would be an ordinary class to FastAPI, with its fields read from the request.
        raise ConfigurationError(
            "identity_as_base",
            f"{self.__name__} cannot be a base class: write a dependency of your own on top of it.",
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


def _dependency(build: Callable[[Any, Principal], Any]) -> Callable[[type[T]], type[T]]:
    def decorate(cls: type[T]) -> type[T]:
        return cast("type[T]", _ClassDependency(cls, build))

    return decorate


def _no_input(name: str) -> ConfigurationError:
    return ConfigurationError(
        "identity_as_input",
        f"{name} is a dependency, not input: write "
        f"Annotated[{name}, Depends()] or Depends({name}).",
    )


def _build_user(cls: type[Any], caller: Principal) -> object:
    known = caller.known()
    return cls(known.user_id, known.session_id, known.scopes, known.claims)


def _build_state(cls: type[Any], caller: Principal) -> object:
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
