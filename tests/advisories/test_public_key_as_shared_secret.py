"""Is a public key ever taken for a shared secret, whatever it looks like?

RFC 8725 §2.1: whoever can read the key could sign HS256 tokens with it. Consoles show public keys
as bare base64 (Keycloak's realm page), as a JWK or as a JWK Set.
"""

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization

from jwt_deps import ConfigurationError, JWTSettings
from tests.minting import KeyPair, pair


def der(key: KeyPair) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.private.public_key().public_bytes(serialization.Encoding.DER, spki)
    return base64.b64encode(public).decode()


def wrapped(text: str) -> str:
    return "\n".join(text[start : start + 64] for start in range(0, len(text), 64))


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
@pytest.mark.parametrize(
    "look",
    [
        pytest.param(der, id="base64"),
        pytest.param(lambda key: wrapped(der(key)), id="base64-in-lines"),
        pytest.param(lambda key: json.dumps(key.jwk()), id="jwk"),
        pytest.param(lambda key: json.dumps({"keys": [key.jwk()]}), id="jwk-set"),
    ],
)
def test_it_is_refused_as_a_secret(kind: str, look: object) -> None:
    """The sentence says how to give it, and does not show it."""
    text = look(pair(kind))  # type: ignore[operator]

    with pytest.raises(ConfigurationError, match="is a public key and not in PEM") as refused:
        JWTSettings(secret_key=text)

    assert text not in str(refused.value)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("0123456789" * 4, id="digits-are-json"),
        pytest.param('["a", "list", "of", "words", "in", "json"]', id="json-array"),
        pytest.param('{"a": "json object", "of": "no key at all"}', id="json-object"),
        pytest.param(base64.b64encode(b"random bytes" * 4).decode(), id="base64-of-no-key"),
    ],
)
def test_a_secret_that_only_looks_odd_is_one(secret: str) -> None:
    """Random text may be JSON or base64 by chance."""
    assert {"HS256"} == JWTSettings(secret_key=secret).keys.algorithms
