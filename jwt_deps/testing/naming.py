"""Claims of tokens for tests, under the names that the settings read."""

from collections.abc import Iterable, Mapping
from typing import Any

from jwt_deps.settings import IssuerSettings
from jwt_deps.tokens import ClaimNames, access_token_claims

__all__ = ["claims_for", "take"]


def claims_for(  # noqa: PLR0913 - each by name
    settings: IssuerSettings,
    user_id: str | None,
    *,
    scopes: str | Iterable[str],
    session_id: str | None,
    claims: Mapping[str, Any] | None,
    now: float,
    issuer: str | None = None,
    audience: str | list[str] | None = None,
    expires_in: float = 300,
) -> dict[str, Any]:
    """The claims of a token that these settings accept.

    Args:
        settings: what is accepted, and under which names claims are read.
        user_id: `None` leaves it out, as with `session_id`.
        scopes: one text with spaces, or each by itself.
        session_id: the session.
        claims: further claims; they win, and `None` leaves one out.
        now: the time of issue, in seconds since the epoch.
        issuer: its `iss`; `None` is the first that is accepted, if it is checked.
        audience: the same for the audience.
        expires_in: seconds from `iat` to `exp`.
    """
    given = access_token_claims(
        ClaimNames.of(settings),
        user_id,
        scopes=scopes,
        session_id=session_id,
        claims=claims,
        now=now,
        expires_in=expires_in,
        issuer=issuer,
        audience=audience,
    )
    return {name: value for name, value in given.items() if value is not None}


def take(claims: dict[str, Any], name: str) -> None:
    """Take a claim away, by a dotted path all that it is nested in."""
    claims.pop(name if "/" in name else name.partition(".")[0], None)
