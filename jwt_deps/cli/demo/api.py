"""What does an API built with the toolkit look like? Notes, an administrator, a cookie, an echo."""

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

__all__ = ["demo_app"]

_DESCRIPTION = """
Every route below needs a token, except those marked with `@public`: look for the locks.

1. Copy a token from the terminal in which `jwt-deps demo` runs.
2. Press **Authorize**, paste it under **JWT (http, Bearer)**, press **Authorize**, then **Close**.
3. Open a route and press **Execute**. Try `GET /admin/notes` as the user, then as the admin.

`POST /login` turns the token into a cookie. `ws://…/ws` is a WebSocket that echoes what it is told.
"""

_TAGS = [
    {"name": "public", "description": "No token needed: the endpoint says `@public`."},
    {"name": "user", "description": "Whoever the token names."},
    {"name": "admin", "description": "The scope `admin` is needed: `require_scopes('admin')`."},
    {"name": "cookie", "description": "The same token, kept by the browser."},
]


class Profile(BaseModel):
    """What the token says of its user."""

    id: str
    session_id: str | None
    scopes: list[str]


class Note(BaseModel):
    """Something worth remembering."""

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
everybody = APIRouter(tags=["public"])


@everybody.get("/health")
@public
async def health() -> dict[str, str]:
    """Tell that the service is up."""
    return {"status": "ok"}


@users.get("/me")
async def me(user: User) -> Profile:
    """Tell who is calling."""
    return Profile(id=user.id, session_id=user.session_id, scopes=sorted(user.scopes))


@users.get("/notes")
async def read_notes(user: User, notes: Notes) -> list[Note]:
    """List the notes of the token's user."""
    return notes[user.id]


@users.post("/notes", status_code=201)
async def write_note(user: User, notes: Notes, note: Note) -> Note:
    """Write a note; with the cookie too, unless a page from elsewhere had it sent."""
    notes[user.id].append(note)
    return note


@admins.get("/notes")
async def read_all_notes(notes: Notes) -> dict[str, list[Note]]:
    """List everybody's notes."""
    return {user: texts for user, texts in notes.items() if texts}


@cookies.post("/login", status_code=204)
async def login(
    token: Annotated[str, Depends(get_token)], response: Response, settings: Settings
) -> None:
    """Keep the token in a cookie that no script can read."""
    # The guard has verified the token. A browser may drop `Secure` cookies of plain http, and
    # the demo is plain http on the loopback interface; behind TLS, leave `secure` alone.
    set_token_cookie(response, token, settings, secure=False)


@cookies.post("/logout", status_code=204)
@public
async def logout(response: Response, settings: Settings) -> None:
    """Delete the cookie; without a token too, because the one in the cookie may have expired."""
    clear_token_cookie(response, settings, secure=False)


@users.websocket("/ws")
async def echo(websocket: WebSocket, user: User) -> None:
    """Greet the user and repeat whatever is said."""
    await websocket.accept()
    await websocket.send_text(f"Hello, {user.id}")
    async for text in websocket.iter_text():
        await websocket.send_text(f"{user.id}: {text}")


def demo_app(secret: str) -> FastAPI:
    """Build the API; it accepts tokens that are signed with the secret."""
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
        protected_router(front, everybody, users, admins, cookies, settings=settings)
    )
    return app
