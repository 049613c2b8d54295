"""The JWK Set URL comes from the issuer's own metadata document."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jwt_deps.keys import Fetcher, FetchError, well_known_urls
from jwt_deps.keys.discovery import discover
from jwt_deps.testing import Answer, FakeIssuer

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
#: Of which each of three places gets a third: what does not answer is waited for that long.
TIMEOUT = 3.0
#: One of each kind; `test_fetching` has the statuses that are an outage.
OUTAGES = {
    "500": Answer(status=500),
    "cut": Answer(cut=True, body=b"{}"),
    "hang": Answer(hang=True),
}


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """An issuer with a path, as tenants of one provider have it."""
    with FakeIssuer(algorithm="ES256", path="/realms/a") as running:
        yield running


def found(issuer: FakeIssuer, name: str | None = None, seconds: float = 60) -> str:
    """Discover where the keys are."""
    name = name or issuer.issuer
    fetcher = Fetcher(allow_loopback=True)
    urls = well_known_urls(name)
    return asyncio.run(discover(name, urls, fetcher, seconds=seconds))


def lost(issuer: FakeIssuer, name: str | None = None, seconds: float = 60) -> FetchError:
    """Fail to discover it, and return why."""
    with pytest.raises(FetchError) as failed:
        found(issuer, name, seconds)
    return failed.value


def asked(issuer: FakeIssuer) -> list[str]:
    """Return which paths were asked for, in this order."""
    return [request.path for request in issuer.requests]


class TestPlaces:
    @pytest.mark.parametrize(
        ("issuer", "urls"),
        [
            pytest.param(
                "https://a.example",
                (f"https://a.example{OAUTH}", f"https://a.example{OPENID}"),
                id="no-path",
            ),
            pytest.param(
                "https://a.example/",
                (f"https://a.example{OAUTH}", f"https://a.example{OPENID}"),
                id="slash",
            ),
            pytest.param(
                "https://a.example:8443/realms/a",
                (
                    f"https://a.example:8443{OAUTH}/realms/a",
                    f"https://a.example:8443{OPENID}/realms/a",
                    f"https://a.example:8443/realms/a{OPENID}",
                ),
                id="path",
            ),
            pytest.param(
                "https://a.example/realms/a/",
                (
                    f"https://a.example{OAUTH}/realms/a",
                    f"https://a.example{OPENID}/realms/a",
                    f"https://a.example/realms/a{OPENID}",
                ),
                id="path-and-slash",
            ),
        ],
    )
    def test_order(self, issuer: str, urls: tuple[str, ...]) -> None:
        """RFC 8414 puts the well-known part before the issuer's path, OpenID Connect behind it."""
        assert urls == well_known_urls(issuer)

    @pytest.mark.parametrize("path", ["", "/", "/realms/a", "/realms/a/"])
    def test_the_first_that_has_it(self, path: str) -> None:
        """The first place that has the document is enough, whatever the issuer's path."""
        with FakeIssuer(algorithm="ES256", path=path) as issuer:
            assert issuer.jwks_url == found(issuer)
            assert [f"{OAUTH}{path.rstrip('/')}"] == asked(issuer)
            assert "cache-control" not in issuer.requests[0].headers

    def test_the_last_that_has_it(self, issuer: FakeIssuer) -> None:
        """A place without it is passed over, and the next one asked."""
        issuer.discovery_paths = {f"/realms/a{OPENID}"}

        assert issuer.jwks_url == found(issuer)
        assert [f"{OAUTH}/realms/a", f"{OPENID}/realms/a", f"/realms/a{OPENID}"] == asked(issuer)

    def test_none_has_it(self, issuer: FakeIssuer) -> None:
        """The error names every place that was asked, the most likely one first."""
        issuer.discovery_paths = set()

        failed = lost(issuer)

        origin = issuer.issuer.removesuffix("/realms/a")
        urls = [f"{origin}{path}" for path in reversed(asked(issuer))]
        assert str(failed) == (
            "; ".join(f"{url!r} answered with status 404" for url in urls)
            + "; JWT_DISCOVERY_URL (discovery_url) can say where the document is"
        )
        assert not failed.outage

    @pytest.mark.parametrize(
        "answer",
        [
            *(Answer(status=status) for status in (400, 401, 403, 404, 410)),
            Answer.redirect("http://127.0.0.1:1/"),
            Answer.html(),
            Answer(body=b""),
            Answer(body=b"[]"),
            Answer(body=b'{"issuer": "a", "issuer": "b"}'),
            Answer(body=b"\xff"),
            Answer(body=b"[" * 10_000),
        ],
        ids=[
            *("400", "401", "403", "404", "410", "redirect", "page-for-people", "empty"),
            *("array", "member-twice", "not-utf-8", "nested-deeply"),
        ],
    )
    def test_answers_that_are_not_the_document(self, issuer: FakeIssuer, answer: Answer) -> None:
        """A provider that answers something else may have the document elsewhere: all are asked."""
        issuer.discovery = answer

        failed = lost(issuer)

        assert (3, False) == (len(issuer.requests), failed.outage)

    @pytest.mark.parametrize("answer", OUTAGES.values(), ids=OUTAGES)
    def test_an_outage_at_all_places(self, issuer: FakeIssuer, answer: Answer) -> None:
        """None is left out, each within its share of the time, and the error names them all."""
        issuer.discovery = answer
        began = time.monotonic()

        failed = lost(issuer, seconds=TIMEOUT)

        assert time.monotonic() - began < 2 * TIMEOUT
        assert (3, True) == (len(issuer.requests), failed.outage)
        assert 3 == str(failed).count("'http://")
        assert "JWT_DISCOVERY_URL (discovery_url)" in str(failed)

    @pytest.mark.parametrize("answer", OUTAGES.values(), ids=OUTAGES)
    def test_an_outage_and_no_document(self, issuer: FakeIssuer, answer: Answer) -> None:
        """Where one place gave no answer, the others do not show that there is no document."""
        issuer.discovery_paths = {f"{OPENID}/realms/a"}
        issuer.discovery = answer

        failed = lost(issuer, seconds=TIMEOUT)

        assert (3, True) == (len(issuer.requests), failed.outage)

    def test_connections_refused(self, issuer: FakeIssuer) -> None:
        """The same when the connection is refused."""
        issuer.down()

        assert lost(issuer).outage


class TestDocument:
    @pytest.mark.parametrize(
        "change",
        [
            lambda name: f"{name}/",
            lambda name: name.upper(),
            lambda name: name.replace("http:", "https:"),
            lambda name: name.replace("/realms/a", "/realms/b"),
            lambda name: f" {name}",
            lambda _: "https://evil.example",
            lambda _: None,
            lambda name: [name],
            lambda _: 5,
        ],
        ids=[*("slash", "case", "scheme", "tenant", "space", "other", "null", "list", "number")],
    )
    def test_attack_the_document_of_another_issuer(self, issuer: FakeIssuer, change: Any) -> None:
        """The two are identical or it is not the issuer's own, and the error shows both."""
        named = issuer.metadata["issuer"] = change(issuer.issuer)

        failed = lost(issuer)

        assert f"is {str(named)!r} and the one configured {issuer.issuer!r}" in str(failed)
        assert "identical, to the last slash" in str(failed)
        assert 0 == issuer.count("jwks")

    def test_the_slash_at_the_end_counts_the_other_way_too(self) -> None:
        """An issuer that has the slash is not the one that lacks it."""
        with FakeIssuer(algorithm="ES256", path="/") as issuer:
            assert issuer.jwks_url == found(issuer)
            assert "identical" in str(lost(issuer, issuer.issuer.removesuffix("/")))

    def test_attack_a_name_that_fills_the_log(self, issuer: FakeIssuer) -> None:
        """What a document says is quoted up to a length, and on one line."""
        issuer.metadata["issuer"] = "a\n" * 10_000

        said = str(lost(issuer))

        assert "\n" not in said
        assert len(said) < 3000

    @pytest.mark.parametrize(
        ("jwks_uri", "why"),
        [
            pytest.param(None, "names no jwks_uri", id="null"),
            pytest.param(5, "names no jwks_uri", id="number"),
            pytest.param(["https://a.example/"], "names no jwks_uri", id="list"),
            pytest.param("", "is not a URL", id="empty"),
            pytest.param("/jwks.json", "names no host", id="relative"),
            pytest.param("http://a.example/keys", "does not begin with https://", id="http"),
            pytest.param("http://169.254.169.254/", "does not begin with https://", id="metadata"),
            pytest.param("http://2130706433/", "does not begin with https://", id="decimal"),
            pytest.param("file:///etc/passwd", "names no host", id="file"),
            pytest.param("https://u:leaky@a.example/", "holds credentials", id="credentials"),
            pytest.param("https://a.example/#a", "has a fragment", id="fragment"),
        ],
    )
    def test_attack_keys_from_where_none_may_come(
        self, issuer: FakeIssuer, jwks_uri: object, why: str
    ) -> None:
        """The place has to be one that could have been configured; the error does not quote it."""
        issuer.metadata["jwks_uri"] = jwks_uri

        failed = lost(issuer)

        assert why in str(failed)
        assert "leaky" not in str(failed)
        assert not failed.outage

    def test_what_else_it_says_changes_nothing(self, issuer: FakeIssuer) -> None:
        """Neither algorithms nor audiences are taken from it."""
        issuer.metadata |= {"id_token_signing_alg_values_supported": ["none"], "jwks": {}}

        assert issuer.jwks_url == found(issuer)
