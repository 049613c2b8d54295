"""Tokens made to cost time or memory before their signature is checked."""

import tracemalloc

import pytest

from jwt_deps.errors import InvalidTokenError, MalformedTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import SECRET, b64, clock, compact, mint_raw
from tests.verifying import verify

#: A service that accepts tokens of a megabyte must take at most linear time.
LARGE = JWTSettings(secret_key=SECRET, max_token_size=4_000_000)
HEADER = b'{"alg":"HS256"}'

BOMBS = [
    pytest.param(text, id=label)
    for label, text in (
        ("dots", "." * 1_000_000),
        ("letters", "a" * 1_000_000),
        ("letters-and-a-dot", "a" * 1_000_000 + "."),
        ("almost-three-parts", f"{'a' * 300_000}.{'a' * 300_000}.{'a' * 300_000}!"),
        ("almost-five-parts", ".".join(["a" * 200_000] * 5) + "!"),
        ("not-ascii", "😀" * 500_000),
        ("white-space", " " * 1_000_000),
        ("header-of-brackets", compact(b"[" * 700_000, b"{}", b"x")),
        ("header-nested", compact(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"{}", b"x")),
        ("header-of-quotes", compact(b'"\\' * 300_000, b"{}", b"x")),
        (
            "header-of-members",
            compact(b"{" + b",".join(b'"%d":0' % n for n in range(70_000)) + b"}", b"{}", b"x"),
        ),
        ("header-of-digits", compact(b'{"alg":' + b"9" * 700_000 + b"}", b"{}", b"x")),
        ("header-of-exponents", compact(b'{"alg":1e' + b"9" * 700_000 + b"}", b"{}", b"x")),
        ("header-of-escapes", compact(rb'{"a":"' + rb"\ud83d" * 100_000 + b'"}', b"{}", b"x")),
        ("kid", compact(b'{"alg":"HS256","kid":"%s"}' % (b"k" * 700_000), b"{}", b"x")),
        ("signature", compact(HEADER, b"{}", bytes(700_000))),
        ("payload", compact(HEADER, b" " * 700_000, b"x")),
        ("signed-payload-nested", mint_raw(HEADER, b'{"a":' * 100_000)),
        ("signed-payload-of-brackets", mint_raw(HEADER, b'{"a":' + b"[]," * 200_000)),
    )
]


@pytest.mark.parametrize("text", BOMBS)
def test_is_refused_by_its_size(text: str) -> None:
    """Under the default settings none of these is looked at: size comes first."""
    with pytest.raises(MalformedTokenError) as refused:
        verify(text, JWTSettings(secret_key=SECRET), clock=clock)

    assert refused.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("text", BOMBS)
def test_is_refused_where_such_a_size_is_allowed(text: str) -> None:
    """In linear time: what is quadratic takes hours for a megabyte."""
    with pytest.raises(InvalidTokenError):
        verify(text, LARGE, clock=clock)


def test_size_is_checked_before_anything_is_copied() -> None:
    """A text that is too large costs no memory."""
    text = f"{b64(HEADER)}.{'a' * 10_000_000}.AA"
    settings = JWTSettings(secret_key=SECRET)
    tracemalloc.start()

    with pytest.raises(MalformedTokenError):
        verify(text, settings, clock=clock)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("depth", [40, 1_000, 3_000])
@pytest.mark.parametrize("part", ["header", "payload"])
def test_depth_within_the_size(depth: int, part: str) -> None:
    """A token that is small and deep is refused without a `RecursionError`."""
    deep = b'{"alg":"HS256","x":' + b"[" * depth + b"]" * depth + b"}"
    token = mint_raw(deep, b"{}") if part == "header" else mint_raw(HEADER, deep)

    with pytest.raises(MalformedTokenError) as refused:
        verify(token, JWTSettings(secret_key=SECRET), clock=clock)

    assert refused.value.reason is (Reason.HEADER if part == "header" else Reason.PAYLOAD)
