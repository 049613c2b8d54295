"""What does an issuer sign with, and what does it say about that? Two things that can differ."""

from collections.abc import Mapping
from typing import Any

from jwt_deps.jose import SigningKey

__all__ = ["KeyRing"]


class KeyRing:
    """The keys of an issuer: the one that signs, and those that are published.

    Args:
        algorithm: what the first key signs with.

    Raises:
        ValueError: the algorithm is not known, or has no key that could be published.
    """

    def __init__(self, algorithm: str) -> None:
        self._keys: tuple[SigningKey, ...] = ()
        self._published: tuple[object, ...] = ()
        self.rotate(algorithm=algorithm)

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """Every key that it has signed with, withdrawn ones too, the oldest first."""
        return self._keys

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs now, published or not."""
        return self._keys[-1]

    @property
    def jwk_set(self) -> dict[str, Any]:
        """The true document: the JWK Set with the keys that are published."""
        return {"keys": list(self._published)}

    def rotate(
        self, *, overlap: bool = True, algorithm: str | None = None, kid: str | None = None
    ) -> SigningKey:
        """Sign with a new key from now on, and publish it.

        Args:
            overlap: `False` leaves nothing else in the published set.
            algorithm: `None` is the one before.
            kid: `None` is a new one.

        Raises:
            ValueError: the algorithm is not known.
        """
        key = SigningKey.generate(algorithm or self.signing_key.algorithm, kid)
        self._published = (*(self._published if overlap else ()), key.jwk)
        self._keys = (*self._keys, key)
        return key

    def withdraw(self, kid: str) -> None:
        """Take a key out of the published set; the signing key goes on signing.

        Raises:
            KeyError: no published key has that name.
        """
        kept = tuple(jwk for jwk in self._published if _kid(jwk) != kid)
        if kept == self._published:
            raise KeyError(kid)
        self._published = kept

    def publish(self, jwk: object) -> None:
        """Add a member to the published set, whatever it is."""
        self._published = (*self._published, jwk)


def _kid(jwk: object) -> object:
    return jwk.get("kid") if isinstance(jwk, Mapping) else None
