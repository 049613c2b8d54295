"""Did this service say that lately? Nonces that hold their own time, sealed, and are not stored."""

import hashlib
import os
import struct
from collections.abc import Sequence
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jwt_deps.jose.encoding import decode_base64url, encode_base64url

__all__ = ["Nonces"]

_RANDOM, _LENGTH = 12, 12 + 8 + 16  # AES-GCM: the initialisation vector, a time, the tag
_PURPOSE = b"jwt-deps DPoP nonce"


class Nonces:
    """DPoP nonces (RFC 9449 §9): a time, sealed with AES-256-GCM; nothing has to be remembered.

    Args:
        secrets: the first one seals, all are accepted, so that they can be rotated.
        lifetime: seconds for which a nonce is accepted.
    """

    #: Whether this process has any: then answers have to be watched.
    in_use: ClassVar[bool] = False

    def __init__(self, secrets: Sequence[str], lifetime: float = 300) -> None:
        keys = (hashlib.sha256(_PURPOSE + b"\0" + secret.encode()).digest() for secret in secrets)
        self._ciphers = [AESGCM(key) for key in keys]
        self._lifetime = lifetime
        self._latest = (-1.0, "")
        Nonces.in_use = True

    def __repr__(self) -> str:
        return "<nonces>"

    def issue(self, now: float) -> str:
        """A nonce of this second; the same for all who ask in it, so that asking costs nothing."""
        made, nonce = self._latest
        if not made <= now < made + 1:
            vector = os.urandom(_RANDOM)
            sealed = self._ciphers[0].encrypt(vector, struct.pack(">d", now), _PURPOSE)
            nonce = encode_base64url(vector + sealed)
            self._latest = (now, nonce)
        return nonce

    def age(self, nonce: str, now: float) -> float | None:
        """How old a nonce is; `None` if it is too old, or not of this service."""
        made = self._opened(nonce)
        # Another process's clock may be ahead of this one's.
        if made is None or not -self._lifetime <= now - made <= self._lifetime:
            return None
        return max(0.0, now - made)

    def is_stale(self, age: float) -> bool:
        """Whether it is time for a fresh one."""
        return age > self._lifetime / 2

    def _opened(self, nonce: str) -> float | None:
        try:
            data = decode_base64url(nonce.encode("ascii"))
        except ValueError:
            return None
        if len(data) != _LENGTH:
            return None
        for cipher in self._ciphers:
            try:
                plain = cipher.decrypt(data[:_RANDOM], data[_RANDOM:], _PURPOSE)
            except InvalidTag:
                continue
            made: float = struct.unpack(">d", plain)[0]
            return made
        return None
