"""Where is the token, and may it be used from there? Headers in, one encoded token out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .errors import CrossSiteRequestError, InvalidRequestError, MissingTokenError, Reason
from .settings import JWTSettings, TokenSource

__all__ = ["SUBPROTOCOL", "RequestHead", "find_token", "sent_with_dpop"]

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
_SCHEME = re.compile(r"([^ \t]*)(.*)", re.DOTALL)
_SCHEMES = ("bearer",)
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


@dataclass(slots=True)
class RequestHead:
    """What the look-up needs to know of a request.

    Attributes:
        headers: names in lower case and values, as ASGI has them.
        method: the HTTP method; `None` for a WebSocket handshake.
        subprotocols: what a WebSocket handshake offers, in order.
    """

    headers: Iterable[tuple[bytes, bytes]] = field(repr=False)
    method: str | None = None
    subprotocols: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        # They are read several times, and ASGI promises no more than an iterable: one that ran
        # dry after the cookie would hide where the request came from.
        if not isinstance(self.headers, list | tuple):
            self.headers = tuple(self.headers)

    def values(self, name: str) -> list[str]:
        """All values of one header, in order."""
        return self.values_of(name.lower().encode("latin-1"))

    def values_of(self, wanted: bytes) -> list[str]:
        """The same, by the name as ASGI has it."""
        return [value.decode("latin-1") for key, value in self.headers if key == wanted]


def find_token(head: RequestHead, settings: JWTSettings) -> str:
    """Find the encoded token (RFC 6750 §2.1), without looking at what it says.

    The header wins; the cookie is read only when the header is absent, so that a request can
    never be re-labelled by a cookie that somebody else planted. Query and body are never read.

    Raises:
        MissingTokenError: no bearer credentials where the settings say to look.
        InvalidRequestError: more than one credential, or a scheme with nothing behind it.
        CrossSiteRequestError: the token is in a cookie and another site caused the request.
    """
    source = settings.token_source
    if source is not TokenSource.COOKIE:
        token, present = _from_headers(head, settings)
        if token is not None:
            return token
        if source is TokenSource.BOTH and present:
            raise MissingTokenError(settings.missing)
    if source is not TokenSource.HEADER:
        token = _from_cookie(head, settings.cookie_name)
        if token is not None:
            _refuse_cross_site(head, settings)
            return token
    raise MissingTokenError(settings.missing)


def usual_token(headers: Iterable[tuple[bytes, bytes]], name: bytes | None) -> str | None:
    """The token of one `Bearer` header, as nearly every client sends it; else ask `find_token`."""
    value = None
    for key, sent in headers:
        if key == name:
            if value is not None:
                return None
            value = sent
    if value is None or value[:7] != b"Bearer " or b"," in value:
        return None
    return value[7:].decode("latin-1").strip(" \t")


def _from_headers(head: RequestHead, settings: JWTSettings) -> tuple[str | None, bool]:
    """The token of the header or of the subprotocol pair, and whether the header was there."""
    name, value = settings.header_name, None
    for key, sent in head.headers:
        if key == name:
            if value is not None:
                raise _repeated("more than one header carries credentials")
            value = sent
    token = None
    if value is not None:
        if value.startswith(b"Bearer ") and b"," not in value:
            # What nearly every client sends, without looking for more.
            token = value[7:].decode("latin-1").strip(" \t") or _none(value, settings)
        else:
            token = _credentials(value.decode("latin-1"), settings)
    if head.subprotocols and (offered := _from_subprotocols(head.subprotocols)) is not None:
        if token is not None:
            raise _repeated("both a header and the subprotocols carry a token")
        token = offered
    return token, value is not None


def _none(value: bytes, settings: JWTSettings) -> str | None:
    return _credentials(value.decode("latin-1"), settings)


def _credentials(value: str, settings: JWTSettings) -> str | None:
    value = value.strip(" \t")
    parts = [_SCHEME.match(part.strip(" \t")) for part in value.split(",")]
    schemes = _SCHEMES if settings.senders is None else settings.senders.schemes
    ours = [part for part in parts if part is not None and part[1].lower() in schemes]
    if not ours:
        return None  # another scheme's credentials are not ours to judge
    if len(parts) > 1:
        raise _repeated("one header carries several credentials")
    # RFC 9110 §11.4: 1*SP. A tab stays with the token, and makes it one that is refused.
    token = ours[0][2].strip(" ")
    if not token:
        raise _empty()
    return token


def sent_with_dpop(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bool:
    """Whether the token came with the scheme `DPoP` (RFC 9449 §7.1), in that one header."""
    values = [value.strip(b" \t") for key, value in headers if key == name]
    return len(values) == 1 and values[0][:5].lower() == b"dpop "


def _from_subprotocols(offered: Sequence[str]) -> str | None:
    marks = [position for position, name in enumerate(offered) if name.lower() == SUBPROTOCOL]
    if not marks:
        return None
    if len(marks) > 1:
        raise _repeated("the subprotocols carry several tokens")
    token = offered[marks[0] + 1] if marks[0] + 1 < len(offered) else ""
    if not token:
        raise _empty()
    return token


def _from_cookie(head: RequestHead, name: str) -> str | None:
    found = []
    for header in head.values("cookie"):
        for pair in header.split(";"):
            key, _, value = pair.partition("=")
            # Only these are optional white space; a name that a wider `strip` would make equal
            # is another cookie, one that escapes the rules for `__Host-` (RFC 6265bis §4.1.3).
            if key.strip(" \t") == name:
                found.append(value.strip(" \t"))
    if len(found) > 1:
        # A sibling subdomain can plant a second cookie of the same name.
        raise _repeated("more than one cookie carries a token")
    return found[0] if found and found[0] else None


def _refuse_cross_site(head: RequestHead, settings: JWTSettings) -> None:
    """Let a cookie speak only where the browser says that the user's own page is asking."""
    if head.method in _SAFE_METHODS:
        return
    sites = head.values("sec-fetch-site")
    if sites:
        # An unknown word is refused.
        if not _OWN_PAGES[settings.cookie_requests].issuperset(sites):
            raise CrossSiteRequestError
        return
    origins = head.values("origin")
    if origins and not (len(origins) == 1 and _is_own_origin(origins[0], head, settings)):
        raise CrossSiteRequestError
    # Neither header: not a browser, hence nobody whose cookies a page could borrow.


def _is_own_origin(origin: str, head: RequestHead, settings: JWTSettings) -> bool:
    own = settings.public_origin
    if own is not None and settings.cookie_requests == "same-origin":
        return origin.lower() == "/".join(own.split("/", 3)[:3])  # without a proxy's prefix
    return _is_origin_of(origin, head.values("host"))


def _is_origin_of(origin: str, hosts: list[str]) -> bool:
    scheme, separator, authority = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    if not separator or port is None or len(hosts) != 1:  # "null" among others
        return False
    # TLS may end before this process, so the scheme tells nothing but the default port.
    return authority.removesuffix(f":{port}") == hosts[0].lower().removesuffix(f":{port}")


def _repeated(description: str) -> InvalidRequestError:
    return InvalidRequestError(Reason.REPEATED_CREDENTIALS, description)


def _empty() -> InvalidRequestError:
    return InvalidRequestError(Reason.EMPTY_CREDENTIALS, "Bearer stands without a token")
