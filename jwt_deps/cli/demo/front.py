"""The page of the demo: three files, and the tokens to choose from."""

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.requests import HTTPConnection
from fastapi.responses import FileResponse, JSONResponse

from jwt_deps import Claims, get_claims, public

from .tokens import demo_tokens

_FILES = Path(__file__).with_name("page")
# Nothing inline, nothing from other origins; `connect-src` covers the WebSocket too.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

front = APIRouter(include_in_schema=False)


def page_tokens(secret: str) -> dict[str, str]:
    """Make the tokens of the page by their labels."""
    tokens = demo_tokens(secret)
    head, _, signature = tokens["user"].rpartition(".")
    other = "A" if signature[0] != "A" else "B"
    return {
        "alice, scope notes": tokens["user"],
        "grace, scopes notes and admin": tokens["admin"],
        "bob, no scope": tokens["other"],
        "alice, expired": tokens["expired"],
        "alice, tampered with": f"{head}.{other}{signature[1:]}",
        "no token": "",
    }


@front.get("/")
@public
async def home() -> FileResponse:
    """Serve the page."""
    return FileResponse(_FILES / "index.html", headers=_HEADERS)


@front.get("/demo/tokens")
@public
async def tokens(connection: HTTPConnection) -> JSONResponse:
    """Serve the tokens; they are valid in this demo only, which prints them anyway."""
    secret: str = connection.app.state.secret
    return JSONResponse(page_tokens(secret), headers={"Cache-Control": "no-store"})


@front.get("/demo/claims")
async def claims(claims: Annotated[Claims, Depends(get_claims)]) -> JSONResponse:
    """Return the claims that an endpoint gets; a refused token gets 401 instead."""
    return JSONResponse(dict(claims), headers={"Cache-Control": "no-store"})


@front.get("/demo/{name}")
@public
async def file(name: Literal["page.js", "page.css"]) -> FileResponse:
    """Serve the script or the style sheet."""
    return FileResponse(_FILES / name, headers=_HEADERS)
