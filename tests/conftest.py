"""What every test can rely on."""

import os
from collections.abc import Iterator

import pytest

from jwt_deps import get_settings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the `JWT_*` variables of its machine, nor another test's settings."""
    for name in list(os.environ):
        if name.upper().startswith("JWT_") and not name.upper().startswith("JWT_DEPS_"):
            monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()
