"""Arguments of a wrong kind are refused where they are given, not by a request and not never."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Response

from jwt_deps import (
    ApiKey,
    ConfigurationError,
    Introspection,
    JWTSettings,
    MalformedTokenError,
    MemoryReplayStore,
    MemoryRevocations,
    RedisReplayStore,
    RedisRevocations,
    StatusLists,
    create_access_token,
    set_token_cookie,
)
from tests.minting import SECRET

ISSUER = JWTSettings(secret_key=SECRET, issuer="https://a.example")
ENDPOINT: dict[str, Any] = {"url": "https://a.example", "client_id": "a", "client_secret": "b"}

MADE: dict[str, Callable[..., object]] = {
    "api-key": lambda **values: ApiKey(lambda _: None, **values),
    "introspection": lambda **values: Introspection(**{**ENDPOINT, **values}),
    "memory": MemoryReplayStore,
    "redis": lambda **values: RedisReplayStore("redis://127.0.0.1", **values),
    "lists": lambda **values: StatusLists(ISSUER, hosts={"a.example"}, **values),
    "revocations": MemoryRevocations,
    "redis-revocations": lambda **values: RedisRevocations("redis://127.0.0.1", **values),
}
NO_NUMBERS = [None, float("nan"), float("inf"), -1, "5"]
NEITHER = [*NO_NUMBERS, True, 2**53 + 1, 10**400]
#: Of each class: numbers of 0 or more, numbers above 0, and sizes.
NUMBERS = {
    "introspection": ["cache_seconds", "inactive_seconds"],
    "lists": ["longest_fresh"],
}
POSITIVE = {
    "redis": ["timeout"],
    "lists": ["timeout"],
    "revocations": ["longest_lifetime"],
    "redis-revocations": ["longest_lifetime"],
}
SIZES = {
    "memory": ["size", "per_key"],
    "lists": ["max_bytes", "max_octets", "max_lists"],
}


def each(arguments: dict[str, list[str]]) -> pytest.MarkDecorator:
    """A case for each argument."""
    cases = [(made, name) for made, names in arguments.items() for name in names]
    return pytest.mark.parametrize(("made", "name"), cases)


def assert_refused(made: str, name: str, *values: Any) -> None:
    """The sentence says which argument it is."""
    for value in values:
        with pytest.raises(ConfigurationError, match=f"^{name} is no ") as caught:
            MADE[made](**{name: value})
        assert "invalid_setting" == caught.value.reason


@each(NUMBERS)
def test_what_is_no_number(made: str, name: str) -> None:
    """A comparison with NaN is false: an answer that was cached for so long would never end."""
    assert_refused(made, name, *NEITHER)
    for value in (0, 0.5, 2**53):
        MADE[made](**{name: value})


@each(POSITIVE)
def test_what_is_no_number_above_0(made: str, name: str) -> None:
    """After a timeout of 0 no server has answered."""
    assert_refused(made, name, *NEITHER, 0)
    for value in (0.5, 2**53):
        MADE[made](**{name: value})


@each(SIZES)
def test_attack_a_size_that_is_no_limit(made: str, name: str) -> None:
    """0 is no limit to zlib, and with a float it fails in each request."""
    assert_refused(made, name, *NEITHER, 0, 1e6)
    for value in (1, 2**53):
        MADE[made](**{name: value})


@pytest.mark.parametrize("seconds", [*NEITHER, 1.5], ids=str)
def test_what_is_no_staleness(seconds: Any) -> None:
    """The server is asked every half second."""
    with pytest.raises(ConfigurationError) as caught:
        MADE["redis-revocations"](max_staleness=seconds)

    assert "revocation_staleness" == caught.value.reason


@pytest.mark.parametrize(
    ("made", "values", "reason"),
    [
        *(("api-key", {"header": it}, "api_key_form") for it in (None, 5, b"x", "", "a b", "x\n")),
        *(("introspection", {"url": it}, "introspection_url") for it in (None, 5, b"x", "x")),
        *(("introspection", {"client_id": it}, "introspection_client") for it in (None, 5, b"x")),
    ],
    ids=str,
)
def test_what_is_no_name(made: str, values: dict[str, Any], reason: str) -> None:
    """No header, no address, no client."""
    with pytest.raises(ConfigurationError) as caught:
        MADE[made](**values)

    assert reason == caught.value.reason


@pytest.mark.parametrize("lifetime", [*NO_NUMBERS, 0, 10**400, [1]], ids=str)
def test_what_is_no_lifetime(lifetime: Any) -> None:
    """No token is issued, and the sentence says which argument it is."""
    with pytest.raises(ValueError, match="expires_in is not a positive number"):
        create_access_token("alice", expires_in=lifetime, settings=ISSUER)


@pytest.mark.parametrize("key", [5, object(), [1], {1: 2}], ids=["number", "object", "list", "map"])
def test_what_is_no_signing_key(key: Any) -> None:
    """As for a key that does not fit."""
    with pytest.raises(ConfigurationError) as caught:
        create_access_token("alice", signing_key=key, settings=ISSUER)

    assert "signing_key" == caught.value.reason


@pytest.mark.parametrize("token", [None, 5, b"e30.e30.x"], ids=str)
def test_a_cookie_of_what_is_no_token(token: Any) -> None:
    """It is not set."""
    response = Response()

    with pytest.raises(MalformedTokenError):
        set_token_cookie(response, token, ISSUER)

    assert "set-cookie" not in response.headers
