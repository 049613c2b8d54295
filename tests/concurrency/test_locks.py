"""Locks that a forked process has new."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from jwt_deps.concurrency import ForkSafeLock


@pytest.mark.parametrize("is_reentrant", [False, True])
def test_a_process_has_one_lock(*, is_reentrant: bool) -> None:
    """It is the same each time, until the process is forked."""
    lock = ForkSafeLock(is_reentrant=is_reentrant)

    assert lock() is lock()


def test_attack_the_first_threads_of_a_forked_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that ask for it at once get one lock: with two, both would be inside."""
    process, together = os.getpid(), threading.Barrier(2)

    def made() -> object:
        if os.getpid() != process:
            together.wait(10)
        return object()

    threads = SimpleNamespace(Lock=made)
    monkeypatch.setattr("jwt_deps.concurrency.threading", threads)
    locks = [ForkSafeLock() for _ in range(20)]
    before = [lock() for lock in locks]
    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr("os.getpid", lambda: -process)
        asked = [(pool.submit(lock), pool.submit(lock)) for lock in locks]
        given = [(one.result(), other.result()) for one, other in asked]

    assert all(one is other for one, other in given)
    assert not any(one is former for (one, _), former in zip(given, before, strict=True))
