"""The checks of a start, which find what would be open, or refused, without a word.

Exclusions and scopes that are for no route, roles without a claim, and parameters that a client
sends although their types have `Depends` in them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, Any, get_args, get_origin

from fastapi import params
from fastapi.applications import FastAPI  # `fastapi.FastAPI` can be another class by now

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings, PathPatterns, get_settings

from . import _fastapi
from .guard import JWTGuard
from .guarded_routes import check, covered
from .installed import Installed
from .inventory import Inventory, Reached, Served
from .request_principal import get_claims
from .requirements import Requirement, no_roles_claim
from .routing import (
    MatchedRoute,
    RouteGuard,
    applications_in,
    dependencies_of_routers,
    guards_among,
    is_among,
    routers_of,
    same_endpoint,
)


def route_problems(app: FastAPI, outermost: FastAPI | None) -> Iterator[ConfigurationError]:
    """Why an application does not start: what is meant for none of its routes, or no route can do.

    Args:
        app: the application.
        outermost: the one in which it is mounted, at any depth, or itself; `None` if that is not
            known. What settings exclude may be in any application that is mounted there.

    Raises:
        ConfigurationError: there is no configuration.
    """
    inventory = Inventory.of(app, is_starting=True, is_whole=False)
    for sentence in _idle_exclusions(app, inventory, outermost):
        yield ConfigurationError("idle_exclusion", sentence)
    if any(it is not None and not it.server.has_roles for it in _asked_for_roles(inventory)):
        yield no_roles_claim()
    for one in applications_in(app):  # those that are mounted have no start of their own
        there = inventory if one is app else Inventory.of(one, is_starting=True, is_whole=False)
        for served in there.routes:
            yield from _hidden_depends(served.match)


def _hidden_depends(match: MatchedRoute) -> Iterator[ConfigurationError]:
    """The parameters of a route that FastAPI reads from the request, where `Depends` was meant."""
    if match.dependant is None:
        return
    for call, name, kind in _fastapi.sent_parameters(match.dependant):
        if _has_depends(kind):
            yield ConfigurationError(
                "without_depends",
                f"The parameter {name!r} of {getattr(call, '__name__', call)!r} has Depends(...) "
                "inside of its type, where FastAPI does not look: a client would send the value. "
                "Write Annotated[str | None, Depends(...)].",
            )


def _has_depends(kind: Any) -> bool:
    parts = [kind]
    for part in parts:  # those of a part are added: a type that is named can contain itself
        inner = get_args(part)
        if get_origin(part) is Annotated:
            inner, besides = inner[:1], inner[1:]
            if any(isinstance(it, params.Depends) for it in besides):
                return True
        named = (getattr(part, it, None) for it in ("__value__", "__supertype__"))
        parts += [it for it in (*inner, *named) if not is_among(it, parts)]
    return False


def _asked_for_roles(inventory: Inventory) -> Iterator[JWTSettings | None]:
    """The settings under which routes ask for roles, as far as they are known before a request."""
    asking = {
        one.settings_from
        for served in inventory.routes
        for one in (served, *served.mounts)
        if _asks_roles(call for call, _ in one.running())
    }
    # Without a guard those of one further out may hold, which is not known here.
    return (settings_under(app, guard) for guard, app in asking if guard is not None)


def _asks_roles(calls: Iterable[object]) -> bool:
    return any(isinstance(it, Requirement) and "role" in it.needs for it in calls)


def _idle_exclusions(
    app: FastAPI, inventory: Inventory, outermost: FastAPI | None
) -> Iterator[str]:
    """The exclusions and the scopes by template that match no route, each as a sentence."""
    routes = inventory.excludable()
    templates = _paths_of(it.match for it in routes)
    for guard in _guards(app, routes):
        mine = [it.match for it in routes if _can_exclude(guard, it.match)]
        yield from _idle(guard.patterns, _paths_of(mine))
        for endpoint in guard.endpoints:
            if not any(same_endpoint(match.endpoint, endpoint) for match in mine):
                yield (
                    f"exclude names the endpoint {getattr(endpoint, '__name__', endpoint)!r}, "
                    "and no guarded route has it."
                )
        settings = settings_under(app, guard)
        excluded = None if settings is None else settings.server.excluded
        if excluded is not None and outermost is not None and excluded.unmatched(templates):
            everywhere = Inventory.of(outermost, is_starting=True).excludable()
            yield from _idle(excluded, _paths_of(it.match for it in everywhere))
        if guard.route_scopes.rules:
            yield from _idle_scopes(inventory, guard)


def _can_exclude(guard: RouteGuard, match: MatchedRoute) -> bool:
    """Whether an exclusion of a guard can be for a route.

    It can be for a route without guards, and for a plain one, whose guards are not always known.
    """
    return guard in match.guards or not (match.guards and match.applied)


def _paths_of(matches: Iterable[MatchedRoute]) -> list[str]:
    return [path for match in matches for path in match.paths]


def _idle_scopes(inventory: Inventory, guard: JWTGuard) -> Iterator[str]:
    routes = [
        # A `GET` route answers `HEAD` too, which a rule may name.
        (one.match.paths, (*one.known_methods, *(("HEAD",) if "GET" in one.methods else ())))
        for served in inventory.routes
        for one in (served, *served.mounts)
        if guard in one.match.guards
    ]
    for name in guard.route_scopes.idle(routes):
        yield (
            f"The scopes of {name!r} are for no route behind this guard: write the method, or none "
            "for all, and the whole template with its prefixes, 'GET /api/items/{item_id}', or a "
            "pattern, 'GET /api/*'. A mount at /files is one route, '/files/{path:path}'."
        )


def _idle(patterns: PathPatterns, templates: list[str]) -> Iterator[str]:
    unmatched = patterns.unmatched(templates)
    if unmatched:
        yield (
            f"The exclusion {', '.join(map(repr, unmatched))} matches no route: write the whole "
            "template as the route has it, with its prefixes and types, '/api/items/{id:int}', or "
            "a pattern, '/api/*'. A mount at /files is one route, '/files/{path:path}'."
        )


def reasons_not_to_serve(reached: Reached) -> Iterator[str]:
    """Why an application would refuse to serve, each as a sentence, with nothing changed."""
    app = reached.app
    installed = Installed.known(app)
    if installed is not None and installed.is_displaced:
        yield (
            "protect(app) was called, and app.router or its middleware_stack was replaced since: "
            "no guard is asked for plain routes and mounts. Replace it before, or add middleware "
            "with app.add_middleware."
        )
    protected = [it for it in routers_of(app.router) if getattr(it, "is_protected", False)]
    looks: list[Callable[[], object]] = [partial(check, router) for router in protected]
    if installed is not None and installed.is_protected:
        looks.append(partial(check, app.router))
    elif not reached.is_covered:
        looks.append(partial(covered, app))
    for look in looks:
        try:
            look()
        except ConfigurationError as error:
            yield str(error)


def settings_under(app: FastAPI, guard: RouteGuard | None) -> JWTSettings | None:
    """The settings under a guard; `None` if only a request can ask for them.

    Raises:
        ConfigurationError: there is no configuration.
    """
    if guard is not None and guard.settings is not None:
        return guard.settings
    if not {get_settings, get_claims}.isdisjoint(app.dependency_overrides):
        return None  # a test's own configuration, which only a request can ask for
    return get_settings()


def guards_in(app: FastAPI) -> Iterator[JWTGuard]:
    """The guards of an application, each once."""
    routes = Inventory.of(app, is_starting=True, is_whole=False).excludable()
    return _guards(app, routes)


def _guards(app: FastAPI, routes: Iterable[Served]) -> Iterator[JWTGuard]:
    of_routers = guards_among(dependencies_of_routers(app.router))
    of_routes = (it for one in routes for it in one.match.guards if it not in one.inside)
    return (it for it in dict.fromkeys((*of_routers, *of_routes)) if isinstance(it, JWTGuard))
