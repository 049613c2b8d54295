"""Check that the client authenticated with the certificate of its token (RFC 8705 §3)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from jwt_deps.errors import ConfirmationError, Reason
from jwt_deps.jose import encode_base64url

from .policy import ClientCertificate, SenderPolicy

_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
# RFC 9440 §2.1 by way of RFC 8941 §3.3: an item that is a byte sequence. Parameters, of which none
# is defined, are ignored.
_BYTE_SEQUENCE = re.compile(
    r""":([A-Za-z0-9+/]+={0,2}):
    (?:;\ *[a-z*][a-z0-9_.*-]*
        (?:=(?:
            -?\d{1,15} | -?\d{1,12}\.\d{1,3}
            | "(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"
            | [A-Za-z*][A-Za-z0-9!\#$%&'*+.^_`|~:/-]*
            | :[A-Za-z0-9+/=]*: | \?[01]
        ))?
    )*""",
    re.VERBOSE,
)
# Envoy's x-forwarded-client-cert: one element, whose values are quoted if need be.
_XFCC_PAIR = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^";,]*)(?:;|$)')
# A pair for each alternative name of the proxy, and of the subject.
_XFCC_SEVERAL = frozenset({"by", "uri", "dns"})
_DIGEST_SIZE = 32


def check_certificate(scope: Mapping[str, Any], bound_to: str, policy: SenderPolicy) -> None:
    """Compare the certificate of a request with the one that its token is bound to.

    Raises:
        ConfirmationError: there is no certificate, not exactly one, or another one; 401.
    """
    thumbprint = None
    with suppress(ValueError):
        thumbprint = _thumbprint(scope, policy)
    if thumbprint is None or not hmac.compare_digest(thumbprint.encode(), bound_to.encode()):
        raise ConfirmationError(
            Reason.CERTIFICATE, "it is bound to a certificate that its sender did not show"
        )


def _thumbprint(scope: Mapping[str, Any], policy: SenderPolicy) -> str | None:
    source = policy.certificate
    if source is ClientCertificate.TLS:
        return _of_connection(scope)
    if not policy.proxies.include_peer_of(scope, policy.forwarding_headers):
        return None
    if source is ClientCertificate.XFCC:
        value = _single(scope["headers"], b"x-forwarded-client-cert")
        return None if value is None else _of_xfcc(value)
    if source is ClientCertificate.CLIENT_CERT:
        value = _single(scope["headers"], b"client-cert")
        return None if value is None else _of_byte_sequence(value)
    value = _single(scope["headers"], policy.certificate_header)
    return None if value is None else _of_pem(unquote_to_bytes(value))


def _of_connection(scope: Mapping[str, Any]) -> str | None:
    """Return the thumbprint of the client's certificate in the server's own TLS (ASGI `tls`)."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    chain = list(tls.get("client_cert_chain") or ())
    if not chain or tls.get("client_cert_error"):
        return None
    return _of_pem(str(chain[0]).encode())


def _single(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the value of a header; `None` if it is absent or repeated."""
    values = [value for key, value in headers if key == name]
    return values[0].decode("latin-1").strip(" \t") if len(values) == 1 else None


def _of_byte_sequence(value: str) -> str:
    found = _BYTE_SEQUENCE.fullmatch(value)
    if found is None:
        raise ValueError("no byte sequence")
    octets = found[1].rstrip("=").encode()
    return _of_der(base64.b64decode(octets + b"=" * (-len(octets) % 4)))


def _of_xfcc(value: str) -> str | None:
    """Return the thumbprint in the one element that the proxy wrote."""
    members: dict[str, str] = {}
    position = 0
    while position < len(value):
        pair = _XFCC_PAIR.match(value, position)
        name = pair[1].lower() if pair is not None else ""
        if pair is None or (name in members and name not in _XFCC_SEVERAL):
            raise ValueError("not one element")
        members[name] = pair[2].strip('"')
        position = pair.end()
    found = []
    if "hash" in members:
        digest = bytes.fromhex(members["hash"])
        if len(digest) != _DIGEST_SIZE:
            raise ValueError("no SHA-256")
        found.append(encode_base64url(digest))
    if "cert" in members:
        found.append(_of_pem(unquote_to_bytes(members["cert"])))
    return found[0] if len(set(found)) == 1 else None


def _of_pem(text: bytes) -> str:
    found = _PEM.fullmatch(text)
    if found is None:
        raise ValueError("not one certificate")
    return _of_der(base64.b64decode(b"".join(found[1].split()), validate=True))


def _of_der(der: bytes) -> str:
    return encode_base64url(hashlib.sha256(der).digest())
