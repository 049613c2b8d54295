"""Which tokens an entry names, when it ends, and that a revoked token is never accepted again."""

import asyncio
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jwt_deps import (
    AnyRevocation,
    ConfigurationError,
    JWTSettings,
    MemoryRevocations,
    RedisRevocations,
    RevocationUnavailableError,
    RevokedTokenError,
    protected_router,
)
from jwt_deps.revocation.entries import Entries, Kind, Revocation, minute_after
from jwt_deps.testing import FakeIssuer
from jwt_deps.tokens import Outcome, authenticate_token, explain_token
from tests.keys.asking import AUDIENCE, settings_for
from tests.minting import NOW, SECRET, claims, mint

A, B = "https://a.example", "https://b.example"
TOKEN = claims(iss=A, jti="1", sid="s", session_id="t", iat=NOW)


def named(token: Mapping[str, Any], **what: Any) -> bool:
    """Whether a token is revoked by one call of `revoke`, at NOW."""
    revocations = MemoryRevocations(clock=lambda: NOW)
    revocations.revoke(**what)
    return revocations.is_revoked(token)


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        pytest.param(True, {"jti": "1", "issuer": A}, id="jti"),
        pytest.param(True, {"jti": "1"}, id="jti-of-every-issuer"),
        pytest.param(False, {"jti": "1", "issuer": B}, id="jti-of-another-issuer"),
        pytest.param(False, {"jti": "2", "issuer": A}, id="another-jti"),
        pytest.param(True, {"session": "s", "issuer": A}, id="sid"),
        pytest.param(True, {"session": "t"}, id="session_id"),
        pytest.param(False, {"session": "u"}, id="another-session"),
        pytest.param(True, {"subject": "alice"}, id="subject"),
        pytest.param(False, {"subject": "bob"}, id="another-subject"),
        pytest.param(True, {"issuer": A}, id="issuer"),
        pytest.param(False, {"issuer": B}, id="another-issuer"),
    ],
)
def test_what_an_entry_names(expected: bool, what: dict[str, str]) -> None:  # noqa: FBT001
    """The tokens that it says, and no others."""
    assert expected == named(TOKEN, **what)


@pytest.mark.parametrize("what", [{"subject": "alice"}, {"issuer": A}], ids=["subject", "issuer"])
@pytest.mark.parametrize(
    ("expected", "issued"),
    [
        pytest.param(True, {"iat": NOW - 1}, id="before"),
        pytest.param(True, {"iat": NOW}, id="in-that-second"),
        pytest.param(False, {"iat": NOW + 1}, id="after"),
        pytest.param(True, {}, id="without-iat"),
    ],
)
def test_what_was_issued_until_then(
    expected: bool,  # noqa: FBT001
    issued: dict[str, int],
    what: dict[str, str],
) -> None:
    """A user can sign in again; a token that does not say when it was issued is an old one."""
    assert expected == named({"iss": A, "sub": "alice", **issued}, **what)


def test_names_that_are_numbers_or_nested() -> None:
    """Some issuers number their users, or nest what names a session; other types name nothing."""
    revocations = MemoryRevocations(session_claims=["ctx.session"], subject_claims=["uid"])
    revocations.revoke(session="s")
    for name in (7, "8", "7.5", "True", "None"):
        revocations.revoke(subject=name)

    assert revocations.is_revoked({"ctx": {"session": "s"}})
    assert revocations.is_revoked({"uid": 7})
    assert revocations.is_revoked({"uid": "7"})
    assert revocations.is_revoked({"uid": 8})
    assert not revocations.is_revoked({"uid": True, "ctx": "s"})
    assert not revocations.is_revoked({"uid": 7.5, "ctx": {}, "iss": 3})
    assert not revocations.is_revoked({})


def test_one_claim_may_be_a_text() -> None:
    """It is no list of letters."""
    revocations = MemoryRevocations(session_claims="ctx.session", subject_claims="uid")
    revocations.revoke(session="s")
    revocations.revoke(subject="alice")

    assert revocations.is_revoked({"ctx": {"session": "s"}})
    assert revocations.is_revoked({"uid": "alice"})


@pytest.mark.parametrize("names", ["sid,session_id", ["sid", "a..b"], "", " sid"], ids=repr)
@pytest.mark.parametrize("what", ["session_claims", "subject_claims"])
def test_names_that_no_claim_has(what: str, names: Any) -> None:
    """They are refused: a revocation by them would revoke nothing."""
    options = {what: names}
    with pytest.raises(ConfigurationError, match="session_claims or subject_claims: a name "):
        MemoryRevocations(**options)


def test_what_is_revoked_again_ends_when_it_would_have() -> None:
    """A moment later, in the same stretch of time: the tokens of that moment are named too."""
    now = [float(NOW)]
    revocations = MemoryRevocations(clock=lambda: now[0])
    revocations.revoke(subject="alice")
    now[0] += 0.001
    revocations.revoke(subject="alice")

    assert revocations.is_revoked({"sub": "alice", "iat": NOW + 0.0005})


def test_a_session_is_revoked_by_the_id_that_it_has_for_endpoints() -> None:
    """In whatever claim the settings of its issuer find it."""
    revocations = MemoryRevocations()
    revocations.revoke(session="s")
    settings = JWTSettings(**SETTINGS, session_id_claim="ctx.session", revocation=revocations)

    assert accepted(mint(claims(ctx={"session": "t"})), settings)
    assert not accepted(mint(claims(ctx={"session": "s"})), settings)


def test_without_a_source_nothing_is_refused() -> None:
    """Without a source no token is revoked, and there is no replica to be well."""
    assert accepted(mint(TOKEN), JWTSettings(**SETTINGS))
    settings = JWTSettings(secret_key=SECRET, revocation=MemoryRevocations())
    assert settings.revocation_health() is None


def test_the_later_revocation_wins() -> None:
    """Revoking again never makes less of what was revoked, of one issuer or of all."""
    now = float(NOW)
    revocations = MemoryRevocations(clock=lambda: now)
    revocations.revoke(subject="alice", issuer=A)
    now += 100
    revocations.revoke(subject="alice")
    now -= 50
    revocations.revoke(subject="alice", issuer=A)
    revocations.revoke(subject="alice", issuer=A)

    assert revocations.is_revoked({"iss": A, "sub": "alice", "iat": NOW + 100})
    assert not revocations.is_revoked({"iss": A, "sub": "alice", "iat": NOW + 101})
    assert revocations.is_revoked({"iss": B, "sub": "alice", "iat": NOW + 100})
    now += 150
    revocations.revoke(subject="alice", issuer=B)
    assert revocations.is_revoked({"iss": B, "sub": "alice", "iat": NOW + 200})


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"jti": "1", "subject": "alice"}, id="two"),
        pytest.param({"jti": ""}, id="empty"),
        pytest.param({"issuer": ""}, id="empty-issuer"),
        pytest.param({"jti": uuid.UUID(int=1)}, id="uuid"),
        pytest.param({"session": b"s"}, id="bytes"),
        pytest.param({"subject": True}, id="bool"),
        pytest.param({"subject": "alice", "issuer": 1}, id="issuer-of-another-type"),
        pytest.param({"session": "s\ud800"}, id="attack-half-of-a-surrogate-pair"),
        pytest.param({"jti": "\udcff"}, id="attack-octets-that-are-no-utf-8"),
        pytest.param({"issuer": "https://\udfff"}, id="attack-half-a-pair-as-issuer"),
        pytest.param({"session": None, "issuer": "https://a"}, id="attack-a-token-has-no-session"),
        pytest.param({"jti": None, "issuer": "https://a"}, id="attack-a-token-has-no-jti"),
        pytest.param({"subject": None, "issuer": "https://a"}, id="attack-a-token-has-no-user"),
        pytest.param({"session": None, "subject": "alice"}, id="no-session-and-a-user"),
        pytest.param({"jti": "1", "expires": float("nan")}, id="no-time"),
        pytest.param({"jti": "1", "expires": float("inf")}, id="at-no-time"),
        pytest.param({"jti": "1", "expires": 10**400}, id="in-no-time-that-there-is"),
        pytest.param({"jti": "1", "expires": "5"}, id="a-time-as-text"),
    ],
)
def test_what_cannot_be_revoked(what: dict[str, Any]) -> None:
    """A call that says nothing clear changes nothing."""
    revocations = MemoryRevocations()

    with pytest.raises(ValueError, match=r"a name|name one|no time"):
        revocations.revoke(**what)

    assert 0 == len(revocations)


def test_a_lifetime_may_be_a_second() -> None:
    """Or less."""
    revocations = MemoryRevocations(longest_lifetime=1)
    revocations.revoke(session="s")

    assert revocations.is_revoked({"sid": "s"})


def test_without_a_lifetime_an_entry_is_kept_for_a_month() -> None:
    """Which is longer than tokens live."""
    now = float(NOW)
    revocations = MemoryRevocations(clock=lambda: now, age_clock=lambda: now)
    revocations.revoke(session="s")
    now += 30 * 86_400
    revocations.revoke(session="t")
    assert 2 == len(revocations)

    now += 600
    revocations.revoke(session="u")

    assert 2 == len(revocations)


def test_what_a_server_has_is_not_sent_to_it_again() -> None:
    """Also where an entry was known for a shorter time, or another one ends with it."""
    entries = Entries((), ())
    entry = Revocation(Kind.JTI, None, "a", None, NOW)
    entries.add(entry, epoch=1)
    entries.add(entry._replace(until=NOW + 600), epoch=2)
    entries.add(entry, epoch=2)
    entries.add(entry._replace(name="b"), epoch=2)

    assert [] == list(entries.unseen(2))
    assert not entries.is_unseen(entry, 2)
    assert not entries.is_unseen(entry._replace(name="c"), 2)


def test_what_is_revoked_again_takes_no_more_memory() -> None:
    """Until it ends, however often that is."""
    entries = Entries((), ())
    for _ in range(3):
        entries.add(Revocation(Kind.JTI, None, "a", None, 600))

    assert [{(Kind.JTI, None): ["a"]}] == list(entries._ends.values())


@pytest.mark.parametrize("order", [1, -1], ids=["longer-later", "longer-first"])
def test_what_goes_further_than_a_server_has_is_sent_to_it(order: int) -> None:
    """Of two entries for one user, the later end and the later `iat`."""
    entries = Entries((), ())
    entry = Revocation(Kind.SUBJECT, None, "alice", 1, 6000)
    for read in (entry._replace(until=600, issued_until=2), entry)[::order]:
        entries.add(read, epoch=1)

    assert [entry._replace(issued_until=2)] == list(entries.unseen(1))


def test_expires_is_that_of_one_token() -> None:
    """A session can have tokens that live longer: its entry is kept for the longest of them."""
    now = float(NOW)
    revocations = MemoryRevocations(longest_lifetime=3600, clock=lambda: now)
    revocations.revoke(session="s", expires=NOW + 1)
    now += 1000
    revocations.revoke(jti="x")

    assert revocations.is_revoked({"sid": "s"})


def test_entries_end_with_what_they_name() -> None:
    """Each stays until its tokens have ended, with the largest leeway, and then makes room."""
    now = float(NOW)
    revocations = MemoryRevocations(
        longest_lifetime=3600, clock=lambda: now, age_clock=lambda: now - 5
    )
    for number in range(100):
        revocations.revoke(jti=str(number), expires=NOW + 100, issuer=A)
    revocations.revoke(subject="alice")
    revocations.revoke(jti="99", expires=NOW + 2000, issuer=A)
    now += 100 + 299
    revocations.revoke(jti="99", issuer=A)
    assert revocations.is_revoked({"jti": "98", "iss": A})

    now += 1
    revocations.revoke(jti="x")

    entries = revocations._entries
    assert {"99", "alice", "x"} == {entry.name for entry in entries.unseen(1)}
    assert "alice" not in repr(list(entries.unseen(1)))
    now += 5000
    unsent = entries.unseen(1)
    next(unsent)
    entries.drop_ended(now)
    assert [] == list(unsent)
    assert "<MemoryRevocations with 0 entries>" == repr(revocations)
    assert not any((*entries._tables.values(), entries._ends, entries._order, entries._shared))


def test_entries_end_by_the_minute() -> None:
    """With its end, and not before."""
    entries = Entries((), ())
    entries.add(Revocation(Kind.JTI, None, "a", None, minute_after(61)))

    for now, left in ((119, 1), (120, 0)):
        entries.drop_ended(now)
        assert left == len(entries)


SETTINGS: dict[str, Any] = {"secret_key": SECRET, "leeway": 0, "_env_prefix": "UNSET_"}


def accepted(token: str, settings: JWTSettings, now: float = NOW) -> bool:
    """Whether a request with the token would pass."""
    try:
        asyncio.run(authenticate_token(token, settings, clock=lambda: now))
    except RevokedTokenError as error:
        return ("revoked", "revocation") != (error.reason, error.step)
    return True


def test_a_remembered_token_is_refused_once_revoked() -> None:
    """The cache of verified tokens never outlives a revocation."""
    revocations = MemoryRevocations()
    settings = JWTSettings(**SETTINGS, revocation=revocations)
    token, other = mint(TOKEN), mint({**TOKEN, "jti": "2"})
    assert accepted(token, settings)
    assert accepted(other, settings)

    revocations.revoke(jti="1", issuer=A)

    assert not accepted(token, settings)
    assert not accepted(token, settings)
    assert accepted(other, settings)


def test_a_token_without_a_user_is_refused_once_revoked() -> None:
    """One of a service, for instance."""
    revocations = MemoryRevocations()
    settings = JWTSettings(**SETTINGS, revocation=revocations)
    token = mint({name: it for name, it in TOKEN.items() if name != "sub"})
    assert accepted(token, settings)

    revocations.revoke(jti="1", issuer=A)

    assert not accepted(token, settings)


class Fetching:
    """A source that has to fetch something; what it says is set by the test."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.prepared = 0

    def is_revoked(self, _: Mapping[str, Any]) -> Any:
        return self.answers.pop(0)

    async def prepare(self, _: Mapping[str, Any]) -> None:
        self.prepared += 1


class Plain:
    """The smallest source that there can be."""

    def __init__(self, answer: bool | None) -> None:  # noqa: FBT001
        self.answer = answer

    def is_revoked(self, _: Mapping[str, Any]) -> bool | None:
        return self.answer


def test_a_source_that_fetches() -> None:
    """It is awaited when it does not know, and asked again."""
    source = Fetching(*(None, False), *(None, True))
    settings = JWTSettings(**SETTINGS, revocation=source)

    assert accepted(mint(TOKEN), settings)
    assert not accepted(mint(TOKEN), settings)
    assert 2 == source.prepared


def test_among_several_sources_only_those_fetch_that_have_to() -> None:
    """In however many layers they are."""
    sure, fetching = Fetching(*[False] * 3), Fetching(*[None, None, False])
    sources = AnyRevocation(sure, AnyRevocation(fetching, Plain(answer=False)))

    assert accepted(mint(TOKEN), JWTSettings(**SETTINGS, revocation=sources))
    assert (0, 1) == (sure.prepared, fetching.prepared)


def test_a_token_that_one_source_calls_revoked_while_another_is_out_of_reach() -> None:
    """It is refused; one that is not revoked cannot be checked."""

    class OutOfReach:
        def is_revoked(self, _: Mapping[str, Any]) -> bool:
            raise RevocationUnavailableError

    def settings(*, revoked: bool) -> JWTSettings:
        return JWTSettings(**SETTINGS, revocation=AnyRevocation(OutOfReach(), Plain(revoked)))

    assert not accepted(mint(TOKEN), settings(revoked=True))
    with pytest.raises(RevocationUnavailableError):
        accepted(mint(TOKEN), settings(revoked=False))


def test_nothing_is_fetched_for_a_token_that_another_source_calls_revoked() -> None:
    """One answer is enough."""
    fetching = Fetching(None)
    sources = AnyRevocation(fetching, Plain(answer=True))

    assert not accepted(mint(TOKEN), JWTSettings(**SETTINGS, revocation=sources))
    assert 0 == fetching.prepared


@pytest.mark.parametrize(
    "source",
    [
        Plain(None),
        Fetching(None, None),
        AnyRevocation(Fetching(*[None, None, False]), Plain(None)),
        AnyRevocation(Fetching(None, None, None), Plain(answer=False)),
    ],
    ids=["forgot-to-answer", "fetched-in-vain", "one-of-two-forgot", "one-of-two-in-vain"],
)
def test_a_source_that_does_not_know_refuses(source: Any) -> None:
    """An unknown state is an outage (503), never an acceptance."""
    settings = JWTSettings(**SETTINGS, revocation=source)

    with pytest.raises(RevocationUnavailableError) as caught:
        asyncio.run(authenticate_token(mint(TOKEN), settings, clock=lambda: NOW))

    assert ("revocation_unavailable", 1) == (caught.value.reason, caught.value.retry_after)


def test_several_sources() -> None:
    """One that says so is enough, and all have to say no."""
    yes, no, unknown = Plain(answer=True), Plain(answer=False), Plain(None)

    assert True is AnyRevocation(no, yes).is_revoked({})
    assert True is AnyRevocation(unknown, yes).is_revoked({})
    assert False is AnyRevocation(no, no).is_revoked({})
    assert None is AnyRevocation(no, unknown).is_revoked({})
    fetching = Fetching(None)
    asyncio.run(AnyRevocation(no, fetching).prepare({}))
    assert 1 == fetching.prepared


@pytest.mark.parametrize(
    ("sources", "said"),
    [([MemoryRevocations], "an object with is_revoked"), ([], "no source")],
    ids=["class", "none"],
)
def test_what_is_no_source(sources: list[Any], said: str) -> None:
    """Each request would fail, or nothing would be revoked."""
    for source in (AnyRevocation(*sources), *sources):
        with pytest.raises(ConfigurationError, match=said):
            JWTSettings(**SETTINGS, revocation=source)


def test_sources_that_work_in_the_background() -> None:
    """They begin and stop with the application, each time; the others do not notice."""

    class Managed(Plain):
        calls = ""

        def open(self) -> None:
            self.calls += "open "

        def close(self) -> None:
            self.calls += "close "

    managed = Managed(answer=False)
    settings = JWTSettings(**SETTINGS, revocation=AnyRevocation(managed, Plain(answer=False)))

    app = FastAPI()
    app.include_router(protected_router(settings=settings))

    for _ in range(2):
        with TestClient(app):
            managed.calls += "serve "

    assert 2 * "open serve close " == managed.calls
    assert None is settings.revocation_health()


def test_the_health_of_a_replica_at_any_depth() -> None:
    """It is asked wherever it is among the sources."""
    replica = RedisRevocations("redis://127.0.0.1:1")
    several = AnyRevocation(Plain(answer=False), AnyRevocation(replica, Plain(answer=False)))

    assert JWTSettings(**SETTINGS, revocation=several).revocation_health() is not None


def test_a_source_belongs_into_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable cannot be one."""
    monkeypatch.setenv("JWT_REVOCATION", "redis://somewhere")

    with pytest.raises(ConfigurationError, match="cannot be set in the environment"):
        JWTSettings(secret_key=SECRET)


def test_an_explanation_asks_too() -> None:
    """`jwt-deps inspect` shows what a request would meet."""
    revocations = MemoryRevocations()
    settings = JWTSettings(**SETTINGS, revocation=revocations)
    token = mint(TOKEN)

    before = asyncio.run(explain_token(token, settings, clock=lambda: NOW))
    revocations.revoke(session="s")
    after = asyncio.run(explain_token(token, settings, clock=lambda: NOW))
    late = asyncio.run(explain_token(token, settings, clock=lambda: NOW + 900))

    assert before.accepted
    assert Outcome.PASSED is before.findings[-1].outcome
    assert ("revocation", Outcome.REFUSED) == (after.findings[-1].step, after.findings[-1].outcome)
    assert Outcome.NOT_REACHED is late.findings[-1].outcome


NAMES = st.sampled_from(["1", "2"])
ISSUERS = st.sampled_from([A, B])


class RevokedStaysRevoked(RuleBasedStateMachine):
    """Tokens of two issuers are used and revoked while time goes by; a model says who may pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.revocations = MemoryRevocations(longest_lifetime=600, clock=lambda: self.now)
        self.settings = [
            JWTSettings(**SETTINGS, revocation=self.revocations, token_cache_size=size)
            for size in (0, 4)
        ]
        self.tokens: list[dict[str, Any]] = []
        self.revoked: set[int] = set()

    @rule(jti=NAMES, session=NAMES, subject=NAMES, issuer=ISSUERS)
    def issue(self, jti: str, session: str, subject: str, issuer: str) -> None:
        if len(self.tokens) < 20:
            named = {"iss": issuer, "jti": jti, "sid": session, "sub": subject}
            self.tokens.append({**named, "iat": self.now, "exp": self.now + 600})

    @rule(claim=st.sampled_from(["jti", "sid", "sub"]), name=NAMES, issuer=st.none() | ISSUERS)
    def revoke(self, claim: str, name: str, issuer: str | None) -> None:
        word = {"jti": "jti", "sid": "session", "sub": "subject"}[claim]
        self.revocations.revoke(**{word: name}, issuer=issuer)  # type: ignore[arg-type]
        for number, token in enumerate(self.tokens):
            if token[claim] == name and issuer in {None, token["iss"]}:
                self.revoked.add(number)

    @rule(issuer=ISSUERS)
    def revoke_issuer(self, issuer: str) -> None:
        self.revocations.revoke(issuer=issuer)
        self.revoked |= {n for n, token in enumerate(self.tokens) if token["iss"] == issuer}

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def what_was_revoked_never_passes(self) -> None:
        for number, token in enumerate(self.tokens):
            if self.now >= token["exp"]:
                continue
            for settings in self.settings:
                passed = accepted(mint(token), settings, self.now)
                assert not (passed and number in self.revoked)


RevokedStaysRevoked.TestCase.settings = hypothesis_settings(
    max_examples=15, stateful_step_count=15, deadline=None
)
TestRevokedStaysRevoked = RevokedStaysRevoked.TestCase


def test_attack_a_clock_that_is_ahead_for_a_while() -> None:
    """A machine that resumes, until its clock is set: what was revoked stays revoked."""
    now, ahead = 0.0, -NOW
    revocations = MemoryRevocations(clock=lambda: NOW + now + ahead, age_clock=lambda: now)
    ahead = 0  # set before anything is revoked
    revocations.revoke(jti="1", expires=NOW + 3600)
    ahead = 7200
    revocations.revoke(subject="bob")
    ahead = 0

    assert revocations.is_revoked({"jti": "1"})
    now += 3600 + 360
    revocations.revoke(subject="carol")
    assert not revocations.is_revoked({"jti": "1"})


def test_a_clock_that_is_behind_until_it_is_set() -> None:
    """A machine without a battery: entries end all the same."""
    now, behind = 0.0, 50 * 365 * 86_400
    revocations = MemoryRevocations(clock=lambda: NOW + now - behind, age_clock=lambda: now)
    revocations.revoke(jti="first", expires=NOW - behind + 60)
    behind = 0

    for number in range(100):
        revocations.revoke(jti=str(number), expires=NOW + now + 60)
        now += 60

    assert len(revocations) < 10


def test_attack_a_revocation_while_the_clock_is_ahead() -> None:
    """By that clock the token has ended; it is kept for as long as one can live."""
    now, ahead = 0.0, 7200.0
    revocations = MemoryRevocations(
        longest_lifetime=3600, clock=lambda: NOW + now + ahead, age_clock=lambda: now
    )
    revocations.revoke(jti="1", expires=NOW + 1800)
    now += 60
    revocations.revoke(subject="bob")
    ahead = 0

    assert revocations.is_revoked({"jti": "1"})
    now += 7200
    revocations.revoke(subject="carol")
    assert not revocations.is_revoked({"jti": "1"})


def test_a_clock_that_is_set_back() -> None:
    """By it the token lives on: so does its revocation, however long ago that was."""
    now, behind = 0.0, 0.0
    revocations = MemoryRevocations(clock=lambda: NOW + now - behind, age_clock=lambda: now)
    revocations.revoke(jti="1", expires=NOW + 60)
    behind = 7200
    now += 3600
    revocations.revoke(subject="carol")

    assert revocations.is_revoked({"jti": "1"})


def test_attack_two_threads_that_revoke_at_once() -> None:
    """As endpoints that are plain functions do: neither drops what the other one has added."""
    now = float(NOW)

    class Interrupted(float):
        """An age; once it is compared, another thread goes on."""

        def __ge__(self, other: float) -> bool:
            met = super().__ge__(other)
            if not second.ident:
                second.start()
                second.join(0.2)
            return met

    def age() -> float:
        return now if threading.current_thread() is second else Interrupted(now)

    revocations = MemoryRevocations(clock=lambda: now, age_clock=age)
    second = threading.Thread(target=revocations.revoke, kwargs={"jti": "2", "expires": NOW + 7200})
    revocations.revoke(jti="ended", expires=now)
    now += 3600
    revocations.revoke(jti="1", expires=NOW + 7200)
    second.join()

    assert revocations.is_revoked({"jti": "1"})
    assert revocations.is_revoked({"jti": "2"})
    assert not revocations.is_revoked({"jti": "ended"})


def test_real_time_is_the_default() -> None:
    """A token issued a minute from now is not named by a revocation of now."""
    revocations = MemoryRevocations()
    revocations.revoke(subject="alice")

    assert not revocations.is_revoked({"sub": "alice", "iat": time.time() + 60})


def test_the_answers_of_a_request() -> None:
    """401 with the challenge of the table for a revoked token, 503 for an unknown state."""
    source = Plain(answer=False)
    router = APIRouter()

    @router.get("/me")
    async def me() -> None: ...

    app = FastAPI()
    settings = JWTSettings(**SETTINGS, revocation=source)
    app.include_router(protected_router(router, settings=settings))
    bearer = {"Authorization": f"Bearer {mint({**TOKEN, 'iat': 1, 'exp': 1 << 33})}"}
    with TestClient(app) as client:
        assert 200 == client.get("/me", headers=bearer).status_code
        source.answer = True
        revoked = client.get("/me", headers=bearer)
        source.answer = None
        unknown = client.get("/me", headers=bearer)

    assert (401, {"detail": "Invalid token: it was revoked"}) == (
        revoked.status_code,
        revoked.json(),
    )
    assert (
        'Bearer error="invalid_token", error_description="The access token was revoked"'
        == revoked.headers["WWW-Authenticate"]
    )
    assert (503, "1") == (unknown.status_code, unknown.headers["Retry-After"])
    assert "WWW-Authenticate" not in unknown.headers


@pytest.mark.parametrize("revoked", [False, True], ids=["good", "revoked"])
def test_a_token_whose_keys_are_fetched_first(revoked: bool) -> None:  # noqa: FBT001
    """The first request that waits for keys asks too."""
    revocations = MemoryRevocations()
    with FakeIssuer(algorithm="ES256") as issuer:
        settings = settings_for(issuer, revocation=revocations)
        token = issuer.token({"sub": "alice", "jti": "1"}, audience=AUDIENCE)
        if revoked:
            revocations.revoke(jti="1")

        try:
            found = asyncio.run(authenticate_token(token, settings)).user_id
        except RevokedTokenError:
            found = "revoked"

    assert found == ("revoked" if revoked else "alice")


async def _later(*_: object) -> bool:
    return False


@pytest.mark.parametrize("name", ["is_revoked", "open", "close"])
@pytest.mark.parametrize("several", [True, False], ids=["among several", "alone"])
def test_a_source_with_async_methods_is_refused(name: str, *, several: bool) -> None:
    """What it returns would count as revoked, and `open` would never run."""
    methods: dict[str, Any] = dict.fromkeys(("is_revoked", "open", "close"), lambda *_: False)
    source: Any = type("Source", (), {**methods, name: _later})()
    with pytest.raises(ConfigurationError, match="prepare"):
        JWTSettings(secret_key=SECRET, revocation=AnyRevocation(source) if several else source)
