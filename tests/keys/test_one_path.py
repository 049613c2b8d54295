"""One path and one order of checks, wherever keys come from: over real HTTP, and from a file."""

import time
from typing import Any

import pytest

from jwt_deps.testing import FakeIssuer
from tests.minting import signing_key
from tests.sources import Service, each_source, minted

from .asking import AUDIENCE, authenticated, settings_for


@each_source("HS256", "ES256")
def test_forged_and_wrong_has_one_reason_whatever_the_source(source: str, algorithm: str) -> None:
    """What the token says is looked at first, and nothing is fetched (`test_authentication`)."""
    service, stranger = Service(source, algorithm), signing_key(algorithm, "stranger")
    wrong: dict[str, dict[str, Any]] = {
        "expired": {"exp": 1},
        "claim_foreign": {"aud": "another"},
        "claim_invalid": {"jti": 1},
        "confirmation": {"cnf": {"jkt": "x"}},
        "signature": {},
    }

    assert list(wrong) == [
        service.reason(minted(algorithm, stranger, **members)) for members in wrong.values()
    ]


def test_the_time_is_looked_at_again_only_after_a_wait() -> None:
    """Claims are checked once, and once more when keys had to be fetched."""
    looked: list[float] = []

    def clock() -> float:
        looked.append(time.time())
        return looked[-1]

    with FakeIssuer(algorithm="ES256") as issuer:
        settings = settings_for(issuer)
        for times in (2, 3):
            authenticated(issuer.token(audience=AUDIENCE), settings, clock)
            assert times == len(looked)


def test_a_token_that_expires_while_its_keys_are_fetched() -> None:
    """It is expired then, also if the keys could not be fetched after all."""
    with FakeIssuer(algorithm="ES256") as issuer:
        for down in (False, True):
            settings = settings_for(issuer)
            token, times = issuer.token(audience=AUDIENCE), [time.time(), time.time() + 10_000]
            if down:
                issuer.down()
            with pytest.raises(Exception, match="Token has expired"):
                authenticated(token, settings, lambda: times.pop(0))  # noqa: B023 - used at once
