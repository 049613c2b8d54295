"""A certificate-bound token on a server that terminates TLS: nonecorn, by ASGI's `tls`."""

import os
import re
import sys
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.minting import SECRET, claims, mint
from tests.providers.programs import Program

from .clients import Setup, authorities, bound_to, pem_of


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """Run the server, which is a fork of hypercorn and has its module's name."""
    directory = tmp_path_factory.mktemp("nonecorn")
    server_ca, clients_ca = authorities(directory)
    # In a file: on the command line nonecorn 0.18 forgets its own certificate, and fails later.
    files = {"certfile": "server.pem", "keyfile": "server.key", "ca_certs": "clients-ca.pem"}
    configuration = directory / "hypercorn.toml"
    configuration.write_text(
        "".join(f"{name} = {str(directory / file)!r}\n" for name, file in files.items())
    )
    service = Program(
        [
            *(sys.executable, "-m", "hypercorn", "tests.providers.app:app"),
            *("--config", str(configuration), "--bind", "127.0.0.1:0"),
            *("--verify-mode", "CERT_OPTIONAL"),
        ],
        ready=re.compile(r"Running on (https://127\.0\.0\.1:\d+)"),
        log=directory / "app.log",
        environment={
            "PATH": os.environ["PATH"],
            "JWT_SECRET_KEY": SECRET,
            "JWT_CLIENT_CERTIFICATE": "tls",
        },
    )
    alice, bob = (clients_ca.issue_cert(f"{name}.example") for name in ("alice", "bob"))
    try:
        yield Setup(service.start()[1], server_ca, alice, bob)
    finally:
        service.stop()


def test_with_its_certificate(setup: Setup) -> None:
    """Who authenticated with the certificate of the token gets in, again and again."""
    token = bound_to(setup.alice)

    assert [200, 200] == [setup.ask(token, setup.alice) for _ in range(2)]


def test_stolen_token(setup: Setup) -> None:
    """With another certificate of the same authority, or with none, it opens nothing."""
    token = bound_to(setup.alice)

    assert [401, 401] == [setup.ask(token, thief) for thief in (setup.bob, None)]


def test_headers_of_the_client(setup: Setup) -> None:
    """No header counts where the server's own TLS does."""
    forged = {"X-SSL-Client-Cert": quote(pem_of(setup.alice).decode()), "Client-Cert": ":AAAA:"}

    assert 401 == setup.ask(bound_to(setup.alice), setup.bob, forged)


def test_unbound_token(setup: Setup) -> None:
    """A bearer token stays one, with a certificate and without."""
    token = mint(claims(now=time.time()), SECRET)

    assert [200, 200] == [setup.ask(token, certificate) for certificate in (setup.alice, None)]
