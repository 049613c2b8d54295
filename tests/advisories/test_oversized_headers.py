r"""One hostile header of megabytes costs no more than its transfer: its size is looked at first.

`Authorization: \t, \t, ...` of one megabyte took a second of the event loop, because each of its
parts was taken for credentials before the token's size was checked.
"""

import asyncio
import time
from contextlib import suppress
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from jwt_deps import JWTSettings, Reason, TokenSource, current_user_id, protected_router
from jwt_deps.errors import AuthError, MalformedTokenError
from jwt_deps.tokens import find_token
from tests.asgi import scope_of
from tests.minting import SECRET, claims, mint

MEGABYTE = 1 << 20
SETTINGS = JWTSettings(secret_key=SECRET)
COOKIE = JWTSettings(secret_key=SECRET, token_source=TokenSource.COOKIE)
BOTH = JWTSettings(secret_key=SECRET, token_source=TokenSource.BOTH)
#: What is split, searched or trimmed at great cost, if it is.
HOSTILE = {
    "tabs-and-commas": b"\t, ",
    "commas": b",",
    "tabs": b"\t",
    "spaces": b" ",
    "schemes": b"Bearer,",
    "empty-schemes": b"Bearer ",
    "other-schemes": b"Basic x, ",
    "letters": b"A",
    "dots": b".",
    "semicolons": b";",
    "cookies": b"access_token;",
    "assigned-cookies": b"access_token=x;",
}
hostile = pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())


def header(piece: bytes, size: int, before: bytes = b"") -> bytes:
    return before + piece * (size // len(piece))


def refused(scope: dict[str, Any], settings: JWTSettings = SETTINGS) -> AuthError:
    with pytest.raises(AuthError) as caught:
        find_token(scope, settings)
    return caught.value


@hostile
@pytest.mark.parametrize("before", [b"", b"Bearer ", b"Bearer\t", b"Basic "])
def test_attack_a_header_of_megabytes(piece: bytes, before: bytes) -> None:
    """Refused for its size, whatever is in it."""
    scope = scope_of([(b"authorization", header(piece, MEGABYTE, before))], "GET")

    for settings in (SETTINGS, BOTH):
        error = refused(scope, settings)
        assert isinstance(error, MalformedTokenError)
        assert Reason.TOO_LARGE is error.reason


@hostile
@pytest.mark.parametrize("number", [1, 1000], ids=["one-header", "a-thousand-headers"])
def test_attack_cookies_of_megabytes(piece: bytes, number: int) -> None:
    """In one header, or divided among many."""
    value = header(piece, MEGABYTE // number)
    scope = scope_of([(b"cookie", value)] * number, "GET")

    assert Reason.TOO_LARGE is refused(scope, COOKIE).reason


@pytest.mark.parametrize("name", ["bearer", "a", "bearer, ", ""])
def test_attack_subprotocols_by_the_thousand(name: str) -> None:
    """No client offers so many."""
    scope = scope_of([], None, [name] * 100_000)

    assert Reason.TOO_LARGE is refused(scope).reason


def test_the_longest_token_fits_in_every_place() -> None:
    """The limit of a header leaves room for the scheme, for white space and for other cookies."""
    token = "x" * SETTINGS.max_token_size
    others = "; ".join(f"other{number}={'y' * 1000}" for number in range(60))
    cookies = f"{others}; access_token={token}".encode()
    sent = [
        (scope_of([(b"authorization", f"  Bearer   {token} ".encode())], "GET"), SETTINGS),
        (scope_of([(b"cookie", cookies)], "GET"), COOKIE),
        (scope_of([], None, [*["other"] * 62, "bearer", token]), SETTINGS),
    ]

    assert [token] * 3 == [find_token(scope, settings) for scope, settings in sent]


def test_a_token_that_is_longer_is_refused_for_its_size_too() -> None:
    """Whether its header is within the limit of headers or not."""
    for more in (1, 60, 100):
        value = b"Bearer " + b"x" * (SETTINGS.max_token_size + more)
        scope = {"type": "http", "headers": [(b"authorization", value)]}
        assert (401, b"longer than this service reads") == asked(guarded(), scope)


@hostile
def test_attack_a_header_just_within_a_large_limit(piece: bytes) -> None:
    """Where an operator allows tokens of a megabyte, the look-up finds at most what was sent."""
    settings = JWTSettings(secret_key=SECRET, max_token_size=MEGABYTE)

    for before in (b"", b"Bearer\t", b"Basic "):
        value = header(piece, MEGABYTE, before)
        scope = scope_of([(b"authorization", value)], "GET")
        with suppress(AuthError):
            assert find_token(scope, settings).encode() in value


def guarded() -> FastAPI:
    router = protected_router(settings=SETTINGS)

    @router.get("/")
    async def read(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    app = FastAPI()
    app.include_router(router)
    return app


def asked(app: FastAPI, scope: dict[str, Any]) -> tuple[int, bytes]:
    """The status, and what matters of the body."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    request = {
        "method": "GET",
        "path": "/",
        "root_path": "",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        **scope,
    }
    asyncio.run(app(request, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    told = b"longer than this service reads"
    return sent[0]["status"], told if told in body else body


def test_attack_a_request_with_a_header_of_sixteen_megabytes() -> None:
    """It is refused; `benchmarks.contract` compares what that takes with `HTTPBearer`."""
    scope = {"type": "http", "headers": [(b"authorization", b"\t, " * (16 * MEGABYTE // 3))]}

    assert (401, b"longer than this service reads") == asked(guarded(), scope)


def test_a_good_token_among_the_headers_is_found() -> None:
    """The limits are for what is too long, and for nothing else."""
    value = f"Bearer {mint(claims(now=time.time()))}".encode()
    scope = {"type": "http", "headers": [(b"x-other", b"," * MEGABYTE), (b"authorization", value)]}

    assert (200, b'"alice"') == asked(guarded(), scope)
