"""What `python -m tests.mutation` changes, and that what it lists is there."""

import tomllib
from pathlib import Path

import pytest

from tests.mutation.__main__ import ROOT
from tests.mutation.mutants import mutants

SURVIVORS = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("a == b", ["(a != b)"], id="comparison"),
        pytest.param("a < b", ["(a <= b)"], id="bound"),
        pytest.param("a in b", ["(a not in b)"], id="membership"),
        pytest.param("a and b", ["(a or b)"], id="both"),
        pytest.param("not a", ["(a)"], id="negation"),
        pytest.param("a + b", ["(a - b)"], id="arithmetic"),
        pytest.param("True", ["False"], id="truth"),
        pytest.param("7", ["8"], id="number"),
        pytest.param("a if b else c", ["(c if b else a)"], id="choice"),
        pytest.param("'text'", [], id="text"),
        pytest.param("a.b(c)", [], id="call"),
    ],
)
def test_expressions(code: str, expected: list[str], tmp_path: Path) -> None:
    """One change for each operator and constant."""
    path = tmp_path / "a.py"
    path.write_text(f'"""é"""\ndef f():\n    return {code}\n')

    found = list(mutants(path))

    assert expected == [it.now for it in found]
    assert all(it.source == path.read_text().replace(code, it.now) for it in found)


@pytest.mark.parametrize("code", ["raise ValueError(a)", "check(a)"])
def test_statements(code: str, tmp_path: Path) -> None:
    """What refuses is left out."""
    path = tmp_path / "a.py"
    path.write_text(f"def f():\n    {code}\n")

    assert [f"a.py: {code} -> pass"] == [it.id for it in mutants(path)]


@pytest.mark.parametrize("room", SURVIVORS)
def test_every_survivor_that_is_known_is_a_mutant(room: str) -> None:
    """With a reason why it changes nothing."""
    files = (ROOT / "jwt_deps" / room).glob("*.py")
    ids = {mutant.id for path in files for mutant in mutants(path)}

    assert ids >= SURVIVORS[room].keys()
    assert all(SURVIVORS[room].values())
