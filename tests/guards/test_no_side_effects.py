"""`import jwt_deps` and guarding an application change nothing outside of the package."""

import json
import subprocess
import sys
from typing import Any

from .asking import HAS_FRONTEND

SNAPSHOT = '''
import importlib, inspect, json, pkgutil, sys, warnings

warnings.simplefilter("ignore")
import anyio, copyreg, cryptography, jose.jwt, logging, pydantic, pydantic_settings
import fastapi, starlette

NOT_TO_BE_IMPORTED = ("fastapi.__main__", "fastapi.cli", "starlette.__main__")
for package in (fastapi, starlette):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.startswith(NOT_TO_BE_IMPORTED):
            try:
                importlib.import_module(found.name)
            except (ImportError, RuntimeError, AssertionError):
                pass  # an extra that is not installed

KEPT = []


def snapshot():
    """Every attribute of every class and module of the two, by identity, and who is registered."""
    seen = {}
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] not in {"fastapi", "starlette"}:
            continue
        for attribute, value in list(vars(module).items()):
            KEPT.append(value)
            seen[f"{name}.{attribute}"] = id(value)
            owner = getattr(value, "__module__", None) or ""
            if isinstance(value, type) and owner.startswith(("fastapi", "starlette")):
                for member, held in list(vars(value).items()):
                    KEPT.append(held)
                    seen[f"{name}.{attribute}.{member}"] = id(held)
                    if isinstance(held, (list, dict, set)):
                        seen[f"{name}.{attribute}.{member} has"] = len(held)
                seen[f"{name}.{attribute} bases"] = [id(base) for base in value.__mro__]
            elif isinstance(value, (list, dict, set)) and not attribute.endswith(("__", "_cache")):
                seen[f"{name}.{attribute} has"] = sorted(map(repr, value))
            elif inspect.isfunction(value):
                seen[f"{name}.{attribute} code"] = id(value.__code__)
                seen[f"{name}.{attribute} defaults"] = id(value.__defaults__)
    seen["meta_path"] = [id(finder) for finder in sys.meta_path]
    seen["path_hooks"] = [id(hook) for hook in sys.path_hooks]
    seen["excepthook"] = id(sys.excepthook)
    seen["copyreg"] = sorted(map(repr, copyreg.dispatch_table))
    seen["handlers"] = [id(handler) for handler in logging.getLogger().handlers]
    seen["filters"] = list(map(repr, warnings.filters))
    seen["logger class"] = id(logging.getLoggerClass())
    seen["asyncio policy"] = id(sys.modules["asyncio.events"]._event_loop_policy)
    return seen


def difference(before, after):
    names = before.keys() | after.keys()
    changed = {name for name in names if before.get(name) != after.get(name)}
    # Python keeps the slots of a class there when an instance is copied, as FastAPI does.
    # And FastAPI keeps the names of endpoints that it has served.
    own = (".__slotnames__", "_endpoint_context_cache")
    return sorted(name for name in changed if not any(one in name for one in own))

'''

BUILD = (
    SNAPSHOT
    + """
from fastapi.testclient import TestClient

SECRET = "correct-horse-battery-staple-".ljust(64, "0")

async def read(): return "inside"

def fill(router):
    router.get("/api")(read)
    router.add_route("/plain", starlette.responses.PlainTextResponse("inside"))
    router.mount("/mount", starlette.responses.PlainTextResponse("inside"))

# What FastAPI and pydantic put off until they are used first, once, without a guard.
app = fastapi.FastAPI()
fill(app)
inner = fastapi.APIRouter()
fill(inner)
app.include_router(inner, prefix="/in")
with TestClient(app) as client:
    for path in ("/api", "/plain", "/mount/x", "/in/mount/x", "/openapi.json", "/docs"):
        client.get(path)

before = snapshot()
import jwt_deps, jwt_deps.audit, jwt_deps.testing
imported = difference(before, snapshot())
settings = jwt_deps.JWTSettings(secret_key=SECRET)
router = jwt_deps.protected_router(settings=settings)
fill(router)
app = fastapi.FastAPI()
app.include_router(router)
whole = fastapi.FastAPI()
fill(whole)
jwt_deps.protect(whole, settings)
plain = fastapi.FastAPI(dependencies=[fastapi.Depends(jwt_deps.jwt_guard(settings))])
plain.get("/api")(read)
for one in (app, whole, plain):
    with TestClient(one) as client:
        for path in ("/api", "/openapi.json", "/docs"):
            client.get(path)
    jwt_deps.audit.audit(one)
print(json.dumps([imported, difference(before, snapshot())]))
"""
)

UNGUARDED = """
import asyncio, json, sys, tempfile, pathlib, warnings

warnings.simplefilter("ignore")
if sys.argv[1] == "with":
    import jwt_deps
import fastapi
if sys.argv[1] == "after":
    import jwt_deps
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route

if sys.argv[1] != "without":
    # Others are guarded in the same process, before and after.
    settings = jwt_deps.JWTSettings(secret_key="correct-horse-battery-staple-".ljust(64, "0"))
    jwt_deps.protect(FastAPI(), settings)
    FastAPI().include_router(jwt_deps.protected_router(APIRouter(), settings=settings))

async def read(): return "inside"
async def talk(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("inside")
    await websocket.close()

app = FastAPI(title="Unguarded")
router = APIRouter()
router.get("/api")(read)
router.add_route("/plain", PlainTextResponse("inside"))
router.mount("/mount", PlainTextResponse("inside"))
router.websocket("/ws")(talk)
app.include_router(router, prefix="/r")
app.get("/own", dependencies=[Security(HTTPBearer(scheme_name="JWT", bearerFormat="theirs"))])(read)
app.get("/key", dependencies=[Depends(APIKeyHeader(name="X-Key", scheme_name="JWT"))])(read)
app.add_route("/plain", PlainTextResponse("inside"))
app.mount("/mount", PlainTextResponse("inside"))
app.mount("/again", app.router)
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "index.html").write_text("inside")
if hasattr(app, "frontend"):
    app.frontend("/front", directory=folder)

found = {"routes": [type(route).__name__ for route in app.routes]}
with TestClient(app) as client:
    stack, layers = app.middleware_stack, []
    while hasattr(stack, "app") and not isinstance(stack, APIRouter):
        layers.append(type(stack).__name__)
        stack = stack.app
    found["layers"] = layers
    for path in ("/r/api", "/r/plain", "/r/mount/x", "/own", "/key", "/plain", "/mount/x",
                 "/again/own", "/again/r/api", "/front/", "/nowhere", "/r/api/", "/docs"):
        answer = client.get(path, follow_redirects=False)
        headers = {n: v for n, v in answer.headers.items() if n not in {"last-modified", "etag"}}
        found[path] = [answer.status_code, answer.text, headers]
    with client.websocket_connect("/r/ws") as websocket:
        found["/r/ws"] = websocket.receive_text()
found["openapi"] = app.openapi()
found["lifespan"] = app.router.lifespan_context.__module__
print(json.dumps(found, sort_keys=True))
"""


def run(code: str, *arguments: str) -> Any:
    done = subprocess.run(  # noqa: S603 - this interpreter, and the text above
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_guard_changes_no_attribute_of_fastapi_or_starlette() -> None:
    """Nor does importing it: no method is replaced, no class is added to, nothing is registered.

    Nor does serving an application with one, describing it and looking at it.
    """
    assert [[], []] == run(BUILD)


def test_an_application_without_a_guard_behaves_as_without_the_package() -> None:
    """Routes, layers, answers, headers, schema: all the same, and `app.router` can be mounted."""
    without = run(UNGUARDED, "without")

    for when in ("with", "after"):  # the package is imported first, and after FastAPI
        assert without == run(UNGUARDED, when)
    assert [200, '"inside"'] == without["/r/api"][:2]
    assert "JWT" in without["openapi"]["components"]["securitySchemes"]
    assert not HAS_FRONTEND or 200 == without["/front/"][0]
