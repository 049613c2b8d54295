"""What does a person see? The welcome with its tokens and curl lines, and the scenario's table."""

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

__all__ = ["Example", "examples", "show_outcomes", "show_welcome"]

_ERROR_CODE = re.compile(r'error="(\w+)"')
_WIDTH_OF_A_LOG = 140  # where there is no terminal whose width could be asked for


class Example(NamedTuple):
    """A line to paste into a terminal, and what comes of it."""

    says: str
    status: int
    curl: str


def examples(url: str, tokens: Mapping[str, str]) -> list[Example]:
    """The curl lines: each stands alone, and any shell takes it."""
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
    """Print what can be done with the API; the only place where a token is shown."""
    console = Console(highlight=False)
    console.print("[bold]jwt-deps demo[/]: a small API that wants access tokens\n")
    console.print("[bold]In a terminal[/], each line by itself, with the status that it gets\n")
    for example in examples(url, tokens):
        _show(f"{example.status}, {example.says}", example.curl, console)
    minutes = LIFETIME // 60
    console.print(f"[bold]Tokens[/], good for {minutes} minutes and as long as this runs\n")
    _show("user alice, scope notes", tokens["user"], console)
    _show("admin grace, scopes notes and admin", tokens["admin"], console)
    _show("alice again, expired", tokens["expired"], console)
    console.print("[bold]In a browser[/]\n")
    _show("a page to pick a token and a route on", f"{url}/", console)
    _show("Swagger UI", f"{url}/docs", console)
    console.print("Press [bold]Authorize[/], paste a token under [bold]JWT (http, Bearer)[/],")
    console.print("press [bold]Authorize[/] and [bold]Close[/]; then open a route and press")
    console.print("[bold]Execute[/].\n")
    console.print("Ctrl-C ends it. The log says of every refusal why:\n")


def _show(says: str, copied: str, console: Console) -> None:
    # Flush left, never wrapped and never marked up, so that a triple click copies it whole.
    console.print(Text(says, style="cyan"), soft_wrap=True)
    console.print(Text(f"{copied}\n"), soft_wrap=True)


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print request, expected and got, row by row, and then in full whatever differs."""
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
    """The status, the error code of the challenge, and the sentence, the JSON or the cookie."""
    challenge = answer.headers.get("www-authenticate", "")
    code = _ERROR_CODE.search(challenge)
    parts = (str(answer.status), code and code[1], _said(answer))
    return Text(" ".join(part for part in parts if part))


def _said(answer: Answer) -> str | None:
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
