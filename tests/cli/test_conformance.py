"""`jwt-deps conformance` finds no fault in this package, and reports those of others."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx2
import pytest
from jose import JOSEError, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from typer.testing import CliRunner, Result

from jwt_deps.cli.app import main
from jwt_deps.cli.conformance.asking import _handshake
from jwt_deps.cli.conformance.catalog import documents
from jwt_deps.cli.conformance.requests import Request as Asked
from jwt_deps.cli.conformance.verdict import Answer, faults
from jwt_deps.cli.demo.server import running
from tests.conformance.servers import SERVERS, ask, asked
from tests.conformance.side_by_side import NAMES, compared
from tests.minting import SECRET
from tests.providers.programs import unused_port

QUESTIONS = [question for document in documents() for question in document.questions]


def outcomes(found: list[dict[str, Any]]) -> dict[str, str]:
    """Each question's outcome."""
    return {it["id"]: it["outcome"] for document in found for it in document["questions"]}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What each application of this package answered."""
    directory = tmp_path_factory.mktemp("conformance")
    some = {"jwt-deps": "", "demo": "rfc8725", "rfc9068": "rfc9068"}
    return {name: asked(name, directory, only) for name, only in some.items()}


def test_this_package_keeps_everything(own: dict[str, list[dict[str, Any]]]) -> None:
    """MUST, SHOULD and where implementations differ; and each question was asked of one of them."""
    found = {name: outcomes(documents) for name, documents in own.items()}
    wrong = {
        (name, question): outcome
        for name, answers in found.items()
        for question, outcome in answers.items()
        if outcome not in {"kept", "not asked"}
    }
    kept = {
        it for answers in found.values() for it, outcome in answers.items() if outcome == "kept"
    }

    assert {} == wrong
    assert {it.id for it in QUESTIONS} == kept


@pytest.mark.parametrize("name", NAMES[1:])
def test_others_have_faults(name: str, tmp_path: Path) -> None:
    """Code 1, and the question that is not kept."""
    if find_spec(SERVERS[name].package.replace("-", "_")) is None:
        pytest.skip(f"{name} is not installed")

    done = ask(name, tmp_path, "--only", "rfc7515-2")

    assert 1 == done.exit_code
    assert "\nMUST  rfc7515-2-base64url.padded-signature\n" in done.output


def test_the_page_is_about_questions_that_there_are(own: dict[str, list[dict[str, Any]]]) -> None:
    """Side by side they have a row for each rule that some server does not keep."""
    found = own["jwt-deps"]

    table = compared({"demo": found, "jwt-deps": _with_faults(found)})

    assert "| 59 | 59, 1 MUST |" in table
    assert "| `rfc6750-2.1-header` | MUST |" in table
    assert "| 2 of 2 | 1 of 2 (500) |" in table
    assert "| - | - |" in table


def _with_faults(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    documents = json.loads(json.dumps(found))
    document = next(it for it in documents if it["title"].startswith("RFC 6750"))
    question = next(it for it in document["questions"] if it["rule"] == "rfc6750-2.1-header")
    question.update(outcome="MUST", came="500 ")
    document["counts"] = {"kept": 58, "MUST": 1}
    return list(documents)


def test_identifiers() -> None:
    """No two questions have the same, and each begins with the name of its document."""
    assert len({it.id for it in QUESTIONS}) == len(QUESTIONS) > 250
    assert all(it.id.startswith(f"{doc.name}-") for doc in documents() for it in doc.questions)
    assert {"MUST", "SHOULD", "DIFFERS"} == {it.level for it in QUESTIONS}


async def careless(request: Request) -> Response:
    """Look at nothing but whether there is a header, and say what it is."""
    if "authorization" not in request.headers:
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    return PlainTextResponse(request.headers["authorization"] + "x" * 100_000)


async def loud(request: Request) -> Response:
    """Refuse wrong tokens with characters that a terminal interprets."""
    _, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        jwt.decode(token, SECRET)
    except JOSEError:
        challenge = 'Bearer error="\x1b]0;title\x07\x9b31m"'
        return Response(status_code=401, headers={"WWW-Authenticate": challenge})
    return Response()


async def always_open(_: Request) -> Response:
    return Response()


async def deep(request: Request) -> Response:
    """Answer with more arrays in each other than Python reads."""
    return PlainTextResponse("[" * 50_000, 200 if "authorization" in request.headers else 401)


async def closing(websocket: WebSocket) -> None:
    """Accept a connection, and close it if it has no header."""
    await websocket.accept()
    if "authorization" not in websocket.headers:
        await websocket.close(1008)
        return
    await asyncio.wait([asyncio.ensure_future(websocket.receive())], timeout=5)


async def hanging_up(websocket: WebSocket) -> None:
    """Break off without a word."""
    await websocket.accept()
    raise ConnectionResetError


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that hardly looks at tokens."""
    routes = [
        Route("/x", careless),
        Route("/loud", loud),
        Route("/open", always_open),
        Route("/deep", deep),
        WebSocketRoute("/ws", closing),
        WebSocketRoute("/broken", hanging_up),
    ]
    with running(Starlette(routes=routes)) as address:
        yield address


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_text(SECRET)
    return str(path)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["conformance", *words])


class TestFaults:
    def test_text(self, url: str, key: str) -> None:
        """What was sent, what was expected and what came."""
        done = run(f"{url}/x", "--key", key, "--only", "rfc7519-4.1.4")

        assert 1 == done.exit_code
        assert '  sent      {"claims": {"exp": "$now-3600"}}\n' in done.stdout
        assert "  came      200: status 200\n" in done.stdout
        assert "5 MUST" in done.stderr

    def test_a_body_too_deep_to_read(self, url: str, key: str) -> None:
        """It is no JSON, and ends nothing."""
        done = run(f"{url}/deep", "--key", key, "--only", "rfc7519-4.1.4")

        assert 1 == done.exit_code
        assert "  came      200: status 200\n" in done.stdout

    def test_json_has_no_token(self, url: str, key: str) -> None:
        """Nor the key."""
        done = run(f"{url}/x", "--key", key, "--format", "json", "--only", "rfc6750")

        assert 1 == done.exit_code
        assert "SHOULD" == outcomes(json.loads(done.stdout))["rfc6750-5.2-silent.expired"]
        assert "eyJ" not in done.stdout
        assert SECRET not in done.stdout

    def test_junit(self, url: str, key: str, tmp_path: Path) -> None:
        """A failed MUST is a failure; others are told, and what was not asked is skipped."""
        report = tmp_path / "report.xml"

        done = run(f"{url}/x", "--key", key, "--junit", str(report), "--only", "rfc6750")

        suites = ET.parse(report).getroot()  # noqa: S314 - written just now
        kinds = {it.tag for case in suites.iter("testcase") for it in case}
        suite = next(it for it in suites if "6750," in it.attrib["name"])
        assert {"failure", "skipped", "system-out"} == kinds
        assert int(suite.attrib["failures"]) == len(list(suite.iter("failure"))) > 0
        assert "59" == suite.attrib["tests"]
        assert 1 == done.exit_code

    def test_attack_control_characters_for_the_terminal(
        self, url: str, key: str, tmp_path: Path
    ) -> None:
        """What a server sent is escaped, and the XML stays one that can be read."""
        report = tmp_path / "report.xml"

        done = run(f"{url}/loud", "--key", key, "--junit", str(report), "--only", "rfc6750-3.1")

        assert r"error is \x1b]0;title\x07\x9b31m" in done.stdout.replace("\n", "")
        assert not {"\x1b", "\x07", "\x9b"} & {*done.stdout}
        assert "error is" in report.read_text()
        ET.parse(report)  # noqa: S314 - written just now

    @pytest.mark.parametrize(
        ("path", "question", "came"),
        [
            pytest.param("/ws", "websocket-accepted.header", "kept", id="silent"),
            pytest.param("/ws", "websocket-refused.nothing", "kept", id="closed-after-accept"),
            pytest.param("/ws", "websocket-before.nothing", "SHOULD", id="accepted-before"),
            pytest.param("/broken", "websocket-accepted.header", "MUST", id="broken"),
        ],
    )
    def test_websocket(self, url: str, key: str, path: str, question: str, came: str) -> None:
        """A connection counts as refused if it is closed with a code that says so."""
        done = run(
            *(f"{url}/x", "--key", key, "--websocket", path),
            *("--only", question, "--format", "json"),
        )

        assert came == outcomes(json.loads(done.stdout))[question]


class TestCannotAsk:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            pytest.param(["URL/x"], "give --key, or --issuer", id="no-key"),
            pytest.param(
                ["URL/x", "--key", "KEY", "--issuer", "http://127.0.0.1:1"],
                "give --key, or --issuer",
                id="two-keys",
            ),
            pytest.param(
                ["URL/x", "--issuer", "http://issuer.example:1"],
                "cannot be used",
                id="remote-issuer",
            ),
            pytest.param(
                ["URL/x", "--key", "KEY", "--algorithm", "RS256"], "cannot be used", id="other-key"
            ),
            pytest.param(["URL/x", "--key", "KEY", "--claim", "a"], "--claim", id="claim"),
            pytest.param(["https://api.example/x", "--key", "KEY"], "--allow-remote", id="remote"),
            pytest.param(
                ["URL/x", "--key", "KEY", "--public", "http://10.0.0.1/"],
                "http://10.0.0.1/ is not this machine",
                id="remote-public",
            ),
            pytest.param(["nowhere", "--key", "KEY"], "is not this machine", id="no-url"),
            pytest.param(["http://[::1", "--key", "KEY"], "cannot be read", id="half-an-address"),
            pytest.param(
                ["http://127.0.0.1:x/", "--key", "KEY", "--allow-remote"],
                "cannot be read",
                id="no-port",
            ),
            pytest.param(
                ["URL/x", "--key", "KEY", "--resource", "http://[a"],
                "cannot be read",
                id="resource",
            ),
            pytest.param(["URL/none", "--key", "KEY"], "answered with 404", id="refused"),
            pytest.param(["URL/open", "--key", "KEY"], "served without a token", id="not-guarded"),
            pytest.param(
                ["http://127.0.0.1:PORT/", "--key", "KEY"], "does not answer", id="no-server"
            ),
            pytest.param(
                ["URL/x", "--key", "KEY", "--junit", "/nowhere/a.xml", "--only", "rfc6750-2.1"],
                "/nowhere/a.xml cannot be written",
                id="junit",
            ),
        ],
    )
    def test_why(self, words: list[str], said: str, url: str, key: str) -> None:
        """Code 2 and a sentence."""
        port = str(unused_port())
        named = [it.replace("URL", url).replace("PORT", port).replace("KEY", key) for it in words]

        done = run(*named)

        assert 2 == done.exit_code
        assert said in done.stderr.replace("\n", " ")

    def test_remote_when_told(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The loopback rule is a default."""
        for name in [it for it in os.environ if it.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)

        done = run("http://nowhere.invalid/", "--key", key, "--allow-remote", "--timeout", "0.1")

        assert "does not answer" in done.stderr

    @pytest.mark.parametrize(("url", "port"), [("ws://a.example/", 80), ("wss://a.example/", 443)])
    def test_the_port_of_a_websocket(
        self, url: str, port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where its address names none."""
        dialled = list[object]()

        def refused(address: object, _: object) -> None:
            dialled.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr("jwt_deps.cli.conformance.asking.socket.create_connection", refused)
        with httpx2.Client() as client, pytest.raises(ConnectionRefusedError):
            _handshake(Asked("GET", url, None, (), ""), client)

        assert [("a.example", port)] == dialled


BEARER = 'Bearer realm="a", error="invalid_token", error_description="x, \\"y\\""'


@pytest.mark.parametrize(
    ("expect", "headers", "expected"),
    [
        pytest.param({"scheme": "Bearer", "has": ["realm"]}, [BEARER], [], id="kept"),
        pytest.param({"scheme": "bearer"}, ['Basic realm="b", BEARER a=b'], [], id="of-several"),
        pytest.param({"scheme": "DPoP"}, [BEARER, "DPoP"], [], id="two-headers"),
        pytest.param({"scheme": "DPoP"}, [BEARER], ["no DPoP challenge"], id="no-challenge"),
        pytest.param({"challenge": "one"}, [], [], id="nothing-to-look-at"),
        pytest.param(
            {"scheme": "Bearer", "error": "a"}, [BEARER], ["error is invalid_token"], id="error"
        ),
        pytest.param(
            {"scheme": "Bearer", "error": "a"}, ["Bearer"], ["error is absent"], id="no-error"
        ),
        pytest.param({"scheme": "Bearer", "has": ["scope"]}, [BEARER], ["no scope"], id="has"),
        pytest.param(
            {"scheme": "Bearer", "lacks": ["error"]}, [BEARER], ["it has error"], id="lacks"
        ),
        pytest.param(
            {"challenge": "one"}, ['Bearer a="b", A=c'], ["a parameter occurs twice"], id="twice"
        ),
        pytest.param(
            {"challenge": "plain"}, [BEARER], ["a character that is not allowed"], id="characters"
        ),
    ],
)
def test_challenges(expect: Mapping[str, Any], headers: list[str], expected: list[str]) -> None:
    """One or several in a header, quoted or not (RFC 9110 §11.6.1)."""
    answer = Answer(401, tuple(("WWW-Authenticate", it) for it in headers))

    assert expected == faults(expect, answer, "a.b.c", {})


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        pytest.param({"status": ["2xx"]}, [], id="class"),
        pytest.param({"status": [200]}, ["status 201"], id="status"),
        pytest.param({"headers": {"content-type": "text/plain"}}, [], id="type"),
        pytest.param({"headers": {"x": "y"}}, ["no x: y"], id="header"),
        pytest.param({"json": {"a": 1, "b": "$any"}}, [], id="json"),
        pytest.param({"json": {"a": 2, "c": 1}}, ["no member a", "no member c"], id="members"),
        pytest.param({"silent": True}, ["a part of the token is in the answer"], id="told"),
        pytest.param({"fetches": {"jwks": 1, "other": 0}}, ["2 requests of jwks"], id="fetches"),
    ],
)
def test_answers(expect: Mapping[str, Any], expected: list[str]) -> None:
    """Status, headers, members of the body, what is told, and what the issuer was asked."""
    part = "a" * 30
    answer = Answer(201, (("Content-Type", "text/plain; charset=utf-8"),), part, {"a": 1, "b": 0})

    assert expected == faults(expect, answer, f"x.{part}", {"jwks": 2})


def test_a_body_that_is_no_object() -> None:
    """It has no members."""
    assert ["no member a"] == faults({"json": {"a": 1}}, Answer(200, json=[]), "", {})
