"""Revocation of tokens: entries in memory and in Redis, Token Status Lists."""

from .memory import MONTH, MemoryRevocations
from .redis import RedisRevocations, RevocationHealth, WhenStale
from .source import (
    AnyRevocation,
    ManagedSource,
    RevocationSource,
    refuse_revoked,
)
from .status_list import StatusLists

__all__ = [
    "MONTH",
    "AnyRevocation",
    "ManagedSource",
    "MemoryRevocations",
    "RedisRevocations",
    "RevocationHealth",
    "RevocationSource",
    "StatusLists",
    "WhenStale",
    "refuse_revoked",
]
