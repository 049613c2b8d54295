"""Every rule of the key cache, with a fake provider and a virtual clock.

What is sent over HTTP, and what of it is believed, is at the end.
"""

import asyncio
import contextvars
import json
import logging
import os
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from jwt_deps import IssuerSettings, JWTSettings, KeysUnavailableError, UnknownKeyError
from jwt_deps.concurrency import JITTER
from jwt_deps.errors import SignatureError
from jwt_deps.keys import KeyCache, KeyHealth
from jwt_deps.keys.key_set import SkippedKey
from jwt_deps.testing import Answer, FakeIssuer, VirtualClock
from jwt_deps.testing.issuer import Request
from jwt_deps.tokens.verify import verify
from tests.keys.faking import (
    ALGORITHM,
    DOWN,
    HOUR,
    MINUTE,
    FakeProvider,
    LoopOfVirtualTime,
    Service,
    cache_of,
    landed,
    outcome,
    service_of,
    waited,
)
from tests.minting import pair

pytestmark = pytest.mark.anyio

HEALTHY = KeyHealth(
    fresh=True,
    degraded=False,
    cooling_down=False,
    reloading=False,
    age=0,
    keys=1,
    skipped=(),
    last_error=None,
)


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is spread at random, so that every moment is exact."""
    monkeypatch.setattr(JITTER, "random", lambda: 0.0)
    monkeypatch.setattr(JITTER, "uniform", lambda *_: 0.0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(0)


@pytest.fixture
def provider() -> FakeProvider:
    """It publishes one key, `a`."""
    return FakeProvider("a")


@pytest.fixture
def cache(provider: FakeProvider, clock: VirtualClock) -> KeyCache:
    return cache_of(provider, clock)


async def together(*askers: Coroutine[Any, Any, object]) -> list[object]:
    return list(await asyncio.gather(*askers))


class TestCold:
    async def test_a_thousand_callers_cause_one_fetch(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """All that come before there are keys wait for the same fetch."""
        found = await together(*(outcome(cache, "a") for _ in range(1000)))

        assert ([["a"]] * 1000, 1) == (found, len(provider.asked))

    async def test_one_that_goes_away_does_not_take_the_fetch_along(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """The client of the first request hangs up; the others get their keys."""
        provider.gate = asyncio.Event()
        first, second = (asyncio.create_task(outcome(cache, "a")) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0)
        provider.gate.set()

        assert (["a"], 1) == (await second, len(provider.asked))

    async def test_nothing_of_the_first_request_is_in_the_fetch(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """What the first caller's context holds is not seen by what is done for all."""
        user, seen = contextvars.ContextVar("user", default="nobody"), []
        provider.inside = lambda: seen.append(user.get())

        user.set("alice")
        await cache.choose(ALGORITHM, "a")

        assert ["nobody"] == seen

    async def test_the_answer_is_not_known(self, cache: KeyCache, provider: FakeProvider) -> None:
        """Without keys and without an answer a token is neither good nor bad."""
        provider.error = DOWN

        with pytest.raises(KeysUnavailableError) as refused:
            await cache.choose(ALGORITHM, "a")

        assert (1, DOWN) == (refused.value.retry_after, refused.value.__cause__)

    async def test_a_failure_is_told_to_all_who_waited(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """Many callers, one failed fetch."""
        provider.error = DOWN

        assert ([KeysUnavailableError] * 100, 1) == (
            await together(*(outcome(cache, "a") for _ in range(100))),
            len(provider.asked),
        )

    async def test_during_the_backoff_no_request_waits_or_fetches(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """After a failure the answer is there at once, and says for how long."""
        provider.error = DOWN

        found = []
        for seconds in (0, 1, 2, 4, 8):
            clock.advance(seconds)
            await outcome(cache, "a")
            with pytest.raises(KeysUnavailableError) as refused:
                cache.choose(ALGORITHM, "a").send(None)
            found.append(refused.value.retry_after)

        assert ([1, 2, 4, 8, 16], 5) == (found, len(provider.asked))

    async def test_how_often_an_outage_is_asked(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """With a request each second: after 1, 2, 4, ... seconds, and never more than 60."""
        provider.error = DOWN

        for _ in range(250):
            await outcome(cache, "a")
            clock.advance(1)

        assert [0, 1, 3, 7, 15, 31, 63, 123, 183, 243] == [asked.at for asked in provider.asked]

    async def test_it_recovers(
        self,
        cache: KeyCache,
        provider: FakeProvider,
        clock: VirtualClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The first request after the pause finds the keys, and the log tells the story."""
        caplog.set_level(logging.INFO)
        provider.error = DOWN

        await outcome(cache, "a")
        clock.advance(1)
        provider.error = None

        assert (["a"], HEALTHY) == (await outcome(cache, "a"), cache.health())
        assert [
            (logging.ERROR, "keys of issuer the-issuer cannot be fetched: it is down"),
            (logging.INFO, "issuer the-issuer can be reached again"),
        ] == [(record.levelno, record.getMessage()) for record in caplog.records]

    def test_keys_that_are_not_used_are_told(
        self, cache: KeyCache, provider: FakeProvider, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log and the health report name each with its reason, the log once."""
        caplog.set_level(logging.INFO)
        broken, other = SkippedKey("b", "malformed_jwk"), SkippedKey(None, "it is for encryption")

        for number, skipped in enumerate(((broken, other), (broken, other), (other,), ())):
            provider.kids, provider.skipped = (f"a{number}",), skipped
            asyncio.run(cache.refresh())
            assert tuple(map(str, skipped)) == cache.health().skipped

        said = "issuer the-issuer: keys that are not used: "
        assert [
            (logging.WARNING, f"{said}'b': malformed_jwk; a key without kid: it is for encryption"),
            (logging.INFO, f"{said}a key without kid: it is for encryption"),
        ] == [(record.levelno, record.getMessage()) for record in caplog.records]

    async def test_a_fetch_that_takes_too_long(
        self, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """The time for everything together is bounded, and so is the wait of each request."""
        cache = cache_of(provider, clock, timeout=0.05)

        provider.gate = asyncio.Event()

        assert KeysUnavailableError is await outcome(cache, "a")
        assert "no answer within 0.05 s" == cache.health().last_error


class TestFresh:
    async def test_no_request_waits_or_fetches(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Until shortly before their end the keys are handed out without anything else."""
        await cache.choose(ALGORITHM, "a")
        waits = [waited(cache, "a")]
        clock.advance(569)

        assert ([False, False], 1) == ([*waits, waited(cache, "a")], len(provider.asked))

    async def test_ahead_of_their_end_one_fetch_starts_in_the_background(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Many callers go on with the keys that are there, and one fetch is under way."""
        await cache.choose(ALGORITHM, "a")
        clock.advance(570)
        waits = [waited(cache, "a") for _ in range(100)]
        before = cache.health()
        await landed(cache)
        after = cache.health()

        assert ([False] * 100, 2) == (waits, len(provider.asked))
        assert (True, 570, True) == (before.reloading, before.age, before.fresh)
        assert HEALTHY == after

    async def test_when_that_fails_it_rests(
        self,
        cache: KeyCache,
        provider: FakeProvider,
        clock: VirtualClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is tried again after the pauses, while the keys are as good as before."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(570)
        waits = []
        for _ in range(29):
            waits.append(waited(cache, "a"))
            await landed(cache)
            clock.advance(1)

        assert [False] * 29 == waits
        assert [0, 570, 571, 573, 577, 585] == [asked.at for asked in provider.asked]
        assert (True, False) == (cache.health().fresh, cache.health().degraded)
        assert {logging.WARNING} == {record.levelno for record in caplog.records}

    async def test_expired_and_healthy(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """After a pause without requests, all callers wait for one fetch and get its keys."""
        await cache.choose(ALGORITHM, "a")
        clock.advance(600)
        provider.kids = ("b",)

        assert ([["b"]] * 100, 2) == (
            await together(*(outcome(cache, "b") for _ in range(100))),
            len(provider.asked),
        )


class TestOutage:
    async def test_the_first_request_after_the_end_waits_and_is_served(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """What could not be replaced is still good."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(600)

        assert ["a"] == await outcome(cache, "a")
        assert (False, True, 600) == (
            cache.health().fresh,
            cache.health().degraded,
            cache.health().age,
        )

    async def test_after_that_no_request_waits(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """An hour of outage costs no request any time, and few of them ask."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(600)
        await outcome(cache, "a")
        waits = []
        for _ in range(3599):
            waits.append(waited(cache, "a"))
            await landed(cache)
            clock.advance(1)

        assert (3599, 0) == (len(waits), sum(waits))
        assert 66 == len(provider.asked)

    async def test_one_that_hangs_costs_no_time_either(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """No request waits for an attempt that began after a failure."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(600)
        await outcome(cache, "a")
        provider.gate = asyncio.Event()
        clock.advance(1)

        waits = [waited(cache, "a") for _ in range(10)]
        await asyncio.sleep(0)  # the attempt begins

        assert ([False] * 10, 3) == (waits, len(provider.asked))

    @pytest.mark.parametrize(
        ("policy", "end"),
        [
            pytest.param({}, 600 + HOUR, id="an-hour"),
            pytest.param({"stale_if_error": 0}, 600, id="not-at-all"),
            pytest.param({"ttl": 100, "stale_if_error": 50}, 150, id="as-configured"),
        ],
    )
    async def test_until_the_bound(
        self, provider: FakeProvider, clock: VirtualClock, policy: dict[str, float], end: float
    ) -> None:
        """Old keys are good until the very moment that was promised, and not longer."""
        cache = cache_of(provider, clock, **policy)
        provider.seconds = policy.get("ttl", 600)

        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(end - 0.001)
        before = await outcome(cache, "a")
        clock.advance(0.001)

        assert [["a"], KeysUnavailableError, KeysUnavailableError] == [
            before,
            await outcome(cache, "a"),
            await outcome(cache, None),
        ]
        assert (False, False) == (cache.health().fresh, cache.health().degraded)

    async def test_it_ends(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """After the bound too, the first request that may ask finds the keys."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(3 * HOUR)
        await outcome(cache, "a")
        provider.error, provider.kids = None, ("b",)
        clock.advance(1)

        assert (["b"], HEALTHY) == (await outcome(cache, "b"), cache.health())

    async def test_success_ends_the_doubling(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """A later outage begins with the shortest pause."""
        provider.error = DOWN
        for seconds in (0, 1, 2, 4):
            clock.advance(seconds)
            await outcome(cache, "a")
        clock.advance(8)
        provider.error = None
        await outcome(cache, "a")
        clock.advance(2 * HOUR)
        provider.error = DOWN
        with pytest.raises(KeysUnavailableError) as refused:
            await cache.choose(ALGORITHM, "a")

        assert 1 == refused.value.retry_after

    async def test_a_short_one_long_ago_is_none(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Without requests since a failure, the next one fetches before it trusts old keys."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(570)
        waited(cache, "a")
        await landed(cache)
        provider.error, provider.kids = None, ("b",)
        clock.advance(30 * MINUTE)

        assert UnknownKeyError is await outcome(cache, "a")

    async def test_a_mistake_in_the_package_is_not_repeated_for_each_request(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """An unexpected error causes a backoff like any other, and the keys stay valid."""
        await cache.choose(ALGORITHM, "a")
        provider.error = LookupError("a mistake")
        clock.advance(570)
        found = []
        for _ in range(10):
            found.append(await outcome(cache, "a"))
            await asyncio.sleep(0.002)

        assert ([["a"]] * 10, 2) == (found, len(provider.asked))

    async def test_a_mistake_in_the_package_leaves_old_keys_good(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Within the bound the keys outlast an unexpected error, too."""
        await cache.choose(ALGORITHM, "a")
        provider.error = LookupError("a mistake")
        clock.advance(600)

        assert ["a"] == await outcome(cache, "a")


class TestUnknownKey:
    async def test_a_rotation_without_overlap_heals_within_the_request(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """The first token with the new key forces one fetch, and is good."""
        await cache.choose(ALGORITHM, "a")
        provider.kids = ("b",)

        assert ([["b"], ["b"]], 2) == (
            [await outcome(cache, "b"), await outcome(cache, "b")],
            len(provider.asked),
        )
        assert [False, True] == [asked.forced for asked in provider.asked]

    async def test_many_at_once_force_one_fetch(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """All tokens that arrive with the new key wait for the same fetch."""
        await cache.choose(ALGORITHM, "a")
        provider.kids = ("b",)

        assert ([["b"]] * 100, 2) == (
            await together(*(outcome(cache, "b") for _ in range(100))),
            len(provider.asked),
        )

    async def test_an_algorithm_that_changed_under_the_same_kid(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """A known name with an algorithm that does not fit may be a rotation too."""
        await cache.choose(ALGORITHM, "a")

        assert (UnknownKeyError, 1) == (await outcome(cache, "a", "RS256"), provider.forced)

    async def test_keys_that_others_have_fetched_meanwhile(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """A request that had read older keys looks into the newer ones, without a fetch."""
        await cache.choose(ALGORITHM, "a")
        seen = cache._cached
        assert seen is not None
        provider.kids = ("b",)
        await cache.refresh()
        newer = await cache._newer(seen, 1)

        assert (["b"], 0) == (
            [key.kid for key in newer.keys.choose(ALGORITHM, "b")],
            provider.forced,
        )

    async def test_a_fetch_under_way_may_bring_it(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """It is waited for, and none is forced when it does."""
        await cache.choose(ALGORITHM, "a")
        provider.kids = ("a", "b")
        clock.advance(570)
        waited(cache, "a")

        assert (["b"], 2, 0) == (await outcome(cache, "b"), len(provider.asked), provider.forced)

    async def test_a_fetch_under_way_that_does_not_bring_it(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """It may have asked a cache on the way: one is forced, for all who waited."""
        await cache.choose(ALGORITHM, "a")
        clock.advance(570)
        waited(cache, "a")
        await asyncio.sleep(0)  # it has asked, and then the key changes
        provider.kids = ("b",)
        found = await together(*(outcome(cache, "b") for _ in range(100)))

        assert ([["b"]] * 100, 1) == (found, provider.forced)

    async def test_a_rotation_while_a_forced_fetch_is_under_way(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """A fetch that asked before the rotation says nothing about a key that came after it."""
        await cache.choose(ALGORITHM, "a")
        provider.gate = gate = asyncio.Event()
        stranger = asyncio.create_task(outcome(cache, "unknown"))
        await asyncio.sleep(0.01)
        provider.gate, provider.kids = None, ("b",)
        rotated = asyncio.create_task(outcome(cache, "b"))
        await asyncio.sleep(0.01)
        gate.set()
        await stranger

        assert (["b"], 2) == (await rotated, provider.forced)

    async def test_a_fetch_under_way_that_fails(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Then the answer is 503, without another forced fetch."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        clock.advance(570)
        waited(cache, "a")

        assert (KeysUnavailableError, 0) == (await outcome(cache, "b"), provider.forced)

    def test_two_fetches_take_no_longer_than_one(
        self, provider: FakeProvider, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the second one takes too long for both, both get 503."""
        monkeypatch.setattr("jwt_deps.keys.cache._GRACE", 0.1)
        cache = cache_of(provider, clock, timeout=0.3)

        async def scene() -> tuple[object, float]:
            loop = asyncio.get_running_loop()
            await cache.choose(ALGORITHM, "a")
            provider.gate = asyncio.Event()
            loop.call_later(0.2, provider.gate.set)
            clock.advance(570)
            waited(cache, "a")
            await asyncio.sleep(0)
            provider.gate = asyncio.Event()
            begun = loop.time()
            found = await outcome(cache, "b")
            return found, round(loop.time() - begun, 3)

        with asyncio.Runner(loop_factory=LoopOfVirtualTime) as runner:
            assert (KeysUnavailableError, 0.4) == runner.run(scene())
        assert 1 == provider.forced

    async def test_two_fetches_in_thirty_seconds(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """However many names are made up, two fetches are forced at once and one per refill."""
        await cache.choose(ALGORITHM, "a")
        found = set()
        for n in range(1300):
            clock.advance(0.1)
            found.add(await outcome(cache, f"unknown-{n}"))

        assert {UnknownKeyError, KeysUnavailableError} == found
        moments = [asked.at for asked in provider.asked if asked.forced]
        assert pytest.approx([0.1, 0.2, 30.1, 60.1, 90.1, 120.1], abs=0.2) == moments

    async def test_without_room_no_request_waits(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """A token that may force nothing is answered at once, with the true wait if it is new."""
        await cache.choose(ALGORITHM, "a")
        for kid in ("b", "c"):
            await outcome(cache, kid)
        with pytest.raises(UnknownKeyError):
            cache.choose(ALGORITHM, "b").send(None)
        with pytest.raises(KeysUnavailableError) as refused:
            cache.choose(ALGORITHM, "d").send(None)

        assert (30, 2) == (refused.value.retry_after, provider.forced)

    async def test_a_key_that_is_published_later(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """It is good as soon as the keys are fetched, without another forced fetch."""
        await cache.choose(ALGORITHM, "a")
        before = await outcome(cache, "b")
        provider.kids = ("a", "b")
        await cache.refresh()

        assert ([UnknownKeyError, ["b"]], 1) == (
            [before, await outcome(cache, "b")],
            provider.forced,
        )

    async def test_one_name_asked_for_again_and_again(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """It forces no more than many names do."""
        await cache.choose(ALGORITHM, "a")
        counts = []
        for seconds in (0, 0, 0, 29, 1):
            clock.advance(seconds)
            assert await outcome(cache, "b") is UnknownKeyError
            counts.append(provider.forced)

        assert [1, 2, 2, 2, 3] == counts

    async def test_without_room_nothing_is_remembered(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """That key id was not looked up, so the next request may fetch."""
        await cache.choose(ALGORITHM, "a")
        for kid in ("b", "c"):
            await outcome(cache, kid)
        provider.kids = ("d",)
        found = [await outcome(cache, "d")]
        clock.advance(30)

        assert [KeysUnavailableError, ["d"]] == [*found, await outcome(cache, "d")]

    async def test_made_up_names_before_a_rotation_without_overlap(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Good tokens are 503 until the issuer may be asked again; unknown ones stay 401."""
        unavailable, unknown = KeysUnavailableError, UnknownKeyError
        expected = [unavailable, unknown, unavailable, ["b"], unknown]
        await cache.choose(ALGORITHM, "a")
        for kid in ("x", "y", "z"):
            await outcome(cache, kid)
        provider.kids = ("b",)
        found = [await outcome(cache, kid) for kid in ("b", "x", "b")]
        clock.advance(30)
        found += [await outcome(cache, kid) for kid in ("b", "x", "a")]
        *found, withdrawn = found

        assert (expected, unavailable) == (found, withdrawn)
        assert 3 == provider.forced

    async def test_an_outage_is_no_answer(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """When the forced fetch fails the answer is 503; during the backoff nothing is fetched."""
        unknown = [KeysUnavailableError] * 3
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        found = [await outcome(cache, "b"), await outcome(cache, "b")]
        clock.advance(1)

        assert ([*unknown, ["a"]], 2) == (
            [*found, await outcome(cache, "c"), await outcome(cache, "a")],
            provider.forced,
        )

    async def test_an_outage_uses_up_no_room(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """What failed is given back: a rotation during an outage heals when that ends."""
        await cache.choose(ALGORITHM, "a")
        provider.error = DOWN
        for seconds in (1, 2, 4, 8):
            await outcome(cache, "b")
            clock.advance(seconds)
        provider.error, provider.kids = None, ("b",)
        found = [await outcome(cache, "b")]
        provider.kids = ("c",)

        assert ([["b"], ["c"], KeysUnavailableError], 6) == (
            [*found, await outcome(cache, "c"), await outcome(cache, "d")],
            provider.forced,
        )

    async def test_an_unknown_name_during_an_outage(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """What was true before the outage may not be any more."""
        await cache.choose(ALGORITHM, "a")
        found = [await outcome(cache, "b")]
        provider.error = DOWN
        await cache.refresh()

        assert [UnknownKeyError, KeysUnavailableError] == [*found, await outcome(cache, "b")]

    async def test_without_room_during_an_outage(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Between two attempts of an outage, a token that may force nothing is not called bad."""
        await cache.choose(ALGORITHM, "a")
        for kid in ("b", "c"):
            await outcome(cache, kid)
        provider.error, provider.kids = DOWN, ("d",)
        await cache.refresh()
        clock.advance(2)

        assert KeysUnavailableError is await outcome(cache, "d")

    async def test_a_forced_fetch_that_is_stopped_is_no_answer(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """No fetch was made, so no caller is told that the key is unknown."""
        await cache.choose(ALGORITHM, "a")
        provider.gate = asyncio.Event()
        waiting = [asyncio.create_task(outcome(cache, "b")) for _ in range(3)]
        await asyncio.sleep(0.01)
        cache.close()
        provider.gate, provider.kids = None, ("b",)

        assert UnknownKeyError not in list(await asyncio.gather(*waiting))

    async def test_a_forced_fetch_that_is_stopped_uses_up_no_room(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """It brought nothing, so it does not count."""
        await cache.choose(ALGORITHM, "a")
        provider.gate = asyncio.Event()
        for _ in range(5):
            waiting = asyncio.create_task(outcome(cache, "b"))
            await asyncio.sleep(0.002)
            cache.close()
            await waiting
        provider.gate, provider.kids = None, ("b",)

        assert [["b"]] == [await outcome(cache, "b")]

    def test_a_fetch_of_another_thread_is_joined(
        self, cache: KeyCache, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that departs between the question and the order is not doubled."""

        async def scene() -> object:
            await cache.choose(ALGORITHM, "a")
            provider.kids = ("a", "b")
            holds = cache._backoff.holds

            def departs(now: float) -> bool:
                cache._start()
                return holds(now)

            monkeypatch.setattr(type(cache._backoff), "holds", lambda _, now: departs(now))
            return await outcome(cache, "b")

        assert (["b"], 2, 0) == (asyncio.run(scene()), len(provider.asked), provider.forced)


class TestWithoutKid:
    def test_one_key_that_fits(self, cache: KeyCache) -> None:
        """A token that names no key is for the only one that fits."""
        assert ["a"] == asyncio.run(outcome(cache, None))

    def test_several_that_fit(self, provider: FakeProvider, clock: VirtualClock) -> None:
        """No fetch could tell which is meant, so none is forced."""
        provider.kids = ("a", "b")
        cache = cache_of(provider, clock)

        assert UnknownKeyError is asyncio.run(outcome(cache, None))
        assert 1 == len(provider.asked)

    async def test_none_that_fits(self, cache: KeyCache, provider: FakeProvider) -> None:
        """A key for that algorithm may be new: a fetch is forced, within the limits."""
        assert ([UnknownKeyError] * 3, 2) == (
            [await outcome(cache, None, "RS256") for _ in range(3)],
            provider.forced,
        )


class TestReplacement:
    async def test_a_withdrawn_key_stops(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """A good answer replaces all keys: what is not in it is not accepted any more."""
        provider.kids = ("a", "b")
        found = [await outcome(cache, "a")]
        provider.kids = ("b",)
        clock.advance(570)
        waited(cache, "b")
        await landed(cache)

        assert [["a"], UnknownKeyError, ["b"]] == [
            *found,
            await outcome(cache, "a"),
            await outcome(cache, "b"),
        ]

    async def test_the_same_keys_are_not_built_again(
        self, cache: KeyCache, clock: VirtualClock
    ) -> None:
        """What has not changed stays the same object, and lives longer."""
        await cache.choose(ALGORITHM, "a")
        before = cache.response
        clock.advance(500)
        await cache.refresh()
        assert before is not None
        assert cache.response is not None

        assert (True, HEALTHY) == ((before.keys is cache.response.keys), cache.health())

    async def test_an_older_answer_never_replaces_a_newer_one(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Two fetches cross: what was asked for first arrives last, and is not believed."""
        provider.gate = gate = asyncio.Event()
        older = asyncio.create_task(cache._fetch(forced=False))
        await asyncio.sleep(0.01)
        clock.advance(1)
        provider.gate, provider.kids = None, ("b",)
        await cache._fetch(forced=False)
        gate.set()
        await older

        assert (["b"], 2) == (await outcome(cache, "b"), len(provider.asked))

    async def test_an_older_failure_says_nothing(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """A newer answer is there: there is no outage, and nothing to rest from."""
        provider.gate, provider.error = gate, _ = asyncio.Event(), DOWN
        older = asyncio.create_task(cache._fetch(forced=False))
        await asyncio.sleep(0.01)
        clock.advance(1)
        provider.gate, provider.error = None, None
        await cache._fetch(forced=False)
        gate.set()

        assert (DOWN, HEALTHY) == (await older, cache.health())

    async def test_stopping_is_no_failure(self, cache: KeyCache, provider: FakeProvider) -> None:
        """After `close` the next request starts another fetch at once."""
        provider.gate = asyncio.Event()
        waiting = asyncio.create_task(outcome(cache, "a"))
        await asyncio.sleep(0.01)
        cache.close()
        provider.gate = None
        await waiting

        assert [["a"]] == [await outcome(cache, "a")]

    def test_nothing_to_stop(self, cache: KeyCache) -> None:
        """`close` before the first request, and after the last, changes nothing."""
        cache.close()
        found = asyncio.run(outcome(cache, "a"))
        cache.close()

        assert (["a"], HEALTHY) == (found, cache.health())

    async def test_refresh_says_why_it_failed(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """It fetches at once, also while the cache rests, and joins what is under way."""
        provider.error = DOWN
        failed = await asyncio.gather(cache.refresh(), cache.refresh())
        provider.error = None

        assert ([DOWN, DOWN, None], 2) == ([*failed, await cache.refresh()], len(provider.asked))


class TestHealth:
    def test_before_the_first_request(self, cache: KeyCache) -> None:
        """There is nothing, and nothing is wrong."""
        expected = KeyHealth(
            fresh=False,
            degraded=False,
            cooling_down=False,
            reloading=False,
            age=None,
            keys=0,
            skipped=(),
            last_error=None,
        )

        assert (expected, None, None) == (cache.health(), cache.response, cache.export())

    def test_in_an_outage_without_keys(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """It rests, and says why; with no keys it is not merely degraded."""
        provider.error = DOWN

        asyncio.run(outcome(cache, "a"))
        clock.advance(0.5)
        resting = cache.health()
        clock.advance(0.5)

        assert (False, True, "it is down") == (
            resting.degraded,
            resting.cooling_down,
            resting.last_error,
        )
        assert not cache.health().cooling_down

    async def test_while_it_fetches(self, cache: KeyCache, provider: FakeProvider) -> None:
        """It says so."""
        provider.gate = asyncio.Event()
        waiting = asyncio.create_task(outcome(cache, "a"))
        await asyncio.sleep(0.01)
        reloading = cache.health().reloading
        provider.gate.set()
        await waiting

        assert (True, HEALTHY) == (reloading, cache.health())


class TestSeed:
    @pytest.fixture(autouse=True)
    def wall(self, monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
        """The time of day, which is all that processes have in common."""
        wall = VirtualClock()
        monkeypatch.setattr(time, "time", wall)
        return wall

    def test_keys_of_another_process(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock, wall: VirtualClock
    ) -> None:
        """They are good at once, through JSON, as old as they are by then."""
        asyncio.run(cache.refresh())
        clock.advance(100)
        wall.advance(100)
        exported = json.loads(json.dumps(cache.export()))
        wall.advance(50)
        other = cache_of(provider, VirtualClock(5_000_000))

        other.seed(exported)

        assert (150, True, 1) == (other.health().age, other.health().fresh, other.health().keys)
        assert (["a"], 1) == (asyncio.run(outcome(other, "a")), len(provider.asked))

    def test_they_grow_old_like_others(
        self, cache: KeyCache, provider: FakeProvider, wall: VirtualClock
    ) -> None:
        """Their time began in the process that fetched them."""
        asyncio.run(cache.refresh())
        exported = cache.export()
        assert exported is not None
        wall.advance(600 + HOUR)
        other = cache_of(provider)
        provider.error = DOWN

        other.seed(exported)

        assert KeysUnavailableError is asyncio.run(outcome(other, "a"))

    @pytest.mark.parametrize(
        ("age", "kids"),
        [
            pytest.param(50, ["b"], id="newer"),
            pytest.param(150, ["a"], id="older"),
            pytest.param(-50, ["b"], id="of-a-process-whose-clock-is-ahead"),
        ],
    )
    def test_the_newer_ones_win(
        self,
        cache: KeyCache,
        clock: VirtualClock,
        wall: VirtualClock,
        age: float,
        kids: list[str],
    ) -> None:
        """Seeded keys replace older ones, and never newer ones."""
        asyncio.run(cache.refresh())
        clock.advance(100)
        wall.advance(100)

        cache.seed({"jwks": '["b"]', "fetched_at": wall() - age})

        assert kids == asyncio.run(outcome(cache, kids[0]))

    def test_none_are_from_the_future(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Keys of a process whose clock is wrong are as new as can be, and are replaced in time."""
        cache.seed({"jwks": '["b"]', "fetched_at": 1e12})
        age = cache.health().age
        clock.advance(600)

        assert (0, ["a"]) == (age, asyncio.run(outcome(cache, "a")))
        assert 1 == len(provider.asked)

    @pytest.mark.parametrize(
        "exported",
        [
            pytest.param({}, id="nothing"),
            pytest.param({"jwks": '["b"]'}, id="no-moment"),
            pytest.param({"fetched_at": 0}, id="no-keys"),
            pytest.param({"jwks": '["b"]', "fetched_at": None}, id="moment-null"),
            pytest.param({"jwks": '["b"]', "fetched_at": "now"}, id="moment-no-number"),
            pytest.param({"jwks": '["b"]', "fetched_at": float("nan")}, id="moment-nan"),
            pytest.param({"jwks": '["b"]', "fetched_at": float("inf")}, id="moment-infinite"),
            pytest.param({"jwks": '["b"]', "fetched_at": 10**400}, id="moment-too-large"),
            pytest.param({"jwks": "{}", "fetched_at": 0}, id="no-set"),
            pytest.param({"jwks": "[]", "fetched_at": 0}, id="no-key"),
            pytest.param({"jwks": "\udcff", "fetched_at": 0}, id="no-text"),
        ],
    )
    def test_what_is_not_an_export(self, cache: KeyCache, exported: dict[str, Any]) -> None:
        """It is refused with one kind of error, and good keys stay."""
        asyncio.run(cache.refresh())

        with pytest.raises(ValueError):  # noqa: PT011 - any of them, and no other kind
            cache.seed(exported)

        assert (["a"], HEALTHY) == (asyncio.run(outcome(cache, "a")), cache.health())


class TestClock:
    async def test_the_wall_clock_does_not_matter(
        self, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clock that is set, back or forth, makes no key older and no pause longer."""
        cache = KeyCache("the-issuer", provider, cache_of(provider)._policy)
        wall = VirtualClock()
        monkeypatch.setattr(time, "time", wall)

        found = [await outcome(cache, "a")]
        for seconds in (-10 * HOUR, 100 * HOUR):
            wall.advance(seconds)
            found.append(waited(cache, "a"))

        assert ([["a"], False, False], 1) == (found, len(provider.asked))

    async def test_a_clock_that_goes_back_is_survived(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Even so there is an answer, and no flood of fetches."""
        await cache.choose(ALGORITHM, "a")
        clock.advance(-HOUR)

        assert [["a"], UnknownKeyError] == [await outcome(cache, "a"), await outcome(cache, "b")]
        assert 2 == len(provider.asked)


class TestSeveralLoops:
    def test_two_threads_cause_one_fetch(self, cache: KeyCache, provider: FakeProvider) -> None:
        """Callers in two event loops, each with many requests, share what is under way."""
        found: list[object] = []
        ready = threading.Barrier(2)
        landing = time.monotonic() + 0.3

        async def slowly(*_: Any, **__: Any) -> Any:
            provider.inside()
            await asyncio.sleep(landing - time.monotonic())
            return provider.read(b'["a"]')

        departures: list[int] = []
        provider.inside = lambda: departures.append(1)
        provider.fetch = slowly  # type: ignore[method-assign]

        async def scene() -> None:
            ready.wait()
            found.extend(await together(*(outcome(cache, "a") for _ in range(50))))

        threads = [threading.Thread(target=lambda: asyncio.run(scene())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ([["a"]] * 100, 1) == (found, len(departures))

    def test_one_loop_after_the_other(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """Each `asyncio.run` goes on with what the ones before have fetched."""
        found = []
        for seconds in (0, 300, 300):
            clock.advance(seconds)
            found.append(asyncio.run(outcome(cache, "a")))

        assert ([["a"]] * 3, 2) == (found, len(provider.asked))

    def test_a_background_fetch_ends_with_its_loop(
        self, cache: KeyCache, provider: FakeProvider, clock: VirtualClock
    ) -> None:
        """It is not counted as a failure; the next loop starts another fetch."""

        async def ahead() -> None:
            clock.advance(570)
            provider.gate = asyncio.Event()
            waited(cache, "a")
            await asyncio.sleep(0)

        asyncio.run(cache.refresh())
        asyncio.run(ahead())
        after = cache.health()
        provider.gate = None
        asyncio.run(cache.refresh())

        assert (False, False, None) == (after.reloading, after.degraded, after.last_error)
        assert HEALTHY == cache.health()

    def test_the_loop_of_the_fetch_ends_under_a_caller_in_another(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """The issuer did not fail: the other loop fetches the keys itself."""
        departed, joined = threading.Event(), threading.Event()

        async def short() -> None:
            provider.gate = asyncio.Event()
            asyncio.get_running_loop().call_later(0.01, departed.set)
            asyncio.get_running_loop().create_task(cache.refresh())
            await asyncio.to_thread(joined.wait)
            provider.gate = None

        async def scene() -> object:
            asyncio.get_running_loop().call_later(0.02, joined.set)
            return await outcome(cache, "a")

        first = threading.Thread(target=lambda: asyncio.run(short()))
        first.start()
        departed.wait()
        found = asyncio.run(scene())
        first.join()

        assert (["a"], None) == (found, cache.health().last_error)


def in_a_child(work: Coroutine[Any, Any, object]) -> str:
    """What a forked process says to it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in another process
        try:
            said = repr(asyncio.run(asyncio.wait_for(work, 20)))
        except BaseException as error:  # noqa: BLE001 - nothing may get out of the child
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    work.close()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestFork:
    async def test_while_a_fetch_is_under_way(
        self, cache: KeyCache, provider: FakeProvider
    ) -> None:
        """The child does not wait for a fetch that only its parent has."""
        provider.gate = asyncio.Event()
        waiting = asyncio.create_task(outcome(cache, "a"))
        await asyncio.sleep(0.01)
        gate, provider.gate = provider.gate, None
        said = in_a_child(outcome(cache, "a"))
        gate.set()

        assert ("['a']", ["a"]) == (said, await waiting)

    def test_while_a_thread_holds_the_lock(self, cache: KeyCache) -> None:
        """The child does not wait for a thread that only its parent has."""
        with cache._lock():
            said = in_a_child(outcome(cache, "a"))

        assert "['a']" == said

    def test_with_keys(self, cache: KeyCache, provider: FakeProvider) -> None:
        """The child has the keys that its parent had."""
        asyncio.run(cache.refresh())
        provider.error = DOWN

        assert "['a']" == in_a_child(outcome(cache, "a"))

    def test_as_it_looks_in_the_child(self, cache: KeyCache) -> None:
        """The lock of another process is not waited for."""
        cache._lock().acquire()
        cache._lock._pid -= 1

        assert ["a"] == asyncio.run(outcome(cache, "a"))

    def test_over_http(self) -> None:
        """A parent that has fetched leaves nothing behind that its child would trip over."""
        with FakeIssuer(algorithm=ALGORITHM) as issuer:
            service = service_of(issuer)
            asyncio.run(service.cache.refresh())
            kid = issuer.rotate().kid

            said = in_a_child(outcome(service.cache, kid))

        assert repr([kid]) == said


# Over HTTP


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(algorithm=ALGORITHM) as issuer:
        yield issuer


@pytest.fixture
def service(issuer: FakeIssuer) -> Service:
    return service_of(issuer)


async def accepts(service: Service, token: str) -> object:
    """`True`, or the type of the error."""
    try:
        await verify(token, service.settings)
    except Exception as error:  # noqa: BLE001 - which one is the question
        return type(error)
    return True


class TestRotation:
    async def test_without_overlap(self, issuer: FakeIssuer, service: Service) -> None:
        """The first token of the new key is good, and a token of the old one is not any more."""
        old = issuer.token(audience="api")
        found = [await accepts(service, old)]
        issuer.rotate(overlap=False)
        new = issuer.token(audience="api")

        assert [True, True, UnknownKeyError] == [
            *found,
            await accepts(service, new),
            await accepts(service, old),
        ]

    async def test_with_overlap(self, issuer: FakeIssuer, service: Service) -> None:
        """Tokens of both keys are good."""
        tokens = [issuer.token(audience="api")]
        await accepts(service, tokens[0])
        issuer.rotate()
        tokens.append(issuer.token(audience="api"))

        assert ([True] * 4, 2) == (
            [await accepts(service, token) for token in (*tokens, *tokens)],
            issuer.count("jwks"),
        )

    async def test_to_another_algorithm_under_the_same_kid(
        self, issuer: FakeIssuer, service: Service
    ) -> None:
        """What a key is for is read again with every set, not settled by the first one."""
        found = [await accepts(service, issuer.token(audience="api"))]
        issuer.rotate(overlap=False, algorithm="EdDSA", kid=issuer.signing_key.kid)

        assert ([True, True], 2) == (
            [*found, await accepts(service, issuer.token(audience="api"))],
            issuer.count("jwks"),
        )

    async def test_a_withdrawn_key(self, issuer: FakeIssuer, service: Service) -> None:
        """It is good no longer than the keys are fresh."""
        token = issuer.token(audience="api")
        found = [await accepts(service, token)]
        issuer.rotate()
        issuer.withdraw(issuer.keys[0].kid)
        service.clock.advance(600)

        assert [True, UnknownKeyError] == [*found, await accepts(service, token)]

    async def test_a_bad_signature_causes_no_fetch(
        self, issuer: FakeIssuer, service: Service
    ) -> None:
        """A token that names a known key and is not signed with it is simply bad."""
        await accepts(service, issuer.token(audience="api"))
        forged = issuer.token(audience="api") + "AAAA"

        assert ([SignatureError] * 10, 1) == (
            [await accepts(service, forged) for _ in range(10)],
            issuer.count("jwks"),
        )

    @pytest.mark.parametrize(
        "claims",
        [
            pytest.param({"exp": 1}, id="expired"),
            pytest.param({"aud": "another"}, id="for-somebody-else"),
            pytest.param({"iss": "https://another.example"}, id="of-another-issuer"),
        ],
    )
    def test_a_token_that_no_key_could_save_causes_no_fetch(
        self, issuer: FakeIssuer, service: Service, claims: dict[str, object]
    ) -> None:
        """Before anything is fetched the token has to be worth it."""
        token = issuer.token({"aud": "api", **claims})

        assert asyncio.run(accepts(service, token)) is not True
        assert [] == issuer.requests


WITHDRAWN = [
    pytest.param(Answer.json({"keys": []}), "has no usable key", id="empty-set"),
    pytest.param(
        Answer.json({"keys": [{"kty": "oct", "k": "c2VjcmV0"}, 5, {}]}),
        "has no usable key",
        id="unusable-keys",
    ),
    pytest.param(Answer(status=404), "answered with status 404", id="404"),
    pytest.param(Answer(status=410), "answered with status 410", id="410"),
    pytest.param(
        Answer.json({"keys": [{**pair("P-256").jwk(), "use": "enc"}]}),
        "has no usable key",
        id="for-encryption",
    ),
]
BAD_ANSWERS = [
    pytest.param(Answer.json({}), "is no JWK Set", id="no-set"),
    pytest.param(Answer.json([]), "is no JWK Set", id="not-an-object"),
    pytest.param(
        Answer.json({"keys": [pair("P-256").jwk(kid=f"k{n}") for n in range(101)]}),
        "more than 100 keys",
        id="too-many-keys",
    ),
    pytest.param(Answer.html(), "is no JWK Set", id="html-200"),
    pytest.param(Answer(body=b"{"), "is no JWK Set", id="no-json"),
    pytest.param(Answer(body=b""), "is no JWK Set", id="nothing"),
    pytest.param(Answer(body=b"\xff"), "is no JWK Set", id="no-utf-8"),
    pytest.param(Answer(status=500), "answered with status 500", id="500"),
    pytest.param(Answer(status=503), "answered with status 503", id="503"),
    pytest.param(Answer(status=429), "answered with status 429", id="429"),
    pytest.param(Answer(status=401), "answered with status 401", id="401"),
    pytest.param(Answer(status=204), "answered with status 204", id="204"),
    pytest.param(Answer(status=203), "answered with status 203", id="203"),
    pytest.param(Answer(drip=0.05), "no answer within 0.3 s", id="slow-drip"),
    pytest.param(Answer(hang=True), "no answer within 0.3 s", id="hang"),
    pytest.param(Answer(delay=60), "no answer within 0.3 s", id="slow"),
    pytest.param(Answer(padding=300_000), "more than 262144 bytes", id="oversize"),
    pytest.param(
        Answer(padding=300_000, chunked=True), "more than 262144 bytes", id="oversize-chunked"
    ),
    pytest.param(Answer(padding=float("inf")), "more than 262144 bytes", id="endless"),
    pytest.param(Answer(padding=1_000_000, gzip=True), "more than 262144 bytes", id="zip-bomb"),
    pytest.param(Answer(cut=True), "cannot be fetched", id="cut"),
    pytest.param(
        Answer(status=200, headers={"content-length": "x"}), "cannot be fetched", id="no-http"
    ),
]


def timeout_for(said: str) -> float:
    """Seconds for a fetch: enough on a busy machine for an answer that comes, and few otherwise."""
    return 0.3 if said.startswith("no answer") else 30


class TestBadAnswers:
    @pytest.mark.parametrize("forced", [False, True], ids=["refreshed", "forced"])
    @pytest.mark.parametrize(("answer", "said"), BAD_ANSWERS)
    async def test_good_keys_stay(
        self, issuer: FakeIssuer, answer: Answer, said: str, *, forced: bool
    ) -> None:
        """Whatever comes instead of keys, those that are there are not replaced."""
        service = service_of(issuer, timeout=timeout_for(said))
        kid = issuer.signing_key.kid

        first = KeysUnavailableError if forced else [kid]
        service.cache.seed({"jwks": json.dumps(issuer.jwk_set), "fetched_at": time.time()})
        issuer.jwks = answer
        if forced:
            found = await outcome(service.cache, "unknown")
        else:
            service.clock.advance(600)
            found = await outcome(service.cache, kid)

        assert [first, [kid], 1] == [
            found,
            await outcome(service.cache, kid),
            service.cache.health().keys,
        ]
        assert said in str(service.cache.health().last_error)

    @pytest.mark.parametrize(("answer", "said"), WITHDRAWN)
    async def test_keys_that_were_withdrawn(
        self, issuer: FakeIssuer, answer: Answer, said: str
    ) -> None:
        """They are used until their end and not longer, whatever fails afterwards."""
        service = service_of(issuer)
        kid = issuer.signing_key.kid

        service.cache.seed({"jwks": json.dumps(issuer.jwk_set), "fetched_at": time.time()})
        issuer.jwks = answer
        await outcome(service.cache, "unknown")
        found = [str(service.cache.health().last_error), await outcome(service.cache, kid)]
        issuer.jwks = Answer(status=500)
        service.clock.advance(600)
        found += [await outcome(service.cache, kid), service.cache.health().keys]
        issuer.jwks = None
        service.clock.advance(60)
        error, *found = [*found, await outcome(service.cache, kid)]

        assert said in str(error)
        assert [[kid], KeysUnavailableError, 0, [kid]] == found

    @pytest.mark.parametrize(("answer", "said"), WITHDRAWN)
    async def test_keys_that_are_withdrawn_after_an_outage(
        self, issuer: FakeIssuer, answer: Answer, said: str
    ) -> None:
        """What outlived its end while the issuer was out of reach is gone with its answer."""
        service = service_of(issuer)
        kid = issuer.signing_key.kid

        service.cache.seed({"jwks": json.dumps(issuer.jwk_set), "fetched_at": time.time()})
        issuer.jwks = Answer(status=500)
        service.clock.advance(700)
        found = [await outcome(service.cache, kid)]
        issuer.jwks = answer
        service.clock.advance(60)
        await service.cache.refresh()

        assert [[kid], KeysUnavailableError] == [*found, await outcome(service.cache, kid)]
        assert said in str(service.cache.health().last_error)

    @pytest.mark.parametrize(("answer", "said"), [*BAD_ANSWERS, *WITHDRAWN])
    def test_the_answer_is_not_known(self, issuer: FakeIssuer, answer: Answer, said: str) -> None:
        """Without keys it is an outage, and never a bad token."""
        service = service_of(issuer, direct=True, timeout=timeout_for(said))
        issuer.jwks = answer

        found = asyncio.run(accepts(service, issuer.token(audience="api")))

        assert KeysUnavailableError is found
        assert said in str(service.cache.health().last_error)

    @pytest.mark.parametrize("direct", [False, True], ids=["discovered", "configured"])
    def test_a_redirect_is_not_followed(self, issuer: FakeIssuer, *, direct: bool) -> None:
        """Where it leads to was never configured."""
        service = service_of(issuer, direct=direct)
        with FakeIssuer(algorithm=ALGORITHM) as elsewhere:
            issuer.jwks = Answer.redirect(elsewhere.jwks_url)

            found = asyncio.run(accepts(service, issuer.token(audience="api")))

            assert (KeysUnavailableError, []) == (found, elsewhere.requests)

    async def test_refused_connections(self, issuer: FakeIssuer, service: Service) -> None:
        """While connections are refused, old keys are used; later new ones are fetched."""
        token = issuer.token(audience="api")
        found = [await accepts(service, token)]
        issuer.down()
        service.clock.advance(601)
        found.append(await accepts(service, token))
        issuer.rotate()
        issuer.up()
        service.clock.advance(1.001)

        assert [True, True, True] == [*found, await accepts(service, issuer.token(audience="api"))]


class TestValidators:
    async def test_not_modified(self, issuer: FakeIssuer, service: Service) -> None:
        """A 304 makes the same keys live longer."""
        await service.cache.refresh()
        before = service.cache.response
        service.clock.advance(500)
        await service.cache.refresh()
        after = service.cache.response
        assert before is not None
        assert after is not None

        assert (True, HEALTHY) == (before.keys is after.keys, service.cache.health())
        etags = [one.headers.get("if-none-match") for one in issuer.requests[1:]]
        assert [None, True] == [etag and etag.startswith('"') for etag in etags]

    async def test_the_same_body_without_a_validator(
        self, issuer: FakeIssuer, service: Service
    ) -> None:
        """A 200 with the same document does so too."""
        issuer.jwks = Answer.json(issuer.jwk_set)

        await service.cache.refresh()
        before = service.cache.response
        service.clock.advance(500)
        await service.cache.refresh()
        after = service.cache.response
        assert before is not None
        assert after is not None

        assert (True, HEALTHY) == ((before.keys is after.keys), service.cache.health())
        assert 2 == issuer.count("jwks")

    async def test_a_forced_fetch_goes_past_every_cache(
        self, issuer: FakeIssuer, service: Service
    ) -> None:
        """It says so, and does not ask whether something has changed."""
        await service.cache.refresh()
        await outcome(service.cache, "unknown")

        plain, forced = (one.headers for one in issuer.requests if one.endpoint == "jwks")
        assert (None, "no-cache") == (plain.get("cache-control"), forced.get("cache-control"))
        assert "if-none-match" not in forced

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            pytest.param({}, 600, id="nothing"),
            pytest.param({"cache-control": "public, max-age=120"}, 120, id="max-age"),
            pytest.param({"cache-control": "max-age=300", "age": "180"}, 120, id="age"),
            pytest.param({"cache-control": "no-store"}, 60, id="no-store"),
            pytest.param({"cache-control": "max-age=0"}, 60, id="zero"),
            pytest.param({"cache-control": "max-age=1000000"}, 3600, id="forever"),
        ],
    )
    async def test_what_the_issuer_says_of_time(
        self, issuer: FakeIssuer, service: Service, headers: dict[str, str], seconds: float
    ) -> None:
        """It counts within the bounds, for a 304 as well."""
        issuer.jwks = Answer(headers=headers)

        found = []
        for _ in range(2):
            await service.cache.refresh()
            service.clock.advance(seconds - 0.001)
            found.append(service.cache.health().fresh)
            service.clock.advance(0.001)
            found.append(service.cache.health().fresh)

        assert [True, False, True, False] == found


class TestDiscovery:
    async def test_the_place_is_found_once(self, issuer: FakeIssuer, service: Service) -> None:
        """It is kept for an hour, the keys are fetched again and again."""
        for _ in range(5):
            await service.cache.refresh()
            service.clock.advance(700)

        assert (1, 5) == (issuer.count("discovery"), issuer.count("jwks"))

    def test_keys_that_have_moved_away(self, issuer: FakeIssuer, service: Service) -> None:
        """When the old place has none any more, the new one is found within the request."""
        with FakeIssuer(algorithm=ALGORITHM) as other:

            async def scene() -> list[object]:
                await service.cache.refresh()
                issuer.jwks = Answer(status=404, body=b"")
                issuer.metadata["jwks_uri"] = other.jwks_url
                kid = other.signing_key.kid
                return [await outcome(service.cache, kid) == [kid]]

            assert [True] == asyncio.run(scene())
            assert other.jwks_url == getattr(service.cache.response, "url", None)

    def test_keys_that_are_left_behind(self, issuer: FakeIssuer, service: Service) -> None:
        """When the old place goes on as if nothing had happened, the new one counts in an hour."""
        with FakeIssuer(algorithm=ALGORITHM) as other:

            async def scene() -> list[object]:
                old, new = issuer.signing_key.kid, other.signing_key.kid
                await service.cache.refresh()
                issuer.metadata["jwks_uri"] = other.jwks_url
                service.clock.advance(HOUR)
                await service.cache.refresh()
                return [
                    await outcome(service.cache, new) == [new],
                    await outcome(service.cache, old),
                ]

            assert [True, UnknownKeyError] == asyncio.run(scene())


class _Told(list[Request]):
    """A list that says when something is added to it."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    def append(self, request: Request) -> None:
        super().append(request)
        self._event.set()


class TestServing:
    async def test_a_thousand_cold_requests(self, issuer: FakeIssuer, service: Service) -> None:
        """Over HTTP, too, one of them fetches."""
        token = issuer.token(audience="api")

        assert [True] * 1000 == await together(*(accepts(service, token) for _ in range(1000)))
        assert (1, 1) == (issuer.count("discovery"), issuer.count("jwks"))

    def test_two_threads_share_one_fetch(self, issuer: FakeIssuer, service: Service) -> None:
        """Settings may be used in several event loops at a time."""
        issuer.jwks = Answer(delay=0.2)
        token = issuer.token(audience="api")
        found: list[object] = []

        async def scene() -> None:
            found.extend(await together(*(accepts(service, token) for _ in range(20))))

        threads = [threading.Thread(target=lambda: asyncio.run(scene())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ([True] * 80, 1) == (found, issuer.count("jwks"))

    async def test_an_issuer_that_is_replaced_while_its_keys_are_fetched(
        self, issuer: FakeIssuer
    ) -> None:
        """Requests that wait go on with the settings that hold now."""
        members: dict[str, Any] = {
            "issuer": issuer.issuer,
            "audience": "api",
            "jwks_url": issuer.jwks_url,
            "allow_loopback": True,
        }
        settings = JWTSettings(issuers={"one": IssuerSettings(**members)})
        asked = threading.Event()
        issuer.jwks = Answer(hang=True)
        issuer.requests = _Told(asked)

        service = Service(settings, VirtualClock())
        waiting = asyncio.create_task(accepts(service, issuer.token(audience="api")))
        await asyncio.to_thread(asked.wait)
        issuer.jwks = None
        settings.replace_issuers({"one": IssuerSettings(**members)})

        assert True is await waiting
