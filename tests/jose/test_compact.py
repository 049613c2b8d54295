"""The parser of JWS in compact serialization: what is taken apart, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps.jose import encode_base64url, parse_compact

OCTETS = st.binary(min_size=1, max_size=60)


@given(header=OCTETS, payload=OCTETS, signature=OCTETS)
def test_parts(header: bytes, payload: bytes, signature: bytes) -> None:
    """Each part is decoded, and the signing input is the text as it was sent."""
    signed = f"{encode_base64url(header)}.{encode_base64url(payload)}".encode()

    jws = parse_compact(signed + b"." + encode_base64url(signature).encode())

    assert (header, payload, signature) == (jws.header, jws.payload, jws.signature)
    assert signed == jws.signing_input


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"YQ.YQ", id="two-parts"),
        pytest.param(b"YQ.YQ.YQ.YQ", id="four-parts"),
        pytest.param(b"YQ..YQ.YQ.YQ", id="jwe"),
        pytest.param(b"YQ.YQ.", id="no-signature"),
        pytest.param(b".YQ.YQ", id="no-header"),
        pytest.param(b"YQ..YQ", id="no-payload"),
        pytest.param(b"YQ==.YQ.YQ", id="padding"),
        pytest.param(b"YQ.a+b/.YQ", id="base64"),
        pytest.param(b"YQ.YQ.YQ\n", id="line-break"),
        pytest.param(b"YQ.YQ.YR", id="trailing-bits"),
        pytest.param(b"YQ.A.YQ", id="length"),
    ],
)
def test_refused(text: bytes) -> None:
    """The error holds nothing of the text."""
    with pytest.raises(ValueError, match="not a JWS in compact serialization") as refused:
        parse_compact(text)

    assert refused.value.__context__ is None


def test_shows_nothing() -> None:
    """A parsed JWS shows no part of the token."""
    assert "CompactJWS()" == repr(parse_compact(b"YQ.YQ.YQ"))
