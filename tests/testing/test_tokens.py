"""Which tokens come out of a factory: those that its settings take, and every other kind."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from jwt_deps import AuthError, Claims, IssuerSettings, JWTSettings, Reason, verify_token
from jwt_deps.jose import decode_base64url, parse_object
from jwt_deps.testing import (
    FakeIssuer,
    SigningKey,
    TokenFactory,
    VirtualClock,
    Wrong,
    bearer,
    using_settings,
)
from jwt_deps.tokens.principal import Principal, scopes_of, user_id_of
from jwt_deps.tokens.verify import Verification, verify
from tests.web.serving import who

ALGORITHMS = ["HS256", "HS384", "HS512", "RS256", "PS384", "ES256", "ES512", "EdDSA", "Ed25519"]
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ALGORITHMS}
SECRET = "correct-horse-battery-staple-".ljust(64, "0")


def verified(token: str, settings: JWTSettings) -> Verification:
    return asyncio.run(verify(token, settings))


def refusal(token: str, settings: JWTSettings) -> Reason:
    """Why a route that asks for the user refuses it."""
    with pytest.raises(AuthError) as refused:
        user_id_of(Claims(verified(token, settings).claims), settings)
    return refused.value.reason


def claims(token: str, settings: JWTSettings) -> dict[str, Any]:
    return verified(token, settings).claims


def part(token: str, index: int) -> dict[str, Any]:
    """The header or the payload, as it is."""
    return parse_object(decode_base64url(token.split(".")[index].encode()))


class TestGood:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_its_own_settings_take_it(self, algorithm: str) -> None:
        """With issuer and audience checked."""
        tokens = TokenFactory(KEYS[algorithm])

        told = claims(tokens("alice"), tokens.settings)

        assert ("alice", "https://issuer.test", "api") == (told["sub"], told["iss"], told["aud"])

    def test_the_environment_has_no_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A shell may hold the settings of something else."""
        monkeypatch.setenv("JWT_AUDIENCE", "something-else")
        tokens = TokenFactory()

        assert "api" == claims(tokens("alice"), tokens.settings)["aud"]

    def test_claims_stand_where_the_settings_read_them(self) -> None:
        """By a dotted path inside of others, and under an address as it is."""
        tokens = TokenFactory(
            user_id_claim="realm.user.id",
            session_id_claim="https://api.example.com/session",
            scopes_claim="realm.scp",
            audience_claim="client_id",
        )

        told = claims(tokens("alice", scopes=["a", "b"], session_id="s"), tokens.settings)
        found = Claims(told)

        assert {"user": {"id": "alice"}, "scp": "a b"} == told["realm"]
        assert ("alice", "s", frozenset("ab"), "api") == (
            user_id_of(found, tokens.settings),
            Principal(found, tokens.settings).session_id,
            scopes_of(found, tokens.settings),
            found["client_id"],
        )

    def test_a_path_through_something_else_takes_its_place(self) -> None:
        """The later of two claims that exclude each other."""
        tokens = TokenFactory(user_id_claim="who", session_id_claim="who.session")

        assert {"session": "s"} == claims(tokens("alice", session_id="s"), tokens.settings)["who"]

    @pytest.mark.parametrize("scopes", ["a b", ["a", "b"], ("a", "b"), iter(["a", "b"])])
    def test_scopes_are_one_text_or_several(self, scopes: Any) -> None:
        """Under `scope` where no claim is named."""
        tokens = TokenFactory()

        assert "a b" == claims(tokens("alice", scopes=scopes), tokens.settings)["scope"]

    def test_no_user(self) -> None:
        """Nothing stands where nothing is said."""
        tokens = TokenFactory()

        told = claims(tokens(), tokens.settings)

        assert {"iss", "aud", "iat", "exp"} == told.keys()

    def test_what_is_given_wins(self) -> None:
        """Claims, header, audience, issuer, times; `None` leaves one out."""
        clock = VirtualClock()
        key = SigningKey.generate("ES256", kid="a")
        tokens = TokenFactory(key, issuer=None, audience=["x", "y"], clock=clock)
        token = tokens(
            "alice",
            audience=["y", "z"],
            issuer="me",
            expires_in=60,
            claims={"tenant": 7, "sub": None},
            header={"kid": None, "x": 1},
        )

        now = int(clock())
        told = {"iss": "me", "aud": ["y", "z"], "iat": now, "exp": now + 60, "tenant": 7}

        assert ({"alg": "ES256", "typ": "JWT", "x": 1}, told) == (part(token, 0), part(token, 1))

    def test_a_secret_has_no_name_in_a_token(self) -> None:
        """No service knows its random `kid`."""
        secret, pair = TokenFactory(), TokenFactory(KEYS["ES256"])

        assert {"alg", "typ"} == part(secret("alice"), 0).keys()
        assert {"alg", "typ", "kid"} == part(pair("alice"), 0).keys()

    def test_the_header_that_carries_one(self) -> None:
        assert {"Authorization": "Bearer a.b.c"} == bearer("a.b.c")

    def test_nothing_of_it_is_shown(self) -> None:
        """Its secret least of all."""
        assert "<TokenFactory of HS256 tokens>" == repr(TokenFactory())


class TestWrong:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_with_a_configured_key(self, algorithm: str) -> None:
        """Every way but one is refused for its own reason: the only key needs no name."""
        tokens = TokenFactory(KEYS[algorithm])

        reasons = {way: refusal(tokens("a", wrong=way), tokens.settings) for way in tokens.ways}

        assert set(Wrong) - {Wrong.UNKNOWN_KID} == reasons.keys()
        assert {way: way.reason for way in reasons} == reasons

    @pytest.mark.parametrize("algorithm", ["RS256", "ES384", "EdDSA"])
    def test_with_a_jwk_set(self, algorithm: str, tmp_path: Path) -> None:
        key, file = SigningKey.generate(algorithm), tmp_path / "jwks.json"
        file.write_text(json.dumps({"keys": [key.jwk]}))
        settings = JWTSettings(
            jwks_file=file, algorithm=algorithm, issuer="https://me.test", audience="api"
        )
        tokens = TokenFactory.for_settings(settings, key=key)

        reasons = {way: refusal(tokens("a", wrong=way), settings) for way in tokens.ways}

        assert {way: way.reason for way in Wrong} == reasons

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
    def test_with_keys_that_are_fetched(self, algorithm: str) -> None:
        issuer = FakeIssuer(url="https://login.example.com", algorithm=algorithm)
        settings = issuer.settings("api")
        tokens = TokenFactory.for_settings(settings, key=issuer.signing_key)

        reasons = {way: refusal(tokens("a", wrong=way), settings) for way in tokens.ways}

        assert {way: way.reason for way in Wrong} == reasons

    def test_with_several_issuers(self) -> None:
        """Every way that is left, for the one that is named."""
        one, other = KEYS["HS256"], KEYS["ES256"]
        settings = JWTSettings(
            issuers={
                "one": IssuerSettings(
                    secret_key=one.verification_text, issuer="https://one.test", audience="api"
                ),
                "other": IssuerSettings(
                    secret_key=other.verification_text,
                    algorithm="ES256",
                    issuer="https://other.test",
                    audience="api",
                ),
            }
        )
        tokens = TokenFactory.for_settings(settings, key=other, issuer="https://other.test")

        reasons = {way: refusal(tokens("a", wrong=way), settings) for way in tokens.ways}

        assert "alice" == claims(tokens("alice"), settings)["sub"]
        assert {way: way.reason for way in set(Wrong) - {Wrong.UNKNOWN_KID}} == reasons

    @pytest.mark.parametrize("way", TokenFactory().ways)
    def test_over_a_request(self, way: Wrong) -> None:
        """A route that asks for the user answers 401, and in explain mode with the reason."""
        tokens = TokenFactory(explain=True)
        app = FastAPI()

        app.get("/me")(who)
        with using_settings(app, tokens.settings):
            client = TestClient(app)
            good = client.get("/me", headers=bearer(tokens("alice")))
            bad = client.get("/me", headers=bearer(tokens("alice", wrong=way)))

        assert ("alice", 401, way.reason) == (good.json(), bad.status_code, bad.json()["reason"])

    def test_a_leeway_forgives_none_of_them(self) -> None:
        """As long as leeways can be."""
        tokens = TokenFactory(leeway=300)

        assert Reason.EXPIRED == refusal(tokens("a", wrong=Wrong.EXPIRED), tokens.settings)

    @pytest.mark.parametrize(
        ("values", "ways"),
        [
            pytest.param({"issuer": None}, {Wrong.BAD_ISSUER, Wrong.NO_ISSUER}, id="issuer"),
            pytest.param({"audience": None}, {Wrong.NO_AUDIENCE}, id="audience"),
            pytest.param(
                {"audience": None, "verify_audience": False},
                {Wrong.BAD_AUDIENCE, Wrong.NO_AUDIENCE},
                id="audience-unverified",
            ),
            pytest.param({"require_exp": False}, {Wrong.NO_EXPIRY}, id="expiry"),
            pytest.param({"allow_numeric_sub": True}, {Wrong.BAD_SUBJECT}, id="subject"),
            pytest.param(
                {
                    "algorithm": ["HS256", "HS384", "HS512", "ES256", "EdDSA", "RS256"],
                    "verification_keys": [
                        KEYS[name].verification_text for name in ("ES256", "EdDSA", "RS256")
                    ],
                },
                {Wrong.WRONG_ALGORITHM},
                id="algorithm",
            ),
        ],
    )
    def test_what_is_not_checked_cannot_be_wrong(
        self, values: dict[str, Any], ways: set[Wrong]
    ) -> None:
        """Or a test would expect a refusal that never comes."""
        tokens = TokenFactory(**values)

        assert ways | {Wrong.UNKNOWN_KID} == set(Wrong) - set(tokens.ways)
        for way in ways:
            with pytest.raises(ValueError, match=f"all but {way.name}"):
                tokens("alice", wrong=way)

    def test_another_algorithm_where_every_secret_is_taken(self) -> None:
        """Then it is one of a key pair, by a key that is not known."""
        tokens = TokenFactory(algorithm=["HS256", "HS384", "HS512"])

        assert Reason.ALGORITHM == refusal(
            tokens("a", wrong=Wrong.WRONG_ALGORITHM), tokens.settings
        )

    def test_every_way_is_documented(self) -> None:
        """And its value is its name."""
        source = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()

        assert [way.name.lower() for way in Wrong] == [way.value for way in Wrong]
        assert [] == [way.name for way in Wrong if f"`{way.name}`" not in source]


class TestForSettings:
    @pytest.mark.parametrize(
        "values",
        [
            pytest.param({"secret_key": SECRET}, id="secret"),
            pytest.param({"secret_key": SECRET, "algorithm": "HS512"}, id="hs512"),
            pytest.param(
                {
                    "secret_key": KEYS["ES256"].public_pem,
                    "verification_keys": [SECRET],
                    "algorithm": ["ES256", "HS256"],
                },
                id="beside-a-public-key",
            ),
            pytest.param(
                {"secret_key": "/w" * 32, "secret_key_encoding": "base64"}, id="in-base64"
            ),
        ],
    )
    def test_the_secret_that_is_configured_signs(self, values: dict[str, Any]) -> None:
        settings = JWTSettings(**values)

        token = TokenFactory.for_settings(settings)("alice")

        assert {"sub", "iat", "exp"} == claims(token, settings).keys()

    def test_the_secret_in_a_file_signs(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text(f"{SECRET}\n")
        settings = JWTSettings(secret_key_file=path)

        assert "alice" == claims(TokenFactory.for_settings(settings)("alice"), settings)["sub"]

    def test_a_profile_gives_its_type(self) -> None:
        """RFC 9068 §2.1; its further claims are given."""
        profile: Any = {"profile": "rfc9068", "issuer": "https://a.test", "audience": "api"}
        settings = JWTSettings(secret_key=SECRET, **profile)

        token = TokenFactory.for_settings(settings)("alice", claims={"client_id": "c", "jti": "1"})

        assert "alice" == claims(token, settings)["sub"]

    def test_public_keys_sign_nothing(self) -> None:
        """The private one has to be given."""
        settings = JWTSettings(secret_key=KEYS["ES256"].public_pem, algorithm="ES256")

        with pytest.raises(ValueError, match="only public keys are configured"):
            TokenFactory.for_settings(settings)

    def test_one_of_several_issuers_has_to_be_named(self) -> None:
        """By its `iss`."""
        settings = JWTSettings(
            issuers={
                "one": IssuerSettings(secret_key=SECRET, issuer="https://one.test", audience="api")
            }
        )

        with pytest.raises(ValueError, match="several issuers"):
            TokenFactory.for_settings(settings)

    def test_issuers_that_a_function_knows_sign_with_a_key_that_is_given(self) -> None:
        """Settings do not know them before a token comes."""
        one = IssuerSettings(secret_key=SECRET, issuer="https://one.test", audience="api")
        settings = JWTSettings(issuers=lambda _: one)

        with pytest.raises(ValueError, match="is a function"):
            TokenFactory.for_settings(settings, issuer="https://one.test")
        tokens = TokenFactory(SigningKey.load(SECRET), issuer="https://one.test")
        assert "alice" == asyncio.run(verify_token(tokens("alice"), settings)).sub
