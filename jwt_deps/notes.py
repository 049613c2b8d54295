"""What is remembered of one request? Its settings and its callers, in the ASGI scope alone."""

from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from .routes import UNKNOWN, Match, RouteGuard
from .settings import JWTSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import AuthError
    from .principals import Principal

__all__ = ["Notes", "notes_of", "under"]


class Notes:
    """What this package remembers of one request, in the ASGI scope and nowhere else.

    A copy of the scope that asks something else, as a batch endpoint makes them, is another
    request: what the notes were taken of is kept beside them.
    """

    __slots__ = (
        "callers",
        "guard",
        "headers",
        "match",
        "method",
        "overriding",
        "replaced",
        "settings",
    )

    def __init__(
        self, headers: Any, method: Any, overriding: Any, guard: RouteGuard | None = None
    ) -> None:
        self.headers = headers
        self.method = method
        self.overriding = overriding  # per application, and one may be in another
        self.guard = guard
        # The settings that were found for the route, which a mounted application changes.
        self.match: Match | None = None
        self.settings: JWTSettings | None = None
        # Each kept beside its settings: their id is theirs only for as long as they live.
        self.callers: dict[int, tuple[JWTSettings, Principal | AuthError]] = {}
        self.replaced: dict[Callable[..., Any], Any] = {}

    def settle(self, match: Match, settings: JWTSettings) -> None:
        """Note which settings hold for a route, so that nobody has to look again."""
        if match is not UNKNOWN:
            self.match, self.settings = match, settings


def notes_of(scope: Scope) -> Notes:
    """The notes of the request that a scope stands for, new ones if there are none."""
    notes: Notes | None = scope.get("jwt_deps")
    app = scope.get("app")
    overriding = app if getattr(app, "dependency_overrides", None) else None
    if (
        notes is not None
        and notes.headers is scope["headers"]
        and notes.method is scope.get("method")
        and notes.overriding is overriding
    ):
        return notes
    guard = notes.guard if notes is not None else None
    notes = scope["jwt_deps"] = Notes(scope["headers"], scope.get("method"), overriding, guard)
    return notes


def under(scope: Scope, guard: RouteGuard) -> None:
    """Note that everything below this point is under a guard, in applications mounted there too."""
    notes = notes_of(scope)
    notes.guard, notes.match, notes.settings = guard, None, None
