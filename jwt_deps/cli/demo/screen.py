"""Print the start message with tokens and curl commands, and the table of the scenario."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .player import Outcome
from .scenario import Answer, Step
from .tokens import LIFETIME

_ERROR_CODE = re.compile(r'error="(\w+)"')
_WIDTH_OF_A_LOG = 140  # characters, where standard output is not a terminal


class Example(NamedTuple):
    """A curl command with a description and the expected status."""

    description: str
    status: int
    curl: str


def examples(url: str, tokens: Mapping[str, str]) -> list[Example]:
    """Return the curl commands, each complete and portable between shells."""
    user, admin, expired = (
        f'-H "Authorization: Bearer {tokens[name]}"' for name in ("user", "admin", "expired")
    )
    cookie = f'-b "access_token={tokens["user"]}"'
    note = """-H "Content-Type: application/json" -d '{"text": "Buy milk"}'"""
    return [
        Example("a public route", 200, f"curl -i {url}/health"),
        Example("no token: a bare challenge", 401, f"curl -i {url}/me"),
        Example("the user", 200, f"curl -i {user} {url}/me"),
        Example("an expired token", 401, f"curl -i {expired} {url}/me"),
        Example("the user lacks the scope", 403, f"curl -i {user} {url}/admin/notes"),
        Example("the admin has it", 200, f"curl -i {admin} {url}/admin/notes"),
        Example("the token in a cookie", 200, f"curl -i {cookie} {url}/me"),
        Example(
            "the cookie, sent because another site asked the browser to",
            403,
            f'curl -i {cookie} -H "Sec-Fetch-Site: cross-site" {note} {url}/notes',
        ),
        Example(
            "the cookie, sent by the user's own page",
            201,
            f'curl -i {cookie} -H "Sec-Fetch-Site: same-origin" {note} {url}/notes',
        ),
    ]


def show_welcome(url: str, tokens: Mapping[str, str]) -> None:
    """Print how to use the API; this is the only place that prints tokens."""
    console = Console(highlight=False)
    console.print("[bold]jwt-deps demo[/]: a small API that needs access tokens\n")
    console.print("[bold]In a terminal[/], with the status of each answer\n")
    for example in examples(url, tokens):
        _show(f"{example.status}, {example.description}", example.curl, console)
    minutes = LIFETIME // 60
    console.print(f"[bold]Tokens[/], valid for {minutes} minutes while this runs\n")
    _show("user alice, scope notes", tokens["user"], console)
    _show("admin grace, scopes notes and admin", tokens["admin"], console)
    _show("alice again, expired", tokens["expired"], console)
    console.print("[bold]In a browser[/]\n")
    _show("a page to choose a token and a route", f"{url}/", console)
    _show("Swagger UI", f"{url}/docs", console)
    console.print("Press [bold]Authorize[/], paste a token under [bold]JWT (http, Bearer)[/],")
    console.print("press [bold]Authorize[/] and [bold]Close[/]; then open a route and press")
    console.print("[bold]Execute[/].\n")
    console.print("Ctrl-C stops it. The log has the reason of every refusal:\n")


def _show(description: str, text: str, console: Console) -> None:
    # No indent, wrapping or markup, so that a triple click copies the whole text.
    console.print(Text(description, style="cyan"), soft_wrap=True)
    console.print(Text(f"{text}\n"), soft_wrap=True)


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print a table of requests and answers, and then the answers that differ in full."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_LOG
    table = Table("Request", "Expected", "Got", "ok")
    for outcome in outcomes:
        step, got = outcome.step, outcome.got
        verdict = Text("yes", "green") if outcome.ok else Text("NO", "bold red")
        table.add_row(_request(step), _brief(step.expected), _brief(got), verdict)
    console.print(table)
    differing = [outcome for outcome in outcomes if not outcome.ok]
    for outcome in differing:
        console.print(_request(outcome.step).append(" differs:"), soft_wrap=True)
        console.print(Text(f"  expected {_whole(outcome.step.expected)}"), soft_wrap=True)
        console.print(Text(f"  got      {_whole(outcome.got)}\n"), soft_wrap=True)
    console.print(f"{len(outcomes) - len(differing)} of {len(outcomes)} answers as expected.")


def _request(step: Step) -> Text:
    return Text.assemble((f"{step.method} {step.path}", "bold"), f", {step.sends}")


def _brief(answer: Answer) -> Text:
    """Return status, error code and detail, or the JSON or the cookie."""
    challenge = answer.headers.get("www-authenticate", "")
    code = _ERROR_CODE.search(challenge)
    parts = (str(answer.status), code and code[1], _content(answer))
    return Text(" ".join(part for part in parts if part))


def _content(answer: Answer) -> str | None:
    match answer.body:
        case None:
            return answer.headers.get("set-cookie")
        case {"detail": str(sentence)}:
            return sentence
        case body:
            return _json(body)


def _whole(answer: Answer) -> str:
    return _json([answer.status, answer.body, dict(answer.headers)])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
