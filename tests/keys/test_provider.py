"""The keys of an issuer: discovery, one fetch, and conditional requests."""

import asyncio
import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import jwt_deps.keys.http as fetching_module
from jwt_deps.keys import Fetcher, FetchError, HTTPKeyProvider, JWKSCacheSettings, KeyCache
from jwt_deps.keys.http import refuse_address
from jwt_deps.keys.provider import JWKSetResponse
from jwt_deps.testing import Answer, FakeIssuer, VirtualClock

POLICY = JWKSCacheSettings()
ALGORITHMS = ("RS256", "ES256")
LOCAL = Fetcher(allow_loopback=True)


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """An issuer on this machine."""
    with FakeIssuer(algorithm="ES256") as running:
        yield running


def provider_of(issuer: FakeIssuer, **options: Any) -> HTTPKeyProvider:
    """What asks an issuer."""
    defaults = {"algorithms": ALGORITHMS, "policy": POLICY, "fetcher": LOCAL, "most_unnamed": 1}
    return HTTPKeyProvider(issuer.issuer, **{**defaults, **options})


def fetch(
    provider: HTTPKeyProvider,
    known: JWKSetResponse | None = None,
    *,
    now: float = 0,
    forced: bool = False,
) -> JWKSetResponse:
    """Ask it."""
    return asyncio.run(provider.fetch(known, now=now, forced=forced))


def kids(published: JWKSetResponse) -> set[str]:
    """Return the names of the keys."""
    return set(published.keys.kids)


class TestPlace:
    def test_configured(self, issuer: FakeIssuer) -> None:
        """With a URL for the keys, no document is asked for."""
        published = fetch(provider_of(issuer, jwks_url=issuer.jwks_url))

        assert {issuer.signing_key.kid} == kids(published)
        assert 0 == issuer.count("discovery")

    def test_discovered(self, issuer: FakeIssuer) -> None:
        """What the document says is kept for an hour, and asked for again after that."""
        provider = provider_of(issuer)

        for now in (0, 600, 3599):
            fetch(provider, now=now)
        assert (1, 3) == (issuer.count("discovery"), issuer.count("jwks"))
        fetch(provider, now=3600)

        assert 2 == issuer.count("discovery")

    def test_of_the_document_overridden(self, issuer: FakeIssuer) -> None:
        """In a split network the document is asked for where the service can reach it.

        Wherever it is, it has to be the issuer's own.
        """
        provider = HTTPKeyProvider(
            "https://public.example",
            algorithms=ALGORITHMS,
            policy=POLICY,
            discovery_url=issuer.discovery_url,
            fetcher=LOCAL,
            most_unnamed=1,
        )
        with pytest.raises(FetchError, match="identical"):
            fetch(provider)
        issuer.metadata["issuer"] = "https://public.example"

        assert {issuer.signing_key.kid} == kids(fetch(provider))
        assert {"/.well-known/openid-configuration"} == {
            request.path for request in issuer.requests if request.endpoint == "discovery"
        }

    def test_on_another_host(self, issuer: FakeIssuer) -> None:
        """The keys may be elsewhere, as the document says."""
        with FakeIssuer(algorithm="ES256") as elsewhere:
            issuer.metadata["jwks_uri"] = elsewhere.jwks_url

            published = fetch(provider_of(issuer))

            assert {elsewhere.signing_key.kid} == kids(published)
            assert elsewhere.jwks_url == published.url

    def test_attack_a_document_that_points_inside_the_network(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A host that only the document names is not in a private network; the issuer's may be."""
        monkeypatch.setattr(
            fetching_module,
            "refuse_address",
            lambda _, **allowed: refuse_address("10.0.0.1", **allowed),
        )
        issuer.metadata["jwks_uri"] = issuer.jwks_url.replace("127.0.0.1", "localhost")

        with pytest.raises(FetchError, match="leads to a private address"):
            fetch(
                provider_of(
                    issuer, fetcher=Fetcher(allow_loopback=True, trusted_hosts={"127.0.0.1"})
                )
            )

        assert (1, 0) == (issuer.count("discovery"), issuer.count("jwks"))


class TestMoves:
    def test_the_keys_move_when_the_document_is_read_again(self, issuer: FakeIssuer) -> None:
        """A new place in a newer document holds from then on, and no old key survives it."""
        with FakeIssuer(algorithm="ES256") as elsewhere:
            provider = provider_of(issuer)
            known = fetch(provider)
            issuer.metadata["jwks_uri"] = elsewhere.jwks_url

            before = fetch(provider, known, now=3599)
            after = fetch(provider, before, now=3600)

            assert {issuer.signing_key.kid} == kids(before)
            assert {elsewhere.signing_key.kid} == kids(after)
            assert "if-none-match" not in elsewhere.requests[0].headers

    def test_the_keys_move_and_the_old_place_is_gone(self, issuer: FakeIssuer) -> None:
        """When nothing is at the old place, the document is asked at once for a new one."""
        with FakeIssuer(algorithm="ES256") as elsewhere:
            provider = provider_of(issuer)
            known = fetch(provider)
            issuer.metadata["jwks_uri"] = elsewhere.jwks_url
            issuer.jwks = Answer(status=404)

            assert {elsewhere.signing_key.kid} == kids(fetch(provider, known, now=1))
            assert {elsewhere.signing_key.kid} == kids(fetch(provider, known, now=2))
            assert 2 == issuer.count("discovery")

    def test_the_keys_fail_where_they_still_are(self, issuer: FakeIssuer) -> None:
        """When the document names the same place again, the failure is that of the keys."""
        provider = provider_of(issuer)
        known = fetch(provider)
        issuer.jwks = Answer(status=500)

        with pytest.raises(FetchError, match=r"jwks\.json' answered with status 500"):
            fetch(provider, known, now=1)

        assert (2, 2) == (issuer.count("discovery"), issuer.count("jwks"))

    @pytest.mark.parametrize(
        ("jwks", "discovery", "withdrawn"),
        [
            pytest.param(Answer(status=404), None, True, id="keys-gone"),
            pytest.param(Answer(status=410), Answer(status=500), True, id="keys-gone-document-out"),
            pytest.param(Answer(status=500), Answer(status=404), True, id="document-gone"),
            pytest.param(Answer(status=500), Answer(status=500), False, id="both-out"),
            pytest.param(Answer.html(), Answer.html(), False, id="pages-for-people"),
            pytest.param(Answer.html(status=403), None, False, id="not-for-this-service"),
        ],
    )
    def test_what_says_that_keys_are_withdrawn(
        self, issuer: FakeIssuer, jwks: Answer, discovery: Answer | None, *, withdrawn: bool
    ) -> None:
        """A healthy issuer's answer that there are none; an outage or a page says nothing."""
        provider = provider_of(issuer)
        known = fetch(provider)
        issuer.jwks, issuer.discovery = jwks, discovery

        with pytest.raises(FetchError) as failed:
            fetch(provider, known, now=1)

        assert withdrawn is failed.value.withdrawn

    @pytest.mark.parametrize(
        "answer", [Answer(status=500), Answer(cut=True)], ids=["status-500", "cut"]
    )
    def test_the_old_place_is_believed_while_the_document_is_out(
        self, issuer: FakeIssuer, answer: Answer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its outage alone takes no keys away until `stale_if_error` has passed, and is logged."""
        provider = provider_of(issuer)
        known = fetch(provider)
        issuer.discovery = answer

        again = fetch(provider, known, now=7199)

        assert known.keys is again.keys
        assert "keys are taken where they were" in caplog.text
        with pytest.raises(FetchError, match=r"status 500|cannot be fetched"):
            fetch(provider, known, now=7200)

    @pytest.mark.parametrize(
        "answer",
        [Answer(status=404), Answer.html(), Answer.json({"issuer": "https://evil.example"})],
        ids=["gone", "page-for-people", "another-issuers"],
    )
    def test_and_not_against_what_the_issuer_says(self, issuer: FakeIssuer, answer: Answer) -> None:
        """An answer that is none of its documents counts: only silence does not."""
        provider = provider_of(issuer)
        known = fetch(provider)
        issuer.discovery = answer

        with pytest.raises(FetchError):
            fetch(provider, known, now=3600)

    def test_a_document_that_hangs_does_not_take_the_keys_along(self, issuer: FakeIssuer) -> None:
        """Silence is an outage like any other: the keys are fetched where they were."""
        policy = JWKSCacheSettings(timeout=3, stale_if_error=7200)
        provider = provider_of(issuer, policy=policy)
        clock = VirtualClock(0)
        cache = KeyCache("issuer", provider, policy, clock=clock)
        asyncio.run(cache.refresh())
        issuer.discovery = Answer(hang=True)
        clock.advance(3600)

        failed = asyncio.run(cache.refresh())

        assert (None, 2) == (failed, issuer.count("jwks"))

    def test_the_keys_move_and_the_old_ones_are_still_in_the_old_place(
        self, issuer: FakeIssuer
    ) -> None:
        """For a key that is not known, a document of more than a minute ago is read again."""
        with FakeIssuer(algorithm="ES256") as elsewhere:
            provider = provider_of(issuer)
            known = fetch(provider)
            issuer.metadata["jwks_uri"] = elsewhere.jwks_url

            soon = fetch(provider, known, now=59, forced=True)
            later = fetch(provider, soon, now=60, forced=True)

            assert {issuer.signing_key.kid} == kids(soon)
            assert {elsewhere.signing_key.kid} == kids(later)
        assert 2 == issuer.count("discovery")

    def test_the_keys_move_and_the_old_place_hangs(self, issuer: FakeIssuer) -> None:
        """The first attempt takes all of the time, and the next one asks the document first."""
        policy = JWKSCacheSettings(timeout=0.5)
        with FakeIssuer(algorithm="ES256") as elsewhere:
            cache = KeyCache("issuer", provider_of(issuer, policy=policy), policy)
            asyncio.run(cache.refresh())
            issuer.metadata["jwks_uri"] = elsewhere.jwks_url
            issuer.jwks = Answer(hang=True)

            hanging = asyncio.run(cache.refresh())
            moved = [asyncio.run(cache.refresh()) for _ in range(2)]

            assert hanging is not None
            assert [None, None] == moved
            assert cache.response is not None
            assert {elsewhere.signing_key.kid} == kids(cache.response)
        assert 2 == issuer.count("discovery")

    @pytest.mark.parametrize(
        "answer", [Answer(status=503), Answer(hang=True)], ids=["status-503", "hang"]
    )
    def test_a_router_that_answers_for_the_other_places(self, answer: Answer) -> None:
        """A cold service finds the document at the last place, with time left for the keys."""
        policy = JWKSCacheSettings(timeout=4)
        with FakeIssuer(algorithm="ES256", path="/realms/a") as issuer:
            issuer.discovery_paths = {"/realms/a/.well-known/openid-configuration"}
            issuer.elsewhere = answer
            cache = KeyCache("issuer", provider_of(issuer, policy=policy), policy)

            failed = asyncio.run(cache.refresh())

            assert (None, 1) == (failed, issuer.count("jwks"))

    def test_all_places_hang(self) -> None:
        """The error says so, place by place, before the time for everything is over."""
        policy = JWKSCacheSettings(timeout=0.6)
        with FakeIssuer(algorithm="ES256", path="/realms/a") as issuer:
            issuer.discovery = Answer(hang=True)
            cache = KeyCache("issuer", provider_of(issuer, policy=policy), policy)

            failed = asyncio.run(cache.refresh())

            assert "JWT_DISCOVERY_URL (discovery_url)" in str(failed)
            assert 3 == str(failed).count("did not answer in time")


class TestAgain:
    def test_not_modified(self, issuer: FakeIssuer) -> None:
        """With 304 the keys are the same objects, and good for as long as it says."""
        provider = provider_of(issuer, jwks_url=issuer.jwks_url)
        known = fetch(provider)
        issuer.cache_control = "max-age=1200"

        again = fetch(provider, known)

        assert (known.keys, 600, 1200) == (again.keys, known.seconds, again.seconds)
        assert known.keys is again.keys
        assert known.etag == issuer.requests[1].headers["if-none-match"]

    def test_the_same_body(self, issuer: FakeIssuer) -> None:
        """With the same document under another tag no key is built again."""
        provider = provider_of(issuer, jwks_url=issuer.jwks_url)
        known = fetch(provider)
        issuer.jwks = Answer(headers={"etag": '"2"'})

        again = fetch(provider, known)

        assert known.keys is again.keys
        assert '"2"' == again.etag

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(lambda body: Answer(body=codecs.BOM_UTF8 + body), id="byte-order-mark"),
            pytest.param(lambda body: Answer(body=body, gzip=True), id="gzip"),
            pytest.param(lambda body: Answer(body=codecs.BOM_UTF8 + body, gzip=True), id="both"),
        ],
    )
    def test_documents_as_some_servers_send_them(
        self, issuer: FakeIssuer, answer: Callable[[bytes], Answer]
    ) -> None:
        """A byte order mark and a compression that was not asked for do not matter."""
        issuer.jwks = answer(json.dumps(issuer.jwk_set).encode())
        issuer.discovery = answer(json.dumps(issuer.metadata).encode())

        assert {issuer.signing_key.kid} == kids(fetch(provider_of(issuer)))

    def test_forced(self, issuer: FakeIssuer) -> None:
        """A forced fetch asks past every cache and without a condition."""
        provider = provider_of(issuer, jwks_url=issuer.jwks_url)
        known = fetch(provider)

        fetch(provider, known, forced=True)

        plain, forced = (request.headers for request in issuer.requests)
        assert ("cache-control" in plain, forced["cache-control"]) == (False, "no-cache")
        assert "if-none-match" not in forced

    def test_other_keys(self, issuer: FakeIssuer) -> None:
        """A new document replaces the old one whole."""
        provider = provider_of(issuer, jwks_url=issuer.jwks_url)
        known = fetch(provider)
        new = issuer.rotate(overlap=False)

        again = fetch(provider, known)
        assert {new.kid} == kids(again)
        assert "kty" not in repr(again)

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (Answer.html(), "is not a JWK Set"),
            (Answer(body=b""), "is not a JWK Set"),
            (Answer.json([]), "is not a JWK Set"),
            (Answer.json({}), "is not a JWK Set"),
            (Answer.json({"keys": {}}), "is not a JWK Set"),
            (Answer.json({"keys": "a"}), "is not a JWK Set"),
            (Answer.json({"keys": []}), "has no usable key for RS256, ES256"),
            (Answer.json({"keys": [{}] * 101}), "has more than 100 keys"),
            (Answer(body=b'{"keys": [], "keys": []}'), "is not a JWK Set"),
            (Answer(body=b'{"keys": [' + b"[" * 1000), "is not a JWK Set"),
        ],
        ids=[
            *("page-for-people", "empty", "array", "no-keys", "keys-an-object"),
            *("keys-a-string", "no-key"),
            *("too-many", "member-twice", "nested-deeply"),
        ],
    )
    def test_no_keys(self, issuer: FakeIssuer, answer: Answer, why: str) -> None:
        """A document without usable keys is a failure that names its place."""
        issuer.jwks = answer

        with pytest.raises(FetchError) as failed:
            fetch(provider_of(issuer, jwks_url=issuer.jwks_url))

        assert f"the document at {issuer.jwks_url!r} {why}" == str(failed.value)

    def test_the_query_of_a_url_is_not_told(self, issuer: FakeIssuer) -> None:
        """It may contain an API key."""
        issuer.jwks = Answer(status=500)
        provider = provider_of(issuer, jwks_url=f"{issuer.jwks_url}?api_key=leaky-value")

        with pytest.raises(FetchError) as failed:
            fetch(provider)

        assert "leaky-value" not in str(failed.value)
        assert "/jwks.json?api_key=leaky-value" == issuer.requests[0].path

        issuer.jwks = None
        assert "leaky-value" not in repr(fetch(provider))
