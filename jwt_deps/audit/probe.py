"""What does the application itself answer without a token? Asked in process, route by route."""

import asyncio
import re
from dataclasses import replace
from typing import Any

from fastapi import FastAPI

from jwt_deps.inventory import WEBSOCKET

from .report import Audit, AuditedRoute
from .verdicts import Verdict

__all__ = ["probe"]

_PARAMETER = re.compile(r"{[^{}:]+(?::(\w+))?}")
_VALUES = {"int": "1", "float": "1.5", "uuid": "00000000-0000-4000-8000-000000000000"}

#: What a guarded route may say to somebody without a token; 404 and 405 are a path parameter or
#: a method that did not fit.
_REFUSED = frozenset({"401", "403", "404", "405", "closed"})


async def probe(app: FastAPI, audit: Audit, *, seconds: float = 5) -> Audit:
    """Ask every guarded route of an application for an answer without a token.

    Routes that are public or unguarded are not asked: their endpoints would run. An endpoint
    that runs although its route looks guarded is what this is there to find.

    Args:
        app: the application, its lifespan running if it needs one.
        audit: what was found by looking.
        seconds: how long to wait for an answer; after that a route gave none.

    Returns:
        The audit with the answers, and a problem for each that is no refusal.
    """
    routes = [await _probed(app, route, seconds) for route in audit.routes]
    problems = (
        f"{' '.join(route.methods)} {route.path} looks guarded, and answered "
        f"{route.answer} without a token."
        for route in routes
        if route.answer is not None and not _REFUSED.issuperset(route.answer.split())
    )
    return replace(audit, routes=tuple(routes), problems=(*audit.problems, *problems))


async def _probed(app: FastAPI, route: AuditedRoute, seconds: float) -> AuditedRoute:
    if route.verdict is not Verdict.GUARDED:
        return route
    host, path = _address(route.path)
    methods = ("GET",) if route.methods == ("*",) else route.methods
    answers = [await _ask(app, _scope(app, method, host, path), seconds) for method in methods]
    return replace(route, answer=" ".join(dict.fromkeys(answers)))


def _address(template: str) -> tuple[str, str]:
    """A host and a path that the template fits."""
    filled = _PARAMETER.sub(lambda found: _VALUES.get(found[1] or "", "x"), template)
    filled = filled.removesuffix("*")
    if not filled.startswith("//"):
        return "localhost", filled
    host, _, path = filled[2:].partition("/")
    return host, f"/{path}"


def _scope(app: FastAPI, method: str, host: str, path: str) -> dict[str, Any]:
    scope = {
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode())],
        "client": ("127.0.0.1", 1),
        "server": (host, 80),
        "state": {},
        "app": app,
    }
    if method == WEBSOCKET:
        denial: dict[str, Any] = {"websocket.http.response": {}}
        return {
            **scope,
            "type": "websocket",
            "scheme": "ws",
            "subprotocols": [],
            "extensions": denial,
        }
    return {**scope, "type": "http", "scheme": "http", "method": method}


async def _ask(app: FastAPI, scope: dict[str, Any], seconds: float) -> str:
    """The status of the answer, `closed` or `accepted` of a WebSocket, or what went wrong."""
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    connect: dict[str, Any] = {"type": "websocket.connect"}
    request: dict[str, Any] = {"type": "http.request", "body": b"", "more_body": False}
    waiting = [connect if scope["type"] == "websocket" else request]

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()  # whoever waits for more is cancelled with the answer
        return waiting.pop()

    async def send(message: Any) -> None:
        answer = {
            "http.response.start": str(message.get("status")),
            "websocket.http.response.start": str(message.get("status")),
            "websocket.close": "closed",
            "websocket.accept": "accepted",
        }.get(message["type"])
        if answer is not None and not answered.done():
            answered.set_result(answer)

    task = asyncio.create_task(app(scope, receive, send))
    await asyncio.wait((task, answered), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.wait((task,))
    if answered.done():
        return answered.result()
    answered.cancel()
    error = None if task.cancelled() else task.exception()
    return "nothing" if error is None else type(error).__name__
