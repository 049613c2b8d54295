"""Audits as JSON, for a later comparison, and as Markdown."""

import json
from typing import Any

from .report import Audit, AuditedRoute
from .verdicts import Verdict

_VERSION = 1
_ESCAPED = {ord(character): f"\\{character}" for character in "\\`*_|<>[]"}


def as_json(audit: Audit) -> str:
    """Format an audit as a JSON document, which `from_json` reads.

    Args:
        audit: the audit.

    Returns:
        The document, indented, with a final line break.
    """
    document = {
        "version": _VERSION,
        "ok": audit.ok,
        "problems": list(audit.problems),
        **({"notes": list(audit.notes)} if audit.notes else {}),
        "routes": [_members(route) for route in audit.routes],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _members(route: AuditedRoute) -> dict[str, Any]:
    members = {
        "path": route.path,
        "methods": list(route.methods),
        "endpoint": route.endpoint,
        "verdict": route.verdict.value,
        "why": route.why,
        "settings": route.settings,
        "scopes": list(route.scopes),
        "requires": list(route.requires),
    }
    return members if route.answer is None else {**members, "answer": route.answer}


def from_json(text: str) -> Audit:
    """Read an audit from the JSON document of `as_json`.

    Args:
        text: the document.

    Returns:
        The audit.

    Raises:
        ValueError: the text is not a document of this version's `as_json`.
    """
    document = json.loads(text)
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError("it is not an audit of this version of jwt-deps")
    try:
        routes = tuple(map(_route, document["routes"]))
        problems = tuple(map(str, document["problems"]))
        notes = tuple(map(str, document.get("notes", ())))
    except (KeyError, TypeError) as error:
        raise ValueError("it is not an audit: a member is missing or has the wrong type") from error
    return Audit(routes, problems, notes)


def _route(members: dict[str, Any]) -> AuditedRoute:
    return AuditedRoute(
        path=str(members["path"]),
        methods=tuple(map(str, members["methods"])),
        endpoint=str(members["endpoint"]),
        verdict=Verdict(members["verdict"]),
        why=str(members["why"]),
        settings=str(members["settings"]),
        scopes=tuple(map(str, members["scopes"])),
        requires=tuple(map(str, members.get("requires", ()))),
        answer=members.get("answer"),
    )


def as_markdown(audit: Audit) -> str:
    """Format an audit as Markdown, for example for the comment of a pull request.

    Args:
        audit: the audit.

    Returns:
        The numbers of routes, a table of them, the problems and the notes.
    """
    count = dict.fromkeys(Verdict, 0)
    for route in audit.routes:
        count[route.verdict] += 1
    summary = ", ".join(f"{number} {verdict}" for verdict, number in count.items())
    rows = [
        "| Route | Verdict | Why | Scopes | Settings |",
        "|---|---|---|---|---|",
        *(_row(route) for route in audit.routes),
    ]
    problems = [
        *(f"- {_text(problem)}" for problem in audit.problems),
        *(f"- Note: {_text(note)}" for note in audit.notes),
    ]
    parts = [f"**{summary}**", "\n".join(rows), "\n".join(problems)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(route: AuditedRoute) -> str:
    unguarded = route.verdict is Verdict.UNGUARDED
    why = route.why if route.answer is None else f"{route.why}; answered {route.answer}"
    cells = (
        _text(f"{' '.join(route.methods)} {route.path}"),
        f"**{route.verdict}**" if unguarded else str(route.verdict),
        *map(_text, (why, " ".join((*route.scopes, *route.requires)), route.settings)),
    )
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Escape Markdown, and put the text on one line for its table cell."""
    return " ".join(text.translate(_ESCAPED).split())
