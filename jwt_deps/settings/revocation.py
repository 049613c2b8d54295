"""Settings of revocation: a source in Python, and a server that several processes share."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, SecretStr

from jwt_deps.revocation import (
    MONTH,
    AnyRevocation,
    RedisRevocations,
    RevocationSource,
    WhenStale,
)

__all__ = ["RevocationSettings"]


def _revocation_source(value: Any) -> Any:
    if value is not None and not callable(getattr(value, "is_revoked", None)):
        raise ValueError("is an object with is_revoked(claims), and given in Python alone")
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

    def _make_revocations(
        self, session_claims: list[str], subject_claims: list[str]
    ) -> RevocationSource | None:
        """Build the source, with the claims that name a session and a subject."""
        if self.revocation_url is None:
            return self.revocation
        replica = RedisRevocations(
            self.revocation_url.get_secret_value(),
            max_staleness=self.revocation_max_staleness,
            when_stale=self.revocation_when_stale,
            session_claims=session_claims,
            subject_claims=subject_claims,
            longest_lifetime=self.revocation_longest_lifetime,
        )
        own = self.revocation
        return replica if own is None else AnyRevocation(replica, own)
