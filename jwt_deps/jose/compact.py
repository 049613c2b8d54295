"""Take a JWS in compact serialization apart (RFC 7515 §7.1), as tokens and proofs are sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .encoding import decode_base64url


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
