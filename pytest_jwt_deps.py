"""Which fixtures does pytest get? Those of `jwt_deps.testing`, with the prefix `jwt_`.

pytest loads this module for every project of an environment, before anything is measured. It is
not part of the package, whose import brings FastAPI along: nothing is imported before a fixture
is used.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from jwt_deps import JWTSettings
    from jwt_deps.audit import Audit
    from jwt_deps.testing import FakeIssuer, TokenFactory, VirtualClock


@pytest.fixture
def jwt_tokens() -> "TokenFactory":
    """Make tokens, with a fresh secret: `jwt_tokens("alice", scopes=["read"])`."""
    from jwt_deps.testing import TokenFactory  # noqa: PLC0415 - see above

    return TokenFactory()


@pytest.fixture
def jwt_settings(jwt_tokens: "TokenFactory") -> "JWTSettings":
    """Settings that accept the tokens of `jwt_tokens`, whatever the environment holds."""
    return jwt_tokens.settings


@pytest.fixture
def jwt_issuer() -> "Iterator[FakeIssuer]":
    """An issuer that answers over HTTP until the test ends."""
    from jwt_deps.testing import FakeIssuer  # noqa: PLC0415 - see above

    with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
def jwt_clock() -> "VirtualClock":
    """A clock that stands still at the present moment until `advance` moves it."""
    from jwt_deps.testing import VirtualClock  # noqa: PLC0415 - see above

    return VirtualClock(time.time())


@pytest.fixture
def jwt_acting_as() -> Iterator[Callable[..., None]]:
    """Let requests be somebody's until the test ends: `jwt_acting_as(app, "alice")`."""
    from jwt_deps.testing import acting_as  # noqa: PLC0415 - see above

    with ExitStack() as blocks:

        def act(app: "FastAPI", user_id: str, **options: Any) -> None:
            blocks.enter_context(acting_as(app, user_id, **options))

        yield act


@pytest.fixture
def jwt_audit() -> "Callable[..., Audit]":
    """Account for every route of an application: the function `jwt_deps.audit.audit`."""
    from jwt_deps.audit import audit  # noqa: PLC0415 - see above

    return audit
