"""Which route did a request match, and which guards stand over it?

The only module that reads FastAPI's own books. FastAPI tells a dependency nothing about the
route that it runs for, so the answer is read from the ASGI scope: `scope["route"]` is public,
`scope["fastapi"]` is not, and is believed only where it agrees with the former. Where nothing
can be read, no guard is found over a route, and every guard that runs there decides for itself:
unknown means refused.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends
from starlette.types import Scope

from .paths import PathPatterns
from .settings import JWTSettings

__all__ = [
    "Match",
    "RouteGuard",
    "dependants",
    "guards_among",
    "included_routers",
    "is_marked_public",
    "mark_public",
    "match_of",
    "match_of_plain_route",
]

_PUBLIC = "__jwt_deps_public__"
_APP_DOCUMENTATION = "fastapi.applications"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Match:
    """A route as the application serves it.

    Attributes:
        paths: its template with every prefix; a mount's also with what lies below it.
        endpoint: the callable behind it.
        guards: the guards over it, outermost first.
        documentation: whether it is a page that FastAPI itself adds, `/docs` for instance.
        dependant: FastAPI's tree of its dependencies, if it runs any.
    """

    paths: tuple[str, ...]
    endpoint: Any
    guards: "tuple[RouteGuard, ...]"
    documentation: bool = False
    dependant: Any = field(default=None, repr=False)


class RouteGuard:
    """What the books say of a guard: its settings and what it leaves out."""

    def __init__(
        self, settings: JWTSettings | None = None, exclude: Iterable[str | Callable[..., Any]] = ()
    ) -> None:
        excluded = [exclude] if isinstance(exclude, str) else list(exclude)
        self.settings = settings
        self.patterns = PathPatterns(item for item in excluded if isinstance(item, str))
        self.endpoints = tuple(item for item in excluded if not isinstance(item, str))
        self._remembered: weakref.WeakKeyDictionary[Match, bool] = weakref.WeakKeyDictionary()

    def leaves_out(self, match: Match) -> bool:
        """Whether a route needs no token, by its own mark or by this guard's exclusions."""
        known = self._remembered.get(match)
        if known is None:
            known = (
                match.documentation
                or is_marked_public(match.endpoint)
                or match.endpoint in self.endpoints
                or any(map(self.patterns.match, match.paths))
            )
            self._remembered[match] = known
        return known


def mark_public(endpoint: Any) -> None:
    """Write on an endpoint that it needs no token."""
    setattr(endpoint, _PUBLIC, True)


def is_marked_public(endpoint: Any) -> bool:
    """Whether an endpoint itself is marked; a class does not inherit the mark."""
    return getattr(endpoint, "__dict__", {}).get(_PUBLIC) is True


def match_of(scope: Scope) -> Match:
    """The route whose dependencies are being run."""
    owner = _owner(scope)
    if owner is None:
        # frontend() on the application itself: the application's own dependencies are all.
        router = getattr(scope.get("app"), "router", None)
        return Match((), None, guards_among(getattr(router, "dependencies", ())))
    return _remembered_match(owner)


def match_of_plain_route(scope: Scope, route: Any) -> Match:
    """The match of a route that FastAPI runs no dependencies for: Starlette's own, mounts, hosts.

    The guards are those of everything that it was included through, read where it is served.
    """
    app = scope.get("app")
    inclusion = scope.get("fastapi", {}).get("included_router")
    context = getattr(inclusion, "include_context", None)
    if context is None or context.dependency_overrides_provider is not app:
        # Not included, or the note is of the application that this one is mounted in.
        dependencies: Sequence[Depends] = getattr(getattr(app, "router", None), "dependencies", ())
        path = getattr(route, "path", None)
        own_page = getattr(route.endpoint, "__module__", None) == _APP_DOCUMENTATION
    else:
        dependencies = [*context.dependencies, *inclusion.original_router.dependencies]
        served = scope["fastapi"].get("effective_route_context")
        path = getattr(getattr(served, "starlette_route", None), "path", None)
        own_page = False
    paths = () if path is None else (path, f"{path}/{{path:path}}") if route.below else (path,)
    return Match(paths, route.endpoint, guards_among(dependencies), own_page)


def guards_among(dependencies: Iterable[Depends]) -> tuple[RouteGuard, ...]:
    """The guards in a list of dependencies, in its order."""
    calls: Iterable[object] = (depends.dependency for depends in dependencies)
    return tuple(call for call in calls if isinstance(call, RouteGuard))


def dependants(root: Any) -> Iterator[Any]:
    """All nodes of a dependency tree below its root, in the order in which FastAPI runs them."""
    for node in root.dependencies:
        yield node
        yield from dependants(node)


def included_routers(router: APIRouter | FastAPI) -> Iterator[APIRouter]:
    """The router itself and all that it includes, at any depth, each once."""
    seen: list[APIRouter] = []
    waiting = [router.router if isinstance(router, FastAPI) else router]
    while waiting:
        current = waiting.pop()
        if any(current is known for known in seen):
            continue
        seen.append(current)
        yield current
        for route in current.routes:
            inner = getattr(route, "original_router", None)
            if inner is not None:
                waiting.append(inner)


def _owner(scope: Scope) -> Any | None:
    route = scope.get("route")
    context = scope.get("fastapi", {}).get("effective_route_context")
    if context is not None:
        served = getattr(context, "starlette_route", None)
        # The note of an outer application stays in the scope of one mounted in it, hence the
        # comparison, which FastAPI itself makes too.
        if route is not None and (context.original_route is route or served is route):
            return served or context
        if route is None and getattr(context, "dependant", None) is not None:
            return context  # frontend() of an included router
    return route if getattr(route, "dependant", None) is not None else None


# By identity, because routes compare by value and are not hashable.
_matches: dict[int, tuple[weakref.ref[Any], Match]] = {}


def _remembered_match(owner: Any) -> Match:
    key = id(owner)
    known = _matches.get(key)
    if known is not None:
        return known[1]
    match = match_of_route(owner)
    _matches[key] = (weakref.ref(owner, lambda _: _matches.pop(key, None)), match)
    return match


def match_of_route(owner: Any) -> Match:
    """The match of a route that FastAPI runs dependencies for."""
    paths = {getattr(owner, name, "") for name in ("path", "path_format")} - {""}
    calls = [node.call for node in dependants(owner.dependant)]
    guards = tuple(call for call in calls if isinstance(call, RouteGuard))
    endpoint = getattr(owner, "endpoint", None)
    return Match(tuple(sorted(paths)), endpoint, guards, dependant=owner.dependant)


@dataclass(frozen=True, slots=True)
class PlainRoute:
    """What has to be remembered of a plain route once its endpoint has been wrapped."""

    endpoint: Any = field(repr=False)
    path: str | None
    below: bool
