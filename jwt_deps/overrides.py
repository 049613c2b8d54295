"""What did the application put in the place of a dependency, and how is that called?

Guards decide per request whether a token is needed, which FastAPI's static tree of dependencies
cannot express, and the rest is flat because every level of that tree costs a request
microseconds. So where this package calls `get_settings`, `get_token` and `get_claims` itself, it
honours `app.dependency_overrides` itself, and leaves the calling of the replacement, with
whatever that depends on, to FastAPI's own solver.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from inspect import Parameter, Signature
from typing import Annotated, Any, cast

from fastapi import Request, Security, WebSocket
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.requests import HTTPConnection

__all__ = ["call", "is_overridden"]

_STACKS = ("fastapi_inner_astack", "fastapi_function_astack")


def is_overridden(connection: HTTPConnection, dependency: Callable[..., Any]) -> bool:
    """Whether `app.dependency_overrides` replaces a dependency."""
    overrides = getattr(connection.scope.get("app"), "dependency_overrides", None)
    return bool(overrides) and dependency in cast("dict[Any, Any]", overrides)


async def call(
    connection: HTTPConnection, dependency: Callable[..., Any], scopes: Sequence[str] = ()
) -> Any:
    """Call a dependency as FastAPI would: overrides, its own dependencies, sync or async.

    Raises:
        RequestValidationError: it asks for client input that the request does not have.
    """
    scope = connection.scope
    async with AsyncExitStack() as stack:
        # A plain Starlette route is served without the stacks that FastAPI opens for its own.
        opened = [name for name in _STACKS if name not in scope]
        scope.update(dict.fromkeys(opened, stack))
        try:
            solved = await solve_dependencies(
                request=cast("Request | WebSocket", connection),
                dependant=get_dependant(path="", call=_asking_for(dependency, scopes)),
                dependency_overrides_provider=scope.get("app"),
                async_exit_stack=stack,
                embed_body_fields=False,
            )
        finally:
            for name in opened:
                del scope[name]
    if solved.errors:
        raise RequestValidationError(solved.errors)
    return solved.values["value"]


def _asking_for(dependency: Callable[..., Any], scopes: Sequence[str]) -> Callable[..., None]:
    def endpoint(**_: Any) -> None:
        """Stand where a path operation function stands."""

    wanted = Annotated[Any, Security(dependency, scopes=scopes)]
    parameter = Parameter("value", Parameter.KEYWORD_ONLY, annotation=wanted)
    endpoint.__signature__ = Signature([parameter])  # type: ignore[attr-defined]
    return endpoint
