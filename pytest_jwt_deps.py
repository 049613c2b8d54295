"""pytest fixtures for `jwt_deps.testing`, with the prefix `jwt_`.

pytest loads this module in every project of an environment, so it imports nothing of `jwt_deps`,
which imports FastAPI, before a fixture is used. For that reason it is not inside the package.

`get_settings` reads the environment once. So that a test which sets `JWT_*` reads its own, and
leaves nothing to the next one, what was read is forgotten when those variables have changed, and
when a test itself was the first to read them.
"""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from jwt_deps import JWTSettings
    from jwt_deps.audit import Audit
    from jwt_deps.testing import FakeIssuer, TokenFactory, VirtualClock

_variables: dict[str, str] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let fixtures read the environment anew if it has changed."""
    _forget_if_changed()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Let the test read the environment anew if its fixtures have changed it."""
    _forget_if_changed()
    before = _times_read()
    try:
        return (yield)
    finally:
        if _times_read() != before:
            _get_settings().cache_clear()


def _get_settings() -> Any:
    return getattr(sys.modules.get("jwt_deps.settings"), "get_settings", None)


def _times_read() -> int:
    get_settings = _get_settings()
    return 0 if get_settings is None else get_settings.cache_info().misses


def _forget_if_changed() -> None:
    now = {name: value for name, value in os.environ.items() if name.upper().startswith("JWT_")}
    if now != _variables:
        _variables.clear()
        _variables.update(now)
        if _times_read():
            _get_settings().cache_clear()


@pytest.fixture
def jwt_tokens() -> "TokenFactory":
    """A token factory with a fresh secret: `jwt_tokens("alice", scopes=["read"])`."""
    from jwt_deps.testing import TokenFactory  # noqa: PLC0415 - see above

    return TokenFactory()


@pytest.fixture
def jwt_settings(jwt_tokens: "TokenFactory") -> "JWTSettings":
    """Settings that accept the tokens of `jwt_tokens` and read nothing from the environment."""
    return jwt_tokens.settings


@pytest.fixture
def jwt_issuer() -> "Iterator[FakeIssuer]":
    """A fake issuer that answers over HTTP until the test ends."""
    from jwt_deps.testing import FakeIssuer  # noqa: PLC0415 - see above

    with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
def jwt_clock() -> "VirtualClock":
    """A clock that starts at the present time and moves only by `advance`."""
    from jwt_deps.testing import VirtualClock  # noqa: PLC0415 - see above

    return VirtualClock(time.time())


@pytest.fixture
def jwt_acting_as() -> Iterator[Callable[..., None]]:
    """`acting_as` until the test ends: `jwt_acting_as(app, "alice")`."""
    from jwt_deps.testing import acting_as  # noqa: PLC0415 - see above

    with ExitStack() as blocks:

        def act(app: "FastAPI", user_id: str, **options: Any) -> None:
            blocks.enter_context(acting_as(app, user_id, **options))

        yield act


@pytest.fixture
def jwt_audit() -> "Callable[..., Audit]":
    """Audit the routes of an application, as `jwt_deps.audit.audit` does."""
    from jwt_deps.audit import audit  # noqa: PLC0415 - see above

    return audit
