"""Has this proof been used before? A store that answers once with yes, and then with no."""

import heapq
import time
from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import Protocol

__all__ = ["MemoryReplayStore", "ReplayStore", "StoreUnavailableError"]


class StoreUnavailableError(Exception):
    """The store cannot tell: it is out of reach, or full."""


class ReplayStore(Protocol):
    """Where DPoP proofs that were accepted are remembered (RFC 9449 §11.1)."""

    async def add_if_absent(self, key: str, ttl: float) -> bool:
        """Add a key, in one step with asking for it.

        Args:
            key: the thumbprint of a public key, a dot, and the digest of a proof.
            ttl: seconds for which the key must be remembered.

        Returns:
            Whether it was absent.

        Raises:
            StoreUnavailableError: nobody can tell; the request is answered with 503.
        """
        ...


class MemoryReplayStore:
    """A store for one process, bounded: it refuses to answer when it is full.

    Several processes need a store that they share, `RedisReplayStore`.

    Args:
        size: the most proofs that are remembered.
        per_key: the most of them that one key can have made.
        clock: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        size: int = 100_000,
        per_key: int = 1_000,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._per_key = per_key
        self._clock = clock
        self._known: set[str] = set()
        self._ends: list[tuple[float, str]] = []
        self._made: Counter[str] = Counter()
        self._lock = Lock()  # one configuration can serve event loops of several threads

    def __repr__(self) -> str:
        return "memory"

    def __len__(self) -> int:
        return len(self._known)

    async def add_if_absent(self, key: str, ttl: float) -> bool:
        """Add a key; whether it was absent.

        Raises:
            StoreUnavailableError: the store, or the share of one key in it, is full.
        """
        maker = key.partition(".")[0]
        with self._lock:
            now = self._clock()
            self._forget(now)
            if key in self._known:
                return False
            if len(self._known) >= self._size or self._made[maker] >= self._per_key:
                raise StoreUnavailableError
            self._known.add(key)
            self._made[maker] += 1
            heapq.heappush(self._ends, (now + ttl, key))
            return True

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            self._known.discard(key)
            maker = key.partition(".")[0]
            self._made[maker] -= 1
            if not self._made[maker]:
                del self._made[maker]
