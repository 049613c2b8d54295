"""The rules for a resource server, and the tests that show each.

A file of `rules/` is a document: its `title`, its `address`, and its rules with an `id`, the
`section`, what it asks (`text`) and either `tests` or the `reason` why there are none. A test is
named as pytest does, with its parameters or without, and a whole file by its path. `planned` names
the branch that a test comes with: until all of a rule's tests are there, the rule counts as
planned, and which is unknown is said.
"""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "RULES", "Document", "Rule", "documents", "is_named", "names_of"]

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).parent / "rules"


@dataclass(frozen=True)
class Rule:
    """One rule, in short."""

    id: str
    section: str
    text: str
    tests: tuple[str, ...] = ()
    reason: str = ""
    planned: str = ""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Its tests that do not exist, whatever their parameters."""
        return tuple(test for test in self.tests if not _exists(test))

    @property
    def status(self) -> str:
        """`shown` by tests, `planned`, or `not shown` for a reason."""
        if self.planned and (self.unknown or not self.tests):
            return "planned"
        return "shown" if self.tests else "not shown"


@dataclass(frozen=True)
class Document:
    """A specification and its rules."""

    name: str
    title: str
    address: str
    rules: tuple[Rule, ...]


def documents() -> tuple[Document, ...]:
    """Read all of them, by number."""
    return tuple(_document(path) for path in sorted(RULES.glob("*.toml")))


def names_of(nodeid: str) -> list[str]:
    """The names by which a catalog means a test that ran: its own, its function's, its class's."""
    function = nodeid.partition("[")[0]
    parts = function.split("::")
    return [
        nodeid,
        *("::".join(parts[:end]) for end in range(1, len(parts) + (nodeid != function))),
    ]


def is_named(test: str, nodeid: str) -> bool:
    """Whether a test of a catalog means a test that ran."""
    return test in names_of(nodeid)


def _document(path: Path) -> Document:
    read = tomllib.loads(path.read_text())
    rules = tuple(Rule(**{**rule, "tests": tuple(rule.get("tests", ()))}) for rule in read["rules"])
    return Document(path.stem, read["title"], read["address"], rules)


def _exists(test: str) -> bool:
    file, _, name = test.partition("[")[0].partition("::")
    return name in _names(ROOT / file) if name else (ROOT / file).is_file()


@cache
def _names(file: Path) -> frozenset[str]:
    if not file.is_file():
        return frozenset()
    return frozenset(_named(ast.parse(file.read_text()).body, ""))


def _named(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield f"{prefix}{statement.name}"
            yield from _named(statement.body, f"{prefix}{statement.name}::")
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{statement.name}"
