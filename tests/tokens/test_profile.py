"""`profile="rfc9068"` accepts access tokens by RFC 9068, and no others."""

import asyncio
import json
from typing import Any

import pytest

from jwt_deps import ConfigurationError, IssuerSettings, JWTSettings
from jwt_deps.errors import Reason
from jwt_deps.tokens import explain_token
from tests.minting import SECRET, claims, mint, mint_raw

NOW = 1_700_000_000.0
ISSUER = "https://issuer.example"
ISSUED = {"iss": ISSUER, "aud": "api", "client_id": "app", "iat": NOW, "jti": "1"}
PROFILE: dict[str, Any] = {
    "secret_key": SECRET,
    "issuer": ISSUER,
    "audience": "api",
    "profile": "rfc9068",
}
ONE = JWTSettings(**PROFILE)
SEVERAL = JWTSettings(issuers={"own": IssuerSettings(**PROFILE)})
BOTH = pytest.mark.parametrize(
    "settings", [pytest.param(ONE, id="one-issuer"), pytest.param(SEVERAL, id="several")]
)


def token(header: dict[str, Any] | None = None, without: str = "", **members: Any) -> str:
    said = claims(now=NOW, **{**ISSUED, **members})
    said.pop(without, None)
    return mint(said, header={"typ": "at+jwt", "kid": "a"} if header is None else header)


def found(settings: JWTSettings, text: str) -> Reason | None:
    """The reason of the refusal, which the explanation has to name too."""
    told = asyncio.run(explain_token(text, settings, clock=lambda: NOW))
    if told.error is None:
        return None
    assert told.error.reason in {one.error.reason for one in told.findings if one.error}
    return told.error.reason


@BOTH
@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
@pytest.mark.parametrize("kid", [{"kid": "a"}, {}], ids=["kid", "no-kid"])
def test_an_access_token(settings: JWTSettings, typ: str, kid: dict[str, str]) -> None:
    """Its type is compared without regard to case; a `kid` is not asked for (RFC 9068 §2.1)."""
    assert found(settings, token({"typ": typ, **kid})) is None


@BOTH
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param({"kid": "a", "typ": "JWT"}, Reason.TYPE, id="jwt"),
        pytest.param({"kid": "a", "typ": "application/jwt"}, Reason.TYPE, id="jwt-in-full"),
        pytest.param({"kid": "a", "typ": "id+jwt"}, Reason.TYPE, id="id-token"),
    ],
)
def test_type(settings: JWTSettings, header: dict[str, Any], reason: Reason) -> None:
    """Every other type is refused."""
    assert reason == found(settings, token(header))


def test_type_of_a_token_of_another_issuer() -> None:
    """An explanation tells of both; a request is refused for its issuer, which is checked first."""
    text = token({"typ": "JWT"}, iss="https://other.example")
    told = asyncio.run(explain_token(text, ONE, clock=lambda: NOW))

    found = [it.error.reason for it in told.findings if it.error]
    assert [Reason.TYPE, Reason.CLAIM_FOREIGN] == found


@BOTH
@pytest.mark.parametrize("name", ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"])
def test_claims(settings: JWTSettings, name: str) -> None:
    """Each claim of RFC 9068 §2.2 has to be there."""
    assert Reason.CLAIM_MISSING == found(settings, token(without=name))


@BOTH
def test_no_type(settings: JWTSettings) -> None:
    """A token that does not say what it is is none."""
    said = json.dumps(claims(now=NOW, **ISSUED)).encode()

    assert Reason.TYPE == found(settings, mint_raw(b'{"alg":"HS256","kid":"a"}', said))


@pytest.mark.parametrize("name", ["client_id", "jti"])
def test_strings(name: str) -> None:
    """They are compared later, and only strings can be."""
    members: dict[str, Any] = {name: 1}

    assert Reason.CLAIM_INVALID == found(ONE, token(**members))


def test_a_header_that_another_issuer_uses_opens_nothing() -> None:
    """A header that is known from a lenient issuer is judged anew."""
    other: dict[str, Any] = {"secret_key": SECRET, "issuer": "https://b.example", "audience": "api"}
    both = {"a": IssuerSettings(**PROFILE), "b": IssuerSettings(**other)}
    settings = JWTSettings(issuers=both)
    header = {"typ": "JWT", "kid": "a"}

    assert found(settings, token(header, iss="https://b.example")) is None
    assert Reason.TYPE == found(settings, token(header))


def test_any_jwt_is_the_default() -> None:
    """Most providers issue tokens without all of that."""
    others = JWTSettings(**{**PROFILE, "profile": "rfc7519"})

    assert found(others, token({}, without="jti")) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"issuer": None}, id="no-issuer"),
        pytest.param({"audience": None}, id="no-audience"),
        pytest.param({"audience_claim": "client_id"}, id="another-claim"),
    ],
)
def test_what_it_needs(change: dict[str, Any]) -> None:
    """The profile has every resource server check issuer and audience."""
    with pytest.raises(ConfigurationError) as caught:
        JWTSettings(**{**PROFILE, **change})

    assert "profile_unchecked" == caught.value.reason
