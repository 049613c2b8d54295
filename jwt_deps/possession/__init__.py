"""Proof of possession: DPoP (RFC 9449) and mutual TLS (RFC 8705)."""

from .check import FRESH_NONCE, confirm
from .dpop import origin_of
from .mtls import is_trusted_proxy
from .nonces import Nonces
from .policy import ClientCertificate, DPoPMode, Network, SenderPolicy
from .redis_replay_store import RedisReplayStore
from .replay_store import MemoryReplayStore, ReplayStore, StoreUnavailableError

__all__ = [
    "FRESH_NONCE",
    "ClientCertificate",
    "DPoPMode",
    "MemoryReplayStore",
    "Network",
    "Nonces",
    "RedisReplayStore",
    "ReplayStore",
    "SenderPolicy",
    "StoreUnavailableError",
    "confirm",
    "is_trusted_proxy",
    "origin_of",
]
