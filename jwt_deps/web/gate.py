"""What a request passes before a guarded router or application serves it.

A guard is a dependency, and FastAPI runs dependencies after it has read the body. So the first
call of `receive` asks the guard. No successful answer is sent without a decision of a guard,
whatever kind of route it came from.
"""

from contextlib import suppress

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from jwt_deps.errors import ConfigurationError
from jwt_deps.possession import FRESH_NONCE, Nonces

from . import _fastapi
from .guard import ask
from .request_state import Notes, notes_of
from .routing import RouteGuard

__all__ = ["isolated", "sending_nonces", "through"]

_REDIRECTS, _ERRORS = 300, 400


def through(  # noqa: PLR0913 - the three of ASGI, and whose they are
    scope: Scope,
    receive: Receive,
    send: Send,
    guard: RouteGuard,
    router: object,
    *,
    outermost: bool,
) -> tuple[Receive, Send]:
    """Note that a request comes to what a guard applies to; with what it is served from there on.

    Args:
        scope: of the request, HTTP or WebSocket.
        receive: as the server gave it.
        send: likewise.
        guard: the guard of the router or application.
        router: the router that is guarded.
        outermost: whether it is the first one in the application.
    """
    notes = isolated(scope, router)
    notes.enter(guard, outermost=outermost)
    if isinstance(send, _Answer) and send.notes is notes:
        return receive, send
    answer = _Answer(notes, scope, sending_nonces(scope, send) if Nonces.in_use else send)
    return (_Body(notes, scope, receive) if scope["type"] == "http" else receive), answer


def isolated(scope: Scope, router: object) -> Notes:
    """The notes of a request, of which no other one writes into its scope from here on.

    What FastAPI writes is one dictionary in all copies of a scope, as is the state: those of
    another request, as a batch endpoint makes them, get their own.
    """
    known = "jwt_deps" in scope
    notes = notes_of(scope)
    if not known and _fastapi.is_routed(scope, router):
        notes.separate(scope)
    if notes.copied:
        _fastapi.forget_route(scope)
    _fastapi.own_context(scope)
    notes.copied, notes.isolated = False, True
    return notes


class _Body:
    """What a request receives: before the first byte of its body the guard is asked."""

    __slots__ = ("_asked", "_notes", "_receive", "_scope")

    def __init__(self, notes: Notes, scope: Scope, receive: Receive) -> None:
        self._notes, self._scope, self._receive = notes, scope, receive
        self._asked = False

    async def __call__(self) -> Message:
        decision = self._notes.decision
        # Once: while a refusal is being answered, streams listen for the client's leaving.
        if not self._asked and decision.route is None and not decision.refused:
            try:
                # Any other error than a refusal is raised again where FastAPI runs the guard:
                # here it would be taken for a body that cannot be read.
                with suppress(ConfigurationError, RequestValidationError):
                    await ask(Request(self._scope, self._receive), self._notes)
            except HTTPException:
                self._asked = True
                # FastAPI's own route ends here; what another one makes of it is not known.
                decision.refused = type(self._scope.get("route")) is APIRoute
                raise
        return await self._receive()


class _Answer:
    """What a request is answered with: nothing successful that no guard has decided about."""

    __slots__ = ("_route", "_scope", "_send", "notes")

    def __init__(self, notes: Notes, scope: Scope, send: Send) -> None:
        self.notes, self._scope, self._send = notes, scope, send
        self._route = scope.get("route")  # another one, once a route has matched

    async def __call__(self, message: Message) -> None:
        decision = self.notes.decision
        if (
            decision.route is None
            and not decision.refused
            and self._succeeds(message)
            and notes_of(self._scope).decision.route is None  # the scope may have been changed
        ):
            raise ConfigurationError(
                "undecided",
                "A guarded route answered without its guard having been asked, and is refused: "
                "it is of a kind that this package does not know.",
            )
        await self._send(message)

    def _succeeds(self, message: Message) -> bool:
        kind = message["type"]
        if kind == "http.response.start":
            # A redirect by a route of FastAPI's can have an effect. To the right spelling of a path
            # routers redirect without one, also in a mounted application with a guard of its own.
            route = self._scope.get("route")
            routed = isinstance(route, APIRoute) and route is not self._route
            return bool(message["status"] < (_ERRORS if routed else _REDIRECTS))
        return bool(kind == "websocket.accept")


_BEGINNINGS = ("http.response.start", "websocket.accept")


def sending_nonces(scope: Scope, send: Send) -> Send:
    """Let the answer to a request carry the nonce that the checks of its proof found due.

    It comes with `Cache-Control: no-store` (RFC 9449 §8.2).
    """
    if scope["type"] not in {"http", "websocket"} or FRESH_NONCE in scope:
        return send
    fresh: list[str] = []
    scope[FRESH_NONCE] = fresh

    async def send_with_nonce(message: Message) -> None:
        if fresh and message["type"] in _BEGINNINGS:
            headers = [
                (name, value)
                for name, value in message.get("headers") or ()
                if name.lower() not in {b"cache-control", b"dpop-nonce"}
            ]
            headers += [(b"cache-control", b"no-store"), (b"dpop-nonce", fresh[-1].encode())]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_nonce
