"""A user for tests of functions that take one."""

from collections.abc import Iterable, Mapping
from typing import Any

from jwt_deps.tokens import Claims, client_id_of
from jwt_deps.web import CurrentUser


def user(
    user_id: str,
    *,
    scopes: str | Iterable[str] = (),
    roles: str | Iterable[str] = (),
    session_id: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> CurrentUser:
    """Make a `CurrentUser` for a function that takes one, without a request.

        assert await orders_of(user("alice", scopes=["orders:read"])) == []

    Args:
        user_id: the user's id.
        scopes: the granted scopes, or one string with spaces between them; default none.
        roles: the granted roles, one text or several; default none.
        session_id: the session's id; default none.
        claims: the claims beside `sub`; `iss`, `client_id` and `azp` are read as from a token.

    Returns:
        The user.
    """
    granted = scopes.split() if isinstance(scopes, str) else scopes
    found = Claims({"sub": user_id, **(claims or {})})
    return CurrentUser(
        user_id,
        session_id,
        frozenset(granted),
        found,
        issuer=found.iss,
        client_id=client_id_of(found),
        roles=frozenset([roles] if isinstance(roles, str) else roles),
    )
