"""Tables of which any two values meet in a case.

A full product multiplies cases that differ in three values at once; what fails by two of them is
found in fewer.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

__all__ = ["pairwise"]


def pairwise(**tables: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize a test so that every value of a table meets every value of each other one.

    In a case at most two values are not the first of their table, so the plainest comes first.
    """
    firsts = [table[0] for table in tables.values()]
    cases = [
        _case(values)
        for values in product(*tables.values())
        if sum(value is not first for value, first in zip(values, firsts, strict=True)) <= 2
    ]
    return pytest.mark.parametrize(tuple(tables), cases)


def _case(values: Sequence[Any]) -> Any:
    plain = [value.values[0] if hasattr(value, "marks") else value for value in values]
    marks = [mark for value in values for mark in getattr(value, "marks", ())]
    names = [getattr(value, "__name__", str(value)) for value in plain]
    return pytest.param(*plain, marks=marks, id="-".join(names))
