"""Responses of a fake issuer's endpoint, for testing what its clients do with a bad one.

Answer(status=500)                          the real document with another status
Answer.json({"keys": []})                   an empty JWK Set
Answer.html()                               a login page with status 200
Answer.redirect("http://127.0.0.1:1/")      a redirect
Answer(body=b"{")                           a body that is not JSON
Answer(delay=5), Answer(hang=True)          a slow response, no response
Answer(drip=0.1)                            one byte every 0.1 seconds
Answer(cut=True)                            half of the body, then the connection closes
Answer(padding=1_000_000)                   the real document and a megabyte of spaces
Answer(padding=1_000_000, chunked=True)     the same without a Content-Length
Answer(padding=math.inf)                    a body that never ends
Answer(padding=10_000_000, gzip=True)       a body that is large once it is decompressed
"""

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

_PIECE = 65_536
_GZIP = 31  # zlib: gzip format, largest window


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP response and how it is sent; every default is that of a working issuer.

    issuer.jwks = Answer(status=500, delay=2)
    """

    status: int = 200
    """The status code."""
    body: bytes | None = None
    """The body; `None` is the real document."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to add; they replace those of the same name."""
    delay: float = 0
    """Seconds before the first byte."""
    drip: float = 0
    """Seconds between two bytes of the body."""
    padding: float = 0
    """Number of spaces after the body, which JSON allows; `math.inf` never ends."""
    chunked: bool = False
    """Whether the body is sent in chunks (RFC 9112 §7.1) instead of with its length."""
    gzip: bool = False
    """Whether the body is compressed, without regard to `Accept-Encoding`."""
    cut: bool = False
    """Whether the connection is closed in the middle of the body."""
    hang: bool = False
    """Whether the request is read and never answered."""

    def __post_init__(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", headers)

    @classmethod
    def json(cls, document: Any, **options: Any) -> Self:
        """Answer with another JSON document.

        Args:
            document: the JSON value of the body.
            options: other fields of `Answer`.

        Returns:
            The answer.
        """
        return cls(body=json.dumps(document).encode(), **options)

    @classmethod
    def html(cls, **options: Any) -> Self:
        """Answer with an HTML login page, as proxies and captive portals do.

        Args:
            options: other fields of `Answer`; the default status is 200.

        Returns:
            The answer.
        """
        page = b"<!doctype html><title>Sign in</title>"
        return cls(body=page, headers={"content-type": "text/html"}, **options)

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Self:
        """Answer with a redirect.

        Args:
            url: the `Location`.
            status: the status code.

        Returns:
            The answer.
        """
        return cls(status=status, body=b"", headers={"location": url})

    @property
    def length(self) -> int | None:
        """The value of `Content-Length`; `None` where it is not sent."""
        if self.chunked or self.padding == math.inf:
            return None
        return sum(map(len, replace(self, cut=False, drip=0).pieces()))

    def pieces(self) -> Iterator[bytes]:
        """Iterate over the body in the pieces in which it is sent."""
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
