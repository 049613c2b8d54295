"""Typical mistakes are found at start, with a sentence that helps."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    claims_as,
    get_settings,
    jwt_guard,
    protected_router,
    require_any_scope,
    require_scopes,
)
from tests.web.serving import SETTINGS


async def health() -> str:
    return "ok"


@pytest.mark.parametrize("where", ["application", "inclusion"])
def test_a_guard_without_its_parentheses_stops_the_start(where: str) -> None:
    """`Depends(jwt_guard)` would make its settings and exclusions input, and guard nothing."""

    def build() -> None:
        app = FastAPI(dependencies=[Depends(jwt_guard)] if where == "application" else None)
        app.get("/x")(health)
        router = protected_router(settings=SETTINGS)
        router.get("/y")(health)
        app.include_router(router, dependencies=[Depends(jwt_guard)])
        TestClient(app).get("/y")

    with pytest.raises(ConfigurationError, match="with its parentheses"):
        build()


def test_settings_are_never_a_body() -> None:
    """A forgotten `Depends` must not let a client bring its own keys."""
    app = FastAPI()

    with pytest.raises(ConfigurationError, match="never input"):

        @app.get("/x")
        async def read(settings: JWTSettings) -> None: ...


def test_settings_are_a_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `Depends` they are those of the environment."""
    monkeypatch.setenv("JWT_SECRET_KEY", "x" * 32)
    app = FastAPI()

    @app.get("/x")
    async def read(settings: Annotated[JWTSettings, Depends(get_settings)]) -> str:
        return settings.cookie_name

    assert "access_token" == TestClient(app).get("/x").json()


@pytest.mark.parametrize("wrong", [["/health"], JWTSettings, get_settings])
def test_what_is_no_settings_is_refused(wrong: Any) -> None:
    """Paths in the place of settings, and a class or a function in place of an instance."""
    with pytest.raises(ConfigurationError, match="settings takes a JWTSettings"):
        jwt_guard(wrong)


def test_one_exclusion_needs_no_list() -> None:
    """Neither a path nor an endpoint."""
    router = protected_router(settings=SETTINGS, exclude=health)  # type: ignore[arg-type]
    router.get("/health")(health)
    app = FastAPI()
    app.include_router(router)

    assert 200 == TestClient(app).get("/health").status_code


@pytest.mark.parametrize("factory", [require_scopes, require_any_scope])
def test_scopes_in_a_list_are_refused(factory: Any) -> None:
    """The sentence says how they are given."""
    with pytest.raises(ConfigurationError, match="each as an argument of its own"):
        factory(["a", "b"])


@pytest.mark.parametrize("wrong", [dict, "Profile", None])
def test_what_is_no_model_is_refused(wrong: Any) -> None:
    """When the route is written, not when it is asked."""
    with pytest.raises(ConfigurationError, match="takes a pydantic model"):
        claims_as(wrong)
