"""Tokens whose signature was taken away, cut, or taken from another token."""

import json

import pytest

from jwt_deps.errors import InvalidTokenError
from jwt_deps.settings import JWTSettings
from tests.minting import ALGORITHMS, b64, claims, clock, mint, signing_key, verification_text
from tests.verifying import verify


def _settings(algorithm: str) -> JWTSettings:
    return JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "form",
    [
        pytest.param("{header}.{payload}", id="two-parts"),
        pytest.param("{header}.{payload}.", id="empty-signature"),
        pytest.param("{header}.{payload}.AA", id="one-byte"),
        pytest.param("{header}.{payload}.{short}", id="last-bytes-cut-off"),
        pytest.param("{header}.{payload}.{long}", id="bytes-behind"),
        pytest.param("{header}.{admin}.{signature}", id="another-payload"),
        pytest.param("{header}..{signature}", id="no-payload"),
        pytest.param("{header}.{signature}.{payload}", id="parts-in-another-order"),
        pytest.param("{header}.{payload}.{signature}.", id="dot-behind"),
        pytest.param("{header}.{payload}.{signature}.{signature}", id="signature-twice"),
        pytest.param("{none}.{payload}.{signature}", id="another-header"),
    ],
)
def test_is_refused(algorithm: str, form: str) -> None:
    """Without the very signature of this header and payload, a token is nothing."""
    header, payload, signature = mint(claims(), signing_key(algorithm), algorithm).split(".")
    token = form.format(
        header=header,
        payload=payload,
        signature=signature,
        short=signature[:-4],
        long=signature[: len(signature) // 4 * 4] + "AAAA",
        admin=b64(json.dumps(claims(sub="admin")).encode()),
        none=b64(json.dumps({"alg": algorithm}).encode()),
    )

    with pytest.raises(InvalidTokenError):
        verify(token, _settings(algorithm), clock=clock)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signature_of_another_token(algorithm: str) -> None:
    """The signature of one token does not serve another."""
    key = signing_key(algorithm)
    good = mint(claims(), key, algorithm)
    other = mint(claims(sub="admin"), key, algorithm)

    with pytest.raises(InvalidTokenError):
        verify(
            f"{other.rpartition('.')[0]}.{good.rpartition('.')[2]}",
            _settings(algorithm),
            clock=clock,
        )
