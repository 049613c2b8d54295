"""The command line, `jwt-deps`, which the extra `cli` brings."""

from .app import main

__all__ = ["main"]
