"""Tokens that come another way than with a request, and connections that outlive their token."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.testclient import TestClient

from jwt_deps import (
    AuthError,
    Claims,
    ConfirmationError,
    CurrentUser,
    ExpiredTokenError,
    JWTSettings,
    MalformedTokenError,
    MemoryRevocations,
    Reason,
    RevocationUnavailableError,
    RevokedTokenError,
    protect,
    until_expiry,
    verify_token,
)
from tests.minting import SECRET
from tests.web.serving import SETTINGS, bearer, token

BOUND: dict[str, Any] = {"cnf": {"jkt": "0" * 43}}
DPOP: dict[str, Any] = {"secret_key": SECRET, "public_origin": "https://api.example"}


def refusal(text: str, settings: JWTSettings = SETTINGS) -> AuthError:
    with pytest.raises(AuthError) as refused:
        asyncio.run(verify_token(text, settings))
    return refused.value


def test_the_claims_of_a_good_token() -> None:
    """As `get_claims` returns them."""
    assert "alice" == asyncio.run(verify_token(token(), SETTINGS)).sub


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none are given."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

    assert "alice" == asyncio.run(verify_token(token())).sub


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", Reason.NOT_COMPACT, id="empty"),
        pytest.param(None, Reason.NOT_COMPACT, id="no-text"),
        pytest.param(f"Bearer {token()}", Reason.NOT_COMPACT, id="with-the-scheme"),
        pytest.param(token(exp=1), Reason.EXPIRED, id="expired"),
        pytest.param(token("x" * 64), Reason.SIGNATURE, id="other-key"),
        pytest.param(token(**BOUND), Reason.CONFIRMATION, id="bound"),
        pytest.param(token(cnf=None), Reason.CONFIRMATION, id="bound-to-nothing"),
    ],
)
def test_a_bad_token_is_refused(text: Any, reason: Reason) -> None:
    """With the error that a request would be refused with; whatever a JSON message had there."""
    assert reason == refusal(text).reason


def test_a_bound_token_is_refused_where_requests_prove_it() -> None:
    """The proof is one of a request, and there is none."""
    settings = JWTSettings(**DPOP, dpop="allowed")

    assert Reason.CONFIRMATION == refusal(token(**BOUND), settings).reason
    assert "alice" == asyncio.run(verify_token(token(), settings)).sub


def test_where_dpop_is_required_no_token_is_accepted() -> None:
    """Without a proof a bound token is a bearer token."""
    settings = JWTSettings(**DPOP, dpop="required")

    error = refusal(token(), settings)

    assert isinstance(error, ConfirmationError)
    assert Reason.NOT_BOUND == error.reason


def test_a_lenient_service_refuses_here_too() -> None:
    """`validate=False` lets requests go on anonymous; here is nothing that goes on."""
    settings = JWTSettings(secret_key=SECRET, validate=False)

    assert isinstance(refusal("nonsense", settings), MalformedTokenError)


def test_a_revoked_token_is_refused() -> None:
    """A token that was verified before too."""
    revocations = MemoryRevocations()
    settings = JWTSettings(secret_key=SECRET, revocation=revocations)
    text = token(jti="1")

    assert "alice" == asyncio.run(verify_token(text, settings)).sub
    revocations.revoke(jti="1")

    assert isinstance(refusal(text, settings), RevokedTokenError)


class _Unreachable:
    def is_revoked(self, _: object) -> bool:
        raise RevocationUnavailableError


def test_unknown_revocations_are_an_outage() -> None:
    """Not an invalid token: a job is tried again."""
    settings = JWTSettings(secret_key=SECRET, revocation=_Unreachable())

    assert isinstance(refusal(token(), settings), RevocationUnavailableError)


# until_expiry


def user_until(exp: float) -> CurrentUser:
    return CurrentUser("alice", None, frozenset(), Claims({"exp": exp}))


def soon() -> float:
    return time.time() + 0.05


async def forever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise LookupError


async def nothing() -> None: ...


def ended(user: CurrentUser | Claims, block: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with until_expiry(user):
            await block()

    asyncio.run(run())


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(lambda: user_until(soon()), id="user"),
        pytest.param(lambda: Claims({"exp": soon()}), id="claims"),
        pytest.param(lambda: user_until(1), id="expired-before"),
    ],
)
def test_a_block_ends_with_the_token(user: Callable[[], CurrentUser | Claims]) -> None:
    """Where it waits."""
    with pytest.raises(ExpiredTokenError):
        ended(user(), forever)


def test_a_block_ends_when_the_token_is_too_old() -> None:
    """`max_token_age` after `iat`, where that is before `exp`."""
    settings = JWTSettings(secret_key=SECRET, max_token_age=60, leeway=0)
    now = time.time()
    old, new = (
        asyncio.run(verify_token(token(iat=iat, exp=now + 90_000), settings))
        for iat in (now - 59.95, now)
    )

    with pytest.raises(ExpiredTokenError):
        ended(old, forever)
    ended(new, nothing)
    assert now + 60 == new.expires_at


def test_a_block_does_not_begin_after_the_end() -> None:
    """Also one that would not wait."""
    with pytest.raises(ExpiredTokenError):
        ended(user_until(1), nothing)


def test_a_block_begins_in_the_last_second() -> None:
    ended(user_until(time.time() + 0.9), nothing)


@pytest.mark.parametrize("user", [user_until(time.time() + 90_000), Claims({})], ids=["long", "no"])
def test_a_block_within_the_time_ends_by_itself(user: CurrentUser | Claims) -> None:
    """With its own errors, if it has any."""
    ended(user, nothing)
    with pytest.raises(LookupError):
        ended(user, fails)


def test_a_cancelled_block_is_cancelled() -> None:
    """When the server stops, nothing has expired."""

    async def run() -> None:
        entered = asyncio.Event()

        async def block() -> None:
            async with until_expiry(user_until(time.time() + 90_000)):
                entered.set()
                await forever()

        task = asyncio.create_task(block())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_a_websocket_ends_with_its_token() -> None:
    """While it waits for its client."""
    app = protect(FastAPI(), SETTINGS)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, user: Annotated[CurrentUser, Depends()]) -> None:
        await websocket.accept()
        try:
            async with until_expiry(user):
                await websocket.receive_text()
        except ExpiredTokenError:
            await websocket.close(1008, "Token has expired")

    headers = bearer(exp=time.time() + 0.2)
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        TestClient(app).websocket_connect("/ws", headers=headers) as websocket,
    ):
        websocket.receive_text()

    assert (1008, "Token has expired") == (closed.value.code, closed.value.reason)
