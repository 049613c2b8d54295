"""This package and three others agree on 20,000 inputs, or `reasons.toml` says why not."""

import subprocess
import sys

import pytest

from tests.differential.__main__ import compare, reasons
from tests.differential.inputs import inputs
from tests.providers.identity import missing
from tests.providers.programs import ROOT

needs_node = pytest.mark.skipif(
    missing("oidc_provider") is not None, reason=str(missing("oidc_provider"))
)


@needs_node
def test_they_agree() -> None:
    """In a process of its own: the others warn of keys, which here would be errors."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.differential"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "20000 inputs of seed 1" in done.stdout


@needs_node
@pytest.mark.filterwarnings("ignore")
def test_a_disagreement_without_a_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the seed, what was changed, and the input."""
    monkeypatch.setattr("tests.differential.__main__.reasons", dict)

    counted, unknown = compare(1, 300)

    assert not counted
    assert any("PyJWT, token refused: type\n    " in one for one in unknown)


def test_a_seed_makes_the_same_changes() -> None:
    """Keys and times differ, which no change depends on."""
    one, two = ([it.changed for it in inputs(7, 50)] for _ in range(2))

    assert one == two
    assert one != [it.changed for it in inputs(8, 50)]


def test_every_reason_says_why() -> None:
    """In a sentence or more."""
    assert all(why.endswith(".") for why in reasons().values())
