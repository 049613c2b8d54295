"""A request is freed once it is answered: a reference cycle would keep its token."""

import gc
from collections.abc import Callable

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.types import Message, Scope

from jwt_deps import JWTSettings, protected_router, require_scopes
from tests.minting import SECRET, claims, mint
from tests.web.serving import including, who

GOOD = mint(claims())


def application() -> FastAPI:
    router = APIRouter()

    router.get("/me")(who)

    @router.get("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin() -> None: ...

    return including(protected_router(router, settings=JWTSettings(secret_key=SECRET)))


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_: Message) -> None: ...


@pytest.mark.parametrize(
    ("path", "token"),
    [
        pytest.param("/me", GOOD, id="accepted"),
        pytest.param("/me", None, id="no-token"),
        pytest.param("/me", f"{GOOD[:-4]}AAAA", id="tampered"),
        pytest.param("/me", mint(claims(now=0)), id="expired"),
        pytest.param("/admin", GOOD, id="without-a-scope"),
    ],
)
def test_no_request_leaves_garbage(path: str, token: str | None) -> None:
    """Accepted or refused, what it was made of is freed without the garbage collector."""
    app = application()
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]

    def ask() -> None:
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "app": app,
        }
        running = app(scope, _receive, _send)
        with pytest.raises(StopIteration):
            running.send(None)  # no loop: nothing is waited for

    for _ in range(3):
        ask()
    gc.collect()
    gc.freeze()  # what the other tests keep is not looked through, now or later
    gc.disable()
    try:
        # Threads of other tests may leave something meanwhile.
        left = min(left_by(ask) for _ in range(3))
    finally:
        gc.enable()

    assert left < 20


def left_by(ask: Callable[[], None]) -> int:
    """Ask twenty times, and count what only the garbage collector frees."""
    for _ in range(20):
        ask()
    return gc.collect()
