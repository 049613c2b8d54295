"""The documented bounds hold under load over HTTP and for every sequence of events.

The scenes are those of `python -m benchmarks.jwks`, which prints what it measures.
"""

import asyncio
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from benchmarks import jwks
from jwt_deps import KeysUnavailableError, UnknownKeyError
from jwt_deps.keys import FetchError
from jwt_deps.keys.provider import JWKSetResponse
from jwt_deps.testing import Answer, VirtualClock
from tests.keys.faking import DOWN, FakeProvider, cache_of, landed, outcome


class TestUnderLoad:
    def test_a_thousand_cold_callers(self) -> None:
        """They cause exactly one fetch, and all get their keys."""
        assert (1, 0) == jwks.cold_start(1000)

    def test_made_up_key_ids_by_the_thousand(self) -> None:
        """They force two fetches in any 30 seconds, and not one of them is a server error."""
        found = jwks.flood(6000, per_second=150)

        assert 2 == found.most_in_30_seconds
        assert {"UnknownKeyError", "KeysUnavailableError"} == found.outcomes.keys()
        # At once the capacity, then one for each whole refill.
        assert 2 + int(found.virtual_seconds / 30) >= len(found.forced_at)

    def test_they_take_no_memory(self) -> None:
        """What they leave behind does not grow with their number."""
        assert jwks.memory(3000) < jwks.MEMORY

    @pytest.mark.parametrize("kind", jwks.OUTAGES)
    def test_an_hour_of_outage(self, kind: str) -> None:
        """No request is refused or waits, and the issuer is asked once a minute."""
        found = jwks.outage(kind)

        assert (360, 0, 0) == (found.requests, found.refusals, found.waits)
        assert 3600 / 60 <= found.attempts + 10
        assert 3600 / (0.8 * 60) + 10 >= found.attempts

    def test_a_rotation_with_overlap(self) -> None:
        """Thirty seconds with both keys, and no request is refused, then or later."""
        refusals, requests = jwks.rotation_with_overlap(30)

        assert (0, True) == (refusals, requests > 600)

    def test_a_rotation_without_overlap(self) -> None:
        """A hundred requests with the new key at once: one fetch, and none is refused."""
        assert (0, 1) == jwks.rotation_without_overlap(100)

    def test_a_rotation_during_a_flood(self) -> None:
        """Who publishes a key 30 seconds ahead has no request refused, whatever strangers do."""
        refusals, requests = jwks.rotation_ahead_of_use(30)

        assert (0, 330) == (refusals, requests)

    def test_a_rotation_after_made_up_key_ids(self) -> None:
        """While nothing can be known of the new key it is an outage, for 30 seconds at most."""
        seconds, outcomes = jwks.rotation_after_strangers()

        assert {"KeysUnavailableError"} == outcomes
        assert 0 < seconds <= 30

    @pytest.mark.parametrize("answer", jwks.ELSEWHERE.values(), ids=jwks.ELSEWHERE)
    def test_a_document_at_the_second_place(self, answer: Answer) -> None:
        """Whatever the first well-known place answers, no request is refused."""
        assert 0 == jwks.detour(answer)

    @pytest.mark.parametrize(
        ("reachable", "cache_control", "bound", "then"),
        [
            pytest.param(True, None, 600, "UnknownKeyError", id="healthy"),
            pytest.param(True, "max-age=3600", 3600, "UnknownKeyError", id="healthy-longest"),
            pytest.param(True, "no-store", 60, "UnknownKeyError", id="healthy-shortest"),
            pytest.param(False, None, 4200, "KeysUnavailableError", id="out-of-reach"),
            pytest.param(
                False, "max-age=90000", 7200, "KeysUnavailableError", id="out-of-reach-longest"
            ),
        ],
    )
    def test_a_withdrawn_key(
        self, cache_control: str | None, bound: float, then: str, *, reachable: bool
    ) -> None:
        """It is accepted until the bound at most, and not much less in an outage."""
        found = jwks.withdrawal(reachable=reachable, cache_control=cache_control)

        assert then == found.then
        assert 0.45 * bound <= found.seconds <= bound
        assert reachable or found.seconds >= 0.95 * bound - 5

    @pytest.mark.parametrize("answer", jwks.WITHDRAWN.values(), ids=jwks.WITHDRAWN)
    def test_a_withdrawn_key_of_an_issuer_without_keys(self, answer: Answer) -> None:
        """A healthy issuer's answer that there is no key is its word: gone with the `ttl`."""
        found = jwks.withdrawal(answer=answer)

        assert "KeysUnavailableError" == found.then
        assert 0.45 * 600 <= found.seconds <= 600


@pytest.mark.parametrize(
    ("moments", "most"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([0, 29.9, 30, 60], 2, id="half-open"),
        pytest.param([0, 0, 0, 100], 3, id="at-once"),
        pytest.param([50, 0, 40, 60], 3, id="in-any-order"),
    ],
)
def test_most_within(moments: list[float], most: int) -> None:
    """The ruler itself: how many are in the fullest 30 seconds."""
    assert most == jwks.most_within(30, moments)


TTL, STALE = 100.0, 200.0
REFRESH_AHEAD, TIMEOUT = 30.0, 5.0

#: How many rotations ago the key was new that a token names; `None` was never one.
TOKENS = st.sampled_from([0, 0, 1, None, None])


class Answered(NamedTuple):
    """A request that the issuer answered, or failed to."""

    at: float
    forced: bool
    healthy: bool


class Recording(FakeProvider):
    """Records what came of each request; one that is given up is none."""

    def __init__(self) -> None:
        super().__init__("k0")
        self.seconds = TTL
        self.answered: list[Answered] = []
        #: What a service has to have, and since when.
        self.held: tuple[float, tuple[str, ...]] | None = None
        self.published = {"k0"}

    async def fetch(
        self, known: JWKSetResponse | None, *, now: float, forced: bool
    ) -> JWKSetResponse:
        kids = self.kids
        try:
            response = await super().fetch(known, now=now, forced=forced)
        except FetchError:
            self.answered.append(Answered(now, forced, healthy=False))
            raise
        self.answered.append(Answered(now, forced, healthy=True))
        self.held = now, kids
        self.published.update(kids)
        return response


class AnyCourseOfEvents(RuleBasedStateMachine):
    """Outages, rotations, strangers, callers that go away and processes that begin anew."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.provider = VirtualClock(), Recording()
        self.rotations = self.strangers = 0
        self.runner = asyncio.Runner()
        self.begin()

    def begin(self) -> None:
        """Begin with an empty cache."""
        self.provider.answered.clear()
        policy = {"ttl": TTL, "max_ttl": TTL, "timeout": TIMEOUT, "stale_if_error": STALE}
        self.cache = cache_of(self.provider, self.clock, **policy)

    def teardown(self) -> None:
        self.runner.close()

    def kid(self, age: int | None) -> str:
        if age is not None:
            return f"k{max(0, self.rotations - age)}"
        self.strangers += 1
        return f"unknown-{self.strangers}"

    @rule(seconds=st.sampled_from([0.1, 5.0, 31.0, 80.0, 250.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(error=st.sampled_from([DOWN, None]))
    def goes_down_or_up(self, error: FetchError | None) -> None:
        self.provider.error = error

    @rule(kept=st.sampled_from([0, 0, 2]))
    def rotates(self, kept: int) -> None:
        self.rotations += 1
        self.provider.kids = (*self.provider.kids[-2:][:kept], f"k{self.rotations}")

    @rule(age=TOKENS)
    def asks(self, age: int | None) -> None:
        """Several requests at once get an answer that is right."""
        self.runner.run(self.judged(self.kid(age)))

    @rule(age=TOKENS, steps=st.integers(0, 3))
    def goes_away(self, age: int | None, steps: int) -> None:
        """A caller that gives up takes nothing from the others."""

        async def scene(kid: str) -> None:
            gone = asyncio.create_task(outcome(self.cache, kid))
            for _ in range(steps):
                await asyncio.sleep(0)
            gone.cancel()
            await self.judged(kid)

        self.runner.run(scene(self.kid(age)))

    @rule(age=TOKENS)
    def is_stopped(self, age: int | None) -> None:
        """A fetch that ends with an event loop is no failure of the issuer."""

        async def begin(kid: str) -> None:
            self.provider.gate = asyncio.Event()
            self.leaving = asyncio.create_task(outcome(self.cache, kid))
            for _ in range(5):
                await asyncio.sleep(0)
            self.provider.gate = None

        self.runner.run(begin(self.kid(age)))
        self.runner.close()
        self.runner = asyncio.Runner()

    @property
    def is_limited(self) -> bool:
        """Whether unknown names have forced as many fetches as they may."""
        forced = [it.at for it in self.provider.answered if it.forced and it.healthy]
        return bool(forced) and self.clock() - forced[-1] < 30

    async def judged(self, kid: str) -> None:
        """One request, or several at once, and everything that has to be true of it."""
        found = set(map(str, await asyncio.gather(*(outcome(self.cache, kid) for _ in range(3)))))
        await landed(self.cache)
        now, held, answered = self.clock(), self.provider.held, self.provider.answered
        names = {str([kid]), str(UnknownKeyError), str(KeysUnavailableError)}
        assert names >= found  # nothing else ever happens
        # and the same to all who come at once, but that the last to come may not ask again
        assert len(found) == 1 or str([kid]) not in found
        if str([kid]) in found:
            assert held is not None
            assert kid in self.provider.published
            assert now - held[0] < TTL + STALE + 1  # not longer than was promised
        elif str(UnknownKeyError) in found:
            assert held is not None
            assert kid not in held[1]  # good keys are never wiped
            assert answered[-1].healthy  # a healthy issuer was the last to be asked
        else:
            # 503 only if the last fetch failed, or the issuer may not be asked yet
            assert not (answered and answered[-1].healthy) or self.is_limited
            assert held is None or kid not in held[1] or now - held[0] >= 0.95 * TTL + STALE

    @invariant()
    def it_asks_no_more_than_it_may(self) -> None:
        answered = self.provider.answered
        forced = [it.at for it in answered if it.forced and it.healthy]
        assert jwks.most_within(29.999, forced) <= 2
        soonest = 0.95 * TTL - REFRESH_AHEAD - 0.001
        regular = [it.at for it in answered if not it.forced and it.healthy]
        assert jwks.most_within(soonest, regular) <= 1
        pause, last = 0.0, float("-inf")
        for at, _, healthy in answered:
            assert at - last >= 0.799 * pause  # it rests after a failure
            last = at
            pause = 0 if healthy else min(60, 2 * pause or 1)


class TestAnyCourseOfEvents(AnyCourseOfEvents.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(
        max_examples=50, stateful_step_count=50, deadline=None, derandomize=True, database=None
    )
