"""What time is it in a test? Whatever the test says."""

from threading import Lock

__all__ = ["VirtualClock"]


class VirtualClock:
    """A clock that stands still until it is moved, called like `time.time`.

    Args:
        now: seconds since the epoch; the same moment in every run unless it is given.
    """

    def __init__(self, now: float = 1_700_000_000) -> None:
        self._now = now
        self._lock = Lock()

    def __call__(self) -> float:
        """Tell the time, in seconds since the epoch."""
        return self._now

    def __repr__(self) -> str:
        return f"VirtualClock({self._now!r})"

    def advance(self, seconds: float) -> None:
        """Let time pass at once; a negative number turns the clock back."""
        with self._lock:
            self._now += seconds
