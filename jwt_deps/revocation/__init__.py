"""Revocation of tokens: entries in memory and in Redis, Token Status Lists."""

from .entries import ISSUER_USER_ID, ISSUERS, SESSION_ID, USER_ID
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
    "ISSUERS",
    "ISSUER_USER_ID",
    "MONTH",
    "SESSION_ID",
    "USER_ID",
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
