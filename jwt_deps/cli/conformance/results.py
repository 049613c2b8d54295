"""Show results as text, as JSON and as JUnit XML."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from rich.table import Table
from rich.text import Text

from jwt_deps.cli.output import console, printable

from .asking import Result
from .catalog import Document

_STYLES = {"MUST": "bold red", "SHOULD": "yellow", "DIFFERS": "cyan"}


def counts(results: Sequence[Result]) -> Mapping[str, int]:
    """Count the outcomes."""
    return Counter(it.outcome for it in results)


def show(documents: Mapping[Document, Sequence[Result]]) -> None:
    """Print a table of the documents, and each question that failed."""
    screen = console()
    table = Table("", "kept", *_STYLES, "not asked", box=None, padding=(0, 2, 0, 0))
    for document, results in documents.items():
        count = counts(results)
        table.add_row(document.title, *(str(count[it]) for it in ("kept", *_STYLES, "not asked")))
    screen.print(table)
    for result in (it for results in documents.values() for it in results):
        if result.outcome in _STYLES:
            question = result.question
            screen.print()
            screen.print(Text(f"{result.outcome}  {question.id}", _STYLES[result.outcome]))
            screen.print(Text(f"  {question.text}"))
            screen.print(Text(f"  sent      {_shown(question.send)}"))
            screen.print(Text(f"  expected  {_shown(question.expect)}"))
            screen.print(Text(f"  came      {_came(result, ': ')}"))


def as_json(documents: Mapping[Document, Sequence[Result]]) -> list[dict[str, Any]]:
    """Return the results as JSON; no token is in them."""
    return [
        {
            "title": document.title,
            "address": document.address,
            "counts": counts(results),
            "questions": [_question(it) for it in results],
        }
        for document, results in documents.items()
    ]


def write_junit(path: Path, documents: Mapping[Document, Sequence[Result]]) -> None:
    """Write JUnit XML: a failed MUST is a failure, the others are told in the output of a test.

    Raises:
        OSError: the file cannot be written.
    """
    suites = ET.Element("testsuites")
    for document, results in documents.items():
        count = counts(results)
        numbers = {"failures": count["MUST"], "skipped": count["not asked"], "tests": len(results)}
        told = {name: str(number) for name, number in numbers.items()}
        suite = ET.SubElement(suites, "testsuite", {"name": document.title, **told})
        for result in results:
            question = result.question
            case = ET.SubElement(suite, "testcase", classname=document.name, name=question.id)
            said = f"{question.text} {_came(result, ' ')}".rstrip()
            if result.outcome == "not asked":
                ET.SubElement(case, "skipped", message=result.came)
            elif result.outcome == "MUST":
                ET.SubElement(case, "failure", message=said)
            elif result.outcome in _STYLES:
                ET.SubElement(case, "system-out").text = f"{result.outcome}: {said}"
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _question(result: Result) -> dict[str, Any]:
    question = result.question
    return {
        "id": question.id,
        "rule": question.rule,
        "section": question.section,
        "level": question.level,
        "text": question.text,
        "sent": question.send,
        "expected": question.expect,
        "outcome": result.outcome,
        "came": result.came,
        "faults": result.faults,
    }


def _came(result: Result, between: str) -> str:
    """What came and what is wrong with it, without what a terminal or XML could not take."""
    return printable(f"{result.came}{between}{'; '.join(result.faults)}")


def _shown(members: Mapping[str, Any]) -> str:
    return printable(json.dumps(members, ensure_ascii=False))
