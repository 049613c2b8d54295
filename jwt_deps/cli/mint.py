"""`jwt-deps mint`: make a token for development, from `JWT_*` settings or a key file."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import SigningKey
from jwt_deps.settings import (
    IssuerSettings,
    JWTSettings,
    get_settings,
    is_variable,
    shared_secrets,
)
from jwt_deps.tokens import HINTS, ClaimNames, Explanation, access_token_claims, load_signing_key

from .inputs import parse_claim, parse_duration, read_stdin
from .output import impossible, note
from .report import explained

_NO_KEY = "Give a signing key with --key, for example one of `jwt-deps keygen`."
_LARGEST_KEY = 64 * 1024

_T = TypeVar("_T")


def mint(  # noqa: PLR0913 - one per option
    *,
    user: Annotated[
        str | None, typer.Option(help="The user's id, for the claim in JWT_USER_ID_CLAIM.")
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(help="The session's id, for the claim in JWT_SESSION_ID_CLAIM."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="A scope, or several with spaces between them; repeatable."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="A role, for the claim in JWT_ROLES_CLAIM; repeatable."),
    ] = None,
    claims: Annotated[
        list[str] | None,
        typer.Option(
            "--claim",
            metavar="NAME=VALUE",
            help="A further claim; it replaces one of the same name. The value is JSON or text; "
            "repeatable.",
        ),
    ] = None,
    expires: Annotated[
        str,
        typer.Option(metavar="TIME", help="300 (seconds), 15m, 1h or 7d; -1m is in the past."),
    ] = "15m",
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="Leave 'exp' out.")] = False,
    issuer: Annotated[
        str | None, typer.Option(help="'iss'; by default the first one of JWT_ISSUER.")
    ] = None,
    audience: Annotated[
        str | None, typer.Option(help="The audience; by default the first one of JWT_AUDIENCE.")
    ] = None,
    issuer_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name of the issuer in JWT_ISSUERS."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A private key in PEM or as a JWK, or a shared secret; '-' is standard input. "
            "By default the configured shared secret.",
        ),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(help="By default the first in JWT_ALGORITHM that fits the key."),
    ] = None,
    kid: Annotated[
        str | None,
        typer.Option(help="The key id; by default the JWK's own, or the thumbprint."),
    ] = None,
) -> None:
    """Print a token for development.

    Standard output has only the token. If the current settings would refuse it,
    standard error has the reason.

    Examples:
      export TOKEN=$(jwt-deps mint --user alice --scope notes)
      curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/me
      jwt-deps mint --user alice --role admin --claim tenant=7
      jwt-deps mint --user alice --key keys/private.pem --expires 1h
      jwt-deps mint --user alice --expires -1m | jwt-deps inspect

    Exit codes:
      0  the token was made, even if the current settings would refuse it
      2  it was not: usage, no signing key, settings that cannot be used
    """
    lifetime = None if no_expiry else _parsed(parse_duration, expires, "--expires")
    extra = [_parsed(parse_claim, text, "--claim") for text in claims or []]
    settings = _settings(needed=key is None)
    chosen = None if settings is None else _issuer(settings, issuer_name)
    signing = _signing_key(key, chosen, algorithm, kid)
    names = ClaimNames() if chosen is None else ClaimNames.of(chosen)
    if role and names.roles is None:
        raise impossible("--role needs JWT_ROLES_CLAIM, the name of the claim that holds roles.")
    members = access_token_claims(
        names,
        user,
        scopes=scope or (),
        roles=role or (),
        session_id=session,
        claims=dict(extra),
        now=time.time(),
        expires_in=lifetime,
        issuer=issuer,
        audience=audience,
    )
    header = {"alg": signing.algorithm, "typ": "JWT" if chosen is None else chosen.policy.typ}
    if kid is not None or not signing.is_secret:
        header["kid"] = signing.kid
    token = signing.sign(header, members)
    typer.echo(token)
    if settings is not None:
        _warn(asyncio.run(explained(token, settings)))


def _parsed(read: Callable[[str], _T], text: str, option: str) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise impossible(f"{option}: {error}.") from None


def _settings(*, needed: bool) -> JWTSettings | None:
    """Return the settings; `None` where they are unusable and not needed."""
    try:
        return get_settings()
    except ConfigurationError as error:
        if needed:
            raise impossible(f"{error.message} {_NO_KEY} More: {error.command}") from None
        if any(map(is_variable, os.environ)):
            note(f"Warning: the settings cannot be used, so the token is not checked: {error}")
        return None


def _issuer(settings: JWTSettings, name: str | None) -> IssuerSettings:
    """Return the settings of the issuer of the token."""
    issuers = settings.server.accepted.named
    if issuers is None:
        if name is not None:
            raise impossible("--issuer-name needs JWT_ISSUERS, which is not set.")
        return settings
    if name is None and len(issuers) == 1:
        (only,) = issuers.values()
        return only
    if name is None or name not in issuers:
        names = ", ".join(issuers)
        raise impossible(f"Name the issuer of the token with --issuer-name: {names}.")
    return issuers[name]


def _signing_key(
    file: str | None, settings: IssuerSettings | None, algorithm: str | None, kid: str | None
) -> SigningKey:
    text = _configured_secret(settings) if file is None else _read(file)
    candidates: tuple[str | None, ...] = (algorithm,)
    if algorithm is None and settings is not None:
        candidates = (*settings.algorithms, None)
    try:
        return load_signing_key(text, candidates, kid)
    except ValueError as error:
        source = "The configured secret" if file is None else "The key in --key"
        raise impossible(f"{source} cannot be used: {error}.") from None


def _configured_secret(settings: IssuerSettings | None) -> bytes:
    for secret in [] if settings is None else shared_secrets(settings):
        return secret
    raise impossible(f"Only public keys are configured, which cannot sign. {_NO_KEY}")


def _read(file: str) -> str:
    try:
        if file == "-":
            content = read_stdin(_LARGEST_KEY + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_LARGEST_KEY + 1)
    except OSError as error:
        raise impossible(f"--key: {file} cannot be read: {error.strerror}.") from None
    if len(content) > _LARGEST_KEY:
        raise impossible(f"--key: {file} is not a key: it is longer than {_LARGEST_KEY} bytes.")
    try:
        # An editor adds a line break at the end, which is not part of a secret.
        return content.decode().rstrip("\r\n")
    except ValueError:  # `from None`: the error contains the key
        raise impossible(
            f"--key: {file} is not text: give a private key in PEM or as a JWK, or a secret."
        ) from None


def _warn(explanation: Explanation) -> None:
    """Print a warning if the settings would refuse the token."""
    error = explanation.error
    if error is not None:
        note(
            "Warning: the current settings would refuse this token: "
            f"{error} ({error.reason}). {HINTS[error.reason]} More: {error.command}"
        )
