"""Does the short way, which nearly every request goes, say what the long way says?"""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt_deps.at_hand import caller_at_hand

from jwt_deps import JWTSettings
from jwt_deps.errors import AuthError
from jwt_deps.principals import Principal
from jwt_deps.recognition import recognize
from jwt_deps.settings import TokenSource
from jwt_deps.tokens import RequestHead, find_token
from tests.edge.serving import token as token_of
from tests.minting import SECRET

SETTINGS = [
    JWTSettings(secret_key=SECRET, token_source=source, token_cache_size=size)
    for source in TokenSource
    for size in (0, 2048)
]
TOKEN = token_of()
SENT = [TOKEN, f"{TOKEN} ", f"{TOKEN}\xa0", f"{TOKEN},", TOKEN[:-1], f"\t{TOKEN}"]
STALE = {"user_id": "mallory", "scopes": ["admin"], "own": 1}

Headers = list[tuple[bytes, bytes]]

CREDENTIALS = st.builds(
    str.__add__,
    st.sampled_from(["Bearer ", "bearer ", "Bearer  ", "Bearer", "Basic ", "access_token=", ""]),
    st.one_of(st.sampled_from(SENT), st.text("ab.,- \t=é", max_size=8)),
).map(lambda text: text.encode("latin-1"))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"authorization", b"cookie", b"accept", b"sec-fetch-site"]), CREDENTIALS
    ),
    max_size=3,
)


def short_way(headers: Any, method: str, settings: JWTSettings) -> Any:
    state = dict(STALE)
    scope = {"type": "http", "method": method, "headers": headers, "state": state}
    return said(caller_at_hand(scope, settings)), without_claims(state)


def long_way(headers: Headers, method: str, settings: JWTSettings) -> Any:
    state: dict[str, Any] = {"own": 1}
    try:
        token = find_token(RequestHead(headers, method), settings)
        found = asyncio.run(recognize(token, settings))
    except AuthError as error:
        return said(error), state
    found.write_state(state)
    return said(found), without_claims(state)


def said(found: Principal | AuthError | None) -> Any:
    if isinstance(found, Principal):
        return found.user_id, found.token, dict(found.claims)
    return type(found), str(found), getattr(found, "reason", None)


def without_claims(state: dict[str, Any]) -> dict[str, Any]:
    """They are said, and compare by identity."""
    return {name: value for name, value in state.items() if name != "claims"}


@given(HEADERS, st.sampled_from(["GET", "POST"]), st.sampled_from(SETTINGS))
def test_it_says_what_the_long_way_says(
    headers: Headers, method: str, settings: JWTSettings
) -> None:
    """The same caller, or the same refusal, whether the token was seen before or not."""
    settings.verified_tokens.discard(f"Bearer {TOKEN}".encode())
    new = short_way(headers, method, settings)
    seen_before = short_way(headers, method, settings)

    assert [long_way(headers, method, settings)] * 2 == [new, seen_before]


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", f"Bearer {TOKEN}"),
        (b"authorization", f"bearer   {TOKEN} "),
        (b"cookie", f"access_token={TOKEN}"),
    ],
    ids=["header", "header in another spelling", "cookie"],
)
def test_a_token_is_remembered_once_however_it_is_sent(
    header: tuple[bytes, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And recognized in whatever form it comes next."""
    settings = JWTSettings(secret_key=SECRET, token_source=TokenSource.BOTH)
    headers = [(header[0], header[1].encode())]
    first = caller_at_hand({"type": "http", "method": "GET", "headers": headers}, settings)
    monkeypatch.setattr("jwt_deps.recognition.authenticate_at_hand", None)

    for text in (f"Bearer {TOKEN}", f"BEARER {TOKEN}"):
        again = [(b"authorization", text.encode())]
        seen = caller_at_hand({"type": "http", "method": "GET", "headers": again}, settings)
        assert seen is first

    assert 1 == len(settings.verified_tokens)


@pytest.mark.parametrize("wrong", [TOKEN[:-1], f"{TOKEN},", ""], ids=["cut", "comma", "nothing"])
def test_without_validation_a_refusal_is_an_anonymous_caller(wrong: str) -> None:
    """Who knows why, and whose state says so."""
    settings = JWTSettings(secret_key=SECRET, validate=False)
    scope = {
        "type": "http",
        "method": "GET",
        "headers": [(b"authorization", f"Bearer {wrong}".encode())],
        "state": dict(STALE),
    }

    found = caller_at_hand(scope, settings)

    assert isinstance(found, Principal)
    assert isinstance(found.error, AuthError)
    assert {"own": 1, "authenticated": False} == scope["state"]


def test_a_failure_leaves_nobody_elses_name_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers for it finds no caller of an outer guard in the state."""
    settings, state = JWTSettings(secret_key=SECRET), dict(STALE)
    monkeypatch.setattr(settings, "verified_tokens", None, raising=False)
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]

    with pytest.raises(AttributeError):
        caller_at_hand(
            {"type": "http", "method": "GET", "headers": headers, "state": state}, settings
        )

    assert {"own": 1} == state


@pytest.mark.parametrize("kind", [tuple, iter], ids=["tuple", "iterator"])
@pytest.mark.parametrize("source", TokenSource)
def test_headers_that_may_run_dry_are_left_to_the_long_way(kind: Any, source: TokenSource) -> None:
    """ASGI promises an iterable; only a list can be read twice."""
    settings = JWTSettings(secret_key=SECRET, token_source=source)
    headers = kind([(b"authorization", f"Bearer {TOKEN}".encode())])
    scope = {"type": "http", "method": "GET", "headers": headers, "state": {}}

    assert caller_at_hand(scope, settings) is None
    assert {} == scope["state"]
    assert [(b"authorization", f"Bearer {TOKEN}".encode())] == list(headers)
