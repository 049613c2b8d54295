"""A bounded map keeps its bound and the entries used last."""

import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps.concurrency import LRUMap


@given(size=st.integers(0, 6), keys=st.lists(st.integers(0, 9), max_size=60))
def test_it_never_holds_more_than_its_size(size: int, keys: list[int]) -> None:
    """And what it gives is what was put."""
    known: LRUMap[int, str] = LRUMap(size)

    for key in keys:
        assert known.get(key) in {None, str(key)}
        known.put(key, str(key))
        assert len(known) <= size


def test_what_is_asked_for_stays() -> None:
    """However much comes and goes meanwhile."""
    known: LRUMap[int, str] = LRUMap(4)
    known.put(0, "kept")

    for key in range(1, 100):
        known.put(key, "passing")
        assert "kept" == known.get(0)

    assert known.get(1) is None


def test_what_is_forgotten_on_purpose_is_gone() -> None:
    """From both generations."""
    known: LRUMap[str, int] = LRUMap(2)
    known.put("old", 1)
    known.put("young", 2)
    for name in ("old", "young", "neither"):
        known.discard(name)

    assert (0, None, None) == (len(known), known.get("old"), known.get("young"))


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_small_sizes(size: int) -> None:
    """None remembers nothing; one remembers the last."""
    known: LRUMap[int, int] = LRUMap(size)
    for key in range(10):
        known.put(key, key)

    assert (9 if size else None) == known.get(9)
    assert len(known) <= size


def test_threads_never_see_a_wrong_value() -> None:
    """They can lose one."""
    known: LRUMap[int, int] = LRUMap(16)
    wrong: list[int] = []

    def use() -> None:
        for number in range(20_000):
            key = number % 40
            if known.get(key) not in {None, key}:
                wrong.append(key)
            known.put(key, key)
            if not number % 7:
                known.discard(key)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Two threads that turn a generation over at once can each leave theirs full.
    assert ([], True) == (wrong, len(known) <= 32)


def test_a_flood_of_distinct_keys_leaves_no_trace() -> None:
    """Memory is that of one filling."""
    known: LRUMap[str, str] = LRUMap(64)

    def flood() -> int:
        for number in range(20_000):
            known.put(f"{number:>200}", "x")
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first, second = flood(), flood()
    finally:
        tracemalloc.stop()

    assert second < first + 20_000
