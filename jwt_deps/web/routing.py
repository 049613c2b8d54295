"""Which route a request matched, which guards apply to it, and what a router contains."""

import weakref
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import isfunction
from operator import is_
from typing import Any

from fastapi import APIRouter
from fastapi.applications import FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute
from starlette.types import Scope

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings, get_settings, split_exclusions

from . import _fastapi
from .factories import identity_of
from .route_scopes import RouteScopes


def security_scopes_of(depends: Depends) -> tuple[str, ...]:
    """The scopes that a dependency is asked for with: those of `Security`."""
    return tuple(getattr(depends, "scopes", None) or ())


def is_among(router: object, routers: Iterable[object]) -> bool:
    """Whether a router is one of several, by identity: routers compare by value."""
    return any(router is known for known in routers)


def mounted(route: Any) -> Any:
    """What a mount, a host or a route serves, without its own middleware and the guards around."""
    app = _fastapi.mounted_app(route)
    inner = _fastapi.attribute(app, "unwrapped")
    return app if inner is None else inner


def mounted_inside(route: Any) -> Any:
    """The same, seen through layers that have what is inside as `app`, as middleware does.

    A layer can serve something else too: nothing says that every request comes to it.
    """
    app = mounted(route)
    inner = _fastapi.inside(app, Starlette | Router)
    return app if inner is None else inner


def routes_of(app: Any) -> Sequence[BaseRoute]:
    """The routes of a mounted application; none of another framework's, which has other ones."""
    found = _fastapi.attribute(app, "routes")
    return found if isinstance(found, list | tuple) else ()


def mounted_apps(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    """What plain routes serve, those too of an application that is not FastAPI's."""
    waiting = list(routes)
    seen: list[Any] = []  # one can be mounted in itself
    for route in waiting:
        if is_plain(route):
            app = mounted_inside(route)
            yield app
            inner = () if isinstance(app, APIRouter | FastAPI) else routes_of(app)
            if inner and not is_among(app, seen):
                seen.append(app)
                waiting += inner


def mounted_routers(routes: Iterable[BaseRoute]) -> Iterator[APIRouter]:
    """The routers that are mounted among routes as if they were applications.

    Those of a `FastAPI` are not among them: it is an application of its own.
    """
    return (app for app in mounted_apps(routes) if isinstance(app, APIRouter))


def has_default(router: Router) -> bool:
    """Whether a router serves something of its own where no route matches."""
    # Functions are compared, because a copied router keeps the bound method of the original.
    return getattr(router.default, "__func__", None) not in (
        Router.not_found,
        APIRouter.not_found,
    )


def routers_of(router: APIRouter) -> Iterator[APIRouter]:
    """The router and all that it includes or has mounted, at any depth, each once."""
    seen: list[APIRouter] = []
    waiting = [router]
    while waiting:
        current = waiting.pop()
        if is_among(current, seen):
            continue
        seen.append(current)
        yield current
        waiting.extend(mounted_routers(current.routes))
        waiting.extend(it for it in map(_fastapi.included_router, current.routes) if it is not None)


def applications_in(app: FastAPI) -> list[FastAPI]:
    """The application and all FastAPI applications mounted in it, at any depth, each once."""
    found: list[FastAPI] = []
    waiting = [app]
    while waiting:
        current = waiting.pop()
        if not is_among(current, found):
            found.append(current)
            for router in routers_of(current.router):
                mounted_here = mounted_apps(router.routes)
                waiting.extend(it for it in mounted_here if isinstance(it, FastAPI))
    return found


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

    __slots__ = ("_mounted", "_plain", "_routers")

    def __init__(self) -> None:
        self._routers: list[tuple[APIRouter, list[BaseRoute], Any, Any, set[Any]]] = []
        self._plain: list[tuple[Any, Any, Any]] = []
        self._mounted: list[tuple[Any, list[BaseRoute]]] = []

    def add(self, router: APIRouter, applied: Iterable[Any]) -> list[BaseRoute]:
        """Keep the routes of a router; those that are added while they are looked at are new.

        It can be included in several places, and is kept with what applies to it in this one.
        """
        kept = list(router.routes)
        dependencies = list(router.dependencies)
        self._routers.append((router, kept, router.default, dependencies, set(applied)))
        return kept

    def add_plain(self, route: Any) -> None:
        """Keep what a plain route serves."""
        self._plain.append((route, route.app, getattr(route, "endpoint", None)))

    def add_mounted(self, app: Any) -> None:
        """Keep the routes of an application that is mounted."""
        self._mounted.append((app, list(routes_of(app))))

    def has(self, router: APIRouter, applied: Iterable[Any]) -> bool:
        """Whether the routes of a router are kept, looked at where the same applies to it."""
        wanted = set(applied)
        return any(router is known and wanted == have for known, *_, have in self._routers)

    def is_current(self) -> bool:
        """Whether the routes are still the kept ones; `False` if none were kept."""
        for router, kept, default, dependencies, _ in self._routers:
            if (
                router.default is not default
                or router.dependencies != dependencies
                or "handle" in vars(router)
                or not _are_same(router.routes, kept)
            ):
                return False
        for route, app, endpoint in self._plain:
            if route.app is not app or getattr(route, "endpoint", None) is not endpoint:
                return False
        same = (_are_same(routes_of(app), kept) for app, kept in self._mounted)
        return bool(self._routers) and all(same)


def _are_same(routes: Sequence[BaseRoute], kept: Sequence[BaseRoute]) -> bool:
    return len(routes) == len(kept) and all(map(is_, routes, kept))


_PUBLIC = "__jwt_deps_public__"
_PAGES = "fastapi.applications"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MatchedRoute:
    """A route as the application serves it.

    Attributes:
        paths: its template with every prefix; a mount's also with what lies below it.
        endpoint: the callable behind it.
        guards: the guards that apply to it, outermost first.
        documentation: whether it is a page that FastAPI itself adds, `/docs` for instance.
        dependant: FastAPI's tree of its dependencies, if it runs any.
        dependencies: what applies to a route that FastAPI runs no dependencies for.
        applied: what applies to the route, in which `guards` were found.
        open_by: what each guard has decided about it.
        challenge_parameters: of the challenges on it, by the URL of the metadata.
    """

    paths: tuple[str, ...]
    endpoint: Any
    guards: "tuple[RouteGuard, ...]"
    documentation: bool = False
    dependant: Any = None
    dependencies: tuple[Depends, ...] = ()
    applied: tuple[Depends, ...] = ()
    open_by: dict["RouteGuard", bool] = field(default_factory=dict)
    challenge_parameters: dict[str, Any] = field(default_factory=dict)


def _gone() -> None:
    """Stand for a weak reference to an application of another process."""


class RouteGuard:
    """The settings of a guard, what it excludes, and the scopes that it asks by template."""

    def __init__(
        self,
        settings: JWTSettings | None = None,
        exclude: Iterable[str | Callable[..., Any]] = (),
        scopes: Mapping[str, Any] | None = None,
        credentials: Iterable[Any] = (),
    ) -> None:
        if settings is not None and not isinstance(settings, JWTSettings):
            raise ConfigurationError(
                "not_settings",
                f"settings takes a JWTSettings, not {type(settings).__name__}; what needs no "
                "token goes to exclude=[...].",
            )
        if further := tuple(credentials):
            settings = (settings or get_settings()).with_credentials(further)
        self.settings = settings
        #: The application that it guards by `protect`: guards are kept longer than applications.
        self.app: weakref.ref[FastAPI] | None = None
        self.patterns, self.endpoints = split_exclusions(exclude)
        self.route_scopes = RouteScopes(scopes)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy in another process has: it is of an application that is not there."""
        return {**vars(self), "app": _gone if self.app else None}

    def excludes(self, match: MatchedRoute) -> bool:
        """Whether a route needs no token, by its own mark or by this guard's exclusions."""
        known = match.open_by.get(self)
        if known is None:
            known = (
                match.documentation
                or is_marked_public(match.endpoint)
                or any(same_endpoint(match.endpoint, it) for it in self.endpoints)
                or any(map(self.patterns.match, match.paths))
            )
            match.open_by[self] = known
        return known

    def opens(self, match: MatchedRoute, settings: JWTSettings | None) -> bool:
        """Whether a route needs no token, by this guard or by the settings that hold for it."""
        return self.excludes(match) or (settings is not None and is_excluded(match, settings))

    def asks_scopes(self, match: MatchedRoute, settings: JWTSettings | None) -> bool:
        """Whether the scopes that this guard needs are asked for on a route.

        They are, of whatever the innermost guard lets pass; not where that is this guard, and it or
        the settings exclude the route.
        """
        if self not in match.guards[-1:]:
            return True
        return not self.opens(match, settings)


def is_excluded(match: MatchedRoute, settings: JWTSettings) -> bool:
    """Whether the settings' `excluded_route_paths` match this route."""
    return any(map(settings.server.excluded.match, match.paths))


def is_plain(route: BaseRoute) -> bool:
    """Whether that is a route of Starlette's, which FastAPI runs no dependencies for."""
    if _fastapi.is_mount(route):
        return True
    is_own = isinstance(route, APIRoute | APIWebSocketRoute)
    return isinstance(route, Route | WebSocketRoute) and not is_own


def deciding(guards: Sequence[RouteGuard], overridden: Container[Any]) -> RouteGuard | None:
    """The guard that decides: the innermost of those that the application does not replace."""
    return next((guard for guard in reversed(guards) if guard not in overridden), None)


def same_endpoint(one: Any, other: Any) -> bool:
    """Whether two callables are one and the same, by identity."""
    return identity_of(one) == identity_of(other)


def mark_public(endpoint: Any) -> None:
    """Mark an endpoint as one that needs no token."""
    setattr(endpoint, _PUBLIC, True)


def is_marked_public(endpoint: Any) -> bool:
    """Whether an endpoint itself is marked; a class does not inherit the mark."""
    return getattr(endpoint, "__dict__", {}).get(_PUBLIC) is True


#: What is known of a route that cannot be identified: nothing, so that nothing excludes it.
UNKNOWN = MatchedRoute((), None, ())


def match_of(scope: Scope, route: Any, context: Any) -> MatchedRoute:
    """The route whose dependencies are being run.

    It is what the scope names as the route, `None` for a file of `frontend()`, and what FastAPI
    wrote into the scope about it (`_fastapi.route_context`).
    """
    owner = route
    if context is not None:
        added = _fastapi.added_route(context)
        if route is None:
            if getattr(context, "dependant", None) is not None:
                # It can be a route of another request, which shares the dictionary with this one.
                pages = getattr(added, "routes", None)
                return UNKNOWN if pages is None else match_of_frontend(context, pages, scope)
        # The context of an outer application stays in the scope of one mounted in it, hence the
        # comparison, which FastAPI itself makes too.
        elif added is route:
            owner = context
    if owner is None:
        return _match_of_own_frontend(scope)
    known = _matches.get(id(owner))
    if known is not None:
        return known[1]
    return UNKNOWN if getattr(owner, "dependant", None) is None else _remembered_match(owner)


def _match_of_own_frontend(scope: Scope) -> MatchedRoute:
    """The `frontend()` of the application itself, for which FastAPI names no route."""
    app = scope.get("app")
    if _fastapi.frontend_path(scope) is None or not isinstance(app, FastAPI):
        return UNKNOWN
    groups = _frontends(app)
    found = [match for it in groups if (match := match_of_frontend(it, it.routes, scope)).paths]
    # Routers that are mounted can have the same paths: then it is not known which it is.
    return found[0] if len(found) == 1 else UNKNOWN


def _frontends(app: FastAPI) -> list[Any]:
    return [it for one in routers_of(app.router) for it in _fastapi.low_priority_routes(one)]


def is_only_frontend(app: FastAPI, match: MatchedRoute) -> bool:
    """Whether a `frontend()` for which FastAPI names no route is known by its path."""
    several = (match_of_frontend(it, it.routes).paths for it in _frontends(app))
    return sum(not set(match.paths).isdisjoint(paths) for paths in several) == 1


def match_of_frontend(owner: Any, pages: Iterable[Any], scope: Scope | None = None) -> MatchedRoute:
    """What `frontend()` serves: at every path that it has, or at that of one request."""
    below = _fastapi.frontend_prefix(owner)
    paths = tuple((below + page.path).rstrip("/") for page in pages)
    if scope is not None:
        rest = _fastapi.frontend_path(scope) or ""
        path, root = scope["path"], scope.get("root_path", "")
        path = path.removeprefix(root) if path.startswith(f"{root}/") else path
        at = path[: len(path) - len(rest)].rstrip("/")
        paths = (at,) if at in paths and path.endswith(rest) else ()
    templates = tuple(it for path in paths for it in (path or "/", f"{path}/{{path:path}}"))
    applied = tuple(owner.dependencies)
    return MatchedRoute(
        templates, None, guards_among(applied), dependant=owner.dependant, applied=applied
    )


def is_fastapi_page(endpoint: Any) -> bool:
    """Whether an endpoint is one that FastAPI itself adds to applications."""
    return isfunction(endpoint) and endpoint.__module__ == _PAGES


def is_page(endpoint: Any, route: Any, app: Any) -> bool:
    """Whether a route, as it was added, is a page that FastAPI itself adds to an application."""
    if not (is_fastapi_page(endpoint) and isinstance(app, FastAPI)):
        return False
    pages = (app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url)
    # Without a document there are no pages, whatever their addresses would be.
    return bool(app.openapi_url) and getattr(route, "path", None) in pages


def forget_matches() -> None:
    """Forget what applies to routes, because something was applied to them since."""
    _matches.clear()


def templates(route: BaseRoute, path: str | None) -> tuple[str, ...]:
    """The templates by which patterns match a plain route; none for a host."""
    if path is None:
        return ()
    return (path, f"{path}/{{path:path}}") if isinstance(route, Mount) else (path,)


def guards_among(
    dependencies: Iterable[Depends], overridden: Collection[Any] = ()
) -> tuple[RouteGuard, ...]:
    """The guards in a list of dependencies and below them, in the order of a run.

    Neither what an application overrides runs, nor what that depends on.
    """
    calls: Iterator[Any] = (depends.dependency for depends in dependencies)
    if overridden:
        found: list[RouteGuard] = []
        for call in calls:
            if call is not None and call not in overridden:
                nodes = _fastapi.nodes_below(call, overridden)
                below: tuple[Any, ...] = (call, *(node.call for node in nodes))
                found += [it for it in below if isinstance(it, RouteGuard)]
        return tuple(found)
    return tuple(guard for call in calls if call is not None for guard in _guards_of_callable(call))


@lru_cache(maxsize=4096)
def _guards_of_callable(call: Callable[..., Any]) -> tuple[RouteGuard, ...]:
    if isinstance(call, RouteGuard):
        return (call,)
    calls = (node.call for node in _fastapi.nodes_below(call))
    return tuple(it for it in calls if isinstance(it, RouteGuard))


# By identity, because routes compare by value and are not hashable.
_matches: dict[int, tuple[weakref.ref[Any], MatchedRoute]] = {}


def _remembered_match(owner: Any) -> MatchedRoute:
    key, match = id(owner), match_of_route(owner)
    _matches[key] = (weakref.ref(owner, lambda _: _matches.pop(key, None)), match)
    return match


def match_of_route(owner: Any) -> MatchedRoute:
    """The match of a route that FastAPI runs dependencies for.

    Its guards are among what applies to the route, not among its endpoint's own parameters: a
    guard that an endpoint asks for adds to those and takes the place of none.
    """
    # As it is written: an exclusion without the type of a parameter is of another route.
    path = getattr(owner, "path", "")
    guards = guards_among(owner.dependencies)
    endpoint = getattr(owner, "endpoint", None)
    return MatchedRoute(
        (path,) if path else (),
        endpoint,
        guards,
        dependant=owner.dependant,
        applied=tuple(owner.dependencies),
    )
