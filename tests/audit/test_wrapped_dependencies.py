"""The audit calls a route guarded by what FastAPI runs there, not by what that wraps."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.testclient import TestClient

from jwt_deps import (
    current_user_id,
    get_claims,
    get_settings,
    jwt_guard,
    optional,
    protect,
    public,
    require_scopes,
)
from jwt_deps.audit import AuditedRoute, Verdict, audit
from tests.web.serving import SETTINGS, bearer


def forgiving(dependency: Any) -> Callable[..., Any]:
    """Wrap a dependency as callers do that want it to be optional."""

    @wraps(dependency)
    async def wrapper(*args: Any, **named: Any) -> Any:
        try:
            return await dependency(*args, **named)
        except HTTPException:
            return None

    return wrapper


def of_x(app: FastAPI) -> AuditedRoute:
    """What the audit says of the one route."""
    return next(it for it in audit(app).routes if it.path == "/x")


@pytest.mark.parametrize(
    "dependency",
    [current_user_id, get_claims, require_scopes("admin"), jwt_guard(SETTINGS)],
    ids=["current_user_id", "get_claims", "require_scopes", "jwt_guard"],
)
def test_a_wrapper_around_a_dependency_guards_nothing(dependency: Any) -> None:
    """It can drop the refusal."""
    app = FastAPI(dependencies=[Depends(forgiving(dependency))])
    app.dependency_overrides[get_settings] = lambda: SETTINGS
    app.get("/x")(lambda: "inside")

    assert 200 == TestClient(app).get("/x").status_code
    assert Verdict.UNGUARDED is of_x(app).verdict


@pytest.mark.parametrize("mark", [public, lambda endpoint: endpoint], ids=["public", "guarded"])
def test_scopes_asked_of_an_optional_dependency(mark: Callable[..., Any]) -> None:
    """They make it one that needs a token, and the audit names them."""
    app = protect(FastAPI(), SETTINGS)

    async def x(_: Annotated[Any, Security(optional(current_user_id), scopes=["a"])]) -> None: ...

    app.get("/x")(mark(x))
    client = TestClient(app)

    tokens: list[dict[str, str]] = [{}, bearer(), bearer(scope="a")]
    assert [401, 403, 200] == [client.get("/x", headers=it).status_code for it in tokens]
    found = of_x(app)
    assert (Verdict.GUARDED, ("a",)) == (found.verdict, found.scopes)
    assert audit(app).ok
