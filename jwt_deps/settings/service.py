"""What is this service configured to accept? Everything that it can be told, checked when built."""

import asyncio
import logging
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self, Unpack, cast

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from jwt_deps.concurrency import LRUMap
from jwt_deps.errors import ConfigurationError
from jwt_deps.keys import KeyCache, KeyHealth, KeySet, is_issuer_url

from .env_values import PREFIX, EnvironmentSettings, Several
from .issuer import IssuerSettings, settings_as_input
from .issuers import issuer_table, settings_by_issuer
from .keywords import JWTKeywords
from .path_patterns import PATTERNS, PathPatterns
from .resource import ResourceSettings
from .revocation import RevocationSettings
from .sender import SenderSettings

__all__ = ["JWTSettings", "TokenSource"]

logger = logging.getLogger("jwt_deps")

# RFC 9110 §5.6.2: what a header or a cookie can be called.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class TokenSource(StrEnum):
    """Where a request carries its token."""

    HEADER = "header"
    COOKIE = "cookie"
    BOTH = "both"


_Issuers = Annotated[dict[str, IssuerSettings], BeforeValidator(issuer_table)]


class _Validate(EnvironmentSettings):
    validate: bool = True  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    """`False` refuses no request and believes nothing unverified: a token that verifies is
    injected, any other request goes on anonymous."""


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
    )

    token_source: TokenSource = TokenSource.HEADER
    """`header`, `cookie` or `both`: the header first, the cookie only when it is absent."""
    token_header_key: str = "Authorization"  # noqa: S105 - a name
    """The header, in `Bearer <token>` form whatever its name."""
    cookie_name: str = "access_token"
    """The cookie that holds the token."""
    cookie_requests: Literal["same-site", "same-origin"] = "same-site"
    """Whose pages may have the cookie sent with what can change something: those of the same site,
    subdomains and other ports included, or only those of this very origin."""
    max_token_size: int = Field(default=16384, gt=0)
    """Longest token that is looked at, in bytes, checked before anything is decoded."""
    excluded_route_paths: Several = Field(default_factory=list)
    """Path patterns of routes that need no token; `*` stands for any characters, each pattern for
    a whole route template."""
    issuers: _Issuers | None = None
    """Several issuers under names of your own, in place of the parameters of a single one."""
    warm_up: bool = False
    """Whether an application under guard fetches keys before it serves; it starts without them
    when that fails."""

    token_cache_size: int = Field(default=2048, ge=0)
    """How many verified tokens are remembered, so that their signatures need not be checked
    again; 0 remembers none."""
    explain: bool = False
    """Whether a refusal says in its body and in the log which check failed, and what to do about
    it: for development."""

    _excluded: PathPatterns = PrivateAttr()
    _routes: Mapping[str, IssuerSettings] | None = PrivateAttr(default=None)

    def __init__(self, **values: Unpack[JWTKeywords]) -> None:
        super().__init__(**cast("dict[str, Any]", values))
        if not self.validate:
            logger.warning(
                "%sVALIDATE is false: requests without a valid token go on as anonymous",
                self._prefix,
            )
        if self.explain:
            logger.warning(
                "%sEXPLAIN is true: refusals tell callers why, which is for development",
                self._prefix,
            )

    @field_validator("token_header_key", "cookie_name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _TOKEN.fullmatch(value):
            raise ValueError("must be a name that HTTP can carry (RFC 9110 §5.6.2)")
        return value

    @field_validator("excluded_route_paths", mode="before")
    @classmethod
    def _are_patterns(cls, value: object) -> object:
        several = value if isinstance(value, list | tuple | set | frozenset) else [value]
        if not all(isinstance(item, str) for item in several):  # pydantic would take bytes, too
            raise ValueError(f"takes {PATTERNS}")
        return value

    @model_validator(mode="after")
    def _can_serve(self) -> Self:
        self._excluded = PathPatterns(self.excluded_route_paths)
        self._routes = None if self.issuers is None else settings_by_issuer(self.issuers)
        issuers = [self] if self.issuers is None else list(self.issuers.values())
        sessions = ["sid", *(one.session_id_claim for one in issuers)]
        self._revoke_by(sessions, ["sub", *(one.user_id_claim for one in issuers)])
        return self

    def _prepare_keys(self) -> None:
        if self.issuers is None:
            super()._prepare_keys()
            return
        for name, field in IssuerSettings.model_fields.items():
            if getattr(self, name) != field.get_default(call_default_factory=True):
                raise ConfigurationError(
                    "issuers_and_single",
                    f"JWT_{name.upper()} ({name}) belongs to each of JWT_ISSUERS (issuers).",
                )
        self._keys, self._audiences = KeySet.empty(), ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Refuse to be a parameter or a body: configuration must never come from the client.

        Raises:
            ConfigurationError: when the route is registered.
        """
        if cls.__dict__.get("__pydantic_complete__"):  # pydantic's building of the class itself
            raise settings_as_input()
        return handler(source)

    @cached_property
    def header_name(self) -> bytes:
        """`token_header_key` as ASGI has it."""
        return self.token_header_key.lower().encode("ascii")

    @cached_property
    def missing(self) -> str:
        """What is said where no token is, in the words of the AgentOS middleware."""
        header, cookie = f"{self.token_header_key} header", self.cookie_name
        return {
            TokenSource.HEADER: f"{header} missing",
            TokenSource.COOKIE: f"JWT cookie '{cookie}' missing",
            TokenSource.BOTH: f"JWT token missing from both {header} and '{cookie}' cookie",
        }[self.token_source]

    @cached_property
    def verified_tokens(self) -> LRUMap[str, Any]:
        """The tokens that verified, for `recognition`."""
        return LRUMap(self.token_cache_size)

    @cached_property
    def excluded(self) -> PathPatterns:
        """`excluded_route_paths`, compiled once with the settings."""
        return self._excluded

    def settings_of(self, issuer: object) -> IssuerSettings | None:
        """The settings for the tokens of an issuer, by their `iss`; `None` if it is not accepted.

        With one issuer these are they, whatever the token says: `iss` is checked with the rest.
        """
        if self._routes is None:
            return self
        return self._routes.get(issuer) if isinstance(issuer, str) else None

    @property
    def accepted_algorithms(self) -> frozenset[str]:
        """The algorithms of all issuers; each accepts only its own."""
        if self._routes is None:
            return self.keys.algorithms
        return frozenset().union(*(one.keys.algorithms for one in self._routes.values()))

    @cached_property
    def routes_by_issuer(self) -> bool:
        """Whether a token's `iss` decides which settings hold for it."""
        return self._routes is not None

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """The accepted issuers that are the URLs of one (RFC 8414 §2)."""
        several = [self] if self.issuers is None else list(self.issuers.values())
        named = (issuer for one in several for issuer in one.accepted_issuers)
        return tuple(dict.fromkeys(issuer for issuer in named if is_issuer_url(issuer)))

    @property
    def key_caches(self) -> dict[str, KeyCache]:
        """The keys that are fetched, by the issuer's name; that of a single one is `default`."""
        issuers = {"default": self} if self.issuers is None else self.issuers
        caches = ((name, settings.key_cache) for name, settings in issuers.items())
        return {name: keys for name, keys in caches if keys is not None}

    def key_health(self) -> dict[str, KeyHealth]:
        """How the keys of each issuer are, for a readiness endpoint."""
        return {name: keys.health() for name, keys in self.key_caches.items()}

    async def refresh_keys(self) -> dict[str, KeyHealth]:
        """Fetch the keys of every issuer now, and say how that went.

        Keys that were good stay good when a fetch fails.
        """
        await asyncio.gather(*(keys.refresh() for keys in self.key_caches.values()))
        return self.key_health()

    def export_keys(self) -> dict[str, Any]:
        """The keys of every issuer as JSON: for `seed_keys` in a process that must start fast."""
        exported = {name: keys.export() for name, keys in self.key_caches.items()}
        return {name: keys for name, keys in exported.items() if keys is not None}

    def seed_keys(self, exported: Mapping[str, Any]) -> None:
        """Start with exported keys; they are as trusted as what is configured.

        Raises:
            ValueError: that is not what `export_keys` gave, or of other issuers.
        """
        caches = self.key_caches
        if not exported.keys() <= caches.keys():
            raise ValueError("these keys are of an issuer that is not configured")
        for name, keys in exported.items():
            caches[name].seed(keys)

    def close_keys(self) -> None:
        """Stop the fetches that are under way; there are no connections to close."""
        for keys in self.key_caches.values():
            keys.close()

    def replace_issuers(self, issuers: Mapping[str, IssuerSettings]) -> None:
        """Accept these issuers from now on, and no other.

        Issuers that stay keep their keys if their `IssuerSettings` are the same object. It takes
        effect at once, for requests that wait for keys too.

        Raises:
            ConfigurationError: they contradict each other; then nothing changes.
        """
        former, issuers = self.issuers, issuer_table(issuers)
        if former is None:
            raise ConfigurationError(
                "no_issuers", "These settings were not built with JWT_ISSUERS (issuers)."
            )
        routes = settings_by_issuer(issuers)
        # One assignment each: whoever reads sees the old table or the new one.
        object.__setattr__(self, "issuers", dict(issuers))
        self._routes = routes
        for settings in former.values():
            stays = any(settings is other for other in issuers.values())
            if settings.key_cache is not None and not stays:
                settings.key_cache.close()
