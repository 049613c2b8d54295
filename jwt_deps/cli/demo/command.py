"""`jwt-deps demo`: serve the demo, or run its scenario once."""

import errno
from contextlib import suppress
from typing import Annotated

import typer

from jwt_deps.cli.output import without_refusals
from jwt_deps.keys import is_loopback_host

from .api import demo_app
from .player import play
from .scenario import SCENARIO
from .screen import show_outcomes, show_welcome
from .server import address_of, listen, running, serve
from .tokens import demo_tokens, make_secret


def _loopback(host: str) -> str:
    if not is_loopback_host(host):
        raise typer.BadParameter(
            "the demo prints its tokens, so it listens on loopback addresses only: "
            "127.0.0.1, ::1 or localhost."
        )
    return host


def demo(
    *,
    host: Annotated[
        str, typer.Option(callback=_loopback, help="Loopback address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8000,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Send the demo the requests of a scenario, print each with the expected and the "
            "received answer, and exit: code 1 if any of them differ.",
        ),
    ] = False,
) -> None:
    """Serve a small example API and print tokens for it.

    The secret is generated at each start. Ctrl-C stops the server.

    Examples:
      jwt-deps demo                 serve on http://127.0.0.1:8000
      jwt-deps demo --port 0        serve on any free port
      jwt-deps demo --once          check that every answer is as expected
    """
    if once:
        _play()
    else:
        _serve(host, port)


def _play() -> None:
    secret = make_secret()
    with running(demo_app(secret)) as url, without_refusals():
        outcomes = play(SCENARIO, url, demo_tokens(secret))
    show_outcomes(outcomes)
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(1)


def _serve(host: str, port: int) -> None:
    secret = make_secret()
    try:
        listener = listen(host, port)
    except OSError as error:
        typer.echo(f"Error: {_message(host, port, error)}", err=True)
        raise typer.Exit(1) from None
    with listener, suppress(KeyboardInterrupt):  # Ctrl-C stops the demo
        show_welcome(address_of(listener), demo_tokens(secret))
        serve(demo_app(secret), listener)


def _message(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use. Choose another one with --port; --port 0 picks a "
            "free one."
        )
    return f"Port {port} of {host} cannot be opened: {error.strerror}."
