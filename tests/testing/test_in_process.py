"""An issuer that is asked in process is checked as one over HTTP."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from jwt_deps import AuthError, ConfigurationError, JWTSettings, Reason, StatusLists
from jwt_deps.errors import RevocationUnavailableError
from jwt_deps.testing import Answer, FakeIssuer, VirtualClock
from jwt_deps.tokens.verify import verify

URL = "https://login.example.com/realms/a"


@pytest.fixture(params=["in process", "over HTTP"])
def issuer(request: pytest.FixtureRequest) -> Iterator[FakeIssuer]:
    """The same issuer in both ways."""
    url = URL if request.param == "in process" else None
    with FakeIssuer(url=url, algorithm="ES256", path="/realms/a") as issuer:
        yield issuer


def outcome(issuer: FakeIssuer, settings: JWTSettings, token: str | None = None) -> str:
    """Who the token is of, or why it is refused."""
    token = token or issuer.token({"sub": "alice"}, audience="api")
    try:
        return str(asyncio.run(verify(token, settings)).claims["sub"])
    except AuthError as error:
        return error.reason


def problem(settings: JWTSettings) -> str:
    """What a fetch says went wrong, without the address."""
    asyncio.run(settings.refresh_keys())
    (health,) = settings.key_health().values()
    return (health.last_error or "nothing").rpartition("' ")[2].partition(";")[0]


class TestSettings:
    def test_its_tokens_are_taken(self, issuer: FakeIssuer) -> None:
        """By settings whose keys are found by discovery."""
        assert "alice" == outcome(issuer, issuer.settings("api"))
        assert (1, 1) == (issuer.count("discovery"), issuer.count("jwks"))

    def test_the_keys_can_be_at_a_known_place(self, issuer: FakeIssuer) -> None:
        settings = issuer.settings("api", jwks_url=issuer.jwks_url)

        assert ("alice", 0) == (outcome(issuer, settings), issuer.count("discovery"))

    def test_its_status_lists_are_asked_of_it(self, issuer: FakeIssuer) -> None:
        """Whatever fetches for these settings fetches from this issuer."""
        host = str(urlsplit(issuer.origin).hostname)
        source = StatusLists(issuer.settings("api"), hosts=[host])
        place = {"idx": 0, "uri": f"{issuer.origin}/statuses"}

        with suppress(RevocationUnavailableError):
            asyncio.run(source.prepare({"iss": URL, "status": {"status_list": place}}))

        assert 1 == issuer.count("other")

    def test_other_values_win(self, issuer: FakeIssuer) -> None:
        """And contradictions are told as ever."""
        settings = issuer.settings("other", algorithm="ES256", user_id_claim="user")

        assert (Reason.CLAIM_FOREIGN, "user") == (outcome(issuer, settings), settings.user_id_claim)
        with pytest.raises(ConfigurationError, match="exclude each other"):
            issuer.settings("api", jwks_url=issuer.jwks_url, discovery=True)

    def test_the_environment_has_no_say(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may hold the settings of something else."""
        monkeypatch.setenv("JWT_SECRET_KEY", "a")

        assert "alice" == outcome(issuer, issuer.settings("api"))

    def test_a_copy_asks_there_too(self, issuer: FakeIssuer) -> None:
        """With keys of its own."""
        settings = issuer.settings("other").model_copy(update={"audience": "api"})

        assert "alice" == outcome(issuer, settings)

    def test_its_own_address(self) -> None:
        """It stays to the letter."""
        issuers = [FakeIssuer(url=url) for url in (URL, "https://a.test/", "https://a.test")]

        assert [URL, "https://a.test/", "https://a.test"] == [it.issuer for it in issuers]
        assert ["https://login.example.com", f"{URL}/jwks.json"] == [
            issuers[0].origin,
            issuers[0].jwks_url,
        ]

    def test_another_address_refuses_connections(self) -> None:
        """As it would be without a network."""
        settings = FakeIssuer(url=URL).settings("api", jwks_url="https://other.test/jwks.json")

        assert "cannot be fetched: it refuses connections" == problem(settings)


class TestRotation:
    def test_a_new_key_is_found(self, issuer: FakeIssuer) -> None:
        """Within the limits of forced fetches."""
        settings = issuer.settings("api")
        before = outcome(issuer, settings)
        issuer.rotate()

        assert ("alice", "alice") == (before, outcome(issuer, settings))

    def test_a_key_that_was_withdrawn_is_forgotten(self, issuer: FakeIssuer) -> None:
        """When its time has passed, by the clock of the test."""
        clock = VirtualClock()
        settings = issuer.settings("api", clock=clock)
        token = issuer.token({"sub": "alice"}, audience="api")
        issuer.rotate()
        before = outcome(issuer, settings, token)
        issuer.withdraw(issuer.keys[0].kid)
        clock.advance(100_000)

        assert ("alice", Reason.UNKNOWN_KEY) == (before, outcome(issuer, settings, token))

    def test_what_has_not_changed_is_not_sent_again(self, issuer: FakeIssuer) -> None:
        """It is asked for by its version."""
        settings = issuer.settings("api")
        for _ in range(2):
            asyncio.run(settings.refresh_keys())

        assert "alice" == outcome(issuer, settings)
        assert "if-none-match" in issuer.requests[-1].headers


class TestTrouble:
    def test_outage(self, issuer: FakeIssuer) -> None:
        """For as long as the block lasts, whatever happens inside."""
        settings = issuer.settings("api")
        with suppress(KeyError), issuer.outage():
            during = problem(settings)
            raise KeyError

        assert ("cannot be fetched: it refuses connections", "nothing") == (
            during,
            problem(settings),
        )

    def test_latency(self, issuer: FakeIssuer) -> None:
        """On top of what an answer has by itself."""
        settings = issuer.settings("api", jwks_cache={"timeout": 0.5})
        with issuer.latency(60):
            during = problem(settings)
        after = problem(settings)
        with suppress(KeyError), issuer.latency(60):
            raise KeyError

        assert ("did not answer in time", "nothing") == (during, after)
        assert "nothing" == problem(settings)

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            pytest.param(Answer(status=500), "answered with status 500", id="error"),
            pytest.param(Answer.redirect("/"), "answered with status 302", id="redirect"),
            pytest.param(Answer.html(), "is not a JWK Set", id="page"),
            pytest.param(Answer.json({"keys": []}), "has no usable key", id="empty"),
            pytest.param(Answer(gzip=True), "nothing", id="gzip"),
            pytest.param(Answer(cut=True), "RemoteProtocolError", id="cut"),
            pytest.param(Answer(padding=math.inf), "more than 262144 bytes", id="endless"),
            pytest.param(Answer(padding=10), "nothing", id="padded"),
            pytest.param(Answer(drip=0.0001, chunked=True), "nothing", id="dripping"),
            pytest.param(Answer(hang=True), "no answer within 0.3 s", id="hanging"),
        ],
    )
    def test_answers(self, issuer: FakeIssuer, answer: Answer, expected: str) -> None:
        """All of them are judged alike."""
        settings = issuer.settings("api", jwks_cache={"timeout": 0.3} if answer.hang else {})
        issuer.jwks = answer

        assert expected in problem(settings)

    def test_a_stop_in_process_is_an_outage(self) -> None:
        issuer = FakeIssuer(url=URL)
        settings = issuer.settings("api")
        issuer.stop()
        stopped = problem(settings)
        issuer.start()

        assert ("cannot be fetched: it refuses connections", "nothing") == (
            stopped,
            problem(settings),
        )
