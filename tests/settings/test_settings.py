"""Settings: keyword arguments and `JWT_*`, checked when they are built."""

import codecs
import json
import math
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

import jwt_deps.settings
from jwt_deps import AnyRevocation, IssuerSettings, MemoryRevocations, mcp_settings
from jwt_deps.errors import ConfigurationError, InvalidTokenError, MissingTokenError, SignatureError
from jwt_deps.settings import JWTSettings, TokenSource, get_settings, settings_without_keys
from jwt_deps.settings.keywords import IssuerKeywords, JWTKeywords
from jwt_deps.settings.revocation import RevocationSettings
from jwt_deps.settings.sender import SenderSettings
from jwt_deps.tokens import explanation_of
from tests.minting import (
    OTHER_SECRET,
    SECRET,
    Key,
    claims,
    clock,
    mint,
    pair,
    signing_key,
    verification_text,
)
from tests.saying import everything_said
from tests.verifying import verify

LEAKY = "leaky-value-that-nobody-may-see"
BEGINS_LIKE_JSON = f'["{LEAKY}'

Environment = dict[str, str]


@pytest.fixture
def jwks_file(tmp_path: Path) -> Path:
    """A JWK Set on disk that holds one RSA key, `a`."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [pair("RSA").jwk(kid="a")]}))
    return path


def _set(monkeypatch: pytest.MonkeyPatch, variables: Environment) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


VALUES = [
    # name, default, as keyword, in the environment
    ("algorithm", "HS256", "HS512", "HS512"),
    ("token_source", TokenSource.HEADER, TokenSource.BOTH, "both"),
    ("token_header_key", "Authorization", "X-Token", "X-Token"),
    ("token_header_scheme", "Bearer", "Bearer", "bearer"),
    ("cookie_name", "access_token", "session", "session"),
    ("cookie_requests", "same-site", "same-origin", "same-origin"),
    ("validate", True, False, "false"),
    ("excluded_route_paths", [], ["/health", "/docs/*"], "/health,/docs/*"),
    ("scopes_claim", None, ["scp", "roles"], "scp, roles"),
    ("admin_scope", None, "root", "root"),
    ("roles_claim", None, 'a."com.example".roles', 'a."com.example".roles'),
    ("user_id_claim", "sub", "user.id", "user.id"),
    ("session_id_claim", "session_id", "sid", "sid"),
    ("dependencies_claims", [], ["tenant", "plan"], '["tenant", "plan"]'),
    ("session_state_claims", [], ["cart"], "cart"),
    ("issuer", None, "https://issuer.example", "https://issuer.example"),
    ("audience", None, ["api", "admin"], "api, admin"),
    ("audience_claim", "aud", "client_id", "client_id"),
    ("verify_audience", True, False, "false"),
    ("leeway", 10, 300.0, "300"),
    ("require_exp", True, False, "0"),
    ("profile", "rfc7519", "rfc7519", "rfc7519"),
    ("required_claims", [], ["tenant", "org.id"], "tenant, org.id\n"),
    ("max_token_age", None, 3600, "3600"),
    ("secret_key_encoding", "text", "text", "text"),
    ("token_types", [], ["x+jwt", "y+jwt"], "x+jwt,y+jwt"),
    ("allow_numeric_sub", False, True, "true"),
    ("allow_missing_kid", False, True, "true"),
    ("max_token_size", 16384, 4096, "4096"),
    ("warm_up", False, True, "true"),
    ("explain", False, True, "true"),
    ("token_cache_size", 2048, 0, "0"),
]


class TestParameters:
    @pytest.mark.parametrize(
        ("name", "default", "value", "text"), VALUES, ids=[v[0] for v in VALUES]
    )
    def test_each(
        self, monkeypatch: pytest.MonkeyPatch, name: str, default: object, value: Any, text: str
    ) -> None:
        """It has the default of the contract, is a keyword, and is read from the environment."""
        assert default == getattr(JWTSettings(secret_key=SECRET), name)
        assert value == getattr(JWTSettings(secret_key=SECRET, **{name: value}), name)

        _set(monkeypatch, {"JWT_SECRET_KEY": SECRET, f"JWT_{name.upper()}": text})

        assert value == getattr(JWTSettings(), name)

    def test_there_are_no_others(self) -> None:
        """The parameters are those of the contract."""
        keys = {"secret_key", "verification_keys", "jwks_file"}
        fetched = {"jwks_url", "discovery", "discovery_url", "ca_file", "allow_loopback"}
        pages = {"documentation", "policy_uri", "tos_uri"}
        described = {"resource", "resource_name", *(f"resource_{page}" for page in pages)}
        others = {"jwks_cache", "issuers", "token_getter"} | described
        reached = {"allow_http_hosts", "trust_env", "jwks_headers", "key_source"}
        files = {"secret_key_file", "jwks_token_file", "jwks_certificate_file", "jwks_key_file"}
        others |= reached | files | {"jwks", "user_id_prefix", "issuers_ttl"}
        names = {name for name, *_ in VALUES} | keys | fetched | others

        parts = {*SenderSettings.model_fields, *RevocationSettings.model_fields}
        assert set(JWTSettings.model_fields) == names | parts

    def test_a_keyword_wins_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the program says counts more than what the environment says."""
        _set(monkeypatch, {"JWT_SECRET_KEY": SECRET, "JWT_AUDIENCE": "from-environment"})

        settings = JWTSettings(audience="from-keyword")

        assert settings.audience == "from-keyword"

    @pytest.mark.parametrize(
        ("name", "value"), [("leeway", 0), ("leeway", 300), ("max_token_size", 1)]
    )
    def test_bounds(self, name: str, value: Any) -> None:
        """The smallest and the largest value are allowed."""
        settings = JWTSettings(secret_key=SECRET, **{name: value})

        assert getattr(settings, name) == value

    def test_each_value_of_token_source(self) -> None:
        """The sources are `header`, `cookie` and `both`."""
        assert [source.value for source in TokenSource] == ["header", "cookie", "both"]


class TestLists:
    @pytest.mark.parametrize(
        "name", ["excluded_route_paths", "dependencies_claims", "session_state_claims"]
    )
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            pytest.param("a", ["a"], id="one"),
            pytest.param("a,b", ["a", "b"], id="commas"),
            pytest.param(" a , b ", ["a", "b"], id="commas-and-spaces"),
            pytest.param('["a", "b"]', ["a", "b"], id="json"),
            pytest.param(' ["\\"a,b\\""]', ['"a,b"'], id="json-with-a-comma-inside"),
            pytest.param("[]", [], id="json-empty"),
            pytest.param("", [], id="empty"),
        ],
    )
    def test_environment(
        self, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: list[str]
    ) -> None:
        """A list is written as JSON or with commas."""
        _set(monkeypatch, {"JWT_SECRET_KEY": SECRET, f"JWT_{name.upper()}": text})

        settings = JWTSettings()

        assert getattr(settings, name) == value

    @pytest.mark.parametrize(
        "name", ["excluded_route_paths", "dependencies_claims", "session_state_claims", "audience"]
    )
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(["a"], id="list"),
            pytest.param(("a",), id="tuple"),
            pytest.param({"a"}, id="set"),
            pytest.param(frozenset({"a"}), id="frozenset"),
        ],
    )
    def test_keyword(self, name: str, value: Any) -> None:
        """Any kind of collection will do as a keyword argument."""
        settings = JWTSettings(secret_key=SECRET, **{name: value})

        assert getattr(settings, name) == ["a"]

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("accepted_issuers", ("a", "b")),
            ("accepted_audiences", ("a", "b")),
            ("algorithms", ("HS256", "HS512")),
        ],
    )
    @pytest.mark.parametrize(
        "written",
        [
            pytest.param(lambda one, _: one, id="one"),
            pytest.param(lambda *both: ", ".join(both), id="commas"),
            pytest.param(lambda *both: json.dumps(both), id="json"),
            pytest.param(lambda *both: list(both), id="list"),
        ],
    )
    def test_one_or_several(
        self, name: str, values: tuple[str, str], written: Callable[..., Any]
    ) -> None:
        """Issuer, audience and algorithm may be one value or several, and have a plural."""
        given: Any = written(*values)
        singular = name.removeprefix("accepted_").removesuffix("s")

        settings = JWTSettings(secret_key=SECRET, **{singular: given})

        assert getattr(settings, name) == (values[:1] if given == values[0] else values)

    @pytest.mark.parametrize("name", ["issuer", "audience"])
    def test_unset(self, name: str) -> None:
        """Then there are none."""
        assert () == getattr(JWTSettings(secret_key=SECRET), f"accepted_{name}s")


def accepts(settings: JWTSettings, key: Key = SECRET, algorithm: str = "HS256") -> bool:
    """Whether a token that a key signs is accepted; the key of a JWK Set is called `a`."""
    try:
        verify(mint(claims(), key, algorithm, header={"kid": "a"}), settings, clock=clock)
    except SignatureError:
        return False
    return True


class TestKeys:
    @pytest.mark.parametrize("algorithm", ["HS256", "RS256", "PS256", "ES256", "EdDSA"])
    def test_secret_key(self, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
        r"""A shared secret, or a public key in PEM, where a literal `\n` is a line break."""
        text, key = verification_text(algorithm), signing_key(algorithm)
        for spelling in (text, text.replace("\n", r"\n")):
            _set(monkeypatch, {"JWT_SECRET_KEY": spelling, "JWT_ALGORITHM": algorithm})

            assert accepts(JWTSettings(), key, algorithm)

    def test_secret_key_of_another_sort(self) -> None:
        """A `SecretStr` will do as well as a string."""
        assert accepts(JWTSettings(secret_key=SecretStr(SECRET)))

    def test_verification_keys_beside_the_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """While secrets are rotated, tokens signed with the old and the new one are accepted."""
        others = json.dumps([OTHER_SECRET])
        _set(monkeypatch, {"JWT_SECRET_KEY": SECRET, "JWT_VERIFICATION_KEYS": others})

        assert accepts(JWTSettings(), SECRET)
        assert accepts(JWTSettings(), OTHER_SECRET)

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(OTHER_SECRET, id="one"),
            pytest.param([OTHER_SECRET], id="list"),
            pytest.param((OTHER_SECRET,), id="tuple"),
            pytest.param(SecretStr(OTHER_SECRET), id="one-secret-string"),
            pytest.param([SecretStr(OTHER_SECRET)], id="list-of-secret-strings"),
        ],
    )
    def test_verification_keys_alone(self, value: Any) -> None:
        """One key or any list of keys will do, without a `secret_key`."""
        assert accepts(JWTSettings(verification_keys=value), OTHER_SECRET)

    def test_a_comma_is_part_of_a_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keys are never split there."""
        secret = f"{SECRET},{OTHER_SECRET}"
        monkeypatch.setenv("JWT_VERIFICATION_KEYS", secret)

        assert accepts(JWTSettings(), secret)
        assert not accepts(JWTSettings(), SECRET)

    def test_jwks_file(self, monkeypatch: pytest.MonkeyPatch, jwks_file: Path) -> None:
        """A JWK Set on disk, with the byte order mark of an editor on Windows or without."""
        _set(monkeypatch, {"JWT_JWKS_FILE": str(jwks_file), "JWT_ALGORITHM": "RS256"})
        assert accepts(JWTSettings(), pair("RSA"), "RS256")

        jwks_file.write_bytes(codecs.BOM_UTF8 + jwks_file.read_bytes())
        assert accepts(JWTSettings(), pair("RSA"), "RS256")

    def test_keys_of_a_file_that_are_not_used(
        self, jwks_file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log names them, and so does the error where no key is left."""
        jwks = [pair("RSA").jwk(kid="a"), pair("RSA").jwk(kid="b", use="SIG"), None]
        jwks_file.write_text(json.dumps({"keys": jwks}))

        JWTSettings(jwks_file=jwks_file, algorithm="RS256")
        with pytest.raises(ConfigurationError, match="'a': its algorithm is not accepted; 'b': "):
            JWTSettings(jwks_file=jwks_file, algorithm="ES256")

        (said,) = caplog.messages
        assert said == (
            "JWT_JWKS (jwks) or JWT_JWKS_FILE (jwks_file): keys that are not used: 'b': its use is "
            "neither sig nor enc; a key without kid: it is not a JSON object"
        )

    def test_are_built_once(self) -> None:
        """Keys, and patterns of excluded paths, are the same ones whenever asked for."""
        settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/health"])

        assert settings.server.excluded is settings.server.excluded
        assert settings.policy.keys is settings.policy.keys


NO_NAME: dict[str, object] = {"empty": "", "blank": "  ", "number": 5, "list": [LEAKY]}
#: Settings, and values that none of them can have.
WRONG: list[tuple[tuple[str, ...], dict[str, object]]] = [
    (
        ("algorithm",),
        {
            "empty": "",
            "of-none": [],
            "null": None,
            "of-null": [None],
            "none": "none",
            "unknown": LEAKY,
            "number": 256,
            "misfit": "RS256",
            "comma": "HS256,",
        },
    ),
    (("token_source", "validate", "require_exp"), {"a-text": LEAKY}),
    (("discovery",), {"neither-true-nor-false": "maybe"}),
    (
        ("token_header_key", "cookie_name", "client_certificate_header"),
        {
            "empty": "",
            "space": "a b",
            "colon": "a:b",
            "semicolon": "a;b",
            "equals": "a=b",
            "line-break": "a\n",
            "not-ascii": "ä",
            "number": 5,
            "null": None,
        },
    ),
    (("cookie_name",), {"an-attribute": "path", "an-attribute-in-any-case": "SameSite"}),
    (
        ("excluded_route_paths", "dependencies_claims", "session_state_claims"),
        {"json-cut-off": BEGINS_LIKE_JSON, "numbers": [1], "number": 5, "dict": {"a": LEAKY}},
    ),
    (
        ("user_id_claim", "session_id_claim", "audience_claim", "admin_scope"),
        {**NO_NAME, "open-quote": 'realm."a.b'},
    ),
    (("user_id_claim", "session_id_claim", "audience_claim"), {"comma": "sub,oid"}),
    (
        ("scopes_claim", "roles_claim", "dependencies_claims", "session_state_claims"),
        {
            "comma-in-a-list": ["scp", "a,b"],
            "empty-one-in-a-list": ["scp", ""],
            "open-quote": 'realm."a.b',
        },
    ),
    (
        ("issuer", "audience"),
        {
            "empty": "",
            "blank": " ",
            "list-of-none": [],
            "json-of-none": "[]",
            "comma": "a,",
            "list-with-an-empty-one": ["a", ""],
            "line-break": "a\n",
            "list-with-a-blank": ["a", " b"],
            "json-cut-off": BEGINS_LIKE_JSON,
            "json-of-numbers": "[1]",
            "json-of-lists": f'[["{LEAKY}"]]',
            "dict": {"a": LEAKY},
            "json-nested-too-deeply": "[" * 100_000,
        },
    ),
    (
        ("verification_keys",),
        {
            "json-cut-off": BEGINS_LIKE_JSON,
            "json-of-lists": f'[["{LEAKY}"]]',
            "json-of-objects": f'[{{"k": "{LEAKY}"}}]',
            "list-of-numbers": [5],
            "number": 5,
            "dict": {LEAKY: LEAKY},
            "too-short": LEAKY[:20],
            "one-too-short": [SECRET, LEAKY[:20]],
        },
    ),
    (
        ("leeway",),
        {str(value): value for value in (-1, 300.5, 301, math.nan, math.inf, LEAKY, None)},
    ),
    (("issuers_ttl",), {str(value): value for value in (0, math.nan, math.inf, LEAKY, None)}),
    (("max_token_size",), {str(value): value for value in (0, -1, 1.5, LEAKY, None)}),
    (("secret_key",), {"a-number": 5, "a-list": [LEAKY], "empty": "", "short": LEAKY[:31]}),
    (("jwks_file",), {"a-number": 5}),
]
REFUSED = {
    f"{name}-{label}": ({name: value}, f"JWT_{name.upper()} ({name})")
    for names, values in WRONG
    for name in names
    for label, value in values.items()
} | {"no-such-setting": ({"secret": LEAKY}, "secret")}


class TestRefused:
    @pytest.mark.parametrize(("keywords", "setting"), REFUSED.values(), ids=REFUSED)
    def test_names_the_setting(self, keywords: dict[str, Any], setting: str) -> None:
        """What cannot work is refused with a sentence that names the setting, and shows no value.

        Neither in the message nor in `repr`, arguments or traceback of the error.
        """
        with pytest.raises(ConfigurationError) as refused:
            JWTSettings(**{"secret_key": SECRET, **keywords})

        said = everything_said(refused.value)
        assert setting in str(refused.value)
        assert [value for value in (LEAKY[:20], SECRET[:20]) if value in said] == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            pytest.param("secret_key", None, id="nothing-set"),
            pytest.param("secret_key", "", id="secret-empty"),
            pytest.param("secret_key", LEAKY[:31], id="secret-short"),
            pytest.param("secret_key", LEAKY + "\udcff", id="secret-not-utf-8"),
            pytest.param("verification_keys", BEGINS_LIKE_JSON, id="keys-json-cut-off"),
            pytest.param("audience", "", id="audience-empty"),
            pytest.param("issuer", "", id="issuer-empty"),
            pytest.param("algorithm", "", id="algorithm-empty"),
            pytest.param("algorithm", LEAKY, id="algorithm-is-the-secret"),
            pytest.param("scopes_claim", "", id="scopes-claim-empty"),
            pytest.param("required_claims", "", id="required-claims-empty"),
            pytest.param("leeway", "3600", id="leeway-too-long"),
            pytest.param("leeway", LEAKY, id="leeway-no-number"),
            pytest.param("validate", "", id="validate-empty"),
            pytest.param("jwks_file", "", id="jwks-file-empty"),
        ],
    )
    def test_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
    ) -> None:
        """What the environment gets wrong is refused alike, by name and without a value."""
        variable = f"JWT_{name.upper()}"
        _set(monkeypatch, {"JWT_SECRET_KEY": SECRET, variable: value or ""})
        if value is None:
            monkeypatch.delenv(variable)

        with pytest.raises(ConfigurationError) as refused:
            JWTSettings()

        said = everything_said(refused.value)
        assert f"{variable} ({name})" in str(refused.value)
        assert [value for value in (LEAKY[:20], SECRET[:20]) if value in said] == []

    @pytest.mark.parametrize(
        ("max_token_age", "works"),
        [(None, False), (2_592_001, False), (2_592_000, True)],
        ids=["for ever", "longer", "as long"],
    )
    @pytest.mark.parametrize("several", [False, True], ids=["one issuer", "several"])
    def test_revocations_last_as_long_as_tokens_without_exp(
        self, max_token_age: int | None, *, works: bool, several: bool
    ) -> None:
        """Otherwise a revoked token is accepted again."""
        issuer: Any = {"secret_key": SECRET, "require_exp": False, "max_token_age": max_token_age}
        named = IssuerSettings(**issuer, issuer="https://a", audience="api")
        kept = MemoryRevocations(longest_lifetime=2_592_000)
        values = {"issuers": {"a": named}} if several else issuer
        source = AnyRevocation(kept, MemoryRevocations())
        refused = pytest.raises(ConfigurationError, match=r"JWT_MAX_TOKEN_AGE .* 2592000 ")

        with nullcontext() if works else refused:
            JWTSettings(**values, revocation=source)

    def test_each_mistake_is_named(self) -> None:
        """Several mistakes make one error that names each of them once."""
        with pytest.raises(ConfigurationError) as refused:
            JWTSettings(
                secret_key=SECRET,
                leeway=-1,
                issuer=[1, 2, {}],  # type: ignore[list-item]
                audience="",
            )

        named = [f"({name}): " for name in ("leeway", "issuer", "audience")]
        assert [str(refused.value).count(name) for name in named] == [1, 1, 1]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            pytest.param(None, "cannot be read: No such file", id="absent"),
            pytest.param("", "is not a JSON object", id="empty"),
            pytest.param("[]", "is not a JSON object", id="array"),
            pytest.param('{"keys":[],"keys":[]}', "is not a JSON object", id="member-twice"),
            pytest.param(f'{{"keys": "{LEAKY}', "is not a JSON object", id="cut-off"),
            pytest.param("{}", 'has no "keys" array', id="no-keys"),
            pytest.param('{"keys": []}', "No key in", id="no-key"),
        ],
    )
    def test_jwks_file(self, tmp_path: Path, text: str | None, sentence: str) -> None:
        """A file that is absent or no JWK Set is refused by the name of the setting."""
        path = tmp_path / "jwks.json"
        if text is not None:
            path.write_text(text)

        with pytest.raises(ConfigurationError, match=sentence) as refused:
            JWTSettings(jwks_file=path, algorithm="RS256")

        assert "JWT_JWKS_FILE (jwks_file)" in str(refused.value)
        assert LEAKY not in everything_said(refused.value)

    @pytest.mark.parametrize(
        ("build", "said"),
        [
            pytest.param(
                lambda file: JWTSettings(secret_key=SECRET, jwks_file=file),
                r"Set JWT_ALGORITHM \(algorithm\)",
                id="the-default-algorithm-HS256-and-a-jwk-set",
            ),
            pytest.param(
                lambda file: JWTSettings(_secrets_dir=file),
                "The environment cannot be read",
                id="a-broken-source-of-pydantic-settings",
            ),
            pytest.param(
                lambda _: JWTSettings.model_validate({"secret_key": LEAKY[:9]}),
                "9 bytes",
                id="another-constructor",
            ),
            pytest.param(
                lambda _: JWTSettings.model_validate_json(json.dumps({"secret_key": LEAKY[:9]})),
                "9 bytes",
                id="another-constructor-from-json",
            ),
            pytest.param(lambda _: JWTSettings(validate=False), "no key", id="no-key-all-the-same"),
        ],
    )
    def test_with_a_sentence(
        self, build: Callable[[Path], JWTSettings], said: str, jwks_file: Path
    ) -> None:
        """Whatever contradicts itself, and however the settings are made."""
        with pytest.raises(ConfigurationError, match=said):
            build(jwks_file)

    def test_the_traceback_ends_where_they_are_made(self) -> None:
        """Nothing of pydantic or of this package's keys is between that line and the sentence."""
        with pytest.raises(ConfigurationError) as caught:
            JWTSettings(algorithm="HS256")

        here, *ours = [it.filename for it in traceback.extract_tb(caught.value.__traceback__)]
        assert __file__ == here
        assert {Path(jwt_deps.settings.__file__).parent} == {Path(it).parent for it in ours}


class TestModelCopy:
    def test_changes_what_it_is_told(self) -> None:
        """A copy differs in the values given and in nothing else."""
        settings = JWTSettings(secret_key=SECRET, audience="api", leeway=5)

        copy = settings.model_copy(update={"leeway": 6})

        expected = JWTSettings(secret_key=SECRET, audience="api", leeway=6)
        assert copy.model_dump() == expected.model_dump()

    @pytest.mark.parametrize(
        "update",
        [
            pytest.param({"leeway": 3600}, id="leeway"),
            pytest.param({"secret_key": "short"}, id="secret"),
            pytest.param({"secret_key": None}, id="no-key"),
            pytest.param({"algorithm": "RS256"}, id="algorithm"),
            pytest.param({"audience": ""}, id="audience"),
            pytest.param({"no_such_setting": 1}, id="no-such-setting"),
        ],
    )
    def test_is_checked(self, update: dict[str, object]) -> None:
        """A copy is checked like new settings."""
        settings = JWTSettings(secret_key=SECRET)

        with pytest.raises(ConfigurationError):
            settings.model_copy(update=update)

    def test_has_its_own_keys(self) -> None:
        """A copy with another secret accepts that secret's tokens, and the old one's no more."""
        copy = JWTSettings(secret_key=SECRET).model_copy(update={"secret_key": OTHER_SECRET})

        assert accepts(copy, OTHER_SECRET)
        assert not accepts(copy, SECRET)

    def test_reads_no_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the environment says meanwhile does not enter a copy."""
        settings = JWTSettings(secret_key=SECRET)
        _set(monkeypatch, {"JWT_AUDIENCE": "late", "JWT_LEEWAY": "99"})

        assert settings.model_copy().model_dump() == settings.model_dump()

    def test_attack_the_copy_of_pydantic_1(self) -> None:
        """It is refused: the values that it changes would be shown, and not be checked."""
        settings = JWTSettings(secret_key=SECRET)
        issuer = IssuerSettings(secret_key=SECRET, issuer="https://issuer.example")

        for one in (settings, issuer):
            with pytest.raises(ConfigurationError, match=r"use model_copy\(update=\.\.\.\)"):
                one.copy(update={"issuer": "https://other.example"})


class TestValidateFalse:
    def test_true_is_silent(self, caplog: pytest.LogCaptureFixture) -> None:
        """Settings that validate have nothing to say."""
        JWTSettings(secret_key=SECRET)

        assert caplog.records == []

    @pytest.mark.parametrize(("given", "holds"), [({}, True), ({"validate": False}, False)])
    def test_in_a_subclass(self, given: dict[str, Any], *, holds: bool) -> None:
        """Subclasses inherit the default, although pydantic has a method of the same name."""

        class OwnSettings(JWTSettings):
            service: str = "notes"

        assert holds is OwnSettings(**{"secret_key": SECRET, **given}).validate
        assert not hasattr(OwnSettings, "validate")


class TestSettingsWithoutKeys:
    def test_need_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An application that replaced the check of tokens needs no key."""
        monkeypatch.setenv("JWT_COOKIE_NAME", "session")
        monkeypatch.setenv("JWT_ALGORITHM", "RS256")

        assert "session" == settings_without_keys().cookie_name

    @pytest.mark.parametrize("token", [mint(claims()), mint(claims(), b"")])
    def test_accept_no_token(self, token: str) -> None:
        """Without a key no token is good, whatever signed it."""
        with pytest.raises(InvalidTokenError):
            verify(token, settings_without_keys(), clock=clock)

    def test_are_those_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where keys are configured, nothing is different."""
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

        assert settings_without_keys() is get_settings()

    def test_are_checked_in_all_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Everything but the key is checked as ever."""
        monkeypatch.setenv("JWT_LEEWAY", "301")

        with pytest.raises(ConfigurationError, match="leeway"):
            settings_without_keys()


class TestGetSettings:
    def test_reads_the_environment_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment is read at the first call and never again."""
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        first = get_settings()
        monkeypatch.setenv("JWT_LEEWAY", "99")

        assert get_settings() is first

    def test_remembers_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistake in the environment is not remembered once it is put right."""
        with pytest.raises(ConfigurationError):
            get_settings()

        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

        assert get_settings().secret_key == SecretStr(SECRET)


class TestChanges:
    def test_a_list_that_was_given_loosens_nothing_later(self) -> None:
        """Settings check what they were built with."""
        settings = JWTSettings(secret_key=SECRET, issuer=["a"], audience=["b"])

        settings.issuer.append("x")  # type: ignore[union-attr]
        settings.audience.append("x")  # type: ignore[union-attr]

        assert (settings.accepted_issuers, settings.accepted_audiences) == (("a",), ("b",))


DPOP = r"set JWT_DPOP \(dpop\), to off"
REVOCATION = r"set JWT_REVOCATION_URL \(revocation_url\)"


class TestPrefix:
    """Errors and warnings name the variables of these very settings."""

    def test_an_error_at_once(self) -> None:
        """Whether one value is wrong or two contradict each other, in an issuer's too."""
        mistakes: list[tuple[dict[str, Any], str]] = [
            ({"leeway": 301}, "STAFF_LEEWAY (leeway)"),
            ({"secret_key": "short"}, "STAFF_SECRET_KEY (secret_key)"),
            ({}, "STAFF_SECRET_KEY (secret_key)"),
            ({"issuers": {"a": {"secret_key": "short"}}}, "STAFF_ISSUERS__A__SECRET_KEY"),
            ({"jwks_cache": {"ttl": 0}}, "STAFF_JWKS_CACHE__TTL"),
        ]
        for values, variable in mistakes:
            with pytest.raises(ConfigurationError) as refused:
                JWTSettings(**{"_env_prefix": "STAFF_", **values})

            assert variable in str(refused.value)
            assert "JWT_" not in str(refused.value)

    def test_a_value_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is read under the prefix and named by it."""
        monkeypatch.setenv("STAFF_ISSUERS", "{")

        with pytest.raises(ConfigurationError) as refused:
            JWTSettings(_env_prefix="STAFF_")

        assert "issuers" in str(refused.value)
        assert refused.value.__context__ is None

    @pytest.mark.parametrize("name", ["SERVICE_NAME", "JWT_DEPS_NAME"])
    def test_a_variable_of_a_subclass(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """It is read where no other variable is there."""

        class OwnSettings(JWTSettings):
            service: str = Field(default="", validation_alias="SERVICE_NAME")
            deps_name: str = ""

        monkeypatch.setenv(name, "notes")
        settings = OwnSettings(secret_key=SecretStr(SECRET))

        assert settings.service + settings.deps_name == "notes"

    def test_a_prefix_of_a_subclass(self) -> None:
        """It can be the class's own."""

        class StaffSettings(JWTSettings):
            model_config = SettingsConfigDict(env_prefix="STAFF_")

        with pytest.raises(ConfigurationError, match="STAFF_SECRET_KEY"):
            StaffSettings(secret_key=SecretStr("short"))
        assert "STAFF_" == StaffSettings(secret_key=SecretStr(SECRET)).env_prefix

    @pytest.mark.parametrize("name", ["JWT_AUDIENCE", "jwt_audience"])
    def test_a_subclass_with_variables_of_one_case(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are read in any case all the same: what is not read closes nothing."""

        class OwnSettings(JWTSettings):
            model_config = SettingsConfigDict(case_sensitive=True)

        monkeypatch.setenv(name, "notes")

        assert "notes" == OwnSettings(secret_key=SecretStr(SECRET)).audience

    def test_a_copy(self) -> None:
        """It has the prefix of the original."""
        settings = JWTSettings(secret_key=SECRET, _env_prefix="STAFF_")

        with pytest.raises(ConfigurationError, match="STAFF_LEEWAY"):
            settings.model_copy(update={"leeway": 301})
        assert "STAFF_" == settings.model_copy(update={"leeway": 3}).env_prefix

    @pytest.mark.parametrize(
        ("name", "end"),
        [
            pytest.param("STAFF_AUDIENCES", ": do you mean STAFF_AUDIENCE?", id="misspelt"),
            pytest.param(
                "STAFF_SECRET", ": do you mean STAFF_SECRET_KEY?", id="of-another-package"
            ),
            pytest.param("STAFF_EXPIRE_MINUTES", ".", id="like-no-setting"),
            pytest.param(
                "STAFF_JWKS_CACHE_TTL",
                ": do you mean STAFF_JWKS_CACHE__..., with two underscores?",
                id="one-underscore",
            ),
        ],
    )
    def test_an_unknown_variable(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, end: str
    ) -> None:
        """A warning names it, and so does the error of settings that cannot work."""
        monkeypatch.setenv(name, "confidential")
        monkeypatch.setenv("STAFF_JWKS_CACHE__TTL", "700")
        monkeypatch.setenv("STAFF_JWKS_HEADERS__X-API-KEY", "confidential")
        sentence = f"{name} is set, and is not a setting of jwt-deps{end}"

        JWTSettings(secret_key=SECRET, _env_prefix="STAFF_")

        assert [sentence] == [record.getMessage() for record in caplog.records]
        with pytest.raises(ConfigurationError) as refused:
            JWTSettings(_env_prefix="STAFF_")
        assert f". {sentence} More: " in str(refused.value)

    @pytest.mark.parametrize("where", ["environment", "_secrets_dir", "_env_file"])
    def test_attack_two_spellings(
        self, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are refused: which one counts would depend on their order."""
        given: Any = {"_secrets_dir": tmp_path, "_env_file": tmp_path / ".env"}
        for name, value in (("JWT_AUDIENCE", "orders"), ("jwt_audience", "anything")):
            match where:
                case "environment":
                    monkeypatch.setenv(name, value)
                case "_secrets_dir":
                    (tmp_path / name).write_text(value)
                case _:
                    with (tmp_path / ".env").open("a") as file:
                        file.write(f"{name}={value}\n")
        options = {name: it for name, it in given.items() if name == where}

        with pytest.raises(ConfigurationError, match="JWT_AUDIENCE is set in upper and in lower"):
            JWTSettings(secret_key=SECRET, **options)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("JWT_ISSUERS", '{"staff": {"issuer": "a"}, "staff": {"issuer": "b"}}'),
            ("JWT_ISSUERS", '{"staff": {"issuer": "a", "audience": "b", "audience": "c"}}'),
            ("JWT_ISSUERS__STAFF", '{"issuer": "a", "audience": "b", "audience": "c"}'),
            ("JWT_JWKS_CACHE", ' {"ttl": 600, "ttl": 60}'),
        ],
        ids=["issuer", "audience", "nested", "cache"],
    )
    @pytest.mark.parametrize("in_file", [False, True], ids=["environment", "file"])
    def test_attack_one_member_twice(
        self,
        name: str,
        text: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        in_file: bool,
    ) -> None:
        """It is refused: the last one would count, and another reader may take the first."""
        file = tmp_path / ".env"
        file.write_text(f"{name}='{text}'" if in_file else "")
        if not in_file:
            monkeypatch.setenv(name, text)

        with pytest.raises(ConfigurationError, match=f"{name} is JSON that has one member twice"):
            JWTSettings(secret_key=SECRET, _env_file=file)

    @pytest.mark.parametrize("is_last", [False, True], ids=["before", "behind"])
    @pytest.mark.parametrize(
        ("member", "text", "further"),
        [
            ("ISSUERS__STAFF", '{"issuer": "a", "audience": "b"}', "REQUIRED_CLAIMS"),
            ("ISSUERS__STAFF", '{"issuer": "a", "audience": "b"}', "JWKS_CACHE__TTL"),
            ("ISSUERS__STAFF__JWKS_CACHE", '{"ttl": 60}', "STALE_IF_ERROR"),
            ("JWKS_HEADERS", '{"X-Tenant": "a"}', "X-API-KEY"),
        ],
        ids=["issuer", "issuer's-cache", "cache", "headers"],
    )
    def test_attack_one_member_beside_json(
        self,
        member: str,
        text: str,
        further: str,
        monkeypatch: pytest.MonkeyPatch,
        *,
        is_last: bool,
    ) -> None:
        """It is refused: whether it counts would depend on the order of the variables."""
        variables = [(f"STAFF_{member}", text), (f"STAFF_{member}__{further}", "1")]
        for name, value in variables if is_last else variables[::-1]:
            monkeypatch.setenv(name, value)

        with pytest.raises(ConfigurationError, match=f"^STAFF_{member} is set, and STAFF_{member}"):
            JWTSettings(secret_key=SECRET, _env_prefix="STAFF_")

    def test_a_secret_beside_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The table of issuers may be JSON, and a variable may have the secret of one of them.

        A secret that begins with a brace is none, whatever follows.
        """
        secret = "{" + SECRET
        monkeypatch.setenv("JWT_ISSUERS__STAFF__SECRET_KEY", secret)
        monkeypatch.setenv("JWT_ISSUERS", '{"staff": {"issuer": "a", "audience": "b"}}')

        issuers: Any = JWTSettings().issuers

        assert SecretStr(secret) == issuers["staff"].secret_key

    def test_the_same_secret_in_two_folders(self, tmp_path: Path) -> None:
        """The last one counts, as pydantic-settings has it."""
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
            (folder / "jwt_audience").write_text(folder.name)

        assert "second" == JWTSettings(secret_key=SECRET, _secrets_dir=folders).audience

    def test_a_folder_in_the_place_of_a_secret(self, tmp_path: Path) -> None:
        """Docker makes one where the file is not there, and no check may be off for that."""
        (tmp_path / "JWT_AUDIENCE").mkdir()
        (tmp_path / "another_program").mkdir()

        with pytest.raises(ConfigurationError, match="JWT_AUDIENCE is a folder in _secrets_dir"):
            JWTSettings(secret_key=SECRET, _secrets_dir=tmp_path)

    def test_variables_of_another_program(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They may begin like settings, in two spellings or without a value."""
        monkeypatch.setenv("JWT_SECRET", "of another program")
        monkeypatch.setenv("jwt_secret", "of a third one")
        file = tmp_path / ".env"
        file.write_text("JWT_AUDIENCE=orders\nJWT_SIGNING_KEY\nJWT_LIFETIME=1\njwt_lifetime=2\n")

        assert "orders" == JWTSettings(secret_key=SECRET, _env_file=file).audience

    @pytest.mark.parametrize("several", [False, True], ids=["folder", "folders"])
    def test_a_misspelt_secret(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, several: bool
    ) -> None:
        """A file that is read for no setting is warned of, those of other programs are not."""
        (tmp_path / "jwt_secret_key").write_text(SECRET)
        for name in ("jwt_audiences", "JWT_ISSUERS__STAFF__ISSUER", "database_password"):
            (tmp_path / name).write_text("confidential")

        JWTSettings(_secrets_dir=[tmp_path] if several else tmp_path)

        assert [
            "JWT_AUDIENCES is set, and is not a setting of jwt-deps: do you mean JWT_AUDIENCE?",
            "JWT_ISSUERS__STAFF__ISSUER is set, and is not a setting of jwt-deps.",
        ] == [record.getMessage() for record in caplog.records]

    @pytest.mark.parametrize(
        ("values", "said", "then"),
        [
            pytest.param({"dpop_nonce_keys": ["n" * 32]}, DPOP, {"dpop": "off"}, id="nonces"),
            pytest.param({"dpop_replay_store": "memory"}, DPOP, {"dpop": "off"}, id="store"),
            *(
                pytest.param({f"revocation_{name}": value}, REVOCATION, then, id=f"{name}-{label}")
                for name, value in (("when_stale", "serve"), ("longest_lifetime", 3600))
                for label, then in (
                    ("source", {"revocation": MemoryRevocations()}),
                    ("off", {"revocation_url": None}),
                )
            ),
        ],
    )
    def test_what_was_forgotten(self, values: Any, said: str, then: Any) -> None:
        """Settings of it ask for it, or for `off`: nothing would be proved, or revoked."""
        with pytest.raises(ConfigurationError, match=said):
            JWTSettings(secret_key=SECRET, **values)

        JWTSettings(secret_key=SECRET, **values, **then)

    def test_without_a_prefix(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Every variable of the environment would look like a setting, so none is warned of."""
        monkeypatch.setenv("SECRET_KEY", SECRET)

        settings = JWTSettings(_env_prefix="")

        assert [] == caplog.records
        assert SecretStr(SECRET) == settings.secret_key
        with pytest.raises(ConfigurationError, match=r"^LEEWAY \(leeway\)"):
            settings.model_copy(update={"leeway": 301})

    @pytest.mark.parametrize(("name", "value"), [("VALIDATE", "false"), ("EXPLAIN", "true")])
    def test_warnings(
        self,
        name: str,
        value: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What loosens a check is said under the variable's name."""
        monkeypatch.setenv(f"STAFF_{name}", value)

        JWTSettings(secret_key=SECRET, _env_prefix="STAFF_")

        (record,) = caplog.records
        assert record.getMessage().startswith(f"STAFF_{name} is {value}")

    def test_mcp(self) -> None:
        """What MCP forbids, too."""
        with pytest.raises(ConfigurationError, match="STAFF_RESOURCE"):
            mcp_settings(secret_key=SECRET, _env_prefix="STAFF_")

    def test_hints(self) -> None:
        """The hint of a refusal names variables as the settings do."""
        hint = explanation_of(MissingTokenError("x"), "STAFF_")["hint"]

        assert "STAFF_TOKEN_SOURCE" in hint
        assert "JWT_" not in hint


class TestKeywords:
    def test_are_the_fields(self) -> None:
        """What type checkers and editors know of is what there is."""
        of_pydantic = {"_env_prefix", "_env_file", "_env_file_encoding", "_secrets_dir"}

        assert set(IssuerSettings.model_fields) == set(IssuerKeywords.__annotations__)
        assert {*JWTSettings.model_fields, *of_pydantic} == set(JWTKeywords.__annotations__)

    def test_are_in_the_signature(self) -> None:
        """Consoles complete them."""
        assert set(JWTSettings.model_fields) == set(signature(JWTSettings).parameters)

    @pytest.mark.parametrize("settings", [JWTSettings, IssuerSettings])
    def test_are_no_inputs_of_a_client(self, settings: Any) -> None:
        """A route that would read the configuration from the request is not registered."""
        app = FastAPI()

        def endpoint(settings: Any) -> None: ...

        endpoint.__annotations__["settings"] = Annotated[settings, Depends()]

        with pytest.raises(ConfigurationError, match=r"Depends\(get_settings\)"):
            app.get("/x")(endpoint)


class TestAnEnvFile:
    """`JWTSettings(_env_file=".env")`: a file that other programs read too."""

    def test_their_variables_are_not_refused(self, tmp_path: Path) -> None:
        """Whatever their names; members of nested settings are read."""
        file = tmp_path / ".env"
        file.write_text(
            f"DATABASE_URL=x\nISSUER=other\nAUDIENCE=other\nJWT_SECRET_KEY={SECRET}\n"
            "jwt_audience=orders\nJWT_JWKS_CACHE__TTL=300\nJWT_DEPS_SOMETHING=1\n"
        )

        settings = JWTSettings(_env_file=file)

        assert ("orders", None, 300) == (
            settings.audience,
            settings.issuer,
            settings.jwks_cache.ttl,
        )

    def test_the_environment_comes_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As pydantic-settings has it."""
        (tmp_path / ".env").write_text(f"JWT_SECRET_KEY={SECRET}\nJWT_AUDIENCE=file\n")
        monkeypatch.setenv("JWT_AUDIENCE", "environment")

        assert "environment" == JWTSettings(_env_file=tmp_path / ".env").audience

    def test_in_another_encoding(self, tmp_path: Path) -> None:
        """It is read in that, and refused without it; the error does not hold what was read."""
        file = tmp_path / ".env"
        file.write_bytes(f"JWT_SECRET_KEY={SECRET}\nJWT_AUDIENCE=müller\n".encode("latin-1"))

        settings = JWTSettings(_env_file=file, _env_file_encoding="latin-1")
        with pytest.raises(ConfigurationError, match="_env_file_encoding") as refused:
            JWTSettings(_env_file=file)

        assert "müller" == settings.audience
        assert (None, None) == (refused.value.__cause__, refused.value.__context__)

    @pytest.mark.parametrize("prefix", ["JWT_", ""], ids=["usual-prefix", "no-prefix"])
    def test_attack_a_variable_without_a_value(
        self, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As an empty one it switches no check off; Docker takes it from the environment."""
        file = tmp_path / ".env"
        file.write_text(f"{prefix}SECRET_KEY={SECRET}\n{prefix}AUDIENCE\nDEBUG\n")

        with pytest.raises(ConfigurationError, match=f"{prefix}AUDIENCE has no = behind it"):
            JWTSettings(_env_prefix=prefix, _env_file=file)

        monkeypatch.setenv(f"{prefix}AUDIENCE", "orders")
        assert "orders" == JWTSettings(_env_prefix=prefix, _env_file=file).audience

    def test_a_misspelt_setting_is_warned_of(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As in the environment; in code it is refused."""
        (tmp_path / ".env").write_text(f"JWT_SECRET_KEY={SECRET}\nJWT_AUDIENCES=orders\n")

        JWTSettings(_env_file=tmp_path / ".env")

        assert "JWT_AUDIENCES is set, and is not a setting" in caplog.text
