"""The signing keys of a fake issuer and the JWK Set that it publishes, which can differ."""

from collections.abc import Mapping
from typing import Any

from jwt_deps.jose import SigningKey


class KeyRing:
    """The keys of an issuer: one that signs, and those in its JWK Set.

    Args:
        algorithm: the algorithm of the first key.

    Raises:
        ValueError: the algorithm is unknown or symmetric.
    """

    def __init__(self, algorithm: str) -> None:
        self._keys: tuple[SigningKey, ...] = ()
        self._published: tuple[object, ...] = ()
        self.rotate(algorithm=algorithm)

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """All keys that have signed so far, withdrawn ones too, the oldest first."""
        return self._keys

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs now; it may be missing from the JWK Set."""
        return self._keys[-1]

    @property
    def jwk_set(self) -> dict[str, Any]:
        """The JWK Set as a dict."""
        return {"keys": list(self._published)}

    def rotate(
        self, *, overlap: bool = True, algorithm: str | None = None, kid: str | None = None
    ) -> SigningKey:
        """Generate a key, publish it and sign with it from now on.

        Args:
            overlap: whether the former keys stay in the JWK Set.
            algorithm: the key's algorithm; `None` is that of the key before.
            kid: the key's id; `None` is a random one.

        Returns:
            The new key.

        Raises:
            ValueError: the algorithm is unknown or symmetric.
        """
        key = SigningKey.generate(algorithm or self.signing_key.algorithm, kid)
        self._published = (*(self._published if overlap else ()), key.jwk)
        self._keys = (*self._keys, key)
        return key

    def withdraw(self, kid: str) -> None:
        """Remove a key from the JWK Set; if it is the signing key, it still signs.

        Args:
            kid: the key's id.

        Raises:
            KeyError: no key in the JWK Set has that id.
        """
        kept = tuple(jwk for jwk in self._published if _kid(jwk) != kid)
        if kept == self._published:
            raise KeyError(kid)
        self._published = kept

    def publish(self, jwk: object) -> None:
        """Add a member to the JWK Set.

        Args:
            jwk: any JSON value; nothing is checked.
        """
        self._published = (*self._published, jwk)


def _kid(jwk: object) -> object:
    return jwk.get("kid") if isinstance(jwk, Mapping) else None
