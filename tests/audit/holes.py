"""An application with every kind of hole, beside routes that are as they should be."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.security import APIKeyHeader
from fastapi.staticfiles import StaticFiles
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, WebSocketRoute

from jwt_deps import (
    Claims,
    JWTSettings,
    current_user_id,
    get_claims,
    get_token,
    optional,
    protected_router,
    public,
    require_any_scope,
    require_scopes,
)
from jwt_deps.web import _fastapi

__all__ = ["FRONTEND", "GUARDED", "HOLES", "LIVE", "PUBLIC", "app"]

#: Whether a router serves what is added to a router that it includes afterwards, and its mounts.
LIVE = not _fastapi.COPIES
#: Whether this FastAPI has `frontend()`.
FRONTEND = hasattr(APIRouter, "frontend")

_FOLDER = Path(tempfile.mkdtemp(prefix="jwt-deps-audit-"))
(_FOLDER / "index.html").write_text("<!doctype html><title>page</title>")

STRICT = JWTSettings(
    secret_key="a secret of at least thirty-two bytes",
    issuer="https://issuer.test",
    excluded_route_paths=["/api/set*"],
    _env_prefix="JWT_DEPS_HOLES_",
)
LAX = JWTSettings(
    secret_key="another secret of thirty-two bytes", validate=False, _env_prefix="JWT_DEPS_HOLES_"
)

#: Routes that are open by mistake, and why.
HOLES = {
    "GET /forgotten": "no guard applies to it",
    "GET /token-alone": "get_token does not verify what it finds",
    "GET /another-scheme": "APIKeyHeader is used, which is not part of jwt-deps",
    "WEBSOCKET /open-socket": "no guard applies to it",
    "GET /lax": "its guard refuses no request: JWT_DEPS_HOLES_VALIDATE is false",
    "GET /lax-claims": "its guard refuses no request: JWT_DEPS_HOLES_VALIDATE is false",
    "GET /plain": "no guard applies to it",
    "WEBSOCKET /plain-socket": "no guard applies to it",
    "* /files/*": "no guard applies to it",
    "GET /starlette/page": "no guard applies to it",
    "GET /starlette/deep/page": "no guard applies to it",
    "GET //pages.example.org/page": "no guard applies to it",
    "GET /service/inner": "no guard applies to it",
    "GET /web/{path}": "no guard applies to it",
}
#: Routes that are open on purpose, and what says so.
PUBLIC = {
    "GET /api/public": "@public",
    "GET /api/pattern": "exclude '/api/pat*'",
    "GET /api/settings": "excluded_route_paths '/api/set*'",
    "GET /api/named": "exclude names the endpoint",
    "GET /marked": "@public",
    "GET /maybe": "a token is optional",
    "GET /docs": "a page that FastAPI adds itself",
    "GET /openapi.json": "a page that FastAPI adds itself",
    "GET /service/docs": "a page that FastAPI adds itself",
}
#: Routes that need a token, what asks for it, under which settings, and the scopes.
OWN, ELSEWHERE = "own: HS256 https://issuer.test", "JWT_*: HS256"
GUARDED = {
    "GET /api/user": ("its guard", OWN, ()),
    "GET /twice/api/user": ("its guard", OWN, ()),
    "GET /api/admin": ("its guard", OWN, ("admin", "audit")),
    "GET /api/any": ("its guard", OWN, ("a|b",)),
    "GET POST /api/deeper/still": ("its guard", OWN, ()),
    "GET /api/late": ("its guard", OWN, ()),
    "WEBSOCKET /api/socket": ("its guard", OWN, ()),
    "GET /kept/page": ("its guard", OWN, ()),
    "* /kept-files/*": ("its guard", OWN, ()),
    "GET /kept-web/{path}": ("its guard", OWN, ()),
    "GET /by-itself": ("its own dependency current_user_id", ELSEWHERE, ()),
    "GET /lax-user": ("its own dependency current_user_id", "own: HS256", ()),
    "GET /kept-service/inner": ("the mount '/kept-service/*' is guarded", OWN, ()),
    "GET /kept-service/by-itself": ("its own dependency current_user_id", OWN, ()),
}


if not FRONTEND:
    del HOLES["GET /web/{path}"], GUARDED["GET /kept-web/{path}"]
if not LIVE:
    for _name in ("GET /api/late", "* /kept-files/*"):
        del GUARDED[_name]
    for _name in ("GET /kept-service/inner", "GET /kept-service/by-itself"):
        del GUARDED[_name]


async def page(_: Request) -> Response:
    return PlainTextResponse("page")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def endpoint() -> Callable[..., Any]:
    """Make an endpoint that answers any request."""

    async def answer() -> str:
        return "inside"

    return answer


async def user_only(_: Annotated[str, Depends(current_user_id)]) -> str:
    return "inside"


async def claims_only(_: Annotated[Claims, Depends(get_claims)]) -> str:
    """Answer with claims, of which there may be none."""
    return "inside"


async def token_only(_: Annotated[str, Depends(get_token)]) -> str:
    """Answer a request with anything that looks like a token."""
    return "inside"


async def key_only(_: Annotated[str, Depends(APIKeyHeader(name="X-Key"))]) -> str:
    """Answer a request with a key of another library."""
    return "inside"


async def optional_user(_: Annotated[str | None, Depends(optional(current_user_id))]) -> str:
    """Answer any request, and users by name."""
    return "inside"


named = endpoint()


def _api() -> APIRouter:
    api = APIRouter()
    api.add_api_route("/user", endpoint())
    api.add_api_route("/public", public(endpoint()))
    api.add_api_route("/pattern", endpoint())
    api.add_api_route("/settings", endpoint())
    api.add_api_route("/named", named)
    scoped = [Depends(require_scopes("admin", "audit"))]
    api.add_api_route("/admin", endpoint(), dependencies=scoped)
    api.add_api_route("/any", endpoint(), dependencies=[Depends(require_any_scope("a", "b"))])
    api.add_api_websocket_route("/socket", socket)
    deeper = APIRouter(prefix="/deeper")
    deeper.add_api_route("/still", endpoint(), methods=["GET", "POST"])
    api.include_router(deeper)
    return api


def _service(**options: Any) -> FastAPI:
    service = FastAPI(**options)
    service.add_api_route("/inner", endpoint())
    service.add_api_route("/by-itself", user_only)
    return service


def _kept() -> APIRouter:
    kept = protected_router(settings=STRICT)
    kept.add_route("/kept/page", page)
    kept.mount("/kept-files", StaticFiles(directory=_FOLDER))
    kept.mount("/kept-service", _service(openapi_url=None))
    if FRONTEND:
        kept.frontend("/kept-web", directory=_FOLDER)
    return kept


def _holes(app: FastAPI) -> None:
    app.add_api_route("/forgotten", endpoint())
    app.add_api_route("/token-alone", token_only)
    app.add_api_route("/another-scheme", key_only)
    app.add_api_websocket_route("/open-socket", socket)
    lax = APIRouter()
    lax.add_api_route("/lax", endpoint())
    lax.add_api_route("/lax-claims", claims_only)
    lax.add_api_route("/lax-user", user_only)
    app.include_router(protected_router(lax, settings=LAX))
    app.routes.append(Route("/plain", page))
    app.routes.append(WebSocketRoute("/plain-socket", socket))
    app.mount("/files", StaticFiles(directory=_FOLDER))
    deep = Mount("/deep", routes=[Route("/page", page)])
    app.mount("/starlette", Starlette(routes=[Route("/page", page), deep]))
    app.routes.append(Host("pages.example.org", Starlette(routes=[Route("/page", page)])))
    app.mount("/service", _service())
    if FRONTEND:
        app.frontend("/web", directory=_FOLDER)


def make_app() -> FastAPI:
    app, api = FastAPI(), _api()
    guarded = protected_router(api, prefix="/api", settings=STRICT, exclude=["/api/pat*", named])
    app.include_router(guarded)
    app.include_router(protected_router(api, prefix="/twice/api", settings=STRICT, exclude=[named]))
    app.add_api_route("/marked", public(endpoint()))
    app.add_api_route("/maybe", optional_user)
    app.add_api_route("/by-itself", user_only)
    app.include_router(_kept())
    _holes(app)
    api.add_api_route("/late", endpoint())
    return app


app = make_app()
