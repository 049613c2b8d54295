"""Which key checks a token, and which sets of keys are refused from the start."""

from typing import TypeAlias

import pytest

from jwt_deps.errors import (
    ConfigurationError,
    MalformedTokenError,
    Reason,
    SignatureError,
    UnknownKeyError,
)
from jwt_deps.keys import KeySet, VerificationKey
from tests.checking import check_with, parsed_by
from tests.minting import (
    ALGORITHMS,
    OTHER_SECRET,
    SECRET,
    JSONObject,
    claims,
    mint,
    pair,
    signing_key,
    verification_text,
)
from tests.saying import everything_said

SECRET_SETTINGS = ("JWT_SECRET_KEY (secret_key)", "JWT_VERIFICATION_KEYS (verification_keys)")
JWKS_SETTING = ("JWT_JWKS_FILE (jwks_file)",)
ALGORITHM_SETTING = ("JWT_ALGORITHM (algorithm)",)


def _jwks(*keys: object) -> JSONObject:
    return {"keys": list(keys)}


def _names(keys: tuple[VerificationKey, ...]) -> list[tuple[str | None, str]]:
    return [(key.kid, key.algorithm) for key in keys]


class TestStaticKeys:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_serves_its_algorithm(self, algorithm: str) -> None:
        """A secret or public key checks tokens of the algorithm that it fits."""
        keys = KeySet.build([algorithm], [verification_text(algorithm)])
        token = mint(claims(), signing_key(algorithm), algorithm)

        check_with(token, keys)

    @pytest.mark.parametrize("kid", [None, "", "a", "anything else"])
    def test_serves_any_kid(self, kid: str | None) -> None:
        """A static key has no `kid` and serves tokens with any, and with none."""
        keys = KeySet.build(["HS256"], [SECRET])

        chosen = keys.choose("HS256", kid)

        assert _names(chosen) == [(None, "HS256")]

    @pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
    def test_several_secrets_serve_rotation(self, secret: str) -> None:
        """A token signed with any of several secrets verifies."""
        keys = KeySet.build(["HS256"], [SECRET, OTHER_SECRET])

        check_with(mint(claims(), secret), keys)

    def test_a_secret_that_was_withdrawn_serves_no_more(self) -> None:
        """A token signed with a secret that is not configured is refused."""
        keys = KeySet.build(["HS256"], [SECRET])

        with pytest.raises(SignatureError):
            check_with(mint(claims(), OTHER_SECRET), keys)

    def test_one_rsa_key_serves_several_algorithms(self) -> None:
        """Each algorithm that is allowed and fits gets a key of its own."""
        keys = KeySet.build(["RS256", "PS256"], [pair("RSA").public_pem])

        chosen = [keys.choose(algorithm, None) for algorithm in ("RS256", "PS256")]

        assert [_names(found) for found in chosen] == [[(None, "RS256")], [(None, "PS256")]]

    def test_different_kinds_side_by_side(self) -> None:
        """An RSA key beside an EC key serves RSA tokens only, and the EC key the others."""
        keys = KeySet.build(["RS256", "ES256"], [pair("P-256").public_pem, pair("RSA").public_pem])

        for algorithm in ("RS256", "ES256"):
            check_with(mint(claims(), signing_key(algorithm), algorithm), keys)

    def test_all_algorithms_at_once(self) -> None:
        """Every algorithm may be allowed at once, given a key for each."""
        texts = {verification_text(algorithm) for algorithm in ALGORITHMS}

        keys = KeySet.build(ALGORITHMS, sorted(texts))

        assert [len(keys.choose(algorithm, None)) for algorithm in ALGORITHMS] == [1] * 14

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
        keys = KeySet.build(["HS256"], [secret])

        check_with(mint(claims(), secret), keys)

    def test_an_algorithm_named_twice_counts_once(self) -> None:
        """Naming an algorithm twice changes nothing."""
        keys = KeySet.build(["HS256", "HS256"], [SECRET])

        assert _names(keys.choose("HS256", None)) == [(None, "HS256")]


class TestJWKSet:
    def test_kid_chooses(self) -> None:
        """A token is checked with the key that its `kid` names, and with no other."""
        keys = KeySet.build(
            ["RS256"],
            jwks=_jwks(pair("RSA").jwk(kid="a"), pair("RSA", "other").jwk(kid="b")),
        )

        chosen = keys.choose("RS256", "b")

        assert _names(chosen) == [("b", "RS256")]

    def test_another_keys_signature_is_refused(self) -> None:
        """A token that names one key and is signed with another of the set is refused."""
        keys = KeySet.build(
            ["RS256"],
            jwks=_jwks(pair("RSA").jwk(kid="a"), pair("RSA", "other").jwk(kid="b")),
        )
        token = mint(claims(), pair("RSA"), "RS256", header={"kid": "b"})

        with pytest.raises(SignatureError):
            check_with(token, keys)

    @pytest.mark.parametrize("kid", ["A", "a ", "", "c", "../a", "a\x00"])
    def test_kid_is_exact(self, kid: str) -> None:
        """A `kid` is compared character by character; one that names nothing finds no key."""
        keys = KeySet.build(["RS256"], jwks=_jwks(pair("RSA").jwk(kid="a")))

        with pytest.raises(UnknownKeyError):
            keys.choose("RS256", kid)

    def test_kid_may_be_empty(self) -> None:
        """The empty string is a `kid` like any other."""
        keys = KeySet.build(["RS256"], jwks=_jwks(pair("RSA").jwk(kid="")))

        assert _names(keys.choose("RS256", "")) == [("", "RS256")]

    @pytest.mark.parametrize("kid", [None, "a"])
    def test_no_kid_finds_the_only_key_that_fits(self, kid: str | None) -> None:
        """A token without `kid` is checked with the key that fits, if only one does."""
        member = {} if kid is None else {"kid": kid}
        keys = KeySet.build(
            ["RS256", "ES256"],
            jwks=_jwks(pair("RSA").jwk(**member), pair("P-256").jwk(kid="b")),
        )

        assert _names(keys.choose("RS256", None)) == [(kid, "RS256")]

    def test_no_kid_and_two_keys_that_fit(self) -> None:
        """A token without `kid` is refused where two keys fit: they are never tried in turn."""
        keys = KeySet.build(
            ["RS256"],
            jwks=_jwks(pair("RSA").jwk(kid="a"), pair("RSA", "other").jwk(kid="b")),
        )

        with pytest.raises(UnknownKeyError):
            keys.choose("RS256", None)

    def test_two_keys_without_kid(self) -> None:
        """Two keys without `kid` are no contradiction, and no token can tell which one it means."""
        keys = KeySet.build(
            ["RS256", "ES256"],
            jwks=_jwks(pair("RSA").jwk(), pair("RSA", "other").jwk(), pair("P-256").jwk()),
        )

        assert _names(keys.choose("ES256", None)) == [(None, "ES256")]
        with pytest.raises(UnknownKeyError):
            keys.choose("RS256", None)

    def test_a_key_without_kid_serves_no_token_that_names_one(self) -> None:
        """A key of the set that has no `kid` is not meant for a token that names one."""
        keys = KeySet.build(["RS256"], jwks=_jwks(pair("RSA").jwk()))

        with pytest.raises(UnknownKeyError):
            keys.choose("RS256", "a")

    @pytest.mark.parametrize("first", ["P-256", "Ed25519"])
    def test_another_kind_ahead(self, first: str) -> None:
        """An EC or OKP key ahead of the RSA key in the set is no obstacle."""
        keys = KeySet.build(
            ["RS256"], jwks=_jwks(pair(first).jwk(kid="a"), pair("RSA").jwk(kid="b"))
        )
        token = mint(claims(), pair("RSA"), "RS256", header={"kid": "b"})

        check_with(token, keys)

    @pytest.mark.parametrize(
        "passed_over",
        [
            pytest.param(pair("RSA", "other").jwk(kid="b", use="enc"), id="use-enc"),
            pytest.param(pair("RSA", "other").jwk(kid="b", key_ops=["encrypt"]), id="key-ops"),
            pytest.param(pair("RSA", "other").jwk(kid="b", alg="RS512"), id="alg"),
            pytest.param(pair("RSA", "other").jwk(kid="b", alg="RSA-OAEP"), id="alg-encryption"),
            pytest.param(pair("RSA", "other").jwk(kid="b", alg=None), id="alg-null"),
            pytest.param({"kty": "AKP", "kid": "b"}, id="unknown-kty"),
            pytest.param(pair("P-256").jwk(kid="b", crv="P-256K"), id="unknown-curve"),
            pytest.param("a string", id="not-an-object"),
            pytest.param(pair("RSA", "other").jwk(kid=5, use="enc"), id="kid-of-a-foreign-key"),
        ],
    )
    def test_keys_for_something_else_are_passed_over(self, passed_over: object) -> None:
        """A key that is not meant for this serves no token, named or not, and breaks nothing."""
        keys = KeySet.build(["RS256"], jwks=_jwks(passed_over, pair("RSA").jwk(kid="a")))

        unnamed = keys.choose("RS256", None)

        assert _names(unnamed) == [("a", "RS256")]
        with pytest.raises(UnknownKeyError):
            keys.choose("RS256", "b")

    def test_alg_binds_the_key(self) -> None:
        """A JWK with `alg` serves that algorithm only, whatever else its type could do."""
        keys = KeySet.build(
            ["RS256", "PS256"],
            jwks=_jwks(
                pair("RSA").jwk(kid="a", alg="RS256"),
                pair("RSA", "other").jwk(kid="b", alg="PS256"),
            ),
        )

        assert _names(keys.choose("RS256", "a")) == [("a", "RS256")]
        with pytest.raises(UnknownKeyError):
            keys.choose("PS256", "a")

    def test_one_kid_for_two_kinds(self) -> None:
        """Two keys may share a `kid` where the algorithm tells them apart."""
        keys = KeySet.build(
            ["RS256", "ES256"],
            jwks=_jwks(pair("RSA").jwk(kid="a"), pair("P-256").jwk(kid="a")),
        )

        chosen = [keys.choose(algorithm, "a") for algorithm in ("RS256", "ES256")]

        assert [_names(found) for found in chosen] == [[("a", "RS256")], [("a", "ES256")]]

    def test_an_algorithm_named_twice_counts_once(self) -> None:
        """Naming an algorithm twice does not double the keys of the set."""
        keys = KeySet.build(["RS256", "RS256"], jwks=_jwks(pair("RSA").jwk(kid="a")))

        assert _names(keys.choose("RS256", None)) == [("a", "RS256")]

    def test_an_algorithm_that_is_not_allowed_finds_no_key(self) -> None:
        """No key is ever chosen for an algorithm outside the allow-list."""
        keys = KeySet.build(["RS256"], jwks=_jwks(pair("RSA").jwk(kid="a")))

        with pytest.raises(UnknownKeyError):
            keys.choose("PS256", "a")


class TestJWKSetBesideStaticKeys:
    @pytest.fixture
    def keys(self) -> KeySet:
        """An RSA key and an EC key in the set; another RSA key beside it."""
        return KeySet.build(
            ["RS256", "ES256"],
            [pair("RSA", "static").public_pem],
            _jwks(pair("RSA").jwk(kid="a"), pair("P-256").jwk(kid="b")),
        )

    @pytest.mark.parametrize(
        ("kid", "signer", "accepted"),
        [
            pytest.param("a", "issuer", True, id="named"),
            pytest.param("a", "static", False, id="named-and-static-signs"),
            pytest.param("c", "static", True, id="unknown-kid-falls-to-static"),
            pytest.param("c", "issuer", False, id="unknown-kid-never-falls-to-the-set"),
            pytest.param("b", "static", False, id="kid-of-a-key-that-does-not-fit-is-final"),
            pytest.param(None, "issuer", True, id="no-kid"),
            pytest.param(None, "static", True, id="no-kid-and-static-signs"),
        ],
    )
    def test_choice(
        self,
        keys: KeySet,
        kid: str | None,
        signer: str,
        accepted: bool,  # noqa: FBT001
    ) -> None:
        """A `kid` that names a key of the set is final; any other is for the static keys."""
        header = {} if kid is None else {"kid": kid}
        token = mint(claims(), pair("RSA", signer), "RS256", header=header)

        if accepted:
            check_with(token, keys)
        else:
            with pytest.raises((SignatureError, UnknownKeyError)):
                check_with(token, keys)

    def test_no_kid_and_two_of_the_set_fit(self) -> None:
        """Where two keys of the set fit, a token without `kid` is for the static keys alone."""
        keys = KeySet.build(
            ["RS256"],
            [pair("RSA", "static").public_pem],
            _jwks(pair("RSA").jwk(kid="a"), pair("RSA", "other").jwk(kid="b")),
        )

        assert _names(keys.choose("RS256", None)) == [(None, "RS256")]

    def test_unknown_kid_without_a_static_key_that_fits(self, keys: KeySet) -> None:
        """An unknown `kid` finds no key where no static key fits the algorithm."""
        with pytest.raises(UnknownKeyError):
            keys.choose("ES256", "c")


# Kept apart from the calls: a traceback shows the line of the call.
OPENSSH = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDf0 alice@host"
SSH2 = "---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3NzaC1yc2EAAAA"
NOT_TEXT = "\udcff" * 64

Keys: TypeAlias = "list[str] | JSONObject"
#: For which algorithms, which keys or JWK Set, which settings the error names, and what it says.
REFUSED: dict[str, tuple[list[str], Keys, tuple[str, ...], str]] = {
    "no-key": (["HS256"], [], (*SECRET_SETTINGS, *JWKS_SETTING), "no key"),
    "no-algorithm": ([], [SECRET], ALGORITHM_SETTING, "nothing"),
    **{
        f"algorithm-{name or 'empty'}": (
            ["HS256", name],
            [SECRET],
            ALGORITHM_SETTING,
            "not supported",
        )
        for name in ("none", "None", "hs256", "HS256 ", "", "ES256K1", "RSA-OAEP")
    },
    "secret-too-short": (
        ["HS256"],
        ["short"],
        SECRET_SETTINGS,
        "5 bytes and HS256 needs at least 32",
    ),
    "second-secret-empty": (
        ["HS256"],
        [SECRET, ""],
        SECRET_SETTINGS,
        "0 bytes and HS256 needs at least 32",
    ),
    "secret-too-short-for-one-of-two": (
        ["HS256", "HS512"],
        [SECRET[:32]],
        SECRET_SETTINGS,
        "32 bytes and HS512 needs at least 64",
    ),
    "public-key-for-hmac": (
        ["HS256"],
        [pair("RSA").public_pem],
        (*SECRET_SETTINGS, *ALGORITHM_SETTING),
        "is a public key and fits none of HS256",
    ),
    "secret-for-a-signature": (
        ["RS256", "ES256"],
        [SECRET],
        (*SECRET_SETTINGS, *ALGORITHM_SETTING),
        "is a shared secret and fits none of RS256, ES256",
    ),
    "other-curve": (
        ["ES256"],
        [pair("P-384").public_pem],
        (*SECRET_SETTINGS, *ALGORITHM_SETTING),
        "fits none of ES256",
    ),
    "algorithm-without-a-key": (
        ["RS256", "ES256"],
        [pair("RSA").public_pem],
        ALGORITHM_SETTING,
        "No configured key fits ES256",
    ),
    "hmac-with-a-set": (
        ["HS256"],
        _jwks(pair("RSA").jwk(kid="a")),
        ALGORITHM_SETTING,
        "exclude each other",
    ),
    "hmac-among-others-with-a-set": (
        ["HS256", "RS256"],
        _jwks(pair("RSA").jwk(kid="a")),
        ALGORITHM_SETTING,
        "exclude each other",
    ),
    "set-without-keys": (["RS256"], {}, JWKS_SETTING, '"keys"'),
    "keys-not-an-array": (["RS256"], {"keys": pair("RSA").jwk()}, JWKS_SETTING, '"keys"'),
    "set-empty": (["RS256"], _jwks(), (*JWKS_SETTING, *ALGORITHM_SETTING), "No key"),
    "set-of-other-keys": (
        ["RS256"],
        _jwks(pair("P-256").jwk(kid="a")),
        (*JWKS_SETTING, *ALGORITHM_SETTING),
        "No key .* checks signatures with RS256",
    ),
    "kid-a-number": (
        ["RS256"],
        _jwks(pair("RSA").jwk(kid=5)),
        JWKS_SETTING,
        "kid that is not a string",
    ),
    "kid-twice": (
        ["RS256"],
        _jwks(pair("RSA").jwk(kid="a"), pair("RSA", "other").jwk(kid="a")),
        JWKS_SETTING,
        "share one kid",
    ),
    "private-key-in-the-set": (
        ["RS256"],
        _jwks(pair("RSA").jwk(kid="a", d="AQAB")),
        JWKS_SETTING,
        "is secret",
    ),
    "secret-in-the-set": (
        ["RS256"],
        _jwks(pair("RSA").jwk(kid="a"), {"kty": "oct", "k": SECRET}),
        JWKS_SETTING,
        "is secret",
    ),
    "weak-key-in-the-set": (
        ["RS256"],
        _jwks(pair("RSA-1024").jwk(kid="a")),
        JWKS_SETTING,
        "1024 bits",
    ),
    "openssh-public-key": (["HS256"], [OPENSSH], SECRET_SETTINGS, "OpenSSH"),
    "ssh2-public-key": (["HS256"], [SSH2], SECRET_SETTINGS, "OpenSSH"),
    "secret-not-text": (["HS256"], [NOT_TEXT], SECRET_SETTINGS, "is not UTF-8"),
    "pem-not-text": (
        ["RS256"],
        ["-----BEGIN PUBLIC KEY-----" + NOT_TEXT],
        SECRET_SETTINGS,
        "is not UTF-8",
    ),
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

    def test_chooses_nothing(self) -> None:
        """It has no key for anything."""
        with pytest.raises(UnknownKeyError):
            KeySet.empty().choose("HS256", None)


class TestRepr:
    def test_shows_no_keys(self) -> None:
        """`repr` of a key set shows the algorithms and nothing of the keys."""
        keys = KeySet.build(["HS256"], [SECRET])

        assert repr(keys) == "KeySet(algorithms=frozenset({'HS256'}))"

    def test_of_one_key(self) -> None:
        """`repr` of one key shows its algorithm and `kid`."""
        keys = KeySet.build(["RS256"], jwks=_jwks(pair("RSA").jwk(kid="a")))

        assert repr(keys.choose("RS256", "a")[0]) == "VerificationKey(algorithm='RS256', kid='a')"
