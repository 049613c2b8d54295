"""The security schemes in OpenAPI that describe the tokens of a configuration."""

import re
from collections.abc import Collection, Iterator
from itertools import count
from typing import Any

from jwt_deps.keys.discovery import well_known_urls
from jwt_deps.possession.policy import DPoPMode
from jwt_deps.settings.service import JWTSettings, TokenSource

__all__ = ["NATIVE", "SchemeNames", "plain_bearer", "proofs_of", "schemes_of"]

#: The name under which FastAPI itself lists the dependencies of this package.
NATIVE = "JWT"

# More discovered issuers than these are described by plain bearer alone: each would be a scheme in
# every operation, and a public document would list the customers of a service.
_MOST_ISSUERS = 4

# What the name of a component cannot have (OpenAPI 3.1 §4.8.7).
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")

_Scheme = dict[str, Any]


def plain_bearer() -> _Scheme:
    """The scheme that FastAPI makes of the dependencies of this package."""
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def schemes_of(settings: JWTSettings | None) -> Iterator[tuple[str, _Scheme]]:
    """The schemes of which a request needs one, with the names that they would like to have.

    Args:
        settings: `None` if they are not known without a request: plain bearer.
    """
    source = settings.token_source if settings is not None else TokenSource.HEADER
    if source is not TokenSource.COOKIE:
        header = settings.token_header_key if settings is not None else "Authorization"
        if header.lower() == "authorization":
            yield from _of_authorization(settings)
        else:
            yield (
                f"{NATIVE}-header-{_as_name(header)}",
                {
                    "type": "apiKey",
                    "in": "header",
                    "name": header,
                    "description": "`Bearer <token>`, the word included",
                },
            )
    if settings is not None and source is not TokenSource.HEADER:
        cookie = settings.cookie_name
        scheme = {"type": "apiKey", "in": "cookie", "name": cookie}
        yield f"{NATIVE}-cookie-{_as_name(cookie)}", scheme


def _of_authorization(settings: JWTSettings | None) -> Iterator[tuple[str, _Scheme]]:
    policy = None if settings is None else settings.senders
    mode = DPoPMode.OFF if policy is None else policy.dpop
    if mode is not DPoPMode.REQUIRED:
        yield NATIVE, plain_bearer()
        if settings is not None:
            yield from _of_discovery(settings)
    if mode is not DPoPMode.OFF:
        yield (
            f"{NATIVE}-DPoP",
            {
                "type": "http",
                "scheme": "dpop",
                "description": "`DPoP <token>`, with a proof in the header `DPoP` (RFC 9449)",
            },
        )


def _of_discovery(settings: JWTSettings) -> Iterator[tuple[str, _Scheme]]:
    """Where people get a token, of issuers that publish it (OpenAPI 3.1 §4.8.27).

    The browser reads the document, not this process: a schema never waits for an issuer, is the
    same whether it is up or down, and where it is down Swagger UI offers plain bearer alone.
    """
    issuers = [settings] if settings.issuers is None else list(settings.issuers.values())
    discovered = [one for one in issuers if one.is_remote and one.jwks_url is None]
    if len(discovered) > _MOST_ISSUERS:
        return
    for one in discovered:
        (issuer,) = one.accepted_issuers
        name = _as_name(issuer.partition("://")[2].strip("/"))
        url = one.discovery_url or well_known_urls(issuer)[-1]
        yield f"{NATIVE}-openid-{name}", {"type": "openIdConnect", "openIdConnectUrl": url}


def _as_name(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text)


def proofs_of(settings: JWTSettings | None) -> dict[str, str]:
    """What the sender of a token has to prove (RFC 9449, RFC 8705)."""
    policy = None if settings is None else settings.senders
    if policy is None:
        return {}
    dpop = {"dpop": policy.dpop.value} if policy.with_dpop else {}
    return {**dpop, **({"client_certificate": "allowed"} if policy.with_certificates else {})}


class SchemeNames:
    """The names of this package's schemes in one document.

    Each name has one definition, and none is the name of another library's scheme.
    """

    def __init__(self, taken: Collection[str]) -> None:
        self._taken = taken
        #: The definitions by name.
        self.definitions: dict[str, _Scheme] = {}

    def add(self, wanted: str, scheme: _Scheme) -> str:
        """Find the name of a scheme: the one wanted, or the next one that is free."""
        name = next(name for name in _candidates(wanted) if self._is_free(name, scheme))
        self.definitions[name] = scheme
        return name

    def _is_free(self, name: str, scheme: _Scheme) -> bool:
        return name not in self._taken and self.definitions.get(name, scheme) == scheme


def _candidates(wanted: str) -> Iterator[str]:
    yield wanted
    base = wanted
    if wanted == NATIVE:
        base = f"{NATIVE}-bearer"
        yield base
    yield from (f"{base}-{number}" for number in count(2))
