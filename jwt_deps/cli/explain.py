"""`jwt-deps explain`: print the causes and cures of an error."""

import re
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from .output import console, impossible

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def explain(
    reason: Annotated[
        str | None, typer.Argument(help="The reason that the error names; none lists them all.")
    ] = None,
) -> None:
    """Print the causes and cures of an error, by its reason.

    Examples:
      jwt-deps explain no_key
      jwt-deps explain claim_foreign
      jwt-deps explain

    Exit codes:
      0  printed
      2  there is no such reason
    """
    sections = _sections()
    if reason is None:
        typer.echo("\n".join(sections))
    elif reason in sections:
        from rich.markdown import Markdown  # noqa: PLC0415 - no other command needs it

        console().print(Markdown(f"## {reason}\n{sections[reason]}"))
    else:
        near = " or ".join(get_close_matches(reason, sections, n=3))
        hint = f"do you mean {near}?" if near else "jwt-deps explain lists them."
        raise impossible(f"{reason!r} is not a reason: {hint}")


def _sections() -> dict[str, str]:
    """Return the sections of the errors page, by reason."""
    page = files("jwt_deps.cli") / "errors.md"  # where a wheel has it
    if not page.is_file():
        page = Path(__file__).parents[2] / "docs" / "errors.md"
    _, *parts = _SECTION.split(page.read_text("utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))
