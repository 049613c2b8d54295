"""What one application needs beside its dependencies: on that instance, and nothing in FastAPI.

`protect` puts a guard over a whole application. The lifespan of a `ProtectedRouter`, or the first
request that a guard is asked for, meets an application in which only routers are guarded.
"""

import asyncio
import sys
import weakref
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, params
from fastapi.applications import FastAPI  # `fastapi.FastAPI` can be another class by now
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings

from . import _fastapi
from .asgi import wrap_receive_and_send
from .guard import Credential, JWTGuard
from .guarded_routes import (
    GuardedRoutes,
    apply_to_copies,
    check,
    covered,
    of_another_application,
)
from .installed import OURS, Installed
from .openapi import describe
from .request_state import put_application_back, state_of
from .request_user import keep_user
from .routing import Snapshot, forget_matches
from .start_checks import guards_in, route_problems, settings_under
from .trial import try_out

ApplicationT = TypeVar("ApplicationT", bound=FastAPI)


def protect(  # noqa: PLR0913 - what applies to an application
    app: ApplicationT,
    settings: JWTSettings | None = None,
    exclude: Iterable[str | Callable[..., Any]] = (),
    dependencies: Sequence[params.Depends] = (),
    scopes: Mapping[str, str | Iterable[str]] | None = None,
    *,
    credentials: Iterable[Credential] = (),
) -> ApplicationT:
    """Guard a whole application, with all that it serves now and later, and return it.

    Its routes, plain routes, mounts, hosts, `frontend()` and WebSockets need a token; its OpenAPI
    document says so. The pages that FastAPI adds itself, `/docs` and the schema, stay open, so
    that *Authorize* works; `FastAPI(openapi_url=None)` removes them. Only this one application is
    changed.

        app = protect(FastAPI(), exclude=["/health"])

    Args:
        app: the application, with or without routes, your own or one that another package built.
        settings: what is accepted; `None` for `get_settings`.
        exclude: endpoints, and patterns of whole route templates (`*` is any text).
        dependencies: what else applies to everything in it, `Depends(require_scopes("api"))` for
            instance.
        scopes: what routes that you did not write need, by method and template:
            `{"POST /agents/{agent_id}/runs": ["agents:{agent_id}:run"], "/reports/*": "read"}`.
        credentials: what is accepted besides a JWT, asked in this order for a request without a
            token or with a bearer that is no JWT: `ApiKey(...)`, `Introspection(...)`, or an async
            function from the `HTTPConnection` to `Claims`, or to `None` if the request has no such
            credential. With it, settings that are not given are read once, here.

    Returns:
        The application that was given. It refuses a request without a token, or with one that does
        not verify, with 401 (RFC 6750 §3.1), before its body is read.

    Raises:
        ConfigurationError: it is not a FastAPI application, or is protected already, or FastAPI is
            a release that this package does not know.
    """
    if not isinstance(app, FastAPI):
        raise ConfigurationError(
            "not_an_application",
            f"protect takes a FastAPI application, not {type(app).__name__}: guard a "
            "router with protected_router(router).",
        )
    try_out()
    Installation.of(app).protect(
        JWTGuard(settings, exclude, watch_application, scopes, credentials), dependencies
    )
    return app


def watch_application(scope: Scope) -> None:
    """Look at an application that a guard is asked in, now and before each request that follows.

    The request has not come to what `protect` or a protected router puts in front of the guard.

    Raises:
        ConfigurationError: a guard is asked there that does not cover what it should.
    """
    state = state_of(scope)
    app: Any = state.app
    if isinstance(app, FastAPI):
        installation = Installation.of(app)
        if not installation.is_protected:
            installation.watch(scope)
        elif state.mounted is None:  # else it came through a guarded mount
            raise _bypassed()
    elif isinstance(app, Starlette):
        known: Snapshot | None = vars(app).get(OURS)
        if known is None or not known.is_current():
            setattr(app, OURS, covered(_with_mounted(app)))


def _with_mounted(app: ASGIApp) -> FastAPI:
    """Return a `FastAPI` around what is served without one, to check its routes."""
    around = FastAPI(openapi_url=None)
    around.mount("", app)
    return around


class Installation(Installed):
    """What one application needs beside its dependencies."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app)
        self._guarded: GuardedRoutes | None = None
        self._inner: ASGIApp | None = None
        self._openapi: Any = None
        self._described: Any = None
        self._checked = False
        self._running = False
        self._known = Snapshot()
        self.is_reached = False
        #: By resource what scopes its routes ask for, with the routers that were walked for it.
        self.scopes: dict[str, tuple[Snapshot, list[str]]] = {}

    @classmethod
    def of(cls, app: FastAPI) -> "Installation":
        """The installation of an application, made if there is none."""
        one = cls.known(app)
        if one is None:
            one = cls(app)
            setattr(app, OURS, one)
        return one

    def protect(self, guard: JWTGuard, dependencies: Sequence[params.Depends]) -> None:
        """Put a guard over everything in the application."""
        if self._guard is not None:
            raise ConfigurationError(
                "protected_twice", "protect(app) was called before for this application."
            )
        router = self._app.router
        if _fastapi.has_own(type(router), "__call__", APIRouter):
            raise ConfigurationError(
                "router_class",
                f"The router of the application is a {type(router).__name__}, which is called in "
                "its own way, and protect(app) cannot guard it: include it in the application.",
            )
        applied = [Depends(guard), *dependencies]
        check(router, applied)
        _apply(router, applied)
        guard.app = weakref.ref(self._app)
        self._guard, self._guarded = guard, GuardedRoutes(router, guard)
        self._wrap_router(router)
        # Not by `add_middleware`, which takes none once the application has served: a stack that is
        # built anew has it.
        self._app.user_middleware.insert(0, Middleware(_RouterCheck, installation=self))
        if _fastapi.has_own(type(self._app), "build_middleware_stack", FastAPI):
            self._wrap_stack()
        self._correct_openapi()
        if _fastapi.COPIES:  # old FastAPI
            _apply_inclusions(router)
        self._guarded.update()

    def _wrap_stack(self) -> None:
        """Put the middleware around a stack that the application builds in a way of its own."""
        build = self._app.build_middleware_stack

        def build_middleware_stack() -> ASGIApp:
            return _RouterCheck(build(), self)

        self._app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]

    def watch(self, scope: Scope | None = None) -> None:
        """Check as `update`, now and before each request that follows, guarded or not."""
        router = self._app.router
        # The router of a copy is that of the original, whose installation looks at it already.
        if not isinstance(getattr(router.middleware_stack, "__self__", None), Installation):
            self._wrap_router(router)
        if not self.is_reached:  # by any request so far: the router may be called past this
            self.update(scope)

    def _wrap_router(self, router: APIRouter) -> None:
        if self._inner is None:
            self._inner = router.middleware_stack
            router.middleware_stack = self._serve  # type: ignore[assignment] # it is awaited

    def _serve(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve what comes to the router of the application: inside of its middleware."""
        inner: ASGIApp = self._inner  # type: ignore[assignment]
        if scope["type"] == "lifespan":
            self._start_last()
            return inner(scope, receive, _without_traceback(send))
        self.is_reached = True
        put_application_back(scope, self._app.router)
        self.update(scope)
        receive, send = wrap_receive_and_send(scope, receive, send, self._app.router, self._guard)
        return keep_user(inner(scope, receive, send))

    def update(self, scope: Scope | None = None) -> None:
        """Guard what is new in the application, and refuse what no guard covers.

        The scope is that of the request that has come to it, if one has.

        Raises:
            ConfigurationError: a sentence that says what to do.
        """
        if self._guarded is not None:
            self._guarded.update()
        elif not self._known.is_current():
            self._known = covered(self._app)
        if not self._checked:
            router = self._app.router
            # One that was not even called for its lifespan may be mounted: the one around runs it.
            is_started = self._app.middleware_stack is not None
            is_outermost = is_started if scope is None else scope.get("router", router) is router
            for problem in route_problems(self._app, self._app if is_outermost else None):
                raise problem
            self._checked = is_started or scope is not None
        self._correct_openapi()

    def _correct_openapi(self) -> None:
        """Correct the OpenAPI document, even if `app.openapi` was replaced since."""
        if self.corrects_openapi:
            return
        app, openapi = self._app, self._app.openapi

        def corrected_openapi() -> dict[str, Any]:
            schema = openapi()
            if self._described is not schema:
                describe(app, schema)
                self._described = schema
            return schema

        app.openapi = corrected_openapi  # type: ignore[method-assign]
        self._openapi = corrected_openapi

    @property
    def corrects_openapi(self) -> bool:
        """Whether the document of the application is corrected whenever it is asked for."""
        return self._app.openapi is self._openapi

    @classmethod
    def document_of(cls, app: FastAPI) -> dict[str, Any]:
        """The OpenAPI document as requests get it once the application has met its guards.

        Nothing is kept: neither the application's document nor what is known about it changes.
        """
        one, kept = cls.known(app), app.openapi_schema
        with _fastapi.unchanged((), app, *([] if one is None else [one])):
            app.openapi_schema = deepcopy(kept)
            if one is not None and one._described is kept:  # noqa: SLF001
                one._described = app.openapi_schema  # noqa: SLF001 - its own class
            schema = app.openapi()
        if not (one is not None and one.corrects_openapi) and any(guards_in(app)):
            schema = deepcopy(schema)
            describe(app, schema)
        return schema

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch keys and open sources of revocations, for as long as the application runs."""
        if self._running:  # another router with a guard is in the same application
            yield
            return
        self.update()
        settings = self._settings()
        self._running = True
        try:
            for one in settings:
                one.server.applications.add(self)
            # With nothing to wait for, an application starts under trio as well.
            if opened := [it for it in settings if it.revocations is not None]:
                await asyncio.gather(*(it.server.open_revocations() for it in opened))
            if warmed := [it for it in settings if it.warm_up and it.server.key_caches]:
                await asyncio.gather(*(it.refresh_keys() for it in warmed))
            yield
        finally:
            self._running = False
            ended = {id(it): it for it in (*settings, *self._settings())}
            for one in ended.values():
                one.server.applications.discard(self)
                await one.server.close()

    def _start_last(self) -> None:
        """Start inside of the application's own lifespan, whatever was added to that since.

        Routes may be added while an application starts, and a server reports an error there.
        """
        router = self._app.router
        lifespan = router.lifespan_context

        @asynccontextmanager
        async def watched_lifespan(served: FastAPI) -> AsyncIterator[Any]:
            router.lifespan_context = lifespan
            async with lifespan(served) as state, self.running():
                yield state

        router.lifespan_context = watched_lifespan

    def _settings(self) -> list[JWTSettings]:
        """The settings of the guards of this application."""
        found = (settings_under(self._app, guard) for guard in guards_in(self._app))
        return list({id(one): one for one in found if one is not None}.values())


def _without_traceback(send: Send) -> Send:
    """Give the server only the sentence of a `ConfigurationError` at start; it logs that."""

    async def send_sentence(message: Message) -> None:
        error = sys.exception()  # Starlette sends this message where it has caught one
        if isinstance(error, ConfigurationError):
            message = {**message, "message": str(error)}
        await send(message)

    return send_sentence


def _apply_inclusions(outer: APIRouter) -> None:  # old FastAPI
    """Let inclusions in the router of one application apply to plain routes too.

    Up to FastAPI 0.136 their dependencies appear only in the call that includes.
    """
    include = outer.include_router

    def include_router(router: APIRouter, **options: Any) -> None:
        check(router)
        before = len(outer.routes)
        include(router, **options)
        own = () if getattr(router, "is_protected", False) else router.dependencies
        apply_to_copies(outer, before, (*(options.get("dependencies") or ()), *own))

    outer.include_router = include_router  # type: ignore[method-assign]


def _apply(router: APIRouter, applied: list[Any]) -> None:
    """Apply dependencies to a router: to what it gets later, and to what it has.

    Raises:
        ConfigurationError: it has a route that another application was given too, or one that has
            read its body without them. Nothing is changed then.
    """
    present: list[Any] = [*router.routes, *_fastapi.low_priority_routes(router)]
    own = [it for it in present if getattr(it, "dependant", None) is not None]
    entries = [*own, *(it for it in present if _fastapi.included_router(it) is not None)]
    for entry in entries:
        if _fastapi.solves_another(entry):
            raise of_another_application(entry)
    if own:  # an inclusion builds its routes anew
        _fastapi.refuse_body(applied)
    for entry in entries:
        _fastapi.apply_first(entry, applied)
    router.dependencies[:0] = applied
    forget_matches()


class _RouterCheck:
    """A middleware that refuses to serve an application through an unguarded router."""

    def __init__(self, app: ASGIApp, installation: Installation) -> None:
        self.app = app
        self._installation = installation

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if not self._installation.is_protected:
            raise ConfigurationError(
                "router_replaced",
                "The router of the application was replaced after protect(app), and no guard "
                "applies to the new one: replace it before.",
            )
        if not self._installation.is_reached:
            send = self._refusing_unseen(scope, send)
        return self.app(scope, receive, send)

    def _refusing_unseen(self, scope: Scope, send: Send) -> Send:
        """Refuse what a route answers as long as no request has come to the guard."""
        known = scope.get("endpoint")  # of an application around this one

        async def send_if_reached(message: Message) -> None:
            if scope.get("endpoint") is not known and not self._installation.is_reached:
                raise _bypassed()
            await send(message)

        return send_if_reached


def _bypassed() -> ConfigurationError:
    return ConfigurationError(
        "router_bypassed",
        "This application serves its routes without calling its router, so that protect(app) "
        "cannot guard it: use protected_router for its routers.",
    )
