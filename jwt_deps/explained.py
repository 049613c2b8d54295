"""What more does a refusal say while somebody is developing? Which check failed, and what helps."""

import json
from inspect import iscoroutinefunction
from typing import Any

from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from .responses import ExplainedRefusal

__all__ = ["answer_explained", "register"]


def register(app: FastAPI) -> None:
    """Let an application explain the refusals that are meant to be explained."""
    app.exception_handlers.setdefault(ExplainedRefusal, answer_explained)


async def answer_explained(connection: HTTPConnection, error: ExplainedRefusal) -> Response:
    """Answer as the application does, and add the explanation to a body that is a JSON object."""
    handlers = connection.app.exception_handlers
    above = (kind for kind in type(error).__mro__[1:] if kind in handlers)
    handler: Any = handlers[next(above)]
    response: Response = (
        await handler(connection, error)
        if iscoroutinefunction(handler)
        else await run_in_threadpool(handler, connection, error)
    )
    if not isinstance(response, JSONResponse):
        return response
    body = json.loads(bytes(response.body))
    if not isinstance(body, dict):
        return response
    explained = JSONResponse({**error.explanation, **body}, response.status_code)
    explained.raw_headers = [
        *((name, value) for name, value in response.raw_headers if name != b"content-length"),
        (b"content-length", str(len(explained.body)).encode()),
    ]
    return explained
