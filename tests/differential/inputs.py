"""The inputs: changed tokens and changed JWK Sets, from a seed."""

import json
import random
import string
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jwt_deps.cli.conformance.catalog import documents
from jwt_deps.cli.conformance.requests import Maker, make_jws
from jwt_deps.jose import SigningKey

__all__ = ["AUDIENCE", "ISSUER", "KEYS", "Input", "inputs"]

ISSUER, AUDIENCE = "https://issuer.example", "api"
KEYS = {
    name: SigningKey.generate(name, kid="key-1")
    for name in ("HS256", "ES256", "EdDSA", "RS256", "PS256")
}
_WEIGHTS = (6, 6, 4, 1, 1)  # RSA signs slowly
_TOKEN = frozenset(
    {"header", "claims", "header_text", "claims_text", "key", "secret", "signature", "token"}
    | {"forged_header", "forged_claims"}
)
_HEADER = ("alg", "typ", "kid", "cty", "crit", "b64", "jwk", "jku", "x5c", "zip", "enc", "p2c")
_CLAIMS = ("exp", "nbf", "iat", "iss", "aud", "sub", "jti", "cnf", "scope")
_MEMBERS = ("kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e", "k", "d", "ext")
_TEXTS = (
    *("", "a", "sig", "enc", "verify", "sign", "RSA", "EC", "OKP", "oct", "P-256", "P-384"),
    *("secp256k1", "Ed25519", "X25519", *KEYS, "HS512", "none", "JWT", "at+jwt", "key-1", "AQAB"),
    *("AAAA", "AA==", ISSUER, AUDIENCE, "b64", "exp", "é", "漢字", "\x00", "a b", "+/", "\ud800"),
)


@dataclass(frozen=True)
class Input:
    """A token, what a service verifies it with, and what was changed."""

    algorithm: str
    token: str
    changed: str
    jwks: Mapping[str, Any] | None = None


def inputs(seed: int, number: int) -> Iterator[Input]:
    """Make the same so many inputs for the same seed, but for keys and times."""
    source = random.Random(seed)  # noqa: S311 - nothing is secret
    makers = {name: _Source(key) for name, key in KEYS.items()}
    for _ in range(number):
        maker = makers[source.choices(tuple(KEYS), _WEIGHTS)[0]]
        secret = maker.key.is_secret
        yield (
            maker.with_keys(source)
            if not secret and source.random() < 0.3
            else maker.changed(source)
        )


class _Source:
    """Makes inputs for one key."""

    def __init__(self, key: SigningKey) -> None:
        self.key, self.other = key, SigningKey.generate(key.algorithm, kid="key-2")
        known = {"iss": ISSUER, "aud": AUDIENCE, "secret" if key.is_secret else "asymmetric": True}
        maker = Maker(lambda: key, {}, {"iss": ISSUER, "aud": AUDIENCE}, known)
        self.values = maker.values("http://127.0.0.1/")
        self.header = {"alg": key.algorithm, "typ": "JWT", "kid": "key-1"}
        has = {*known, "any_typ", *({"ecdsa"} if key.algorithm == "ES256" else ())}
        self.sends = [
            {name: value for name, value in question.send.items() if name in _TOKEN}
            for document in documents()
            for question in document.questions
            if question.send.keys() & _TOKEN and question.needs <= has
        ]

    def changed(self, source: random.Random) -> Input:
        """A token with one or two changes."""
        send: dict[str, Any] = {}
        for change in [self._change(source) for _ in range(source.randint(1, 2))]:
            if "secret" in change:  # which signs by the `alg` beside it
                send = dict(change)
                break
            for name, value in change.items():
                both = isinstance(value, dict) and isinstance(send.get(name), dict)
                send[name] = {**send[name], **value} if both else value
        token = self._token(send)
        if source.random() < 0.2:
            token = _edited(source, token)
            send["edited"] = True
        return Input(self.key.algorithm, token, json.dumps(send))

    def with_keys(self, source: random.Random) -> Input:
        """A good token and a JWK Set with one or two changed members."""
        jwks: list[Any] = [{**key.jwk} for key in (self.key, self.other)]
        source.shuffle(jwks)
        changed = {}
        for _ in range(source.randint(0, 2)):
            jwk = source.choice(jwks)
            name = source.choice(_MEMBERS)
            changed[f"{name} of {jwk.get('kid')}"] = value = _value(source)
            if source.random() < 0.3:
                jwk.pop(name, None)
            else:
                jwk[name] = value
        if source.random() < 0.1:
            jwks.append(_value(source))
        send = {"header": {"kid": "$absent"}} if source.random() < 0.1 else {}
        changed |= send
        return Input(self.key.algorithm, self._token(send), json.dumps(changed), {"keys": jwks})

    def _token(self, send: Mapping[str, Any]) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "iat": now - 60, "exp": now + 3600}
        return make_jws(send, (self.key, self.other), self.header, claims, self.values)

    def _change(self, source: random.Random) -> Mapping[str, Any]:
        if source.random() < 0.5:
            return source.choice(self.sends)
        of, names = source.choice((("header", _HEADER), ("claims", _CLAIMS)))
        return {of: {source.choice(names): _value(source)}}


def _value(source: random.Random, depth: int = 0) -> Any:
    """A JSON value, near to those that mean something."""
    kind = source.randrange(7 if depth > 1 else 9)
    if kind <= 2:
        return source.choice(_TEXTS)
    if kind == 3:
        return "".join(source.choices(string.printable, k=source.randint(0, 8)))
    if kind == 4:
        return source.choice((0, 1, -1, 2**31, 2**64, 10**400, 1.7e9, 1e300, 0.5))
    if kind <= 6:
        return source.choice((None, True, False, [], {}))
    several = [_value(source, depth + 1) for _ in range(source.randint(0, 3))]
    return several if kind == 7 else dict(zip(_HEADER + _MEMBERS, several, strict=False))


def _edited(source: random.Random, text: str) -> str:
    """One character inserted, deleted, replaced or moved."""
    at, letter = source.randrange(len(text) + 1), source.choice(string.printable + "é")
    return source.choice(
        (
            f"{text[:at]}{letter}{text[at:]}",
            f"{text[:at]}{text[at + 1 :]}",
            f"{text[:at]}{letter}{text[at + 1 :]}",
            f"{text[at:]}{text[:at]}",
        )
    )
