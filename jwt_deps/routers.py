"""What does a router hold, at any depth? Routes as they are served, and the routers below it."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Host, Mount

__all__ = ["dependencies_of_routers", "mounted_routers", "routers_of", "served_routes"]


def served_routes(router: APIRouter) -> Iterator[tuple[BaseRoute, Any]]:
    """All routes below a router: each as it was added, and as it is served, prefixes included."""
    for route in iter_route_contexts(router.routes):
        # Up to FastAPI 0.142 the public walker stops short of Starlette's own routes.
        yield route.original_route, getattr(route, "starlette_route", None) or route


def mounted_routers(routes: Iterable[BaseRoute]) -> Iterator[APIRouter]:
    """The routers that are mounted among routes as if they were applications.

    A `FastAPI` mounted in another one is not among them: it meets its guards by itself.
    """
    for route in routes:
        if not isinstance(route, Mount | Host):
            continue
        app = getattr(route.app, "unwrapped", route.app)
        if isinstance(app, APIRouter):
            yield app
        elif not isinstance(app, FastAPI):
            yield from mounted_routers(getattr(app, "routes", ()))


def dependencies_of_routers(router: APIRouter) -> Iterator[Depends]:
    """What stands over whole routers: theirs, and what they are included with."""
    for current in routers_of(router):
        yield from current.dependencies
        for route in current.routes:
            yield from getattr(getattr(route, "include_context", None), "dependencies", ())


def routers_of(router: APIRouter) -> Iterator[APIRouter]:
    """The router and all that it includes or has mounted, at any depth, each once."""
    seen: list[APIRouter] = []
    waiting = [router]
    while waiting:
        current = waiting.pop()
        if any(current is known for known in seen):
            continue
        seen.append(current)
        yield current
        waiting.extend(mounted_routers(current.routes))
        for route in current.routes:
            inner = getattr(route, "original_router", None)
            if isinstance(inner, APIRouter):
                waiting.append(inner)
