"""A JWE where a JWS belongs, such as one that unpacks to gigabytes (CVE-2024-33664)."""

import pytest

from jwt_deps.errors import MalformedTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import SECRET, b64, claims, clock, mint, mint_raw, pair
from tests.verifying import verify

TOKENS = [
    pytest.param(".".join([b64(header), *parts]), id=label)
    for label, header, parts in (
        ("key-wrapped", b'{"alg":"RSA-OAEP","enc":"A256GCM"}', ["AAAA", "AAAA", "AAAA", "AAAA"]),
        ("direct", b'{"alg":"dir","enc":"A256GCM"}', ["", "AAAA", "AAAA", "AAAA"]),
        ("zipped", b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}', ["", "AA", "AAAA", "AA"]),
        ("called-hs256", b'{"alg":"HS256"}', ["AAAA", "AAAA", "AAAA", "AAAA"]),
        ("empty-parts", b'{"alg":"dir","enc":"A256GCM"}', ["", "", "", ""]),
    )
]


@pytest.mark.parametrize("token", TOKENS)
def test_five_parts(token: str) -> None:
    """A token of five parts is named as what it is, and nothing of it is decrypted."""
    with pytest.raises(MalformedTokenError) as refused:
        verify(token, JWTSettings(secret_key=SECRET), clock=clock)

    assert refused.value.reason is Reason.ENCRYPTED


def test_encryption_header_on_three_parts() -> None:
    """An encryption algorithm in the header of a JWS is not accepted."""
    token = mint(claims(), pair("RSA"), "RS256", header={"alg": "RSA-OAEP", "enc": "A256GCM"})

    with pytest.raises(MalformedTokenError) as refused:
        verify(
            token, JWTSettings(secret_key=pair("RSA").public_pem, algorithm="RS256"), clock=clock
        )

    assert refused.value.reason is Reason.ALGORITHM


def test_token_inside_a_token() -> None:
    """A token whose payload is another one (`cty: JWT`) is not unpacked."""
    inner = mint(claims(sub="admin"))
    token = mint_raw(b'{"alg":"HS256","cty":"JWT"}', inner.encode())

    with pytest.raises(MalformedTokenError) as refused:
        verify(token, JWTSettings(secret_key=SECRET), clock=clock)

    assert refused.value.reason is Reason.PAYLOAD
