"""Settings of one issuer: its keys, what its tokens must say, and the names of their claims."""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Unpack

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import check_claim_path, parse_document
from jwt_deps.keys import HTTPKeyProvider, JWKSCacheSettings, KeyCache, KeySet, split_url

from .env_values import NoneOrSeveral, OneOrSeveral, Secrets, Several, as_tuple, sentence
from .issuer_policy import IssuerPolicy, accepted_types
from .keywords import IssuerKeywords
from .provider_addresses import check_issuer_address, check_key_address

__all__ = ["IssuerSettings", "settings_as_input"]

# What is accepted of keys over HTTP when nothing else is said.
_PUBLISHED_ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


_MOST_UNNAMED = 3
# A media type or what follows `application/` (RFC 6838 §4.2).
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+(?:/[A-Za-z0-9!#$&^_.+-]+)?")
# What issuers sign besides access tokens, or clients with keys of their own (RFC 8725 §3.11).
_OTHER_TYPES = frozenset({"dpop+jwt", "logout+jwt", "secevent+jwt", "statuslist+jwt"})

_boolean = TypeAdapter(bool)


def settings_as_input() -> ConfigurationError:
    """The error for settings that an endpoint would read from the request."""
    return ConfigurationError(
        "settings_as_input",
        "JWTSettings is configuration, never input: take it with Depends(get_settings), and call "
        "jwt_guard() with its parentheses.",
    )


class _ConfigurationOnly:
    """Marks a field of settings, so that they cannot be read from a request.

    For a class given to `Depends`, FastAPI makes each field an input of the client. It builds a
    schema of each by itself, outside of a model, and that is refused here.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        if handler.field_name is None:
            raise settings_as_input()
        return handler(source)


def _cache_settings(value: Any) -> Any:
    return JWKSCacheSettings(**value) if isinstance(value, Mapping) else value


def _is_true(value: Any) -> bool:
    with suppress(ValidationError):
        return _boolean.validate_python(value)
    return False  # the field itself refuses it


class IssuerSettings(BaseModel):
    """One issuer: its keys, what its tokens must say, and where they say it.

    Immutable once built. `JWTSettings` has the same parameters for a service with one issuer.

    Raises:
        ConfigurationError: a value is malformed or contradicts another; the sentence says what
            to set and never quotes a value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    secret_key: Annotated[SecretStr | None, _ConfigurationOnly()] = None
    """Shared secret (HS*), or a public key in PEM (RS*, PS*, ES*, EdDSA, Ed25519)."""
    verification_keys: Secrets = Field(default_factory=list)
    """Further keys accepted beside `secret_key`, for rotation."""
    jwks_file: Path | None = None
    """A JWK Set (RFC 7517) on disk."""
    jwks_url: str | None = None
    """Where the issuer publishes its JWK Set: the keys are fetched, and kept up to date."""
    discovery: bool = False
    """Whether the issuer's own document (OpenID Connect Discovery, RFC 8414) names the place."""
    discovery_url: str | None = None
    """Where that document is, if it is not at its well-known place; turns `discovery` on."""
    algorithm: OneOrSeveral = "HS256"
    """The algorithms that are accepted, RFC 7518 names; `none` can never be. With keys over HTTP,
    the default is RS256, PS256, ES256, ES384, ES512, EdDSA and Ed25519."""
    issuer: NoneOrSeveral = None
    """Accepted `iss`, one or several; when set, the claim is required."""
    audience: NoneOrSeveral = None
    """Accepted audiences, one or several; when set, the claim is required."""
    audience_claim: str = "aud"
    """The claim that names the audience; Amazon Cognito has `client_id` instead."""
    verify_audience: bool = True
    """`False` accepts tokens that were made for other services: only for an issuer whose tokens
    name no audience at all."""
    leeway: float = Field(default=10, ge=0, le=300)
    """Clock difference that is forgiven, in seconds, at most 300."""
    require_exp: bool = True
    """Whether a token must have `exp`."""
    profile: Literal["lenient", "rfc9068"] = "lenient"
    """`rfc9068` accepts only what RFC 9068 calls an access token: `typ` is `at+jwt`, it names its
    key, and `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti` are there. `lenient` accepts
    what most providers issue."""
    token_types: Several = Field(default_factory=list)
    """Further `typ` of access tokens, beside `JWT`, `at+jwt`, `JOSE` and none at all; a name
    without a slash stands for `application/<name>` (RFC 7515 §4.1.9)."""
    allow_numeric_sub: bool = False
    """Whether an integer `sub` is read as its text, against RFC 7519 §4.1.2."""
    allow_missing_kid: bool = False
    """Whether a token that names no key is checked with each key of the JWK Set that fits its
    `alg`, up to three; otherwise only with a single one."""
    scopes_claim: NoneOrSeveral = None
    """The claim that holds the scopes, or several whose scopes are united: a space-separated
    string, a list of strings, or objects with `value` or `name`. `None`: none are injected, and
    scope checks read `scope`, or `scp` where that is absent."""
    roles_claim: NoneOrSeveral = None
    """The claim that holds the roles, for `require_roles`; in the form of `scopes_claim`."""
    admin_scope: str | None = None
    """A scope that satisfies every scope that a route needs; no role, and no claim."""
    user_id_claim: str = "sub"
    """The claim that identifies the user; a dotted path reaches into nested claims, and on it a
    name with dots is quoted: `realm."com.example".user`. So for every setting that names claims."""
    session_id_claim: str = "session_id"
    """The claim that identifies the session; a dotted path as above."""
    dependencies_claims: Several = Field(default_factory=list)
    """The claims that `get_dependencies` returns."""
    session_state_claims: Several = Field(default_factory=list)
    """The claims that `get_session_state` returns."""
    ca_file: Path | None = None
    """Certificate authorities in PEM that are trusted for `https` in place of the system's."""
    allow_loopback: bool = False
    """Whether keys may come from this very machine, by plain `http` too: for development."""
    jwks_cache: Annotated[JWKSCacheSettings, BeforeValidator(_cache_settings)] = Field(
        default_factory=JWKSCacheSettings
    )
    """How keys over HTTP are kept."""

    _policy: IssuerPolicy = PrivateAttr()
    _issuers: tuple[str, ...] = PrivateAttr()
    _audiences: tuple[str, ...] = PrivateAttr()

    def __init__(self, **values: Unpack[IssuerKeywords]) -> None:
        problem = None
        try:
            super().__init__(**values)
        except ValidationError as error:
            problem = sentence(error)
        if problem is not None:
            # Raised out here: pydantic's errors hold the input, which can be a secret.
            raise ConfigurationError("invalid_setting", problem)

    @model_validator(mode="before")
    @classmethod
    def _has_published_algorithms(cls, values: Any) -> Any:
        """Keys over HTTP have another default of `algorithm`."""
        if not isinstance(values, dict) or "algorithm" in values:
            return values
        urls = (values.get("jwks_url"), values.get("discovery_url"))
        if urls == (None, None) and not _is_true(values.get("discovery", False)):
            return values
        return {**values, "algorithm": list(_PUBLISHED_ALGORITHMS)}

    @field_validator(
        "algorithm",
        "issuer",
        "audience",
        "scopes_claim",
        "roles_claim",
        "jwks_url",
        "discovery_url",
    )
    @classmethod
    def _is_not_empty(cls, value: Any) -> Any:
        # An empty variable must not switch a check off: `JWT_AUDIENCE=$UNSET` is a mistake.
        names = [value] if isinstance(value, str) else value
        if names is not None and not (names and all(name.strip() for name in names)):
            raise ValueError("is empty: give it a value or leave it unset")
        return value

    @field_validator("admin_scope")
    @classmethod
    def _is_a_scope(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", value) is None:
            raise ValueError("is not one scope (RFC 6749 §3.3)")
        return value

    @field_validator(
        "audience_claim",
        "user_id_claim",
        "session_id_claim",
        "scopes_claim",
        "roles_claim",
    )
    @classmethod
    def _names_claims(cls, value: Any) -> Any:
        for name in [value] if isinstance(value, str) else value or ():
            check_claim_path(name)
        return value

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        # Copied, so that a list that was given, and changed later, loosens no check.
        self._issuers, self._audiences = as_tuple(self.issuer), as_tuple(self._meant_for())
        for issuer in self._issuers:
            check_issuer_address(issuer)
        if self.audience is not None and not self.verify_audience:
            raise ConfigurationError(
                "audience_unverified",
                "JWT_VERIFY_AUDIENCE (verify_audience) is false, and JWT_AUDIENCE (audience) is "
                "set: take one of them away.",
            )
        self._policy = self._make_policy()
        return self

    def _meant_for(self) -> NoneOrSeveral:
        return self.audience

    @field_validator("token_types")
    @classmethod
    def _are_of_access_tokens(cls, value: list[str]) -> list[str]:
        if not all(map(_TYPE.fullmatch, value)):
            raise ValueError("names media types, at+jwt for instance (RFC 7515 §4.1.9)")
        if not _OTHER_TYPES.isdisjoint(accepted_types(value)):
            raise ValueError("names what is no access token: a proof, a log-out or a status list")
        return value

    def _check_profile(self) -> None:
        looser = self.token_types or self.allow_missing_kid or self.allow_numeric_sub
        if self.profile == "rfc9068" and looser:
            raise ConfigurationError(
                "profile_loosened",
                "JWT_PROFILE=rfc9068 (profile) takes only at+jwt with a kid and a text as sub: "
                "leave JWT_TOKEN_TYPES (token_types), JWT_ALLOW_MISSING_KID (allow_missing_kid) "
                "and JWT_ALLOW_NUMERIC_SUB (allow_numeric_sub) alone.",
            )
        names_both = self._issuers and self._audiences and self.audience_claim == "aud"
        if self.profile == "rfc9068" and not names_both:
            raise ConfigurationError(
                "profile_unchecked",
                "JWT_PROFILE=rfc9068 (profile) needs JWT_ISSUER (issuer) and JWT_AUDIENCE "
                "(audience), which RFC 9068 has every resource server check, and the claim aud.",
            )

    def _make_policy(self) -> IssuerPolicy:
        self._check_profile()
        if not self.is_remote:
            return self._policy_with(self._configured_keys())
        self._check_remote()
        cache = KeyCache(self._issuers[0], self._key_provider(), self.jwks_cache)
        return self._policy_with(KeySet.awaited(self.algorithms), cache)

    def _policy_with(self, keys: KeySet, key_cache: KeyCache | None = None) -> IssuerPolicy:
        return IssuerPolicy(
            settings=self,
            issuers=self._issuers,
            audiences=self._audiences,
            audience_claim=self.audience_claim,
            scopes_claims=as_tuple(self.scopes_claim),
            roles_claims=as_tuple(self.roles_claim),
            leeway=self.leeway,
            require_exp=self.require_exp,
            is_rfc9068=self.profile == "rfc9068",
            types=accepted_types(["jwt", "at+jwt", "jose", *self.token_types]),
            allow_numeric_sub=self.allow_numeric_sub,
            keys=keys,
            key_cache=key_cache,
        )

    def _key_provider(self) -> HTTPKeyProvider:
        return HTTPKeyProvider(
            self._issuers[0],
            algorithms=self.algorithms,
            policy=self.jwks_cache,
            jwks_url=self.jwks_url,
            discovery_url=self.discovery_url,
            ca_file=self.ca_file,
            allow_loopback=self.allow_loopback,
            most_unnamed=self._most_unnamed,
        )

    @property
    def _most_unnamed(self) -> int:
        """How many keys of a JWK Set are tried for a token that names none."""
        return _MOST_UNNAMED if self.allow_missing_kid else 1

    def _check_remote(self) -> None:
        """Refuse what cannot work with keys over HTTP, or only by weakening a check."""
        if self.jwks_url is not None and (self.discovery or self.discovery_url is not None):
            raise ConfigurationError(
                "two_key_addresses",
                "JWT_JWKS_URL (jwks_url) and JWT_DISCOVERY (discovery) exclude each other: the "
                "one says where the keys are, the other finds out.",
            )
        if self.secret_key or self.verification_keys or self.jwks_file:
            raise ConfigurationError(
                "fetched_and_configured",
                "Keys over HTTP and configured keys exclude each other: take away JWT_SECRET_KEY "
                "(secret_key), JWT_VERIFICATION_KEYS (verification_keys) and JWT_JWKS_FILE "
                "(jwks_file), or JWT_JWKS_URL (jwks_url) and JWT_DISCOVERY (discovery).",
            )
        if not self._issuers or (self.jwks_url is None and len(self._issuers) > 1):
            raise ConfigurationError(
                "fetched_without_issuer",
                "JWT_ISSUER (issuer) must name the issuer whose keys are fetched"
                + (", and discovery finds the keys of one." if self._issuers else "."),
            )
        if not self._audiences and self.verify_audience:
            # An issuer signs tokens for many services with the same keys (RFC 8725 §3.9).
            raise ConfigurationError(
                "fetched_without_audience",
                "JWT_AUDIENCE (audience) must say which tokens of this issuer are meant for this "
                "service. An issuer without audiences needs JWT_AUDIENCE_CLAIM (audience_claim), "
                "or JWT_VERIFY_AUDIENCE=false (verify_audience), which accepts those for any "
                "service.",
            )
        self._check_urls()

    def _check_urls(self) -> None:
        urls = {"jwks_url": self.jwks_url, "discovery_url": self.discovery_url}
        if self.jwks_url is None:
            urls["issuer"] = self._issuers[0]
        for name, url in urls.items():
            if url is None:
                continue
            try:
                split_url(url, allow_loopback=self.allow_loopback)
                if name == "issuer" and "?" in url:
                    raise ValueError("has a query, which RFC 8414 §2 excludes")  # noqa: TRY301
            except ValueError as error:
                raise ConfigurationError(
                    "key_address",
                    f"JWT_{name.upper()} ({name}) {error}; it has to be an https:// address, or "
                    "with JWT_ALLOW_LOOPBACK=true (allow_loopback) an http:// one of this machine.",
                ) from None
            if name != "issuer":
                check_key_address(name, url)

    def _configured_keys(self) -> KeySet:
        static = [self.secret_key] if self.secret_key is not None else []
        return KeySet.build(
            self.algorithms,
            [secret.get_secret_value() for secret in (*static, *self.verification_keys)],
            _read_jwks(self.jwks_file) if self.jwks_file is not None else None,
            most_unnamed=self._most_unnamed,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).model_fields:
            # pydantic's own error would quote the value, which may be a secret.
            raise ConfigurationError(
                "settings_are_fixed",
                f"{name} cannot be changed: build new settings, or model_copy(update=...) these.",
            )
        super().__setattr__(name, value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: Any = None) -> Self:
        return self

    def model_copy(self, *, update: Any = None, deep: bool = False) -> Self:  # noqa: ARG002
        """Build settings that differ in some values; checked like new ones, unlike pydantic's."""
        # Not `dict(self)`, which would take the property `keys` for a mapping's method.
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**values, **(update or {})})

    @property
    def is_remote(self) -> bool:
        """Whether the issuer publishes its keys, and they have to be fetched."""
        return self.discovery or not (self.jwks_url is None and self.discovery_url is None)

    @cached_property
    def policy(self) -> IssuerPolicy:
        """What requests need of these settings."""
        return self._policy

    @cached_property
    def keys(self) -> KeySet:
        """The configured keys; none when they are fetched."""
        return self._policy.keys

    @cached_property
    def key_cache(self) -> KeyCache | None:
        """The fetched keys; `None` when they are configured."""
        return self._policy.key_cache

    @cached_property
    def algorithms(self) -> tuple[str, ...]:
        """`algorithm` as a tuple."""
        return as_tuple(self.algorithm)

    @cached_property
    def accepted_issuers(self) -> tuple[str, ...]:
        """`issuer` as a tuple, empty when unchecked."""
        return self._issuers

    @cached_property
    def accepted_audiences(self) -> tuple[str, ...]:
        """`audience` as a tuple, empty when unchecked."""
        return self._audiences


def _read_jwks(path: Path) -> dict[str, Any]:
    try:
        return parse_document(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            "jwks_file", f"JWT_JWKS_FILE (jwks_file) cannot be read: {error.strerror}."
        ) from None  # it holds the value, which may be a key in the wrong variable
    except ValueError:
        raise ConfigurationError(
            "jwks_file", "JWT_JWKS_FILE (jwks_file) is not a JSON object."
        ) from None
