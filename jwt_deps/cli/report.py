"""Print the contents of a token, each check, and the result."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jwt_deps.errors import AuthError
from jwt_deps.settings import JWTSettings
from jwt_deps.tokens import Explanation, Finding, Outcome, explain_token, explanation_of

from .output import console, distance, printable, show_json, utc

_TIMES = frozenset({"exp", "nbf", "iat", "auth_time", "updated_at"})
_LONGEST = 1000  # characters of a value that are shown
_OUTCOMES = {
    Outcome.PASSED: ("ok", "green"),
    Outcome.REFUSED: ("REFUSED", "bold red"),
    Outcome.NOT_REACHED: ("not reached", "dim"),
}


@dataclass(frozen=True, slots=True)
class Contents:
    """The decoded, unverified parts of a token; `None` for one that cannot be decoded."""

    header: Mapping[str, Any] | None = field(repr=False)
    claims: Mapping[str, Any] | None = field(repr=False)


async def explained(token: str, settings: JWTSettings) -> Explanation:
    """Check a token as an application would that has started."""
    await settings.server.open_revocations()
    try:
        return await explain_token(token, settings)
    finally:
        await settings.server.close()


@dataclass(frozen=True, slots=True)
class Report:
    """The report on a token.

    Attributes:
        contents: its header and claims.
        explanation: the checks; `None` without usable settings.
        problem: why the settings are unusable.
        now: the time of the check, in seconds since the epoch.
    """

    contents: Contents
    explanation: Explanation | None
    problem: str | None
    now: float


def show_report(report: Report) -> None:
    """Print a report as text."""
    screen = console()
    _show_members(screen, "Header", report.contents.header, report.now)
    _show_members(screen, "Claims, not verified", report.contents.claims, report.now)
    if report.explanation is None:
        screen.print("[bold]Nothing could be checked[/], because there are no usable settings:")
        screen.print(Text(f"  {printable(report.problem or '')}"))
        return
    screen.print("[bold]Checks[/]")
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(overflow="fold")
    for finding in report.explanation.findings:
        word, style = _OUTCOMES[finding.outcome]
        said = Text(f"{finding.title}?")
        if finding.error is not None:
            said.append(f"\n{_sentences(finding.error)}")
        table.add_row("", Text(word, style), finding.step.value, said)
    screen.print(table)
    screen.print()
    _show_verdict(screen, report.explanation)


def _show_members(
    screen: Console, title: str, members: Mapping[str, Any] | None, now: float
) -> None:
    screen.print(f"[bold]{title}[/]")
    if members is None:
        screen.print("  cannot be read\n")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold", max_width=40)
    table.add_column(overflow="fold")
    for name, value in members.items():
        table.add_row("", Text(printable(name), "cyan"), Text(_value(name, value, now)))
    screen.print(table)
    screen.print()


def _value(name: str, value: Any, now: float) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text)} characters)"
    time = _time(name, value)
    return text if time is None else f"{text}  {time}, {distance(value, now)}"


def _time(name: str, value: Any) -> str | None:
    if name not in _TIMES or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return utc(value)


def _sentences(error: AuthError) -> str:
    """Return the reason of a refusal and its hint."""
    told = explanation_of(error)
    claim = f", claim {printable(told['claim'])}" if "claim" in told else ""
    return f"{error} ({told['reason']}{claim}). {told['hint']} More: {told['see']}"


def _show_verdict(screen: Console, explanation: Explanation) -> None:
    error = explanation.error
    if error is None:
        screen.print(Text("A request with this token would be accepted.", "bold green"))
        if (claim := explanation.without_user) is not None:
            said = (
                f"But it names no user in {claim} (JWT_USER_ID_CLAIM): current_user_id and "
                "CurrentUser refuse it with 401."
            )
            screen.print(Text(said, "yellow"))
        return
    code = "" if error.code is None else f", error code {error.code}"
    verdict = f'A request with this token would be refused: "{error}"{code}.'
    screen.print(Text(verdict, "bold red"))


def show_report_as_json(report: Report) -> None:
    """Print a report as JSON."""
    explanation = report.explanation
    now = report.now
    claims = report.contents.claims or {}
    times = {name: time for name, value in claims.items() if (time := _time(name, value))}
    show_json(
        {
            "header": report.contents.header,
            "claims": report.contents.claims,
            "times": times,
            "checked_at": utc(now),
            "checks": None
            if explanation is None
            else [_as_json(finding) for finding in explanation.findings],
            "accepted": None if explanation is None else explanation.accepted,
            "refusal": None if explanation is None else _refusal(explanation.error),
            "problem": report.problem,
        }
    )


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "step": finding.step.value,
        "title": finding.title,
        "outcome": finding.outcome.value,
        "refusal": _refusal(finding.error),
    }


def _refusal(error: AuthError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"detail": str(error), "code": error.code, **explanation_of(error)}
