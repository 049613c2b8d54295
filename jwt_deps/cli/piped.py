"""What was piped into a command? Bytes, as they are; nothing, where standard input is closed."""

import sys

__all__ = ["is_terminal", "piped"]


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def piped(limit: int) -> bytes:
    """Read standard input, at most so many bytes of it."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(limit)
