"""Who is calling, and with what? The settings' claim names applied to verified claims."""

from collections.abc import Callable
from typing import Any

from .claims import ClaimMapping, Claims
from .errors import ClaimError, Reason
from .issuers import IssuerSettings

__all__ = [
    "STATE_NAMES",
    "dependencies_of",
    "scopes_of",
    "session_id_of",
    "session_state_of",
    "state_of",
    "user_id_of",
]


#: What this package puts on `request.state`.
STATE_NAMES = (
    "claims",
    "token",
    "authenticated",
    "user_id",
    "session_id",
    "scopes",
    "dependencies",
    "session_state",
)


def user_id_of(claims: Claims, settings: IssuerSettings) -> str:
    """The user's id.

    Raises:
        ClaimError: the claim is absent, empty, or neither a string nor an integer.
    """
    name = settings.user_id_claim
    user_id = _identifier(claims, name)
    if user_id is None:
        raise ClaimError(Reason.CLAIM_MISSING, name, "it names no user")
    return user_id


def session_id_of(claims: Claims, settings: IssuerSettings) -> str | None:
    """The session's id; `None` when the token names none.

    Raises:
        ClaimError: the claim is neither a string nor an integer.
    """
    return _identifier(claims, settings.session_id_claim)


def scopes_of(claims: Claims, settings: IssuerSettings) -> frozenset[str]:
    """The scopes granted (RFC 8693 §4.2, RFC 9068 §2.2.3), from a string or a list.

    A claim of any other shape grants nothing.
    """
    value = claims.at(settings.scopes_claim or "scope")
    if isinstance(value, str):
        # RFC 6749 §3.3: separated by spaces, and by nothing else that Unicode calls white space.
        return frozenset(value.split(" ")) - {""}
    if isinstance(value, list) and all(isinstance(scope, str) for scope in value):
        return frozenset(value)
    return frozenset()


def dependencies_of(claims: Claims, settings: IssuerSettings) -> ClaimMapping:
    """The claims that `dependencies_claims` names, as far as the token has them."""
    return _selection(claims, settings.dependencies_claims)


def session_state_of(claims: Claims, settings: IssuerSettings) -> ClaimMapping:
    """The claims that `session_state_claims` names, as far as the token has them."""
    return _selection(claims, settings.session_state_claims)


def state_of(claims: Claims, settings: IssuerSettings) -> dict[str, Any]:
    """What the AgentOS middleware puts on `request.state`, each only when there is something."""
    state: dict[str, Any] = {"claims": claims, "authenticated": True}
    if user_id := _or_nothing(user_id_of, claims, settings):
        state["user_id"] = user_id
    if session_id := _or_nothing(session_id_of, claims, settings):
        state["session_id"] = session_id
    if settings.scopes_claim and (scopes := scopes_of(claims, settings)):
        state["scopes"] = sorted(scopes)
    if settings.dependencies_claims and (dependencies := dependencies_of(claims, settings)):
        state["dependencies"] = dict(dependencies)
    if settings.session_state_claims and (session := session_state_of(claims, settings)):
        state["session_state"] = dict(session)
    return state


def _or_nothing(
    read: Callable[[Claims, IssuerSettings], str | None], claims: Claims, settings: IssuerSettings
) -> str | None:
    # A token that names no user is still a good token; whoever asks for the user is refused.
    try:
        return read(claims, settings)
    except ClaimError:
        return None


def _identifier(claims: Claims, name: str) -> str | None:
    value: Any = claims.at(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ClaimError(Reason.CLAIM_INVALID, name, f"its {name} is not an identifier")
    return value if value.strip() else None


def _selection(claims: Claims, names: list[str]) -> ClaimMapping:
    values = {name: claims.at(name) for name in names}
    return ClaimMapping({name: value for name, value in values.items() if value is not None})
