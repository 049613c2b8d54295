"""Send a request without a token to every guarded route, in process."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI

from jwt_deps.web import (
    REFUSALS,
    WEBSOCKET,
    GuardedApp,
    Inventory,
    path_parameters,
    same_endpoint,
)

from .path_values import filled
from .report import Audit, AuditedRoute
from .verdicts import Verdict

_REFUSED = frozenset({401, 403})
_NOT_ROUTED = frozenset({404, 405})
_POLICY_VIOLATION = 1008


async def probe(
    app: FastAPI, audit: Audit, *, seconds: float = 5, values: Mapping[str, str] | None = None
) -> Audit:
    """Send a request without a token to every guarded route of an application.

        found = asyncio.run(probe(app, audit(app)))
        assert found.ok, str(found)

    A guard has to refuse it with 401 or 403, or close a WebSocket with 1008. Any other answer is a
    problem, and so is a refusal by other code, since the endpoint may have run. Public and
    unguarded routes get no request, because their endpoints would run. The endpoint of a route
    that only looks guarded runs.

    Args:
        app: the application; run its lifespan around this call if it needs one.
        audit: the result of `audit(app)`.
        seconds: the timeout of each request.
        values: values for path parameters by name; by default they are made from the parameters'
            types.

    Returns:
        The audit with the routes' answers, and a problem for each that is not a guard's refusal.
    """
    known = _with_endpoints(app, audit)
    public = [endpoint for it, endpoint, _ in known if it.verdict is Verdict.PUBLIC]
    routes, problems, notes = [], list(audit.problems), list(audit.notes)
    for route, endpoint, types in known:
        if route.verdict is not Verdict.GUARDED:
            routes.append(route)
            continue
        host, path = _address(filled(route.path, types, values or {}))
        methods = ("GET",) if route.methods == ("*",) else route.methods
        asked = [await _ask(app, _scope(app, it, host, path), seconds) for it in methods]
        routes.append(replace(route, answer=" ".join(dict.fromkeys(it.text for it in asked))))
        for method, answer in zip(route.methods, asked, strict=True):
            name = f"{method} {route.path}"
            if not _is_of(answer, endpoint) and any(_is_of(answer, it) for it in public):
                notes.append(f"{name} is not reached: a public route before it answered {path}.")
                continue
            problems.extend(_problems(name, path, answer, endpoint))
            notes.extend(_notes(name, answer))
    return replace(
        audit,
        routes=tuple(routes),
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(dict.fromkeys(notes)),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer to a request.

    Attributes:
        text: the status, `accepted` or `closed` for a WebSocket, or the exception's name.
        code: the status, or the close code.
        by_guard: whether a guard, or another dependency of this package, refused the request.
        challenged: whether it has a `WWW-Authenticate` header.
        endpoint: the endpoint of the matched route, where the scope has it.
    """

    text: str
    code: int | None = None
    by_guard: bool = False
    challenged: bool = False
    endpoint: Any = None


def _with_endpoints(app: FastAPI, audit: Audit) -> list[tuple[AuditedRoute, Any, dict[str, Any]]]:
    """The routes of an audit, each with its endpoint and the types of its path parameters."""
    found: dict[tuple[str, tuple[str, ...]], list[tuple[Any, dict[str, Any]]]] = {}
    for served in Inventory.of(app).routes:
        root = served.match.dependant
        types = {} if root is None else path_parameters(root)
        found.setdefault((served.path, served.methods), []).append((served.match.endpoint, types))
    # Of several with the same path the first one is reached.
    several = ((it, found.get((it.path, it.methods)) or [(None, {})]) for it in audit.routes)
    return [(it, *(there.pop(0) if len(there) > 1 else there[0])) for it, there in several]


def _problems(route: str, path: str, answer: _Answer, endpoint: Any) -> Iterator[str]:
    """Yield a problem if the answer is not a guard's refusal."""
    if answer.by_guard and answer.code in {*_REFUSED, _POLICY_VIOLATION}:
        return
    if answer.code in _REFUSED or answer.code == _POLICY_VIOLATION:
        yield (
            f"{route} answered {answer.text} without a token, but no guard of jwt-deps refused it: "
            "whether it is guarded is not known."
        )
    elif answer.code in _NOT_ROUTED and not _is_of(answer, endpoint):
        yield (
            f"{route} answered {answer.text} at {path}, before a guard ran: whether it is "
            "guarded is not known. Give values for its path parameters that match "
            "(values={...}, --value NAME=VALUE)."
        )
    else:
        yield f"{route} looks guarded, but answered {answer.text} without a token."


def _notes(route: str, answer: _Answer) -> Iterator[str]:
    if answer.by_guard and answer.code in _REFUSED and not answer.challenged:
        yield (
            f"{route} refuses without a challenge (WWW-Authenticate): the exception handler that "
            "makes the response must send exc.headers."
        )


def _is_of(answer: _Answer, endpoint: Any) -> bool:
    """Whether the request matched a route with that endpoint."""
    return endpoint is not None and same_endpoint(answer.endpoint, endpoint)


def _address(path: str) -> tuple[str, str]:
    """Split `//host/path` of a `Host` route; other paths have `localhost`."""
    path = path.removesuffix("*")
    if not path.startswith("//"):
        return "localhost", path
    host, _, path = path[2:].partition("/")
    return host, f"/{path}"


def _scope(app: FastAPI, method: str, host: str, path: str) -> dict[str, Any]:
    scope = {
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode())],
        "client": ("127.0.0.1", 1),
        "server": (host, 80),
        "state": {},
        "app": app,
        REFUSALS: [],
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


async def _ask(app: FastAPI, scope: dict[str, Any], seconds: float) -> _Answer:
    """Send a request to the application and return its answer."""
    answered: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
    connect: dict[str, Any] = {"type": "websocket.connect"}
    request: dict[str, Any] = {"type": "http.request", "body": b"", "more_body": False}
    waiting = [connect if scope["type"] == "websocket" else request]

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()  # cancelled once there is an answer
        return waiting.pop()

    async def send(message: Any) -> None:
        answer = _read(message)
        if answer is not None and not answered.done():
            endpoint = scope.get("endpoint")
            if isinstance(endpoint, GuardedApp):
                endpoint = endpoint.endpoint
            by_guard = bool(scope[REFUSALS])
            answered.set_result(replace(answer, by_guard=by_guard, endpoint=endpoint))

    task = asyncio.create_task(app(scope, receive, send))
    await asyncio.wait((task, answered), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.wait((task,))
    if answered.done():
        return answered.result()
    answered.cancel()
    error = None if task.cancelled() else task.exception()
    return _Answer("nothing" if error is None else type(error).__name__)


def _read(message: Any) -> _Answer | None:
    kind = message["type"]
    if kind in {"http.response.start", "websocket.http.response.start"}:
        names = {bytes(name).lower() for name, _ in message.get("headers", ())}
        status = message["status"]
        return _Answer(str(status), status, challenged=b"www-authenticate" in names)
    if kind == "websocket.close":
        code = message.get("code", 1000)
        return _Answer("closed" if code == _POLICY_VIOLATION else f"closed({code})", code)
    return _Answer("accepted") if kind == "websocket.accept" else None
