"""What must AgentOS know of the caller beyond what the guard has found in the token?

The guard of `jwt_deps` leaves on `request.state` what AgentOS reads there: `user_id`,
`session_id`, `dependencies`, `session_state`, `scopes`, each only where the token has something.
For what is absent AgentOS takes the client's word, a form field for instance. The dependency
below stands behind the guard and fills these gaps, so that only the token speaks.
"""

from agno.os.middleware.jwt import is_reserved_principal
from fastapi import HTTPException
from fastapi.requests import HTTPConnection

__all__ = ["agentos_caller"]


async def agentos_caller(connection: HTTPConnection) -> None:
    """Complete what AgentOS reads of the caller; refuse whoever it could mistake.

    On a route that needs no token, or with `JWT_VALIDATE=false`, the caller may be anonymous:
    AgentOS then answers 403 wherever something belongs to a user.

    Raises:
        HTTPException: 401, the token claims a user id that AgentOS keeps for its own services;
            403, the route is a WebSocket.
    """
    state = connection.state
    if is_reserved_principal(getattr(state, "user_id", None)):
        # `sa:...` and `__scheduler__` are exempt from the isolation of users.
        raise HTTPException(401, "Invalid token subject", {"WWW-Authenticate": _INVALID})
    if connection.scope["type"] == "websocket":
        # /workflows/ws takes the user from the messages that the client sends.
        raise HTTPException(403, "WebSockets are not served: use POST /workflows/{id}/runs")

    # Sessions, runs and memories of other users do not exist for this caller.
    state.user_isolation_enabled = True
    # Never absent: a caller without scopes is taken for one who needs none.
    state.scopes = getattr(state, "scopes", [])
    # Empty, not absent: otherwise the form fields of these names would be believed.
    state.dependencies = getattr(state, "dependencies", {})
    state.session_state = getattr(state, "session_state", {})


_INVALID = 'Bearer error="invalid_token", error_description="Invalid token subject"'
