"""Revocations in the memory of a process, and the one `revoke` that adds to them."""

import heapq
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jwt_deps.concurrency import ForkSafeLock, uptime
from jwt_deps.errors import is_number, require_positive

from .entries import Entries, Kind, Revocation, identifier, is_text, minute_after

#: The lifetime of the longest-lived token where none is configured, in seconds.
MONTH = 30 * 24 * 60 * 60
_LARGEST_LEEWAY = 300  # that settings allow: for so long a token is accepted after its `exp`
#: The claims that name a session and a user where none are configured.
SESSION_CLAIMS = ("sid", "session_id")
SUBJECT_CLAIMS = ("sub",)
#: Stands for a name that was not given. `None` is what a token without that claim has: it is
#: refused, because with an `issuer` beside it all tokens of that issuer would be revoked.
NOT_GIVEN: Final[Any] = ...


class Revocations(ABC):
    """What `MemoryRevocations` and `RedisRevocations` have in common: entries, and `revoke`."""

    def __init__(
        self,
        session_claims: str | Sequence[str],
        subject_claims: str | Sequence[str],
        longest_lifetime: float,
    ) -> None:
        require_positive(longest_lifetime=longest_lifetime)
        self._entries = Entries(session_claims, subject_claims)
        self.longest_lifetime = longest_lifetime

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self)} entries>"

    def is_revoked(self, claims: Mapping[str, Any]) -> bool:
        """Return whether the token with these claims was revoked.

        Args:
            claims: the claims of a token that passed every other check.
        """
        return self._entries.match(claims)

    def revoke(
        self,
        *,
        jti: str | int = NOT_GIVEN,
        session: str | int = NOT_GIVEN,
        subject: str | int = NOT_GIVEN,
        issuer: str | None = None,
        expires: float | None = None,
    ) -> None:
        """Revoke one token, or all tokens of a session, of a user or of an issuer.

        Name one of `jti`, `session` and `subject`, or `issuer` alone. From then on a request with
        such a token is answered with 401 (`revoked`). `RedisRevocations` waits for its server:
        call it in a thread there, `await asyncio.to_thread(revocations.revoke, jti="2f1c")`.

        Args:
            jti: the `jti` of the token to revoke.
            session: the session whose tokens are revoked.
            subject: the user whose tokens are revoked that were issued until now (`iat`); a token
                without `iat` counts as issued before.
            issuer: the issuer whose tokens are meant, `None` for every issuer's; alone, all that
                it issued until now are revoked.
            expires: the `exp` of the token that `jti` names, after which the entry is dropped.

        Raises:
            ValueError: the arguments name several things, or nothing, or what no claim of a token
                is equal to: a `UUID` has to be given as its text, half of a surrogate pair is in
                none, and `None` is what a token without the claim has. Or `expires` is no time.
            RevocationUnavailableError: the server of `RedisRevocations` does not answer, or takes
                no writes. In this process the revocation holds already, and the process sends it
                again until the server takes it.

        Example:
            ```python
            revocations.revoke(subject="alice", issuer="https://issuer.example")
            ```
        """
        if not (expires is None or is_number(expires)):
            raise ValueError("expires is no time in seconds since the epoch")
        named = {Kind.JTI: jti, Kind.SESSION: session, Kind.SUBJECT: subject}
        given = [(kind, name) for kind, name in named.items() if name is not NOT_GIVEN]
        if not given and issuer is not None:
            given = [(Kind.ISSUER, "")]
        if len(given) != 1:
            raise ValueError("name one of jti, session and subject, or an issuer alone")
        ((kind, named_by),) = given
        name = identifier(named_by)
        # Other processes could not read what no claim can be, nor what is written along with it.
        if not is_text(name) or not (issuer is None or is_text(issuer)):
            raise ValueError(
                "a name is a text or an integer and not None, an issuer a text, of whole characters"
            )
        if issuer == "" or (name == "" and kind is not Kind.ISSUER):
            raise ValueError("a name is empty")
        now = self._now()
        if kind is not Kind.JTI or expires is None:
            # `expires` is that of one token: a session or a user can have longer-lived ones.
            expires = now + self.longest_lifetime
        issued_until = now if kind in {Kind.SUBJECT, Kind.ISSUER} else None
        until = minute_after(expires + _LARGEST_LEEWAY)
        self._add(Revocation(kind, issuer, name, issued_until, until), now)

    @abstractmethod
    def _now(self) -> float:
        """Return the time of a revocation, in seconds since the epoch."""

    @abstractmethod
    def _add(self, entry: Revocation, now: float) -> None:
        """Add an entry, here and for the other processes."""


class MemoryRevocations(Revocations):
    """The revocations of a service that runs in one process; a restart loses them."""

    def __init__(
        self,
        *,
        session_claims: str | Sequence[str] = SESSION_CLAIMS,
        subject_claims: str | Sequence[str] = SUBJECT_CLAIMS,
        longest_lifetime: float = MONTH,
        clock: Callable[[], float] = time.time,
        age_clock: Callable[[], float] = uptime,
    ) -> None:
        """Start without entries.

        Args:
            session_claims: the claims that name a session; dotted paths reach into nested ones.
            subject_claims: the claims that name a user, likewise.
            longest_lifetime: the lifetime of the longest-lived token in seconds; for so long an
                entry is kept that does not say when its token expires.
            clock: seconds since the epoch.
            age_clock: seconds of a clock that never steps: no entry is dropped before its end by
                both, because what a clock that is ahead for a while drops would pass again.

        Raises:
            ConfigurationError: the lifetime is no number above 0, or a name is that of no claim.

        Example:
            ```python
            revocations = MemoryRevocations()
            settings = JWTSettings(revocation=revocations)
            ```
        """
        super().__init__(session_claims, subject_claims, longest_lifetime)
        self._clock, self._age_clock = clock, age_clock
        # At which ages entries end, by the ends that they have in seconds since the epoch.
        self._ages: dict[float, float] = {}
        self._ends: list[float] = []
        self._lock = ForkSafeLock()

    def _now(self) -> float:
        return self._clock()

    def _add(self, entry: Revocation, now: float) -> None:
        age = self._age_clock()
        with self._lock():
            while self._ends and self._ends[0] <= now and self._ages[self._ends[0]] <= age:
                ended = heapq.heappop(self._ends)
                del self._ages[ended]
                self._entries.drop_ended(ended)
            # What has ended already may have by a clock that is ahead.
            lasts = entry.until - now if entry.until > now else self.longest_lifetime
            if entry.until not in self._ages:
                heapq.heappush(self._ends, entry.until)
            self._ages[entry.until] = max(age + lasts, self._ages.get(entry.until, 0))
            self._entries.add(entry)
