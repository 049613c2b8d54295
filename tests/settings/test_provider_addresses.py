"""Addresses with which no token could be accepted are refused at the start, with what to set."""

import logging
from typing import Any

import pytest

from jwt_deps import ConfigurationError, IssuerSettings, JWTSettings
from jwt_deps.keys import KeySet
from tests.minting import SECRET, pair
from tests.saying import everything_said

TENANT = "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0"
FIREBASE = "securetoken@system.gserviceaccount.com"
COMMON = "https://login.microsoftonline.com/common"


def refusal(**values: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refused:
        JWTSettings(**{"audience": "api", **values})
    return refused.value


@pytest.mark.parametrize(
    "issuer",
    [
        *(
            f"https://{host}/{alias}{rest}"
            for host in ("login.microsoftonline.com", "sts.windows.net", "LOGIN.microsoft.com")
            for alias in ("common", "organizations", "consumers", "Common")
            for rest in ("/v2.0", "/", "")
        ),
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        "https://login.microsoftonline.com/{tenant}/v2.0",
        "https://sts.windows.net/{tenantid}/",
        "https://<your-domain>.auth0.com/",
        "https://cognito-idp.{region}.amazonaws.com/{userPoolId}",
    ],
)
def test_issuers_that_no_token_names(issuer: str) -> None:
    """Wherever the keys come from, and among several too."""
    places: list[dict[str, Any]] = [
        {"discovery": True},
        {"jwks_url": f"{COMMON}/discovery/v2.0/keys"},
        {"secret_key": SECRET},
    ]
    for keys in places:
        one = refusal(issuer=issuer, **keys)
        assert "issuer_placeholder" == one.reason
        assert "JWT_ISSUER (issuer)" in str(one)
        assert issuer not in everything_said(one)
    with pytest.raises(ConfigurationError, match="JWT_ISSUERS__STAFF__ISSUER") as several:
        JWTSettings(issuers={"staff": {"issuer": issuer, "audience": "api", "discovery": True}})
    assert "issuer_placeholder" == several.value.reason


CERTS = "https://www.googleapis.com/oauth2"
TOOLKIT = "https://www.googleapis.com/identitytoolkit/v3/relyingparty/publicKeys"
SESSIONS = "https://identitytoolkit.googleapis.com/v1/sessionCookiePublicKeys"
ROBOTS = f"https://www.googleapis.com/robot/v1/metadata/x509/{FIREBASE}"
IAP = "https://www.gstatic.com/iap/verify/public_key"
ALL_TENANTS = f"{COMMON}/v2.0/.well-known/openid-configuration"
TO_DISCOVERY = "set JWT_DISCOVERY_URL (discovery_url) to it instead"
PLACES = {
    "document-of-all-tenants": ("discovery_url", ALL_TENANTS, "discovery_url) is that of all"),
    "placeholder-in-the-document": ("discovery_url", "https://a.example/{t}/d", "a placeholder"),
    "placeholder-in-the-keys": ("jwks_url", "https://<domain>/jwks.json", "has a placeholder"),
    **{
        f"discovery-document{path}": ("jwks_url", f"https://a.example{path}", TO_DISCOVERY)
        for path in (
            "/.well-known/openid-configuration",
            "/realms/a/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server/realms/a",
        )
    },
    ROBOTS: ("jwks_url", ROBOTS, "set it to https://www.googleapis.com/service_accounts/v1/jwk/"),
    f"{CERTS}/v1/certs": ("jwks_url", f"{CERTS}/v1/certs", f"set it to {CERTS}/v3/certs"),
    TOOLKIT: ("jwks_url", TOOLKIT, f"set it to {SESSIONS}"),
    IAP: ("jwks_url", IAP, f"set it to {IAP}-jwk"),
}


@pytest.mark.parametrize(("name", "url", "says"), PLACES.values(), ids=PLACES)
def test_documents_that_are_not_there(name: str, url: str, says: str) -> None:
    """The sentence says what to set."""
    error = refusal(issuer=TENANT, **{name: url})

    assert "key_address" == error.reason
    assert f"JWT_{name.upper()} ({name})" in str(error)
    assert says in str(error)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"issuer": TENANT, "discovery": True}, id="tenant"),
        pytest.param(
            {"issuer": TENANT, "jwks_url": f"{COMMON}/discovery/v2.0/keys"},
            id="keys-of-all-tenants",
        ),
        pytest.param(
            {"issuer": "https://common.example/common", "discovery": True}, id="another-provider"
        ),
        pytest.param(
            {
                "issuer": "https://securetoken.google.com/project",
                "jwks_url": f"https://www.googleapis.com/service_accounts/v1/jwk/{FIREBASE}",
            },
            id="firebase",
        ),
        pytest.param(
            {
                "issuer": "https://a.example",
                "jwks_url": "https://www.googleapis.com/oauth2/v3/certs",
            },
            id="google",
        ),
        pytest.param({"issuer": "{my own}", "secret_key": SECRET}, id="no-address"),
    ],
)
def test_addresses_that_work(values: dict[str, Any]) -> None:
    """They are those of the providers' documentation."""
    assert IssuerSettings(audience="api", **values).accepted_issuers


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"jwks_uri": "https://a.example/keys"}, "set JWT_DISCOVERY_URL"),
        ({"a": "-----BEGIN CERTIFICATE-----", "b": "-----BEGIN CERTIFICATE-----"}, "JWT_JWKS_URL"),
        ({"a": "text"}, "is not a JWK Set$"),
        ({"a": 5}, "is not a JWK Set$"),
        ({}, "is not a JWK Set$"),
    ],
    ids=["discovery-document", "certificates", "text", "number", "nothing"],
)
def test_another_document_in_the_place_of_a_jwk_set(document: dict[str, Any], says: str) -> None:
    """Where the address does not show it, the fetched document does."""
    with pytest.raises(ValueError, match=says):
        KeySet.from_response(["RS256"], document)


@pytest.mark.parametrize(
    "secret",
    [
        f"{SECRET}\n",
        f"{SECRET}\r\n",
        f" {SECRET}",
        f"{SECRET}\t",
        f"\ufeff{SECRET}",
        f"{SECRET}\\n",
        f'"{SECRET}"',
        f"'{SECRET}'",
        f"`{SECRET}`",
    ],
    ids=[
        *("line-break", "windows", "space-before", "tab", "byte-order-mark", "escaped-line-break"),
        *("double-quotes", "single-quotes", "backticks"),
    ],
)
def test_a_secret_with_more_than_was_meant(secret: str, caplog: pytest.LogCaptureFixture) -> None:
    """It may be meant, so it is used as it is, with a warning that does not show it."""
    JWTSettings(secret_key=secret)
    JWTSettings(verification_keys=[SECRET, secret])

    (first, second) = caplog.records
    assert logging.WARNING == first.levelno
    assert first.getMessage() == second.getMessage()
    assert "JWT_SECRET_KEY (secret_key)" in first.getMessage()
    assert "begins or ends with white space, or is in quotes" in first.getMessage()
    assert SECRET[:8] not in caplog.text


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"secret_key": SECRET}, id="secret"),
        pytest.param({"secret_key": f"{SECRET} {SECRET}"}, id="space-within"),
        pytest.param({"secret_key": f"'{SECRET}"}, id="one-quote"),
        pytest.param(
            {"secret_key": f"\n{pair('RSA').public_pem}\n", "algorithm": "RS256"}, id="public-key"
        ),
    ],
)
def test_no_warning(values: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Around PEM white space does not matter."""
    JWTSettings(**values)

    assert [] == caplog.records
