"""A FastAPI in which a private name has changed: served rightly, or refused with a sentence.

The installed package is copied, and one name in its sources is another one, everywhere, so that
FastAPI itself works as before. Code outside that reads the old name finds nothing.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastapi
import pytest

from .asking import HAS_FRONTEND, LIVE

SOURCES = Path(fastapi.__file__).parent

#: Names that FastAPI does not document. `fastapi` is the key of the ASGI scope.
NAMES = [
    "fastapi",
    "included_router",
    "effective_route_context",
    "include_context",
    "original_router",
    "_routes_version",
    "_mark_routes_changed",
    "_get_routes_version",
    "_low_priority_routes",
    "_frontend_routes",
    "starlette_route",
    "original_route",
    "frontend_prefix",
    "effective_candidates",
    "_handle_selected",
    "_IncludedRouter",
    "own_oauth_scopes",
    "parent_oauth_scopes",
    "security_scopes",
]
_KEY = '_FASTAPI_SCOPE_KEY = "fastapi"'


def pattern_of(name: str) -> tuple[str, str]:
    if name == "fastapi":
        return re.escape(_KEY), _KEY.replace('"fastapi"', '"fastapi_of_tomorrow"')
    return rf"\b{name}\b", f"{name}_of_tomorrow"


#: Those that the installed FastAPI has.
_TEXT = "\n".join(path.read_text() for path in SOURCES.rglob("*.py"))
PRESENT = [name for name in NAMES if re.search(pattern_of(name)[0], _TEXT)]


def renamed(name: str, folder: Path) -> None:
    """Copy FastAPI and rename something in it; what did not change keeps its compiled form."""
    target = folder / "fastapi"
    shutil.copytree(SOURCES, target)
    pattern, new = pattern_of(name)
    changed = 0
    for path in target.rglob("*.py"):
        text = path.read_text()
        found, times = re.subn(pattern, new, text)
        if times:
            path.write_text(found)
            changed += times
    assert changed


#: Runs the script that it reads once for each folder, in a fork that imports FastAPI and all that
#: imports it anew, out of that folder. What they import themselves is imported once, here.
FORKS = """
import gc, os, sys
gc.disable()  # a fork lives for half a second
import fastapi.testclient, jwt_deps.audit, tests.minting

script = compile(sys.stdin.read(), "script", "exec")
live, *folders = sys.argv[1:]
for folder in folders:
    if not (child := os.fork()):
        for name in list(sys.modules):
            if name.partition(".")[0] in {"fastapi", "jwt_deps", "tests"}:
                del sys.modules[name]
        sys.path.insert(0, folder)
        exec(script, {"folder": folder, "LIVE": live == "True"})
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(folder)
"""

SCRIPT = """
import json, pathlib, sys, tempfile, warnings

warnings.simplefilter("ignore")
import fastapi
from fastapi import APIRouter, FastAPI, Security, WebSocket
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

import jwt_deps
from jwt_deps import (
    ConfigurationError, JWTSettings, current_user_id, protect, protected_router
)
from jwt_deps.audit import audit
from tests.minting import SECRET, claims, mint
import time

assert fastapi.__file__.startswith(folder), fastapi.__file__
settings = JWTSettings(secret_key=SECRET)
good = {"Authorization": "Bearer " + mint(claims(now=time.time()), SECRET)}
pages = pathlib.Path(tempfile.mkdtemp())
(pages / "index.html").write_text("inside")

async def read(): return "inside"
async def plain(_): return PlainTextResponse("inside")
async def talk(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("inside")
    await websocket.close()

def fill(router):
    router.get("/api")(read)
    router.add_route("/plain", plain)
    router.websocket("/ws")(talk)
    router.add_websocket_route("/plain-ws", talk)
    inner = APIRouter()
    inner.get("/api")(read)
    inner.add_route("/plain", plain)
    inner.websocket("/ws")(talk)
    inner.mount("/mount", PlainTextResponse("inside"))
    router.include_router(inner, prefix="/in")
    router.mount("/mount", PlainTextResponse("inside"))
    if hasattr(router, "frontend"):
        router.frontend("/front", directory=pages)
    return router

def with_router():
    app = FastAPI()
    router = fill(APIRouter())
    guarded = protected_router(router, settings=settings, exclude=["/p/open"])
    app.include_router(guarded, prefix="/p")
    router.get("/open")(read)
    router.add_route("/late", plain)
    if not LIVE:
        app.add_api_route("/p/open", read)
    return app

def decorated():
    app, router = FastAPI(), protected_router(settings=settings)
    app.include_router(router, prefix="/p") if LIVE else None
    fill(router)
    router.add_route("/late", plain)
    app.include_router(router, prefix="/p") if not LIVE else None
    return app

def mounted():
    app, router = FastAPI(), protected_router(settings=settings)
    app.mount("/p", router)
    fill(router)
    router.add_route("/late", plain)
    return app

def whole():
    app = FastAPI()
    app.include_router(fill(APIRouter()), prefix="/p")
    protect(app, settings)
    app.add_route("/p/late", plain)
    return app

def whole_before():
    app = protect(FastAPI(), settings)
    app.include_router(fill(APIRouter()), prefix="/p")
    app.add_route("/p/late", plain)
    return app

def unguarded():
    app = FastAPI()
    app.include_router(fill(APIRouter()), prefix="/p")
    app.add_route("/p/late", plain)
    return app

def ask(client, path, headers):
    try:
        if path.endswith("ws"):
            with client.websocket_connect(path, headers=headers) as websocket:
                return 200 if websocket.receive_text() == "inside" else "?"
        return client.get(path, headers=headers).status_code
    except WebSocketDenialResponse as denied:
        return denied.status_code
    except WebSocketDisconnect as closed:
        return closed.code
    except ConfigurationError:
        return "refused"
    except Exception as error:
        return type(error).__name__

def admins():
    app = FastAPI()
    asked = [Security(current_user_id, scopes=["admin"])]
    router = protected_router(settings=settings, dependencies=asked)
    app.mount("/p", fill(router))
    router.add_route("/late", plain)
    return app

def whole_admins():
    asked = [Security(current_user_id, scopes=["admin"])]
    app = FastAPI()
    app.include_router(fill(APIRouter()), prefix="/p")
    protect(app, settings, dependencies=asked)
    app.add_route("/p/late", plain)
    return app

PATHS = ["/p/api", "/p/plain", "/p/ws", "/p/plain-ws", "/p/in/api", "/p/in/plain", "/p/in/ws",
         "/p/in/mount/x", "/p/mount/x", "/p/front/", "/p/late"]
found = {}
BUILDS = (with_router, decorated, mounted, whole, whole_before, admins, whole_admins, unguarded)
for build in BUILDS:
    try:
        app = build()
        with TestClient(app) as client:
            found[build.__name__] = {
                path: [ask(client, path, headers) for headers in ({}, good)] for path in PATHS
            }
    except ConfigurationError:
        found[build.__name__] = "refused"
        try:  # a server that runs no lifespan
            app = build()
        except ConfigurationError:
            continue
        client = TestClient(app)
        found[build.__name__] = {
            path: [ask(client, path, headers) for headers in ({}, good)] for path in PATHS
        }
    except Exception as error:
        found[build.__name__] = {"start": [type(error).__name__] * 2}
    try:
        seen = audit(app)
        found[build.__name__ + " audit"] = {r.path: str(r.verdict) for r in seen.routes}
    except Exception as error:
        found[build.__name__ + " audit"] = {}
pathlib.Path(folder, "answers.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each name a folder with a FastAPI in which it has changed, and what that answered."""
    folders = {name: tmp_path_factory.mktemp("renamed") for name in PRESENT}
    for name, folder in folders.items():
        renamed(name, folder)
    done = subprocess.run(  # noqa: S603 - this interpreter, and the texts above
        [sys.executable, "-c", FORKS, str(LIVE), *map(str, folders.values())],
        input=SCRIPT,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folders


@pytest.fixture(scope="module", params=PRESENT)
def answers(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Any:
    """What the applications answered, with one name in FastAPI changed."""
    return json.loads((folders[request.param] / "answers.json").read_text())


GUARDED = ("with_router", "decorated", "mounted", "whole", "whole_before")
#: What FastAPI up to 0.136 does not serve, since it copies what it includes.
LOST = {"/p/in/mount/x"} if LIVE else {"/p/mount/x", "/p/in/mount/x", "/p/late"}


@pytest.mark.parametrize("application", [*GUARDED, "admins", "whole_admins"])
def test_a_guarded_application_serves_rightly_or_is_refused_with_a_sentence(
    answers: Any, application: str
) -> None:
    """401 and 200, or 403 where a scope is asked of all, or `ConfigurationError`; no other error.

    No route is open, whatever else becomes of it.
    """
    if answers[application] == "refused":
        return
    right = [401, 200] if application in GUARDED else [401, 403]

    wrong = {
        path: found
        for path, found in answers[application].items()
        if found[0] == 200
        or (
            found not in (right, ["refused", "refused"], [401, "refused"])
            and not (path == "/p/front/" and not HAS_FRONTEND)
            and not (not LIVE and found in ([404, 404], [401, 404]))
        )
    }

    assert {} == wrong


def test_an_unguarded_application_is_served_as_ever(answers: Any) -> None:
    """All of it, without a token."""
    closed = {
        path: found
        for path, found in answers["unguarded"].items()
        if found != [200, 200]
        and not (path == "/p/front/" and not HAS_FRONTEND)
        and not (not LIVE and path in LOST)
    }

    assert {} == closed


@pytest.mark.parametrize("application", [*GUARDED, "unguarded"])
def test_the_audit_does_not_call_an_open_route_guarded(answers: Any, application: str) -> None:
    """What answered 200 without a token is not "guarded"."""
    if answers[application] == "refused":
        return
    verdicts = answers.get(f"{application} audit", {})

    wrong = [
        path
        for path, (without, _) in answers[application].items()
        if without == 200
        and "guarded" in {verdicts.get(path), verdicts.get(path.removesuffix("/x"))}
    ]

    assert [] == wrong
