"""`request.user` and `request.auth`: what Starlette, and servers of the MCP SDK, read of a request.

The MCP SDK knows a user by the class `AuthenticatedUser`: it binds each session to one, and gives
tools its `get_access_token()`. The SDK is never imported here. Where the application has imported
its server, the user is an instance of that class, too.
"""

import sys
from collections.abc import Awaitable
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.types import Scope

from jwt_deps.tokens import Principal, client_id_of

if TYPE_CHECKING:
    from mcp.server.auth.provider import AccessToken

#: What this package puts into the scope of a request, beside its `state`.
IDENTITY_NAMES = ("user", "auth")
_MCP_SERVER = "mcp.server.auth.middleware.auth_context"


class TokenUser(BaseUser):
    """The user that a verified token names.

    A token that names no user is a good token: its `identity` is empty.
    """

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def __repr__(self) -> str:
        """What tells users apart, for caches whose key it is, and shows no value."""
        return f"<{type(self).__name__} with {self._principal!r}>"

    @property
    def is_authenticated(self) -> bool:
        """Always true: the token is verified."""
        return True

    @property
    def identity(self) -> str:
        """The user's id; empty if the token has none."""
        return self._principal.fixed_state["user_id"] or ""

    @property
    def display_name(self) -> str:
        """The user's id; empty if the token has none."""
        return self.identity


@cache
def _mcp_user() -> type[TokenUser]:
    """The class of users for the MCP SDK, which the application has imported."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser  # noqa: PLC0415
    from mcp.server.auth.provider import AccessToken  # noqa: PLC0415

    class MCPUser(TokenUser, AuthenticatedUser):
        """The user, whom sessions are bound to by client, issuer and subject."""

        def __init__(self, principal: Principal) -> None:
            TokenUser.__init__(self, principal)
            self._access_token: AccessToken | None = None

        @property
        def scopes(self) -> list[str]:  # type: ignore[override]
            """The scopes granted."""
            return self.access_token.scopes

        @property
        def access_token(self) -> "AccessToken":  # type: ignore[override]
            """The token as the SDK has it, made when it is asked for."""
            if self._access_token is None:
                claims, state = self._principal.claims, self._principal.fixed_state
                subject = state["user_id"] or claims.get("sub")
                self._access_token = AccessToken(
                    token=self._principal.token or "",
                    client_id=client_id_of(claims) or "",
                    scopes=[*state["scopes"]],
                    expires_at=None if claims.exp is None else int(claims.exp),
                    # Whatever claim names the users, no two may share a session.
                    subject=str(subject) if subject else None,
                    claims=dict(claims),
                )
            return self._access_token

    return MCPUser


def keep_user(served: Awaitable[None]) -> Awaitable[None]:
    """Serve a request, and let the MCP SDK have its former user again afterwards.

    What calls an application in the same task goes on with its own.
    """
    context: Any = sys.modules.get(_MCP_SERVER)
    return served if context is None else _keep(served, context.auth_context_var)


async def _keep(served: Awaitable[None], variable: ContextVar[Any]) -> None:
    before = variable.get()
    try:
        await served
    finally:
        variable.set(before)


def write_user(scope: Scope, principal: Principal, *, is_kept: bool) -> None:
    """Set the user and the scopes of a request whose token is verified.

    Where no `keep_user` is around the request, the MCP SDK is not told: what calls the application
    in the same task would go on with this user.
    """
    scope["auth"] = AuthCredentials(principal.fixed_state["scopes"])
    context: Any = sys.modules.get(_MCP_SERVER)
    if context is None:
        scope["user"] = TokenUser(principal)
        return
    scope["user"] = user = _mcp_user()(principal)
    # The SDK's own middleware does it only where the SDK verifies tokens.
    if is_kept:
        context.auth_context_var.set(user)


def write_anonymous(scope: Scope) -> None:
    """Set an unauthenticated user, unless the application has set a user of its own.

    The MCP SDK forgets whom a guard further out has told it, unless that is the request's user.
    """
    if "user" not in scope:
        scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
    context: Any = sys.modules.get(_MCP_SERVER)
    if context is not None and context.auth_context_var.get() is not scope["user"]:
        context.auth_context_var.set(None)
