"""DPoP nonces (RFC 9449 §9): encrypted times, so that none has to be stored."""

import hashlib
import os
import struct
from collections.abc import Sequence
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jwt_deps.jose import decode_base64url, encode_base64url

_RANDOM, _LENGTH = 12, 12 + 8 + 16  # AES-GCM: the initialisation vector, a time, the tag
_LIFETIME = 300  # seconds
_PURPOSE = b"jwt-deps DPoP nonce"


class Nonces:
    """Issues and checks nonces: each is the time of its issue, encrypted with AES-256-GCM.

    The first secret encrypts, and all of them decrypt, so that they can be rotated.
    """

    #: Whether this process has any, so that answers may have to carry a fresh one.
    in_use: ClassVar[bool] = False

    def __init__(self, secrets: Sequence[str]) -> None:
        keys = (hashlib.sha256(_PURPOSE + b"\0" + secret.encode()).digest() for secret in secrets)
        self._ciphers = [AESGCM(key) for key in keys]
        Nonces.in_use = True

    def __repr__(self) -> str:
        return "<nonces>"

    def issue(self, now: float) -> str:
        """Return a new nonce."""
        vector = os.urandom(_RANDOM)
        encrypted = self._ciphers[0].encrypt(vector, struct.pack(">d", now), _PURPOSE)
        return encode_base64url(vector + encrypted)

    def age(self, nonce: str, now: float) -> float | None:
        """Return the age in seconds; `None` if it has expired or is another service's nonce."""
        made = self._issued_at(nonce)
        # Another process's clock may be ahead of this one's.
        if made is None or not -_LIFETIME <= now - made <= _LIFETIME:
            return None
        return max(0.0, now - made)

    def is_stale(self, age: float) -> bool:
        """Return whether a nonce of that age is to be replaced by a fresh one."""
        return age > _LIFETIME / 2

    def _issued_at(self, nonce: str) -> float | None:
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
