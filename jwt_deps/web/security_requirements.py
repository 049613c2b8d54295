"""The security requirements of OpenAPI (3.1 §4.8.30): what a document says of one operation.

A list of alternatives, each the names of schemes with scopes; `{}` is the one that needs nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from .security_schemes import NATIVE

__all__ = ["Requirement", "optional", "references", "required", "without", "without_native"]

Requirement = dict[str, list[str]]


def without(found: Iterable[Requirement], own: Collection[str]) -> list[Requirement]:
    """Requirements without the schemes of this package."""
    pairs = [(one, {name: one[name] for name in one if name not in own}) for one in found]
    return [rest for one, rest in pairs if rest or not one]


def _joined(
    found: Iterable[Requirement], own: Collection[str], wanted: Iterable[Requirement]
) -> Iterator[Requirement]:
    """Other people's requirements, and those that name theirs and a token together."""
    for one in found:
        rest = {name: one[name] for name in one if name not in own}
        if len(rest) == len(one):
            yield one
        elif rest:
            yield from ({**rest, **token} for token in wanted)


def required(
    found: Iterable[Requirement], own: set[str], wanted: list[Requirement]
) -> list[Requirement]:
    """The requirements of an operation that needs a token."""
    kept = [one for one in _joined(found, own, wanted) if one]  # `{}`: nothing is needed
    together = any(not own.isdisjoint(one) for one in kept)
    return _once(kept if together else [*kept, *wanted])


def optional(
    found: Iterable[Requirement],
    own: set[str],
    wanted: list[Requirement],
    inherited: list[Requirement],
) -> list[Requirement]:
    """The requirements of an operation that takes a token and needs none."""
    others = without(found, own)
    others = (others if any(others) else inherited) or [{}]
    together = [one for one in _joined(found, own, wanted) if not own.isdisjoint(one)]
    return _once([*others, *(together or wanted)])


def _once(requirements: Iterable[Requirement]) -> list[Requirement]:
    different: list[Requirement] = []
    for one in requirements:
        if one not in different:
            different.append(one)
    return different


def without_native(
    found: Iterable[Requirement], scopes: Collection[str] | None
) -> list[Requirement]:
    """Requirements without what FastAPI wrote of this package under another library's name.

    Args:
        found: the requirements.
        scopes: those asked of the other library's scheme; `None` if the operation does not use it.
    """
    kept: list[Requirement] = []
    theirs: Requirement = {NATIVE: []}
    for one in found:
        if one.keys() != {NATIVE}:
            kept.append(one)
        elif scopes is not None:
            # Up to FastAPI 0.122 each dependency is written as a requirement of its own.
            if not any(theirs is known for known in kept):  # not on old FastAPI
                kept.append(theirs)
            asked = [scope for scope in one[NATIVE] if scope in scopes]
            theirs[NATIVE] += [scope for scope in asked if scope not in theirs[NATIVE]]
    return kept


def references(schema: Mapping[str, Any]) -> set[str]:
    """The names of all security schemes that a document refers to."""
    components = schema.get("components", {})
    items = [
        item
        for items in (schema.get("paths"), schema.get("webhooks"), components.get("pathItems"))
        for item in (items or {}).values()
    ]
    items += [item for one in components.get("callbacks", {}).values() for item in one.values()]
    named = {name for one in schema.get("security", ()) for name in one}
    while items:
        for operation in items.pop().values():
            if isinstance(operation, dict):
                named.update(name for one in operation.get("security", ()) for name in one)
                called = operation.get("callbacks", {}).values()
                items += [item for one in called for item in one.values()]
    return named
