"""How long are fetched keys good? As long as they say, within bounds, and longer in an outage."""

import re
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jwt_deps.errors import ConfigurationError

__all__ = ["JWKSCacheSettings", "Lifetime"]

_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,9})\"?\s*(?=,|$)", re.IGNORECASE)
_UNCACHED = re.compile(r"(?:^|,)\s*(?:no-store|no-cache)\s*(?=,|$)", re.IGNORECASE)
_AGE = re.compile(r"\d{1,9}")


#: By how much of it a life is shortened at most, so that not all processes ask at once.
SPREAD = 0.05


class JWKSCacheSettings(BaseModel):
    """How keys over HTTP are kept, in seconds: the defaults suit every provider known to us.

    A key that is no longer at the issuer's address is accepted for at most the longer of `ttl` and
    `max_ttl`, and `stale_if_error` on top when the issuer cannot be reached: two hours by default.
    When keys move to another address and stay at the old one too, `discovery_ttl` comes on top.

    Raises:
        ConfigurationError: the values contradict each other.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )

    ttl: float = Field(default=600, ge=1)
    """How long keys are fresh when the issuer does not say."""
    respect_cache_control: bool = True
    """Whether the issuer may say (RFC 9111 §5.2.2), between `min_ttl` and `max_ttl`."""
    min_ttl: float = Field(default=60, ge=1)
    """Shortest time that an issuer can ask for; `no-store` means this one."""
    max_ttl: float = Field(default=3600, ge=1)
    """Longest time that an issuer can ask for."""
    refresh_ahead: float = Field(default=30, ge=0)
    """How long before their end fresh keys are fetched again, in the background."""
    stale_if_error: float = Field(default=3600, ge=0)
    """How long keys outlive their end while the issuer cannot be reached; 0: not at all."""
    discovery_ttl: float = Field(default=3600, ge=1)
    """How long the place that discovery found is kept."""
    connect_timeout: float = Field(default=2, gt=0)
    """How long a connection may take."""
    timeout: float = Field(default=5, gt=0)
    """How long everything may take, discovery included; a request waits no longer for keys."""
    forced_capacity: int = Field(default=2, ge=1)
    """How many fetches unknown key ids can force in a row."""
    forced_refill: float = Field(default=30, gt=0)
    """After how long they can force another one."""
    unknown_ttl: float = Field(default=30, ge=0)
    """How long a key id that a healthy issuer does not know is remembered."""
    unknown_size: int = Field(default=256, ge=0)
    """How many of them are remembered."""
    backoff: float = Field(default=1, gt=0)
    """Pause after the first failed fetch; it doubles with every further one."""
    max_backoff: float = Field(default=60, gt=0)
    """Longest pause between attempts."""
    max_bytes: int = Field(default=256 * 1024, gt=0)
    """Longest document that is read."""
    max_keys: int = Field(default=100, gt=0)
    """Most keys that a set may hold."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            parts = {
                f"JWT_JWKS_CACHE__{str(place).upper()} (jwks_cache.{place}): {problem['msg']}"
                if (place := next(iter(problem["loc"]), None)) is not None
                else problem["msg"].removeprefix("Value error, ")
                for problem in error.errors(include_url=False, include_input=False)
            }
            raise ConfigurationError("key_cache", "; ".join(sorted(parts)) + ".") from None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        shortest = min(self.ttl, self.min_ttl) if self.respect_cache_control else self.ttl
        if self.min_ttl > self.max_ttl:
            raise ValueError("JWT_JWKS_CACHE (jwks_cache): min_ttl is longer than max_ttl")
        if self.refresh_ahead + self.timeout >= shortest * (1 - SPREAD):
            # The refresh would have to begin before the keys are there.
            raise ValueError(
                "JWT_JWKS_CACHE (jwks_cache): refresh_ahead and timeout together have to be "
                "shorter than 95 % of ttl and min_ttl"
            )
        if self.connect_timeout > self.timeout:
            raise ValueError("JWT_JWKS_CACHE (jwks_cache): connect_timeout is longer than timeout")
        if self.backoff > self.max_backoff:
            raise ValueError("JWT_JWKS_CACHE (jwks_cache): backoff is longer than max_backoff")
        return self

    def seconds(self, cache_control: str, age: str) -> float:
        """How long an answer with these header fields is fresh (RFC 9111 §4.2)."""
        if not self.respect_cache_control:
            return self.ttl
        if _UNCACHED.search(cache_control):
            return self.min_ttl
        stated = _MAX_AGE.search(cache_control)
        if stated is None:
            return self.ttl
        spent = int(age) if _AGE.fullmatch(age) else 0  # in a cache on the way, RFC 9111 §5.1
        return min(max(int(stated[1]) - spent, self.min_ttl), self.max_ttl)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The moments in the life of a set of keys, by the clock of their cache."""

    fetched_at: float
    refresh_at: float
    expires_at: float
    unusable_at: float

    @classmethod
    def beginning(
        cls, fetched_at: float, seconds: float, policy: JWKSCacheSettings, spread: float
    ) -> "Lifetime":
        """The life of keys that were asked for at `fetched_at` and are fresh for `seconds`.

        `spread`, from 0 to 1, shortens it by up to 5 %, so that the processes of a service do not
        ask all at once; it never makes it longer, which would break the published bound.
        """
        expires_at = fetched_at + seconds * (1 - SPREAD * spread)
        return cls(
            fetched_at=fetched_at,
            refresh_at=expires_at - policy.refresh_ahead,
            expires_at=expires_at,
            unusable_at=expires_at + policy.stale_if_error,
        )
