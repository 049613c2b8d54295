"""Properties of the core that hold for every input, tested with generated input."""

import copy
import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from jwt_deps.errors import AuthError, ConfigurationError, InvalidTokenError
from jwt_deps.jose import decode_base64url, encode_base64url, parse_object
from jwt_deps.jose.encoding import MAX_DEPTH
from jwt_deps.keys import KeySet
from jwt_deps.settings import JWTSettings, TokenSource
from jwt_deps.tokens import (
    Claims,
    Principal,
    find_token,
    unverified_expiry,
)
from jwt_deps.tokens.principal import scopes_of, user_id_of
from tests.asgi import scope_of
from tests.minting import (
    ALGORITHMS,
    NOW,
    SECRET,
    claims,
    clock,
    mint,
    mint_raw,
    signing_key,
    unb64,
    verification_text,
)
from tests.property.strategies import (
    ALPHABET,
    header_lists,
    json_objects,
    junk_settings,
    jwk_sets,
    key_texts,
    methods,
    payload_bytes,
    plain_objects,
    reproducible,
    shaped_texts,
    signed_tokens,
    subprotocol_lists,
    texts,
    unsigned_tokens,
)
from tests.saying import everything_said
from tests.verifying import verify

LOOSE = JWTSettings(secret_key=SECRET, require_exp=False)
STRICT = JWTSettings(secret_key=SECRET, issuer="https://issuer", audience="api")
HEADER = b'{"alg":"HS256"}'


def _settings_for(algorithm: str) -> JWTSettings:
    return JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)


MUTABLE = {
    algorithm: (
        mint(claims(), signing_key(algorithm), algorithm, header={"kid": "a"}),
        _settings_for(algorithm),
    )
    for algorithm in ("HS256", "ES256", "Ed25519")
}


def _refused(token: str, settings: JWTSettings) -> bool:
    try:
        verify(token, settings, clock=clock)
    except InvalidTokenError:
        return True
    return False


class TestVerify:
    """Whatever the text is, the answer is verified claims or an `InvalidTokenError`."""

    @reproducible
    @given(texts | shaped_texts | unsigned_tokens)
    @example("\ud800")
    @example("..")
    @example("AA.AA.AA")
    def test_an_unsigned_text_is_refused(self, text: str) -> None:
        """No text without a signature by our key is a token."""
        assert _refused(text, LOOSE)

    @reproducible
    @given(signed_tokens, st.sampled_from([LOOSE, STRICT]))
    def test_a_signed_text_is_claims_or_refused(self, token: str, settings: JWTSettings) -> None:
        """What our own issuer signs, however odd, is an object of claims or refused."""
        try:
            verified = verify(token, settings, clock=clock)
        except InvalidTokenError:
            return

        assert verified == json.loads(unb64(token.split(".")[1]))

    @reproducible
    @given(payload_bytes)
    def test_what_passes_fulfils_every_rule(self, payload: bytes) -> None:
        """Claims that come out fulfil the rules of RFC 7519 §4.1, read once more in other words."""
        token = mint_raw(HEADER, payload)
        try:
            verified = verify(token, STRICT, clock=clock)
        except InvalidTokenError:
            return

        audience = verified["aud"]
        times = [verified[name] for name in ("exp", "nbf", "iat") if name in verified]
        assert all(type(value) in {int, float} and math.isfinite(value) for value in times)
        assert verified["exp"] > NOW - 10
        assert max(verified.get("nbf", 0), verified.get("iat", 0)) <= NOW + 10
        assert verified["iss"] == "https://issuer"
        assert audience == "api" or (isinstance(audience, list) and "api" in audience)
        assert isinstance(verified.get("sub", ""), str)
        assert "cnf" not in verified

    @reproducible
    @given(signed_tokens | unsigned_tokens)
    def test_errors_repeat_nothing(self, token: str) -> None:
        """No error shows a part of the token that is long enough to be one."""
        try:
            verify(token, STRICT, clock=clock)
        except InvalidTokenError as error:
            said = everything_said(error)
            assert [part for part in token.split(".") if len(part) > 16 and part in said] == []

    @reproducible
    @given(texts | shaped_texts | signed_tokens | unsigned_tokens)
    def test_unverified_expiry_is_a_time_or_refused(self, text: str) -> None:
        """Reading `exp` without a check yields a finite time, nothing, or an error of ours."""
        try:
            expiry = unverified_expiry(text)
        except InvalidTokenError:
            return

        assert expiry is None or math.isfinite(expiry)


@pytest.mark.parametrize("algorithm", MUTABLE)
class TestOneCharacter:
    """A token has one spelling: change one character, and it is no token any more."""

    @reproducible
    @given(data=st.data(), character=st.characters() | st.sampled_from(ALPHABET + ".=+/ \n"))
    def test_replaced(self, algorithm: str, data: st.DataObject, character: str) -> None:
        """A token with one character replaced is refused."""
        token, settings = MUTABLE[algorithm]
        position = data.draw(st.integers(0, len(token) - 1))
        assume(token[position] != character)

        assert _refused(token[:position] + character + token[position + 1 :], settings)

    @reproducible
    @given(data=st.data(), character=st.characters() | st.sampled_from(ALPHABET + ".=+/ \n"))
    def test_inserted(self, algorithm: str, data: st.DataObject, character: str) -> None:
        """A token with one character more is refused."""
        token, settings = MUTABLE[algorithm]
        position = data.draw(st.integers(0, len(token)))

        assert _refused(token[:position] + character + token[position:], settings)

    def test_deleted(self, algorithm: str) -> None:
        """A token with one character less is refused, whichever it is."""
        token, settings = MUTABLE[algorithm]

        accepted = [
            position
            for position in range(len(token))
            if not _refused(token[:position] + token[position + 1 :], settings)
        ]

        assert accepted == []

    def test_last_character_of_each_part(self, algorithm: str) -> None:
        """The last characters, which have spare bits, have one spelling as well."""
        token, settings = MUTABLE[algorithm]
        ends = [token.index(".") - 1, token.rindex(".") - 1, len(token) - 1]

        accepted = [
            (position, character)
            for position in ends
            for character in ALPHABET
            if character != token[position]
            and not _refused(token[:position] + character + token[position + 1 :], settings)
        ]

        assert accepted == []

    def test_unchanged(self, algorithm: str) -> None:
        """The token itself is good."""
        token, settings = MUTABLE[algorithm]

        assert not _refused(token, settings)


class TestBase64url:
    """RFC 7515 §2, and nothing beside it."""

    @reproducible
    @given(st.binary())
    def test_round_trip(self, data: bytes) -> None:
        """What was encoded decodes to what it was."""
        assert decode_base64url(encode_base64url(data).encode()) == data

    @reproducible
    @given(st.binary() | st.text(ALPHABET + "=+/ \n", max_size=12).map(str.encode))
    def test_one_spelling(self, text: bytes) -> None:
        """Only what `encode_base64url` writes is read; any other bytes are a `ValueError`."""
        try:
            data = decode_base64url(text)
        except ValueError:
            return

        assert encode_base64url(data).encode() == text


JSON_PIECES = (
    *("{", "}", "[", "]", ":", ",", " ", "a", '"', '"a"', '"a":', '"":', '"b" :', '":"'),
    *("1", "1.5", "1e999", "-0", "null", "true", "NaN", "1" * 400),
    *("\\u0061", '\\"', "\\ud800", "é", "\x00", "\n"),
)


class TestJSON:
    """RFC 8259, with one reading."""

    @reproducible
    @given(plain_objects)
    def test_reads_what_was_written(self, value: dict[str, Any]) -> None:
        """An object that JSON can hold is read as it was written, escaped or not."""
        for ascii_only in (True, False):
            assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value

    @reproducible
    @given(st.binary() | json_objects.map(lambda value: json.dumps(value).encode()))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes are an object that UTF-8 can carry again, or a `ValueError`."""
        try:
            value = parse_object(data)
        except ValueError:
            return

        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        assert json.loads(text.encode()) == json.loads(data)

    @reproducible
    @given(
        st.lists(st.sampled_from(JSON_PIECES), max_size=12).map(
            lambda pieces: "{" + "".join(pieces) + "}"
        )
    )
    @example('{"a":1,"a":2}')
    @example('{"a":1,"b":{"a":1,"a":1}}')
    @example('{"a":":","a" :1}')
    @example('{"a":[1e999]}')
    @example('{"a":' + "[" * 32 + "]" * 32 + "}")
    @example('{"a":' + "[" * 31 + "]" * 31 + "}")
    def test_reads_what_pythons_own_parser_reads(self, text: str) -> None:
        """Pydantic's parser decides nothing: the same object, or the same refusal."""

        def outcome(parse: Callable[[bytes], object]) -> str:
            try:
                return repr(parse(text.encode()))
            except ValueError:
                return "refused"

        assert outcome(_read_by_python) == outcome(parse_object)


def _read_by_python(data: bytes) -> object:
    def object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a member twice")
        return dict(pairs)

    def depth_of(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 0
        return 1 + max(
            map(depth_of, value.values() if isinstance(value, dict) else value), default=0
        )

    value = json.loads(data, object_pairs_hook=object_of)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # no half of a surrogate pair
    if depth_of(value) > MAX_DEPTH:
        raise ValueError("too deep")
    return value


def _is_name(text: str) -> bool:
    """Whether settings take it as it stands for the name of a claim."""
    is_bare = text == text.strip() and {",", '"'}.isdisjoint(text)
    return is_bare and bool(text) and ("/" in text or all(text.split(".")))


class TestClaims:
    """Claims that leave are never shared."""

    @reproducible
    @given(plain_objects)
    def test_changing_what_came_out_changes_nothing(self, members: dict[str, Any]) -> None:
        """Whatever is done to a value that was read, the claims stay what they were."""
        before = copy.deepcopy(members)
        verified = Claims(members)

        for value in [*members.values(), *verified.values(), *map(verified.at, members)]:
            _spoil(value)

        assert verified == before

    @reproducible
    @given(json_objects, st.text() | st.sampled_from(["sub", "a.b", "scope"]))
    def test_principals_are_strings_or_refused(self, members: dict[str, Any], name: str) -> None:
        """Odd claims become strings, selections, nothing, or an error of ours."""
        assume(_is_name(name))
        settings = LOOSE.model_copy(
            update={
                "user_id_claim": name.encode("utf-8", "replace").decode(),
                "dependencies_claims": [*filter(_is_name, members)][:2]
                if _is_text(members)
                else [],
            }
        )
        verified = Claims(members)

        assert all(isinstance(scope, str) for scope in scopes_of(verified, settings))
        principal = Principal(verified, settings)
        assert set(principal.dependencies) <= set(members)
        assert dict(principal.session_state) == {}
        with suppress(InvalidTokenError):
            assert user_id_of(verified, settings) != ""
        with suppress(InvalidTokenError):
            assert principal.session_id != ""


def _spoil(value: object) -> None:
    """Change a JSON value in place, as deep as it goes."""
    if isinstance(value, dict):
        for member in value.values():
            _spoil(member)
        value["spoiled"] = True
    elif isinstance(value, list):
        for item in value:
            _spoil(item)
        value.append("spoiled")


def _is_text(members: dict[str, Any]) -> bool:
    try:
        json.dumps(list(members), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class TestFindToken:
    """Whatever the headers are, the answer is one token or an `AuthError`."""

    @reproducible
    @given(header_lists, methods, subprotocol_lists, st.sampled_from(list(TokenSource)))
    def test_any_request(
        self,
        headers: list[tuple[bytes, bytes]],
        method: str | None,
        subprotocols: list[str],
        source: TokenSource,
    ) -> None:
        """A look-up finds a text, not empty, or says in an error of ours why there is none."""
        settings = LOOSE.model_copy(update={"token_source": source})

        try:
            token = find_token(scope_of(headers, method, subprotocols), settings)
        except AuthError:
            return

        assert token

    @reproducible
    @given(header_lists, st.sampled_from([None, "POST", "PUT", "PATCH", "DELETE"]))
    def test_no_cookie_crosses_sites(
        self, headers: list[tuple[bytes, bytes]], method: str | None
    ) -> None:
        """With `Sec-Fetch-Site: cross-site` in it, no request that can change state has a token."""
        settings = LOOSE.model_copy(update={"token_source": TokenSource.COOKIE})
        scope = scope_of([*headers, (b"sec-fetch-site", b"cross-site")], method)

        with pytest.raises(AuthError):
            find_token(scope, settings)


class TestConfiguration:
    """Whatever is configured, the answer is something that works or a `ConfigurationError`."""

    @reproducible
    @given(junk_settings)
    def test_settings(self, values: dict[str, Any]) -> None:
        """Settings made of anything have a key for each algorithm, or are refused."""
        try:
            settings = JWTSettings(**values)
        except ConfigurationError as error:
            said = everything_said(error)
            assert SECRET not in said
            return

        assert settings.policy.keys.algorithms == set(settings.algorithms)
        assert SECRET not in repr(settings)

    @reproducible
    @given(st.lists(key_texts, min_size=1, max_size=3), st.sampled_from(ALGORITHMS))
    def test_static_keys(self, keys: list[str], algorithm: str) -> None:
        """Any texts are keys for the algorithm, each of them, or refused."""
        try:
            built = KeySet.build([algorithm], keys)
        except ConfigurationError:
            return

        assert len(built.choose(algorithm, None)) == len(keys)

    @reproducible
    @given(jwk_sets, st.sampled_from([["RS256"], ["ES256"], ["EdDSA"], ["ES256", "RS256"]]))
    def test_jwk_sets(self, jwks: dict[str, Any], algorithms: list[str]) -> None:
        """A JWK Set made of anything has a key for each algorithm, or is refused."""
        try:
            keys = KeySet.build(algorithms, jwks=jwks)
        except ConfigurationError:
            return

        assert set(keys.in_set) == set(algorithms)
