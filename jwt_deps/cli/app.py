"""The commands of `jwt-deps`, installed with the extra `cli`."""

from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv  # of pydantic-settings

from jwt_deps import __version__

from .audit import audit
from .conformance.command import conformance
from .demo.command import demo
from .explain import explain
from .inspect import inspect
from .keygen import keygen
from .mint import mint
from .output import impossible
from .revoke import revoke
from .settings import settings

main = typer.Typer(
    name="jwt-deps",
    no_args_is_help=True,
    # Local variables in a traceback would show secrets and tokens.
    pretty_exceptions_show_locals=False,
)

# The help lists groups of commands last.
main.command()(demo)
main.command()(audit)
main.command()(conformance)
main.add_typer(keygen)
main.command()(mint)
main.command()(inspect)
main.command()(explain)
main.command()(revoke)
main.command()(settings)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as Typer calls it
    if asked:
        typer.echo(f"jwt-deps {__version__}")
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
    env_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Also read variables from a file; those already set take precedence.",
        ),
    ] = None,
) -> None:
    """JWT access tokens for FastAPI.

    Examples:
      jwt-deps demo                     serve an example API, with tokens
      jwt-deps demo --once              send it requests and check the answers
      jwt-deps audit main:app           list the routes that need a token
      jwt-deps conformance URL          test a resource server against the RFCs
      jwt-deps keygen rsa --out keys    make a key pair, in three files
      jwt-deps mint --user alice        make a token for development
      jwt-deps inspect < token.txt      show and check a token
      jwt-deps explain no_key           print the causes and cures of an error
      jwt-deps revoke --subject alice   revoke the present tokens of alice
      jwt-deps settings                 show the settings and their origin
      jwt-deps --env-file .env settings read JWT_* from a file as well
      jwt-deps --install-completion     install completion for your shell

    Exit codes:
      0  success
      1  a check failed: a token would be refused, a route is unguarded
      2  an error: usage, files, or settings that cannot be used
    """
    if env_file is not None:
        try:
            load_dotenv(env_file)
        except ValueError:  # which holds what was read
            raise impossible(f"{env_file} is not text in UTF-8.") from None
