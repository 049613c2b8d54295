"""What each library says of an input: accepted, or refused and why."""

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import jwt as pyjwt
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from jwt_deps import JWTSettings
from jwt_deps.errors import AuthError
from jwt_deps.keys import KeySet
from jwt_deps.keys.key_set import NoUsableKeyError
from tests.checking import check_with
from tests.differential.inputs import AUDIENCE, ISSUER, KEYS, Input
from tests.providers.identity import NODE, node
from tests.verifying import verify

__all__ = ["ACCEPTED", "OTHERS", "Told", "of_jose", "ours"]

ACCEPTED = "accepted"
#: `ACCEPTED`, or why it was refused.
Told = str


def ours(one: Input) -> Told:
    """This package; an exception that is not its own is not caught."""
    try:
        if one.jwks is None:
            verify(one.token, _settings(one.algorithm))
        else:
            check_with(one.token, KeySet.from_response([one.algorithm], one.jwks)[0])
    except AuthError as error:
        return str(error.reason)
    except NoUsableKeyError:
        return "no usable key"
    return ACCEPTED


@cache
def _settings(algorithm: str) -> JWTSettings:
    return JWTSettings(
        secret_key=KEYS[algorithm].verification_text,
        algorithm=algorithm,
        issuer=ISSUER,
        audience=AUDIENCE,
    )


def _pyjwt(one: Input) -> None:
    key: Any = KEYS[one.algorithm].verification_text
    if one.jwks is not None:
        kid = pyjwt.get_unverified_header(one.token).get("kid")
        known = pyjwt.PyJWKSet.from_dict(dict(one.jwks)).keys
        usable = [it for it in known if it.public_key_use in {"sig", None}]
        (key,) = usable if kid is None else [it for it in usable if it.key_id == kid]
    pyjwt.decode(
        one.token,
        key,
        algorithms=[one.algorithm],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=10,
        options={"require": ["exp"]},
    )


def _joserfc(one: Input) -> None:
    key = _joserfc_key(one.algorithm)
    if one.jwks is not None:
        known: Any = one.jwks
        key = joserfc_jwk.KeySet.import_key_set(known)
    token = joserfc_jwt.decode(one.token, key, algorithms=[one.algorithm])
    _REGISTRY.validate(token.claims)


_REGISTRY = joserfc_jwt.JWTClaimsRegistry(
    leeway=10,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    exp={"essential": True},
)


@cache
def _joserfc_key(algorithm: str) -> Any:
    key = KEYS[algorithm]
    if key.is_secret:
        return joserfc_jwk.OctKey.import_key(key.verification_text)
    return joserfc_jwk.import_key(dict(key.jwk))


def _told(decode: Callable[[Input], None]) -> Callable[[Input], Told]:
    def tell(one: Input) -> Told:
        try:
            decode(one)
        except Exception as error:  # noqa: BLE001 - theirs, and refused is all that counts
            return type(error).__name__
        return ACCEPTED

    return tell


OTHERS: Mapping[str, Callable[[Input], Told]] = {"PyJWT": _told(_pyjwt), "joserfc": _told(_joserfc)}


def of_jose(several: Iterable[Input]) -> list[Told]:
    """panva/jose, in one process that answers a line for a line.

    Raises:
        FileNotFoundError: there is no Node, or `npm install` has not been run.
    """
    program = node()
    if program is None or not (NODE / "node_modules" / "jose").is_dir():
        raise FileNotFoundError("npm install --prefix tests/providers/oidc_provider")
    lines = "".join(f"{json.dumps(asdict(it))}\n" for it in several)
    keys = {name: key.verification_text if key.is_secret else key.jwk for name, key in KEYS.items()}
    about = json.dumps({"issuer": ISSUER, "audience": AUDIENCE, "keys": keys})
    script = Path(__file__).with_name("jose.mjs")
    done = subprocess.run(  # noqa: S603 - our own
        [program, str(script), str(NODE / "node_modules" / "jose"), about],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
