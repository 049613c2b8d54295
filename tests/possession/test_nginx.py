"""A certificate-bound token is accepted behind a real nginx only with its certificate."""

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import httpx2
import pytest
import trustme

from tests.minting import SECRET, claims, mint
from tests.providers.programs import Program, unused_port
from tests.proxies import nginx_conf, serving, shown

from .clients import Setup, authorities, bound_to, pem_of

_UVICORN = ("-m", "uvicorn", "tests.providers.app:app", "--no-use-colors", "--no-proxy-headers")


@dataclass(frozen=True)
class Proxied(Setup):
    """What is behind the proxy as well, and a client of an authority that it does not know."""

    direct: str
    stranger: trustme.LeafCert


@pytest.fixture(scope="module", params=["127.0.0.1", "unix"])
def setup(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """Run uvicorn, and nginx in front of it, by a connection of TCP or by a Unix socket."""
    directory = tmp_path_factory.mktemp("mtls")
    server_ca, clients_ca = authorities(directory)
    within_reach = TemporaryDirectory()  # of nginx's workers, who are not the user of the tests
    Path(within_reach.name).chmod(0o755)
    unix = f"{within_reach.name}/app.sock"
    bound = ["--uds", unix] if request.param == "unix" else ["--host", "127.0.0.1", "--port", "0"]
    service = Program(
        [sys.executable, *_UVICORN, *bound],
        ready=re.compile(r"Uvicorn running on (?:unix socket )?(http://127\.0\.0\.1:\d+|/\S+)"),
        log=directory / "app.log",
        environment={
            "PATH": os.environ["PATH"],
            "JWT_SECRET_KEY": SECRET,
            "JWT_CLIENT_CERTIFICATE": "escaped-pem",
            "JWT_TRUSTED_PROXIES": request.param,
        },
    )
    port = unused_port()
    block = shown("sender-constrained.md", "nginx")[0]
    try:
        direct = service.start()[1]
        upstream = f"http://unix:{direct}" if request.param == "unix" else direct
        block = block.replace("8443", str(port)).replace("http://127.0.0.1:8000", upstream)
        with serving("nginx", {"nginx.conf": nginx_conf(block)}, directory):
            yield Proxied(
                f"https://127.0.0.1:{port}",
                server_ca,
                clients_ca.issue_cert("alice.example"),
                clients_ca.issue_cert("bob.example"),
                direct,
                trustme.CA().issue_cert("alice.example"),
            )
    finally:
        service.stop()
        within_reach.cleanup()


def test_with_its_certificate(setup: Proxied) -> None:
    """Who authenticated with the certificate of the token gets in, again and again."""
    token = bound_to(setup.alice)

    assert [200, 200] == [setup.ask(token, setup.alice) for _ in range(2)]


def test_stolen_token(setup: Proxied) -> None:
    """With another certificate of the same authority, or with none, it opens nothing."""
    token = bound_to(setup.alice)

    assert 200 == setup.ask(token, setup.alice)  # it is remembered now
    assert [401, 401] == [setup.ask(token, thief) for thief in (setup.bob, None)]


def test_certificate_of_a_stranger(setup: Proxied) -> None:
    """Nginx itself refuses a certificate of an authority that it does not know."""
    assert 400 == setup.ask(bound_to(setup.stranger), setup.stranger)


def test_header_of_the_client(setup: Proxied) -> None:
    """Nginx overwrites what a client says about its certificate."""
    forged = {"X-SSL-Client-Cert": quote(pem_of(setup.alice).decode())}

    assert 401 == setup.ask(bound_to(setup.alice), None, forged)


def test_unbound_token(setup: Proxied) -> None:
    """A bearer token stays one."""
    assert 200 == setup.ask(mint(claims(now=time.time()), SECRET), None)


def test_without_the_proxy(setup: Proxied) -> None:
    """A connection that shows no certificate at all is refused."""
    headers = {"Authorization": f"Bearer {bound_to(setup.alice)}"}
    unix = setup.direct if setup.direct.startswith("/") else None
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=unix)) as http:
        address = "http://localhost" if unix else setup.direct

        assert 401 == http.get(f"{address}/me", headers=headers).status_code
