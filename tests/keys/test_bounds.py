"""The documented bounds hold under load over HTTP and for every sequence of events.

The scenes are those of `python -m benchmarks.jwks`, which prints what it measures.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import jwks
from jwt_deps import KeysUnavailableError, UnknownKeyError
from jwt_deps.testing import Answer, VirtualClock
from tests.keys.faking import DOWN, FakeProvider, cache_of, landed, outcome


class TestUnderLoad:
    def test_a_thousand_cold_callers(self) -> None:
        """They cause exactly one fetch, and all get their keys."""
        assert (1, 0) == jwks.cold_start(1000)

    def test_made_up_key_ids_by_the_thousand(self) -> None:
        """They force two fetches in any 30 seconds, and not one of them is a server error."""
        found = jwks.flood(20_000)

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


@dataclass
class World:
    """An issuer and a service over time, and what has been seen of both."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    provider: FakeProvider = field(default_factory=lambda: FakeProvider("k0"))
    rotations: int = 0
    #: When it was asked, whether by force, whether it answered, and with what.
    asked: list[tuple[float, bool, bool, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider.seconds = TTL
        self.provider.inside = self._note
        self.cache = cache_of(
            self.provider, self.clock, ttl=TTL, max_ttl=TTL, timeout=TIMEOUT, stale_if_error=STALE
        )

    def _note(self) -> None:
        forced = self.provider.asked[-1].forced
        healthy = self.provider.error is None
        self.asked.append((self.clock(), forced, healthy, self.provider.kids))

    @property
    def held(self) -> tuple[float, tuple[str, ...]] | None:
        """What the service has to have, and since when."""
        good = [(at, kids) for at, _, healthy, kids in self.asked if healthy]
        return good[-1] if good else None

    @property
    def is_limited(self) -> bool:
        """Whether unknown names have forced as many fetches as they may."""
        forced = [at for at, by_force, healthy, _ in self.asked if by_force and healthy]
        return bool(forced) and self.clock() - forced[-1] < 30

    async def ask(self, kid: str) -> None:
        """One request, or several at once, and everything that has to be true of it."""
        found = set(map(str, await asyncio.gather(*(outcome(self.cache, kid) for _ in range(3)))))
        await landed(self.cache)
        now, held = self.clock(), self.held
        names = {str([kid]), str(UnknownKeyError), str(KeysUnavailableError)}
        assert names >= found  # nothing else ever happens
        # and the same to all who come at once, but that the last to come may not ask again
        assert len(found) == 1 or str([kid]) not in found
        if str([kid]) in found:
            assert held is not None
            at, _ = held
            assert any(kid in kids for _, _, healthy, kids in self.asked if healthy)
            assert now - at < TTL + STALE  # not longer than was promised
        elif str(UnknownKeyError) in found:
            assert held is not None
            assert kid not in held[1]  # good keys are never wiped
            assert self.asked[-1][2]  # a healthy issuer was the last to be asked
        else:
            # 503 only if the last fetch failed, or the issuer may not be asked yet
            assert not self.asked[-1][2] or self.is_limited
            assert held is None or kid not in held[1] or now - held[0] >= 0.95 * TTL + STALE

    def check_what_was_asked(self) -> None:
        """How often, over the whole time."""
        forced = [at for at, by_force, healthy, _ in self.asked if by_force and healthy]
        assert jwks.most_within(29.999, forced) <= 2
        soonest = 0.95 * TTL - REFRESH_AHEAD - 0.001
        regular = [at for at, by_force, healthy, _ in self.asked if not by_force and healthy]
        assert jwks.most_within(soonest, regular) <= 1
        pause, last = 0.0, float("-inf")
        for at, _, healthy, _ in self.asked:
            assert at - last >= 0.799 * pause  # it rests after a failure
            last = at
            pause = 0 if healthy else min(60, 2 * pause or 1)


def advance(seconds: float) -> Callable[[World], None]:
    return lambda world: world.clock.advance(seconds)


def goes_down(world: World) -> None:
    world.provider.error = DOWN


def comes_up(world: World) -> None:
    world.provider.error = None


def rotates(world: World) -> None:
    world.rotations += 1
    world.provider.kids = (f"k{world.rotations}",)


def adds_a_key(world: World) -> None:
    world.rotations += 1
    world.provider.kids = (*world.provider.kids[-2:], f"k{world.rotations}")


EVENTS = st.one_of(
    st.sampled_from([0.1, 1.0, 7.0, 31.0, 80.0, 95.0, 300.0]).map(advance),
    st.sampled_from([goes_down, comes_up, rotates, adds_a_key]),
)
#: How many rotations ago the key was new that a token names; `None` was never one.
TOKENS = st.sampled_from([0, 0, 0, 1, 2, None])


class TestAnyCourseOfEvents:
    @settings(max_examples=100, deadline=None)
    @given(course=st.lists(st.one_of(EVENTS, TOKENS), min_size=10, max_size=80))
    def test_what_never_happens(self, course: list[Callable[[World], None] | int | None]) -> None:
        """Outages, rotations and strangers in any order break no promise."""

        async def scene() -> None:
            world = World()
            for number, step in enumerate(course):
                if callable(step):
                    step(world)
                elif step is None:
                    await world.ask(f"unknown-{number}")
                else:
                    await world.ask(f"k{max(0, world.rotations - step)}")
            world.check_what_was_asked()

        asyncio.run(scene())
