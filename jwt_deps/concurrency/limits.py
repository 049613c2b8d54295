"""How often may a provider be asked? Not more often for a flood, nor for an outage."""

from collections.abc import Hashable
from dataclasses import dataclass, field

__all__ = ["Absent", "Backoff", "TokenBucket"]


@dataclass(slots=True)
class TokenBucket:
    """Lets `capacity` pass at once and one more every `refill` seconds.

    In any span shorter than `refill` it lets at most `capacity` pass.
    """

    capacity: int
    refill: float
    _level: float = field(init=False)
    _seen: float | None = None

    def __post_init__(self) -> None:
        self._level = self.capacity

    def take(self, now: float) -> bool:
        """Let one pass, or say that it has to be skipped; nobody waits."""
        if self._seen is not None:
            gained = max(0, now - self._seen) / self.refill
            self._level = min(self.capacity, self._level + gained)
        self._seen = now
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def refund(self) -> None:
        """Take one back that came to nothing."""
        self._level = min(self.capacity, self._level + 1)


@dataclass(slots=True)
class Backoff:
    """Doubles the pause with every failure in a row, up to `longest`."""

    first: float
    longest: float
    failures: int = 0
    retry_at: float = float("-inf")

    def fail(self, now: float, spread: float) -> None:
        """Count a failure; `spread`, from -1 to 1, moves the pause by up to 20 %."""
        # Exponents stay small: 2 to the power of a long outage is no float.
        pause = min(self.longest, self.first * 2 ** min(self.failures, 32))
        self.failures += 1
        self.retry_at = now + min(self.longest, pause * (1 + 0.2 * spread))

    def succeed(self) -> None:
        """Forget the failures."""
        self.failures = 0
        self.retry_at = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether the pause goes on."""
        return now < self.retry_at


@dataclass(slots=True)
class Absent:
    """Remembers `size` names at most, each for `ttl` seconds: the oldest make room."""

    size: int
    ttl: float
    _until: dict[Hashable, float] = field(default_factory=dict)

    def add(self, name: Hashable, now: float) -> None:
        """Remember a name."""
        if self.size == 0:
            return
        self._until.pop(name, None)  # a dict keeps the order of insertion
        while len(self._until) >= self.size:
            del self._until[next(iter(self._until))]
        self._until[name] = now + self.ttl

    def has(self, name: Hashable, now: float) -> bool:
        """Whether the name is remembered."""
        return now < self._until.get(name, float("-inf"))
