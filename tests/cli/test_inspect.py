"""`jwt-deps inspect`: what is in a token and why it would be refused, and never the token."""

import json
import os
import pty
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from jwt_deps.cli import inspect as command
from jwt_deps.cli.app import main
from jwt_deps.cli.inputs import is_terminal, read_stdin
from jwt_deps.testing import FakeIssuer
from tests.minting import OTHER_SECRET, SECRET, b64, claims, compact, mint, mint_raw, pair

from .piping import pipe
from .processes import COMMAND, PATIENCE, environment

WIDE = {"COLUMNS": "200"}
CONFIGURED = {"JWT_SECRET_KEY": SECRET, "JWT_AUDIENCE": "orders", **WIDE}


def good(**members: object) -> str:
    """A token that these settings accept now."""
    return mint(claims(now=time.time(), **{"aud": "orders", **members}))


def inspect(stdin: str | bytes, *arguments: str, **variables: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(
        main, ["inspect", *arguments], input=stdin, env=variables or CONFIGURED
    )


def report(stdin: str | bytes, **variables: str) -> Any:
    """What it says in JSON."""
    return json.loads(inspect(stdin, "--format", "json", **variables).stdout)


def outcomes(stdin: str | bytes, **variables: str) -> dict[str, str]:
    """What became of each check."""
    return {one["step"]: one["outcome"] for one in report(stdin, **variables)["checks"]}


def test_accepted() -> None:
    """A good token: contents, every check ok, and exit code 0."""
    result = inspect(good())

    assert 0 == result.exit_code
    assert 'alg  "HS256"' in result.stdout
    assert 'sub  "alice"' in result.stdout
    assert "REFUSED" not in result.stdout
    assert "A request with this token would be accepted." in result.stdout
    assert "names no user" not in result.stdout


@pytest.mark.parametrize(("claim", "is_told"), [("sub", True), ("user_id", False)])
def test_accepted_but_no_user(claim: str, *, is_told: bool) -> None:
    """A service's own tokens often name the user in another claim than `sub`."""
    members = claims(now=time.time(), aud="orders", user_id=7)
    del members["sub"]

    result = inspect(mint(members), **CONFIGURED, JWT_USER_ID_CLAIM=claim)

    assert 0 == result.exit_code
    assert is_told is ("names no user in sub (JWT_USER_ID_CLAIM)" in result.stdout)


def test_refused() -> None:
    """Each refusal has its sentence, its reason and a hint; the verdict is the first one's."""
    token = mint(claims(aud="billing"))  # long expired, and for another service

    result = inspect(token)

    assert 1 == result.exit_code
    assert "REFUSED  times" in _single_spaced(result.stdout)
    assert "Token has expired (expired). Get a fresh token" in result.stdout
    assert "it is meant for another service (claim_foreign, claim aud). Compare" in result.stdout
    assert "More: jwt-deps explain claim_foreign" in result.stdout
    assert (
        'A request with this token would be refused: "Token has expired", error code '
        "invalid_token.\n"
    ) in result.stdout


def _single_spaced(text: str) -> str:
    return text.replace("   ", "  ")


def test_checks_that_are_not_reached() -> None:
    """What needs a readable token is not claimed to have been checked."""
    assert {"passed", "refused", "not reached"} == set(outcomes("opaque").values())
    assert "not reached" in inspect("opaque").stdout


def test_times() -> None:
    """Times are shown as people read them, and how far away they are."""
    now = int(time.time())
    token = mint({"iat": now - 3 * 86400 - 60, "nbf": now - 720, "exp": now + 250, "sub": "alice"})

    text = inspect(token).stdout

    assert f"exp  {now + 250}  {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now + 250))}" in text
    assert " UTC, in 4 min" in text
    assert " UTC, 12 min ago" in text
    assert " UTC, 3 days ago" in text


@pytest.mark.parametrize(
    "value", [True, "soon", 1e300, -1e300, 10**20, None], ids=lambda value: str(value)[:8]
)
def test_times_that_are_none(value: object) -> None:
    """What is no time, or of no year, is shown as it is."""
    result = inspect(good(exp=value))

    assert result.exit_code in {0, 1}
    assert f"exp  {json.dumps(value)}\n" in "\n".join(
        f"{line.strip()}" for line in (*result.stdout.splitlines(), "")
    ).replace("   ", "  ")


def test_json() -> None:
    """The same for a program."""
    accepted, refused = report(good()), report(good(aud="billing"))

    assert {"alg": "HS256", "typ": "JWT"} == accepted["header"]
    assert "alice" == accepted["claims"]["sub"]
    assert {"exp", "iat"} == set(accepted["times"])
    steps = [one["step"] for one in accepted["checks"]]
    assert (11, "size", "signature") == (len(steps), steps[0], steps[-1])
    assert (True, None, None) == (accepted["accepted"], accepted["refusal"], accepted["problem"])
    assert False is refused["accepted"]
    assert {"reason": "claim_foreign", "step": "audience", "claim": "aud"}.items() <= refused[
        "refusal"
    ].items()
    assert "Invalid token: it is meant for another service" == refused["refusal"]["detail"]


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param("{}\n", id="line"),
        pytest.param("Bearer {}", id="scheme"),
        pytest.param("  Authorization: Bearer {}\r\n", id="header"),
        pytest.param("authorization:bearer {}", id="lower-case"),
        pytest.param('"{}"\n', id="quoted"),
        pytest.param("'Authorization: Bearer {}'", id="quoted-header"),
    ],
)
def test_pasted(wrapped: str) -> None:
    """What was pasted along with the token is left out."""
    assert 0 == inspect(wrapped.format(good())).exit_code


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"COLUMNS": "200"}, id="nothing"),
        pytest.param({"JWT_SECRET_KEY": "short"}, id="weak"),
    ],
)
def test_without_settings(variables: dict[str, str]) -> None:
    """The contents are shown all the same, and why nothing could be checked."""
    result = inspect(good(), **variables)
    as_json = report(good(), **variables)

    assert 2 == result.exit_code
    assert 'sub  "alice"' in result.stdout
    assert "Nothing could be checked, because there are no usable settings:" in result.stdout
    assert (None, None, None) == (as_json["checks"], as_json["accepted"], as_json["refusal"])
    assert as_json["problem"][:30] in result.stdout


@pytest.mark.parametrize("stdin", ["", "\n", "  \r\n", "''"])
def test_nothing(stdin: str) -> None:
    """Empty standard input is an error."""
    result = inspect(stdin)

    assert (2, "") == (result.exit_code, result.stdout)
    assert "Error: There is no token on standard input" in result.stderr


def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed standard input has no token, and cannot prompt."""
    done = subprocess.run(  # noqa: S602 - as a person writes it
        f"{shlex.join([*COMMAND, 'inspect'])} <&-",
        shell=True,
        capture_output=True,
        text=True,
        env=environment(**CONFIGURED),
        timeout=PATIENCE,
        check=False,
    )
    monkeypatch.setattr(sys, "stdin", None)

    assert (False, b"") == (is_terminal(), read_stdin(10))
    assert (2, "") == (done.returncode, done.stdout)
    assert "Error: There is no token on standard input" in done.stderr


HEADER = b'{"alg":"HS256","typ":"JWT"}'
HOSTILE = [
    pytest.param(os.urandom(2000), id="binary"),
    pytest.param(b"\xff\xfe.\x00\x1b[31m.\x80", id="control-characters"),
    pytest.param(b"a" * 3_000_000, id="huge"),
    pytest.param(b"." * 100_000, id="dots"),
    pytest.param(f"{b64(HEADER)}.{b64(b'[' * 100_000)}.AAAA".encode(), id="deep"),
    pytest.param(f"{b64(HEADER)}.{b64(b'1')}.AAAA".encode(), id="no-object"),
    pytest.param(f"{b64(HEADER)}=.e30.AAAA".encode(), id="padding"),
    pytest.param("ä.ö.ü".encode(), id="no-ascii"),
    pytest.param(b"e30.e30.e30.e30.e30", id="encrypted"),
    pytest.param(compact(b'{"alg":"none"}', b'{"sub":"alice"}', b"").encode(), id="alg-none"),
    pytest.param(mint_raw(HEADER, b'{"exp":1' + b"0" * 5000 + b"}").encode(), id="huge-number"),
]


@pytest.mark.parametrize("stdin", HOSTILE)
def test_hostile_input(stdin: bytes) -> None:
    """Whatever comes is a token that would be refused, and none of it reaches the terminal."""
    result = inspect(stdin)

    assert (1, "") == (result.exit_code, result.stderr)
    assert set("\x1b\x00\x80\ufffd").isdisjoint(result.output)


SPEAKING = "\x1b]0;title\x07 \x1b[2J \x9b31m \u202e \x7f \r \u2028 [bold red] done"


def test_values_that_speak_to_a_terminal() -> None:
    """Control characters and markup in names and values are written out."""
    token = mint(
        {**claims(), SPEAKING: SPEAKING, "nested": [{"a": SPEAKING}]}, header={"kid": SPEAKING}
    )

    for result in (inspect(token), inspect(token, "--format", "json")):
        assert 1 == result.exit_code
        assert set("\x1b\x07\x9b\u202e\x7f\r\u2028").isdisjoint(result.output)
        assert "[bold red] done" in result.output


def test_long_values() -> None:
    """A value of a page and more is cut short, and says how long it is."""
    text = inspect(good(note="x" * 5000)).stdout

    assert "x" * 1000 not in "".join(text.split())
    assert "(5002 characters)" in " ".join(text.split())


TOKENS = [
    pytest.param(good(), id="accepted"),
    pytest.param(mint(claims(), OTHER_SECRET), id="forged"),
    pytest.param(mint(claims(), pair("RSA"), "RS256"), id="other-algorithm"),
    pytest.param(good() + "=", id="padded"),
    pytest.param(good().replace(".", ".."), id="dots"),
    pytest.param(f"Bearer  {good()} {good()}", id="two"),
]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("text", TOKENS)
def test_the_token_is_never_shown(text: str, form: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither it nor a part of it, nor in a log; with settings or without."""
    caplog.set_level(0)
    shown = [
        inspect(text, "--format", form).output,
        inspect(text, "--format", form, **WIDE).output,
        caplog.text,
    ]

    parts = [part for word in text.split() for part in word.split(".") if len(part) > 10]
    assert parts
    assert [] == [part for part in parts for one in shown if part in "".join(one.split())]


def test_keys_of_an_issuer() -> None:
    """Keys that an issuer publishes are fetched, as for a request."""
    with FakeIssuer() as issuer:
        token = issuer.token({"sub": "alice"}, audience="orders")
        variables = {
            "JWT_ISSUER": issuer.issuer,
            "JWT_AUDIENCE": "orders",
            "JWT_DISCOVERY": "true",
            "JWT_ALLOW_LOOPBACK": "true",
        }
        result = inspect(token, **variables)

    assert (0, "") == (result.exit_code, result.stderr)
    assert "A request with this token would be accepted." in result.stdout


def test_outage() -> None:
    """Where keys cannot be fetched, the verdict has no error code, as the answer has none."""
    variables = {
        "JWT_ISSUER": "http://127.0.0.1:9",
        "JWT_AUDIENCE": "orders",
        "JWT_JWKS_URL": "http://127.0.0.1:9/keys",
        "JWT_ALLOW_LOOPBACK": "true",
        **WIDE,
    }
    token = mint(
        claims(now=time.time(), aud="orders", iss="http://127.0.0.1:9"), pair("RSA"), "RS256"
    )

    result = inspect(token, **variables)

    assert 1 == result.exit_code
    assert 'would be refused: "Access token cannot be checked now".' in result.stdout


def test_real_process() -> None:
    """The command does it too, with bytes that are no text."""
    hostile = b"\xff\xfe.\x00\x1b[31m.\x80"
    done = pipe(hostile, "inspect", **CONFIGURED)

    assert (1, inspect(hostile).stdout, "") == (done.returncode, done.stdout, done.stderr)


def test_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the token is asked for."""
    monkeypatch.setattr(command, "is_terminal", lambda: True)

    result = inspect(f"{good()}\n")

    assert 0 == result.exit_code
    assert "Token" in result.stderr


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the question is no verdict on a token."""

    def abort(*_: object, **__: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(command, "is_terminal", lambda: True)
    monkeypatch.setattr(typer, "prompt", abort)

    assert 2 == inspect("").exit_code


def test_terminal(tmp_path: Path) -> None:
    """What is typed at the question is not echoed."""
    token = good()
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: S603 - its own command
        [*COMMAND, "inspect"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=tmp_path,
        env=environment(**CONFIGURED),
        start_new_session=True,  # no terminal of this process's own is asked
    ) as process:
        os.close(theirs)
        screen = b""
        while b"Token: " not in screen:  # the space comes once nothing is echoed any more
            screen += os.read(ours, 1024)
        os.write(ours, f"{token}\n".encode())
        output, _ = process.communicate(timeout=PATIENCE)
        screen += _rest(ours)

    assert 0 == process.returncode
    assert token[:20] not in screen.decode()
    assert token[:20].encode() not in output


def _rest(terminal: int) -> bytes:
    """Read the rest of the output; reading a closed terminal raises an error."""
    read = b""
    try:
        while chunk := os.read(terminal, 1024):
            read += chunk
    except OSError:
        return read
    finally:
        os.close(terminal)
    return read
