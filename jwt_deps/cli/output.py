"""Output of all commands: data on standard output, messages on standard error, exit codes."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import typer
from rich.console import Console

#: The exit codes of every command.
ACCEPTED, REFUSED, UNUSABLE = 0, 1, 2


class Format(StrEnum):
    """The output format."""

    TEXT = "text"
    JSON = "json"


_WIDTH_OF_A_LOG = 140  # characters, where standard output is not a terminal
_UNITS = ((1, "s"), (60, "min"), (60 * 60, "h"), (24 * 60 * 60, "days"))


def impossible(sentence: str) -> typer.Exit:
    """Print an error and return the exception to raise, which ends the command with code 2."""
    note(f"Error: {sentence}")
    return typer.Exit(UNUSABLE)


def note(sentence: str) -> None:
    """Print a message on standard error."""
    typer.echo(printable(sentence), err=True)


def console() -> Console:
    """Return standard output, with colours and the terminal's width if it is one."""
    made = Console(highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDTH_OF_A_LOG
    return made


def show_json(value: Any) -> None:
    """Print JSON in ASCII, so that it has no control characters for a terminal."""
    typer.echo(json.dumps(value, indent=2))


def printable(text: str) -> str:
    r"""Escape control characters, which a terminal would interpret: `\x1b` for ESC."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def utc(seconds: float) -> str | None:
    """Format a time; `None` if it is out of range."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return None


def distance(seconds: float, now: float) -> str:
    """Format the distance to a time: `in 4 min`, `12 days ago`."""
    away = abs(seconds - now)
    size, unit = [each for each in _UNITS if each[0] <= max(away, 1)][-1]
    count = f"{round(away / size)} {unit}"
    return f"{count} ago" if seconds < now else f"in {count}"


@contextmanager
def without_refusals() -> Iterator[None]:
    """Print no refusals while the block runs: it sends requests that have to be refused."""
    logger = logging.getLogger("jwt_deps")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
