"""How long is `15m`? Durations as people write them, in seconds."""

import re

__all__ = ["seconds_of"]

_DURATION = re.compile(r"(-?[0-9]{1,9})([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}


def seconds_of(text: str) -> int:
    """Read `300`, `15m`, `1h` or `7d`; with a minus for what is over.

    Raises:
        ValueError: it is written in no such way.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is 300 (seconds), 15m, 1h or 7d")
    return int(match[1]) * _SECONDS[match[2]]
