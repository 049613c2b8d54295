"""Ask four servers what `jwt-deps conformance` asks, and write the page that compares them.

python -m tests.conformance.side_by_side
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.conformance.catalog import ROOT
from tests.conformance.servers import SERVERS, asked

__all__ = ["compared"]

PAGE = ROOT / "docs" / "conformance-suite.md"
RULES = Path(__file__).with_suffix(".md")
NAMES = ("jwt-deps", "agno", "authx", "fastapi-jwt")
_LEVELS = ("MUST", "SHOULD", "DIFFERS")
_RESULT = re.compile(r"(?<=<!-- compared -->\n).*(?=<!-- /compared -->)", re.DOTALL)


def compared(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """The results of several servers in Markdown, side by side."""
    titles = [SERVERS[name].title for name in found]
    lines = ["", _row("Asked, and faults by level", titles), _row("---", ["---"] * len(titles))]
    documents_side_by_side = list(zip(*found.values(), strict=True))
    lines += [_row(it[0]["title"], map(_counted, it)) for it in documents_side_by_side]
    lines += ["", _row("Kept, of those that were asked", ["Level", "It asks", *titles])]
    lines.append(_row("---", ["---"] * (len(titles) + 2)))
    for documents in documents_side_by_side:
        questions = zip(*(it["questions"] for it in documents), strict=True)
        for rule, several in groupby(questions, key=lambda it: it[0]["rule"]):
            by_server = list(zip(*several, strict=True))
            if any(it["outcome"] in _LEVELS for questions in by_server for it in questions):
                first = by_server[0][0]
                cells = (first["level"], first["text"], *map(_kept, by_server))
                lines.append(_row(f"`{rule}`", cells))
    return "\n".join([*lines, "", ""])


def _counted(document: Mapping[str, Any]) -> str:
    """How many were asked, and how many faults there are at each level."""
    count = document["counts"]
    asked_ = sum(count.values()) - count.get("not asked", 0)
    faults = [f"{count[level]} {level}" for level in _LEVELS if level in count]
    return ", ".join([str(asked_), *faults]) if asked_ else "-"


def _kept(questions: Sequence[Mapping[str, Any]]) -> str:
    """How many of a rule's questions were kept, and what came instead."""
    outcomes = [it["outcome"] for it in questions if it["outcome"] != "not asked"]
    wrong = sorted({it["came"].split(" ")[0] for it in questions if it["outcome"] in _LEVELS})
    kept = f"{outcomes.count('kept')} of {len(outcomes)}"
    return "-" if not outcomes else f"{kept} ({', '.join(wrong)})" if wrong else kept


def _row(first: str, others: Iterable[str]) -> str:
    return f"| {' | '.join([first, *others])} |"


def main() -> None:
    """Ask all of them; write their counts into the page, and their rules beside this module."""
    with TemporaryDirectory() as directory:
        found = {name: asked(name, Path(directory)) for name in NAMES}
    counts, _, rules = compared(found).partition("\n\n")
    PAGE.write_text(_RESULT.sub(lambda _: f"{counts}\n\n", PAGE.read_text()))
    RULES.write_text(f"# Four servers, rule by rule\n\n{rules.rstrip()}\n")


if __name__ == "__main__":
    main()
