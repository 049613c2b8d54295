"""Sign the tokens of a recipe, and publish the keys in the provider's form.

The settings are those of the page; their keys are given, so that nothing is ever fetched.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from jwt_deps import JWTSettings
from jwt_deps.testing import SigningKey

KEY = SigningKey.generate("RS256", kid="signs-access-tokens")
EC_KEY = SigningKey.generate("ES256", kid="signs-of-a-proxy")
#: The providers that sign with it.
OF_EC = ("iap", "supabase")
OTHER_KEY = SigningKey.generate("RS256", kid="signs-id-tokens")

#: What a key has besides `kty`, `n`, `e` and `kid`.
_MEMBERS: dict[str, dict[str, Any]] = {
    "auth0": {"alg": "RS256", "use": "sig", "x5t": "JfN1c0Zr", "x5c": ["MIIDBzCCAe+gAwIB"]},
    "keycloak": {"alg": "RS256", "use": "sig", "x5t": "JfN1c0Zr", "x5t#S256": "8bNQ1YQk"},
    # No `alg`, and a member of Microsoft's own.
    "entra": {
        "use": "sig",
        "x5t": "JfN1c0Zr",
        "issuer": "https://login.microsoftonline.com/x/v2.0",
    },
}
_USUAL = {"alg": "RS256", "use": "sig"}

#: What a provider writes into the header besides `kid`.
HEADERS: dict[str, dict[str, str]] = {
    "auth0": {"alg": "RS256", "typ": "JWT"},
    "keycloak": {"alg": "RS256", "typ": "JWT"},
    "entra": {"typ": "JWT", "alg": "RS256"},
    "entra_v1": {"typ": "JWT", "alg": "RS256", "x5t": "JfN1c0Zr"},
    "cognito": {"alg": "RS256"},
    "okta": {"alg": "RS256"},
    "google": {"alg": "RS256", "typ": "JWT"},
    "iap": {"alg": "ES256", "typ": "JWT"},
    "cloudflare": {"alg": "RS256"},
    "alb": {"alg": "RS256"},
    "firebase": {"alg": "RS256", "typ": "JWT"},
    "supabase": {"alg": "ES256", "typ": "JWT"},
    "kubernetes": {"alg": "RS256"},
    "clerk": {"alg": "RS256", "typ": "JWT", "cat": "cl_B7d4PD111AAA"},
}


def published(provider: str) -> str:
    """The provider's JWK Set; Keycloak's has an encryption key too."""
    if provider in OF_EC:
        return json.dumps({"keys": [{**EC_KEY.jwk, "use": "sig"}]})
    members = _MEMBERS.get(provider.removesuffix("_v1"), _USUAL)
    keys = [_public(key, members) for key in (KEY, OTHER_KEY)]
    if provider == "keycloak":
        keys.append({**_public(OTHER_KEY, {}), "kid": "encrypts", "use": "enc", "alg": "RSA-OAEP"})
    return json.dumps({"keys": keys})


def give_keys(settings: JWTSettings, provider: str, issuer: str = "default") -> None:
    """Give one issuer of the settings the provider's keys, as a fetch would."""
    cache, body = settings.server.key_caches[issuer], published(provider).encode()
    response = cache._provider._read("the page", body)
    cache._on_success(response, asked_at=cache.clock(), number=1)


def issue(
    claims: Mapping[str, object],
    provider: str,
    *,
    key: SigningKey | None = None,
    header: Mapping[str, str] | None = None,
) -> str:
    """Sign a token that is good now; a claim that is `None` is left out."""
    key = key or (EC_KEY if provider in OF_EC else KEY)
    now = int(time.time())
    full = {"iat": now, "nbf": now, "exp": now + 3600, **claims}
    members = {name: value for name, value in full.items() if value is not None}
    return key.sign({**HEADERS[provider], "kid": key.kid, **(header or {})}, members)


def _public(key: SigningKey, members: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: key.jwk[name] for name in ("kty", "n", "e", "kid")}
    return {**numbers, **members}
