"""`jwt-deps demo --once`: the scenario is played, and whatever differs is seen."""

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse
from typer.testing import CliRunner

from jwt_deps.cli.app import main
from jwt_deps.cli.demo import run
from jwt_deps.cli.demo.player import Outcome, play
from jwt_deps.cli.demo.scenario import SCENARIO, Answer, Step
from jwt_deps.cli.demo.server import running
from jwt_deps.cli.demo.tokens import demo_tokens, make_secret

from .processes import plain

TOKENS = demo_tokens(make_secret())


def play_against(app: FastAPI, *steps: Step) -> list[Outcome]:
    """Play steps against an application in this process."""
    with running(app) as url:
        return play(steps, url, TOKENS)


def test_every_row_is_as_expected() -> None:
    """Every row is played and shown, whatever the environment says, and no token is."""
    machine = {"JWT_ISSUER": "https://issuer.example", "HTTP_PROXY": "http://[::1]:9"}

    result = CliRunner().invoke(main, ["demo", "--once"], env=machine)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.output.count("│ yes │") == len(SCENARIO)
    for step in SCENARIO:
        assert f"{step.method} {step.path}, {step.sends}"[:36] in result.output
    assert "eyJ" not in result.output
    assert result.output.endswith(f"{len(SCENARIO)} of {len(SCENARIO)} answers as expected.\n")


def test_table_fits_the_terminal() -> None:
    """On a terminal the table is as wide as the terminal."""
    terminal = {"FORCE_COLOR": "1", "COLUMNS": "80"}
    result = CliRunner().invoke(main, ["demo", "--once"], env=terminal, color=True)

    table = [plain(line) for line in result.output.splitlines() if line.startswith("│")]
    assert result.exit_code == 0
    assert {len(line) for line in table} == {80}


def test_what_is_asked() -> None:
    """The scenario has every case that the demo promises to show."""
    sent = {(step.method, step.path, step.sends, step.expected.status) for step in SCENARIO}

    assert len(sent) == len(SCENARIO)
    assert {
        ("GET", "/health", "no token, public route", 200),
        ("GET", "/me", "no token", 401),
        ("GET", "/me", "something that is no token", 401),
        ("GET", "/me", "expired token", 401),
        ("GET", "/me", "user's token", 200),
        ("GET", "/admin/notes", "user's token, scope missing", 403),
        ("GET", "/admin/notes", "admin's token", 200),
        ("GET", "/me", "cookie", 200),
        ("POST", "/notes", "cookie, from another site", 403),
        ("POST", "/notes", "cookie, from its own site", 201),
        ("WS", "/ws", "no token", 401),
        ("WS", "/ws", "subprotocols: bearer, user's token", 101),
    } <= sent


def open_app(_: str) -> FastAPI:
    """An API that accepts every request."""
    app = FastAPI()

    @app.get("/{_:path}")
    async def anything(_: str) -> dict[str, str]:
        return {"status": "ok"}

    return app


def test_a_row_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that forgot its guard makes the command fail, and each row says what it got."""
    monkeypatch.setattr(run, "demo_app", open_app)

    result = CliRunner().invoke(main, ["demo", "--once"])

    assert result.exit_code == 1
    assert result.output.count("│ yes │") == 1  # the public route
    assert result.output.count("│ NO  │") == len(SCENARIO) - 1
    assert "GET /me, expired token differs:\n  expected [401, " in result.output
    assert '\n  got      [200, {"status": "ok"}, {}]\n' in result.output
    assert f"1 of {len(SCENARIO)} answers as expected." in result.output


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(Answer(201, {"status": "ok"}, {"www-authenticate": "Bearer"}), id="status"),
        pytest.param(Answer(200, {"status": "no"}, {"www-authenticate": "Bearer"}), id="body"),
        pytest.param(Answer(200, {"status": "ok"}, {"www-authenticate": "Basic"}), id="challenge"),
        pytest.param(Answer(200, {"status": "ok"}), id="no-challenge"),
    ],
)
def test_whatever_differs_counts(wrong: Answer) -> None:
    """Status, body and challenge are compared to the letter."""
    app = FastAPI()

    @app.get("/")
    async def _(response: PlainTextResponse) -> dict[str, str]:
        response.headers["WWW-Authenticate"] = "Bearer"
        return {"status": "ok"}

    (outcome,) = play_against(app, Step(method="GET", path="/", sends="nothing", expected=wrong))

    assert outcome.got == Answer(200, {"status": "ok"}, {"www-authenticate": "Bearer"})
    assert not outcome.ok


def test_body_that_is_no_json() -> None:
    """Any body can be shown."""
    app = FastAPI()

    @app.get("/", response_class=PlainTextResponse)
    async def _() -> str:
        return "plain"

    step = Step(method="GET", path="/", sends="nothing", expected=Answer(200, "plain"))

    assert play_against(app, step)[0].ok


def test_websocket_that_chooses_no_subprotocol() -> None:
    """A server that accepts and forgets the subprotocol is seen to do so."""
    app = FastAPI()

    @app.websocket("/")
    async def _(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("one")
        await websocket.send_text("two")
        await websocket.receive_text()

    step = Step(
        method="WS",
        path="/",
        sends="the pair",
        tokens=("user",),
        expected=Answer(101, ["one", "two"], {"sec-websocket-protocol": "bearer"}),
    )
    (outcome,) = play_against(app, step)

    assert outcome.got == Answer(101, ["one", "two"])
    assert not outcome.ok


async def closes_at_once(websocket: WebSocket) -> None:
    """Accept and say nothing."""
    await websocket.accept()
    await websocket.close()


@pytest.mark.parametrize("method", ["GET", "WS"])
def test_no_server(method: str) -> None:
    """Without an answer, the row says so and the other steps still run."""
    with running(FastAPI()) as url:
        pass  # and now its port is closed
    steps = [Step(method=method, path="/", sends="nothing", expected=Answer(200))] * 2

    outcomes = play(steps, url, TOKENS)

    assert [outcome.got.status for outcome in outcomes] == [0, 0]
    assert "no answer: Connect" in str(outcomes[0].got.body)


def test_silent_websocket() -> None:
    """A WebSocket that ends before it said everything is no answer."""
    app = FastAPI()
    app.add_api_websocket_route("/", closes_at_once)
    step = Step(method="WS", path="/", sends="nothing", expected=Answer(101))

    assert play_against(app, step)[0].got == Answer(0, "no answer: ConnectionClosedOK")
