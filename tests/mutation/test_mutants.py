"""What `python -m tests.mutation` changes, and that what it lists is there."""

import gc
import weakref
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.__main__ import ROOT, SURVIVORS, excluded_lines
from tests.mutation.mutants import mutants
from tests.mutation.running import functions_in, replace


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("return a == b", ["a != b"], id="comparison"),
        pytest.param("return a < b <= c", ["a <= b <= c", "a < b < c"], id="bounds"),
        pytest.param("return a in b", ["a not in b"], id="membership"),
        pytest.param("return a and b", ["b", "a"], id="operand"),
        pytest.param("return a or b or c", ["b or c", "a or c", "a or b"], id="operands"),
        pytest.param("return isinstance(a, b | c)", ["b", "c"], id="types"),
        pytest.param("return not a", ["a"], id="negation"),
        pytest.param("return a + b", ["a - b"], id="arithmetic"),
        pytest.param("a -= b", ["a += b"], id="assignment"),
        pytest.param("return True", ["False"], id="truth"),
        pytest.param("return 7", ["8"], id="number"),
        pytest.param("return a if b == c else d", ["d if b == c else a", "b != c"], id="choice"),
        pytest.param("while a: b = c", ["not a"], id="condition"),
        pytest.param("raise ValueError(a)", ["pass"], id="raise"),
        pytest.param("check(a)", ["pass"], id="call"),
        pytest.param("a: 'b | c' = 'text'", [], id="text"),
    ],
)
def test_changes(code: str, expected: list[str], tmp_path: Path) -> None:
    """One for each operator, operand and constant; what refuses is left out."""
    path = tmp_path / "a.py"
    path.write_text(f'"""é"""\nclass C:\n    def f(x: int | str):\n        {code}\n')

    found = [(it.id, it.change.rpartition(" -> ")[2]) for it in mutants(path)]

    assert expected == [change for _, change in found]
    assert len(found) == len({key for key, _ in found if key.startswith("a.py:C.f:")})


CODE = """
from functools import lru_cache
def called(function): return lambda: function()
def closure():
    number = 1
    return lambda: (number, 1)
class C:
    @property
    def read(self): return 1
@called
@lru_cache
def cached(): return 1
closed = closure()
at_import = 1
"""


@pytest.mark.parametrize(
    ("key", "read", "value"),
    [
        pytest.param("C.read", lambda it: it.C().read, 2, id="property"),
        pytest.param("cached", lambda it: it.cached(), 2, id="decorated"),
        pytest.param("closure:constant:1", lambda it: it.closed(), (1, 2), id="closure"),
        pytest.param("closure:constant:0", lambda it: it.closure()(), (2, 1), id="its-function"),
        pytest.param("module", None, None, id="only-an-import-executes-it"),
    ],
)
def test_code_is_replaced_in_place(
    key: str, read: Callable[[ModuleType], object] | None, value: object, tmp_path: Path
) -> None:
    """What holds a function already has its changed code."""
    path = tmp_path / "a.py"
    path.write_text(CODE)
    spec = spec_from_file_location("a", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    _dead = weakref.proxy(ModuleType("gone"))  # as other tests may leave one

    replaced = next(
        replace(functions_in({str(path)}), it.compile())
        for it in mutants(path)
        if f"a.py:{key}" in it.id
    )

    assert replaced == (read is not None)
    if read:
        assert value == read(module)


def test_functions_are_found_that_the_garbage_collector_does_not_look_at() -> None:
    """`tests/conftest.py` freezes what there is once the tests are collected."""
    gc.freeze()

    assert functions_in({__file__})


def test_what_only_an_older_fastapi_executes_is_left_out(tmp_path: Path) -> None:
    """As in `tests/measuring.py`."""
    path = tmp_path / "a.py"
    path.write_text("if a == b:  # old FastAPI\n    c = 1\nd = 1\n")

    assert {1, 2} == excluded_lines(path)


@pytest.mark.parametrize("room", SURVIVORS)
def test_every_survivor_that_is_known_is_a_mutant(room: str) -> None:
    """As it was when a reason was given why it changes nothing."""
    files = (ROOT / "jwt_deps" / room).glob("*.py")
    changes = {mutant.id: mutant.change for path in files for mutant in mutants(path)}

    for key, reason in SURVIVORS[room].items():
        assert reason.startswith(f"{changes[key]}: "), key


USED = """
LIMIT = 1
class C:
    size: int = 2
    def f(self, n=3):
        if n > LIMIT:
            return self.size
"""


def test_what_an_import_executes_is_noticed_where_it_is_used(tmp_path: Path) -> None:
    """By the tests of the lines that have the name, or of the function with that default."""
    path = tmp_path / "a.py"
    path.write_text(USED)

    found = {it.change: sorted(it.lines) for it in mutants(path)}

    assert [[2, 6], [4, 7], [5, 6, 7]] == [found[it] for it in ("1 -> 2", "2 -> 3", "3 -> 4")]
