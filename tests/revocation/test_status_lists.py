"""Status lists are read as the draft says, and invalid ones are refused."""

import asyncio
import inspect
import re
import zlib
from asyncio import Event
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from jwt_deps import (
    ConfigurationError,
    IssuerSettings,
    JWTSettings,
    RevocationUnavailableError,
    RevokedTokenError,
    StatusLists,
)
from jwt_deps.keys import Fetched, Fetcher
from jwt_deps.revocation import refuse_revoked
from jwt_deps.testing import FakeIssuer
from jwt_deps.testing.answers import Answer
from jwt_deps.testing.server import LoopbackServer
from jwt_deps.tokens import authenticate_token
from tests.keys.asking import issuer_settings, resolving
from tests.keys.test_key_sources import own_address, serving
from tests.minting import NOW, OTHER_SECRET, SECRET, b64, claims, mint, mint_raw

ISSUER = "https://issuer.example"
TYPE = {"typ": "statuslist+jwt"}


class Publisher:
    """Serves one list, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.headers: Mapping[str, str] = {}
        self.answer = Answer(status=500)
        self.server = LoopbackServer(self._respond)
        self.server.listen()
        self.uri = f"{self.server.origin}/list"

    def _respond(self, _: str, headers: Mapping[str, str]) -> Answer:
        self.asked += 1
        self.headers = headers
        assert "application/statuslist+jwt" in headers.values()
        return self.answer

    def publish(
        self,
        *,
        bits: Any = 1,
        octets: bytes = b"\x02\x00",
        lst: str | None = None,
        header: Mapping[str, object] = TYPE,
        secret: str = SECRET,
        **members: object,
    ) -> None:
        """Publish a list in which place 1 is revoked, unless told otherwise."""
        packed = lst if lst is not None else b64(zlib.compress(octets))
        full = {"sub": self.uri, "iat": NOW, "status_list": {"bits": bits, "lst": packed}}
        token = mint({**full, **members}, secret, header=header)
        self.answer = Answer(body=token.encode())


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A server of the test's own."""
    made = Publisher()
    yield made
    made.server.close()


ISSUED = IssuerSettings(secret_key=SECRET, issuer=ISSUER, allow_loopback=True)


def lists(issuer: IssuerSettings = ISSUED, **options: Any) -> StatusLists:
    """The lists of one issuer, at NOW."""
    return StatusLists(issuer, **{"hosts": {"127.0.0.1"}, "clock": lambda: NOW, **options})


def token(status: object, **members: object) -> dict[str, Any]:
    """Claims of a token with a `status`."""
    return {**claims(iss=ISSUER, status=status), **members}


def place(publisher: Publisher, index: object = 0) -> dict[str, Any]:
    """Claims that name a place in the list."""
    return token({"status_list": {"idx": index, "uri": publisher.uri}})


def verdict(source: StatusLists, members: Mapping[str, object]) -> str:
    """What a request with such a token would get."""
    settings = JWTSettings(secret_key=SECRET, revocation=source, token_cache_size=0)
    try:
        asyncio.run(authenticate_token(mint(members), settings, clock=lambda: NOW))
    except RevokedTokenError:
        return "revoked"
    except RevocationUnavailableError:
        return "unavailable"
    return "accepted"


@pytest.mark.parametrize(
    ("expected", "bits", "index"),
    [
        pytest.param("accepted", 1, 0, id="valid"),
        pytest.param("revoked", 1, 1, id="invalid"),
        pytest.param("accepted", 1, 15, id="last"),
        pytest.param("revoked", 1, 16, id="out-of-range"),
        pytest.param("revoked", 2, 0, id="suspended"),
        pytest.param("accepted", 2, 1, id="two-bits"),
        pytest.param("accepted", 4, 1, id="four-bits"),
        pytest.param("revoked", 8, 0, id="eight-bits"),
        pytest.param("accepted", 8, 1, id="second-octet"),
        pytest.param("revoked", 1, -1, id="negative"),
        pytest.param("revoked", 1, False, id="no-number"),
    ],
)
def test_places(publisher: Publisher, expected: str, bits: int, index: object) -> None:
    """The least significant bits come first; whatever is not valid counts as revoked."""
    publisher.publish(bits=bits)

    assert expected == verdict(lists(), place(publisher, index))


@pytest.mark.parametrize(
    ("expected", "members"),
    [
        pytest.param("accepted", claims(iss=ISSUER), id="without-status"),
        pytest.param("accepted", claims(iss="b", status=1), id="of-another-issuer"),
        pytest.param("revoked", token(1), id="status-is-no-object"),
        pytest.param("revoked", token({}), id="another-mechanism"),
        pytest.param("revoked", token({"status_list": {"idx": 0}}), id="no-uri"),
        pytest.param("revoked", token({"status_list": {"idx": 0, "uri": 5}}), id="uri-a-number"),
        pytest.param(
            "revoked",
            token({"status_list": {"idx": 0, "uri": "https://evil.example/list"}}),
            id="attack-foreign-host",
        ),
    ],
)
def test_tokens_that_need_no_list(expected: str, members: dict[str, Any]) -> None:
    """Nothing is fetched for them."""
    assert expected == verdict(lists(), members)


def test_nothing_to_prepare() -> None:
    """A token without a place has nothing fetched."""
    asyncio.run(lists().prepare({}))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"header": {"typ": "JWT"}}, id="attack-access-token-as-list"),
        pytest.param({"header": {"typ": 1}}, id="type-a-number"),
        pytest.param({"header": {**TYPE, "crit": ["b64"]}}, id="critical"),
        pytest.param({"header": {**TYPE, "b64": False}}, id="b64-without-crit"),
        pytest.param({"header": {**TYPE, "kid": 1}}, id="kid"),
        pytest.param({"header": {**TYPE, "alg": "none"}}, id="attack-none"),
        pytest.param({"header": {**TYPE, "alg": []}}, id="alg"),
        pytest.param({"secret": OTHER_SECRET}, id="attack-forged"),
        pytest.param({"sub": "https://127.0.0.1/other"}, id="attack-another-list"),
        pytest.param({"iss": "https://other.example"}, id="another-issuer"),
        pytest.param({"exp": NOW}, id="expired"),
        pytest.param({"exp": "never"}, id="exp"),
        pytest.param({"iat": NOW + 60}, id="not-yet"),
        pytest.param({"iat": True}, id="iat"),
        pytest.param({"bits": 3}, id="bits"),
        pytest.param({"bits": True}, id="bits-type"),
        pytest.param({"status_list": None}, id="no-list"),
        pytest.param({"status_list": {"bits": 1}}, id="no-lst"),
        pytest.param({"lst": "*"}, id="no-base64url"),
        pytest.param({"lst": b64(b"abc")}, id="not-compressed"),
        pytest.param({"octets": bytes(1_000_001)}, id="attack-bomb"),
        pytest.param({"lst": b64(zlib.compress(bytes(99))[:-6])}, id="cut"),
    ],
)
def test_lists_that_are_refused(publisher: Publisher, wrong: dict[str, Any]) -> None:
    """The status is unknown then: an outage, never an acceptance."""
    publisher.publish(**wrong)

    assert "unavailable" == verdict(lists(max_octets=1_000_000), place(publisher))


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        pytest.param("500", Answer(status=500), id="error"),
        pytest.param("not a JWS", Answer(body=b"a.b"), id="no-jwt"),
        pytest.param("JSON", Answer(body=mint_raw(b"[]", b"{}").encode()), id="header"),
        pytest.param("no answer in time", Answer(hang=True), id="silence"),
        pytest.param("sent more", Answer(body=b"x" * 2_000_000), id="attack-endless"),
        pytest.param("302", Answer.redirect("http://127.0.0.1:1/"), id="attack-redirect"),
    ],
)
def test_lists_that_cannot_be_had(
    publisher: Publisher, said: str, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused by default; the knob lets tokens pass, and known revocations stay."""
    publisher.answer = answer

    assert "unavailable" == verdict(lists(timeout=0.3), place(publisher))
    assert said in caplog.text
    assert "accepted" == verdict(lists(timeout=0.3, accept_unreachable=True), place(publisher))


@pytest.mark.parametrize("wrong", [{"secret": OTHER_SECRET}, {"exp": NOW}], ids=["forged", "ended"])
def test_an_outage_is_not_asked_about_for_every_request(
    publisher: Publisher, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A pause follows a failure, and each is longer than the one before, until one succeeds."""
    age, counts = 0.0, []
    source = lists(age_clock=lambda: age, longest_fresh=1)
    publisher.publish(**wrong)

    for seconds in (0, 0, 1.3, 1.3):
        age += seconds
        assert "unavailable" == verdict(source, place(publisher))
        counts.append(publisher.asked)

    assert [1, 1, 2, 2] == counts
    assert caplog.text.count(f"the status list at '{publisher.uri}' cannot be used: ") == 2
    age += 2.5
    publisher.publish()
    assert "accepted" == verdict(source, place(publisher))
    publisher.publish(**wrong)
    for seconds in (1, 1.3):
        age += seconds
        assert "unavailable" == verdict(source, place(publisher))
    assert 5 == publisher.asked


def test_an_issuer_without_a_name(publisher: Publisher) -> None:
    """Its lists are for every token, and may be of any name."""
    publisher.publish(iss="https://any.example")
    settings = JWTSettings(secret_key=SECRET, allow_loopback=True)
    source = StatusLists(settings, hosts={"127.0.0.1"}, clock=lambda: NOW)

    found = [verdict(source, place(publisher, index)) for index in (0, 1)]

    assert ["accepted", "revoked"] == found


def test_defaults() -> None:
    """As the documentation has them."""
    page = (Path(__file__).parents[2] / "docs" / "revocation.md").read_text()
    stated = dict(re.findall(r"`(\w+)` \((\d+(?: MiB)?)(?: s)?\)", page))
    parameters = inspect.signature(StatusLists).parameters

    for name in ("longest_fresh", "timeout", "max_bytes", "max_octets", "max_lists"):
        number, _, unit = stated[name].partition(" ")
        assert int(number) * (1024 * 1024 if unit else 1) == parameters[name].default


def test_a_list_is_kept_as_long_as_it_says(publisher: Publisher) -> None:
    """`ttl` and `exp` count, up to `longest_fresh`; and one fetch serves many."""
    now = float(NOW)
    source = lists(clock=lambda: now, age_clock=lambda: now, longest_fresh=100)
    publisher.publish(ttl=10, iss=ISSUER)
    assert ["accepted"] * 3 == [verdict(source, place(publisher)) for _ in range(3)]
    assert 1 == publisher.asked

    now += 10
    publisher.publish(octets=b"\x01", exp=NOW + 15, iat=now + ISSUED.leeway)
    assert "revoked" == verdict(source, place(publisher))
    now += 5
    publisher.publish(octets=b"\x00", iat=now + ISSUED.leeway)
    assert "accepted" == verdict(source, place(publisher))
    now += 99
    assert "accepted" == verdict(source, place(publisher))
    assert 3 == publisher.asked
    assert "<StatusLists of 127.0.0.1>" == repr(source)


def test_attack_an_older_list(publisher: Publisher) -> None:
    """Of a cache on the way that is behind: what the newer one revoked stays so, expired or not."""
    now = float(NOW)
    source = lists(clock=lambda: now, age_clock=lambda: now, longest_fresh=100)
    publisher.publish(octets=b"\x01", exp=NOW + 120)
    assert "revoked" == verdict(source, place(publisher))

    now += 100
    publisher.publish(octets=b"\x00", iat=NOW - 1)
    assert "revoked" == verdict(source, place(publisher))
    now += 19
    assert "revoked" == verdict(source, place(publisher))
    assert 2 == publisher.asked
    now += 1
    assert "revoked" == verdict(source, place(publisher))
    assert 3 == publisher.asked
    now += 99
    assert "revoked" == verdict(source, place(publisher))
    assert 3 == publisher.asked  # the older one is valid still
    publisher.publish(octets=b"\x00", iat=NOW + 1)
    now += 1
    assert "accepted" == verdict(source, place(publisher))


def test_attack_an_older_list_that_revokes(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another node of the issuer, whose clock is behind: what either list revokes is revoked."""
    now = float(NOW)
    source = lists(clock=lambda: now, age_clock=lambda: now, longest_fresh=100)
    publisher.publish(octets=b"\x00\x00")
    assert "accepted" == verdict(source, place(publisher))

    now += 100
    publisher.publish(octets=b"\x01", iat=NOW - 7200)
    assert "revoked" == verdict(source, place(publisher))
    assert "accepted" == verdict(source, place(publisher, 15))  # which the older one does not have
    assert "older than the one before" in caplog.text
    now += 100
    publisher.publish(octets=b"\x00\x00", iat=NOW + 200)
    assert "accepted" == verdict(source, place(publisher))


def test_attack_nodes_that_answer_in_turn(publisher: Publisher) -> None:
    """What one of them revokes stays so, whichever list is fetched next, until there is a newer."""
    now = float(NOW)
    source = lists(clock=lambda: now, age_clock=lambda: now, longest_fresh=100)

    def after(octets: bytes, iat: float, bits: int = 1) -> list[str]:
        nonlocal now
        publisher.publish(octets=octets, iat=iat, bits=bits)
        now += 100
        return [verdict(source, place(publisher, it)) for it in (0, 1, 8, 15)]

    assert ["accepted"] * 4 == after(b"\x00\x00", NOW)
    assert ["revoked", *["accepted"] * 3] == after(b"\x01", NOW - 10)
    assert ["revoked", *["accepted"] * 3] == after(b"\x00\x00", NOW)
    assert ["revoked", "revoked", *["accepted"] * 2] == after(b"\x02\x00\xff", NOW - 20)
    assert ["revoked", "revoked", *["accepted"] * 2] == after(b"\xff" * 4, NOW - 30, bits=2)
    assert ["accepted", "revoked", *["accepted"] * 2] == after(b"\x02\x00", NOW + 1)
    assert ["accepted", "revoked", *["revoked"] * 2] == after(b"\x02", NOW + 2)
    assert ["accepted", "revoked", *["accepted"] * 2] == after(b"\x00\x00", NOW + 2)
    assert ["accepted", "revoked", *["accepted"] * 2] == after(b"\x00", NOW + 2)


def test_a_list_that_takes_longer_than_it_lives(publisher: Publisher) -> None:
    """Who waited for it gets an answer."""
    publisher.publish(ttl=1)
    source = lists(age_clock=lambda: 5.0 * publisher.asked)

    assert "accepted" == verdict(source, place(publisher))


def test_a_clock_that_steps_back(publisher: Publisher) -> None:
    """The age of a list is not measured with it: the list is fetched again in time."""
    now, age = float(NOW), 0.0
    source = lists(clock=lambda: now, age_clock=lambda: age)
    publisher.publish(iat=NOW - 86_400)
    assert "accepted" == verdict(source, place(publisher))

    publisher.publish(octets=b"\x01", iat=NOW - 86_400)
    now -= 86_000
    age += 301
    assert "revoked" == verdict(source, place(publisher))


@pytest.mark.parametrize(
    ("fetches", "names"), [(2, "ab"), (10, "abcde")], ids=["all-fit", "too-many"]
)
def test_how_many_lists_are_cached(publisher: Publisher, fetches: int, names: str) -> None:
    """Those of the setting at the least, whatever the order in which they are asked."""
    source = lists(max_lists=2)
    uri = publisher.uri
    for _ in range(2):
        for name in names:
            publisher.uri = f"{uri}/{name}"
            publisher.publish()
            assert "accepted" == verdict(source, place(publisher))

    assert fetches == publisher.asked


def test_more_lists_at_once_than_are_cached(publisher: Publisher) -> None:
    """The answer that a request has waited for is its own, whatever others ask meanwhile."""
    uris, asked, all_asked = [f"{publisher.uri}/{it}" for it in range(9)], set[str](), Event()

    class Together(Fetcher):
        async def get(self, url: str, *, etag: str | None = None, fresh: bool = False) -> Fetched:  # noqa: ARG002
            asked.add(url)
            if asked == {*uris}:
                all_asked.set()
            await all_asked.wait()
            publisher.uri = url
            publisher.publish()
            return Fetched(publisher.answer.body or b"")

    class Issuer(IssuerSettings):
        def make_fetcher(self) -> Fetcher:
            return Together()

    source = lists(Issuer(secret_key=SecretStr(SECRET), issuer=ISSUER), max_lists=1)
    tokens = [token({"status_list": {"idx": 0, "uri": uri}}) for uri in uris]

    async def all_at_once() -> list[None]:
        return await asyncio.gather(*(refuse_revoked(source, it) for it in (*tokens, *tokens)))

    assert [None] * 18 == asyncio.run(all_at_once())


def test_a_known_revocation_outlives_its_list(publisher: Publisher) -> None:
    """With the knob, an old list is better than none."""
    now = float(NOW)
    source = lists(clock=lambda: now, age_clock=lambda: now, accept_unreachable=True)
    publisher.publish()
    assert "revoked" == verdict(source, place(publisher, 1))
    publisher.answer = Answer(status=500)
    now += 1000

    assert "revoked" == verdict(source, place(publisher, 1))
    assert "accepted" == verdict(source, place(publisher, 0))


def test_requests_share_a_fetch(publisher: Publisher) -> None:
    """Twenty at once ask the server once."""
    publisher.publish()
    source = lists()

    async def all_at_once() -> None:
        await asyncio.gather(*(source.prepare(place(publisher)) for _ in range(20)))

    asyncio.run(all_at_once())

    assert 1 == publisher.asked
    assert False is source.is_revoked(place(publisher))


@pytest.mark.parametrize(
    "hosts",
    [(), "issuer.example", {"issuer.example:8443"}, {"https://issuer.example"}, {"a", ""}],
    ids=["none", "one-text", "port", "url", "empty"],
)
def test_hosts_are_needed(hosts: Any) -> None:
    """A token must not choose whom this service asks, and what names no host matches none."""
    with pytest.raises(ConfigurationError) as caught:
        StatusLists(ISSUED, hosts=hosts)

    assert "status_list_hosts" == caught.value.reason


@pytest.mark.parametrize(
    "issuers",
    [
        pytest.param({"main": ISSUED.model_copy(update={"audience": "orders"})}, id="table"),
        pytest.param(lambda _: None, id="function"),
    ],
)
def test_settings_of_several_issuers(issuers: Any) -> None:
    """No key of theirs could check a list: with the knob, what is revoked would be accepted."""
    settings = JWTSettings(issuers=issuers)

    with pytest.raises(ConfigurationError) as refused:
        StatusLists(settings, hosts={"issuer.example"}, accept_unreachable=True)

    assert "issuer_form" == refused.value.reason


def test_fetched_keys(publisher: Publisher) -> None:
    """An issuer whose keys are fetched has its lists checked with those, and with no others."""

    def fetched_list(source: StatusLists, signer: FakeIssuer) -> bool | None:
        packed = {"bits": 1, "lst": b64(zlib.compress(b"\x02"))}
        said = {"sub": publisher.uri, "iss": issuer.issuer, "status_list": packed}
        header = {**TYPE, "kid": issuer.signing_key.kid}
        publisher.answer = Answer(body=signer.token(said, header=header).encode())
        revoked = {**place(publisher, 1), "iss": issuer.issuer}
        asyncio.run(source.prepare(revoked))
        return source.is_revoked(revoked)

    with FakeIssuer() as issuer, FakeIssuer() as other:
        settings = issuer_settings(issuer)

        assert True is fetched_list(StatusLists(settings, hosts={"127.0.0.1"}), issuer)
        assert None is fetched_list(StatusLists(settings, hosts={"127.0.0.1"}), other)


class TestSettingsOfTheIssuer:
    """What is set for the keys of an issuer holds for its lists."""

    @pytest.mark.parametrize(
        ("expected", "hosts"),
        [
            pytest.param("accepted", ["issuer.internal"], id="host"),
            pytest.param("accepted", ["Issuer.Internal:{port}"], id="host-and-port"),
            pytest.param("unavailable", [], id="none"),
            pytest.param("unavailable", ["other.internal"], id="another"),
        ],
    )
    def test_allow_http_hosts(
        self,
        publisher: Publisher,
        monkeypatch: pytest.MonkeyPatch,
        expected: str,
        hosts: list[str],
    ) -> None:
        """A list comes by plain http from the hosts that keys may come from so."""
        address = own_address()
        if address is None:
            pytest.skip("this machine has no address but that of itself")
        resolving(monkeypatch, "issuer.internal", address)

        with serving(address, lambda _: (200, publisher.answer.body or b"")) as port:
            publisher.uri = f"http://issuer.internal:{port}/list"
            publisher.publish()
            issuer = IssuerSettings(
                secret_key=SECRET,
                issuer=ISSUER,
                allow_http_hosts=[host.format(port=port) for host in hosts],
            )
            found = verdict(lists(issuer, hosts={"issuer.internal"}), place(publisher))

        assert expected == found

    @pytest.mark.parametrize(
        ("expected", "trust_env"),
        [pytest.param("accepted", True, id="on"), pytest.param("unavailable", False, id="off")],
    )
    def test_trust_env(
        self,
        publisher: Publisher,
        monkeypatch: pytest.MonkeyPatch,
        expected: str,
        *,
        trust_env: bool,
    ) -> None:
        """A list comes through the proxy of the environment."""
        publisher.uri = "http://issuer.internal/list"
        publisher.publish()
        seen: list[str] = []

        def answer(path: str) -> tuple[int, bytes]:
            seen.append(path)
            return 200, publisher.answer.body or b""

        with serving("127.0.0.1", answer) as port:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            issuer = IssuerSettings(
                secret_key=SECRET,
                issuer=ISSUER,
                allow_http_hosts=["issuer.internal"],
                trust_env=trust_env,
            )
            found = verdict(lists(issuer, hosts={"issuer.internal"}), place(publisher))

        assert (expected, [publisher.uri] * trust_env) == (found, seen)

    @pytest.mark.parametrize("is_origin", [True, False], ids=["its-origin", "attack-another"])
    def test_credentials(self, publisher: Publisher, tmp_path: Path, *, is_origin: bool) -> None:
        """They are sent to the origins that the settings name, and not to any other host."""
        publisher.publish()
        token = tmp_path / "token"
        token.write_text("t")
        issuer = IssuerSettings(
            secret_key=SECRET,
            issuer=publisher.server.origin if is_origin else ISSUER,
            allow_loopback=True,
            jwks_headers={"X-Key": "k"},
            jwks_token_file=token,
        )

        assert "accepted" == verdict(lists(issuer), {**place(publisher), "iss": issuer.issuer})

        sent = {name.lower(): it for name, it in publisher.headers.items()}
        expected = ("Bearer t", "k") if is_origin else (None, None)
        assert expected == (sent.get("authorization"), sent.get("x-key"))
