"""Was this token taken back? What answers it, and the answers of one process.

A source is asked after every other check, with the claims of a good token, and answers from
memory: `True`, `False`, or `None` if it has to fetch something first. Only `False` lets a token
pass. Entries name tokens in four ways:

    jti       one token
    session   every token of a session
    subject   every token of a user that was issued until then
    issuer    every token of an issuer that was issued until then
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jwt_deps.errors import RevocationUnavailableError, RevokedTokenError

from .entries import Entries, new_revocation

__all__ = [
    "AnyRevocation",
    "ManagedSource",
    "MemoryRevocations",
    "PreparingSource",
    "RevocationSource",
    "refuse_revoked",
]

_MONTH = 30 * 24 * 60 * 60


class RevocationSource(Protocol):
    """Knows which tokens were revoked (`(iss, jti)` and the like; RFC 7009 is how they get so)."""

    def is_revoked(self, claims: Mapping[str, Any]) -> bool | None:
        """Whether the token with these claims was revoked, without waiting for anything.

        Args:
            claims: of a token that passed every other check.

        Returns:
            `None` if it takes `prepare` to find out; without one, nobody can tell.

        Raises:
            RevocationUnavailableError: nobody can tell now.
        """
        ...


@runtime_checkable
class PreparingSource(Protocol):
    """A source that may have to fetch something before it can answer."""

    async def prepare(self, claims: Mapping[str, Any]) -> None:
        """Fetch what it takes to answer for a token.

        Raises:
            RevocationUnavailableError: it cannot be had.
        """
        ...


@runtime_checkable
class ManagedSource(Protocol):
    """A source that works in the background while an application serves."""

    def open(self) -> None:
        """Begin, and return once answers are at hand, or after a few seconds without."""
        ...

    def close(self) -> None:
        """Stop; being asked again begins again."""
        ...


async def refuse_revoked(source: RevocationSource, claims: Mapping[str, Any]) -> None:
    """Refuse a token that was revoked, or of which that cannot be found out.

    Each source is asked once, and once more if it had to prepare.

    Raises:
        RevokedTokenError: a source says that it was revoked.
        RevocationUnavailableError: none does, and one cannot tell.
    """
    undecided = _undecided(_each(source), claims)
    if not undecided:
        return
    prepared = [one for one in undecided if isinstance(one, PreparingSource)]
    for one in prepared:
        await one.prepare(claims)
    if _undecided(prepared, claims) or len(prepared) < len(undecided):
        raise RevocationUnavailableError


def _each(source: RevocationSource) -> Iterable[RevocationSource]:
    if type(source) is not AnyRevocation:
        return (source,)
    return (one for inner in source.sources for one in _each(inner))


def _undecided(
    sources: Iterable[RevocationSource], claims: Mapping[str, Any]
) -> list[RevocationSource]:
    """The sources that have to prepare before they can tell, if no other says revoked."""
    undecided = []
    for source in sources:
        revoked = source.is_revoked(claims)
        if revoked is None:
            undecided.append(source)
        elif revoked is not False:
            raise RevokedTokenError
    return undecided


class MemoryRevocations:
    """The revocations of a service that runs in one process; a restart forgets them."""

    def __init__(
        self,
        *,
        session_claims: Sequence[str] = ("sid", "session_id"),
        subject_claims: Sequence[str] = ("sub",),
        longest_lifetime: float = _MONTH,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start with none.

        Args:
            session_claims: the claims that name a session; dotted paths reach into nested ones.
            subject_claims: the claims that name a user, likewise.
            longest_lifetime: seconds that the longest-lived token lives; for so long an entry is
                kept that does not say when its token expires.
            clock: seconds since the epoch.
        """
        self._entries = Entries(session_claims, subject_claims)
        self._longest_lifetime = longest_lifetime
        self._clock = clock

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self)} entries>"

    def is_revoked(self, claims: Mapping[str, Any]) -> bool:
        """Whether the token with these claims was revoked."""
        return self._entries.names(claims)

    def revoke(
        self,
        *,
        jti: str | None = None,
        session: str | None = None,
        subject: str | None = None,
        issuer: str | None = None,
        expires: float | None = None,
    ) -> None:
        """Revoke a token, a session, or what a user or an issuer was given until now.

        Args:
            jti: of one token.
            session: of the tokens to revoke.
            subject: whose tokens are revoked that were issued until now (`iat`); one without
                `iat` counts as issued before.
            issuer: whose tokens, of every issuer if absent; alone, all that it issued until now.
            expires: the `exp` of the token that `jti` names, after which the entry ends.

        Raises:
            ValueError: it names several things, or none.
        """
        now = self._clock()
        entry = new_revocation(
            jti=jti,
            session=session,
            subject=subject,
            issuer=issuer,
            expires=expires,
            longest_lifetime=self._longest_lifetime,
            now=now,
        )
        self._entries.put(entry, now)


class AnyRevocation:
    """Several sources as one: a token is revoked if one of them says so."""

    def __init__(self, *sources: RevocationSource) -> None:
        """Ask these, in their order."""
        self.sources = sources

    def is_revoked(self, claims: Mapping[str, Any]) -> bool | None:
        """Whether one says so; `None` if none does and one has to fetch something first."""
        answers = []
        for source in self.sources:
            answer = source.is_revoked(claims)
            if answer is not None and answer is not False:
                return True
            answers.append(answer)
        return None if None in answers else False

    async def prepare(self, claims: Mapping[str, Any]) -> None:
        """Have those fetch what they need that need it."""
        for source in self.sources:
            if isinstance(source, PreparingSource) and source.is_revoked(claims) is None:
                await source.prepare(claims)

    def open(self) -> None:
        """Begin with each."""
        waits = [
            threading.Thread(target=source.open, daemon=True)
            for source in self.sources
            if isinstance(source, ManagedSource)
        ]
        for wait in waits:
            wait.start()
        for wait in waits:
            wait.join()

    def close(self) -> None:
        """Stop each."""
        for source in self.sources:
            if isinstance(source, ManagedSource):
                source.close()
