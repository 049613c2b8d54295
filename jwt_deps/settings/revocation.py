"""Settings of revocation: a source in Python, and a server that several processes share."""

import asyncio
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, PlainValidator, PrivateAttr, SecretStr

from jwt_deps.revocation import (
    AnyRevocation,
    ManagedSource,
    RedisRevocations,
    RevocationHealth,
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

    revocation: _Revocation = None
    """The source of revocations: `MemoryRevocations`, or an object of yours. In Python alone,
    never in the environment."""
    revocation_url: SecretStr | None = None
    """Redis or Valkey server with the revocations of many processes: `redis://...`."""
    revocation_max_staleness: float = 10
    """Seconds without an answer of that server after which `revocation_when_stale` applies."""
    revocation_when_stale: WhenStale = WhenStale.REFUSE
    """`refuse` then answers with 503; `serve` accepts tokens by the last known revocations, and
    reports it in health and log."""

    _revocations: RevocationSource | None = PrivateAttr(default=None)

    def _revoke_by(self, session_claims: list[str], subject_claims: list[str]) -> None:
        """Build the source, with the claims that name a session and a subject."""
        if self.revocation_url is None:
            self._revocations = self.revocation
            return
        replica = RedisRevocations(
            self.revocation_url.get_secret_value(),
            max_staleness=self.revocation_max_staleness,
            when_stale=self.revocation_when_stale,
            session_claims=session_claims,
            subject_claims=subject_claims,
        )
        own = self.revocation
        self._revocations = replica if own is None else AnyRevocation(replica, own)

    @cached_property
    def revocations(self) -> RevocationSource | None:
        """The source of revocations; `None` without one."""
        return self._revocations

    def revocation_health(self) -> RevocationHealth | None:
        """Return the state of the replica of `revocation_url`; `None` without it."""
        source = self._revocations
        for one in source.sources if isinstance(source, AnyRevocation) else (source,):
            if isinstance(one, RedisRevocations):
                return one.health()
        return None

    async def open_revocations(self) -> None:
        """Start the source of revocations, and wait a few seconds for the first load."""
        if isinstance(self._revocations, ManagedSource):
            await asyncio.to_thread(self._revocations.open)

    async def close_revocations(self) -> None:
        """Stop the source of revocations."""
        if isinstance(self._revocations, ManagedSource):
            await asyncio.to_thread(self._revocations.close)
