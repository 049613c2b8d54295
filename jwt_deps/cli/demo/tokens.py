"""The settings and tokens of the demo, which is its own issuer: HS256, one secret per process."""

import secrets
import time
from functools import partial

from jwt_deps.jose import SigningKey
from jwt_deps.settings import JWTSettings, TokenSource
from jwt_deps.tokens import ClaimNames, access_token_claims, create_access_token

#: The lifetime of the tokens, in seconds.
LIFETIME = 3600


def make_secret() -> str:
    """Generate a secret."""
    return secrets.token_urlsafe(48)


def demo_settings(secret: str) -> JWTSettings:
    """Return settings that accept tokens signed with the secret."""
    return JWTSettings(
        secret_key=secret,
        token_source=TokenSource.BOTH,
        # Other ports of a developer's machine are the same site, but another origin.
        cookie_requests="same-origin",
        # `JWT_*` variables of a shell are meant for an application under development.
        _env_prefix="JWT_DEPS_DEMO_",
    )


def demo_tokens(secret: str) -> dict[str, str]:
    """Make the tokens of the demo: `user`, `admin`, `other` and `expired`."""
    mint = partial(create_access_token, expires_in=LIFETIME, settings=demo_settings(secret))
    return {
        "user": mint("alice", session_id="alice-1", scopes=["notes"]),
        "admin": mint("grace", session_id="grace-1", scopes=["notes", "admin"]),
        "other": mint("bob", session_id="bob-1"),
        "expired": _expired(secret),
    }


def _expired(secret: str) -> str:
    key = SigningKey.load(secret, "HS256")
    claims = access_token_claims(
        ClaimNames(),
        "alice",
        scopes=["notes"],
        session_id="alice-1",
        claims=None,
        now=time.time() - 2 * LIFETIME,
        expires_in=LIFETIME,
    )
    return key.sign({"alg": "HS256", "typ": "JWT"}, claims)
