"""Compare the cost of two functions on a machine with other load.

A contestant's slices stand between slices of its base (B C B C B), the order of the contestants is
shuffled in every round, and what counts is the median over the rounds of contestant to base, side
by side. What was made at the start is kept from the garbage collector's walks.
"""

import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Protocol, TypeAlias

__all__ = [
    "Effort",
    "Findings",
    "Measured",
    "Slice",
    "awaits_of",
    "calls_of",
    "fastest_of",
    "in_turn",
    "take_turns",
    "tenth",
]

#: Runs something so many times and returns the seconds that one took.
Slice: TypeAlias = Callable[[int], Awaitable[float]]

_FEWEST = 3
_QUARTERS = 4


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure: how many rounds, how many seconds each slice lasts."""

    rounds: int = 100
    slice_seconds: float = 0.004
    quick: bool = False

    def share(self, part: int, at_least: int = 3) -> int:
        """The rounds of a group whose rounds take that many times longer."""
        return 1 if self.quick else max(at_least, self.rounds // part)


@dataclass(frozen=True)
class Measured:
    """What became of a contestant beside its base: ratios, and microseconds when all is quiet."""

    ratio: float
    low: float
    high: float
    base: float

    @property
    def quiet(self) -> float:
        """What it costs in microseconds: the ratio times the base's fastest slice."""
        return self.ratio * self.base

    @property
    def added(self) -> float:
        """How many microseconds dearer than the base it is."""
        return self.quiet - self.base


@dataclass(frozen=True)
class Findings:
    """What a group of measurements found: figures by name, and Markdown for people."""

    title: str
    figures: dict[str, float]
    markdown: str


class Group(Protocol):
    """A module that measures one group."""

    def run(self, effort: Effort) -> Findings:
        """Measure it."""
        ...


def calls_of(function: Callable[[], object]) -> Slice:
    """Make a slice of a function's calls."""

    async def run(count: int) -> float:
        begun = time.perf_counter()
        for _ in range(count):
            function()
        return (time.perf_counter() - begun) / count

    return run


def awaits_of(function: Callable[[], Awaitable[object]]) -> Slice:
    """Make a slice of a coroutine function's calls."""

    async def run(count: int) -> float:
        begun = time.perf_counter()
        for _ in range(count):
            await function()
        return (time.perf_counter() - begun) / count

    return run


def fastest_of(function: Callable[[], object], effort: Effort) -> float:
    """The seconds that a call takes in the fastest of some slices."""
    count, fastest = 1, float("inf")
    for _ in range(3 if effort.quick else 25):
        begun = time.perf_counter()
        for _ in range(count):
            function()
        spent = (time.perf_counter() - begun) / count
        fastest = min(fastest, spent)
        count = _count(fastest, effort)
    return fastest


async def take_turns(
    base: Slice, contestants: Mapping[str, Slice], effort: Effort
) -> dict[str, Measured]:
    """Measure all contestants beside their base.

    Args:
        base: what they are compared with.
        contestants: their slices by name.
        effort: how many rounds of which length.
    """
    counts = {name: await _calibrated(run, effort) for name, run in contestants.items()}
    count = await _calibrated(base, effort)
    ratios: dict[str, list[float]] = {name: [] for name in contestants}
    fastest, names = float("inf"), list(contestants)
    with _nothing_to_collect(effort):
        for _ in range(effort.rounds):
            random.shuffle(names)
            for name in names:
                run = contestants[name]
                first = await base(count)
                one = await run(counts[name])
                between = await base(count)
                other = await run(counts[name])
                last = await base(count)
                beside = (first + 2 * between + last) / 4
                ratios[name].append((one + other) / 2 / beside)
                fastest = min(fastest, first, between, last)
    return {name: _summary(found, fastest) for name, found in ratios.items()}


async def in_turn(slices: Mapping[str, Slice], effort: Effort) -> dict[str, list[float]]:
    """Measure slices in turn (A B C C B A), in another order each round.

    Args:
        slices: what is measured, by name.
        effort: how many rounds of which length.

    Returns:
        The seconds of each, two for each round.
    """
    counts = {name: await _calibrated(run, effort) for name, run in slices.items()}
    seconds: dict[str, list[float]] = {name: [] for name in slices}
    names = list(slices)
    with _nothing_to_collect(effort):
        for _ in range(effort.rounds):
            random.shuffle(names)
            for name in (*names, *reversed(names)):
                seconds[name].append(await slices[name](counts[name]))
    return seconds


@contextmanager
def _nothing_to_collect(effort: Effort) -> Iterator[None]:
    """Leave what is there to no collection; a quick run does without, among the tests' objects."""
    if effort.quick:
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def tenth(samples: Sequence[float]) -> float:
    """The 10th percentile: what something takes while the machine does little else."""
    return quantiles(samples, n=10, method="inclusive")[0] if len(samples) > 1 else samples[0]


async def _calibrated(run: Slice, effort: Effort) -> int:
    """How often it has to run in a slice, once it is warm."""
    await run(_FEWEST)
    return _count(await run(_FEWEST), effort)


def _count(seconds: float, effort: Effort) -> int:
    return max(_FEWEST, min(100_000, int(effort.slice_seconds / max(seconds, 1e-9))))


def _summary(ratios: list[float], fastest: float) -> Measured:
    quarters = quantiles(ratios, n=_QUARTERS) if len(ratios) > 1 else ratios * (_QUARTERS - 1)
    return Measured(median(ratios), quarters[0], quarters[-1], fastest * 1e6)
