"""Which peers are proxies whose headers about a client are accepted."""

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_UNIX = "unix"


class TrustedProxies(NamedTuple):
    """The proxies whose headers are accepted; `by_unix`: all that connect by a Unix socket."""

    networks: tuple[_Network, ...]
    by_unix: bool

    @classmethod
    def named(cls, names: Iterable[str]) -> "TrustedProxies":
        """Those that are named by addresses and networks, `10.0.0.0/8` for instance, or `unix`."""
        given = list(names)
        networks = tuple(ipaddress.ip_network(name) for name in given if name != _UNIX)
        return cls(networks, _UNIX in given)

    def include_peer_of(
        self, scope: Mapping[str, Any], forwarding_headers: Collection[bytes]
    ) -> bool:
        """Whether the peer of a connection is one of them.

        A server may take the address of a client from the `forwarding_headers`, as uvicorn with
        `--proxy-headers` does. Any client can write them, so that an address that one of them names
        is not trusted.
        """
        client = scope.get("client")
        if client is None:
            # Of a Unix socket there is a path and no port, or nothing (ASGI, HTTP connection
            # scope).
            _, port = scope.get("server") or (None, None)
            return self.by_unix and port is None
        host = str(client[0])
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        named = rf"(?<![0-9A-Fa-f.]){re.escape(host)}(?![0-9A-Fa-f.])"
        forwarded = (value for name, value in scope["headers"] if name in forwarding_headers)
        if any(re.search(named, value.decode("latin-1")) for value in forwarded):
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.networks)
