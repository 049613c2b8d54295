"""Validators written by hand, and the smallest correct token check.

Each validator takes a token and returns its claims, or raises. They are prepared as far as that
can be done before a token comes: the keys are objects.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeAlias
from warnings import catch_warnings

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from fastapi import HTTPException

from benchmarks import tokens

__all__ = ["MINIMAL", "Validator", "complete", "libraries", "refusal", "signature_only"]

Validator: TypeAlias = Callable[[str], dict[str, Any]]

#: A complete validator with nothing to spare: the floor of `performance.md`.
MINIMAL = "floor: minimal json"


def refusal() -> HTTPException:
    """The answer to a bad token, or to none."""
    return HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})


def primitive(algorithm: str) -> Callable[[bytes, bytes], None]:
    """The signature check alone; it raises when the signature is wrong."""
    if algorithm == "HS256":
        secret, sha = tokens.SECRET.encode(), hashlib.sha256

        def check(signing_input: bytes, signature: bytes) -> None:
            if not hmac.compare_digest(hmac.digest(secret, signing_input, sha), signature):
                raise ValueError("the signature is wrong")

        return check
    key, sha256 = tokens.public_key(algorithm), hashes.SHA256()
    if isinstance(key, rsa.RSAPublicKey):
        rsa_key, pkcs1 = key, padding.PKCS1v15()
        return lambda message, signature: rsa_key.verify(signature, message, pkcs1, sha256)
    curve_key, ecdsa = key, ec.ECDSA(sha256)

    def check_point(message: bytes, signature: bytes) -> None:
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        curve_key.verify(utils.encode_dss_signature(r, s), message, ecdsa)

    return check_point


def signature_only(algorithm: str) -> Validator:
    """The physical floor: the signature of the expected token, which is not even looked at."""
    signing_input, _, encoded = tokens.good(algorithm).rpartition(".")
    message, signature = signing_input.encode(), _decoded(encoded)
    check, found = primitive(algorithm), tokens.claims()

    def verify(_: str) -> dict[str, Any]:
        check(message, signature)
        return found

    return verify


def complete(algorithm: str) -> dict[str, Validator]:
    """The validators that check everything, each as it is prepared best."""
    found = {MINIMAL: _minimal(algorithm)}
    for name, make in _BY_HAND.items():
        with suppress(ImportError):
            found[f"by hand: {name}"] = make(algorithm)
    return found


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _minimal(algorithm: str) -> Validator:
    check = primitive(algorithm)

    def verify(token: str) -> dict[str, Any]:
        header, payload, signature = token.split(".")
        if json.loads(_decoded(header))["alg"] != algorithm:
            raise ValueError("the algorithm is not accepted")
        check(f"{header}.{payload}".encode(), _decoded(signature))
        claims: dict[str, Any] = json.loads(_decoded(payload))
        now = time.time()
        if not claims["nbf"] <= now < claims["exp"]:
            raise ValueError("it is not valid now")
        if claims["iss"] != tokens.ISSUER or claims["aud"] != tokens.AUDIENCE:
            raise ValueError("it is not for us")
        return claims

    return verify


def _joserfc(algorithm: str) -> Validator:
    jwt, jwk = import_module("joserfc.jwt"), import_module("joserfc.jwk")
    kind = {"HS256": jwk.OctKey, "RS256": jwk.RSAKey, "ES256": jwk.ECKey}[algorithm]
    key = kind.import_key(tokens.text(algorithm))
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": tokens.ISSUER},
        aud={"essential": True, "value": tokens.AUDIENCE},
        exp={"essential": True},
    )

    def verify(token: str) -> dict[str, Any]:
        found = jwt.decode(token, key, algorithms=[algorithm])
        registry.validate(found.claims)
        return dict(found.claims)

    return verify


def _pyjwt(algorithm: str) -> Validator:
    jwt = import_module("jwt")
    key: Any = tokens.SECRET if algorithm == "HS256" else tokens.public_key(algorithm)
    return lambda token: dict(
        jwt.decode(token, key, [algorithm], audience=tokens.AUDIENCE, issuer=tokens.ISSUER)
    )


def _authlib(algorithm: str) -> Validator:
    with catch_warnings(record=True):  # of its deprecation, which it insists on showing
        jose = import_module("authlib.jose")
    kind = {"HS256": jose.OctKey, "RS256": jose.RSAKey, "ES256": jose.ECKey}[algorithm]
    key, web_token = kind.import_key(tokens.text(algorithm)), jose.JsonWebToken([algorithm])
    options = {
        "iss": {"essential": True, "value": tokens.ISSUER},
        "aud": {"essential": True, "value": tokens.AUDIENCE},
    }

    def verify(token: str) -> dict[str, Any]:
        found = web_token.decode(token, key, claims_options=options)
        found.validate()
        return dict(found)

    return verify


def _python_jose(algorithm: str) -> Validator:
    jwt = import_module("jose.jwt")
    key = tokens.text(algorithm)
    return lambda token: dict(
        jwt.decode(token, key, [algorithm], audience=tokens.AUDIENCE, issuer=tokens.ISSUER)
    )


def _oxyjwt(algorithm: str) -> Validator:
    oxyjwt = import_module("oxyjwt")
    kind = {"HS256": "secret", "RS256": "rsa_pem", "ES256": "ec_pem"}[algorithm]
    key = getattr(oxyjwt.DecodingKey, f"from_{kind}")(tokens.text(algorithm).encode())
    return lambda token: dict(
        oxyjwt.decode(
            token, key, algorithms=[algorithm], audience=tokens.AUDIENCE, issuer=tokens.ISSUER
        )
    )


def libraries(algorithm: str) -> Iterator[tuple[str, Validator]]:
    """Every library in turn, with its name; those that are not here are left out."""
    for name, make in {"python-jose": _python_jose, **_BY_HAND, "Authlib": _authlib}.items():
        with suppress(ImportError):
            yield name, make(algorithm)


_BY_HAND: dict[str, Callable[[str], Validator]] = {
    "joserfc": _joserfc,
    "PyJWT": _pyjwt,
    "oxyjwt (Rust)": _oxyjwt,
}
