"""What python-jose's own `jwt.decode` gets wrong, and this package does not.

One test for each finding about python-jose 3.5.0. They are the reason why it is asked about
signatures and about nothing else.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jwt_deps.errors import (
    ClaimError,
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    MalformedTokenError,
    Reason,
    SignatureError,
    UnknownKeyError,
)
from jwt_deps.settings import JWTSettings
from tests.minting import (
    NOW,
    SECRET,
    KeyPair,
    b64,
    claims,
    clock,
    mint,
    mint_raw,
    pair,
    unb64,
)
from tests.verifying import verify

SETTINGS = JWTSettings(secret_key=SECRET)
HEADER = b'{"alg":"HS256"}'

Configure = Callable[..., JWTSettings]


@pytest.fixture
def with_jwks(tmp_path: Path) -> Configure:
    """Settings with these keys in a JWK Set."""

    def configure(*keys: dict[str, Any], algorithm: str = "RS256") -> JWTSettings:
        path = tmp_path / "jwks.json"
        path.write_text(json.dumps({"keys": keys}))
        return JWTSettings(jwks_file=path, algorithm=algorithm)

    return configure


def _refusal(token: str, settings: JWTSettings = SETTINGS) -> InvalidTokenError:
    with pytest.raises(InvalidTokenError) as refused:
        verify(token, settings, clock=clock)
    return refused.value


class TestCrashes:
    """Texts that python-jose answers with something else than its own error."""

    def test_deep_header(self) -> None:
        """A header nested 1,000 deep is a malformed token, not a `RecursionError`."""
        token = mint_raw(b'{"alg":"HS256","x":' + b"[" * 1_000 + b"]" * 1_000 + b"}", b"{}")

        assert _refusal(token).reason is Reason.HEADER

    def test_deep_payload(self) -> None:
        """A payload nested 1,000 deep is a malformed token, not a `RecursionError`."""
        token = mint_raw(HEADER, b'{"x":' + b"[" * 1_000 + b"]" * 1_000 + b"}")

        assert _refusal(token).reason is Reason.PAYLOAD

    def test_lone_surrogate_in_the_text(self) -> None:
        """Half of a surrogate pair in the token's text is no `UnicodeEncodeError`."""
        assert _refusal(mint(claims()) + "\ud800").reason is Reason.NOT_COMPACT

    def test_lone_surrogate_in_a_claim(self) -> None:
        """Half of a surrogate pair in a claim, which no answer could carry, is refused."""
        token = mint_raw(HEADER, rb'{"exp":9999999999,"sub":"\ud800"}')

        assert _refusal(token).reason is Reason.PAYLOAD

    def test_alg_as_an_object(self) -> None:
        """An `alg` that is an object is no `TypeError`."""
        assert _refusal(mint_raw(b'{"alg":{}}', b"{}")).reason is Reason.ALGORITHM

    @pytest.mark.parametrize(
        ("value", "error"),
        [
            pytest.param(b"null", ClaimError, id="null"),
            pytest.param(b"[1]", ClaimError, id="list"),
            pytest.param(b"Infinity", MalformedTokenError, id="infinity"),
        ],
    )
    def test_exp_of_another_type(self, value: bytes, error: type[InvalidTokenError]) -> None:
        """A signed token with an `exp` that is no number is refused, with an error of ours."""
        token = mint_raw(HEADER, b'{"sub":"alice","exp":' + value + b"}")

        assert type(_refusal(token)) is error


class TestClaims:
    @pytest.mark.parametrize(
        "value", [pytest.param(str(NOW + 60), id="string"), pytest.param(True, id="bool")]
    )
    def test_exp_must_be_a_number(self, value: object) -> None:
        """`exp` as a string or boolean is refused; python-jose makes a number of it."""
        error = _refusal(mint(claims(exp=value)))

        assert error.reason is Reason.CLAIM_INVALID

    @pytest.mark.parametrize("part", ["header", "payload"])
    def test_duplicate_members(self, part: str) -> None:
        """A member that stands twice is refused; python-jose takes the last one."""
        header = b'{"alg":"HS256","kid":"a","kid":"b"}' if part == "header" else HEADER
        payload = b'{"exp":9999999999,"sub":"alice","sub":"mallory"}'

        error = _refusal(mint_raw(header, payload))

        assert error.reason is (Reason.HEADER if part == "header" else Reason.PAYLOAD)

    def test_missing_aud(self) -> None:
        """With an audience configured, a token without `aud` is refused."""
        error = _refusal(mint(claims()), JWTSettings(secret_key=SECRET, audience="api"))

        assert isinstance(error, ClaimError)
        assert (error.reason, error.claim) == (Reason.CLAIM_MISSING, "aud")

    def test_missing_exp(self) -> None:
        """A token without `exp` is refused, unless the settings say otherwise."""
        error = _refusal(mint({"sub": "alice"}))

        assert isinstance(error, ClaimError)
        assert (error.reason, error.claim) == (Reason.CLAIM_MISSING, "exp")

    def test_exp_now(self) -> None:
        """A token expires at `exp`, not a second later (RFC 7519 §4.1.4)."""
        settings = JWTSettings(secret_key=SECRET, leeway=0)

        assert isinstance(_refusal(mint(claims(exp=NOW)), settings), ExpiredTokenError)

    def test_iat_in_the_future(self) -> None:
        """A token that is issued tomorrow is refused."""
        assert _refusal(mint(claims(iat=NOW + 86_400))).reason is Reason.NOT_YET_VALID

    def test_several_audiences(self) -> None:
        """Several audiences may be configured, and a token may have several."""
        settings = JWTSettings(secret_key=SECRET, audience=["api", "admin"])

        verified = verify(mint(claims(aud=["x", "admin"])), settings, clock=clock)

        assert verified["aud"] == ["x", "admin"]

    def test_aud_that_is_not_asked_for(self) -> None:
        """Without an audience configured, a token with `aud` is refused (RFC 7519 §4.1.3)."""
        assert _refusal(mint(claims(aud="api"))).reason is Reason.CLAIM_FOREIGN

    def test_sub_must_be_a_string(self) -> None:
        """A `sub` that is no string is refused, here as there."""
        assert _refusal(mint(claims(sub=1))).reason is Reason.CLAIM_INVALID

    def test_at_hash(self) -> None:
        """`at_hash` in an access token does no harm."""
        token = mint(claims(at_hash="MTIzNDU2Nzg5MDEyMzQ1Ng"))

        assert verify(token, SETTINGS, clock=clock)["sub"] == "alice"

    def test_leeway_has_a_limit(self) -> None:
        """The leeway is a setting, five minutes at most."""
        with pytest.raises(ConfigurationError, match="leeway"):
            JWTSettings(secret_key=SECRET, leeway=301)


class TestHeader:
    def test_typ(self) -> None:
        """A DPoP proof is no access token."""
        assert _refusal(mint(claims(), header={"typ": "dpop+jwt"})).reason is Reason.TYPE

    def test_crit(self) -> None:
        """An extension that has to be understood, and is not, is refused (RFC 7515 §4.1.11)."""
        token = mint(claims(), header={"crit": ["x"], "x": 1})

        assert _refusal(token).reason is Reason.CRITICAL

    @pytest.mark.parametrize("algorithm", [None, "", [], [None]], ids=repr)
    def test_algorithms_are_never_open(self, algorithm: Any) -> None:
        """No value of the allow-list means "any"."""
        with pytest.raises(ConfigurationError, match=r"JWT_ALGORITHM \(algorithm\)"):
            JWTSettings(secret_key=SECRET, algorithm=algorithm)

    @pytest.mark.parametrize(
        ("algorithm", "key"),
        [
            pytest.param("PS256", pair("RSA"), id="PS256"),
            pytest.param("PS384", pair("RSA"), id="PS384"),
            pytest.param("PS512", pair("RSA"), id="PS512"),
            pytest.param("EdDSA", pair("Ed25519"), id="EdDSA"),
            pytest.param("Ed25519", pair("Ed25519"), id="Ed25519"),
        ],
    )
    def test_newer_algorithms(self, algorithm: str, key: KeyPair) -> None:
        """RSASSA-PSS and Ed25519 are there too."""
        settings = JWTSettings(secret_key=key.public_pem, algorithm=algorithm)

        verified = verify(mint(claims(), key, algorithm), settings, clock=clock)

        assert verified["sub"] == "alice"


class TestKeys:
    @pytest.mark.parametrize(
        "member",
        [
            pytest.param({"use": "enc"}, id="use"),
            pytest.param({"alg": "RSA-OAEP"}, id="alg-for-encryption"),
            pytest.param({"alg": "RS512"}, id="another-alg"),
        ],
    )
    def test_key_for_something_else(self, with_jwks: Configure, member: dict[str, Any]) -> None:
        """A JWK for encryption, or for another algorithm, checks no signature."""
        settings = with_jwks(pair("RSA").jwk(kid="a", **member), pair("RSA", "other").jwk(kid="b"))
        token = mint(claims(), pair("RSA"), "RS256", header={"kid": "a"})

        assert isinstance(_refusal(token, settings), UnknownKeyError)

    def test_short_rsa_key(self) -> None:
        """An RSA key of 1,024 bits cannot be configured."""
        with pytest.raises(ConfigurationError, match="1024 bits"):
            JWTSettings(secret_key=pair("RSA-1024").public_pem, algorithm="RS256")

    def test_es256_means_p256(self) -> None:
        """ES256 with a P-384 key cannot be configured (RFC 7518 §3.4)."""
        with pytest.raises(ConfigurationError, match="fits none of ES256"):
            JWTSettings(secret_key=pair("P-384").public_pem, algorithm="ES256")

    @pytest.mark.parametrize("kind", ["P-256", "Ed25519"])
    def test_another_kind_ahead(self, with_jwks: Configure, kind: str) -> None:
        """An EC or OKP key ahead of the RSA key in the set does no harm."""
        settings = with_jwks(pair(kind).jwk(kid="a"), pair("RSA").jwk(kid="b"))
        token = mint(claims(), pair("RSA"), "RS256", header={"kid": "b"})

        assert verify(token, settings, clock=clock)["sub"] == "alice"

    def test_kid_is_not_ignored(self, with_jwks: Configure) -> None:
        """Keys of a set are not tried in turn: `kid` says which one it is."""
        settings = with_jwks(pair("RSA").jwk(kid="a"), pair("RSA", "other").jwk(kid="b"))
        token = mint(claims(), pair("RSA"), "RS256", header={"kid": "b"})

        assert isinstance(_refusal(token, settings), SignatureError)

    def test_empty_secret(self) -> None:
        """An empty HMAC secret cannot be configured."""
        with pytest.raises(ConfigurationError, match="There is no key"):
            JWTSettings(secret_key="")

    def test_public_key_as_secret(self) -> None:
        """A public key in PEM never serves as an HMAC secret."""
        with pytest.raises(ConfigurationError, match="is a public key and fits none of HS256"):
            JWTSettings(secret_key=pair("RSA").public_pem, algorithm="HS256")


class TestBase64:
    """Every token has one spelling, so that a hash of its text identifies it."""

    @pytest.fixture
    def token(self) -> str:
        """A token whose signature has both characters of the url alphabet in it."""
        tokens = (mint(claims(jti=str(number))) for number in range(1_000))
        return next(token for token in tokens if {"-", "_"} <= set(token.rpartition(".")[2]))

    @pytest.mark.parametrize(
        "respell",
        [
            pytest.param(lambda text: text.replace("-", "+").replace("_", "/"), id="alphabet"),
            pytest.param(lambda text: f"{text[:8]}!!!!{text[8:]}", id="four-junk-characters"),
            pytest.param(lambda text: f"{text[:8]} {text[8:]}", id="space"),
            pytest.param(lambda text: f"{text}\n", id="line-break"),
            pytest.param(lambda text: f"{text}=", id="padding"),
            pytest.param(lambda text: f"{text}==", id="more-padding"),
        ],
    )
    def test_spellings(self, token: str, respell: Callable[[str], str]) -> None:
        """Another alphabet, junk, white space and padding in the signature are refused."""
        rest, _, signature = token.rpartition(".")

        error = _refusal(f"{rest}.{respell(signature)}")

        assert isinstance(error, MalformedTokenError)

    def test_spare_bits(self, token: str) -> None:
        """The three other spellings of the last character are refused."""
        signature = token.rpartition(".")[2]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        same = [
            signature[:-1] + last
            for last in alphabet
            if last != signature[-1] and unb64(signature[:-1] + last) == unb64(signature)
        ]

        refused = [_refusal(token.rpartition(".")[0] + f".{other}").reason for other in same]

        assert refused == [Reason.ENCODING] * 3

    def test_the_one_spelling(self, token: str) -> None:
        """The spelling of RFC 7515 is accepted."""
        assert b64(unb64(token.rpartition(".")[2])) == token.rpartition(".")[2]
        assert verify(token, SETTINGS, clock=clock)["sub"] == "alice"
