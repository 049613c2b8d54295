"""What is remembered of one request? Its settings and its callers, in the ASGI scope alone."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from .claims import Claims
from .principals import STATE_NAMES, Principal
from .routes import UNKNOWN, Match, RouteGuard, guards_of_app
from .settings import JWTSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import AuthError

__all__ = ["Notes", "clear_state", "notes_of", "under"]


class Notes:
    """What this package remembers of one request, in the ASGI scope and nowhere else.

    A copy of the scope that asks something else, as a batch endpoint makes them, is another
    request: what the notes were taken of is kept beside them.
    """

    #: The guard around the applications below, where there is one.
    guard: RouteGuard | None = None
    #: The settings that were found for a route, which a mounted application changes.
    match: Match | None = None
    settings: JWTSettings | None = None

    def __init__(self, scope: Scope) -> None:
        app = scope.get("app")
        self.headers = scope["headers"]
        self.method = scope.get("method")
        # The application, if it replaces dependencies; one may be in another.
        self.overriding = app if getattr(app, "dependency_overrides", None) else None
        # Under which settings who was calling: one pair, unless an application is in another.
        self.callers: list[tuple[JWTSettings, Principal | AuthError]] = []

    @cached_property
    def replaced(self) -> "dict[Callable[..., Any], Any]":
        """What the replacements of this package's dependencies answered."""
        return {}

    def caller(self, settings: JWTSettings) -> "Principal | AuthError | None":
        """Who is calling under these settings, if that was found out."""
        for known, caller in self.callers:
            if known is settings:
                return caller
        return None

    def guard_over(self, scope: Scope, match: Match) -> RouteGuard | None:
        """The guard that decides about a route: the innermost."""
        if match.guards:
            return match.guards[-1]
        if match is UNKNOWN and (over_all := guards_of_app(scope)):
            return over_all[-1]
        return self.guard

    def conclude(
        self,
        scope: Scope,
        settings: JWTSettings,
        found: "Principal | AuthError",
    ) -> "Principal | AuthError":
        """Note who is calling, and put it into `request.state`, as the AgentOS middleware does."""
        if isinstance(found, Principal):
            found.write_state(scope.setdefault("state", {}))
        elif not settings.validate:
            scope.setdefault("state", {})["authenticated"] = False
            found = Principal(Claims({}), settings, found)
        self.callers.append((settings, found))
        return found


def clear_state(scope: Scope) -> None:
    """Take away what an outer guard left, or the request that this one is a copy of."""
    state = scope.get("state")
    if state:
        for name in STATE_NAMES:
            state.pop(name, None)


def notes_of(scope: Scope) -> Notes:
    """The notes of the request that a scope stands for, new ones if there are none."""
    notes: Notes | None = scope.get("jwt_deps")
    if notes is None:
        notes = scope["jwt_deps"] = Notes(scope)
        return notes
    app = scope.get("app")
    if (
        notes.headers is scope["headers"]
        and notes.method is scope.get("method")
        and notes.overriding is (app if getattr(app, "dependency_overrides", None) else None)
    ):
        return notes
    fresh = scope["jwt_deps"] = Notes(scope)
    fresh.guard = notes.guard
    return fresh


def under(scope: Scope, guard: RouteGuard) -> None:
    """Note that everything below this point is under a guard, in applications mounted there too."""
    notes = notes_of(scope)
    notes.guard, notes.match, notes.settings = guard, None, None
