"""What can be done from a terminal? The commands of `jwt-deps`, which the extra `cli` brings."""

from importlib.metadata import version
from typing import Annotated

_EXTRA = {"typer", "rich", "uvicorn", "httpx2", "websockets"}

try:
    import typer

    from .demo.command import demo
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    if missing not in _EXTRA:
        raise
    raise SystemExit(
        f'The command line needs {missing}, which an extra brings: pip install "jwt-deps[cli]"'
    ) from None

__all__ = ["main"]

main = typer.Typer(
    name="jwt-deps",
    no_args_is_help=True,
    # A traceback that shows local variables would show secrets and tokens.
    pretty_exceptions_show_locals=False,
)
main.command()(demo)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as Typer calls it
    if asked:
        typer.echo(f"jwt-deps {version('jwt-deps')}")
        raise typer.Exit


@main.callback()
def options(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    r"""JWT access tokens for FastAPI.

    \b
    Examples:
      jwt-deps demo                 an example API to try, with ready tokens
      jwt-deps demo --once          the same, checking itself
    """
