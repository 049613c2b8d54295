"""Values for path parameters fit the convertors of a template and the types of an endpoint."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, Field, TypeAdapter
from starlette.convertors import CONVERTOR_TYPES, StringConvertor

from jwt_deps.audit.path_values import filled


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 9


class Custom:
    """A type that pydantic knows nothing of."""


def pattern(expression: str) -> Any:
    return pytest.param(Annotated[str, Field(pattern=expression)], id=expression)


@pytest.mark.parametrize(
    "kind",
    [
        *(str, int, float, bool, UUID, date, datetime, time, timedelta),
        *(IPv4Address, IPv6Address, Colour, Level, Literal["only"], int | None, Colour | None),
        Annotated[int, Field(ge=100)],
        Annotated[int, Field(gt=100, lt=102)],
        Annotated[int, Field(le=-5)],
        Annotated[int, Field(multiple_of=7)],
        Annotated[float, Field(gt=0, lt=0.5)],
        Annotated[float, Field(ge=2)],
        Annotated[str, Field(min_length=5)],
        Annotated[str, Field(examples=["first"])],
        pattern("^[A-Z]{2}-\\d+$"),
        pattern("^(a|b)?c[^a-z/]{3}\\w\\s?$"),
        pattern("^.[^x]x?\\D$"),
        pattern("^\\S\\W$"),
        pattern("^[\\da][\\wx]+?$"),
        pattern("[^\\W]"),
        pattern("[^x]"),
    ],
    ids=str,
)
def test_a_type(kind: Any) -> None:
    """The value is one that FastAPI would take from the path."""
    value = filled("{a}", {"a": kind}, {})

    assert "/" not in value
    assert value
    TypeAdapter(kind).validate_python(value)


def test_the_template() -> None:
    """Every parameter is filled, those that nothing is known of too."""
    path = "/a/{a}/{b:int}/{c:path}/{d:uuid}/{e:float}/x"

    assert "/a/1/1/1/00000000-0000-4000-8000-000000000000/1/x" == filled(path, {}, {})


def test_a_given_value_comes_first() -> None:
    assert "/acme/1" == filled("/{tenant}/{a}", {"tenant": int}, {"tenant": "acme"})


@pytest.mark.parametrize(
    "kind",
    [
        Custom,
        Callable[..., Any],
        Annotated[str, AfterValidator(lambda _: 1 / 0)],
        Annotated[str, Field(pattern="^(?=y)y{9}$"), AfterValidator(int)],
        Annotated[Any, Field(json_schema_extra={"format": "other"}), AfterValidator(int)],
    ],
    ids=["unknown", "without-a-schema", "failing", "impossible", "other-format"],
)
def test_a_type_that_nothing_fits(kind: Any) -> None:
    """Some value is asked with; the answer tells whether it led to the route."""
    assert filled("{a}", {"a": kind}, {}) in {"x", "1"}


class YearConvertor(StringConvertor):
    regex = "[0-9]{4}"


class OrConvertor(StringConvertor):
    regex = "(?:west|north)[0-9]"


class OddConvertor(StringConvertor):
    regex = "(?P<odd>a|b)(?P=odd)"


def test_convertors_of_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their expressions are read; what cannot be found is asked with something."""
    monkeypatch.setitem(CONVERTOR_TYPES, "year", YearConvertor())
    monkeypatch.setitem(CONVERTOR_TYPES, "odd", OddConvertor())
    monkeypatch.setitem(CONVERTOR_TYPES, "or", OrConvertor())

    path = filled("/{a:year}/{b:odd}/{c:or}/{d:unheard_of}", {}, {})

    assert "/1111/x/west1/1" == path
