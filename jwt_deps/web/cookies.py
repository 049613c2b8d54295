"""The cookie in which a browser keeps a token: no script reads it, no other site sends it."""

import time
from typing import Literal

from fastapi import Response

from jwt_deps.settings import JWTSettings, get_settings
from jwt_deps.tokens import unverified_expiry

__all__ = ["clear_token_cookie", "set_token_cookie"]

SameSite = Literal["strict", "lax", "none"]


def set_token_cookie(  # noqa: PLR0913 - the attributes of a cookie
    response: Response,
    token: str,
    settings: JWTSettings | None = None,
    *,
    path: str = "/",
    domain: str | None = None,
    secure: bool = True,
    samesite: SameSite = "strict",
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

    Raises:
        MalformedTokenError: the text is not a JWT.
        ClaimError: its `exp` is not a number.
    """
    expires = unverified_expiry(token)
    response.set_cookie(
        (settings or get_settings()).cookie_name,
        token,
        max_age=None if expires is None else max(0, int(expires - time.time())),
        path=path,
        domain=domain,
        secure=secure,
        httponly=True,
        samesite=samesite,
    )


def clear_token_cookie(  # noqa: PLR0913 - the attributes of a cookie
    response: Response,
    settings: JWTSettings | None = None,
    *,
    path: str = "/",
    domain: str | None = None,
    secure: bool = True,
    samesite: SameSite = "strict",
) -> None:
    """Delete the cookie that `set_token_cookie` set; the attributes must be the same.

    Args:
        response: where to delete it.
        settings: whose `cookie_name`; `None` for `get_settings`.
        path: as it was set.
        domain: as it was set.
        secure: as it was set.
        samesite: as it was set.
    """
    response.delete_cookie(
        (settings or get_settings()).cookie_name,
        path=path,
        domain=domain,
        secure=secure,
        httponly=True,
        samesite=samesite,
    )
