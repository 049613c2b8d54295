"""Every check of a token has a finding, and a request gets the first refusal."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import (
    AuthError,
    ClaimError,
    IssuerSettings,
    JWTSettings,
    MemoryRevocations,
    Reason,
    Step,
)
from jwt_deps.testing import Answer, FakeIssuer
from jwt_deps.tokens import HINTS, Explanation, Outcome, explain_token, explanation_of
from jwt_deps.tokens.verify import verify
from tests.minting import NOW, OTHER_SECRET, SECRET, claims, clock, compact, mint, mint_raw
from tests.property.strategies import (
    reproducible,
    shaped_texts,
    signed_tokens,
    texts,
    unsigned_tokens,
)

SETTINGS = JWTSettings(secret_key=SECRET, issuer="https://issuer.test", audience="api")
GOOD = claims(iss="https://issuer.test", aud="api")
ORDER = [
    *(Step.SIZE, Step.FORM, Step.HEADER, Step.PAYLOAD, Step.ISSUER, Step.TIMES, Step.SUBJECT),
    *(Step.AUDIENCE, Step.CONFIRMATION, Step.KEY, Step.SIGNATURE),
]


def explained(token: str, settings: JWTSettings = SETTINGS) -> Explanation:
    return asyncio.run(explain_token(token, settings, clock=clock))


def outcomes(explanation: Explanation) -> dict[Step, str]:
    return {finding.step: finding.outcome.value for finding in explanation.findings}


def with_(**members: Any) -> dict[str, Any]:
    return {**GOOD, **members}


def test_a_good_token_passes_every_check_in_the_order_of_the_contract() -> None:
    """And nothing else is asked."""
    explanation = explained(mint(GOOD))

    assert explanation.accepted
    assert dict.fromkeys(ORDER, "passed") == outcomes(explanation)
    assert ORDER == list(outcomes(explanation))


PARSING = [
    pytest.param("x" * 20_000, Step.SIZE, Reason.TOO_LARGE, id="too-long"),
    pytest.param("x.y", Step.FORM, Reason.NOT_COMPACT, id="two-parts"),
    pytest.param("a.b.c.d.e", Step.FORM, Reason.ENCRYPTED, id="encrypted"),
    pytest.param("a.b.c", Step.FORM, Reason.ENCODING, id="no-base64url"),
    pytest.param(compact(b"[]", b"{}", b"x"), Step.HEADER, Reason.HEADER, id="header-array"),
    pytest.param(mint(GOOD, header={"alg": "none"}), Step.HEADER, Reason.ALGORITHM, id="none"),
    pytest.param(mint(GOOD, header={"typ": "dpop+jwt"}), Step.HEADER, Reason.TYPE, id="typ"),
    pytest.param(mint(GOOD, header={"crit": ["x"]}), Step.HEADER, Reason.CRITICAL, id="crit"),
    pytest.param(mint(GOOD, header={"b64": False}), Step.HEADER, Reason.CRITICAL, id="b64"),
    pytest.param(mint(GOOD, header={"kid": 1}), Step.HEADER, Reason.KEY_ID, id="kid"),
]


@pytest.mark.parametrize(("token", "step", "reason"), PARSING)
def test_what_cannot_be_taken_apart_is_checked_no_further(
    token: str, step: Step, reason: Reason
) -> None:
    """Those before have passed, those behind are not reached."""
    explanation = explained(token)
    place = ORDER.index(step)

    assert (reason, step) == (explanation.error and explanation.error.reason, step)
    assert outcomes(explanation) == {
        **dict.fromkeys(ORDER[:place], "passed"),
        step: "refused",
        **dict.fromkeys(ORDER[place + 1 :], "not reached"),
    }


CLAIMS = [
    pytest.param(with_(exp=NOW - 60), Step.TIMES, Reason.EXPIRED, id="expired"),
    pytest.param(with_(exp="soon"), Step.TIMES, Reason.CLAIM_INVALID, id="exp-text"),
    pytest.param(with_(nbf=NOW + 60), Step.TIMES, Reason.NOT_YET_VALID, id="not-yet"),
    pytest.param(with_(sub=1), Step.SUBJECT, Reason.CLAIM_INVALID, id="sub-number"),
    pytest.param(with_(jti=1), Step.SUBJECT, Reason.CLAIM_INVALID, id="jti-number"),
    pytest.param(with_(iss="https://x.test"), Step.ISSUER, Reason.CLAIM_FOREIGN, id="iss"),
    pytest.param(with_(aud="other"), Step.AUDIENCE, Reason.CLAIM_FOREIGN, id="aud"),
    pytest.param(with_(aud=1), Step.AUDIENCE, Reason.CLAIM_INVALID, id="aud-number"),
    pytest.param(with_(cnf={"jkt": "x"}), Step.CONFIRMATION, Reason.CONFIRMATION, id="cnf"),
]


@pytest.mark.parametrize(("members", "step", "reason"), CLAIMS)
def test_a_claim_that_is_refused_hides_no_other(
    members: Mapping[str, object], step: Step, reason: Reason
) -> None:
    """Every other check is made all the same."""
    explanation = explained(mint(members))
    refused = {one.step: one.error for one in explanation.findings if one.error is not None}

    assert {step: reason} == {at: error.reason for at, error in refused.items()}
    assert dict.fromkeys(ORDER, "passed") | {step: "refused"} == outcomes(explanation)


def test_several_mistakes_are_all_told() -> None:
    """The error is the first of them, which is what a request gets."""
    settings = JWTSettings(secret_key=SECRET, audience="api", required_claims=["tenant"])
    explanation = explained(mint(with_(exp=NOW - 60, aud="other"), OTHER_SECRET), settings)
    refused = [one.step for one in explanation.findings if one.outcome is Outcome.REFUSED]

    assert [Step.TIMES, Step.AUDIENCE, Step.CLAIMS, Step.SIGNATURE] == refused
    assert explanation.error is not None
    assert Step.TIMES is explanation.error.step


@pytest.mark.parametrize(("sub", "expected"), [("alice", None), (None, "sub")])
def test_the_claim_in_which_a_token_names_no_user_is_told(
    sub: str | None, expected: str | None
) -> None:
    """It is accepted all the same, and refused where a user is asked for."""
    members = {name: it for name, it in with_(sub=sub).items() if it is not None}

    explanation = explained(mint(members))

    assert (True, expected) == (explanation.accepted, explanation.without_user)


def test_a_payload_that_cannot_be_read_leaves_its_claims_unreached() -> None:
    """The signature is checked all the same."""
    found = outcomes(explained(mint_raw(b'{"alg":"HS256"}', b"[]")))

    assert ("passed", "refused") == (found[Step.SIGNATURE], found[Step.PAYLOAD])
    assert {"not reached"} == {found[step] for step in ORDER[4:-2]}


def test_an_unknown_key_leaves_the_signature_unreached(tmp_path: Any) -> None:
    """There is nothing to check it with."""
    issuer = FakeIssuer(algorithm="ES256")
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(issuer.jwk_set))
    settings = JWTSettings(jwks_file=path, algorithm="ES256")
    token = issuer.signing_key.sign({"alg": "ES256", "kid": "another"}, claims())

    found = outcomes(explained(token, settings))

    assert ("refused", "not reached") == (found[Step.KEY], found[Step.SIGNATURE])


class TestFetchedKeys:
    def test_the_order_is_that_of_configured_keys(self) -> None:
        """What needs no key comes first: a token that is refused anyway causes no fetch."""
        with FakeIssuer() as issuer:
            settings = _remote(issuer)
            token = issuer.token({"sub": "alice"}, audience="api", now=NOW)

            explanation = explained(token, settings)

        assert explanation.accepted
        assert dict.fromkeys(ORDER, "passed") == outcomes(explanation)
        assert ORDER == list(outcomes(explanation))

    def test_an_outage_is_no_fault_of_the_token(self) -> None:
        """The key is what is missing."""
        with FakeIssuer() as issuer:
            settings = _remote(issuer)
            issuer.jwks = Answer(status=500)
            explanation = explained(issuer.token(audience="api", now=NOW), settings)

        assert explanation.error is not None
        assert Reason.KEYS_UNAVAILABLE is explanation.error.reason
        assert "refused" == outcomes(explanation)[Step.KEY]


class TestSeveralIssuers:
    SETTINGS = JWTSettings(
        issuers={
            "a": IssuerSettings(secret_key=SECRET, issuer="https://a.test", audience="api"),
            "b": IssuerSettings(
                secret_key=OTHER_SECRET, issuer="https://b.test", algorithm="HS512", audience="api"
            ),
        }
    )

    def test_a_token_is_checked_by_the_settings_of_its_issuer(self) -> None:
        """And by no other's."""
        token = mint(claims(iss="https://b.test", aud="api"), OTHER_SECRET, "HS512")

        assert explained(token, self.SETTINGS).accepted

    def test_nothing_can_be_checked_for_an_issuer_that_is_not_accepted(self) -> None:
        """No settings say how to check its token."""
        explanation = explained(mint(claims(iss="https://c.test")), self.SETTINGS)

        assert {
            **dict.fromkeys((Step.SIZE, Step.FORM, Step.HEADER, Step.PAYLOAD), "passed"),
            Step.ISSUER: "refused",
        } == {
            step: found for step, found in outcomes(explanation).items() if found != "not reached"
        }

    def test_an_algorithm_of_another_issuer_is_refused_with_the_header(self) -> None:
        """It is in the allow-list of the whole, and not in this one's."""
        token = mint(claims(iss="https://b.test", aud="api"), OTHER_SECRET)
        found = outcomes(explained(token, self.SETTINGS))

        assert "refused" == found[Step.HEADER]

    def test_an_unreadable_payload_names_no_issuer(self) -> None:
        """So there is no one to ask."""
        found = outcomes(explained(mint_raw(b'{"alg":"HS256"}', b"[]"), self.SETTINGS))

        assert ("refused", "not reached") == (found[Step.PAYLOAD], found[Step.ISSUER])


ISSUERS = JWTSettings(
    issuers={
        name: IssuerSettings(
            secret_key=SECRET, issuer=f"https://{name}.test", audience="api", user_id_prefix=prefix
        )
        for name, prefix in (("a", ""), ("b", "b|"))
    }
)
REVOKED = MemoryRevocations()
REVOKED.revoke(subject="u1")


@pytest.mark.parametrize(
    ("settings", "members", "step"),
    [
        pytest.param(
            ISSUERS,
            {"iss": "https://a.test", "aud": "api", "sub": "b|eve"},
            Step.CLAIMS,
            id="the-prefix-of-another-issuer",
        ),
        pytest.param(
            JWTSettings(secret_key=SECRET, user_id_claim="uid", revocation=REVOKED),
            {"uid": "u1"},
            Step.REVOCATION,
            id="a-user-id-revoked",
        ),
        pytest.param(
            JWTSettings(
                secret_key=SECRET,
                dpop="required",
                public_origin="https://api.test",
                revocation=REVOKED,
            ),
            {},
            Step.CONFIRMATION,
            id="dpop-required",
        ),
    ],
)
def test_what_a_request_is_refused_for_beyond_its_token_is_explained(
    settings: JWTSettings, members: dict[str, Any], step: Step
) -> None:
    """The user that it names, revocations by that, a key that it has to be bound to."""
    explanation = explained(mint(claims(**members)), settings)

    assert "refused" == outcomes(explanation)[step]
    assert (False, step) == (explanation.accepted, explanation.error and explanation.error.step)
    assert "not reached" not in outcomes(explanation).values()


@given(
    secret=st.sampled_from([SECRET, OTHER_SECRET]),
    header=st.sampled_from([{}, {"typ": "x"}, {"alg": "none"}, {"kid": "k"}, {"crit": []}]),
    members=st.fixed_dictionaries(
        {},
        optional={
            "exp": st.sampled_from([NOW - 60, NOW + 60, "x", True]),
            "sub": st.sampled_from(["alice", 1]),
            "aud": st.sampled_from(["api", "x", ["x", "api"], []]),
            "cnf": st.just({}),
        },
    ),
    cut=st.integers(0, 3),
)
def test_the_first_refusal_is_what_a_request_gets(
    secret: str, header: dict[str, Any], members: dict[str, Any], cut: int
) -> None:
    """Whatever is wrong, and however much of it."""
    token = mint(with_(**members), secret, header=header)
    token = token[: len(token) - cut]
    expected: AuthError | None = None
    try:
        asyncio.run(verify(token, SETTINGS, clock=clock))
    except AuthError as error:
        expected = error

    explanation = explained(token)

    first = next((one.error for one in explanation.findings if one.error is not None), None)
    assert (expected and expected.reason) == (first and first.reason)
    assert (expected and expected.reason) == (explanation.error and explanation.error.reason)


@reproducible
@given(texts | shaped_texts | unsigned_tokens | signed_tokens)
def test_whatever_the_text_is_it_is_explained(text: str) -> None:
    """Garbage and forgeries too: nothing raises, and what is told repeats none of it."""
    explanation = explained(text)

    first = next((one for one in explanation.findings if one.error is not None), None)
    assert explanation.accepted is (first is None)
    for error in (one.error for one in explanation.findings if one.error is not None):
        told = "".join((*explanation_of(error).values(), repr(explanation), str(error)))
        assert [part for part in text.split(".") if len(part) > 16 and part in told] == []
    if first is not None:
        assert first.error is not None
        assert explanation.error is not None
        assert (explanation.error.reason, first.step) == (
            first.error.reason,
            explanation.error.step,
        )


@reproducible
@given(texts | shaped_texts | unsigned_tokens | signed_tokens)
def test_several_issuers_are_no_exception(text: str) -> None:
    """A refusal of a request is among the findings."""
    explanation = explained(text, TestSeveralIssuers.SETTINGS)

    reasons = [one.error.reason for one in explanation.findings if one.error is not None]
    assert (explanation.error is None) is (reasons == [])
    assert explanation.error is None or explanation.error.reason in reasons


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_hint(reason: Reason) -> None:
    """One sentence that says what to do."""
    assert HINTS[reason].endswith(".")


def test_every_finding_has_a_title() -> None:
    """The command line prints it."""
    assert all(finding.title for finding in explained(mint(GOOD)).findings)


def test_what_is_told_of_an_error_is_names() -> None:
    """Names and a page; a claim's name is cut where a token could have chosen it."""
    told = explanation_of(ClaimError(Reason.CLAIM_INVALID, "x" * 100, "it is wrong"))

    hint = HINTS[Reason.CLAIM_INVALID]
    named = {"reason": "claim_invalid", "step": "claims", "claim": "x" * 64}
    assert {**named, "hint": hint, "see": "jwt-deps explain claim_invalid"} == told


def _remote(issuer: FakeIssuer) -> JWTSettings:
    return JWTSettings(
        jwks_url=issuer.jwks_url, issuer=issuer.issuer, audience="api", allow_loopback=True
    )


@pytest.mark.parametrize(
    ("mode", "bound"), [("required", {"cnf": {"jkt": "x"}}), ("allowed", {})], ids=["bound", "not"]
)
def test_a_token_that_is_bound_as_it_has_to_be_is_accepted(
    mode: Any, bound: dict[str, Any]
) -> None:
    """The key itself is proved with each request."""
    settings = JWTSettings(secret_key=SECRET, dpop=mode, public_origin="https://api.test")

    assert explained(mint(claims(**bound)), settings).accepted


def test_a_function_for_issuers_that_fails() -> None:
    """The issuer of the token is not known to be another one."""

    def failing(_: str) -> IssuerSettings | None:
        raise OSError

    found = outcomes(explained(mint(GOOD), JWTSettings(issuers=failing)))

    assert ("not reached", "refused") == (found[Step.ISSUER], found[Step.KEY])
