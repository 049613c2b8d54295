"""The examples of RFC 7520 §4 and RFC 8037 appendix A, as the IETF's cookbook has them."""

import json
from functools import partial
from typing import Any

import pytest

from jwt_deps.errors import Reason
from jwt_deps.keys import KeySet
from tests.checking import parsed_by
from tests.minting import JSONObject, unb64
from tests.vectors.thirdparty import (
    ACCEPTED,
    Read,
    configured,
    each_source,
    load,
    outcome,
    secret_key_set,
)

COMPACT = {
    name: load(f"rfc7520/{path}.json")
    for name, path in (
        ("4.1-RS256", "jws/4_1.rsa_v15_signature"),
        ("4.2-PS384", "jws/4_2.rsa-pss_signature"),
        ("4.3-ES512", "jws/4_3.ecdsa_signature"),
        ("4.4-HS256", "jws/4_4.hmac-sha2_integrity_protection"),
        ("8037-EdDSA", "curve25519/jws"),
    )
}
DETACHED = load("rfc7520/jws/4_5.signature_with_detached_content.json")

#: Examples of the JSON serialization of RFC 7515 §7.2, which no HTTP header carries.
JSON_ONLY = {
    "4.6": load("rfc7520/jws/4_6.protecting_specific_header_fields.json"),
    "4.7": load("rfc7520/jws/4_7.protecting_content_only.json"),
    "4.8": load("rfc7520/jws/4_8.multiple_signatures.json"),
}
EXAMPLES = [pytest.param(example, id=name) for name, example in COMPACT.items()]
PRIVATE = {"d", "p", "q", "dp", "dq", "qi"}


def _configure(example: JSONObject, read: Read = configured) -> KeySet:
    """Configure the example's key, without its private half."""
    jwk, algorithm = example["input"]["key"], example["input"]["alg"]
    if jwk["kty"] == "oct":
        return secret_key_set(unb64(jwk["k"]), algorithm=algorithm)
    public = {name: value for name, value in jwk.items() if name not in PRIVATE}
    return read(algorithm, {"keys": [public]})


class TestCompact:
    @each_source
    @pytest.mark.parametrize("example", EXAMPLES)
    def test_verifies(self, example: JSONObject, read: Read) -> None:
        """The RFC's token verifies under the RFC's key."""
        found = outcome(example["output"]["compact"], partial(_configure, example, read))

        assert found == ACCEPTED

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_payload(self, example: JSONObject) -> None:
        """What was signed comes out as the RFC has it."""
        parsed = parsed_by(example["output"]["compact"], _configure(example))

        assert parsed.jws.payload.decode() == example["input"]["payload"]
        assert parsed.kid == example["input"]["key"].get("kid", parsed.kid)

    @each_source
    @pytest.mark.parametrize("example", EXAMPLES)
    def test_signature_of_another_payload(self, example: JSONObject, read: Read) -> None:
        """The RFC's signature under another payload is refused."""
        header, _, signature = example["output"]["compact"].split(".")

        found = outcome(f"{header}.e30.{signature}", partial(_configure, example, read))

        assert found == Reason.SIGNATURE


class TestOthers:
    def test_detached_content(self) -> None:
        """§4.5, whose payload travels elsewhere, is no token: there are no claims in it."""
        found = outcome(DETACHED["output"]["compact"], partial(_configure, DETACHED))

        assert found == Reason.NOT_COMPACT

    @pytest.mark.parametrize(
        "serialized",
        [
            pytest.param(example["output"][form], id=f"{name}-{form}")
            for name, example in (*COMPACT.items(), *JSON_ONLY.items())
            for form in ("json", "json_flat")
            if form in example["output"]
        ],
    )
    def test_json_serialization(self, serialized: Any) -> None:
        """A JWS in JSON serialization is no token (RFC 7519 §1: compact serialization always)."""
        found = outcome(json.dumps(serialized), partial(_configure, COMPACT["4.4-HS256"]))

        assert found == Reason.NOT_COMPACT
