"""How does a developer get a token? `jwt-deps mint`, from `JWT_*` settings or a key file."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import SigningKey, is_pem
from jwt_deps.settings import IssuerSettings, JWTSettings, get_settings, is_variable
from jwt_deps.tokens import HINTS, ClaimNames, access_token_claims, explain_token, load_signing_key

from .claims import claim
from .durations import seconds_of
from .output import impossible, note
from .piped import piped

__all__ = ["mint"]

_NO_KEY = "Give the key to sign with in --key, for example one of `jwt-deps keygen`."
_LARGEST_KEY = 64 * 1024

_T = TypeVar("_T")


def mint(  # noqa: PLR0913 - each an option of its own
    *,
    user: Annotated[
        str | None, typer.Option(help="The user's id, in the claim that JWT_USER_ID_CLAIM names.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="The session's id, likewise JWT_SESSION_ID_CLAIM.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="A scope, or several with spaces between; can be repeated."),
    ] = None,
    claims: Annotated[
        list[str] | None,
        typer.Option(
            "--claim",
            metavar="NAME=VALUE",
            help="Any claim, last of all, so that it wins; the value is JSON or text. Can be "
            "repeated.",
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="300 (seconds), 15m, 1h or 7d; -1m has expired.")
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
        typer.Option(metavar="NAME", help="Which one of JWT_ISSUERS the token is to be of."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A private key in PEM or as a JWK, or a shared secret; '-' is standard input. "
            "By default the shared secret that is configured.",
        ),
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="By default the first one of JWT_ALGORITHM that fits.")
    ] = None,
    kid: Annotated[
        str | None,
        typer.Option(help="The key's name; by default the JWK's own, or its thumbprint."),
    ] = None,
) -> None:
    """Print a token for development.

    Standard output has the token alone. If the current settings would refuse
    it, standard error says why.

    Examples:
      export TOKEN=$(jwt-deps mint --user alice --scope notes)
      curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/me
      jwt-deps mint --user alice --claim tenant=7 --claim 'roles=["admin"]'
      jwt-deps mint --user alice --key keys/private.pem --expires 1h
      jwt-deps mint --user alice --expires -1m | jwt-deps inspect

    Exit codes:
      0  minted, also when the current settings would refuse it
      2  not minted: usage, no key to sign with, settings that cannot be used
    """
    lifetime = None if no_expiry else _checked(seconds_of, expires, "--expires")
    extra = [_checked(claim, text, "--claim") for text in claims or []]
    settings = _settings(needed=key is None)
    chosen = None if settings is None else _issuer(settings, issuer_name)
    signing = _signing_key(key, chosen, algorithm, kid)
    names = ClaimNames() if chosen is None else ClaimNames.of(chosen)
    members = access_token_claims(
        names,
        user,
        scopes=scope or (),
        session_id=session,
        claims=dict(extra),
        now=time.time(),
        expires_in=lifetime,
        issuer=issuer,
        audience=audience,
    )
    header = {"alg": signing.algorithm, "typ": "JWT"}
    if kid is not None or not signing.is_secret:
        header["kid"] = signing.kid
    token = signing.sign(header, members)
    typer.echo(token)
    if settings is not None:
        asyncio.run(_warn(token, settings))


def _checked(read: Callable[[str], _T], text: str, option: str) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise impossible(f"{option}: {error}.") from None


def _settings(*, needed: bool) -> JWTSettings | None:
    """The settings, which a key of one's own can do without."""
    try:
        return get_settings()
    except ConfigurationError as error:
        if needed:
            raise impossible(f"{error} {_NO_KEY}") from None
        if any(map(is_variable, os.environ)):
            note(f"Warning: the settings cannot be used, and say nothing about the token: {error}")
        return None


def _issuer(settings: JWTSettings, name: str | None) -> IssuerSettings:
    """The settings of the issuer that the token is to be of."""
    if settings.issuers is None:
        if name is not None:
            raise impossible("--issuer-name chooses among JWT_ISSUERS, which is not set.")
        return settings
    if name is None and len(settings.issuers) == 1:
        (only,) = settings.issuers.values()
        return only
    if name not in settings.issuers:
        names = ", ".join(settings.issuers)
        raise impossible(f"--issuer-name has to say of which issuer the token is to be: {names}.")
    return settings.issuers[name]


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


def _configured_secret(settings: IssuerSettings | None) -> str:
    secrets = [] if settings is None else [settings.secret_key, *settings.verification_keys]
    for secret in secrets:
        if secret is not None and not is_pem(secret.get_secret_value()):
            return secret.get_secret_value()
    raise impossible(f"Only public keys are configured, which cannot sign. {_NO_KEY}")


def _read(file: str) -> str:
    try:
        if file == "-":
            content = piped(_LARGEST_KEY + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_LARGEST_KEY + 1)
    except OSError as error:
        raise impossible(f"--key: {file} cannot be read: {error.strerror}.") from None
    if len(content) > _LARGEST_KEY:
        raise impossible(f"--key: {file} is no key: it is longer than {_LARGEST_KEY} bytes.")
    try:
        # An editor ends a file with a line break, which is no part of a secret.
        return content.decode().rstrip("\r\n")
    except ValueError:  # `from None`: the error holds the key
        raise impossible(
            f"--key: {file} is no text: give a private key in PEM or as a JWK, or a secret."
        ) from None


async def _warn(token: str, settings: JWTSettings) -> None:
    """Say whether the settings would refuse what was minted under them."""
    explanation = await explain_token(token, settings)
    settings.close_keys()
    error = explanation.error
    if error is not None:
        note(
            "Warning: the current settings would refuse this token: "
            f"{error} ({error.reason}). {HINTS[error.reason]} See {error.anchor}."
        )
