"""Find the encoded token in a request's headers, and check that it may be used from there.

The size of a header's value is checked before the value is read, so that one hostile header costs
no more than its transfer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from jwt_deps.errors import (
    ConfigurationError,
    CrossSiteRequestError,
    InvalidRequestError,
    MalformedTokenError,
    MissingTokenError,
    Reason,
)
from jwt_deps.possession import DPoPMode
from jwt_deps.settings import JWTSettings, TokenSource

#: First half of the subprotocol pair `bearer, <token>`, the only place where a browser's
#: WebSocket API lets a page put a credential.
SUBPROTOCOL = "bearer"

# Methods that change nothing (RFC 9110 §9.2.1); every other one is one that a foreign page
# must not be able to send with the user's cookie.
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Who may be asking, in the words of `Sec-Fetch-Site`. `none` is the user's own doing: a bookmark,
# the address bar.
_OWN_PAGES = {
    "same-site": frozenset({"same-origin", "same-site", "none"}),
    "same-origin": frozenset({"same-origin", "none"}),
}
# A scheme at the beginning of one of the credentials in a header, separated by commas
# (RFC 9110 §11.4). Nothing in it is tried twice, so the time is linear.
_BEARER = re.compile(r"(?:^|,)[ \t]*+bearer(?![^ \t,])", re.IGNORECASE)
_BEARER_OR_DPOP = re.compile(r"(?:^|,)[ \t]*+(?:bearer|dpop)(?![^ \t,])", re.IGNORECASE)
# What a header's value may have beside the token: the scheme, and white space.
_SCHEME_ROOM = 64
# What an application's other cookies may take: as much as servers read of a header by default.
_OTHER_COOKIES = 65_536
_MOST_SUBPROTOCOLS = 64
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}

_Scope: TypeAlias = Mapping[str, Any]  # as ASGI has it


def find_token(scope: _Scope, settings: JWTSettings) -> str:
    """Find the encoded token (RFC 6750 §2.1) in an ASGI scope, whatever the token says.

    The header wins; the cookie is read only when the header is absent or has another scheme, so
    that a request can never be re-labelled by a cookie that another site planted. Query and body
    are never read.

    Raises:
        MalformedTokenError: a header is longer than any with a token of `max_token_size` is.
        MissingTokenError: no bearer credentials where the settings say to look.
        InvalidRequestError: more than one credential.
        CrossSiteRequestError: the token is in a cookie and another site caused the request.
    """
    source, present = settings.token_source, False
    if source is not TokenSource.COOKIE:
        token, present = _from_headers(scope, settings)
        if token:
            if not settings.token_header_scheme:  # a proxy may have made it of a browser's cookie
                _refuse_cross_site(scope, settings)
            return token
    if source is not TokenSource.HEADER:
        token = _from_cookie(scope, settings)
        if token:
            _refuse_cross_site(scope, settings)
            return token
    raise _wrong_form(settings) if present else _missing(settings)


def check_found(found: object, scope: _Scope, settings: JWTSettings) -> str:
    """Check what `token_getter` found, by the rules for a cookie, which it may have read."""
    if found is None or found == "":
        raise _missing(settings)
    if not isinstance(found, str):
        raise ConfigurationError(
            "token_getter", "token_getter has to return the encoded token, a str, or None."
        )
    _refuse_cross_site(scope, settings)
    return found


def _from_headers(scope: _Scope, settings: JWTSettings) -> tuple[str | None, bool]:
    """The token of the header or of the subprotocol pair, and whether the header was there."""
    name, value = settings.server.header_name, None
    for key, sent in scope["headers"]:
        if key == name:
            if value is not None:
                raise _repeated("more than one header carries credentials")
            value = sent
    token = None
    if value is not None:
        if len(value) > settings.max_token_size + _SCHEME_ROOM:
            raise _too_large()
        token = _credentials(value.decode("latin-1").strip(" \t"), settings)
    if scope["type"] == "websocket" and (offered := _from_subprotocols(scope)):
        if token is not None:
            raise _repeated("both a header and the subprotocols carry a token")
        token = offered
    return token, value is not None


def _credentials(text: str, settings: JWTSettings) -> str | None:
    """The token in the value of a header; `None` if it only has credentials of other schemes."""
    if not settings.token_header_scheme:
        if "," in text:
            raise _repeated("one header carries several credentials")
        return text
    policy = settings.server.sender_policy
    with_dpop = policy is not None and policy.with_dpop
    ours = (_BEARER_OR_DPOP if with_dpop else _BEARER).search(text)
    if ours is None:
        return None  # credentials of another scheme are not checked here
    if "," in text:
        raise _repeated("one header carries several credentials")
    # RFC 9110 §11.4: 1*SP. A tab stays with the token, and makes it one that is refused.
    token = text[ours.end() :].strip(" ")
    if not token:
        raise _wrong_form(settings)
    return token


def sent_with_dpop(
    headers: Iterable[tuple[bytes, bytes]], name: bytes, token: str | None = None
) -> bool:
    """Whether a token came with the scheme `DPoP` (RFC 9449 §7.1), in that one header.

    Without a token: whether any did.
    """
    values = [value.decode("latin-1").strip(" \t") for key, value in headers if key == name]
    if len(values) != 1 or values[0][:5].lower() != "dpop ":
        return False
    return token is None or values[0][5:].strip(" ") == token


def _from_subprotocols(scope: _Scope) -> str | None:
    offered: Sequence[str] = scope.get("subprotocols", ())
    if len(offered) > _MOST_SUBPROTOCOLS:
        raise _too_large()
    marks = [position for position, name in enumerate(offered) if name.lower() == SUBPROTOCOL]
    if not marks:
        return None
    if len(marks) > 1:
        raise _repeated("the subprotocols carry several tokens")
    token = offered[marks[0] + 1] if marks[0] + 1 < len(offered) else ""
    if not token:
        raise MissingTokenError(
            "Invalid token: the subprotocol bearer has no token behind it", Reason.HEADER_FORM
        )
    return token


def _from_cookie(scope: _Scope, settings: JWTSettings) -> str | None:
    name, room = settings.cookie_name, settings.max_token_size + _OTHER_COOKIES
    found = []
    for header in _values(scope, b"cookie"):
        room -= len(header)
        if room < 0:
            raise _too_large()
        for pair in header.split(";"):
            if name not in pair:
                continue
            key, _, value = pair.partition("=")
            # Only these are optional white space; a name that a wider `strip` would make equal
            # is another cookie, one that escapes the rules for `__Host-` (RFC 6265bis §4.1.3).
            if key.strip(" \t") == name:
                found.append(value.strip(" \t"))
    if len(found) > 1:
        # A sibling subdomain can plant a second cookie of the same name.
        raise _repeated("more than one cookie carries a token")
    return _unwrapped(found[0]) if found else None


def _unwrapped(value: str) -> str:
    """The token in a cookie, without the quotes and the `Bearer` that some frameworks write."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    scheme, _, token = value.partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else value


def _refuse_cross_site(scope: _Scope, settings: JWTSettings) -> None:
    """Refuse a token that a browser may have added to a request which another site caused.

    That is one in a cookie, and one that a proxy or `token_getter` may have taken from there.
    """
    is_safe = scope["type"] == "http" and scope.get("method") in _SAFE_METHODS
    if is_safe and not any(map(_is_of_handshake, scope["headers"])):
        return
    sites = _values(scope, b"sec-fetch-site")
    if sites:
        # An unknown word is refused.
        if not _OWN_PAGES[settings.cookie_requests].issuperset(sites):
            raise CrossSiteRequestError
        return
    origins = _values(scope, b"origin")
    if origins and not (len(origins) == 1 and _is_own_origin(origins[0], scope, settings)):
        raise CrossSiteRequestError
    # Neither header: not a browser, so no other site caused the request.


def _is_of_handshake(header: tuple[bytes, bytes]) -> bool:
    """Whether a header is one of a WebSocket handshake, about which a proxy asks with a GET."""
    name, value = header
    if name in {b"upgrade", b"sec-fetch-mode"}:
        return value.strip().lower() == b"websocket"
    return name in {b"sec-websocket-key", b"sec-websocket-version"}


def _is_own_origin(origin: str, scope: _Scope, settings: JWTSettings) -> bool:
    own = settings.public_origin
    if own is not None and settings.cookie_requests == "same-origin":
        return origin.lower() == "/".join(own.split("/", 3)[:3])  # without a proxy's prefix
    hosts = _values(scope, b"host")
    scheme, separator, authority = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    if not separator or port is None or len(hosts) != 1:  # "null" among others
        return False
    # TLS may end before this process, so the scheme tells nothing but the default port.
    return authority.removesuffix(f":{port}") == hosts[0].lower().removesuffix(f":{port}")


def _values(scope: _Scope, name: bytes) -> list[str]:
    """All values of one header, in order."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _too_large() -> MalformedTokenError:
    return MalformedTokenError(Reason.TOO_LARGE, "it is longer than this service reads")


def _repeated(description: str) -> InvalidRequestError:
    return InvalidRequestError(Reason.REPEATED_CREDENTIALS, description)


def _missing(settings: JWTSettings) -> MissingTokenError:
    """The error for a request without a token, in the words of the AgentOS middleware."""
    if settings.token_getter is not None:
        return MissingTokenError("JWT token missing")
    header, cookie = f"{settings.token_header_key} header", settings.cookie_name
    words = {
        TokenSource.HEADER: f"{header} missing",
        TokenSource.COOKIE: f"JWT cookie '{cookie}' missing",
        TokenSource.BOTH: f"JWT token missing from both {header} and '{cookie}' cookie",
    }
    return MissingTokenError(words[settings.token_source])


def _wrong_form(settings: JWTSettings) -> MissingTokenError:
    """The error for a header without a token, which names the schemes that it may have."""
    bearer = "" if settings.dpop is DPoPMode.REQUIRED else settings.token_header_scheme
    dpop = "" if settings.dpop is DPoPMode.OFF else "DPoP"
    kind = " or ".join(filter(None, (bearer, dpop)))
    lacks = f"{kind} token" if kind else "token"
    words = f"Invalid token: the {settings.token_header_key} header has no {lacks}"
    return MissingTokenError(words, Reason.HEADER_FORM)
