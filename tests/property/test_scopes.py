"""No value of a path parameter matches more than its literal."""

from hypothesis import given
from hypothesis import strategies as st

from jwt_deps.tokens.scopes import Grants

from .strategies import reproducible

#: What can be confused: segments, wildcards, colons, encodings, templates.
values = st.text() | st.text(alphabet=":*{}ax%/. ") | st.sampled_from(["{id}", "%2A", "%3A", "::"])
segments = st.text(alphabet="ax*", max_size=2)
scopes = st.lists(segments, min_size=1, max_size=4).map(":".join)
NEEDED = "a:{id}:x"


def means(granted: str, needed: list[str]) -> bool:
    """The grammar, said again: segment by segment, the last `*` for one or more."""
    match granted.split(":"), needed:
        case ["*"], ["*"]:
            return True
        case ["*"], _:
            return False
        case ours, theirs:
            return _means(ours, theirs)


def _means(granted: list[str], needed: list[str]) -> bool:
    match granted, needed:
        case [], []:
            return True
        case ["*"], [_, *_]:
            return True
        case [first, *rest], [one, *others]:
            return first in ("*", one) and _means(rest, others)
    return False


@reproducible
@given(st.frozensets(scopes, max_size=4), values)
def test_a_value_is_one_segment(granted: frozenset[str], value: str) -> None:
    """Whatever is in it."""
    expected = any(means(one, ["a", value, "x"]) for one in granted)

    assert expected == Grants(granted).has(NEEDED, {"id": value})


@reproducible
@given(values, values)
def test_a_literal_grant_is_for_its_own_value(granted: str, value: str) -> None:
    """A grant without a wildcard opens to one value alone."""
    if "*" not in granted.split(":") and Grants(frozenset({f"a:{granted}:x"})).has(
        NEEDED, {"id": value}
    ):
        assert granted == value


@reproducible
@given(st.frozensets(scopes, max_size=4), scopes)
def test_a_needed_scope_without_parameters(granted: frozenset[str], needed: str) -> None:
    """Is compared in the same way."""
    expected = any(means(one, needed.split(":")) for one in granted)

    assert expected == Grants(granted).has(needed, {})


@reproducible
@given(st.frozensets(scopes, max_size=4), values)
def test_ids_are_those_that_pass(granted: frozenset[str], value: str) -> None:
    """A filtered list shows what the route of each item lets see."""
    grants = Grants(granted)

    assert grants.has(NEEDED, {"id": value}) == (value in grants.ids("a", "x"))
