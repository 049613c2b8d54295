"""ASGI scopes, as far as the look-up of tokens reads them."""

from typing import Any

__all__ = ["scope_of"]


def scope_of(
    headers: list[tuple[bytes, bytes]], method: str | None = None, subprotocols: Any = ()
) -> dict[str, Any]:
    """The scope of a request; without a method, of a WebSocket handshake."""
    if method is not None:
        return {"type": "http", "method": method, "headers": headers}
    return {"type": "websocket", "headers": headers, "subprotocols": subprotocols}
