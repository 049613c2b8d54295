"""The URLs that keys may come from, and the addresses that a connection may reach."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps.keys import host_of, is_issuer_url, is_loopback_host, origin_of_url, shown, split_url
from jwt_deps.keys.http import refuse_address

LEAKY = "leaky-value"

GOOD = {
    "host": "https://issuer.example",
    "path": "https://issuer.example/realms/a",
    "query": "https://issuer.example/keys?version=1",
    "port": "https://issuer.example:8443/",
    "upper-case": "HTTPS://ISSUER.EXAMPLE/",
    "punycode": "https://xn--bcher-kva.example/keys",
    "address": "https://203.0.113.7/",
    "ipv6": "https://[2606:4700::1111]:8443/keys",
    "name-that-begins-like-loopback": "https://localhost.evil.example/",
    "metadata-which-the-dial-refuses": "https://169.254.169.254/",
}

LOOPBACK = {
    "name": "http://localhost:8080/keys",
    "upper-case": "HTTP://LOCALHOST/keys",
    "ipv4": "http://127.0.0.1/keys",
    "ipv4-other": "http://127.255.0.9/keys",
    "ipv6": "http://[::1]:8080/keys",
}

BAD = {
    "empty": ("", "is not a URL"),
    "space": ("https://issuer.example/a b", "is not a URL"),
    "tab": ("https://issuer\t.example/", "is not a URL"),
    "line-break": ("https://issuer.example/\r\nHost: evil.example", "is not a URL"),
    "line-break-at-the-end": ("https://issuer.example/\n", "is not a URL"),
    "nul": ("https://issuer.example/\0", "is not a URL"),
    "delete": ("https://issuer.example/\x7f", "is not a URL"),
    "not-ascii": ("https://bücher.example/", "is not a URL"),
    "full-width-letters": ("https://\uff4cocalhost/", "is not a URL"),
    "port-too-large": ("https://issuer.example:65536/", "is not a URL"),
    "port-negative": ("https://issuer.example:-1/", "is not a URL"),
    "port-in-letters": ("https://issuer.example:https/", "is not a URL"),
    "bracket-open": ("https://[::1/", "is not a URL"),
    "bracket-with-a-name": (f"https://[{LEAKY}]/", "is not a URL"),
    "no-scheme": ("issuer.example/keys", "names no host"),
    "no-host": ("https:///keys", "names no host"),
    "no-host-but-a-port": ("https://:443/keys", "names no host"),
    "file": ("file:///etc/passwd", "names no host"),
    "data": ("data:application/json,{}", "names no host"),
    "user": ("https://alice@issuer.example/", "holds credentials"),
    "user-and-password": (f"https://alice:{LEAKY}@issuer.example/", "holds credentials"),
    "user-empty": ("https://@issuer.example/", "holds credentials"),
    "user-that-looks-like-a-host": ("https://issuer.example@evil.example/", "holds credentials"),
    "backslash-before-at": (r"https://issuer.example\@evil.example/", "holds credentials"),
    "fragment": ("https://issuer.example/#keys", "has a fragment"),
    "fragment-empty": ("https://issuer.example/#", "has a fragment"),
    "ftp": ("ftp://issuer.example/", "does not begin with https://"),
    "ftp-on-this-machine": ("ftp://localhost/", "does not begin with https://"),
    "no-scheme-but-slashes": ("//issuer.example/keys", "does not begin with https://"),
    "http": ("http://issuer.example/", "does not begin with https://"),
    "http-private": ("http://10.0.0.1/", "does not begin with https://"),
    "http-unspecified": ("http://0.0.0.0/", "does not begin with https://"),
    "http-metadata": ("http://169.254.169.254/", "does not begin with https://"),
    "http-ipv4-mapped": ("http://[::ffff:127.0.0.1]/", "does not begin with https://"),
    "http-decimal": ("http://2130706433/", "does not begin with https://"),
    "http-hexadecimal": ("http://0x7f000001/", "does not begin with https://"),
    "http-octal": ("http://0177.0.0.1/", "does not begin with https://"),
    "http-short": ("http://127.1/", "does not begin with https://"),
    "http-name-that-begins-like-loopback": (
        "http://localhost.evil.example/",
        "does not begin with https://",
    ),
    "http-name-that-ends-like-loopback": ("http://evil.localhost/", "does not begin with https://"),
    "http-address-that-begins-like-loopback": (
        "http://127.0.0.1.evil.example/",
        "does not begin with https://",
    ),
    "http-name-with-a-dot-at-the-end": ("http://localhost./", "does not begin with https://"),
}


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("https://a.test/keys", "HTTPS://A.test:443", True),
        ("http://a.test", "http://a.test:80/keys", True),
        ("https://a.test", "https://a.test:80", False),
        ("http://a.test", "https://a.test", False),
        ("https://a.test", "https://b.test", False),
    ],
)
def test_origin(url: str, other: str, *, same: bool) -> None:
    """Scheme, host and port, of which each scheme has its own by default (RFC 6454 §4)."""
    assert same == (origin_of_url(url) == origin_of_url(other))


class TestURLs:
    @pytest.mark.parametrize("allow_loopback", [False, True])
    @pytest.mark.parametrize("url", GOOD.values(), ids=GOOD)
    def test_https_with_a_host(self, url: str, *, allow_loopback: bool) -> None:
        """A URL by `https` with a host is one; where it leads is judged when it is dialled."""
        assert "https" == split_url(url, allow_loopback=allow_loopback).scheme

    @pytest.mark.parametrize("url", LOOPBACK.values(), ids=LOOPBACK)
    def test_http_on_this_machine(self, url: str) -> None:
        """Plain `http` is for this very machine, and only where that is allowed."""
        assert "http" == split_url(url, allow_loopback=True).scheme
        with pytest.raises(ValueError, match="does not begin with https://"):
            split_url(url)

    @pytest.mark.parametrize("host", ["a.test", "a.test:80"])
    def test_http_to_a_host_that_is_named(self, host: str) -> None:
        """With its port, where that is named too; the default one is 80."""
        assert "http" == split_url("http://a.test/keys", http_hosts=[host]).scheme

    @pytest.mark.parametrize("allow_loopback", [False, True])
    @pytest.mark.parametrize(("url", "why"), BAD.values(), ids=BAD)
    def test_everything_else(self, url: str, why: str, *, allow_loopback: bool) -> None:
        """Anything else is refused, with the reason and without the URL."""
        with pytest.raises(ValueError, match=f"^{why}$") as refused:
            split_url(url, allow_loopback=allow_loopback)

        assert refused.value.__cause__ is None
        assert LEAKY not in str(refused.value)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Whatever the text, it is a URL or a `ValueError`."""
        with suppress(ValueError):
            split_url(text, allow_loopback=True)

    @given(st.text(alphabet="htps:/@[]#%?.\\\0\t\n 0x127localhost"))
    def test_a_url_that_is_accepted_has_one_reading(self, rest: str) -> None:
        """It holds no credentials, no fragment and no character that a parser would drop."""
        with suppress(ValueError):
            parts = split_url(f"https://{rest}")

            assert ("https", True) == (parts.scheme, bool(parts.hostname))
            assert not set(rest) & set("#\0\t\n ")
            assert "@" not in parts.netloc

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("https://Issuer.Example:8443/keys", "issuer.example"),
            ("https://[2606:4700::1111]/", "2606:4700::1111"),
            ("urn:issuer", ""),
        ],
        ids=["upper-case", "ipv6", "none"],
    )
    def test_host_of(self, url: str, host: str) -> None:
        """The host is compared in lower case, without brackets and port."""
        assert host == host_of(url)

    @pytest.mark.parametrize(
        ("issuer", "expected"),
        [
            ("https://issuer.example/realms/a", True),
            ("http://localhost:8080", True),
            ("http://issuer.example", False),
            ("https://issuer.example?x", False),
            ("me", False),
        ],
    )
    def test_is_issuer_url(self, issuer: str, *, expected: bool) -> None:
        """By `https`, or on this machine, and without a query (RFC 8414 §2)."""
        assert expected == is_issuer_url(issuer)

    def test_shown(self) -> None:
        """Logs show a URL without its query, on one line, and not too long."""
        url = f"https://issuer.example/{'a' * 1000}?api_key={LEAKY}"

        assert LEAKY not in shown(url)
        assert 256 + len("''") == len(shown(url))

    @pytest.mark.parametrize(
        ("host", "local"),
        [
            ("localhost", True),
            ("127.0.0.1", True),
            ("127.0.0.2", True),
            ("::1", True),
            ("10.0.0.1", False),
            ("localhost.evil.example", False),
            ("2130706433", False),
            ("0x7f.1", False),
        ],
    )
    def test_is_loopback_host(self, host: str, *, local: bool) -> None:
        """This machine is called `localhost`, or by a loopback address in its usual spelling."""
        assert local == is_loopback_host(host)


METADATA = "a link-local or metadata address"
LOCAL = "a loopback address"
RESERVED = "a multicast, reserved or unspecified address"
PRIVATE = "a private address"

ALWAYS_REFUSED = {
    "link-local": ("169.254.1.1", METADATA),
    "link-local-ipv6": ("fe80::1", METADATA),
    "site-local": ("fec0::1", METADATA),
    "link-local-with-a-scope": ("fe80::1%eth0", METADATA),
    "metadata-of-aws-gcp-azure-openstack": ("169.254.169.254", METADATA),
    "metadata-of-aws-ecs": ("169.254.170.2", METADATA),
    "metadata-of-aws-ipv6": ("fd00:ec2::254", METADATA),
    "metadata-of-aws-eks": ("169.254.170.23", METADATA),
    "metadata-of-aws-eks-ipv6": ("fd00:ec2::23", METADATA),
    "metadata-of-gcp-ipv6": ("fd20:ce::254", METADATA),
    "metadata-of-azure": ("168.63.129.16", METADATA),
    "metadata-of-alibaba": ("100.100.100.200", METADATA),
    "metadata-of-oracle": ("192.0.0.192", METADATA),
    "metadata-mapped": ("::ffff:169.254.169.254", METADATA),
    "metadata-mapped-in-hexadecimal": ("::ffff:a9fe:a9fe", METADATA),
    "metadata-through-nat64": ("64:ff9b::169.254.169.254", METADATA),
    "metadata-through-local-nat64": ("64:ff9b:1::169.254.169.254", METADATA),
    "metadata-through-6to4": ("2002:a9fe:a9fe::1", METADATA),
    "metadata-of-alibaba-mapped": ("::ffff:100.100.100.200", METADATA),
    "metadata-with-a-scope": ("fd00:ec2::254%1", METADATA),
    "multicast": ("224.0.0.1", RESERVED),
    "multicast-ipv6": ("ff02::1", RESERVED),
    "broadcast": ("255.255.255.255", RESERVED),
    "reserved": ("240.0.0.1", RESERVED),
    "reserved-ipv6": ("4000::1", RESERVED),
    "unspecified": ("0.0.0.0", RESERVED),  # noqa: S104 - an address to refuse
    "unspecified-ipv6": ("::", RESERVED),
    "unspecified-mapped": ("::ffff:0.0.0.0", RESERVED),
    "ipv4-compatible": ("::127.0.0.1", RESERVED),
    "ipv4-translated": ("::ffff:0:127.0.0.1", RESERVED),
}

LOOPBACK_ADDRESSES = {
    "ipv4": "127.0.0.1",
    "ipv4-other": "127.9.9.9",
    "ipv6": "::1",
    "ipv6-with-a-scope": "::1%lo",
    "mapped": "::ffff:127.0.0.1",
    "nat64": "64:ff9b::127.0.0.1",
    "6to4": "2002:7f00:1::1",
}

PRIVATE_ADDRESSES = {
    "10": "10.1.2.3",
    "172.16": "172.16.0.1",
    "192.168": "192.168.1.1",
    "carrier-grade-nat": "100.64.0.1",
    "this-network": "0.0.0.1",
    "documentation": "192.0.2.1",
    "benchmarking": "198.18.0.1",
    "unique-local": "fd12:3456::1",
    "documentation-ipv6": "2001:db8::1",
    "teredo": "2001::1",
    "mapped": "::ffff:10.0.0.1",
    "nat64": "64:ff9b::10.0.0.1",
    "6to4": "2002:a00:1::1",
}

PUBLIC_ADDRESSES = {
    "ipv4": "1.1.1.1",
    "ipv6": "2606:4700::1111",
    "mapped": "::ffff:1.1.1.1",
    "nat64": "64:ff9b::1.1.1.1",
    "beside-carrier-grade-nat": "100.128.0.1",
    "beside-link-local": "169.255.0.1",
}


def _verdict(address: str, *, loopback: bool = False, private: bool = False) -> str:
    try:
        refuse_address(address, allow_loopback=loopback, allow_private=private)
    except ValueError as error:
        return str(error)
    return "accepted"


class TestDialled:
    @pytest.mark.parametrize(("address", "kind"), ALWAYS_REFUSED.values(), ids=ALWAYS_REFUSED)
    def test_never(self, address: str, kind: str) -> None:
        """What lends a machine its credentials, or is no machine at all, is refused always."""
        assert {kind} == {
            _verdict(address, loopback=loopback, private=private)
            for loopback in (False, True)
            for private in (False, True)
        }

    @pytest.mark.parametrize("address", LOOPBACK_ADDRESSES.values(), ids=LOOPBACK_ADDRESSES)
    def test_this_machine(self, address: str) -> None:
        """This machine is reached where that is allowed, in whatever guise it comes."""
        assert "accepted" == _verdict(address, loopback=True)
        assert LOCAL == _verdict(address)
        assert LOCAL == _verdict(address, private=True)

    @pytest.mark.parametrize("address", PRIVATE_ADDRESSES.values(), ids=PRIVATE_ADDRESSES)
    def test_private_networks(self, address: str) -> None:
        """A private network is reached where the configuration names the host."""
        assert "accepted" == _verdict(address, private=True)
        assert PRIVATE == _verdict(address)
        assert PRIVATE == _verdict(address, loopback=True)

    @pytest.mark.parametrize("address", PUBLIC_ADDRESSES.values(), ids=PUBLIC_ADDRESSES)
    def test_public(self, address: str) -> None:
        """Every other address is an issuer's."""
        assert "accepted" == _verdict(address)

    @given(st.ip_addresses(), st.booleans(), st.booleans())
    def test_any_address(
        self,
        address: IPv4Address | IPv6Address,
        loopback: bool,  # noqa: FBT001 - drawn
        private: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """Whatever the address, it passes or is refused with a `ValueError`."""
        assert _verdict(str(address), loopback=loopback, private=private)

    @given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}", "64:ff9b:1::{}"]))
    def test_an_ipv4_address_inside_an_ipv6_one(self, address: IPv4Address, guise: str) -> None:
        """The same is said of an IPv4 address in every guise."""
        assert _verdict(str(address)) == _verdict(guise.format(address))

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Whatever else a socket should say is no address, and refused as well."""
        assert "accepted" != _verdict(text) or _verdict(text.partition("%")[0]) == "accepted"
