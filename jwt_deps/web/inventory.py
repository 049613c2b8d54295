"""All routes that an application serves, at any depth, as requests meet them.

What applies to a route is found by the functions that requests use. Neither the application nor its
routers and routes are changed, nor what FastAPI remembers of them, unless the application is about
to serve (`is_starting`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

from fastapi import APIRouter
from fastapi.applications import FastAPI  # `fastapi.FastAPI` can be another class by now
from fastapi.params import Depends
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Router, WebSocketRoute

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings

from . import _fastapi
from .guard import token_dependencies_of
from .installed import Installed
from .known_settings import known_settings
from .plain_routes import (
    GuardedApp,
    asks_its_guard,
    can_be_guarded,
    guarded_app_for,
    guards_over,
    guards_over_mounted,
    plain_endpoint,
)
from .request_principal import TokenDependency
from .routing import (
    UNKNOWN,
    MatchedRoute,
    RouteGuard,
    deciding,
    guards_among,
    has_default,
    is_only_frontend,
    is_page,
    match_of_frontend,
    match_of_route,
    mounted,
    mounted_inside,
    routers_of,
    templates,
)

#: In `Served.methods`, beside HTTP methods.
WEBSOCKET, ANY = "WEBSOCKET", "*"

_NOT_COVERED = "jwt_guard() does not cover it: protect(app) or protected_router(...) would"
_OWN_WAY = "not known: routes of the class {} are served in a way of their own"
_UNREADABLE = "not known: this FastAPI does not tell what applies to it"


@dataclass(frozen=True, slots=True)
class Served:
    """A route, or a mount point, as requests reach it.

    Attributes:
        path: its whole template, the paths of mounts included; `//host/...` below a host.
        methods: HTTP methods; `WEBSOCKET`; `*` for whatever an application below a mount takes.
        match: the route as its guards see it; without guards and dependant where none is asked.
        app: the innermost FastAPI application that serves it.
        mounts: the mounts and hosts that a request comes through, the outermost first.
        schema_path: its name in the OpenAPI document of `app`; `None` if it is not in there.
        behind: what is mounted there.
        inside: of the guards in `match`, those of what is mounted there, which are asked below.
        open_because: why nothing is asked for it, where that has a reason of its own.
    """

    path: str
    methods: tuple[str, ...]
    match: MatchedRoute
    app: FastAPI
    mounts: "tuple[Served, ...]" = ()
    schema_path: str | None = None
    behind: Any = None
    inside: tuple[RouteGuard, ...] = ()
    open_because: str | None = None

    @property
    def known_methods(self) -> tuple[str, ...]:
        """The methods; none where they are not known."""
        return () if self.methods == (ANY,) else self.methods

    @property
    def guard(self) -> RouteGuard | None:
        """The guard that decides about it, in its own application."""
        return deciding(self.match.guards, self.app.dependency_overrides)

    @property
    def settings_from(self) -> tuple[RouteGuard | None, FastAPI]:
        """The guard whose settings hold for it, and the application in which they are found."""
        for one in (self, *reversed(self.mounts)):
            if one.guard is not None:
                return one.guard, one.app
        asked = token_dependencies_of(self.match, self.app.dependency_overrides)
        return next((it for it, _ in asked if isinstance(it, RouteGuard)), None), self.app

    @property
    def settings(self) -> JWTSettings | None:
        """The settings that hold for it, as far as they are known before a request."""
        guard, app = self.settings_from
        return known_settings(app, guard)

    def running(self) -> Iterator[tuple[TokenDependency[Any], tuple[str, ...]]]:
        """The dependencies of this package that run there, each with the scopes asked for."""
        match = self.match
        if match.dependant is not None and not match.documentation:
            overridden = self.app.dependency_overrides
            yield from token_dependencies_of(match, overridden, self.known_methods)

    def asked(self, *, is_public: bool) -> Iterator[tuple[TokenDependency[Any], tuple[str, ...]]]:
        """What asks for a token there, each with the scopes asked for.

        Args:
            is_public: whether the guard that decides, or its settings, exclude the route.
        """
        match, guard = self.match, self.guard
        for call, scopes in self.running():
            of_route = [it for it in match.guards if it is cast("object", call)]
            if not of_route or (scopes and of_route[0].asks_scopes(match, self.settings)):
                yield call, scopes
            elif not is_public and guard not in self.inside:
                yield call, ()


@dataclass(frozen=True, slots=True)
class Reached:
    """An application as requests reach it.

    Attributes:
        app: the application.
        is_covered: whether guards outside of it are asked for its plain routes, every way in.
    """

    app: FastAPI
    is_covered: bool


@dataclass(frozen=True, slots=True)
class _Way:
    """How requests come to a router.

    Attributes:
        app: the innermost FastAPI application on it.
        prefix: the path so far.
        mounts: the mount points so far.
        is_covered: whether something asks the guards of plain routes there.
        is_wrapped: whether a guard further out wraps plain routes there, before a request comes.
        open_because: why nothing does, where it should.
        is_documented: whether the document of the application has its routes.
    """

    app: FastAPI
    prefix: str = ""
    mounts: tuple[Served, ...] = ()
    is_covered: bool = False
    is_wrapped: bool = False
    open_because: str | None = None
    is_documented: bool = True


@dataclass(frozen=True, slots=True)
class _Entry:
    """A route as it was added and as it is served, with the router and the inclusion it is in.

    `is_covered`, as of a `_Way`, for this route.
    """

    added: BaseRoute
    served: Any
    home: Any
    is_covered: bool
    inclusion: Any = None


@dataclass(slots=True)
class Inventory:
    """All that is served: routes, and the FastAPI applications and the routers that have them.

    Attributes:
        routes: the routes.
        mounts: the mount points, those without a route below them too.
        applications: the FastAPI applications.
        routers: the routers, those of other applications too.
        is_starting: whether FastAPI keeps what it builds of the routes when it is asked for them.
        is_whole: whether applications of FastAPI's that are mounted are walked, too.
    """

    routes: list[Served] = field(default_factory=list)
    mounts: list[Served] = field(default_factory=list)
    applications: list[Reached] = field(default_factory=list)
    routers: list[Any] = field(default_factory=list)
    is_starting: bool = False
    is_whole: bool = True

    @classmethod
    def of(cls, app: FastAPI, *, is_starting: bool = False, is_whole: bool = True) -> "Inventory":
        """Walk an application.

        Args:
            app: the application.
            is_starting: whether it is about to serve, and FastAPI would have to build anew what it
                builds for this; if not, nothing is changed.
            is_whole: whether to walk the applications of FastAPI's that are mounted in it, each of
                which is a single route otherwise.
        """
        inventory = cls(is_starting=is_starting, is_whole=is_whole)
        for served in inventory._application(app, _Way(app)):
            inventory.routes.extend(_by_needed_scopes(served))
        return inventory

    def excludable(self) -> list[Served]:
        """The routes and mount points that an exclusion can mean.

        Below the mount of anything but a FastAPI application no guard is asked but those of a
        router of FastAPI's that is mounted there.
        """

        def is_asked(one: Served) -> bool:
            behind = one.mounts[-1].behind if one.mounts else one.app
            return isinstance(behind, FastAPI) or any(
                guard not in one.inside for guard in one.match.guards
            )

        return [one for one in (*self.routes, *self.mounts) if is_asked(one)]

    def _application(self, app: FastAPI, way: _Way) -> Iterator[Served]:
        is_covered = way.is_covered and bool(guards_over(app))
        self._reach(app, is_covered=is_covered)
        why, installed = None, Installed.known(app)
        if installed is not None and installed.is_protected:
            is_covered = _fastapi.is_served_by_router(app) or is_covered
            if not is_covered:
                why = (
                    "not known whether protect(app) is asked, because "
                    f"{type(app).__name__} builds its own middleware"
                )
        elif installed is not None and installed.is_displaced:
            is_covered, why = False, "what protect(app) was put into was replaced"
        way = replace(way, app=app, is_covered=is_covered, open_because=why, is_documented=True)
        with _fastapi.unchanged(() if self.is_starting else routers_of(app.router)):
            yield from self._router(app.router, way)

    def _reach(self, app: FastAPI, *, is_covered: bool) -> None:
        for at, known in enumerate(self.applications):
            if known.app is app:
                self.applications[at] = Reached(app, known.is_covered and is_covered)
                return
        self.applications.append(Reached(app, is_covered))

    def _router(self, router: Router, way: _Way) -> Iterator[Served]:
        self.routers.append(router)
        for entry in self._entries(router, is_covered=way.is_covered):
            if _fastapi.is_mount(entry.served):
                yield from self._mounted(entry, way)
            else:
                yield from _route(entry, way)
        if has_default(router):
            match = MatchedRoute((), router.default, ())
            yield Served(f"{way.prefix}/*", (ANY,), match, way.app, way.mounts)

    def _entries(self, router: Router, *, is_covered: bool) -> Iterator[_Entry]:
        """All routes of a router and of those that it includes, those of `frontend()` last."""
        for route in (*router.routes, *_fastapi.low_priority_routes(router)):
            if _fastapi.included_router(route) is not None:
                yield from self._included(route, is_covered=is_covered)
            else:
                yield _Entry(route, route, router, is_covered)

    def _included(self, inclusion: Any, *, is_covered: bool) -> Iterator[_Entry]:
        router: Any = _fastapi.included_router(inclusion)
        self.routers.append(router)
        is_covered = is_covered or getattr(router, "is_protected", False)
        found = _fastapi.candidates(inclusion)
        frontends = _fastapi.included_frontends(inclusion)
        for added, served in found or ():
            if _fastapi.included_router(served) is not None:
                yield from self._included(served, is_covered=is_covered)
            else:
                yield _Entry(added, served, router, is_covered, inclusion)
        for group, served in frontends or ():
            yield _Entry(group, served, router, is_covered, inclusion)
        if found is None or frontends is None:
            yield _Entry(inclusion, None, router, is_covered)

    def _mounted(self, entry: _Entry, way: _Way) -> Iterator[Served]:
        route = entry.served
        path = _path_of_mount(route, way.prefix)
        around, behind = mounted(route), mounted_inside(route)
        if sum(mount.behind is behind for mount in way.mounts) > 1:
            return  # mounted in itself
        point = replace(_plain(entry, way), path=f"{path}/*", methods=(ANY,))
        if not isinstance(behind, Starlette | Router):
            yield point
            return
        if around is not behind:
            yield point  # a layer around it can answer by itself
        inside = guards_over_mounted(entry.added)
        if point.match.dependant is not None:
            match = replace(point.match, guards=(*point.match.guards, *inside))
            point = replace(point, match=match, inside=inside)
        point = replace(point, behind=behind)
        self.mounts.append(point)
        below = replace(
            way,
            prefix=path,
            mounts=(*way.mounts, point),
            is_covered=entry.is_covered,
            is_wrapped=entry.is_covered or way.is_wrapped,
            open_because=None,
        )
        if isinstance(behind, FastAPI) and not self.is_whole:
            yield point
        elif isinstance(behind, FastAPI):
            yield from self._application(behind, below)
        elif isinstance(behind, Starlette):
            # It is the application of these requests, and replaces no dependency.
            below = replace(below, app=FastAPI(openapi_url=None))
            yield from self._router(behind.router, below)
        else:
            below = replace(_below_router(behind, below), is_documented=False)
            yield from self._router(behind, below)


def _path_of_mount(route: Any, prefix: str) -> str:
    if not isinstance(route, Host):
        return f"{prefix}{route.path}"
    if prefix.startswith("//"):  # below another host
        _, slash, rest = prefix[2:].partition("/")
        prefix = slash + rest
    return f"//{route.host}{prefix}"


def _by_needed_scopes(served: Served) -> Iterator[Served]:
    """A route, in parts where its methods need different scopes by template, of mounts too."""
    parts: dict[tuple[str, ...], list[str]] = {}
    for method in served.methods:
        methods = replace(served, methods=(method,)).known_methods
        rules = (
            guard.route_scopes.needed(one.match.paths, methods)
            for one in (*served.mounts, served)
            for guard in one.match.guards
        )
        parts.setdefault(tuple(scope for one in rules for scope in one), []).append(method)
    for several in map(tuple, parts.values()):
        # Seen from the route its mounts have only these methods.
        mounts = tuple(replace(mount, methods=several) for mount in served.mounts)
        yield replace(served, methods=several, mounts=mounts)


def _below_router(router: Router, way: _Way) -> _Way:
    """The way into a router that is mounted as if it were an application."""
    if not isinstance(router, APIRouter):
        return way
    is_covered = asks_its_guard(router) or (way.is_covered and bool(guards_over(router)))
    return replace(way, is_covered=is_covered)


def _route(entry: _Entry, way: _Way) -> Iterator[Served]:
    served: Any = entry.served
    if getattr(served, "dependant", None) is None:
        yield _plain(entry, way)
        return
    match, why = match_of_route(served), None
    has_own_way = _fastapi.has_own(type(entry.added), "handle", APIRoute, APIWebSocketRoute)
    # Up to FastAPI 0.136 nothing tells by which router a copied route is guarded.
    if has_own_way and not entry.is_covered:
        match = replace(match, guards=(), dependant=None)
        why = _OWN_WAY.format(type(entry.added).__name__)
    pages = getattr(entry.added, "routes", None)
    if pages is not None:  # what `frontend()` adds has several paths and no template
        below = way.prefix + _fastapi.frontend_prefix(served)
        for page in pages:
            path = f"{below}{page.path.rstrip('/')}/{{path}}"
            match = match_of_frontend(served, [page])
            if entry.inclusion is None and not is_only_frontend(way.app, match):
                match = replace(match, paths=())  # as for a request: no exclusion means it
            yield Served(path, ("GET",), match, way.app, way.mounts)
        return
    in_schema = isinstance(entry.added, APIRoute) and served.include_in_schema
    yield Served(
        way.prefix + served.path,
        _methods(served),
        match,
        way.app,
        way.mounts,
        schema_path=served.path_format if in_schema and way.is_documented else None,
        open_because=why,
    )


def _plain(entry: _Entry, way: _Way) -> Served:
    """A route that FastAPI runs no dependencies for."""
    path, kind = getattr(entry.served, "path", None), type(entry.added).__name__
    shown = f"{way.prefix}/({kind})" if path is None else way.prefix + path
    served = Served(shown, _methods(entry.served), UNKNOWN, way.app, way.mounts)
    if entry.served is None:
        return replace(served, path=f"{way.prefix}/({kind})", open_because=_UNREADABLE)
    if not can_be_guarded(entry.added):
        why = _OWN_WAY.format(kind)
        match = MatchedRoute((), plain_endpoint(entry.added), ())
        return replace(served, match=match, open_because=why)
    endpoint = plain_endpoint(entry.added)
    match = MatchedRoute(
        templates(entry.added, path),
        endpoint,
        (),
        documentation=entry.home is way.app.router and is_page(endpoint, entry.added, way.app),
    )
    try:
        applied = _applied(entry, way)
    except ConfigurationError:
        return replace(served, match=match, open_because=_UNREADABLE)
    guards = guards_among(applied)
    is_below = any(mount.match.guards for mount in way.mounts)
    if (guards or is_below) and _is_asked(entry, way):
        tree = _fastapi.dependency_tree(applied)
        return replace(served, match=replace(match, guards=guards, dependant=tree))
    uncovered = way.open_because or (_NOT_COVERED if guards else None)
    return replace(served, match=replace(match, dependencies=applied), open_because=uncovered)


def _applied(entry: _Entry, way: _Way) -> tuple[Depends, ...]:
    """What applies to a plain route, whether or not anything asks for it."""
    route: Any = entry.added
    if isinstance(route.app, GuardedApp) and not entry.is_covered:
        guarded = route.app
    elif isinstance(entry.home, APIRouter):
        guarded = guarded_app_for(route, entry.home)
    else:
        return ()  # a router of Starlette's has no dependencies
    applied, _ = guarded.applied(entry.inclusion, way.app.router)
    return applied


def _is_asked(entry: _Entry, way: _Way) -> bool:
    """Whether requests to a plain route meet its guards."""
    if entry.is_covered:
        return True
    installed, route = Installed.known(way.app), entry.added
    is_wrapped = way.is_wrapped or isinstance(getattr(route, "app", None), GuardedApp)
    return is_wrapped and not (installed is not None and installed.is_displaced)


def _methods(route: Any) -> tuple[str, ...]:
    if isinstance(route, WebSocketRoute):
        return (WEBSOCKET,)
    methods = set(getattr(route, "methods", None) or (ANY,))
    return tuple(sorted(methods - {"HEAD"} if "GET" in methods else methods))
