"""Record used DPoP proofs, so that none is accepted twice (RFC 9449 §11.1)."""

import heapq
import math
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from jwt_deps.concurrency import ForkSafeLock
from jwt_deps.errors import TooManyProofsError, require_sizes

# Ended proofs that are dropped for each that is added: all of a full store would take a second.
_MOST_DROPPED = 100


class StoreUnavailableError(Exception):
    """The replay store does not answer, or is full; the request is answered with 503."""


class ReplayStore(Protocol):
    """A store of used DPoP proofs, for `JWTSettings(dpop_replay_store=...)` (RFC 9449 §11.1)."""

    async def add_if_absent(self, key: str, ttl: float) -> bool:
        """Add the key of a proof, in one atomic step with the look-up.

        Args:
            key: the thumbprint of a public key, a dot, and the digest of the proof.
            ttl: seconds for which the key must be kept.

        Returns:
            Whether it was absent. If not, the proof is refused with 401.

        Raises:
            StoreUnavailableError: the store does not answer; the request is answered with 503.
            TooManyProofsError: the key has made more proofs than are kept of one; 429.
        """
        ...


class MemoryReplayStore:
    """A store for one process, with bounds: when it is full, requests are answered with 503.

    When the share of one client key is full, requests of that key are answered with 429 and the
    time until there is room again.

    Several processes need a store that they share, `RedisReplayStore`.

    Args:
        size: the largest number of proofs that are kept.
        per_key: the largest number of them by one client key.
        clock: seconds of a monotonic clock.

    Raises:
        ConfigurationError: a size is no integer of 1 or more.
    """

    def __init__(
        self,
        size: int = 100_000,
        per_key: int = 1_000,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_sizes(size=size, per_key=per_key)
        self._size = size
        self._per_key = per_key
        self._clock = clock
        self._known: set[str] = set()
        self._ends: list[tuple[float, str]] = []
        # When the proofs of each client key end, the first one first.
        self._ends_of: defaultdict[str, list[float]] = defaultdict(list)
        self._lock = ForkSafeLock()  # one configuration can serve event loops of several threads

    def __repr__(self) -> str:
        return "memory"

    def __len__(self) -> int:
        return len(self._known)

    async def add_if_absent(self, key: str, ttl: float) -> bool:
        """Add the key of a proof as `ReplayStore` says.

        Raises:
            StoreUnavailableError: the store is full.
            TooManyProofsError: the share of one client key in it is full.
        """
        maker = key.partition(".")[0]
        with self._lock():
            now = self._clock()
            self._drop_ended(now)
            if key in self._known:
                return False
            made = self._ends_of.get(maker)
            if made and len(made) >= self._per_key and made[0] > now:
                raise TooManyProofsError(math.ceil(made[0] - now))
            if len(self._known) >= self._size:
                raise StoreUnavailableError
            self._known.add(key)
            heapq.heappush(self._ends_of[maker], now + ttl)
            heapq.heappush(self._ends, (now + ttl, key))
            return True

    def _drop_ended(self, now: float) -> None:
        for _ in range(_MOST_DROPPED):
            if not self._ends or self._ends[0][0] > now:
                return
            _, key = heapq.heappop(self._ends)
            self._known.discard(key)
            maker = key.partition(".")[0]
            heapq.heappop(self._ends_of[maker])
            if not self._ends_of[maker]:
                del self._ends_of[maker]
