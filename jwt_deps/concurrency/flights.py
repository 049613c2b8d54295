"""How do many callers share one fetch? They wait for it, and none of them can stop it.

Callers may be in several event loops and threads, may go away while they wait, and may find
themselves in a forked process where the fetch does not exist.
"""

import asyncio
import concurrent.futures
import contextvars
import logging
import os
import time
from collections.abc import Coroutine
from contextlib import suppress

from jwt_deps.keys.http import FetchError

__all__ = ["Flight"]

logger = logging.getLogger("jwt_deps")


class Flight:
    """One fetch that is under way: a task in the event loop of whoever asked first."""

    def __init__(self, work: Coroutine[None, None, FetchError | None], *, patience: float) -> None:
        """Start the work.

        Args:
            work: it bounds itself, and returns why it failed.
            patience: after how many seconds it is given up for lost with its event loop.
        """
        self._done: concurrent.futures.Future[FetchError | None] = concurrent.futures.Future()
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._lost_at = time.monotonic() + patience
        # In a context of its own: what the first caller's request holds is not everybody's.
        # Not by `create_task`: an eager one would run under the lock of whoever asks.
        self._task = asyncio.Task(work, loop=self._loop, context=contextvars.Context())
        self._task.add_done_callback(self._land)

    def is_under_way(self) -> bool:
        """Whether waiting for it can be worth the while."""
        return (
            not self._done.done()
            and self._pid == os.getpid()
            and not self._loop.is_closed()
            and time.monotonic() < self._lost_at
        )

    async def wait(self) -> FetchError | None:
        """Wait until it is done, and say why it failed.

        A caller that is cancelled leaves the fetch to the others.
        """
        done = asyncio.shield(asyncio.wrap_future(self._done))
        try:
            return await asyncio.wait_for(done, max(0, self._lost_at - time.monotonic()))
        except TimeoutError:
            return FetchError("the fetch was lost with its event loop")

    def cancel(self) -> None:
        """Stop it, because nobody needs its issuer any more."""
        if self.is_under_way():
            with suppress(RuntimeError):  # its loop was closed meanwhile, which stopped it too
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _land(self, task: "asyncio.Task[FetchError | None]") -> None:
        if task.cancelled():
            self._done.set_result(FetchError("the fetch was stopped"))
        elif (error := task.exception()) is not None:
            # A mistake in this package, not in the provider: whoever waits gets a 500.
            logger.error("fetching keys failed unexpectedly", exc_info=error)
            self._done.set_exception(error)
        else:
            self._done.set_result(task.result())
