"""The token bucket allows its rate and no more, for every sequence of events."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import concurrency
from jwt_deps.concurrency import JITTER, Backoff, TokenBucket, uptime

# Sixteenths of a second add up without rounding, so that a window is as long as it says.
SPANS = st.integers(0, 16 * 90).map(lambda sixteenths: sixteenths / 16)


class TestTokenBucket:
    def test_capacity_at_once_then_one_by_one(self) -> None:
        """It lets its capacity pass at once, then one for each refill, and no more are saved up."""
        bucket = TokenBucket(2, 30)
        moments = [0, 0, 0, 29, 30, 30, 59, 60, 1000, 1000, 1000]

        passed = [bucket.take(moment) for moment in moments]

        assert [1, 1, 0, 0, 1, 0, 0, 1, 1, 1, 0] == [int(one) for one in passed]

    def test_a_refill_in_many_steps(self) -> None:
        """Requests meanwhile do not put off the next one: no rounding adds up."""
        bucket = TokenBucket(1, 30)

        passed = [second for second in range(91) if bucket.take(second)]

        assert [0, 30, 60, 90] == passed

    @given(capacity=st.integers(1, 4), spans=st.lists(SPANS, max_size=60))
    def test_at_most_the_capacity_in_any_span_shorter_than_a_refill(
        self, capacity: int, spans: list[float]
    ) -> None:
        """Whenever the callers come, no half-open window of one refill holds more."""
        bucket, now, passed = TokenBucket(capacity, 30), 0.0, []
        for span in spans:
            now += span
            if bucket.take(now):
                passed.append(now)

        most = max((sum(one <= other < one + 30 for other in passed) for one in passed), default=0)

        assert capacity >= most

    @given(spans=st.lists(SPANS, max_size=60))
    def test_it_refuses_no_request_without_need(self, spans: list[float]) -> None:
        """A request a whole refill after the one before always passes."""
        bucket, now = TokenBucket(1, 30), 0.0
        bucket.take(now)
        for span in spans:
            now += span
            bucket.take(now)

        assert bucket.take(now + 30)

    @given(events=st.lists(st.tuples(SPANS, st.booleans()), max_size=60))
    def test_what_comes_to_nothing_counts_for_nothing(
        self, events: list[tuple[float, bool]]
    ) -> None:
        """Those that are given back leave as much room as if they had never been taken."""
        with_refunds, without = TokenBucket(2, 32), TokenBucket(2, 32)
        now, same = 0.0, []
        for span, comes_to_nothing in events:
            now += span
            if comes_to_nothing:
                if with_refunds.take(now):
                    with_refunds.refund()
            else:
                same.append(with_refunds.take(now) == without.take(now))

        assert all(same)

    def test_a_refund_never_exceeds_the_capacity(self) -> None:
        """More given back than taken lets no more pass at once."""
        bucket = TokenBucket(2, 30)
        for _ in range(5):
            bucket.refund()

        assert [True, True, False] == [bucket.take(0) for _ in range(3)]

    def test_a_step_back_in_time_gains_nothing(self) -> None:
        """Nor does it lose anything: a refill later there is room again."""
        bucket = TokenBucket(1, 30)

        assert [True, False, True] == [bucket.take(moment) for moment in (100, 10, 40)]


class TestBackoff:
    @pytest.mark.parametrize(
        ("spread", "pauses"),
        [
            pytest.param(None, [1, 2, 4, 8, 16, 32, 60, 60], id="doubles-up-to-the-longest"),
            pytest.param(min, [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 48, 48], id="shortest"),
            pytest.param(max, [1.2, 2.4, 4.8, 9.6, 19.2, 38.4, 60, 60], id="longest-stays-longest"),
        ],
    )
    def test_growth(
        self,
        spread: Callable[[float, float], float] | None,
        pauses: list[float],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Each failure doubles the pause, 20 % more or less, and none is beyond the longest."""
        monkeypatch.setattr(JITTER, "uniform", spread or (lambda *_: 1.0))
        backoff = Backoff(1, 60)
        found = []
        for _ in pauses:
            backoff.fail(0)
            found.append(backoff.retry_at)

        assert pytest.approx(pauses) == found

    def test_it_holds_until_the_moment_of_retrying(self) -> None:
        """The pause ends at its end, not after it, and never began before a failure."""
        backoff = Backoff(10, 60)
        before = backoff.holds(0)
        backoff.fail(100)

        assert [False, True, True, False] == [
            before,
            backoff.holds(100),
            backoff.holds(backoff.retry_at - 0.1),
            backoff.holds(backoff.retry_at),
        ]

    def test_success_forgets(self) -> None:
        """After a success the next failure is the first one."""
        backoff = Backoff(1, 60)
        for _ in range(5):
            backoff.fail(0)
        backoff.succeed()
        holds = backoff.holds(0)
        backoff.fail(100)

        assert not holds
        assert 100.8 <= backoff.retry_at <= 101.2

    @given(first=st.floats(0.001, 10), longest=st.floats(10, 1e6), failures=st.integers(1, 100))
    def test_the_pause_stays_in_its_bounds(
        self, first: float, longest: float, failures: int
    ) -> None:
        """It is never longer than the longest, nor shorter than 80 % of the first."""
        backoff = Backoff(first, longest)
        pauses = []
        for _ in range(failures):
            backoff.fail(0)
            pauses.append(backoff.retry_at)

        assert 0.799 * first <= min(pauses)
        assert longest >= max(pauses)
        assert all(later >= 0.66 * sooner for sooner, later in pairwise(pauses))

    def test_a_very_long_outage_is_no_overflow(self) -> None:
        """Thousands of failures in a row are pauses like any other."""
        backoff = Backoff(1.0, 60.0)
        for _ in range(5000):
            backoff.fail(0)

        assert 48 <= backoff.retry_at <= 60


def test_the_suspension_of_the_machine_counts() -> None:
    """On Linux the age of keys and lists goes on while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(clock)

    assert before <= uptime() <= time.clock_gettime(clock)


def test_a_system_whose_clocks_do_not_count_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock takes their place, on Windows for one."""
    monkeypatch.setattr(concurrency, "_CLOCK", None)
    before = time.monotonic()

    assert before <= uptime() <= time.monotonic()


def test_how_long_until_there_is_room() -> None:
    """Nothing while there is some, then what is left of one refill."""
    bucket = TokenBucket(1, 30)
    waits = [bucket.wait(0)]
    bucket.take(0)

    waits += [bucket.wait(now) for now in (0, 10, 30, 100)]

    assert [0, 30, 20, 0, 0] == waits
