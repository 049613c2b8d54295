"""Compare two audits: routes added, removed, or guarded in another way."""

from collections import Counter
from collections.abc import Iterator

from .report import Audit, AuditedRoute

_COMPARED = ("verdict", "why", "settings", "scopes", "requires")


def compare(before: Audit, after: Audit) -> list[str]:
    """List the differences between two audits.

        changes = compare(from_json(path.read_text()), audit(app))

    The order of the routes, the names of their endpoints and their answers are not compared.

    Args:
        before: the earlier audit.
        after: the later audit.

    Returns:
        One line for each difference: `+` added, `-` removed, `~` changed. Empty without changes.
    """
    return [*_routes(before, after), *_problems(before, after)]


def _routes(before: Audit, after: Audit) -> Iterator[str]:
    former, current = _named(before), _named(after)
    for name, route in current.items():
        if name not in former:
            yield f"+ {_shown(route)}: {route.verdict}, {route.why}"
        else:
            changes = ", ".join(_changes(former[name], route))
            if changes:
                yield f"~ {_shown(route)}: {changes}"
    for name, route in former.items():
        if name not in current:
            yield f"- {_shown(route)}: was {route.verdict}"


def _problems(before: Audit, after: Audit) -> Iterator[str]:
    yield from (f"+ {problem}" for problem in after.problems if problem not in before.problems)
    yield from (f"- {problem}" for problem in before.problems if problem not in after.problems)


def _named(audit: Audit) -> dict[tuple[str, tuple[str, ...], int], AuditedRoute]:
    """Return the routes by path, methods and, where several share these, a number."""
    seen: Counter[tuple[str, tuple[str, ...]]] = Counter()
    named = {}
    for route in audit.routes:
        name = (route.path, route.methods)
        named[*name, seen[name]] = route
        seen[name] += 1
    return named


def _changes(before: AuditedRoute, after: AuditedRoute) -> Iterator[str]:
    for member in _COMPARED:
        old, new = getattr(before, member), getattr(after, member)
        if old != new:
            yield f"{member} was {_text(old)}, is {_text(new)}"


def _text(value: str | tuple[str, ...]) -> str:
    text = " ".join(value) if isinstance(value, tuple) else str(value)
    return text or "none"


def _shown(route: AuditedRoute) -> str:
    return f"{' '.join(route.methods)} {route.path}"
