"""The keywords of `IssuerSettings` and `JWTSettings`, with the types that they take.

The fields have the types that a value has once it is checked. A type checker and an editor need
those that may be given: `secret_key="..."`, `token_source="cookie"`.
"""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pydantic import SecretStr

from jwt_deps.keys import JWKSCacheSettings, KeySource
from jwt_deps.possession import ReplayStore
from jwt_deps.revocation import RevocationSource, WhenStale

if TYPE_CHECKING:
    from jwt_deps.possession import ClientCertificate, DPoPMode

    from .issuer import IssuerSettings
    from .service import TokenSource
    from .tenants import IssuerLookup

_Secret = str | SecretStr
_Several = str | Iterable[str]
_File = str | PathLike[str]


class IssuerKeywords(TypedDict, total=False):
    """The keywords of `IssuerSettings`."""

    secret_key: _Secret | None
    verification_keys: _Secret | Iterable[_Secret]
    secret_key_file: _File | None
    secret_key_encoding: Literal["text", "base64"]
    jwks: Mapping[str, Any] | str | None
    jwks_file: _File | None
    jwks_url: _Several | None
    key_source: KeySource | None
    discovery: bool
    discovery_url: str | None
    algorithm: _Several
    issuer: _Several | None
    audience: _Several | None
    audience_claim: str
    verify_audience: bool
    leeway: float
    require_exp: bool
    required_claims: _Several
    max_token_age: float | None
    profile: Literal["rfc7519", "rfc9068"]
    token_types: _Several
    allow_numeric_sub: bool
    allow_missing_kid: bool
    scopes_claim: _Several | None
    roles_claim: _Several | None
    admin_scope: str | None
    user_id_prefix: str | None
    user_id_claim: str
    session_id_claim: str
    dependencies_claims: _Several
    session_state_claims: _Several
    ca_file: _File | None
    allow_loopback: bool
    allow_http_hosts: _Several
    trust_env: bool
    jwks_headers: Mapping[str, _Secret] | str
    jwks_token_file: _File | None
    jwks_certificate_file: _File | None
    jwks_key_file: _File | None
    jwks_cache: JWKSCacheSettings | Mapping[str, Any]


class JWTKeywords(IssuerKeywords, total=False):
    """The keywords of `JWTSettings`; those with `_env` are of pydantic-settings."""

    resource: str | None
    resource_name: str | None
    resource_documentation: str | None
    resource_policy_uri: str | None
    resource_tos_uri: str | None
    revocation: RevocationSource | None
    revocation_url: _Secret | None
    revocation_max_staleness: float
    revocation_longest_lifetime: float
    revocation_when_stale: WhenStale | Literal["refuse", "serve"]
    dpop: "DPoPMode | Literal['off', 'allowed', 'required']"
    public_origin: str | None
    dpop_algorithms: _Several
    dpop_nonce_keys: _Secret | Iterable[_Secret]
    dpop_replay_store: str | ReplayStore
    client_certificate: (
        "ClientCertificate | Literal['off', 'tls', 'client-cert', 'xfcc', 'escaped-pem']"
    )
    client_certificate_header: str
    trusted_proxies: _Several
    forwarding_headers: _Several
    validate: bool
    token_source: "TokenSource | Literal['header', 'cookie', 'both']"
    token_header_key: str
    token_header_scheme: Literal["Bearer", ""]
    token_getter: Callable[[Any], str | None] | None
    cookie_name: str
    cookie_requests: Literal["same-site", "same-origin"]
    max_token_size: int
    excluded_route_paths: _Several
    issuers: "Mapping[str, IssuerSettings | Mapping[str, Any]] | IssuerLookup | None"
    issuers_ttl: float
    warm_up: bool
    token_cache_size: int
    explain: bool
    _env_prefix: str | None
    _env_file: _File | Iterable[_File] | None
    _env_file_encoding: str | None
    _secrets_dir: _File | Iterable[_File] | None
