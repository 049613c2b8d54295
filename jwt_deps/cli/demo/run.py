"""What `jwt-deps demo` runs: the demo until it is stopped, or its scenario once."""

import errno
from contextlib import suppress

import typer

from jwt_deps.cli.output import without_refusals

from .api import demo_app
from .player import play
from .scenario import SCENARIO
from .screen import show_outcomes, show_welcome
from .server import address_of, listen, running, serve
from .tokens import demo_tokens, make_secret


def play_once() -> None:
    """Send the requests of the scenario, and show what was answered."""
    secret = make_secret()
    with running(demo_app(secret)) as url, without_refusals():
        outcomes = play(SCENARIO, url, demo_tokens(secret))
    show_outcomes(outcomes)
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(1)


def serve_until_stopped(host: str, port: int) -> None:
    """Serve, with the tokens on the screen."""
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
