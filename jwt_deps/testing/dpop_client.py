"""A DPoP client for tests (RFC 9449)."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from jwt_deps.jose import SigningKey, encode_base64url, thumbprint

from .members import merge

_KEY_MEMBERS = ("kty", "crv", "x", "y", "n", "e")  # of a JWK, without kid, use and alg


class Prover:
    """A DPoP client: it has a key, to which tokens can be bound, and signs proofs with it.

        alice = Prover("https://api.example.com")
        token = tokens("alice", claims=alice.binding)
        client.get("/notes", headers=alice(token, "GET", "/notes"))

    `proof` also makes invalid proofs, by its `claims` and `header`.

    Args:
        origin: scheme, host and port of the service, as in the settings' `public_origin`.
        key: the key that signs proofs; `None` generates one for ES256.
        clock: returns the time in seconds since the epoch.

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
        self._jwk = {name: value for name, value in self.key.jwk.items() if name in _KEY_MEMBERS}

    def __repr__(self) -> str:
        return f"<Prover with a key for {self.key.algorithm}>"

    @property
    def binding(self) -> dict[str, Any]:
        """The claims that bind a token to the key: `cnf.jkt` (RFC 9449 §6.1)."""
        return {"cnf": {"jkt": thumbprint(self._jwk)}}

    def __call__(
        self, token: str, method: str, url: str, *, nonce: str | None = None
    ) -> dict[str, str]:
        """Make the headers of one request, with a new proof.

        Args:
            token: the access token.
            method: the request's method; `GET` for a WebSocket handshake.
            url: the request's URL, or its path below `origin`.
            nonce: the last `DPoP-Nonce` of the service; `None` without one.

        Returns:
            `Authorization` and `DPoP`.
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
        """Make a DPoP proof (RFC 9449 §4.2), valid unless `claims` or `header` change it.

        Args:
            token: the access token.
            method: the request's method; `GET` for a WebSocket handshake.
            url: the request's URL, or its path below `origin`.
            nonce: the last `DPoP-Nonce` of the service; `None` without one.
            claims: claims in place of the valid ones; `None` removes one.
            header: members in place of the valid ones of the header; `None` removes one.

        Returns:
            The proof, for the header `DPoP`.
        """
        address = url if "://" in url else self.origin + url
        payload = {
            "jti": uuid4().hex,
            "htm": method,
            "htu": address.partition("#")[0].partition("?")[0],
            "iat": int(self.clock()),
            "ath": encode_base64url(hashlib.sha256(token.encode()).digest()),
            "nonce": nonce,
        }
        head = {"typ": "dpop+jwt", "alg": self.key.algorithm, "jwk": self._jwk}
        return self.key.sign(merge(head, header), merge(payload, claims))
