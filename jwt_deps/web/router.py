"""How a whole router is protected: `protected_router`, `jwt_guard` and the mark `public`."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from threading import get_ident
from typing import Any, TypeVar, cast

from fastapi import APIRouter, Depends
from fastapi.applications import FastAPI
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Receive, Scope, Send

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings

from . import _fastapi
from .asgi import wrap_receive_and_send
from .factories import dependency_factory, router_factory
from .guard import Credential, JWTGuard
from .guarded_routes import GuardedRoutes, apply_to_copies, check
from .installation import Installation, watch_application
from .request_user import keep_user
from .routing import mark_public, mounted_routers
from .start_checks import route_problems
from .trial import try_out

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])


class ProtectedRouter(APIRouter):
    """A router with a guard over all that it serves, also where FastAPI runs no dependencies.

    Made by `protected_router`.
    """

    #: For code that walks routers: this one asks its guard itself.
    is_protected = True

    def __init__(self, guard: JWTGuard, **options: Any) -> None:
        dependencies = [Depends(guard), *(options.pop("dependencies", None) or ())]
        self._guarded = GuardedRoutes(self, guard)
        self._matching: int | None = None  # the thread that reads the routes just looked at
        super().__init__(dependencies=dependencies, **options)
        self._guard = guard
        self._met: Any = self  # no application
        self._inner_lifespan = self.lifespan_context

        @asynccontextmanager
        async def lifespan_with_keys(app: Any) -> AsyncIterator[Any]:
            async with self._inner_lifespan(app) as state:
                self._guarded.update()
                if not isinstance(app, FastAPI):
                    yield state
                    return
                installation = Installation.of(app)
                try:
                    installation.watch()
                except ConfigurationError as error:
                    raise error.with_traceback(None) from None
                async with installation.running():
                    yield state

        self.lifespan_context = lifespan_with_keys
        self._guarded.update()

    def include_router(self, router: APIRouter, **options: Any) -> None:
        """Include a router, with the guard over all that it serves, now and later.

        It takes what `APIRouter.include_router` takes. A router that has a route with an empty
        path can be included, too: the prefix may come from this router or from its own inclusion.

        Raises:
            ConfigurationError: it is not a router, or has a route that cannot be guarded.
        """
        if not isinstance(router, APIRouter):
            raise ConfigurationError(
                "not_a_router",
                f"protected_router takes APIRouter objects, not {type(router).__name__}: give "
                "settings by keyword, settings=..., and guard an application with protect(app).",
            )
        if _fastapi.COPIES:  # old FastAPI: nothing tells later what applied there
            check(router)
        prefix = self.prefix + options.pop("prefix", "")
        before = len(self.routes)
        # FastAPI looks at the prefix of the inclusion alone when it looks for empty paths.
        own, self.prefix = self.prefix, ""
        # FastAPI nests the lifespan of a router in those of all that are included after it. This
        # router's stays around them, so that their frames are not in the traceback of its errors.
        outer, self.lifespan_context = self.lifespan_context, self._inner_lifespan
        try:
            if prefix or _fastapi.COPIES or not _fastapi.has_empty_path(router):
                super().include_router(router, prefix=prefix, **options)
            else:
                _fastapi.include_before_prefix(self, super().include_router, router, **options)
        finally:
            self.prefix = own
            self._inner_lifespan, self.lifespan_context = self.lifespan_context, outer
        if _fastapi.COPIES:  # old FastAPI
            theirs = () if isinstance(router, ProtectedRouter) else tuple(router.dependencies)
            apply_to_copies(self, before, (*(options.get("dependencies") or ()), *theirs))
        self._guarded.update()

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes. What takes them elsewhere has to find the guards around them.

        Raises:
            ConfigurationError: one of them cannot be guarded, and FastAPI, up to 0.136, may be
                about to copy it. From 0.137 that is raised before the next request is served.
        """
        if self._matching != get_ident():
            try:
                self._guarded.update()
            except ConfigurationError:
                if _fastapi.COPIES:  # old FastAPI
                    raise
                self._guarded.wrap()
        return self._routes

    @routes.setter
    def routes(self, routes: list[BaseRoute]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an application, where it is mounted."""
        if scope["type"] in {"http", "websocket"}:
            self._guarded.update()
            receive, send = self._enter(scope, receive, send)
        await keep_user(super().__call__(scope, receive, send))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell another router whether a request is for this one.

        Asked before every request that may be: what was added by hand is looked at here, and so
        before FastAPI serves the files of a `frontend()`, for which it asks the router no more.
        """
        self._guarded.update()
        self._matching = get_ident()
        try:
            return super().matches(scope)  # from FastAPI 0.137
        finally:
            self._matching = None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that another router has found to be for this one."""
        receive, send = self._enter(scope, receive, send)
        await keep_user(super().handle(scope, receive, send))  # from FastAPI 0.137

    def _enter(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        app = scope.get("app")
        if app is not self._met:
            if isinstance(app, FastAPI):
                Installation.of(app).watch(scope)
            else:
                self._check_in(scope)
            self._met = app
        return wrap_receive_and_send(scope, receive, send, self, self._guard)

    def _check_in(self, scope: Scope) -> None:
        """Check the routes where no `FastAPI` is around, which would check them."""
        app, around = scope.get("app"), FastAPI(openapi_url=None)
        # Only from the outermost router on are templates whole. It is named after it was called.
        outermost = app if isinstance(app, Starlette) else scope.get("router", self)
        for router in mounted_routers([Mount("", outermost)]):
            around.mount("", router)
        for problem in route_problems(around, around):
            raise problem


@router_factory
def protected_router(
    *routers: APIRouter,
    settings: JWTSettings | None = None,
    exclude: Iterable[str | Callable[..., Any]] = (),
    scopes: Mapping[str, str | Iterable[str]] | None = None,
    credentials: Iterable[Credential] = (),
    **apirouter_options: Any,
) -> ProtectedRouter:
    """Make a router whose routes need a token, unless they are excluded.

    With routers given it contains them, with none it is a router to decorate; both may be mixed,
    and routes added to any of them later are guarded too. Excluded is an endpoint marked
    `@public`, an endpoint listed in `exclude`, or a route whose whole template, prefixes included,
    matches a pattern in `exclude` or in the settings' `excluded_route_paths`.

        app.include_router(protected_router(users, items, prefix="/api", exclude=["/api/health"]))

    Args:
        *routers: the routers to contain.
        settings: what is accepted here; `None` for `get_settings`. Every dependency on these
            routes uses it, including your own that are built on this package's.
        exclude: endpoints, by identity, and patterns of whole route templates (`*` is any text).
        scopes: what routes that you did not write need, by method and whole template:
            `{"POST /agents/{agent_id}/runs": ["agents:{agent_id}:run"], "/reports/*": "read"}`. A
            key that matches no route keeps the application from starting.
        credentials: what is accepted besides a JWT, asked in this order for a request without a
            token or with a bearer that is no JWT: `ApiKey(...)`, `Introspection(...)`, or an async
            function from the `HTTPConnection` to `Claims`, or to `None` if the request has no such
            credential. With it, settings that are not given are read once, here.
        **apirouter_options: whatever `APIRouter` takes, `prefix` and `tags` for instance.

    Returns:
        An `APIRouter` to include. A request without a token, or with one that does not verify, is
        refused with 401 (RFC 6750 §3.1) before its body is read, from FastAPI 0.137.2.

    Raises:
        ConfigurationError: something given is not a router, or holds a route that cannot be
            guarded, or FastAPI is a release that this package does not know.
    """
    try_out()
    guard = JWTGuard(settings, exclude, watch_application, scopes, credentials)
    outer = ProtectedRouter(guard, **apirouter_options)
    for router in routers:
        outer.include_router(router)
    return outer


@dependency_factory
def jwt_guard(
    settings: JWTSettings | None = None, exclude: Iterable[str | Callable[..., Any]] = ()
) -> JWTGuard:
    """Make the guard of `protected_router` as one plain dependency.

    It covers what FastAPI runs dependencies for: its own routes, WebSocket routes, `frontend()`.
    Where it finds itself in an application with other routes that it applies to, it refuses to
    serve and names `protect`, which covers them too. It finds out with the first request that it
    is asked for: until then, FastAPI tells it nothing of the application. Up to FastAPI 0.136,
    which copies what a router includes, plain routes of an included router are open, and only
    `jwt-deps audit` reports them.

        router = APIRouter(dependencies=[Depends(jwt_guard())])

    Args:
        settings: as for `protected_router`.
        exclude: as for `protected_router`.

    Returns:
        A dependency, which refuses as a protected router does, but once FastAPI has read the body.

    Raises:
        ConfigurationError: FastAPI is a release that this package does not know.
    """
    try_out()
    return JWTGuard(settings, exclude, watch=watch_application)


def public(endpoint: EndpointT = cast("Any", None)) -> EndpointT:  # noqa: B008 - `@public()`
    """Mark an endpoint as one that needs no token, above or below its route decorator.

        @router.get("/health")
        @public
        async def health() -> str: ...

    Args:
        endpoint: the endpoint.

    Returns:
        The endpoint.

    Raises:
        ConfigurationError: the object cannot be marked: list it in `exclude` instead. Or there is
            none, because `@public()` has parentheses.
    """
    with suppress(AttributeError):
        if not isinstance(endpoint, APIRouter):  # whose routes would stay guarded
            mark_public(endpoint)
            return endpoint
    raise ConfigurationError(
        "not_markable",
        f"@public cannot mark {type(endpoint).__name__} objects: write it at an endpoint, without "
        "parentheses, or list endpoints or paths in exclude=[...].",
    )
