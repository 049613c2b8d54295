"""What of a router does FastAPI run no dependencies for, and how is it guarded all the same?

Starlette's own routes, mounts and hosts are wrapped in the guard that stands over them, now and
when they are added later; what can be neither guarded nor wrapped is refused with a sentence.
"""

from collections.abc import Iterable
from inspect import unwrap
from typing import Any, Self

from fastapi import FastAPI, Request, WebSocket
from fastapi.params import Security
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute, APIRouter, APIWebSocketRoute
from fastapi.security import SecurityScopes
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from .credentials import TokenDependency
from .errors import ConfigurationError
from .guards import JWTGuard
from .notes import under
from .routers import mounted_routers, routers_of
from .routes import (
    Match,
    PlainRoute,
    RouteGuard,
    guards_among,
    match_of_route,
)
from .subprotocols import choosing_bearer

__all__ = ["GuardedApp", "close_gaps", "guards_itself", "is_closed"]

_STARLETTES_OWN = {kind.handle for kind in (Mount, Host, Route, WebSocketRoute)}


class GuardedApp:
    """An ASGI application behind whatever guard stands over its route; none, and it is itself.

    For the routes that FastAPI runs no dependencies for: Starlette's own routes, mounts, hosts.
    A mount is one route: its guard stands at its door.
    """

    def __init__(self, app: ASGIApp, plain: PlainRoute) -> None:
        self.unwrapped = app
        self.plain = plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in or raise the refusal, which the application's handlers answer."""
        match = self.plain.match(scope)
        guard = match.guards[-1] if match.guards else None
        if isinstance(guard, JWTGuard):
            under(scope, guard)
            if not guards_itself(self.unwrapped):
                connection: HTTPConnection = (
                    WebSocket(scope, receive, send)
                    if scope["type"] == "websocket"
                    else Request(scope, receive)
                )
                await _admit(guard, connection, match)
                send = choosing_bearer(scope, send)
        await self.unwrapped(scope, receive, send)


async def _admit(guard: JWTGuard, connection: HTTPConnection, match: Match) -> None:
    """Ask what FastAPI would have asked: the guard, and this package's dependencies beside it."""
    await guard.admit(connection, match)
    for depends in match.dependencies:
        scopes = list(depends.scopes or ()) if isinstance(depends, Security) else []
        call = None if depends.dependency is None else unwrap(depends.dependency)
        if isinstance(call, RouteGuard):
            if scopes:
                await guard.admit(connection, match, scopes)
        elif isinstance(call, TokenDependency):
            await call(connection, SecurityScopes(scopes))


def guards_itself(app: ASGIApp) -> bool:
    """Whether an application has a guard of its own over everything, which is the innermost."""
    router = app.router if isinstance(app, FastAPI) else app
    return isinstance(router, APIRouter) and bool(guards_among(router.dependencies))


def is_closed(router: APIRouter) -> bool:
    """Whether the routes of a router are watched; a list put in their place is not."""
    return isinstance(router.routes, _WatchedRoutes) and router.routes.home is router


class _WatchedRoutes(list[BaseRoute]):
    """The routes of a router; one that is added later is guarded like those before it."""

    def __init__(self, home: APIRouter) -> None:
        super().__init__(home.routes)
        self.home = home
        for route in self:
            _close(route, home)

    def append(self, route: BaseRoute, /) -> None:
        _close(route, self.home)
        super().append(route)

    def insert(self, index: Any, route: BaseRoute, /) -> None:
        _close(route, self.home)
        super().insert(index, route)

    def extend(self, routes: Iterable[BaseRoute], /) -> None:
        for route in routes:
            self.append(route)

    def __iadd__(self, routes: Iterable[BaseRoute], /) -> Self:  # type: ignore[override, misc]
        self.extend(routes)
        return self

    def __setitem__(self, index: Any, value: Any, /) -> None:
        if isinstance(index, slice):
            value = list(value)
            for route in value:
                _close(route, self.home)
        else:
            _close(value, self.home)
        super().__setitem__(index, value)


def close_gaps(router: APIRouter) -> None:
    """Put guards around the plain routes of a router and of all that it includes, now and later.

    Raises:
        ConfigurationError: a route of a kind that cannot be guarded.
    """
    for current in routers_of(router):
        _refuse_default(current)
        if not is_closed(current):
            current.routes = _WatchedRoutes(current)
            # FastAPI may have built what it serves from the routes as they were before.
            current._mark_routes_changed()  # noqa: SLF001


def _close(route: BaseRoute, home: APIRouter) -> None:
    inner = getattr(route, "original_router", None)
    if isinstance(inner, APIRouter):
        close_gaps(inner)
    elif isinstance(route, APIRoute | APIWebSocketRoute):
        _refuse_bypass(route, home)
    elif (
        isinstance(route, Mount | Host | Route | WebSocketRoute)
        and type(route).handle in _STARLETTES_OWN
    ):
        _wrap(route, home)
    else:
        raise ConfigurationError(
            "route_class",
            f"A route of the class {type(route).__name__} cannot be guarded: mount what it "
            "serves as an ASGI application instead, or keep it out of guarded routers.",
        )


def _refuse_bypass(route: APIRoute | APIWebSocketRoute, home: APIRouter) -> None:
    # FastAPI gives a route its router's dependencies in `add_api_route`, once; a route that comes
    # as an object, or before the dependency, has none of them.
    own = match_of_route(route).guards
    if any(guard not in own for guard in guards_among(home.dependencies)):
        raise ConfigurationError(
            "unguarded_route",
            f"The route {route.path!r} is in a guarded router and not guarded, because it was "
            "added as an object or before the guard: add it with the router's decorators or "
            "add_api_route, or put it into a router of its own and include that.",
        )


def _refuse_default(router: APIRouter) -> None:
    if router.default != router.not_found and guards_among(router.dependencies):
        raise ConfigurationError(
            "default_application",
            "A guarded router has a default application, which no guard stands over: mount it "
            "as the last route instead.",
        )


def _wrap(route: Mount | Host | Route | WebSocketRoute, home: APIRouter) -> None:
    app = route.app
    if isinstance(app, GuardedApp):
        if app.plain.route is route:
            app.plain.homes.append(home)
            return
        app = app.unwrapped  # the endpoint of another route, which is somewhere else
    for inner in mounted_routers([route]):
        close_gaps(inner)
    endpoint = getattr(route, "endpoint", app)
    if isinstance(endpoint, GuardedApp):
        endpoint = endpoint.plain.endpoint
    route.app = GuardedApp(app, PlainRoute(route, endpoint, [home]))
    if isinstance(route, Route | WebSocketRoute):
        # Starlette serves the app, FastAPI builds what it serves from the endpoint.
        route.endpoint = route.app
