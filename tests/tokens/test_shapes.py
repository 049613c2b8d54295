"""Shapes of tokens that some issuers have, each accepted only where the settings say so."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from jwt_deps import (
    AuthError,
    ConfigurationError,
    IssuerSettings,
    JWTSettings,
    Reason,
    SignatureError,
    verify_token,
)
from jwt_deps.testing import Answer, FakeIssuer
from tests.minting import SECRET, claims, mint
from tests.verifying import verify


def minted(header: dict[str, Any] | None = None, **members: Any) -> str:
    return mint(claims(now=time.time(), **members), SECRET, header=header)


def reason(token: str, settings: JWTSettings) -> Reason | None:
    try:
        verify(token, settings)
    except AuthError as error:
        return error.reason
    return None


class TestTypes:
    @pytest.mark.parametrize(
        ("configured", "typ", "accepted"),
        [
            pytest.param([], "okta-internal-at+jwt", False, id="unknown"),
            pytest.param("okta-internal-at+jwt", "okta-internal-at+jwt", True, id="named"),
            pytest.param(
                "okta-internal-at+jwt", "application/okta-internal-at+jwt", True, id="long"
            ),
            pytest.param("application/X+JWT", "x+jwt", True, id="long-in-the-settings"),
            pytest.param("x+jwt", "X+jwt", True, id="any-case"),
            pytest.param("x/y", "x/y", True, id="another-tree"),
            pytest.param("x/y", "application/x/y", False, id="never-prefixed"),
            pytest.param("x+jwt", "JWT", True, id="beside-the-usual"),
            pytest.param("x+jwt", None, False, id="not-a-string"),
            pytest.param(["x+jwt"], "dpop+jwt", False, id="another"),
        ],
    )
    def test_a_type_is_accepted_where_it_is_named(
        self, configured: Any, typ: object, *, accepted: bool
    ) -> None:
        """Compared as RFC 7515 §4.1.9 has it."""
        settings = JWTSettings(secret_key=SECRET, token_types=configured)

        found = reason(minted({"typ": typ}), settings)

        assert (None if accepted else Reason.TYPE) == found

    @pytest.mark.parametrize("name", ["", "a b", "dpop+jwt", "application/logout+jwt", "a/b/c"])
    def test_what_is_no_access_token_is_refused(self, name: str) -> None:
        """Other tokens of the issuer have types of their own (RFC 8725 §3.11)."""
        with pytest.raises(ConfigurationError, match=r"JWT_TOKEN_TYPES \(token_types\)"):
            JWTSettings(secret_key=SECRET, token_types=["x+jwt", name])

    def test_each_issuer_has_its_own(self) -> None:
        """A type of the one is no type of the other."""
        issuers = {
            name: IssuerSettings(
                secret_key=SECRET, issuer=name, audience="api", token_types=[f"{name}+jwt"]
            )
            for name in ("a", "b")
        }
        settings = JWTSettings(issuers=issuers)
        own = minted({"typ": "a+jwt"}, iss="a", aud="api")
        foreign = minted({"typ": "b+jwt"}, iss="a", aud="api")

        assert [None, Reason.TYPE] == [reason(own, settings), reason(foreign, settings)]


class TestNumericSubject:
    @pytest.mark.parametrize(
        ("sub", "text"),
        [
            pytest.param(7, "7", id="integer"),
            pytest.param(0, "0", id="zero"),
            pytest.param(-1, "-1", id="negative"),
            pytest.param(2**64, str(2**64), id="large"),
            pytest.param("7", "7", id="text"),
            pytest.param(7.0, None, id="float"),
            pytest.param(True, None, id="boolean"),
            pytest.param(None, None, id="null"),
            pytest.param([7], None, id="list"),
        ],
    )
    def test_an_integer_is_read_as_its_text(self, sub: object, text: str | None) -> None:
        """By every part: the claim itself is the text."""
        settings = JWTSettings(secret_key=SECRET, allow_numeric_sub=True)
        token = minted(sub=sub)

        if text is None:
            assert Reason.CLAIM_INVALID == reason(token, settings)
        else:
            assert text == verify(token, settings)["sub"]

    def test_a_token_without_a_subject(self) -> None:
        """Stays without one."""
        settings = JWTSettings(secret_key=SECRET, allow_numeric_sub=True)
        token = mint({"exp": time.time() + 60})

        assert "sub" not in verify(token, settings)


ISSUER = FakeIssuer(url="https://login.example", algorithm="ES256")
KEYS = [ISSUER.signing_key, *(ISSUER.rotate() for _ in range(3))]


def publishing(count: int, **options: Any) -> JWTSettings:
    """Settings of a service whose issuer publishes that many keys."""
    jwks = {"keys": [key.jwk for key in KEYS[:count]]}
    issuer = FakeIssuer(url="https://login.example", algorithm="ES256")
    issuer.jwks = Answer.json(jwks)
    return issuer.settings("api", **options)


def in_file(count: int, directory: Path, **options: Any) -> JWTSettings:
    """The same with the keys in a file."""
    path = directory / "jwks.json"
    path.write_text(json.dumps({"keys": [key.jwk for key in KEYS[:count]]}))
    return JWTSettings(
        jwks_file=path, algorithm="ES256", issuer=ISSUER.issuer, audience="api", **options
    )


@pytest.mark.parametrize("source", ["fetched", "file"])
class TestTokensWithoutKid:
    @staticmethod
    def reasons(settings: JWTSettings, count: int) -> set[str]:
        """Why tokens of each of the keys are refused that do not name it."""
        found = set()
        for key in KEYS[:count]:
            token = ISSUER.token({"sub": "alice"}, audience="api", key=key, header={"kid": None})
            try:
                asyncio.run(verify_token(token, settings))
            except AuthError as error:
                found.add(error.reason.value)
        return found

    @pytest.mark.parametrize(
        ("count", "allowed", "reasons"),
        [
            pytest.param(1, False, set(), id="one-key"),
            pytest.param(2, False, {"unknown_key"}, id="two-keys"),
            pytest.param(2, True, set(), id="two-keys-allowed"),
            pytest.param(3, True, set(), id="three-keys-allowed"),
            pytest.param(4, True, {"unknown_key"}, id="four-keys-allowed"),
        ],
    )
    def test_few_keys_are_tried(
        self, source: str, tmp_path: Path, count: int, reasons: set[str], *, allowed: bool
    ) -> None:
        """At most three, so that a token costs three signatures at most."""
        options = {"allow_missing_kid": allowed}
        settings = (
            publishing(count, **options)
            if source == "fetched"
            else in_file(count, tmp_path, **options)
        )

        assert reasons == self.reasons(settings, count)

    def test_a_forged_token_is_refused(self, source: str, tmp_path: Path) -> None:
        """By each of them, and a token that names a key is checked with that key alone."""
        options = {"allow_missing_kid": True}
        settings = (
            publishing(2, **options) if source == "fetched" else in_file(2, tmp_path, **options)
        )
        forged = ISSUER.token(audience="api", key=KEYS[3], header={"kid": None})
        other = ISSUER.token(audience="api", key=KEYS[1], header={"kid": KEYS[0].kid})

        for token in (forged, other):
            with pytest.raises(SignatureError):
                asyncio.run(verify_token(token, settings))
