"""Run work in a forked process, also while a thread of the parent is in the middle of something."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

#: Newer Pythons warn of a fork where there are threads, which is what these tests are about.
may_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
_SECONDS = 20


def in_a_child(work: Coroutine[Any, Any, object]) -> str:
    """What a forked process says to it; nothing if it waits for ever."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in another process
        signal.alarm(_SECONDS)  # a lock that is never released stops the event loop as well
        try:
            said = repr(asyncio.run(work))
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


class Halt:
    """Called by a thread of `held`, it stops there until the block ends."""

    def __init__(self) -> None:
        self.reached, self._goes_on = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self) -> None:
        if threading.current_thread() is self._thread:
            self.reached.set()
            self._goes_on.wait(_SECONDS)

    @contextmanager
    def held(self, work: Callable[[], object]) -> Iterator[None]:
        """Run work in another thread, as far as to where it calls this."""
        self._thread = threading.Thread(target=work)
        self._thread.start()
        try:
            assert self.reached.wait(_SECONDS)
            yield
        finally:
            self._goes_on.set()
            self._thread.join()
