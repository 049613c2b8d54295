"""`jwt-deps demo`: it serves, it says how to use it, and what it says is true."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from threading import Event, Thread

import httpx2
import pytest
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jwt_deps.cli.app import main
from jwt_deps.cli.demo.server import address_of, listen
from tests.providers.programs import unused_port

from .processes import PATIENCE, environment, serving


def printed_examples(text: str) -> list[tuple[int, str]]:
    """The curl lines, each with the status that the line above it promises."""
    found = re.findall(r"^(\d{3}), .*\n(curl .*)$", text, re.MULTILINE)
    return [(int(status), line) for status, line in found]


def status_by_curl(line: str) -> int:
    """Paste the line into a shell."""
    done = subprocess.run(  # noqa: S602 - as a person pastes it
        line,
        shell=True,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE,
        check=True,
    )
    return int(done.stdout.split()[1])


def status_by_httpx(line: str) -> int:
    """Do what curl would do with the line."""
    assert line.startswith("curl -i ")
    *words, url = shlex.split(line)[2:]
    options = list(zip(words[::2], words[1::2], strict=True))
    assert {option for option, _ in options} <= {"-H", "-b", "-d"}
    headers = [value.split(": ", 1) for option, value in options if option == "-H"]
    headers += [["Cookie", value] for option, value in options if option == "-b"]
    data = "".join(value for option, value in options if option == "-d")
    method = "POST" if data else "GET"
    sent = [(name, value) for name, value in headers]
    answer = httpx2.request(method, url, headers=sent, content=data, trust_env=False)
    return answer.status_code


def has_ipv6() -> bool:
    """Whether this machine has the loopback address of IPv6."""
    try:
        listen("::1", 0).close()
    except OSError:
        return False
    return True


def invoke_until_ctrl_c(port: int) -> tuple[int, str]:
    """Run the command in this process, and press Ctrl-C once it has refused a request."""
    ended = Event()

    def press() -> None:
        while not ended.wait(0.05):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/me", trust_env=False)
            except httpx2.TransportError:
                continue
            os.kill(os.getpid(), signal.SIGINT)
            return

    thread = Thread(target=press)
    thread.start()
    try:
        result = CliRunner().invoke(main, ["demo", "--port", str(port)])
    finally:
        ended.set()
        thread.join()
    return result.exit_code, result.output


def test_serve() -> None:
    """It says what can be done, serves, logs why it refused, and ends well with Ctrl-C."""
    port = unused_port()

    exit_code, output = invoke_until_ctrl_c(port)

    assert exit_code == 0
    assert f"\nhttp://127.0.0.1:{port}/\n" in output
    assert f"\nhttp://127.0.0.1:{port}/docs\n" in output
    assert "request refused: reason=missing" in output
    assert [status for status, _ in printed_examples(output)] == [
        *(200, 401, 200, 401, 403, 200),
        *(200, 403, 201),
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
def test_curl_lines() -> None:
    """Each line that is printed can be pasted as it is, also from a narrow terminal."""
    with serving("--port", "0", FORCE_COLOR="1", COLUMNS="40") as demo:
        examples = printed_examples("\n".join(demo.welcome))
        statuses = [status_by_curl(line) for _, line in examples]

    assert len(statuses) == 9
    assert statuses == [status for status, _ in examples]


def test_what_it_says_is_true() -> None:
    """Lines, tokens and page are good for what is said; the log has reasons and never a token."""
    with serving("--port", "0") as demo:
        docs = demo.line_after("Swagger UI")
        url = docs.removesuffix("/docs")
        page = httpx2.get(docs, trust_env=False)
        examples = printed_examples("\n".join(demo.welcome))
        statuses = [status_by_httpx(line) for _, line in examples]
        answers = {
            name: [
                status_by_httpx(
                    f'curl -i -H "Authorization: Bearer {demo.line_after(name)}" {url}{path}'
                )
                for path in ("/me", "/admin/notes")
            ]
            for name in ("user alice", "admin grace", "alice again, expired")
        }
        with pytest.raises(InvalidStatus), connect(f"{url.replace('http', 'ws')}/ws"):
            pass
        exit_code = demo.interrupt()

    assert exit_code == 0
    assert statuses == [status for status, _ in examples]
    assert answers == {
        "user alice": [200, 403],
        "admin grace": [200, 200],
        "alice again, expired": [401, 401],
    }
    assert "swagger-ui" in page.text
    for reason in ("expired", "scope", "cross_site"):
        assert f"reason={reason}" in demo.log
    assert "ERROR" not in demo.log
    assert "eyJ" not in demo.output + demo.log


def test_ctrl_c_with_an_open_websocket() -> None:
    """An open connection does not delay the end of the demo."""
    with serving("--port", "0") as demo:
        url = demo.line_after("Swagger UI").removesuffix("/docs").replace("http", "ws")
        headers = {"Authorization": f"Bearer {demo.line_after('user alice')}"}
        with connect(f"{url}/ws", additional_headers=headers) as websocket:
            greeting = websocket.recv(PATIENCE)
            exit_code = demo.interrupt()  # which waits no longer than PATIENCE

    assert greeting == "Hello, alice"
    assert exit_code == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.example.com", ""])  # noqa: S104 - refused
def test_only_loopback(host: str) -> None:
    """A demo that prints its tokens does not listen where others can reach it."""
    result = CliRunner().invoke(main, ["demo", "--host", host])

    assert result.exit_code == 2
    assert "listens on loopback addresses" in " ".join(re.sub("[│\n]", " ", result.output).split())


def test_address() -> None:
    """An address of IPv4 is written as it is."""
    with listen("localhost", 0) as listener:
        port = listener.getsockname()[1]

        assert address_of(listener) == f"http://127.0.0.1:{port}"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_ipv6_address() -> None:
    """An address of IPv6 is written in brackets."""
    with listen("::1", 0) as listener:
        port = listener.getsockname()[1]

        assert address_of(listener) == f"http://[::1]:{port}"


def test_port_in_use() -> None:
    """A port that is taken gives a sentence that says what to do."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        result = CliRunner().invoke(main, ["demo", "--port", str(port)])

    sentence = (
        f"Error: Port {port} of 127.0.0.1 is in use. Choose another one with --port; "
        "--port 0 picks a free one.\n"
    )
    assert (result.exit_code, result.output) == (1, sentence)


def test_port_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other reason is said too."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)

    result = CliRunner().invoke(main, ["demo", "--port", "80"])

    assert result.exit_code == 1
    assert result.output == "Error: Port 80 of 127.0.0.1 cannot be opened: Permission denied.\n"
