"""Which lines and branches of the package a complete run has reached: all, or the run fails.

SlipCover puts probes into the code of the package as that is imported. A function that is called
for each line, as `sys.settrace` has it, is called for those of all other packages too, and takes
more time than the tests. A run of a part of the tests is not measured.
"""

import io
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

__all__ = ["EXCLUDED", "is_whole", "measure"]

_ROOT = Path(__file__).parents[1]
#: Expressions of lines that are not to be reached.
EXCLUDED: list[str] = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["tool"][
    "slipcover"
]["exclude-lines"]
_MEASURED, _REACHED = "measured", "reached"  # what a worker is told, and what it tells
_NEVER = 2**31 - 1  # taking probes away costs more than they do


def measure(config: pytest.Config) -> None:
    """Measure this process, if the run is complete; nothing of the package is imported yet."""
    if is_whole(config) or getattr(config, "workerinput", {}).get(_MEASURED):
        config.pluginmanager.register(_Measuring(config), "measuring")


def is_whole(config: pytest.Config) -> bool:
    """Whether nothing was asked for but all there is, and this process hears of all of it."""
    if hasattr(config, "workerinput"):
        return False  # one of several; they report to the one that began
    option = config.option
    chosen = (option.keyword, option.markexpr, option.deselect, option.ignore, option.ignore_glob)
    partial = any(chosen) or config.option.collectonly or config.getoption("lf", default=False)
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not partial


class _Measuring:
    """A plugin for one process: the only one, the one that hands out the tests, or a worker."""

    def __init__(self, config: pytest.Config) -> None:
        import slipcover  # noqa: PLC0415 - not installed where only parts run

        self._slipcover = slipcover
        self._is_worker = hasattr(config, "workerinput")
        self._reached: dict[str, Any] = {}
        self._probes: Any = None
        if config.option.numprocesses and not self._is_worker:
            return
        package = str(_ROOT / "jwt_deps")
        self._probes = slipcover.Slipcover(
            branch=True, source=[package], d_miss_threshold=_NEVER, exclude_lines=EXCLUDED
        )
        slipcover.ImportManager(self._probes, slipcover.FileMatcher([package])).__enter__()

    def pytest_configure_node(self, node: Any) -> None:
        """Have a worker measure, too."""
        node.workerinput[_MEASURED] = True

    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker has reached; one that crashed tells nothing."""
        if hasattr(node, "workeroutput"):
            self._add(json.loads(node.workeroutput[_REACHED]))

    def _add(self, reached: dict[str, Any]) -> None:
        if self._reached:
            self._slipcover.merge_coverage(self._reached, reached)
        else:
            self._reached = reached

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over what was reached, or fail where something was not."""
        if self._probes is not None:
            self._add(self._probes.get_coverage())
        if self._is_worker:
            output: Any = session.config.workeroutput  # type: ignore[attr-defined]
            output[_REACHED] = json.dumps(self._reached)
        elif self._is_something_missing and not session.testsfailed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def _is_something_missing(self) -> bool:
        summary = self._reached.get("summary")
        return summary is None or bool(summary["missing_lines"] or summary["missing_branches"])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was not reached."""
        table = io.StringIO()
        self._slipcover.print_coverage(self._reached, outfile=table, skip_covered=True)
        terminalreporter.write_line(table.getvalue(), red=self._is_something_missing)
