"""Which tokens does an entry name, and when does it end? Revocations in memory."""

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from jwt_deps.concurrency import ForkSafeLock
from jwt_deps.jose.claim_path import value_at

__all__ = ["Entries", "Kind", "Revocation", "new_revocation"]

# The largest leeway that settings allow: for so long a token is good after its `exp`.
_GRACE = 300
_MONTH = 30 * 24 * 60 * 60
_BUCKET = 60  # seconds; entries end by the minute
_SWEPT_AT_ONCE = 64


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
