"""Which route templates do these patterns mean? Decided once per template, never per request."""

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Any

__all__ = ["PathPatterns", "split_exclusions"]


class PathPatterns:
    """Path patterns with `*` as in `fnmatch`, matched case-sensitively against whole templates."""

    __slots__ = ("_alternatives", "_remembered", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._alternatives = re.compile("|".join(map(translate, self.patterns)) or r"(?!)")
        # Bounded by the application: templates are written by it, never sent by a client.
        self._remembered: dict[str, bool] = {}

    def match(self, template: str) -> bool:
        """Whether a template is meant by one of the patterns."""
        known = self._remembered.get(template)
        if known is None:
            known = self._alternatives.match(template) is not None
            self._remembered[template] = known
        return known

    def unmatched(self, templates: Iterable[str]) -> list[str]:
        """The patterns that mean none of the templates."""
        templates = list(templates)
        return [
            pattern
            for pattern in self.patterns
            if not any(re.match(translate(pattern), template) for template in templates)
        ]


def split_exclusions(exclude: object) -> tuple[PathPatterns, tuple[Any, ...]]:
    one = isinstance(exclude, str) or callable(exclude)
    excluded = [exclude] if one else list(exclude)
    return (
        PathPatterns(item for item in excluded if isinstance(item, str)),
        tuple(item for item in excluded if not isinstance(item, str)),
    )
