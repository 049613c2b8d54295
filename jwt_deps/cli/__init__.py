"""The command line `jwt-deps`, installed with the extra `cli`."""

from importlib.util import find_spec

for _needed in ("typer", "rich", "uvicorn", "httpx2", "websockets"):
    if find_spec(_needed) is None:
        raise SystemExit(f'The command line needs {_needed}: pip install "jwt-deps[cli]"')

from .app import main  # noqa: E402 - which imports them

__all__ = ["main"]
