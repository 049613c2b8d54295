"""Share work between requests, threads and event loops: single flight, answers, limits, LRU map."""

import asyncio
import concurrent.futures
import contextvars
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

logger = logging.getLogger("jwt_deps")

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

#: Spreads load. Of a generator with a state forked processes would get the same numbers.
JITTER = random.SystemRandom()

# `time.monotonic` stands still on Linux while the machine is suspended; other systems lack this.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def uptime() -> float:
    """Return seconds of a clock that never steps, and counts suspension where the system can."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class SingleFlight(Generic[T]):
    """One piece of work for all who need its result, in the event loop of the first of them.

    Those who wait may be in several event loops and threads, may be cancelled while they wait, and
    may be in a forked process, where the work does not exist. None of them can stop the work.
    """

    def __init__(
        self, work: Coroutine[None, None, T], *, timeout: float, lost: Callable[[str], T]
    ) -> None:
        """Start the work.

        Args:
            work: it limits its own time.
            timeout: seconds after which its event loop is taken for dead.
            lost: makes the result when the work cannot give one, from the reason.
        """
        self._done: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._deadline = time.monotonic() + timeout
        self._lost = lost
        # In an empty context: the first caller's request must not leak into the shared work.
        # Not by `create_task`: an eager one would run under the lock of the caller.
        self._task = asyncio.Task(work, loop=self._loop, context=contextvars.Context())
        self._task.add_done_callback(self._on_done)

    def is_running(self) -> bool:
        """Whether a result can still come."""
        return (
            not self._done.done()
            and self._pid == os.getpid()
            and not self._loop.is_closed()
            and time.monotonic() < self._deadline
        )

    async def wait(self) -> T:
        """Wait for the result. A caller that is cancelled leaves the work to the others."""
        done = asyncio.shield(asyncio.wrap_future(self._done))
        try:
            return await asyncio.wait_for(done, max(0, self._deadline - time.monotonic()))
        except TimeoutError:
            return self._lost("the fetch was lost with its event loop")

    def _on_done(self, task: "asyncio.Task[T]") -> None:
        if task.cancelled():
            self._done.set_result(self._lost("the fetch was stopped"))
        elif (error := task.exception()) is not None:
            # A defect of this package, not of the server that was asked: the waiting requests
            # get a 500.
            logger.error("a fetch failed unexpectedly", exc_info=error)
            self._done.set_exception(error)
        else:
            self._done.set_result(task.result())


class TokenBucket:
    """Lets `capacity` pass at once and one more every `refill` seconds.

    In any span shorter than `refill` it lets at most `capacity` pass.
    """

    def __init__(self, capacity: int, refill: float) -> None:
        self._refill = refill
        # In seconds: a sum of fractions would miss the whole.
        self._level = self._most = capacity * refill
        self._seen: float | None = None

    def take(self, now: float) -> bool:
        """Take one, and return whether there was one."""
        if self._seen is not None:
            self._gain(now - self._seen)
        self._seen = now
        if self._level < self._refill:
            return False
        self._level -= self._refill
        return True

    def wait(self, now: float) -> float:
        """Return the seconds until there is one to take."""
        since = 0 if self._seen is None else max(0, now - self._seen)
        return max(0, self._refill - self._level - since)

    def refund(self) -> None:
        """Give one back."""
        self._gain(self._refill)

    def _gain(self, seconds: float) -> None:
        self._level = min(self._most, self._level + max(0, seconds))


@dataclass(slots=True)
class Backoff:
    """Doubles the pause with every failure in a row, up to `longest`, 20 % more or less."""

    first: float
    longest: float
    failures: int = 0
    retry_at: float = float("-inf")

    def fail(self, now: float) -> None:
        """Count a failure."""
        # Exponents stay small: 2 to the power of a long outage is no float.
        pause = min(self.longest, self.first * 2 ** min(self.failures, 32))
        self.failures += 1
        self.retry_at = now + min(self.longest, pause * JITTER.uniform(0.8, 1.2))

    def succeed(self) -> None:
        """Forget the failures."""
        self.failures = 0
        self.retry_at = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether the pause is not over yet."""
        return now < self.retry_at


class ForkSafeLock:
    """A lock between threads; a forked process gets a new one.

    In a process that was forked while a thread held the lock, that thread does not exist. A lock
    that is re-entrant can be taken once more by the thread that holds it.
    """

    def __init__(self, *, is_reentrant: bool = False) -> None:
        self._make = threading.RLock if is_reentrant else threading.Lock
        #: By process: this one's, and those of the processes that it was forked from.
        self._locks: dict[int, threading.Lock | threading.RLock] = {}

    def __call__(self) -> "threading.Lock | threading.RLock":
        """Return the lock of this process."""
        process = os.getpid()
        lock = self._locks.get(process)
        # One step: of several threads that make one at once, all get the same.
        return self._locks.setdefault(process, self._make()) if lock is None else lock


class LRUMap(Generic[K, V]):
    """A map of at most `size` entries, or none, that drops those not used for the longest time.

    There are two generations. The young one takes new entries and those that are looked up; when
    it is full, it becomes the old one, and the entries of the former old one are dropped. Every
    step is a single operation on a dict: threads can lose an entry, and never see a wrong one.
    """

    __slots__ = ("_half", "_old", "_size", "_young")

    def __init__(self, size: int) -> None:
        self._size = size
        self._half = max(1, size // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __iter__(self) -> Iterator[K]:
        return iter((*self._young, *self._old))

    def get(self, key: K) -> V | None:
        """Return the value of a key, or `None`."""
        value = self._young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Store a value."""
        if not self._size:
            return
        if len(self._young) >= self._half:
            self._young, self._old = {}, self._young if self._size > 1 else {}
        self._young[key] = value

    def discard(self, key: K) -> None:
        """Remove a key, if it is there."""
        self._young.pop(key, None)
        self._old.pop(key, None)


class Answer(NamedTuple, Generic[V]):
    """What another system said of a name, and until when that holds; `None` refuses the name."""

    value: V | None
    ends: float


_Work: TypeAlias = Callable[[], Coroutine[None, None, Answer[V] | None]]


class Answers(Generic[K, V]):
    """The cached answers of another system about names that clients send.

    It is asked once for all who wait. A flood of unknown names neither drives out accepted ones nor
    keeps them from being asked about again.

    Args:
        accepted, refused: the most answers of each kind (`LRUMap`).
        asked: names that it is asked about at once; twice as many that were accepted before.
        timeout: seconds that asking takes at most.
    """

    def __init__(self, *, accepted: int, refused: int, asked: int, timeout: float) -> None:
        self._accepted: LRUMap[K, Answer[V]] = LRUMap(accepted)
        self._refused: LRUMap[K, Answer[V]] = LRUMap(refused)
        self._flights: dict[K, SingleFlight[Answer[V] | None]] = {}
        self._most_asked = asked
        self._timeout = timeout + 1
        self._lock = ForkSafeLock()

    def accepted(self) -> list[K]:
        """Return the accepted names, also those whose answers have ended."""
        return list(self._accepted)

    def get(self, name: K) -> Answer[V] | None:
        """Return the last answer, which may have ended."""
        return self._accepted.get(name) or self._refused.get(name)

    async def ask(self, name: K, work: _Work[V]) -> Answer[V] | None:
        """Return a new answer; `None` if `work` gets none, or too many names are asked about."""
        with self._lock():
            flight = self._flights.get(name)
            if flight is None or not flight.is_running():
                self._flights = {it: one for it, one in self._flights.items() if one.is_running()}
                most = self._most_asked * (1 if self._accepted.get(name) is None else 2)
                if len(self._flights) >= most:
                    return None
                flight = self._flights[name] = SingleFlight(
                    self._cache(name, work), timeout=self._timeout, lost=lambda _: None
                )
        return await flight.wait()

    async def _cache(self, name: K, work: _Work[V]) -> Answer[V] | None:
        answer = await work()
        if answer is not None:
            caches = self._accepted, self._refused
            to, other = caches if answer.value is not None else reversed(caches)
            other.discard(name)
            to.put(name, answer)
        return answer


_Pool: TypeAlias = tuple[ThreadPoolExecutor, threading.Semaphore]


class TooManyCallsError(TimeoutError):
    """So many calls hang, or wait for those that do, that one more is not begun."""


class Threads:
    """Threads of their own for plain functions that what clients send makes this package call.

    In the threads of the event loop they would delay look-ups of host names, and each other.
    Calls for names that were accepted before have threads that unknown names cannot fill. A call
    that takes too long keeps its thread until it ends; then others wait, and not too many of them.

    Args:
        most: calls of each kind that run at once, in each event loop; seven times as many wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # A forked process has no thread of the former one, and makes an event loop of its own.
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, _Pool]]
        self._pools = WeakKeyDictionary()

    async def call(self, function: Callable[[K], V], name: K, *, is_known: bool) -> V:
        """Call a function with a name, in a thread and in the context of the caller.

        Raises:
            TooManyCallsError: too many calls wait.
            RuntimeError: the function raised `StopIteration`, as where `next` finds nothing.
        """
        pools = self._pools.setdefault(asyncio.get_running_loop(), {})
        if is_known not in pools:
            places = threading.Semaphore(8 * self._most)
            pools[is_known] = ThreadPoolExecutor(self._most, "jwt-deps"), places
        threads, places = pools[is_known]
        if not places.acquire(blocking=False):
            raise TooManyCallsError
        context, answer = contextvars.copy_context(), concurrent.futures.Future[V]()

        def work() -> None:
            # A call whose caller has left keeps its place until a thread comes to it.
            try:
                if answer.set_running_or_notify_cancel():
                    answer.set_result(context.run(function, name))
            except StopIteration:  # with which no future of asyncio ends, before Python 3.12
                answer.set_exception(RuntimeError("the function raised StopIteration"))
            except BaseException as error:  # noqa: BLE001 - the caller's
                answer.set_exception(error)
            finally:
                places.release()

        threads.submit(work)
        return await asyncio.wrap_future(answer)
