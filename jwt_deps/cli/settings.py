"""`jwt-deps settings`: show the settings and the origin of each value."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from pydantic import BaseModel, SecretStr
from rich.table import Table
from rich.text import Text

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import PublicKey, is_pem, pem_public_key, public_jwk, thumbprint
from jwt_deps.settings import PREFIX, get_settings

from .output import Format, console, impossible, printable, show_json

_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class _Row:
    """One setting.

    Attributes:
        name: the parameter, for example `issuers.staff.audience`.
        variable: its variable, for example `JWT_ISSUERS__STAFF__AUDIENCE`.
        value: the value; for a secret only its length.
        origin: `default`, or the variable that it comes from.
    """

    name: str
    variable: str
    value: str
    origin: str


def settings(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also show settings with their default.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="A table or JSON.")] = Format.TEXT,
) -> None:
    """Show the settings in JWT_*, and where each value comes from.

    A secret is shown by its length, a public key by its type and thumbprint
    (RFC 7638). An unknown JWT_* variable causes a warning.

    Examples:
      jwt-deps settings
      jwt-deps settings --all
      JWT_AUDIENCE=orders jwt-deps settings
      jwt-deps settings --format json | jq -r '.[].variable'

    Exit codes:
      0  the settings can be used
      2  they cannot, with the reason on standard error
    """
    try:
        configured = get_settings()
    except ConfigurationError as error:
        raise impossible(str(error)) from None
    shown = [row for row in _rows(configured) if everything or row.origin != _DEFAULT]
    if form is Format.JSON:
        show_json([asdict(row) for row in shown])
    else:
        _show(shown, complete=everything)


def _show(rows: list[_Row], *, complete: bool) -> None:
    table = Table("Setting", "Variable", "Value", "Origin")
    for row in rows:
        cells = (row.name, row.variable, row.value, row.origin)
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    screen = console()
    screen.print(table)
    if not complete:
        screen.print("All other settings have their defaults; --all shows them.")


def _rows(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[_Row]:
    """Yield the rows of settings, nested ones included."""
    for name in type(model).model_fields:
        value, here = getattr(model, name), (*path, name)
        if isinstance(value, BaseModel):
            yield from _rows(value, here)
        elif name == "issuers" and isinstance(value, Mapping):
            for issuer, members in value.items():
                yield from _rows(members, (*here, issuer))
        else:
            origin = _origin(here) if name in model.model_fields_set else _DEFAULT
            yield _Row(".".join(here), _variable(here), _shown(value), origin)


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "__".join(path).upper()


def _origin(path: tuple[str, ...]) -> str:
    """Return the variable that is set: the setting's own, one with JSON that has it, or a file."""
    present = {name.upper(): name for name in os.environ}
    settings = (_variable(path[:length]) for length in range(len(path), 0, -1))
    candidates = (f"{name}{of_file}" for name in settings for of_file in ("", "_FILE"))
    # Keys over HTTP set `algorithm` without a variable.
    return next((present[name] for name in candidates if name in present), _DEFAULT)


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, SecretStr):
        return _masked(value.get_secret_value())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    text = str(value)
    address, query, _ = text.partition("?")
    # The query of an address may hold an API key.
    return f"{address}?..." if query and "://" in address else text


def _masked(secret: str) -> str:
    """Describe a key without a secret: the thumbprint of a public key, the length of a secret."""
    if not is_pem(secret):
        return f"a shared secret, {len(secret.encode())} bytes"
    public = pem_public_key(secret)
    return f"a public key, {_kind(public)}, {thumbprint(public_jwk(public))}"


def _kind(public: PublicKey) -> str:
    if isinstance(public, rsa.RSAPublicKey):
        return f"RSA with {public.key_size} bits"
    return f"EC on {public.curve.name}" if isinstance(public, EllipticCurvePublicKey) else "Ed25519"
