"""Whether the installed FastAPI is one that the guards know, tried before the first is relied on.

What `_fastapi` reads has no promise from FastAPI. A release in which it has changed could leave
a route open, and nothing would say so. So once per process a small router with a route of each
kind is asked without a token, and the guard has to be asked for each, with the right template and
dependencies. Where it is not, no guard can be made.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache, partial
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Security
from fastapi.requests import HTTPConnection
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps.errors import ConfigurationError

from . import _fastapi, dependencies
from .asgi import wrap_receive_and_send
from .guard import JWTGuard
from .guarded_routes import GuardedRoutes
from .request_state import RequestState
from .routing import MatchedRoute


@cache
def try_out() -> None:
    """Try the installed FastAPI, once.

    Raises:
        ConfigurationError: it is not one that the guards know.
    """
    try:
        failed = list(_failures())
    except Exception as error:  # noqa: BLE001 - whatever it is, this FastAPI is not a known one
        failed = [f"{type(error).__name__}: {error}"]
    if failed:
        raise ConfigurationError(
            "unknown_fastapi",
            f"This FastAPI is not one that jwt-deps knows ({', '.join(failed)}), and its guards "
            "could leave routes open: install a release of jwt-deps that knows it, or an older "
            "FastAPI.",
        )


class _Asked(HTTPException):
    """What the guard of the trial answers."""


class _Guard(JWTGuard):
    def __init__(self) -> None:
        super().__init__()
        self.matches: list[MatchedRoute] = []

    async def decide(
        self,
        connection: HTTPConnection,  # noqa: ARG002
        match: MatchedRoute,
        state: RequestState,  # noqa: ARG002
    ) -> None:
        self.matches.append(match)
        raise _Asked(401)


class _Router(APIRouter):
    """As a `ProtectedRouter`, without the application that it meets."""

    def __init__(self, guard: JWTGuard) -> None:
        super().__init__(dependencies=[Depends(guard)])
        self.guard, self.guarded = guard, GuardedRoutes(self)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.guarded.update()
        receive, send = wrap_receive_and_send(scope, receive, send, self, self.guard)
        await super().handle(scope, receive, send)


async def _api() -> str:
    return "inside"


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("inside")(scope, receive, send)


class _Page:
    __call__ = staticmethod(_page)


async def _marker() -> None:
    """Be a dependency of an inclusion."""


async def _scoped(_: Annotated[None, Security(_marker, scopes=["scope"])]) -> None:
    """Be a dependency that asks for a scope."""


def _failures() -> Iterator[str]:
    guard, inner, middle, outer = _Guard(), APIRouter(), APIRouter(), APIRouter()
    inner.add_api_route("/api", _api, response_model=None)
    inner.add_route("/plain", _Page())  # type: ignore[arg-type]
    inner.mount("/mount", _Page())
    expected = ["/api", "/plain"]
    expected += [] if _fastapi.COPIES else ["/mount", "/late", "/late-api"]
    expected += ["/files"] if hasattr(inner, "frontend") else []
    protected = _Router(guard)
    protected.include_router(inner)
    if _fastapi.COPIES:  # old FastAPI
        protected.guarded.update()
    middle.include_router(protected, prefix="/p", dependencies=[Depends(_marker)])
    outer.include_router(middle, prefix="/o")
    for path in expected:
        if path == "/late":
            inner.add_route("/late", _Page())  # type: ignore[arg-type]
            inner.add_api_route("/late-api", _api, response_model=None)
        elif path == "/files":
            inner.frontend("/files", directory=".", check_dir=False)  # nothing of it is served
        yield from _failure(outer, guard, path)
    yield from _unread(inner, middle, outer)
    yield from _late_failures()


def _unread(inner: APIRouter, middle: APIRouter, outer: APIRouter) -> Iterator[str]:
    """What cannot be read of routers although it is there."""
    if hasattr(inner, "frontend") and not _fastapi.low_priority_routes(inner):
        yield "frontend() is not found"
    if [_fastapi.scopes_at(node) for node in _fastapi.nodes_below(_scoped)] != [("scope",)]:
        yield "the scopes of a dependency are not found"
    if _fastapi.COPIES:  # old FastAPI
        return
    if not dependencies.CLASSES_ARE_AWAITED:
        yield "CurrentUser is not awaited"
    (inclusion,) = outer.routes
    if _fastapi.included_router(inclusion) is not middle:
        yield "an inclusion is not found"
    if _fastapi.inclusion_dependencies(inclusion) is None:
        yield "the dependencies of an inclusion are not found"
    if _fastapi.mounted_app(Mount("/x", _page, middleware=[Middleware(_around)])) is not _page:
        yield "what is mounted is not found"


def _late_failures() -> Iterator[str]:
    """What a guard cannot be applied to that comes after the routes."""
    guard, inner, outer = _Guard(), APIRouter(), APIRouter()
    inner.add_api_route("/api", _api, response_model=None)
    outer.add_api_route("/own", _api, response_model=None)
    outer.include_router(inner, prefix="/in")
    for entry in outer.routes:
        _fastapi.apply_first(entry, [Depends(guard)])
    for path in ("/own", "/in/api"):
        if _answers(outer, path) or not guard.matches or guard not in guard.matches.pop().guards:
            yield f"{path} has no guard that comes late"


def _around(app: ASGIApp) -> ASGIApp:
    return partial(app)


def _failure(outer: APIRouter, guard: _Guard, path: str) -> Iterator[str]:
    guard.matches.clear()
    below = "/x" if path in {"/mount", "/files"} else ""
    if _answers(outer, f"/o/p{path}{below}"):
        yield f"{path} is served"
        return
    match = guard.matches[0] if guard.matches else None
    if match is None:
        yield f"{path} is not asked for"
        return
    if f"/o/p{path}" not in match.paths:
        yield f"{path} has no template"
    if guard not in match.guards:
        yield f"{path} has no guard"
    told = match.dependencies if match.dependant is None else None
    all_told = told is None or any(it.dependency is _marker for it in told)
    if not (all_told or _fastapi.COPIES):
        yield f"{path} has not all dependencies"


def _answers(router: APIRouter, path: str) -> bool:
    """Whether a request without a token gets an answer; a refusal is raised, as there is no app."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = _fastapi.scope_of_get(path, router)
    call = router(scope, cast("Receive", send), send)  # nothing is received: there is no body
    with closing(call), suppress(_Asked, StopIteration):
        call.send(None)
    return bool(sent)
