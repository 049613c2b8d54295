"""What arrives of each answer that an endpoint can be told to give."""

import dataclasses
import gzip
import json
import math
import socket
import time
from collections.abc import Iterator

import httpx2
import pytest

from jwt_deps.testing import Answer, FakeIssuer
from tests.testing.asking import get

MINUTE = 60.0


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(algorithm="ES256") as issuer:
        yield issuer


def received(url: str) -> tuple[httpx2.Response, bytes]:
    """A response and its body as it was on the wire."""
    with httpx2.stream("GET", url, timeout=MINUTE) as response:
        return response, b"".join(response.iter_raw())


@pytest.mark.parametrize(
    ("answer", "status", "content_type", "body"),
    [
        pytest.param(Answer(status=500, body=b"oops"), 500, "application/json", b"oops", id="500"),
        pytest.param(Answer(body=b"{"), 200, "application/json", b"{", id="no-json"),
        pytest.param(Answer(body=b""), 200, "application/json", b"", id="empty-body"),
        pytest.param(Answer.json([]), 200, "application/json", b"[]", id="another-document"),
        pytest.param(
            Answer.json({"keys": []}, status=203),
            203,
            "application/json",
            b'{"keys": []}',
            id="203",
        ),
        pytest.param(
            Answer.html(), 200, "text/html", b"<!doctype html><title>Sign in</title>", id="html"
        ),
        pytest.param(
            Answer(body=b"<a/>", headers={"Content-TYPE": "text/xml"}),
            200,
            "text/xml",
            b"<a/>",
            id="its-own-headers-win",
        ),
        pytest.param(Answer(body=b"abc", drip=0.001), 200, "application/json", b"abc", id="drip"),
        pytest.param(Answer(body=b"abc", delay=0.001), 200, "application/json", b"abc", id="delay"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_is_sent_as_it_is(
    issuer: FakeIssuer,
    answer: Answer,
    status: int,
    content_type: str,
    body: bytes,
    *,
    chunked: bool,
) -> None:
    """Status, headers and body, in chunks or with a length."""
    issuer.jwks = dataclasses.replace(answer, chunked=chunked)

    response = get(issuer.jwks_url)

    assert (status, content_type, body) == (
        response.status_code,
        response.headers["content-type"],
        response.content,
    )
    assert chunked == ("content-length" not in response.headers)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(), id="nothing-wrong"),
        pytest.param(Answer(status=500), id="another-status"),
        pytest.param(Answer(chunked=True), id="chunked"),
        pytest.param(Answer(gzip=True), id="compressed"),
        pytest.param(Answer(gzip=True, chunked=True), id="compressed-and-chunked"),
        pytest.param(Answer(padding=200_000), id="padded"),
        pytest.param(Answer(padding=200_000, gzip=True), id="padded-and-compressed"),
        pytest.param(Answer(drip=0.0001), id="drip"),
    ],
)
def test_without_a_body_it_is_the_true_document(issuer: FakeIssuer, answer: Answer) -> None:
    """What is wrong is what was asked for, and nothing else."""
    issuer.jwks = issuer.discovery = answer

    with httpx2.Client() as client:  # on one connection, which each answer leaves usable
        documents = [client.get(url).json() for url in (issuer.jwks_url, issuer.discovery_url)]

    assert [issuer.jwk_set, issuer.metadata] == documents


def test_the_truth_again(issuer: FakeIssuer) -> None:
    """`None` ends it."""
    issuer.jwks = Answer.json({"keys": []})
    before = get(issuer.jwks_url).json()
    issuer.jwks = None

    assert ({"keys": []}, issuer.jwk_set) == (before, get(issuer.jwks_url).json())


def test_a_redirect_leads_elsewhere(issuer: FakeIssuer) -> None:
    """A client that follows it gets there."""
    issuer.jwks = Answer.redirect(issuer.discovery_url, status=307)

    found = get(issuer.jwks_url)
    followed = get(issuer.jwks_url, follow_redirects=True)

    assert (307, issuer.discovery_url) == (found.status_code, found.headers["location"])
    assert issuer.metadata == followed.json()


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(issuer: FakeIssuer, status: int) -> None:
    """So none is sent, and the connection stays usable."""
    issuer.jwks = Answer(status=status, gzip=True)

    with httpx2.Client() as client:
        responses = [client.get(issuer.jwks_url) for _ in range(2)]

    assert [(status, b"")] * 2 == [
        (response.status_code, response.content) for response in responses
    ]
    assert not {"content-length", "content-encoding"} & set(responses[0].headers)


def test_padding_is_spaces_to_the_byte(issuer: FakeIssuer) -> None:
    """The document stays true, and a client that has no limit takes it."""
    issuer.jwks = Answer(padding=100_001)

    response, body = received(issuer.jwks_url)

    size = len(json.dumps(issuer.jwk_set)) + 100_001
    assert (str(size), size) == (response.headers["content-length"], len(body))
    assert json.dumps(issuer.jwk_set).encode() == body.rstrip(b" ")


def test_a_bomb_is_small_on_the_wire(issuer: FakeIssuer) -> None:
    """And of any size once it is decompressed."""
    issuer.jwks = Answer(padding=5_000_000, gzip=True)

    response, body = received(issuer.jwks_url)

    assert ("gzip", str(len(body))) == (
        response.headers["content-encoding"],
        response.headers["content-length"],
    )
    assert len(body) < 10_000
    assert len(gzip.decompress(body)) > 5_000_000


@pytest.mark.parametrize("packed", [False, True])
def test_it_can_go_on_for_ever(issuer: FakeIssuer, *, packed: bool) -> None:
    """Until the client has had enough."""
    issuer.jwks = Answer(padding=math.inf, gzip=packed)

    size = 0
    with httpx2.stream("GET", issuer.jwks_url) as response:
        for piece in response.iter_bytes():
            size += len(piece)
            if size > 2_000_000:
                break

    assert "content-length" not in response.headers
    assert size > 2_000_000


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(cut=True), id="with-a-length"),
        pytest.param(Answer(cut=True, chunked=True), id="chunked"),
        pytest.param(Answer(cut=True, gzip=True), id="compressed"),
        pytest.param(Answer(cut=True, drip=0.0001), id="drip"),
        pytest.param(Answer(cut=True, padding=math.inf), id="endless"),
    ],
)
def test_it_can_break_off(issuer: FakeIssuer, answer: Answer) -> None:
    """The connection is closed in the middle of the body."""
    issuer.jwks = answer

    with pytest.raises(httpx2.RemoteProtocolError):
        get(issuer.jwks_url)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(hang=True), id="hang"),
        pytest.param(Answer(delay=MINUTE), id="delay"),
        pytest.param(Answer(drip=MINUTE), id="drip"),
    ],
)
def test_it_can_be_too_slow(issuer: FakeIssuer, answer: Answer) -> None:
    """For a client with a timeout."""
    issuer.jwks = answer

    with pytest.raises(httpx2.ReadTimeout):
        get(issuer.jwks_url, timeout=0.05)


@pytest.mark.parametrize("end", ["stop", "down"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(hang=True), id="hang"),
        pytest.param(Answer(delay=MINUTE), id="delay"),
        pytest.param(Answer(drip=MINUTE), id="drip"),
        pytest.param(Answer(padding=math.inf), id="client-that-does-not-read"),
    ],
)
def test_a_slow_client_does_not_delay_the_end(answer: Answer, end: str) -> None:
    """Open connections are closed at once."""
    with FakeIssuer(algorithm="ES256") as issuer:
        issuer.jwks = answer
        address = httpx2.URL(issuer.jwks_url)
        with socket.create_connection((address.host, address.port or 0)) as client:
            client.sendall(b"GET /jwks.json HTTP/1.1\r\n\r\n")
            while not issuer.requests:
                time.sleep(0.001)

            began = time.monotonic()
            getattr(issuer, end)()
            took = time.monotonic() - began

    assert took < MINUTE / 2


def test_an_answer_can_be_given_twice() -> None:
    """It is a value: it compares, and sending it does not use it up."""
    answer = Answer(padding=100, gzip=True, drip=0.0001)

    assert b"".join(answer.pieces()) == b"".join(answer.pieces())
    assert Answer(headers={"ETag": "a"}) == Answer(headers={"etag": "a"})
