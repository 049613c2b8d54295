"""The cookie in which a browser keeps a token: no script reads it, no other site sends it."""

import time
from typing import Literal

from fastapi import Response

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings, get_settings
from jwt_deps.tokens import unverified_expiry

SameSite = Literal["strict", "lax", "none"]

# RFC 6265bis §5.6: a browser drops a cookie whose name and value are longer together.
_MOST_OCTETS = 4096


def set_token_cookie(  # noqa: PLR0913 - the attributes of a cookie
    response: Response,
    token: str,
    settings: JWTSettings | None = None,
    *,
    path: str = "/",
    domain: str | None = None,
    secure: bool = True,
    samesite: SameSite = "strict",
    partitioned: bool = False,
) -> None:
    """Set the cookie that `token_source=cookie` reads: `HttpOnly`, `Secure`, `SameSite=Strict`.

    `Max-Age` comes from the token's `exp`; without one the cookie ends with the browser session.

    Args:
        response: where to set it.
        token: the encoded token, from this service's own issuer; it is not verified here.
        settings: whose `cookie_name`; `None` for `get_settings`.
        path: below which path the browser sends it.
        domain: the domain, if subdomains are to get it too.
        secure: `False` only for development without TLS.
        samesite: `lax` or `none` for pages of other sites that must send it.
        partitioned: whether each site that embeds this one gets a cookie of its own (CHIPS).

    Raises:
        ConfigurationError: browsers would drop the cookie: it is longer than 4,096 bytes, or its
            name or an attribute requires other attributes (RFC 6265bis §4.1.3, §5.7).
        MalformedTokenError: the text is not a JWT.
        ClaimError: its `exp` is not a number.
    """
    expires = unverified_expiry(token)
    name = (settings or get_settings()).cookie_name
    _refuse_dropped(
        name, token, path=path, domain=domain, secure=secure, samesite=samesite, apart=partitioned
    )
    response.set_cookie(
        name,
        token,
        max_age=None if expires is None else max(0, int(expires - time.time())),
        path=path,
        domain=domain,
        secure=secure,
        httponly=True,
        samesite=samesite,
    )
    _partition(response, partitioned=partitioned)


def clear_token_cookie(  # noqa: PLR0913 - the attributes of a cookie
    response: Response,
    settings: JWTSettings | None = None,
    *,
    path: str = "/",
    domain: str | None = None,
    secure: bool = True,
    samesite: SameSite = "strict",
    partitioned: bool = False,
) -> None:
    """Delete the cookie that `set_token_cookie` set; the attributes must be the same.

    Args:
        response: where to delete it.
        settings: whose `cookie_name`; `None` for `get_settings`.
        path: as it was set.
        domain: as it was set.
        secure: as it was set.
        samesite: as it was set.
        partitioned: as it was set.

    Raises:
        ConfigurationError: browsers would ignore it, as in `set_token_cookie`.
    """
    name = (settings or get_settings()).cookie_name
    _refuse_dropped(
        name, "", path=path, domain=domain, secure=secure, samesite=samesite, apart=partitioned
    )
    response.delete_cookie(
        name,
        path=path,
        domain=domain,
        secure=secure,
        httponly=True,
        samesite=samesite,
    )
    _partition(response, partitioned=partitioned)


def _partition(response: Response, *, partitioned: bool) -> None:
    if partitioned:  # Starlette writes it only on Python 3.14 and newer
        name, value = response.raw_headers[-1]
        response.raw_headers[-1] = name, value + b"; Partitioned"


def _refuse_dropped(  # noqa: PLR0913 - the attributes of a cookie
    name: str,
    value: str,
    *,
    path: str,
    domain: str | None,
    secure: bool,
    samesite: SameSite,
    apart: bool,
) -> None:
    """Refuse a cookie that browsers would silently drop.

    Raises:
        ConfigurationError: it says which rule.
    """
    prefix = name.lower()  # browsers compare it without regard to case
    wrong = None
    if len(name) + len(value) > _MOST_OCTETS:
        wrong = f"it is longer than {_MOST_OCTETS} bytes: have less put into the token"
    elif not secure and prefix.startswith(("__host-", "__secure-", "__http-")):
        wrong = "the prefix of its name needs secure=True"
    elif prefix.startswith("__host-") and (path != "/" or domain is not None):
        wrong = 'the prefix __Host- of its name needs path="/" and no domain'
    elif not secure and (samesite.lower() == "none" or apart):  # Starlette takes any case
        wrong = 'samesite="none" and partitioned=True need secure=True'
    if wrong is not None:
        raise ConfigurationError("cookie_dropped", f"Browsers would drop the cookie: {wrong}.")
