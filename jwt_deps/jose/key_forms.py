"""Recognise a key, a certificate, an address or a path in the place of a shared secret.

With a public key as the shared secret, each of its readers could sign (RFC 8725 §2.1). A key that
is bare numbers (the 32 bytes of Ed25519, a modulus) looks like random bytes and is not recognised.
"""

import json
import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from cryptography.x509 import load_der_x509_certificate

from .signatures import CURVES, Curve

_ADDRESS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://|data:)\S+")
# The name of a secret or a variable, which is what is left where nothing resolved it. All who can
# read the deployment know it.
_REFERENCE = re.compile(
    r"""@Microsoft\.KeyVault\(.*\) | arn:aws[\w-]*:\S+ | vault:\S+ | projects/[^/]+/secrets/\S+
    | <[\w .,:'-]*> | \$[A-Z][A-Z0-9_]*
    | [\w./\\:-]*(?:(?:\$\{[^{}]*\} | \$\([^()]*\) | \{\{[^{}]*\}\} | \#\{[^{}]*\}\#? | %[A-Z]\w*%)
    [\w./\\:-]*)+""",
    re.VERBOSE,
)
_PATH = re.compile(r"(?:[A-Za-z]:|~|\.\.?|\$[A-Z][A-Z0-9_]*)?(?:[/\\][\w.@ -]+){2,}")
# `\xf2\x13`: octets, which can have all that a path or a reference has. 32 random ones have four
# such escapes or more, and a path has fewer folders with such a name, `\x64`.
_ESCAPED = re.compile(r"(?:\\x[0-9a-f]{2}.*?){4}", re.DOTALL)
_NOT_BASE64 = re.compile(r"[._@ $~:\\-]")
# A first or a last line, as PEM (RFC 7468), SSH2 (RFC 4716) and PGP have it, with dashes lost.
_LINE = re.compile(
    r"[-\u2010-\u2015\u2212]\s*(?:BEGIN|END)[A-Z0-9\s]*?"
    r"(SSH2|PRIVATE|PUBLIC\s*KEY|CERTIFICATE|PARAMETERS|PKCS|CMS)",
    re.IGNORECASE,
)
# In what `openssl pkey -text` and `openssl x509 -text` print.
_OPENSSL = re.compile(r"\b(Certificate(?=:\s+Data:)|Public(?=-Key:)|Private(?=-Key:))")
_OPENSSH = re.compile(r"(?:ssh-|ecdsa-sha2-|sk-)\S+\s+AAAA")
_OPENSSH_BLOB = re.compile(rb"\x00\x00\x00[\x07-\x40](?:ssh-|ecdsa-sha2-|sk-)")
_JWK = re.compile(
    r"""["'](?:kty|keys|x5c|jwks_uri)["']\s*:|\bkty["']?\s*[:=]\s*["']?(?:RSA|EC|OKP|oct)\b"""
)
_XML = re.compile(r"<[?!A-Za-z].*</[A-Za-z][^<>]*>", re.DOTALL)
# Octets as Python prints them: `b'0Y0\x13'`, `bytearray(b'0Y0\x13')`.
_PRINTED = re.compile(
    r"""(?:bytearray\()?b(["'])((?:\\x[0-9a-f]{2}|\\[\\'nrt]|[ -\[\]-~])*)\1\)?"""
)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
# What base64, base64url and hexadecimal are written with, and shorter is no key.
_WORD = re.compile(r"[A-Za-z0-9+/_-]{32,}")
# What stands between octets in hexadecimal, and before them: `30:59`, `0x30, 0x59`, `\x3059`; and
# `30-59`, as .NET has it, and not any hyphen, of base64url for one.
_BETWEEN = re.compile(r"\\x|0[xX]|<Buffer|[\s:=,]+|(?<=\b[0-9A-Fa-f]{2})-(?=[0-9A-Fa-f]{2}\b)")
# A line of `xxd`, `od -tx1` or `hexdump -C`: an offset, and 16 octets at most.
_DUMPED = re.compile(
    r"^[ \t]*[0-9A-Fa-f]{4,16}:?[ \t]+((?:[0-9A-Fa-f]{2}[ \t]{0,2}){1,16})", re.MULTILINE
)
# Octets in decimal: `[48, 89, 48]`, or `-119` of Java.
_DECIMAL = re.compile(r"(?<![\w.-])-?\d{1,3}(?:[\s,]+-?\d{1,3}){15,}")
_TO_BASE64 = str.maketrans("-_", "+/")


class KeyForm(Enum):
    """What a text is that is no shared secret; the value is the reason of the error about it."""

    PUBLIC = "public_key_not_pem"
    """A public key: DER, JWK, JWK Set, XML, a point, or PEM with damaged lines."""
    CERTIFICATE = "certificate"
    OPENSSH = "openssh_key"
    PRIVATE = "private_key"
    ADDRESS = "address_as_secret"
    """An address, of a JWK Set for example, which is no secret either."""
    REFERENCE = "reference_as_secret"


_LINES = {
    "SSH2": KeyForm.OPENSSH,
    "PRIVATE": KeyForm.PRIVATE,
    "CERTIFICATE": KeyForm.CERTIFICATE,
}
# Each with how it begins in DER: `cryptography` before 50 does not say that a key is one of a kind
# that it does not know (RFC 5958 §2, RFC 5280 §4.1.2.7, §4.1).
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..)"
_SEQUENCE = rb"\x30" + _LENGTH
_LOADERS: tuple[tuple[Callable[[bytes], object], bytes, KeyForm], ...] = (
    (
        lambda data: load_der_private_key(data, None),
        _SEQUENCE + rb"\x02\x01[\x00\x01]" + _SEQUENCE + rb"\x06",
        KeyForm.PRIVATE,
    ),
    (load_der_public_key, _SEQUENCE + _SEQUENCE + rb"\x06", KeyForm.PUBLIC),
    (
        load_der_x509_certificate,
        _SEQUENCE + _SEQUENCE + rb"\xa0\x03\x02\x01\x02",
        KeyForm.CERTIFICATE,
    ),
)


def key_form(text: str | bytes) -> KeyForm | None:
    """Say what a text is that must not serve as a shared secret; `None` if it can.

    It is looked at as it is, and as base64, base64url and hexadecimal of such a text or of DER, in
    quotes, in lines and in URL encoding too; octets as DER, and as the text that they are, and as
    programs print them, in hexadecimal or decimal.
    """
    if isinstance(text, bytes):
        return _of_octets(text)
    printed = _PRINTED.fullmatch(text)
    if printed is not None:
        octets = printed[2].encode().decode("unicode_escape").encode("latin-1")
        return _of_octets(octets) or _of_text(printed[2])
    return _of_text(text)


def _of_text(text: str) -> KeyForm | None:
    text = unquote(text).replace("\\n", "\n").replace("\\r", "").strip("\ufeff\"' \t\r\n")
    line = _LINE.search(text) or _OPENSSL.search(text)
    if line is not None:
        return _LINES.get(line[1].upper(), KeyForm.PUBLIC)
    if _ADDRESS.fullmatch(text):
        return KeyForm.ADDRESS
    if _OPENSSH.match(text):
        return KeyForm.OPENSSH
    if _JWK.search(_as_json(text)) or _XML.fullmatch(text):
        return KeyForm.PUBLIC
    forms = (_of_octets(octets) for octets in _decoded(text))
    named = KeyForm.REFERENCE if _is_reference(text) else None
    return next((form for form in forms if form is not None), named)


def _is_reference(text: str) -> bool:
    """Whether a text is the name of a secret, a variable or a file."""
    return not _ESCAPED.search(text) and (bool(_REFERENCE.fullmatch(text)) or _is_path(text))


def _is_path(text: str) -> bool:
    """Whether a text is the path of a file; base64 can look like one, and names nothing there."""
    if _PATH.fullmatch(text):
        return bool(_NOT_BASE64.search(text)) or os.path.lexists(Path(text).parent)
    return "/" in text and os.path.lexists(text)


def _as_json(text: str) -> str:
    """Return a JSON text without its escapes; any other text as it is."""
    with suppress(ValueError, RecursionError):
        return json.dumps(json.loads(text))
    return text


def _decoded(text: str) -> Iterator[bytes]:
    """Decode the text, without what stands between octets, and each long word in it."""
    for run in _DECIMAL.findall(text):
        yield bytes(int(number) % 256 for number in re.findall(r"-?\d+", run))
    dumped = "\n".join(_DUMPED.findall(text))
    # The text as it is comes first: base64 can have a `0x` in it too, and is damaged without it.
    several = text, *(_BETWEEN.sub("", it) for it in (text, dumped))
    for word in dict.fromkeys(word for it in several for word in _WORD.findall(it)):
        if _HEX.fullmatch(word):
            yield bytes.fromhex(word)
        with suppress(ValueError):
            yield b64decode(word.translate(_TO_BASE64) + "=" * (-len(word) % 4))


def _of_octets(data: bytes) -> KeyForm | None:
    if _OPENSSH_BLOB.match(data):
        return KeyForm.OPENSSH
    for load, beginning, form in _LOADERS:
        if _is_loaded(load, data) or re.match(beginning, data, re.DOTALL):
            return form
    if any(_is_point(data, curve) for curve in CURVES.values()):
        return KeyForm.PUBLIC
    with suppress(UnicodeDecodeError):
        # UTF-16, as PowerShell writes it, is ASCII with zeros.
        return key_form(data.replace(b"\0", b"").strip(b"\xff\xfe").decode())
    return None


def _is_loaded(load: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        load(data)
    except (TypeError, UnsupportedAlgorithm):  # one that wants a password, or of an unknown kind
        return True
    except ValueError:
        return False
    return True


def _is_point(data: bytes, curve: Curve) -> bool:
    # Not compressed (SEC 1 §2.3.3): half of all octets are a point then.
    load = partial(ec.EllipticCurvePublicKey.from_encoded_point, curve.curve)
    return data[:1] == b"\x04" and _is_loaded(load, data)
