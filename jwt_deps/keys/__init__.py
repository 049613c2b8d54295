"""Keys that verify tokens: key sets, and keys over HTTP with discovery and a cache."""

from .cache import KeyCache
from .discovery import well_known_urls
from .http import (
    Fetched,
    Fetcher,
    FetchError,
    host_of,
    is_issuer_url,
    is_loopback_host,
    shown,
    split_url,
)
from .key_set import KeySet, VerificationKey
from .lifetime import JWKSCacheSettings
from .provider import HTTPKeyProvider, KeyHealth

__all__ = [
    "FetchError",
    "Fetched",
    "Fetcher",
    "HTTPKeyProvider",
    "JWKSCacheSettings",
    "KeyCache",
    "KeyHealth",
    "KeySet",
    "VerificationKey",
    "host_of",
    "is_issuer_url",
    "is_loopback_host",
    "shown",
    "split_url",
    "well_known_urls",
]
