"""Print facts about the examples as JSON: `python -m tests.agentos.facts`.

Asked of the applications, because OpenAPI does not show all routes; and in a process of its own,
because importing agno is nothing that a test should wait for.
"""

import importlib
import json
import sys
from typing import Any

from fastapi.routing import iter_route_contexts


def application(module: str) -> dict[str, Any]:
    """Return the routes, each a path and its methods, and the names of the middleware."""
    app = importlib.import_module(module).app
    served = [
        # Up to FastAPI 0.142 the walker stops short of routes that are not FastAPI's APIRoute.
        getattr(route, "starlette_route", None) or route
        for route in iter_route_contexts(app.routes)
    ]
    return {
        "routes": [
            (route.path, sorted(getattr(route, "methods", None) or ["WEBSOCKET"]))
            for route in served
        ],
        "middleware": [entry.cls.__name__ for entry in app.user_middleware],
    }


if __name__ == "__main__":
    found = {
        "app": application("examples.agentos.app"),
        "base_app": application("examples.agentos.base_app"),
    }
    sys.stdout.write("\n" + json.dumps(found))
