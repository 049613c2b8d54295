"""A server for each test, and a clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jwt_deps.revocation import redis as redis_revocations
from jwt_deps.testing import VirtualClock

from .valkey import Valkey, valkey


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own."""
    with valkey(tmp_path) as started:
        yield started


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """What replicas measure the age of answers with; it stands still."""
    made = VirtualClock(1000)
    monkeypatch.setattr(redis_revocations, "uptime", made)
    return made
