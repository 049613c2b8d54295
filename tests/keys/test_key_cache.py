"""Every rule of the key cache, with a fake provider and a virtual clock.

What is sent over HTTP, and what of it is believed, is at the end.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jwt_deps import KeysUnavailableError, UnknownKeyError
from jwt_deps.concurrency import JITTER
from jwt_deps.errors import SignatureError
from jwt_deps.keys import FetchError, KeyCache, KeyHealth
from jwt_deps.keys.key_set import SkippedKey
from jwt_deps.testing import Answer, FakeIssuer, VirtualClock
from jwt_deps.tokens.verify import verify
from tests.forking import in_a_child, may_fork
from tests.keys.faking import (
    ALGORITHM,
    DOWN,
    HOUR,
    Keys,
    LoopOfVirtualTime,
    Service,
    outcome,
    service_of,
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
    monkeypatch.setattr(JITTER, "uniform", lambda *_: 1.0)


@pytest.fixture
def keys() -> Keys:
    return Keys()


class TestCold:
    async def test_a_thousand_callers_cause_one_fetch(self, keys: Keys) -> None:
        """All that come before there are keys wait for the same fetch."""
        found = await keys.many("a", 1000)

        assert ([["a"]] * 1000, 1) == (found, keys.fetches)

    async def test_the_answer_is_not_known(self, keys: Keys) -> None:
        """Without keys and without an answer a token is neither good nor bad."""
        keys.provider.error = DOWN

        with pytest.raises(KeysUnavailableError) as refused:
            await keys.cache.choose(ALGORITHM, "a")

        assert (1, DOWN) == (refused.value.retry_after, refused.value.__cause__)

    async def test_during_the_backoff_no_request_waits_or_fetches(self, keys: Keys) -> None:
        """After a failure the answer is there at once, and says for how long."""
        keys.provider.error = DOWN

        found = []
        for seconds in (0, 1, 2, 4, 8):
            keys.clock.advance(seconds)
            await keys.ask()
            with pytest.raises(KeysUnavailableError) as refused:
                keys.cache.choose(ALGORITHM, "a").send(None)
            found.append(refused.value.retry_after)

        assert ([1, 2, 4, 8, 16], 5) == (found, keys.fetches)

    async def test_it_recovers(self, keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
        """The first request after the pause finds the keys, and the log tells the story."""
        caplog.set_level(logging.INFO)
        keys.provider.error = DOWN

        await keys.ask()
        keys.clock.advance(1)
        keys.provider.error = None

        assert (["a"], HEALTHY) == (await keys.ask(), keys.cache.health())
        assert [
            (logging.ERROR, "keys of issuer the-issuer cannot be fetched: it is down"),
            (logging.INFO, "issuer the-issuer can be reached again"),
        ] == [(record.levelno, record.getMessage()) for record in caplog.records]

    def test_keys_that_are_not_used_are_told(
        self, keys: Keys, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log and the health report name each with its reason, the log once."""
        caplog.set_level(logging.INFO)
        broken, other = SkippedKey("b", "malformed_jwk"), SkippedKey(None, "it is for encryption")

        for number, skipped in enumerate(((broken, other), (broken, other), (other,), ())):
            keys.provider.kids, keys.provider.skipped = (f"a{number}",), skipped
            asyncio.run(keys.cache.refresh())
            assert tuple(map(str, skipped)) == keys.cache.health().skipped

        said = "issuer the-issuer: keys that are not used: "
        assert [
            (logging.WARNING, f"{said}'b': malformed_jwk; a key without kid: it is for encryption"),
            (logging.INFO, f"{said}a key without kid: it is for encryption"),
        ] == [(record.levelno, record.getMessage()) for record in caplog.records]

    async def test_a_fetch_that_takes_too_long(self, keys: Keys) -> None:
        """The time for everything together is bounded, and so is the wait of each request."""
        keys.limit(timeout=0.05)

        keys.provider.gate = asyncio.Event()

        assert KeysUnavailableError is await keys.ask()
        assert "no answer within 0.05 s" == keys.cache.health().last_error


class TestFresh:
    async def test_no_request_waits_or_fetches(self, keys: Keys) -> None:
        """Until shortly before their end the keys are handed out without anything else."""
        await keys.ask()
        waits = [keys.waits()]
        keys.clock.advance(569)

        assert ([False, False], 1) == ([*waits, keys.waits()], keys.fetches)

    async def test_ahead_of_their_end_one_fetch_starts_in_the_background(self, keys: Keys) -> None:
        """Many callers go on with the keys that are there, and one fetch is under way."""
        await keys.ask()
        keys.clock.advance(570)
        assert keys.cache.cached(ALGORITHM, "a") is None
        waits = [keys.waits() for _ in range(100)]
        before = keys.cache.health()
        await keys.landed()
        after = keys.cache.health()

        assert ([False] * 100, 2) == (waits, keys.fetches)
        assert (True, 570, True) == (before.reloading, before.age, before.fresh)
        assert HEALTHY == after

    async def test_when_that_fails_it_rests(
        self, keys: Keys, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is tried again after the pauses, while the keys are as good as before."""
        await keys.ask()
        keys.provider.error = DOWN
        keys.clock.advance(570)
        waits = []
        for _ in range(29):
            waits.append(keys.waits())
            await keys.landed()
            keys.clock.advance(1)

        assert [False] * 29 == waits
        assert [0, 570, 571, 573, 577, 585] == [asked.at for asked in keys.provider.asked]
        assert (True, False) == (keys.cache.health().fresh, keys.cache.health().degraded)
        assert {logging.WARNING} == {record.levelno for record in caplog.records}

    async def test_expired_and_healthy(self, keys: Keys) -> None:
        """After a pause without requests, all callers wait for one fetch and get its keys."""
        await keys.ask()
        keys.clock.advance(600)
        keys.provider.kids = ("b",)

        assert not keys.cache.health().degraded
        assert ([["b"]] * 100, 2) == (await keys.many("b"), keys.fetches)


class TestOutage:
    async def test_the_first_request_after_the_end_waits_and_is_served(
        self, keys: Keys, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What could not be replaced is still good, and from then on the log has errors."""
        await keys.ask()
        keys.provider.error = DOWN
        keys.clock.advance(600)

        assert ["a"] == await keys.ask()
        assert (False, True, 600) == (
            keys.cache.health().fresh,
            keys.cache.health().degraded,
            keys.cache.health().age,
        )
        assert [logging.ERROR] == [record.levelno for record in caplog.records]

    async def test_one_that_hangs_costs_no_time_either(self, keys: Keys) -> None:
        """No request waits for an attempt that began after a failure."""
        await keys.ask()
        keys.provider.error = DOWN
        keys.clock.advance(600)
        await keys.ask()
        keys.provider.gate = asyncio.Event()
        keys.clock.advance(1)

        waits = [keys.waits() for _ in range(10)]
        await asyncio.sleep(0)  # the attempt begins

        assert ([False] * 10, 3) == (waits, keys.fetches)

    @pytest.mark.parametrize(
        ("policy", "end"),
        [
            pytest.param({}, 600 + HOUR, id="an-hour"),
            pytest.param({"stale_if_error": 0}, 600, id="not-at-all"),
            pytest.param({"ttl": 100, "stale_if_error": 50}, 150, id="as-configured"),
        ],
    )
    async def test_until_the_bound(self, keys: Keys, policy: dict[str, float], end: float) -> None:
        """Old keys are good until the very moment that was promised, and not longer."""
        keys.limit(**policy)
        keys.provider.seconds = policy.get("ttl", 600)

        await keys.ask()
        keys.provider.error = DOWN
        keys.clock.advance(end - 0.001)
        before = await keys.ask()
        keys.clock.advance(0.001)

        assert [["a"], KeysUnavailableError, KeysUnavailableError] == [
            before,
            await keys.ask(),
            await keys.ask(None),
        ]
        assert (False, False) == (keys.cache.health().fresh, keys.cache.health().degraded)

    async def test_it_ends(self, keys: Keys) -> None:
        """After the bound too, the first request that may ask finds the keys."""
        await keys.ask()
        keys.provider.error = DOWN
        keys.clock.advance(3 * HOUR)
        await keys.ask()
        keys.provider.error, keys.provider.kids = None, ("b",)
        keys.clock.advance(1)

        assert (["b"], HEALTHY) == (await keys.ask("b"), keys.cache.health())

    async def test_success_ends_the_doubling(self, keys: Keys) -> None:
        """A later outage begins with the shortest pause."""
        keys.provider.error = DOWN
        for seconds in (0, 1, 2, 4):
            keys.clock.advance(seconds)
            await keys.ask()
        keys.clock.advance(8)
        keys.provider.error = None
        await keys.ask()
        keys.clock.advance(2 * HOUR)
        keys.provider.error = DOWN
        with pytest.raises(KeysUnavailableError) as refused:
            await keys.cache.choose(ALGORITHM, "a")

        assert 1 == refused.value.retry_after

    async def test_a_short_one_long_ago_is_none(self, keys: Keys) -> None:
        """Without requests since a failure, the next one fetches before it trusts old keys."""
        await keys.ask()
        keys.provider.error = DOWN
        keys.clock.advance(570)
        keys.waits()
        await keys.landed()
        keys.provider.error, keys.provider.kids = None, ("b",)
        keys.clock.advance(1 + 600)

        assert UnknownKeyError is await keys.ask()

    async def test_a_mistake_in_the_package_is_not_repeated_for_each_request(
        self, keys: Keys, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unexpected error causes a backoff like any other, and the keys stay valid."""
        await keys.ask()
        keys.provider.error = LookupError("a mistake")
        keys.clock.advance(570)
        found = []
        for _ in range(10):
            found.append(await keys.ask())
            await asyncio.sleep(0.002)

        assert ([["a"]] * 10, 2) == (found, keys.fetches)
        assert 1 == caplog.text.count("LookupError: a mistake")

    async def test_a_mistake_in_the_package_leaves_old_keys_good(self, keys: Keys) -> None:
        """Within the bound the keys outlast an unexpected error, too."""
        await keys.ask()
        keys.provider.error = LookupError("a mistake")
        keys.clock.advance(600)

        assert ["a"] == await keys.ask()


class TestUnknownKey:
    async def test_a_rotation_without_overlap_heals_within_the_request(self, keys: Keys) -> None:
        """The first token with the new key forces one fetch, and is good."""
        await keys.ask()
        keys.provider.kids = ("b",)

        assert ([["b"], ["b"]], 2) == ([await keys.ask("b"), await keys.ask("b")], keys.fetches)
        assert [False, True] == [asked.forced for asked in keys.provider.asked]

    async def test_many_at_once_force_one_fetch(self, keys: Keys) -> None:
        """All tokens that arrive with the new key wait for the same fetch."""
        await keys.ask()
        keys.provider.kids = ("b",)

        assert ([["b"]] * 100, 2) == (await keys.many("b"), keys.fetches)

    async def test_a_fetch_under_way_may_bring_it(self, keys: Keys) -> None:
        """It is waited for, and none is forced when it does."""
        await keys.ask()
        keys.provider.kids = ("a", "b")
        keys.clock.advance(570)
        keys.waits()

        assert (["b"], 2, 0) == (await keys.ask("b"), keys.fetches, keys.forced)

    async def test_a_fetch_under_way_that_does_not_bring_it(self, keys: Keys) -> None:
        """It may have asked a cache on the way: one is forced, for all who waited."""
        await keys.ask()
        keys.clock.advance(570)
        keys.waits()
        await asyncio.sleep(0)  # it has asked, and then the key changes
        keys.provider.kids = ("b",)
        found = await keys.many("b")

        assert ([["b"]] * 100, 1) == (found, keys.forced)

    async def test_a_rotation_while_a_forced_fetch_is_under_way(self, keys: Keys) -> None:
        """A fetch that asked before the rotation says nothing about a key that came after it."""
        await keys.ask()
        keys.provider.gate = gate = asyncio.Event()
        stranger = asyncio.create_task(keys.ask("unknown"))
        await asyncio.sleep(0.01)
        keys.provider.gate, keys.provider.kids = None, ("b",)
        rotated = asyncio.create_task(keys.ask("b"))
        await asyncio.sleep(0.01)
        gate.set()
        await stranger

        assert (["b"], 2) == (await rotated, keys.forced)

    async def test_a_fetch_under_way_that_fails(self, keys: Keys) -> None:
        """Then the answer is 503, without another forced fetch."""
        await keys.ask()
        keys.provider.error = DOWN
        keys.clock.advance(570)
        keys.waits()

        assert (KeysUnavailableError, 0) == (await keys.ask("b"), keys.forced)

    def test_two_fetches_take_no_longer_than_one(
        self, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the second one takes too long for both, both get 503."""
        monkeypatch.setattr("jwt_deps.keys.cache.GRACE", 0.1)
        keys.limit(timeout=0.3)

        async def scene() -> tuple[object, float]:
            loop = asyncio.get_running_loop()
            await keys.ask()
            keys.provider.gate = asyncio.Event()
            loop.call_later(0.2, keys.provider.gate.set)
            keys.clock.advance(570)
            keys.waits()
            await asyncio.sleep(0)
            keys.provider.gate = asyncio.Event()
            begun = loop.time()
            found = await keys.ask("b")
            return found, round(loop.time() - begun, 3)

        with asyncio.Runner(loop_factory=LoopOfVirtualTime) as runner:
            assert (KeysUnavailableError, 0.4) == runner.run(scene())
        assert 1 == keys.forced

    async def test_two_fetches_in_thirty_seconds(self, keys: Keys) -> None:
        """However many names are made up, two fetches are forced at once and one per refill."""
        await keys.ask()
        found = set()
        for n in range(1300):
            keys.clock.advance(0.1)
            found.add(await keys.ask(f"unknown-{n}"))

        assert {UnknownKeyError, KeysUnavailableError} == found
        moments = [asked.at for asked in keys.provider.asked if asked.forced]
        assert pytest.approx([0.1, 0.2, 30.1, 60.1, 90.1, 120.1], abs=0.2) == moments

    async def test_without_room_no_request_waits(self, keys: Keys) -> None:
        """A token that may force nothing is answered at once, with the true wait if it is new."""
        await keys.ask()
        for kid in ("b", "c"):
            await keys.ask(kid)
        with pytest.raises(UnknownKeyError):
            keys.cache.choose(ALGORITHM, "b").send(None)
        found = []
        for seconds in (0, 29.5):
            keys.clock.advance(seconds)
            with pytest.raises(KeysUnavailableError) as refused:
                keys.cache.choose(ALGORITHM, "d").send(None)
            found.append(refused.value.retry_after)

        assert ([30, 1], 2) == (found, keys.forced)

    async def test_a_key_that_is_published_later(self, keys: Keys) -> None:
        """It is good as soon as the keys are fetched, without another forced fetch."""
        await keys.ask()
        before = await keys.ask("b")
        keys.provider.kids = ("a", "b")
        await keys.cache.refresh()

        assert ([UnknownKeyError, ["b"]], 1) == ([before, await keys.ask("b")], keys.forced)

    async def test_one_name_asked_for_again_and_again(self, keys: Keys) -> None:
        """It forces no more than many names do."""
        await keys.ask()
        counts = []
        for seconds in (0, 0, 0, 29, 1):
            keys.clock.advance(seconds)
            assert await keys.ask("b") is UnknownKeyError
            counts.append(keys.forced)

        assert [1, 2, 2, 2, 3] == counts

    async def test_made_up_names_before_a_rotation_without_overlap(self, keys: Keys) -> None:
        """Good tokens are 503 until the issuer may be asked again; unknown ones stay 401."""
        unavailable, unknown = KeysUnavailableError, UnknownKeyError
        expected = [unavailable, unknown, unavailable, ["b"], unknown]
        await keys.ask()
        for kid in ("x", "y", "z"):
            await keys.ask(kid)
        keys.provider.kids = ("b",)
        found = [await keys.ask(kid) for kid in ("b", "x", "b")]
        keys.clock.advance(30)
        found += [await keys.ask(kid) for kid in ("b", "x", "a")]
        *found, withdrawn = found

        assert (expected, unavailable) == (found, withdrawn)
        assert 3 == keys.forced

    async def test_attack_a_key_that_was_named_long_before_it_was_published(
        self, keys: Keys
    ) -> None:
        """What the issuer was asked for others minutes later is no answer about it."""
        await keys.ask()
        assert await keys.ask("b") is UnknownKeyError
        keys.clock.advance(300)
        for kid in ("x", "y"):
            await keys.ask(kid)
        keys.provider.kids = ("b",)
        found = []
        for seconds in (0, 29, 1):
            keys.clock.advance(seconds)
            found.append(await keys.ask("b"))

        assert [KeysUnavailableError, KeysUnavailableError, ["b"]] == found

    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [
            pytest.param(30, {UnknownKeyError}, id="soon"),
            pytest.param(31, {UnknownKeyError, KeysUnavailableError}, id="later"),
        ],
    )
    async def test_keys_that_are_named_again(
        self, keys: Keys, seconds: float, expected: set[object]
    ) -> None:
        """Those that are named every 30 s stay unknown by a fetch that was forced for another."""
        await keys.ask()
        found = set()
        for _ in range(10):
            found |= {await keys.ask("b"), await keys.ask("c")}
            keys.clock.advance(seconds)

        assert expected == found

    async def test_an_outage_is_no_answer(self, keys: Keys) -> None:
        """When the forced fetch fails the answer is 503; during the backoff nothing is fetched."""
        unknown = [KeysUnavailableError] * 3
        await keys.ask()
        keys.provider.error = DOWN
        found = [await keys.ask("b"), await keys.ask("b")]
        keys.clock.advance(1)

        assert ([*unknown, ["a"]], 2) == (
            [*found, await keys.ask("c"), await keys.ask()],
            keys.forced,
        )

    async def test_an_outage_uses_up_no_room(self, keys: Keys) -> None:
        """What failed is given back: a rotation during an outage heals when that ends."""
        await keys.ask()
        keys.provider.error = DOWN
        for seconds in (1, 2, 4, 8):
            await keys.ask("b")
            keys.clock.advance(seconds)
        keys.provider.error, keys.provider.kids = None, ("b",)
        found = [await keys.ask("b")]
        keys.provider.kids = ("c",)

        assert ([["b"], ["c"], KeysUnavailableError], 6) == (
            [*found, await keys.ask("c"), await keys.ask("d")],
            keys.forced,
        )

    async def test_an_unknown_name_during_an_outage(self, keys: Keys) -> None:
        """What was true before the outage may not be any more."""
        await keys.ask()
        found = [await keys.ask("b")]
        keys.provider.error = DOWN
        await keys.cache.refresh()

        assert [UnknownKeyError, KeysUnavailableError] == [*found, await keys.ask("b")]

    async def test_without_room_during_an_outage(self, keys: Keys) -> None:
        """Between two attempts of an outage, a token that may force nothing is not called bad."""
        await keys.ask()
        for kid in ("b", "c"):
            await keys.ask(kid)
        keys.provider.error, keys.provider.kids = DOWN, ("d",)
        await keys.cache.refresh()
        keys.clock.advance(2)

        assert [KeysUnavailableError] * 2 == [await keys.ask("d"), await keys.ask("b")]

    async def test_a_forced_fetch_that_is_stopped_is_no_answer(self, keys: Keys) -> None:
        """No fetch was made, so no caller is told that the key is unknown."""
        await keys.ask()
        keys.provider.gate = asyncio.Event()
        waiting = [asyncio.create_task(keys.ask("b")) for _ in range(3)]
        await asyncio.sleep(0.01)
        keys.stop()
        keys.provider.gate, keys.provider.kids = None, ("b",)

        assert UnknownKeyError not in list(await asyncio.gather(*waiting))

    async def test_a_forced_fetch_that_is_stopped_uses_up_no_room(self, keys: Keys) -> None:
        """It brought nothing, so it does not count."""
        await keys.ask()
        keys.provider.gate = asyncio.Event()
        for _ in range(5):
            waiting = asyncio.create_task(keys.ask("b"))
            await asyncio.sleep(0.002)
            keys.stop()
            await waiting
        keys.provider.gate, keys.provider.kids = None, ("b",)

        assert [["b"]] == [await keys.ask("b")]

    def test_a_fetch_of_another_thread_is_joined(
        self, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that departs between the question and the order is not doubled."""

        async def scene() -> object:
            await keys.ask()
            keys.provider.kids = ("a", "b")
            holds = keys.cache._backoff.holds

            def departs(now: float) -> bool:
                keys.cache._start()
                return holds(now)

            monkeypatch.setattr(type(keys.cache._backoff), "holds", lambda _, now: departs(now))
            return await keys.ask("b")

        assert (["b"], 2, 0) == (asyncio.run(scene()), keys.fetches, keys.forced)


class TestWithoutKid:
    def test_one_key_that_fits(self, keys: Keys) -> None:
        """A token that names no key is for the only one that fits."""
        assert ["a"] == asyncio.run(keys.ask(None))

    def test_several_that_fit(self, keys: Keys) -> None:
        """No fetch could tell which is meant, so none is forced."""
        keys.provider.kids = ("a", "b")

        assert UnknownKeyError is asyncio.run(keys.ask(None))
        assert 1 == keys.fetches

    async def test_none_that_fits(self, keys: Keys) -> None:
        """A key for that algorithm may be new: a fetch is forced, within the limits."""
        assert ([UnknownKeyError] * 3, 2) == (
            [await keys.ask(None, "RS256") for _ in range(3)],
            keys.forced,
        )


class TestReplacement:
    async def test_a_withdrawn_key_stops(self, keys: Keys) -> None:
        """A good answer replaces all keys: what is not in it is not accepted any more."""
        keys.provider.kids = ("a", "b")
        found = [await keys.ask()]
        keys.provider.kids = ("b",)
        keys.clock.advance(570)
        keys.waits("b")
        await keys.landed()

        assert [["a"], UnknownKeyError, ["b"]] == [*found, await keys.ask(), await keys.ask("b")]

    async def test_the_same_keys_are_not_built_again(self, keys: Keys) -> None:
        """What has not changed stays the same object, and lives longer."""
        await keys.ask()
        before = keys.cache.response
        keys.clock.advance(500)
        await keys.cache.refresh()
        assert before is not None
        assert keys.cache.response is not None

        assert (True, HEALTHY) == ((before.keys is keys.cache.response.keys), keys.cache.health())

    async def test_an_older_answer_never_replaces_a_newer_one(self, keys: Keys) -> None:
        """Two fetches cross: what was asked for first arrives last, and is not believed."""
        keys.provider.gate = gate = asyncio.Event()
        older = asyncio.create_task(keys.cache._fetch(forced=False))
        await asyncio.sleep(0.01)
        keys.clock.advance(1)
        keys.provider.gate, keys.provider.kids = None, ("b",)
        await keys.cache._fetch(forced=False)
        gate.set()
        await older

        assert (["b"], 2) == (await keys.ask("b"), keys.fetches)

    async def test_an_older_failure_says_nothing(self, keys: Keys) -> None:
        """A newer answer is there: there is no outage, and nothing to rest from."""
        keys.provider.gate, keys.provider.error = gate, _ = asyncio.Event(), DOWN
        older = asyncio.create_task(keys.cache._fetch(forced=False))
        await asyncio.sleep(0.01)
        keys.clock.advance(1)
        keys.provider.gate, keys.provider.error = None, None
        await keys.cache._fetch(forced=False)
        gate.set()

        assert (DOWN, HEALTHY) == (await older, keys.cache.health())

    async def test_refresh_says_why_it_failed(self, keys: Keys) -> None:
        """It fetches at once, also while the cache rests, and joins what is under way."""
        keys.provider.error = DOWN
        failed = await asyncio.gather(keys.cache.refresh(), keys.cache.refresh())
        keys.provider.error = None

        assert ([DOWN, DOWN, None], 2) == ([*failed, await keys.cache.refresh()], keys.fetches)


class TestHealth:
    def test_before_the_first_request(self, keys: Keys) -> None:
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

        assert (expected, None) == (keys.cache.health(), keys.cache.response)

    def test_in_an_outage_without_keys(self, keys: Keys) -> None:
        """It rests, and says why; with no keys it is not merely degraded."""
        keys.provider.error = DOWN

        asyncio.run(keys.ask())
        keys.clock.advance(0.5)
        resting = keys.cache.health()
        keys.clock.advance(0.5)

        assert (False, True, "it is down") == (
            resting.degraded,
            resting.cooling_down,
            resting.last_error,
        )
        assert not keys.cache.health().cooling_down


class TestClock:
    async def test_the_wall_clock_does_not_matter(
        self, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clock that is set, back or forth, makes no key older and no pause longer."""
        keys.cache = KeyCache("the-issuer", keys.provider, keys.cache._policy)
        wall = VirtualClock()
        monkeypatch.setattr(time, "time", wall)

        found = [await keys.ask()]
        for seconds in (-10 * HOUR, 100 * HOUR):
            wall.advance(seconds)
            found.append(keys.waits())

        assert ([["a"], False, False], 1) == (found, keys.fetches)

    async def test_a_clock_that_goes_back_is_survived(self, keys: Keys) -> None:
        """Even so there is an answer, and no flood of fetches."""
        await keys.ask()
        keys.clock.advance(-HOUR)

        assert [["a"], UnknownKeyError] == [await keys.ask(), await keys.ask("b")]
        assert 2 == keys.fetches


async def ended_early(keys: Keys) -> None:
    """Ask for keys in an event loop that ends before a fetch in the background can."""
    keys.provider.gate = asyncio.Event()
    assert not keys.waits()
    await asyncio.sleep(0)  # it begins
    keys.provider.gate = None


class TestSeveralLoops:
    def test_two_threads_cause_one_fetch(self, keys: Keys) -> None:
        """Callers in two event loops, each with many requests, share what is under way."""
        found: list[object] = []
        ready = threading.Barrier(2)
        landing = time.monotonic() + 0.3

        async def slowly(*_: Any, **__: Any) -> Any:
            keys.provider.inside()
            await asyncio.sleep(landing - time.monotonic())
            return keys.provider.read(b'["a"]')

        departures: list[int] = []
        keys.provider.inside = lambda: departures.append(1)
        keys.provider.fetch = slowly  # type: ignore[method-assign]

        async def scene() -> None:
            ready.wait()
            found.extend(await keys.many("a", 50))

        threads = [threading.Thread(target=lambda: asyncio.run(scene())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ([["a"]] * 100, 1) == (found, len(departures))

    def test_one_loop_after_the_other(self, keys: Keys) -> None:
        """Each `asyncio.run` goes on with what the ones before have fetched."""
        found = []
        for seconds in (0, 300, 300):
            keys.clock.advance(seconds)
            found.append(asyncio.run(keys.ask()))

        assert ([["a"]] * 3, 2) == (found, keys.fetches)

    def test_a_background_fetch_ends_with_its_loop(self, keys: Keys) -> None:
        """It is not counted as a failure; the next loop starts another fetch."""

        async def ahead() -> None:
            keys.clock.advance(570)
            keys.provider.gate = asyncio.Event()
            keys.waits()
            await asyncio.sleep(0)

        asyncio.run(keys.cache.refresh())
        asyncio.run(ahead())
        after = keys.cache.health()
        keys.provider.gate = None
        asyncio.run(keys.cache.refresh())

        assert (False, False, None) == (after.reloading, after.degraded, after.last_error)
        assert HEALTHY == keys.cache.health()

    def test_many_loops_that_end_before_their_background_fetch(self, keys: Keys) -> None:
        """It is started again after the pauses of a failure, not by each of them."""
        asyncio.run(keys.ask())
        keys.clock.advance(570)
        for _ in range(240):
            asyncio.run(ended_early(keys))
            keys.clock.advance(0.125)
        asked = [asked.at for asked in keys.provider.asked]
        found = asyncio.run(keys.ask())

        assert [0, 570, 571, 573, 577, 585] == asked
        assert (["a"], HEALTHY) == (found, keys.cache.health())

    @pytest.mark.parametrize(
        ("error", "next_at"),
        [
            pytest.param(None, [1142, 1143], id="success"),
            pytest.param(DOWN, [572.5], id="failure"),
        ],
    )
    def test_an_answer_ends_the_pauses_after_lost_fetches(
        self, keys: Keys, error: FetchError | None, next_at: list[float]
    ) -> None:
        """The next fetch that is lost, or fails, is the first one again."""
        asyncio.run(keys.ask())
        for seconds in (570, 1):
            keys.clock.advance(seconds)
            asyncio.run(ended_early(keys))
        keys.clock.advance(0.5)
        keys.provider.error = error
        asyncio.run(keys.cache.refresh())
        for at in next_at:
            keys.clock.advance(at - keys.clock())
            asyncio.run(ended_early(keys))

        assert [0, 570, 571, 571.5, *next_at] == [asked.at for asked in keys.provider.asked]

    def test_the_loop_of_the_fetch_ends_under_a_caller_in_another(self, keys: Keys) -> None:
        """The issuer did not fail: the other loop fetches the keys itself."""
        departed, joined = threading.Event(), threading.Event()

        async def short() -> None:
            keys.provider.gate = asyncio.Event()
            asyncio.get_running_loop().call_later(0.01, departed.set)
            asyncio.get_running_loop().create_task(keys.cache.refresh())
            await asyncio.to_thread(joined.wait)
            keys.provider.gate = None

        async def scene() -> object:
            asyncio.get_running_loop().call_later(0.02, joined.set)
            return await keys.ask()

        first = threading.Thread(target=lambda: asyncio.run(short()))
        first.start()
        departed.wait()
        found = asyncio.run(scene())
        first.join()

        assert (["a"], None) == (found, keys.cache.health().last_error)


@may_fork
class TestFork:
    async def test_while_a_fetch_is_under_way(self, keys: Keys) -> None:
        """The child does not wait for a fetch that only its parent has."""
        keys.provider.gate = asyncio.Event()
        waiting = asyncio.create_task(keys.ask())
        await asyncio.sleep(0.01)
        gate, keys.provider.gate = keys.provider.gate, None
        said = in_a_child(keys.ask())
        gate.set()

        assert ("['a']", ["a"]) == (said, await waiting)

    def test_while_a_thread_holds_the_lock(self, keys: Keys) -> None:
        """The child does not wait for a thread that only its parent has."""
        with keys.cache._lock():
            said = in_a_child(keys.ask())

        assert "['a']" == said

    def test_as_it_looks_in_the_child(self, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        """The lock of another process is not waited for."""
        keys.cache._lock().acquire()
        process = os.getpid()
        monkeypatch.setattr("os.getpid", lambda: -process)

        assert ["a"] == asyncio.run(keys.ask())

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


WITHDRAWN = [
    pytest.param(Answer.json({"keys": []}), "has no usable key", id="empty-set"),
    pytest.param(
        Answer.json({"keys": [{"kty": "oct", "k": "c2VjcmV0"}, 5, {}]}),
        "has no usable key",
        id="unusable-keys",
    ),
    pytest.param(Answer(status=404), "answered with status 404", id="404"),
]
#: One answer of each kind; `test_fetching` and `test_provider` have the others.
BAD_ANSWERS = [
    pytest.param(Answer.html(), "is not a JWK Set", id="no-set"),
    pytest.param(
        Answer.json({"keys": [pair("P-256").jwk(kid=f"k{n}") for n in range(101)]}),
        "more than 100 keys",
        id="too-many-keys",
    ),
    pytest.param(Answer(status=500), "answered with status 500", id="500"),
    pytest.param(Answer(status=401), "answered with status 401", id="401"),
    pytest.param(Answer(hang=True), "no answer within 1 s", id="hang"),
    pytest.param(Answer(padding=300_000), "more than 262144 bytes", id="oversize"),
    pytest.param(Answer(cut=True), "cannot be fetched", id="cut"),
]


def timeout_for(said: str) -> float:
    """Seconds for a fetch: enough on a busy machine for an answer that comes, and few otherwise."""
    return 1 if said.startswith("no answer") else 30


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
        await service.cache.refresh()
        issuer.rotate()  # so that the issuer does not answer that nothing has changed
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

        await service.cache.refresh()
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

        await service.cache.refresh()
        issuer.jwks = Answer(status=500)
        service.clock.advance(700)
        found = [await outcome(service.cache, kid)]
        issuer.jwks = answer
        service.clock.advance(60)
        await service.cache.refresh()

        assert [[kid], KeysUnavailableError] == [*found, await outcome(service.cache, kid)]
        assert said in str(service.cache.health().last_error)
