"""Settings of revocation: a source in Python, and a server that several processes share."""

import math
from inspect import iscoroutinefunction
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, SecretStr

from jwt_deps.errors import ConfigurationError
from jwt_deps.revocation import (
    MONTH,
    AnyRevocation,
    MemoryRevocations,
    RedisRevocations,
    RevocationSource,
    WhenStale,
)

from .issuer import IssuerSettings


def _revocation_source(value: Any) -> Any:
    if value is None:
        return None
    sources = value.sources if isinstance(value, AnyRevocation) else [value]
    if not sources:
        raise ValueError("is an AnyRevocation of no source, which would revoke nothing")
    for source in sources:
        methods = [getattr(source, name, None) for name in ("is_revoked", "open", "close")]
        is_source = callable(methods[0]) and not any(map(iscoroutinefunction, methods))
        if not is_source or isinstance(source, type):
            raise ValueError(
                "has to be an object with is_revoked(claims), open() and close() that are not "
                "async (put what waits into async prepare(claims)); it cannot be set in the "
                "environment"
            )
    return value


_Revocation = Annotated[RevocationSource | None, PlainValidator(_revocation_source)]


class RevocationSettings(BaseModel):
    """The part of `JWTSettings` for revocation."""

    # `JWTSettings` is built of it, and it is not used by itself.
    model_config = ConfigDict(defer_build=True)

    revocation: _Revocation = None
    """The source of revocations: `MemoryRevocations`, or an object of yours. Only in Python,
    never in the environment."""
    revocation_url: SecretStr | None = None
    """Redis or Valkey server through which processes share revocations: `redis://...`."""
    revocation_max_staleness: float = 10
    """Seconds without an answer from the revocation server after which `revocation_when_stale`
    applies."""
    revocation_when_stale: WhenStale = WhenStale.REFUSE
    """`refuse` answers with 503; `serve` applies the last known revocations, and reports it in
    health and log."""

    revocation_longest_lifetime: Annotated[float, Field(gt=0, allow_inf_nan=False)] = MONTH
    """Lifetime of the longest-lived token in seconds: how long revocations by session, user or
    issuer stay on the revocation server."""

    def _make_revocations(self, issuers: list[IssuerSettings]) -> RevocationSource | None:
        """Build the source, and refuse one that forgets revocations of tokens that never end."""
        source = self._source(issuers)
        sources = source.sources if isinstance(source, AnyRevocation) else [source]
        kept = [it for it in sources if isinstance(it, MemoryRevocations | RedisRevocations)]
        shortest = min((it.longest_lifetime for it in kept), default=math.inf)
        for one in issuers:
            age = math.inf if one.max_token_age is None else one.max_token_age
            if age > shortest and not one.require_exp:
                raise ConfigurationError(
                    "revocation_without_exp",
                    "JWT_REQUIRE_EXP (require_exp) is false, and a revoked token without exp would "
                    "be accepted again when its revocation is dropped: set JWT_MAX_TOKEN_AGE "
                    f"(max_token_age) to {shortest:.15g} or less, which is how long revocations "
                    "are kept.",
                )
        return source

    def _source(self, issuers: list[IssuerSettings]) -> RevocationSource | None:
        if self.revocation_url is None:
            given = sorted(it for it in self.model_fields_set if it.startswith("revocation"))
            if given and {"revocation", "revocation_url"}.isdisjoint(given):
                raise ConfigurationError(
                    "invalid_setting",
                    f"JWT_{given[0].upper()} ({given[0]}) is for a server of revocations: set "
                    "JWT_REVOCATION_URL (revocation_url).",
                )
            return self.revocation
        replica = RedisRevocations(
            self.revocation_url.get_secret_value(),
            max_staleness=self.revocation_max_staleness,
            when_stale=self.revocation_when_stale,
            session_claims=["sid", *(one.session_id_claim for one in issuers)],
            subject_claims=["sub", *(one.user_id_claim for one in issuers)],
            longest_lifetime=self.revocation_longest_lifetime,
        )
        own = self.revocation
        return replica if own is None else AnyRevocation(replica, own)
