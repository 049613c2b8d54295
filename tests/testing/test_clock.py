"""What a virtual clock says, and how it is moved."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from jwt_deps.testing import VirtualClock
from tests.forking import Halt, in_a_child, may_fork


def test_it_stands_still() -> None:
    """It says the same, however long one waits, and the same in every run."""
    clock = VirtualClock()

    assert [1_700_000_000] * 3 == [clock() for _ in range(3)]


@pytest.mark.parametrize(
    ("seconds", "then"),
    [
        pytest.param(3600, 4600, id="an-hour-later"),
        pytest.param(0.25, 1000.25, id="a-fraction"),
        pytest.param(0, 1000, id="not-at-all"),
        pytest.param(-1, 999, id="turned-back"),
    ],
)
def test_it_is_moved(seconds: float, then: float) -> None:
    """Time passes when the test says so, in both directions."""
    clock = VirtualClock(1000)

    clock.advance(seconds)

    assert then == clock()


def test_it_says_what_time_it_is() -> None:
    """Where a test fails, its clock can be read."""
    clock = VirtualClock(7)

    assert "VirtualClock(7)" == repr(clock)


def test_threads_can_share_it() -> None:
    clock = VirtualClock(0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(clock.advance, [1] * 4000))

    assert 4000 == clock()


@may_fork
def test_a_fork_while_a_thread_moves_it() -> None:
    """The forked process does not wait for a thread that only its parent has."""
    clock, halt = VirtualClock(0), Halt()

    class Slow(float):
        def __radd__(self, now: float) -> float:
            halt()
            return now + float(self)

    async def later() -> float:
        clock.advance(1)
        return clock()

    with halt.held(lambda: clock.advance(Slow(10))):
        said = in_a_child(later())

    assert ("1", 10) == (said, clock())
