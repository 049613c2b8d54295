"""What more does a refusal say while somebody is developing? Which check failed, and what helps."""

import json
from inspect import isawaitable
from typing import Any

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from starlette.types import Scope

from ._fastapi import add_exception_handler
from .responses import ExplainedRefusal

__all__ = ["answer_explained", "explaining"]


def explaining(scope: Scope) -> None:
    """Let the application that serves a request explain the refusals that are to be explained."""
    add_exception_handler(scope, ExplainedRefusal, answer_explained)


async def answer_explained(connection: HTTPConnection, error: ExplainedRefusal) -> Response:
    """Answer as the application does, and add the explanation to a body that is a JSON object."""
    # Not the application's own, which may lack one, or have one that came too late to be used.
    handlers = connection.scope["starlette.exception_handlers"][0]
    handler: Any = next(handlers[kind] for kind in type(error).__mro__[1:] if kind in handlers)
    # A handler may be any callable, so only what it returns tells whether to wait for it.
    answer: Any = await run_in_threadpool(handler, connection, error)
    return _with(error.explanation, await answer if isawaitable(answer) else answer)


def _with(explanation: dict[str, str], response: Response) -> Response:
    # A stream has no body yet, and on a WebSocket a handler may have answered by itself.
    if not hasattr(response, "body") or "json" not in response.headers.get("content-type", ""):
        return response
    try:
        body = json.loads(bytes(response.body))
        if not isinstance(body, dict):
            return response
        explained = JSONResponse(
            {**explanation, **body}, response.status_code, background=response.background
        )
    except ValueError:
        return response  # whatever the application wrote there goes out as it is
    explained.raw_headers = [
        *((name, value) for name, value in response.raw_headers if name != b"content-length"),
        (b"content-length", str(len(explained.body)).encode()),
    ]
    return explained
