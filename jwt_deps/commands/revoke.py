"""How are tokens taken back from a terminal? `jwt-deps revoke`."""

import time
from typing import Annotated

import typer

from jwt_deps.errors import ConfigurationError, RevocationUnavailableError
from jwt_deps.redis_revocations import RedisRevocations

from .durations import seconds_of
from .output import ACCEPTED, impossible, note

__all__ = ["revoke"]


def revoke(  # noqa: PLR0913, PLR0917 - Typer's options
    jti: Annotated[str | None, typer.Option(help="One token, by its jti.")] = None,
    session: Annotated[str | None, typer.Option(help="All tokens of a session.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="All tokens that a user was issued until now.")
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(help="Whose tokens; of every issuer if absent. Alone: all of them."),
    ] = None,
    longest: Annotated[
        str, typer.Option(help="How long the longest-lived token lives: 900, 15m, 1h, 30d.")
    ] = "30d",
    url: Annotated[
        str | None,
        typer.Option(
            envvar="JWT_REVOCATION_URL", show_envvar=True, help="Redis or Valkey: redis://..."
        ),
    ] = None,
) -> None:
    """Take tokens back, in every process that follows the same Redis or Valkey.

    Name one of --jti, --session and --subject, or --issuer alone. It holds in
    running processes within a second, and ends by itself when the tokens do.

    Examples:
      jwt-deps revoke --jti 2f1c --issuer https://issuer.example
      jwt-deps revoke --session 77a0
      jwt-deps revoke --subject alice --longest 1h
      jwt-deps revoke --issuer https://issuer.example

    Exit codes:
      0  the server knows of it
      2  it could not be done, and a sentence says why
    """
    if url is None:
        raise impossible("name the server with --url or JWT_REVOCATION_URL.")
    try:
        revocations = RedisRevocations(url, longest_lifetime=seconds_of(longest))
        revocations.revoke(jti=jti, session=session, subject=subject, issuer=issuer)
    except ConfigurationError as error:
        raise impossible(str(error)) from None
    except RevocationUnavailableError:
        raise impossible("the server cannot be reached, and knows nothing of it.") from None
    except ValueError as error:
        raise impossible(f"{error}.") from None
    note(f"Revoked, as of {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC.")
    raise typer.Exit(ACCEPTED)
