"""The applications that are compared: one route each, with different dependencies."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.requests import HTTPConnection
from starlette.types import ASGIApp

from benchmarks import tokens, validators
from jwt_deps import (
    CurrentUser,
    current_user_id,
    get_settings,
    protected_router,
    require_scopes,
)
from jwt_deps.tokens.verify import verify

__all__ = [
    "AGAIN",
    "BARE",
    "NOOP",
    "REFUSAL",
    "ROUTER",
    "Contestant",
    "NoOp",
    "configured",
    "no_op",
    "ours",
    "serving",
    "simple",
]

BARE = "FastAPI, bare"
AGAIN = "FastAPI, bare again"
NOOP = "no-op class dependency"
REFUSAL = "floor: refusal, and nothing else"
ROUTER = "FastAPI, bare, in routers"

_OURS = "jwt-deps: "

Preparation = Callable[[], None]


def _nothing() -> None:
    """What most contestants have to prepare."""


@dataclass(frozen=True)
class Contestant:
    """An application, the token that it gets, and what it answers."""

    name: str
    app: ASGIApp
    token: str | None = None
    algorithm: str | None = None
    status: int = 200
    prepare: Preparation = field(default=_nothing, repr=False)
    #: Whether it says that it checks tokens, and so has to be held to it.
    secure: bool = False


class NoOp:
    """A dependency that does nothing: the cheapest that FastAPI can have."""

    async def __call__(self, connection: HTTPConnection) -> None:
        """Nothing."""


#: The one that is measured.
no_op = NoOp()


class _Refusing:
    """The least that a refusal can cost: the exception, and what FastAPI makes of it."""

    async def __call__(self, connection: HTTPConnection) -> None:  # noqa: ARG002
        """Refuse every request."""
        raise validators.refusal()


class _Checked:
    """The least dependency around a function that verifies: what it costs is the floor."""

    def __init__(self, verify: validators.Validator) -> None:
        self.verify = verify

    async def __call__(self, connection: HTTPConnection) -> str:
        """Who is calling, also in `request.state`."""
        for name, value in connection.scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                try:
                    found = self.verify(value[7:].decode("ascii"))
                except Exception as error:
                    raise validators.refusal() from error
                connection.scope.setdefault("state", {})["user_id"] = found["sub"]
                return str(found["sub"])
        raise validators.refusal()


def serving(dependency: Callable[..., Any] | None = None, **options: Any) -> FastAPI:
    """An application whose one route has that dependency, and answers the same in any case.

    `response_model=None` makes it answer as a route without a return annotation does.
    """
    app = FastAPI(**options)
    if dependency is None:

        @app.get("/x", response_model=None)
        async def bare() -> dict[str, int]:
            return {"a": 1}
    else:

        @app.get("/x", response_model=None)
        async def guarded(user: Annotated[Any, Depends(dependency)]) -> dict[str, int]:  # noqa: ARG001
            return {"a": 1}

    return app


def simple() -> Iterator[Contestant]:
    """What others are compared with: no security, the floor, and what people write by hand."""
    token = tokens.good("HS256")
    for name in (BARE, AGAIN):
        yield Contestant(name, serving(), token)
    router, outer, app = APIRouter(), APIRouter(), FastAPI()

    @router.get("/x", response_model=None)
    async def bare() -> dict[str, int]:
        return {"a": 1}

    outer.include_router(router)
    app.include_router(outer)
    yield Contestant(ROUTER, app, token)
    yield Contestant(NOOP, serving(no_op), token)
    yield Contestant(REFUSAL, serving(_Refusing()), token, status=401)
    for algorithm in tokens.ALGORITHMS:
        good = tokens.good(algorithm)
        raw = serving(_Checked(validators.signature_only(algorithm)))
        yield Contestant(f"floor: signature only {algorithm}", raw, good, algorithm)
        for name, check in validators.complete(algorithm).items():
            app = serving(_Checked(check))
            yield Contestant(f"{name} {algorithm}", app, good, algorithm, secure=True)


def ours() -> Iterator[Contestant]:
    """This package: new tokens, tokens seen before, what stands on a route, and refusals."""
    for algorithm in tokens.ALGORITHMS:
        yield _ours("new token", algorithm, serving(current_user_id), 0)
        yield _ours("token seen before", algorithm, serving(current_user_id), 2048)
    yield _ours("seen before, guard and user", "HS256", _guarded(), 2048)
    yield _ours("new token, guard and user", "HS256", _guarded(), 0)
    yield _ours("seen before, CurrentUser", "HS256", serving(CurrentUser), 2048)
    yield _ours("seen before, require_scopes", "HS256", serving(require_scopes("read")), 2048)
    for algorithm in ("HS256", "RS256"):
        for wrong in ("no token", "tampered signature", "expired"):
            token = tokens.bad(algorithm)[wrong]
            yield _ours(wrong, algorithm, serving(current_user_id), 2048, token, 401)


def configured(algorithm: str, cache_size: int) -> Preparation:
    """Make what configures the package for all applications of the process, by environment."""
    environment = {
        "JWT_SECRET_KEY": tokens.text(algorithm),
        "JWT_ALGORITHM": algorithm,
        "JWT_AUDIENCE": tokens.AUDIENCE,
        "JWT_ISSUER": tokens.ISSUER,
        "JWT_TOKEN_CACHE_SIZE": str(cache_size),
    }

    def prepare() -> None:
        with _variables(environment):
            get_settings.cache_clear()
            # A service that refuses tokens has accepted others: it knows its issuer's headers.
            # In a thread, as the caller may be in an event loop.
            warm_up = verify(tokens.good(algorithm), get_settings())
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, warm_up).result()

    return prepare


_GOOD = object()


def _ours(  # noqa: PLR0913, PLR0917 - a row of the table above
    what: str,
    algorithm: str,
    app: FastAPI,
    cache_size: int,
    token: object = _GOOD,
    status: int = 200,
) -> Contestant:
    sent = tokens.good(algorithm) if token is _GOOD else token
    return Contestant(
        f"{_OURS}{what} {algorithm}",
        app,
        sent if isinstance(sent, str) else None,
        algorithm,
        status,
        configured(algorithm, cache_size),
        secure=status == 200,  # noqa: PLR2004 - the others are refusals already
    )


def _guarded() -> FastAPI:
    app, router = FastAPI(), APIRouter()

    @router.get("/x", response_model=None)
    async def guarded(user: Annotated[str, Depends(current_user_id)]) -> dict[str, int]:  # noqa: ARG001
        return {"a": 1}

    app.include_router(protected_router(router))
    return app


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a moment: the peers read some of the same names."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
