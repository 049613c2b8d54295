"""Did the user prove who they are strongly enough, and lately? Step-up by RFC 9470."""

import time
from functools import cache
from typing import Any

from fastapi.requests import HTTPConnection

from jwt_deps.errors import ConfigurationError, InsufficientAuthenticationError, Reason
from jwt_deps.tokens.claims import Claims

from .caller import TokenDependency, caller_of, scopes_of_route
from .responses import is_scope

__all__ = ["RequireACR", "insufficiency", "require_acr"]


def insufficiency(
    claims: Claims, acr_values: tuple[str, ...], max_age: int | None, leeway: float, now: float
) -> Reason | None:
    """Why an authentication does not suffice (RFC 9470 §3, §6.1); `None` if it does.

    Args:
        claims: what the token says; `acr` and `auth_time` are looked at.
        acr_values: any of these will do; none if it does not matter.
        max_age: how many seconds ago the user may have authenticated, at most.
        leeway: the clock difference that is forgiven.
        now: seconds since the epoch.
    """
    acr: Any = claims.get("acr")
    if acr_values and not (isinstance(acr, str) and acr in acr_values):
        return Reason.ACR
    if max_age is None:
        return None
    since: Any = claims.get("auth_time")
    if type(since) not in (int, float) or not -leeway <= now - since <= max_age + leeway:
        return Reason.AUTH_TIME
    return None


class RequireACR(TokenDependency[None]):
    """What `require_acr` makes.

    Attributes:
        acr_values: any of these will do.
        max_age: how many seconds ago the user may have authenticated, at most.
    """

    def __init__(self, acr_values: tuple[str, ...], max_age: int | None) -> None:
        _refuse_impossible(acr_values, max_age)

        async def acr_required(connection: HTTPConnection) -> None:
            """Nothing: the user authenticated as is needed, or is refused with 401."""
            caller = (await caller_of(connection)).known()
            now, leeway = time.time(), caller.settings.leeway
            reason = insufficiency(caller.claims, acr_values, max_age, leeway, now)
            if reason is not None:
                scopes = dict.fromkeys(scopes_of_route(connection.scope))
                raise InsufficientAuthenticationError(reason, acr_values, max_age, scopes)

        super().__init__(acr_required)
        self.acr_values = acr_values
        self.max_age = max_age


def _refuse_impossible(acr_values: tuple[str, ...], max_age: int | None) -> None:
    whole = max_age is None or (type(max_age) is int and max_age >= 0)
    nothing = not acr_values and max_age is None
    if nothing or not whole or not all(map(is_scope, acr_values)):
        raise ConfigurationError(
            "acr_values",
            "require_acr takes one or more acr values, each without spaces, quotes or "
            "backslashes, each as an argument of its own, or max_age in whole seconds, or both.",
        )


_required = cache(RequireACR)


def require_acr(*acr_values: str, max_age: int | None = None) -> TokenDependency[None]:
    """Make the dependency that asks for a stronger or more recent authentication (RFC 9470).

    The token's `acr` must be one of the values, and with `max_age` its `auth_time` no longer ago
    than that many seconds, `leeway` added. Else 401 `insufficient_user_authentication`, with
    which a client sends its user to the issuer again. The same arguments give the same callable.

    Args:
        *acr_values: authentication context classes, any of which will do.
        max_age: the age of the authentication, in seconds.

    Raises:
        ConfigurationError: nothing is asked for, or what no challenge can carry.
    """
    return _required(tuple(map(str, acr_values)), max_age)
