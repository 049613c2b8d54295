"""Keys that verify tokens: key sets, and keys over HTTP with discovery and a cache."""

from .cache import GRACE, KeyCache
from .discovery import well_known_urls
from .files import KeyFiles
from .http import (
    HEADER_VALUE,
    Fetched,
    Fetcher,
    FetchError,
    host_of,
    is_issuer_url,
    is_loopback_host,
    origin_of_url,
    shown,
    split_url,
)
from .key_set import EVERY_TENANT, TENANT_ID, KeySet, VerificationKey, require_asymmetric
from .lifetime import JWKSCacheSettings
from .provider import (
    HTTPKeyProvider,
    KeyHealth,
    KeySource,
    SourceKeyProvider,
)

__all__ = [
    "EVERY_TENANT",
    "GRACE",
    "HEADER_VALUE",
    "TENANT_ID",
    "FetchError",
    "Fetched",
    "Fetcher",
    "HTTPKeyProvider",
    "JWKSCacheSettings",
    "KeyCache",
    "KeyFiles",
    "KeyHealth",
    "KeySet",
    "KeySource",
    "SourceKeyProvider",
    "VerificationKey",
    "host_of",
    "is_issuer_url",
    "is_loopback_host",
    "origin_of_url",
    "require_asymmetric",
    "shown",
    "split_url",
    "well_known_urls",
]
