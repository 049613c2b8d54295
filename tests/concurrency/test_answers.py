"""The last answer about each name is known, and no flood costs an accepted name its answer."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps.concurrency import Answer, Answers, Threads

Work = Callable[[], Coroutine[None, None, Answer[str] | None]]


def answers_of(*, accepted: int = 64, refused: int = 64, asked: int = 2) -> Answers[str, str]:
    return Answers(accepted=accepted, refused=refused, asked=asked, timeout=60)


def saying(value: str | None) -> Work:
    async def work() -> Answer[str]:
        await asyncio.sleep(0)
        return Answer(value, 1)

    return work


async def silent() -> None:
    await asyncio.sleep(0)


ASKED = st.tuples(st.sampled_from("abc"), st.sampled_from(["yes", "well", None, "silent"]))


class TestAnswers:
    @given(st.lists(ASKED, max_size=20))
    def test_the_last_answer_of_a_name_is_known(self, asked: list[tuple[str, str | None]]) -> None:
        """A name is accepted or refused, never both; no answer leaves the former one."""
        answers, last = answers_of(), dict[str, str | None]()

        async def all_of_them() -> None:
            for name, value in asked:
                if value == "silent":
                    assert await answers.ask(name, silent) is None
                else:
                    assert Answer(value, 1) == await answers.ask(name, saying(value))
                    last[name] = value

        asyncio.run(all_of_them())

        assert last == {name: known.value for name in "abc" if (known := answers.get(name))}
        assert {it for it in last if last[it] is not None} == set(answers.accepted())

    def test_attack_a_flood_of_unknown_names(self) -> None:
        """What is known of an accepted one stays."""
        answers = answers_of(refused=4)

        async def flood() -> None:
            await answers.ask("accepted", saying("yes"))
            for number in range(20):
                await answers.ask(str(number), saying(None))

        asyncio.run(flood())

        assert Answer("yes", 1) == answers.get("accepted")
        assert answers.get("0") is None

    def test_attack_many_unknown_names_at_once(self) -> None:
        """So many are asked about; an accepted one still is, by all who need it together."""
        answers, asked = answers_of(asked=2), []

        async def flood() -> list[Answer[str] | None]:
            await answers.ask("accepted", saying("yes"))
            going_on = asyncio.Event()

            def slow(name: str) -> Work:
                async def work() -> Answer[str]:
                    asked.append(name)
                    await going_on.wait()
                    return Answer(name, 2)

                return work

            names = ["0", "1", "2", "accepted", "accepted"]
            waiting = [asyncio.ensure_future(answers.ask(it, slow(it))) for it in names]
            while len(asked) < 3:  # noqa: ASYNC110 - in one event loop
                await asyncio.sleep(0)
            going_on.set()
            return await asyncio.gather(*waiting)

        expected = [Answer("0", 2), Answer("1", 2), None, *[Answer("accepted", 2)] * 2]
        assert expected == asyncio.run(flood())
        assert ["0", "1", "accepted"] == asked

    def test_an_answer_that_is_lost_with_its_event_loop(self) -> None:
        """Nothing is known of the name, and it is asked about anew."""
        answers = answers_of(asked=1)

        async def forever() -> None:
            await asyncio.sleep(60)

        async def leaving() -> None:
            waiting = asyncio.ensure_future(answers.ask("a", forever))
            await asyncio.wait([waiting], timeout=0.01)

        asyncio.run(leaving())

        assert asyncio.run(answers._flights["a"].wait()) is None
        assert Answer("yes", 1) == asyncio.run(answers.ask("a", saying("yes")))


class TestThreads:
    def test_attack_calls_that_hang(self) -> None:
        """So many wait for a thread, also after their time-out, and others are refused."""
        threads, gate, called = Threads(1), threading.Event(), list[int]()

        def hanging(number: int) -> int:
            gate.wait()
            called.append(number)
            return number

        async def flood() -> tuple[list[str], int]:
            async def one(number: int) -> str:
                try:
                    async with asyncio.timeout(0.05):
                        await threads.call(hanging, number, is_known=False)
                except TimeoutError:
                    return "late"
                return "answered"

            asked = [one(number) for number in range(20)]
            late = await asyncio.gather(*asked)
            with pytest.raises(TimeoutError):
                await threads.call(hanging, 20, is_known=False)
            gate.set()
            known = await threads.call(hanging, 21, is_known=True)
            while True:
                with suppress(TimeoutError):
                    return late, known + await threads.call(hanging, 1, is_known=False)
                await asyncio.sleep(0.01)

        assert (["late"] * 20, 22) == asyncio.run(flood())
        assert {0, 1, 21} == set(called)

    def test_what_a_call_raises(self) -> None:
        """It is the caller's error, and its thread is free again."""
        threads = Threads(1)

        async def all_of_them() -> list[str]:
            calls = [threads.call(int, text, is_known=True) for text in ("x", "1") * 4]
            return [
                type(it).__name__ for it in await asyncio.gather(*calls, return_exceptions=True)
            ]

        assert ["ValueError", "int"] * 4 == asyncio.run(all_of_them())

    def test_attack_a_call_that_finds_nothing(self) -> None:
        """`next` of no accepted issuer, for instance: it ends, as that of a coroutine does."""
        threads = Threads(1)

        async def call() -> object:
            async with asyncio.timeout(5):
                return await threads.call(next, iter(()), is_known=False)

        with pytest.raises(RuntimeError, match="StopIteration"):
            asyncio.run(call())
