"""Settings of the sender constraint: DPoP (RFC 9449) and mutual TLS (RFC 8705)."""

from inspect import iscoroutinefunction
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import ALGORITHMS, HMAC_ALGORITHMS, key_form
from jwt_deps.keys import host_of, is_loopback_host
from jwt_deps.possession import (
    ClientCertificate,
    DPoPMode,
    MemoryReplayStore,
    Nonces,
    RedisReplayStore,
    ReplayStore,
    SenderPolicy,
    TrustedProxies,
    origin_of,
)

from .env_values import HEADER_NAME, GivenSeveral, OneOrSeveral, Secrets, Several, as_tuple

_SHORTEST_SECRET = 32
_MEMORY = "memory"
_FORWARDING = (
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CloudFront-Viewer-Address",
    "DO-Connecting-IP",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "Forwarded",
    "True-Client-IP",
    "X-AppEngine-User-IP",
    "X-Azure-ClientIP",
    "X-Azure-SocketIP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Forwarded-For",
    "X-Original-Forwarded-For",
    "X-Real-IP",
    "X-Vercel-Forwarded-For",
)


def _store(value: Any) -> str | ReplayStore:
    if value == _MEMORY:
        return _MEMORY
    if isinstance(value, str):
        return RedisReplayStore(value)  # its repr hides the password in the address
    add, close = (getattr(value, name, None) for name in ("add_if_absent", "close"))
    is_store = iscoroutinefunction(add) and (close is None or iscoroutinefunction(close))
    if not is_store or isinstance(value, type):
        raise ValueError(
            "has to be 'memory', the address of a server, or a ReplayStore with async methods"
        )
    store: ReplayStore = value
    return store


class SenderSettings(BaseModel):
    """The part of `JWTSettings` for the sender constraint."""

    # `JWTSettings` is built of it, and it is not used by itself.
    model_config = ConfigDict(defer_build=True)

    dpop: DPoPMode = DPoPMode.OFF
    """`off`, `allowed` or `required`: whether tokens are bound to a key, of which the client sends
    a proof with each request (RFC 9449)."""
    public_origin: str | None = None
    """The address of this service for clients, `https://api.example.com`, with the path prefix
    that a proxy removes. Proofs are made for that address; no header of a request changes it."""
    dpop_algorithms: OneOrSeveral = Field(
        default_factory=lambda: ["ES256", "PS256", "Ed25519", "EdDSA"]
    )
    """The accepted algorithms of DPoP proofs. Clients make new keys for DPoP, so none needs
    RS256."""
    dpop_nonce_keys: Secrets = Field(default_factory=list)
    """Secrets for nonces, which proofs then need: the first one encrypts, all decrypt."""
    dpop_replay_store: Annotated[str | ReplayStore, NoDecode, PlainValidator(_store)] = _MEMORY
    """Where used proofs are recorded: `memory`, for one process; `redis://...`, for several
    (`jwt-deps[redis]`); or a `ReplayStore` of your own."""
    client_certificate: ClientCertificate = ClientCertificate.OFF
    """Where the certificate comes from that tokens are bound to (RFC 8705): `off`; `tls`, the
    server's own TLS; or from a proxy's header `client-cert` (RFC 9440), `xfcc`, `escaped-pem`."""
    client_certificate_header: str = "X-SSL-Client-Cert"
    """The header of `escaped-pem`, PEM in URL encoding, as nginx writes it."""
    trusted_proxies: Several = Field(default_factory=list)
    """Addresses and networks of the proxies whose header with a certificate is accepted; `unix`
    for those that connect by a Unix socket."""
    forwarding_headers: GivenSeveral = Field(default_factory=lambda: list(_FORWARDING))
    """The headers from which a server or middleware takes a client's address. An address that one
    of them names is not trusted as a proxy's. Others are added to these; an empty list is none."""

    @field_validator("public_origin")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            origin = origin_of(value)
        except ValueError:
            raise ValueError("has to be an address such as https://api.example.com") from None
        if origin.startswith("http:") and not is_loopback_host(host_of(origin)):
            raise ValueError("has to begin with https://, or with http:// for this machine")
        return origin

    @field_validator("dpop_algorithms")
    @classmethod
    def _are_asymmetric(cls, value: str | list[str]) -> str | list[str]:
        names = as_tuple(value)
        if not names or not {*names} <= ALGORITHMS - HMAC_ALGORITHMS.keys():
            raise ValueError("has to be one or several of RS, PS, ES 256 to 512, Ed25519 and EdDSA")
        return value

    @field_validator("dpop_nonce_keys")
    @classmethod
    def _are_long(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(secret.get_secret_value()) < _SHORTEST_SECRET for secret in value):
            raise ValueError(f"has a secret of fewer than {_SHORTEST_SECRET} characters")
        if any(key_form(secret.get_secret_value()) is not None for secret in value):
            raise ValueError(
                "has a key, an address, a path, or a reference that nothing resolved, and no secret"
            )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        try:
            TrustedProxies.named(value)
        except ValueError:
            raise ValueError(
                "has to be IP addresses or networks, 10.0.0.0/8 for instance, or unix"
            ) from None
        return value

    @field_validator("forwarding_headers")
    @classmethod
    def _are_headers(cls, value: list[str]) -> list[str]:
        if not all(map(HEADER_NAME.fullmatch, value)):
            raise ValueError("has to be header names, X-Forwarded-For for instance")
        return value

    @model_validator(mode="after")
    def _can_be_proved(self) -> Self:
        by_dpop = self.dpop is not DPoPMode.OFF
        by_certificate = self.client_certificate is not ClientCertificate.OFF
        if by_dpop and self.public_origin is None:
            raise ConfigurationError(
                "no_public_origin",
                "JWT_DPOP (dpop) needs JWT_PUBLIC_ORIGIN (public_origin), the address of this "
                "service for clients: proofs are made for it, and any client can write a header.",
            )
        unused = {name for name in self.model_fields_set if name.startswith("dpop_")}
        if unused and "dpop" not in self.model_fields_set:
            name = min(unused)
            raise ConfigurationError(
                "invalid_setting",
                f"JWT_{name.upper()} ({name}) is for DPoP, which is off: set JWT_DPOP (dpop), to "
                "off if that is meant.",
            )
        by_header = by_certificate and self.client_certificate is not ClientCertificate.TLS
        if by_header and not self.trusted_proxies:
            raise ConfigurationError(
                "no_trusted_proxies",
                "JWT_CLIENT_CERTIFICATE (client_certificate) takes it from a header, and needs "
                "JWT_TRUSTED_PROXIES (trusted_proxies): any client could write that header.",
            )
        return self

    @property
    def forwarding_header_names(self) -> frozenset[bytes]:
        """The `forwarding_headers` as ASGI has them, with the usual ones."""
        names = self.forwarding_headers and {*_FORWARDING, *self.forwarding_headers}
        return frozenset(name.lower().encode("ascii") for name in names)

    def _make_sender_policy(self, token_header: bytes) -> SenderPolicy | None:
        by_certificate = self.client_certificate is not ClientCertificate.OFF
        if self.dpop is DPoPMode.OFF and not by_certificate:
            return None
        store = self.dpop_replay_store
        keys = [secret.get_secret_value() for secret in self.dpop_nonce_keys]
        return SenderPolicy(
            dpop=self.dpop,
            origin=self.public_origin or "",
            algorithms=as_tuple(self.dpop_algorithms),
            nonces=Nonces(keys) if keys else None,
            store=_IN_MEMORY if isinstance(store, str) else store,
            certificate=self.client_certificate,
            certificate_header=self.client_certificate_header.lower().encode("latin-1"),
            proxies=TrustedProxies.named(self.trusted_proxies),
            forwarding_headers=self.forwarding_header_names,
            token_header=token_header,
        )


# One for all settings of the process: what replaces `get_settings` may make new ones each time.
_IN_MEMORY = MemoryReplayStore()
