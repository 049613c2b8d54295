"""Token Status Lists of an issuer, as a source of revocations (draft-ietf-oauth-status-list).

A token names a place in a list, `status.status_list{idx, uri}`, and the list is a signed JWT,
compressed, with a few bits for each token. A list is fetched when a token first names it, and
cached while it is fresh.
"""

import asyncio
import logging
import math
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

from jwt_deps.concurrency import Backoff, ForkSafeLock, LRUMap, SingleFlight, uptime
from jwt_deps.errors import (
    AuthError,
    ConfigurationError,
    SignatureError,
    require_numbers,
    require_positive,
    require_sizes,
)
from jwt_deps.jose import (
    CompactJWS,
    decode_base64url,
    is_numeric_date,
    needs_extension,
    parse_compact,
    parse_object,
)
from jwt_deps.keys import Fetcher, FetchError, host_of, shown

logger = logging.getLogger("jwt_deps")

_TYPES = frozenset({"statuslist+jwt", "application/statuslist+jwt"})
_BITS = frozenset({1, 2, 4, 8})
_SHORTEST = 1.0


class _List(NamedTuple):
    """A list, and when it was issued and expires, in seconds since the epoch."""

    bits: int
    octets: bytes
    issued: float
    expires: float

    def status(self, index: int) -> int | None:
        """Return the status at a place of the list; `None` if it has no such place."""
        octet, shift = divmod(index * self.bits, 8)
        if octet >= len(self.octets):
            return None
        return (self.octets[octet] >> shift) & ((1 << self.bits) - 1)

    def united(self, other: "_List") -> "_List":
        """Return this list, with what another one of the same form, and no newer, revokes."""
        if other.bits != self.bits or other.octets == self.octets:  # the same, most of the time
            return self
        size = len(self.octets)
        if other.issued == self.issued:  # within one second a list can become longer
            size = max(size, len(other.octets))
        mine, others = (int.from_bytes(it.octets[:size].ljust(size, b"\0")) for it in (self, other))
        return self._replace(octets=(mine | others).to_bytes(size))


@dataclass(slots=True, weakref_slot=True)
class _State:
    """What is known of the list at one address; times are by the clock of ages."""

    known: _List | None = None
    fresh_until: float = -math.inf
    fetch: SingleFlight[None] | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(1, 60))


class StatusListIssuer(Protocol):
    """What is read of the settings of an issuer, `IssuerSettings` or `JWTSettings`."""

    # pyright takes a cached property for no property, so this is what it is there.
    @cached_property
    def policy(self) -> Any:
        """What is accepted of it, and its keys."""
        ...

    def make_fetcher(self) -> Fetcher:
        """Make what fetches its keys: with its authorities, its hosts by http, its credentials."""
        ...


class StatusLists:
    """A source of revocations: the status lists of one issuer.

    Tokens without `status` and those of other issuers are not revoked by it.
    """

    def __init__(  # noqa: PLR0913 - what can be set
        self,
        issuer: StatusListIssuer,
        *,
        hosts: Collection[str],
        longest_fresh: float = 300,
        accept_unreachable: bool = False,
        timeout: float = 5,
        max_bytes: int = 1024 * 1024,
        max_octets: int = 8 * 1024 * 1024,
        max_lists: int = 64,
        clock: Callable[[], float] = time.time,
        age_clock: Callable[[], float] = uptime,
    ) -> None:
        """Prepare; a list is fetched when a token first names it.

        Args:
            issuer: the settings of the issuer, with whose keys the lists are signed. Lists are
                fetched as keys are: with its `ca_file`, `allow_loopback`, `allow_http_hosts` and
                `trust_env`, and at its own origins with its `jwks_headers`, token and certificate.
            hosts: the hosts from which lists may be fetched.
            longest_fresh: the longest time in seconds for which a list is used before it is
                fetched again; its own `ttl` and `exp` can shorten it, HTTP headers cannot.
            accept_unreachable: whether tokens are accepted whose list cannot be fetched, in place
                of a 503.
            timeout: seconds for one fetch.
            max_bytes: the size of the largest list that is read, compressed.
            max_octets: the size of the largest list that is read, decompressed.
            max_lists: how many lists are cached; with more in use, each is fetched again and again.
            clock: seconds since the epoch, for `iat` and `exp` of a list.
            age_clock: seconds of a monotonic clock, for the age of a list.

        Raises:
            ConfigurationError: no host is named, the settings are those of several issuers, a
                number cannot be used (a size is an integer of 1 or more), a file of certificates
                cannot be read, or `httpx2` is not installed.

        Example:
            ```python
            lists = StatusLists(issuer, hosts={"issuer.example"})
            settings = JWTSettings(issuers={"main": issuer}, revocation=lists)
            ```
        """
        named = () if isinstance(hosts, str) else hosts
        self._hosts = frozenset(host_of(f"//{host}") for host in named)
        written = {host.lower().strip("[]") for host in named}
        if not named or "" in written or self._hosts != written:
            raise ConfigurationError(
                "status_list_hosts",
                "StatusLists needs the hosts that lists may come from, as a set of names without "
                "scheme and port.",
            )
        self._policy = issuer.policy
        if not (self._policy.key_caches or self._policy.keys.size):
            raise ConfigurationError(
                "issuer_form",
                "StatusLists needs the settings of the issuer whose lists they are, one entry of "
                "issuers: those of all of them have no keys.",
            )
        require_numbers(longest_fresh=longest_fresh)
        require_positive(timeout=timeout)
        require_sizes(max_bytes=max_bytes, max_octets=max_octets, max_lists=max_lists)
        self._longest_fresh = longest_fresh
        self._accept_unreachable = accept_unreachable
        self._timeout = timeout
        self._max_octets = max_octets
        self._clock = clock
        self._age_clock = age_clock
        size = 2 * max_lists  # of two generations, of which one is always complete
        self._states: LRUMap[str, _State] = LRUMap(size)
        # Also those that requests wait for, however many others are asked for meanwhile.
        self._existing: WeakValueDictionary[str, _State] = WeakValueDictionary()
        self._lock = ForkSafeLock()
        self._fetcher = replace(
            issuer.make_fetcher(),
            trusted_hosts=self._hosts,
            max_bytes=max_bytes,
            accept="application/statuslist+jwt",
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(sorted(self._hosts))}>"

    def is_revoked(self, claims: Mapping[str, Any]) -> bool | None:
        """Return whether the list has another status than valid; `None` if it has to be fetched.

        A token counts as revoked if its `status` cannot be read, names a host that is not allowed,
        or a place that is not in the list.

        Args:
            claims: the claims of a token that passed every other check.
        """
        accepted = self._policy.issuers
        if "status" not in claims or (accepted and claims.get("iss") not in accepted):
            return False
        place = self._place(claims["status"])
        if place is None:
            return True
        uri, index = place
        state, now = self._state(uri), self._age_clock()
        if now < state.fresh_until or (self._accept_unreachable and state.backoff.holds(now)):
            return state.known is not None and state.known.status(index) != 0
        return None

    async def prepare(self, claims: Mapping[str, Any]) -> None:
        """Fetch the list that a token names, or wait for the fetch of another request.

        Args:
            claims: the claims of the token.
        """
        place = self._place(claims.get("status"))
        if place is not None:
            state = self._state(place[0])
            if not state.backoff.holds(self._age_clock()):
                await self._start(place[0], state).wait()
            self._state(place[0])  # cached again, for the look-up that follows

    def _place(self, status: object) -> tuple[str, int] | None:
        member = status.get("status_list") if isinstance(status, Mapping) else None
        if not isinstance(member, Mapping):
            return None
        index, uri = member.get("idx"), member.get("uri")
        if type(index) is not int or index < 0 or not isinstance(uri, str):
            return None
        return (uri, index) if host_of(uri) in self._hosts else None

    def _state(self, uri: str) -> _State:
        with self._lock():
            state = self._states.get(uri)
            if state is None:
                state = self._existing.setdefault(uri, _State())
                self._states.put(uri, state)
            return state

    def _start(self, uri: str, state: _State) -> SingleFlight[None]:
        with self._lock():
            if state.fetch is None or not state.fetch.is_running():
                state.fetch = SingleFlight(
                    self._fetch(uri, state), timeout=2 * self._timeout, lost=lambda _: None
                )
            return state.fetch

    async def _fetch(self, uri: str, state: _State) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._fetch_list(uri, state)
        except (TimeoutError, FetchError, AuthError, ValueError) as error:
            state.backoff.fail(self._age_clock())
            reason = str(error) or "no answer in time"
            logger.warning("the status list at %s cannot be used: %s", shown(uri), reason)
        else:
            state.backoff.succeed()

    async def _fetch_list(self, uri: str, state: _State) -> None:
        now, asked = self._clock(), self._age_clock()
        fetched = await self._fetcher.get(uri)
        claims = await self._verified(parse_compact(fetched.body.strip()))
        if claims.get("sub") != uri:
            raise ValueError("it is meant for another address")
        accepted = self._policy.issuers
        if accepted and claims.get("iss", accepted[0]) not in accepted:
            raise ValueError("it is of another issuer")
        found = _unpack(claims, self._max_octets)
        lives = _number(claims, "ttl") if "ttl" in claims else math.inf
        if found.issued > now + self._policy.leeway or now >= found.expires:
            raise ValueError("it is not valid now")
        fresh = asked + max(_SHORTEST, min(lives, self._longest_fresh))
        known = state.known
        if known is None or found.issued > known.issued:
            known = found
        else:
            # Two nodes of an issuer, or its caches, may each lack what the other one revoked.
            if found.issued < known.issued:
                logger.warning("the status list at %s is older than the one before", shown(uri))
            is_expired = now >= known.expires
            expires = found.expires if is_expired else min(found.expires, known.expires)
            known = known.united(found)._replace(expires=expires)
        state.known = known
        # The requests that waited for it get an answer, however long it took.
        until = max(fresh, self._age_clock() + _SHORTEST)
        state.fresh_until = min(until, asked + known.expires - now)

    async def _verified(self, jws: CompactJWS) -> dict[str, Any]:
        header = parse_object(jws.header)
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(kind, str) or kind.lower() not in _TYPES or needs_extension(header):
            raise ValueError("it is of another type")
        is_accepted = isinstance(algorithm, str) and algorithm in self._policy.algorithms
        if not is_accepted or not isinstance(kid, str | None):
            raise ValueError("its algorithm is not accepted, or its kid cannot be read")
        candidates, _ = await self._policy.fetched_keys(algorithm, kid)
        if not any(one.key.verify(jws.signing_input, jws.signature) for one in candidates):
            raise SignatureError
        return parse_object(jws.payload)


def _unpack(claims: Mapping[str, Any], most: int) -> _List:
    """Return the list in its claims, decompressed (draft §4.1)."""
    member = claims.get("status_list")
    bits = member.get("bits") if isinstance(member, Mapping) else None
    packed = member.get("lst") if isinstance(member, Mapping) else None
    if type(bits) is not int or bits not in _BITS or not isinstance(packed, str):
        raise ValueError("it has no list")
    inflater = zlib.decompressobj()
    octets = b""
    with suppress(ValueError, zlib.error):
        octets = inflater.decompress(decode_base64url(packed.encode()), most)
    if not inflater.eof:
        raise ValueError("it is longer than this service reads, or not compressed as it must be")
    expires = _number(claims, "exp") if "exp" in claims else math.inf
    return _List(bits, octets, _number(claims, "iat"), expires)


def _number(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if not is_numeric_date(value):
        raise ValueError("it has a time that is not a number")
    return value
