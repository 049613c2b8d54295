"""What do the tests of OpenAPI share? Guarded applications, and what their documents say."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import Depends, FastAPI

from jwt_deps import JWTSettings, jwt_guard
from tests.edge.serving import SETTINGS

BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


async def nothing() -> None: ...


def protected(
    settings: JWTSettings | None = SETTINGS, exclude: Any = (), **options: Any
) -> FastAPI:
    """An application with a guard over all of it."""
    return FastAPI(dependencies=[Depends(jwt_guard(settings, exclude))], **options)


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
