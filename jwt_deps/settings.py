"""What is this service configured to accept? Keyword arguments or `JWT_*` in the environment."""

import json
import logging
import os
import re
import warnings
from enum import StrEnum
from functools import cache
from inspect import Signature
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from .errors import ConfigurationError
from .keys import KeySet
from .paths import PathPatterns
from .serialization import parse_object

__all__ = ["JWTSettings", "TokenSource", "get_settings"]

logger = logging.getLogger("jwt_deps")

# RFC 9110 §5.6.2: what a header or a cookie can be called.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


# `JWT_DEPS_*` is for the package's own tests and tools.
_VARIABLE = re.compile(r"JWT_(?!DEPS_)", re.IGNORECASE)


class TokenSource(StrEnum):
    """Where a request carries its token."""

    HEADER = "header"
    COOKIE = "cookie"
    BOTH = "both"


def _json_list(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            # `from None`: the parser's error holds the text, which may be a secret.
            raise ValueError("begins like a JSON array and is none") from None
    return value


def _one_or_several(value: Any) -> Any:
    """`"a"` stays one name; `"a,b"` and `'["a", "b"]'` become a list, as environments have it."""
    value = _json_list(value)
    if isinstance(value, str) and "," in value:
        return [part.strip() for part in value.split(",")]
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return value


def _several(value: Any) -> Any:
    value = _one_or_several(value)
    if isinstance(value, str):
        return [value] if value else []
    return value


def _several_secrets(value: Any) -> Any:
    """As `_several`, but a comma can be part of a secret."""
    value = _json_list(value)
    return [value] if isinstance(value, str | SecretStr) else value


_OneOrSeveral = Annotated[str | list[str], NoDecode, BeforeValidator(_one_or_several)]
_Several = Annotated[list[str], NoDecode, BeforeValidator(_several)]
_Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_several_secrets)]


with warnings.catch_warnings():
    # The parameter is called what the middleware calls it, and BaseModel still has a deprecated
    # classmethod of that name. A base class of its own keeps the warning filter this small.
    warnings.filterwarnings("ignore", 'Field name "validate"', UserWarning)

    class _Validate(BaseSettings):
        validate: bool = True  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
        """`False` refuses nobody and believes nothing unverified: a token that verifies is
        injected, any other request goes on anonymous."""


class JWTSettings(_Validate):
    """Everything that the toolkit can be told, immutable once built.

    Each parameter is read from the environment under its own name with the prefix `JWT_`.
    Lists are written as JSON (`["a", "b"]`) or with commas (`a,b`); keys only as JSON.

    Raises:
        ConfigurationError: a value is malformed or contradicts another; the sentence says what
            to set and never quotes a value.
    """

    model_config = SettingsConfigDict(
        env_prefix="JWT_",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    secret_key: SecretStr | None = None
    """Shared secret (HS*), or a public key in PEM (RS*, PS*, ES*, EdDSA, Ed25519)."""
    algorithm: _OneOrSeveral = "HS256"
    """The algorithms that are accepted, RFC 7518 names; `none` can never be."""
    token_source: TokenSource = TokenSource.HEADER
    """`header`, `cookie` or `both`: the header first, the cookie only when it is absent."""
    token_header_key: str = "Authorization"  # noqa: S105 - a name
    """The header, in `Bearer <token>` form whatever its name."""
    cookie_name: str = "access_token"
    """The cookie that holds the token."""
    excluded_route_paths: _Several = Field(default_factory=list)
    """Path patterns of routes that need no token; `*` as in `fnmatch`, against route templates."""
    scopes_claim: str | None = None
    """The claim that holds the scopes: a space-separated string or a list of strings. `None`:
    none are injected, and scope checks read the registered `scope` claim."""
    user_id_claim: str = "sub"
    """The claim that identifies the user; a dotted path reaches into nested claims."""
    session_id_claim: str = "session_id"
    """The claim that identifies the session; a dotted path as above."""
    dependencies_claims: _Several = Field(default_factory=list)
    """The claims that `get_dependencies` hands out."""
    session_state_claims: _Several = Field(default_factory=list)
    """The claims that `get_session_state` hands out."""
    issuer: Annotated[str | list[str] | None, NoDecode, BeforeValidator(_one_or_several)] = None
    """Accepted `iss`, one or several; when set, the claim is required."""
    audience: Annotated[str | list[str] | None, NoDecode, BeforeValidator(_one_or_several)] = None
    """Accepted `aud`, one or several; when set, the claim is required."""
    verification_keys: _Secrets = Field(default_factory=list)
    """Further keys accepted beside `secret_key`, for rotation."""
    jwks_file: Path | None = None
    """A JWK Set (RFC 7517) on disk."""
    leeway: float = Field(default=10, ge=0, le=300)
    """Clock difference that is forgiven, in seconds, at most 300."""
    require_exp: bool = True
    """Whether a token must have `exp`."""
    max_token_size: int = Field(default=16384, gt=0)
    """Longest token that is looked at, in bytes, checked before anything is decoded."""

    _keys: KeySet = PrivateAttr()
    _excluded: PathPatterns = PrivateAttr()
    _issuers: tuple[str, ...] = PrivateAttr()
    _audiences: tuple[str, ...] = PrivateAttr()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except (ValidationError, SettingsError) as error:
            # `from None`: pydantic's errors can hold the input, and the input can be a secret.
            raise ConfigurationError(_sentence(error)) from None

    @field_validator("token_header_key", "cookie_name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _TOKEN.fullmatch(value):
            raise ValueError("must be a name that HTTP can carry (RFC 9110 §5.6.2)")
        return value

    @field_validator(
        "algorithm", "issuer", "audience", "user_id_claim", "session_id_claim", "scopes_claim"
    )
    @classmethod
    def _is_not_empty(cls, value: Any) -> Any:
        # An empty variable must not switch a check off: `JWT_AUDIENCE=$UNSET` is a mistake.
        names = [value] if isinstance(value, str) else value
        if names is not None and not (names and all(name.strip() for name in names)):
            raise ValueError("is empty: give it a value or leave it unset")
        return value

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        self._keys = self._key_set()
        self._excluded = PathPatterns(self.excluded_route_paths)
        # Copied, so that a list that was given, and changed later, loosens no check.
        self._issuers, self._audiences = _tuple(self.issuer), _tuple(self.audience)
        if not self.validate:
            logger.warning(
                "JWT_VALIDATE is false: requests without a valid token go on as anonymous"
            )
        return self

    def _key_set(self) -> KeySet:
        static = [self.secret_key] if self.secret_key is not None else []
        return KeySet.build(
            self.algorithms,
            [secret.get_secret_value() for secret in (*static, *self.verification_keys)],
            _read_jwks(self.jwks_file) if self.jwks_file is not None else None,
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Refuse to be a parameter or a body: configuration must never come from the client.

        Raises:
            ConfigurationError: when the route is registered.
        """
        if cls.__dict__.get("__pydantic_complete__"):  # pydantic's building of the class itself
            raise ConfigurationError(
                "JWTSettings is configuration, never input: take it with Depends(get_settings), "
                "and call jwt_guard() with its parentheses."
            )
        return handler(source)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).model_fields:
            # pydantic's own error would quote the value, which may be a secret.
            raise ConfigurationError(
                f"{name} cannot be changed: build new settings, or model_copy(update=...) these."
            )
        super().__setattr__(name, value)

    def model_copy(self, *, update: Any = None, deep: bool = False) -> Self:  # noqa: ARG002
        """Build settings that differ in some values; checked like new ones, unlike pydantic's."""
        # Not `dict(self)`, which would take the property `keys` for a mapping's method.
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**values, **(update or {})})

    @property
    def keys(self) -> KeySet:
        """The keys, built once with the settings."""
        return self._keys

    @property
    def excluded(self) -> PathPatterns:
        """`excluded_route_paths`, compiled once with the settings."""
        return self._excluded

    @property
    def algorithms(self) -> tuple[str, ...]:
        """`algorithm` as a tuple."""
        return _tuple(self.algorithm)

    @property
    def issuers(self) -> tuple[str, ...]:
        """`issuer` as a tuple, empty when unchecked."""
        return self._issuers

    @property
    def audiences(self) -> tuple[str, ...]:
        """`audience` as a tuple, empty when unchecked."""
        return self._audiences


# What pydantic derives from the fields would make `Depends(JWTSettings)`, or the class itself in
# `dependency_overrides[get_settings]`, read the configuration from the client's request.
JWTSettings.__signature__ = Signature()


@cache
def get_settings() -> JWTSettings:
    """Read the settings from the environment, once.

    Override it with `app.dependency_overrides[get_settings]`; `get_settings.cache_clear()` makes
    the next call read again. A `JWT_*` variable that is no setting gets a warning in the log: a
    misspelt `JWT_AUDIENCES` would leave the audience unchecked.

    Raises:
        ConfigurationError: the environment holds no configuration that can work.
    """
    settings = JWTSettings()
    known = {f"JWT_{name}".upper() for name in JWTSettings.model_fields}
    for name in sorted(os.environ):
        if _VARIABLE.match(name) and name.upper() not in known:
            logger.warning("%s is set, and is no setting of jwt-deps: is it misspelt?", name)
    return settings


class KeylessSettings(JWTSettings):
    """Settings of an application that replaced `get_claims`, and so checks no token here."""

    def _key_set(self) -> KeySet:
        return KeySet.empty()


def _tuple(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _read_jwks(path: Path) -> dict[str, Any]:
    try:
        return parse_object(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"JWT_JWKS_FILE (jwks_file) cannot be read: {error.strerror}."
        ) from None  # it holds the value, which may be a key in the wrong variable
    except ValueError:
        raise ConfigurationError("JWT_JWKS_FILE (jwks_file) is not a JSON object.") from None


def _sentence(error: ValidationError | SettingsError) -> str:
    if isinstance(error, SettingsError):
        return f"The environment cannot be read: {str(error).splitlines()[0]}."
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        message = problem["msg"].removeprefix("Value error, ")
        known = name in JWTSettings.model_fields
        label = f"JWT_{name.upper()} ({name})" if known else name
        part = f"{label}: {message}"
        if part not in parts:
            parts.append(part)
    return "; ".join(parts) + "."
