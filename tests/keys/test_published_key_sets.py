"""Which keys of a JWK Set are used, and for which algorithms."""

import re
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwt_deps.errors import ConfigurationError, SignatureError, UnknownKeyError
from jwt_deps.keys import KeySet, require_asymmetric
from tests.checking import check_with
from tests.minting import KINDS, SECRET, JSONObject, b64, claims, mint, pair
from tests.mistakes import refusing

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
GOOD = pair("P-256").jwk(kid="good")
RSA = pair("RSA").jwk(kid="a")
EC = pair("P-256", "other").jwk(kid="a")
OKP = pair("Ed25519").jwk(kid="a")


def _published(*jwks: object) -> tuple[KeySet, list[str]]:
    keys, skipped = KeySet.from_response(ALGORITHMS, {"keys": list(jwks)})
    return keys, [str(key) for key in skipped]


def _without(jwk: JSONObject, name: str) -> JSONObject:
    return {member: value for member, value in jwk.items() if member != name}


class TestUsed:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_for_the_algorithms_that_fit(self, algorithm: str) -> None:
        """A key checks the signatures of every allowed algorithm that fits it."""
        key = pair(KINDS[algorithm])
        keys, skipped = _published(key.jwk(kid="a"))

        check_with(mint(claims(), key, algorithm, header={"kid": "a"}), keys)

        assert [] == skipped

    @pytest.mark.parametrize(
        "members",
        [
            {},
            {"use": "sig"},
            {"key_ops": ["verify"]},
            {"key_ops": ["verify", "sign"]},
            {"alg": "RS256"},
            {"x5c": ["not looked at"], "x5t": 5, "x5u": "https://evil.example"},
            {"anything": {"else": None}},
        ],
        ids=["plain", "use", "key-ops", "several-key-ops", "alg", "certificates", "unknown"],
    )
    def test_members(self, members: JSONObject) -> None:
        """What a key is meant for may be said or not; what is not known is ignored."""
        keys, skipped = _published({**RSA, **members})

        assert (1, []) == (len(keys.choose("RS256", "a")), skipped)

    def test_only_for_its_own_algorithm(self) -> None:
        """A key that says `alg` serves that one and no other that would fit."""
        keys, _ = _published({**RSA, "alg": "PS256"})

        assert 1 == keys.size
        with pytest.raises(UnknownKeyError):
            keys.choose("RS256", "a")

    def test_for_no_algorithm_that_is_not_allowed(self) -> None:
        """Neither what a key says nor what would fit it adds to the allow-list."""
        with pytest.raises(ValueError, match="has no usable key for ES256"):
            KeySet.from_response(["ES256"], {"keys": [{**RSA, "alg": "RS512"}]})

    def test_a_good_key_among_bad_ones(self) -> None:
        """One bad key does not take the others along."""
        keys, skipped = _published({"kty": "RSA"}, GOOD, {**OKP, "x": "!"})

        assert frozenset({"good"}) == keys.kids
        assert ["a key without kid: malformed_jwk", "'a': malformed_jwk"] == skipped

    def test_as_many_as_may_be(self) -> None:
        """The most keys that a set may hold are held."""
        jwks = [{**GOOD, "kid": str(number)} for number in range(100)]

        assert 100 == _published(*jwks)[0].size


#: What is published beside a good key and is not for checking signatures here.
PASSED_OVER: dict[str, JSONObject] = {
    "use-enc": {**RSA, "use": "enc"},
    "use-unknown": {**RSA, "use": "other"},
    "use-null": {**RSA, "use": None},
    "use-list": {**RSA, "use": ["sig"]},
    "key-ops-of-others": {**RSA, "key_ops": ["encrypt", "wrapKey"]},
    "key-ops-none": {**RSA, "key_ops": []},
    "key-ops-null": {**RSA, "key_ops": None},
    "key-ops-a-string": {**RSA, "key_ops": "verify"},
    "key-ops-sign": {**RSA, "key_ops": ["sign"]},
    "use-wins": {**RSA, "use": "enc", "key_ops": ["verify"]},
    "kty-absent": _without(RSA, "kty"),
    "kty-unknown": {**RSA, "kty": "AKP"},
    "kty-in-lower-case": {**RSA, "kty": "rsa"},
    "kty-a-list": {**RSA, "kty": ["RSA"]},
    "crv-absent": _without(EC, "crv"),
    "crv-unknown": {**EC, "crv": "secp256k1"},
    "crv-a-list": {**EC, "crv": ["P-256"]},
    "crv-x25519": {**OKP, "crv": "X25519"},
    "crv-ed448": {**OKP, "crv": "Ed448"},
    "alg-unknown": {**RSA, "alg": "RSA-OAEP"},
    "alg-none": {**RSA, "alg": "none"},
    "alg-hmac": {**RSA, "alg": "HS256"},
    "alg-of-another-kind": {**RSA, "alg": "ES256"},
    "alg-in-lower-case": {**RSA, "alg": "rs256"},
    "alg-null": {**RSA, "alg": None},
}

#: What cannot be right; `jose/test_jwk` has all that is secret or malformed.
UNUSABLE: dict[str, object] = {
    "secret": {"kty": "oct", "k": b64(SECRET.encode()), "kid": "a", "alg": "HS256"},
    "private": {**RSA, "d": "AQAB"},
    "private-null": {**RSA, "d": None},
    "rsa-1024": pair("RSA-1024").jwk(kid="a"),
    "rsa-n-absent": _without(RSA, "n"),
    "rsa-n-in-the-other-base64": {**RSA, "n": "+/" + RSA["n"]},
    "rsa-n-with-spaces": {**RSA, "n": " " + RSA["n"]},
    "rsa-e-zero": {**RSA, "e": "AA"},
    "ec-off-the-curve": {**EC, "y": EC["x"]},
    "ec-infinity": {**EC, "x": b64(bytes(32)), "y": b64(bytes(32))},
    "okp-x-short": {**OKP, "x": "AAAA"},
    "okp-x-null": {**OKP, "x": None},
    "kid-a-number": {**RSA, "kid": 5},
    "kid-a-list": {**RSA, "kid": ["a"]},
    "kid-false": {**RSA, "kid": False},
}

NO_OBJECT: dict[str, object] = {"null": None, "string": "a", "number": 5, "list": [], "true": True}


class TestUnused:
    @pytest.mark.parametrize(
        ("jwk", "listed"),
        [
            # Keys for something else are passed over, as RFC 7517 §5 has it.
            *(pytest.param(it, r"'a': it.*", id=name) for name, it in PASSED_OVER.items()),
            # Secret, weak or malformed ones; why is a section of errors.md.
            *(
                pytest.param(it, r"('a'|a key without kid): [a-z]+_[a-z_]+", id=name)
                for name, it in UNUSABLE.items()
            ),
            *(
                pytest.param(it, "a key without kid: it is not a JSON object", id=name)
                for name, it in NO_OBJECT.items()
            ),
        ],
    )
    def test_is_left_out_and_listed(self, jwk: object, listed: str) -> None:
        """A set without a usable key is no set: it never replaces one that has some."""
        keys, (skipped,) = _published(jwk, GOOD)

        with pytest.raises(ValueError, match="has no usable key for RS256, PS256, ES256"):
            _published(jwk)
        assert frozenset({"good"}) == keys.kids
        assert re.fullmatch(listed, skipped)

    @pytest.mark.parametrize(
        ("jwk", "why"),
        [
            pytest.param({**RSA, "use": "enc"}, "it is for encryption", id="enc"),
            pytest.param({**RSA, "use": "SIG"}, "its use is neither sig nor enc", id="use"),
            pytest.param({**RSA, "key_ops": []}, "its key_ops lack verify", id="key-ops"),
            pytest.param({"kid": "a", "x5c": ["MII"]}, "it has no kty", id="x5c-only"),
            pytest.param({"kid": "a", "kty": "RSA", "x5c": ["M"]}, "malformed_jwk", id="x5c-rsa"),
            pytest.param({**OKP, "crv": "Ed448"}, "its kty or crv is not supported", id="crv"),
            pytest.param({**RSA, "alg": "RS512"}, "its algorithm is not accepted", id="alg"),
            pytest.param(pair("RSA-1024").jwk(kid="a"), "short_rsa_key", id="short"),
            pytest.param({**RSA, "d": "AQAB"}, "secret_jwk", id="private"),
        ],
    )
    def test_the_reason(self, jwk: object, why: str) -> None:
        """It is listed, and in the error where no key is usable."""
        assert [f"'a': {why}"] == _published(jwk, GOOD)[1]
        with pytest.raises(ValueError, match=f"has no usable key for .*: 'a': {why}"):
            _published(jwk)

    def test_a_kind_that_cryptography_does_not_support_here(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In FIPS mode, for example: that key alone is not used."""
        monkeypatch.setattr(Ed25519PublicKey, "from_public_bytes", refusing)

        keys, skipped = _published(OKP, GOOD, RSA)

        assert {"RS256", "PS256", "ES256"} == set(keys.in_set)
        assert ["'a': unsupported_key"] == skipped

    def test_a_long_name(self) -> None:
        """It is cut, and on one line."""
        _, (said,) = _published({**RSA, "use": "enc", "kid": "a\n" * 1000}, GOOD)

        assert "\n" not in said
        assert len(said) < 200

    @pytest.mark.parametrize("algorithm", ["HS256", "none", "RS257"])
    def test_algorithms_that_no_published_key_can_have(self, algorithm: str) -> None:
        """They are refused when the settings are built, not when the keys come."""
        with pytest.raises(ConfigurationError, match="JWT_ALGORITHM"):
            require_asymmetric(["RS256", algorithm])


class TestNames:
    def test_attack_a_second_key_under_the_name_of_the_first(self) -> None:
        """Which of two different keys is meant cannot be told: neither is used."""
        first, second = pair("P-256").jwk(kid="a"), pair("P-256", "other").jwk(kid="a")

        keys, skipped = _published(first, second, GOOD)

        assert frozenset({"good"}) == keys.kids
        assert ["'a': another key has its kid"] * 2 == skipped

    def test_a_third_makes_it_no_better(self) -> None:
        """Not even one that is equal to the first."""
        first, second = pair("P-256").jwk(kid="a"), pair("P-256", "other").jwk(kid="a")

        assert frozenset({"good"}) == _published(first, second, first, GOOD)[0].kids

    def test_equal_keys_are_one(self) -> None:
        """A key that stands there twice is kept once, and is no fault."""
        keys, skipped = _published(GOOD, {**GOOD, "use": "sig"})
        nameless = pair("P-256").jwk()

        assert (1, []) == (len(keys.choose("ES256", "good")), skipped)
        assert 1 == len(_published(nameless, nameless)[0].choose("ES256", None))

    def test_one_name_for_keys_of_different_algorithms(self) -> None:
        """The algorithm tells them apart."""
        keys, skipped = _published(RSA, EC, OKP)

        assert [] == skipped
        assert {"RS256", "PS256", "ES256", "EdDSA", "Ed25519"} == {
            algorithm for _, algorithm in keys.named
        }

    def test_only_where_they_meet(self) -> None:
        """Two keys of one name, one for all its algorithms and one for a single one."""
        first, second = pair("RSA").jwk(kid="a"), pair("RSA", "other").jwk(kid="a", alg="RS256")

        keys, _ = _published(first, second, GOOD)

        assert {("a", "PS256"), ("good", "ES256")} == set(keys.named)

    def test_keys_without_names(self) -> None:
        """Several keys without a name are kept, and a token that names none finds none."""
        keys, skipped = _published(pair("P-256").jwk(), pair("P-256", "other").jwk())

        assert (2, []) == (keys.size, skipped)
        with pytest.raises(UnknownKeyError):
            keys.choose("ES256", None)

    def test_a_name_is_final(self) -> None:
        """With a `kid` no other key is tried, and a name is compared to the letter."""
        other = pair("P-256", "other")
        keys, _ = _published(GOOD, other.jwk(kid="Good"))

        with pytest.raises(SignatureError):
            check_with(mint(claims(), other, "ES256", header={"kid": "good"}), keys)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
_MEMBERS = st.sampled_from(
    [*RSA, *EC, "use", "key_ops", "alg", "d", "k", "kid", "x5c", "kty", "crv", "n", "e", "x", "y"]
)
_VALUES = (
    _JSON
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "RS256", "AQAB", ""])
    | st.sampled_from([RSA["n"], EC["x"], EC["y"], OKP["x"]])
    | st.binary(max_size=40).map(b64)
    | st.text(alphabet="AQgw_-", max_size=400)
)
_CHANGED = st.builds(
    lambda jwk, changes: {**jwk, **changes},
    st.sampled_from([RSA, EC, OKP, GOOD, {}]),
    st.dictionaries(_MEMBERS, _VALUES, max_size=4),
)


class TestAnything:
    @given(st.dictionaries(st.text(max_size=4) | st.just("keys"), _JSON))
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_any_document(self, document: dict[str, Any]) -> None:
        """Whatever JSON object an issuer sends, it is a set of keys or a `ValueError`."""
        with suppress(ValueError):
            KeySet.from_response(ALGORITHMS, document)

    @given(st.lists(_CHANGED | _JSON, max_size=4))
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_any_keys(self, jwks: list[object]) -> None:
        """Whatever its members, no key serves what is not allowed, and every member counts once."""
        with suppress(ValueError):
            keys, skipped = _published(*jwks)

            assert {algorithm for _, algorithm in keys.named} <= set(ALGORITHMS)
            assert len(skipped) < len(jwks)
