"""How is what a process knows of revocations, and what holds when it is too old?"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["RevocationHealth", "WhenStale"]


class WhenStale(StrEnum):
    """What holds when the server has been out of reach for too long."""

    REFUSE = "refuse"
    SERVE = "serve"


@dataclass(frozen=True, slots=True)
class RevocationHealth:
    """How the replica of this process is, for a readiness endpoint: report it, and do not fail.

    Attributes:
        loaded: whether everything was read at least once.
        stale: whether `max_staleness` has passed without a sign of the server.
        serving_stale: whether requests are served all the same.
        age: seconds since the last sign of the server; `None` before the first.
        entries: how many there are.
        last_error: what kind of error the last attempt ended with; `None` when it did not.
    """

    loaded: bool
    stale: bool
    serving_stale: bool
    age: float | None
    entries: int
    last_error: str | None
