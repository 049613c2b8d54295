"""What a request passes before a guarded router or application serves it.

A guard is a dependency, and FastAPI runs dependencies after it has read the body. So the first
call of `receive` asks the guard. And no successful answer leaves without a decision, whatever
kind of route it came from: what is not known to have been decided is refused.
"""

from contextlib import suppress
from typing import cast

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from .errors import ConfigurationError
from .fresh_nonces import sending_nonces
from .guards import ask
from .nonces import Nonces
from .notes import Decision, notes_of
from .routes import RouteGuard

__all__ = ["through"]

_REDIRECTS = 300


def through(
    scope: Scope, receive: Receive, send: Send, guard: RouteGuard, *, outermost: bool
) -> tuple[Receive, Send]:
    """Note that a request comes to what a guard applies to; with what it is served from there on.

    Args:
        scope: of the request, HTTP or WebSocket.
        receive: as the server gave it.
        send: likewise.
        guard: the guard of the router or application.
        outermost: whether it is the first one in the application.
    """
    notes = notes_of(scope)
    notes.from_here(scope)
    notes.enter(guard, outermost=outermost)
    if notes.wrapped:
        return receive, send
    notes.wrapped = True
    decision = cast("Decision", notes.decision)

    asked = False

    async def receive_admitted() -> Message:
        nonlocal asked
        # Once: while a refusal is being answered, streams listen for the client's leaving.
        if decision.route is None and not (asked or decision.refused):
            try:
                # Any other error than a refusal is raised again where FastAPI runs the guard:
                # here it would be taken for a body that cannot be read.
                with suppress(ConfigurationError, RequestValidationError):
                    await ask(Request(scope, receive), notes)
            except HTTPException:
                asked = True
                # FastAPI's own route ends here; what another one makes of it is not known.
                decision.refused = type(scope.get("route")) is APIRoute
                raise
        return await receive()

    async def send_decided(message: Message) -> None:
        if (
            decision.route is None
            and not decision.refused
            and _succeeds(message)
            and _undecided(scope)
        ):
            raise ConfigurationError(
                "undecided",
                "A guarded route answered without its guard having been asked, and is refused: "
                "it is of a kind that this package does not know.",
            )
        await send(message)

    answer = sending_nonces(scope, send_decided) if Nonces.in_use else send_decided
    return (receive_admitted if scope["type"] == "http" else receive), answer


def _undecided(scope: Scope) -> bool:
    """Whether nothing was decided either since the scope was changed on the way."""
    now = notes_of(scope).decision
    return now is None or now.route is None


def _succeeds(message: Message) -> bool:
    kind = message["type"]
    if kind == "http.response.start":
        return bool(message["status"] < _REDIRECTS)
    return bool(kind == "websocket.accept")
