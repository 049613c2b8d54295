"""Entries: which tokens each one names, and when it can be dropped."""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from jwt_deps.concurrency import JITTER, ForkSafeLock
from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import check_claim_path, value_at

#: Beside a token's claims: the ids of its user, with the issuer's prefix and without, and of its
#: session, where no claim that is compared need have them: only the issuer's own settings name it.
USER_ID, ISSUER_USER_ID = "jwt_deps.user_id", "jwt_deps.issuer_user_id"
SESSION_ID = "jwt_deps.session_id"
#: A tuple of all names of the token's issuer, where its settings have several.
ISSUERS = "jwt_deps.issuers"

_MINUTE = 60


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
        until: when the entry can be dropped, because every token that it names has expired; in
            whole minutes, so that many are dropped together.
    """

    kind: Kind
    issuer: str | None
    name: str
    issued_until: float | None
    until: int

    def __repr__(self) -> str:
        return f"<revocation by {self.kind}>"


def minute_after(seconds: float) -> int:
    """Return the end of the minute of a time, both in seconds since the epoch."""
    return math.ceil(seconds / _MINUTE) * _MINUTE


# The last `iat`, the end of the entry, and the epoch in which it was seen on a server, if it was.
_Value: TypeAlias = tuple[float, int, int | None]
_Values: TypeAlias = dict[str, _Value]
_NONE: _Values = {}


def _several(names: str | Sequence[str]) -> Sequence[str]:
    """The names of claims, of which a single one may be a text: no list of its letters."""
    several = [names] if isinstance(names, str) else names
    for name in several:
        try:
            check_claim_path(name)
        except ValueError as error:
            raise ConfigurationError(
                "invalid_setting", f"session_claims or subject_claims: a name {error}."
            ) from None
    return several


class Entries:
    """The entries of one process. A look-up takes no lock and reads no clock.

    An entry that has ended and is still here does no harm: the tokens that it names have expired.
    """

    def __init__(
        self, session_claims: str | Sequence[str], subject_claims: str | Sequence[str]
    ) -> None:
        self._tables: dict[Kind, dict[str | None, _Values]] = {kind: {} for kind in Kind}
        self._issuers = self._tables[Kind.ISSUER]
        compared = {
            Kind.JTI: ["jti"],
            Kind.SESSION: [*_several(session_claims), SESSION_ID],
            Kind.SUBJECT: [*_several(subject_claims), USER_ID, ISSUER_USER_ID],
        }
        # Several issuers may have the same claims.
        self._compared = [
            (self._tables[kind], tuple(dict.fromkeys(paths))) for kind, paths in compared.items()
        ]
        self._ends: dict[int, dict[tuple[Kind, str | None], list[str]]] = {}
        self._order: list[int] = []  # a heap of the keys of `_ends`
        self._shared: dict[int, _Value] = {}
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        tables = (list(table.values()) for table in self._tables.values())
        return sum(len(names) for table in tables for names in table)

    def match(self, claims: Mapping[str, Any]) -> bool:
        """Return whether an entry names the token with these claims."""
        issuer, issued = claims.get("iss"), claims.get("iat")
        issuers = claims.get(ISSUERS)
        if not isinstance(issuers, tuple):  # no claim is one
            issuers = (issuer,) if isinstance(issuer, str) else ()
        issuers = (*issuers, None)
        if not isinstance(issued, int | float):
            issued = -math.inf
        for table, paths in self._compared:
            for path in paths if table else ():
                name = identifier(value_at(claims, path))
                if name is not None and _names(table, issuers, name, issued):
                    return True
        return _names(self._issuers, issuers, "", issued)

    def add(self, entry: Revocation, epoch: int | None = None) -> None:
        """Add an entry. One that is there already lasts, and reaches, as far as the longer one.

        An entry that was read on a server has the epoch in which it was.
        """
        until = entry.until
        with self._lock():
            names = self._tables[entry.kind].setdefault(entry.issuer, {})
            old = names.get(entry.name)
            if entry.issued_until is None:
                value = self._shared.get(until)
                if value is None or value[2] != epoch:
                    value = self._shared[until] = (math.inf, until, epoch)
            else:
                value = (entry.issued_until, until, epoch)
            if old is not None:
                longer = (max(old[0], value[0]), max(old[1], until))
                # What goes further than the entry that was read counts as not seen.
                if longer != value[:2]:
                    value = old if longer == old[:2] else (*longer, None)
            names[entry.name] = value
            if old is None or old[1] < value[1]:
                if value[1] not in self._ends:
                    self._ends[value[1]] = {}
                    heapq.heappush(self._order, value[1])
                groups = self._ends[value[1]]
                groups.setdefault((entry.kind, entry.issuer), []).append(entry.name)

    def drop_ended(self, now: float) -> None:
        """Drop the entries that have ended."""
        with self._lock():
            while self._order and self._order[0] <= now:
                until = heapq.heappop(self._order)
                self._shared.pop(until, None)
                for (kind, issuer), listed in self._ends.pop(until).items():
                    names = self._tables[kind][issuer]
                    for name in listed:
                        if names[name][1] == until:  # no later end was added
                            del names[name]
                    if not names:
                        del self._tables[kind][issuer]

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
                value = values.get(name)
                if value is not None and value[2] != epoch:
                    issued_until = None if value[0] == math.inf else value[0]
                    yield Revocation(kind, issuer, name, issued_until, value[1])


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a text that a claim can have: no half of a surrogate pair is in it."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def identifier(value: object) -> str | None:
    """The name in a claim as text; `None` for what is no name."""
    if isinstance(value, str):
        return value
    # Some issuers number their sessions and users.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _names(
    table: Mapping[str | None, _Values], issuers: tuple[str | None, ...], name: str, issued: float
) -> bool:
    """Return whether an entry of one of the issuers names a token; `None` is every issuer."""
    for key in issuers:
        found = table.get(key, _NONE).get(name)
        if found is not None and issued <= found[0]:
            return True
    return False
