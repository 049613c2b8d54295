"""The settings of a service: all that an operator can set, checked when built."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum
from functools import cache, cached_property
from http.cookies import Morsel
from inspect import iscoroutinefunction
from typing import Annotated, Any, Literal, Self, Unpack, cast

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from jwt_deps.concurrency import LRUMap
from jwt_deps.errors import ConfigurationError
from jwt_deps.keys import KeyHealth, is_issuer_url
from jwt_deps.possession import DPoPMode
from jwt_deps.revocation import (
    AnyRevocation,
    RedisRevocations,
    RevocationHealth,
    RevocationSource,
)

from .env_values import HEADER_NAME, PREFIX, EnvironmentSettings, Several, as_tuple
from .issuer import IssuerSettings, settings_as_input
from .issuers import AcceptedIssuers, issuer_table
from .keywords import JWTKeywords
from .path_patterns import PATTERNS, PathPatterns
from .resource import ResourceSettings
from .revocation import RevocationSettings
from .sender import SenderSettings
from .server import ResourceServer
from .tenants import TenantIssuers

logger = logging.getLogger("jwt_deps")


class TokenSource(StrEnum):
    """Where a request carries its token."""

    HEADER = "header"
    COOKIE = "cookie"
    BOTH = "both"


_DEFAULT_PLACES = (TokenSource.HEADER, "authorization", "Bearer")


def _is_async(function: Any) -> bool:
    """Whether a function is async, or an object that is called like one."""
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def _token_getter(value: Any) -> Any:
    if value is not None and (not callable(value) or _is_async(value)):
        raise ValueError(
            "has to be a plain function, not an async one; it cannot be set in the environment"
        )
    return value


_TokenGetter = Annotated[
    Callable[[Any], str | None] | None, NoDecode, PlainValidator(_token_getter)
]


def _function_or_table(value: Any, table: ValidatorFunctionWrapHandler) -> Any:
    return value if callable(value) else table(value)


# A table to those who read it: a function is asked, and not read.
_Issuers = Annotated[
    dict[str, IssuerSettings], BeforeValidator(issuer_table), WrapValidator(_function_or_table)
]


class _Validate(EnvironmentSettings):
    validate: bool = True  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    """`False` refuses no request and trusts nothing unverified: a token that verifies is injected,
    any other request continues as anonymous."""


class JWTSettings(_Validate, SenderSettings, RevocationSettings, ResourceSettings):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Everything that the toolkit can be told, immutable once built.

    Each parameter is read from the environment under its own name with the prefix `JWT_`.
    Lists are written as JSON (`["a", "b"]`) or with commas (`a,b`); keys only as JSON. What has
    members is written with two underscores: `JWT_ISSUERS__STAFF__AUDIENCE`.

    Raises:
        ConfigurationError: a value is malformed or contradicts another; the sentence says what
            to set and never quotes a value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        defer_build=False,  # `settings_as_input` tells its own building from an endpoint's
    )

    token_source: TokenSource = TokenSource.HEADER
    """`header`, `cookie` or `both`: the header first, the cookie when the header is absent or has
    another scheme, `Basic` for instance."""
    token_header_key: str = "Authorization"  # noqa: S105 - a name
    """The header, in `Bearer <token>` form whatever its name."""
    token_header_scheme: Literal["Bearer", ""] = "Bearer"  # noqa: S105 - a name
    """`Bearer`, or nothing where a proxy writes the bare token into a header of its own
    (`Cf-Access-Jwt-Assertion`)."""
    token_getter: _TokenGetter = None
    """A plain function from the request, an `HTTPConnection`, to the encoded token or `None`, for
    places that no setting names. It is asked in place of header and cookie, and the rule for
    cookies on cross-site requests applies. Only in Python, never in the environment."""
    cookie_name: str = "access_token"
    """The cookie that holds the token."""
    cookie_requests: Literal["same-site", "same-origin"] = "same-site"
    """Which pages may send the cookie with a request that can change something: those of the same
    site, subdomains and other ports included, or only those of the same origin."""
    max_token_size: int = Field(default=16384, gt=0)
    """Longest token that is read, in bytes, checked before anything is decoded."""
    excluded_route_paths: Several = Field(default_factory=list)
    """Path patterns of routes that need no token; `*` stands for any characters, each pattern for
    a whole route template."""
    issuers: _Issuers | None = None
    """Several issuers under names of your own, in place of the parameters of a single one. In
    Python also a function, plain or async, from an `iss` to its `IssuerSettings`, or to `None` if
    it is not accepted."""
    issuers_ttl: float = Field(default=300, ge=1, allow_inf_nan=False)
    """Seconds for which an answer of the function in `issuers` is cached, a refusal too."""
    warm_up: bool = False
    """Whether a guarded application fetches keys before it serves; it starts without them when that
    fails."""

    token_cache_size: int = Field(default=2048, ge=0)
    """How many verified tokens are cached, so that their signatures need not be checked again; 0
    caches none."""
    explain: bool = False
    """Whether a refusal says in its body and in the log which check failed, and what to do about
    it: for development."""

    _server: ResourceServer = PrivateAttr()

    def __init__(self, **values: Unpack[JWTKeywords]) -> None:
        super().__init__(**cast("dict[str, Any]", values))
        if not self.validate:
            logger.warning(
                "%sVALIDATE is false: requests without a valid token go on as anonymous",
                self._prefix,
            )
        if not all(one.verify_audience for one in self._named_or_self()):
            logger.warning(
                "%sVERIFY_AUDIENCE is false: tokens that were made for other services are accepted",
                self._prefix,
            )
        if self.explain:
            logger.warning(
                "%sEXPLAIN is true: refusals tell callers why, which is for development",
                self._prefix,
            )

    @field_validator("token_header_key", "cookie_name", "client_certificate_header")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not HEADER_NAME.fullmatch(value):
            raise ValueError("must be a name that HTTP can carry (RFC 9110 §5.6.2)")
        return value

    @field_validator("cookie_name")
    @classmethod
    def _can_be_set(cls, value: str) -> str:
        if Morsel[str]().isReservedKey(value):  # `http.cookies` would refuse it at each log-in
            raise ValueError("must not be the name of an attribute of cookies")
        return value

    @field_validator("excluded_route_paths", mode="before")
    @classmethod
    def _are_patterns(cls, value: object) -> object:
        several = value if isinstance(value, list | tuple | set | frozenset) else [value]
        if not all(isinstance(item, str) for item in several):  # pydantic would take bytes, too
            raise ValueError(f"has to be {PATTERNS}")
        return value

    @field_validator("token_header_scheme", mode="before")
    @classmethod
    def _is_a_scheme(cls, value: object) -> object:
        return value.capitalize() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_find_tokens(self) -> Self:
        bare, header = not self.token_header_scheme, self.token_header_key.lower()
        if bare and (header == "authorization" or self.dpop is not DPoPMode.OFF):
            raise ConfigurationError(
                "bare_header",
                "JWT_TOKEN_HEADER_SCHEME (token_header_scheme) is empty, which is for a header of "
                "its own: set JWT_TOKEN_HEADER_KEY (token_header_key) to its name, and leave "
                "JWT_DPOP (dpop) off.",
            )
        elsewhere = self.token_source is TokenSource.COOKIE or self.token_getter is not None
        if self.dpop is DPoPMode.REQUIRED and elsewhere:
            raise ConfigurationError(
                "dpop_places",
                "JWT_DPOP (dpop) is 'required', and a token that is bound to a key comes in a "
                "header with the scheme DPoP: set JWT_TOKEN_SOURCE (token_source) to header or "
                "both, and no token_getter.",
            )
        places = (self.token_source, header, self.token_header_scheme)
        if self.token_getter is not None and places != _DEFAULT_PLACES:
            raise ConfigurationError(
                "two_places",
                "token_getter is asked in place of header and cookie: leave JWT_TOKEN_SOURCE "
                "(token_source), JWT_TOKEN_HEADER_KEY (token_header_key) and "
                "JWT_TOKEN_HEADER_SCHEME (token_header_scheme) alone.",
            )
        return self

    @model_validator(mode="after")
    def _build_server(self) -> Self:
        if callable(self.issuers):
            if self.warm_up:
                raise ConfigurationError(
                    "invalid_setting",
                    "JWT_WARM_UP (warm_up): issuers is a function, whose issuers are not known "
                    "before their tokens come: leave it unset.",
                )
            tenants = TenantIssuers(self.issuers, self.issuers_ttl)
            accepted = AcceptedIssuers(self._policy, {}, tenants)
        else:
            accepted = AcceptedIssuers(self._policy, self.issuers)
        header_name = self.token_header_key.lower().encode("ascii")
        sender_policy = self._make_sender_policy(header_name)
        self._server = ResourceServer(
            accepted=accepted,
            max_token_size=self.max_token_size,
            header_name=header_name,
            excluded=PathPatterns(self.excluded_route_paths),
            sender_policy=sender_policy,
            provable=frozenset() if sender_policy is None else sender_policy.provable,
            revocations=self._make_revocations(self._named_or_self()),
            token_cache=LRUMap(self.token_cache_size),
        )
        return self

    def _named_or_self(self) -> list[IssuerSettings]:
        """The settings of each issuer that is known when these are built."""
        if self.issuers is None or callable(self.issuers):
            return [self]
        return list(self.issuers.values())

    def _complete_policy(self) -> None:
        if self.issuers is None:
            super()._complete_policy()
            return
        for name, field in IssuerSettings.model_fields.items():
            if getattr(self, name) != field.get_default(call_default_factory=True):
                raise ConfigurationError(
                    "issuers_and_single",
                    f"JWT_{name.upper()} ({name}) is set beside JWT_ISSUERS (issuers), whose "
                    "entries have it: move it into each of them, or remove it.",
                )
        self._policy = replace(self._policy, audiences=())  # `resource` is none of them

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Refuse to be a parameter or a body: configuration must never come from the client."""
        if cls.__dict__.get("__pydantic_complete__"):  # pydantic's building of the class itself
            raise settings_as_input()
        return handler(source)

    def _values(self) -> dict[str, Any]:
        return {**super()._values(), "_env_prefix": self.env_prefix}

    def with_defaults(self, *, scopes_claim: str, audience: str) -> Self:
        """Return the same settings, keys and caches included, with values for what is not set.

        A token that names an audience has to name this one, unless another is configured.
        """
        copy = self._sharing_copy(scopes_claim=self.scopes_claim or scopes_claim)
        names_none = self.verify_audience and not self.accepted_audiences
        policy = replace(
            self._policy,
            settings=copy,
            scopes_claims=as_tuple(copy.scopes_claim),
            audiences=(audience,) if names_none else self.accepted_audiences,
            audience_optional=names_none,
        )
        copy._policy = policy  # noqa: SLF001 - its own
        copy._server = replace(  # noqa: SLF001 - likewise
            self._server,
            accepted=AcceptedIssuers(policy, None),
            token_cache=LRUMap(self.token_cache_size),
        )
        return copy

    def with_credentials(self, credentials: Iterable[Any]) -> Self:
        """Return the same settings, keys and caches included, with these credentials too."""
        given = tuple(credentials)
        for one in given:
            if not _is_async(one):
                raise ConfigurationError(
                    "credential_form",
                    "credentials takes async callables from an HTTPConnection to Claims or None: "
                    "ApiKey(...), Introspection(...) or a function of yours.",
                )
        copy = self._sharing_copy()
        copy._server = replace(self._server, credentials=given)  # noqa: SLF001 - its own
        return copy

    @cached_property
    def server(self) -> ResourceServer:
        """What requests need of these settings: keys, caches and policies."""
        return self._server

    @property
    def revocations(self) -> RevocationSource | None:
        """The source of revocations; `None` without one."""
        return self._server.revocations

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """The accepted issuers that are the URLs of one (RFC 8414 §2)."""
        urls = (issuer for one in self._server.accepted.settings for issuer in one.accepted_issuers)
        return tuple(dict.fromkeys(issuer for issuer in urls if is_issuer_url(issuer)))

    def settings_of(self, issuer: object) -> IssuerSettings | None:
        """Return the settings for the tokens of an issuer, by their `iss`.

        Args:
            issuer: the claim. With one issuer its settings are returned, whatever it is.

        Returns:
            The settings; `None` if the issuer is not accepted.
        """
        accepted = self._server.accepted.of(issuer)
        return None if accepted is None else accepted.policy.settings

    def key_health(self) -> dict[str, KeyHealth]:
        """Return the state of each issuer's fetched keys, for a readiness endpoint.

        Returns:
            The state by the issuer's name in `issuers`; that of a single one is `default`.
        """
        policies = dict(self._server.policies())
        files = {
            f"{name}.file": policy.key_files.health()
            for name, policy in policies.items()
            if policy.key_files is not None
        }
        caches = self._server.key_caches
        return {**{name: keys.health() for name, keys in caches.items()}, **files}

    async def refresh_keys(self) -> dict[str, KeyHealth]:
        """Fetch the keys of every issuer now. Keys that were good stay good when a fetch fails.

        Returns:
            What `key_health` returns afterwards.
        """
        await asyncio.gather(*(keys.refresh() for keys in self._server.key_caches.values()))
        return self.key_health()

    def revocation_health(self) -> RevocationHealth | None:
        """Return the state of the replica of `revocation_url`; `None` without it."""
        source = self._server.revocations
        for one in source.sources if isinstance(source, AnyRevocation) else (source,):
            if isinstance(one, RedisRevocations):
                return one.health()
        return None


@cache
def get_settings() -> JWTSettings:
    """Read the settings from the environment, once per process.

    Override it with `app.dependency_overrides[get_settings]`; `get_settings.cache_clear()` makes
    the next call read again. A `JWT_*` variable that is not a setting gets a warning in the log: a
    misspelt `JWT_AUDIENCES` would leave the audience unchecked.

    Returns:
        The same settings each time.

    Raises:
        ConfigurationError: the environment holds no configuration that can work.
    """
    return JWTSettings()


def settings_without_keys() -> JWTSettings:
    """Read the settings of an application that replaced `get_claims`, and so verifies no token.

    Where no key is configured, a random secret takes its place, which no token is signed with.
    """
    try:
        return get_settings()
    except ConfigurationError as error:
        if error.reason != "no_key":
            raise
    return JWTSettings(secret_key=secrets.token_urlsafe(64), algorithm="HS256")
