"""Whether an application can start: what is meant for none of its routes, or no route can do."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi.applications import FastAPI  # `fastapi.FastAPI` can be another class by now
from starlette.routing import BaseRoute

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings, PathPatterns, get_settings

from . import _fastapi
from .guard import JWTGuard, token_dependencies_of
from .installed import Installed
from .inventory import Inventory, Reached
from .plain_routes import check, covered, plain_endpoint
from .request_principal import get_claims
from .requirements import Requirement, no_roles_claim
from .routing import (
    MatchedRoute,
    RouteGuard,
    deciding,
    dependencies_of_routers,
    guards_among,
    is_among,
    is_page,
    match_of_frontend,
    match_of_route,
    mounted_routers,
    routers_of,
    same_endpoint,
    templates,
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
    matches = list(_matches(app))
    for sentence in _idle_exclusions(app, matches, outermost):
        yield ConfigurationError("idle_exclusion", sentence)
    if any(it is not None and not it.server.has_roles for it in _asked_for_roles(app, matches)):
        yield no_roles_claim()


def _asked_for_roles(app: FastAPI, matches: list[MatchedRoute]) -> Iterator[JWTSettings | None]:
    """The settings under which a route asks for roles, as far as they are known."""
    overridden = app.dependency_overrides
    for match in matches:
        if _asks_roles(call for call, _ in token_dependencies_of(match, overridden)):
            yield settings_under(app, deciding(match.guards, overridden))
    if _asks_roles(it.dependency for it in dependencies_of_routers(app.router)):
        for served in Inventory.of(app).routes:
            for one in (served, *served.mounts):
                if _asks_roles(call for call, _ in one.asked(is_public=False)):
                    yield one.settings


def _asks_roles(calls: Iterable[object]) -> bool:
    return any(isinstance(it, Requirement) and "role" in it.needs for it in calls)


def _idle_exclusions(
    app: FastAPI, matches: list[MatchedRoute], outermost: FastAPI | None
) -> Iterator[str]:
    """The exclusions and the scopes by template that match no route, each as a sentence."""
    templates = _paths_of(matches)
    for guard in _guards(app, matches):
        mine = [match for match in matches if not match.guards or guard in match.guards]
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
            yield from _idle(excluded, _all_paths(outermost))
        if guard.route_scopes.rules:
            yield from _idle_scopes(app, guard)


def _paths_of(matches: Iterable[MatchedRoute]) -> list[str]:
    return [path for match in matches for path in match.paths]


def _all_paths(outermost: FastAPI) -> list[str]:
    """The templates in an application and in all that are mounted in it."""
    applications = (it.app for it in Inventory.of(outermost).applications)
    return [path for app in applications for path in _paths_of(_matches(app))]


def _idle_scopes(app: FastAPI, guard: JWTGuard) -> Iterator[str]:
    routes = [
        # A `GET` route answers `HEAD` too, which a rule may name.
        (one.match.paths, (*one.known_methods, *(("HEAD",) if "GET" in one.methods else ())))
        for served in Inventory.of(app).routes
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
    return _guards(app, _matches(app))


def _guards(app: FastAPI, matches: Iterable[MatchedRoute]) -> Iterator[JWTGuard]:
    of_routers = guards_among(dependencies_of_routers(app.router))
    found = dict.fromkeys((*of_routers, *(it for match in matches for it in match.guards)))
    return (it for it in found if isinstance(it, JWTGuard))


def _matches(app: FastAPI) -> Iterator[MatchedRoute]:
    for router, routes in _routers(app.router):
        for added, served in routes:
            if getattr(served, "dependant", None) is not None:
                yield match_of_route(served)
            else:
                endpoint = plain_endpoint(added)
                page = is_page(endpoint, added, app)
                yield MatchedRoute(
                    templates(added, getattr(served, "path", None)),
                    endpoint,
                    (),
                    documentation=page,
                )
        for group, served in _fastapi.frontends(router):
            yield match_of_frontend(served, group.routes)


def _routers(
    router: APIRouter, within: tuple[APIRouter, ...] = ()
) -> Iterator[tuple[APIRouter, list[tuple[BaseRoute, Any]]]]:
    """The router that serves, and those mounted in it as if applications, with their routes."""
    served = list(_fastapi.served_routes(router))
    yield router, served
    within = (*within, router)
    for mounted in mounted_routers(added for added, _ in served):
        if not is_among(mounted, within):  # a router can be mounted in itself
            yield from _routers(mounted, within)
