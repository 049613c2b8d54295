"""Make the requests of a question: tokens, DPoP proofs and header lines, valid and invalid."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from jwt_deps.jose import (
    ALGORITHMS,
    HMAC_ALGORITHMS,
    SigningKey,
    decode_base64url,
    encode_base64url,
)
from jwt_deps.testing import Prover

_ABSENT = object()
_NOW = re.compile(r"\$now([+-]\d+)?(\.\d+)?")
_LIFETIME = 300  # seconds
_DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
#: Algorithms of which each is another one; EdDSA and Ed25519 are the same.
_NAMES = sorted({*ALGORITHMS, *HMAC_ALGORITHMS} - {"EdDSA", "Ed25519"})
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send."""

    method: str
    url: str
    form: str | None
    lines: tuple[tuple[str, str], ...] = field(repr=False)
    token: str = field(repr=False)


class Maker:
    """Makes requests for a server that trusts a key.

    Args:
        key: returns the key that the server trusts now.
        header: members of the header of a good token, besides `alg` and `kid`.
        claims: claims of a good token, besides those that are new for each.
        known: further values that a question can name.
    """

    def __init__(
        self,
        key: Callable[[], SigningKey],
        header: Mapping[str, Any],
        claims: Mapping[str, Any],
        known: Mapping[str, Any],
    ) -> None:
        self._key, self._header, self._claims = key, header, claims
        self.other = SigningKey.generate(key().algorithm)
        self._clients = [SigningKey.generate("ES256") for _ in range(2)]
        self._known = {**self._constants(), **known}
        #: The names of what is known of the server, which questions need.
        self.names = frozenset(known)
        #: The last `DPoP-Nonce` of the server.
        self.nonce: str | None = None

    def make(self, send: Mapping[str, Any], url: str) -> Request:
        """Make the request that `send` describes, for a URL."""
        method = send.get("method", "POST" if "form" in send else "GET")
        known = self.values(url)
        known["token"] = self._token(send, known)
        known["proof"] = self._proof(send.get("proof", {}), method, known)
        query, form = send.get("query"), send.get("form")
        lines = (_fill(it, known) for it in send.get("lines", ["Authorization: Bearer $token"]))
        return Request(
            method,
            url if query is None else f"{url}?{_fill(query, known)}",
            None if form is None else _fill(form, known),
            tuple((name, value) for name, _, value in (line.partition(": ") for line in lines)),
            known["token"],
        )

    def values(self, url: str) -> dict[str, Any]:
        """Return the values that a question for a URL can name."""
        address = urlsplit(url)
        known = {
            **self._known,
            **self._of_key(),
            "random": secrets.token_hex(8),
            "url": url,
            "origin": f"{address.scheme.replace('ws', 'http')}://{address.netloc}",
            "path": address.path,
        }
        return {**known, "good": self._token({}, known)}

    def expected(self, expect: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put the values into what is expected."""
        return {name: _fill(value, self._known) for name, value in expect.items()}

    def _token(self, send: Mapping[str, Any], known: Mapping[str, Any]) -> str:
        key, now = self._key(), int(time.time())
        header = {"alg": key.algorithm, **({} if key.is_secret else {"kid": key.kid})}
        claims = {"iat": now, "exp": now + _LIFETIME, "jti": secrets.token_hex(8)}
        good = {**header, **self._header}, {**claims, **self._claims}
        return make_jws(send, (key, self.other), *good, known)

    def _proof(self, send: Mapping[str, Any], method: str, known: Mapping[str, Any]) -> str:
        client = Prover("", key=self._clients[0])
        proof = client.proof(known["token"], method, known["url"], nonce=self.nonce)
        header, claims = (json.loads(decode_base64url(it.encode())) for it in proof.split(".")[:2])
        return make_jws(send, self._clients, header, claims, known)

    def _constants(self) -> dict[str, Any]:
        """Return the values that stay the same."""
        own, other = (_certificate(it) for it in self._clients)
        x5c = [] if self.other.is_secret else [base64.b64encode(_certificate(self.other)).decode()]
        jkt, other_jkt = (Prover("", key=it).binding["cnf"]["jkt"] for it in self._clients)
        return {
            "absent": _ABSENT,
            "null": None,
            "elsewhere": "http://127.0.0.1:9/keys.json",
            "long": "x" * 40_000,
            "longer": "x" * 200_000,
            "deep": "[" * 4_000 + "]" * 4_000,
            "x5c": x5c,
            "jkt": jkt,
            "other_jkt": other_jkt,
            "client_jwk_private": {**self._clients[0].jwk, "d": "AAAA"},
            "other_client_jwk": self._clients[1].jwk,
            "certificate": f":{base64.b64encode(own).decode()}:",
            "other_certificate": f":{base64.b64encode(other).decode()}:",
            "x5t": encode_base64url(hashlib.sha256(own).digest()),
        }

    def _of_key(self) -> dict[str, Any]:
        """Return the values that follow from the key."""
        key = self._key()
        family = "RP" if key.algorithm[0] in "RP" else key.algorithm[0]
        others = [it for it in _NAMES if it[0] in family and it != key.algorithm]
        names = {
            "alg": key.algorithm,
            "lower_alg": key.algorithm.lower(),
            "sibling": others[0],
            "other_sibling": others[-1],
            "kid": key.kid,
        }
        if key.is_secret:
            return names
        public = serialization.load_pem_public_key(key.public_pem.encode())
        return {
            **names,
            "public_pem": key.public_pem,
            "public_pem_stripped": key.public_pem.strip(),
            "public_pem_crlf": key.public_pem.replace("\n", "\r\n"),
            "public_der": public.public_bytes(*_DER).decode("latin-1"),
            "public_jwk": json.dumps(key.jwk),
            "public_number": key.jwk.get("n", key.jwk.get("x")),
            "other_jwk": {**self.other.jwk, "kid": key.kid},
        }


def make_jws(
    send: Mapping[str, Any],
    keys: Sequence[SigningKey],
    header: Mapping[str, Any],
    claims: Mapping[str, Any],
    known: Mapping[str, Any],
) -> str:
    """Make a JWS of a good header and good claims, with the changes in `send`."""
    key = keys["key" in send]
    header = _changed(header, send.get("header", {}), known)
    claims = _changed(claims, send.get("claims", {}), known)
    head = _text(header, send.get("header_text"), known)
    h, p, s = key.sign_bytes(head, _text(claims, send.get("claims_text"), known)).split(".")
    if "secret" in send:
        secret = _fill(send["secret"], known).encode("latin-1")
        s = encode_base64url(hmac.digest(secret, f"{h}.{p}".encode(), f"sha{header['alg'][2:]}"))
    if "signature" in send:
        s = encode_base64url(_SIGNATURES[send["signature"]](decode_base64url(s.encode())))
    if "forged_header" in send:
        h = encode_base64url(_text(_changed(header, send["forged_header"], known), None, known))
    if "forged_claims" in send:
        p = encode_base64url(_text(_changed(claims, send["forged_claims"], known), None, known))
    # The last character has unused bits: another one of the same bytes.
    loose = f"{s[:-1]}{_ALPHABET[_ALPHABET.find(s[-1:]) ^ 1]}"
    return str(_fill(send.get("token", "$h.$p.$s"), {**known, "h": h, "p": p, "s": s, "l": loose}))


def _changed(
    good: Mapping[str, Any], changes: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    members = {**good, **_fill(changes, known)}
    return {name: value for name, value in members.items() if value is not _ABSENT}


def _text(members: Mapping[str, Any], text: str | None, known: Mapping[str, Any]) -> bytes:
    good = json.dumps(members, separators=(",", ":"))
    if text is None:
        return good.encode()
    # A character up to U+00FF is a byte, so that text that is not UTF-8 can be written.
    return str(_fill(text, {**known, "members": good[1:-1]})).encode("latin-1")


def _fill(value: Any, known: Mapping[str, Any]) -> Any:
    """Put the values in the places of their names."""
    if isinstance(value, Mapping):
        return {name: _fill(member, known) for name, member in value.items()}
    if isinstance(value, list):
        return [_fill(member, known) for member in value]
    if not isinstance(value, str):
        return value
    if (moment := _NOW.fullmatch(value)) is not None:
        whole = int(time.time()) + int(moment[1] or 0)
        return whole + float(moment[2]) if moment[2] else whole
    if value[:1] == "$" and value[1:] in known:
        return known[value[1:]]
    return Template(value).safe_substitute(known)


def _certificate(key: SigningKey) -> bytes:
    """Make a certificate (RFC 5280) of a key, in DER."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "conformance")])
    day, now = timedelta(days=1), datetime.now(UTC)
    public: Any = serialization.load_pem_public_key(key.public_pem.encode())
    made = x509.CertificateBuilder(name, name, public, 1, now - day, now + day)
    return made.sign(private, SHA256()).public_bytes(serialization.Encoding.DER)


def _as_der(raw: bytes) -> bytes:
    half = len(raw) // 2
    numbers = (int.from_bytes(part) for part in (raw[:half], raw[half:]))
    return utils.encode_dss_signature(*numbers)


_SIGNATURES: Mapping[str, Callable[[bytes], bytes]] = {
    "first bit": lambda raw: bytes([raw[0] ^ 128]) + raw[1:],
    "last bit": lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
    "middle bit": lambda raw: (
        raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 1]) + raw[len(raw) // 2 + 1 :]
    ),
    "zeros": lambda raw: bytes(len(raw)),
    "ones": lambda raw: b"\xff" * len(raw),
    "short": lambda raw: raw[:-1],
    "half": lambda raw: raw[: len(raw) // 2],
    "long": lambda raw: raw + b"\x00",
    "zero in front": lambda raw: b"\x00" + raw,
    "twice": lambda raw: raw * 2,
    "one byte": lambda raw: raw[:1],
    "swapped": lambda raw: raw[len(raw) // 2 :] + raw[: len(raw) // 2],
    "der": _as_der,
}
