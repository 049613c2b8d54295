"""Which key checks a token, and which sets of keys are refused from the start."""

import json
from contextlib import nullcontext
from typing import TypeAlias

import pytest

from jwt_deps.errors import (
    ConfigurationError,
    MalformedTokenError,
    Reason,
    SignatureError,
    UnknownKeyError,
)
from jwt_deps.keys import KeySet
from tests.checking import check_with, parsed_by
from tests.minting import (
    ALGORITHMS,
    SECRET,
    JSONObject,
    claims,
    mint,
    pair,
    signing_key,
    verification_text,
)
from tests.saying import everything_said

SECRETS = ("JWT_SECRET_KEY (secret_key)", "JWT_VERIFICATION_KEYS (verification_keys)")
JWKS = ("JWT_JWKS_FILE (jwks_file)",)
ALGORITHM = ("JWT_ALGORITHM (algorithm)",)
EITHER = (*SECRETS, *ALGORITHM)


def _jwks(*keys: object) -> JSONObject:
    return {"keys": list(keys)}


RSA, OTHER, EC = pair("RSA"), pair("RSA", "other"), pair("P-256")


def _chosen(keys: KeySet, algorithm: str, kid: str | None) -> object:
    """The names of the keys that a token gets, or the type of the error."""
    try:
        return [(key.kid, key.algorithm) for key in keys.choose(algorithm, kid)]
    except UnknownKeyError as error:
        return type(error)


class TestStaticKeys:
    @pytest.mark.parametrize("kid", [None, "", "a", "anything else"])
    def test_serves_any_kid(self, kid: str | None) -> None:
        """A static key has no `kid` and serves tokens with any, and with none."""
        keys = KeySet.build(["HS256", "HS256"], [SECRET])

        assert [(None, "HS256")] == _chosen(keys, "HS256", kid)

    def test_all_algorithms_at_once(self) -> None:
        """Each algorithm that is allowed and fits gets a key of its own."""
        texts = {verification_text(algorithm) for algorithm in ALGORITHMS}

        keys = KeySet.build(ALGORITHMS, sorted(texts))

        for algorithm in ALGORITHMS:
            assert [(None, algorithm)] == _chosen(keys, algorithm, None)
            check_with(mint(claims(), signing_key(algorithm), algorithm), keys)

    @pytest.mark.parametrize(
        "secret",
        [
            pytest.param("[" * 100_000, id="deep-json"),
            pytest.param("9" * 5_000, id="number"),
            pytest.param('"' + SECRET + '"', id="json-string"),
            pytest.param('{"secret": "' + SECRET + '"}', id="json-object"),
            pytest.param("ä€😀" * 16, id="not-ascii"),
            pytest.param("\x00" * 64, id="nul"),
            pytest.param(" " + SECRET + "\n", id="white-space"),
            pytest.param("begin public key " * 4, id="words"),
        ],
    )
    def test_a_secret_is_any_text(self, secret: str) -> None:
        """A long text that is no key of another kind is a secret, taken as it stands."""
        check_with(mint(claims(), secret), KeySet.build(["HS256"], [secret]))


TWO = _jwks(RSA.jwk(kid="a"), OTHER.jwk(kid="b"), EC.jwk(kid="ec"))
WITHOUT_KID = _jwks(RSA.jwk(), OTHER.jwk(), EC.jwk())
ONE_KID = _jwks(RSA.jwk(kid="a"), EC.jwk(kid="a"))
BOUND = _jwks(RSA.jwk(kid="a", alg="RS256"), OTHER.jwk(kid="b", alg="PS256"), EC.jwk())
#: A JWK Set for RS256, PS256 and ES256; the algorithm and `kid` of a token; the keys that it gets.
CHOICES: dict[str, tuple[JSONObject, str, str | None, object]] = {
    "kid-chooses": (TWO, "RS256", "b", [("b", "RS256")]),
    **{
        f"kid-is-exact-{kid!r}": (TWO, "RS256", kid, UnknownKeyError)
        for kid in ("A", "a ", "", "c", "../a", "a\x00")
    },
    "kid-may-be-empty": (_jwks(RSA.jwk(kid=""), EC.jwk()), "RS256", "", [("", "RS256")]),
    "no-kid-and-one-fits": (ONE_KID, "RS256", None, [("a", "RS256")]),
    "no-kid-and-two-fit": (TWO, "RS256", None, UnknownKeyError),
    "without-kid-and-one-fits": (WITHOUT_KID, "ES256", None, [(None, "ES256")]),
    "without-kid-and-two-fit": (WITHOUT_KID, "RS256", None, UnknownKeyError),
    "without-kid-serves-no-token-with-one": (WITHOUT_KID, "ES256", "a", UnknownKeyError),
    "alg-of-the-key": (BOUND, "RS256", "a", [("a", "RS256")]),
    "alg-binds-the-key": (BOUND, "PS256", "a", UnknownKeyError),
    "one-kid-of-two-kinds": (ONE_KID, "ES256", "a", [("a", "ES256")]),
    "not-allowed": (TWO, "RS384", "a", UnknownKeyError),
}


class TestJWKSet:
    @pytest.mark.parametrize(("jwks", "algorithm", "kid", "chosen"), CHOICES.values(), ids=CHOICES)
    def test_choice(
        self, jwks: JSONObject, algorithm: str, kid: str | None, chosen: object
    ) -> None:
        """The `kid` chooses, to the letter; without one, the only key that fits."""
        keys = KeySet.build(["RS256", "PS256", "ES256", "RS256"], jwks=jwks)

        assert chosen == _chosen(keys, algorithm, kid)

    @pytest.mark.parametrize("first", ["P-256", "Ed25519", "RSA"])
    def test_the_key_that_is_named_checks(self, first: str) -> None:
        """Whatever is ahead of it in the set; the signature of another key is refused."""
        ahead = pair(first, "ahead")
        keys = KeySet.build(["RS256"], jwks=_jwks(ahead.jwk(kid="a"), RSA.jwk(kid="b")))

        check_with(mint(claims(), RSA, "RS256", header={"kid": "b"}), keys)
        with pytest.raises(SignatureError):
            check_with(mint(claims(), OTHER, "RS256", header={"kid": "b"}), keys)

    @pytest.mark.parametrize(
        "passed_over",
        [
            pytest.param(OTHER.jwk(kid="b", use="enc"), id="use-enc"),
            pytest.param(OTHER.jwk(kid="b", alg="RS512"), id="alg"),
            pytest.param({"kty": "AKP", "kid": "b"}, id="unknown-kty"),
            pytest.param("a string", id="not-an-object"),
            pytest.param(OTHER.jwk(kid=5, use="enc"), id="kid-of-a-foreign-key"),
        ],
    )
    def test_keys_for_something_else_are_passed_over(self, passed_over: object) -> None:
        """As in `test_published_key_sets`: no token gets it, and it breaks nothing."""
        keys = KeySet.build(["RS256"], jwks=_jwks(passed_over, RSA.jwk(kid="a")))

        assert [("a", "RS256")] == _chosen(keys, "RS256", None)
        assert UnknownKeyError is _chosen(keys, "RS256", "b")


class TestJWKSetBesideStaticKeys:
    @pytest.fixture
    def keys(self) -> KeySet:
        """An RSA key and an EC key in the set; another RSA key beside it."""
        jwks = _jwks(RSA.jwk(kid="a"), EC.jwk(kid="b"))
        return KeySet.build(["RS256", "ES256"], [pair("RSA", "static").public_pem], jwks)

    @pytest.mark.parametrize(
        ("kid", "signer", "error"),
        [
            pytest.param("a", "issuer", None, id="named"),
            pytest.param("a", "static", SignatureError, id="named-and-static-signs"),
            pytest.param("c", "static", None, id="unknown-kid-falls-to-static"),
            pytest.param("c", "issuer", SignatureError, id="unknown-kid-never-falls-to-the-set"),
            pytest.param("b", "static", UnknownKeyError, id="kid-of-a-key-that-does-not-fit"),
            pytest.param(None, "issuer", None, id="no-kid"),
            pytest.param(None, "static", None, id="no-kid-and-static-signs"),
        ],
    )
    def test_choice(
        self, keys: KeySet, kid: str | None, signer: str, error: type[Exception] | None
    ) -> None:
        """A `kid` that names a key of the set is final; any other is for the static keys."""
        header = {} if kid is None else {"kid": kid}
        token = mint(claims(), pair("RSA", signer), "RS256", header=header)

        with nullcontext() if error is None else pytest.raises(error):
            check_with(token, keys)

    def test_no_kid_and_two_of_the_set_fit(self) -> None:
        """Where two keys of the set fit, a token without `kid` is for the static keys alone."""
        keys = KeySet.build(["RS256"], [pair("RSA", "static").public_pem], TWO)

        assert [(None, "RS256")] == _chosen(keys, "RS256", None)

    def test_unknown_kid_without_a_static_key_that_fits(self, keys: KeySet) -> None:
        """An unknown `kid` finds no key where no static key fits the algorithm."""
        assert UnknownKeyError is _chosen(keys, "ES256", "c")


# Kept apart from the calls: a traceback shows the line of the call.
OPENSSH = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDf0 alice@host"
SSH2 = "---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3NzaC1yc2EAAAA"
NOT_TEXT = "\udcff" * 64

Keys: TypeAlias = "list[str] | JSONObject"
#: For which algorithms, which keys or JWK Set, which settings the error names, and what it says.
REFUSED: dict[str, tuple[list[str], Keys, tuple[str, ...], str]] = {
    "no-key": (["HS256"], [], (*SECRETS, *JWKS), "no key"),
    "no-algorithm": ([], [SECRET], ALGORITHM, "nothing"),
    **{
        f"algorithm-{name or 'empty'}": (["HS256", name], [SECRET], ALGORITHM, "not supported")
        for name in ("none", "None", "hs256", "HS256 ", "", "ES256K1", "RSA-OAEP")
    },
    "secret-too-short": (["HS256"], ["short"], SECRETS, "5 bytes and HS256 needs at least 32"),
    "second-secret-empty": (
        ["HS256"],
        [SECRET, ""],
        SECRETS,
        "0 bytes and HS256 needs at least 32",
    ),
    "secret-too-short-for-one-of-two": (
        ["HS256", "HS512"],
        [SECRET[:32]],
        SECRETS,
        "32 bytes and HS512 needs at least 64",
    ),
    "public-key-for-hmac": (
        ["HS256"],
        [RSA.public_pem],
        EITHER,
        "public key and fits none of HS256",
    ),
    "secret-for-a-signature": (
        ["RS256", "ES256"],
        [SECRET],
        EITHER,
        "is a shared secret and fits none of RS256, ES256: remove it, or set JWT_ALGORITHM",
    ),
    "other-curve": (["ES256"], [pair("P-384").public_pem], EITHER, "fits none of ES256"),
    "algorithm-without-a-key": (
        ["RS256", "ES256"],
        [RSA.public_pem],
        ALGORITHM,
        "No configured key fits ES256",
    ),
    "hmac-with-a-set": (["HS256"], TWO, ALGORITHM, "exclude each other"),
    "hmac-among-others-with-a-set": (["HS256", "RS256"], TWO, ALGORITHM, "exclude each other"),
    "set-without-keys": (["RS256"], {}, JWKS, '"keys"'),
    "keys-not-an-array": (["RS256"], {"keys": RSA.jwk()}, JWKS, '"keys"'),
    "set-empty": (["RS256"], _jwks(), (*JWKS, *ALGORITHM), "No key"),
    "set-of-other-keys": (
        ["RS256"],
        _jwks(EC.jwk(kid="a")),
        (*JWKS, *ALGORITHM),
        "No key .* checks signatures with RS256",
    ),
    "kid-a-number": (["RS256"], _jwks(RSA.jwk(kid=5)), JWKS, "kid that is not a string"),
    "kid-twice": (["RS256"], _jwks(RSA.jwk(kid="a"), OTHER.jwk(kid="a")), JWKS, "share one kid"),
    "private-key-in-the-set": (["RS256"], _jwks(RSA.jwk(d="AQAB")), JWKS, "is secret"),
    "secret-in-the-set": (
        ["RS256"],
        _jwks(RSA.jwk(kid="a"), {"kty": "oct", "k": SECRET}),
        JWKS,
        "is secret",
    ),
    "weak-key-in-the-set": (["RS256"], _jwks(pair("RSA-1024").jwk()), JWKS, "1024 bits"),
    "openssh-public-key": (["HS256"], [OPENSSH], SECRETS, "OpenSSH"),
    "ssh2-public-key": (["HS256"], [SSH2], SECRETS, "OpenSSH"),
    "jwk-as-a-secret": (["HS256"], [json.dumps(RSA.jwk())], SECRETS, "public key"),
    "secret-not-text": (["HS256"], [NOT_TEXT], SECRETS, "is not UTF-8"),
    "pem-not-text": (["RS256"], [f"-----BEGIN PUBLIC KEY-----{NOT_TEXT}"], SECRETS, "is not UTF-8"),
}


class TestRefusedFromTheStart:
    @pytest.mark.parametrize(
        ("algorithms", "keys", "named", "sentence"), REFUSED.values(), ids=REFUSED
    )
    def test_with_a_sentence(
        self, algorithms: list[str], keys: Keys, named: tuple[str, ...], sentence: str
    ) -> None:
        """What cannot work is refused with a sentence that names the settings to change.

        No secret, key, or name of an unknown algorithm shows in what the error says.
        """
        texts, jwks = (keys, None) if isinstance(keys, list) else ([], keys)

        with pytest.raises(ConfigurationError, match=sentence) as refused:
            KeySet.build(algorithms, texts, jwks)

        said = everything_said(refused.value)
        values = (SECRET[:32], "K1", "OAEP", "AAAAB3Nza", "udcff", pair("RSA").jwk()["n"])
        assert [name for name in named if name not in str(refused.value)] == []
        assert [value for value in values if value in said] == []


class TestEmpty:
    @pytest.mark.parametrize("algorithm", [*ALGORITHMS, "none"])
    def test_accepts_nothing(self, algorithm: str) -> None:
        """A set without keys, for those who check tokens elsewhere, accepts no algorithm."""
        token = mint(claims(), header={"alg": algorithm})

        with pytest.raises(MalformedTokenError) as refused:
            parsed_by(token, KeySet.empty())

        assert refused.value.reason is Reason.ALGORITHM


class TestRepr:
    def test_shows_no_keys(self) -> None:
        """`repr` of a key set shows the algorithms and nothing of the keys."""
        keys = KeySet.build(["HS256"], [SECRET])

        assert repr(keys) == "KeySet(algorithms=frozenset({'HS256'}))"

    def test_of_one_key(self) -> None:
        """`repr` of one key shows its algorithm and `kid`."""
        keys = KeySet.build(["RS256"], jwks=_jwks(pair("RSA").jwk(kid="a")))

        assert repr(keys.choose("RS256", "a")[0]) == "VerificationKey(algorithm='RS256', kid='a')"
