"""Who says which tokens were revoked, and what if nobody can? The settings."""

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
    """The part of `JWTSettings` that is about revocation."""

    revocation: _Revocation = None
    """What knows which tokens were revoked: `MemoryRevocations`, or an object of yours. In Python
    alone, never in the environment."""
    revocation_url: SecretStr | None = None
    """Redis or Valkey that keeps the revocations of many processes: `redis://...`."""
    revocation_max_staleness: float = 10
    """Seconds without a sign of that server after which `revocation_when_stale` holds."""
    revocation_when_stale: WhenStale = WhenStale.REFUSE
    """`refuse` answers with 503 then; `serve` goes on with what is known, and says so in health
    and log."""

    _revocations: RevocationSource | None = PrivateAttr(default=None)

    def _revoke_by(self, session_claims: list[str], subject_claims: list[str]) -> None:
        """Build what is asked, once it is known which claims name a session and a subject."""
        if self.revocation_url is None:
            self._revocations = self.revocation
            return
        kept = RedisRevocations(
            self.revocation_url.get_secret_value(),
            max_staleness=self.revocation_max_staleness,
            when_stale=self.revocation_when_stale,
            session_claims=session_claims,
            subject_claims=subject_claims,
        )
        own = self.revocation
        self._revocations = kept if own is None else AnyRevocation(kept, own)

    @cached_property
    def revocations(self) -> RevocationSource | None:
        """What knows which tokens were revoked; `None` if nothing is asked."""
        return self._revocations

    def revocation_health(self) -> RevocationHealth | None:
        """How the replica of `revocation_url` is; `None` without it."""
        source = self._revocations
        for one in source.sources if isinstance(source, AnyRevocation) else (source,):
            if isinstance(one, RedisRevocations):
                return one.health()
        return None

    async def open_revocations(self) -> None:
        """Have revocations at hand; without them tokens are refused with 503, as configured."""
        if isinstance(self._revocations, ManagedSource):
            await asyncio.to_thread(self._revocations.open)

    async def close_revocations(self) -> None:
        """Stop what follows revocations in the background."""
        if isinstance(self._revocations, ManagedSource):
            await asyncio.to_thread(self._revocations.close)
