"""`jwt-deps keygen`: make a shared secret, or a key pair in files."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jwt_deps.jose import CURVES, PrivateKey, encode_base64url, public_jwk, thumbprint

from .output import impossible, note

_SECRET_BYTES = 64  # as long as the longest hash, HS512's (RFC 7518 §3.2)
_LARGEST_RSA = 8192  # larger ones take minutes to generate


class RSAAlgorithm(StrEnum):
    """The algorithms of RSA keys."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"


class Curve(StrEnum):
    """The curves of RFC 7518 §6.2.1.1."""

    P256 = "P-256"
    P384 = "P-384"
    P521 = "P-521"


class Ed25519Algorithm(StrEnum):
    """The two names of one algorithm (RFC 8037, RFC 9864)."""

    EDDSA = "EdDSA"
    ED25519 = "Ed25519"


class Form(StrEnum):
    """The format of the private key."""

    PEM = "pem"
    JWK = "jwk"


_OF_CURVE = {Curve(curve.crv): curve for curve in CURVES.values()}

Out = Annotated[
    str,
    typer.Option(
        metavar="DIRECTORY",
        help="The folder of the three files; '-' prints the private key instead.",
    ),
]
Format = Annotated[Form, typer.Option("--format", help="The format of the private key.")]
Kid = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The key id; by default the thumbprint (RFC 7638)."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]

keygen = typer.Typer(
    name="keygen",
    no_args_is_help=True,
    help="""Make a shared secret or a key pair.

    A key pair is three files: the private key, which only you can read (mode
    0600), and its public half as public.pem, for JWT_SECRET_KEY, and as
    jwks.json, for JWT_JWKS_FILE.

    Examples:
      export JWT_SECRET_KEY=$(jwt-deps keygen secret)
      jwt-deps keygen secret --env >> .env
      jwt-deps keygen rsa --out keys
      jwt-deps keygen ec --curve P-384 --out keys
      jwt-deps keygen ed25519 --out - | jwt-deps mint --user alice --key -

    Exit codes:
      0  success
      2  an error: usage, a file that exists, a directory that cannot be written
    """,
)


@keygen.command()
def secret(
    *,
    env: Annotated[
        bool, typer.Option("--env", help="Print the line of an .env file, JWT_SECRET_KEY=...")
    ] = False,
) -> None:
    """Print a shared secret for HS256, HS384 or HS512: 64 random bytes in base64url.

    Examples:
      export JWT_SECRET_KEY=$(jwt-deps keygen secret)
      jwt-deps keygen secret --env >> .env
    """
    typer.echo(f"{'JWT_SECRET_KEY=' if env else ''}{token_urlsafe(_SECRET_BYTES)}")


@keygen.command("rsa")
def rsa_pair(  # noqa: PLR0913 - one per option
    *,
    out: Out = "keys",
    bits: Annotated[
        int,
        typer.Option(min=2048, max=_LARGEST_RSA, help="The size; RFC 7518 requires at least 2048."),
    ] = 2048,
    algorithm: Annotated[
        RSAAlgorithm, typer.Option(help="The algorithm of the key.")
    ] = RSAAlgorithm.RS256,
    form: Format = Form.PEM,
    kid: Kid = None,
    force: Force = False,
) -> None:
    """Make an RSA key pair.

    Examples:
      jwt-deps keygen rsa --out keys
      jwt-deps keygen rsa --bits 3072 --algorithm PS256 --out keys
    """
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    _deliver(_named(private, algorithm, kid), out, form, force=force)


@keygen.command("ec")
def ec_pair(
    *,
    out: Out = "keys",
    curve: Annotated[
        Curve, typer.Option(help="ES256 signs on P-256, ES384 on P-384, ES512 on P-521.")
    ] = Curve.P256,
    form: Format = Form.PEM,
    kid: Kid = None,
    force: Force = False,
) -> None:
    """Make a key pair on a NIST elliptic curve.

    Examples:
      jwt-deps keygen ec --out keys
      jwt-deps keygen ec --curve P-384 --format jwk --out keys
    """
    named = _OF_CURVE[curve]
    private = ec.generate_private_key(named.curve)
    _deliver(_named(private, named.algorithm, kid), out, form, force=force)


@keygen.command("ed25519")
def ed25519_pair(
    *,
    out: Out = "keys",
    algorithm: Annotated[
        Ed25519Algorithm,
        typer.Option(help="The name of the algorithm; old libraries know EdDSA."),
    ] = Ed25519Algorithm.EDDSA,
    form: Format = Form.PEM,
    kid: Kid = None,
    force: Force = False,
) -> None:
    """Make an Ed25519 key pair.

    Examples:
      jwt-deps keygen ed25519 --out keys
      jwt-deps keygen ed25519 --kid 2026-05 --out keys
    """
    private = ed25519.Ed25519PrivateKey.generate()
    _deliver(_named(private, algorithm, kid), out, form, force=force)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A key pair and its file formats.

    Attributes:
        private: the private key.
        public: the public JWK.
    """

    private: PrivateKey = field(repr=False)
    public: dict[str, str]

    @property
    def description(self) -> str:
        return f"kid {self.public['kid']}, algorithm {self.public['alg']}"

    @property
    def public_pem(self) -> str:
        public = self.private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def private_text(self, form: Form) -> str:
        if form is Form.JWK:
            return _json({**self.public, **_private_members(self.private)})
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem.decode()


def _named(private: PrivateKey, algorithm: str, kid: str | None) -> _Pair:
    members = public_jwk(private.public_key())
    named = {"kid": kid or thumbprint(members), "use": "sig", "alg": str(algorithm)}
    return _Pair(private, {**members, **named})


def _deliver(pair: _Pair, out: str, form: Form, *, force: bool) -> None:
    private = pair.private_text(form)
    if out == "-":
        typer.echo(private, nl=False)
        note(pair.description)
        return
    folder = Path(out)
    name = "private.pem" if form is Form.PEM else "private.jwk.json"
    texts = {
        name: private,
        "public.pem": pair.public_pem,
        "jwks.json": _json({"keys": [pair.public]}),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = [file for file in texts if os.path.lexists(folder / file)]
        if present and not force:
            raise impossible(
                f"{folder / present[0]} exists: choose another directory with --out, or replace it "
                "with --force."
            )
        _write(folder, texts, private=name)
    except OSError as error:
        raise impossible(f"{error.filename} cannot be written: {error.strerror}.") from None
    note(pair.description)
    for file in texts:
        note(f"{folder / file}{'  private: keep it where tokens are issued' * (file == name)}")


def _write(folder: Path, texts: Mapping[str, str], *, private: str) -> None:
    """Write the files, each as a new one, so that no open file or link shows the private key."""
    for name, text in texts.items():
        path = folder / name
        path.unlink(missing_ok=True)
        mode = 0o600 if name == private else 0o644
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def _json(value: Mapping[str, Any]) -> str:
    return f"{json.dumps(value, indent=2)}\n"


def _private_members(private: PrivateKey) -> dict[str, str]:
    """Return the private members of a JWK (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2)."""
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.private_numbers()
        members = {
            "d": numbers.d,
            "p": numbers.p,
            "q": numbers.q,
            "dp": numbers.dmp1,
            "dq": numbers.dmq1,
            "qi": numbers.iqmp,
        }
        return {name: _octets(value) for name, value in members.items()}
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return {"d": _octets(private.private_numbers().private_value, private.key_size)}
    return {"d": encode_base64url(private.private_bytes_raw())}


def _octets(value: int, bits: int | None = None) -> str:
    return encode_base64url(value.to_bytes(((bits or value.bit_length()) + 7) // 8, "big"))
