"""The application under test: notes, read and written with a token, and sent over a WebSocket."""

from collections import defaultdict
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, FastAPI, WebSocket

from jwt_deps import CurrentUser, protected_router, public, require_scopes

User: TypeAlias = Annotated[CurrentUser, Depends()]

notes: dict[str, list[str]] = defaultdict(list)
router = APIRouter()


@router.get("/health")
@public
async def health() -> str:
    """Report that the service is up."""
    return "ok"


@router.get("/notes")
async def read_notes(user: User) -> list[str]:
    """List the notes of the user."""
    return notes[user.id]


@router.post("/notes", status_code=201, dependencies=[Depends(require_scopes("notes:write"))])
async def write_note(user: User, text: str) -> str:
    """Write a note."""
    notes[user.id].append(text)
    return text


@router.websocket("/notes")
async def send_notes(websocket: WebSocket, user: User) -> None:
    """Send the user's notes, one at a time."""
    await websocket.accept()
    for text in notes[user.id]:
        await websocket.send_text(text)
    await websocket.close()


# The settings come from the environment: JWT_ISSUER, JWT_AUDIENCE, JWT_DISCOVERY.
app = FastAPI()
app.include_router(protected_router(router))
