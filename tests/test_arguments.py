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
    RedisReplayStore,
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
}
NO_NUMBERS = [None, float("nan"), float("inf"), -1, "5"]
NUMBERS = {
    "introspection": ["cache_seconds", "inactive_seconds"],
    "memory": ["size", "per_key"],
    "redis": ["timeout"],
    "lists": ["longest_fresh", "timeout", "max_bytes", "max_octets", "max_lists"],
}


@pytest.mark.parametrize(
    ("made", "name"), [(made, name) for made, names in NUMBERS.items() for name in names]
)
def test_what_is_no_number(made: str, name: str) -> None:
    """A comparison with NaN is false: an answer that was cached for so long would never end."""
    for value in NO_NUMBERS:
        with pytest.raises(ConfigurationError, match=f"{name} is no number"):
            MADE[made](**{name: value})


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
