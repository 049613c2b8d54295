"""The four sources of a client certificate (RFC 8705), and which of them are trusted."""

import asyncio
import base64
import hashlib
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from fastapi import FastAPI
from fastapi.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from jwt_deps import ConfigurationError, ConfirmationError, JWTSettings, Reason, protect
from jwt_deps.jose import SigningKey
from jwt_deps.possession.mtls import check_certificate
from tests.minting import SECRET

CA = trustme.CA()
ONE, OTHER = (CA.issue_cert(name).cert_chain_pems[0].bytes() for name in ("a.test", "b.test"))
DER = load_pem_x509_certificate(ONE).public_bytes(Encoding.DER)
DIGEST = hashlib.sha256(DER)
BOUND = base64.urlsafe_b64encode(DIGEST.digest()).rstrip(b"=").decode()
SEQUENCE = f":{base64.b64encode(DER).decode()}:"
UNPADDED = f":{base64.b64encode(DER).decode().rstrip('=')}:"
ESCAPED = quote(ONE.decode(), safe="")


def shown(scope: dict[str, Any], source: Any, bound: str = BOUND, **members: Any) -> bool:
    """Whether the certificate counts as shown."""
    usual = {"client_certificate": source, "trusted_proxies": ["10.0.0.0/8", "::1"]}
    settings = JWTSettings(secret_key=SECRET, **{**usual, **members})
    assert settings.server.sender_policy is not None
    try:
        check_certificate({"headers": [], **scope}, bound, settings.server.sender_policy)
    except ConfirmationError as error:
        return error.reason is not Reason.CERTIFICATE
    return True


def sent(name: str, *values: str, client: Any = ("10.1.2.3", 5)) -> dict[str, Any]:
    return {"client": client, "headers": [(name.encode(), value.encode()) for value in values]}


XFCC, RFC, PEM = "x-forwarded-client-cert", "client-cert", "x-ssl-client-cert"


@pytest.mark.parametrize(
    ("source", "scope", "counts"),
    [
        pytest.param("client-cert", sent(RFC, SEQUENCE), True, id="rfc-9440"),
        pytest.param("client-cert", sent(RFC, SEQUENCE, client=("::1", 5)), True, id="ipv6"),
        pytest.param(
            "client-cert", sent(RFC, SEQUENCE, client=("::ffff:10.0.0.1", 5)), True, id="mapped"
        ),
        pytest.param("client-cert", sent(RFC, SEQUENCE, client=("11.0.0.1", 5)), False, id="peer"),
        pytest.param("client-cert", sent(RFC, SEQUENCE, client=None), False, id="no-peer"),
        pytest.param("client-cert", sent(RFC, SEQUENCE, client=("test", 5)), False, id="name"),
        pytest.param("client-cert", sent(RFC, SEQUENCE, SEQUENCE), False, id="repeated"),
        pytest.param("client-cert", sent(RFC), False, id="none"),
        pytest.param("client-cert", sent(RFC, SEQUENCE[1:]), False, id="no-sequence"),
        pytest.param("client-cert", sent(RFC, f"  {SEQUENCE}\t"), True, id="white-space"),
        pytest.param("client-cert", sent(RFC, UNPADDED), True, id="no-padding"),
        *(
            pytest.param("client-cert", sent(RFC, f"{SEQUENCE}{parameters}"), True, id=parameters)
            for parameters in (
                ";a=1",
                ";a",
                "; a=-1.25;  *b_c-d.e*=?0",
                ';a="a \\"quoted\\" ; \\\\ text, with:colons"',
                ";a=to/ke*n:1;b=*",
                ";a=:AAAA:;a=::",
            )
        ),
        *(
            pytest.param("client-cert", sent(RFC, f"{SEQUENCE}{junk}"), False, id=junk)
            for junk in (
                ";",
                " ;a=1",
                ";A=1",
                ";1=1",
                ";a=",
                ";a =1",
                ";a= 1",
                ';a="open',
                ";a=?2",
                ";a=1.",
                ";a=(1 2)",
                ";a=1,",
                ";a=é",
            )
        ),
        pytest.param("client-cert", sent(RFC, f"{SEQUENCE}, {SEQUENCE}"), False, id="two"),
        pytest.param("client-cert", sent(RFC, SEQUENCE * 2), False, id="two-without-a-comma"),
        pytest.param("client-cert", sent(RFC, f"({SEQUENCE})"), False, id="list"),
        pytest.param("client-cert", sent(RFC, f'"{SEQUENCE}"'), False, id="string"),
        pytest.param("client-cert", sent(RFC, ":AAAAA:"), False, id="no-base64"),
        pytest.param("client-cert", sent(RFC, ":AAAA:"), False, id="no-certificate"),
        pytest.param("client-cert", sent(PEM, ESCAPED), False, id="other-header"),
        pytest.param("escaped-pem", sent(PEM, ESCAPED), True, id="nginx"),
        pytest.param("escaped-pem", sent(PEM, quote(OTHER.decode())), False, id="other"),
        pytest.param("escaped-pem", sent(PEM, ESCAPED + ESCAPED), False, id="two-in-one"),
        pytest.param(
            "escaped-pem",
            sent(PEM, quote(ONE.decode().replace("\n", "\n=", 2))),
            False,
            id="equals",
        ),
        pytest.param("escaped-pem", sent(PEM, ""), False, id="empty"),
        pytest.param("escaped-pem", sent(PEM, ESCAPED, ESCAPED), False, id="pem-repeated"),
        pytest.param("xfcc", sent(XFCC, f"Hash={DIGEST.hexdigest()}"), True, id="hash"),
        pytest.param("xfcc", sent(XFCC, f'Cert="{ESCAPED}"'), True, id="cert"),
        pytest.param(
            "xfcc",
            sent(XFCC, f'By=x;Hash={DIGEST.hexdigest()};Cert="{ESCAPED}";Subject="a;\\",b"'),
            True,
            id="envoy",
        ),
        pytest.param(
            "xfcc",
            sent(XFCC, f"By=x;Hash={DIGEST.hexdigest()};URI=a:b;URI=c:d;DNS=a.test;DNS=b.test"),
            True,
            id="several-names",
        ),
        pytest.param(
            "xfcc",
            sent(XFCC, f"By=spiffe://a/b;By=spiffe://a/c;Hash={DIGEST.hexdigest()};by=x"),
            True,
            id="several-names-of-the-proxy",
        ),
        *(
            pytest.param(
                "xfcc",
                sent(XFCC, f"Hash={DIGEST.hexdigest()};{name}=a;{name}=a"),
                False,
                id=f"two-of-{name}",
            )
            for name in ("Hash", "Cert", "Chain", "Subject", "Other")
        ),
        pytest.param(
            "xfcc", sent(XFCC, f'Hash={"0" * 64};Cert="{ESCAPED}"'), False, id="contradiction"
        ),
        pytest.param("xfcc", sent(XFCC, f"Hash={'0' * 64}"), False, id="other-hash"),
        pytest.param("xfcc", sent(XFCC, "Hash=00"), False, id="short-hash"),
        pytest.param("xfcc", sent(XFCC, "Hash=xx"), False, id="no-hex"),
        pytest.param("xfcc", sent(XFCC, "Subject=x"), False, id="neither"),
        pytest.param("xfcc", sent(XFCC), False, id="no-header"),
        pytest.param(
            "xfcc",
            sent(XFCC, f"Hash={DIGEST.hexdigest()},Hash={DIGEST.hexdigest()}"),
            False,
            id="two-elements",
        ),
        pytest.param(
            "xfcc", sent(XFCC, f"Hash={'0' * 64};hash={DIGEST.hexdigest()}"), False, id="two-hashes"
        ),
        pytest.param(
            "xfcc", sent(XFCC, *[f"Hash={DIGEST.hexdigest()}"] * 2), False, id="two-headers"
        ),
    ],
)
def test_headers(source: str, scope: dict[str, Any], counts: bool) -> None:  # noqa: FBT001
    """One header, of one form, from a proxy that is trusted."""
    assert counts is shown(scope, source)


@pytest.mark.parametrize("value", ["", "Hash=", 'Hash=""', "Hash=aa", "By=x", "Cert="])
def test_attack_a_token_that_is_bound_to_an_empty_thumbprint(value: str) -> None:
    """An issuer may sign what its own proxy lacked; no certificate has that thumbprint."""
    assert not shown(sent(XFCC, value), "xfcc", bound="")


@pytest.mark.parametrize(
    ("header", "value", "client", "counts"),
    [
        pytest.param("x-forwarded-for", "10.1.2.3", "10.1.2.3", False, id="alone"),
        pytest.param("x-forwarded-for", "8.8.8.8, 10.1.2.3:99", "10.1.2.3", False, id="port"),
        pytest.param("x-forwarded-for", "10.1.2.3%a b", "10.1.2.3%a b", False, id="zone"),
        pytest.param("x-forwarded-for", "[::1]:99", "::1", False, id="ipv6"),
        pytest.param("forwarded", 'for="10.1.2.3";proto=https', "10.1.2.3", False, id="rfc-7239"),
        pytest.param("x-real-ip", "10.1.2.3", "10.1.2.3", False, id="real-ip"),
        pytest.param("x-forwarded-for", "8.8.8.8", "10.1.2.3", True, id="the-clients"),
        pytest.param("x-forwarded-for", "10.1.2.30, 110.1.2.3", "10.1.2.3", True, id="longer"),
        *(
            pytest.param(name, "10.1.2.3", "10.1.2.3", False, id=name)
            for name in (
                "cf-connecting-ip",
                "cf-connecting-ipv6",
                "cloudfront-viewer-address",
                "do-connecting-ip",
                "fastly-client-ip",
                "fly-client-ip",
                "true-client-ip",
                "x-appengine-user-ip",
                "x-azure-clientip",
                "x-azure-socketip",
                "x-client-ip",
                "x-cluster-client-ip",
                "x-envoy-external-address",
                "x-original-forwarded-for",
                "x-vercel-forwarded-for",
            )
        ),
        pytest.param("x-other", "10.1.2.3", "10.1.2.3", True, id="another-header"),
    ],
)
def test_address_out_of_a_header(header: str, value: str, client: str, counts: bool) -> None:  # noqa: FBT001
    """A server may take the client's address from a header, and then the client chose it."""
    scope = sent(RFC, SEQUENCE, client=(client, 5))
    scope["headers"].append((header.encode(), value.encode()))

    assert counts is shown(scope, "client-cert")


def test_attack_the_usual_forwarding_headers_beside_another_one() -> None:
    """A server or middleware may read another one too; with an empty list none is looked at."""
    own, usual = (sent(RFC, SEQUENCE) for _ in range(2))
    own["headers"].append((b"x-our-client", b"10.1.2.3"))
    usual["headers"].append((b"x-forwarded-for", b"10.1.2.3"))

    names = ["X-Our-Client"]

    assert not shown(own, "client-cert", forwarding_headers=names)
    assert not shown(usual, "client-cert", forwarding_headers=names)
    assert shown(own, "client-cert")
    assert shown(usual, "client-cert", forwarding_headers=[])


UNIX = ("/run/app.sock", None)


@pytest.mark.parametrize(
    ("client", "server", "counts"),
    [
        pytest.param(None, UNIX, True, id="unix"),
        pytest.param(None, None, True, id="server-that-says-nothing"),
        pytest.param(None, ("127.0.0.1", 8000), False, id="tcp-of-unknown-peer"),
        pytest.param(("127.0.0.1", 5), UNIX, False, id="address-out-of-a-header"),
        pytest.param(("127.0.0.1", 5), ("127.0.0.1", 8000), False, id="tcp"),
        pytest.param(("", 0), ("127.0.0.1", 8000), False, id="empty"),
        pytest.param(("unix", 0), ("127.0.0.1", 8000), False, id="name"),
        pytest.param(("10.1.2.3", 5), ("127.0.0.1", 8000), True, id="network"),
    ],
)
def test_unix_socket(client: Any, server: Any, counts: bool) -> None:  # noqa: FBT001
    """Peers of the socket are trusted, besides the networks, and no others."""
    scope = {**sent(RFC, SEQUENCE, client=client), "server": server}

    assert counts is shown(scope, "client-cert", trusted_proxies=["unix", "10.0.0.0/8"])
    assert not shown(sent(RFC, SEQUENCE, client=None), "client-cert")


def test_uvicorn_with_proxy_headers() -> None:
    """Configured to trust every X-Forwarded-For, it takes the first address in it."""
    found = []

    async def app(scope: Any, *_: object) -> None:
        found.append((scope["client"][0], shown(scope, "client-cert")))

    forged = sent(RFC, SEQUENCE, client=("203.0.113.9", 5))
    forged["headers"].append((b"x-forwarded-for", b"10.1.2.3"))
    served: Any = ProxyHeadersMiddleware(app, trusted_hosts="*")
    asyncio.run(served({"type": "http", **forged}, None, None))

    assert [("10.1.2.3", False)] == found


@pytest.mark.parametrize(
    ("tls", "counts"),
    [
        pytest.param({"client_cert_chain": [ONE.decode(), OTHER.decode()]}, True, id="leaf-first"),
        pytest.param({"client_cert_chain": (OTHER.decode(), ONE.decode())}, False, id="not-leaf"),
        pytest.param({"client_cert_chain": []}, False, id="none"),
        pytest.param(
            {"client_cert_chain": [ONE.decode()], "client_cert_error": "x"}, False, id="unverified"
        ),
        pytest.param(None, False, id="no-tls"),
    ],
)
def test_the_servers_own_tls(tls: Any, counts: bool) -> None:  # noqa: FBT001
    """By the ASGI extension; no header counts then."""
    forged = sent(RFC, SEQUENCE)

    assert counts is shown({**forged, "extensions": {"tls": tls} if tls else None}, "tls")


def test_name_of_the_header() -> None:
    assert shown(sent("x-cert", ESCAPED), "escaped-pem", client_certificate_header="X-Cert")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param({"client_certificate": "xfcc"}, "no_trusted_proxies", id="nobody-trusted"),
        pytest.param({"trusted_proxies": "proxy.test"}, "invalid_setting", id="no-network"),
        pytest.param({"trusted_proxies": "UNIX"}, "invalid_setting", id="unix-in-capitals"),
        pytest.param({"forwarding_headers": "x y"}, "invalid_setting", id="no-header"),
        pytest.param({"forwarding_headers": ["ä"]}, "invalid_setting", id="no-ascii"),
        # As a variable that is not set makes it. No header would be looked at.
        pytest.param({"forwarding_headers": ""}, "invalid_setting", id="empty-text"),
        pytest.param({"forwarding_headers": " "}, "invalid_setting", id="white-space"),
        pytest.param({"dpop": "allowed"}, "no_public_origin", id="no-origin"),
        pytest.param({"public_origin": "api.example.com"}, "invalid_setting", id="no-scheme"),
        pytest.param({"public_origin": "http://api.example.com"}, "invalid_setting", id="http"),
        pytest.param({"public_origin": "ftp://api.example.com"}, "invalid_setting", id="ftp"),
        pytest.param({"public_origin": "https://a.test/?x"}, "invalid_setting", id="query"),
        pytest.param({"dpop_algorithms": "ES256,HS256"}, "invalid_setting", id="symmetric"),
        pytest.param({"dpop_algorithms": []}, "invalid_setting", id="no-algorithm"),
        pytest.param({"dpop_nonce_keys": ["short"]}, "invalid_setting", id="short-key"),
        pytest.param(
            {"dpop_nonce_keys": ["/run/secrets/orders/jwt_nonce_key"]}, "invalid_setting", id="path"
        ),
        pytest.param(
            {"dpop_nonce_keys": ["https://vault.example/v1/secret/orders"]},
            "invalid_setting",
            id="address",
        ),
        pytest.param(
            {"dpop_nonce_keys": [SigningKey.generate("ES256").public_pem]},
            "invalid_setting",
            id="public-key",
        ),
        pytest.param({"dpop_replay_store": "http://x"}, "replay_store", id="no-store"),
        pytest.param({"dpop_replay_store": 5}, "invalid_setting", id="number-for-a-store"),
    ],
)
def test_what_cannot_work(values: dict[str, Any], reason: str) -> None:
    """It is refused when the settings are built."""
    with pytest.raises(ConfigurationError) as refused:
        JWTSettings(secret_key=SECRET, **values)

    assert reason == refused.value.reason


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://[::1]", "https://A.test/v1/"])
def test_origins_that_work(origin: str) -> None:
    """`http` for this very machine."""
    assert JWTSettings(secret_key=SECRET, public_origin=origin).public_origin


def test_the_challenge_where_certificates_are_checked() -> None:
    """It is that of a bearer token (RFC 8705 §3), and says nothing of DPoP."""
    proxies = ["10.0.0.0/8"]
    settings = JWTSettings(
        secret_key=SECRET, client_certificate="client-cert", trusted_proxies=proxies
    )
    app = protect(FastAPI(), settings)
    app.get("/x")(lambda: None)

    answer = TestClient(app).get("/x")

    assert 401 == answer.status_code
    assert 'Bearer realm="api"' == answer.headers["www-authenticate"]
