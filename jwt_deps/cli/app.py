"""What can be done from a terminal? The commands of `jwt-deps`, which the extra `cli` brings."""

from importlib.metadata import version
from typing import Annotated

_EXTRA = {"typer", "rich", "uvicorn", "httpx2", "websockets"}

try:
    import typer

    from .audit import audit
    from .demo.command import demo
    from .inspect import inspect
    from .keygen import keygen
    from .mint import mint
    from .revoke import revoke
    from .settings import settings
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

# One line for each command; the help shows groups of commands last.
main.command()(demo)
main.command()(audit)
main.add_typer(keygen)
main.command()(mint)
main.command()(inspect)
main.command()(revoke)
main.command()(settings)


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
    """JWT access tokens for FastAPI.

    Examples:
      jwt-deps demo                     an example API to try, with ready tokens
      jwt-deps demo --once              the same, checking itself
      jwt-deps audit main:app           every route, and whether it needs a token
      jwt-deps keygen rsa --out keys    a key pair, in three files
      jwt-deps mint --user alice        a token for development
      jwt-deps inspect < token.txt      what is in a token, why refused
      jwt-deps revoke --subject alice   all tokens that alice has now
      jwt-deps settings                 what is configured, and from where
      jwt-deps --install-completion     completion for the shell at hand

    Exit codes:
      0  done, and nothing is wrong
      1  the answer is no: a token would be refused, a route is open
      2  it could not be done: usage, files, settings that cannot be used
    """
