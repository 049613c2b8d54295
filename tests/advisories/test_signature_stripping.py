"""Tokens whose signature was taken away, cut, changed, or taken from another token."""

import json

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
def test_is_refused(source: str, algorithm: str) -> None:
    """Without the very signature of this header and payload, a token is nothing."""
    service, token = Service(source, algorithm), minted(algorithm)
    header, payload, signature = token.split(".")
    parts = {
        "header": header,
        "payload": payload,
        "signature": signature,
        "short": b64(unb64(signature)[:-3]),
        "long": b64(unb64(signature) + bytes(3)),
        "admin": b64(json.dumps(good(sub="admin")).encode()),
        "other": b64(json.dumps({"alg": algorithm, "kid": "a"}).encode()),
        "others": minted(algorithm, sub="admin").rpartition(".")[2],
    }

    assert service.accepts(token)  # so that a refusal is for what was done to it
    assert {form: reason for form, (_, reason) in FORMS.items()} == {
        form: service.reason(text.format(**parts)) for form, (text, _) in FORMS.items()
    }


@each_source()
def test_a_bit_of_the_signature_is_another(source: str, algorithm: str) -> None:
    """In any part of it."""
    service, (rest, _, signature) = Service(source, algorithm), minted(algorithm).rpartition(".")

    def forged(part: int) -> str:
        changed = bytearray(unb64(signature))
        changed[part * len(changed) // 8] ^= 1 << part
        return f"{rest}.{b64(bytes(changed))}"

    assert ["signature"] * 8 == [service.reason(forged(part)) for part in range(8)]
