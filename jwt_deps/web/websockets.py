"""The answer to the WebSocket subprotocol pair `bearer, <token>`: the subprotocol `bearer`.

A browser that offered subprotocols drops the connection unless one of them is chosen, and the
endpoint should not have to know: its own choice wins, a plain `accept()` means `bearer`.
"""

from typing import Any

from fastapi import WebSocket
from starlette.types import Message, Scope, Send

from jwt_deps.tokens import SUBPROTOCOL


def answer_with_bearer(websocket: WebSocket) -> None:
    """Let `await websocket.accept()` choose `bearer`; FastAPI gives the endpoint this object."""
    offered = _offered(websocket.scope)
    if offered is None:
        return
    accept = websocket.accept

    async def accept_bearer(subprotocol: str | None = None, headers: Any = None) -> None:
        await accept(subprotocol or offered, headers)

    websocket.accept = accept_bearer  # type: ignore[method-assign]


def choosing_bearer(scope: Scope, send: Send) -> Send:
    """The same for an ASGI application that makes a WebSocket of its own."""
    offered = _offered(scope)
    if offered is None:
        return send

    async def choose(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": offered}
        await send(message)

    return choose


def _offered(scope: Scope) -> str | None:
    """The client's own spelling: it drops a connection that chooses another."""
    for name in scope.get("subprotocols", ()):
        if name.lower() == SUBPROTOCOL:
            return str(name)
    return None
