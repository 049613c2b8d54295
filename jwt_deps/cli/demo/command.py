"""`jwt-deps demo`: serve the demo, or run its scenario once."""

from typing import Annotated

import typer

from jwt_deps.keys import is_loopback_host


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
    from .run import play_once, serve_until_stopped  # noqa: PLC0415 - no other command needs it

    if once:
        play_once()
    else:
        serve_until_stopped(host, port)
