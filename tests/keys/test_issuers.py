"""The settings of issuers, and those that are refused at start."""

import copy
import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import jwt_deps.keys.http as fetching_module
from jwt_deps import ConfigurationError, IssuerSettings, JWTSettings, get_settings
from jwt_deps.keys import JWKSCacheSettings
from tests.minting import SECRET
from tests.saying import everything_said

LEAKY = "leaky-value-that-nobody-may-see"
ISSUER = "https://issuer.example"
URL = "https://issuer.example/keys"

AT_URL: dict[str, Any] = {"issuer": ISSUER, "audience": "api", "jwks_url": URL}
DISCOVERED: dict[str, Any] = {"issuer": ISSUER, "audience": "api", "discovery": True}
PUBLISHED = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


def said(builder: Any, **values: Any) -> str:
    """Return the sentence with which settings are refused, after a look for what it gives away."""
    with pytest.raises(ConfigurationError) as refused:
        builder(**values)
    everything = everything_said(refused.value)
    assert [text for text in (LEAKY, SECRET) if text in everything] == []
    return str(refused.value)


class TestOne:
    @pytest.mark.parametrize(
        "values",
        [
            pytest.param(AT_URL, id="url"),
            pytest.param(DISCOVERED, id="discovery"),
            pytest.param({**DISCOVERED, "discovery_url": URL}, id="both-discoveries"),
            pytest.param(
                {"issuer": ISSUER, "audience": "api", "discovery_url": URL}, id="discovery-url"
            ),
            pytest.param({**AT_URL, "issuer": [ISSUER, "accounts.example"]}, id="two-issuers"),
            pytest.param({**AT_URL, "jwks_url": [URL, f"{URL}/old"]}, id="two-urls"),
            pytest.param({**AT_URL, "issuer": "any name"}, id="issuer-a-name"),
            pytest.param({**AT_URL, "issuer": "https://[no-address]/"}, id="issuer-no-url"),
            pytest.param(
                {"issuer": ISSUER, "jwks_url": URL, "verify_audience": False}, id="unchecked"
            ),
            pytest.param({**AT_URL, "audience_claim": "client_id"}, id="audience-elsewhere"),
            pytest.param({**AT_URL, "algorithm": "ES256"}, id="algorithm"),
            pytest.param(
                {**AT_URL, "jwks_url": "http://localhost:8080/keys", "allow_loopback": True},
                id="loopback-url",
            ),
            pytest.param(
                {**DISCOVERED, "issuer": "http://127.0.0.1:8080/a", "allow_loopback": True},
                id="loopback-issuer",
            ),
            pytest.param({**AT_URL, "jwks_url": f"{URL}?version=1"}, id="url-with-a-query"),
        ],
    )
    @pytest.mark.parametrize("builder", [JWTSettings, IssuerSettings])
    def test_can_work(self, builder: Any, values: dict[str, Any]) -> None:
        """Keys over HTTP: at a URL, or where the issuer's own document says."""
        settings = builder(**values)

        assert settings.is_remote
        assert next(iter(settings.policy.key_caches), None) is not None
        assert 0 == settings.policy.keys.size

    def test_the_default_algorithms(self) -> None:
        """Published keys are for signatures, of every kind that is in use."""
        assert PUBLISHED == JWTSettings(**DISCOVERED).algorithms
        assert set(PUBLISHED) == JWTSettings(**DISCOVERED).server.accepted.algorithms

        assert ("ES256",) == JWTSettings(**DISCOVERED, algorithm="ES256").algorithms

    def test_configured_keys_have_no_cache(self) -> None:
        """Nothing is fetched where keys are configured."""
        settings = JWTSettings(secret_key=SECRET)

        assert (None, {}) == (
            next(iter(settings.policy.key_caches), None),
            settings.server.key_caches,
        )
        assert {} == settings.key_health()


def at(**changes: Any) -> dict[str, Any]:
    """Keys at a URL, and what is different."""
    return {**AT_URL, **changes}


EXCLUDE = "JWT_JWKS_URL (jwks_url) and JWT_DISCOVERY (discovery) exclude each other"
UNFIT = "is a shared secret and fits none of RS256, PS256"
NO_HMAC = "HS* algorithms and a JWK Set exclude each other: set JWT_ALGORITHM (algorithm)"
NO_ISSUER = "JWT_ISSUER (issuer) must name the issuer whose keys are fetched"
UNCHECKED = "JWT_VERIFY_AUDIENCE (verify_audience) is false, and JWT_AUDIENCE (audience) is set"
ANY_AUDIENCE = "JWT_VERIFY_AUDIENCE=false (verify_audience), which accepts those for any"
CACHE = "JWT_JWKS_CACHE__TTL (jwks_cache.ttl)"
TWO_ISSUERS = [ISSUER, "https://other.example"]
#: The settings, and a part of what is said.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "url-and-discovery": (at(discovery=True), EXCLUDE),
    "url-and-discovery-url": (at(discovery_url=URL), EXCLUDE),
    "url-and-secret-without-its-algorithm": (at(secret_key=SECRET), UNFIT),
    "discovery-and-secret-without-its-algorithm": ({**DISCOVERED, "secret_key": SECRET}, UNFIT),
    "algorithm-hs256": (at(algorithm="HS256"), NO_HMAC),
    "algorithm-hs-among-others": (at(algorithm=["RS256", "HS512"]), NO_HMAC),
    "algorithm-none": (at(algorithm="none"), "JWT_ALGORITHM (algorithm)"),
    "algorithm-unknown": (at(algorithm=LEAKY), "JWT_ALGORITHM (algorithm)"),
    "url-without-an-issuer": ({"jwks_url": URL, "audience": "api"}, f"{NO_ISSUER}."),
    "discovery-without-an-issuer": ({"discovery": True, "audience": "api"}, f"{NO_ISSUER}."),
    "discovery-of-two-issuers": (
        {**DISCOVERED, "issuer": TWO_ISSUERS},
        f"{NO_ISSUER}, and discovery finds the keys of one.",
    ),
    "no-audience": ({"issuer": ISSUER, "jwks_url": URL}, ANY_AUDIENCE),
    "audience-and-not-checked": (at(verify_audience=False), UNCHECKED),
    "audience-and-not-checked-with-a-secret": (
        {"secret_key": SECRET, "audience": "api", "verify_audience": False},
        UNCHECKED,
    ),
    **{
        f"{name}-{label}": ({**values, name: url}, f"JWT_{name.upper()} ({name}) {why}")
        for name, values in (
            ("jwks_url", AT_URL),
            ("discovery_url", DISCOVERED),
            ("issuer", DISCOVERED),
        )
        for label, url, why in (
            ("http", "http://issuer.example/", "does not begin with https://"),
            ("loopback", "http://127.0.0.1:8080/", "does not begin with https://"),
            ("name", "issuer.example", "names no host"),
            ("credentials", f"https://u:{LEAKY}@issuer.example/", "holds credentials"),
            ("fragment", f"https://issuer.example/#{LEAKY}", "has a fragment"),
            ("space", f"https://issuer.example/ {LEAKY}", "is not a URL"),
            ("bracket", f"https://[{LEAKY}]/", "is not a URL"),
        )
    },
    "issuer-with-a-query": (
        {**DISCOVERED, "issuer": f"{ISSUER}/?{LEAKY}"},
        "JWT_ISSUER (issuer) has a query, which RFC 8414 §2 excludes",
    ),
    **{
        f"{name}-{label}": (at(**{name: value}), f"JWT_{name.upper()} ({name})")
        for name in ("jwks_url", "discovery_url", "audience_claim", "issuer", "audience")
        for label, value in (("empty", ""), ("blank", " "), ("number", 5))
    },
    **{
        f"ca-{label}": (at(ca_file=value), "JWT_CA_FILE (ca_file)")
        for label, value in (
            ("absent", f"/nowhere/{LEAKY}"),
            ("a-directory", "/"),
            ("nul", f"{LEAKY}\0"),
            ("no-certificate", __file__),
            ("a-number", 5),
        )
    },
    "cache-out-of-bounds": (at(jwks_cache={"ttl": 0}), CACHE),
    "cache-a-text": (at(jwks_cache={"ttl": LEAKY}), CACHE),
    "cache-misspelt": (at(jwks_cache={"tll": 600}), "JWT_JWKS_CACHE__TLL (jwks_cache.tll)"),
    "cache-contradiction": (at(jwks_cache={"ttl": 9}), "timeout must be at most half of ttl"),
    "cache-text": (at(jwks_cache=LEAKY), "JWT_JWKS_CACHE (jwks_cache)"),
    "misspelt": (at(jwks_uri=URL), "unknown setting (do you mean jwks_url?)"),
}


class Source:
    """Has no keys."""

    async def fetch_keys(self) -> dict[str, Any]:
        return {"keys": []}


class TestOneRefused:
    @pytest.mark.parametrize(("values", "sentence"), REFUSED.values(), ids=REFUSED)
    def test_at_once(self, values: dict[str, Any], sentence: str) -> None:
        """What cannot work, or only by weakening a check, is refused with what to set.

        Among several the same sentence names the variable of that very issuer.
        """
        assert sentence in said(JWTSettings, **values)
        assert sentence in said(IssuerSettings, **values)
        told = said(JWTSettings, issuers={"ok": AT_URL, "staff": values})
        assert sentence.replace("JWT_", "JWT_ISSUERS__STAFF__") in told
        assert "JWT_ISSUERS__STAFF__" in told

    @pytest.mark.parametrize(
        "keys",
        [
            pytest.param({"jwks_url": [URL, "https://other.example/keys"]}, id="two-urls"),
            pytest.param({"key_source": Source(), "jwks_url": URL}, id="source-and-url"),
        ],
    )
    def test_attack_keys_of_one_issuer_for_tokens_of_another(self, keys: dict[str, Any]) -> None:
        """In one entry each key would be accepted for each `iss`: every issuer needs its own."""
        values = {**keys, "issuer": TWO_ISSUERS, "audience": "api"}

        told = "give each its own entry in issuers"
        assert told in said(JWTSettings, **values)
        assert told in said(JWTSettings, issuers={"both": values})

    def test_without_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who lacks the client for HTTP is told how to get it, before the first request."""
        monkeypatch.setattr(fetching_module, "find_spec", lambda _: None)

        assert "pip install 'jwt-deps[http]'" in said(JWTSettings, **DISCOVERED)

    def test_configured_keys_need_no_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who fetches nothing needs no client."""
        monkeypatch.setattr(fetching_module, "find_spec", lambda _: None)

        assert 1 == JWTSettings(secret_key=SECRET).policy.keys.size


STAFF: dict[str, Any] = {**AT_URL, "issuer": "https://staff.example"}
LOCAL: dict[str, Any] = {"secret_key": SECRET, "issuer": "local", "audience": "api"}


class TestSeveral:
    def test_each_has_its_own_settings(self) -> None:
        """An issuer is chosen by its `iss`, to the letter."""
        settings = JWTSettings(issuers={"a": DISCOVERED, "staff": STAFF, "local": LOCAL})
        assert settings.issuers is not None

        assert settings.settings_of(ISSUER) is settings.issuers["a"]
        assert settings.settings_of("https://staff.example") is settings.issuers["staff"]
        assert settings.settings_of("local") is settings.issuers["local"]

    @pytest.mark.parametrize(
        "issuer", [f"{ISSUER}/", ISSUER.upper(), "", None, 5, [ISSUER], {"a": 1}, "https://evil"]
    )
    def test_nobody_else(self, issuer: object) -> None:
        """Any other `iss` of a token selects no issuer."""
        settings = JWTSettings(issuers={"a": DISCOVERED, "staff": STAFF})

        assert settings.settings_of(issuer) is None

    def test_one_entry_for_two_names_of_one_issuer(self) -> None:
        """Google writes its own name in two ways."""
        google = {**AT_URL, "issuer": ["https://accounts.example", "accounts.example"]}
        settings = JWTSettings(issuers={"google": google})
        assert settings.issuers is not None

        for name in google["issuer"]:
            assert settings.settings_of(name) is settings.issuers["google"]

    def test_only_what_is_fetched_has_a_cache(self) -> None:
        """The keys are listed under the issuer's own name; without several, as `default`."""
        assert ["a"] == list(
            JWTSettings(issuers={"a": DISCOVERED, "local": LOCAL}).server.key_caches
        )
        assert ["default"] == list(JWTSettings(**DISCOVERED).server.key_caches)

    def test_the_algorithms_of_all(self) -> None:
        """What a token may be signed with at all; each issuer has its own."""
        settings = JWTSettings(issuers={"a": {**STAFF, "algorithm": "ES256"}, "local": LOCAL})

        assert {"ES256", "HS256"} == settings.server.accepted.algorithms

    def test_built_before(self) -> None:
        """An entry may be built by itself, and is then the very same object."""
        entry = IssuerSettings(**STAFF)
        settings = JWTSettings(issuers={"staff": entry})

        assert settings.settings_of("https://staff.example") is entry


TWICE = "JWT_ISSUERS__B__ISSUER (issuer) is that of JWT_ISSUERS__A__ too"
AMONG_OTHERS = at(issuer=[ISSUER, STAFF["issuer"]])
SEVERAL_REFUSED: dict[str, tuple[object, str]] = {
    "no-issuer": (
        {"a": {"secret_key": SECRET, "audience": "api"}},
        "JWT_ISSUERS__A__ISSUER (issuer) is missing.",
    ),
    "no-audience": (
        {"a": {"secret_key": SECRET, "issuer": "a"}},
        "JWT_ISSUERS__A__AUDIENCE (audience) is missing; JWT_ISSUERS__A__VERIFY_AUDIENCE=false",
    ),
    "an-issuer-twice": ({"a": STAFF, "b": STAFF}, TWICE),
    "an-issuer-among-others": ({"a": STAFF, "b": AMONG_OTHERS}, TWICE),
    "nothing": ({"a": {}}, "JWT_ISSUERS__A__SECRET_KEY (secret_key)"),
    "a-text": ({"a": LEAKY}, "JWT_ISSUERS__A"),
    "settings-of-a-service": (
        {"a": JWTSettings(secret_key=SECRET, issuer=ISSUER, audience="api")},
        "JWT_ISSUERS__A",
    ),
    "null": ({"a": None}, "JWT_ISSUERS__A"),
    "a-member-that-is-no-name": ({"a": {5: 5}}, "JWT_ISSUERS__A__5"),
    "a-list": ([STAFF], "JWT_ISSUERS (issuers)"),
    "no-object": (LEAKY, "JWT_ISSUERS (issuers)"),
    "misspelt": ({"a": {**STAFF, "audiense": LEAKY}}, "JWT_ISSUERS__A__AUDIENSE"),
    "not-an-issuers": ({"a": {**STAFF, "cookie_name": LEAKY}}, "JWT_ISSUERS__A__COOKIE_NAME"),
}


class TestSeveralRefused:
    @pytest.mark.parametrize(("issuers", "sentence"), SEVERAL_REFUSED.values(), ids=SEVERAL_REFUSED)
    def test_at_once(self, issuers: object, sentence: str) -> None:
        """What is wrong with one of them is said with its name."""
        assert sentence in said(JWTSettings, issuers=issuers)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("secret_key", SECRET),
            ("verification_keys", [SECRET]),
            ("jwks_file", "/nowhere"),
            ("secret_key_file", "/nowhere"),
            ("secret_key_encoding", "base64"),
            ("jwks", {"keys": []}),
            ("key_source", Source()),
            ("jwks_url", URL),
            ("discovery", True),
            ("discovery_url", URL),
            ("algorithm", "RS256"),
            ("issuer", ISSUER),
            ("audience", "api"),
            ("audience_claim", "client_id"),
            ("verify_audience", False),
            ("leeway", 5),
            ("require_exp", False),
            ("profile", "rfc9068"),
            ("required_claims", ["tenant"]),
            ("max_token_age", 60),
            ("admin_scope", "root"),
            ("token_types", ["x+jwt"]),
            ("allow_numeric_sub", True),
            ("allow_missing_kid", True),
            ("scopes_claim", "scp"),
            ("roles_claim", "roles"),
            ("admin_scope", "admin"),
            ("user_id_prefix", "x"),
            ("user_id_claim", "oid"),
            ("session_id_claim", "sid"),
            ("dependencies_claims", ["a"]),
            ("session_state_claims", ["a"]),
            ("ca_file", "/nowhere"),
            ("allow_loopback", True),
            ("allow_http_hosts", ["keycloak"]),
            ("trust_env", True),
            ("jwks_headers", {"X-Key": "a"}),
            ("jwks_token_file", "/nowhere"),
            ("jwks_certificate_file", "/nowhere"),
            ("jwks_key_file", "/nowhere"),
            ("jwks_cache", {"ttl": 900}),
        ],
    )
    def test_beside_parameters_of_a_single_one(self, name: str, value: object) -> None:
        """A parameter that would be ignored is refused: each issuer has its own."""
        values: dict[str, Any] = {"issuers": {"a": STAFF}, name: value}

        assert (
            f"JWT_{name.upper()} ({name}) is set beside JWT_ISSUERS (issuers), whose entries have "
            "it: move it into each of them, or remove it."
        ) in said(JWTSettings, **values)

    def test_every_parameter_of_a_single_one_is_among_them(self) -> None:
        """No parameter is forgotten above."""
        names = {
            mark.args[1][index][0]
            for mark in self.test_beside_parameters_of_a_single_one.pytestmark  # type: ignore[attr-defined]
            for index in range(len(mark.args[1]))
        }

        assert set(IssuerSettings.model_fields) == names


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def _forget(self) -> None:
        get_settings.cache_clear()

    def test_one_issuer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Three variables are enough for most services."""
        monkeypatch.setenv("JWT_ISSUER", ISSUER)
        monkeypatch.setenv("JWT_AUDIENCE", "api")
        monkeypatch.setenv("JWT_DISCOVERY", "true")

        assert JWTSettings().model_dump() == JWTSettings(**DISCOVERED).model_dump()

    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("api", ("api",)),
            ("api, admin", ("api", "admin")),
            ('["api", "admin"]', ("api", "admin")),
            ("1234", ("1234",)),
            ("1234,5678", ("1234", "5678")),
            ("true", ("true",)),
            ("null", ("null",)),
        ],
        ids=["one", "commas", "json", "number", "numbers", "true", "null"],
    )
    def test_members_of_one_among_several(
        self, monkeypatch: pytest.MonkeyPatch, text: str, values: tuple[str, ...]
    ) -> None:
        """Two underscores lead to a member; what looks like a number or a word of JSON is text."""
        monkeypatch.setenv("JWT_ISSUERS__STAFF__ISSUER", ISSUER)
        monkeypatch.setenv("JWT_ISSUERS__STAFF__AUDIENCE", text)
        monkeypatch.setenv("JWT_ISSUERS__STAFF__DISCOVERY", "true")
        monkeypatch.setenv("JWT_ISSUERS__STAFF__ALGORITHM", "RS256,ES256")
        monkeypatch.setenv("JWT_ISSUERS__STAFF__LEEWAY", "5")
        monkeypatch.setenv("JWT_ISSUERS__STAFF__JWKS_CACHE__TTL", "900")

        staff = (JWTSettings().issuers or {})["staff"]

        assert values == staff.accepted_audiences
        assert (("RS256", "ES256"), 5, 900) == (
            staff.algorithms,
            staff.leeway,
            staff.jwks_cache.ttl,
        )

    def test_several_as_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All of them in one variable, as JSON."""
        monkeypatch.setenv("JWT_ISSUERS", json.dumps({"a": DISCOVERED, "staff": STAFF}))

        assert ["a", "staff"] == list(JWTSettings().issuers or ())

    @pytest.mark.parametrize(
        "text",
        [f'{{"a": "{LEAKY}"', LEAKY, f'["{LEAKY}"]', f'{{"a": {{"secret_key": "{LEAKY[:20]}"}}}}'],
        ids=["cut-off", "text", "list", "short-secret"],
    )
    def test_several_as_json_that_is_none(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        """What cannot be read is refused, and not shown."""
        monkeypatch.setenv("JWT_ISSUERS", text)

        with pytest.raises(ConfigurationError) as refused:
            JWTSettings()

        assert LEAKY[:20] not in everything_said(refused.value)
        assert "issuers" in str(refused.value).lower()

    def test_a_keyword_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Issuers that the program names are all of them: the environment adds none."""
        monkeypatch.setenv("JWT_ISSUERS__EVIL__ISSUER", "https://evil.example")
        monkeypatch.setenv("JWT_ISSUERS__EVIL__AUDIENCE", "api")
        monkeypatch.setenv("JWT_ISSUERS__EVIL__DISCOVERY", "true")

        settings = JWTSettings(issuers={"a": DISCOVERED})

        assert ["a"] == list(settings.issuers or ())
        assert settings.settings_of("https://evil.example") is None

    def test_an_issuer_that_is_built_is_not_built_again(self, tmp_path: Path) -> None:
        """A table takes it with the keys that it has read."""
        path = tmp_path / "secret"
        path.write_text(SECRET)
        one = IssuerSettings(issuer=ISSUER, audience="api", secret_key_file=path)
        path.unlink()

        assert one is (JWTSettings(issuers={"a": one}).issuers or {})["a"]

    def test_a_copy_does_not_read_the_environment_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was set since is not in it."""
        settings = JWTSettings(issuers={"a": DISCOVERED})
        monkeypatch.setenv("JWT_ISSUERS__OLD__ISSUER", "https://old.example")
        monkeypatch.setenv("JWT_ISSUERS__OLD__AUDIENCE", "api")
        monkeypatch.setenv("JWT_ISSUERS__OLD__DISCOVERY", "true")

        assert settings.model_copy().settings_of("https://old.example") is None

    def test_the_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The limits of the cache have variables of their own."""
        for name, value in {
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": "1234",
            "JWT_JWKS_URL": URL,
            "JWT_JWKS_CACHE__TTL": "900",
            "JWT_JWKS_CACHE__MAX_BYTES": "5000",
        }.items():
            monkeypatch.setenv(name, value)

        settings = JWTSettings()

        assert JWKSCacheSettings(ttl=900, max_bytes=5000) == settings.jwks_cache
        assert ("1234",) == settings.accepted_audiences

    def test_nested_variables_are_no_mistake(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No warning is given for a variable of one issuer."""
        monkeypatch.setenv("JWT_ISSUERS__STAFF__ISSUER", ISSUER)
        monkeypatch.setenv("JWT_ISSUERS__STAFF__AUDIENCE", "api")
        monkeypatch.setenv("jwt_issuers__staff__discovery", "true")

        get_settings()

        assert [] == caplog.records

    @pytest.mark.parametrize(
        "name", ["JWT_AUDIENCES", "JWT_ISSUER_URL", "JWT_JWKS_URI", "JWT_ISUERS__STAFF__AUDIENCE"]
    )
    def test_a_misspelt_variable(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
    ) -> None:
        """A warning names it, and not its value."""
        for variable, value in {
            **{f"JWT_{key.upper()}": str(value) for key, value in AT_URL.items()},
            name: LEAKY,
        }.items():
            monkeypatch.setenv(variable, value)

        get_settings()

        assert [("jwt_deps", logging.WARNING)] == [
            (record.name, record.levelno) for record in caplog.records
        ]
        assert name in caplog.text
        assert LEAKY not in caplog.text

    def test_a_misspelt_member(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A member that does not exist is refused: it could be a check that is missing."""
        monkeypatch.setenv("JWT_ISSUERS__STAFF__ISSUER", ISSUER)
        monkeypatch.setenv("JWT_ISSUERS__STAFF__AUDIENSE", LEAKY)

        assert "JWT_ISSUERS__STAFF__AUDIENSE" in said(get_settings)
        monkeypatch.setenv("JWT_JWKS_CACHE__FORCED_REFILL", "60")
        assert "JWT_JWKS_CACHE__FORCED_REFILL (jwks_cache" in said(JWTSettings, secret_key=SECRET)


class TestUnchanging:
    @pytest.mark.parametrize("builder", [JWTSettings, IssuerSettings])
    def test_copies_are_the_same(self, builder: Any) -> None:
        """A copy of settings that cannot change is the settings: their keys are fetched once."""
        settings = builder(**AT_URL)

        assert copy.copy(settings) is settings
        assert copy.deepcopy(settings) is settings

    @pytest.mark.parametrize("builder", [JWTSettings, IssuerSettings])
    @pytest.mark.parametrize("name", ["issuer", "audience", "jwks_url", "secret_key", "algorithm"])
    def test_nothing_can_be_set(self, builder: Any, name: str) -> None:
        """The error says what to do, and does not quote the value."""
        settings = builder(**AT_URL)

        def change(**values: str) -> None:
            for item in values.items():
                setattr(settings, *item)

        told = said(change, **{name: LEAKY})

        assert f"{name} cannot be changed" in told
        assert ISSUER == settings.issuer

    @pytest.mark.parametrize("name", ["issuers", "warm_up"])
    def test_nor_what_only_the_whole_has(self, name: str) -> None:
        """The same for what is no issuer's own."""
        settings = JWTSettings(issuers={"a": STAFF})

        with pytest.raises(ConfigurationError, match=f"{name} cannot be changed"):
            setattr(settings, name, {})

    @pytest.mark.parametrize("builder", [JWTSettings, IssuerSettings])
    def test_a_copy_with_changes_is_built_anew(self, builder: Any) -> None:
        """It has keys of its own, is checked like new settings, and leaves the original."""
        settings = builder(**AT_URL)

        changed = settings.model_copy(update={"audience": "admin"})

        assert (("admin",), ("api",)) == (changed.accepted_audiences, settings.accepted_audiences)
        assert next(iter(changed.policy.key_caches)) is not next(
            iter(settings.policy.key_caches), None
        )
        assert changed.algorithms == settings.algorithms
        with pytest.raises(ConfigurationError, match="exclude each other"):
            settings.model_copy(update={"discovery": True})

    def test_a_copy_of_several_keeps_their_keys(self) -> None:
        """The issuers are the same objects."""
        settings = JWTSettings(issuers={"a": DISCOVERED})

        changed = settings.model_copy(update={"warm_up": True})

        assert changed.settings_of(ISSUER) is settings.settings_of(ISSUER)

    def test_a_list_that_is_changed_later_changes_nothing(self) -> None:
        """Neither the caller's own dict nor the one that can be read decides who is accepted."""
        given: dict[str, Any] = {"a": IssuerSettings(**DISCOVERED)}
        settings = JWTSettings(issuers=given)
        assert settings.issuers is not None

        given["b"] = settings.issuers["b"] = IssuerSettings(**STAFF)

        assert settings.settings_of("https://staff.example") is None

    @pytest.mark.parametrize(
        "settings",
        [
            IssuerSettings(secret_key=SecretStr(SECRET)),
            JWTSettings(issuers={"a": LOCAL}),
            JWTSettings(secret_key=SecretStr(SECRET), verification_keys=[SECRET]),
        ],
        ids=["issuer", "several", "one"],
    )
    def test_no_secret_is_shown(self, settings: IssuerSettings) -> None:
        """Neither `repr` nor `str` nor a dump has it."""
        shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
        assert SECRET not in shown


class TestPassive:
    @pytest.fixture(autouse=True)
    def _no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbidden(*_: object, **__: object) -> None:
            pytest.fail("a socket was opened")

        for name in ("socket", "create_connection", "getaddrinfo"):
            monkeypatch.setattr(socket, name, forbidden)

    @pytest.mark.parametrize(
        "values",
        [
            AT_URL,
            DISCOVERED,
            {"issuers": {"a": DISCOVERED, "b": STAFF}},
            {**AT_URL, "warm_up": True},
        ],
        ids=["url", "discovery", "several", "warm-up"],
    )
    def test_building_settings_fetches_nothing(self, values: dict[str, Any]) -> None:
        """No name is looked up and no connection made, and no event loop is needed."""
        settings = JWTSettings(**values)

        assert {None} == {health.age for health in settings.key_health().values()}
