"""Verify a token by the one path that requests take, in an event loop of its own."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from jwt_deps import JWTSettings
from jwt_deps.authentication import authenticate

__all__ = ["verify"]


def verify(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Return the claims of a token that passes every check, or raise the error that refuses it."""
    return asyncio.run(authenticate(token, settings, clock=clock)).claims
