"""Was this token taken back? What answers it, and the answers of one process.

A source is asked after every other check, with the claims of a good token, and answers from
memory: `True`, `False`, or `None` if it has to fetch something first. Only `False` lets a token
pass. Entries name tokens in four ways:

    jti       one token
    session   every token of a session
    subject   every token of a user that was issued until then
    issuer    every token of an issuer that was issued until then
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from .errors import RevocationUnavailableError, RevokedTokenError
from .locks import ForkSafeLock

__all__ = [
    "AnyRevocation",
    "Entries",
    "Kind",
    "ManagedSource",
    "MemoryRevocations",
    "PreparingSource",
    "Revocation",
    "RevocationSource",
    "new_revocation",
    "refuse_revoked",
    "refuse_revoked_at_hand",
    "value_at",
]

# The largest leeway that settings allow: for so long a token is good after its `exp`.
_GRACE = 300
_MONTH = 30 * 24 * 60 * 60
_BUCKET = 60  # seconds; entries end by the minute
_SWEPT_AT_ONCE = 64


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


async def refuse_revoked(source: RevocationSource | None, claims: Mapping[str, Any]) -> None:
    """Refuse a token that was revoked, or of which nobody can tell.

    Raises:
        RevokedTokenError: it was revoked.
        RevocationUnavailableError: nobody knows.
    """
    if refuse_revoked_at_hand(source, claims):
        return
    if isinstance(source, PreparingSource):
        await source.prepare(claims)
        if refuse_revoked_at_hand(source, claims):
            return
    raise RevocationUnavailableError


def refuse_revoked_at_hand(source: RevocationSource | None, claims: Mapping[str, Any]) -> bool:
    """The same without waiting; `False` if it takes `prepare` to find out.

    Raises:
        RevokedTokenError: it was revoked.
        RevocationUnavailableError: nobody knows.
    """
    if source is None:
        return True
    revoked = source.is_revoked(claims)
    if revoked is None or revoked is False:
        return revoked is False
    raise RevokedTokenError


class Kind(StrEnum):
    """What an entry names tokens by."""

    JTI = "jti"
    SESSION = "session"
    SUBJECT = "subject"
    ISSUER = "issuer"


class Revocation(NamedTuple):
    """One entry.

    Attributes:
        kind: what it names tokens by.
        issuer: whose tokens; `None` for those of every issuer.
        name: the `jti`, the session or the subject; empty for an issuer.
        before: tokens issued until then, in seconds since the epoch; of a subject or an issuer.
        until: when the last token that it names has ended.
    """

    kind: Kind
    issuer: str | None
    name: str
    before: float | None
    until: int

    def __repr__(self) -> str:
        return f"<revocation by {self.kind}>"


def new_revocation(  # noqa: PLR0913 - what can be named
    *,
    jti: str | None = None,
    session: str | None = None,
    subject: str | None = None,
    issuer: str | None = None,
    expires: float | None = None,
    longest_lifetime: float = _MONTH,
    now: float,
) -> Revocation:
    """Make an entry of exactly one of `jti`, `session` and `subject`, or of an issuer alone.

    Raises:
        ValueError: of several or none, or of an empty name.
    """
    if not 0 < longest_lifetime < math.inf or not (expires is None or math.isfinite(expires)):
        raise ValueError("a lifetime is a number of seconds, and expires a time")
    named = {Kind.JTI: jti, Kind.SESSION: session, Kind.SUBJECT: subject}
    given = [(kind, name) for kind, name in named.items() if name is not None]
    if not given and issuer is not None:
        given = [(Kind.ISSUER, "")]
    if len(given) != 1:
        raise ValueError("name one of jti, session and subject, or an issuer alone")
    ((kind, name),) = given
    if issuer == "" or (name == "" and kind is not Kind.ISSUER):
        raise ValueError("a name is empty")
    before = now if kind in {Kind.SUBJECT, Kind.ISSUER} else None
    # `expires` is that of one token: a session or a user may have others, which live longer.
    alone = kind is Kind.JTI and expires is not None
    ends = expires if alone and expires is not None else now + longest_lifetime
    until = math.ceil((ends + _GRACE) / _BUCKET) * _BUCKET
    return Revocation(kind, issuer, name, before, until)


_Values: TypeAlias = dict[str, tuple[float, int]]


class Entries:
    """Revocations in memory: looking up takes no lock, and no time is looked at.

    An entry that has ended and is still here does no harm: what it names has ended too. Each
    change takes away up to 64 of those, and `sweep` more.
    """

    def __init__(self, session_claims: Sequence[str], subject_claims: Sequence[str]) -> None:
        self._session_claims = tuple(dict.fromkeys(session_claims))
        self._subject_claims = tuple(dict.fromkeys(subject_claims))
        # By kind, issuer and name: until which `iat`, and when it ends.
        self._tables: dict[Kind, dict[str | None, _Values]] = {kind: {} for kind in Kind}
        self._jtis = self._tables[Kind.JTI]
        self._sessions = self._tables[Kind.SESSION]
        self._subjects = self._tables[Kind.SUBJECT]
        self._issuers = self._tables[Kind.ISSUER]
        self._ends: dict[int, dict[tuple[Kind, str | None], list[str]]] = {}
        self._shared: dict[int, tuple[float, int]] = {}
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        tables = (list(table.values()) for table in self._tables.values())
        return sum(len(names) for table in tables for names in table)

    def names(self, claims: Mapping[str, Any]) -> bool:
        """Whether an entry names the token with these claims."""
        issuer = claims.get("iss")
        if not isinstance(issuer, str):
            issuer = None
        if self._jtis and _find(self._jtis, issuer, claims.get("jti")) is not None:
            return True
        if self._sessions:
            for path in self._session_claims:
                if _find(self._sessions, issuer, value_at(claims, path)) is not None:
                    return True
        if self._subjects:
            for path in self._subject_claims:
                before = _find(self._subjects, issuer, value_at(claims, path))
                if before is not None and _issued_until(claims, before):
                    return True
        if self._issuers:
            before = _find(self._issuers, issuer, "")
            return before is not None and _issued_until(claims, before)
        return False

    def put(self, entry: Revocation, now: float) -> bool:
        """Add an entry; whether that changed anything."""
        bucket = -(-entry.until // _BUCKET) * _BUCKET
        with self._lock():
            self._sweep(now, _SWEPT_AT_ONCE)
            names = self._tables[entry.kind].setdefault(entry.issuer, {})
            old = names.get(entry.name)
            if entry.before is None:
                value = self._shared.setdefault(bucket, (math.inf, bucket))
            else:
                value = (entry.before, bucket)
            if old is not None:
                value = (max(old[0], value[0]), max(old[1], bucket))
                if value == old:
                    return False
            names[entry.name] = value
            if old is None or old[1] < value[1]:
                here = self._ends.setdefault(value[1], {})
                here.setdefault((entry.kind, entry.issuer), []).append(entry.name)
        return True

    def sweep(self, now: float, most: int) -> None:
        """Take away entries that have ended, `most` of them at once."""
        with self._lock():
            self._sweep(now, most)

    def all(self) -> Iterator[Revocation]:
        """Every entry, as it is now."""
        with self._lock():
            tables = [
                (kind, issuer, list(names.items()))
                for kind, table in self._tables.items()
                for issuer, names in table.items()
            ]
        for kind, issuer, items in tables:
            for name, (before, until) in items:
                yield Revocation(kind, issuer, name, None if before == math.inf else before, until)

    def _sweep(self, now: float, most: int) -> None:
        while self._ends and most > 0:
            bucket = min(self._ends)
            if bucket > now:
                return
            groups = self._ends[bucket]
            (kind, issuer), listed = next(iter(groups.items()))
            names = self._tables[kind].get(issuer, {})
            while listed and most > 0:
                name = listed.pop()
                most -= 1
                if name in names and names[name][1] <= bucket:
                    del names[name]
            if not listed:
                del groups[kind, issuer]
            if not names:
                self._tables[kind].pop(issuer, None)
            if not groups:
                del self._ends[bucket]
                self._shared.pop(bucket, None)


def _find(table: dict[str | None, _Values], issuer: str | None, name: object) -> float | None:
    """Until which `iat` a name is revoked, by its issuer's entries and those of every issuer."""
    if not isinstance(name, str):
        if not isinstance(name, int) or isinstance(name, bool):
            return None
        name = str(name)  # some issuers number their sessions and users
    own = table.get(issuer)
    found = own.get(name) if own is not None else None
    if issuer is not None and (every := table.get(None)) is not None:
        shared = every.get(name)
        if shared is not None and (found is None or shared[0] > found[0]):
            found = shared
    return found[0] if found is not None else None


def _issued_until(claims: Mapping[str, Any], before: float) -> bool:
    issued = claims.get("iat")
    return not isinstance(issued, int | float) or issued <= before


def value_at(claims: Mapping[str, Any], path: str) -> Any:
    """A claim, or a member of one by a dotted path, as `Claims.at` has it."""
    if path in claims or "." not in path:
        return claims.get(path)
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


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
