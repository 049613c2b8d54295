"""The answer to a refused request: status, challenge and body."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from fastapi import HTTPException, WebSocketException
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from jwt_deps import telemetry
from jwt_deps.errors import (
    AuthError,
    ClaimError,
    CrossSiteRequestError,
    DPoPNonceError,
    InsufficientAuthenticationError,
    InsufficientPermissionsError,
    InvalidRequestError,
    KeysUnavailableError,
    MissingTokenError,
    ReplaysUnavailableError,
    TooManyProofsError,
)
from jwt_deps.possession import DPoPMode, SenderPolicy
from jwt_deps.settings import JWTSettings
from jwt_deps.tokens import explanation_of, filled_scopes, is_scope, parameters_of, sent_with_dpop

from ._fastapi import dependants, replace_default_handler, scopes_at
from .route_scopes import methods_of
from .routing import MatchedRoute, RouteGuard, security_scopes_of

logger = logging.getLogger("jwt_deps")

# RFC 6750 §3: the characters that error_description may have.
_UNQUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")

_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013
_TOO_MANY = 429
_UNAVAILABLE = 503
_MAX_LOGGED = 64
_LATER = (_TOO_MANY, _UNAVAILABLE)  # the same token may be accepted later
_STATUSES: dict[type, int] = {
    AuthError: 401,
    InvalidRequestError: 400,
    InsufficientPermissionsError: 403,
    CrossSiteRequestError: 403,
    KeysUnavailableError: _UNAVAILABLE,
    ReplaysUnavailableError: _UNAVAILABLE,
    TooManyProofsError: _TOO_MANY,
}


def documented_refusals() -> dict[str, dict[str, Any]]:
    """What an OpenAPI document says of the responses to a refused token, by status.

    Each document has its own, because an application may edit what it says.
    """
    body = {
        "type": "object",
        "properties": {"detail": {"type": "string", "title": "Detail"}},
        "required": ["detail"],
    }
    content = {"application/json": {"schema": body}}
    challenge = {
        "WWW-Authenticate": {
            "description": "The challenge of RFC 6750 §3",
            "schema": {"type": "string"},
        }
    }
    again = {
        "Retry-After": {
            "description": "Seconds after which to try again",
            "schema": {"type": "integer"},
        }
    }
    return {
        status: {"description": description, "headers": headers, "content": content}
        for status, description, headers in (
            ("400", "More than one access token", challenge),
            ("401", "No access token, or one that is not accepted", challenge),
            (
                "403",
                "The access token does not permit this, or its cookie came from another site",
                challenge,
            ),
            (str(_TOO_MANY), "The client made too many DPoP proofs with one key", again),
            (str(_UNAVAILABLE), "Whether the access token is good cannot be checked now", again),
        )
    }


def add_refusals(
    responses: dict[Any, Any],
    refusals: dict[str, dict[str, Any]],
    *,
    outage: bool,
    limited: bool,
) -> None:
    """Add to the responses of an OpenAPI operation those to a refused token.

    What the application describes itself stays, by its status, its range (`4XX`) or as `default`:
    FastAPI adds its own 422 by the same rule.

    Args:
        responses: those of the operation.
        refusals: what the document says of them.
        outage: whether checking a token needs what may not answer.
        limited: whether one key can make too many DPoP proofs.
    """
    rare = {str(_UNAVAILABLE): outage, str(_TOO_MANY): limited}
    known = {str(status).upper() for status in responses}
    for status, refusal in refusals.items():
        described = not known.isdisjoint((status, f"{status[0]}XX", "DEFAULT"))
        if not described and rare.get(status, True):
            responses[status] = dict(refusal)


class ChallengeParameters(NamedTuple):
    """What a challenge says besides: parameters of RFC 9728 §5.1 and RFC 6750 §3, ready-made.

    Attributes:
        metadata: where the resource describes itself.
        scoped: the scopes that the route needs, followed by `metadata`.
    """

    metadata: str
    scoped: str


class ExplainedRefusal(HTTPException):
    """A refusal with debug hints, under `JWT_EXPLAIN`.

    An exception handler of the application's own sees an `HTTPException` like any other.

    Attributes:
        explanation: what the body says beside `detail`.
    """

    def __init__(
        self, status: int, detail: str, headers: dict[str, str], explanation: dict[str, str]
    ) -> None:
        super().__init__(status, detail, headers)
        self.explanation = explanation


def refusal(
    settings: JWTSettings, error: AuthError, connection: HTTPConnection, match: MatchedRoute
) -> HTTPException | WebSocketException:
    """Turn an error into the exception that FastAPI answers with.

    Raise it `from error`: an exception handler of the application then finds the typed error in
    `__cause__`. A WebSocket handshake is denied with the same status and challenge where the
    server can (the ASGI extension `websocket.http.response`), and closed with 1008
    elsewhere, or with 1013 when keys cannot be fetched.
    """
    scope = connection.scope
    if REFUSALS in scope:
        scope[REFUSALS].append(error)
    hints_prefix = settings.env_prefix if settings.explain else None
    # A request remembers why it was refused: with the frames that it was raised in, which know the
    # request, both would wait for the garbage collector.
    error.__traceback__ = None
    telemetry.rejected(error.reason)
    if logger.isEnabledFor(logging.WARNING):
        _log(error, hints_prefix)
    status = next(_STATUSES[it] for it in type(error).__mro__ if it in _STATUSES)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get(
        "extensions", {}
    ):
        why = f"{error} ({error.reason})" if hints_prefix is not None else str(error)
        return WebSocketException(_TRY_AGAIN_LATER if status in _LATER else _POLICY_VIOLATION, why)
    headers = {"Cache-Control": "no-store"}
    if status in _LATER:
        later: Any = error  # of a class that says when
        headers["Retry-After"] = str(later.retry_after)
    elif isinstance(error, DPoPNonceError):
        headers["DPoP-Nonce"] = error.nonce
    challenge = _challenge(error)
    if challenge is not None:
        if settings.resource and not isinstance(error, InvalidRequestError):
            parameters = challenge_parameters(settings, match, scope)
            challenge += parameters.metadata if ', scope="' in challenge else parameters.scoped
        sender_policy = settings.server.sender_policy
        if sender_policy is not None and sender_policy.with_dpop:
            used = sent_with_dpop(scope["headers"], sender_policy.token_header)
            challenge = _with_dpop(challenge, error, sender_policy, used=used)
        headers["WWW-Authenticate"] = challenge
    if hints_prefix is not None:
        replace_default_handler(scope, ExplainedRefusal, _answer_with_hints)
        hints = explanation_of(error, hints_prefix)
        return ExplainedRefusal(status, str(error), headers, hints)
    return HTTPException(status, str(error), headers)


def _log(error: AuthError, hints_prefix: str | None) -> None:
    # WARNING, because servers leave this logger without a handler, and Python then prints WARNING
    # and above to standard error: a refusal is one line, and none is lost or printed twice.
    kid = error.kid[:_MAX_LOGGED] if error.kid is not None else None
    # A name from the settings or the RFC; from a model that forbids more, the token's own.
    claim = f" claim={error.claim[:_MAX_LOGGED]!r}" if isinstance(error, ClaimError) else ""
    hint = ""
    if hints_prefix is not None:
        told = explanation_of(error, hints_prefix)
        hint = f"; the check that failed: {told['step']}; {told['hint']} More: {error.command}"
    logger.warning("request refused: reason=%s%s kid=%r%s", error.reason, claim, kid, hint)


def _challenge(error: AuthError) -> str | None:
    if isinstance(error, MissingTokenError):
        return 'Bearer realm="api"'  # RFC 6750 §3.1: no error code for a request without one
    if error.code is None:
        return None
    description = _UNQUOTABLE.sub("", error.description)
    challenge = f'Bearer error="{error.code}", error_description="{description}"'
    if isinstance(error, InsufficientAuthenticationError):
        return challenge + _authentication(error)
    if isinstance(error, InsufficientPermissionsError):
        return challenge + _scope(error.scopes)
    return challenge


def _authentication(error: InsufficientAuthenticationError) -> str:
    """What RFC 9470 §3 adds to a challenge."""
    values = f', acr_values="{" ".join(error.acr_values)}"' if error.acr_values else ""
    age = "" if error.max_age is None else f', max_age="{error.max_age}"'
    return f"{values}{age}{_scope(error.scopes)}"


def _scope(scopes: Iterable[str]) -> str:
    named = " ".join(filter(is_scope, scopes))
    return f', scope="{named}"' if named else ""


def _with_dpop(challenge: str, error: AuthError, policy: SenderPolicy, *, used: bool) -> str:
    """Turn the challenge of a bearer into that of a service with DPoP (RFC 9449 §7.1, §7.2).

    `used` is whether the request came with the scheme `DPoP`.
    """
    parameters = challenge.removeprefix("Bearer ")
    algorithms = f'algs="{" ".join(policy.algorithms)}"'
    if isinstance(error, InvalidRequestError):  # which scheme was meant is not known
        return f"{challenge}, DPoP {parameters}, {algorithms}"
    required = isinstance(error, MissingTokenError) and policy.dpop is DPoPMode.REQUIRED
    if used or required:
        return f"DPoP {parameters}, {algorithms}"
    return f"{challenge}, DPoP {algorithms}"


#: Where a scope has a list for the refusals that are made for it: `jwt_deps.audit` gives one.
REFUSALS = "jwt_deps.refusals"


def needed_scopes(match: MatchedRoute, scope: Scope, settings: JWTSettings | None) -> list[str]:
    """Every scope that a request needs on a route, in the order declared, once or more often."""
    methods, found = methods_of(scope), list[str]()
    for guard in match.guards:
        if guard.asks_scopes(match, settings):
            found += guard.route_scopes.needed(match.paths, methods)
    for call, scopes in _declared_scopes(match):
        if not (isinstance(call, RouteGuard) and not call.asks_scopes(match, settings)):
            found += (*scopes, *_own(call))
    return found


def _declared_scopes(match: MatchedRoute) -> Iterator[tuple[Any, Sequence[str]]]:
    for node in dependants(match.dependant) if match.dependant is not None else ():
        yield node.call, scopes_at(node)
    for depends in match.dependencies:
        yield depends.dependency, security_scopes_of(depends)


def _own(call: Any) -> tuple[str, ...]:
    """The scopes that a dependency of this package needs by itself."""
    scopes = getattr(call, "scopes", ()) if isinstance(call, SecurityBase) else ()
    return scopes if isinstance(scopes, tuple) else ()


def challenge_parameters(
    settings: JWTSettings, match: MatchedRoute, scope: Scope
) -> ChallengeParameters:
    """The parameters for the challenges of a route, made once if all have the same.

    Clients ask for the scopes that a challenge names (MCP, "Scope Selection Strategy"), so they
    are those of the route, not all that the service has.
    """
    url = str(settings.metadata_url)
    known: ChallengeParameters | None = match.challenge_parameters.get(url)
    if known is None:
        metadata = f', resource_metadata="{url}"'
        needed = needed_scopes(match, scope, settings)
        scopes = filled_scopes(needed, scope.get("path_params", {}))
        known = ChallengeParameters(metadata, _scope(scopes) + metadata)
        by_request = any(guard.route_scopes.rules for guard in match.guards)
        if not (by_request or any(map(parameters_of, needed))):
            match.challenge_parameters[url] = known
    return known


async def _answer_with_hints(_: HTTPConnection, error: ExplainedRefusal) -> JSONResponse:
    body = {**error.explanation, "detail": error.detail}
    return JSONResponse(body, error.status_code, error.headers)
