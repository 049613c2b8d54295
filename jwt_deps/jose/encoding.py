"""Read base64url, JSON and JWS in compact serialization, and refuse what has a second reading.

Two texts that decode alike are two names for one token, and two parsers that disagree are an attack
(RFC 8725 §2.4 and its successor's rules on base64url and JSON). Refused are padding, foreign
characters, spare bits, duplicate member names, and numbers that are not finite.
"""

import binascii
import codecs
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from pydantic_core import CoreConfig, SchemaValidator, ValidationError, core_schema, from_json

#: Deepest nesting of arrays and objects that is read. Claims of real issuers stay below 10;
#: Python's own limit is a RecursionError, which a client must not be able to cause.
MAX_DEPTH = 32
_NUMBERS = (int, float)
_LARGEST = int(sys.float_info.max)  # two integers are compared faster
# Python may be told to write no integer of 640 digits (`sys.set_int_max_str_digits`), and no less.
_TOO_LONG = 10**600

# pydantic's decoder takes a third of the time of `binascii`, and refuses spare bits that are not
# zero (RFC 4648 §3.5), with which four or sixteen spellings would name one byte string.
_base64 = SchemaValidator(core_schema.bytes_schema(), CoreConfig(val_json_bytes="base64"))
_PADDING = (b"", b"", b"==", b"=")
# What it would take besides: the other alphabet, padding of its own, and the escapes of JSON.
_PLUS, _SLASH, _EQUALS, _BACKSLASH = b"+/=\\"


def decode_base64url(text: bytes) -> bytes:
    """Decode base64url without padding (RFC 7515 §2), refusing every second spelling."""
    if not (_PLUS in text or _SLASH in text or _EQUALS in text or _BACKSLASH in text):
        try:
            decoded: bytes = _base64.validate_json(b'"%b%b"' % (text, _PADDING[len(text) % 4]))
        except ValidationError:
            pass  # it quotes the text
        else:
            return decoded
    raise ValueError("it is not base64url in its one spelling")


def encode_base64url(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 §2)."""
    encoded = binascii.b2a_base64(data, newline=False).rstrip(b"=")
    return encoded.translate(bytes.maketrans(b"+/", b"-_")).decode("ascii")


@dataclass(slots=True)
class CompactJWS:
    """The decoded parts of a JWS, and what is signed (RFC 7515 §5.1) as it was sent.

    Nothing is verified yet.
    """

    header: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)


def parse_compact(text: bytes) -> CompactJWS:
    """Take a JWS in compact serialization apart. The caller limits its length.

    Raises:
        ValueError: it is not one, or not in its only spelling.
    """
    signing_input, _, third = text.rpartition(b".")
    first, _, second = signing_input.partition(b".")
    try:
        # The decoder refuses what is outside the alphabet, further dots among it.
        header, payload, signature = map(decode_base64url, (first, second, third))
    except ValueError:
        pass
    else:
        if header and payload and signature:
            return CompactJWS(header, payload, signature, signing_input)
    # Outside of the handler, so that no error leads to one that quotes the text.
    raise ValueError("it is not a JWS in compact serialization")


def needs_extension(header: Mapping[str, Any]) -> bool:
    """Whether the header of a JWS asks for an extension: none is understood, so it is refused.

    RFC 7515 §4.1.11: an extension that is not understood must not be passed over. `b64` changes
    what is signed (RFC 7797), and some leave it out of `crit`.
    """
    return "crit" in header or "b64" in header


def parse_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object that has exactly one reading.

    Raises:
        ValueError: not UTF-8, not JSON, not an object, nested deeper than `MAX_DEPTH`, a
            member name twice, a number that is not finite or has more than 600 digits, half of a
            surrogate pair.
    """
    try:
        # Without its cache of strings, which outlives the request and which clients could fill.
        value = from_json(data, cache_strings="none")
    except ValueError:
        pass  # it may quote the text
    else:
        # It lets the last of two equal names win. Each string has two quotes, beside those that are
        # escaped: where there are as many as the strings that came of it need, no member was lost.
        if _BACKSLASH in data:
            data = data.replace(rb"\\", b"").replace(rb"\"", b"")
        if type(value) is dict and 2 * _strings_in(value) == data.count(b'"'):
            return value
    raise ValueError("it is not a JSON object with one reading")


def parse_document(data: bytes) -> dict[str, Any]:
    """Read the JSON object that a file or an HTTP response has, behind a byte order mark or not.

    RFC 8259 §8.1 lets a parser ignore the mark, which some servers and editors write.
    """
    return parse_object(data.removeprefix(codecs.BOM_UTF8))


def is_numeric_date(value: object) -> TypeGuard[int | float]:
    """Whether a member of a JSON object is a time in seconds since the epoch (RFC 7519 §2).

    An integer that no float can hold is not: computing with it and the time of now would fail.
    """
    # Not `isinstance`: a bool is an int to Python. `parse_object` lets no infinity through.
    return type(value) in _NUMBERS and -_LARGEST <= value <= _LARGEST  # type: ignore[operator]


def _strings_in(value: dict[str, Any]) -> float:
    """Count the strings in an object and in all below it, names included.

    Infinity where it is nested deeper than `MAX_DEPTH`, or a number is not finite or too long.
    Level by level, because clients can send thousands of arrays, one in another.
    """
    count = 0
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            members = container
            if type(container) is dict:
                count += len(container)
                members = container.values()
            for member in members:
                kind = type(member)
                if kind is str:
                    count += 1
                elif kind is dict or kind is list:
                    below.append(member)
                elif (kind is float and not math.isfinite(member)) or (
                    kind is int and not -_TOO_LONG < member < _TOO_LONG
                ):
                    return math.inf
        if not below:
            return count
        level = below
    return math.inf
