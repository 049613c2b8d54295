"""How does a client come to a new nonce before its old one ends? With its next answer."""

from starlette.types import Message, Scope, Send

from jwt_deps.possession.check import FRESH_NONCE

__all__ = ["sending_nonces"]

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
