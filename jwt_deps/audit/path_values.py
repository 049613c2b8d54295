"""Values for path parameters, so that the path of a request fits the template of a route.

A parameter takes what its convertor in the template takes (`{id:int}`), and what its type in the
endpoint takes: enumerations, UUIDs, numbers with bounds, texts with a pattern.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from pydantic import TypeAdapter
from starlette.convertors import CONVERTOR_TYPES

_PARAMETER = re.compile(r"{([^{}:]+)(?::(\w+))?}")
_USUAL = ("1", "x", "1.5", "00000000-0000-4000-8000-000000000000", "2000-01-01", "true")
_FORMATS = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "x@example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "ipv4network": "127.0.0.1",
    "uri": "http:x",
}
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    sre.CATEGORY_DIGIT: str.isdigit,
    sre.CATEGORY_WORD: lambda character: character.isalnum() or character == "_",
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_DIGIT: lambda character: not character.isdigit(),
    sre.CATEGORY_NOT_WORD: lambda character: not character.isalnum() and character != "_",
    sre.CATEGORY_NOT_SPACE: lambda character: not character.isspace(),
}


def filled(template: str, types: Mapping[str, Any], given: Mapping[str, str]) -> str:
    """Return a path that fits a template.

    Args:
        template: the route's template, with mounts and prefixes.
        types: the types of the parameters by name, where known.
        given: values for parameters by name, used as they are.
    """

    def value(found: re.Match[str]) -> str:
        name, kind = found[1], found[2] or "str"
        if name in given:
            return given[name]
        convertor = CONVERTOR_TYPES.get(kind, CONVERTOR_TYPES["str"])
        adapter = _adapter(types[name]) if name in types else None
        tried = (*_of_type(adapter), *_USUAL, *_of_pattern(convertor.regex))
        fitting = (text for text in tried if _fits(text, convertor, adapter))
        return next(fitting, "x")

    return _PARAMETER.sub(value, template)


def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    with suppress(Exception):  # an application's type can raise any exception
        return TypeAdapter(kind)
    return None


def _fits(text: str, convertor: Any, adapter: TypeAdapter[Any] | None) -> bool:
    if re.fullmatch(convertor.regex, text) is None:
        return False
    with suppress(Exception):
        converted = convertor.convert(text)
        if adapter is not None:
            adapter.validate_python(converted)
        return True
    return False


def _of_type(adapter: TypeAdapter[Any] | None) -> list[str]:
    with suppress(Exception):
        schema = {} if adapter is None else adapter.json_schema()
        return list(_of_schema(schema, schema.get("$defs", {}))) if schema else []
    return []


def _of_schema(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """Yield candidates for a value of a JSON schema, the likely ones first."""
    reference = schema.get("$ref")
    if reference is not None:
        yield from _of_schema(definitions.get(reference.rpartition("/")[2], {}), definitions)
    for value in (*schema.get("examples", ()), *schema.get("enum", ())):
        yield str(value)
    if "const" in schema:
        yield str(schema["const"])
    for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _of_schema(one, definitions)
    if "format" in schema:
        yield _FORMATS.get(schema["format"], "x")
    if "pattern" in schema:
        yield from _of_pattern(schema["pattern"])
    yield from _numbers(schema)
    yield "x" * schema.get("minLength", 1)


def _numbers(schema: Mapping[str, Any]) -> Iterator[str]:
    kind = schema.get("type")
    if kind not in {"integer", "number"}:
        return
    names = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
    bounds = [schema[name] for name in names if name in schema]
    step = schema.get("multipleOf", 1)
    numbers = [1, *(it for bound in bounds for it in (bound, bound + step, bound - step))]
    if kind == "number":
        numbers += [bound + 1e-6 for bound in bounds]
        numbers += [sum(bounds) / len(bounds)] if bounds else []
    yield from map(str, numbers)


def _of_pattern(pattern: str) -> Iterator[str]:
    """Yield a text that a regular expression matches; nothing where none is found."""
    with suppress(re.error, OverflowError, LookupError):
        yield "".join(_texts(_parser.parse(pattern)))


def _texts(parsed: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    for kind, value in parsed:
        if kind is sre.LITERAL:
            yield chr(value)
        elif kind is sre.NOT_LITERAL:
            yield "x" if value != ord("x") else "y"
        elif kind is sre.ANY:
            yield "x"
        elif kind is sre.IN:
            yield _one_of(value)
        elif kind is sre.BRANCH:
            yield from _texts(value[1][0])
        elif kind is sre.SUBPATTERN:
            yield from _texts(value[-1])
        elif kind in {sre.MAX_REPEAT, sre.MIN_REPEAT}:
            least, most, repeated = value
            yield "".join(_texts(repeated)) * max(least, min(1, most))
        # `^`, `$` and others without a width add nothing.


def _one_of(members: list[tuple[Any, Any]]) -> str:
    """Return a character of a set such as `[a-z]` or `[^/]`."""
    usual = (*"x1a-", *map(chr, range(ord(" "), ord("~") + 1)))
    return next((one for one in usual if _is_in(one, members)), "x")


def _is_in(character: str, members: list[tuple[Any, Any]]) -> bool:
    negated = members[0][0] is sre.NEGATE
    found = any(_is_member(character, *member) for member in members[negated:])
    return found is not negated


def _is_member(character: str, kind: Any, value: Any) -> bool:
    if kind is sre.LITERAL:
        return bool(ord(character) == value)
    if kind is sre.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    return _CATEGORIES[value](character)
