"""What this package reads of FastAPI and Starlette beside their public names, all of it.

Nothing here is promised by FastAPI. Each function says what it reads, and what it answers where
that cannot be read: always what leads to a refusal. `trial` asks once per process whether the
installed FastAPI is one that these functions know.
"""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from copy import copy
from functools import partial, update_wrapper
from inspect import (
    Parameter,
    Signature,
    isclass,
    iscoroutinefunction,
    isfunction,
    ismethod,
    unwrap,
)
from itertools import chain
from types import CellType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from fastapi import APIRouter, FastAPI, Request, Security, WebSocket, params, routing
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import (
    get_dependant,
    get_parameterless_sub_dependant,
    solve_dependencies,
)
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import (
    HTTPException,
    RequestValidationError,
    WebSocketRequestValidationError,
)
from fastapi.requests import HTTPConnection
from starlette import requests
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router
from starlette.types import Scope

try:
    from fastapi.routing import iter_route_contexts  # from FastAPI 0.137.2
except ImportError:  # old FastAPI: up to 0.136 a router copies the routes that it includes
    iter_route_contexts = None  # type: ignore[assignment]

from jwt_deps.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Whether a router copies the routes that it includes, as FastAPI did up to 0.136.
COPIES = iter_route_contexts is None

#: In place of a status, while an exception handler runs that may send by itself.
ANSWERING = -1
_Report: TypeAlias = Callable[[Scope, Exception, int | None], None]
_ASGI_ARGUMENTS = 3
_MOST_LAYERS = 100  # what has itself as `app`, or as `__wrapped__`, has no end
_MOST_OBJECTS = 1000
_NOTHING: dict[str, Any] = {}
_EMPTY = CellType()
_OF_A_FILE = ("frontend_path", "frontend_specificity")
_OF_ONE_ROUTE = ("effective_route_context", *_OF_A_FILE)
_STACKS = ("fastapi_inner_astack", "fastapi_function_astack")
_SENT = ("path_params", "query_params", "header_params", "cookie_params", "body_params")
_LIMITS = ("max_body_size", "form_limits")
_HANDLERS = "starlette.exception_handlers"
_BODY_LIMIT = "starlette.max_body_size"
_REPORTED = "jwt_deps"
# Where Starlette reads a form. What it raises there is raised where that was asked for.
_READERS = (requests.__name__, f"{requests.__package__}._utils")
_VERSION = "_effective_candidates_version"  # of the routes that an inclusion was built from


# Of a request: what FastAPI writes into the ASGI scope under the key "fastapi".


def route_context(scope: Scope) -> Any:
    """The route of an included router as it is served, with prefixes and all dependencies.

    `None` where FastAPI wrote none. It may be that of an application around this one.
    """
    return scope.get("fastapi", _NOTHING).get("effective_route_context")


def inclusion_of(scope: Scope) -> Any:
    """The inclusion that the request came through last; `None` where FastAPI wrote none."""
    return scope.get("fastapi", _NOTHING).get("included_router")


def frontend_path(scope: Scope) -> str | None:
    """The path of the file below the `frontend()` that is served; `None` if none is."""
    found = scope.get("fastapi", _NOTHING).get("frontend_path")
    return found if isinstance(found, str) else None


def is_routed(scope: Scope, router: object) -> bool:
    """Whether a scope was routed before it came to a router: it is a copy of another request's.

    A mount routes too: to the router, its application, or something around that. A middleware that
    looks a route up by itself does not: no router has served the scope yet.
    """
    endpoint, route = scope.get("endpoint"), scope.get("route")
    if "router" not in scope or endpoint is router or endpoint is scope.get("app"):
        return False
    # FastAPI 0.137 names an inclusion there until the route in it is known.
    is_known = route is not None and included_router(route) is None
    return not is_mount(route) and (is_known or not serves_asgi(endpoint))


def serves_asgi(endpoint: Any) -> bool:
    """Whether an endpoint is an ASGI application, as that of a mount, and no request handler."""
    if isfunction(endpoint) or ismethod(endpoint):
        return endpoint.__code__.co_argcount - ismethod(endpoint) == _ASGI_ARGUMENTS
    return not isclass(endpoint)


def own_context(scope: Scope) -> None:
    """Let what FastAPI writes into a scope be written there alone.

    It is one dictionary in all copies of a scope. What it says of a file there is of an application
    that has handed the request on: FastAPI takes nothing away.
    """
    if "fastapi" in scope:
        told = scope["fastapi"].items()
        scope["fastapi"] = {name: it for name, it in told if name not in _OF_A_FILE}


def forget_route(scope: Scope) -> None:
    """Take away what a copied scope says of the route of the request that it was copied from."""
    if "fastapi" in scope:
        told = {name: it for name, it in scope["fastapi"].items() if name not in _OF_ONE_ROUTE}
        scope["fastapi"] = told
    for name in ("route", "endpoint"):
        scope.pop(name, None)


def body_limit(scope: Scope, app: Any = None) -> float:
    """How many bytes the body of a request may have, as far as a limit is known where it is.

    What a plain route serves, the `app`, may have limits of its own.
    """
    limits = [scope.get(_BODY_LIMIT), *(attribute(it, "max_body_size") for it in layers(app))]
    # Starlette replaces a limit by one further in, also by a larger one.
    return next((it for it in reversed(limits) if isinstance(it, int)), math.inf)


def fits(scope: Scope) -> bool:
    """Whether the route of an included router that a scope tells of is one for its path.

    A copy of the scope that is served at the same time can have told of another one.
    """
    context = route_context(scope)
    if context is None:
        return True
    match, child = context.matches(scope)
    # Templates can overlap: the parameters of the path are those of this scope alone.
    told = child.get("path_params", {})
    return match is Match.FULL and told == scope.get("path_params", {})


# Of routes and routers.


def is_mount(route: object) -> bool:
    """Whether that is a mount or a host, which serves an application."""
    return isinstance(route, Mount | Host)


def added_route(served: Any) -> Any:
    """The route, or the group of `frontend()`, as it was added, of what an inclusion serves.

    `None` where it cannot be read, which is no route of any router.
    """
    return getattr(served, "original_route", None)


def plain_route(served: Any) -> Any:
    """What an inclusion serves of a route of Starlette's, with its prefixes; `None` of any other.

    The context that FastAPI writes has the dependencies, and this the path and the endpoint.
    """
    return getattr(served, "starlette_route", None)


def frontend_prefix(served: Any) -> str:
    """The prefixes of the inclusions that a `frontend()` is served through; none without them.

    Where it cannot be read no path is that of a request, so that no pattern means it.
    """
    found = getattr(served, "frontend_prefix", "")
    return found if isinstance(found, str) else ""


def included_router(route: BaseRoute) -> APIRouter | None:
    """The router that an entry among the routes includes; `None` for any other entry."""
    found = getattr(route, "original_router", None)
    return found if isinstance(found, APIRouter) else None


def inclusion_dependencies(inclusion: Any) -> tuple[params.Depends, ...] | None:
    """What applies to all routes of an inclusion; `None` where it cannot be read."""
    context = getattr(inclusion, "include_context", None)
    found = getattr(context, "dependencies", None)
    return None if found is None else tuple(found)


def candidates(inclusion: Any) -> list[tuple[Any, Any]] | None:
    """What an inclusion serves, in order: each as it was added, and as it is served.

    A router that is included below is there as an inclusion in both places. FastAPI keeps what it
    built before; what came into the list of routes by hand since is there too, because FastAPI
    builds again when the next route is added. `None` where it cannot be read.
    """
    router = included_router(inclusion)
    if router is None or not hasattr(inclusion, "effective_candidates"):
        return None
    found = [(_added(it), it) for it in inclusion.effective_candidates()]
    if not all(any(_is(added, route) for added, _ in found) for route in router.routes):
        fresh = copy(inclusion)
        setattr(fresh, _VERSION, None)
        built = [(_added(it), it) for it in fresh.effective_candidates()]
        found += [it for it in built if not any(_is(added, it[0]) for added, _ in found)]
    return [(added, plain_route(it) or it) for added, it in found]


def _added(candidate: Any) -> Any:
    return candidate if included_router(candidate) else added_route(candidate)


def _is(one: Any, other: Any) -> bool:
    """Whether two are the same route, or inclusions of the same router."""
    return (included_router(one) or one) is (included_router(other) or other)


def included_frontends(inclusion: Any) -> list[tuple[Any, Any]] | None:
    """What an inclusion serves by the `frontend()` of its own router, as `candidates`."""
    groups = low_priority_routes(included_router(inclusion))
    if not groups:
        return []
    if not hasattr(inclusion, "effective_low_priority_routes"):
        return None
    built = inclusion.effective_low_priority_routes()
    return [(it.original_route, it) for it in built if any(it.original_route is g for g in groups)]


@contextmanager
def unchanged(routers: Iterable[Any], *others: Any) -> Iterator[None]:
    """Take back what FastAPI remembers of inclusions in some routers while they are read.

    An inclusion builds what it serves when it is first asked, and serves that from then on; an
    application keeps its OpenAPI document. The attributes of `others` stay as they are, too.
    """
    kept = [(one, dict(vars(one))) for one in others]
    waiting = [route for router in routers for route in router.routes]
    while waiting:
        route = waiting.pop()
        if included_router(route) is not None:
            kept.append((route, dict(vars(route))))
            lists = (it for it in vars(route).values() if isinstance(it, list))
            waiting.extend(it for one in lists for it in one)
    try:
        yield
    finally:
        for one, attributes in kept:
            vars(one).clear()
            vars(one).update(attributes)


def low_priority_routes(router: Any) -> Sequence[Any]:
    """What a router serves where no other route matches: its `frontend()`, none in others."""
    return cast("Sequence[Any]", getattr(router, "_low_priority_routes", ()))


def served_routes(router: APIRouter) -> Iterator[tuple[BaseRoute, Any]]:
    """The routes below a router: each as it was added, and as it is served, prefixes included.

    Without those of `frontend()`, which have no place among the others.
    """
    if iter_route_contexts is None:  # old FastAPI
        yield from ((route, route) for route in router.routes)
        return
    for route in iter_route_contexts(router.routes):
        # Up to FastAPI 0.142 the public walker stops short of Starlette's own routes.
        yield route.original_route, plain_route(route) or route


def apply_first(entry: Any, dependencies: Sequence[params.Depends]) -> None:
    """Let dependencies apply to a route that is there already, before those that it has.

    FastAPI applies the dependencies of a router to a route when that is added. An entry is such a
    route, an inclusion, or what `frontend()` made.
    """
    context = getattr(entry, "include_context", None)
    if context is not None:
        context.dependencies = [*dependencies, *context.dependencies]
        read_again(entry.original_router)
        return
    entry.dependencies = [*dependencies, *entry.dependencies]
    path = getattr(entry, "path_format", "")
    entry.dependant.dependencies[:0] = [
        get_parameterless_sub_dependant(depends=one, path=path) for one in dependencies
    ]


def solves_another(route: Any) -> bool:
    """Whether a route runs the dependencies of another one, as that of a deep copy of it does.

    FastAPI makes the handler of a route once, and no copy of a function is another function.
    """
    found, waiting, seen = [], [getattr(route, "app", None)], dict[int, Any]()
    while waiting and len(seen) < _MOST_OBJECTS:
        one = waiting.pop(0)
        if id(one) in seen or isinstance(one, type | Starlette | Router):
            continue
        seen[id(one)] = one
        if isinstance(one, Dependant):
            found.append(one)
        elif isinstance(one, partial):
            waiting += [one.func, *one.args, *one.keywords.values()]
        elif isfunction(one):
            waiting += [it.cell_contents for it in one.__closure__ or () if it != _EMPTY]
        elif ismethod(one):
            waiting += [one.__func__, one.__self__]
        else:
            members = getattr(one, "__dict__", _NOTHING)
            waiting += [it for name, it in members.items() if name != "dependant"]
    return bool(found) and not any(it is route.dependant for it in found)


def mounted_app(route: Any) -> Any:
    """What is mounted, without the middleware that a mount puts around it."""
    return getattr(route, "_base_app", route.app)


def has_own(kind: type[Any], name: str, *known: type[Any]) -> bool:
    """Whether a class has a method that none of the known classes has.

    Compared is which class defines it: tools that trace programs replace methods where they are.
    """
    owner: type[Any] = next((it for it in kind.__mro__ if name in vars(it)), object)
    return not any(issubclass(it, owner) for it in known)


def layers(app: Any) -> Iterator[Any]:
    """An application, and what is inside of it layer by layer, each with the next as `app`.

    That of this package around a route has it as `unwrapped`.
    """
    for _ in range(_MOST_LAYERS):
        if app is None:
            return
        yield app
        inner = attribute(app, "unwrapped")
        app = attribute(app, "app") if inner is None else inner


def behind_proxies(app: Any) -> Any:
    """What a proxy stands for, as those that New Relic and Datadog put around an endpoint.

    It gives another class than its own.
    """
    for _ in range(_MOST_LAYERS):
        if type(app) is app.__class__ or not hasattr(app, "__wrapped__"):
            break
        app = app.__wrapped__
    return app


def attribute(app: Any, name: str) -> Any:
    """An attribute of an application; `None` if it has none, or none yet, as a lazy proxy."""
    try:
        return getattr(app, name, None)
    except Exception:  # noqa: BLE001 - of another framework: the mount is guarded as one route
        return None


def inside(app: Any, kind: Any) -> Any:
    """What is of a kind among the layers of an application; `None` if none is."""
    return next((one for one in layers(app) if isinstance(one, kind)), None)


def read_again(router: APIRouter) -> None:
    """Let FastAPI build what it serves from the routes of a router anew.

    It does that when a route is added, which has a public name: so one is, for a moment.
    """
    if COPIES:  # old FastAPI
        return
    APIRouter.add_route(router, "/", _nothing)
    # They may be sorted, and another thread may add one as well.
    del router.routes[next(at for at, it in enumerate(router.routes) if _is_nothing(it))]


def _is_nothing(route: Any) -> bool:
    """Whether that is the route, also where an agent has put a proxy around its endpoint."""
    endpoint = behind_proxies(getattr(route, "endpoint", None))
    return behind_proxies(getattr(endpoint, "endpoint", endpoint)) is _nothing


async def _nothing(_: Any) -> Any:
    """Be an endpoint that is never served."""


@asynccontextmanager
async def _opened(scope: Scope) -> "AsyncIterator[AsyncExitStack]":
    """The exit stacks that FastAPI opens for its own routes; a plain route is served without."""
    async with AsyncExitStack() as stack:
        # A copy of a scope has those of the request that it was copied from.
        before = {name: scope[name] for name in _STACKS if name in scope}
        scope.update(dict.fromkeys(_STACKS, stack))
        try:
            yield stack
        finally:
            # A middleware that tries again can have begun another run on the same scope.
            if scope.get(_STACKS[0]) is stack:
                for name in _STACKS:
                    del scope[name]
                scope.update(before)


def has_empty_path(router: APIRouter) -> bool:
    """Whether a router has a route with an empty path, which needs a prefix from elsewhere."""
    return any(getattr(served, "path", None) == "" for _, served in served_routes(router))


def include_before_prefix(
    router: APIRouter, include: Callable[..., None], included: APIRouter, **options: Any
) -> None:
    """Include a router that has a route with an empty path, before the prefix is known.

    FastAPI refuses that where neither the inclusion nor the path says anything, though an
    inclusion further out may: so an empty router is included, and the other one takes its place.
    """
    stand_in = APIRouter(
        default_response_class=included.default_response_class, lifespan=included.lifespan_context
    )
    limits = {name: it for name, it in vars(included).items() if name in _LIMITS}
    vars(stand_in).update(limits)  # of newer FastAPIs
    include(stand_in, **options)
    inclusion: Any = router.routes[-1]
    inclusion.original_router = inclusion.include_context.included_router = included


# Of dependencies.


def dependants(root: Any, overridden: Container[Any] = ()) -> Iterator[Any]:
    """All nodes of a dependency tree below its root, in the order in which FastAPI runs them.

    Without those whose callable is overridden, and what is below them.
    """
    for node in root.dependencies:
        if node.call not in overridden:
            yield node
            yield from dependants(node, overridden)


def nodes_below(dependency: Callable[..., Any], overridden: Container[Any] = ()) -> list[Any]:
    """The nodes of what a dependency depends on, as `dependants` has them."""
    return list(dependants(get_dependant(path="", call=dependency), overridden))


def dependency_tree(dependencies: Iterable[params.Depends]) -> Any:
    """The tree that FastAPI would make of dependencies, as that of a route, to be walked only."""
    return get_dependant(path="", call=_asking_for(_wanted(dependencies)))


def path_parameters(root: Any) -> dict[str, Any]:
    """The types of the path parameters in a dependency tree, constraints included, by name.

    What cannot be read is not there.
    """
    found: dict[str, Any] = {}
    for node in (root, *dependants(root)):
        for parameter in getattr(node, "path_params", ()):
            info = getattr(parameter, "field_info", None)
            if info is not None:
                found.setdefault(parameter.alias, _type_of(info))
    return found


def sent_parameters(root: Any) -> Iterator[tuple[Any, str, Any]]:
    """The parameters in a dependency tree that a client sends: whose, the name and the type.

    One whose type cannot be read has none.
    """
    for node in (root, *dependants(root)):
        for parameter in chain.from_iterable(getattr(node, it, ()) for it in _SENT):
            yield node.call, parameter.name, _type_of(parameter.field_info)


def _type_of(info: Any) -> Any:
    """The type of a parameter, with what its `Annotated` says besides."""
    kind = getattr(info, "annotation", None)
    for one in getattr(info, "metadata", ()):
        kind = Annotated[kind, one]
    return kind


def scopes_at(node: Any) -> tuple[str, ...]:
    """The scopes that a node of the tree was declared with, those of the nodes above included."""
    if hasattr(node, "own_oauth_scopes"):
        return (*(node.parent_oauth_scopes or ()), *(node.own_oauth_scopes or ()))
    return tuple(node.security_scopes or ())  # up to FastAPI 0.122


async def call(
    connection: HTTPConnection, dependency: Callable[..., Any], scopes: Sequence[str] = ()
) -> Any:
    """Call a dependency as FastAPI would: overrides, its own dependencies, sync or async.

    From a dependency that FastAPI runs, what it opens stays open as for that one. Up to FastAPI
    0.115 it is closed at once, because nothing says what the route has opened.

    Raises:
        RequestValidationError: it asks for client input that the request does not have.
    """
    wanted = [Security(dependency, scopes=scopes)]
    stack = connection.scope.get(_STACKS[0])
    if stack is not None:
        return (await _solve(connection, _wanted(wanted), stack)).values["value0"]
    async with solved(connection, wanted) as found:  # old FastAPI
        return found.values["value0"]


@asynccontextmanager
async def solved(
    connection: HTTPConnection, dependencies: Iterable[params.Depends]
) -> "AsyncIterator[Any]":
    """Run dependencies for a route that FastAPI runs none for, and end them with the block.

    Raises:
        RequestValidationError: one asks for client input that the request does not have.
    """
    async with _opened(connection.scope) as stack:
        yield await _solve(connection, _wanted(dependencies), stack)


async def _solve(connection: HTTPConnection, wanted: dict[str, Any], stack: AsyncExitStack) -> Any:
    # A parameter of the path's name is one of the path, as for FastAPI's own routes: from the
    # query, a client could say what it likes.
    path = "".join(f"/{{{name}}}" for name in connection.scope.get("path_params", ()))
    app, dependant = connection.scope.get("app"), get_dependant(path=path, call=_asking_for(wanted))
    _refuse_body(dependant)
    found = await solve_dependencies(
        request=cast("Request | WebSocket", connection),
        dependant=dependant,
        # Starlette's applications have no overrides.
        dependency_overrides_provider=app if hasattr(app, "dependency_overrides") else None,
        async_exit_stack=stack,
        embed_body_fields=False,
    )
    if found.errors:
        if isinstance(connection, WebSocket):
            raise WebSocketRequestValidationError(found.errors)
        raise RequestValidationError(found.errors)
    return found


def refuse_body(dependencies: Iterable[params.Depends]) -> None:
    """Refuse dependencies that FastAPI would have to read the body for.

    Raises:
        ConfigurationError: one of them, or what it depends on, has a parameter from the body.
    """
    _refuse_body(dependency_tree(dependencies))


def _refuse_body(dependant: Any) -> None:
    if any(node.body_params for node in dependants(dependant)):
        raise ConfigurationError(
            "dependency_reads_body",
            "A dependency has a parameter from the body, and applies where FastAPI reads none for "
            "it: to a plain route, a mount, a route that was there before protect(app), or in "
            "optional(). Let it take the Request and read that.",
        )


def _wanted(dependencies: Iterable[params.Depends]) -> dict[str, Any]:
    return {f"value{at}": Annotated[Any, one] for at, one in enumerate(dependencies)}


def _asking_for(wanted: dict[str, Any]) -> Callable[..., None]:
    def endpoint(**_: Any) -> None:
        """Take the place of a path operation function."""

    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=it) for name, it in wanted.items()
    ]
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return endpoint


# Of an application.


def is_served_by_router(app: FastAPI) -> bool:
    """Whether all requests to an application are known to come to its router.

    FastAPI calls the router from the innermost of its middleware. A class that builds its
    middleware in a way of its own may call something else: what it has built is looked through,
    each middleware having the next one as `app`.
    """
    if has_own(type(app), "__call__", FastAPI):
        return False
    stack: Any = app.middleware_stack
    own = not has_own(type(app), "build_middleware_stack", FastAPI)
    # OpenTelemetry puts a wrapper into the instance, around what it then calls.
    called = unwrap(app.build_middleware_stack)
    own = own and getattr(called, "__func__", None) is unwrap(type(app).build_middleware_stack)
    if own and (stack is None or isinstance(stack, ServerErrorMiddleware)):
        return True
    return any(one is app.router for one in layers(stack))


def replace_default_handler(scope: Scope, kind: type[HTTPException], handler: Any) -> None:
    """Handle a kind of `HTTPException` where the application leaves that to FastAPI's default.

    A handler that the application registered itself goes on answering.
    """
    found = scope.get(_HANDLERS)
    if found is None:
        return
    handlers: dict[Any, Any] = found[0]
    present = next((handlers[it] for it in kind.__mro__ if it in handlers), None)
    if getattr(present, "__wrapped__", present) is http_exception_handler:
        handlers[kind] = handler


def report_handled(scope: Scope, report: _Report) -> None:
    """Let the exception handlers of an application report what they are about to answer.

    They are in the middleware of that application alone, from where Starlette puts them into the
    scope. `report` gets the scope that the handler is called with, the exception, and `ANSWERING`
    before the call of one that may send by itself; then the status of the answer, 0 if it returned
    none, `None` if it raised an error.
    """
    found = scope.get(_HANDLERS)
    if found is None or _REPORTED in found[1]:
        return
    found[1][_REPORTED] = None  # beside status codes, where nothing looks for a text
    for handlers in found:
        for kind, handler in handlers.items():
            if kind != _REPORTED:
                handlers[kind] = _reporting(handler, report)


def _reporting(handler: Any, report: _Report) -> Any:
    called = handler
    while isinstance(called, partial):
        called = called.func
    if iscoroutinefunction(called) or iscoroutinefunction(getattr(called, "__call__", None)):  # noqa: B004 - as Starlette

        async def answer_later(connection: HTTPConnection, error: Exception) -> Any:
            status = None
            report(connection.scope, error, ANSWERING)
            try:
                response = await handler(connection, error)
                status = getattr(response, "status_code", 0)
            finally:
                report(connection.scope, error, status)
            return response

        return update_wrapper(answer_later, handler)

    def answer(connection: HTTPConnection, error: Exception) -> Any:
        response = handler(connection, error)  # in a thread, where it can send nothing itself
        report(connection.scope, error, getattr(response, "status_code", 0))
        return response

    return update_wrapper(answer, handler)


class _NoApplication:
    """What serves a request of this package's own: a class, as tools keep weak references to it."""

    def __init__(self, router: APIRouter) -> None:
        self.router, self.routes = router, router.routes
        self.dependency_overrides: dict[Any, Any] = {}


def scope_of_get(path: str, router: APIRouter) -> dict[str, Any]:
    """The scope of a request for a router without an application, of which nothing is recorded."""
    return {
        "app": _NoApplication(router),
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "fastapi_middleware_astack": AsyncExitStack(),
    }


def is_before_endpoint(error: Exception) -> bool:
    """Whether an exception was raised where FastAPI runs dependencies or reads the body.

    Or by a router, which found no route for the path or the method.
    """
    trace, code, module = error.__traceback__, None, None
    while trace is not None:
        if trace.tb_frame.f_code is solve_dependencies.__code__:
            return True
        # A function of FastAPI's, to ask for its file, may be another package's by now.
        name = trace.tb_frame.f_globals.get("__name__")
        if name not in _READERS:
            code, module = trace.tb_frame.f_code, name
        trace = trace.tb_next
    if code in (Router.not_found.__code__, Route.handle.__code__):
        return True
    by_fastapi = module == routing.__name__
    return by_fastapi and isinstance(error, RequestValidationError | StarletteHTTPException)
