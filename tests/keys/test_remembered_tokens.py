"""A cached token is no longer accepted once its key is gone, over HTTP."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from jwt_deps import AuthError, JWTSettings, Reason
from jwt_deps.testing import FakeIssuer, VirtualClock
from jwt_deps.tokens import authenticate_token

from .asking import AUDIENCE, settings_for


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(algorithm="ES256") as running:
        yield running


def trusting(issuer: FakeIssuer, **options: Any) -> tuple[JWTSettings, VirtualClock]:
    """Settings whose keys grow old when the clock is turned."""
    settings, clock = settings_for(issuer, **options), VirtualClock()
    for cache in settings.server.key_caches.values():
        cache.clock = clock
    return settings, clock


def asked(token: str, settings: JWTSettings) -> str:
    """`accepted`, or the reason why not."""
    try:
        asyncio.run(authenticate_token(token, settings))
    except AuthError as error:
        return error.reason.value
    return "accepted"


def test_a_key_of_the_same_name_is_another_key(issuer: FakeIssuer) -> None:
    """A forger who gets hold of the name has not got the key."""
    settings, _ = trusting(issuer)
    token = issuer.token(audience=AUDIENCE)
    assert "accepted" == asked(token, settings)
    issuer.rotate(overlap=False, kid=issuer.signing_key.kid)

    asyncio.run(settings.refresh_keys())

    assert Reason.SIGNATURE == asked(token, settings)


def test_a_key_that_is_no_longer_fresh_is_asked_for(
    issuer: FakeIssuer, verified: list[str]
) -> None:
    """A remembered token does not keep the refresh from happening."""
    settings, clock = trusting(issuer)
    token = issuer.token(audience=AUDIENCE)
    asked(token, settings)
    fetches = issuer.count("jwks")

    clock.advance(601)

    assert "accepted" == asked(token, settings)
    assert (fetches + 1, 2) == (issuer.count("jwks"), len(verified))


def test_an_outage_refuses_no_remembered_token(issuer: FakeIssuer) -> None:
    """As it refuses no other, until the keys are too old."""
    settings, clock = trusting(issuer)
    token = issuer.token(audience=AUDIENCE)
    asked(token, settings)
    issuer.down()

    clock.advance(700)
    during = asked(token, settings)
    clock.advance(7200)
    after = asked(token, settings)

    assert ("accepted", "keys_unavailable") == (during, after)
