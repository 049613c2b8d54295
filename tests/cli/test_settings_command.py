"""`jwt-deps settings`: what is configured and where it comes from, and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from jwt_deps import JWTSettings
from jwt_deps.cli.app import main
from jwt_deps.jose import thumbprint
from tests.minting import OTHER_SECRET, SECRET, pair

from .processes import run

STAFF, SHOP = "https://staff.example", "https://shop.example"


def settings(*arguments: str, **variables: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["settings", *arguments], env={"COLUMNS": "160", **variables})


def rows(*arguments: str, **variables: str) -> dict[str, dict[str, Any]]:
    """What it says in JSON, by the setting's name."""
    result = settings("--format", "json", *arguments, **variables)
    assert 0 == result.exit_code
    return {row["name"]: row for row in json.loads(result.stdout)}


def test_what_is_set() -> None:
    """A row says the name, the variable, the value and where it comes from."""
    shown = rows(JWT_SECRET_KEY=SECRET, JWT_AUDIENCE="orders,billing", JWT_REQUIRE_EXP="false")

    assert {"secret_key", "audience", "require_exp"} == set(shown)
    assert {
        "name": "audience",
        "variable": "JWT_AUDIENCE",
        "value": "orders, billing",
        "origin": "JWT_AUDIENCE",
    } == shown["audience"]
    assert "false" == shown["require_exp"]["value"]


def test_a_secret_in_a_file(tmp_path: Path) -> None:
    """It comes from the variable that names the file."""
    (tmp_path / "keys").write_text(OTHER_SECRET)
    variables = {"JWT_VERIFICATION_KEYS_FILE": str(tmp_path / "keys")}

    shown = rows(JWT_SECRET_KEY=SECRET, **variables)

    assert "JWT_VERIFICATION_KEYS_FILE" == shown["verification_keys"]["origin"]


def test_the_query_of_an_address() -> None:
    """It may hold an API key."""
    shown = rows(
        JWT_ISSUER="https://issuer.example",
        JWT_AUDIENCE="api",
        JWT_ALGORITHM="RS256",
        JWT_JWKS_URL="https://issuer.example/keys?api_key=s3cret",
    )

    assert "https://issuer.example/keys?..." == shown["jwks_url"]["value"]


def test_defaults() -> None:
    """`--all` shows the defaults too, those of the keys' cache among them."""
    shown = rows("--all", JWT_SECRET_KEY=SECRET)

    assert set(JWTSettings.model_fields) - {"jwks_cache"} <= set(shown)
    assert ("HS256", "default") == (shown["algorithm"]["value"], shown["algorithm"]["origin"])
    assert ("none", "default") == (shown["issuers"]["value"], shown["issuers"]["origin"])
    assert ("600", "JWT_JWKS_CACHE__TTL") == (
        shown["jwks_cache.ttl"]["value"],
        shown["jwks_cache.ttl"]["variable"],
    )


def test_a_default_that_is_set() -> None:
    """What is set to its default is set all the same."""
    assert "JWT_LEEWAY" == rows(JWT_SECRET_KEY=SECRET, JWT_LEEWAY="10")["leeway"]["origin"]


def test_spelling_of_the_variable() -> None:
    """The origin is called what the environment calls it."""
    assert "jwt_leeway" == rows(JWT_SECRET_KEY=SECRET, jwt_leeway="3")["leeway"]["origin"]


@pytest.mark.parametrize(
    ("kind", "algorithm", "says"),
    [
        pytest.param("RSA", "RS256", "a public key, RSA with 2048 bits, ", id="rsa"),
        pytest.param("P-384", "ES384", "a public key, EC on secp384r1, ", id="ec"),
        pytest.param("Ed25519", "EdDSA", "a public key, Ed25519, ", id="ed25519"),
    ],
)
def test_public_key(kind: str, algorithm: str, says: str) -> None:
    """Of a public key the kind is shown, and the name that RFC 7638 gives it."""
    key = pair(kind)
    shown = rows(JWT_SECRET_KEY=key.public_pem, JWT_ALGORITHM=algorithm)

    assert says + thumbprint(key.jwk()) == shown["secret_key"]["value"]


def test_secrets_are_masked() -> None:
    """Of a secret only its length is shown, wherever it stands."""
    variables = {"JWT_SECRET_KEY": SECRET, "JWT_VERIFICATION_KEYS": json.dumps([OTHER_SECRET])}

    shown = rows(**variables)
    table = settings("--all", **variables)

    assert "a shared secret, 64 bytes" == shown["secret_key"]["value"]
    assert "a shared secret, 64 bytes" == shown["verification_keys"]["value"]
    for secret in (SECRET, OTHER_SECRET):
        assert secret[:12] not in table.output


def test_nested_settings() -> None:
    """Members of issuers and of the cache say which variable holds them: their own, or JSON."""
    shop = {"issuer": SHOP, "audience": "orders", "secret_key": OTHER_SECRET}
    shown = rows(
        JWT_ISSUERS=json.dumps({"shop": shop}),
        JWT_ISSUERS__STAFF__ISSUER=STAFF,
        JWT_ISSUERS__STAFF__AUDIENCE="orders",
        JWT_ISSUERS__STAFF__SECRET_KEY=SECRET,
        JWT_ISSUERS__STAFF__JWKS_CACHE__TTL="300",
    )

    assert {
        "issuers.shop.issuer": "JWT_ISSUERS",
        "issuers.shop.audience": "JWT_ISSUERS",
        "issuers.shop.secret_key": "JWT_ISSUERS",
        "issuers.staff.issuer": "JWT_ISSUERS__STAFF__ISSUER",
        "issuers.staff.audience": "JWT_ISSUERS__STAFF__AUDIENCE",
        "issuers.staff.secret_key": "JWT_ISSUERS__STAFF__SECRET_KEY",
        "issuers.staff.jwks_cache.ttl": "JWT_ISSUERS__STAFF__JWKS_CACHE__TTL",
    } == {name: row["origin"] for name, row in shown.items() if name.startswith("issuers")}
    assert "JWT_ISSUERS__SHOP__AUDIENCE" == shown["issuers.shop.audience"]["variable"]


def test_members_of_the_cache() -> None:
    """The cache of a single issuer has members too."""
    shown = rows(
        JWT_SECRET_KEY=SECRET, JWT_JWKS_CACHE='{"max_bytes": 7}', JWT_JWKS_CACHE__TTL="300"
    )

    assert ("7", "JWT_JWKS_CACHE") == _value_and_origin(shown["jwks_cache.max_bytes"])
    assert ("300", "JWT_JWKS_CACHE__TTL") == _value_and_origin(shown["jwks_cache.ttl"])


def _value_and_origin(row: dict[str, Any]) -> tuple[str, str]:
    return row["value"], row["origin"]


def test_table() -> None:
    """A person gets a table, and is told what it leaves out."""
    result = settings(JWT_SECRET_KEY=SECRET)
    everything = settings("--all", JWT_SECRET_KEY=SECRET)

    assert "│ secret_key │ JWT_SECRET_KEY │ a shared secret, 64 bytes │" in result.stdout
    assert "All other settings have their defaults; --all shows them.\n" in result.stdout
    assert "--all shows it" not in everything.stdout
    assert "│ leeway " in everything.stdout


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        pytest.param({}, "There is no key to check a token with", id="nothing"),
        pytest.param({"JWT_SECRET_KEY": "short-secret"}, "has 12 bytes", id="weak"),
        pytest.param({"JWT_SECRET_KEY": SECRET, "JWT_LEEWAY": "-1"}, "JWT_LEEWAY", id="malformed"),
    ],
)
def test_settings_that_cannot_be_used(variables: dict[str, str], says: str) -> None:
    """The sentence of the error, no value, and exit code 2."""
    result = settings(**variables)

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("Error: ")
    assert says in result.stderr
    assert "short-secret" not in result.output


def test_control_characters() -> None:
    """A value that speaks to a terminal is written out."""
    variables = {"JWT_SECRET_KEY": SECRET, "JWT_AUDIENCE": "a\x1b]0;title\x07b\u202e"}

    for result in (settings(**variables), settings("--format", "json", **variables)):
        assert "\x1b" not in result.output
        assert "\x07" not in result.output
        assert "\u202e" not in result.output


def test_real_process(tmp_path: Path) -> None:
    """The command does it too: table and warning each where they belong."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [pair("RSA").jwk(kid="a")]}))

    result = run("settings", JWT_JWKS_FILE=str(file), JWT_ALGORITHM="RS256", JWT_ISUER="x")

    assert 0 == result.returncode
    assert f"│ jwks_file │ JWT_JWKS_FILE │ {file}" in result.stdout
    assert "JWT_ISUER is set, and is not a setting" in result.stderr
