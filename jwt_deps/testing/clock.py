"""A clock for tests that moves only when a test moves it."""

from jwt_deps.concurrency import ForkSafeLock


class VirtualClock:
    """A callable like `time.time` whose time changes only by `advance`.

        clock = VirtualClock()
        tokens = TokenFactory(clock=clock)

    Args:
        now: the time at first, in seconds since the epoch; the default is the same in every run.
    """

    def __init__(self, now: float = 1_700_000_000) -> None:
        self._now = now
        self._lock = ForkSafeLock()

    def __call__(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._now

    def __repr__(self) -> str:
        return f"VirtualClock({self._now!r})"

    def advance(self, seconds: float) -> None:
        """Move the clock.

        Args:
            seconds: how far; a negative number moves it back.
        """
        with self._lock():
            self._now += seconds
