"""How can a class be a dependency without a thread hop, and never be built from a request?

FastAPI runs `Depends(SomeClass)` in a thread, because a constructor is not a coroutine function.
It looks through `__wrapped__`, though, as `functools.wraps` sets it, and asks what is called for
being one: a metaclass whose call is `async`, and a `__wrapped__` that is a dependency, make
`Depends(CurrentUser)` and `Annotated[CurrentUser, Depends()]` the same as any function.
"""

from abc import ABCMeta
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes

from .claims import ClaimMapping, Claims
from .credentials import TokenDependency, caller_of
from .errors import ConfigurationError
from .principals import scopes_of, session_id_of, session_state_of, user_id_of

__all__ = ["CurrentUser", "DependencyClass", "SessionState"]


class DependencyClass(ABCMeta):
    """The metaclass of classes that FastAPI may be given as dependencies."""

    __wrapped__: TokenDependency[Any]

    async def __call__(  # noqa: D102
        cls, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> Any:
        return await cls.__wrapped__(connection, security_scopes)

    def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
        """Refuse to be a parameter or a body: an identity must never come from the client.

        Raises:
            ConfigurationError: always, when the route is registered.
        """
        raise ConfigurationError(
            f"{cls.__name__} is a dependency, not input: write "
            f"Annotated[{cls.__name__}, Depends()] or Depends({cls.__name__})."
        )

    def _build(cls, *values: Any) -> Any:
        return super().__call__(*values)


@dataclass(frozen=True, slots=True, repr=False)
class CurrentUser(metaclass=DependencyClass):
    """The user that the verified token names: `user: Annotated[CurrentUser, Depends()]`.

    A token that names no user is refused with 401.

    Attributes:
        id: the user's id.
        session_id: the session's id, if the token names one.
        scopes: the scopes granted.
        claims: all verified claims.
    """

    __wrapped__: ClassVar[TokenDependency[Any]]

    id: str
    session_id: str | None
    scopes: frozenset[str]
    claims: Claims

    def __repr__(self) -> str:
        return "<CurrentUser>"


class SessionState(ClaimMapping, metaclass=DependencyClass):
    """The session state in the verified token: `state: Annotated[SessionState, Depends()]`.

    A read-only mapping of the claims that `session_state_claims` names.
    """

    __slots__ = ()

    __wrapped__: ClassVar[TokenDependency[Any]]


@TokenDependency
async def _current_user(connection: HTTPConnection) -> CurrentUser:
    """The user that the verified token names."""
    caller = (await caller_of(connection)).known()
    claims, settings = caller.claims, caller.settings
    user: CurrentUser = CurrentUser._build(  # noqa: SLF001 - the way past the metaclass's call
        user_id_of(claims, settings),
        session_id_of(claims, settings),
        scopes_of(claims, settings),
        claims,
    )
    return user


@TokenDependency
async def _session_state(connection: HTTPConnection) -> SessionState:
    """The session state in the verified token."""
    caller = await caller_of(connection)
    state: SessionState = SessionState._build(  # noqa: SLF001 - the way past the metaclass's call
        session_state_of(caller.claims, caller.settings)
    )
    return state


CurrentUser.__wrapped__ = _current_user
SessionState.__wrapped__ = _session_state
