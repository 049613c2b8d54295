"""The command `jwt-deps` itself."""

import importlib
import json
import os
import runpy
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import jwt_deps
from jwt_deps.cli.app import main
from jwt_deps.cli.output import console


def test_entry_point() -> None:
    """The console script is this application."""
    (script,) = entry_points(group="console_scripts", name="jwt-deps")

    assert script.load() is main


def test_without_a_terminal_lines_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log has no width, unless COLUMNS sets one."""
    monkeypatch.delenv("COLUMNS", raising=False)
    widths = [console().width]
    monkeypatch.setenv("COLUMNS", "60")
    widths.append(console().width)

    assert [140, 60] == widths


def test_help_without_arguments() -> None:
    """The name alone prints the help, which `test_completion` reads."""
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


@pytest.mark.parametrize("missing", ["typer", "uvicorn", "httpx2", "rich", "websockets"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Where the extra is not installed, a sentence says how to install it."""
    _forget(monkeypatch, "jwt_deps.cli", missing)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(SystemExit) as end:
        importlib.import_module("jwt_deps.cli")

    assert end.value.code == (f'The command line needs {missing}: pip install "jwt-deps[cli]"')


def test_without_a_module_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No extra is blamed for a module that none of them brings."""
    _forget(monkeypatch, "jwt_deps.cli")
    monkeypatch.setitem(sys.modules, "jwt_deps.cli.mint", None)

    with pytest.raises(ModuleNotFoundError, match=r"jwt_deps\.cli\.mint"):
        importlib.import_module("jwt_deps.cli")


def _forget(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let these be imported afresh, and put everything back after the test."""
    for name in list(sys.modules):
        if name.startswith(packages):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(jwt_deps, "cli", None)


def test_python_m(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m jwt_deps` is the same command."""
    monkeypatch.setattr(sys, "argv", ["__main__.py", "--version"])
    monkeypatch.delitem(sys.modules, "jwt_deps.__main__", raising=False)

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("jwt_deps", run_name="__main__")

    assert (0, f"jwt-deps {version('jwt-deps')}\n") == (ended.value.code, capsys.readouterr().out)


class TestEnvFile:
    """`--env-file` reads what `keygen secret --env >> .env` has written."""

    def test_its_variables_hold_for_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of other programs do no harm, and a variable that is set stays as it is."""
        file = tmp_path / ".env"
        secret = CliRunner().invoke(main, ["keygen", "secret", "--env"]).output
        file.write_text(f"{secret}DATABASE_URL=x\nJWT_AUDIENCE=file\nJWT_ISSUER=file\n")
        environment = {"JWT_AUDIENCE": "shell"}
        monkeypatch.setattr(os, "environ", environment)

        result = CliRunner().invoke(main, ["--env-file", str(file), "settings", "--format", "json"])
        shown = {row["name"]: row["value"] for row in json.loads(result.output)}

        expected = {"audience": "shell", "issuer": "file"}
        assert expected | {"secret_key": "a shared secret, 86 bytes"} == shown

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
    def test_one_of_powershell(self, tmp_path: Path, encoding: str) -> None:
        """Version 5 writes UTF-16 where `>>` makes the file: that is said, without its text."""
        file = tmp_path / ".env"
        file.write_text("JWT_SECRET_KEY=leaky\n", encoding=encoding)

        result = CliRunner().invoke(main, ["--env-file", str(file), "settings"])

        assert (2, "") == (result.exit_code, result.stdout)
        assert "is not text in UTF-8" in result.stderr

    def test_one_that_is_not_there(self) -> None:
        """It is an error."""
        assert 2 == CliRunner().invoke(main, ["--env-file", "nowhere", "settings"]).exit_code
