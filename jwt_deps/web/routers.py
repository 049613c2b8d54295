"""What a router contains, at any depth: routes as they are served, and the routers below it."""

from collections.abc import Iterable, Iterator
from operator import is_
from typing import Any

from fastapi import APIRouter
from fastapi.applications import FastAPI
from fastapi.params import Depends
from starlette.routing import BaseRoute, Host, Mount

from . import _fastapi

__all__ = [
    "Snapshot",
    "dependencies_of_routers",
    "mounted",
    "mounted_routers",
    "routers_of",
    "served_routes",
]

served_routes = _fastapi.served_routes


def mounted(route: Mount | Host) -> Any:
    """What is mounted, without the middleware and the guards around it."""
    app = _fastapi.mounted_app(route)
    return getattr(app, "unwrapped", app)


def mounted_routers(routes: Iterable[BaseRoute]) -> Iterator[APIRouter]:
    """The routers that are mounted among routes as if they were applications.

    Those of a `FastAPI` are not among them: it is an application of its own.
    """
    for route in routes:
        if isinstance(route, Mount | Host):
            app = mounted(route)
            if isinstance(app, APIRouter):
                yield app
            elif not isinstance(app, FastAPI):
                yield from mounted_routers(getattr(app, "routes", ()))


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
        waiting.extend(it for it in map(_fastapi.included_router, current.routes) if it is not None)


def dependencies_of_routers(router: APIRouter) -> Iterator[Depends]:
    """What applies to whole routers: theirs, and what they are included with."""
    for current in routers_of(router):
        yield from current.dependencies
        for route in current.routes:
            yield from _fastapi.inclusion_dependencies(route) or ()


class Snapshot:
    """The routes of some routers as they were when they were looked at.

    A route can come into a router in ways that no method sees, and serve another application than
    it did. So before each request what is there is compared with what was, by identity, because
    routes compare by value.
    """

    __slots__ = ("_plain", "_routers")

    def __init__(self) -> None:
        self._routers: list[tuple[APIRouter, list[BaseRoute], list[BaseRoute], Any]] = []
        self._plain: list[tuple[Any, Any]] = []

    def add(self, router: APIRouter) -> list[BaseRoute]:
        """Keep the routes of a router; those that are added while they are looked at are new."""
        kept = list(router.routes)
        self._routers.append((router, router.routes, kept, router.default))
        return kept

    def add_plain(self, route: Any) -> None:
        """Keep what a plain route serves."""
        self._plain.append((route, route.app))

    def has(self, router: APIRouter) -> bool:
        """Whether the routes of a router are kept."""
        return any(router is known for known, *_ in self._routers)

    def is_current(self) -> bool:
        """Whether the routes are those; not where nothing was looked at."""
        for router, routes, kept, default in self._routers:
            if (
                router.routes is not routes
                or len(routes) != len(kept)
                or router.default is not default
                or "handle" in vars(router)
                or not all(map(is_, routes, kept))
            ):
                return False
        for route, app in self._plain:
            if route.app is not app:
                return False
        return bool(self._routers)
