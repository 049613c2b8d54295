"""Under which names do claims say it? Under those that the settings read."""

from collections.abc import Iterable, Mapping
from typing import Any

from jwt_deps.settings.issuer import IssuerSettings

__all__ = ["claims_for", "put", "take"]


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
    granted = scopes if isinstance(scopes, str) else " ".join(scopes)
    told = {
        "iss": issuer or next(iter(settings.accepted_issuers), None),
        settings.audience_claim: audience or next(iter(settings.accepted_audiences), None),
        "iat": int(now),
        "exp": int(now + expires_in),
    }
    filled = {name: value for name, value in told.items() if value is not None}
    put(filled, settings.user_id_claim, user_id)
    put(filled, settings.session_id_claim, session_id)
    put(filled, settings.scopes_claim or "scope", granted or None)
    given = {**filled, **(claims or {})}
    return {name: value for name, value in given.items() if value is not None}


def put(claims: dict[str, Any], name: str, value: object) -> None:
    """Add a claim, by a dotted path a nested one; `None` adds nothing.

    A name that is an address, `https://api.example.com/user`, has dots of its own.
    """
    if value is None:
        return
    *outer, last = [name] if "/" in name else name.split(".")
    for part in outer:
        inner = claims.get(part)
        claims[part] = claims = dict(inner) if isinstance(inner, dict) else {}
    claims[last] = value


def take(claims: dict[str, Any], name: str) -> None:
    """Take a claim away, by a dotted path all that it is nested in."""
    claims.pop(name if "/" in name else name.partition(".")[0], None)
