"""Write the report of a run between two marks of its file, and the picture of the site."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import Findings
from benchmarks.plot import alternative, svg
from benchmarks.targets import table

__all__ = ["BEGIN", "END", "PAGE", "PICTURE", "between", "markdown", "write"]

BEGIN = "<!-- written by `python -m benchmarks`: begin -->"
END = "<!-- written by `python -m benchmarks`: end -->"
PAGE, PICTURE = "benchmarks/report.md", "docs/assets/speed.svg"


def markdown(findings: Mapping[str, Findings], missing: Mapping[str, str]) -> str:
    """The whole report.

    Args:
        findings: what the groups found, by the group's name.
        missing: what could not be installed, and why.
    """
    figures = {name: value for it in findings.values() for name, value in it.figures.items()}
    lines, measured, met = table(figures)
    parts = []
    if "requests" in findings:
        parts += ["## At a glance", "", f"![{alternative(figures)}](../{PICTURE})", ""]
    for found in findings.values():
        parts += [f"## {found.title}", "", found.markdown, ""]
    parts += ["## Targets", "", f"{met} of {measured} that were measured are met.", "", *lines, ""]
    if missing:
        parts += ["Could not be installed, and did not take part:", ""]
        parts += [f"- `{name}`: {reason}" for name, reason in missing.items()]
    return "\n".join(parts).rstrip() + "\n"


def between(old: str, begin: str, end: str, text: str, page: Path) -> str:
    """Replace what a page has between two marks.

    Args:
        old: the page's text.
        begin: the first mark.
        end: the second.
        text: what to put between them.
        page: where the text is from, for the error.

    Raises:
        ValueError: the marks are not in it.
    """
    before, first, rest = old.partition(begin)
    _, second, after = rest.partition(end)
    if not (first and second):
        raise ValueError(f"{page} has no line {begin!r}, and after it {end!r}: add both.")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def write(text: str, findings: Mapping[str, Findings], folder: Path) -> None:
    """Put the report between the marks of its file, and the picture into the site.

    Raises:
        ValueError: there is a page, and the marks are not in it.
    """
    page, picture = folder / PAGE, folder / PICTURE
    old = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}{END}"
    new = between(old, BEGIN, END, text, page)
    for file in (page, picture):
        file.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(new, encoding="utf-8")
    figures = {name: value for it in findings.values() for name, value in it.figures.items()}
    if "requests" in findings:
        picture.write_text(svg(figures), encoding="utf-8")
