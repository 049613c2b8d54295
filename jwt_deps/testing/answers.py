"""What does an endpoint send instead of the truth? An `Answer`, with everything that can go wrong.

Answer(status=500)                          the true document, under a wrong status
Answer.json({"keys": []})                   an empty set
Answer.html()                               a login page, with 200
Answer.redirect("http://127.0.0.1:1/")      somewhere else
Answer(body=b"{")                           no JSON
Answer(delay=5), Answer(hang=True)          a slow one, one that never comes
Answer(drip=0.1)                            one byte at a time
Answer(cut=True)                            half of it, then the connection is closed
Answer(padding=1_000_000)                   the true document, and a megabyte of spaces
Answer(padding=1_000_000, chunked=True)     the same, without a Content-Length that says so
Answer(padding=math.inf)                    it never ends
Answer(padding=10_000_000, gzip=True)       small on the wire, large to whoever unpacks it
"""

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

__all__ = ["Answer"]

_PIECE = 65_536
_GZIP = 31  # what zlib calls a gzip wrapper around the largest window


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP response, and the way in which it is sent. What is not said is as it should be."""

    status: int = 200
    body: bytes | None = None
    """`None` is the true document."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """They win over those that would be sent anyway."""
    delay: float = 0
    """Seconds before the first byte."""
    drip: float = 0
    """Seconds between single bytes of the body."""
    padding: float = 0
    """Spaces after the body, which JSON allows; `math.inf` never ends."""
    chunked: bool = False
    """Whether the body comes in chunks (RFC 9112 §7.1) instead of with its length."""
    gzip: bool = False
    """Whether the body is compressed, asked for or not."""
    cut: bool = False
    """Whether the connection is closed before the body has ended."""
    hang: bool = False
    """Whether the request is read and never answered."""

    def __post_init__(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", headers)

    @classmethod
    def json(cls, document: Any, **options: Any) -> Self:
        """Another document; `options` are the other fields."""
        return cls(body=json.dumps(document).encode(), **options)

    @classmethod
    def html(cls, **options: Any) -> Self:
        """A page for people, as a proxy or a portal sends it, with 200 unless told otherwise."""
        page = b"<!doctype html><title>Sign in</title>"
        return cls(body=page, headers={"content-type": "text/html"}, **options)

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Self:
        """Ask at another address."""
        return cls(status=status, body=b"", headers={"location": url})

    @property
    def length(self) -> int | None:
        """What `Content-Length` says; `None` if nothing does."""
        if self.chunked or self.padding == math.inf:
            return None
        return sum(map(len, replace(self, cut=False, drip=0).pieces()))

    def pieces(self) -> Iterator[bytes]:
        """Give the body as it is sent, piece by piece."""
        pieces = self._content()
        if self.gzip:
            pieces = _compressed(pieces)
        if self.cut:
            first = next(pieces)
            pieces = iter([first[: len(first) // 2]])
        if self.drip:
            pieces = (bytes([byte]) for piece in pieces for byte in piece)
        return pieces

    def _content(self) -> Iterator[bytes]:
        yield self.body or b""
        left = self.padding
        while left > 0:
            yield b" " * int(min(left, _PIECE))
            left -= _PIECE


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=_GZIP)
    yield from (compressor.compress(piece) for piece in pieces)
    yield compressor.flush()
