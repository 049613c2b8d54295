"""`jwt-deps mint`: a token for development, alone on standard output."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from jwt_deps import Claims, JWTSettings
from jwt_deps.cli.app import main
from jwt_deps.jose import decode_base64url, parse_object
from tests.minting import KINDS, OTHER_SECRET, SECRET, pair
from tests.verifying import verify

STAFF, SHOP = "https://staff.example", "https://shop.example"
CONFIGURED = {"JWT_SECRET_KEY": SECRET}


def mint(*arguments: str, stdin: str | bytes | None = None, **variables: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["mint", *arguments], input=stdin, env=variables)


def parts(token: str) -> list[dict[str, Any]]:
    """The header and the claims of a token."""
    return [parse_object(decode_base64url(part.encode())) for part in token.split(".")[:2]]


def minted(*arguments: str, **variables: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of what is minted, without a word on standard error."""
    result = mint(*arguments, **(variables or CONFIGURED))
    assert (0, "") == (result.exit_code, result.stderr)
    header, claims = parts(result.stdout.strip())
    return header, claims


def test_accepted_by_the_service() -> None:
    """With the configured secret, the service accepts it."""
    result = mint("--user", "alice", **CONFIGURED)
    claims = verify(result.stdout.removesuffix("\n"), JWTSettings(secret_key=SECRET))

    assert (0, "") == (result.exit_code, result.stderr)
    assert ("alice", 15 * 60) == (claims["sub"], claims["exp"] - claims["iat"])
    assert {"sub", "iat", "exp"} == claims.keys()


def test_header() -> None:
    """A shared secret has no name unless it is given one."""
    assert {"alg": "HS256", "typ": "JWT"} == minted("--user", "alice")[0]
    assert "a" == minted("--user", "alice", "--kid", "a")[0]["kid"]


def test_names_of_the_settings() -> None:
    """Claims go where the settings look for them, issuer and audience are the accepted ones."""
    _, claims = minted(
        *("--user", "alice", "--session", "s1", "--scope", "notes", "--scope", "read write"),
        *("--role", "admin", "--role", "Domain Users"),
        **CONFIGURED,
        JWT_USER_ID_CLAIM="realm.user",
        JWT_SESSION_ID_CLAIM="https://api.example.com/session",
        JWT_SCOPES_CLAIM="realm.scp",
        JWT_ROLES_CLAIM="groups",
        JWT_ISSUER=f"{STAFF},{SHOP}",
        JWT_AUDIENCE="orders,billing",
        JWT_AUDIENCE_CLAIM="client_id",
    )

    assert {
        "iss": STAFF,
        "client_id": "orders",
        "realm": {"user": "alice", "scp": "notes read write"},
        "groups": ["admin", "Domain Users"],
        "https://api.example.com/session": "s1",
    } == {name: value for name, value in claims.items() if name not in {"iat", "exp"}}
    assert "alice" == Claims(claims).at("realm.user")


def test_a_role_needs_its_claim() -> None:
    """Else the token would not have it where requests look."""
    result = mint("--role", "admin", **CONFIGURED)

    assert (2, "") == (result.exit_code, result.stdout)
    assert "JWT_ROLES_CLAIM" in result.stderr


def test_paths_through_each_other() -> None:
    """Of names that exclude each other the last one wins."""
    _, claims = minted(
        *("--user", "alice", "--session", "s1"),
        **CONFIGURED,
        JWT_USER_ID_CLAIM="user",
        JWT_SESSION_ID_CLAIM="user.session",
    )

    assert {"session": "s1"} == claims["user"]


def test_issuer_and_audience_of_ones_own() -> None:
    """Options win over the settings, and the warning says what comes of it."""
    result = mint(
        *("--issuer", SHOP, "--audience", "billing"),
        **CONFIGURED,
        JWT_ISSUER=STAFF,
        JWT_AUDIENCE="orders",
    )
    _, claims = parts(result.stdout)

    assert (SHOP, "billing") == (claims["iss"], claims["aud"])
    assert 0 == result.exit_code
    assert (
        "Warning: the current settings would refuse this token: Invalid token: its issuer is not "
        "accepted (claim_foreign). Compare"
    ) in result.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("45s", 45), ("15m", 900), ("1h", 3600), ("7d", 604800)]
)
def test_expiry(text: str, seconds: int) -> None:
    """Durations as people write them."""
    _, claims = minted("--expires", text)

    assert seconds == claims["exp"] - claims["iat"]
    assert abs(time.time() - claims["iat"]) < 60


def test_expired() -> None:
    """A token that has expired can be minted, and says so."""
    result = mint("--expires", "-1m", **CONFIGURED)

    assert 0 == result.exit_code
    assert "Token has expired (expired)" in result.stderr


def test_no_expiry() -> None:
    """`exp` can be left out, for a service that takes that."""
    assert "exp" not in minted("--no-expiry", **CONFIGURED, JWT_REQUIRE_EXP="false")[1]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        pytest.param("tenant=7", "tenant", 7, id="number"),
        pytest.param("tenant=seven", "tenant", "seven", id="text"),
        pytest.param('tenant="7"', "tenant", "7", id="quoted"),
        pytest.param('roles=["a", "b"]', "roles", ["a", "b"], id="list"),
        pytest.param('realm={"roles": ["a"]}', "realm", {"roles": ["a"]}, id="object"),
        pytest.param("admin=true", "admin", True, id="boolean"),
        pytest.param("nothing=null", "nothing", None, id="null"),
        pytest.param("empty=", "empty", "", id="empty"),
        pytest.param("equation=a=b", "equation", "a=b", id="equals"),
        pytest.param("a.b=1", "a.b", 1, id="dotted-name"),
        pytest.param("number=NaN", "number", "NaN", id="no-number"),
        pytest.param("number=1e999", "number", "1e999", id="infinite"),
        pytest.param('v=1,"x":2', "v", '1,"x":2', id="two-members"),
        pytest.param('v={"a":1,"a":2}', "v", '{"a":1,"a":2}', id="ambiguous"),
    ],
)
def test_claims(text: str, name: str, value: object) -> None:
    """The value is JSON if it can be read as such, else text; the name is taken as it is."""
    assert value == minted("--claim", text)[1][name]


def test_claims_win() -> None:
    """`--claim` comes last."""
    _, claims = minted("--user", "alice", "--claim", "sub=bob", "--claim", "n=1", "--claim", "n=2")

    assert ("bob", 2) == (claims["sub"], claims["n"])


RSA, EC = pair("RSA"), pair("P-256")
BOTH = {
    "JWT_VERIFICATION_KEYS": json.dumps([EC.public_pem, RSA.public_pem]),
    "JWT_ALGORITHM": "ES256,PS256",
}
SECOND = {
    "JWT_SECRET_KEY": RSA.public_pem,
    "JWT_VERIFICATION_KEYS": json.dumps([SECRET]),
    "JWT_ALGORITHM": "RS256,HS256",
}
#: The text of `--key`, the settings, and the algorithm that signs.
SIGNERS: dict[str, tuple[str | None, dict[str, str], str]] = {
    **{
        algorithm: (
            pair(KINDS[algorithm]).private_pem,
            {"JWT_SECRET_KEY": pair(KINDS[algorithm]).public_pem, "JWT_ALGORITHM": algorithm},
            algorithm,
        )
        for algorithm in ("PS384", "ES512", "EdDSA")
    },
    "the-first-that-fits": (RSA.private_pem, BOTH, "PS256"),
    "a-secret-and-a-line-break": (f"{SECRET}\n", CONFIGURED, "HS256"),
    "the-first-shared-secret": (None, SECOND, "HS256"),
    "without-settings": (EC.private_pem, {}, "ES256"),
}


@pytest.mark.parametrize(("key", "variables", "algorithm"), SIGNERS.values(), ids=SIGNERS)
def test_what_signs(
    key: str | None, variables: dict[str, str], algorithm: str, tmp_path: Path
) -> None:
    """A key in a file or on standard input, else the settings' own secret."""
    file = tmp_path / "key"
    file.write_text(key or "")
    given = [[]] if key is None else [["--key", str(file)], ["--key", "-"]]

    for arguments in given:
        result = mint(*arguments, stdin=key, **variables)

        assert (0, "") == (result.exit_code, result.stderr)
        assert algorithm == parts(result.stdout.strip())[0]["alg"]


@pytest.mark.parametrize("stored", ["base64", "file"])
def test_the_secret_as_deployments_store_it(stored: str, tmp_path: Path) -> None:
    """The settings accept what is minted with their own secret."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    variables = {
        "base64": {"JWT_SECRET_KEY": "/w" * 32, "JWT_SECRET_KEY_ENCODING": "base64"},
        "file": {"JWT_SECRET_KEY_FILE": str(file)},
    }

    result = mint("--user", "alice", **variables[stored])

    assert (0, "") == (result.exit_code, result.stderr)


def test_a_token_of_rfc9068() -> None:
    """Where the profile asks for it, with the type of access tokens."""
    variables = {"JWT_PROFILE": "rfc9068", "JWT_ISSUER": "https://a.test", "JWT_AUDIENCE": "api"}

    result = mint(
        *("--user", "alice", "--claim", "client_id=web", "--claim", "jti=1x"),
        JWT_SECRET_KEY=SECRET,
        **variables,
    )

    assert (0, "") == (result.exit_code, result.stderr)


def test_algorithm_of_ones_own() -> None:
    """`--algorithm` is taken as it is."""
    variables = {"JWT_SECRET_KEY": SECRET, "JWT_ALGORITHM": "HS256,HS512"}

    assert "HS512" == minted("--algorithm", "HS512", **variables)[0]["alg"]


@pytest.mark.parametrize("form", ["pem", "jwk"])
@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_keys_of_keygen(kind: str, form: str, tmp_path: Path) -> None:
    """What keygen makes is taken as it is, with the name that it has in the JWK Set."""
    CliRunner().invoke(main, ["keygen", kind, "--format", form, "--out", str(tmp_path)])
    name = "private.pem" if form == "pem" else "private.jwk.json"
    (public,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]

    header, _ = minted(
        *("--user", "alice", "--key", str(tmp_path / name)),
        JWT_JWKS_FILE=str(tmp_path / "jwks.json"),
        JWT_ALGORITHM=public["alg"],
    )

    assert public["kid"] == header["kid"]


def test_without_settings() -> None:
    """A key is enough: the claims have their usual names then."""
    said = ("--user", "alice", "--session", "s1", "--scope", "a", "--audience", "orders")
    _, claims = parts(mint(*said, "--key", "-", stdin=EC.private_pem).stdout)

    assert {"sub": "alice", "session_id": "s1", "scope": "a", "aud": "orders"}.items() <= (
        claims.items()
    )


def test_settings_that_cannot_be_used() -> None:
    """With --key, unusable settings only cause a warning."""
    result = mint("--key", "-", stdin=EC.private_pem, JWT_AUDIENCE="orders")

    assert 0 == result.exit_code
    assert "Warning: the settings cannot be used" in result.stderr


TWO = {
    "JWT_ISSUERS__STAFF__ISSUER": STAFF,
    "JWT_ISSUERS__STAFF__AUDIENCE": "tickets",
    "JWT_ISSUERS__STAFF__SECRET_KEY": SECRET,
    "JWT_ISSUERS__STAFF__USER_ID_CLAIM": "uid",
    "JWT_ISSUERS__SHOP__ISSUER": SHOP,
    "JWT_ISSUERS__SHOP__AUDIENCE": "orders",
    "JWT_ISSUERS__SHOP__SECRET_KEY": OTHER_SECRET,
}
ONE = {name: value for name, value in TWO.items() if "STAFF" in name}


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        pytest.param(["--issuer-name", "staff"], TWO, id="one-of-two"),
        pytest.param([], ONE, id="the-only-one"),
    ],
)
def test_several_issuers(arguments: list[str], variables: dict[str, str]) -> None:
    """The token is of the issuer that is chosen, with its key, its audience and its names."""
    _, claims = minted("--user", "alice", *arguments, **variables)

    assert {"iss": STAFF, "aud": "tickets", "uid": "alice"}.items() <= claims.items()


WRONG = [
    pytest.param([], {}, "There is no key to check a token with", id="nothing-configured"),
    pytest.param([], {}, "keygen`. More: jwt-deps explain no_key\n", id="its-page-is-named-last"),
    pytest.param([], {"JWT_SECRET_KEY": "short"}, "has 5 bytes", id="weak-secret"),
    pytest.param(
        [],
        {"JWT_SECRET_KEY": pair("RSA").public_pem, "JWT_ALGORITHM": "RS256"},
        "Only public keys are configured, which cannot sign. Give a signing key with --key",
        id="only-public-keys",
    ),
    pytest.param([], TWO, "with --issuer-name", id="which-issuer"),
    pytest.param(["--issuer-name", "x"], TWO, "staff, shop", id="unknown-issuer"),
    pytest.param(["--issuer-name", "x"], CONFIGURED, "JWT_ISSUERS, which is not", id="no-issuers"),
    pytest.param(["--expires", "soon"], CONFIGURED, "--expires: a duration is", id="duration"),
    pytest.param(["--expires", "9" * 30], CONFIGURED, "--expires: a duration is", id="too-long"),
    pytest.param(["--claim", "tenant"], CONFIGURED, "written name=value", id="no-value"),
    pytest.param(["--claim", "=7"], CONFIGURED, "written name=value", id="no-name"),
    pytest.param(["--key", "/nowhere"], {}, "cannot be read: No such file", id="no-file"),
    pytest.param(["--key", "/"], {}, "/ cannot be read: Is a directory", id="directory"),
    pytest.param(["--algorithm", "none"], CONFIGURED, "cannot be used", id="algorithm-none"),
    pytest.param(["--algorithm", "RS256"], CONFIGURED, "cannot be used", id="algorithm-of-others"),
]


@pytest.mark.parametrize(("arguments", "variables", "says"), WRONG)
def test_what_cannot_be(arguments: list[str], variables: dict[str, str], says: str) -> None:
    """A sentence on standard error, nothing on standard output, and exit code 2."""
    result = mint(*arguments, **variables)

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("Error: ")
    assert says in result.stderr


KEYS = [
    pytest.param(b"\xff\xfe\x00" * 50, [], "is not text", id="binary"),
    pytest.param(pair("RSA").public_pem.encode(), [], "cannot be used", id="public-pem"),
    pytest.param(json.dumps(pair("RSA").jwk()).encode(), [], "cannot be used", id="public-jwk"),
    pytest.param(pair("RSA-1024").private_pem.encode(), [], "cannot be used", id="weak-rsa"),
    pytest.param(pair("secp256k1").private_pem.encode(), [], "cannot be used", id="foreign-curve"),
    pytest.param(b"weak-secret", [], "cannot be used", id="weak-secret"),
    pytest.param(b"", [], "cannot be used", id="empty"),
    pytest.param(b"x" * 65536 + b"y", [], "is not a key", id="huge"),
    pytest.param(
        pair("P-256").private_pem.encode(),
        ["--algorithm", "RS256"],
        "cannot be used",
        id="other-kind",
    ),
]


@pytest.mark.parametrize(("content", "arguments", "says"), KEYS)
def test_keys_that_cannot_sign(content: bytes, arguments: list[str], says: str) -> None:
    """A sentence that quotes nothing of the key, from a file or a pipe."""
    result = mint("--key", "-", *arguments, stdin=content)

    assert (2, "") == (result.exit_code, result.stdout)
    assert says in result.stderr
    assert "weak-secret" not in result.stderr
    assert "BEGIN" not in result.stderr


def test_public_key_as_a_secret() -> None:
    """A service's public key never signs as if it were a shared secret."""
    text = pair("RSA").public_pem

    result = mint("--key", "-", "--algorithm", "HS256", stdin=text)

    assert (2, "") == (result.exit_code, result.stdout)
