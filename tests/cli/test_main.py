"""The command `jwt-deps` itself."""

import importlib
import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest
from typer.testing import CliRunner

import jwt_deps
from jwt_deps.cli.app import main
from jwt_deps.cli.output import console


def test_entry_point() -> None:
    """The console script is this application."""
    (script,) = entry_points(group="console_scripts", name="jwt-deps")

    assert script.load() is main


def test_help() -> None:
    """The help lists the commands and shows examples."""
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    assert "JWT access tokens for FastAPI." in result.output
    assert "jwt-deps demo --once" in result.output


def test_without_a_terminal_lines_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log has no width, unless COLUMNS sets one."""
    monkeypatch.delenv("COLUMNS", raising=False)
    widths = [console().width]
    monkeypatch.setenv("COLUMNS", "60")
    widths.append(console().width)

    assert [140, 60] == widths


def test_help_without_arguments() -> None:
    """The name alone prints the help."""
    result = CliRunner().invoke(main)

    assert "Usage: jwt-deps" in result.output
    assert "demo" in result.output


def test_demo_is_a_sub_command() -> None:
    """The only command keeps its name, so that there can be others later."""
    result = CliRunner().invoke(main, ["--once"])

    assert result.exit_code == 2


def test_version() -> None:
    """`--version` tells the version of the distribution."""
    result = CliRunner().invoke(main, ["--version"])

    assert result.exit_code == 0
    assert result.output == f"jwt-deps {version('jwt-deps')}\n"


@pytest.mark.parametrize("missing", ["typer", "uvicorn", "httpx2"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Where the extra is not installed, a sentence says how to install it."""
    _forget(monkeypatch)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(SystemExit) as end:
        importlib.import_module("jwt_deps.cli")

    assert end.value.code == (f'The command line needs {missing}: pip install "jwt-deps[cli]"')


@pytest.mark.parametrize("missing", ["rich", "websockets"])
def test_real_process_without_the_extra(missing: str) -> None:
    """There is that sentence, no traceback, and exit code 1."""
    program = f"import sys; sys.modules[{missing!r}] = None; from jwt_deps.cli import main; main()"
    result = subprocess.run(  # noqa: S603 - its own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f'The command line needs {missing}: pip install "jwt-deps[cli]"\n')


def test_without_a_module_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No extra is blamed for a module that none of them brings."""
    _forget(monkeypatch)
    monkeypatch.setitem(sys.modules, "jwt_deps.cli.demo.api", None)

    with pytest.raises(ModuleNotFoundError, match=r"jwt_deps\.cli\.demo\.api"):
        importlib.import_module("jwt_deps.cli")


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line be imported afresh, and put everything back after the test."""
    for name in list(sys.modules):
        if name.startswith("jwt_deps.cli"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(jwt_deps, "cli", None)
