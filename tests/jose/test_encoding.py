"""Base64url and JSON with one reading each."""

import gc
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from jwt_deps.jose import decode_base64url, encode_base64url, is_numeric_date, parse_object
from jwt_deps.jose.encoding import MAX_DEPTH
from tests.minting import b64

LARGEST = int(sys.float_info.max)
LONGEST_INTEGER = (
    600  # digits; Python can be told to write none of 640 (sys.set_int_max_str_digits)
)


def calls_of(function: Callable[..., Any], *arguments: Any) -> int:
    """How many Python functions are called in a call."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    gc.disable()  # what the tests before have left would be counted too
    sys.setprofile(count)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls


class TestDecodeBase64url:
    @pytest.mark.parametrize(
        ("text", "data"),
        [
            pytest.param(b"", b"", id="nothing"),
            pytest.param(b"Zg", b"f", id="two-spare-characters"),
            pytest.param(b"Zm8", b"fo", id="one-spare-character"),
            pytest.param(b"Zm9v", b"foo", id="whole"),
            pytest.param(b"-_-_", b"\xfb\xff\xbf", id="the-two-characters-of-the-url-alphabet"),
            pytest.param(b"AAAA", b"\x00\x00\x00", id="zeros"),
            pytest.param(
                b"A-z_4ECB", b"\x03\xec\xff\xe0\x40\x81", id="octets-of-RFC-7515-appendix-C"
            ),
        ],
    )
    def test_decodes(self, text: bytes, data: bytes) -> None:
        """Text in the base64url alphabet without padding is decoded."""
        decoded = decode_base64url(text)

        assert decoded == data

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(b"Z", id="one-character"),
            pytest.param(b"Zm9vZ", id="one-character-too-many"),
            pytest.param(b"Zg==", id="padding"),
            pytest.param(b"Zm8=", id="padding-of-one"),
            pytest.param(b"Zm9v====", id="padding-for-nothing"),
            pytest.param(b"+AAA", id="plus-of-the-standard-alphabet"),
            pytest.param(b"/AAA", id="slash-of-the-standard-alphabet"),
            pytest.param(rb"\u0041AAAAAAA", id="escape-of-json"),
            pytest.param(b"Zm 9", id="space"),
            pytest.param(b"Zm9v\n\n\n\n", id="line-breaks"),
            pytest.param(b"Zm.9", id="dot"),
            pytest.param(b"****", id="what-the-translation-maps-foreign-characters-to"),
            pytest.param(b"Zm9\xff", id="not-ascii"),
            pytest.param(b"Zm\x009", id="nul"),
        ],
    )
    def test_refuses_foreign_text(self, text: bytes) -> None:
        """Any other character, and any length that no data has, is refused."""
        with pytest.raises(ValueError, match=r"."):
            decode_base64url(text)

    @pytest.mark.parametrize(
        ("canonical", "spelling"),
        [
            pytest.param(b"Zg", b"Zh", id="four-spare-bits"),
            pytest.param(b"Zg", b"Zv", id="four-spare-bits-all-set"),
            pytest.param(b"Zm8", b"Zm9", id="two-spare-bits"),
            pytest.param(b"Zm8", b"Zm-", id="two-spare-bits-other"),
        ],
    )
    def test_refuses_spare_bits(self, canonical: bytes, spelling: bytes) -> None:
        """Spare bits that are not zero would be a second spelling, and are refused."""
        assert decode_base64url(canonical)

        with pytest.raises(ValueError, match="one spelling"):
            decode_base64url(spelling)


def test_encodes_without_padding() -> None:
    """Any bytes become base64url without padding."""
    data = bytes((255 - 7 * index) % 256 for index in range(70))

    for length in range(70):
        assert encode_base64url(data[:length]) == b64(data[:length])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, True),
        (-1.5, True),
        (LARGEST, True),
        (-LARGEST, True),
        (10 * LARGEST, False),
        (-10 * LARGEST, False),
        (True, False),
        ("1", False),
        (None, False),
    ],
    ids=lambda value: str(value)[:5],
)
def test_numeric_date(value: object, *, expected: bool) -> None:
    """A number that a float can hold (RFC 7519 §2)."""
    assert expected == is_numeric_date(value)


class TestParseObject:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            pytest.param("{}", {}, id="empty"),
            pytest.param(' {"a":\r\n\t1} ', {"a": 1}, id="white-space"),
            pytest.param('{"a":-1.5e2}', {"a": -150.0}, id="number"),
            pytest.param('{"a":[true,false,null]}', {"a": [True, False, None]}, id="literals"),
            pytest.param('{"ä€😀":"ä€😀"}', {"ä€😀": "ä€😀"}, id="utf-8"),
            pytest.param(r'{"a":"\ud83d\ude00"}', {"a": "😀"}, id="escaped-surrogate-pair"),
            pytest.param(r'{"a":"\\ud800"}', {"a": r"\ud800"}, id="escaped-backslash"),
            pytest.param(r'{"a":"\\"}', {"a": "\\"}, id="backslash-before-the-closing-quote"),
            pytest.param(r'{"\"a":"\\\"b\""}', {'"a': r'\"b"'}, id="escaped-quotes"),
            pytest.param('{"":0}', {"": 0}, id="empty-name"),
            pytest.param(
                f'{{"a":-{"9" * LONGEST_INTEGER}}}', {"a": 1 - 10**600}, id="long-integer"
            ),
            pytest.param(
                r'{"\u0061":["\u00e4",1,null]}', {"a": ["ä", 1, None]}, id="escapes-among-others"
            ),
            pytest.param('{"a":{"x":1},"b":{"x":2}}', {"a": {"x": 1}, "b": {"x": 2}}, id="nested"),
        ],
    )
    def test_reads(self, text: str, value: dict[str, object]) -> None:
        """A JSON object is read as RFC 8259 has it."""
        parsed = parse_object(text.encode())

        assert parsed == value

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"null", id="null"),
            pytest.param(b"[]", id="array"),
            pytest.param(b'"{}"', id="string"),
            pytest.param(b"1", id="number"),
            pytest.param(b"{", id="cut-off"),
            pytest.param(b"{}{}", id="two-objects"),
            pytest.param(b"{} x", id="text-behind"),
            pytest.param(b"{'a':1}", id="single-quotes"),
            pytest.param(b'{"a":1,}', id="trailing-comma"),
            pytest.param(b'{"a":1/**/}', id="comment"),
            pytest.param(b'{"a":01}', id="leading-zero"),
            pytest.param(b'{"a":"\n"}', id="control-character"),
            pytest.param('{"a":٣}'.encode(), id="digit-of-another-script"),
            pytest.param(b"\xef\xbb\xbf{}", id="byte-order-mark"),
            pytest.param(b'{"a":"\xff"}', id="not-utf-8"),
            pytest.param(b'{"a":"\xc0\xaf"}', id="overlong-utf-8"),
            pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate-in-utf-8"),
            pytest.param('{"a":1}'.encode("utf-16"), id="utf-16"),
            pytest.param(b'{"a":1,"a":1}', id="member-twice"),
            pytest.param(rb'{"a":1,"\u0061":1}', id="member-twice-in-two-spellings"),
            pytest.param(b'{"x":[{"a":1,"a":2}]}', id="member-twice-inside"),
            pytest.param(rb'{"\"":"\"","a":1,"a":2}', id="member-twice-beside-escaped-quotes"),
            pytest.param(b'{"a":NaN}', id="nan"),
            pytest.param(b'{"a":Infinity}', id="infinity"),
            pytest.param(b'{"a":-Infinity}', id="minus-infinity"),
            pytest.param(b'{"a":1e999}', id="number-too-large-for-a-float"),
            pytest.param(b'{"a":1%s}' % (b"0" * LONGEST_INTEGER), id="integer-too-long"),
            pytest.param(b'{"a":-1%s}' % (b"0" * LONGEST_INTEGER), id="negative-too-long"),
            pytest.param(b'{"a":%s}' % (b"9" * 4301), id="longer-than-python-reads"),
            pytest.param(rb'{"a":"\ud800"}', id="lone-high-surrogate"),
            pytest.param(rb'{"a":"\udc00"}', id="lone-low-surrogate"),
            pytest.param(rb'{"a":"\udc00\ud800"}', id="surrogates-in-the-wrong-order"),
            pytest.param(rb'{"\ud800":1}', id="lone-surrogate-in-a-name"),
            pytest.param(rb'{"a":[{"b":["\ud800"]}]}', id="lone-surrogate-inside"),
        ],
    )
    def test_refuses_a_second_reading(self, data: bytes) -> None:
        """Whatever is no JSON object, or could be read in another way too, is refused."""
        with pytest.raises(ValueError, match=r"."):
            parse_object(data)

    @pytest.mark.parametrize(
        ("opening", "closing"),
        [pytest.param('{"a":', "}", id="objects"), pytest.param("[", "]", id="arrays")],
    )
    def test_reads_down_to_the_limit(self, opening: str, closing: str) -> None:
        """Nesting is read down to `MAX_DEPTH`."""
        levels = MAX_DEPTH - 1
        deep = opening * levels + "1" + closing * levels
        text = f'{{"a":{deep},"b":{deep},"c":[]}}'

        parsed = parse_object(text.encode())

        assert parsed == json.loads(text)

    @pytest.mark.parametrize("levels", [MAX_DEPTH, 1_000, 100_000])
    @pytest.mark.parametrize(
        ("opening", "closing"),
        [pytest.param('{"a":', "}", id="objects"), pytest.param("[", "]", id="arrays")],
    )
    def test_refuses_deeper_nesting(self, opening: str, closing: str, levels: int) -> None:
        """One level more is refused, and so are many, without a `RecursionError`."""
        text = '{"a":' + opening * levels + "1" + closing * levels + "}"

        with pytest.raises(ValueError, match="one reading"):
            parse_object(text.encode())

    @pytest.mark.parametrize("before", [0, 1, MAX_DEPTH - 1])
    def test_refuses_deeper_nesting_further_on(self, before: int) -> None:
        """One level too many is refused behind other members, however deep those are."""
        members = ["[" * levels + "1" + "]" * levels for levels in (before, MAX_DEPTH)]

        with pytest.raises(ValueError, match="one reading"):
            parse_object(f'{{"a":{members[0]},"b":{members[1]}}}'.encode())

    def test_limit(self) -> None:
        """The limit is far above what issuers write and far below Python's own."""
        assert MAX_DEPTH == 32

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param({"a": [[] for _ in range(MAX_DEPTH * 2)]}, id="side-by-side"),
            pytest.param({"a": "[{" * MAX_DEPTH}, id="in-a-string"),
            pytest.param({"[" * MAX_DEPTH * 2: 1}, id="in-a-name"),
            pytest.param({"a": '"[\\' * MAX_DEPTH * 2}, id="behind-escaped-quotes"),
        ],
    )
    def test_counts_depth_only(self, value: dict[str, object]) -> None:
        """Brackets side by side, or inside strings, are not depth."""
        parsed = parse_object(json.dumps(value).encode())

        assert parsed == value

    def test_attack_arrays_one_in_another(self) -> None:
        """They cost no more calls than as many side by side: each call took microseconds."""
        deep = "[" * 30 + "1" + "]" * 30
        texts = [f'{{"a":[{",".join(arrays)}]}}' for arrays in ([deep] * 200, ["[]"] * 6000)]

        assert len({calls_of(parse_object, text.encode()) for text in texts}) == 1

    def test_closing_brackets_buy_no_depth(self) -> None:
        """Brackets that close nothing do not make room for deeper nesting."""
        text = "]" * 2_000 + "[" * 2_000

        with pytest.raises(ValueError, match=r"."):
            parse_object(text.encode())
