"""Write the conformance report as JSON and as a page.

Both are the same after each run on any machine. The one measurement, the mutation score, is what
`python -m tests.mutation` kept.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.conformance.catalog import ROOT, Document, Rule, documents
from tests.conformance.figures import figures

__all__ = ["PAGE", "REPORT", "SECURITY", "as_json", "as_page", "as_promises", "report"]

SECURITY = ROOT / "SECURITY.md"
REPORT = ROOT / "conformance-report.json"
PAGE = ROOT / "docs" / "conformance.md"
MUTATION = ROOT / "tests" / "mutation"

_PROMISES = re.compile(r"^\| Promise \|.*\n(?:\|.*\n)+", re.MULTILINE)
_INTRODUCTION = """# Conformance

How many of each document's rules for a resource server are shown by tests, and where this package
differs. Each rule is in the document's file in `tests/conformance/rules/`, with its section and the
tests that show it, and in `conformance-report.json`; a complete run checks that each of these tests
exists and passes. *Planned* rules wait for their tests.
"""
_MUTATION = """## Mutation score

A mutant is the code with one operator, operand, constant or statement changed. `python -m
tests.mutation <folder>` runs its tests on each, or on a sample; the score is the part
that they noticed within the seconds that the command gives, one minute or more, so it is a lower
bound. Most of what a run does not notice gets a test afterwards, or a reason in the table of
changes that make no difference.

"""
_NO_DIFFERENCE = """### Changes that make no difference

No test can notice them; the mutants are named by file, function, kind and number.

"""
_DIFFERENCE = ("Rule", "It asks", "Here")
_SURVIVOR = ("Folder", "Mutant", "Change", "Why it makes no difference")
_SCORE = ("Folder", "Score", "Noticed", "Not noticed", "No difference", "Mutants in all")


def report() -> dict[str, Any]:
    """All rules with their status, the figures of the vectors, and the promised bounds."""
    return {
        "documents": [_document(document) for document in documents()],
        "figures": figures(),
        "mutation": json.loads((MUTATION / "scores.json").read_text()),
        "survivors": tomllib.loads((MUTATION / "survivors.toml").read_text()),
    }


def as_json(found: dict[str, Any]) -> str:
    """The report as it is committed."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def as_page(found: dict[str, Any]) -> str:
    """The report as the documentation has it."""
    parts = [_INTRODUCTION, _summary(found["documents"])]
    parts.append("## Where it differs\n\n" + _table(_DIFFERENCE, _differences(found["documents"])))
    parts.append("## Test vectors\n\n" + _table(("Vectors", "Agree"), _figures(found)))
    parts.append(_MUTATION + _table(_SCORE, _scores(found["mutation"])))
    parts.append(_NO_DIFFERENCE + _table(_SURVIVOR, _survivors(found["survivors"])))
    return "\n".join(parts).rstrip("\n") + "\n"


def as_promises(text: str) -> str:
    """`SECURITY.md` with each promise and the tests that show it."""
    promises = next(it for it in documents() if it.name == "security").rules
    rows: list[tuple[str, ...]] = [
        (rule.text.removesuffix("."), _links(rule.tests)) for rule in promises
    ]
    return _PROMISES.sub(lambda _: _table(("Promise", "Tests"), rows), text)


def _links(tests: Iterable[str]) -> str:
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    return ", ".join(f"[`{Path(file).name}`]({file})" for file in files)


def _document(document: Document) -> dict[str, Any]:
    rules = [_rule(rule) for rule in document.rules]
    return {"title": document.title, "address": document.address, "rules": rules}


def _rule(rule: Rule) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": rule.id,
        "section": rule.section,
        "text": rule.text,
        "status": rule.status,
    }
    if rule.status == "planned":
        told["planned"] = rule.planned
        if rule.unknown:
            told["unknown_tests"] = list(rule.unknown)
    if rule.tests:
        told["tests"] = list(rule.tests)
    if rule.reason:
        told["reason"] = rule.reason
    return told


def _summary(found: list[dict[str, Any]]) -> str:
    kinds = ("shown", "planned", "not shown")
    rows = []
    for document in found:
        states = [rule["status"] for rule in document["rules"]]
        rows.append((document["title"], *(str(states.count(kind)) for kind in kinds)))
    return _table(("Document", "Shown", "Planned", "Not shown"), rows)


def _scores(found: dict[str, Any]) -> list[tuple[str, ...]]:
    def row(room: str, it: dict[str, Any]) -> tuple[str, ...]:
        noticed, survived = it["noticed"], it["survived"]
        score = f"{100 * noticed / (noticed + survived):.1f} %"
        counts = (noticed, survived, it["equivalent"], it["mutants"])
        return (room, score, *map(str, counts))

    return [row(room, it) for room, it in found.items()]


def _survivors(found: dict[str, dict[str, str]]) -> list[tuple[str, ...]]:
    def row(room: str, mutant: str, text: str) -> tuple[str, ...]:
        before, _, rest = text.partition(" -> ")
        after, _, reason = rest.partition(": ")
        change = f"`{before}` → `{after}`".replace("|", r"\|")
        return (room, f"`{mutant}`", change, reason[:1].upper() + reason[1:])

    return [row(room, *it) for room, several in found.items() for it in several.items()]


def _figures(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{figure['agree']} of {figure['vectors']}")
        for name, figure in found["figures"].items()
    ]


def _differences(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The rules that need a word, shown by tests or not."""
    rules = (rule for document in found for rule in document["rules"])
    return [(f"`{it['id']}`", it["text"], it["reason"]) for it in rules if "reason" in it]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
