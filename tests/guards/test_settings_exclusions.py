"""What settings exclude, where several applications go by the same ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, protect, protected_router
from jwt_deps.audit import audit
from tests.minting import SECRET
from tests.web.serving import SETTINGS

from .asking import GOOD, REFUSED, ask, guarded_by, including, kinds_of_guard, read


@pytest.mark.parametrize("starts", [True, False])
@kinds_of_guard
@pytest.mark.parametrize("path", ["/open", "/m/open"])
def test_settings_of_two_applications_exclude_a_route_of_one(
    path: str, kind: str, *, starts: bool
) -> None:
    """Both go by the settings of the environment, and one is mounted in the other."""
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/open"])
    within, around = APIRouter(), APIRouter()
    within.get("/x")(read)
    (within if path == "/m/open" else around).get("/open")(read)
    app = protect(including(around), settings)
    app.mount("/m", guarded_by(kind, within, settings))
    client = TestClient(app)

    with client if starts else nullcontext():
        statuses = [client.get(it, headers=GOOD).status_code for it in ("/m/x", path)]

    assert [200, 200] == statuses
    # To a guard in it that is not that of the whole application the one around comes first.
    assert (200 if path == "/open" or kind == "protect" else 401) == client.get(path).status_code
    assert audit(app).ok


@pytest.mark.parametrize("excluded", ["/open", "/nowhere"])
@pytest.mark.parametrize("is_mounted", [True, False])
def test_settings_of_an_application_whose_lifespan_is_run_by_hand(
    excluded: str, *, is_mounted: bool
) -> None:
    """As an application does it for one that is mounted in it, or a test.

    Whether its own exclusions are all that there are is known with the first request.
    """
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=[excluded])
    within, around = APIRouter(), APIRouter()
    within.get("/x")(read)
    around.get("/open")(read)
    inner = including(protected_router(within, settings=settings))

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    app = FastAPI(lifespan=run)
    app.include_router(around)
    app.mount("/m", inner)

    with TestClient(app, raise_server_exceptions=False) as client:
        if is_mounted:
            assert (401, 200) == (
                client.get("/m/x").status_code,
                client.get("/m/x", headers=GOOD).status_code,
            )
        else:
            assert REFUSED == ask(inner, "/x", GOOD)


@pytest.mark.parametrize("where", ["around", "inside"])
def test_settings_of_two_applications_exclude_no_route(where: str) -> None:
    """The outermost does not start; of one inside, the audit tells."""
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/nowhere"])
    within, app = APIRouter(), FastAPI()
    within.get("/x")(read)
    protect(app, settings if where == "around" else SETTINGS)
    app.mount("/m", guarded_by("protect", within, settings if where == "inside" else SETTINGS))

    assert [REFUSED, 200][where == "inside"] == ask(app, "/m/x", GOOD)
    assert "'/nowhere'" in str(audit(app))
