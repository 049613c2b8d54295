"""A certificate-bound token behind a real Envoy, in each of its modes for XFCC."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from textwrap import indent

import httpx2
import pytest
import trustme
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate
from fastapi import FastAPI

from jwt_deps import JWTSettings, forward_auth, protect
from tests.listening import listening
from tests.minting import SECRET
from tests.providers.programs import browser, unused_port
from tests.proxies import envoy_yaml, serving, shown

from .clients import Setup, authorities, bound_to, pem_of

MODES = ("SANITIZE", "SANITIZE_SET", "APPEND_FORWARD", "FORWARD_ONLY", "ALWAYS_FORWARD_ONLY")
#: Everything that it can tell of a certificate.
DETAILS = """SANITIZE_SET
          set_current_client_cert_details:
            {subject: true, cert: true, chain: true, dns: true, uri: true}"""


#: The listener that asks `forward_auth` about each request, as the other page shows it.
ASKING = "forward-auth"


async def me() -> None:
    """What there is behind Envoy."""


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[str, str]]:
    """A service that takes certificates from Envoy, one that Envoy asks, and one without checks."""
    settings = JWTSettings(
        secret_key=SECRET, client_certificate="xfcc", trusted_proxies=["127.0.0.1"]
    )
    guarded, plain = protect(FastAPI(), settings), FastAPI()
    for app in (guarded, plain):
        app.get("/me")(me)
    apps = {
        "api": guarded,
        "auth": forward_auth(settings, trusted_proxies="127.0.0.1"),
        "plain": plain,
    }
    with ExitStack() as servers:
        yield {
            name: f"127.0.0.1:{servers.enter_context(listening(app, proxy_headers=False))}"
            for name, app in apps.items()
        }


def asking(block: str) -> str:
    """What the page shows, with the filters of the other page."""
    filters = shown("how-to/behind-a-proxy.md", "Envoy")[0].partition("http_filters:")[2]
    filters = filters.replace("{exact: cookie}", "{exact: x-forwarded-client-cert}")
    before = block.replace("cluster: api", "cluster: plain").partition("http_filters:")[0]
    return f"{before}http_filters:{indent(filters, ' ' * 10)}"


@pytest.fixture(scope="module")
def setups(
    clusters: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Setup]]:
    """One Envoy, with a listener for each mode."""
    directory = tmp_path_factory.mktemp("envoy")
    server_ca, clients_ca = authorities(directory)
    block = shown("sender-constrained.md", "Envoy")[0]
    block = block.replace("filename: ", "filename: DIRECTORY/")
    chains = {mode: block.replace("SANITIZE_SET", mode) for mode in (*MODES, DETAILS)}
    chains[ASKING] = asking(block)
    ports = {name: unused_port() for name in chains}
    listeners = {port: chains[name] for name, port in ports.items()}
    setup = Setup(
        "",
        server_ca,
        clients_ca.issue_cert("alice.example"),
        clients_ca.issue_cert("bob.example", "b.example", common_name='b, "o"; b'),
    )
    with serving("envoy", {"envoy.yaml": envoy_yaml(listeners, clusters)}, directory):
        yield {
            name: replace(setup, origin=f"https://127.0.0.1:{port}") for name, port in ports.items()
        }


def forged(certificate: trustme.LeafCert) -> dict[str, str]:
    """What Envoy would write about a certificate."""
    digest = load_pem_x509_certificate(pem_of(certificate)).fingerprint(SHA256())
    return {"X-Forwarded-Client-Cert": f"Hash={digest.hex()}"}


@pytest.mark.parametrize(
    "mode", ["SANITIZE_SET", DETAILS, ASKING], ids=["hash", "details", "forward-auth"]
)
def test_with_its_certificate(setups: dict[str, Setup], mode: str) -> None:
    """Its owner gets in, and no client with another certificate or with none."""
    setup = setups[mode]
    for owner, thief in ((setup.alice, setup.bob), (setup.bob, setup.alice)):
        token = bound_to(owner)

        assert [200, 401, 401] == [setup.ask(token, one) for one in (owner, thief, None)]


@pytest.mark.parametrize(
    ("mode", "honest", "with_another", "without"),
    [
        ("SANITIZE", 401, 401, 401),
        ("SANITIZE_SET", 200, 401, 401),
        (ASKING, 200, 401, 401),
        ("APPEND_FORWARD", 200, 401, 401),
        # A service behind these cannot tell: the documentation says so.
        ("FORWARD_ONLY", 401, 200, 401),
        ("ALWAYS_FORWARD_ONLY", 401, 200, 200),
    ],
)
def test_attack_a_header_of_the_client(
    setups: dict[str, Setup], mode: str, honest: int, with_another: int, without: int
) -> None:
    """Whether Envoy drops it is a matter of its mode, as the table of the page says."""
    setup = setups[mode]
    token, header = bound_to(setup.alice), forged(setup.alice)

    assert honest == setup.ask(token, setup.alice)
    assert with_another == setup.ask(token, setup.bob, header)
    assert without == setup.ask(token, None, header)


def test_certificate_of_a_stranger(setups: dict[str, Setup]) -> None:
    """Envoy itself ends the connection of one whose authority it does not know."""
    stranger = trustme.CA().issue_cert("alice.example")

    with pytest.raises(httpx2.TransportError):
        setups["SANITIZE_SET"].ask(bound_to(stranger), stranger)


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("127.0.0.2", 401)])
def test_without_the_proxy(
    setups: dict[str, Setup], clusters: dict[str, str], address: str, status: int
) -> None:
    """The header is accepted from Envoy's address alone."""
    alice = setups["SANITIZE_SET"].alice
    headers = {"Authorization": f"Bearer {bound_to(alice)}", **forged(alice)}
    with browser(f"http://{clusters['api']}", address=address) as http:
        assert status == http.get("/me", headers=headers).status_code
