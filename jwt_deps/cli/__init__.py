"""The command line `jwt-deps`, installed with the extra `cli`."""

from .app import main

__all__ = ["main"]
