"""Make the keys of one issuer from its settings: configured, in files, fetched, or all of these."""

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import HMAC_ALGORITHMS, is_pem, parse_document
from jwt_deps.keys import (
    Fetcher,
    HTTPKeyProvider,
    KeyCache,
    KeyFiles,
    KeySet,
    SourceKeyProvider,
    host_of,
    origin_of_url,
    require_asymmetric,
    split_url,
)

from .env_values import as_tuple, read_secret, two_secrets
from .issuer_policy import IssuerPolicy
from .provider_addresses import check_key_address

if TYPE_CHECKING:
    from .issuer import IssuerSettings

_MOST_UNNAMED = 3
# RFC 4648 §4 and §5, padded or not.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


def with_keys(policy: IssuerPolicy) -> IssuerPolicy:
    """Add the keys to a policy that has none. None of them is fetched yet."""
    settings = policy.settings
    configured = bool(
        settings.secret_key
        or settings.secret_key_file
        or settings.verification_keys
        or settings.jwks
        or settings.jwks_file
    )
    caches: tuple[KeyCache, ...] = ()
    asymmetric = tuple(name for name in settings.algorithms if name not in HMAC_ALGORITHMS)
    if settings.is_remote:
        _check_remote(settings)
        algorithms = asymmetric if configured and asymmetric else settings.algorithms
        require_asymmetric(algorithms)
        caches = tuple(_caches(settings, algorithms))
        if not configured:
            return replace(policy, key_caches=caches)
    build = partial(_build, settings, elsewhere=asymmetric if caches else ())
    paths = [path for path in (settings.secret_key_file, settings.jwks_file) if path is not None]
    if not paths:
        return replace(policy, key_set=build(), key_caches=caches)
    name = next(iter(settings.accepted_issuers), "default")
    return replace(policy, key_files=KeyFiles(name, paths, build), key_caches=caches)


def _caches(settings: "IssuerSettings", algorithms: tuple[str, ...]) -> Iterator[KeyCache]:
    issuer, policy = settings.accepted_issuers[0], settings.jwks_cache
    options = {
        "algorithms": algorithms,
        "policy": policy,
        "most_unnamed": _most_unnamed(settings),
        "issuers": settings.accepted_issuers,
    }
    if settings.key_source is not None:
        yield KeyCache(issuer, SourceKeyProvider(settings.key_source, **options), policy)
    if not settings.has_addresses:
        return
    fetcher = settings.make_fetcher()
    for url in as_tuple(settings.jwks_url) or (None,):
        provider = HTTPKeyProvider(
            issuer,
            fetcher=fetcher,
            jwks_url=url,
            discovery_url=settings.discovery_url,
            **options,
        )
        yield KeyCache(issuer, provider, policy)


def _most_unnamed(settings: "IssuerSettings") -> int:
    return _MOST_UNNAMED if settings.allow_missing_kid else 1


def _build(settings: "IssuerSettings", *, elsewhere: tuple[str, ...]) -> KeySet:
    if settings.jwks and settings.jwks_file:
        raise ConfigurationError(
            "two_key_sets",
            "JWT_JWKS (jwks) and JWT_JWKS_FILE (jwks_file) exclude each other: put all keys into "
            "one JWK Set.",
        )
    jwks = settings.jwks if settings.jwks_file is None else _read_jwks(settings.jwks_file)
    further = [secret.get_secret_value() for secret in settings.verification_keys]
    secret = _secret_text(settings)
    static = [*filter(None, (secret,)), *further]
    keys = KeySet.build(
        settings.algorithms,
        [_decoded(settings, text) for text in static],
        jwks,
        most_unnamed=_most_unnamed(settings),
        elsewhere=elsewhere,
        issuers=settings.accepted_issuers,
    )
    return replace(keys, secret=next(iter(_secrets(settings, [secret])), None))


def shared_secrets(settings: "IssuerSettings") -> list[bytes]:
    """All shared secrets, the one to sign with first."""
    further = (secret.get_secret_value() for secret in settings.verification_keys)
    return _secrets(settings, [_secret_text(settings), *further])


def _secrets(settings: "IssuerSettings", texts: Iterable[str | None]) -> list[bytes]:
    decoded = [_decoded(settings, text) for text in texts if text and not is_pem(text)]
    return [it.encode() if isinstance(it, str) else it for it in decoded]


def _secret_text(settings: "IssuerSettings") -> str | None:
    if settings.secret_key is not None:
        if settings.secret_key_file is not None:
            raise two_secrets("secret_key")
        return settings.secret_key.get_secret_value()
    path = settings.secret_key_file
    return None if path is None else read_secret(path, "secret_key")


def _decoded(settings: "IssuerSettings", text: str) -> str | bytes:
    if is_pem(text) or settings.secret_key_encoding == "text":  # noqa: S105 - a name
        return text
    stripped = text.strip()
    if _BASE64.fullmatch(stripped):
        plain = stripped.rstrip("=").translate(str.maketrans("-_", "+/"))
        try:
            return binascii.a2b_base64(plain + "=" * (-len(plain) % 4))
        except binascii.Error:
            pass  # a length that base64 does not have
    raise ConfigurationError(
        "secret_not_base64",
        "JWT_SECRET_KEY_ENCODING (secret_key_encoding) is base64, and a secret in JWT_SECRET_KEY "
        "(secret_key) or JWT_VERIFICATION_KEYS (verification_keys) is not.",
    )


def _read_jwks(path: Path) -> dict[str, Any]:
    try:
        return parse_document(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            "jwks_file", f"JWT_JWKS_FILE (jwks_file) cannot be read: {error.strerror}."
        ) from None  # it holds the value, which may be a key in the wrong variable
    except ValueError:
        raise ConfigurationError(
            "jwks_file", "JWT_JWKS_FILE (jwks_file) is not a JSON object."
        ) from None


def fetcher_of(settings: "IssuerSettings") -> Fetcher:
    """Make what fetches an issuer's documents."""
    headers = {name: secret.get_secret_value() for name, secret in settings.jwks_headers.items()}
    with_token = settings.jwks_token_file is not None
    if with_token and "authorization" in map(str.lower, headers):
        raise ConfigurationError(
            "two_authorizations",
            "JWT_JWKS_TOKEN_FILE (jwks_token_file) becomes the header Authorization: take that "
            "out of JWT_JWKS_HEADERS (jwks_headers).",
        )
    issuers = [url for url in settings.accepted_issuers if "://" in url]
    urls = [*issuers, *as_tuple(settings.jwks_url), *as_tuple(settings.discovery_url)]
    return Fetcher(
        trusted_hosts={host_of(url) for url in urls},
        allow_loopback=settings.allow_loopback,
        ca_file=settings.ca_file,
        http_hosts=frozenset(map(str.lower, settings.allow_http_hosts)),
        trust_env=settings.trust_env,
        origins=frozenset(map(origin_of_url, urls)),
        headers=headers,
        token_file=settings.jwks_token_file,
        certificate_file=settings.jwks_certificate_file,
        key_file=settings.jwks_key_file,
        max_bytes=settings.jwks_cache.max_bytes,
    )


def _check_remote(settings: "IssuerSettings") -> None:
    """Refuse what cannot work with keys over HTTP, or only by weakening a check."""
    discovers = settings.discovery or settings.discovery_url is not None
    if settings.jwks_url is not None and discovers:
        raise ConfigurationError(
            "two_key_addresses",
            "JWT_JWKS_URL (jwks_url) and JWT_DISCOVERY (discovery) exclude each other: the "
            "one says where the keys are, the other finds out.",
        )
    issuers = settings.accepted_issuers
    if not issuers:
        raise ConfigurationError(
            "fetched_without_issuer",
            "JWT_ISSUER (issuer) must name the issuer whose keys are fetched.",
        )
    if discovers and len(issuers) > 1:
        raise ConfigurationError(
            "fetched_without_issuer",
            "JWT_ISSUER (issuer) must name the issuer whose keys are fetched, and discovery finds "
            "the keys of one.",
        )
    places = len(as_tuple(settings.jwks_url)) + (settings.key_source is not None)
    if places > 1 and len(issuers) > 1:
        # Each key would be accepted for each `iss`; what has one place may be one issuer.
        raise ConfigurationError(
            "fetched_without_issuer",
            "JWT_ISSUER (issuer) names several issuers, and their keys come from several places: "
            "give each its own entry in issuers, so that none signs for another.",
        )
    if not settings.accepted_audiences and settings.verify_audience:
        # An issuer signs tokens for many services with the same keys (RFC 8725 §3.9).
        raise ConfigurationError(
            "fetched_without_audience",
            "JWT_AUDIENCE (audience) must say which tokens of this issuer are meant for this "
            "service. An issuer without audiences needs JWT_AUDIENCE_CLAIM (audience_claim), "
            "or JWT_VERIFY_AUDIENCE=false (verify_audience), which accepts those for any "
            "service.",
        )
    for url in as_tuple(settings.jwks_url):
        _check_url(settings, "jwks_url", url)
    if settings.discovery_url is not None:
        _check_url(settings, "discovery_url", settings.discovery_url)
    if discovers:
        _check_url(settings, "issuer", next(iter(issuers)))


def _check_url(settings: "IssuerSettings", name: str, url: str) -> None:
    try:
        http_hosts = [host.lower() for host in settings.allow_http_hosts]
        split_url(url, allow_loopback=settings.allow_loopback, http_hosts=http_hosts)
        if name == "issuer" and "?" in url:
            raise ValueError("has a query, which RFC 8414 §2 excludes")  # noqa: TRY301
    except ValueError as error:
        raise ConfigurationError(
            "key_address",
            f"JWT_{name.upper()} ({name}) {error}; it has to be an https:// address, or an http:// "
            "one of a host in JWT_ALLOW_HTTP_HOSTS (allow_http_hosts), or with "
            "JWT_ALLOW_LOOPBACK=true (allow_loopback) of this machine.",
        ) from None
    if name != "issuer":
        check_key_address(name, url)
