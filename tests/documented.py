"""Run the `console` blocks of a page and compare their output.

A block has one command or several, each behind a `$`, and below each what it prints:

    ```console
    $ jwt-deps keygen --help
    Usage: jwt-deps keygen ...
    ```

`check_page(page, run)` runs each command in the order of the page, with a `run` that takes the
command line and gives what it printed; `shell(folder)` makes one that runs it in a real shell.
With `JWT_DEPS_UPDATE_DOCS=1` in the environment the page is rewritten instead: run the test
with it after a change, and read the difference.

Whatever is another one each time (`VARYING`) is compared by its kind only, and an update leaves
output alone that differs in nothing else.
"""

import os
import re
import subprocess
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cli.processes import PATIENCE, environment

#: What is another one each time: its pattern, and what it counts as. In this order.
VARYING: tuple[tuple[str, str], ...] = (
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
    (r"(?<![\w-])[\w-]{86}(?![\w-])", "<secret>"),
    (r"(?<![\w-])[\w-]{43}(?![\w-])", "<thumbprint>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "<time>"),
    (r"(?<![\w.-])[12]\d{9}(?![\w.-])", "<seconds>"),
    (r"\bin \d+ (s|min|h|days)\b", "in <while>"),
    (r"\b\d+ (s|min|h|days) ago\b", "<while> ago"),
    (r"\bin \d+\.\d+s\b", "in <while>"),
    (r"\b\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "<date>"),
)
WIDTH = "100"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A command is continued behind a backslash; its output ends where the next command begins.
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def commands_of(page: Path) -> list[str]:
    """The command lines of a page, in order."""
    return [
        command
        for block in _BLOCK.findall(page.read_text())
        for command, _ in _COMMAND.findall(block)
    ]


def check_page(page: Path, run: Callable[[str], str]) -> None:
    """Compare what a page shows with what `run` gives for its commands, or update the page."""
    text = page.read_text()
    true = _BLOCK.sub(lambda block: _checked(block, run), text)
    if os.environ.get("JWT_DEPS_UPDATE_DOCS"):
        page.write_text(true)
    else:
        assert true == text, f"{page.name} is out of date: run this with JWT_DEPS_UPDATE_DOCS=1"


def shell(folder: Path, **variables: str) -> Callable[[str], str]:
    """Run a command line as a reader pastes it: in a shell, in a folder that it may fill.

    Standard error stands where a terminal shows it, amid the output.
    """
    scripts = sysconfig.get_path("scripts")
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    settings = {"COLUMNS": WIDTH, "NO_COLOR": "1", "PATH": path, **variables}

    def run(command: str) -> str:
        done = subprocess.run(  # noqa: S602 - our own pages
            command,
            shell=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=_without_settings(environment()) | settings,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout

    return run


def comparable(output: str) -> str:
    """The output, with whatever is another one each time named by its kind."""
    for pattern, kind in VARYING:
        output = re.sub(pattern, kind, output)
    return output


def _checked(block: re.Match[str], run: Callable[[str], str]) -> str:
    """The block as it should be."""
    return f"```console\n{_COMMAND.sub(lambda one: _run(one, run), block[1])}```"


def _run(shown: re.Match[str], run: Callable[[str], str]) -> str:
    command, output = shown.groups()
    lines = [line.rstrip() for line in run(command).strip("\n").splitlines()]
    printed = "".join(f"{line}\n" for line in lines)
    if comparable(printed) == comparable(output.rstrip("\n") + "\n" * bool(output.strip())):
        return shown[0]
    return f"$ {command}\n{printed}"


def _without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.upper().startswith("JWT_")}
