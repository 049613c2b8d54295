"""What does an application serve? Every route at any depth, as a request would meet it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from inspect import isfunction
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute

from .plain_routes import GuardedApp, guards_itself
from .routes import Match, guards_among, match_of_route, templates

__all__ = ["WEBSOCKET", "Inventory", "Served"]

#: What stands in the place of methods.
WEBSOCKET, ANY = "WEBSOCKET", "*"


@dataclass(frozen=True, slots=True)
class Served:
    """A route, or the door of a mount, as requests reach it.

    Attributes:
        path: its whole template, the paths of mounts included; `//host/...` below a host.
        methods: HTTP methods; `WEBSOCKET`; `*` for whatever an application below a mount takes.
        match: the route as its guards see it.
        app: the innermost FastAPI application that serves it.
        doors: the mounts and hosts that a request comes through, the outermost first.
        schema_path: its name in the OpenAPI document of `app`; `None` if it is not in there.
        behind: what is mounted there.
        decides_itself: whether that has a guard of its own over everything, which decides.
    """

    path: str
    methods: tuple[str, ...]
    match: Match
    app: FastAPI
    doors: "tuple[Served, ...]" = ()
    schema_path: str | None = None
    behind: Any = field(default=None, repr=False)
    decides_itself: bool = False


@dataclass(slots=True)
class Inventory:
    """All that is served: routes, the FastAPI applications among them, and what went wrong."""

    routes: list[Served] = field(default_factory=list)
    applications: list[FastAPI] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, app: FastAPI) -> "Inventory":
        """Walk an application, closed as it would be before its first request."""
        inventory = cls()
        inventory.routes.extend(inventory._application(app, "", ()))
        return inventory

    def _application(
        self, app: FastAPI, prefix: str, doors: tuple[Served, ...]
    ) -> Iterator[Served]:
        if sum(door.behind is app for door in doors) > 1:
            return  # mounted in itself
        if not any(app is known for known in self.applications):
            self.applications.append(app)
        yield from self._router(app.router, app, prefix, doors)

    def _router(
        self, router: Router, app: FastAPI, prefix: str, doors: tuple[Served, ...]
    ) -> Iterator[Served]:
        yield from self._routes(_entries(router), app, prefix, doors)
        if router.default != router.not_found:  # what serves all that no route matches
            yield Served(f"{prefix}/*", (ANY,), Match((), router.default, ()), app, doors)

    def _routes(
        self,
        entries: "Iterable[_Entry]",
        app: FastAPI,
        prefix: str,
        doors: tuple[Served, ...],
    ) -> Iterator[Served]:
        for entry in entries:
            if isinstance(entry.served, Mount | Host):
                yield from self._mounted(entry, app, prefix, doors)
            else:
                yield from _route(entry, app, prefix, doors)

    def _mounted(
        self, entry: "_Entry", app: FastAPI, prefix: str, doors: tuple[Served, ...]
    ) -> Iterator[Served]:
        route = entry.served
        path = f"//{route.host}" if isinstance(route, Host) else prefix + route.path
        behind = _behind(route)
        match = Match(
            templates(entry.added, getattr(route, "path", None)),
            _endpoint(entry.added),
            guards_among(entry.over),
            dependencies=entry.over,
        )
        itself = guards_itself(_unwrapped(route.app))
        door = Served(f"{path}/*", (ANY,), match, app, doors, None, behind, itself)
        within = (*doors, door)
        if isinstance(behind, FastAPI):
            yield from self._application(behind, path, within)
        elif isinstance(behind, Starlette):
            yield from self._router(behind.router, app, path, within)
        elif isinstance(behind, Router):
            yield from self._router(behind, app, path, within)
        else:
            yield door


@dataclass(frozen=True, slots=True)
class _Entry:
    """A route as it was added, as it is served, and what stands over it."""

    added: BaseRoute
    served: Any
    over: tuple[Depends, ...]


def _entries(router: Router) -> Iterator[_Entry]:
    """All routes of a router and of those that it includes; `frontend()` keeps its own apart."""
    over = tuple(getattr(router, "dependencies", ()))
    for route in (*router.routes, *getattr(router, "_low_priority_routes", ())):
        if isinstance(getattr(route, "original_router", None), APIRouter):
            yield from _included(route)
        else:
            yield _Entry(route, route, over)


def _included(inclusion: Any) -> Iterator[_Entry]:
    context, router = inclusion.include_context, inclusion.original_router
    over = (*context.dependencies, *router.dependencies)
    for candidate in inclusion.effective_candidates():
        if hasattr(candidate, "original_router"):
            yield from _included(candidate)
        else:
            served = candidate.starlette_route or candidate
            yield _Entry(candidate.original_route, served, over)
    for candidate in router._low_priority_routes:  # noqa: SLF001 - there is no public walk
        for served in inclusion.effective_low_priority_routes():
            if served.original_route is candidate:
                yield _Entry(candidate, served, over)


def _route(entry: _Entry, app: FastAPI, prefix: str, doors: tuple[Served, ...]) -> Iterator[Served]:
    served: Any = entry.served
    if getattr(served, "dependant", None) is None:
        yield _plain(entry, app, prefix, doors)
        return
    match = match_of_route(served)
    pages = getattr(entry.added, "routes", None)
    if pages is not None:  # what `frontend()` adds has several paths and no template
        below = prefix + getattr(served, "frontend_prefix", "")
        for page in pages:
            path = f"{below}{page.path.rstrip('/')}/{{path}}"
            yield Served(path, ("GET",), match, app, doors)
        return
    in_schema = isinstance(entry.added, APIRoute) and served.include_in_schema
    yield Served(
        prefix + served.path,
        _methods(served),
        match,
        app,
        doors,
        schema_path=served.path_format if in_schema else None,
    )


def _plain(entry: _Entry, app: FastAPI, prefix: str, doors: tuple[Served, ...]) -> Served:
    path = getattr(entry.served, "path", None)
    endpoint = _endpoint(entry.added)
    own_page = isfunction(endpoint) and endpoint.__module__ == "fastapi.applications"
    match = Match(
        templates(entry.added, path),
        endpoint,
        guards_among(entry.over),
        documentation=own_page and any(entry.added is own for own in app.router.routes),
        dependencies=entry.over,
    )
    shown = prefix + path if path is not None else f"{prefix}/({type(entry.added).__name__})"
    return Served(shown, _methods(entry.served), match, app, doors)


def _methods(route: Any) -> tuple[str, ...]:
    if not isinstance(route, Route) and not hasattr(route, "methods"):
        return (WEBSOCKET,) if isinstance(route, WebSocketRoute) else (ANY,)
    methods = set(route.methods or (ANY,))
    return tuple(sorted(methods - {"HEAD"} if "GET" in methods else methods))


def _endpoint(route: Any) -> Any:
    """The callable behind a plain route, before it was wrapped."""
    door = route.app if isinstance(route, Mount | Host) else getattr(route, "endpoint", None)
    return door.plain.endpoint if isinstance(door, GuardedApp) else door


def _unwrapped(app: Any) -> Any:
    return app.unwrapped if isinstance(app, GuardedApp) else app


def _behind(route: Mount | Host) -> Any:
    """What is mounted, without what stands around it."""
    app = _unwrapped(route.app)
    if isinstance(app, Starlette | Router):
        return app
    # A mount with middleware keeps what that stands around.
    return getattr(route, "_base_app", app)
