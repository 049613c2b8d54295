"""What the scriptable issuer of `jwt_deps.testing` is to a client, and what a test can do to it."""

import json
import resource
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from jwt_deps import JWTSettings, SignatureError, UnknownKeyError
from jwt_deps.testing import Answer, FakeIssuer, SigningKey, VirtualClock
from tests.checking import parsed_by
from tests.testing.asking import get
from tests.verifying import verify

NOW = 1_700_000_000


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(algorithm="ES256", clock=VirtualClock(NOW)) as issuer:
        yield issuer


def settings_of(issuer: FakeIssuer, directory: Path) -> JWTSettings:
    """A service that has fetched the issuer's keys once."""
    file = directory / "jwks.json"
    file.write_bytes(get(issuer.jwks_url).content)
    return JWTSettings(
        jwks_file=file, algorithm="ES256", issuer=issuer.issuer, audience="api", require_exp=False
    )


def claims_of(token: str, issuer: FakeIssuer, now: float = NOW) -> dict[str, Any]:
    key = issuer.signing_key
    settings = JWTSettings(
        secret_key=key.public_pem, algorithm=key.algorithm, require_exp=False, verify_audience=False
    )
    return verify(token, settings, clock=lambda: now)


def kids(issuer: FakeIssuer) -> list[str]:
    """The names that a client finds."""
    return [jwk["kid"] for jwk in get(issuer.jwks_url).json()["keys"]]


class TestAddresses:
    @pytest.mark.parametrize(
        ("path", "jwks", "discovery"),
        [
            pytest.param("", "/jwks.json", "/.well-known/openid-configuration", id="none"),
            pytest.param("/", "/jwks.json", "/.well-known/openid-configuration", id="slash"),
            pytest.param(
                "/realms/a",
                "/realms/a/jwks.json",
                "/realms/a/.well-known/openid-configuration",
                id="realm",
            ),
        ],
    )
    def test_they_follow_from_the_path(self, path: str, jwks: str, discovery: str) -> None:
        """As `iss` it stays to the letter; a slash at its end is not repeated elsewhere."""
        with FakeIssuer(algorithm="ES256", path=path) as issuer:
            origin = issuer.issuer.removesuffix(path)
            documents = [get(url).json() for url in (issuer.jwks_url, issuer.discovery_url)]

            assert [issuer.jwk_set, issuer.metadata] == documents
            assert (origin + path, origin + jwks, origin + discovery) == (
                issuer.metadata["issuer"],
                issuer.metadata["jwks_uri"],
                issuer.discovery_url,
            )

    @pytest.mark.parametrize(
        "place",
        [
            "/.well-known/oauth-authorization-server/realms/a",
            "/.well-known/openid-configuration/realms/a",
            "/realms/a/.well-known/openid-configuration",
        ],
    )
    def test_metadata_are_where_the_test_wants_them(self, place: str) -> None:
        """At all three well-known places (RFC 8414 §3, §5), or at those that are left."""
        with FakeIssuer(algorithm="ES256", path="/realms/a") as issuer:
            url = issuer.issuer.removesuffix("/realms/a") + place
            found = get(url)
            issuer.discovery_paths.remove(place)
            gone = get(url)

            assert (issuer.metadata, 404) == (found.json(), gone.status_code)

    def test_a_query_does_not_hide_them(self, issuer: FakeIssuer) -> None:
        assert 200 == get(issuer.jwks_url, params={"appid": "a"}).status_code

    def test_they_are_not_known_before_the_start(self) -> None:
        issuer = FakeIssuer(algorithm="ES256")

        with pytest.raises(RuntimeError, match="before the start"):
            issuer.token()

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "issuer.example"])  # noqa: S104
    def test_no_other_machine_reaches_it(self, host: str) -> None:
        """Only addresses of the loopback interface are taken."""
        with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
            FakeIssuer(algorithm="ES256", host=host)

    def test_ipv6(self) -> None:
        """`::1` is one of them."""
        with FakeIssuer(algorithm="ES256", host="::1") as issuer:
            assert issuer.issuer.startswith("http://[::1]:")
            assert issuer.jwk_set == get(issuer.jwks_url).json()

    def test_several_at_once(self) -> None:
        """Each has its own address and its own keys."""
        with FakeIssuer(algorithm="ES256") as one, FakeIssuer(algorithm="ES256") as other:
            assert one.issuer != other.issuer
            assert kids(one) != kids(other)


class TestHTTPS:
    def test_with_a_certificate(self) -> None:
        """Clients that trust it are served."""
        authority = trustme.CA()
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)

        with (
            FakeIssuer(algorithm="ES256", ssl_context=serving) as issuer,
            httpx2.Client(verify=trusting) as client,
        ):
            issuer.jwks = Answer(chunked=True)

            assert issuer.issuer.startswith("https://")
            assert issuer.jwk_set == client.get(issuer.jwks_url).json()
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                get(issuer.jwks_url)
            with pytest.raises(httpx2.RemoteProtocolError):
                get(issuer.jwks_url.replace("https", "http"))

    def test_a_slow_client_does_not_delay_the_end(self) -> None:
        """Not even who never shakes hands, or hangs after that."""
        authority = trustme.CA()
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)

        with FakeIssuer(algorithm="ES256", ssl_context=serving) as issuer:
            issuer.jwks = Answer(hang=True)
            address = httpx2.URL(issuer.jwks_url)
            with socket.create_connection((address.host, address.port or 0)):
                with pytest.raises(httpx2.ReadTimeout):
                    get(issuer.jwks_url, verify=trusting, timeout=0.5)
                issuer.stop()


class TestKeys:
    def test_it_starts_with_one(self, issuer: FakeIssuer) -> None:
        """The one that signs is the one that is published."""
        assert [issuer.signing_key.kid] == kids(issuer)
        assert (issuer.signing_key,) == issuer.keys

    def test_rotation_with_overlap(self, issuer: FakeIssuer) -> None:
        """The new key signs, the old one can still be had."""
        old = issuer.signing_key
        new = issuer.rotate()

        assert [old.kid, new.kid] == kids(issuer)
        assert (old, new) == issuer.keys
        assert new == issuer.signing_key
        assert "ES256" == new.algorithm

    def test_rotation_without_overlap(self, issuer: FakeIssuer) -> None:
        """The new key is the only one that can be had."""
        old = issuer.signing_key
        issuer.publish({"kty": "unheard-of"})
        new = issuer.rotate(overlap=False)

        assert [new.kid] == kids(issuer)
        assert (old, new) == issuer.keys

    def test_rotation_to_another_algorithm(self, issuer: FakeIssuer) -> None:
        """The next one keeps to it."""
        first, second = issuer.rotate(algorithm="EdDSA"), issuer.rotate()

        assert ("EdDSA", "EdDSA") == (first.algorithm, second.algorithm)

    def test_another_key_under_the_same_name(self, issuer: FakeIssuer, tmp_path: Path) -> None:
        """What an issuer must not do, and some do."""
        old = issuer.signing_key
        issuer.rotate(kid=old.kid, overlap=False)
        settings = settings_of(issuer, tmp_path)

        with pytest.raises(SignatureError):
            verify(issuer.token(audience="api", key=old), settings, clock=lambda: NOW)
        verify(issuer.token({"sub": "alice"}, audience="api"), settings, clock=lambda: NOW)

    def test_withdrawal(self, issuer: FakeIssuer, tmp_path: Path) -> None:
        """The key signs as before, and is no longer published."""
        withdrawn = issuer.signing_key
        issuer.publish("no object")
        issuer.publish(SigningKey.generate("ES256", kid="next").jwk)
        issuer.withdraw(withdrawn.kid)
        settings = settings_of(issuer, tmp_path)

        assert withdrawn == issuer.signing_key
        with pytest.raises(UnknownKeyError):
            verify(issuer.token(audience="api"), settings, clock=lambda: NOW)

    def test_withdrawing_what_is_not_there(self, issuer: FakeIssuer) -> None:
        """A slip of the pen is no withdrawal."""
        with pytest.raises(KeyError, match="unknown"):
            issuer.withdraw("unknown")

    def test_anything_can_be_published(self, issuer: FakeIssuer) -> None:
        """The set is sent as it is."""
        issuer.publish({"kty": "oct", "k": "c2VjcmV0"})
        issuer.publish(17)

        published = get(issuer.jwks_url).json()["keys"]

        assert [issuer.signing_key.jwk, {"kty": "oct", "k": "c2VjcmV0"}, 17] == published

    def test_a_mistake_in_the_test_is_shown(
        self, issuer: FakeIssuer, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What JSON cannot say is not sent, and the reason is found on stderr."""
        issuer.publish(object())

        with pytest.raises(httpx2.RemoteProtocolError):
            get(issuer.jwks_url)
        assert "TypeError: Object of type object is not JSON serializable" in capfd.readouterr().err


class TestTokens:
    @pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
    def test_they_are_good(self, algorithm: str, tmp_path: Path) -> None:
        """To a service that has the issuer's keys and its name."""
        with FakeIssuer(algorithm=algorithm) as issuer:
            file = tmp_path / "jwks.json"
            file.write_bytes(get(issuer.jwks_url).content)
            settings = JWTSettings(
                jwks_file=file, algorithm=algorithm, issuer=issuer.issuer, audience="api"
            )

            claims = verify(issuer.token({"sub": "alice"}, audience="api"), settings)

            assert ("alice", issuer.issuer, "api") == (claims["sub"], claims["iss"], claims["aud"])

    def test_what_is_filled_in(self, issuer: FakeIssuer) -> None:
        """Issuer, times and an identity of its own."""
        tokens = [issuer.token(), issuer.token()]

        first, second = (claims_of(token, issuer) for token in tokens)

        assert {"iss": issuer.issuer, "iat": NOW, "exp": NOW + 300} == {
            name: value for name, value in first.items() if name != "jti"
        }
        assert first["jti"] != second["jti"]

    @pytest.mark.parametrize(
        ("claims", "found"),
        [
            pytest.param({"iss": "https://other"}, {"iss": "https://other"}, id="issuer"),
            pytest.param({"jti": "a", "aud": ["x"]}, {"jti": "a", "aud": ["x"]}, id="id-audience"),
            pytest.param({"iat": 0, "exp": NOW + 1}, {"iat": 0, "exp": NOW + 1}, id="times"),
            pytest.param({"exp": None, "iss": None}, {}, id="left-out"),
        ],
    )
    def test_what_is_given_wins(
        self, issuer: FakeIssuer, claims: dict[str, Any], found: dict[str, Any]
    ) -> None:
        """And what is given as `None` is left out."""
        token = issuer.token(claims, audience=["api", "other"])

        everything = claims_of(token, issuer)

        assert found == {name: everything[name] for name in claims if name in everything}

    def test_times(self, issuer: FakeIssuer) -> None:
        """Issued at another time, for another while, in whole seconds."""
        token = issuer.token(now=1000.9, expires_in=60)

        claims = claims_of(token, issuer, now=1001)

        assert (1000, 1060) == (claims["iat"], claims["exp"])

    def test_the_clock_is_the_one_given(self) -> None:
        """Tokens of tomorrow are issued by moving it."""
        clock = VirtualClock(NOW)
        with FakeIssuer(algorithm="ES256", clock=clock) as issuer:
            clock.advance(86_400)

            assert NOW + 86_400 == claims_of(issuer.token(), issuer, now=clock())["iat"]

    @pytest.mark.parametrize(
        ("header", "kid"),
        [
            pytest.param(None, "own", id="its-key"),
            pytest.param({"kid": "other"}, "other", id="another-name"),
            pytest.param({"kid": None}, None, id="none"),
        ],
    )
    def test_the_header(self, header: dict[str, Any] | None, kid: str | None) -> None:
        """Names the key, unless it is told otherwise."""
        with FakeIssuer(algorithm="ES256") as issuer:
            key = issuer.rotate(kid="own")
            settings = JWTSettings(secret_key=key.public_pem, algorithm="ES256")

            assert kid == parsed_by(issuer.token(header=header), settings.policy.keys).kid

    def test_a_stranger_can_sign(self, issuer: FakeIssuer, tmp_path: Path) -> None:
        """With a key that calls itself as the issuer's does."""
        forger = SigningKey.generate("ES256", kid=issuer.signing_key.kid)
        settings = settings_of(issuer, tmp_path)

        with pytest.raises(SignatureError):
            verify(issuer.token(audience="api", key=forger), settings, clock=lambda: NOW)


class TestMetadata:
    def test_a_member_can_be_replaced(self, issuer: FakeIssuer) -> None:
        """Another issuer, another address for the keys; removed is removed."""
        issuer.metadata["issuer"] = "https://other"
        del issuer.metadata["jwks_uri"]

        document = get(issuer.discovery_url).json()

        assert "https://other" == document["issuer"]
        assert "jwks_uri" not in document

    def test_what_was_replaced_before_the_start_stays(self) -> None:
        """The rest is filled in then."""
        issuer = FakeIssuer(algorithm="ES256")
        issuer.metadata["jwks_uri"] = "https://other/"
        with issuer:
            assert ("https://other/", issuer.issuer) == (
                issuer.metadata["jwks_uri"],
                issuer.metadata["issuer"],
            )

    def test_its_endpoints_are_scripted_apart(self, issuer: FakeIssuer) -> None:
        """Keys can be had where metadata cannot."""
        issuer.discovery = Answer(status=503)

        assert (503, 200) == (
            get(issuer.discovery_url).status_code,
            get(issuer.jwks_url).status_code,
        )


class TestCaching:
    def test_what_has_not_changed_is_not_sent_again(self, issuer: FakeIssuer) -> None:
        """By `ETag`; a new key makes a new one."""
        with httpx2.Client() as client:
            etag = client.get(issuer.jwks_url).headers["etag"]
            known = {"If-None-Match": f'"another", {etag}'}
            same = client.get(issuer.jwks_url, headers=known)
            issuer.rotate()
            changed = client.get(issuer.jwks_url, headers=known)

        assert (304, b"", etag) == (same.status_code, same.content, same.headers["etag"])
        assert (200, issuer.jwk_set) == (changed.status_code, changed.json())

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(Answer(status=500), id="failure"),
            pytest.param(Answer.json({"keys": []}), id="not-the-truth"),
        ],
    )
    def test_only_the_truth_is_compared(self, issuer: FakeIssuer, answer: Answer) -> None:
        """The `Answer` in its place is sent to every client."""
        etag = get(issuer.jwks_url).headers["etag"]
        issuer.jwks = answer

        response = get(issuer.jwks_url, headers={"If-None-Match": etag})

        assert answer.status == response.status_code

    def test_cache_control(self, issuer: FakeIssuer) -> None:
        """Absent until it is set, and with both documents."""
        before = get(issuer.jwks_url).headers.get("cache-control")
        issuer.cache_control = "max-age=600"
        after = [
            get(url).headers.get("cache-control") for url in (issuer.jwks_url, issuer.discovery_url)
        ]

        assert (None, ["max-age=600"] * 2) == (before, after)


class TestRequests:
    def test_they_are_counted(self, issuer: FakeIssuer) -> None:
        """By endpoint, whatever the answer was."""
        issuer.jwks = Answer(status=500)
        for url in (issuer.jwks_url, issuer.discovery_url, issuer.jwks_url, issuer.issuer):
            get(url)

        assert (2, 1, 1) == (issuer.count("jwks"), issuer.count("discovery"), issuer.count("other"))

    def test_they_are_recorded(self, issuer: FakeIssuer) -> None:
        """What was asked, with which headers, and in which order."""
        get(issuer.jwks_url, params={"a": "b"}, headers={"X-Who": "me"})
        get(issuer.discovery_url)

        first, second = issuer.requests

        assert ("jwks", "/jwks.json?a=b", "me") == (
            first.endpoint,
            first.path,
            first.headers["x-who"],
        )
        assert "discovery" == second.endpoint
        assert first.time <= second.time

    def test_on_one_connection(self, issuer: FakeIssuer) -> None:
        """It is kept open, as real issuers keep theirs."""
        with httpx2.Client(limits=httpx2.Limits(max_connections=1)) as client:
            responses = [client.get(issuer.jwks_url) for _ in range(3)]

        assert ["HTTP/1.1"] * 3 == [response.http_version for response in responses]
        assert not any("connection" in response.headers for response in responses)


@pytest.fixture
def crowd() -> Iterator[int]:
    """A thousand, or as many as the system lets one process connect to itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    yield min(1000, files // 2 - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_at_once(issuer: FakeIssuer, crowd: int) -> None:
    """All of them connect before the first one asks, and all of them are answered."""
    address = httpx2.URL(issuer.jwks_url)
    clients = [
        socket.create_connection((address.host, address.port or 0), timeout=60)
        for _ in range(crowd)
    ]
    for client in clients:
        client.sendall(b"GET /jwks.json HTTP/1.1\r\nConnection: close\r\n\r\n")
    answers = []
    for client in clients:
        with client, client.makefile("rb") as answer:
            answers.append(answer.read())

    assert {json.dumps(issuer.jwk_set).encode()} == {
        answer.partition(b"\r\n\r\n")[2] for answer in answers
    }
    assert crowd == issuer.count("jwks")


class TestComingAndGoing:
    def test_down_and_up(self, issuer: FakeIssuer) -> None:
        """Connections are refused meanwhile, those that were open too; the address stays."""
        url = issuer.jwks_url
        with httpx2.Client() as client:
            client.get(url)
            for _ in range(2):
                issuer.down()
                issuer.down()
                with pytest.raises(httpx2.ConnectError):
                    client.get(url)
                issuer.up()
                issuer.up()

                assert issuer.jwk_set == client.get(url).json()
        assert url == issuer.jwks_url

    def test_the_port_stays_bound_meanwhile(self, issuer: FakeIssuer) -> None:
        """Else another service would answer in its place."""
        address = httpx2.URL(issuer.jwks_url)
        issuer.down()

        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((address.host, address.port or 0))

    def test_down_from_the_beginning(self) -> None:
        """A service may start before its issuer does."""
        issuer = FakeIssuer(algorithm="ES256")
        issuer.down()
        with pytest.raises(httpx2.ConnectError):
            get(issuer.jwks_url)
        with issuer:
            assert issuer.metadata == get(issuer.discovery_url).json()

    def test_again(self) -> None:
        """After the end it starts with the keys, the address and the script that it had."""
        issuer = FakeIssuer(algorithm="ES256")
        with issuer:
            first = (issuer.issuer, kids(issuer))
        with issuer:
            assert first == (issuer.issuer, kids(issuer))

    def test_tokens_can_be_had_after_the_end(self) -> None:
        with FakeIssuer(algorithm="ES256") as issuer:
            pass

        assert issuer.issuer == claims_of(issuer.token(now=NOW), issuer)["iss"]

    def test_a_port_that_is_taken(self, issuer: FakeIssuer) -> None:
        """Is an error, and leaves nothing behind."""
        port = httpx2.URL(issuer.issuer).port or 0
        second = FakeIssuer(algorithm="ES256", port=port)

        with pytest.raises(OSError, match="in use"):
            second.start()
        second.stop()

    def test_stopping_leaves_nothing_behind(self) -> None:
        """No thread, whatever the clients do; stopping twice is stopping."""
        before = set(threading.enumerate())
        issuer = FakeIssuer(algorithm="ES256")
        with issuer, httpx2.Client() as client:
            client.get(issuer.jwks_url)
            issuer.stop()

            assert before == set(threading.enumerate())
