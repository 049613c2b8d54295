"""Proof of possession: DPoP (RFC 9449) and mutual TLS (RFC 8705)."""

from .check import FRESH_NONCE, confirm
from .dpop import origin_of
from .nonces import Nonces
from .policy import ClientCertificate, DPoPMode, SenderPolicy
from .proxies import TrustedProxies
from .redis_replay_store import REDIS_OPTIONS, RedisReplayStore, is_redis_url
from .replay_store import MemoryReplayStore, ReplayStore, StoreUnavailableError

__all__ = [
    "FRESH_NONCE",
    "REDIS_OPTIONS",
    "ClientCertificate",
    "DPoPMode",
    "MemoryReplayStore",
    "Nonces",
    "RedisReplayStore",
    "ReplayStore",
    "SenderPolicy",
    "StoreUnavailableError",
    "TrustedProxies",
    "confirm",
    "is_redis_url",
    "origin_of",
]
