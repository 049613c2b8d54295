"""The sender constraint that a service asks of its tokens: DPoP (RFC 9449), mTLS (RFC 8705)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jwt_deps.errors import ConfirmationError, Reason

from .nonces import Nonces
from .proxies import TrustedProxies
from .replay_store import ReplayStore


class DPoPMode(StrEnum):
    """Whether tokens are bound to a key that their sender proves with each request (RFC 9449)."""

    OFF = "off"
    ALLOWED = "allowed"
    REQUIRED = "required"


class ClientCertificate(StrEnum):
    """Where the certificate comes from that a client authenticated with (RFC 8705)."""

    OFF = "off"
    TLS = "tls"
    CLIENT_CERT = "client-cert"
    XFCC = "xfcc"
    ESCAPED_PEM = "escaped-pem"


@dataclass(frozen=True, slots=True)
class SenderPolicy:
    """What the settings ask of the sender of a token.

    Names of headers are in lower case, as in ASGI.

    Attributes:
        origin: what clients call this service, without a trailing slash; empty without DPoP.
        algorithms: the algorithms that are accepted of proofs.
        nonces: the nonces of this service; `None` if it asks for none.
        certificate_header: the header that holds a certificate, where that can be chosen.
        proxies: the proxies whose header with a certificate is accepted.
        forwarding_headers: those from which a server or middleware may take a client's address.
        token_header: the header that carries the token.
    """

    dpop: DPoPMode
    origin: str
    algorithms: tuple[str, ...]
    nonces: Nonces | None
    store: ReplayStore
    certificate: ClientCertificate
    certificate_header: bytes
    proxies: TrustedProxies
    forwarding_headers: frozenset[bytes]
    token_header: bytes

    def refuse_unbound(self, bound: Mapping[str, Any], *, by_dpop: bool = False) -> None:
        """Refuse a token without a DPoP key in `cnf`, where settings or scheme need one."""
        if "jkt" not in bound and (by_dpop or self.dpop is DPoPMode.REQUIRED):
            raise ConfirmationError(Reason.NOT_BOUND, "it is not bound to a DPoP key")

    @property
    def provable(self) -> frozenset[str]:
        """The members of `cnf` (RFC 7800) that can be proved."""
        members = {"jkt": self.with_dpop, "x5t#S256": self.with_certificates}
        return frozenset(name for name, is_provable in members.items() if is_provable)

    @property
    def with_dpop(self) -> bool:
        """Whether a key can be proved."""
        return self.dpop is not DPoPMode.OFF

    @property
    def with_certificates(self) -> bool:
        """Whether a certificate can be proved."""
        return self.certificate is not ClientCertificate.OFF
