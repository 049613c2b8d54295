"""The examples of RFC 7515 appendix A and RFC 7519 §3.1 and §6.1, as data of our own."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jwt_deps.errors import ClaimError, ExpiredTokenError, MalformedTokenError, Reason
from jwt_deps.keys import KeySet
from jwt_deps.settings import JWTSettings
from tests.checking import parsed_by
from tests.minting import SECRET, JSONObject, mint_raw, pair, unb64, verification_text
from tests.vectors.thirdparty import (
    ACCEPTED,
    Read,
    configured,
    each_source,
    outcome,
    secret_key_set,
)
from tests.verifying import verify

DATA = json.loads((Path(__file__).parent / "rfc7515.json").read_text())
UNSECURED: str = DATA["unsecured"]["token"]

#: `exp` of the RFC's claims set.
EXPIRY = 1_300_819_380


def _examples(*, with_claims: bool = False) -> list[Any]:
    return [
        pytest.param(example, id=example["name"].replace(" ", "-"))
        for example in DATA["examples"]
        if example["claims"] is not None or not with_claims
    ]


def _configure(example: JSONObject, read: Read = configured) -> KeySet:
    jwk, algorithm = example["key"], example["algorithm"]
    if jwk["kty"] == "oct":
        return secret_key_set(unb64(jwk["k"]), algorithm=algorithm)
    return read(algorithm, {"keys": [jwk]})


def _settings(example: JSONObject, folder: Path) -> JWTSettings:
    """Configure the example's public key as a service would, in a JWK Set on disk."""
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": [example["key"]]}))
    return JWTSettings(jwks_file=path, algorithm=example["algorithm"])


class TestExamples:
    @each_source
    @pytest.mark.parametrize("example", _examples())
    def test_signature(self, example: JSONObject, read: Read) -> None:
        """The RFC's token verifies under the RFC's key."""
        assert outcome(example["token"], partial(_configure, example, read)) == ACCEPTED

    @pytest.mark.parametrize("example", _examples(with_claims=True))
    def test_claims(self, example: JSONObject) -> None:
        """The RFC's claims set, with its line breaks, is read as the RFC has it."""
        parsed = parsed_by(example["token"], _configure(example))

        assert json.loads(parsed.jws.payload) == example["claims"]
        assert b"\r\n" in parsed.jws.payload

    @pytest.mark.parametrize(
        "example",
        [case for case in _examples(with_claims=True) if case.values[0]["key"]["kty"] != "oct"],
    )
    def test_whole_check(self, tmp_path: Path, example: JSONObject) -> None:
        """In March 2011 the RFC's token passed from the first step to the last; it has expired."""
        settings = _settings(example, tmp_path)

        verified = verify(example["token"], settings, clock=lambda: EXPIRY - 1)

        assert verified == example["claims"]
        with pytest.raises(ExpiredTokenError):
            verify(example["token"], settings)

    def test_header_of_the_first(self) -> None:
        """The header of A.1, with its line break and `typ: JWT`, passes the whole check."""
        header, payload, _ = DATA["examples"][0]["token"].split(".")
        token = mint_raw(unb64(header), unb64(payload))

        verified = verify(token, JWTSettings(secret_key=SECRET), clock=lambda: EXPIRY - 1)

        assert verified == DATA["examples"][0]["claims"]

    def test_issuer_of_the_first(self, tmp_path: Path) -> None:
        """The issuer of the examples is `joe`, and they have no audience."""
        example = DATA["examples"][1]
        settings = _settings(example, tmp_path).model_copy(update={"issuer": "joe"})
        with_audience = settings.model_copy(update={"audience": "joe"})

        assert verify(example["token"], settings, clock=lambda: EXPIRY - 1)["iss"] == "joe"
        with pytest.raises(ClaimError) as refused:
            verify(example["token"], with_audience, clock=lambda: EXPIRY - 1)
        assert (refused.value.reason, refused.value.claim) == (Reason.CLAIM_MISSING, "aud")

    def test_payload_of_the_fourth_is_no_claims_set(self, tmp_path: Path) -> None:
        """The payload of A.4 is a word: genuine, and no token."""
        example = DATA["examples"][3]

        with pytest.raises(MalformedTokenError) as refused:
            verify(example["token"], _settings(example, tmp_path))

        assert refused.value.reason is Reason.PAYLOAD


class TestUnsecured:
    @pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
    def test_is_refused(self, algorithm: str) -> None:
        """The RFC's unsecured JWT is no token here, under any configuration."""
        settings = JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)

        with pytest.raises(MalformedTokenError) as refused:
            verify(UNSECURED, settings, clock=lambda: EXPIRY - 1)

        assert refused.value.reason is Reason.NOT_COMPACT

    def test_is_refused_with_a_signature_too(self) -> None:
        """Its header is refused though something stands where the signature belongs."""
        settings = JWTSettings(secret_key=pair("RSA").public_pem, algorithm="RS256")

        with pytest.raises(MalformedTokenError) as refused:
            verify(f"{UNSECURED}AAAA", settings, clock=lambda: EXPIRY - 1)

        assert refused.value.reason is Reason.ALGORITHM
