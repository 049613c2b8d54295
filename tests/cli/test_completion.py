"""Shells complete `jwt-deps`, and the help knows every command."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jwt_deps.cli.app import main

from .processes import run

COMMANDS = ["audit", "demo", "inspect", "keygen", "mint", "settings"]


def invoke(*arguments: str, **variables: str) -> Result:
    """Run the command in this process, under the name that shells know."""
    return CliRunner().invoke(main, arguments, env=variables, prog_name="jwt-deps")


def test_completion_of_commands() -> None:
    """A shell is told the commands."""
    result = invoke(_JWT_DEPS_COMPLETE="complete_bash", COMP_WORDS="jwt-deps ", COMP_CWORD="1")

    assert set(COMMANDS) <= set(result.stdout.split())


def test_completion_of_options() -> None:
    """And the options of each."""
    result = invoke(
        _JWT_DEPS_COMPLETE="complete_bash", COMP_WORDS="jwt-deps mint --", COMP_CWORD="2"
    )

    assert {"--user", "--scope", "--claim", "--expires", "--key"} <= set(result.stdout.split())


def test_script() -> None:
    """`--show-completion` prints what the current shell reads."""
    result = run("--show-completion", "zsh", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert 0 == result.returncode
    assert "_JWT_DEPS_COMPLETE=complete_" in result.stdout


def test_installed(tmp_path: Path) -> None:
    """`--install-completion` writes it where the shell finds it."""
    result = run(
        *("--install-completion", "bash"),
        HOME=str(tmp_path),
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )

    assert 0 == result.returncode
    assert "jwt-deps.sh" in (tmp_path / ".bashrc").read_text()


def test_help() -> None:
    """The help lists every command, with examples and exit codes."""
    result = invoke("--help")

    for command in COMMANDS:
        assert f"  jwt-deps {command} " in result.stdout
        assert f"│ {command} " in result.stdout
    assert "2  an error: usage" in result.stdout
    assert "\\b" not in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each(command: str) -> None:
    """Each has examples of its own."""
    result = invoke(command, "--help")

    assert 0 == result.exit_code
    assert "Examples:" in result.stdout
    assert f"jwt-deps {command}" in result.stdout.partition("Examples:")[2]
