"""Read option values and standard input."""

import re
import sys
from typing import Any

from jwt_deps.jose import parse_object

_DURATION = re.compile(r"(-?[0-9]{1,9})([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}


def parse_claim(text: str) -> tuple[str, Any]:
    """Parse `name=value`; the value is JSON if it parses as such, else a string.

    Raises:
        ValueError: the name or the equals sign is missing.
    """
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ValueError('a claim is written name=value, for example tenant=7 or roles=["a"]')
    return name, _json_or_text(value)


def _json_or_text(value: str) -> Any:
    try:
        # The strict parser of tokens, which takes only objects.
        read = parse_object(f'{{"value":{value}}}'.encode())
    except ValueError:
        return value
    return read["value"] if read.keys() == {"value"} else value


def parse_duration(text: str) -> int:
    """Parse `300`, `15m`, `1h` or `7d` into seconds; a minus sign means the past.

    Raises:
        ValueError: the text has another form.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is 300 (seconds), 15m, 1h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


def is_terminal() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_stdin(limit: int) -> bytes:
    """Read at most `limit` bytes of standard input; none where it is closed."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(limit)
