"""Take a JWS in compact serialization apart (RFC 7515 §7.1), as tokens and proofs are sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from .encoding import decode_base64url

_JWS = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
_JWE = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){4}")


class CompactProblem(Enum):
    """Why a text is not a JWS in compact serialization."""

    PARTS = auto()
    """It does not have three parts of base64url's characters."""
    ENCRYPTED = auto()
    """It is a JWE (RFC 7516 §7.1): five parts."""
    ENCODING = auto()
    """A part has a length, or trailing bits, that base64url does not have (RFC 4648 §3.5)."""


class CompactError(ValueError):
    """A text is not a JWS in compact serialization. The error holds nothing of the text."""

    def __init__(self, problem: CompactProblem) -> None:
        super().__init__(problem.name)
        self.problem = problem


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
    """Take a JWS in compact serialization apart. The caller limits its length."""
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
    raise CompactError(_problem(text))


def needs_extension(header: Mapping[str, Any]) -> bool:
    """Whether the header of a JWS asks for an extension: none is understood, so it is refused.

    RFC 7515 §4.1.11: an extension that is not understood must not be passed over. `b64` changes
    what is signed (RFC 7797), and some leave it out of `crit`.
    """
    return "crit" in header or "b64" in header


def _problem(text: bytes) -> CompactProblem:
    if _JWS.fullmatch(text):
        return CompactProblem.ENCODING
    return CompactProblem.ENCRYPTED if _JWE.fullmatch(text) else CompactProblem.PARTS
