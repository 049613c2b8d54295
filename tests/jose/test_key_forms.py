"""What a text is that must not serve as a shared secret."""

import re
from base64 import b64encode
from pathlib import Path

import pytest

from jwt_deps.jose import KeyForm, key_forms
from jwt_deps.jose.key_forms import key_form


def test_what_is_encoded_again_and_again_is_no_key() -> None:
    """It is decoded a few times, and then taken for what it is: random text."""
    text = b"correct horse battery staple, and sixty characters of more words"
    for _ in range(6):
        text = b64encode(text)

        assert key_form(text.decode()) is None


def test_a_compressed_point_is_no_key() -> None:
    """Half of all texts of its length are one, and good secrets among them."""
    generator = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"  # of P-256

    assert key_form(generator) is None


@pytest.mark.parametrize(
    "text",
    [
        "/run/secrets/orders/jwt_secret_key",
        r"C:\services\orders\x64\x86\jwt-secret.txt",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        "./secrets/jwt",
        "../secrets/jwt",
        "~/secrets/jwt.key",
        r"C:\secrets\jwt.key",
        '"/run/secrets/jwt-key"\n',
        r"C:\Program Files\orders\secrets\jwtkey",
        "$HOME/secrets/jwtkey",
        "${HOME}/.secrets/jwtkey",
        r"%USERPROFILE%\secrets\jwtkey",
        "$(ORDERS)$(SECRET)",
        "prefix-${ORDERS}",
        "#{ORDERS_SERVICE_JWT_SECRET_KEY}#",
        "<your secret: openssl rand -base64 48>",
        "@Microsoft.KeyVault(SecretUri=https://orders.vault.azure.net/secrets/jwt/)",
        "@Microsoft.KeyVault(VaultName=orders;SecretName=jwt)",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:jwt-AbCdEf",
        "projects/123456789012/secrets/jwt-secret/versions/latest",
        "vault:secret/data/orders#jwt_secret_key",
        "${ORDERS_SERVICE_JWT_SECRET_KEY:-}",
        "$(ORDERS_SERVICE_JWT_SECRET_KEY)",
        "$ORDERS_SERVICE_JWT_SECRET_KEY",
        "%ORDERS_SERVICE_JWT_SECRET_KEY%",
        "{{ .Values.orders.jwt.secretKey | quote }}",
        "<a random secret of at least 32 bytes>",
    ],
)
def test_attack_what_names_a_secret(text: str) -> None:
    """All who can read the deployment know it, and could sign tokens with it."""
    assert KeyForm.REFERENCE is key_form(text)


@pytest.mark.parametrize(
    "text",
    [
        "/8d4Jx0mYk/2vQeWc5yTn7hR/oPzLb3sFgUa9iK1XwEVtS",
        "/8d4Jx0mYk/2vQe+Wc5yTn7hRoPzLb3sFgUa9iK1XwEVtS==",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "the secret/of two/words is in {{ no }} reference",
        "orders/jwt-secret-key-of-the-service",
        "a$WORDSECRET-with$DOLLARS-in.it/and/slashes",
        "a secret with / and \0 in it",
    ],
)
def test_what_names_no_secret(text: str) -> None:
    """Base64 may begin with a slash, and has no dot, dash or underscore beside it."""
    assert key_form(text) is None


def test_attack_a_path_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it could be base64; one that begins with a slash is known by its folder."""
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "jwtsecret").write_text("secret")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(key_forms, "_NOT_BASE64", re.compile("(?!)"))

    assert KeyForm.REFERENCE is key_form("orders/jwtsecret")
    assert KeyForm.REFERENCE is key_form(f"{folder}/jwtsecret")
    assert KeyForm.REFERENCE is key_form(f"{folder}/another")
    assert key_form("orders/another") is None
    assert key_form(f"{folder}/none/another") is None
