"""Proof of possession: DPoP (RFC 9449) and mutual TLS (RFC 8705)."""

from .check import FRESH_NONCE as FRESH_NONCE
from .check import confirm as confirm
from .dpop import origin_of as origin_of
from .nonces import Nonces as Nonces
from .policy import ClientCertificate as ClientCertificate
from .policy import DPoPMode as DPoPMode
from .policy import SenderPolicy as SenderPolicy
from .proxies import TrustedProxies as TrustedProxies
from .redis_replay_store import REDIS_OPTIONS as REDIS_OPTIONS
from .redis_replay_store import RedisReplayStore as RedisReplayStore
from .redis_replay_store import is_redis_url as is_redis_url
from .replay_store import MemoryReplayStore as MemoryReplayStore
from .replay_store import ReplayStore as ReplayStore
from .replay_store import StoreUnavailableError as StoreUnavailableError
