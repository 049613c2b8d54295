"""What is below a guarded router: each route has its guards, or the router serves nothing.

Plain routes are wrapped (`plain_routes`). What can neither be guarded nor wrapped is refused.
"""

from collections.abc import Iterable
from threading import get_ident
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute

from jwt_deps.concurrency import ForkSafeLock
from jwt_deps.errors import ConfigurationError

from . import _fastapi
from .plain_routes import GuardedApp, asks_its_guard, can_be_guarded, plain_endpoint, wrap
from .routing import (
    RouteGuard,
    Snapshot,
    guards_among,
    has_default,
    is_among,
    is_fastapi_page,
    is_page,
    is_plain,
    mounted_apps,
    mounted_routers,
    routers_of,
    security_scopes_of,
)

_UPDATING = ForkSafeLock(is_reentrant=True)


class GuardedRoutes:
    """What is below a guarded router: each route with the guards, now and when others are added.

    Whatever way a route comes in, it is looked at before the next request is served.

    Args:
        router: the router.
        guard: the guard that has to apply to everything in it; `None` for those that it has.
        wraps: whether plain routes are wrapped; if not, nothing is changed.
        outer: what is going to apply to the router besides its own dependencies.
    """

    def __init__(
        self,
        router: APIRouter,
        guard: RouteGuard | None = None,
        *,
        wraps: bool = True,
        outer: Iterable[Depends] = (),
    ) -> None:
        self._router = router
        self._guard = guard
        self._wraps = wraps
        self._outer = tuple(outer)
        self._refuses = True
        self._seen = Snapshot()
        self._updating: int | None = None  # the thread that does

    def update(self) -> None:
        """Guard what is new.

        Raises:
            ConfigurationError: a route that cannot be guarded, or that no guard applies to.
        """
        if self._updating == get_ident():
            return  # reading the routes of a protected router calls this again
        with _UPDATING():  # another thread serves nothing before this one is done
            self._updating = get_ident()
            try:
                if not self._seen.is_current():
                    self._seen = self._look()
            finally:
                self._updating = None

    def wrap(self) -> None:
        """Guard what can be guarded, and refuse nothing: the routes are about to go elsewhere.

        What cannot be guarded is refused before this router serves the next request.
        """
        with _UPDATING():
            self._updating, self._refuses = get_ident(), False
            try:
                self._look()
            finally:
                self._updating, self._refuses = None, True

    def _look(self) -> Snapshot:
        seen, guards = Snapshot(), guards_among((*self._outer, *self._router.dependencies))
        if self._guard is not None:
            guards = (self._guard, *guards)
        self._guard_routes(self._router, self._outer, guards, seen)
        return seen

    def _guard_routes(
        self,
        router: APIRouter,
        outer: tuple[Depends, ...],
        guards: tuple[RouteGuard, ...],
        seen: Snapshot,
    ) -> None:
        """Guard what is in a router that is included with `outer`: `guards` must apply there."""
        applied = (*outer, *router.dependencies)
        anything = bool(applied) and self._refuses
        routes = seen.add(router, (*guards, *_comparable(outer)))
        if anything:
            _refuse_default(router)
            _refuse_body(routes, applied)
        wrapped = False
        for route in routes:
            inner = _fastapi.included_router(route)
            if inner is not None:
                applied = (*outer, *(_fastapi.inclusion_dependencies(route) or ()))
                self._require_guards(route, applied, guards, router)
                self._guard_included(inner, applied, guards, seen)
            elif isinstance(route, APIRoute | APIWebSocketRoute):
                self._require_guards(route, (*outer, *route.dependencies), guards, router)
                if anything and "handle" in vars(route):
                    raise _of_unknown_class(route)
            elif can_be_guarded(route):
                wrapped = (self._wraps and self._wrap(route, router, outer, seen)) or wrapped
                self._guard_mounted(route, seen)
            elif anything:
                raise _of_unknown_class(route)
        for group in _fastapi.low_priority_routes(router):
            applied = (*outer, *getattr(group, "dependencies", ()))
            self._require_guards(group, applied, guards, router)
        if wrapped:
            # FastAPI may have built what it serves from the routes as they were before.
            _fastapi.read_again(router)

    def _require_guards(
        self,
        route: Any,
        applied: tuple[Depends, ...],
        guards: tuple[RouteGuard, ...],
        router: APIRouter,
    ) -> None:
        if self._refuses:
            _refuse_shared(route, (*guards, *guards_among(router.dependencies)))
            _refuse_unguarded(route, applied, guards, router)

    def _guard_included(
        self,
        inner: APIRouter,
        applied: tuple[Depends, ...],
        guards: tuple[RouteGuard, ...],
        seen: Snapshot,
    ) -> None:
        if applied and self._refuses:
            _refuse_own_handle(inner)
        if not seen.has(inner, (*guards, *_comparable(applied))):
            self._guard_routes(inner, applied, guards, seen)

    @staticmethod
    def _wrap(route: Any, home: APIRouter, outer: tuple[Depends, ...], seen: Snapshot) -> bool:
        new = wrap(route, home)
        if not isinstance(route.app, GuardedApp):
            raise _of_unknown_class(route)
        if outer and not any(it is home and applied == outer for it, applied in route.app.included):
            route.app.included.append((home, outer))
        seen.add_plain(route)
        return new

    def _guard_mounted(self, route: BaseRoute, seen: Snapshot) -> None:
        """Guard what is mounted: what applies to its routers holds for plain routes in it too."""
        for app in mounted_apps([route]):
            seen.add_mounted(app)
            router = app.router if isinstance(app, FastAPI) else app
            if not isinstance(router, APIRouter):
                continue
            guards = guards_among(router.dependencies)
            if not seen.has(router, guards):
                self._guard_routes(router, (), guards, seen)
            for one in router.routes:
                guarded = getattr(one, "app", None)
                if not isinstance(guarded, GuardedApp):
                    continue
                if not is_among(router, guarded.mounted_routers):
                    guarded.mounted_routers.append(router)


def check(router: APIRouter, outer: Iterable[Depends] = ()) -> None:
    """Check that everything below a guarded router can be guarded; change nothing.

    Raises:
        ConfigurationError: as `GuardedRoutes.update`, which is called for requests to the router.
    """
    GuardedRoutes(router, wraps=False, outer=outer).update()


def _of_unknown_class(route: BaseRoute) -> ConfigurationError:
    return ConfigurationError(
        "route_class",
        f"A route of the class {type(route).__name__} cannot be guarded: mount what it serves as "
        "an ASGI application instead, or keep it out of guarded routers.",
    )


def _refuse_own_handle(router: APIRouter) -> None:
    # FastAPI leaves it to the router what it serves, and one that serves in its own way may run
    # no dependencies.
    own = _fastapi.has_own(type(router), "handle", APIRouter) or "handle" in vars(router)
    if own and not asks_its_guard(router):
        raise ConfigurationError(
            "route_class",
            f"A router of the class {type(router).__name__} handles requests in its own way, and "
            "cannot be guarded: mount it as an application instead.",
        )


def _refuse_default(router: APIRouter) -> None:
    if has_default(router):
        raise ConfigurationError(
            "default_application",
            "A guarded router has a default application, which no guard applies to: mount it "
            "as the last route instead.",
        )


def _refuse_body(routes: Iterable[BaseRoute], applied: tuple[Depends, ...]) -> None:
    if any(can_be_guarded(it) and not is_fastapi_page(plain_endpoint(it)) for it in routes):
        _fastapi.refuse_body(applied)


def _refuse_shared(route: Any, here: tuple[RouteGuard, ...]) -> None:
    """Refuse a route of another application, whose guard would decide here too."""
    own = getattr(route, "dependencies", None) or _fastapi.inclusion_dependencies(route) or ()
    others = [it.app for it in guards_among(own) if it.app is not None and it not in here]
    if _fastapi.COPIES:  # old FastAPI: what includes a router has copies, with own dependants
        apps = [app for it in others if (app := it()) is not None]
        theirs = (getattr(one, "dependant", None) for app in apps for one in app.routes)
        others = [it for it in theirs if it is route.dependant]
    if others:
        raise of_another_application(route)


def of_another_application(route: BaseRoute) -> ConfigurationError:
    """The error for a route that is in two applications."""
    return ConfigurationError(
        "shared_route",
        f"The route {named(route)} is one of another application, or a copy of one, and what "
        "applies there would apply here: make the routes anew for each application, or put "
        "them into a router and include that in each.",
    )


def _refuse_unguarded(
    route: Any,
    applied: tuple[Depends, ...],
    guards: tuple[RouteGuard, ...],
    router: APIRouter | None = None,
) -> None:
    """Refuse a route that lacks a guard, or a dependency of the router that it is in."""
    # FastAPI gives a route the dependencies of its router once, in the method that adds it. What
    # is put into the list of routes as an object, or was there before them, has none of them.
    if not set(guards) <= set(guards_among(applied)):
        lacks, or_else = "guard", ", or call protect(app) for a whole application"
    elif router is not None and not _comparable(router.dependencies) <= _comparable(applied):
        lacks, or_else = "dependency of that router", ""
    else:
        return
    raise ConfigurationError(
        "unguarded_route",
        f"The route {named(route)} is in a guarded router and no {lacks} applies to it, because "
        f"it was added as an object or before the {lacks}: add it with the router's decorators, "
        f"add_api_route or include_router{or_else}.",
    )


def _comparable(dependencies: Iterable[Depends]) -> set[Any]:
    """What dependencies ask for, in a form to compare: up to FastAPI 0.120 equal ones differ."""
    return {(it.dependency, security_scopes_of(it)) for it in dependencies}


def apply_to_copies(  # old FastAPI
    router: APIRouter, before: int, dependencies: Iterable[Depends]
) -> None:
    """Apply the dependencies of an inclusion to the plain routes that it copied.

    Up to FastAPI 0.136: nothing tells later where a copied route came from.

    Args:
        router: the router that includes.
        before: how many routes it had.
        dependencies: those of the inclusion, and of the router that was included.
    """
    for route in router.routes[before:]:
        if is_plain(route):
            wrap(route, router)
            route.app.brought = (*dependencies, *route.app.brought)  # type: ignore[attr-defined]


def covered(app: FastAPI) -> Snapshot:
    """The routers of an application, if their guards cover all that is in them.

    For guards that are mere dependencies: FastAPI runs these for its own routes only. The other
    dependencies of a router with a guard have to apply to its routes, too.

    Raises:
        ConfigurationError: a guard applies to a route that FastAPI does not ask it for.
    """
    router, seen = app.router, Snapshot()
    waiting: list[tuple[APIRouter, tuple[Depends, ...]]] = [(router, ())]
    while waiting:
        current, outer = waiting.pop()
        if getattr(current, "is_protected", False):
            continue  # it checks its routes and asks its guard itself
        guards = guards_among((*outer, *current.dependencies))
        if seen.has(current, guards):
            continue
        routes = seen.add(current, guards)
        if guards:
            _refuse_default(current)
        for route in routes:
            inner = _fastapi.included_router(route)
            if inner is not None:
                applied = (*outer, *(_fastapi.inclusion_dependencies(route) or ()))
                inside = any(getattr(it, "is_protected", False) for it in routers_of(inner))
                is_guarded = inside or bool(guards_among(applied))
                _refuse_unguarded(route, applied, guards, current if is_guarded else None)
                waiting.append((inner, applied))
            elif isinstance(route, APIRoute | APIWebSocketRoute):
                applied = (*outer, *route.dependencies)
                is_guarded = bool(guards_among(applied))
                _refuse_unguarded(route, applied, guards, current if is_guarded else None)
            elif (
                guards
                # An application around this one, or one that shares the route, guards it.
                and not isinstance(getattr(route, "app", None), GuardedApp)
                and not (current is router and is_page(plain_endpoint(route), route, app))
            ):
                raise _not_covered(route)
            else:
                waiting.extend((it, ()) for it in mounted_routers([route]))
        for group in _fastapi.low_priority_routes(current):
            _refuse_unguarded(group, (*outer, *getattr(group, "dependencies", ())), guards)
    return seen


def _not_covered(route: BaseRoute) -> ConfigurationError:
    return ConfigurationError(
        "unprotected_route",
        f"jwt_guard() applies to {named(route)}, which FastAPI runs no dependencies for: call "
        "protect(app) for a whole application, or protected_router(...) for a router, which guard "
        "such routes too.",
    )


def named(route: BaseRoute) -> str:
    """A route as error messages name it."""
    path = getattr(route, "path", None)
    return type(route).__name__ if path is None else repr(path)
