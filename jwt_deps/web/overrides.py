"""What the application put in the place of a dependency, and how that is called.

Guards decide per request whether a token is needed, which FastAPI's static tree of dependencies
cannot express. So where this package calls `get_settings`, `get_token` and `get_claims` itself, it
honours `app.dependency_overrides` itself, and leaves the calling of the replacement, with
whatever that depends on, to FastAPI's own solver.
"""

from collections.abc import Callable
from typing import Any, cast

from fastapi.requests import HTTPConnection

from ._fastapi import call

__all__ = ["call", "is_overridden"]


def is_overridden(connection: HTTPConnection, dependency: Callable[..., Any]) -> bool:
    """Whether `app.dependency_overrides` replaces a dependency."""
    overrides = getattr(connection.scope.get("app"), "dependency_overrides", None)
    return bool(overrides) and dependency in cast("dict[Any, Any]", overrides)
