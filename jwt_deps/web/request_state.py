"""What is remembered of one request: its guards, settings and principals, in the ASGI scope alone.

It belongs to that one scope. A copy of a scope that asks for something else, as a batch endpoint
makes them, is another request, and nothing of the first one decides about it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from jwt_deps.settings import JWTSettings
from jwt_deps.tokens import STATE_NAMES, Claims, Principal

from . import _fastapi
from .routing import UNKNOWN, Match, RouteGuard, deciding, match_of

if TYPE_CHECKING:
    from jwt_deps.errors import AuthError

__all__ = ["Decision", "Notes", "matched", "notes_of"]

_KEY = "jwt_deps"
_ABSENT: Any = object()
_NOTHING_BEFORE: dict[str, Any] = dict.fromkeys(STATE_NAMES, _ABSENT)
_OF_GUARD = ("guard", "guard_settings", "guard_root")
# In place of a route: what is served is another application, below a guard that let it pass.
_BELOW = Match((), None, ())


class Decision:
    """What was decided about a request, known to all copies of its scope.

    Attributes:
        route: where a guard let the request pass to; `None` if none decided.
        refused: whether a guard refused it, and what answers is the application's own handler.
    """

    __slots__ = ("refused", "route")

    def __init__(self) -> None:
        self.route: Match | None = None
        self.refused = False


class Notes:
    """What this package remembers of one request.

    Attributes:
        entered: the guards of the routers that the request came through in its application,
            outermost first.
        guard: the guard around the application that serves, where that is mounted below one.
        guard_settings: under which settings that guard decided.
        guard_root: the root path below which that guard applies, of a mount.
        decision: what was decided about it.
        isolated: whether nothing but this request writes into its scope (`gate`).
        copied: whether the scope is a copy of another request's that is not routed anew.
        plain: the route that is served, where FastAPI runs no dependencies for it.
        match: the route that `settings` were found for.
        settings: what holds for that route.
    """

    entered: tuple[RouteGuard, ...] = ()
    guard: RouteGuard | None = None
    guard_settings: JWTSettings | None = None
    guard_root: str | None = None
    isolated: bool = False
    plain: Match | None = None
    match: Match | None = None
    settings: JWTSettings | None = None
    overriding: Any = None
    _before: dict[str, Any] | None = None  # what was in the state where this package wrote
    copied: bool = False
    _replaced: dict[Callable[..., Any], Any] | None = None

    def __init__(self, scope: Scope) -> None:
        self.scope_id = id(scope)
        headers = scope["headers"]
        if type(headers) is not list:
            headers = scope["headers"] = list(headers)  # they are read several times
        self.headers: list[tuple[bytes, bytes]] = headers
        self.method = scope.get("method")
        self.path = scope.get("path")
        self.subprotocols = scope.get("subprotocols")  # where a WebSocket brings its token
        self.decision = Decision()
        # Under which settings who was calling: one pair, unless an application is in another.
        self._principals: list[tuple[JWTSettings, Principal | AuthError]] = []
        self.app = app = scope.get("app")
        if getattr(app, "dependency_overrides", None):
            self.overriding = app  # the application, if it replaces dependencies

    def served_by(self, app: Any) -> None:
        """Note that another application serves the request from here on, one in the other."""
        self.app = app
        self.entered = ()
        self.plain = self.match = self.settings = None
        # What one application replaces says nothing about the other.
        overriding = app if getattr(app, "dependency_overrides", None) else None
        if overriding is not self.overriding:
            self.overriding = overriding
            self._replaced, self._principals = None, []

    @property
    def replaced(self) -> dict[Callable[..., Any], Any]:
        """What the replacements of this package's dependencies answered."""
        if self._replaced is None:
            self._replaced = {}
        return self._replaced

    def caller(self, settings: JWTSettings) -> "Principal | AuthError | None":
        """Who is calling under these settings, if that was found out."""
        for known, caller in self._principals:
            if known is settings:
                return caller
        return None

    def innermost(self, match: Match) -> RouteGuard | None:
        """The guard that decides about a route, of those that the application does not replace."""
        guards = match.guards or self.entered
        if self.overriding is None:
            return guards[-1] if guards else None
        return deciding(guards, self.overriding.dependency_overrides)

    def guard_over(self, match: Match) -> RouteGuard | None:
        """The guard whose settings hold for a route."""
        if match.guards or self.entered:
            return self.innermost(match) or self.guard
        return self.guard

    def enter(self, guard: RouteGuard, *, outermost: bool) -> None:
        """Note that the request has come to a guarded router, or application."""
        self.let_pass(None)
        if outermost:
            self.entered = (guard,)
        elif guard not in self.entered[-1:]:  # a middleware may serve one scope twice
            self.entered = (*self.entered, guard)
        if self.overriding is not None and guard in self.overriding.dependency_overrides:
            self.let_pass(_BELOW)  # what the application put in its place decides

    def let_pass(self, route: Match | None) -> None:
        """Note that a guard let the request pass to a route; `None`: none has decided yet."""
        self.decision.route, self.decision.refused = route, False

    def leave(
        self, guard: RouteGuard | None, settings: JWTSettings | None, root: str | None
    ) -> None:
        """Note that what follows is an application of its own, below a guard that has decided.

        Args:
            guard: the guard.
            settings: under which it decided.
            root: the root path of what is mounted there; `None` for a plain route.
        """
        if guard is not None:
            self.guard, self.guard_settings, self.guard_root = guard, settings, root
        self.let_pass(_BELOW)
        self.entered = ()
        self.plain = self.match = self.settings = None

    def conclude(
        self, scope: Scope, settings: JWTSettings, found: "Principal | AuthError"
    ) -> "Principal | AuthError":
        """Note who is calling, and put it into `request.state`, as the AgentOS middleware does."""
        state = scope.setdefault("state", {})
        if self._before is not None:  # what an outer guard wrote, and only that
            _restore(state, self._before)
        self._before = (
            {name: state.get(name, _ABSENT) for name in STATE_NAMES} if state else _NOTHING_BEFORE
        )
        if isinstance(found, Principal):
            found.write_state(state)
        elif not settings.validate:
            state["authenticated"] = False
            found = Principal(Claims({}), settings, found)
        self._principals.append((settings, found))
        return found

    def is_of(self, scope: Scope) -> bool:
        """Whether these notes are of that very scope, asking for what it asked for."""
        if (
            self.scope_id != id(scope)
            or scope.get("path") != self.path
            or scope.get("method") != self.method
            or scope.get("subprotocols") != self.subprotocols
        ):
            return False
        headers = scope["headers"]
        # Starlette puts an equal list there when the headers are read.
        if headers is not self.headers and headers != self.headers:
            self.headers = headers
            self._principals = []  # another token may be in there
            if self.decision.route is not _BELOW:  # no guard is asked again there
                self.decision.route = None
        return True

    def follow(self, scope: Scope) -> "Notes":
        """The notes of a copy of the scope: of the same request, or of another one."""
        copy = Notes(scope)
        if (
            copy.path == self.path
            and copy.method == self.method
            and copy.headers == self.headers
            and copy.subprotocols == self.subprotocols
        ):  # a middleware on the way made the copy
            for name in ("entered", *_OF_GUARD, "decision", "_before", "copied"):
                setattr(copy, name, getattr(self, name))
            copy._principals = self._principals
            return copy
        if self.guard_root is not None and scope.get("root_path", "").startswith(self.guard_root):
            # It stays below the mount, as where a middleware there changes the path.
            for name in _OF_GUARD:
                setattr(copy, name, getattr(self, name))
        copy.separate(scope)
        if self._before is not None and "state" in scope:
            _restore(scope["state"], self._before)
        return copy

    def separate(self, scope: Scope) -> None:
        """Note that the scope is a copy of another request's, and give it a state of its own."""
        self.copied = True
        if "state" in scope:
            scope["state"] = dict(scope["state"])


def _restore(state: dict[str, Any], before: dict[str, Any]) -> None:
    for name, value in before.items():
        if value is _ABSENT:
            state.pop(name, None)
        else:
            state[name] = value


def notes_of(scope: Scope) -> Notes:
    """The notes of the request that a scope stands for, new ones if there are none."""
    notes: Notes | None = scope.get(_KEY)
    if notes is None:
        notes = scope[_KEY] = Notes(scope)
        return notes
    if notes.is_of(scope):
        app = scope.get("app")
        if notes.app is not app:
            notes.served_by(app)
        return notes
    notes = scope[_KEY] = notes.follow(scope)
    return notes


def matched(scope: Scope, notes: Notes) -> Match:
    """The route whose dependencies are being run, as far as this request can know it."""
    if notes.plain is not None:
        return notes.plain
    if notes.copied and not _fastapi.COPIES:
        return UNKNOWN  # what the scope says of a route may be that of another request
    match = match_of(scope)
    if match.guards and not (notes.isolated or _fastapi.COPIES or _fastapi.fits(scope)):
        return UNKNOWN  # as what another one writes into it meanwhile
    return match
