"""Settings of one issuer: its keys, what its tokens must say, and the names of their claims."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, Unpack

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import check_claim_path, parse_document
from jwt_deps.keys import (
    HEADER_VALUE,
    Fetcher,
    JWKSCacheSettings,
    KeyCache,
    KeySet,
    KeySource,
    host_of,
    is_loopback_host,
)

from .env_values import (
    HEADER_NAME,
    GivenSeveral,
    NoneOrSeveral,
    OneOrSeveral,
    Secrets,
    Several,
    as_tuple,
    sentence,
)
from .issuer_policy import IssuerPolicy, accepted_types
from .key_sources import fetcher_of, with_keys
from .keywords import IssuerKeywords
from .provider_addresses import check_issuer_address

# What is accepted of keys over HTTP when nothing else is said.
_PUBLISHED_ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
# A media type or what follows `application/` (RFC 6838 §4.2).
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+(?:/[A-Za-z0-9!#$&^_.+-]+)?")
# What issuers sign besides access tokens, or clients with keys of their own (RFC 8725 §3.11).
_OTHER_TYPES = frozenset({"dpop+jwt", "logout+jwt", "secevent+jwt", "statuslist+jwt"})


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


def _json_object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_document(value.encode())
    except ValueError:
        # `from None`: the parser's error holds the text.
        raise ValueError("is not a JSON object") from None


def _key_source(value: Any) -> Any:
    is_source = iscoroutinefunction(getattr(value, "fetch_keys", None))
    if value is not None and (not is_source or isinstance(value, type)):
        raise ValueError(
            "has to be an object with async fetch_keys(); it cannot be set in the environment"
        )
    return value


_JWKSet = Annotated[dict[str, Any] | None, NoDecode, BeforeValidator(_json_object)]
_KeySource = Annotated[KeySource | None, NoDecode, PlainValidator(_key_source)]
_Headers = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_json_object)]


class IssuerSettings(BaseModel):
    """One issuer: its keys, what its tokens must say, and where they say it.

    Immutable once built. `JWTSettings` has the same parameters for a service with one issuer.

    Raises:
        ConfigurationError: a value is malformed or contradicts another; the sentence says what
            to set and never quotes a value.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )

    secret_key: Annotated[SecretStr | None, _ConfigurationOnly()] = None
    """Shared secret (HS*), or a public key in PEM (RS*, PS*, ES*, EdDSA, Ed25519)."""
    secret_key_file: Path | None = None
    """A file with what `secret_key` takes, without the line break at its end; read again within
    10 s of a change."""
    secret_key_encoding: Literal["text", "base64"] = "text"  # noqa: S105 - a name
    """`base64`: shared secrets are bytes in base64, of either alphabet, padded or not."""
    verification_keys: Secrets = []
    """Further keys accepted beside `secret_key`, for rotation."""
    jwks: _JWKSet = None
    """A JWK Set (RFC 7517) as JSON."""
    jwks_file: Path | None = None
    """A JWK Set (RFC 7517) on disk, read again within 10 s of a change. A new one that is broken
    changes nothing, and is reported in log and health."""
    jwks_url: NoneOrSeveral = Field(default=None, repr=False)
    """Where the issuer publishes its JWK Set, one address or several: the keys are fetched, and
    kept up to date."""
    discovery: bool = False
    """Whether the address of the keys is read from the issuer's own document (OpenID Connect
    Discovery, RFC 8414)."""
    discovery_url: str | None = Field(default=None, repr=False)
    """Where that document is, if it is not at its well-known place; turns `discovery` on."""
    key_source: _KeySource = None
    """An object with `async def fetch_keys()`, which returns a JWK Set: a vault, a key management
    service. Only in Python, never in the environment."""
    algorithm: OneOrSeveral = "HS256"
    """The algorithms that are accepted, RFC 7518 names; `none` can never be. With keys over HTTP,
    the default is RS256, PS256, ES256, ES384, ES512, EdDSA and Ed25519."""
    issuer: NoneOrSeveral = None
    """Accepted `iss`, one or several; when set, the claim is required."""
    audience: NoneOrSeveral = None
    """Accepted audiences, one or several; when set, the claim is required."""
    audience_claim: str = "aud"
    """The claim that names the audience; Amazon Cognito has `client_id` instead. An `aud` that is
    there has to name an accepted one, too (RFC 7519 §4.1.3)."""
    verify_audience: bool = True
    """Whether a token that names an audience is refused where none is configured (RFC 7519 §4.1.3).
    `False` accepts tokens that were made for other services."""
    leeway: float = Field(default=10, ge=0, le=300)
    """Clock difference that is tolerated, in seconds, at most 300."""
    require_exp: bool = True
    """Whether a token must have `exp`."""
    required_claims: GivenSeveral = []
    """Further claims that a token must have."""
    max_token_age: float | None = Field(default=None, gt=0)
    """The largest age of a token in seconds since its `iat`, which is then required."""
    profile: Literal["rfc7519", "rfc9068"] = "rfc7519"
    """What is accepted as an access token: `rfc7519`, any JWT that passes the other checks, as most
    providers issue them; `rfc9068`, only what RFC 9068 calls one: `typ` is `at+jwt`, and `iss`,
    `exp`, `aud`, `sub`, `client_id`, `iat` and `jti` are there."""
    token_types: Several = []
    """Further `typ` of access tokens, beside `JWT`, `at+jwt`, `JOSE` and none at all; a name
    without a slash stands for `application/<name>` (RFC 7515 §4.1.9)."""
    allow_numeric_sub: bool = False
    """Whether an integer `sub` is read as its text, against RFC 7519 §4.1.2."""
    allow_missing_kid: bool = False
    """Whether a token that names no key is checked with each key of the JWK Set that fits its
    `alg`, up to three; otherwise only with a single one."""
    scopes_claim: NoneOrSeveral = None
    """The claim that holds the scopes, or several whose scopes are united: a space-separated
    string, a list of strings, or objects with `value` or `name`. `None`: the claim
    `scope`, or `scp` where that is absent."""
    roles_claim: NoneOrSeveral = None
    """The claim that holds the roles, for `require_roles`; in the form of `scopes_claim`."""
    admin_scope: str | None = None
    """A scope that satisfies every scope that a route needs; no role, and no claim."""
    user_id_prefix: str | None = None
    """The prefix of the user's id, because a `sub` is unique only at its issuer (RFC 7519
    §4.1.2). `None`: nothing with one issuer, `<name>|` in a table of `issuers`, and `<iss>|` where
    `issuers` is a function."""
    user_id_claim: str = "sub"
    """The claim that identifies the user; a dotted path reaches into nested claims, and on it a
    name with dots is quoted: `realm."com.example".user`. The same
    holds for all settings that name claims."""
    session_id_claim: str = "session_id"
    """The claim that identifies the session; a dotted path as in `user_id_claim`."""
    dependencies_claims: Several = []
    """The claims that `get_dependencies` returns."""
    session_state_claims: Several = []
    """The claims that `get_session_state` returns."""
    ca_file: Path | None = None
    """Certificate authorities in PEM that are trusted for `https` in place of the system's; read
    again when the file has changed."""
    allow_loopback: bool = False
    """Whether keys may come from this machine, by plain `http` too: for development."""
    allow_http_hosts: Several = []
    """Hosts, `keycloak` or `keycloak:8080`, from which discovery and keys may come by plain `http`,
    inside a cluster or a compose network."""
    trust_env: bool = False
    """Whether key requests use the proxies, `SSL_CERT_FILE` and `SSL_CERT_DIR` of the
    environment."""
    jwks_headers: _Headers = {}
    """Headers of key requests, as JSON; like the token and the client certificate, sent only to the
    configured origins."""
    jwks_token_file: Path | None = None
    """A file whose text becomes `Authorization: Bearer` of key requests; read for each of them."""
    jwks_certificate_file: Path | None = None
    """A client certificate in PEM for key requests, with its private key or with `jwks_key_file`;
    read again when it has changed."""
    jwks_key_file: Path | None = None
    """The private key of `jwks_certificate_file` in PEM."""
    jwks_cache: Annotated[JWKSCacheSettings, BeforeValidator(_cache_settings)] = Field(
        default_factory=JWKSCacheSettings
    )
    """How keys over HTTP are cached."""

    _policy: IssuerPolicy = PrivateAttr()

    def __init__(self, **values: Unpack[IssuerKeywords]) -> None:
        problem = None
        try:
            super().__init__(**values)
        except ValidationError as error:
            problem = sentence(error, type(self).model_fields)
        if problem is not None:
            # Raised out here: pydantic's errors hold the input, which can be a secret.
            raise ConfigurationError("invalid_setting", problem)

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
        if any(name != name.strip() for name in names or ()):  # as `echo` writes it to a file
            raise ValueError("begins or ends with white space")
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
        "required_claims",
        "dependencies_claims",
        "session_state_claims",
    )
    @classmethod
    def _names_claims(cls, value: Any) -> Any:
        for name in [value] if isinstance(value, str) else value or ():
            check_claim_path(name)
        return value

    @model_validator(mode="after")
    def _build_policy(self) -> Self:
        if hasattr(self, "_policy"):  # pydantic comes here again for an instance in `issuers`
            return self
        if self.is_remote and "algorithm" not in self.model_fields_set:
            vars(self)["algorithm"] = list(_PUBLISHED_ALGORITHMS)
        self._policy = self._policy_without_keys()
        for issuer in self.accepted_issuers:
            check_issuer_address(issuer)
        if self.audience is not None and not self.verify_audience:
            raise ConfigurationError(
                "audience_unverified",
                "JWT_VERIFY_AUDIENCE (verify_audience) is false, and JWT_AUDIENCE (audience) is "
                "set: take one of them away.",
            )
        self._complete_policy()
        return self

    def _accepted_audience(self) -> NoneOrSeveral:
        return self.audience

    @field_validator("allow_http_hosts")
    @classmethod
    def _are_other_machines(cls, value: list[str]) -> list[str]:
        for entry in value:
            host = host_of(f"//{entry}")
            if not _HOST.fullmatch(entry) or not host:
                raise ValueError("has to be hosts, keycloak or keycloak:8080 for instance")
            if is_loopback_host(host):
                raise ValueError("names this machine: set JWT_ALLOW_LOOPBACK (allow_loopback)")
        return value

    @field_validator("jwks_headers")
    @classmethod
    def _can_be_sent(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if not all(
            HEADER_NAME.fullmatch(name) and HEADER_VALUE.fullmatch(text.get_secret_value())
            for name, text in value.items()
        ):
            raise ValueError("has a name or a value that no header can have (RFC 9110 §5)")
        return value

    @field_validator("token_types")
    @classmethod
    def _are_of_access_tokens(cls, value: list[str]) -> list[str]:
        if not all(map(_TYPE.fullmatch, value)):
            raise ValueError("has to be media types, at+jwt for instance (RFC 7515 §4.1.9)")
        if not _OTHER_TYPES.isdisjoint(accepted_types(value)):
            raise ValueError(
                "includes the type of a DPoP proof, log-out token, security event or status list"
            )
        return value

    def _check_profile(self) -> None:
        looser = self.token_types or self.allow_numeric_sub
        if self.profile == "rfc9068" and looser:
            raise ConfigurationError(
                "profile_loosened",
                "JWT_PROFILE=rfc9068 (profile) takes only at+jwt with a text as sub: leave "
                "JWT_TOKEN_TYPES (token_types) and JWT_ALLOW_NUMERIC_SUB (allow_numeric_sub) "
                "alone.",
            )
        names_both = self.accepted_issuers and self.accepted_audiences
        if self.profile == "rfc9068" and not (names_both and self.audience_claim == "aud"):
            raise ConfigurationError(
                "profile_unchecked",
                "JWT_PROFILE=rfc9068 (profile) needs JWT_ISSUER (issuer) and JWT_AUDIENCE "
                "(audience), which RFC 9068 has every resource server check, and the claim aud.",
            )

    def _complete_policy(self) -> None:
        self._check_profile()
        self._policy = with_keys(self._policy)

    def _policy_without_keys(self) -> IssuerPolicy:
        return IssuerPolicy(
            settings=self,
            issuers=as_tuple(self.issuer),
            audiences=as_tuple(self._accepted_audience()),
            audience_claim=self.audience_claim,
            verify_audience=self.verify_audience,
            required_claims=tuple(self.required_claims),
            max_token_age=self.max_token_age,
            scopes_claims=as_tuple(self.scopes_claim),
            roles_claims=as_tuple(self.roles_claim),
            leeway=self.leeway,
            require_exp=self.require_exp,
            is_rfc9068=self.profile == "rfc9068",
            types=accepted_types(["jwt", "at+jwt", "jose", *self.token_types]),
            allow_numeric_sub=self.allow_numeric_sub,
            algorithms=frozenset(self.algorithms),
            key_set=KeySet.empty(),
            key_files=None,
            key_caches=(),
        )

    def _sharing_copy(self, **changed: Any) -> Self:
        """Copy these settings with their policy, which the caller changes to fit."""
        copy = super().__copy__()  # the own one returns the same settings
        for name in ("server", "policy"):
            vars(copy).pop(name, None)
        vars(copy).update(changed)
        return copy

    def of_tenant(self, issuer: str, keys: KeyCache) -> Self:
        """Return the same settings for another issuer, whose keys are in that cache."""
        copy = self._sharing_copy(issuer=issuer)
        copy._policy = replace(  # noqa: SLF001 - its own
            self._policy, settings=copy, issuers=(issuer,), key_caches=(keys,)
        )
        return copy

    def make_fetcher(self) -> Fetcher:
        """Make what fetches documents of the issuer, from the hosts that keys may come from."""
        return fetcher_of(self)

    @property
    def has_addresses(self) -> bool:
        """Whether keys are fetched over HTTP."""
        return self.discovery or not (self.jwks_url is None and self.discovery_url is None)

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
        """Build settings that differ in some values; checked like new ones, unlike pydantic's.

        Args:
            update: the values that differ, by the names of the parameters.
            deep: has no effect.

        Returns:
            New settings, with keys and caches of their own; entries of `issuers` keep theirs.

        Raises:
            ConfigurationError: as for any new settings.
        """
        return type(self)(**{**self._values(), **(update or {})})

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    def copy(self, **_: Any) -> NoReturn:
        """Refuse what pydantic has from its first version: its changes are not checked.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "settings_are_fixed", "settings.copy changes nothing: use model_copy(update=...)."
        )

    @property
    def is_remote(self) -> bool:
        """Whether keys have to be fetched."""
        return self.key_source is not None or self.has_addresses

    @cached_property
    def policy(self) -> IssuerPolicy:
        """What requests need of these settings."""
        return self._policy

    @cached_property
    def algorithms(self) -> tuple[str, ...]:
        """`algorithm` as a tuple."""
        return as_tuple(self.algorithm)

    # Of the policy: a list that is changed later loosens no check.

    @property
    def accepted_issuers(self) -> tuple[str, ...]:
        """`issuer` as a tuple, empty when unchecked."""
        return self._policy.issuers

    @property
    def accepted_audiences(self) -> tuple[str, ...]:
        """`audience` as a tuple, empty when unchecked."""
        return self._policy.audiences
