"""What is known of one request: its guards, settings and principals, kept in its ASGI scope.

A scope that comes to an application again, itself or as a copy, is another request and is
authenticated on its own: a batch endpoint sent it. A scope that was copied or changed elsewhere, by
a wrapper, a route class or a dependency, is still the same request.

    the scope                                            is
    the same one, in an application further in           the same request (`served_by`)
    any, that comes to a router which it came to before  another request (`again`)
    a copy with the same path and method, in the same    the same request (`follow`)
      application
    a copy at or below the mount that it came through    the same request, with another route
    any other copy                                       another request, behind the guard of the
                                                         mount that it is below, or behind none
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from starlette.types import Scope

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings, get_settings
from jwt_deps.tokens import STATE_NAMES, Claims, Principal

from . import _fastapi
from .request_user import IDENTITY_NAMES, write_anonymous, write_user
from .routing import (
    UNKNOWN,
    MatchedRoute,
    RouteGuard,
    deciding,
    guards_among,
    is_among,
    match_of,
)

if TYPE_CHECKING:
    from jwt_deps.errors import AuthError

#: Of the state in the ASGI scope.
STATE_KEY = "jwt_deps"
_UNOWNED = object()  # an application may be `None`
_CREDENTIALS = {b"authorization", b"cookie", b"dpop"}
# What a copy of the scope has of it, too.
_OF_ONE_REQUEST = (
    *("entered", "routers", "through_mount", "mounted"),
    *("owner", "arrivals", "_before", "_written"),
)


class Decision:
    """What was decided about a request since it came to a guarded router.

    Routers further out learn of it, because what they let answer is the same response. What they
    know says nothing here: a mount that was let pass leads to guards that are still to be asked.

    Attributes:
        passed: whether a guard let the request pass.
        refusal: with which exception a guard refused it, as long as that is being handled; `None`
            if none did.
        answered: the status with which an exception handler answers it, or what was raised before
            the guard was asked; `ANSWERING` while the handler runs.
        being_made: by how many credentials, or overrides of this package's dependencies, that
            run: if one of them reads the body, no guard is asked again.
    """

    __slots__ = ("_failure", "_outer", "answered", "being_made", "passed", "refusal")

    def __init__(self, outer: "Decision | None" = None) -> None:
        self.passed, self.being_made = False, 0
        self.answered: int | None = None
        self.refusal: weakref.ref[Exception] | None = None
        self._failure: Exception | None = None
        self._outer: tuple[Decision, ...] = ()
        if outer is not None:
            self._outer = outer, *outer._outer  # noqa: SLF001 - of the same class

    def let_pass(self) -> None:
        """Record that a guard let the request pass."""
        for one in (self, *self._outer):
            one.passed, one.refusal = True, None

    @contextmanager
    def making(self) -> Iterator[None]:
        """Run what is part of the decision."""
        several = self, *self._outer
        for one in several:
            one.being_made += 1
        try:
            yield
        finally:
            for one in several:
                one.being_made -= 1

    def refuse(self, refusal: Exception) -> None:
        """Record that a guard refused the request with an exception."""
        known = weakref.ref(refusal)
        for one in (self, *self._outer):
            one.refusal = known

    def fail(self, error: Exception) -> None:
        """Record that the guard could not be asked: nothing of the body was read."""
        self._failure = error

    def raise_failure(self) -> None:
        """Raise the error that kept the guard from being asked, if there was one."""
        for one in (self, *self._outer):
            if one._failure is not None:  # noqa: SLF001 - of the same class
                raise one._failure  # noqa: SLF001

    def handle(self, error: Exception, status: int | None) -> None:
        """Record with which status an exception handler of the application is about to answer.

        It answers a refusal, or what a dependency further out raised before the guard was asked.
        What an endpoint raises although no guard was asked is not answered.
        """
        if self.refusal is not None:
            refusal, found = self.refusal(), cast("BaseException | None", error)
            while found is not None and found is not refusal:
                found = found.__context__
            is_known = found is not None
        else:
            is_known = _fastapi.is_before_endpoint(error)
        if is_known:
            for one in (self, *self._outer):
                one.answered = status


@dataclass(slots=True, eq=False)
class Waiting:
    """Dependencies that wait for the end of a plain route, to see what it raised.

    Starlette has exception handlers answer within the route. What an application that is mounted
    there answers is its own.

    Attributes:
        app: the application whose exception handlers answer.
        answered: what they have answered.
        outer: the dependencies of a route further out.
    """

    app: Any
    outer: "Waiting | None"
    answered: list[Exception] = field(default_factory=list)

    def see(self, scope: Scope, error: Exception, status: int | None) -> None:
        """Record that an exception handler was called, which may have raised an error itself."""
        if scope.get("app") is not self.app or status in (None, _fastapi.ANSWERING):
            return
        self.answered.append(error)
        if self.outer is not None:
            self.outer.see(scope, error, status)


@dataclass(slots=True, eq=False, kw_only=True)
class _Mounted:
    """A guard that applies to what is mounted below it.

    Attributes:
        guard: the guard.
        settings: under which it decided; `None` if it has not.
        overriding: the application whose overrides then say which those are, if it has any.
        root: the root path of the mount; `None` for a plain route, which has nothing below it.
        app: the application that is mounted there; `None` if that is not known.
        routers: those through which the request had come to the mount in its application.
        outermost: the first router that it came to.
        outer: the guard of a mount further out.
    """

    guard: RouteGuard
    settings: JWTSettings | None
    overriding: Any
    outer: "_Mounted | None"
    root: str | None = None
    app: Any = None
    routers: tuple[Any, ...] = ()
    outermost: Any = None

    def covers(self, scope: Scope) -> bool:
        """Whether a copied scope is served below the mount."""
        app = scope.get("app")
        if getattr(app, "router", None) is self.outermost:
            return False  # it has gone back to the application through which it came first
        return self.app is app is not None or self.is_at(scope.get("root_path", ""))

    def is_at(self, root: str) -> bool:
        """Whether a root path is that of the mount, or below it.

        A middleware may have put a prefix in front, one that the client names for instance.
        """
        return self.root is not None and f"{self.root}/" in f"{root}/"


class RequestState:
    """What this package knows of one request.

    Attributes:
        entered: the guards of the routers that the request came through in its application,
            outermost first.
        routers: the guarded or watched ones that the request came to in its application.
        through_mount: whether it has come through a mount since it came to the last of these.
        mounted: the guard of the mount that the request came through last.
        decision: what was decided about it.
        owner: the application that has made sure last that nothing but this request writes into
            its scope (`asgi`).
        copied: whether the scope is a copy of another request's that is not routed anew.
        is_part: whether another request's scope was copied for it, and nothing tells where it is.
        plain: the route that is served, where FastAPI runs no dependencies for it.
        found: what FastAPI told of the route, and the route that is for it.
        match: the route that `settings` were found for.
        settings: the settings that hold for that route.
        waiting: the dependencies that have to see what exception handlers answer.
        arrivals: the application in which the request came to a router, and the parameters of the
            path with which it did, by the router's identity.
        proofs: the identifiers of the DPoP proofs that it was accepted with.
        override_answers: what the overrides of this package's dependencies answered.
    """

    entered: tuple[RouteGuard, ...] = ()
    routers: tuple[Any, ...] = ()
    through_mount: bool = False
    mounted: _Mounted | None = None
    owner: Any = _UNOWNED
    plain: MatchedRoute | None = None
    found: tuple[Any, Any, MatchedRoute] | None = None
    match: MatchedRoute | None = None
    settings: JWTSettings | None = None
    overriding: Any = None
    waiting: "Waiting | None" = None
    _credentials: tuple[Any, ...] | None = None  # that the principals were found with
    # What was in `request.state`, and in the scope, under the names written.
    _before: tuple[dict[str, Any], dict[str, Any]] | None = None
    _written: "tuple[JWTSettings, Principal | AuthError] | None" = None  # of `_principals`
    _written_to: dict[str, Any] | None = None  # the `state` in the scope
    copied: bool = False
    is_part: bool = False

    def __init__(self, scope: Scope) -> None:
        self.scope_id = id(scope)
        # A middleware may change them in the scope.
        self.path, self.method = scope.get("path"), scope.get("method")
        headers = scope["headers"]
        # They are read several times, and compared with what they were: ASGI allows pairs that can
        # be edited, as Mangum has them.
        if type(headers) is not list or (headers and type(headers[0]) is not tuple):
            scope["headers"] = [(name, value) for name, value in headers]
        self.decision = Decision()
        self.arrivals: dict[int, tuple[Any, dict[str, Any]]] = {}
        self.proofs: set[str] = set()
        self.override_answers: dict[Callable[..., Any], Any] = {}
        # The principal under each settings: one pair, unless an application is in another.
        self._principals: list[tuple[JWTSettings, Principal | AuthError]] = []
        self.app = app = scope.get("app")
        if getattr(app, "dependency_overrides", None):
            self.overriding = app  # the application, if it replaces dependencies

    def served_by(self, app: Any) -> None:
        """Record that another application serves the request from here on, one in the other."""
        self.app = app
        self.entered = ()
        self.plain = self.found = self.match = self.settings = None
        # What one application replaces says nothing about the other.
        overriding = app if getattr(app, "dependency_overrides", None) else None
        if overriding is not self.overriding:
            self.overriding = overriding
            self.override_answers, self._principals = {}, []

    @property
    def owns_scope(self) -> bool:
        """Whether nothing but this request writes into its scope."""
        return self.owner is not _UNOWNED

    def principal(self, scope: Scope, settings: JWTSettings) -> "Principal | AuthError | None":
        """The principal under these settings, or why there is none; `None` if not yet known.

        What was known is forgotten if what the request brings has changed on its way.
        """
        if not self._principals:
            return None
        if _credentials(scope) != self._credentials:
            self._principals, self.override_answers = [], {}
        for pair in self._principals:
            if pair[0] is settings:
                # What is mounted may have got a `state` of its own.
                if pair is not self._written or scope.get("state") is not self._written_to:
                    self._write(scope, pair)
                return pair[1]
        return None

    def innermost(self, match: MatchedRoute) -> RouteGuard | None:
        """The guard that decides about a route, of those that the application does not replace."""
        guards = match.guards or self.entered
        if self.overriding is None:
            return guards[-1] if guards else None
        overridden = self.overriding.dependency_overrides
        if match.applied:
            asked = guards_among(match.applied, overridden)
            guards = tuple(it for it in match.guards if it in asked or it in self.entered)
        return deciding(guards, overridden)

    def has_decided(self, innermost: RouteGuard | None, besides: RouteGuard) -> bool:
        """Whether another guard decides about the request, that of a mount further out too."""
        mounted = None if self.mounted is None else self.mounted.guard
        return innermost is not None or mounted not in (None, besides)

    def guard_settings(self, match: MatchedRoute) -> JWTSettings | None:
        """The settings of the guard that decides about a route; `None` for `get_settings`."""
        guard = self.innermost(match)
        if guard is not None:
            return guard.settings
        mounted = self.mounted
        return None if mounted is None else mounted.guard.settings or mounted.settings

    def overriding_for(self, match: MatchedRoute) -> Any:
        """The application whose overrides say which settings hold where no guard does."""
        if self.mounted is None or self.innermost(match) is not None:
            return self.overriding
        return self.mounted.overriding

    def enter(self, guard: RouteGuard | None) -> None:
        """Record that the request has come to a router, and what guards everything in it."""
        self.decision = Decision(self.decision)
        if guard is None:
            return
        self.entered += () if guard in self.entered else (guard,)
        if self.overriding is not None and guard in self.overriding.dependency_overrides:
            self.decision.let_pass()  # what the application put in its place decides

    def leave(  # noqa: PLR0913 - each by name
        self,
        guard: RouteGuard | None,
        settings: JWTSettings | None,
        *,
        root: str | None,
        app: Any,
        outermost: Any,
        decided: bool,
    ) -> None:
        """Record that what follows is an application of its own, below a guard that has decided.

        Args:
            guard: the guard.
            settings: under which it decided.
            root: the root path of what is mounted there; `None` for a plain route.
            app: the application that is mounted there; `None` if that is not known.
            outermost: the first router that the request came to.
            decided: whether an answer may follow; if not, only once a guard there has decided.
        """
        if guard is not None:
            self.mounted = _Mounted(
                guard=guard,
                settings=settings,
                root=root,
                app=app,
                # That of the application too, which may be watched only from the next request on.
                routers=(*self.routers, getattr(self.app, "router", None)),
                outermost=outermost,
                overriding=self.overriding if decided else None,
                outer=self.mounted,
            )
            self.routers = ()
        self.entered = ()
        self.plain = self.found = self.match = self.settings = None

    def decide_alone(self, guard: RouteGuard) -> None:
        """Record that a guard decides for all that follows: its route cannot be identified."""
        if guard in self.entered:
            return
        self.entered = ()
        self.mounted = _Mounted(
            guard=guard, settings=None, overriding=self.overriding, outer=self.mounted
        )

    def record(
        self, scope: Scope, settings: JWTSettings, found: "Principal | AuthError"
    ) -> "Principal | AuthError":
        """Record the principal, and write it to `request.state` as the AgentOS middleware does."""
        if not (isinstance(found, Principal) or settings.validate):
            found = Principal(Claims({}), settings, found)
        pair = settings, found
        self._write(scope, pair)
        if not self._principals:
            self._credentials = _credentials(scope)
        self._principals.append(pair)
        return found

    def _write(self, scope: Scope, pair: "tuple[JWTSettings, Principal | AuthError]") -> None:
        """Write a principal to the scope, in place of what another guard wrote there."""
        written = self._written_to = scope.setdefault("state", {})
        if self._before is not None:  # what an outer guard wrote, and only that
            self._restore(scope)
        self._before = (
            _values(written, STATE_NAMES) if written else {},
            _values(scope, IDENTITY_NAMES) if "user" in scope else {},
        )
        self._written = pair
        found = pair[1]
        if not isinstance(found, Principal):
            return
        if found.error is None:
            found.write_state(written)
            write_user(scope, found, is_kept=bool(self.routers or self.mounted))
        else:
            written["authenticated"] = False
            write_anonymous(scope)

    def take_back(self, scope: Scope, settings: JWTSettings | None) -> None:
        """Take back what was written under other settings than those of the guard that decides."""
        if self._written is None:
            return
        if settings is None:
            app = self.overriding
            if app is not None and get_settings in app.dependency_overrides:
                settings = self.override_answers.get(get_settings)
            else:
                # There may be none where `get_claims` is overridden.
                with suppress(ConfigurationError):
                    settings = get_settings()
        if self._written[0] is not settings:
            self._restore(scope)
            self._before = self._written = None

    def follow(self, scope: Scope) -> "RequestState":
        """The state of a copy of the scope, which has a `request.state` of its own."""
        copy = RequestState(scope)
        mounted, app = self.mounted, copy.app
        is_same_path = (copy.path, copy.method) == (self.path, self.method)
        if app is self.app:
            is_below = mounted is not None and mounted.is_at(scope.get("root_path", ""))
            is_on_the_way = bool(self.routers) or is_same_path or is_below
        else:
            # A mount of an application that is watched leads there, and no endpoint called it.
            is_on_the_way = mounted is not None and mounted.covers(scope)
            is_on_the_way = is_on_the_way and (self.through_mount or not self.routers)
        if not is_on_the_way:
            return self.as_another(scope)
        copy.copy_state_of(scope, self._written_to)
        copy.decision = Decision(self.decision)
        copy.copied = self.copied or not is_same_path
        copy._principals, copy._credentials = list(self._principals), self._credentials
        for name in _OF_ONE_REQUEST:
            setattr(copy, name, getattr(self, name))
        if not (is_same_path or self._has_same_sender(scope)):
            copy._restore(scope)
            copy._before = copy._written = None
        if is_same_path:
            copy.plain, copy.waiting = self.plain, self.waiting
            credentials = _credentials(scope)
            if credentials == self._credentials:
                copy.proofs = self.proofs
            elif self._credentials and _proof_in(credentials) == _proof_in(self._credentials):
                # A wrapper may add a header; the proof serves one such copy.
                copy.proofs, self.proofs = self.proofs, set()
        if app is not self.app:
            copy.app, copy.overriding = self.app, self.overriding
            copy.served_by(app)
        return copy

    def _has_same_sender(self, scope: Scope) -> bool:
        """Whether the sender of this request has sent a copy of it too, by all that is known."""
        if self._credentials is None:
            return False
        (_, *place, known), (_, *sent_in, sent) = self._credentials, _credentials(scope)
        added = {name for name, value in sent if (name, value) not in known}
        is_same = place == sent_in and {*known} <= {*sent}
        looked_at = _CREDENTIALS.union(it.server.header_name for it, _ in self._principals)
        if any(it.token_getter or it.server.credentials for it, _ in self._principals):
            looked_at = added  # that code may look at any header
        return is_same and added.isdisjoint(looked_at)

    def again(self, scope: Scope, router: object) -> "RequestState | None":
        """The state of another request, if the scope or a copy of it has come to a router again.

        Args:
            scope: of the other request.
            router: the router that it has come to.
        """
        if is_among(router, self.routers):
            return self._behind(self.mounted, scope)
        outermost, mounted = None, self.mounted
        while mounted is not None:
            if is_among(router, mounted.routers):
                outermost = mounted
            mounted = mounted.outer
        if outermost is not None:
            return self._behind(outermost.outer, scope)
        app = scope.get("app")
        if self.routers and app is self.app and router is getattr(app, "router", None):
            return self.as_another(scope)  # it was not watched yet when this request came to it
        return None

    def as_another(self, scope: Scope) -> "RequestState":
        """The state of another request, behind the guard of the mount that it is below."""
        return self._behind(self._covering(scope), scope)

    def _covering(self, scope: Scope) -> _Mounted | None:
        """The mount under whose guard a copy of the scope is served."""
        mounted = self.mounted
        while mounted is not None and not mounted.covers(scope):
            mounted = mounted.outer
        return mounted

    def _behind(self, mounted: _Mounted | None, scope: Scope) -> "RequestState":
        copy = RequestState(scope)
        copy.mounted, copy.is_part = mounted, True
        if copy.scope_id == self.scope_id:
            copy.copied = True
        else:
            copy.copy_state_of(scope)
        self._restore(scope)
        return copy

    def _restore(self, scope: Scope) -> None:
        """Take out of a scope what this request wrote."""
        if self._before is not None:
            state, identity = self._before
            _write_back(scope.setdefault("state", {}), STATE_NAMES, state)
            _write_back(scope, IDENTITY_NAMES, identity)

    def copy_state_of(self, scope: Scope, written_to: dict[str, Any] | None = None) -> None:
        """Record that the scope is a copy of another request's, with a `state` of its own.

        Args:
            scope: the copy.
            written_to: the `state` in which the user is that the other request has found.
        """
        self.copied = True
        if "state" in scope:
            state, scope["state"] = scope["state"], dict(scope["state"])
            if state is written_to:
                self._written_to = scope["state"]


def _values(written: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: written[name] for name in names if name in written}


def _write_back(
    written: MutableMapping[str, Any], names: Iterable[str], before: dict[str, Any]
) -> None:
    for name in names:
        written.pop(name, None)
    written.update(before)


def next_state(scope: Scope, router: object) -> RequestState:
    """The state of a request that comes to a router: that of an application, or a protected one.

    A scope that came there before is another request, also where it is equal: an endpoint sent it,
    or a middleware that tries again.
    """
    known: RequestState | None = scope.get(STATE_KEY)
    again = None if known is None else known.again(scope, router)
    state = state_of(scope) if again is None else again
    if known is not None and state is not known and state.is_part:
        # Routers add to the parameters that they find: those of the other request must not stay.
        state.arrivals = known.arrivals
        _, parameters = known.arrivals.get(id(router), (None, {}))
        scope["path_params"] = dict(parameters)
    scope[STATE_KEY] = state
    state.arrivals[id(router)] = scope.get("app"), dict(scope.get("path_params", ()))
    state.routers, state.through_mount = (*state.routers, router), False
    return state


def put_application_back(scope: Scope, router: object) -> None:
    """Put back the application in which a scope came to a router before, in place of a mounted one.

    One that has this very router has just received it, a copy of the other for instance.
    """
    known: RequestState | None = scope.get(STATE_KEY)
    if known is not None and getattr(scope.get("app"), "router", None) is not router:
        app, _ = known.arrivals.get(id(router), (None, {}))
        if app is not None:
            scope["app"] = app


def state_of(scope: Scope) -> RequestState:
    """The state of the request with this scope, made if there is none."""
    state: RequestState | None = scope.get(STATE_KEY)
    if state is None:
        state = scope[STATE_KEY] = RequestState(scope)
        return state
    if state.scope_id != id(scope):
        state = scope[STATE_KEY] = state.follow(scope)
        return state
    app, mounted = scope.get("app"), state.mounted
    if mounted is not None and state.path != scope.get("path") and not mounted.covers(scope):
        state = scope[STATE_KEY] = state.as_another(scope)  # a part in the scope of the batch
    elif state.app is not app:
        state.served_by(app)
    return state


def record_handled(scope: Scope, error: Exception, status: int | None) -> None:
    """Record with which status an exception handler is about to answer a request."""
    state: RequestState | None = scope.get(STATE_KEY)
    if state is not None:
        state.decision.handle(error, status)
        # With another path it is a part that the endpoint sent, which answers for itself.
        if state.waiting is not None and state.path == scope.get("path"):
            state.waiting.see(scope, error, status)


def _credentials(scope: Scope) -> tuple[Any, ...]:
    """What decides who is calling: a value, because a middleware can edit the list of headers."""
    return (
        scope.get("method"),
        scope.get("query_string"),
        tuple(scope.get("subprotocols", ())),  # where a WebSocket brings its token
        tuple(scope["headers"]),
    )


def _proof_in(credentials: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a DPoP proof is accepted for, beside the path; the token is named in the proof."""
    method, query, _, headers = credentials
    return method, query, [it for it in headers if it[0] == b"dpop"]


def matched(scope: Scope, state: RequestState) -> MatchedRoute:
    """The route whose dependencies are being run, as far as this request can know it."""
    if state.plain is not None:
        return state.plain
    route, context, found = scope.get("route"), _fastapi.route_context(scope), state.found
    is_file = _fastapi.frontend_path(scope) is not None
    # Not asked again: a dependency that runs after the guard may have changed path or method.
    if not is_file and found is not None and found[0] is route is not None and found[1] is context:
        return found[2]
    if state.copied and not _fastapi.COPIES:
        match = UNKNOWN  # the scope may name the route of another request
    elif is_file and state.owner is not state.app and hasattr(route, "dependant"):
        match = UNKNOWN  # a file and a route: one of them was served before
    else:
        # FastAPI names no route for a file: what is there is the mount, or was served before.
        match = match_of(scope, None if is_file else route, context)
        if match.guards and not (state.owns_scope or _fastapi.fits(scope)):
            match = UNKNOWN  # another request wrote into what copies of a scope share
    state.found = route, context, match
    return match
