"""Clients with certificates by trustme, and tokens for them."""

import base64
import hashlib
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from tests.minting import SECRET, claims, mint


@dataclass(frozen=True)
class Setup:
    """A server that ends TLS, and two clients with certificates."""

    origin: str
    server_ca: trustme.CA
    alice: trustme.LeafCert
    bob: trustme.LeafCert

    def ask(
        self,
        token: str,
        certificate: trustme.LeafCert | None,
        headers: dict[str, str] | None = None,
    ) -> int:
        """Ask over TLS, with a certificate or without, and return the status."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.server_ca.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        with httpx2.Client(verify=context, trust_env=False) as http:
            return http.get(f"{self.origin}/me", headers=sent).status_code


def authorities(directory: Path) -> tuple[trustme.CA, trustme.CA]:
    """Make the server's and its clients'; what a server is configured with is written there."""
    server_ca, clients_ca = trustme.CA(), trustme.CA()
    server = server_ca.issue_cert("127.0.0.1")
    server.cert_chain_pems[0].write_to_path(directory / "server.pem")
    server.private_key_pem.write_to_path(directory / "server.key")
    clients_ca.cert_pem.write_to_path(directory / "clients-ca.pem")
    return server_ca, clients_ca


def pem_of(certificate: trustme.LeafCert) -> bytes:
    """Return the certificate itself, without its chain."""
    return certificate.cert_chain_pems[0].bytes()


def thumbprint(certificate: trustme.LeafCert) -> str:
    """Return `x5t#S256` (RFC 8705 §3.1)."""
    der = load_pem_x509_certificate(pem_of(certificate)).public_bytes(Encoding.DER)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def bound_to(certificate: trustme.LeafCert) -> str:
    """Return a token that is bound to a certificate."""
    return mint(claims(now=time.time(), cnf={"x5t#S256": thumbprint(certificate)}), SECRET)
