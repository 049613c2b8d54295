"""The issuer of a token, its keys, then every check, with fetched keys."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jwt_deps import IssuerSettings, JWTSettings
from jwt_deps.errors import (
    InvalidTokenError,
    KeysUnavailableError,
    Reason,
    SignatureError,
)
from jwt_deps.testing import FakeIssuer
from tests.keys.asking import (
    AUDIENCE,
    accepted,
    authenticated,
    discovering,
    issuer_settings,
    refused,
    settings_for,
)
from tests.minting import SECRET, b64, claims, mint, mint_raw

Configuration = Callable[[FakeIssuer], JWTSettings]


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """An issuer that is accepted."""
    with FakeIssuer(algorithm="ES256") as running:
        yield running


@pytest.fixture
def other() -> Iterator[FakeIssuer]:
    """Another one, accepted or not."""
    with FakeIssuer(algorithm="ES256") as running:
        yield running


def among_others(issuer: FakeIssuer) -> JWTSettings:
    """Settings that accept an issuer, and another one whose keys are configured."""
    local = IssuerSettings(secret_key=SECRET, issuer="local", audience=AUDIENCE)
    return JWTSettings(issuers={"fetched": issuer_settings(issuer), "local": local})


each_configuration = pytest.mark.parametrize(
    "configured", [settings_for, among_others], ids=["alone", "among-others"]
)


def local_token(**members: object) -> str:
    """A token of the issuer whose keys are configured."""
    return mint(claims(now=time.time(), iss="local", aud=AUDIENCE, **members))


class TestAccepted:
    @each_configuration
    def test_a_new_key(self, issuer: FakeIssuer, configured: Configuration) -> None:
        """A key that the issuer has just begun to use is found, and the old one stays good."""
        settings = configured(issuer)
        old = issuer.token(audience=AUDIENCE)
        authenticated(old, settings)

        issuer.rotate()

        assert accepted(issuer.token(audience=AUDIENCE), settings)
        assert accepted(old, settings)
        assert 2 == issuer.count("jwks")

    def test_keys_that_are_configured(self, issuer: FakeIssuer) -> None:
        """Beside an issuer whose keys are fetched, one whose keys are configured fetches none."""
        settings = among_others(issuer)

        verified = authenticated(local_token(), settings)

        assert "alice" == verified.claims["sub"]
        assert [] == issuer.requests

    @pytest.mark.parametrize("audience", ["web-app", ["web-app", "other"]])
    def test_an_audience_under_another_name(self, issuer: FakeIssuer, audience: Any) -> None:
        """Amazon Cognito names the client where others name the audience."""
        settings = settings_for(issuer, audience="web-app", audience_claim="client_id")

        assert accepted(issuer.token({"client_id": audience}), settings)
        assert Reason.CLAIM_MISSING is refused(issuer.token(audience="web-app"), settings).reason
        assert Reason.CLAIM_FOREIGN is refused(issuer.token({"client_id": "x"}), settings).reason


def _changed(**members: object) -> Callable[[FakeIssuer], str]:
    return lambda issuer: issuer.token({"aud": AUDIENCE, **members})


def _headed(**header: object) -> Callable[[FakeIssuer], str]:
    return lambda issuer: issuer.token(audience=AUDIENCE, header=header)


#: One token for each step before the key; `tokens/test_verification` has all that a step refuses.
CHEAP: dict[str, tuple[Callable[[FakeIssuer], str], Reason]] = {
    "too-large": (_changed(padding="x" * 20_000), Reason.TOO_LARGE),
    "no-token": (lambda _: "nonsense", Reason.NOT_COMPACT),
    "encrypted": (lambda _: "a.b.c.d.e", Reason.ENCRYPTED),
    "spare-bits": (lambda _: f"{b64(b'{}')}.AB.AA", Reason.ENCODING),
    "header-no-object": (lambda _: f"{b64(b'[]')}.AA.AA", Reason.HEADER),
    "alg-none": (_headed(alg="none"), Reason.ALGORITHM),
    "type-of-another": (_headed(typ="logout+jwt"), Reason.TYPE),
    "critical": (_headed(crit=["exp"]), Reason.CRITICAL),
    "kid-a-number": (_headed(kid=5), Reason.KEY_ID),
    "payload-no-object": (lambda _: mint_raw(b'{"alg":"ES256"}', b"[]"), Reason.PAYLOAD),
    "issuer-unknown": (_changed(iss="https://evil.example"), Reason.CLAIM_FOREIGN),
    "expired": (_changed(exp=1), Reason.EXPIRED),
    "exp-absent": (_changed(exp=None), Reason.CLAIM_MISSING),
    "not-yet": (_changed(nbf=9_999_999_999), Reason.NOT_YET_VALID),
    "issued-in-the-future": (_changed(iat=9_999_999_999), Reason.NOT_YET_VALID),
    "subject-a-number": (_changed(sub=5), Reason.CLAIM_INVALID),
    "audience-of-another": (_changed(aud="other"), Reason.CLAIM_FOREIGN),
    "bound-to-a-key": (_changed(cnf={"jkt": "x"}), Reason.CONFIRMATION),
}


class TestCheap:
    @each_configuration
    @pytest.mark.parametrize(("make", "reason"), CHEAP.values(), ids=CHEAP)
    def test_attack_a_token_that_makes_this_service_ask(
        self,
        issuer: FakeIssuer,
        configured: Configuration,
        make: Callable[[FakeIssuer], str],
        reason: Reason,
    ) -> None:
        """A token that no key could make valid is refused before keys are fetched."""
        error = refused(make(issuer), configured(issuer))

        assert isinstance(error, InvalidTokenError)
        assert reason is error.reason
        assert [] == issuer.requests

    @pytest.mark.parametrize("issuer_claim", [None, 5, ["a"], {"a": 1}, True, ""])
    def test_an_issuer_that_is_no_name(self, issuer: FakeIssuer, issuer_claim: object) -> None:
        """Whatever a token has as `iss`, it is refused in order."""
        token = mint(claims(now=time.time(), iss=issuer_claim, aud=AUDIENCE))

        assert Reason.CLAIM_FOREIGN is refused(token, among_others(issuer)).reason


class TestAttacks:
    def test_keys_are_not_pooled(self, issuer: FakeIssuer, other: FakeIssuer) -> None:
        """A good key of one accepted issuer, under the same name, signs for no other one."""
        issuer.rotate(kid="same")
        other.rotate(kid="same")
        settings = settings_for(issuer, other)
        forged = issuer.token(audience=AUDIENCE, key=other.signing_key)
        assert accepted(other.token(audience=AUDIENCE), settings)

        assert isinstance(refused(forged, settings), SignatureError)
        assert accepted(issuer.token(audience=AUDIENCE), settings)

    def test_the_secret_of_one_issuer_for_another(self, issuer: FakeIssuer) -> None:
        """A shared secret signs for the issuer that it is configured for."""
        settings = among_others(issuer)
        forged = mint(claims(now=time.time(), iss=issuer.issuer, aud=AUDIENCE))

        assert Reason.ALGORITHM is refused(forged, settings).reason
        assert [] == issuer.requests


class TestOutage:
    @each_configuration
    def test_the_answer_is_not_known(self, issuer: FakeIssuer, configured: Configuration) -> None:
        """Without keys a token is neither good nor bad, and its `kid` is known for the log."""
        issuer.down()

        error = refused(issuer.token(audience=AUDIENCE), configured(issuer))

        assert isinstance(error, KeysUnavailableError)
        assert not isinstance(error, InvalidTokenError)
        assert (None, issuer.signing_key.kid) == (error.code, error.kid)
        assert 1 <= error.retry_after <= 2


class TestStart:
    def test_with_all_keys_fetched(self, issuer: FakeIssuer, other: FakeIssuer) -> None:
        """`refresh_keys` fetches those of every issuer and says how that went."""
        settings = settings_for(issuer, other)
        other.down()

        health = asyncio.run(settings.refresh_keys())

        assert {"0": True, "1": False} == {name: one.fresh for name, one in health.items()}
        assert "it refuses connections" in str(health["1"].last_error)


class TestEachItsOwn:
    def test_algorithms(self, issuer: FakeIssuer) -> None:
        """What one issuer may sign with is not what another may."""
        with FakeIssuer(algorithm="EdDSA") as other:
            settings = JWTSettings(
                issuers={
                    "a": discovering(issuer, algorithm="ES256"),
                    "b": discovering(other, algorithm="EdDSA"),
                }
            )
            issuer.publish(other.signing_key.jwk)
            foreign = issuer.token(audience=AUDIENCE, key=other.signing_key)

            assert accepted(other.token(audience=AUDIENCE), settings)
            assert Reason.ALGORITHM is refused(foreign, settings).reason
            assert [] == issuer.requests

    def test_audiences(self, issuer: FakeIssuer, other: FakeIssuer) -> None:
        """The audience that one issuer knows this service by is not the other's."""
        settings = JWTSettings(
            issuers={"a": discovering(issuer), "b": discovering(other, audience="backend")}
        )

        assert accepted(issuer.token(audience=AUDIENCE), settings)
        assert accepted(other.token(audience="backend"), settings)
        assert Reason.CLAIM_FOREIGN is refused(issuer.token(audience="backend"), settings).reason
        assert Reason.CLAIM_FOREIGN is refused(other.token(audience=AUDIENCE), settings).reason

    def test_clocks(self, issuer: FakeIssuer, other: FakeIssuer) -> None:
        """A clock difference is forgiven where it is known."""
        settings = JWTSettings(
            issuers={"a": discovering(issuer, leeway=120), "b": discovering(other, leeway=0)}
        )
        before = time.time() - 100

        late, too_late = (
            one.token(audience=AUDIENCE, now=before, expires_in=40) for one in (issuer, other)
        )

        assert accepted(late, settings)
        assert Reason.EXPIRED is refused(too_late, settings).reason
