"""Names of claims: one name, a dotted path, quotes around a member with dots."""

from typing import Any

import pytest

from jwt_deps.jose import check_claim_path, put_at, value_at

CLIENT = {"resource_access": {"com.example.api": {"roles": ["editor"]}}}

FOUND: list[Any] = [
    pytest.param("sub", {"sub": "a"}, "a", id="name"),
    pytest.param("a.b", {"a": {"b": 1}}, 1, id="path"),
    pytest.param("a.b", {"a.b": 2, "a": {"b": 1}}, 2, id="the-name-comes-first"),
    pytest.param("https://x.example/user", {"https://x.example/user": 1}, 1, id="url"),
    pytest.param('resource_access."com.example.api".roles', CLIENT, ["editor"], id="quoted-member"),
    pytest.param(
        '"https://x.example"."y.z"', {"https://x.example": {"y.z": 1}}, 1, id="all-quoted"
    ),
    pytest.param('"a.b"', {"a.b": 1}, 1, id="quoted-name"),
    pytest.param('"a.b"', {"a": {"b": 1}}, None, id="a-quoted-name-is-no-path"),
    pytest.param('a."b,c"', {"a": {"b,c": 1}}, 1, id="a-comma-in-quotes"),
    pytest.param("resource_access.com.example.api.roles", CLIENT, None, id="unquoted"),
    pytest.param("a.b", {"a": ["b"]}, None, id="no-object-on-the-way"),
    pytest.param("a", {}, None, id="absent"),
]


@pytest.mark.parametrize(("path", "claims", "value"), FOUND)
def test_a_claim_is_found(path: str, claims: dict[str, Any], value: Any) -> None:
    """By its own name first, then along the path."""
    assert value == value_at(claims, check_claim_path(path))


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("sub", {"sub": 1}),
        ("a.b", {"a": {"b": 1}}),
        ('a."b.c".d', {"a": {"b.c": {"d": 1}}}),
        ('"a.b"', {"a.b": 1}),
        ("https://x.example/user", {"https://x.example/user": 1}),
        ('"https://x/y"."z.z"', {"https://x/y": {"z.z": 1}}),
    ],
)
def test_what_is_written_is_read(path: str, written: dict[str, Any]) -> None:
    """The one minter of the package puts a claim where requests read it."""
    claims: dict[str, Any] = {"a": {"kept": 1}}

    put_at(claims, path, 1)

    assert 1 == value_at(claims, path)
    assert {**written, "a": {**written.get("a", {}), "kept": 1}} == claims


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        (" sid", "white space"),
        ("sid\n", "white space"),
        ("sub,oid", "takes the name of one claim"),
        ('a."b', "quotes"),
        ('a.b"', "quotes"),
        ('a""b', "quotes"),
        ('a."".b', "quotes"),
        ('"a"b', "quotes"),
        ('"a".', "quotes"),
        ('"a".b,c', "quotes"),
        ("a..b", "a dot without a name"),
        (".a", "a dot without a name"),
        ("a.", "a dot without a name"),
    ],
)
def test_what_names_no_claim_is_refused(path: str, problem: str) -> None:
    """A comma separates claims, a dot two names, and quotes enclose one member of a path."""
    with pytest.raises(ValueError, match=problem):
        check_claim_path(path)


def test_a_name_that_is_a_uri() -> None:
    """It may have any dots."""
    name = "https://api.example.com/users/..me."

    assert 1 == value_at({name: 1}, check_claim_path(name))
