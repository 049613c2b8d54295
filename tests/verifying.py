"""Verify a token by the one path that requests take, with configured keys.

Nothing is waited for then, so no event loop is needed: the coroutine ends when it is first driven.
"""

import time
from collections.abc import Callable
from typing import Any

from jwt_deps import JWTSettings
from jwt_deps.tokens.verify import verify as verify_token

__all__ = ["verify"]


def verify(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Return the claims of a token that passes every check, or raise the error that refuses it."""
    request = verify_token(token, settings, clock=clock)
    try:
        request.send(None)
    except StopIteration as end:
        claims: dict[str, Any] = end.value.claims
        return claims
    finally:
        request.close()
    raise AssertionError("a token was waited for whose keys are configured")
