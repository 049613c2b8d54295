"""Start the providers, and stop them when the tests are done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .identity import NAMES, Provider, missing
from .oauth import OAuthClient
from .service import Service, discovering, served


@contextmanager
def running(name: str, directory: Path) -> Iterator[Provider]:
    """Run a provider, or skip the test where it is not installed."""
    if reason := missing(name):
        pytest.skip(reason)
    provider = Provider(name, directory)
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()


@pytest.fixture(scope="session", params=NAMES)
def shared_provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Provider]:
    """Return a provider that no test may change."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as provider:
        yield provider


@pytest.fixture(scope="session")
def shared_service(
    shared_provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return an application that trusts the shared provider."""
    directory = tmp_path_factory.mktemp("service")
    with served(discovering(shared_provider.issuer), directory) as service:
        yield service


@pytest.fixture(params=NAMES)
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provider]:
    """Return a provider of the test's own, to be rotated and killed."""
    with running(request.param, tmp_path) as provider:
        yield provider


@pytest.fixture
def client(provider: Provider) -> OAuthClient:
    """Return a client of the test's own provider."""
    return OAuthClient(provider.issuer)


@pytest.fixture
def service(provider: Provider, tmp_path: Path) -> Iterator[Service]:
    """Return an application that trusts the test's own provider."""
    with served(discovering(provider.issuer), tmp_path) as service:
        yield service
