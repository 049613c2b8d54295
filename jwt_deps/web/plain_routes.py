"""How routes are guarded that FastAPI runs no dependencies for: plain routes, mounts, hosts.

Each is wrapped in an ASGI application that asks the guards which apply to it as it is served, and
runs the other dependencies there.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from typing import Any

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.params import Depends
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute
from starlette.routing import Match as Matched
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps.errors import ConfigurationError

from . import _fastapi
from .asgi import Replay
from .guard import JWTGuard, require_for_guard
from .request_principal import is_overridden, principal_or_error
from .request_state import RequestState, Waiting, record_handled, state_of
from .routing import (
    MatchedRoute,
    RouteGuard,
    guards_among,
    is_among,
    is_page,
    is_plain,
    mounted,
    routes_of,
    security_scopes_of,
    templates,
)
from .websockets import choosing_bearer


class GuardedApp:
    """An ASGI application behind the guards that apply to its route.

    Without guards it is served as it is. A mount is one route: the guards are asked before the
    application that is mounted.

    Attributes:
        unwrapped: the application.
        route: the route that serves it.
        endpoint: the callable behind the route.
        routers: those that the route was added to; one, unless it is shared or was moved.
        mounted_routers: those of them that were found mounted as they are.
        included: what applied to one of them where it was found included.
        brought: what applied to the route that this one was copied from or made of.
    """

    def __init__(self, app: ASGIApp, route: Mount | Host | Route | WebSocketRoute) -> None:
        endpoint = getattr(route, "endpoint", app)
        # The name of the endpoint is asked for by others, the limiter `slowapi` for one.
        update_wrapper(self, endpoint, [*WRAPPER_ASSIGNMENTS], ())
        self.unwrapped = app
        self.route: Any = route
        self.endpoint: Any = endpoint
        self.routers: list[APIRouter] = []
        self.mounted_routers: list[APIRouter] = []
        self.included: list[tuple[APIRouter, tuple[Depends, ...]]] = []
        self.brought: tuple[Depends, ...] = ()

    @property
    def routes(self) -> Any:
        """The routes of the application, which `url_for` walks."""
        return routes_of(self.unwrapped)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass or raise the refusal, which the application's handlers answer."""
        match, state = self.match(scope), state_of(scope)
        if _fastapi.is_mount(self.route):
            state.through_mount = True
        is_below = bool(
            state.mounted
            or state.routers
            or state.is_part  # of a request to a guarded application, unless more is known
            or guards_among(match.dependencies)
        )
        if match.documentation:
            state.decision.let_pass()
        if match.documentation or not is_below or not (*match.guards, *match.dependencies):
            await self.unwrapped(scope, receive, send)
            return
        try:
            await self._guarded(scope, receive, send, match)
        finally:
            state.plain = None  # the scope may be served again

    async def _guarded(
        self, scope: Scope, receive: Receive, send: Send, match: MatchedRoute
    ) -> None:
        state, inside = state_of(scope), guards_over_mounted(self.route)
        state.plain = match = replace(match, guards=(*match.guards, *inside))
        replay = Replay(receive, _fastapi.body_limit(scope, self.unwrapped))
        connection: Request | WebSocket = (
            WebSocket(scope, receive, send)
            if scope["type"] == "websocket"
            else Request(scope, replay.record)
        )
        innermost = state.innermost(match)
        for deciding in self._deciding(scope, match, innermost, inside):
            await deciding.decide(connection, match, state)
        own = []
        for depends in match.dependencies:
            guard = depends.dependency
            if not isinstance(guard, JWTGuard) or is_overridden(connection, guard):
                own.append(depends)
            else:
                await require_for_guard(guard, security_scopes_of(depends), connection, match)
        for one in match.guards:
            if isinstance(one, JWTGuard) and not (one in inside or is_overridden(connection, one)):
                await require_for_guard(one, (), connection, match)
        if own and innermost in inside:
            # What they read in `request.state` is there before that guard has decided. It refuses
            # nothing yet: it may exclude what is below.
            await principal_or_error(connection, None, state)
        app = _fastapi.inside(self.unwrapped, Starlette) if _fastapi.is_mount(self.route) else None
        async with _telling(scope, state) as answered, _fastapi.solved(connection, own) as found:
            state.leave(
                innermost,
                state.settings,
                root=scope.get("root_path", "") if _fastapi.is_mount(self.route) else None,
                app=app,
                outermost=scope.get("router"),  # Starlette's name for it
                decided=innermost not in inside or self._asks_first(),
            )
            send = _with_headers(found.response.headers.raw, choosing_bearer(scope, send))
            await self.unwrapped(scope, replay.replay, send)
            if answered:
                raise answered[-1]
        if found.background_tasks is not None and not answered:
            await found.background_tasks()
        answered.clear()  # an error knows this frame

    def _asks_first(self) -> bool:
        """Whether what is mounted asks its own guard before everything that it answers."""
        app = self.unwrapped
        return asks_its_guard(app.router if isinstance(app, FastAPI) else app)

    def match(self, scope: Scope) -> MatchedRoute:
        """The route as it is being served: all that it came through applies to it."""
        app: Any = scope.get("app")
        router = getattr(app, "router", None)
        entered = state_of(scope).entered
        applied, included = self.applied(_fastapi.inclusion_of(scope), router, entered)
        guards = guards_among(applied, getattr(app, "dependency_overrides", ()))
        return MatchedRoute(
            templates(self.route, self._path(scope, app, included=included)),
            self.endpoint,
            (*entered, *guards),  # also one that was taken off the list
            documentation=(
                is_among(router, self.routers) and is_page(self.endpoint, self.route, app)
            ),
            dependencies=applied,
        )

    def _deciding(
        self,
        scope: Scope,
        match: MatchedRoute,
        innermost: RouteGuard | None,
        inside: tuple[RouteGuard, ...],
    ) -> Iterator[JWTGuard]:
        """The guards that have to let a request pass before the application is asked.

        The innermost alone, unless nothing tells which router serves a shared route: it would
        open what is another router's to the tokens of its own.
        """
        app: Any = scope.get("app")
        asked, others = (innermost,), tuple[RouteGuard, ...]()
        if not self._is_told(scope, getattr(app, "router", None)):
            overridden = getattr(app, "dependency_overrides", ())
            others = tuple(it for it in match.guards if it not in (*asked, *overridden))
        for guard in (*others, *asked):
            if isinstance(guard, JWTGuard) and guard not in inside:
                yield guard

    def _is_told(self, scope: Scope, router: Any) -> bool:
        """Whether it is known which of its routers serves a shared route."""
        inner = _fastapi.included_router(_fastapi.inclusion_of(scope))
        if is_among(inner, self.routers) or is_among(router, self.routers):
            return True
        return len(self._routers_of(state_of(scope).entered)) == 1

    def _routers_of(self, entered: tuple[RouteGuard, ...]) -> list[APIRouter]:
        """Those routers that the request came through by their guards; all, where none is known."""
        mine = [
            home
            for home in self.routers
            if not set(entered).isdisjoint(guards_among(home.dependencies))
        ]
        return mine or self.routers

    def _included_with(self, routers: list[APIRouter]) -> Iterator[Depends]:
        """What applied to routers where they were found included."""
        return (it for one, applied in self.included if is_among(one, routers) for it in applied)

    def applied(
        self, inclusion: Any, router: Any, entered: tuple[RouteGuard, ...] = ()
    ) -> tuple[tuple[Depends, ...], bool]:
        """What applies to the route, outermost first, and whether it was included.

            the request came through               what applies
            an inclusion of one of its routers     what FastAPI tells of the inclusion, and then the
                                                   dependencies of the router
            the application, whose own route it is the dependencies of the application
            neither: its router is mounted as it   those of each of its routers that the request may
              is, or it was taken out of one       have come through, wherever these are included

        What the route brought along from where it was before is added to each.

        Args:
            inclusion: the inclusion that serves it, if one does.
            router: that of the application.
            entered: the guards of the routers that the request came through.

        Raises:
            ConfigurationError: FastAPI does not tell.
        """
        inner = _fastapi.included_router(inclusion)
        included = is_among(inner, self.routers)
        router = inner if included else router
        outer = _fastapi.inclusion_dependencies(inclusion) if included else ()
        if outer is None:
            raise ConfigurationError(
                "unknown_fastapi",
                "This FastAPI does not tell which dependencies apply to a plain route: install a "
                "release of jwt-deps that knows it, or an older FastAPI.",
            )
        here: tuple[Depends, ...]
        if is_among(router, self.routers):
            here = (*outer, *router.dependencies)
            here = (*self._moved_from(router, here), *here)
        else:
            # In a router that is mounted as it is, or was taken out of the inclusion that it was
            # found in: all that may apply to it.
            routers = self._routers_of(entered)
            if not is_among(self.routers[0], routers):
                routers = [self.routers[0], *routers]
            own = (it for router in routers for it in router.dependencies)
            here = (*self._included_with(routers), *own)
            if isinstance(router, APIRouter) and any(self._copies_in(router.routes)):  # old FastAPI
                here = (*router.dependencies, *here)
        if _fastapi.COPIES:  # old FastAPI: what the route was copied from is further in
            return (*here, *self.brought), included
        return (*self.brought, *here), included

    def _moved_from(self, router: Any, here: Iterable[Depends]) -> tuple[Depends, ...]:
        """What applied where the route was added, if it was moved from there to a router.

        It keeps that, as a route of FastAPI's does. A route object that several routers have behind
        one guard was not moved.
        """
        first = self.routers[0]
        if first is router:
            return ()
        there = (*self._included_with([first]), *first.dependencies)
        known = guards_among(here)
        return there if any(it not in known for it in guards_among(there)) else ()

    def _path(self, scope: Scope, app: Any, *, included: bool) -> str | None:
        """The template as it is served; `None` where it is not known, and no pattern means it."""
        context = _fastapi.route_context(scope)
        if _fastapi.added_route(context) is self.route:
            return getattr(_fastapi.plain_route(context), "path", None)
        for route in self._copies_in(routes_of(app)):  # old FastAPI
            if _fits(route, scope):
                return getattr(route, "path", None)
        is_known = not included and self._is_served_by(getattr(app, "router", None), scope)
        return getattr(self.route, "path", None) if is_known else None

    def _copies_in(self, routes: Iterable[Any]) -> Iterator[Any]:  # old FastAPI
        """The copies of the route that FastAPI, up to 0.136, made where a router was included."""
        for route in routes if _fastapi.COPIES else ():
            if _fastapi.behind_proxies(getattr(route, "app", None)) is self:
                yield route

    def _is_served_by(self, router: Any, scope: Scope) -> bool:
        """Whether the route itself is served, and not one that was made of it with another path."""
        state = state_of(scope)
        entered, is_mounted = state.entered, state.mounted is not None
        return any(
            route is self.route
            for home in self.routers
            if home is router
            or (is_mounted and is_among(home, self.mounted_routers))
            or not set(entered).isdisjoint(guards_among(home.dependencies))
            for route in home.routes
        )


@asynccontextmanager
async def _telling(scope: Scope, state: RequestState) -> AsyncIterator[list[Exception]]:
    """Collect what exception handlers answer, so that it can be raised where dependencies see it.

    They are left as those of a route of FastAPI's, a transaction is taken back for instance. The
    answer is sent by then.
    """
    _fastapi.report_handled(scope, record_handled)
    state.waiting = waiting = Waiting(scope.get("app"), state.waiting)
    try:
        yield waiting.answered
    except Exception as error:
        if not any(error is known for known in waiting.answered):
            raise
    finally:
        state.waiting = waiting.outer


def _fits(route: BaseRoute, scope: Scope) -> bool:  # old FastAPI
    # A mount has put its own path into the root path by now, and the router asks with the rest.
    return isinstance(route, Mount) or route.matches(scope)[0] is not Matched.NONE


def _with_headers(headers: list[tuple[bytes, bytes]], send: Send) -> Send:
    """Send what dependencies put into their `Response` along with the answer."""
    if not headers:
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return send_with_headers


def plain_endpoint(route: Any) -> Any:
    """The callable behind a plain route, before it was wrapped."""
    found = getattr(route, "endpoint", None) or getattr(route, "app", None)
    return found.endpoint if isinstance(found, GuardedApp) else found


def guards_over(app: Any) -> tuple[RouteGuard, ...]:
    """The guards that an application has of its own over everything, innermost last."""
    router = app.router if isinstance(app, FastAPI) else app
    if not isinstance(router, APIRouter):
        return ()
    # A guard that the application overrides is none.
    return guards_among(router.dependencies, getattr(app, "dependency_overrides", ()))


def asks_its_guard(router: Any) -> bool:
    """Whether a router asks its guard itself, for everything that it is called with."""
    # A method of a protected router, or of the `Installation` that `protect` has put there.
    server = getattr(getattr(router, "middleware_stack", None), "__self__", None)
    return bool(getattr(server, "is_protected", False))


def guards_over_mounted(route: Any) -> tuple[RouteGuard, ...]:
    """The guards of what is mounted, over everything in it, the last of which decides there."""
    if not _fastapi.is_mount(route):
        return ()
    app = mounted(route)
    # What a mount serves can be replaced, and then the guards of what was mounted are not asked.
    leads_there = any(one is app for one in _fastapi.layers(route.app))
    return guards_over(app) if leads_there else ()


def can_be_guarded(route: BaseRoute) -> bool:
    """Whether a route is a plain one that serves its application as Starlette's own do."""
    kind = type(route)
    if not is_plain(route) or "handle" in vars(route):
        return False
    if _fastapi.has_own(kind, "handle", Mount, Host, Route, WebSocketRoute):
        return False
    # A mount that matches in its own way may choose there what it serves.
    return not (_fastapi.is_mount(route) and _fastapi.has_own(kind, "matches", Mount, Host))


def wrap(route: Any, home: APIRouter) -> bool:
    """Put the guards around a plain route; whether that was new for the router it is in."""
    app = route.app
    if isinstance(app, GuardedApp) and app.route is route:
        is_new = not is_among(home, app.routers)
        if is_new:
            app.routers.append(home)
        if not _fastapi.is_mount(route) and route.endpoint is not app:
            # Another endpoint was put there since, which FastAPI would serve without the guard.
            kind = Route if isinstance(route, Route) else WebSocketRoute
            app.endpoint, app.unwrapped = route.endpoint, kind("/", route.endpoint).app
            route.endpoint, is_new = app, True
        return is_new
    guarded = route.app = guarded_app_for(route, home)
    if not _fastapi.is_mount(route):
        # Starlette serves the app, FastAPI builds what it serves from the endpoint.
        route.endpoint = guarded
    return True


def guarded_app_for(route: Any, home: APIRouter) -> GuardedApp:
    """The guards around a plain route in a router, as requests find them; nothing is changed."""
    app = route.app
    guarded = GuardedApp(app.unwrapped if isinstance(app, GuardedApp) else app, route)
    if isinstance(app, GuardedApp):
        guarded.endpoint = app.endpoint
        if app.route is route:
            guarded.routers.extend(app.routers)
            guarded.mounted_routers.extend(app.mounted_routers)
            guarded.included.extend(app.included)
            guarded.brought = app.brought
        else:
            # FastAPI copied the route, or it is another's endpoint: what applied to it still does.
            guarded.brought = (
                *(it for _, applied in app.included for it in applied),
                *(it for one in app.routers for it in one.dependencies),
                *app.brought,
            )
    if not is_among(home, guarded.routers):
        guarded.routers.append(home)
    return guarded
