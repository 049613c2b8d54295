"""Which keys of an issuer are good now? A cache that asks seldom, and survives an outage.

    fresh           keys are handed out, nobody waits
    ahead of expiry the same, and one fetch starts in the background
    expired         callers wait for one fetch; while the issuer is known to be out of reach, or
                    when the fetch fails, the old keys are good until `stale_if_error` has passed
    none usable     callers wait for one fetch; when it fails, `KeysUnavailableError`

A token that names a key which is not there can force a fetch, past caches on the way and within
the limits of a bucket. Only a good answer ever replaces keys, and then it replaces all of them.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jwt_deps import telemetry
from jwt_deps.concurrency import Absent, Backoff, ForkSafeLock, SingleFlight, TokenBucket
from jwt_deps.errors import KeysUnavailableError, UnknownKeyError

from .http import FetchError
from .key_set import VerificationKey
from .lifetime import JWKSCacheSettings, Lifetime
from .provider import KeyHealth, PublishedKeys, Publisher

__all__ = ["KeyCache"]

logger = logging.getLogger("jwt_deps")

_GRACE = 1  # seconds that a fetch is waited for past its own limit: its loop may be busy


@dataclass(frozen=True, slots=True)
class _Snapshot:
    published: PublishedKeys
    life: Lifetime


class KeyCache:
    """The keys of one issuer. Between fetches it needs no connection, event loop or timer."""

    def __init__(
        self,
        name: str,
        publisher: Publisher,
        policy: JWKSCacheSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with no keys.

        Args:
            name: of the issuer, for logs.
            publisher: fetches the keys.
            policy: every limit.
            clock: seconds that never go back; a test may put another one into `clock`.
        """
        self.name = name
        self.clock = clock
        self._publisher = publisher
        self._policy = policy
        self._snapshot: _Snapshot | None = None
        self._flight: SingleFlight[FetchError | None] | None = None
        self._error: FetchError | None = None
        self._backoff = Backoff(policy.backoff, policy.max_backoff)
        self._bucket = TokenBucket(policy.forced_capacity, policy.forced_refill)
        self._absent = Absent(policy.unknown_size, policy.unknown_ttl)
        self._closings = 0
        self._state = ForkSafeLock()

    @property
    def published(self) -> PublishedKeys | None:
        """What was fetched last, usable or not."""
        return self._snapshot.published if self._snapshot is not None else None

    def cached(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...] | None:
        """The key that may check a token, if it is here and fresh; `None`: ask `choose`."""
        snapshot = self._snapshot
        if snapshot is None or self.clock() >= snapshot.life.refresh_at:
            return None
        try:
            return snapshot.published.keys.choose(algorithm, kid)
        except UnknownKeyError:
            return None

    async def choose(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        """Choose the key that may check a token, fetching keys where that can help.

        Raises:
            UnknownKeyError: a healthy issuer has no such key.
            KeysUnavailableError: nobody knows, because the issuer cannot be reached.
        """
        with suppress(TimeoutError):
            # One fetch may follow another, and a caller waits no longer for two of them.
            async with asyncio.timeout(self._policy.timeout + _GRACE):
                return await self._choose(algorithm, kid)
        raise self._unavailable()

    async def refresh(self) -> FetchError | None:
        """Fetch the keys now, or wait for the fetch that is under way, and say why it failed."""
        return await self._start().wait()

    def export(self) -> dict[str, Any] | None:
        """The keys as JSON, for `seed` in another process; `None` before they are there."""
        if (snapshot := self._snapshot) is None:
            return None
        age = self.clock() - snapshot.life.fetched_at
        return {"jwks": snapshot.published.body.decode(), "fetched_at": time.time() - age}

    def seed(self, exported: Mapping[str, Any]) -> None:
        """Start with keys that another process exported, unless there are newer ones.

        Raises:
            ValueError: that is not what `export` gave.
        """
        try:
            body, fetched_at = exported["jwks"].encode(), float(exported["fetched_at"])
        except (AttributeError, KeyError, OverflowError, TypeError):
            raise ValueError("that is no export") from None
        published = self._publisher.read(body)
        age = time.time() - fetched_at
        if not math.isfinite(age):
            raise ValueError("fetched_at is no moment")
        # A moment to come is a clock that is wrong; the keys are new at best.
        asked_at = self.clock() - max(0, age)
        life = Lifetime.beginning(asked_at, published.seconds, self._policy, 0)
        with self._state():
            if not self._is_overtaken(asked_at):
                self._snapshot = _Snapshot(published, life)

    def health(self) -> KeyHealth:
        """How the keys are."""
        now, snapshot, flight = self.clock(), self._snapshot, self._flight
        life = snapshot.life if snapshot is not None else None
        usable = life is not None and now < life.unusable_at
        fresh = life is not None and now < life.expires_at
        return KeyHealth(
            fresh=fresh,
            degraded=usable and not fresh and self._error is not None,
            cooling_down=self._is_cooling_down(),
            reloading=flight is not None and flight.is_running(),
            age=now - life.fetched_at if life is not None else None,
            keys=snapshot.published.keys.size if usable and snapshot is not None else 0,
            skipped=snapshot.published.skipped if snapshot is not None else 0,
            last_error=str(self._error) if self._error is not None else None,
        )

    def close(self) -> None:
        """Stop a fetch that is under way; the next caller starts another one."""
        self._closings += 1
        if self._flight is not None:
            self._flight.cancel()

    async def _choose(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        snapshot = await self._usable()
        if self.clock() >= snapshot.life.expires_at:
            telemetry.stale_served(self.name)
        keys = snapshot.published.keys
        try:
            return keys.choose(algorithm, kid)
        except UnknownKeyError:
            if kid is None and algorithm in keys.in_set:
                raise  # several fit, and no fetch can tell which is meant
        newer = await self._newer(snapshot, (algorithm, kid))
        try:
            return newer.published.keys.choose(algorithm, kid)
        except UnknownKeyError:
            with self._state():
                self._absent.add((algorithm, kid), self.clock())
            telemetry.unknown_kid(self.name, limited=False)
            raise

    async def _usable(self) -> _Snapshot:
        """The keys to go by now."""
        now, snapshot = self.clock(), self._snapshot
        if snapshot is not None and now < snapshot.life.refresh_at:
            return snapshot
        if snapshot is not None and now < snapshot.life.unusable_at:
            if now < snapshot.life.expires_at or self._is_out_of_reach(now):
                if not self._is_cooling_down():
                    self._start()
                return snapshot  # nobody waits for an issuer that is known to be out of reach
        elif self._is_cooling_down():
            raise self._unavailable()
        closings, error = self._closings, await self._start().wait()
        if error is not None and closings == self._closings and not self._is_cooling_down():
            # The issuer did not fail: the fetch was lost with the event loop of somebody else.
            error = await self._start().wait()
        snapshot = self._snapshot
        if snapshot is None or self.clock() >= snapshot.life.unusable_at:
            raise self._unavailable() from error
        return snapshot

    async def _newer(self, seen: _Snapshot, name: tuple[str, str | None]) -> _Snapshot:
        """Other keys than those seen, which lack one that a token names."""
        if self._has_changed(seen):
            return self._current(seen)
        flight = self._flight
        if flight is not None and flight.is_running():
            await flight.wait()
            if self._has_changed(seen):
                return self._current(seen)
            # It may have asked before the key was there, so it proves nothing.
        if self._error is None and self._absent.has(name, self.clock()):
            telemetry.unknown_kid(self.name, limited=True)
            raise UnknownKeyError
        if self._is_cooling_down():
            raise self._unavailable()
        flight = self._force()
        if flight is None:  # a healthy issuer was asked moments ago, for other such tokens
            if self._error is not None:
                raise self._unavailable()
            telemetry.unknown_kid(self.name, limited=True)
            raise UnknownKeyError
        if (error := await flight.wait()) is not None:
            raise self._unavailable() from error
        return self._current(seen)

    def _is_out_of_reach(self, now: float) -> bool:
        """Whether the last fetch failed, and that not so long ago that it means nothing."""
        return self._error is not None and now < self._backoff.retry_at + self._policy.ttl

    def _is_cooling_down(self) -> bool:
        return self._backoff.holds(self.clock())

    def _has_changed(self, seen: _Snapshot) -> bool:
        return self._current(seen).published.keys is not seen.published.keys

    def _current(self, seen: _Snapshot) -> _Snapshot:
        return self._snapshot or seen

    def _unavailable(self) -> KeysUnavailableError:
        return KeysUnavailableError(math.ceil(max(1, self._backoff.retry_at - self.clock())))

    def _start(self) -> SingleFlight[FetchError | None]:
        """The fetch under way, else a new one."""
        with self._state():
            if self._flight is None or not self._flight.is_running():
                self._flight = self._new_fetch(forced=False)
            return self._flight

    def _force(self) -> SingleFlight[FetchError | None] | None:
        """A fetch past every cache on the way, unless there were enough of them."""
        with self._state():
            if self._flight is not None and self._flight.is_running():
                return self._flight
            if not self._bucket.take(self.clock()):
                return None
            self._flight = self._new_fetch(forced=True)
            return self._flight

    def _new_fetch(self, *, forced: bool) -> SingleFlight[FetchError | None]:
        timeout = self._policy.timeout + _GRACE
        return SingleFlight(self._fetch(forced=forced), timeout=timeout, lost=FetchError)

    async def _fetch(self, *, forced: bool) -> FetchError | None:
        asked_at = self.clock()
        try:
            async with asyncio.timeout(self._policy.timeout):
                published = await self._publisher.fetch(self.published, now=asked_at, forced=forced)
        except TimeoutError:
            slow = FetchError(f"no answer within {self._policy.timeout:g} s")
            return self._fail(slow, asked_at, forced=forced)
        except FetchError as error:
            return self._fail(error, asked_at, forced=forced)
        except asyncio.CancelledError:
            if forced:
                with self._state():
                    self._bucket.refund()
            raise
        except Exception as error:
            # A mistake in this package or the client library. It is the same to whoever waits.
            logger.exception("fetching keys of issuer %s failed unexpectedly", self.name)
            unexpected = FetchError(f"unexpected {type(error).__name__}")
            return self._fail(unexpected, asked_at, forced=forced)
        self._succeed(published, asked_at)
        return None

    def _succeed(self, published: PublishedKeys, asked_at: float) -> None:
        spread = random.random()  # noqa: S311 - to spread load, not to hide anything
        life = Lifetime.beginning(asked_at, published.seconds, self._policy, spread)
        with self._state():
            if self._is_overtaken(asked_at):
                return
            before = self.published
            self._snapshot = _Snapshot(published, life)
            recovered, self._error = self._error is not None, None
            self._backoff.succeed()
        telemetry.keys_fetched(self.name, before.body if before else None, published.body)
        if published.skipped:
            logger.warning("issuer %s publishes %d unusable keys", self.name, published.skipped)
        if recovered:
            logger.info("issuer %s can be reached again", self.name)

    def _fail(self, error: FetchError, asked_at: float, *, forced: bool) -> FetchError:
        now = self.clock()
        with self._state():
            if self._is_overtaken(asked_at):
                return error
            self._error = error
            self._backoff.fail(now, random.uniform(-1, 1))  # noqa: S311 - as above
            if forced:
                self._bucket.refund()  # an outage must not use up what a rotation will need
            snapshot = self._snapshot
        usable = snapshot is not None and now < snapshot.life.expires_at
        telemetry.keys_failed(self.name)
        level = logging.WARNING if usable else logging.ERROR
        logger.log(level, "keys of issuer %s cannot be fetched: %s", self.name, error)
        return error

    def _is_overtaken(self, asked_at: float) -> bool:
        """Whether an answer to a later question is there already, and stands."""
        return self._snapshot is not None and self._snapshot.life.fetched_at > asked_at
