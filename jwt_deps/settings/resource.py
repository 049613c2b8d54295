"""Settings of the protected resource metadata (RFC 9728)."""

import re
from functools import cached_property
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import model_validator

from jwt_deps.errors import ConfigurationError
from jwt_deps.keys import split_url

from .env_values import NoneOrSeveral
from .issuer import IssuerSettings

#: RFC 9728 §3: it stands between the host and the path of the resource identifier.
WELL_KNOWN = "/.well-known/oauth-protected-resource"

# RFC 3986 §2: what a URL consists of, without what has a meaning in the template of a route.
_URL = re.compile(r"(?:[A-Za-z0-9\-._~:/\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_PAGE = re.compile(r"https?://[\x21\x23-\x5b\x5d-\x7e]+")
_PAGES = ("resource_documentation", "resource_policy_uri", "resource_tos_uri")


class ResourceSettings(IssuerSettings):
    """The names of a protected resource, beside what it accepts."""

    resource: str | None = None
    """The resource identifier (RFC 9728 §1.2): the URL that clients know this service by. When it
    is set, challenges say where the metadata document is, and it is the accepted audience unless
    `audience` says otherwise; an origin with and without a trailing slash."""
    resource_name: str | None = None
    """Its name, for people."""
    resource_documentation: str | None = None
    """A page for developers of clients."""
    resource_policy_uri: str | None = None
    """A page about what a client may do with its data."""
    resource_tos_uri: str | None = None
    """A page with its terms of service."""

    @model_validator(mode="after")
    def _describes_itself(self) -> Self:
        if self.resource is not None:
            _check_identifier(self.resource)
        for name in _PAGES:
            page = getattr(self, name)
            if page is not None and not _PAGE.fullmatch(page):
                raise ConfigurationError(
                    "resource_page", f"JWT_{name.upper()} ({name}) is not the URL of a page."
                )
        return self

    def _accepted_audience(self) -> NoneOrSeveral:
        # RFC 8707 §2: who asks for a token for a resource gets one with that audience.
        unsaid = self.audience is None and self.verify_audience
        if not unsaid or self.resource is None:
            return self.audience
        if urlsplit(self.resource).path in {"", "/"}:
            # RFC 3986 §6.2.3: an origin is the same URL with a slash and without, and clients
            # ask for either.
            origin = self.resource.removesuffix("/")
            return list(dict.fromkeys([self.resource, origin, f"{origin}/"]))
        return self.resource

    @cached_property
    def resource_suffix(self) -> str:
        """The path of the resource identifier as it follows `WELL_KNOWN`, percent-encoded."""
        path = urlsplit(self.resource or "").path
        return "" if path == "/" else path

    @cached_property
    def metadata_path(self) -> str:
        """The path of the metadata document, as ASGI has it."""
        return WELL_KNOWN + unquote(self.resource_suffix)

    @cached_property
    def metadata_url(self) -> str | None:
        """Where clients find the metadata document; by configuration, never by a request."""
        if self.resource is None:
            return None
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{self.resource_suffix}"


def _check_identifier(resource: str) -> None:
    """Refuse what no client could compare with the URL that it asked."""
    try:
        path = split_url(resource, allow_loopback=True).path
        if "?" in resource:
            raise ValueError("has a query, which no route can be told by")  # noqa: TRY301
        if not _URL.fullmatch(resource) or not {".", ".."}.isdisjoint(unquote(path).split("/")):
            raise ValueError("is not a URL as RFC 3986 has it")  # noqa: TRY301
    except ValueError as error:
        raise ConfigurationError(
            "resource_identifier",
            f"JWT_RESOURCE (resource) {error}; it has to be the https:// address that clients use "
            "(RFC 9728 §1.2), or for development an http:// one of this machine.",
        ) from None
