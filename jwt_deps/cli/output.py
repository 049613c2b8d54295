"""How do commands speak? Data on standard output, sentences on standard error, one exit code."""

import json
import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import typer
from rich.console import Console

__all__ = [
    "ACCEPTED",
    "REFUSED",
    "UNUSABLE",
    "Format",
    "console",
    "distance",
    "impossible",
    "note",
    "printable",
    "show_json",
    "utc",
]

#: The exit codes of every command.
ACCEPTED, REFUSED, UNUSABLE = 0, 1, 2


class Format(StrEnum):
    """For whom the output is: a person or a program."""

    TEXT = "text"
    JSON = "json"


_WIDTH_OF_A_LOG = 140  # where there is no terminal whose width could be asked for
_UNITS = ((1, "s"), (60, "min"), (60 * 60, "h"), (24 * 60 * 60, "days"))


def impossible(sentence: str) -> typer.Exit:
    """Say on standard error why it cannot be done; to be raised, which ends the command."""
    note(f"Error: {sentence}")
    return typer.Exit(UNUSABLE)


def note(sentence: str) -> None:
    """Say something on standard error, where no pipe takes it for data."""
    typer.echo(printable(sentence), err=True)


def console() -> Console:
    """Standard output with colours and as wide as the terminal, if it is one."""
    made = Console(highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDTH_OF_A_LOG
    return made


def show_json(value: Any) -> None:
    """Print JSON in ASCII alone, so that nothing in it speaks to a terminal."""
    typer.echo(json.dumps(value, indent=2))


def printable(text: str) -> str:
    r"""The text with whatever could speak to a terminal written out, `\x1b` for an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def utc(seconds: float) -> str | None:
    """The time as a person reads it; `None` where there is no such year."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return None


def distance(seconds: float, now: float) -> str:
    """How far away a time is, roughly: `in 4 min`, `12 days ago`."""
    away = abs(seconds - now)
    size, unit = [each for each in _UNITS if each[0] <= max(away, 1)][-1]
    count = f"{round(away / size)} {unit}"
    return f"{count} ago" if seconds < now else f"in {count}"
