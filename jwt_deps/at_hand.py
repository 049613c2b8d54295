"""Who is calling, as far as nothing has to be waited for? The way that nearly every request goes.

It is written flat, because every call on it is paid by every request (see `docs/speed.md`). What
is unusual is left to those who look at everything: `find_token` for the places of a token, and
`credentials` for what has to be waited for.
"""

from fastapi.requests import HTTPConnection
from starlette.types import Scope

from .environment import get_settings
from .errors import AuthError, MissingTokenError
from .notes import Notes, clear_state, notes_of
from .pointers import refusal_under
from .principals import Principal
from .recognition import Recognized, recall, recognize_at_hand, recognize_new_at_hand
from .routes import UNKNOWN, match_of
from .settings import JWTSettings, TokenSource
from .tokens import RequestHead, find_token

__all__ = ["caller_at_hand", "refused_at_hand", "settled_at_hand"]


def caller_at_hand(  # noqa: C901, PLR0912 - flat on purpose
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
    known = notes.caller(settings)
    if known is not None:
        return known
    headers = scope["headers"]
    if settings.senders is not None or scope["type"] != "http" or type(headers) is not list:
        return None  # what a sender has to prove is waited for; another iterable may run dry
    if scope.get("state"):
        clear_state(scope)
    name, credentials = settings.bearer_header, None
    for key, value in headers:
        if key == name:
            credentials = value if credentials is None else b""  # several: `find_token` refuses
    if credentials is None and settings.token_source is TokenSource.HEADER:
        return notes.conclude(scope, settings, MissingTokenError(settings.missing))
    try:
        found: Recognized | None = recall(credentials, settings) if credentials else None
        if found is None:
            token = ""
            if credentials is not None and credentials[:7] == b"Bearer ":
                token = credentials[7:].decode("latin-1")
            if token and "," not in token and token.strip() == token:
                found = recognize_new_at_hand(token, settings)
            else:
                token = find_token(RequestHead(headers, scope.get("method")), settings)
                found = recognize_at_hand(token, settings)
    except AuthError as error:
        return notes.conclude(scope, settings, error)
    return notes.conclude(scope, settings, found) if isinstance(found, Principal) else None


def refused_at_hand(error: AuthError, connection: HTTPConnection) -> Exception | None:
    """The exception that answers for an error; `None`: a replaced dependency has to be asked.

    For a request whose caller was looked for, as `caller_at_hand` does, and so has its notes.
    """
    notes: Notes = connection.scope["jwt_deps"]
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
    settings = get_settings() if guard is None or guard.settings is None else guard.settings
    notes.match, notes.settings = match, settings
    return settings
