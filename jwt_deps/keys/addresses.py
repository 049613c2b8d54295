"""May keys come from there? The URLs that are fetched, and the addresses that are dialled.

A URL is judged twice: when it is configured or read in a discovery document, and again by the
address that the connection really reached, because a name can point anywhere (RFC 8725 §3.10).
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

__all__ = ["host_of", "is_issuer_url", "is_loopback_host", "refuse_address", "shown", "split_url"]

# RFC 3986 §2: what a URL consists of. Python's parser drops tabs and line breaks silently.
_URL = re.compile(r"[\x21-\x7e]+")

# Where clouds keep the credentials of the machine itself; most are link-local, these are not.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::23",
            "fd00:ec2::254",
            "fd20:ce::254",
        ),
    )
)
# IPv6 addresses that lead to an IPv4 one: NAT64 (RFC 6052, RFC 8215) carries it at the end.
_NAT64 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48")))

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def split_url(url: str, *, allow_loopback: bool = False) -> SplitResult:
    """Take a URL apart that keys may be fetched from: `https`, a host, no credentials.

    Args:
        url: the URL.
        allow_loopback: whether it may also be `http` on this very machine.

    Raises:
        ValueError: it is not such a URL; the message says why and does not quote it.
    """
    if not _URL.fullmatch(url):
        raise ValueError("is not a URL")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise ValueError("is not a URL") from None  # the parser's message quotes it
    if not parts.hostname:
        raise ValueError("names no host")
    if "@" in parts.netloc:
        raise ValueError("holds credentials")
    if "#" in url:
        raise ValueError("has a fragment")
    local = parts.scheme == "http" and allow_loopback and is_loopback_host(parts.hostname)
    if parts.scheme != "https" and not local:
        raise ValueError("does not begin with https://")
    return parts


def is_issuer_url(text: str) -> bool:
    """Whether an issuer is the URL of an authorization server (RFC 8414 §2)."""
    try:
        split_url(text, allow_loopback=True)
    except ValueError:
        return False
    return "?" not in text


def host_of(url: str) -> str:
    """The host that a URL names, in lower case; none if it is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def shown(url: str) -> str:
    """A URL for logs and health reports: without its query, which may hold a key of somebody's."""
    return repr(url.partition("?")[0][:256])


def is_loopback_host(host: str) -> bool:
    """Whether a host, as a URL names it, is this machine."""
    if host == "localhost":  # what it leads to is checked when it is dialled
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_address(text: str, *, allow_loopback: bool, allow_private: bool) -> None:
    """Refuse an address that an identity provider cannot have.

    Link-local, metadata, multicast and reserved addresses are refused always.

    Args:
        text: the IP address that a connection reached.
        allow_loopback: whether it may be this machine.
        allow_private: whether it may be in a private network.

    Raises:
        ValueError: the address is refused; the message names its kind.
    """
    address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    if address.is_link_local or site_local or address in _METADATA:
        raise ValueError("a link-local or metadata address")
    if address.is_loopback:
        if not allow_loopback:
            raise ValueError("a loopback address")
        return
    if address.is_multicast or address.is_reserved or address.is_unspecified:
        raise ValueError("a multicast, reserved or unspecified address")
    if not address.is_global and not allow_private:
        raise ValueError("a private address")


def _innermost(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
