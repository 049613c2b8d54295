"""C2SP/wycheproof: all vectors for JSON Web Signature and JSON Web Key, through our own check.

What the file and this package see differently is listed by the vector's own number, with the
reason; everything else has to agree.
"""

import json
from functools import partial

import pytest

from jwt_deps.jose import HMAC_ALGORITHMS
from jwt_deps.keys import KeySet
from tests.minting import JSONObject, unb64
from tests.vectors.thirdparty import (
    ACCEPTED,
    CONFIGURATION,
    Read,
    configured,
    each_source,
    load,
    outcome,
    secret_key_set,
)

SIGNATURES = load("wycheproof/json_web_signature_test.json")
KEYS = load("wycheproof/json_web_key_test.json")

NO_CLAIMS = "an empty payload is no set of claims, so three parts with something in each are read"
PS384_KEY_MARKED_PS256 = "the key is marked PS256 and the token is signed with PS384"
ES521_IS_NONE = "the key is marked ES521, an algorithm that does not exist (RFC 7518 §3.4: ES512)"
FOREIGN_CHARACTER = "`?` is outside the base64url alphabet, and nothing foreign is passed over"
SAME_AS_357 = "the text is that of vector 357 to the letter, which the file calls valid"

#: The vectors of json_web_signature_test.json that come out differently, and why.
DEVIATIONS = {
    259: NO_CLAIMS,
    264: NO_CLAIMS,
    268: NO_CLAIMS,
    272: NO_CLAIMS,
    320: NO_CLAIMS,
    325: NO_CLAIMS,
    346: PS384_KEY_MARKED_PS256,
    347: ES521_IS_NONE,
    350: PS384_KEY_MARKED_PS256,
    351: ES521_IS_NONE,
    367: SAME_AS_357,
    370: SAME_AS_357,
    372: FOREIGN_CHARACTER,
    373: FOREIGN_CHARACTER,
}

SECRET_IN_A_SET = "a JWK Set holds public keys; the same secret as text is accepted, see below"
NO_ROCA_CHECK = "keys of Infineon's library (CVE-2017-15361) are not recognised"

#: The same for json_web_key_test.json.
KEY_DEVIATIONS = {
    2: SECRET_IN_A_SET,
    7: NO_ROCA_CHECK,
    13: SECRET_IN_A_SET,
    14: SECRET_IN_A_SET,
    15: SECRET_IN_A_SET,
}


def _text(vector: JSONObject) -> str:
    jws = vector["jws"]
    return jws if isinstance(jws, str) else json.dumps(jws)


def _vectors(file: JSONObject) -> list[tuple[JSONObject, JSONObject]]:
    return [(group, vector) for group in file["testGroups"] for vector in group["tests"]]


def _configure(group: JSONObject, read: Read = configured) -> KeySet:
    """Configure the group's key, for the algorithm that it is marked with."""
    jwk = group.get("public") or group["private"]
    if jwk["kty"] == "oct":
        return secret_key_set(unb64(jwk["k"]), algorithm=jwk["alg"])
    algorithm = jwk.get("alg") or {"RSA": "RS256", "EC": "ES256"}[jwk["kty"]]
    return read(algorithm, {"keys": [jwk]})


def _agrees(vector: JSONObject, found: str) -> bool:
    valid: bool = vector["result"] == "valid"
    return (found == ACCEPTED) == valid


class TestSignatures:
    @each_source
    def test_vectors(self, read: Read) -> None:
        """A valid token verifies under the group's key and an invalid one is refused."""
        found = {
            vector["tcId"]: _agrees(
                vector, outcome(_text(vector), partial(_configure, group, read))
            )
            for group, vector in _vectors(SIGNATURES)
        }

        assert DEVIATIONS.keys() == {number for number, agrees in found.items() if not agrees}

    def test_two_invalid_vectors_are_a_valid_one(self) -> None:
        """Vectors 367 and 370 are marked invalid, but they equal the valid vector 357."""
        texts = {vector["tcId"]: vector["jws"] for _, vector in _vectors(SIGNATURES)}

        assert texts[367] == texts[370] == texts[357]

    @each_source
    @pytest.mark.parametrize("number", [346, 347, 350, 351])
    def test_with_the_key_marked_right(self, number: int, read: Read) -> None:
        """The tokens of mismarked keys verify once the key says what it was used for."""
        group, vector = next(it for it in _vectors(SIGNATURES) if it[1]["tcId"] == number)
        algorithm = json.loads(unb64(vector["jws"].partition(".")[0]))["alg"]
        jwk = {**group["public"], "alg": algorithm}

        found = outcome(vector["jws"], partial(read, algorithm, {"keys": [jwk]}))

        assert found == ACCEPTED


class TestKeys:
    @each_source
    def test_vectors(self, read: Read) -> None:
        """A bad JWK Set is refused when configured, or checks no token with its bad key."""
        differ = set()
        for group, vector in _vectors(KEYS):
            jwks = group.get("public") or group["private"]
            algorithm = json.loads(unb64(vector["jws"].partition(".")[0]))["alg"]
            if not _agrees(vector, outcome(_text(vector), partial(read, algorithm, jwks))):
                differ.add(vector["tcId"])

        assert KEY_DEVIATIONS.keys() == differ

    def test_secrets_as_text(self) -> None:
        """The secrets of the file behave as it says, given where secrets belong."""
        found = {}
        for group, vector in _vectors(KEYS):
            keys = group["private"]["keys"]
            is_of_secrets = all(key.get("alg") in HMAC_ALGORITHMS for key in keys)
            if is_of_secrets and "DuplicateKid" not in vector["flags"]:
                secrets = [unb64(key["k"]) for key in keys]
                configure = partial(secret_key_set, *secrets, algorithm=keys[0]["alg"])
                found[vector["tcId"]] = _agrees(vector, outcome(_text(vector), configure))

        assert {True} == {*found.values()}, found

    def test_secrets_never_come_in_a_set(self) -> None:
        """Every JWK Set of the file that has a secret in it is refused when configured."""
        found = {
            outcome("a.b.c", partial(KeySet.build, [algorithm], jwks=group["private"]))
            for group in KEYS["testGroups"]
            for algorithm in ("HS256", "RS256")
            if any(key["kty"] == "oct" for key in group["private"]["keys"])
        }

        assert found == {CONFIGURATION}
