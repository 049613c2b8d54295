"""Tokens whose signature was taken away, cut, changed, or taken from another token."""

import json

import pytest

from tests.minting import b64, unb64
from tests.sources import Service, each_source, good, minted

#: What is done to a token, and why it is refused then.
FORMS = {
    "two-parts": ("{header}.{payload}", "not_compact"),
    "empty-signature": ("{header}.{payload}.", "not_compact"),
    "one-byte": ("{header}.{payload}.AA", "signature"),
    "last-bytes-cut-off": ("{header}.{payload}.{short}", "signature"),
    "bytes-behind": ("{header}.{payload}.{long}", "signature"),
    "another-payload": ("{header}.{admin}.{signature}", "signature"),
    "another-header": ("{other}.{payload}.{signature}", "signature"),
    "another-tokens": ("{header}.{payload}.{others}", "signature"),
    "no-payload": ("{header}..{signature}", "not_compact"),
    "dot-behind": ("{header}.{payload}.{signature}.", "not_compact"),
    "signature-twice": ("{header}.{payload}.{signature}.{signature}", "not_compact"),
}


@each_source()
@pytest.mark.parametrize("form", FORMS)
def test_is_refused(source: str, algorithm: str, form: str) -> None:
    """Without the very signature of this header and payload, a token is nothing."""
    header, payload, signature = minted(algorithm).split(".")
    text, reason = FORMS[form]
    token = text.format(
        header=header,
        payload=payload,
        signature=signature,
        short=b64(unb64(signature)[:-3]),
        long=b64(unb64(signature) + bytes(3)),
        admin=b64(json.dumps(good(sub="admin")).encode()),
        other=b64(json.dumps({"alg": algorithm, "kid": "a"}).encode()),
        others=minted(algorithm, sub="admin").rpartition(".")[2],
    )

    assert reason == Service(source, algorithm).reason(token)


@each_source()
@pytest.mark.parametrize("part", range(24))
def test_a_bit_of_the_signature_is_another(source: str, algorithm: str, part: int) -> None:
    """In any part of it."""
    token = minted(algorithm)
    signature = bytearray(unb64(token.rpartition(".")[2]))
    signature[part * len(signature) // 24] ^= 1 << part % 8

    forged = f"{token.rpartition('.')[0]}.{b64(bytes(signature))}"

    assert "signature" == Service(source, algorithm).reason(forged)


@each_source()
def test_the_token_itself_is_accepted(source: str, algorithm: str) -> None:
    """So that a refusal above is for what was done to it."""
    assert Service(source, algorithm).accepts(minted(algorithm))
