"""Addresses of identity providers that look right, and with which no token can ever be accepted."""

import re
from urllib.parse import urlsplit

from jwt_deps.errors import ConfigurationError
from jwt_deps.keys import host_of

# Microsoft Entra ID, in all its clouds: tokens name their own tenant, never these.
_ENTRA = re.compile(
    r"(?:login|login\.partner|sts)\."
    r"(?:microsoft\.com|microsoftonline\.(?:com|us|de|cn)|chinacloudapi\.cn|windows\.net)"
)
_EVERY_TENANT = frozenset({"common", "consumers", "organizations"})

# Google: certificates in PEM, and where the same keys are a JWK Set.
_CERTIFICATES = {
    "www.googleapis.com/robot/v1/metadata/x509/": (
        "https://www.googleapis.com/service_accounts/v1/jwk/ and the account's name"
    ),
    "www.googleapis.com/oauth2/v1/certs": "https://www.googleapis.com/oauth2/v3/certs",
    "www.googleapis.com/identitytoolkit/v3/relyingparty/publicKeys": (
        "https://identitytoolkit.googleapis.com/v1/sessionCookiePublicKeys"
    ),
    "www.gstatic.com/iap/verify/public_key": "https://www.gstatic.com/iap/verify/public_key-jwk",
}
_DISCOVERY = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def check_issuer_address(issuer: str) -> None:
    """Refuse an issuer that no token names: it stands for all tenants, or has a placeholder."""
    if _is_of_every_tenant(issuer):
        raise ConfigurationError(
            "issuer_placeholder",
            "JWT_ISSUER (issuer) is that of all tenants, which no token has as its iss: set the "
            "tenant's own, https://login.microsoftonline.com/<tenant id>/v2.0, and for several "
            "tenants EntraTenants in `issuers`.",
        )
    if _has_placeholder(issuer):
        raise ConfigurationError(
            "issuer_placeholder",
            "JWT_ISSUER (issuer) has a placeholder such as {tenantid}, which no token has in its "
            "iss: fill it in, and for several tenants use one entry each in `issuers`.",
        )


def check_key_address(name: str, url: str) -> None:
    """Refuse a `jwks_url` or `discovery_url` at which the document that is asked for cannot be."""
    setting = f"JWT_{name.upper()} ({name})"
    if _has_placeholder(url):
        raise ConfigurationError(
            "key_address", f"{setting} has a placeholder such as {{tenantid}}: fill it in."
        )
    if name == "discovery_url":
        if _is_of_every_tenant(url):
            raise ConfigurationError(
                "key_address",
                f"{setting} is that of all tenants, whose document names no tenant's issuer: "
                "set that of the tenant, or leave it unset.",
            )
        return
    path = urlsplit(url).path
    if any(part in path for part in _DISCOVERY):
        raise ConfigurationError(
            "key_address",
            f"{setting} is that of a discovery document: set JWT_DISCOVERY_URL (discovery_url) to "
            "it instead.",
        )
    place = host_of(url) + path
    for known, right in _CERTIFICATES.items():
        if place == known or (known[-1] == "/" and place.startswith(known)):
            raise ConfigurationError(
                "key_address", f"{setting} has certificates and no JWK Set: set it to {right}."
            )


def _is_of_every_tenant(url: str) -> bool:
    if _ENTRA.fullmatch(host_of(url)) is None:
        return False
    return urlsplit(url).path.strip("/").partition("/")[0].lower() in _EVERY_TENANT


def _has_placeholder(url: str) -> bool:
    # RFC 3986 §2: no URI has these, and no template of a provider's documentation lacks them.
    return "://" in url and not frozenset("{}<>").isdisjoint(url)
