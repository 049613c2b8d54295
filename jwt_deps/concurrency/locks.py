"""How is a lock held, when a process may be forked while a thread of it holds one?"""

import os
import threading

__all__ = ["ForkSafeLock"]


class ForkSafeLock:
    """Gives a lock between threads, and a new one to a process that was forked since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def __call__(self) -> threading.Lock:
        """The lock of this process."""
        if self._pid != os.getpid():  # perhaps a thread of the parent held it
            self._lock = threading.Lock()
            self._pid = os.getpid()
        return self._lock
