"""The API of the demo: notes, an admin route, a cookie and a WebSocket."""

from collections import defaultdict
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, FastAPI, Response, WebSocket
from fastapi.requests import HTTPConnection
from pydantic import BaseModel, Field

from jwt_deps import (
    CurrentUser,
    JWTSettings,
    clear_token_cookie,
    get_token,
    protected_router,
    public,
    require_scopes,
    set_token_cookie,
)

from .front import front
from .tokens import demo_settings

_DESCRIPTION = """
Every route below needs a token, except those marked with `@public`: look for the locks.

1. Copy a token from the terminal in which `jwt-deps demo` runs.
2. Press **Authorize**, paste it under **JWT (http, Bearer)**, press **Authorize**, then **Close**.
3. Open a route and press **Execute**. Try `GET /admin/notes` as the user, then as the admin.

`POST /login` sets the token as a cookie. `ws://…/ws` is a WebSocket that echoes messages.
"""

_TAGS = [
    {"name": "public", "description": "No token needed: the endpoint says `@public`."},
    {"name": "user", "description": "Any token will do."},
    {
        "name": "admin",
        "description": "Needs the scope `admin`: `require_scopes('admin')`.",
    },
    {"name": "cookie", "description": "The same token, kept by the browser."},
]


class Profile(BaseModel):
    """The user of the token."""

    id: str
    session_id: str | None
    scopes: list[str]


class Note(BaseModel):
    """A note."""

    text: str = Field(min_length=1, max_length=200, examples=["Buy milk"])


_Notes: TypeAlias = dict[str, list[Note]]


async def _notes(connection: HTTPConnection) -> _Notes:
    notes: _Notes = connection.app.state.notes
    return notes


async def _settings(connection: HTTPConnection) -> JWTSettings:
    settings: JWTSettings = connection.app.state.settings
    return settings


User: TypeAlias = Annotated[CurrentUser, Depends()]
Notes: TypeAlias = Annotated[_Notes, Depends(_notes)]
Settings: TypeAlias = Annotated[JWTSettings, Depends(_settings)]

users = APIRouter(tags=["user"])
admins = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(require_scopes("admin"))])
cookies = APIRouter(tags=["cookie"])
open_to_all = APIRouter(tags=["public"])


@open_to_all.get("/health")
@public
async def health() -> dict[str, str]:
    """Report that the service is up."""
    return {"status": "ok"}


@users.get("/me")
async def me(user: User) -> Profile:
    """Return the user of the token."""
    return Profile(id=user.id, session_id=user.session_id, scopes=sorted(user.scopes))


@users.get("/notes")
async def read_notes(user: User, notes: Notes) -> list[Note]:
    """List the notes of the token's user."""
    return notes[user.id]


@users.post("/notes", status_code=201)
async def write_note(user: User, notes: Notes, note: Note) -> Note:
    """Write a note; a token in a cookie is accepted too, unless the request is cross-site."""
    notes[user.id].append(note)
    return note


@admins.get("/notes")
async def read_all_notes(notes: Notes) -> dict[str, list[Note]]:
    """List the notes of all users."""
    return {user: texts for user, texts in notes.items() if texts}


@cookies.post("/login", status_code=204)
async def login(
    token: Annotated[str, Depends(get_token)], response: Response, settings: Settings
) -> None:
    """Set the token as a cookie that scripts cannot read."""
    # The guard has verified the token. The demo is plain http on the loopback interface, where
    # browsers may drop `Secure` cookies; behind TLS, keep the default.
    set_token_cookie(response, token, settings, secure=False)


@cookies.post("/logout", status_code=204)
@public
async def logout(response: Response, settings: Settings) -> None:
    """Delete the cookie; public, because the token in it may have expired."""
    clear_token_cookie(response, settings, secure=False)


@users.websocket("/ws")
async def echo(websocket: WebSocket, user: User) -> None:
    """Greet the user and echo messages."""
    await websocket.accept()
    await websocket.send_text(f"Hello, {user.id}")
    async for text in websocket.iter_text():
        await websocket.send_text(f"{user.id}: {text}")


def demo_app(secret: str) -> FastAPI:
    """Build the application; it accepts tokens signed with the secret."""
    settings = demo_settings(secret)
    app = FastAPI(
        title="jwt-deps demo",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        swagger_ui_parameters={"tryItOutEnabled": True},
    )
    app.state.secret = secret
    app.state.settings = settings
    app.state.notes = defaultdict(list)
    app.include_router(
        protected_router(front, open_to_all, users, admins, cookies, settings=settings)
    )
    return app
