"""The identity provider changes its keys, or is out of reach."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.testing.app import app
from jwt_deps.testing import FakeIssuer, VirtualClock, bearer, using_settings


@pytest.fixture
def issuer(jwt_clock: VirtualClock) -> Iterator[FakeIssuer]:
    """An issuer that is asked in process; cached keys expire by `jwt_clock`."""
    issuer = FakeIssuer(url="https://login.example.com")
    with using_settings(app, issuer.settings("api", clock=jwt_clock)):
        yield issuer


def status(client: TestClient, issuer: FakeIssuer) -> int:
    """The status of a request with a token that was issued now."""
    token = issuer.token({"sub": "alice"}, audience="api")
    return client.get("/notes", headers=bearer(token)).status_code


def test_a_new_key_is_found(client: TestClient, issuer: FakeIssuer) -> None:
    before = status(client, issuer)
    issuer.rotate()
    after = status(client, issuer)

    assert (before, after) == (200, 200)


def test_a_withdrawn_key_expires(
    client: TestClient, issuer: FakeIssuer, jwt_clock: VirtualClock
) -> None:
    token = issuer.token({"sub": "alice"}, audience="api")
    before = client.get("/notes", headers=bearer(token)).status_code
    issuer.rotate(overlap=False)
    jwt_clock.advance(3600)
    after = client.get("/notes", headers=bearer(token)).status_code

    assert (before, after) == (200, 401)


def test_cached_keys_outlast_an_outage(
    client: TestClient, issuer: FakeIssuer, jwt_clock: VirtualClock
) -> None:
    before = status(client, issuer)
    with issuer.outage():
        jwt_clock.advance(3600)
        during = status(client, issuer)

    assert (before, during) == (200, 200)


def test_an_outage_at_the_start(client: TestClient, issuer: FakeIssuer) -> None:
    with issuer.outage():
        assert status(client, issuer) == 503


def test_over_http(client: TestClient, jwt_issuer: FakeIssuer) -> None:
    with using_settings(app, jwt_issuer.settings("api")):
        assert status(client, jwt_issuer) == 200
