"""The application of the README, configured by its environment."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI

from jwt_deps import (
    CurrentUser,
    KeyHealth,
    get_settings,
    protected_router,
    public,
    require_scopes,
)

router = APIRouter()


@router.get("/me")
async def me(user: Annotated[CurrentUser, Depends()]) -> dict[str, str | list[str]]:
    """Say who asks, and what they may do."""
    return {"sub": user.id, "scopes": sorted(user.scopes)}


@router.get("/files/{path:path}")
async def file(path: str, _: Annotated[CurrentUser, Depends()]) -> str:
    """Say which file is meant, as the router has it."""
    return path


@router.get("/items", dependencies=[Depends(require_scopes("read:items"))])
async def items() -> list[str]:
    """List what there is, for those who may read."""
    return ["hammer", "nail"]


@router.post("/items", dependencies=[Depends(require_scopes("write:items"))])
async def add() -> None:
    """Take something in, from those who may write."""


@router.post("/keys/refresh")
@public
async def refresh() -> dict[str, KeyHealth]:
    """Fetch the issuers' keys anew, as an operator would."""
    return await get_settings().refresh_keys()


app = FastAPI()
app.include_router(protected_router(router))
