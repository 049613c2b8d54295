"""No dependency of the package takes client input or runs in a thread."""

import inspect
from typing import Any

import fastapi
import pytest
from fastapi import Depends, FastAPI
from fastapi.dependencies.utils import get_dependant
from pydantic import BaseModel

import jwt_deps
from jwt_deps import (
    CurrentUser,
    JWTSettings,
    SessionState,
    claims_as,
    granted,
    jwt_guard,
    optional,
    protect,
    protected_router,
    require,
    require_any_role,
    require_any_scope,
    require_claim,
    require_roles,
    require_scopes,
)
from tests.minting import SECRET

VERSION = tuple(int(part) for part in fastapi.__version__.split(".")[:2])
#: Whether FastAPI looks for the dependency that a class names.
UNWRAPS = VERSION >= (0, 123)


class Model(BaseModel):
    sub: str


async def own() -> None: ...


DEPENDENCIES: dict[str, Any] = {
    **{
        name: getattr(jwt_deps, name)
        for name in (
            "get_token",
            "get_claims",
            "current_user_id",
            "current_session_id",
            "current_client_id",
            "get_scopes",
            "get_dependencies",
            "get_session_state",
        )
    },
    "CurrentUser": CurrentUser,
    "SessionState": SessionState,
    "claims_as": claims_as(Model),
    "optional": optional(CurrentUser),
    "optional-own": optional(own),
    "require_scopes": require_scopes("a"),
    "require_any_scope": require_any_scope("a"),
    "granted": granted("agents", "read"),
    "require_roles": require_roles("a"),
    "require_any_role": require_any_role("a"),
    "require_claim": require_claim("a"),
    "require": require(lambda claims: "a" in claims),
    "jwt_guard": jwt_guard(JWTSettings(secret_key=SECRET)),
}
each_dependency = pytest.mark.parametrize(
    "dependency", DEPENDENCIES.values(), ids=DEPENDENCIES.keys()
)


@each_dependency
def test_no_dependency_takes_client_input(dependency: Any) -> None:
    """A plain parameter would become a query parameter or a body, and switch a check off."""
    app = FastAPI()

    @app.post("/", dependencies=[Depends(dependency)])
    async def empty() -> None: ...

    operation = app.openapi()["paths"]["/"]["post"]

    assert ("parameters" in operation, "requestBody" in operation) == (False, False)
    assert "422" not in operation["responses"]


@each_dependency
def test_every_dependency_is_asynchronous(dependency: Any) -> None:
    """A synchronous one costs a thread hop of 80-150 µs per request."""
    dependant = get_dependant(path="", call=dependency)
    called = getattr(dependency, "func", None) or inspect.unwrap(dependency)

    # Flat: every level costs a request microseconds. Where FastAPI calls classes in a thread, those
    # of this package are one above the dependency that they stand for.
    nested = isinstance(dependency, type) and not UNWRAPS
    below = [called] if nested else []
    assert below == [node.call for node in dependant.dependencies]
    assert not nested or inspect.isasyncgenfunction(dependency.__call__)
    taken = inspect.signature(called if nested else dependency).parameters
    assert {"connection", "security_scopes"} == set(taken)
    assert inspect.iscoroutinefunction(
        called if inspect.isfunction(called) else type(called).__call__
    )


def test_a_protected_router_adds_no_input_either() -> None:
    """Not to any of its routes."""
    router = protected_router(settings=JWTSettings(secret_key=SECRET))
    router.post("/r")(own)
    app = FastAPI()
    app.include_router(router)

    assert {"parameters", "requestBody"}.isdisjoint(app.openapi()["paths"]["/r"]["post"])


def test_a_protected_application_adds_no_input_either() -> None:
    """Neither to routes that were there before, nor to others."""
    app = FastAPI()
    app.post("/before")(own)
    protect(app, JWTSettings(secret_key=SECRET))
    app.post("/after")(own)

    paths = app.openapi()["paths"]

    for path in ("/before", "/after"):
        assert {"parameters", "requestBody"}.isdisjoint(paths[path]["post"])
