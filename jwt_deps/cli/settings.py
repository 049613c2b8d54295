"""What is configured, and where does each value come from? `jwt-deps settings`."""

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
from jwt_deps.settings import get_settings

from .output import Format, console, impossible, printable, show_json

__all__ = ["settings"]

_PREFIX = "JWT_"
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class _Row:
    """One value, fit to be shown.

    Attributes:
        name: the parameter, `issuers.staff.audience`.
        variable: what sets it, `JWT_ISSUERS__STAFF__AUDIENCE`.
        value: the value; of a secret only how long it is.
        origin: `default`, or the variable that it comes from.
    """

    name: str
    variable: str
    value: str
    origin: str


def settings(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Show also what has its default.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="A table, or JSON.")] = Format.TEXT,
) -> None:
    """Show what JWT_* configures, and where each value comes from.

    Of a secret only its length is shown, of a public key its kind and its
    thumbprint by RFC 7638. A JWT_* variable that is no setting gets a warning.

    Examples:
      jwt-deps settings
      jwt-deps settings --all
      JWT_AUDIENCE=orders jwt-deps settings
      jwt-deps settings --format json | jq -r '.[].variable'

    Exit codes:
      0  the settings can be used
      2  they cannot, and a sentence says why
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
        screen.print("Everything else has its default; --all shows it.")


def _rows(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[_Row]:
    """The values of settings, and of the settings within them."""
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
    return _PREFIX + "__".join(path).upper()


def _origin(path: tuple[str, ...]) -> str:
    """The variable that is set: a member's own, or the one that holds it as JSON."""
    present = {name.upper(): name for name in os.environ}
    candidates = (_variable(path[:length]) for length in range(len(path), 0, -1))
    # Keys over HTTP set `algorithm`, which is in no variable then.
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
    return str(value)


def _masked(secret: str) -> str:
    """What may be told of a key: of a public one its name, of a secret its length."""
    if not is_pem(secret):
        return f"a shared secret, {len(secret.encode())} bytes"
    public = pem_public_key(secret)
    return f"a public key, {_kind(public)}, {thumbprint(public_jwk(public))}"


def _kind(public: PublicKey) -> str:
    if isinstance(public, rsa.RSAPublicKey):
        return f"RSA with {public.key_size} bits"
    return f"EC on {public.curve.name}" if isinstance(public, EllipticCurvePublicKey) else "Ed25519"
