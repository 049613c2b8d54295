"""`jwt-deps explain`: the sections of the errors page."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jwt_deps import ConfigurationError, JWTSettings
from jwt_deps.cli.app import main

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments], env={"COLUMNS": "200"})


def test_the_command_that_an_error_names_prints_its_section() -> None:
    """The reader of a traceback has no checkout."""
    with pytest.raises(ConfigurationError) as caught:
        JWTSettings()
    command = str(caught.value).rpartition("More: ")[2].split()

    result = CliRunner().invoke(main, command[1:], env={"COLUMNS": "200"})

    assert 0 == result.exit_code
    assert "no_key" in result.output
    assert "JWT_SECRET_KEY" in result.output


def test_every_reason_is_listed() -> None:
    """One in a line, in the order of the page."""
    listed = explain().output.splitlines()

    assert re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE) == listed


@pytest.mark.parametrize(
    ("reason", "hint"),
    [("nokey", "do you mean no_key"), ("qqqqqqqq", "jwt-deps explain lists them")],
)
def test_a_reason_that_does_not_exist(reason: str, hint: str) -> None:
    """Near ones are named."""
    result = explain(reason)

    assert 2 == result.exit_code
    assert hint in result.output


def test_the_page_in_a_wheel_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel has no `docs`."""
    (tmp_path / "errors.md").write_text("# Errors\n\n## only_here\n\nIn the wheel.\n")
    monkeypatch.setattr("jwt_deps.cli.explain.files", lambda _: tmp_path)

    assert "only_here\n" == explain().output
