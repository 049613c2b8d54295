"""With `JWT_DEPS_FEW_CASES=1`: of large tables the cases that show something new.

On an older FastAPI it matters that each kind of route and each place of a guard is tried, and not
each with each: that is tried on the newest one.
"""

import os
from collections import Counter, defaultdict
from typing import Any

import pytest

__all__ = ["few_cases"]

_LARGE = 24  # cases: smaller tables stay whole
_EVERY = 4  # of the cases that have no new value


def few_cases(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases whose values were all in cases before them, but for every fourth of these."""
    if not os.environ.get("JWT_DEPS_FEW_CASES"):
        return
    sizes = Counter(_test(item) for item in items)
    seen: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    others: Counter[str] = Counter()
    kept, left_out = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        test = _test(item)
        callspec: Any = getattr(item, "callspec", None)
        # By identity: a value need not be hashable, and a product has the same ones again.
        values = {(name, id(value)) for name, value in callspec.params.items()} if callspec else ()
        is_new = sizes[test] <= _LARGE or not seen[test].issuperset(values)
        others[test] += not is_new
        (kept if is_new or others[test] % _EVERY == 0 else left_out).append(item)
        seen[test].update(values)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def _test(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]
