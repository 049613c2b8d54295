"""Where keys come from beyond one https address: clusters, proxies, files, vaults, several."""

import asyncio
import base64
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from jwt_deps import (
    AuthError,
    ConfigurationError,
    IssuerSettings,
    JWTSettings,
    create_access_token,
    verify_token,
)
from jwt_deps.keys import Fetcher, FetchError
from jwt_deps.keys import http as fetching
from jwt_deps.testing import Answer, FakeIssuer, SigningKey, VirtualClock
from jwt_deps.tokens import explain_token
from jwt_deps.tokens import verify as verifying
from tests.keys.asking import resolving
from tests.minting import OTHER_SECRET, SECRET, claims, mint, pair


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(algorithm="ES256") as running:
        yield running


def asked(issuer: FakeIssuer, settings: JWTSettings, **options: Any) -> str:
    """What becomes of a good token: its subject, or why it is refused or cannot be checked."""
    return outcome(issuer.token({"sub": "alice"}, audience="api", **options), settings)


def outcome(token: str, settings: JWTSettings) -> str:
    try:
        return str(asyncio.run(verify_token(token, settings)).sub)
    except AuthError as error:
        return error.reason.value


def problem(settings: JWTSettings, name: str = "default") -> str:
    """Why keys could not be had last."""
    return str(settings.key_health()[name].last_error)


# Plain http inside a network


def own_address() -> str | None:
    """An address of this machine that is no loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # nothing is sent
        except OSError:
            return None
        return str(probe.getsockname()[0])


@contextmanager
def serving(address: str, answer: Callable[[str], tuple[int, bytes]]) -> Iterator[int]:
    """Serve on an address of this machine; a request for a path gets what `answer` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def keycloak(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIssuer]:
    """An issuer by plain http under a name of the network; its attribute `url` is in `issuer`."""
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but that of itself")
    known: dict[str, FakeIssuer] = {}

    def answer(path: str) -> tuple[int, bytes]:
        got = known["issuer"]._respond(path, {})
        return got.status, got.body or b""

    with serving(address, answer) as port:
        resolving(monkeypatch, "keycloak", address)
        known["issuer"] = FakeIssuer(url=f"http://keycloak:{port}/realms/a", algorithm="ES256")
        yield known["issuer"]


def by_http(issuer: FakeIssuer, **options: Any) -> JWTSettings:
    return JWTSettings(issuer=issuer.issuer, audience="api", discovery=True, **options)


class TestPlainHTTP:
    @pytest.mark.parametrize("with_port", [False, True], ids=["host", "host-and-port"])
    def test_a_host_that_is_named(self, keycloak: FakeIssuer, *, with_port: bool) -> None:
        """Discovery and keys, over a real connection to an address that is not this machine's."""
        host = keycloak.origin.partition("://")[2] if with_port else "Keycloak"

        assert "alice" == asked(keycloak, by_http(keycloak, allow_http_hosts=host))

    @pytest.mark.parametrize("entry", ["[fd00::1]", "[fd00::1]:8080", "[FD00::1]:8080"])
    def test_an_address_of_version_6(self, entry: str) -> None:
        """In brackets, as in the URL."""
        url = "http://[fd00::1]:8080/keys"

        settings = JWTSettings(
            issuer="https://a", audience="api", jwks_url=url, allow_http_hosts=[entry]
        )

        assert settings.is_remote

    @pytest.mark.parametrize("hosts", [[], ["other"], ["keycloak:1"]], ids=str)
    def test_any_other_host(self, keycloak: FakeIssuer, hosts: list[str]) -> None:
        """It is refused at start, and the sentence names the setting."""
        with pytest.raises(ConfigurationError, match="JWT_ALLOW_HTTP_HOSTS") as refused:
            by_http(keycloak, allow_http_hosts=hosts)

        assert "key_address" == refused.value.reason

    def test_a_document_names_another_host(self, keycloak: FakeIssuer) -> None:
        """A `jwks_uri` by http is as good as its host."""
        keycloak.metadata["jwks_uri"] = "http://elsewhere:8080/keys"
        settings = by_http(keycloak, allow_http_hosts=["keycloak"])

        assert "keys_unavailable" == asked(keycloak, settings)
        assert "does not begin with https://" in problem(settings)

    def test_the_name_leads_to_a_metadata_address(
        self, keycloak: FakeIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where clouds keep credentials is refused, whatever the name."""
        settings = by_http(keycloak, allow_http_hosts=["keycloak"])
        monkeypatch.setattr("jwt_deps.keys.http._METADATA", _Everything())

        assert "keys_unavailable" == asked(keycloak, settings)
        assert "a link-local or metadata address" in problem(settings)

    def test_the_name_leads_to_this_machine(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Which `allow_loopback` alone permits."""
        resolving(monkeypatch, "keycloak", "127.0.0.1")
        url = issuer.jwks_url.replace("127.0.0.1", "keycloak")
        settings = JWTSettings(
            issuer=issuer.issuer, audience="api", jwks_url=url, allow_http_hosts=["keycloak"]
        )

        assert "keys_unavailable" == asked(issuer, settings)
        assert "a loopback address" in problem(settings)

    @pytest.mark.parametrize(
        "entry",
        ["http://keycloak", "keycloak/x", "", "a b", "keycloak:port", "localhost", "[::1]:80"],
    )
    def test_what_is_no_other_host(self, entry: str) -> None:
        """A list of hosts, and this machine is none of them."""
        with pytest.raises(ConfigurationError, match=r"JWT_ALLOW_HTTP_HOSTS \(allow_http_hosts\)"):
            JWTSettings(secret_key=SECRET, allow_http_hosts=[entry])


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


# The environment of the machine


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass on what arrives, and then that it has ended."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class TestEnvironment:
    def test_a_proxy(self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Key requests go through it with `trust_env`, and only then."""
        seen: list[str] = []

        def answer(path: str) -> tuple[int, bytes]:
            seen.append(path)
            return 200, json.dumps(issuer.jwk_set).encode()

        with serving("127.0.0.1", answer) as port:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            values: dict[str, Any] = {"issuer": issuer.issuer, "audience": "api"}
            values |= {"jwks_url": "http://keys.internal/keys", "allow_http_hosts": "keys.internal"}
            through, past = JWTSettings(**values, trust_env=True), JWTSettings(**values)

            assert ("alice", ["http://keys.internal/keys"]) == (asked(issuer, through), seen)
            assert "keys_unavailable" == asked(issuer, past)

        assert 1 == len(seen)

    def test_a_proxy_for_https(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It answers before it hands the connection on."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        with FakeIssuer(algorithm="ES256", ssl_context=certified(authority)) as issuer:
            port, seen = urlsplit(issuer.origin).port, list[bytes]()

            class Tunnel(StreamRequestHandler):
                def handle(self) -> None:
                    while line := self.rfile.readline().strip():
                        seen.append(line)
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    with socket.create_connection(("127.0.0.1", port)) as target:
                        back = Thread(target=pass_on, args=(target, self.connection))
                        back.start()
                        pass_on(self.connection, target)
                        back.join()

            with ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
                Thread(target=proxy.serve_forever, args=(0.01,)).start()
                monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
                for name in ("NO_PROXY", "no_proxy"):
                    monkeypatch.delenv(name, raising=False)
                authorities = tmp_path / "ca.pem"
                found = asked(issuer, issuer.settings("api", trust_env=True, ca_file=authorities))
                proxy.shutdown()

        assert ("alice", b"CONNECT") == (found, seen[0][:7])

    def test_no_proxy_for_the_host(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then the address is checked as ever."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

        assert "alice" == asked(issuer, issuer.settings("api", trust_env=True))

    @pytest.mark.parametrize("trusted", [True, False])
    @pytest.mark.parametrize("certificate", [True, False], ids=["certificate", "no certificate"])
    def test_authorities(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool, certificate: bool
    ) -> None:
        """`SSL_CERT_FILE` names those that are trusted."""
        authority = trustme.CA()
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(path)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        # Without the cache that all issuers of a process share.
        monkeypatch.setattr(fetching, "_shared_tls_context", fetching._system_tls_context)
        client = tmp_path / "client.pem"
        authority.issue_cert("orders").private_key_and_cert_chain_pem.write_to_path(client)
        with FakeIssuer(algorithm="ES256", ssl_context=certified(authority)) as issuer:
            settings = issuer.settings(
                "api", trust_env=trusted, jwks_certificate_file=client if certificate else None
            )

            assert ("alice" if trusted else "keys_unavailable") == asked(issuer, settings)


def certified(authority: trustme.CA, *, asks: bool = False) -> ssl.SSLContext:
    """The TLS of an issuer, which asks for a client certificate if it is told so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


# What the client authenticates with


class TestCredentials:
    @pytest.mark.parametrize("given", [{"jwks_headers": {"X-Api-Key": "s3cret"}}, {}], ids=len)
    def test_headers(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
    ) -> None:
        """With discovery and keys, in the environment as JSON; no `repr` shows a value."""
        if not given:
            monkeypatch.setenv("JWT_JWKS_HEADERS", '{"X-Api-Key": "s3cret"}')
        settings = by_http(issuer, allow_loopback=True, **given)

        assert "alice" == asked(issuer, settings)
        assert {"s3cret"} == {request.headers.get("x-api-key") for request in issuer.requests}
        assert "s3cret" not in f"{settings!r} {settings.model_dump()}"

    @pytest.mark.parametrize(
        "headers",
        [
            {"a b": "x"},
            {"": "x"},
            {"X-Key": ""},
            {"X-Key": "a\nb"},
            {"X-Key": "leaky "},
            {"X-Key": "\tleaky"},
            {"X-Key": "ä"},
            "leaky text",
            '["leaky"]',
        ],
        ids=str,
    )
    def test_what_no_header_can_be(self, headers: Any) -> None:
        """The sentence names the setting and no value."""
        with pytest.raises(ConfigurationError, match=r"JWT_JWKS_HEADERS \(jwks_headers\)") as error:
            JWTSettings(secret_key=SECRET, jwks_headers=headers)

        assert "leaky" not in str(error.value)

    def test_a_token_in_a_file(self, issuer: FakeIssuer, tmp_path: Path) -> None:
        """As Kubernetes mounts and renews it: read for each request."""
        path = tmp_path / "token"
        settings = issuer.settings("api", jwks_url=issuer.jwks_url, jwks_token_file=path)

        for text in ("first\n", " second "):
            path.write_text(text)
            asyncio.run(settings.refresh_keys())

        assert ["Bearer first", "Bearer second"] == [
            request.headers["authorization"] for request in issuer.requests
        ]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            pytest.param(None, "cannot be read: No such file", id="absent"),
            pytest.param(b"\xff", "cannot be read: UnicodeDecodeError", id="no-text"),
            pytest.param(b"", "holds no token", id="empty"),
            pytest.param(b"a\nb", "holds no token", id="two-lines"),
        ],
    )
    def test_a_file_without_a_token(
        self, issuer: FakeIssuer, tmp_path: Path, content: bytes | None, words: str
    ) -> None:
        """An outage: nothing is known of any token."""
        path = tmp_path / "token"
        if content is not None:
            path.write_bytes(content)
        settings = issuer.settings("api", jwks_url=issuer.jwks_url, jwks_token_file=path)

        assert "keys_unavailable" == asked(issuer, settings)
        assert f"JWT_JWKS_TOKEN_FILE (jwks_token_file) {words}" in problem(settings)
        assert [] == issuer.requests

    def test_attack_a_document_that_points_to_another_origin(
        self, issuer: FakeIssuer, tmp_path: Path
    ) -> None:
        """It gets none of the credentials, also where only the port differs."""
        path = tmp_path / "token"
        path.write_text("s3cret")
        with FakeIssuer(algorithm="ES256") as elsewhere:
            issuer.metadata["jwks_uri"] = elsewhere.jwks_url
            settings = issuer.settings(
                "api", jwks_token_file=path, jwks_headers={"X-Api-Key": "s3cret"}
            )

            assert "alice" == asked(issuer, settings, key=elsewhere.signing_key)
            assert "s3cret" in issuer.requests[0].headers["authorization"]
            assert "s3cret" not in str(elsewhere.requests[0].headers)


def test_several_places_are_asked_at_once() -> None:
    """No request waits for one place after another."""
    issuer = FakeIssuer(url="https://login.example.com")
    issuer.jwks = Answer(hang=True)
    settings = issuer.settings(
        "api", jwks_url=[f"{issuer.jwks_url}?1", f"{issuer.jwks_url}?2"], algorithm="RS256"
    )

    async def places_asked() -> int:
        token = issuer.token({"sub": "alice"}, audience="api")
        waiting = asyncio.ensure_future(verify_token(token, settings))
        await asyncio.wait([waiting], timeout=1)  # one alone has 5 s
        asked = issuer.count("jwks")
        waiting.cancel()
        return asked

    assert 2 == asyncio.run(places_asked())


class TestClientCertificate:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def strict(self, authority: trustme.CA) -> Iterator[FakeIssuer]:
        """An issuer that asks for a client certificate."""
        with FakeIssuer(algorithm="ES256", ssl_context=certified(authority, asks=True)) as running:
            yield running

    def settings(
        self, issuer: FakeIssuer, authority: trustme.CA, directory: Path, **options: Any
    ) -> JWTSettings:
        path = directory / "ca.pem"
        authority.cert_pem.write_to_path(path)
        return issuer.settings("api", ca_file=path, jwks_url=issuer.jwks_url, **options)

    @pytest.mark.parametrize("apart", [False, True], ids=["one-file", "two-files"])
    def test_with_one(
        self, strict: FakeIssuer, authority: trustme.CA, tmp_path: Path, *, apart: bool
    ) -> None:
        """The issuer answers."""
        client = authority.issue_cert("client@example.com")
        files: dict[str, Any] = {"jwks_certificate_file": tmp_path / "client.pem"}
        if apart:
            files["jwks_key_file"] = tmp_path / "key.pem"
            client.private_key_pem.write_to_path(files["jwks_key_file"])
            client.cert_chain_pems[0].write_to_path(files["jwks_certificate_file"])
        else:
            client.private_key_and_cert_chain_pem.write_to_path(files["jwks_certificate_file"])
        settings = self.settings(strict, authority, tmp_path, **files)

        assert "alice" == asked(strict, settings)

    def test_without_one(self, strict: FakeIssuer, authority: trustme.CA, tmp_path: Path) -> None:
        """The reason says what it asks for, and which setting has it."""
        settings = self.settings(strict, authority, tmp_path)

        assert "keys_unavailable" == asked(strict, settings)
        assert "a client certificate; see JWT_JWKS_CERTIFICATE_FILE" in problem(settings)

    def test_attack_a_document_that_points_to_another_origin(
        self, strict: FakeIssuer, authority: trustme.CA, tmp_path: Path
    ) -> None:
        """It is not shown the certificate, so it does not answer."""
        client = authority.issue_cert("client@example.com")
        client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        tls = certified(authority, asks=True)
        with FakeIssuer(algorithm="ES256", ssl_context=tls) as elsewhere:
            strict.metadata["jwks_uri"] = elsewhere.jwks_url
            settings = strict.settings(
                "api",
                ca_file=tmp_path / "ca.pem",
                jwks_certificate_file=tmp_path / "client.pem",
            )

            assert "keys_unavailable" == asked(strict, settings, key=elsewhere.signing_key)
            assert "a client certificate; see JWT_JWKS_CERTIFICATE_FILE" in problem(settings)
            assert [] == elsewhere.requests

    def test_one_that_is_renewed(
        self,
        strict: FakeIssuer,
        authority: trustme.CA,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The new one is shown; it is read when it has changed, which takes up to 100 ms."""
        path, read = tmp_path / "client.pem", list[bool]()
        tls_context = Fetcher._tls_context

        def counted(fetcher: Fetcher, *, with_certificate: bool) -> ssl.SSLContext:
            read.append(with_certificate)
            return tls_context(fetcher, with_certificate=with_certificate)

        monkeypatch.setattr(Fetcher, "_tls_context", counted)
        foreign = trustme.CA().issue_cert("client@example.com")
        foreign.private_key_and_cert_chain_pem.write_to_path(path)
        settings = self.settings(strict, authority, tmp_path, jwks_certificate_file=path)
        for _ in range(2):
            assert not asyncio.run(settings.refresh_keys())["default"].fresh
        read_before = [*read]

        own = authority.issue_cert("client@example.com")
        own.private_key_and_cert_chain_pem.write_to_path(path)
        for _ in range(2):
            assert asyncio.run(settings.refresh_keys())["default"].fresh

        assert ([False, True], [False, True, True]) == (read_before, read)

    def test_one_that_is_broken_later(
        self, strict: FakeIssuer, authority: trustme.CA, tmp_path: Path
    ) -> None:
        """An outage, with the setting's name in the reason."""
        path = tmp_path / "client.pem"
        client = authority.issue_cert("client@example.com")
        client.private_key_and_cert_chain_pem.write_to_path(path)
        settings = self.settings(strict, authority, tmp_path, jwks_certificate_file=path)
        path.write_text("broken")

        assert "keys_unavailable" == asked(strict, settings)
        assert "JWT_JWKS_CERTIFICATE_FILE" in problem(settings)

    def test_attack_tokens_while_it_is_broken(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each lets Introspection ask; the authorities of the system, 30 ms, are not read then."""
        path, read = tmp_path / "client.pem", list[bool]()
        client = authority.issue_cert("client@example.com")
        client.private_key_and_cert_chain_pem.write_to_path(path)
        url = "https://127.0.0.1:1/"
        fetcher = Fetcher(certificate_file=path, origins={"https://127.0.0.1:1"})
        monkeypatch.setattr(fetching, "_system_tls_context", lambda **_: read.append(True))
        path.write_bytes(authority.cert_pem.bytes())

        for _ in range(2):
            with pytest.raises(FetchError, match="JWT_JWKS_CERTIFICATE_FILE"):
                asyncio.run(fetcher.post(url, b"", {}))

        assert [] == read

    def test_one_with_a_password(
        self, strict: FakeIssuer, authority: trustme.CA, tmp_path: Path
    ) -> None:
        """A service cannot be asked for it."""
        path = tmp_path / "client.pem"
        client = authority.issue_cert("client@example.com")
        key = load_pem_private_key(client.private_key_pem.bytes(), None)
        encrypted = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        )
        path.write_bytes(client.cert_chain_pems[0].bytes() + encrypted)

        with pytest.raises(ConfigurationError, match="without a password") as refused:
            self.settings(strict, authority, tmp_path, jwks_certificate_file=path)

        assert "jwks_certificate" == refused.value.reason


# Files that change


def of(secret: str = SECRET, **members: Any) -> str:
    return mint(claims(now=time.time(), **members), secret)


def jwks_of(*keys: SigningKey) -> str:
    return json.dumps({"keys": [key.jwk for key in keys]})


FIRST, SECOND = (SigningKey.generate("ES256") for _ in range(2))


def signed(key: SigningKey) -> str:
    return FakeIssuer(url="https://a.example", algorithm="ES256").token({"sub": "alice"}, key=key)


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "keys"
        path.write_text(jwks_of(FIRST))
        return path

    @pytest.fixture
    def settings(self, path: Path) -> JWTSettings:
        settings = JWTSettings(jwks_file=path, algorithm="ES256")
        self.clock(settings)
        return settings

    @staticmethod
    def clock(settings: JWTSettings) -> VirtualClock:
        files = settings.policy.key_files
        assert files is not None
        if not isinstance(files.clock, VirtualClock):
            files.clock = VirtualClock(files.clock())
        return files.clock

    @staticmethod
    def replace(path: Path, text: str) -> None:
        """As Kubernetes does: by another file in its place."""
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    def test_a_change_holds_within_ten_seconds(self, path: Path, settings: JWTSettings) -> None:
        """Also for a token that was verified with a key that is gone."""
        assert ["alice", "unknown_key"] == [
            outcome(signed(key), settings) for key in (FIRST, SECOND)
        ]
        old = signed(FIRST)
        assert "alice" == outcome(old, settings)

        self.replace(path, jwks_of(SECOND))
        self.clock(settings).advance(10)

        assert ["unknown_key", "alice"] == [
            outcome(old, settings),
            outcome(signed(SECOND), settings),
        ]

    def test_they_are_looked_at_every_five_seconds(self, path: Path, settings: JWTSettings) -> None:
        """And not for each request."""
        self.clock(settings).advance(10)
        before = settings.policy.keys
        self.replace(path, jwks_of(SECOND))
        self.clock(settings).advance(4.5)
        assert settings.policy.keys is before
        self.clock(settings).advance(0.5)

        assert settings.policy.keys is not before

    def test_one_that_was_away(self, path: Path, settings: JWTSettings) -> None:
        """As it is back it is good, although it has not changed."""
        for source, target in pairwise((path, path.with_suffix(".away"), path)):
            source.rename(target)
            self.clock(settings).advance(10)
            health = settings.key_health()["default.file"]

        assert health.fresh

    def test_what_has_not_changed_is_not_read(self, path: Path, settings: JWTSettings) -> None:
        """The keys are the same objects."""
        before = settings.policy.keys

        self.clock(settings).advance(10)

        assert settings.policy.keys is before
        assert path.exists()

    @pytest.mark.parametrize(
        "text",
        ['{"keys": [', "", '{"keys": []}', "[]", None],
        ids=["half", "empty", "none", "list", "gone"],
    )
    def test_a_broken_one_changes_nothing(
        self, path: Path, settings: JWTSettings, text: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is reported once in the log and in the health report, until it is good again."""
        caplog.set_level(logging.INFO)
        path.unlink() if text is None else self.replace(path, text)
        for _ in range(3):
            self.clock(settings).advance(10)
            assert "alice" == outcome(signed(FIRST), settings)

        health = settings.key_health()["default.file"]
        assert (False, True, 1) == (health.fresh, health.degraded, health.keys)
        assert (False, False) == (health.cooling_down, health.reloading)
        assert pytest.approx(30, abs=5) == health.age
        assert "(jwks_file)" in str(health.last_error)
        assert 1 == caplog.text.count("are not read again")

        self.replace(path, jwks_of(FIRST, SECOND))
        self.clock(settings).advance(10)

        assert "alice" == outcome(signed(SECOND), settings)
        assert settings.key_health()["default.file"].fresh
        assert 1 == caplog.text.count("were read again")

    def test_a_secret_in_a_file(self, tmp_path: Path) -> None:
        """Without the line break at its end; tokens are issued with the current one."""
        path = tmp_path / "secret"
        path.write_text(f"{SECRET}\n")
        settings = JWTSettings(secret_key_file=path)
        clock = self.clock(settings)

        assert "alice" == outcome(of(SECRET), settings)
        assert "bob" == outcome(create_access_token("bob", settings=settings), settings)

        self.replace(path, OTHER_SECRET)
        assert "bob" == outcome(create_access_token("bob", settings=settings), settings)
        clock.advance(10)

        assert ["signature", "alice"] == [
            outcome(of(it), settings) for it in (SECRET, OTHER_SECRET)
        ]
        assert "bob" == outcome(create_access_token("bob", settings=settings), settings)

    @pytest.mark.parametrize(
        "text",
        [
            *(None, "", "\n", SECRET[:20], "\xff" * 40, '{"kty": "oct", "k": "' + "a" * 60),
            *("-----BEGIN PUBLIC KEY-----\nMII", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"),
        ],
        ids=["gone", "empty", "line", "short", "bytes", "jwk", "pem", "ssh"],
    )
    def test_tokens_are_issued_while_a_secret_is_broken(
        self, tmp_path: Path, text: str | None
    ) -> None:
        """With the former one, which is what they are checked with, beside another one too."""
        path = tmp_path / "secret"
        path.write_text(SECRET)
        settings = JWTSettings(secret_key_file=path, verification_keys=[OTHER_SECRET])
        path.unlink() if text is None else path.write_text(text, "latin-1")

        for _ in range(2):
            token = create_access_token("bob", settings=settings)
            assert "bob" == outcome(token, JWTSettings(secret_key=SECRET))
            assert "bob" == outcome(token, settings)
            self.clock(settings).advance(10)

    def test_an_empty_secret(self, tmp_path: Path) -> None:
        """It is no secret, though there is another one: a file is empty before it is written."""
        path = tmp_path / "secret"
        path.write_text("\n")

        with pytest.raises(ConfigurationError, match="SECRET_KEY_FILE cannot be read: it is empty"):
            JWTSettings(secret_key_file=path, verification_keys=[SECRET])

    def test_a_public_key_in_a_file(self, tmp_path: Path) -> None:
        """A half-written one changes nothing."""
        path = tmp_path / "key.pem"
        old, new = pair("P-256"), pair("P-256", "other")
        path.write_text(old.public_pem)
        settings = JWTSettings(secret_key_file=path, algorithm="ES256")
        clock = self.clock(settings)
        tokens = [mint(claims(now=time.time()), key, "ES256") for key in (old, new)]

        self.replace(path, new.public_pem[:60])
        clock.advance(10)
        assert ["alice", "signature"] == [outcome(token, settings) for token in tokens]

        self.replace(path, new.public_pem)
        clock.advance(10)
        assert ["signature", "alice"] == [outcome(token, settings) for token in tokens]

    def test_what_is_no_text(self, tmp_path: Path) -> None:
        """The file is refused, and nothing of it is told."""
        path = tmp_path / "secret"
        path.write_bytes(b"\xff" * 64)

        with pytest.raises(
            ConfigurationError, match="JWT_SECRET_KEY_FILE cannot be read: it is not"
        ):
            JWTSettings(secret_key_file=path)

    def test_of_one_issuer_of_several(self, path: Path) -> None:
        """The health report names it."""
        one = IssuerSettings(
            jwks_file=path, algorithm="ES256", issuer="https://a.example", audience="x"
        )
        settings = JWTSettings(issuers={"staff": one})

        assert ["staff.file"] == list(settings.key_health())


class TestSecretsInFiles:
    """Docker and Kubernetes mount secrets as files: each has a variable with `_FILE`."""

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("verification_keys", json.dumps([OTHER_SECRET])),
            ("dpop_nonce_keys", json.dumps([SECRET])),
            ("revocation_url", "redis://:s3cret@127.0.0.1:9"),
            ("dpop_replay_store", "redis://:s3cret@127.0.0.1:9"),
            ("jwks_headers", '{"X-Api-Key": "s3cret"}'),
        ],
    )
    def test_a_variable_names_the_file(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        name: str,
        text: str,
    ) -> None:
        """The value is as if it stood in the variable itself, which must not be there too."""
        path = tmp_path / name
        path.write_text(f"{text}\n")
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        monkeypatch.setenv("JWT_DPOP", "off")  # whose settings ask for it
        monkeypatch.setenv(f"JWT_{name.upper()}_FILE", str(path))
        by_file = str(getattr(JWTSettings(), name))
        monkeypatch.setenv(f"JWT_{name.upper()}", text)

        with pytest.raises(ConfigurationError, match=f"JWT_{name.upper()}_FILE exclude each other"):
            JWTSettings()
        monkeypatch.delenv(f"JWT_{name.upper()}_FILE")

        assert by_file == str(getattr(JWTSettings(), name))
        assert "is not a setting" not in caplog.text

    def test_a_variable_in_a_file_of_variables(self, tmp_path: Path) -> None:
        """A `.env` file that the settings read has it as well."""
        (tmp_path / "url").write_text("redis://:s3cret@127.0.0.1:9\n")
        (tmp_path / ".env").write_text(
            f"JWT_SECRET_KEY={SECRET}\nJWT_REVOCATION_URL_FILE={tmp_path / 'url'}\n"
        )

        settings = JWTSettings(_env_file=tmp_path / ".env")

        assert settings.revocations is not None

    def test_a_file_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sentence names the variable."""
        monkeypatch.setenv("APP_SECRET_KEY", SECRET)
        monkeypatch.setenv("APP_REVOCATION_URL_FILE", "/nowhere")

        with pytest.raises(ConfigurationError, match="APP_REVOCATION_URL_FILE cannot be read: No"):
            JWTSettings(_env_prefix="APP_")


# Secrets in base64, key sets in a variable


BYTES = bytes(range(200, 248))


class TestBase64:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(base64.b64encode(BYTES[:40]).decode(), id="padded"),
            pytest.param(base64.b64encode(BYTES[:40]).decode().rstrip("="), id="not-padded"),
            pytest.param(base64.urlsafe_b64encode(BYTES[:40]).decode(), id="url-alphabet"),
            pytest.param(f" {base64.b64encode(BYTES[:40]).decode()}\n", id="white-space-around"),
        ],
    )
    @pytest.mark.parametrize("name", ["secret_key", "verification_keys"])
    def test_a_secret_of_bytes(self, name: str, text: str) -> None:
        """As Auth0, Supabase and Kubernetes have them."""
        settings = JWTSettings(secret_key_encoding="base64", **{name: text})  # type: ignore[arg-type]
        token = mint(claims(now=time.time()), BYTES[:40])

        assert "alice" == outcome(token, settings)
        assert "signature" == outcome(of(text), settings)

    def test_a_public_key_stays_one(self) -> None:
        """PEM is base64 of its own."""
        settings = JWTSettings(
            secret_key=pair("P-256").public_pem, algorithm="ES256", secret_key_encoding="base64"
        )

        assert 1 == settings.policy.keys.size

    @pytest.mark.parametrize(
        "text", ["?" * 48, "a" * 33, "", "=="], ids=["sign", "length", "", "pad"]
    )
    def test_what_is_no_base64(self, text: str) -> None:
        """It is refused, and not taken for text."""
        with pytest.raises(ConfigurationError):
            JWTSettings(secret_key=text, secret_key_encoding="base64")

    def test_the_length_of_the_bytes_counts(self) -> None:
        """RFC 7518 §3.2: 40 characters are 30 bytes."""
        with pytest.raises(ConfigurationError, match="has 30 bytes") as refused:
            JWTSettings(secret_key="a" * 40, secret_key_encoding="base64")

        assert "short_secret" == refused.value.reason

    def test_tokens_are_issued_with_the_bytes(self) -> None:
        """So that the same settings accept them."""
        settings = JWTSettings(
            secret_key=base64.b64encode(BYTES).decode(), secret_key_encoding="base64"
        )

        assert "bob" == outcome(create_access_token("bob", settings=settings), settings)


class TestInlineSet:
    def test_in_code_and_in_a_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a mapping, or as JSON."""
        in_code = JWTSettings(jwks=json.loads(jwks_of(FIRST)), algorithm="ES256")
        monkeypatch.setenv("JWT_JWKS", jwks_of(FIRST))

        assert ["alice", "alice"] == [
            outcome(signed(FIRST), it) for it in (in_code, JWTSettings(algorithm="ES256"))
        ]

    @pytest.mark.parametrize("text", ["leaky", "[]", '"leaky"'])
    def test_what_is_no_set(self, text: str) -> None:
        """The sentence names the setting and no value."""
        with pytest.raises(ConfigurationError, match=r"JWT_JWKS \(jwks\)") as refused:
            JWTSettings(jwks=text, algorithm="ES256")

        assert "leaky" not in str(refused.value)

    @pytest.mark.parametrize("keys", [{}, {"keys": []}, {"keys": [{"kty": "oct", "k": "AA"}]}])
    def test_a_set_that_cannot_be_used(self, keys: dict[str, Any]) -> None:
        """The sentence names the setting that holds it, not that of a file alone."""
        with pytest.raises(ConfigurationError, match=r"JWT_JWKS \(jwks\)"):
            JWTSettings(jwks=keys, algorithm="ES256")


# Several sources beside each other


class TestMoving:
    """From a shared secret to published keys, without a refused token."""

    @pytest.fixture
    def settings(self, issuer: FakeIssuer) -> JWTSettings:
        return issuer.settings("api", secret_key=SECRET, algorithm=["HS256", "ES256"])

    def old(self, issuer: FakeIssuer, secret: str = SECRET) -> str:
        return of(secret, iss=issuer.issuer, aud="api")

    def test_both_are_accepted(self, issuer: FakeIssuer, settings: JWTSettings) -> None:
        """Each by its own keys; nothing is fetched for those of the secret."""
        assert "alice" == outcome(self.old(issuer), settings)
        assert [] == issuer.requests
        assert "alice" == asked(issuer, settings)

    def test_forged_ones_are_refused(self, issuer: FakeIssuer, settings: JWTSettings) -> None:
        """Whichever algorithm they name."""
        other = SigningKey.generate("ES256", kid=issuer.signing_key.kid)

        assert "alice" == asked(issuer, settings)
        assert "signature" == asked(issuer, settings, key=other)
        assert "signature" == outcome(self.old(issuer, OTHER_SECRET), settings)
        assert "unknown_key" == asked(issuer, settings, header={"kid": "unknown"})

    def test_attack_a_published_key_as_the_secret(
        self, issuer: FakeIssuer, settings: JWTSettings
    ) -> None:
        """HS256 with the public key as its secret (RFC 8725 §2.1)."""
        forged = of(json.dumps(issuer.signing_key.jwk), iss=issuer.issuer, aud="api")

        assert "signature" == outcome(forged, settings)

    def test_an_outage_of_the_issuer_is_none_of_the_secret(
        self, issuer: FakeIssuer, settings: JWTSettings
    ) -> None:
        """503 for published keys alone."""
        with issuer.outage():
            assert "alice" == outcome(self.old(issuer), settings)
            assert "keys_unavailable" == asked(issuer, settings)
            assert "signature" == outcome(self.old(issuer, OTHER_SECRET), settings)

    def test_an_outage_is_one_also_where_a_configured_key_fits(self, issuer: FakeIssuer) -> None:
        """The token may be of the issuer, so it is not called invalid."""
        settings = issuer.settings("api", secret_key=pair("P-256").public_pem, algorithm="ES256")

        with issuer.outage():
            assert "keys_unavailable" == asked(issuer, settings)
            assert "keys_unavailable" == asked(issuer, settings, header={"kid": None})

    def test_a_verified_token_stays_cached(self, issuer: FakeIssuer, settings: JWTSettings) -> None:
        """Of both kinds, and only as long as its key is there."""
        old = self.old(issuer)
        new = issuer.token({"sub": "alice"}, audience="api")
        for _ in range(2):
            assert ["alice", "alice"] == [outcome(token, settings) for token in (old, new)]
        former = issuer.signing_key.kid
        issuer.rotate()
        issuer.withdraw(former)
        asyncio.run(settings.refresh_keys())

        assert ["alice", "unknown_key"] == [outcome(token, settings) for token in (old, new)]

    def test_each_algorithm_needs_a_key(self, issuer: FakeIssuer) -> None:
        """HS256 with published keys alone is refused, as is a secret that nothing names."""
        for values in ({"algorithm": ["HS256", "ES256"]}, {"secret_key": SECRET}):
            with pytest.raises(ConfigurationError):
                issuer.settings("api", **values)
        with pytest.raises(ConfigurationError, match="exclude each other"):
            issuer.settings("api", secret_key=SECRET, algorithm="HS256")

    def test_a_public_key_beside_published_ones(self, issuer: FakeIssuer) -> None:
        """Both sign with ES256: the token that one does not fit is checked with the other's."""
        old = pair("P-256")
        settings = issuer.settings("api", secret_key=old.public_pem, algorithm="ES256")
        members = claims(now=time.time(), iss=issuer.issuer, aud="api")
        by_old = mint(members, old, "ES256", header={"kid": "unknown"})
        by_other = mint(members, pair("P-256", "other"), "ES256")

        assert "alice" == asked(issuer, settings)
        assert "alice" == outcome(by_old, settings)
        assert "signature" == outcome(by_other, settings)

    def test_a_file_beside_published_ones(self, issuer: FakeIssuer, tmp_path: Path) -> None:
        """Both are in the health report."""
        path = tmp_path / "jwks.json"
        path.write_text(jwks_of(FIRST))
        settings = issuer.settings("api", jwks_file=path, algorithm="ES256")

        assert ["alice", "alice"] == [asked(issuer, settings), asked(issuer, settings, key=FIRST)]
        assert {"default", "default.file"} == settings.key_health().keys()

    def test_a_secret_beside_a_key_set(self) -> None:
        """Without an issuer to ask, too."""
        settings = JWTSettings(
            secret_key=SECRET, jwks=json.loads(jwks_of(FIRST)), algorithm=["HS256", "ES256"]
        )

        assert ["alice", "alice"] == [outcome(it, settings) for it in (of(), signed(FIRST))]

    def test_a_configured_key_needs_no_event_loop(
        self, issuer: FakeIssuer, settings: JWTSettings
    ) -> None:
        """Nothing is waited for, so that it works under trio too."""
        with pytest.raises(StopIteration) as done:
            verify_token(self.old(issuer), settings).send(None)

        assert "alice" == done.value.value.sub
        assert 0 == issuer.count("jwks")

    def test_all_checks_of_a_token(self, issuer: FakeIssuer, settings: JWTSettings) -> None:
        """`jwt-deps inspect` knows the keys of both."""

        def refusal(token: str, settings: JWTSettings = settings) -> str:
            findings = asyncio.run(explain_token(token, settings)).findings
            errors = [finding.error for finding in findings if finding.error is not None]
            return errors[0].reason.value if errors else "accepted"

        other = issuer.token(audience="api", header={"kid": "unknown"})

        assert ["accepted", "accepted", "unknown_key"] == [
            refusal(token) for token in (self.old(issuer), issuer.token(audience="api"), other)
        ]
        with issuer.outage():
            assert "keys_unavailable" == refusal(other, settings.model_copy())

    def test_several_issuers(self, issuer: FakeIssuer) -> None:
        """One of them with both kinds."""
        own = IssuerSettings(
            issuer=issuer.issuer,
            audience="api",
            jwks_url=issuer.jwks_url,
            allow_loopback=True,
            secret_key=SECRET,
            algorithm=["HS256", "ES256"],
        )
        settings = JWTSettings(issuers={"own": own})

        assert ["alice", "alice"] == [asked(issuer, settings), outcome(self.old(issuer), settings)]


def later(settings: JWTSettings, seconds: float) -> None:
    caches = settings.server.key_caches.values()
    clock = VirtualClock(max(cache.clock() for cache in caches) + seconds)
    for cache in caches:
        cache.clock = clock


class TestTwoAddresses:
    def test_keys_of_both_are_accepted(self, issuer: FakeIssuer) -> None:
        """While an issuer moves; each address has its own health and its own outage."""
        with FakeIssuer(algorithm="ES256") as moved:
            urls = [issuer.jwks_url, moved.jwks_url]
            settings = issuer.settings("api", jwks_url=urls)
            from_new = {"key": moved.signing_key}

            assert ["alice", "alice"] == [
                asked(issuer, settings, **from_new),
                asked(issuer, settings),
            ]
            assert {"default", "default.2"} == settings.key_health().keys()
            assert "unknown_key" == asked(issuer, settings, header={"kid": "unknown"})

    @pytest.mark.parametrize("down", [0, 1])
    def test_one_of_them_is_down(self, issuer: FakeIssuer, down: int) -> None:
        """Tokens of the other are accepted, and nothing is said of its own."""
        with FakeIssuer(algorithm="ES256") as moved:
            both = (issuer, moved)
            urls = [one.jwks_url for one in both]
            settings = issuer.settings("api", jwks_url=urls)
            keys = [one.signing_key for one in both]
            with both[down].outage():
                answers = [asked(issuer, settings, key=key) for key in keys]

        assert ("keys_unavailable", "alice") == (answers[down], answers[1 - down])

    @pytest.mark.parametrize(
        ("seconds", "stale", "down"),
        [
            pytest.param(45, 3600, False, id="fresh-for-30-s-more"),
            pytest.param(70, 3600, False, id="expired"),
            pytest.param(70, 3600, True, id="expired-in-an-outage"),
            pytest.param(70, 0, False, id="too-old"),
        ],
    )
    def test_a_key_that_one_of_them_had(
        self, issuer: FakeIssuer, seconds: float, stale: float, *, down: bool
    ) -> None:
        """The other one is not asked for it: its fetches are for keys of its own."""
        with FakeIssuer(algorithm="ES256") as moved:
            issuer.cache_control, moved.cache_control = "max-age=3600", "max-age=60"
            settings = issuer.settings(
                "api",
                jwks_url=[issuer.jwks_url, moved.jwks_url],
                jwks_cache={"stale_if_error": stale},
                token_cache_size=0,
            )
            asyncio.run(settings.refresh_keys())
            later(settings, seconds)

            with moved.outage() if down else nullcontext():
                answers = [asked(issuer, settings, key=moved.signing_key) for _ in range(2)]

        assert (["alice", "alice"], 1) == (answers, issuer.count("jwks"))

    @pytest.mark.parametrize("known", [True, False], ids=["another-key-with-its-kid", "unknown"])
    def test_the_longest_wait(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, *, known: bool
    ) -> None:
        """It is that of one place, however often they are asked for one token."""
        monkeypatch.setattr(verifying, "GRACE", 0)
        with FakeIssuer(algorithm="ES256") as moved:
            settings = issuer.settings(
                "api",
                jwks_url=[issuer.jwks_url, moved.jwks_url],
                jwks_cache={"timeout": 0.4},
            )
            issuer.cache_control = "max-age=60"
            asyncio.run(settings.refresh_keys())
            later(settings, 70)
            issuer.jwks = moved.jwks = Answer(hang=True)
            kid = issuer.signing_key.kid if known else "unknown"
            began = time.monotonic()

            assert "keys_unavailable" == asked(issuer, settings, key=FIRST, header={"kid": kid})
            assert 0.3 < time.monotonic() - began < 0.75

    @pytest.mark.parametrize("seconds", [0, 45], ids=["fresh", "fresh-for-30-s-more"])
    def test_another_key_with_the_same_kid(self, issuer: FakeIssuer, seconds: float) -> None:
        """The signature decides: where the first key does not fit, all of them are asked."""
        with FakeIssuer(algorithm="ES256") as moved:
            issuer.cache_control = "max-age=60"
            settings = issuer.settings("api", jwks_url=[issuer.jwks_url, moved.jwks_url])
            asyncio.run(settings.refresh_keys())
            later(settings, seconds)
            moved.publish({**FIRST.jwk, "kid": issuer.signing_key.kid})

            assert "alice" == asked(
                issuer, settings, key=FIRST, header={"kid": issuer.signing_key.kid}
            )

    @pytest.mark.parametrize("name", ["jwks_url", "discovery_url"])
    def test_a_query_is_in_no_repr(self, name: str) -> None:
        """It may hold an API key, which belongs in `jwks_headers`."""
        url: Any = {name: "https://a.example/keys?api_key=s3cret"}

        settings = JWTSettings(issuer="https://a.example", audience="api", **url)

        assert "s3cret" not in f"{settings!r} {settings} {settings.policy!r}"

    def test_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a comma."""
        monkeypatch.setenv("JWT_JWKS_URL", "https://a.example/keys,https://b.example/keys")

        settings = JWTSettings(issuer="https://a.example", audience="api")

        assert 2 == len(settings.server.key_caches)


# Anything else


class Vault:
    """A source of one's own."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys: Any = {"keys": [key.jwk for key in keys]}
        self.asked = 0

    async def fetch_keys(self) -> Any:
        self.asked += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


def from_source(source: Any, **options: Any) -> JWTSettings:
    return JWTSettings(key_source=source, issuer="https://a.example", audience="api", **options)


ENTRA, TENANT = "https://login.microsoftonline.com", "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"


class TestKeySource:
    def token(self, key: SigningKey, **options: Any) -> str:
        maker = FakeIssuer(url="https://a.example", algorithm="ES256")
        return maker.token({"sub": "alice"}, audience="api", key=key, **options)

    def test_its_keys_are_used(self) -> None:
        """Asked once, and again for a key that is not known."""
        vault = Vault(FIRST)
        settings = from_source(vault)

        assert "alice" == outcome(self.token(FIRST), settings)
        assert ("alice", 1) == (outcome(self.token(FIRST), settings), vault.asked)
        vault.keys = {"keys": [FIRST.jwk, SECOND.jwk]}
        assert "alice" == outcome(self.token(SECOND), settings)
        assert "unknown_key" == outcome(self.token(SECOND, header={"kid": "x"}), settings)

    @pytest.mark.parametrize(
        "iss",
        [f"{ENTRA}/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/", "https://a.example"],
        ids=["version-2", "version-1", "elsewhere"],
    )
    @pytest.mark.parametrize("kind", ["fetched", "configured"])
    def test_attack_a_key_of_another_tenant(self, iss: str, kind: str) -> None:
        """The common key set of Entra ID has keys that are of one tenant only (Storm-0558)."""
        named = {
            "common": f"{ENTRA}/{{tenantid}}/v2.0",
            "own": f"{ENTRA}/{TENANT.upper()}/v2.0",
            "personal": f"{ENTRA}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
            "no-tenant": 5,
        }
        keys = {name: SigningKey.generate("ES256") for name in named}
        jwks = {"keys": [{**keys[name].jwk, "issuer": it} for name, it in named.items()]}
        vault = Vault()
        vault.keys = jwks
        source: Any = {"key_source": vault} if kind == "fetched" else {"jwks": jwks}
        settings = JWTSettings(issuer=iss, audience="api", algorithm="ES256", **source)
        maker = FakeIssuer(url="https://a.example")

        answers = {
            name: outcome(
                maker.token({"sub": "alice", "iss": iss}, audience="api", key=key), settings
            )
            for name, key in keys.items()
        }

        others = {"personal"} if TENANT in iss else {"personal", "own"}
        assert {name: "unknown_key" if name in others else "alice" for name in named} == answers

    def test_a_key_of_a_tenant_where_no_issuer_is_set(self) -> None:
        """There is none to compare it with."""
        jwks = {"keys": [{**FIRST.jwk, "issuer": f"{ENTRA}/{TENANT}/v2.0"}]}
        settings = JWTSettings(jwks=jwks, algorithm="ES256", audience="api")

        assert "alice" == outcome(self.token(FIRST), settings)

    def test_the_issuer_of_the_test_kit_is_one(self) -> None:
        """In process, with its outages."""
        issuer = FakeIssuer(url="https://a.example", algorithm="ES256")
        settings = from_source(issuer)

        with issuer.outage():
            assert "keys_unavailable" == asked(issuer, settings)
        settings = from_source(issuer)
        assert "alice" == asked(issuer, settings)
        assert [] == issuer.requests

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            pytest.param(OSError("s3cret"), "key_source raised OSError", id="error"),
            pytest.param({"keys": []}, "the answer of key_source has no usable key", id="none"),
            pytest.param({}, "the answer of key_source is not a JWK Set", id="other"),
            pytest.param(None, "key_source raised TypeError", id="nothing"),
            pytest.param({"keys": {1, 2}}, "key_source raised TypeError", id="no-json"),
        ],
    )
    def test_a_bad_answer_is_an_outage(
        self, answer: Any, words: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The reason is told without the text of another library's error."""
        vault = Vault(FIRST)
        vault.keys = answer
        settings = from_source(vault)

        assert "keys_unavailable" == outcome(self.token(FIRST), settings)
        assert words in problem(settings)
        assert "s3cret" not in caplog.text

    def test_beside_an_address(self, issuer: FakeIssuer) -> None:
        """Keys of both are accepted."""
        settings = issuer.settings("api", jwks_url=issuer.jwks_url, key_source=Vault(FIRST))

        assert ["alice", "alice"] == [asked(issuer, settings), asked(issuer, settings, key=FIRST)]

    @pytest.mark.parametrize(
        "source",
        [object(), "vault", FakeIssuer.fetch_keys, Vault],
        ids=["object", "text", "function", "class"],
    )
    def test_what_is_no_source(self, source: Any) -> None:
        """It would fail at the first request."""
        with pytest.raises(ConfigurationError, match=r"JWT_KEY_SOURCE \(key_source\)"):
            from_source(source)
