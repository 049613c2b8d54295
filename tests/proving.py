"""Make DPoP proofs for tests by hand."""

import hashlib
import secrets
import time
from typing import Any

from tests.minting import SECRET, KeyPair, b64, claims, mint, pair

ORIGIN = "https://api.example.com"

#: The key of the client; `OTHER_KEY` is that of another client.
KEY = pair("P-256", "client")
OTHER_KEY = pair("P-256", "other client")


def jkt(key: KeyPair = KEY) -> str:
    """Return the thumbprint of a P-256 key, by the text of RFC 7638 §3."""
    jwk = key.jwk()
    canonical = f'{{"crv":"{jwk["crv"]}","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    return b64(hashlib.sha256(canonical.encode()).digest())


def bound_token(key: KeyPair = KEY, **members: Any) -> str:
    """Return a token that is good today, and bound to a key."""
    now = int(time.time())
    lasting = {"iat": now, "exp": now + 86_400}
    return mint(claims(**{**lasting, "cnf": {"jkt": jkt(key)}, **members}), SECRET)


def ath(token: str) -> str:
    """Return the digest of a token that its proofs carry."""
    return b64(hashlib.sha256(token.encode()).digest())


def proof(
    token: str,
    *,
    key: KeyPair = KEY,
    algorithm: str = "ES256",
    htm: str = "GET",
    htu: str = f"{ORIGIN}/me",
    header: dict[str, Any] | None = None,
    now: float | None = None,
    **members: Any,
) -> str:
    """Return a good proof, but for what is said here; `None` leaves a member out."""
    made = int(time.time() if now is None else now)
    good = {"jti": secrets.token_hex(8), "htm": htm, "htu": htu, "iat": made, "ath": ath(token)}
    stated = {name: value for name, value in {**good, **members}.items() if value is not None}
    head = {"typ": "dpop+jwt", "jwk": key.jwk(), **(header or {})}
    return mint(stated, key, algorithm, header=head)


def with_dpop(token: str, made: str | None = None, **parts: Any) -> dict[str, str]:
    """Return the headers of a request with a token and its proof."""
    return {"Authorization": f"DPoP {token}", "DPoP": made or proof(token, **parts)}
