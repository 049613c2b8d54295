"""Complete `request.state` for AgentOS, so that every value it reads comes from the token.

The guard of `jwt_deps` sets on `request.state` what AgentOS reads there: `user_id`, `session_id`,
`dependencies`, `session_state`, `scopes`, each only where the token has it. In place of an absent
value AgentOS uses what the client sends, for instance a form field. The dependency below runs
after the guard and sets the absent values.
"""

from agno.os.middleware.jwt import is_reserved_principal
from fastapi import HTTPException
from fastapi.requests import HTTPConnection

__all__ = ["agentos_caller"]


async def agentos_caller(connection: HTTPConnection) -> None:
    """Set what AgentOS reads of the principal; refuse user ids that AgentOS reserves.

    On a route that needs no token, or with `JWT_VALIDATE=false`, the request may be anonymous:
    AgentOS then answers 403 wherever something belongs to a user.

    Raises:
        HTTPException: 401, the user id is one that AgentOS reserves for its own services; 403, the
            route is a WebSocket.
    """
    state = connection.state
    if is_reserved_principal(getattr(state, "user_id", None)):
        # AgentOS exempts `sa:...` and `__scheduler__` from user isolation.
        raise HTTPException(401, "Invalid token subject", {"WWW-Authenticate": _INVALID})
    if connection.scope["type"] == "websocket":
        # /workflows/ws takes the user from the messages that the client sends.
        raise HTTPException(403, "WebSockets are not served: use POST /workflows/{id}/runs")

    # Sessions, runs and memories of other users are not visible.
    state.user_isolation_enabled = True
    # Never absent: AgentOS checks no scopes where the list is absent.
    state.scopes = getattr(state, "scopes", [])
    # Empty, not absent: otherwise AgentOS uses the form fields of these names.
    state.dependencies = getattr(state, "dependencies", {})
    state.session_state = getattr(state, "session_state", {})


_INVALID = 'Bearer error="invalid_token", error_description="Invalid token subject"'
