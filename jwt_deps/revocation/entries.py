"""Entries: which tokens each one names, and when it can be dropped."""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice
from typing import Any, NamedTuple, TypeAlias

from jwt_deps.concurrency import JITTER, ForkSafeLock
from jwt_deps.jose import value_at

__all__ = [
    "ISSUER_USER_ID",
    "SESSION_ID",
    "USER_ID",
    "Entries",
    "Kind",
    "Revocation",
    "end_of_entry",
    "identifier",
]

#: Beside a token's claims: the ids of its user, with the issuer's prefix and without, and of its
#: session, where no claim that is compared need have them: only the issuer's own settings name it.
USER_ID, ISSUER_USER_ID = "jwt_deps.user_id", "jwt_deps.issuer_user_id"
SESSION_ID = "jwt_deps.session_id"

_LARGEST_LEEWAY = 300  # that settings allow: for so long a token is accepted after its `exp`
_BUCKET = 60  # seconds: entries are dropped by the minute
_DROPPED_AT_ONCE = 64


class Kind(StrEnum):
    """The claim by which an entry names tokens."""

    JTI = "jti"
    SESSION = "session"
    SUBJECT = "subject"
    ISSUER = "issuer"


class Revocation(NamedTuple):
    """One entry: the tokens that it names are revoked.

    Attributes:
        kind: the claim by which it names tokens.
        issuer: the issuer of the tokens; `None` for those of every issuer.
        name: the `jti`, the session or the subject; empty for an issuer.
        issued_until: the last `iat` of the tokens of a subject or an issuer, in seconds since the
            epoch; `None` for a token or a session.
        until: when the entry can be dropped, because every token that it names has expired.
    """

    kind: Kind
    issuer: str | None
    name: str
    issued_until: float | None
    until: int

    def __repr__(self) -> str:
        return f"<revocation by {self.kind}>"


def end_of_entry(expires: float) -> int:
    """Return when an entry can be dropped: the largest leeway after its tokens, by the minute.

    Args:
        expires: the `exp` of the last token that it names.
    """
    return math.ceil((expires + _LARGEST_LEEWAY) / _BUCKET) * _BUCKET


# By name: the last `iat`, the end of the entry, and the epoch in which it was seen on a server.
_Values: TypeAlias = dict[str, tuple[float, int, int]]


class Entries:
    """The entries of one process. A look-up takes no lock and reads no clock.

    An entry that has ended and is still here does no harm: the tokens that it names have expired.
    Each change drops up to 64 of them, `drop_ended` more.
    """

    def __init__(self, session_claims: Sequence[str], subject_claims: Sequence[str]) -> None:
        self._session_claims = tuple(dict.fromkeys((*session_claims, SESSION_ID)))
        self._subject_claims = tuple(dict.fromkeys((*subject_claims, USER_ID, ISSUER_USER_ID)))
        self._tables: dict[Kind, dict[str | None, _Values]] = {kind: {} for kind in Kind}
        self._jtis = self._tables[Kind.JTI]
        self._sessions = self._tables[Kind.SESSION]
        self._subjects = self._tables[Kind.SUBJECT]
        self._issuers = self._tables[Kind.ISSUER]
        self._ends: dict[int, dict[tuple[Kind, str | None], list[str]]] = {}
        self._order: list[int] = []  # a heap of the keys of `_ends`
        self._shared: dict[int, tuple[float, int, int]] = {}
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        tables = (list(table.values()) for table in self._tables.values())
        return sum(len(names) for table in tables for names in table)

    def match(self, claims: Mapping[str, Any]) -> bool:
        """Return whether an entry names the token with these claims."""
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
                until = _find(self._subjects, issuer, value_at(claims, path))
                if until is not None and _is_issued_by(claims, until):
                    return True
        if self._issuers:
            until = _find(self._issuers, issuer, "")
            return until is not None and _is_issued_by(claims, until)
        return False

    def add(self, entry: Revocation, now: float, epoch: int = 0) -> None:
        """Add an entry. One that is there already lasts, and reaches, as far as the longer one.

        Args:
            entry: the entry.
            now: seconds since the epoch; entries that have ended by then may be dropped.
            epoch: a number from 1 if the entry was read on a server.
        """
        bucket = -(-entry.until // _BUCKET) * _BUCKET
        with self._lock():
            self._drop(now, _DROPPED_AT_ONCE)
            names = self._tables[entry.kind].setdefault(entry.issuer, {})
            old = names.get(entry.name)
            if entry.issued_until is None:
                value = self._shared.get(bucket)
                if value is None or value[2] != epoch:
                    value = self._shared[bucket] = (math.inf, bucket, epoch)
            else:
                value = (entry.issued_until, bucket, epoch)
            if old is not None:
                longer = (max(old[0], value[0]), max(old[1], bucket))
                # What goes further than the entry that was read counts as not seen.
                if longer != value[:2]:
                    value = old if longer == old[:2] else (*longer, 0)
            names[entry.name] = value
            if old is None or old[1] < value[1]:
                if value[1] not in self._ends:
                    self._ends[value[1]] = {}
                    heapq.heappush(self._order, value[1])
                groups = self._ends[value[1]]
                groups.setdefault((entry.kind, entry.issuer), []).append(entry.name)

    def drop_ended(self, now: float, most: int) -> None:
        """Drop entries that have ended, at most `most` of them."""
        with self._lock():
            self._drop(now, most)

    def is_unseen(self, entry: Revocation, epoch: int) -> bool:
        """Return whether an entry is here and was not seen on the server in this epoch."""
        value = self._tables[entry.kind].get(entry.issuer, {}).get(entry.name)
        return value is not None and value[2] != epoch

    def unseen(self, epoch: int) -> Iterator[Revocation]:
        """Yield the entries that were not seen on the server in this epoch.

        It begins anywhere among them, so that several processes share the work.
        """
        with self._lock():
            tables = [
                (kind, issuer, values, list(values))
                for kind, table in self._tables.items()
                for issuer, values in table.items()
            ]
        for kind, issuer, values, names in tables:
            middle = int(JITTER.uniform(0, len(names)))
            for name in chain(islice(names, middle, None), islice(names, middle)):
                issued, until, seen = values.get(name, (0, 0, epoch))
                if seen != epoch:
                    issued_until = None if issued == math.inf else issued
                    yield Revocation(kind, issuer, name, issued_until, until)

    def _drop(self, now: float, most: int) -> None:
        while self._order and most > 0:
            bucket = self._order[0]
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
                del self._ends[heapq.heappop(self._order)]
                self._shared.pop(bucket, None)


def identifier(value: object) -> str | None:
    """The name in a claim as text; `None` for what is no name."""
    if isinstance(value, str):
        return value
    # Some issuers number their sessions and users.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _find(table: dict[str | None, _Values], issuer: str | None, value: object) -> float | None:
    """Return the last `iat` that is revoked, by entries of the issuer and those of every issuer."""
    name = identifier(value)
    if name is None:
        return None
    own = table.get(issuer)
    found = own.get(name) if own is not None else None
    if issuer is not None and (every := table.get(None)) is not None:
        shared = every.get(name)
        if shared is not None and (found is None or shared[0] > found[0]):
            found = shared
    return found[0] if found is not None else None


def _is_issued_by(claims: Mapping[str, Any], until: float) -> bool:
    issued = claims.get("iat")
    return not isinstance(issued, int | float) or issued <= until
