"""Signing with the public key as HMAC secret (CVE-2015-9235, CVE-2024-33663, RFC 8725 §2.1)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jwt_deps.errors import ConfigurationError, InvalidTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import KINDS, SECRET, claims, clock, mint, pair
from tests.verifying import verify

FORMS = [
    pytest.param(str.encode, id="as-configured"),
    pytest.param(lambda pem: pem.strip().encode(), id="without-the-last-line-end"),
    pytest.param(lambda pem: "".join(pem.splitlines()[1:-1]).encode(), id="base64-alone"),
    pytest.param(lambda pem: pem.replace("\n", "\\n").encode(), id="literal-line-breaks"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", [name for name in KINDS if name != "Ed25519"])
def test_hmac_token_is_refused(algorithm: str, form: Callable[[str], bytes]) -> None:
    """A service with a public key never takes a token whose HMAC was made with that key."""
    pem = pair(KINDS[algorithm]).public_pem
    settings = JWTSettings(secret_key=pem, algorithm=algorithm)

    for hmac in ("HS256", "HS384", "HS512"):
        with pytest.raises(InvalidTokenError) as refused:
            verify(mint(claims(sub="admin"), form(pem), hmac), settings, clock=clock)
        assert refused.value.reason is Reason.ALGORITHM


@pytest.mark.parametrize("form", FORMS)
def test_hmac_token_is_refused_where_both_are_allowed(form: Callable[[str], bytes]) -> None:
    """Beside a secret of its own, HMAC with the public key is refused just so."""
    pem = pair("RSA").public_pem
    settings = JWTSettings(secret_key=SECRET, verification_keys=[pem], algorithm=["HS256", "RS256"])
    token = mint(claims(sub="admin"), form(pem), "HS256")

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.SIGNATURE


def test_hmac_token_is_refused_with_a_jwk_set(tmp_path: Path) -> None:
    """The members of a public JWK are no secret either."""
    jwk = pair("RSA").jwk(kid="a")
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk]}))
    settings = JWTSettings(jwks_file=path, algorithm="RS256")
    token = mint(claims(), jwk["n"], "HS256", header={"kid": "a"})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.ALGORITHM


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
@pytest.mark.parametrize("hmac", ["HS256", "HS384", "HS512"])
def test_public_key_cannot_be_configured_for_hmac(kind: str, hmac: str) -> None:
    """A public key in PEM is refused as a shared secret when the settings are built."""
    with pytest.raises(ConfigurationError, match="is a public key and fits none"):
        JWTSettings(secret_key=pair(kind).public_pem, algorithm=hmac)


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_private_key_cannot_be_configured_for_hmac(kind: str) -> None:
    """A private key in PEM is refused as well, and said to be one."""
    with pytest.raises(ConfigurationError, match="private key"):
        JWTSettings(secret_key=pair(kind).private_pem, algorithm="HS256")
