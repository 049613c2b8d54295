"""The guarded application of the revocation tests, configured by its environment.

uvicorn tests.revocation.application:app --workers 3
"""

import asyncio
import os
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI

from jwt_deps import RedisRevocations, current_user_id, get_settings, protected_router

router = APIRouter()


@router.get("/me")
async def me(user: Annotated[str, Depends(current_user_id)]) -> dict[str, Any]:
    """Who is calling, and which process answers."""
    return {"user": user, "pid": os.getpid()}


app = FastAPI()
app.include_router(protected_router(router))


@app.get("/health")
async def health() -> dict[str, Any]:
    """How the replica of this process is."""
    report = get_settings().revocation_health()
    return {"pid": os.getpid(), **(asdict(report) if report is not None else {})}


@app.post("/revoke/{jti}")
async def revoke(jti: str) -> None:
    """Take a token back."""
    source = get_settings().revocations
    if isinstance(source, RedisRevocations):
        await asyncio.to_thread(source.revoke, jti=jti)
