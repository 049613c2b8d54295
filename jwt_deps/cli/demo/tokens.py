"""Where do the demo's tokens come from? It is its own issuer: a secret of the moment, HS256."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping

from jwt_deps.jose.encoding import encode_base64url

__all__ = ["LIFETIME", "demo_tokens", "make_secret", "mint"]

#: How long the tokens are good for, in seconds.
LIFETIME = 3600


def make_secret() -> str:
    """Make up a secret that is known to this process alone."""
    return secrets.token_urlsafe(48)


def demo_tokens(secret: str) -> dict[str, str]:
    """Mint the tokens that the demo hands out: `user`, `admin`, `expired`."""
    now = int(time.time())
    lasting = {"iat": now, "exp": now + LIFETIME}
    past = {"iat": now - 2 * LIFETIME, "exp": now - LIFETIME}
    alice = {"sub": "alice", "session_id": "alice-1", "scope": "notes"}
    grace = {"sub": "grace", "session_id": "grace-1", "scope": "notes admin"}
    return {
        "user": mint(secret, {**alice, **lasting}),
        "admin": mint(secret, {**grace, **lasting}),
        "expired": mint(secret, {**alice, **past}),
    }


def mint(secret: str, claims: Mapping[str, object]) -> str:
    """Sign claims with HS256 (RFC 7515 §5.1), by hand: the library only ever verifies."""
    head = ".".join(_encode(part) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.digest(secret.encode(), head.encode(), hashlib.sha256)
    return f"{head}.{encode_base64url(signature)}"


def _encode(members: Mapping[str, object]) -> str:
    return encode_base64url(json.dumps(members, separators=(",", ":")).encode())
