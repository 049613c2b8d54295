"""Who is calling, as far as nothing has to be waited for? The way that nearly every request goes.

It is written flat, because every call on it is paid by every request (see `docs/speed.md`). What
is unusual is left to those who look at everything: `find_token`, `recognize_at_hand`, and
`credentials` for what has to be waited for.
"""

from fastapi.requests import HTTPConnection
from starlette.types import Scope

from .authentication import Awaiting
from .environment import get_settings
from .errors import AuthError
from .notes import Notes, clear_state, notes_of
from .pointers import refusal_under
from .principals import Principal
from .recognition import AwaitingRevocation, recognize_at_hand
from .routes import UNKNOWN, match_of
from .settings import JWTSettings
from .tokens import RequestHead, find_token, plain_bearer

__all__ = ["caller_at_hand", "refused_at_hand", "settled_at_hand"]

_WAITING = (Awaiting, AwaitingRevocation)


def caller_at_hand(
    scope: Scope, settings: JWTSettings | None = None
) -> Principal | AuthError | None:
    """Who is calling, or why not, as far as nothing is waited for; `None`: ask `caller_of`.

    Every coroutine on the way would cost what looking at a token costs.
    """
    notes = notes_of(scope)
    if notes.overriding is not None:
        return None
    if settings is None:
        settings = settled_at_hand(scope, notes)
    known = notes.callers.get(id(settings))
    if known is not None:
        return known[1]
    if settings.senders is not None or scope["type"] != "http":
        return None  # what a sender has to prove is waited for
    clear_state(scope)
    found: Principal | AuthError | Awaiting | AwaitingRevocation
    token = None
    try:
        token = plain_bearer(scope["headers"], settings)
        if token is None:
            token = find_token(RequestHead(scope["headers"], scope.get("method")), settings)
        found = recognize_at_hand(token, settings)
    except AuthError as error:
        found = error
    if isinstance(found, _WAITING):
        return None
    return notes.conclude(scope, settings, found, token)


def refused_at_hand(error: AuthError, connection: HTTPConnection) -> Exception | None:
    """The exception that answers for an error; `None`: a replaced dependency has to be asked."""
    notes = notes_of(connection.scope)
    if notes.overriding is not None:
        return None
    settings = notes.settings or settled_at_hand(connection.scope, notes)
    return refusal_under(settings, error, connection)


def settled_at_hand(scope: Scope, notes: Notes) -> JWTSettings:
    """The settings of the matched route, where no dependency is replaced."""
    match = match_of(scope)
    if notes.settings is not None and notes.match is match is not UNKNOWN:
        return notes.settings
    guard = notes.guard_over(scope, match)
    settings = guard.settings if guard is not None else None
    if settings is None:
        settings = get_settings()
    notes.match, notes.settings = match, settings
    return settings
