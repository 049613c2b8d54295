"""What a request passes before a guarded router or application serves it.

A guard is a dependency, and FastAPI runs dependencies after it has read the body. So the first
call of `receive` asks the guard. No successful answer is sent without a decision of a guard,
whatever kind of route it came from.
"""

import math
from collections import deque

import anyio
from fastapi import Request
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from jwt_deps.errors import ConfigurationError
from jwt_deps.possession import FRESH_NONCE, Nonces

from . import _fastapi
from .guard import ask_guard
from .request_state import STATE_KEY, RequestState, matched, next_state, record_handled, state_of
from .routing import RouteGuard

_REDIRECTS, _ERRORS = 300, 400
#: Starlette answers with a part of a file if the client asked for one (RFC 9110 §14.2).
_PART_OF_FILE = 200, 206
_TOO_LARGE = 413
_EMPTY_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}
#: The second one answers a WebSocket handshake that is not accepted.
_RESPONSES = ("http.response.start", "websocket.http.response.start")


def wrap_receive_and_send(
    scope: Scope, receive: Receive, send: Send, router: object, guard: RouteGuard | None
) -> tuple[Receive, Send]:
    """Record that a request comes to a router, and return `receive` and `send` for it there.

    The guard is the one that applies to everything in it; `None` if guards apply to some routes.
    """
    state = _own_state(scope, router)
    _fastapi.report_handled(scope, record_handled)
    state.enter(guard)
    # Below a mount that a guard let pass, one there is still to decide.
    if isinstance(send, _GuardedSend) and send.state is state and not send.decision.passed:
        send.covers_all = send.covers_all or guard is not None
        return receive, send
    body = _GuardedReceive(state, scope, receive) if scope["type"] == "http" else receive
    return body, _GuardedSend(state, scope, send, covers_all=guard is not None)


def _own_state(scope: Scope, router: object) -> RequestState:
    """The state of a request, into whose scope no other request writes from here on.

    What FastAPI writes is one dictionary in all copies of a scope, as is the state: those of
    another request, as a batch endpoint makes them, get their own.
    """
    known = STATE_KEY in scope
    state = next_state(scope, router)
    if state.owns_scope and not state.copied:
        if _fastapi.frontend_path(scope) is not None:
            _fastapi.own_context(scope)
        state.owner = state.app
        return state
    if not known and _fastapi.is_routed(scope, router):
        state.copy_state_of(scope)
        if router is getattr(state.app, "router", None):  # none of its routes has matched yet
            scope["path_params"] = {}
            state.arrivals[id(router)] = state.app, {}
    if state.copied:
        _fastapi.forget_route(scope)
    _fastapi.own_context(scope)
    state.copied, state.owner = False, state.app
    return state


class Replay:
    """A body that is read twice: by dependencies, and by the application after them."""

    __slots__ = ("_kept", "_left", "_receive")

    def __init__(self, receive: Receive, limit: float = math.inf) -> None:
        self._receive, self._left = receive, limit
        self._kept: deque[Message] = deque()

    async def record(self) -> Message:
        """Receive, and keep what came.

        Raises:
            HTTPException: the body is longer than the limit.
        """
        message = await self._receive()
        self._kept.append(message)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(_TOO_LARGE, "Content Too Large")
        return message

    def put_end_first(self) -> None:
        """Let the body be received as an empty one, before what was kept and the rest."""
        self._kept.appendleft({**_EMPTY_BODY})

    async def replay(self) -> Message:
        """Receive what was kept, and then the rest."""
        return self._kept.popleft() if self._kept else await self._receive()


class _GuardedReceive:
    """What a request receives: before the first byte of its body the guard is asked."""

    __slots__ = ("_asked", "_decision", "_receive", "_scope", "_state", "_was_refused")

    def __init__(self, state: RequestState, scope: Scope, receive: Receive) -> None:
        self._state, self._scope, self._receive = state, scope, receive
        self._decision = state.decision
        self._asked = self._was_refused = False

    async def __call__(self) -> Message:
        decision = self._decision
        # Once: while a refusal is being answered, a stream receives too, to see the client leave.
        is_decided = decision.passed or decision.refusal is not None
        if not (self._asked or is_decided or decision.being_made):
            await self._ask()
        if self._was_refused and decision.answered is None:
            self._was_refused = False  # a layer caught that, and FastAPI reads before it asks
            return {**_EMPTY_BODY}
        return await self._receive()

    async def _ask(self) -> None:
        # The limit of a router or a route further in applies to what that receives from here.
        replay = Replay(self._receive, _fastapi.body_limit(self._scope))
        self._receive = replay.replay  # an override of a dependency may have read the body
        self._asked = True
        # Shielded: `Request.is_disconnected` cancels what it waits for, and a DPoP proof that was
        # used up by then would be refused when the guard is asked again.
        with anyio.CancelScope(shield=True):
            try:
                # Another application may serve the request by now, with overrides of its own.
                await ask_guard(Request(self._scope, replay.record), state_of(self._scope))
            except HTTPException as refusal:  # a credential may raise one of its own
                self._state.decision.refuse(refusal)
                self._was_refused = True
                raise
            except Exception as error:  # noqa: BLE001 - raised again where FastAPI runs the guard
                # Here FastAPI would take it for a body that cannot be read.
                self._decision.fail(error)
                replay.put_end_first()


class _GuardedSend:
    """What a request is answered with: nothing successful that no guard has decided about.

    - A guard let the request pass: it is sent.
    - A status of 400 and more: it is sent.
    - A redirect, before an endpoint was found: it is sent.
    - What an exception handler answers to a refusal: it is sent, with the status that it said.
    - Anything else, in a guarded router or on a route that a guard applies to: `undecided`.
    """

    __slots__ = (
        "_endpoint",
        "_route",
        "_scope",
        "_send",
        "covers_all",
        "decision",
        "state",
    )

    def __init__(self, state: RequestState, scope: Scope, send: Send, *, covers_all: bool) -> None:
        self.state, self._scope, self.covers_all = state, scope, covers_all
        self._send = sending_nonces(scope, send) if Nonces.in_use else send
        self.decision = state.decision
        # Both change once a route has matched.
        self._route, self._endpoint = scope.get("route"), scope.get("endpoint")

    async def __call__(self, message: Message) -> None:
        if (
            not self.decision.passed
            and self._succeeds(message)
            and not self._is_answered_by_handler(message)
            and not state_of(self._scope).decision.passed  # the scope may have been changed
            and (self.covers_all or self._is_guarded())
        ):
            raise ConfigurationError(
                "undecided",
                "A guarded route answered before its guard had decided, and the answer was not "
                "sent: a route or router of its own class bypasses FastAPI's. Mount what it serves "
                "as an ASGI application.",
            )
        await self._send(message)

    def _succeeds(self, message: Message) -> bool:
        kind = message["type"]
        if kind in _RESPONSES:
            # A redirect by an endpoint can have an effect. To the right spelling of a path routers
            # redirect without one, also in a mounted application with a guard of its own.
            return bool(message["status"] < (_ERRORS if self._is_handled() else _REDIRECTS))
        return bool(kind == "websocket.accept")

    def _is_answered_by_handler(self, message: Message) -> bool:
        """Whether this is what an exception handler of the application answered.

        A route class that swallowed the refusal, or kept its answer to itself, sends another one.
        """
        answered, status = self.decision.answered, message.get("status")
        if answered == _fastapi.ANSWERING:  # a handler can accept a handshake to close it
            return bool(message["type"] == "websocket.accept")
        if answered is None:
            return False
        return answered == status or (answered, status) == _PART_OF_FILE

    def _is_handled(self) -> bool:
        """Whether the request came to an endpoint, of which the guards were not asked."""
        route, endpoint = self._scope.get("route"), self._scope.get("endpoint")
        if isinstance(route, APIRoute | APIWebSocketRoute) and route is not self._route:
            return True
        return endpoint is not self._endpoint and not _fastapi.serves_asgi(endpoint)

    def _is_guarded(self) -> bool:
        """Whether a guard applies to the route that matched."""
        state = self.state
        return state.innermost(matched(self._scope, state)) is not None


_BEGINNINGS = ("http.response.start", "websocket.accept")


def sending_nonces(scope: Scope, send: Send) -> Send:
    """Add a fresh nonce to the answer where the check of the proof made one.

    It comes with `Cache-Control: no-store` (RFC 9449 §8.2).
    """
    if FRESH_NONCE in scope:
        return send
    fresh: list[str] = []
    scope[FRESH_NONCE] = fresh

    async def send_with_nonce(message: Message) -> None:
        if fresh and message["type"] in _BEGINNINGS:
            headers = [
                (name, value)
                for name, value in message.get("headers", ())
                if name.lower() not in {b"cache-control", b"dpop-nonce"}
            ]
            headers += [(b"cache-control", b"no-store"), (b"dpop-nonce", fresh[-1].encode())]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_nonce
