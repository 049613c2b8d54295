"""Which route did a request match, and which guards stand over it?

FastAPI tells a dependency nothing about the route that it runs for, so the answer is read from
the ASGI scope: `scope["route"]` is public, `scope["fastapi"]` is not, and is believed only where
it agrees with the former. Where nothing can be read, no guard is found over a route, and every
guard that runs there decides for itself: unknown means refused.
"""

import weakref
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import isfunction
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.utils import get_dependant
from fastapi.params import Depends
from starlette.routing import BaseRoute, Mount
from starlette.types import Scope

from .errors import ConfigurationError
from .paths import PathPatterns
from .settings import JWTSettings

__all__ = [
    "UNKNOWN",
    "Match",
    "PlainRoute",
    "RouteGuard",
    "dependants",
    "guards_among",
    "guards_of_app",
    "is_marked_public",
    "mark_public",
    "match_of",
    "match_of_route",
    "templates",
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
        dependencies: what stands over a route that FastAPI runs none for.
        open_by: what was decided about it, by the guard or the patterns that decided.
        pointers: what challenges on it say besides, for `pointers`.
    """

    paths: tuple[str, ...]
    endpoint: Any
    guards: "tuple[RouteGuard, ...]"
    documentation: bool = False
    dependant: Any = field(default=None, repr=False)
    dependencies: tuple[Depends, ...] = ()
    open_by: dict[object, bool] = field(default_factory=dict, repr=False)
    pointers: dict[str, Any] = field(default_factory=dict, repr=False)


class RouteGuard:
    """What the books say of a guard: its settings and what it leaves out."""

    def __init__(
        self, settings: JWTSettings | None = None, exclude: Iterable[str | Callable[..., Any]] = ()
    ) -> None:
        if settings is not None and not isinstance(settings, JWTSettings):
            raise ConfigurationError(
                "not_settings",
                f"settings takes a JWTSettings, not {type(settings).__name__}; what needs no "
                "token goes to exclude=[...].",
            )
        one = isinstance(exclude, str) or callable(exclude)
        excluded: list[Any] = [exclude] if one else list(exclude)
        self.settings = settings
        self.patterns = PathPatterns(item for item in excluded if isinstance(item, str))
        self.endpoints = tuple(item for item in excluded if not isinstance(item, str))

    def leaves_out(self, match: Match) -> bool:
        """Whether a route needs no token, by its own mark or by this guard's exclusions."""
        known = match.open_by.get(self)
        if known is None:
            known = (
                match.documentation
                or is_marked_public(match.endpoint)
                or match.endpoint in self.endpoints
                or any(map(self.patterns.match, match.paths))
            )
            match.open_by[self] = known
        return known


def mark_public(endpoint: Any) -> None:
    """Write on an endpoint that it needs no token."""
    setattr(endpoint, _PUBLIC, True)


def is_marked_public(endpoint: Any) -> bool:
    """Whether an endpoint itself is marked; a class does not inherit the mark."""
    return getattr(endpoint, "__dict__", {}).get(_PUBLIC) is True


#: What is known of a route that cannot be identified: nothing, so that nothing leaves it out.
UNKNOWN = Match((), None, ())

_NOTHING: dict[str, Any] = {}


def match_of(scope: Scope) -> Match:
    """The route whose dependencies are being run."""
    route = scope.get("route")
    context = scope.get("fastapi", _NOTHING).get("effective_route_context")
    owner = route
    if context is not None:
        served = getattr(context, "starlette_route", None)
        # The note of an outer application stays in the scope of one mounted in it, hence the
        # comparison, which FastAPI itself makes too.
        if route is not None and (context.original_route is route or served is route):
            owner = served or context
        elif route is None and getattr(context, "dependant", None) is not None:
            owner = context  # frontend() of an included router
    known = _matches.get(id(owner))
    if known is not None:
        return known[1]
    return UNKNOWN if getattr(owner, "dependant", None) is None else _remembered_match(owner)


def guards_of_app(scope: Scope) -> tuple[RouteGuard, ...]:
    """The guards over the whole of the application that is serving."""
    return guards_among(getattr(getattr(scope.get("app"), "router", None), "dependencies", ()))


@dataclass(slots=True)
class PlainRoute:
    """A route that FastAPI runs no dependencies for: Starlette's own, a mount, a host.

    Attributes:
        route: the route itself.
        endpoint: the callable behind it, before it was wrapped.
        homes: the routers that it was added to, which is one unless somebody shares it.
    """

    route: BaseRoute = field(repr=False)
    endpoint: Any = field(repr=False)
    homes: list[APIRouter] = field(repr=False)

    def match(self, scope: Scope) -> Match:
        """The route as it is being served: its guards are those of all that it came through."""
        own: Any = getattr(scope.get("app"), "router", None)
        notes = scope.get("fastapi", {})
        inclusion = notes.get("included_router")
        context = getattr(inclusion, "include_context", None)
        path = getattr(self.route, "path", None)
        if context is not None and _is_among(inclusion.original_router, self.homes):
            served = getattr(notes.get("effective_route_context"), "starlette_route", None)
            path = getattr(served, "path", path)
            over = [*context.dependencies, *inclusion.original_router.dependencies]
        elif _is_among(own, self.homes):
            over = own.dependencies
        else:
            # In a router that is mounted as it is; if it is shared, all that may stand over it.
            over = [one for home in self.homes for one in home.dependencies]
        own_page = isfunction(self.endpoint) and self.endpoint.__module__ == _APP_DOCUMENTATION
        paths = templates(self.route, path)
        return Match(
            paths,
            self.endpoint,
            guards_among(over),
            documentation=own_page and _is_among(own, self.homes),
            dependencies=tuple(over),
        )


def templates(route: BaseRoute, path: str | None) -> tuple[str, ...]:
    """The templates that patterns can mean a plain route by; none for a host."""
    if path is None:
        return ()
    return (path, f"{path}/{{path:path}}") if isinstance(route, Mount) else (path,)


def _is_among(router: APIRouter | None, homes: list[APIRouter]) -> bool:
    return any(router is home for home in homes)  # routers compare by value


def guards_among(dependencies: Iterable[Depends]) -> tuple[RouteGuard, ...]:
    """The guards in a list of dependencies and below them, in the order of a run."""
    return tuple(
        guard
        for depends in dependencies
        if depends.dependency is not None
        for guard in _guards_of_callable(depends.dependency)
    )


@lru_cache(maxsize=4096)
def _guards_of_callable(call: Callable[..., Any]) -> tuple[RouteGuard, ...]:
    if isinstance(call, RouteGuard):
        return (call,)
    return _guards_below(get_dependant(path="", call=call))


def _guards_below(root: Any) -> tuple[RouteGuard, ...]:
    calls = (node.call for node in dependants(root))
    return tuple(call for call in calls if isinstance(call, RouteGuard))


def dependants(root: Any, replaced: Container[Any] = ()) -> Iterator[Any]:
    """All nodes of a dependency tree below its root, in the order in which FastAPI runs them.

    Without those whose callable is replaced, and what is below them.
    """
    for node in root.dependencies:
        if node.call not in replaced:
            yield node
            yield from dependants(node, replaced)


# By identity, because routes compare by value and are not hashable.
_matches: dict[int, tuple[weakref.ref[Any], Match]] = {}


def _remembered_match(owner: Any) -> Match:
    key, match = id(owner), match_of_route(owner)
    _matches[key] = (weakref.ref(owner, lambda _: _matches.pop(key, None)), match)
    return match


def match_of_route(owner: Any) -> Match:
    """The match of a route that FastAPI runs dependencies for."""
    paths = {getattr(owner, name, "") for name in ("path", "path_format")} - {""}
    # What stands over the route, before its endpoint's own parameters, which have names: a guard
    # that an endpoint asks for adds to those over it and takes the place of none.
    over = [node for node in owner.dependant.dependencies if node.name is None]
    guards = tuple(
        guard
        for node in over
        for guard in ((node.call,) if isinstance(node.call, RouteGuard) else _guards_below(node))
    )
    endpoint = getattr(owner, "endpoint", None)
    return Match(tuple(sorted(paths)), endpoint, guards, dependant=owner.dependant)
