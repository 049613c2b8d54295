"""Does the short way, which nearly every request goes, say what the long way says?"""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import JWTSettings
from jwt_deps.at_hand import caller_at_hand
from jwt_deps.errors import AuthError
from jwt_deps.principals import Principal
from jwt_deps.recognition import recognize
from jwt_deps.settings import TokenSource
from jwt_deps.tokens import RequestHead, find_token
from tests.edge.serving import token as token_of
from tests.minting import SECRET

SETTINGS = [JWTSettings(secret_key=SECRET, token_source=source) for source in TokenSource]
TOKEN = token_of()

Headers = list[tuple[bytes, bytes]]

CREDENTIALS = st.builds(
    str.__add__,
    st.sampled_from(["Bearer ", "bearer ", "Bearer  ", "Bearer", "Basic ", "access_token=", ""]),
    st.one_of(
        st.sampled_from(
            [TOKEN, f"{TOKEN} ", f"{TOKEN}\xa0", f"{TOKEN},", TOKEN[:-1], f"\t{TOKEN}"]
        ),
        st.text("ab.,- \t=é", max_size=8),
    ),
).map(lambda text: text.encode("latin-1"))
HEADERS = st.lists(
    st.tuples(st.sampled_from([b"authorization", b"cookie", b"accept"]), CREDENTIALS), max_size=3
)


def short_way(headers: Any, settings: JWTSettings) -> Any:
    scope = {"type": "http", "method": "GET", "headers": headers, "state": {}}
    return said(caller_at_hand(scope, settings)), scope["state"]


def long_way(headers: Headers, settings: JWTSettings) -> Any:
    state: dict[str, Any] = {}
    try:
        token = find_token(RequestHead(headers, "GET"), settings)
        found = asyncio.run(recognize(token, settings))
    except AuthError as error:
        return said(error), state
    found.write_state(state)
    return said(found), state


def said(found: Principal | AuthError | None) -> Any:
    if isinstance(found, Principal):
        return found.user_id, found.token
    return type(found), str(found), getattr(found, "reason", None)


@given(HEADERS, st.sampled_from(SETTINGS))
def test_it_says_what_the_long_way_says(headers: Headers, settings: JWTSettings) -> None:
    """The same caller, or the same refusal, whether the token was seen before or not."""
    settings.verified_tokens.discard(TOKEN)

    assert long_way(headers, settings) == short_way(headers, settings)
    assert long_way(headers, settings) == short_way(headers, settings)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.token_source)
def test_headers_that_may_run_dry_are_left_to_the_long_way(settings: JWTSettings) -> None:
    """ASGI promises an iterable; only a list can be read twice."""
    headers = ((b"authorization", f"Bearer {TOKEN}".encode()),)

    found, state = short_way(headers, settings)

    assert (said(None), {}) == (found, state)
