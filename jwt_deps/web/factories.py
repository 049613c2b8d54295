"""Refuse a factory that was not called, and a dependency without `Depends`, at the start.

Otherwise FastAPI would read the scopes of `Depends(require_scopes)`, and the user's id of
`user_id: str = current_user_id`, from the request.
"""

from collections.abc import Callable
from functools import update_wrapper
from inspect import Parameter, Signature
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar, cast

from fastapi import APIRouter

from jwt_deps.errors import ConfigurationError

if TYPE_CHECKING:
    _Depends = object  # so that type checkers refuse it as one
else:
    from fastapi.params import Depends as _Depends

FactoryT = TypeVar("FactoryT", bound=Callable[..., Any])
P = ParamSpec("P")
RouterT = TypeVar("RouterT", bound=APIRouter)

_ROUTER = APIRouter()


def dependency_factory(factory: FactoryT) -> FactoryT:
    """Let FastAPI refuse the factory itself as a dependency, when the route is registered."""

    class NotCalled:
        @classmethod
        def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
            raise _not_called(factory, f"Depends({factory.__name__}(...))")

    # FastAPI asks for the signature; that of the factory is for those who call it. Nothing that a
    # `partial` passes takes the place of this parameter.
    taken = Parameter("called", Parameter.KEYWORD_ONLY, annotation=NotCalled)
    factory.__signature__ = Signature([taken])  # type: ignore[attr-defined]
    return factory


class Dependency(_Depends):
    """What is given to `Depends(...)`, and refused where that was forgotten.

    FastAPI takes it for a `Depends`, also as the default value of a parameter and in `Annotated`,
    and asks what it depends on.
    """

    __name__: str
    # A `Depends` is compared, and shown by tools, by its fields: what it depends on.
    __eq__ = object.__eq__
    __hash__ = object.__hash__
    __dataclass_fields__: ClassVar[dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"<dependency {self.__name__}>"

    @property
    def dependency(self) -> NoReturn:
        """What FastAPI asks of `Depends(...)`, which this is not.

        Raises:
            ConfigurationError: always, when the route is registered.
        """
        raise ConfigurationError(
            "without_depends",
            f"FastAPI takes Depends({self.__name__}), or Depends({self.__name__}(...)) where that "
            "has arguments, not the dependency itself.",
        )


def identity_of(call: Callable[..., Any]) -> tuple[int, ...]:
    """What tells a callable from others, as long as it is kept: two can be equal and differ.

    A bound method is a new object each time: its object and its function decide.
    """
    if isinstance(call, MethodType):
        return id(call.__self__), id(call.__func__)
    return (id(call),)


class _RouterFactory:
    """A function that makes routers, and refuses to be taken for one."""

    def __init__(self, make: Callable[..., APIRouter]) -> None:
        update_wrapper(self, make)
        self._make = make

    def __call__(self, *args: Any, **options: Any) -> APIRouter:
        return self._make(*args, **options)

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(_ROUTER, name):
            made = f"{self._make.__name__}(...)"
            raise _not_called(self._make, f"include_router({made})")
        raise AttributeError(name)


def router_factory(make: Callable[P, RouterT]) -> Callable[P, RouterT]:
    """Refuse the function itself where a router is expected."""
    return cast("Callable[P, RouterT]", _RouterFactory(make))


def _not_called(factory: Callable[..., Any], instead: str) -> ConfigurationError:
    """The error that says how to call a factory."""
    return ConfigurationError(
        "not_called", f"{factory.__name__} was used without being called: write {instead}."
    )
