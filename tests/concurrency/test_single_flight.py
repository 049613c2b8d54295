"""Concurrent callers share one fetch: cancelled callers, other loops, other processes."""

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress

import pytest

from jwt_deps.concurrency import SingleFlight
from tests.keys.asking import eventually

pytestmark = pytest.mark.anyio

FAILED = "no such luck"


def flight_of(
    work: Coroutine[None, None, str | None], *, timeout: float = 60
) -> SingleFlight[str | None]:
    return SingleFlight(work, timeout=timeout, lost=str)


async def finishes(result: str | None = None) -> str | None:
    await asyncio.sleep(0.01)
    return result


async def crashes() -> str | None:
    await asyncio.sleep(0)
    raise LookupError("a mistake")


class LoopOfItsOwn:
    """An event loop in another thread, which starts a flight and can end in two ways."""

    def __init__(self, work: Coroutine[None, None, str | None], timeout: float) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        start = asyncio.run_coroutine_threadsafe(self._start(work, timeout), self.loop)
        self.flight = start.result()

    async def _start(
        self, work: Coroutine[None, None, str | None], seconds: float
    ) -> SingleFlight[str | None]:
        return flight_of(work, timeout=seconds)

    def stop(self) -> None:
        """End without cancelling anything, as a loop does whose thread was stopped."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def close(self) -> None:
        """Take away what was left."""
        self.flight._task.cancel()
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.flight._task)
        self.loop.close()


class TestOneForAll:
    @pytest.mark.parametrize("result", [None, FAILED], ids=["landed", "failed"])
    async def test_all_callers_get_the_result(self, result: str | None) -> None:
        """All that wait learn the same, and so does who comes later."""
        flight = flight_of(finishes(result))
        together = await asyncio.gather(*(flight.wait() for _ in range(10)))

        assert ([result] * 10, result) == (together, await flight.wait())

    async def test_it_is_running_until_it_is_done(self) -> None:
        """From the start to the landing, and not after it."""
        flight = flight_of(finishes())
        before = flight.is_running()
        await flight.wait()

        assert [True, False] == [before, flight.is_running()]

    async def test_a_cancelled_caller_leaves_it_to_the_others(self) -> None:
        """A caller that is cancelled, even the first one, does not take the fetch along."""
        flight = flight_of(finishes(FAILED))
        first, second = (asyncio.create_task(flight.wait()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()

        assert (True, FAILED) == (
            (await asyncio.gather(first, second, return_exceptions=True))[1] is FAILED,
            (await flight.wait()),
        )

    async def test_the_last_one_to_go_away_leaves_it_too(self) -> None:
        """It completes although no caller waits for it."""
        flight = flight_of(finishes(FAILED))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flight.wait(), 0.001)
        await eventually(lambda: not flight.is_running())

        assert FAILED is await flight.wait()

    async def test_a_mistake_reaches_all_callers_and_the_log(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unexpected error is raised for each caller, and logged once."""
        flight = flight_of(crashes())
        waiting = (flight.wait() for _ in range(3))
        found = list(await asyncio.gather(*waiting, return_exceptions=True))

        assert [LookupError] * 3 == [type(one) for one in found]
        assert [(logging.ERROR, "a fetch failed unexpectedly")] == [
            (record.levelno, record.getMessage()) for record in caplog.records
        ]

    async def test_nothing_of_the_first_request_comes_along(self) -> None:
        """The fetch does not run in the context of its first caller."""
        user = contextvars.ContextVar("user", default="nobody")
        seen = []

        async def work() -> None:
            seen.append(user.get())

        user.set("alice")
        await flight_of(work()).wait()

        assert ["nobody"] == seen


class TestAcrossLoops:
    def test_it_is_waited_for_in_another_loop(self) -> None:
        """A caller in another thread waits in its own loop."""
        other = LoopOfItsOwn(finishes(FAILED), timeout=60)

        result = asyncio.run(other.flight.wait())
        other.stop()
        other.close()

        assert FAILED is result

    def test_its_loop_ends_in_order(self) -> None:
        """When `asyncio.run` ends, it stops the fetch, and no caller waits for it."""

        async def scene() -> SingleFlight[str | None]:
            flight = flight_of(asyncio.sleep(60))
            await asyncio.sleep(0)
            return flight

        flight = asyncio.run(scene())

        assert not flight.is_running()
        assert "the fetch was stopped" == str(asyncio.run(flight.wait()))

    def test_its_loop_stands_still(self) -> None:
        """A fetch that is not heard of again is given up, in bounded time."""
        other = LoopOfItsOwn(asyncio.sleep(60), timeout=60)
        other.stop()
        before = other.flight.is_running()
        other.flight._deadline = time.monotonic() + 0.01

        result = asyncio.run(other.flight.wait())
        after = other.flight.is_running()
        other.close()

        assert (True, False) == (before, after)
        assert "the fetch was lost with its event loop" == str(result)

    def test_its_loop_was_closed_under_it(self, caplog: pytest.LogCaptureFixture) -> None:
        """A fetch in a loop that was closed without a word is not under way."""
        other = LoopOfItsOwn(asyncio.sleep(60), timeout=60)
        other.stop()
        task = other.flight._task
        other.loop.close()
        under_way = other.flight.is_running()

        # What Python says about such a task when it is collected is not this test's business.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        coroutine = task.get_coro()
        assert coroutine is not None
        coroutine.close()

        assert not under_way
        assert [] == caplog.records

    def test_a_waiting_caller_has_ended(self, caplog: pytest.LogCaptureFixture) -> None:
        """A caller whose loop has ended when the fetch is done affects no other."""
        gate = asyncio.Event()

        async def waits() -> str:
            await gate.wait()
            return FAILED

        other = LoopOfItsOwn(waits(), timeout=60)

        async def impatient() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.flight.wait(), 0.01)

        asyncio.run(impatient())
        other.loop.call_soon_threadsafe(gate.set)
        result = asyncio.run(other.flight.wait())
        other.stop()
        other.close()

        assert (FAILED, []) == (result, caplog.records)


class TestAcrossProcesses:
    async def test_the_fetch_of_the_parent_is_not_there(self) -> None:
        """In a forked process the task does not run, so callers there start another fetch."""
        flight = flight_of(finishes())
        here = flight.is_running()
        flight._pid -= 1  # as it looks in a child
        there = flight.is_running()
        await flight.wait()

        assert [True, False] == [here, there]
