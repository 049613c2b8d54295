"""The cache policy for keys (RFC 9111): how long fetched keys are fresh, and stale."""

import re
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jwt_deps.errors import ConfigurationError

_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,9})\"?\s*(?=,|$)", re.IGNORECASE)
_UNCACHED = re.compile(r"(?:^|,)\s*(?:no-store|no-cache)\s*(?=,|$)", re.IGNORECASE)
_AGE = re.compile(r"\d{1,9}")

#: Shortest lifetime that an issuer can ask for, in seconds: with `no-store` on each response, one
#: fetch a minute is what an issuer can stand.
MIN_TTL = 60
#: Seconds before their end at which fresh keys are fetched again, so that no request waits.
REFRESH_AHEAD = 30
#: Share by which a lifetime is shortened at most, so that not all processes fetch at once.
JITTER = 0.05


class JWKSCacheSettings(BaseModel):
    """How keys over HTTP are cached, in seconds. The defaults suit every provider known to us.

    The issuer may say how long its keys are fresh (`Cache-Control: max-age`, RFC 9111 §5.2.2.1),
    within 60 seconds and `max_ttl`. Where `ttl` or `max_ttl` is below 60, that is the shortest.

    A key that is no longer at the issuer's address is accepted for at most the longer of `ttl` and
    `max_ttl`, and `stale_if_error` on top when the issuer cannot be reached, or sends something
    other than a JWK Set, 404 or 410: two hours by default.
    When keys move to another address and stay at the old one too, an hour comes on top, for which
    the address from discovery is cached.

    Raises:
        ConfigurationError: a value is out of range, or `timeout` is too long for the others.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    ttl: float = Field(default=600, ge=1)
    """How long keys are fresh when the issuer does not say."""
    max_ttl: float = Field(default=3600, ge=1)
    """Longest time that an issuer can ask for."""
    stale_if_error: float = Field(default=3600, ge=0)
    """How long expired keys are used while the issuer cannot be reached; 0: not at all."""
    timeout: float = Field(default=5, gt=0)
    """How long everything may take, discovery included; a request waits no longer for keys."""
    max_bytes: int = Field(default=256 * 1024, gt=0)
    """Longest document that is read."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            parts = {
                f"JWT_JWKS_CACHE__{str(place).upper()} (jwks_cache.{place}): {problem['msg']}"
                if (place := next(iter(problem["loc"]), None)) is not None
                else problem["msg"].removeprefix("Value error, ")
                for problem in error.errors()
            }
            raise ConfigurationError("key_cache", "; ".join(sorted(parts)) + ".") from None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if 2 * self.timeout > self._shortest:
            # The next fetch would have to begin before the keys are there.
            raise ValueError(
                "JWT_JWKS_CACHE (jwks_cache): timeout must be at most half of ttl, of max_ttl and "
                f"of {MIN_TTL} seconds"
            )
        return self

    @property
    def _shortest(self) -> float:
        return min(MIN_TTL, self.ttl, self.max_ttl)

    def seconds(self, cache_control: str, age: str) -> float:
        """Return for how long a response with these header fields is fresh (RFC 9111 §4.2)."""
        if _UNCACHED.search(cache_control):
            return self._shortest
        stated = _MAX_AGE.search(cache_control)
        if stated is None:
            return self.ttl
        # Seconds that the response spent in a cache on the way (RFC 9111 §5.1).
        spent = int(age) if _AGE.fullmatch(age) else 0
        return min(max(int(stated[1]) - spent, self._shortest), self.max_ttl)


class Lifetime(NamedTuple):
    """The moments in the life of a key set, by the clock of its cache.

    Attributes:
        fetched_at: when the issuer was asked.
        refresh_at: from then on, a request starts a fetch in the background.
        expires_at: from then on, requests wait for a fetch.
        unusable_at: from then on, the keys are not used even if the issuer cannot be reached.
    """

    fetched_at: float
    refresh_at: float
    expires_at: float
    unusable_at: float

    @classmethod
    def beginning(
        cls, fetched_at: float, seconds: float, policy: JWKSCacheSettings, jitter: float
    ) -> "Lifetime":
        """Return the lifetime of keys that were asked for at `fetched_at`, fresh for `seconds`.

        `jitter`, from 0 to 1, shortens it by up to 5 %, so that the processes of a service do not
        fetch all at once. It never lengthens it, which would break the documented bound.
        """
        expires_at = fetched_at + seconds * (1 - JITTER * jitter)
        return cls(
            fetched_at=fetched_at,
            refresh_at=expires_at - min(REFRESH_AHEAD, seconds / 2),
            expires_at=expires_at,
            unusable_at=expires_at + policy.stale_if_error,
        )
