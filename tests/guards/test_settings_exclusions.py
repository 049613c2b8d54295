"""What settings exclude, where several applications go by the same ones."""

from contextlib import nullcontext

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, protect
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
