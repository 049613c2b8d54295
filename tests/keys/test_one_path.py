"""One path and one order of checks, wherever keys come from: over real HTTP, and from a file."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jwt_deps import IssuerSettings, JWTSettings, KeysUnavailableError, Reason
from jwt_deps.testing import FakeIssuer, SigningKey
from jwt_deps.tokens.verify import verify

from .asking import AUDIENCE, authenticated, issuer_settings, refused, settings_for


def from_file(issuer: FakeIssuer, folder: Path) -> JWTSettings:
    """The issuer's keys as a file."""
    path = folder / "jwks.json"
    path.write_text(json.dumps(issuer.jwk_set))
    return JWTSettings(jwks_file=path, algorithm="ES256", issuer=issuer.issuer, audience=AUDIENCE)


def cold(issuer: FakeIssuer, _: Path) -> JWTSettings:
    """Keys that are still to be fetched."""
    return settings_for(issuer)


def warm(issuer: FakeIssuer, _: Path) -> JWTSettings:
    """Keys that were fetched before."""
    settings = settings_for(issuer)
    authenticated(issuer.token(audience=AUDIENCE), settings)
    return settings


def one_of_several(issuer: FakeIssuer, _: Path) -> JWTSettings:
    """The issuer is chosen by what the token says."""
    other = IssuerSettings(secret_key="x" * 64, issuer="https://other.test", audience=AUDIENCE)
    return JWTSettings(issuers={"a": issuer_settings(issuer), "b": other})


each_source = pytest.mark.parametrize(
    "source", [from_file, cold, warm, one_of_several], ids=lambda source: source.__name__
)


@each_source
@pytest.mark.parametrize(
    ("reason", "wrong"),
    [
        pytest.param(Reason.EXPIRED, {"now": 1_000_000}, id="expired"),
        pytest.param(Reason.CLAIM_FOREIGN, {"audience": "another"}, id="of-another-audience"),
        pytest.param(Reason.CLAIM_INVALID, {"claims": {"jti": 1}}, id="jti-no-string"),
        pytest.param(Reason.CONFIRMATION, {"claims": {"cnf": {"jkt": "x"}}}, id="bound"),
        pytest.param(Reason.SIGNATURE, {}, id="nothing-else"),
    ],
)
def test_forged_and_wrong_has_one_reason_whatever_the_source(
    source: Callable[[FakeIssuer, Path], JWTSettings],
    reason: Reason,
    wrong: dict[str, Any],
    tmp_path: Path,
) -> None:
    """What the token says is looked at first, and nothing is fetched for what it refuses."""
    with FakeIssuer(algorithm="ES256") as issuer:
        settings = source(issuer, tmp_path)
        fetched = len(issuer.requests)
        token = issuer.token(**{"audience": AUDIENCE, "key": _in_disguise(issuer), **wrong})

        assert reason is refused(token, settings).reason
        assert (reason is Reason.SIGNATURE) or fetched == len(issuer.requests)


def _in_disguise(issuer: FakeIssuer) -> SigningKey:
    """A foreign key that calls itself by the name of the issuer's."""
    return SigningKey.generate("ES256", issuer.signing_key.kid)


@pytest.mark.parametrize(("source", "times"), [(cold, 2), (warm, 1)], ids=["cold", "warm"])
def test_the_time_is_looked_at_again_only_after_a_wait(
    source: Callable[[FakeIssuer, Path], JWTSettings], times: int, tmp_path: Path
) -> None:
    """Claims are checked once, and once more when keys had to be fetched."""
    looked: list[float] = []

    def clock() -> float:
        looked.append(time.time())
        return looked[-1]

    with FakeIssuer(algorithm="ES256") as issuer:
        settings = source(issuer, tmp_path)
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


def test_a_request_does_not_wait_forever_for_issuers_that_change() -> None:
    """Two waits, and then the client is told to come again."""
    with FakeIssuer(algorithm="ES256") as issuer:
        settings = JWTSettings(issuers={"a": issuer_settings(issuer)})
        token = issuer.token(audience=AUDIENCE)
        looked: list[int] = []

        def clock() -> float:
            looked.append(1)
            return time.time()

        async def ask() -> None:
            task = asyncio.create_task(verify(token, settings, clock=clock))
            while not task.done():
                settings.replace_issuers({"a": issuer_settings(issuer)})
                await asyncio.sleep(0.001)
            await task

        with pytest.raises(KeysUnavailableError) as caught:
            asyncio.run(ask())

    assert (1, 3) == (caught.value.retry_after, len(looked))
