"""`jwt-deps revoke`: revoke tokens in Redis or Valkey."""

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from jwt_deps.errors import ConfigurationError, RevocationUnavailableError
from jwt_deps.revocation import RedisRevocations
from jwt_deps.settings import NoneOrSeveral, as_tuple, read_secret

from .inputs import parse_duration
from .output import ACCEPTED, impossible, note

_ISSUERS: TypeAdapter[str | list[str] | None] = TypeAdapter(NoneOrSeveral)


def revoke(  # noqa: PLR0913, PLR0917 - one per option
    jti: Annotated[str | None, typer.Option(help="One token, by its jti.")] = None,
    session: Annotated[str | None, typer.Option(help="All tokens of a session.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="All tokens issued to a user until now.")
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(help="The issuer of the tokens; default JWT_ISSUER. Alone: all its tokens."),
    ] = None,
    every_issuer: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--every-issuer", help="Tokens of all issuers.")
    ] = False,
    longest: Annotated[
        str,
        typer.Option(
            envvar="JWT_REVOCATION_LONGEST_LIFETIME",
            show_envvar=True,
            help="The longest lifetime of a token: 900, 15m, 1h, 30d.",
        ),
    ] = "30d",
    initialize: Annotated[  # noqa: FBT002 - a flag
        bool,
        typer.Option(
            "--initialize", help="Once for a new server: it has all revocations, none were lost."
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="JWT_REVOCATION_URL", show_envvar=True, help="Redis or Valkey: redis://..."
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="The prefix of RedisRevocations, where the services have one.")
    ] = "jwt-deps:revocations",
) -> None:
    """Revoke tokens in every process that uses the same Redis or Valkey.

    Give one of --jti, --session and --subject, or --issuer alone. The first
    three revoke tokens of the issuer in JWT_ISSUER, or of all issuers where none
    is configured. Running processes refuse the tokens once they have read the
    entry, usually within milliseconds. It is deleted when the tokens have
    expired.

    A new server first needs --initialize, once: without it, processes answer
    503, because they cannot tell it from a server that has lost revocations.

    Examples:
      jwt-deps revoke --initialize
      jwt-deps revoke --jti 2f1c --issuer https://issuer.example
      jwt-deps revoke --session 77a0
      jwt-deps revoke --subject alice --longest 1h
      jwt-deps revoke --issuer https://issuer.example

    Exit codes:
      0  revoked, or initialized
      2  not revoked, with the reason on standard error
    """
    if every_issuer and issuer is not None:
        raise impossible("--issuer and --every-issuer contradict each other.")
    options = {"jti": jti, "session": session, "subject": subject}
    named: dict[str, Any] = {word: name for word, name in options.items() if name is not None}
    if named and issuer is None and not every_issuer:
        issuer = _only_issuer()
    try:
        if url is None:
            url = _url_in_file()
        # A server that cannot be reached would be tried again in the background.
        with closing(
            RedisRevocations(url, prefix=prefix, longest_lifetime=parse_duration(longest))
        ) as revocations:
            if initialize:
                revocations.initialize()
                note("The server is initialized.")
                raise typer.Exit(ACCEPTED)
            revocations.revoke(**named, issuer=issuer)
    except ConfigurationError as error:
        raise impossible(str(error)) from None
    except RevocationUnavailableError:
        raise impossible("the server cannot be reached: nothing was revoked.") from None
    except ValueError as error:
        raise impossible(f"{error}.") from None
    whose = "of every issuer" if issuer is None else "of one issuer"
    note(f"Revoked {whose}, as of {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC.")
    raise typer.Exit(ACCEPTED)


def _url_in_file() -> str:
    path = os.environ.get("JWT_REVOCATION_URL_FILE")
    if path is None:
        raise impossible("give the server with --url or JWT_REVOCATION_URL.")
    return read_secret(Path(path), "revocation_url")


def _only_issuer() -> str | None:
    """Return the issuer of the environment; `None` without one.

    The other settings are not needed here, and may be missing on this machine.
    """
    variables = {name.upper(): value for name, value in os.environ.items()}
    try:
        issuers = as_tuple(_ISSUERS.validate_python(variables.get("JWT_ISSUER") or None))
    except ValidationError:
        raise impossible("JWT_ISSUER cannot be read: pass --issuer.") from None
    if len(issuers) > 1 or any(name.startswith("JWT_ISSUERS") for name in variables):
        raise impossible("several issuers are configured: pass --issuer or --every-issuer.")
    return issuers[0] if issuers else None
