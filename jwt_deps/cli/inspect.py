"""`jwt-deps inspect`: show the header and claims of a token and check it, never the token."""

import asyncio
import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import decode_base64url, parse_object
from jwt_deps.settings import get_settings

from .inputs import is_terminal, read_stdin
from .output import ACCEPTED, REFUSED, UNUSABLE, Format, impossible
from .report import Contents, Report, explained, show_report, show_report_as_json

if TYPE_CHECKING:
    from jwt_deps.tokens import Explanation

_LARGEST = 1024 * 1024
# A token may be pasted with quotes or as a whole header line.
_PASTED = re.compile(r"""["']?(?:[\w-]+:\s*)?(?:bearer\s+)?(?P<token>\S*?)["']?""", re.IGNORECASE)


def inspect(
    *, form: Annotated[Format, typer.Option("--format", help="Text or JSON.")] = Format.TEXT
) -> None:
    """Show the header and claims of a token, and check it by the settings in JWT_*.

    The token is read from standard input, which keeps it out of the shell's
    history; on a terminal, a prompt asks for it without echo. A whole line
    'Authorization: Bearer ...' is accepted too. The token itself and its
    signature are never shown.

    Examples:
      jwt-deps inspect                            prompts for the token
      jwt-deps inspect < token.txt
      jwt-deps mint --user alice | jwt-deps inspect
      pbpaste | JWT_AUDIENCE=orders jwt-deps inspect --format json

    Exit codes:
      0  a request with the token would be accepted
      1  it would be refused
      2  there is no token, or no usable settings to check it with
    """
    token = _token()
    report = asyncio.run(_report(token))
    if form is Format.JSON:
        show_report_as_json(report)
    else:
        show_report(report)
    if report.explanation is None:
        raise typer.Exit(UNUSABLE)
    raise typer.Exit(ACCEPTED if report.explanation.accepted else REFUSED)


def _token() -> str:
    # Bytes that are not UTF-8 are checked, and refused, like any other text.
    text = _prompt() if is_terminal() else read_stdin(_LARGEST).decode("utf-8", "replace")
    text = text.strip()
    pasted = _PASTED.fullmatch(text)
    token = text if pasted is None else pasted["token"]
    if not token:
        raise impossible(
            "There is no token on standard input: pipe one in, jwt-deps inspect < token.txt."
        )
    return token


def _prompt() -> str:
    try:
        answer: str = typer.prompt(
            "Token", default="", hide_input=True, show_default=False, err=True
        )
    except typer.Abort:  # Ctrl-C or Ctrl-D
        return ""
    return answer


async def _report(token: str) -> Report:
    explanation: Explanation | None = None
    problem = None
    try:
        settings = get_settings()
    except ConfigurationError as error:
        problem = str(error)
    else:
        explanation = await explained(token, settings)
    return Report(_contents(token), explanation, problem, time.time())


def _contents(token: str) -> Contents:
    """Decode header and claims with the parser that verification uses."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        return Contents(None, None)
    return Contents(_object(parts[0]), _object(parts[1]))


def _object(segment: str) -> dict[str, Any] | None:
    try:
        return parse_object(decode_base64url(segment.encode()))
    except ValueError:
        return None
