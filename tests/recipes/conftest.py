"""No recipe's test fetches anything, or reads the machine's own settings."""

from typing import Any

import pytest

from jwt_deps.keys import Fetched, Fetcher, host_of, is_loopback_host
from tests.recipes.page import clear_environment


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test that would fetch keys from anywhere but this machine."""
    truly_get = Fetcher.get

    async def get(fetcher: Fetcher, url: str, **options: Any) -> Fetched:
        if not is_loopback_host(host_of(url)):
            pytest.fail(f"{url} would have been fetched")
        return await truly_get(fetcher, url, **options)

    monkeypatch.setattr(Fetcher, "get", get)
