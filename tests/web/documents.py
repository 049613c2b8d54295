"""What the tests of OpenAPI share: guarded applications, and what their documents say."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, protect
from tests.web.serving import SETTINGS

BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


async def nothing() -> None: ...


def protected(
    settings: JWTSettings | None = SETTINGS, exclude: Any = (), **options: Any
) -> FastAPI:
    """An application with a guard over all of it."""
    return protect(FastAPI(**options), settings, exclude)


def open_to_all(settings: JWTSettings | None = None, **options: Any) -> FastAPI:
    """An application whose guard excludes every route, so that dependencies alone ask for tokens.

    Its document is corrected, which it is not without a guard.
    """
    return protected(settings, exclude=["*"], **options)


def started(app: FastAPI) -> FastAPI:
    """The application after its lifespan, in which the guards of its routers meet it."""
    with TestClient(app):
        return app


def served(app: FastAPI) -> FastAPI:
    """The application after a request for its document, whichever code makes that."""
    assert 200 == TestClient(app).get("/openapi.json").status_code
    return app


def operations(app: FastAPI) -> dict[str, dict[str, Any]]:
    return {path: item["get"] for path, item in app.openapi().get("paths", {}).items()}


def locks(app: FastAPI) -> dict[str, Any]:
    return {path: operation.get("security") for path, operation in operations(app).items()}


def schemes(app: FastAPI) -> Any:
    return app.openapi().get("components", {}).get("securitySchemes")


def named(part: Any) -> Iterator[str]:
    """Every scheme that a document, or a part of it, refers to, wherever that stands."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "security":
                yield from (name for requirement in value for name in requirement)
            else:
                yield from named(value)
    elif isinstance(part, list):
        for one in part:
            yield from named(one)


def dangling(document: dict[str, Any]) -> set[str]:
    """The schemes that are referred to and not defined."""
    defined = document.get("components", {}).get("securitySchemes", {})
    return set(named(document)) - set(defined)
