"""Check at the end of a complete run that every test of the report ran and passed.

A plugin of `tests/conftest.py`. A run of some of the tests proves nothing about the others, and is
not judged; `JWT_DEPS_UPDATE_DOCS=1` writes the report and its page either way, in
`test_report.py`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pytest

from tests.conformance.catalog import Rule, documents, names_of
from tests.measuring import is_whole
from tests.vectors.thirdparty import FOLDER

__all__ = ["Evidence", "missing"]

_VECTORS = "tests/vectors/"


class Evidence:
    """State how each test ended."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.problems: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst: a test that failed in its teardown did not pass."""
        if report.when == "call" or not report.passed:
            self.outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge a whole run."""
        if session.testsfailed or not is_whole(session.config):
            return
        rules = (rule for document in documents() for rule in document.rules)
        absent = () if FOLDER.exists() else (_VECTORS,)
        self.problems = missing(rules, self.outcomes, absent)
        if self.problems:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which rule lacks its evidence."""
        for problem in self.problems:
            terminalreporter.write_line(f"conformance: {problem}", red=True)


def missing(
    rules: Iterable[Rule], outcomes: Mapping[str, str], absent: tuple[str, ...] = ()
) -> list[str]:
    """The tests that show a rule, by the catalog, and did not run or did not pass.

    What was skipped for something that is not installed shows nothing, and is the business of
    JWT_DEPS_REQUIRE_ALL; so are tests in the folders `absent`, which have nothing to read.
    """
    named = defaultdict[str, set[str]](set)
    for nodeid, how in outcomes.items():
        for name in names_of(nodeid):
            named[name].add(how)
    problems = []
    for rule in rules:
        if rule.status != "shown":
            continue
        for test in rule.tests:
            found = named[test]
            if not found and not test.startswith(absent):
                problems.append(f"{rule.id}: {test} is no test of this run")
            elif "failed" in found:
                problems.append(f"{rule.id}: {test} failed")
    return problems
