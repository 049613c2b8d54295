"""Granted scopes against needed ones: segments, wildcards, path parameters."""

from typing import Any

import pytest

from jwt_deps.errors import ConfigurationError
from jwt_deps.tokens.scopes import All, Grants, filled_scopes

RUN = "agents:{agent_id}:run"


def has(granted: str, needed: str, value: Any = None, admin: str | None = None) -> bool:
    values = {} if value is None else {"agent_id": value}
    return Grants(frozenset(granted.split()), admin).has(needed, values)


@pytest.mark.parametrize(
    ("granted", "needed", "value"),
    [
        pytest.param("read", "read", None, id="the-same"),
        pytest.param("agents:x:run", RUN, "x", id="parameter"),
        pytest.param("agents:7:run", RUN, 7, id="number"),
        pytest.param("agents:*:run", RUN, "x", id="wildcard-inside"),
        pytest.param("agents:*", RUN, "x", id="wildcard-at-the-end"),
        pytest.param("agents:*", "agents:read", None, id="wildcard-for-one-segment"),
        pytest.param("*:*:run", RUN, "x", id="two-wildcards"),
        pytest.param("agents:x:*", RUN, "x", id="wildcard-for-the-action"),
        pytest.param("agents:*:run", RUN, "x:y", id="wildcard-for-an-id-with-a-colon"),
        pytest.param("agents:*:run", RUN, "*", id="wildcard-for-a-star"),
        pytest.param("agents:*:run", RUN, "", id="wildcard-for-nothing"),
        pytest.param("agents:*:run", "agents:*:run", None, id="the-wildcard-itself"),
        pytest.param("agents::run", RUN, "", id="empty-and-literally-so"),
    ],
)
def test_satisfied(granted: str, needed: str, value: Any) -> None:
    """By the scope itself, or by one that is wider in a segment."""
    assert has(granted, needed, value)


@pytest.mark.parametrize(
    ("granted", "needed", "value"),
    [
        pytest.param("agents:y:run", RUN, "x", id="another-id"),
        pytest.param("agents:x:read", RUN, "x", id="another-action"),
        pytest.param("agents:x:run", RUN, "*", id="a-star-in-the-path"),
        pytest.param("agents:x:run", "agents:{agent_id}", "x:run", id="a-colon-in-the-path"),
        pytest.param("agents:x:run", RUN, "x:run", id="a-colon-that-repeats"),
        pytest.param("agents:a:b:run", RUN, "a:b", id="a-colon-is-one-segment"),
        pytest.param("agents:x:run", RUN, "", id="nothing-in-the-path"),
        pytest.param("agents:run", RUN, "", id="nothing-and-a-segment-less"),
        pytest.param("agents:x:run", RUN, "X", id="case"),
        pytest.param("agents:x:run", RUN, "x ", id="space"),
        pytest.param("agents:x:run", RUN, "%78", id="encoded-twice"),
        pytest.param("agents:{agent_id}:run", RUN, "x", id="the-template-itself"),
        pytest.param("*", RUN, "x", id="a-star-alone"),
        pytest.param("*", "read", None, id="a-star-alone-for-one-segment"),
        pytest.param("agents*:x:run", RUN, "x", id="a-star-inside-a-segment"),
        pytest.param("agents:*", "agents", None, id="nothing-behind-the-wildcard"),
        pytest.param("agents:*:run", "agents:x:y:run", None, id="one-segment-not-two"),
        pytest.param("agents:*:run", "agents:x:run:now", None, id="more-behind"),
        pytest.param("agents:*:*:run", RUN, "x", id="more-segments"),
        pytest.param("agents:x:run", "agents:*:run", None, id="a-needed-wildcard"),
    ],
)
def test_not_satisfied(granted: str, needed: str, value: Any) -> None:
    """A value matches its literal, and nothing in it is a wildcard or a colon."""
    assert not has(granted, needed, value)


def test_admin_scope() -> None:
    """It satisfies everything, and is compared as it stands."""
    assert has("root", RUN, "x", admin="root")
    assert has("root", "read", admin="root")
    assert not has("roo", RUN, "x", admin="root")
    assert not has("a:*", "read", admin="a:root")


def test_a_parameter_that_the_route_does_not_have() -> None:
    """Nothing is known of it: an error, also for those who may do everything."""
    for granted in ("agents:*:run", "root"):
        with pytest.raises(ConfigurationError, match="'agent_id'"):
            has(granted, RUN, admin="root")


@pytest.mark.parametrize(
    ("granted", "ids"),
    [
        pytest.param("agents:a:read agents:b:read", frozenset("ab"), id="literal"),
        pytest.param("agents:a:run teams:a:read agents:read", frozenset(), id="others"),
        pytest.param("agents:a:* *:b:read", frozenset("ab"), id="wildcards-around-the-id"),
        pytest.param("agents:a:read agents:*:read", All(), id="wildcard"),
        pytest.param("agents:*", All(), id="wildcard-at-the-end"),
        pytest.param("root", All(), id="admin"),
        pytest.param("* read", frozenset(), id="a-star-alone"),
        pytest.param("", frozenset(), id="none"),
    ],
)
def test_ids(granted: str, ids: Any) -> None:
    """Those for which the needed scope is satisfied."""
    assert ids == Grants(frozenset(granted.split()), "root").ids("agents", "read")


def test_all_is_a_value() -> None:
    """It contains everything, and equals itself."""
    assert "x" in All()
    assert ({All()}, "All()") == ({All(), All()}, repr(All()))
    assert All() != frozenset()


@pytest.mark.parametrize(
    ("value", "asked"),
    [("x", ["agents:x:run"]), ("", []), ("*", []), ("a:b", []), (None, [])],
    ids=["literal", "empty", "star", "colon", "unknown"],
)
def test_a_challenge_names_what_a_client_can_ask_for(value: str | None, asked: list[str]) -> None:
    """A scope with a value that none can have is left out."""
    values = {} if value is None else {"agent_id": value}

    assert [*asked, "read"] == filled_scopes([RUN, "read"], values)
