"""What does an issuer publish, and what is to be said of it?"""

from dataclasses import dataclass, field
from typing import Protocol

from .key_set import KeySet

__all__ = ["KeyHealth", "PublishedKeys", "Publisher"]


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What an issuer published, and where and how.

    Attributes:
        keys: ready to use.
        skipped: how many members of the set were unusable.
        seconds: how long they are fresh.
        url: where they were.
        body: the JWK Set itself.
        etag: its version, for asking again (RFC 9110 §8.8.3).
    """

    keys: KeySet = field(repr=False)
    skipped: int
    seconds: float
    url: str
    body: bytes = field(repr=False)
    etag: str | None = None


class Publisher(Protocol):
    """Knows how to ask one issuer for its keys."""

    async def fetch(
        self, known: PublishedKeys | None, *, now: float, forced: bool
    ) -> PublishedKeys:
        """Fetch them; `keys` is the same object as before when they have not changed.

        Raises:
            FetchError: there are none to be had.
        """
        ...

    def read(self, body: bytes) -> PublishedKeys:
        """Make keys of a JWK Set that was fetched elsewhere.

        Raises:
            ValueError: it is none, or nothing in it is usable.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """How an issuer's keys are, for a readiness endpoint.

    Being `degraded` is being ready: requests are served. Tying readiness to keys at all takes
    every process out of service when the provider has an outage; report it, and do not fail.

    Attributes:
        fresh: whether there are keys within their time.
        degraded: whether keys past their time are in use, because the last fetch failed.
        cooling_down: whether nothing is fetched now, after a failure.
        reloading: whether a fetch is under way.
        age: seconds since the keys were asked for; `None` without keys.
        keys: how many keys are usable, each counted once per algorithm.
        skipped: how many members of the JWK Set were not.
        last_error: why the last fetch failed; `None` when it did not.
    """

    fresh: bool
    degraded: bool
    cooling_down: bool
    reloading: bool
    age: float | None
    keys: int
    skipped: int
    last_error: str | None
