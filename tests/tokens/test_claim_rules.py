"""What a token must say beside the registered rules: audience, age, required claims."""

import asyncio
from typing import Any, ClassVar

import pytest

from jwt_deps.errors import ClaimError, ExpiredTokenError, Reason, Step
from jwt_deps.settings import IssuerSettings, JWTSettings
from jwt_deps.tokens import Outcome, authenticate_token, explain_token
from tests.minting import NOW, SECRET, claims, mint
from tests.verifying import verify


def settings(**values: Any) -> JWTSettings:
    return JWTSettings(secret_key=SECRET, **values)


def refusal(using: JWTSettings, now: float = NOW, **members: Any) -> Any:
    """The error for a token with these claims; `None` if it is accepted."""
    present = {name: it for name, it in claims(**members).items() if it is not ...}
    try:
        verify(mint(present), using, clock=lambda: now)
    except (ClaimError, ExpiredTokenError) as error:
        return error
    return None


class TestAudience:
    @pytest.mark.parametrize("aud", ["api", ["api"], [], None, 7], ids=repr)
    def test_of_which_nothing_is_configured_is_refused(self, aud: Any) -> None:
        """RFC 7519 §4.1.3: who does not identify itself with it must reject the token."""
        error = refusal(settings(), aud=aud)

        assert (Reason.CLAIM_FOREIGN, "aud", Step.AUDIENCE) == (
            error.reason,
            error.claim,
            error.step,
        )

    def test_none_is_needed_then(self) -> None:
        """A token without one is for everyone."""
        assert refusal(settings()) is None

    def test_can_be_left_unverified_by_name(self, caplog: pytest.LogCaptureFixture) -> None:
        """`verify_audience=False` accepts it, and is said at start."""
        unverified = settings(verify_audience=False)

        assert refusal(unverified, aud="another") is None
        assert [
            "JWT_VERIFY_AUDIENCE is false: tokens that were made for other services are accepted"
        ] == caplog.messages

    def test_of_one_of_several_issuers_is_said_too(self, caplog: pytest.LogCaptureFixture) -> None:
        """Any of them lets such tokens in."""
        one = IssuerSettings(secret_key=SECRET, issuer="https://a", verify_audience=False)

        JWTSettings(issuers={"a": one})

        assert ["JWT_VERIFY_AUDIENCE" in it for it in caplog.messages] == [True]

    @pytest.mark.parametrize(
        ("configured", "aud", "reason"),
        [
            pytest.param("app", ..., None, id="no-aud"),
            pytest.param(["app", "api"], ["x", "api"], None, id="both-accepted"),
            pytest.param("app", "another", Reason.CLAIM_FOREIGN, id="another-service"),
            pytest.param("app", [], Reason.CLAIM_FOREIGN, id="no-service"),
            pytest.param("app", 7, Reason.CLAIM_INVALID, id="no-text"),
            pytest.param(None, "another", Reason.CLAIM_FOREIGN, id="none-configured"),
        ],
    )
    def test_attack_a_token_for_another_service_of_the_same_client(
        self, configured: Any, aud: Any, reason: Reason | None
    ) -> None:
        """`aud` counts where it is present, also if another claim names the audience.

        Clients that say for which service a token is (RFC 8707) get it so from Cognito.
        """
        client: dict[str, Any] = {} if configured is None else {"client_id": "app"}
        using = settings(audience=configured, audience_claim="client_id")

        error = refusal(using, aud=aud, **client)

        assert reason == (error and error.reason)

    def test_can_be_nested(self) -> None:
        """`audience_claim` is a path as the others."""
        nested = settings(audience="api", audience_claim='ctx."a.b".for')

        assert refusal(nested, ctx={"a.b": {"for": ["api"]}}) is None
        assert Reason.CLAIM_FOREIGN == refusal(nested, ctx={"a.b": {"for": "x"}}).reason
        assert Reason.CLAIM_MISSING == refusal(nested, ctx={"a.b": {}}).reason
        assert (
            Reason.CLAIM_FOREIGN
            == refusal(settings(audience_claim="ctx.for"), ctx={"for": "x"}).reason
        )


class TestAge:
    OLD = settings(max_token_age=60, leeway=5)

    @pytest.mark.parametrize(
        ("now", "accepted"), [(NOW + 64, True), (NOW + 65, False), (NOW + 200, False)]
    )
    def test_is_limited(self, now: float, accepted: bool) -> None:  # noqa: FBT001
        """Seconds since `iat`, leeway added, though `exp` is later."""
        error = refusal(self.OLD, now)

        assert error is None if accepted else isinstance(error, ExpiredTokenError)

    def test_needs_iat(self) -> None:
        """Of a token without one it is not known."""
        error = refusal(self.OLD, iat=...)

        assert (Reason.CLAIM_MISSING, "iat") == (error.reason, error.claim)

    def test_holds_for_cached_tokens(self) -> None:
        """Also without `exp`."""
        using = settings(max_token_age=60, leeway=0, require_exp=False)
        token = mint({"sub": "alice", "iat": int(NOW)})

        def status(now: float) -> Any:
            try:
                asyncio.run(authenticate_token(token, using, clock=lambda: now))
            except ExpiredTokenError as error:
                return error.reason
            return None

        assert [None, None, Reason.EXPIRED] == [status(it) for it in (NOW, NOW + 59, NOW + 60)]

    def test_a_claim_within_the_leeway_is_not_named(self) -> None:
        """A token is not valid yet because of the other one."""
        error = refusal(settings(leeway=10), nbf=NOW + 5, iat=NOW + 60)

        assert (Reason.NOT_YET_VALID, "iat") == (error.reason, error.claim)


class TestRequiredClaims:
    NEEDED = settings(required_claims=["tenant", "org.id", '"a.b"'])
    GOOD: ClassVar[dict[str, Any]] = {"tenant": 7, "org": {"id": ""}, "a.b": False}

    def test_are_there(self) -> None:
        """Any value but `null` will do."""
        assert refusal(self.NEEDED, **self.GOOD) is None

    @pytest.mark.parametrize(
        ("name", "members"),
        [
            ("tenant", {"tenant": ...}),
            ("tenant", {"tenant": None}),
            ("org.id", {"org": {}}),
            ("org.id", {"org": "id"}),
            ('"a.b"', {"a.b": ...}),
        ],
    )
    def test_are_missing(self, name: str, members: dict[str, Any]) -> None:
        """401, as for a registered claim."""
        error = refusal(self.NEEDED, **{**self.GOOD, **members})

        assert (Reason.CLAIM_MISSING, name, Step.CLAIMS) == (
            error.reason,
            error.claim,
            error.step,
        )

    async def _outcomes(self, using: JWTSettings) -> dict[Step, Outcome]:
        told = await explain_token(mint(claims()), using, clock=lambda: NOW)
        return {finding.step: finding.outcome for finding in told.findings}

    def test_are_explained_where_there_are_some(self) -> None:
        """`jwt-deps inspect` has a line for them."""
        assert Outcome.REFUSED is asyncio.run(self._outcomes(self.NEEDED))[Step.CLAIMS]
        assert Step.CLAIMS not in asyncio.run(self._outcomes(settings()))
