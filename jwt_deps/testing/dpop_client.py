"""How does a test prove to have the key that its token is bound to? DPoP, by RFC 9449 §4.2."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from jwt_deps.jose import SigningKey, encode_base64url, thumbprint

__all__ = ["Prover"]

_MADE_BY_KEY = ("kty", "crv", "x", "y", "n", "e")


class Prover:
    """A client with a key of its own: its tokens are bound to it, and its requests prove it.

        alice = Prover("https://api.example.com")
        token = tokens("alice", claims=alice.binding)
        client.get("/notes", headers=alice(token, "GET", "/notes"))

    The address is the `public_origin` of the settings under test. What a proof says can be made
    wrong in any way, by the `claims` and the `header` of `proof`.

    Args:
        origin: what clients call the service.
        key: what it signs proofs with; `None` is a fresh one, ES256.
        clock: seconds since the epoch.

    Raises:
        ValueError: the key is a shared secret.
    """

    def __init__(
        self,
        origin: str,
        *,
        key: SigningKey | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.origin = origin.rstrip("/")
        self.key = key or SigningKey.generate("ES256")
        self.clock = clock
        self._jwk = {name: value for name, value in self.key.jwk.items() if name in _MADE_BY_KEY}

    def __repr__(self) -> str:
        return f"<Prover with a key for {self.key.algorithm}>"

    @property
    def binding(self) -> dict[str, Any]:
        """The claims that bind a token to its key: `cnf.jkt` (RFC 9449 §6.1)."""
        return {"cnf": {"jkt": thumbprint(self._jwk)}}

    def __call__(
        self, token: str, method: str, url: str, *, nonce: str | None = None
    ) -> dict[str, str]:
        """The headers of one request: the token, and a proof that has not been used before.

        Args:
            token: the access token.
            method: of the request; a WebSocket handshake is a `GET`.
            url: of the request, or its path below `origin`.
            nonce: what the service sent as `DPoP-Nonce`.
        """
        proof = self.proof(token, method, url, nonce=nonce)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    def proof(  # noqa: PLR0913 - each by name
        self,
        token: str,
        method: str,
        url: str,
        *,
        nonce: str | None = None,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """The proof alone, for the header `DPoP`.

        Args:
            token: as above, as are `method`, `url` and `nonce`.
            method: likewise.
            url: likewise.
            nonce: likewise.
            claims: what it says otherwise; `None` leaves one out.
            header: members of its header, likewise.
        """
        address = url if "://" in url else self.origin + url
        filled = {
            "jti": uuid4().hex,
            "htm": method,
            "htu": address.partition("#")[0].partition("?")[0],
            "iat": int(self.clock()),
            "ath": encode_base64url(hashlib.sha256(token.encode()).digest()),
            "nonce": nonce,
        }
        named = {"typ": "dpop+jwt", "alg": self.key.algorithm, "jwk": self._jwk}
        return self.key.sign(_told(named, header), _told(filled, claims))


def _told(filled: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    members = {**filled, **(given or {})}
    return {name: value for name, value in members.items() if value is not None}
