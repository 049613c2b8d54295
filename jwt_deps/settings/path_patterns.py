"""Path patterns with `*`, for route templates."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from jwt_deps.errors import ConfigurationError

#: What a path pattern is, for the sentences of errors.
PATTERNS = "path patterns, which are strings with * for any characters ('/docs/*')"


class PathPatterns:
    """Patterns that match the whole template of a route, case-sensitively.

    `*` stands for any number of any characters, `/` included. Every other character stands for
    itself. A single pattern is taken as a list of one.
    """

    __slots__ = ("_expression", "_results", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(_several(patterns, PATTERNS))
        for pattern in self.patterns:
            if not isinstance(pattern, str):
                raise _wrong_kind(pattern, PATTERNS)
            if not pattern.strip():  # it would be the whole template of a mount at "/"
                raise ConfigurationError(
                    "exclusion_type", f"An exclusion is empty: exclusions are {PATTERNS}."
                )
        self._expression = re.compile(
            "|".join(map(_expression, self.patterns)) if self.patterns else r"(?!)"
        )
        # As many as the application has routes: the templates are its own, never a client's.
        self._results: dict[str, bool] = {}

    def match(self, template: str) -> bool:
        """Whether one of the patterns matches a template. The result is cached."""
        result = self._results.get(template)
        if result is None:
            result = self._expression.fullmatch(template) is not None
            self._results[template] = result
        return result

    def unmatched(self, templates: Iterable[str]) -> list[str]:
        """The patterns that match none of the templates."""
        templates = list(templates)
        return [
            pattern
            for pattern in self.patterns
            if not any(map(expression_of(pattern).fullmatch, templates))
        ]


def expression_of(pattern: str) -> re.Pattern[str]:
    """The regular expression that matches what a single pattern matches."""
    return re.compile(_expression(pattern))


def split_exclusions(
    exclude: Iterable[str | Callable[..., Any]],
) -> tuple[PathPatterns, tuple[Callable[..., Any], ...]]:
    """Split the argument `exclude` of a guard into path patterns and endpoints."""
    takes = f"endpoints themselves and {PATTERNS}"
    patterns: list[str] = []
    endpoints: list[Callable[..., Any]] = []
    for item in _several(exclude, takes):
        if isinstance(item, str):
            patterns.append(item)
        elif callable(item):
            endpoints.append(item)
        else:
            raise _wrong_kind(item, takes)
    return PathPatterns(patterns), tuple(endpoints)


def _several(given: Any, takes: str) -> list[Any]:
    if isinstance(given, str) or callable(given):
        return [given]
    # Bytes are iterable, but their items are numbers.
    if isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
        raise _wrong_kind(given, takes)
    return list(given)


def _wrong_kind(given: object, takes: str) -> ConfigurationError:
    return ConfigurationError(
        "exclusion_type",
        f"An exclusion of type {type(given).__name__} cannot be used: exclusions are {takes}.",
    )


def _expression(pattern: str) -> str:
    """The regular expression of a pattern; `**` means the same as `*` and must not cost more."""
    return "(?s:.*)".join(map(re.escape, re.split(r"\*+", pattern)))
