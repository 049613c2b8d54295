"""When does an application meet its guards? Before it answers for the first time.

A guard is a dependency, and a dependency hears of an application only when a request has already
been routed to it. That is too late for a mount that no dependency runs for, for an exclusion
that excludes nothing, and for the OpenAPI schema. FastAPI has no hook for it, so two public
methods of `FastAPI` are extended here, once, and call what they replace: `build_middleware_stack`,
which runs when an application first serves, and `openapi`. The routes of an application without
a guard are left exactly as they are.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import wraps
from itertools import chain
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from .credentials import get_claims
from .environment import get_settings
from .errors import ConfigurationError
from .explained import register
from .fresh_nonces import sending_nonces
from .gaps import GuardedApp, close_gaps, is_closed
from .guards import JWTGuard
from .nonces import Nonces
from .openapi import describe
from .paths import PathPatterns
from .routers import dependencies_of_routers, mounted_routers, served_routes
from .routes import Match, guards_among, match_of_route, templates
from .settings import JWTSettings

__all__ = ["check_exclusions", "extend_fastapi", "guards_in", "idle_exclusions"]

# The schema that has been corrected, so that a cached one is not corrected again.
_described: weakref.WeakKeyDictionary[FastAPI, dict[str, Any]] = weakref.WeakKeyDictionary()


def extend_fastapi() -> None:
    """Let every `FastAPI` meet its guards before it serves and before it describes itself."""
    build, openapi = FastAPI.build_middleware_stack, FastAPI.openapi

    @wraps(build)
    def build_middleware_stack(self: FastAPI) -> ASGIApp:
        register(self)
        outermost = build(self)
        if not isinstance(outermost, ServerErrorMiddleware):
            return _Watch(self, outermost).serve
        # Just inside it: OpenTelemetry's instrumentation leaves an application alone that has
        # another layer outermost, and an error in here is answered like any other.
        outermost.app = _Watch(self, outermost.app).serve
        return outermost

    @wraps(openapi)
    def corrected_openapi(self: FastAPI) -> dict[str, Any]:
        schema = openapi(self)
        if _described.get(self) is not schema:
            describe(self, schema)
            _described[self] = schema
        return schema

    FastAPI.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]
    FastAPI.openapi = corrected_openapi  # type: ignore[method-assign]


class _Watch:
    """A layer around all others: whatever a guard stands over is closed before use.

    It costs an application without a guard the comparison of two numbers per request.
    """

    def __init__(self, application: FastAPI, app: ASGIApp) -> None:
        self._app = app
        self._application = application
        self._version: int | None = None  # of the routes that were looked at
        self._guarded = False
        self._checked = False
        lifespan = application.router.lifespan_context

        @asynccontextmanager
        async def watched_lifespan(served: FastAPI) -> AsyncIterator[Any]:
            # Inside the lifespan, so that the server reports a failed start-up and exits.
            async with lifespan(served) as state:
                self._look()  # after it: routes may be added while the application starts
                await asyncio.gather(*(one.open_revocations() for one in self._settings()))
                warm = [settings for settings in self._settings() if settings.warm_up]
                await asyncio.gather(*(settings.refresh_keys() for settings in warm))
                try:
                    yield state
                finally:
                    for settings in self._settings():
                        settings.close_keys()
                        await settings.close_revocations()
                        await settings.close_senders()

        application.router.lifespan_context = watched_lifespan

    # No coroutine of its own: an application that has no guard pays for this as well.
    def serve(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            if self._guarded or self._application.router._routes_version != self._version:  # noqa: SLF001
                self._look()
            if Nonces.in_use:
                send = sending_nonces(scope, send)
        return self._app(scope, receive, send)

    def _settings(self) -> list[JWTSettings]:
        """The settings of the guards of this application."""
        if not self._guarded:
            return []
        found = (_settings(self._application, guard) for guard in guards_in(self._application))
        return list({id(one): one for one in found if one is not None}.values())

    def _look(self) -> None:
        router = self._application.router
        version = router._routes_version  # noqa: SLF001 - the count that FastAPI itself goes by
        if version == self._version and is_closed(router):
            return
        self._guarded = self._guarded or next(guards_in(self._application), None) is not None
        if self._guarded:
            close_gaps(router)
            if not self._checked:
                check_exclusions(self._application)
                self._checked = True
        self._version = router._routes_version  # noqa: SLF001


def check_exclusions(app: FastAPI) -> None:
    """Refuse exclusions that exclude nothing: somebody believes a route to be public.

    Raises:
        ConfigurationError: it names them; or there is no configuration at all.
    """
    for problem in idle_exclusions(app):
        raise ConfigurationError("idle_exclusion", problem)


def idle_exclusions(app: FastAPI) -> Iterator[str]:
    """The exclusions that exclude nothing, each as a sentence.

    Raises:
        ConfigurationError: there is no configuration.
    """
    matches = list(_matches(app))
    templates = [path for match in matches for path in match.paths]
    for guard in _guards(app, matches):
        mine = [match for match in matches if not match.guards or guard in match.guards]
        yield from _idle(guard.patterns, [path for match in mine for path in match.paths])
        for endpoint in guard.endpoints:
            if not any(match.endpoint == endpoint for match in mine):
                yield (
                    f"exclude names the endpoint {getattr(endpoint, '__name__', endpoint)!r}, "
                    "and no guarded route has it."
                )
        settings = _settings(app, guard)
        if settings is not None:
            yield from _idle(settings.excluded, templates)


def _idle(patterns: PathPatterns, templates: list[str]) -> Iterator[str]:
    unmatched = patterns.unmatched(templates)
    if unmatched:
        yield (
            f"The exclusion {', '.join(map(repr, unmatched))} matches no route: write the whole "
            "template with its prefixes, '/api/items/{item_id}', or a pattern, '/api/*'. A "
            "mount is one route."
        )


def _settings(app: FastAPI, guard: JWTGuard) -> JWTSettings | None:
    if guard.settings is not None:
        return guard.settings
    if not {get_settings, get_claims}.isdisjoint(app.dependency_overrides):
        return None  # a test's own configuration, which only a request can ask for
    return get_settings()


def guards_in(app: FastAPI) -> Iterator[JWTGuard]:
    """The guards of an application, each once."""
    return _guards(app, _matches(app))


def _guards(app: FastAPI, matches: Iterable[Match]) -> Iterator[JWTGuard]:
    seen: list[JWTGuard] = []
    over_routers = guards_among(dependencies_of_routers(app.router))
    for guard in chain(over_routers, (guard for match in matches for guard in match.guards)):
        if isinstance(guard, JWTGuard) and not any(guard is known for known in seen):
            seen.append(guard)
            yield guard


def _matches(app: FastAPI) -> Iterator[Match]:
    for added, served in _served(app.router):
        if getattr(served, "dependant", None) is not None:
            yield match_of_route(served)
        else:
            door = getattr(added, "app", None)
            endpoint = door.plain.endpoint if isinstance(door, GuardedApp) else door
            yield Match(templates(added, getattr(served, "path", None)), endpoint, ())


def _served(router: APIRouter) -> Iterator[tuple[BaseRoute, Any]]:
    """The routes of the router that serves, and of those mounted in it as if applications."""
    served = list(served_routes(router))
    yield from served
    for mounted in mounted_routers(added for added, _ in served):
        yield from _served(mounted)
