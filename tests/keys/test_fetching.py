"""Fetching a document from a slow, broken or hostile provider."""

import asyncio
import gzip
import math
import ssl
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import trustme

import jwt_deps.keys.http as module
from jwt_deps import ConfigurationError, JWTSettings
from jwt_deps.keys import Fetched, Fetcher, FetchError
from jwt_deps.keys.http import refuse_address
from jwt_deps.testing import Answer, FakeIssuer
from tests.keys.asking import fetched, listening, reset_at_once, resolving, undone
from tests.saying import everything_said

SMALL = 4096
METADATA = "a link-local or metadata address"
BROKEN = "sent a body that cannot be decompressed"


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """An issuer over plain HTTP on this machine."""
    with FakeIssuer(algorithm="ES256") as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A private certificate authority."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def certified(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """What an HTTPS server of these names needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def secure(authority: trustme.CA) -> Iterator[FakeIssuer]:
    """An issuer over HTTPS, whose certificate is from that authority."""
    context = certified(authority, "127.0.0.1", "issuer.example")
    with FakeIssuer(algorithm="ES256", ssl_context=context) as running:
        yield running


@contextmanager
def endless(piece: bytes, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve an address at which each answer is one piece of text, without end."""

    class Endless(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while True:
                    self.wfile.write(piece)

    with ThreadingTCPServer(("127.0.0.1", 0), Endless) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http{'s' * (context is not None)}://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


class TestAnswers:
    def test_the_document(self, issuer: FakeIssuer) -> None:
        """A good answer is the body, and what its header says of how long it is good."""
        issuer.jwks = Answer(
            body=b'{"keys": []}', headers={"etag": '"1"', "cache-control": "max-age=60", "age": "7"}
        )

        document = fetched(issuer.jwks_url)

        assert Fetched(b'{"keys": []}', '"1"', "max-age=60", "7") == document

    def test_nothing_said_of_it(self, issuer: FakeIssuer) -> None:
        """What the header does not say is empty."""
        issuer.jwks = Answer(body=b"{}")

        assert Fetched(b"{}", None, "", "") == fetched(issuer.jwks_url)

    @pytest.mark.parametrize(
        ("status", "outage"),
        [
            *((status, True) for status in (201, 202, 204, 206, 408, 429, 500, 502, 503, 504)),
            *((status, False) for status in (400, 401, 403, 404, 405, 410, 418, 451)),
        ],
    )
    def test_other_statuses(self, issuer: FakeIssuer, status: int, *, outage: bool) -> None:
        """Everything but 200 is a failure; some say that the provider has no such document."""
        issuer.jwks = Answer(status=status)

        failed = undone(issuer.jwks_url)

        assert f"{issuer.jwks_url!r} answered with status {status}" == str(failed)
        assert outage is failed.outage

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
    def test_attack_a_redirect_to_somewhere_inside(self, issuer: FakeIssuer, status: int) -> None:
        """No redirect is followed: what it points to was never configured, and is never asked."""
        with FakeIssuer(algorithm="ES256") as inside:
            issuer.jwks = Answer.redirect(inside.jwks_url, status)

            failed = undone(issuer.jwks_url)

            assert f"{issuer.jwks_url!r} answered with status {status}" == str(failed)
            assert [] == inside.requests

    def test_not_modified(self, issuer: FakeIssuer) -> None:
        """304 says that the document is the one that is known."""
        known = fetched(issuer.jwks_url)

        again = fetched(issuer.jwks_url, etag=known.etag)

        assert (b"", True, known.etag) == (again.body, again.is_known, again.etag)

    def test_not_modified_since_nothing(self, issuer: FakeIssuer) -> None:
        """304 to a question without a condition is no document."""
        issuer.jwks = Answer(status=304)

        assert "status 304" in str(undone(issuer.jwks_url))

    @pytest.mark.parametrize(
        "tag",
        ['"\xe9"', '"a b"', "unquoted", '"', f'"{"x" * 1000}"', ""],
        ids=["not-ascii", "space", "unquoted", "half", "long", "empty"],
    )
    def test_a_tag_that_could_not_be_sent_back(self, issuer: FakeIssuer, tag: str) -> None:
        """It is forgotten, and the document is fetched whole the next time."""
        issuer.jwks = Answer(headers={"etag": tag})

        assert fetched(issuer.jwks_url).etag is None

    @pytest.mark.parametrize("tag", ['"1"', 'W/"1"', '""'], ids=["strong", "weak", "empty"])
    def test_a_tag_comes_back_as_it_was(self, issuer: FakeIssuer, tag: str) -> None:
        """An entity tag is the provider's own word."""
        issuer.jwks = Answer(headers={"etag": tag})
        known = fetched(issuer.jwks_url)

        fetched(issuer.jwks_url, etag=known.etag)

        assert tag == issuer.requests[-1].headers["if-none-match"]

    @pytest.mark.parametrize(
        ("encoding", "body", "result"),
        [
            *(
                pytest.param(encoding, gzip.compress(b"{}"), b"{}", id=encoding)
                for encoding in ("gzip", "GZIP", "x-gzip")
            ),
            # In the format of RFC 1950 (RFC 9110 §8.4.1.2).
            pytest.param("deflate", zlib.compress(b"{}"), b"{}", id="deflate"),
            pytest.param("Identity", b"{}", b"{}", id="identity-changes-nothing"),
            pytest.param("gzip", b"", BROKEN, id="nothing"),
            pytest.param("gzip", b"{}", BROKEN, id="plain"),
            pytest.param("gzip", zlib.compress(b"{}")[:-1], BROKEN, id="cut"),
            pytest.param("gzip", gzip.compress(b"{}")[:12], BROKEN, id="cut-gzip"),
            *(
                pytest.param(encoding, b"{}", "sent a compressed body", id=encoding)
                for encoding in ("br", "zstd", "identity, gzip", "gzip, gzip")
            ),
        ],
    )
    def test_compressed_although_identity_was_asked_for(
        self, issuer: FakeIssuer, encoding: str, body: bytes, result: bytes | str
    ) -> None:
        """Some servers and caches compress whatever the request says: what is usual is read."""
        issuer.jwks = Answer(body=body, headers={"content-encoding": encoding})

        if isinstance(result, bytes):
            assert result == fetched(issuer.jwks_url).body
        else:
            failed = undone(issuer.jwks_url)
            assert (True, False) == (str(failed).endswith(result), failed.outage)
        assert "identity" == issuer.requests[0].headers["accept-encoding"]

    def test_attack_a_body_that_unpacks_into_gigabytes(self, issuer: FakeIssuer) -> None:
        """No more is decompressed than is read."""
        compressor = zlib.compressobj(wbits=31)
        bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(100))
        issuer.jwks = Answer(body=bomb + compressor.flush(), headers={"content-encoding": "gzip"})

        tracemalloc.start()
        failed = undone(issuer.jwks_url)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert f"{issuer.jwks_url!r} sent more than 262144 bytes" == str(failed)
        assert most < 4_000_000


class TestSize:
    @pytest.mark.parametrize(
        "form", [{}, {"chunked": True}, {"gzip": True}], ids=["with-length", "chunked", "gzip"]
    )
    def test_the_longest(self, issuer: FakeIssuer, form: dict[str, Any]) -> None:
        """It is read; one byte more is too many, whether its length was announced or not."""
        issuer.jwks = Answer(body=b" " * SMALL, **form)
        assert b" " * SMALL == fetched(issuer.jwks_url, max_bytes=SMALL).body

        issuer.jwks = Answer(body=b" " * (SMALL + 1), **form)
        failed = undone(issuer.jwks_url, max_bytes=SMALL)

        assert f"{issuer.jwks_url!r} sent more than {SMALL} bytes" == str(failed)
        assert not failed.outage

    def test_attack_a_body_that_never_ends(self, issuer: FakeIssuer) -> None:
        """It is counted while it arrives, and cut."""
        issuer.jwks = Answer(padding=math.inf)

        assert "sent more than 262144 bytes" in str(undone(issuer.jwks_url))

    def test_attack_a_body_in_very_many_pieces(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each piece costs time on the event loop, so they are counted too."""
        monkeypatch.setattr(module, "_MAX_PIECES", 3)
        issuer.jwks = Answer(body=b" " * 3, drip=0.01, chunked=True)
        assert b" " * 3 == fetched(issuer.jwks_url).body

        issuer.jwks = Answer(body=b" " * 50, drip=0.01, chunked=True)

        assert "sent more than 3 pieces" in str(undone(issuer.jwks_url))

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_attack_informational_responses_without_end(
        self, authority: trustme.CA, ca_file: Path, scheme: str
    ) -> None:
        """They are no answer, and would keep the event loop busy for all of the time."""
        context = certified(authority, "127.0.0.1") if scheme == "https" else None
        fetcher = Fetcher(allow_loopback=True, ca_file=ca_file)

        with (
            endless(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, context) as url,
            pytest.raises(FetchError, match="sent 32768 bytes, and no answer") as failed,
        ):
            asyncio.run(asyncio.wait_for(fetcher.get(url), 5))

        assert failed.value.outage

    def test_an_informational_response(self) -> None:
        """The answer comes behind it, in one piece with it or not."""
        answer = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"

        with endless(answer + b"x" * 5000) as url:
            assert b"x" * 5000 == fetched(url).body


class TestConnections:
    def test_refused(self, issuer: FakeIssuer) -> None:
        """A provider that is down is a failure that says nothing of the document."""
        issuer.down()

        failed = undone(issuer.jwks_url)

        assert (f"{issuer.jwks_url!r} cannot be fetched: it refuses connections", True) == (
            str(failed),
            failed.outage,
        )

    @pytest.mark.parametrize(
        "answer",
        [Answer(cut=True), Answer(cut=True, chunked=True), Answer(cut=True, padding=100_000)],
        ids=["with-length", "chunked", "long"],
    )
    def test_a_body_that_breaks_off(self, issuer: FakeIssuer, answer: Answer) -> None:
        """Half a document is none."""
        issuer.jwks = answer

        assert "cannot be fetched: RemoteProtocolError" in str(undone(issuer.jwks_url))

    def test_connections_that_are_reset_at_once(self) -> None:
        """A provider that closes every connection is a failure like any other, at every moment."""
        with reset_at_once() as url:
            for _ in range(20):
                assert undone(url).outage

    def test_a_connection_that_is_gone_before_it_is_looked_at(self) -> None:
        """If the peer's address is unknown, nothing is sent and the fetch fails."""
        closed = []

        async def aclose() -> None:
            closed.append(True)

        stream = SimpleNamespace(get_extra_info=lambda _: None, aclose=aclose)
        fetcher = Fetcher()

        with pytest.raises(FetchError):
            asyncio.run(fetcher.refuse_peer("https://issuer.example/", stream))

        assert [True] == closed

    def test_no_answer_to_a_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection has its own limit, within that of the whole."""

        async def never(*_: Any, **__: Any) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.BaseEventLoop, "sock_connect", never, raising=False)
        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", never)

        monkeypatch.setattr("jwt_deps.keys.http._CONNECT_TIMEOUT", 0.1)
        failed = undone("https://127.0.0.1:1/")

        assert "'https://127.0.0.1:1/' did not answer in time" == str(failed)

    @pytest.mark.parametrize(
        "url",
        [
            "https://a..b/",
            f"https://{'a' * 64}.example/",
            "https://%00/",
            r"https://a\b/",
            "https://[v1.x]/",
            "https://0177.0.0.1/",
            "https://issuer.invalid/",
        ],
        ids=["empty-label", "long-label", "percent", "backslash", "future", "octal", "unknown"],
    )
    def test_a_host_that_is_none(self, url: str) -> None:
        """A name that cannot be resolved is a failure like any other."""
        assert "cannot be fetched" in str(undone(url))

    def test_a_url_that_may_not_be_fetched(self) -> None:
        """What a URL has to be is asked again before each fetch."""
        with pytest.raises(FetchError) as failed:
            asyncio.run(Fetcher().get("http://127.0.0.1/"))

        assert "'http://127.0.0.1/' does not begin with https://" == str(failed.value)
        assert not failed.value.outage


class TestTime:
    @pytest.mark.parametrize(
        "answer",
        [Answer(hang=True), Answer(drip=0.05), Answer(delay=60)],
        ids=["hang", "drip", "delay"],
    )
    def test_attack_a_provider_that_keeps_all_requests_waiting(
        self, issuer: FakeIssuer, answer: Answer
    ) -> None:
        """The time for everything ends it, however the provider spends it."""
        issuer.jwks = answer
        settings = JWTSettings(
            issuer=issuer.issuer,
            audience="api",
            jwks_url=issuer.jwks_url,
            allow_loopback=True,
            jwks_cache={"timeout": 0.2},
        )

        health = asyncio.run(settings.refresh_keys())["default"]

        assert "no answer within 0.2 s" == health.last_error


class TestAsked:
    def test_the_header_and_nothing_else(self, issuer: FakeIssuer) -> None:
        """The provider learns that it is asked for keys, and by what."""
        fetched(issuer.jwks_url)

        (request,) = issuer.requests
        assert {
            "host": issuer.issuer.removeprefix("http://"),
            "accept": "application/jwk-set+json, application/json",
            "accept-encoding": "identity",
            "user-agent": "jwt-deps",
            "connection": "keep-alive",
        } == dict(request.headers)

    @pytest.mark.parametrize(
        ("options", "added"),
        [
            ({"etag": '"1"'}, {"if-none-match": '"1"'}),
            ({"fresh": True}, {"cache-control": "no-cache"}),
        ],
        ids=["known", "fresh"],
    )
    def test_what_is_added(
        self, issuer: FakeIssuer, options: dict[str, Any], added: dict[str, str]
    ) -> None:
        """A document that is known is asked for with its tag, a fresh one past every cache."""
        fetched(issuer.jwks_url)
        fetched(issuer.jwks_url, **options)

        plain, other = (request.headers for request in issuer.requests)
        assert added == {name: value for name, value in other.items() if name not in plain}

    def test_cookies_are_not_kept(self, issuer: FakeIssuer) -> None:
        """What a provider sets is forgotten with its answer."""
        issuer.jwks = Answer(headers={"set-cookie": "id=1"})
        fetcher = Fetcher(allow_loopback=True)

        for _ in range(2):
            asyncio.run(fetcher.get(issuer.jwks_url))

        assert ["cookie" in request.headers for request in issuer.requests] == [False, False]

    @pytest.mark.parametrize(
        "proxy", ["socks5://127.0.0.1:9", "foo://:s3cret@127.0.0.1:9", "http://:s3/cret@[::1]:9"]
    )
    def test_a_proxy_that_cannot_be_used(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, proxy: str
    ) -> None:
        """It is an outage of whatever is fetched, and no defect."""
        monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)

        failed = undone(issuer.jwks_url, trust_env=True)

        assert "the proxy of the environment cannot be used" in str(failed)
        assert failed.outage
        assert "s3" not in everything_said(failed)

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
    def test_no_proxy_of_the_environment(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """A proxy would see, and could change, what tokens are checked with."""
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv(name, "http://127.0.0.1:1")

        assert fetched(issuer.jwks_url).body

    def test_no_credentials_of_the_environment(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """What `.netrc` holds for the host is not sent."""
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine 127.0.0.1 login alice password secret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HOME", str(tmp_path))

        fetched(issuer.jwks_url)

        assert "authorization" not in issuer.requests[0].headers


class TestCertificates:
    def test_authorities_that_are_replaced(
        self, secure: FakeIssuer, ca_file: Path, tmp_path: Path
    ) -> None:
        """They are read again, without a restart; those that cannot be read are an outage."""
        path, trusted = tmp_path / "ca.pem", ca_file.read_bytes()
        trustme.CA().cert_pem.write_to_path(path)
        fetcher = Fetcher(allow_loopback=True, ca_file=path)

        async def ask() -> None:
            with pytest.raises(FetchError, match="its certificate is not trusted"):
                await fetcher.get(secure.jwks_url)
            path.write_text("broken")
            with pytest.raises(FetchError, match="JWT_CA_FILE"):
                await fetcher.get(secure.jwks_url)
            path.write_bytes(trusted)
            assert (await fetcher.get(secure.jwks_url)).body

        asyncio.run(ask())

    def test_it_is_trusted_for_no_other_issuer(self, secure: FakeIssuer, ca_file: Path) -> None:
        """Settings that do not name it do not trust it, in the same process."""
        trusting, other = (
            Fetcher(allow_loopback=True, ca_file=ca_file),
            Fetcher(allow_loopback=True),
        )

        async def ask_both() -> None:
            assert (await trusting.get(secure.jwks_url)).body
            with pytest.raises(FetchError, match="its certificate is not trusted"):
                await other.get(secure.jwks_url)
            assert (await trusting.get(secure.jwks_url)).body

        asyncio.run(ask_both())

    @pytest.mark.parametrize(
        ("own", "name"),
        [(False, "127.0.0.1"), (True, "other.example")],
        ids=["of-another-authority", "of-another-host"],
    )
    def test_attack_another_certificate(
        self, ca_file: Path, authority: trustme.CA, name: str, *, own: bool
    ) -> None:
        """That of another authority, and that of the same one for another name, are refused."""
        context = certified(authority if own else trustme.CA(), name)
        with FakeIssuer(algorithm="ES256", ssl_context=context) as impostor:
            failed = str(undone(impostor.jwks_url, ca_file=ca_file))

        assert "its certificate is not trusted" in failed
        assert [] == impostor.requests

    @pytest.mark.parametrize("name", ["certificate_file", "key_file"])
    def test_a_client_certificate_that_cannot_be_read(self, tmp_path: Path, name: str) -> None:
        """It is read at once, beside the system's authorities too; a key needs one."""
        with pytest.raises(ConfigurationError) as refused:
            Fetcher(**{name: tmp_path / "none.pem"})  # type: ignore[arg-type]

        assert "jwks_certificate" == refused.value.reason


class TestDialled:
    @pytest.mark.parametrize(
        ("trusted", "trust_env"),
        [((), False), (("issuer.example",), False), ((), True)],
        ids=["unnamed", "named", "without-a-proxy"],
    )
    @pytest.mark.parametrize(
        "host",
        [
            *("issuer.example", "127.0.0.1", "2130706433", "0x7f000001", "127.1"),
            *("[::ffff:127.0.0.1]", "ISSUER.example", "issuer^.example"),
        ],
    )
    def test_attack_dns_rebinding(
        self,
        monkeypatch: pytest.MonkeyPatch,
        host: str,
        trusted: tuple[str, ...],
        *,
        trust_env: bool,
    ) -> None:
        """A name, or any spelling, that leads to this machine is refused before a byte is sent.

        Whether the configuration names it makes no difference.
        """
        name = {"issuer^.example": "issuer%5E.example"}.get(host, "issuer.example")
        resolving(monkeypatch, name, "127.0.0.1")
        with listening() as (port, seen):
            url = f"https://{host}:{port}/keys"

            failed = undone(url, allow_loopback=False, trusted_hosts=trusted, trust_env=trust_env)

        assert f"{url!r} leads to a loopback address" == str(failed)
        assert [b""] == seen

    def test_the_address_that_answered_is_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the name of a host, what counts is the address and not the name."""
        asked = []

        def look(text: str, **allowed: bool) -> None:
            asked.append((text, allowed))

        monkeypatch.setattr(module, "refuse_address", look)
        with FakeIssuer(algorithm="ES256") as issuer:
            fetched(issuer.jwks_url.replace("127.0.0.1", "localhost"))

        assert [("127.0.0.1", {"allow_loopback": True, "allow_private": False})] == asked

    @pytest.mark.parametrize(
        ("dialled", "trusted", "kind"),
        [
            pytest.param("10.0.0.1", "issuer.example", "a private address", id="private"),
            pytest.param("fd12::1", "issuer.example", "a private address", id="private-ipv6"),
            pytest.param("169.254.169.254", "issuer.example", METADATA, id="metadata"),
            pytest.param("fd00:ec2::254", "issuer.example", METADATA, id="metadata-ipv6"),
            pytest.param("169.254.169.254", "127.0.0.1", METADATA, id="metadata-that-is-named"),
            pytest.param("10.0.0.1", "127.0.0.1", None, id="private-that-is-named"),
        ],
    )
    def test_attack_a_host_inside_the_network(
        self,
        monkeypatch: pytest.MonkeyPatch,
        issuer: FakeIssuer,
        dialled: str,
        trusted: str,
        kind: str | None,
    ) -> None:
        """Nothing is sent there, unless the configuration names the host of a private network.

        The metadata service of a cloud machine is never asked for keys.
        """
        self._pretend(monkeypatch, dialled)

        if kind is None:
            assert fetched(issuer.jwks_url, trusted_hosts={trusted}).body
            return
        failed = undone(issuer.jwks_url, trusted_hosts={trusted})

        assert f"{issuer.jwks_url!r} leads to {kind}" == str(failed)
        assert [] == issuer.requests

    @staticmethod
    def _pretend(monkeypatch: pytest.MonkeyPatch, dialled: str) -> None:
        """Let the connection have reached that address."""
        monkeypatch.setattr(
            module, "refuse_address", lambda _, **allowed: refuse_address(dialled, **allowed)
        )

    @pytest.mark.parametrize("scheme", ["http", "HTTP"])
    def test_attack_plain_http_to_a_localhost_that_is_another_machine(
        self, monkeypatch: pytest.MonkeyPatch, issuer: FakeIssuer, scheme: str
    ) -> None:
        """What is allowed on this machine is not allowed on one that took over its name."""
        monkeypatch.setattr(module, "is_loopback_host", lambda host: host == "localhost")
        url = issuer.jwks_url.replace("http://127.0.0.1", f"{scheme}://localhost")

        assert "another machine, and not by https" in str(undone(url))
        assert [] == issuer.requests

    def test_a_connection_that_was_not_checked(
        self, monkeypatch: pytest.MonkeyPatch, issuer: FakeIssuer
    ) -> None:
        """Should the client library change its ways, nothing is read."""
        real = httpx2.AsyncClient.stream

        def blind(self: Any, *arguments: Any, extensions: Any, **options: Any) -> Any:
            del extensions
            return real(self, *arguments, **options)

        monkeypatch.setattr(httpx2.AsyncClient, "stream", blind)

        unchecked = f"the address that {issuer.jwks_url!r} leads to was not checked"

        assert unchecked == str(undone(issuer.jwks_url))

    @pytest.mark.parametrize("kind", ["issuer", "secure"])
    @pytest.mark.parametrize(
        ("name", "other", "is_checked"),
        [("connect_tcp", "dial", False), ("connection.c", "socks.c", True)],
    )
    def test_a_connection_of_another_name(
        self,
        monkeypatch: pytest.MonkeyPatch,
        request: pytest.FixtureRequest,
        ca_file: Path,
        kind: str,
        name: str,
        other: str,
        *,
        is_checked: bool,
    ) -> None:
        """That TLS begins over it does not say that its address was checked."""
        real = httpx2.AsyncClient.stream

        def renaming(self: Any, *arguments: Any, extensions: Any, **options: Any) -> Any:
            async def trace(event: str, info: Any) -> None:
                await extensions["trace"](event.replace(name, other), info)

            return real(self, *arguments, extensions={"trace": trace}, **options)

        monkeypatch.setattr(httpx2.AsyncClient, "stream", renaming)
        url = request.getfixturevalue(kind).jwks_url
        fetcher = Fetcher(allow_loopback=True, ca_file=ca_file)

        if is_checked:
            assert asyncio.run(fetcher.get(url)).body
        else:
            with pytest.raises(FetchError, match="was not checked"):
                asyncio.run(fetcher.get(url))

    def test_over_https_nothing_precedes_the_look(
        self, monkeypatch: pytest.MonkeyPatch, secure: FakeIssuer, ca_file: Path
    ) -> None:
        """Not even the greeting of TLS, which would name the host."""
        self._pretend(monkeypatch, "10.0.0.1")
        before = len(secure.requests)

        assert "a private address" in str(undone(secure.jwks_url, ca_file=ca_file))
        assert before == len(secure.requests)


class TestExtra:
    def test_a_mistake_of_its_own_is_not_hidden(
        self, monkeypatch: pytest.MonkeyPatch, issuer: FakeIssuer
    ) -> None:
        """What is no failure of the provider is not reported as one."""

        def mistaken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(httpx2.AsyncClient, "stream", mistaken)

        with pytest.raises(ZeroDivisionError):
            fetched(issuer.jwks_url)

    def test_a_document_does_not_show_its_body(self) -> None:
        """Nothing that was fetched ends up in a log."""
        assert "secret" not in repr(Fetched(b"secret"))
