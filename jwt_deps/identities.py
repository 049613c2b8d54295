"""Who is calling, as an object: `CurrentUser` and `SessionState`, real classes that FastAPI injects.

FastAPI runs `Depends(SomeClass)` in a thread, because a class is no coroutine function. It looks
through `__wrapped__` (as `functools.wraps` sets it) for what is really called, its signature and its
lock included: these classes name the dependency there that makes their instances.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from .claims import ClaimMapping, Claims
from .credentials import CallerDependency
from .errors import ConfigurationError
from .principals import Principal, session_state_of

__all__ = ["CurrentUser", "SessionState"]


class _Injected(type):
    """Classes that are made of the caller when FastAPI calls them, and are classes otherwise."""

    __wrapped__: Callable[..., Any]

    def __init__(cls, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        of: Callable[[Principal], Any] = cls.of  # type: ignore[attr-defined]
        cls.__wrapped__ = CallerDependency(of)
        cls.__wrapped__.__name__ = cls.__name__
        cls.__signature__ = cls.__wrapped__.__signature__

    def __call__(cls, *arguments: Any, **members: Any) -> Any:
        if members.keys() == {"connection", "security_scopes"}:
            return cls.__wrapped__(**members)
        return super().__call__(*arguments, **members)

    def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
        """Refuse to be a parameter or a body: an identity must never come from the client.

        Raises:
            ConfigurationError: always, when the route is registered.
        """
        raise ConfigurationError(
            "identity_as_input",
            f"{cls.__name__} is a dependency, not input: write "
            f"Annotated[{cls.__name__}, Depends()] or Depends({cls.__name__}).",
        )


@dataclass(frozen=True, repr=False)
class CurrentUser(metaclass=_Injected):
    """The user that the verified token names: `user: Annotated[CurrentUser, Depends()]`.

    A token that names no user is refused with 401. A subclass is a dependency too; a test makes
    one like any dataclass.

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
        return f"<{type(self).__name__}>"

    @classmethod
    def of(cls, caller: Principal) -> "CurrentUser":
        """Make one of a caller."""
        known = caller.known()
        return cls(known.user_id, known.session_id, known.scopes, known.claims)


class _InjectedMapping(_Injected, type(ClaimMapping)):  # type: ignore[misc]
    """The same for a mapping, whose own metaclass is `ABCMeta`."""


class SessionState(ClaimMapping, metaclass=_InjectedMapping):
    """The session state in the verified token: `state: Annotated[SessionState, Depends()]`.

    A read-only mapping of the claims that `session_state_claims` names.
    """

    __slots__ = ()

    @classmethod
    def of(cls, caller: Principal) -> "SessionState":  # type: ignore[override]
        """Make one of a caller."""
        return cls(session_state_of(caller.claims, caller.settings))
