"""Revocation of tokens: entries in memory and in Redis, Token Status Lists."""

from .entries import ISSUER_USER_ID as ISSUER_USER_ID
from .entries import ISSUERS as ISSUERS
from .entries import SESSION_ID as SESSION_ID
from .entries import USER_ID as USER_ID
from .memory import MONTH as MONTH
from .memory import MemoryRevocations as MemoryRevocations
from .redis import RedisRevocations as RedisRevocations
from .redis import RevocationHealth as RevocationHealth
from .redis import WhenStale as WhenStale
from .source import AnyRevocation as AnyRevocation
from .source import RevocationSource as RevocationSource
from .source import refuse_revoked as refuse_revoked
from .status_list import StatusLists as StatusLists
