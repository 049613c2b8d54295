"""The keys of one issuer: when they are fetched, and which of them a request gets.

    state    what a request gets
    fresh    the cached keys, without waiting
    ageing   the same; one fetch starts in the background
    expired  it waits for one fetch. While the issuer is known to be out of reach, or when the
             fetch fails, it gets the old keys until `stale_if_error` has passed
    none     it waits for one fetch; `KeysUnavailableError` when that fails

After an answer that there is no JWK Set (404, 410) or no usable key in it, keys are not used past
their end: the issuer is in reach, and has withdrawn them.

A token that names a key which is not cached can force a fetch, past HTTP caches on the way; a token
bucket limits how often. Only a valid JWK Set replaces keys, and it replaces all of them.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from jwt_deps import telemetry
from jwt_deps.concurrency import (
    JITTER,
    Backoff,
    ForkSafeLock,
    LRUMap,
    SingleFlight,
    TokenBucket,
    uptime,
)
from jwt_deps.errors import KeysUnavailableError, UnknownKeyError

from .http import FetchError
from .key_set import KeySet, VerificationKey, log_skipped
from .lifetime import JWKSCacheSettings, Lifetime
from .provider import JWKSetResponse, KeyHealth, KeyProvider

logger = logging.getLogger("jwt_deps")

#: Seconds that a fetch is waited for past its own timeout: its event loop may be busy.
GRACE = 1
#: Fetches that unknown key ids can force at once, and seconds until they can force one more. Two,
#: so that a rotation in two steps needs no waiting; the issuer sees two a minute in any flood.
_FORCED, _FORCED_REFILL = 2, 30
_MAX_UNKNOWN = 128
#: Seconds between attempts while the issuer fails: the first pause, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 1, 60

_Fetch: TypeAlias = SingleFlight[FetchError | None]


class _Cached(NamedTuple):
    response: JWKSetResponse
    life: Lifetime
    number: int
    """Of the fetch that brought them."""

    @property
    def keys(self) -> KeySet:
        return self.response.keys


@dataclass(slots=True)
class _Named:
    """A key that is not cached, and that tokens have named, at most 30 s apart."""

    fetches: int
    """How many had begun when the first of these tokens came."""
    last_at: float
    """When the last one came."""


class KeyCache:
    """The keys of one issuer. Between fetches it needs no connection, event loop or timer."""

    def __init__(
        self,
        name: str,
        provider: KeyProvider,
        policy: JWKSCacheSettings,
        *,
        clock: Callable[[], float] = uptime,
    ) -> None:
        """Start with no keys; the name is the issuer's, for logs and metrics."""
        self.name = name
        self.clock = clock
        self._provider = provider
        self._policy = policy
        self._cached: _Cached | None = None
        self._flight: _Fetch | None = None
        self._error: FetchError | None = None
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        # For fetches in the background: one whose event loop ends has no result, and is repeated.
        self._ahead = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._bucket = TokenBucket(_FORCED, _FORCED_REFILL)
        self._fetches = 0
        self._unknown: LRUMap[tuple[str, str | None], _Named] = LRUMap(_MAX_UNKNOWN)
        self._lock = ForkSafeLock()

    @property
    def response(self) -> JWKSetResponse | None:
        """What was fetched last, expired or not."""
        return self._cached.response if self._cached is not None else None

    def cached(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...] | None:
        """Return the keys for a token if they are fresh; `None`: ask `choose`."""
        cached = self._cached
        if cached is None or self.clock() >= cached.life.refresh_at:
            return None
        try:
            return cached.keys.choose(algorithm, kid)
        except UnknownKeyError:
            return None

    def has(self, algorithm: str, kid: str | None) -> bool:
        """Whether the keys that were fetched last have one for a token, expired or not."""
        try:
            return self._cached is not None and bool(self._cached.keys.choose(algorithm, kid))
        except UnknownKeyError:
            return False

    async def choose(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        """Return the keys for a token, fetching keys where that can help.

        Raises:
            UnknownKeyError: the issuer, which was asked for it, has no such key.
            KeysUnavailableError: the issuer cannot be reached, or asked again so soon.
        """
        with suppress(TimeoutError):
            # One fetch may follow another; both together get the time of one.
            async with asyncio.timeout(self._policy.timeout + GRACE):
                return await self._choose(algorithm, kid)
        raise self._unavailable()

    async def refresh(self) -> FetchError | None:
        """Fetch the keys now, or wait for the running fetch; return why it failed."""
        return await self._start().wait()

    def health(self) -> KeyHealth:
        """Return the state of the keys."""
        now, cached, flight = self.clock(), self._cached, self._flight
        usable = cached if cached is not None and now < cached.life.unusable_at else None
        fresh = cached is not None and now < cached.life.expires_at
        return KeyHealth(
            fresh=fresh,
            degraded=usable is not None and not fresh and self._error is not None,
            cooling_down=self._is_cooling_down(),
            reloading=flight is not None and flight.is_running(),
            age=now - cached.life.fetched_at if cached is not None else None,
            keys=usable.keys.size if usable is not None else 0,
            skipped=tuple(map(str, cached.response.skipped)) if cached is not None else (),
            last_error=str(self._error) if self._error is not None else None,
        )

    # What a request gets

    async def _choose(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        cached = await self._fresh_or_fetched()
        if self.clock() >= cached.life.expires_at:
            telemetry.stale_served(self.name)
        try:
            return cached.keys.choose(algorithm, kid)
        except UnknownKeyError:
            if kid is None and algorithm in cached.keys.in_set:
                raise  # several keys fit, and no fetch can tell which is meant
        name, now = (algorithm, kid), self.clock()
        named = self._unknown.get(name)
        # A client can name a key long before it is published: what is fetched for others much later
        # is no answer about it.
        if named is None or now - named.last_at > _FORCED_REFILL:
            named = _Named(self._fetches, now)
            self._unknown.put(name, named)
        named.last_at = now
        await self._ask_for_newer(cached, named.fetches)
        try:
            return (self._cached or cached).keys.choose(algorithm, kid)
        except UnknownKeyError:
            telemetry.unknown_kid(self.name, limited=False)
            raise

    async def _fresh_or_fetched(self) -> _Cached:
        """Return keys that may be used, and fetch them where the table above says so."""
        now, cached = self.clock(), self._cached
        if cached is not None and now < cached.life.refresh_at:
            return cached
        if cached is not None and now < cached.life.unusable_at:
            if now < cached.life.expires_at or self._is_out_of_reach(now):
                if not self._is_cooling_down() and not self._ahead.holds(now):
                    self._ahead.fail(now)  # and succeeds when there is a result
                    self._start()
                return cached  # no request waits for an issuer that is known to be out of reach
        elif self._is_cooling_down():
            raise self._unavailable()
        error = await self._refreshed()
        cached = self._cached
        if cached is None or self.clock() >= cached.life.unusable_at:
            raise self._unavailable() from error
        return cached

    async def _refreshed(self) -> FetchError | None:
        error = await self._start().wait()
        if error is not None and not self._is_cooling_down():
            # The issuer did not fail: the fetch ended with the event loop of another request.
            error = await self._start().wait()
        return error

    async def _ask_for_newer(self, seen: _Cached, fetches: int) -> None:
        """Have newer keys than those seen, which lack the one that a token names.

        `fetches` is how many had begun when tokens began to name that key: if the issuer has been
        asked since, and may not be asked again yet, the key is unknown.
        """
        flight = self._flight
        if flight is not None and flight.is_running():
            await flight.wait()
            # If it brought nothing new, it may have asked before the key was there.
        if self._has_changed(seen):
            return
        if self._is_cooling_down():
            raise self._unavailable()
        flight = self._force()
        if flight is None:  # the issuer was asked moments ago, for other such tokens
            if self._error is not None:
                raise self._unavailable()
            telemetry.unknown_kid(self.name, limited=True)
            if seen.number > fetches:
                raise UnknownKeyError
            # It may have published this key since it was asked: nothing is known of the token.
            raise KeysUnavailableError(math.ceil(max(1, self._bucket.wait(self.clock()))))
        if (error := await flight.wait()) is not None:
            raise self._unavailable() from error

    def _has_changed(self, seen: _Cached) -> bool:
        return self._cached is not None and self._cached.keys is not seen.keys

    def _is_out_of_reach(self, now: float) -> bool:
        """Whether the last fetch failed, and recently enough to count."""
        return now < self._backoff.retry_at + self._policy.ttl

    def _is_cooling_down(self) -> bool:
        return self._backoff.holds(self.clock())

    def _unavailable(self) -> KeysUnavailableError:
        return KeysUnavailableError(math.ceil(max(1, self._backoff.retry_at - self.clock())))

    # Fetching

    def _start(self) -> _Fetch:
        """Return the running fetch, else a new one."""
        with self._lock():
            if self._flight is None or not self._flight.is_running():
                self._flight = self._new_flight(forced=False)
            return self._flight

    def _force(self) -> _Fetch | None:
        """Return the running fetch, else one past HTTP caches; `None` if there were too many."""
        with self._lock():
            if self._flight is None or not self._flight.is_running():
                if not self._bucket.take(self.clock()):
                    return None
                self._flight = self._new_flight(forced=True)
            return self._flight

    def _new_flight(self, *, forced: bool) -> _Fetch:
        timeout = self._policy.timeout + GRACE
        return SingleFlight(self._fetch(forced=forced), timeout=timeout, lost=FetchError)

    async def _fetch(self, *, forced: bool) -> FetchError | None:
        asked_at = self.clock()
        self._fetches = number = self._fetches + 1
        try:
            async with asyncio.timeout(self._policy.timeout):
                response = await self._provider.fetch(self.response, now=asked_at, forced=forced)
        except TimeoutError:
            slow = FetchError(f"no answer within {self._policy.timeout:g} s")
            return self._on_failure(slow, asked_at, forced=forced)
        except FetchError as error:
            return self._on_failure(error, asked_at, forced=forced)
        except asyncio.CancelledError:
            if forced:
                with self._lock():
                    self._bucket.refund()
            raise
        except Exception as error:
            # A defect of this package or of the HTTP client: for requests it is an outage too.
            logger.exception("fetching keys of issuer %s failed unexpectedly", self.name)
            unexpected = FetchError(f"unexpected {type(error).__name__}")
            return self._on_failure(unexpected, asked_at, forced=forced)
        self._on_success(response, asked_at, number)
        return None

    def _on_success(self, response: JWKSetResponse, asked_at: float, number: int) -> None:
        jitter = JITTER.random()
        life = Lifetime.beginning(asked_at, response.seconds, self._policy, jitter)
        with self._lock():
            if self._is_overtaken(asked_at):
                return
            before = self.response
            self._cached = _Cached(response, life, number)
            recovered, self._error = self._error is not None, None
            self._backoff.succeed()
            self._ahead.succeed()
        telemetry.keys_fetched(self.name, before.body if before else None, response.body)
        if before is None or before.skipped != response.skipped:
            log_skipped(f"issuer {self.name}", response.skipped)
        if recovered:
            logger.info("issuer %s can be reached again", self.name)

    def _on_failure(self, error: FetchError, asked_at: float, *, forced: bool) -> FetchError:
        now = self.clock()
        with self._lock():
            if self._is_overtaken(asked_at):
                return error
            self._error = error
            self._backoff.fail(now)
            self._ahead.succeed()
            if forced:
                self._bucket.refund()  # an outage must not use up what a rotation will need
            cached = self._cached
            if error.withdrawn and cached is not None:
                life = cached.life._replace(unusable_at=cached.life.expires_at)
                self._cached = cached._replace(life=life)
        usable = cached is not None and now < cached.life.expires_at
        telemetry.keys_failed(self.name)
        level = logging.WARNING if usable else logging.ERROR
        logger.log(level, "keys of issuer %s cannot be fetched: %s", self.name, error)
        return error

    def _is_overtaken(self, asked_at: float) -> bool:
        """Whether the cached keys were asked for later."""
        return self._cached is not None and self._cached.life.fetched_at > asked_at
