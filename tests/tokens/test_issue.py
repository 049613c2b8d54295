"""Access tokens that a service issues are those that its own settings accept."""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jwt_deps import ConfigurationError, IssuerSettings, JWTSettings, create_access_token
from jwt_deps.testing import FakeIssuer
from jwt_deps.tokens import Principal, authenticate_token
from tests.minting import KINDS, OTHER_SECRET, SECRET, KeyPair, b64, pair, signing_key, unb64

BOTH: dict[str, Any] = {"issuer": "https://shop.example", "audience": "shop"}
RSA, EC = pair("RSA"), pair("P-256")


def accepted(token: str, settings: JWTSettings) -> Principal:
    return asyncio.run(authenticate_token(token, settings))


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(unb64(token.partition(".")[0]))
    return header


def jwk_of(key: KeyPair, **members: object) -> dict[str, Any]:
    """The private half of an EC key as a JWK."""
    numbers = key.private.private_numbers()  # type: ignore[union-attr]
    d = numbers.private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    return key.jwk(d=b64(d), **members)


class TestWhatItSays:
    def test_registered_claims(self) -> None:
        """Times and an id, issuer and audience from the settings."""
        settings = JWTSettings(secret_key=SECRET, **BOTH)
        before = int(time.time())

        first, second = (create_access_token("alice", settings=settings) for _ in range(2))

        claims = accepted(first, settings).claims
        assert ("alice", "https://shop.example", "shop") == (claims.sub, claims.iss, claims.aud)
        assert claims["exp"] - claims["iat"] == 3600
        assert before <= claims["iat"] <= time.time()
        assert claims.jti != accepted(second, settings).claims.jti
        assert {"alg": "HS256", "typ": "JWT"} == header_of(first)

    def test_unchecked_claims_are_left_out(self) -> None:
        """Nothing is said of what the settings do not know."""
        settings = JWTSettings(secret_key=SECRET)

        claims = accepted(create_access_token("alice", settings=settings), settings).claims

        assert {"sub", "iat", "exp", "jti"} == set(claims)

    @pytest.mark.parametrize(
        ("scopes", "roles"),
        [
            pytest.param(["b", "a"], ["a"], id="list"),
            pytest.param(("a", "b"), ("a",), id="tuple"),
            pytest.param("a b", "a", id="text"),
            pytest.param(iter(["a", "b"]), iter(["a"]), id="iterator"),
        ],
    )
    def test_names_of_the_settings(self, scopes: Any, roles: Any) -> None:
        """User, session, scopes and roles stand where the settings look, nested claims too."""
        settings = JWTSettings(
            secret_key=SECRET,
            user_id_claim="realm.user.id",
            session_id_claim="realm.session",
            scopes_claim="https://shop.example/scopes",
            roles_claim="realm.roles",
            audience_claim="client_id",
            **BOTH,
        )

        token = create_access_token(
            "alice", scopes=scopes, roles=roles, session_id="s", settings=settings
        )

        principal = accepted(token, settings)
        assert ("alice", "s") == (principal.user_id, principal.session_id)
        assert {"a", "b"} == principal.scopes
        assert {"a"} == principal.roles
        realm = {"user": {"id": "alice"}, "session": "s", "roles": ["a"]}
        assert realm == principal.claims["realm"]
        assert isinstance(principal.claims["https://shop.example/scopes"], str)
        assert "shop" == principal.claims["client_id"]

    def test_further_claims(self) -> None:
        """They are added, and replace what the settings would say, if the settings accept them."""
        settings = JWTSettings(secret_key=SECRET, issuer=["a", "b"])
        given = {"iss": "b", "plan": {"name": "gold"}, "scope": "x", "jti": "1"}

        token = create_access_token("alice", claims=given, settings=settings)

        claims = accepted(token, settings).claims
        assert given == {name: claims[name] for name in given}
        assert given["plan"] == {"name": "gold"}

    @pytest.mark.parametrize(
        ("expires_in", "seconds"),
        [
            pytest.param(0.5, 1, id="rounded-up"),
            pytest.param(timedelta(minutes=15), 900, id="timedelta"),
        ],
    )
    def test_the_lifetime(self, expires_in: float | timedelta, seconds: int) -> None:
        """A token of half a second does not expire in the second in which it is made."""
        settings = JWTSettings(secret_key=SECRET)

        token = create_access_token("alice", expires_in=expires_in, settings=settings)

        claims = accepted(token, settings).claims
        assert seconds == claims["exp"] - claims["iat"]

    def test_settings_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without settings it takes those that requests are checked by."""
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

        token = create_access_token("alice")

        assert "alice" == accepted(token, JWTSettings(secret_key=SECRET)).user_id

    def test_the_profile(self) -> None:
        """RFC 9068 has a type of its own, a key id and the client."""
        settings = JWTSettings(secret_key=SECRET, profile="rfc9068", **BOTH)

        token = create_access_token("alice", claims={"client_id": "web"}, settings=settings)

        assert "alice" == accepted(token, settings).user_id
        assert "at+jwt" == header_of(token)["typ"]
        with pytest.raises(ValueError, match="client_id"):
            create_access_token("alice", settings=settings)


class TestKeys:
    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", *KINDS])
    def test_every_algorithm(self, algorithm: str) -> None:
        """Secrets sign by themselves; a private key is given, as str or as bytes."""
        key = signing_key(algorithm)
        if not isinstance(key, KeyPair):
            settings = JWTSettings(secret_key=SECRET, algorithm=algorithm)
            token = create_access_token("alice", settings=settings)
        else:
            settings = JWTSettings(secret_key=key.public_pem, algorithm=algorithm)
            for pem in (key.private_pem, key.private_pem.encode()):
                token = create_access_token("alice", settings=settings, signing_key=pem)

        assert "alice" == accepted(token, settings).user_id
        assert algorithm == header_of(token)["alg"]

    @pytest.mark.parametrize(
        ("in_set", "own", "expected"),
        [
            pytest.param({"kid": "a"}, {}, "a", id="of-the-set"),
            pytest.param({"kid": "a"}, {"kid": "b"}, "a", id="of-the-set-before-its-own"),
            pytest.param({"kid": "a"}, {"kid": "a"}, "a", id="of-both"),
            pytest.param({}, {"kid": "b"}, None, id="of-a-key-without-one"),
        ],
    )
    def test_the_name_of_the_key(
        self, in_set: dict[str, str], own: dict[str, str], expected: str | None, tmp_path: Path
    ) -> None:
        """The header names the key as the configured JWK Set does."""
        file = tmp_path / "keys.json"
        others = [pair("P-256", "other").jwk(kid="other")] if expected else []
        file.write_text(json.dumps({"keys": [*others, EC.jwk(**in_set)]}))
        settings = JWTSettings(jwks_file=file, algorithm="ES256")

        jwk = jwk_of(EC, **own)
        for given in (jwk, json.dumps(jwk), json.dumps(jwk).encode()):
            token = create_access_token("alice", settings=settings, signing_key=given)

            assert "alice" == accepted(token, settings).user_id
            assert expected == header_of(token).get("kid")

    def test_a_static_key_is_named_by_its_thumbprint(self) -> None:
        """As issuers do that have no other name for it (RFC 7638)."""
        settings = JWTSettings(secret_key=EC.public_pem, algorithm="ES256")

        token = create_access_token("alice", settings=settings, signing_key=EC.private_pem)

        assert 43 == len(header_of(token)["kid"])

    def test_a_second_secret(self) -> None:
        """One of those for rotation can be given."""
        settings = JWTSettings(secret_key=SECRET, verification_keys=[OTHER_SECRET])

        token = create_access_token("alice", settings=settings, signing_key=OTHER_SECRET)

        assert "alice" == accepted(token, settings).user_id

    def test_the_algorithm_that_fits(self) -> None:
        """Of several, the one that the key signs with."""
        settings = JWTSettings(
            secret_key=RSA.public_pem,
            verification_keys=[EC.public_pem],
            algorithm=["RS256", "ES256"],
        )

        token = create_access_token("alice", settings=settings, signing_key=EC.private_pem)

        assert "ES256" == header_of(token)["alg"]

    def test_keys_over_http(self) -> None:
        """Where they are not fetched yet, everything is checked but the signature."""
        with FakeIssuer() as issuer:
            settings = issuer.settings("api")

            token = create_access_token(
                "alice", settings=settings, signing_key=pair("RSA").private_pem
            )

            assert {"sub", "iss", "aud"} <= set(claims_of(token))
            with pytest.raises(ValueError, match="expired"):
                create_access_token(
                    "alice",
                    claims={"exp": 1},
                    settings=settings,
                    signing_key=pair("RSA").private_pem,
                )

    @pytest.mark.parametrize(
        ("settings", "key"),
        [
            pytest.param({"secret_key": RSA.public_pem}, None, id="no-key"),
            pytest.param({"secret_key": RSA.public_pem}, EC.private_pem, id="other-algorithm"),
            pytest.param({"secret_key": RSA.public_pem}, RSA.public_pem, id="public"),
            pytest.param(
                {"secret_key": RSA.public_pem}, pair("RSA", "x").private_pem, id="another"
            ),
            pytest.param({"secret_key": RSA.public_pem}, SECRET, id="a-secret"),
            pytest.param({"secret_key": RSA.public_pem}, {"kty": "RSA"}, id="no-private-members"),
            pytest.param({"secret_key": RSA.public_pem}, {"kty": object()}, id="no-json"),
            pytest.param(
                {"secret_key": RSA.public_pem}, pair("RSA-1024").private_pem, id="short-rsa"
            ),
            pytest.param({"secret_key": SECRET, "algorithm": "HS256"}, "short", id="short-secret"),
            pytest.param(
                {"secret_key": SECRET, "algorithm": "HS256"}, OTHER_SECRET, id="another-secret"
            ),
        ],
    )
    def test_what_signs_nothing_acceptable(self, settings: dict[str, Any], key: Any) -> None:
        """A sentence says so, and quotes no key."""
        built = JWTSettings(**{"algorithm": "RS256", **settings})

        with pytest.raises(ConfigurationError) as caught:
            create_access_token("alice", settings=built, signing_key=key)

        assert "signing_key" == caught.value.reason
        assert caught.value.message.endswith(".")
        for text in (SECRET, OTHER_SECRET, "BEGIN", "short"):
            assert text not in str(caught.value)


class TestSeveralIssuers:
    def issuers(self, *names: str) -> JWTSettings:
        return JWTSettings(
            issuers={
                name: IssuerSettings(
                    secret_key=SECRET, issuer=f"https://{name}.example", audience="api"
                )
                for name in names
            }
        )

    def test_one_is_enough(self) -> None:
        """Its settings hold."""
        settings = self.issuers("a")

        principal = accepted(create_access_token("alice", settings=settings), settings)

        assert "https://a.example" == principal.claims.iss

    def test_the_claims_say_which(self) -> None:
        """`iss` chooses among several."""
        settings = self.issuers("a", "b")

        token = create_access_token("alice", claims={"iss": "https://b.example"}, settings=settings)

        assert "https://b.example" == accepted(token, settings).claims.iss

    @pytest.mark.parametrize("claims", [None, {"iss": "https://c.example"}, {"iss": 1}])
    def test_none_of_them(self, claims: Any) -> None:
        """A token of no accepted issuer is not made."""
        with pytest.raises(ValueError, match="several issuers"):
            create_access_token("alice", claims=claims, settings=self.issuers("a", "b"))

    def test_those_of_a_function(self) -> None:
        """Whether one was asked for lately makes no difference: give its own settings."""
        of_issuer = self.issuers("a").issuers["a"]  # type: ignore[index]
        settings = JWTSettings(issuers=lambda _: of_issuer)
        made = create_access_token("alice", settings=self.issuers("a"))
        assert "https://a.example" == accepted(made, settings).claims.iss

        with pytest.raises(ValueError, match="give settings of the one issuer"):
            create_access_token("alice", claims={"iss": "https://a.example"}, settings=settings)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"claims": [("a", 1)]}, "claims is not a mapping", id="claims-of-pairs"),
        pytest.param({"claims": "admin"}, "claims is not a mapping", id="claims-of-a-text"),
        pytest.param({"scopes": {"admin": False}}, "scopes is a mapping", id="scopes-with-values"),
        pytest.param({"user_id": ""}, "names no user", id="no-user"),
        pytest.param({"user_id": " "}, "names no user", id="blank-user"),
        pytest.param({"user_id": 7}, r"pass str\(", id="number"),
        pytest.param({"claims": {"sub": "bob"}}, "another user", id="other-user"),
        pytest.param({"claims": {"sub": 5}}, "sub", id="user-type"),
        pytest.param({"user_id": "\ud800"}, "payload", id="no-unicode"),
        pytest.param({"session_id": ""}, "session", id="no-session"),
        pytest.param(
            {"session_id": "s", "claims": {"session_id": "t"}}, "session", id="other-session"
        ),
        pytest.param({"scopes": ["a b"]}, "scopes", id="scope-with-a-space"),
        pytest.param({"scopes": [""]}, "scopes", id="empty-scope"),
        pytest.param({"scopes": [5]}, "scopes has one that is not a string", id="no-scope"),
        pytest.param({"scopes": ["a"], "claims": {"scope": "b"}}, "scopes", id="other-scopes"),
        pytest.param({"roles": ["a"]}, "JWT_ROLES_CLAIM", id="roles-without-their-claim"),
        pytest.param({"roles": ["a", 1]}, "roles has one that is not a string", id="no-role"),
        pytest.param({"claims": {"iss": "https://foreign.example"}}, "issuer", id="iss"),
        pytest.param({"claims": {"aud": "foreign"}}, "another service", id="aud"),
        pytest.param({"claims": {"exp": 1}}, "expired", id="exp"),
        pytest.param({"claims": {"exp": "soon"}}, "exp", id="exp-type"),
        pytest.param({"claims": {"nbf": 10**12}}, "not valid yet", id="nbf"),
        pytest.param({"claims": {"cnf": {"jkt": "x"}}}, "bound", id="cnf"),
        pytest.param({"claims": {"x": object()}}, "JSON", id="no-json"),
        pytest.param({"claims": {"x": float("nan")}}, "payload", id="nan"),
        pytest.param({"claims": {1: "x", "1": "y"}}, "payload", id="twice"),
        pytest.param({"claims": {"x": "y" * 20_000}}, "longer", id="too-long"),
        pytest.param({"expires_in": 0}, "expires_in", id="no-time"),
        pytest.param({"expires_in": -5}, "expires_in", id="past"),
        pytest.param({"expires_in": float("inf")}, "expires_in", id="for-ever"),
        pytest.param({"expires_in": 2**53}, "expires_in", id="no-exact-seconds"),
        pytest.param({"expires_in": float("nan")}, "expires_in", id="nan-seconds"),
    ],
)
def test_what_would_be_refused(arguments: dict[str, Any], said: str) -> None:
    """It is not made; the sentence names a claim or an argument, and no value."""
    settings = JWTSettings(secret_key=SECRET, **BOTH)

    with pytest.raises(ValueError, match=said) as caught:
        create_access_token(**{"user_id": "alice", "settings": settings, **arguments})

    assert "foreign" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_roles_that_the_settings_would_not_read() -> None:
    """The token would grant others than were asked for."""
    settings = JWTSettings(secret_key=SECRET, roles_claim="roles")

    with pytest.raises(ValueError, match="other roles"):
        create_access_token("alice", settings=settings, roles=["a"], claims={"roles": ["b"]})


def test_a_user_of_another_issuer_is_not_named() -> None:
    """Its token would be refused: the id begins with that issuer's prefix."""
    settings = JWTSettings(
        issuers={
            "a": IssuerSettings(
                secret_key=SECRET, issuer="https://a", audience="x", user_id_prefix=""
            ),
            "b": IssuerSettings(secret_key=SECRET, issuer="https://b", audience="x"),
        }
    )

    with pytest.raises(ValueError, match="user ids of another issuer"):
        create_access_token("b|eve", claims={"iss": "https://a"}, settings=settings)


def test_a_required_dpop_key_has_to_be_named() -> None:
    """A bearer token would be refused by every request (RFC 9449 §7.1)."""
    settings = JWTSettings(secret_key=SECRET, dpop="required", public_origin="https://shop.example")

    with pytest.raises(ValueError, match="DPoP"):
        create_access_token("alice", settings=settings)

    bound = {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}
    token = create_access_token("alice", claims=bound, settings=settings)
    assert bound["cnf"] == accepted(token, settings).claims["cnf"]


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(unb64(token.split(".")[1]))
    return claims
