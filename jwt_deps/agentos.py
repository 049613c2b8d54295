"""An AgentOS (agno) whose users come from verified tokens, with all that its own middleware does.

    app = protect_agent_os(AgentOS(id="support", agents=[...]))

The guard verifies tokens. What a user may do, and which data belong to whom, is decided by agno's
own rules: scopes per route and resource, roles, isolation of users, the user directory. agno is
read by its public names, here and nowhere else, and tried before an application is guarded.
"""

import json
import re
import secrets
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache
from hmac import compare_digest
from posixpath import normpath
from typing import Any

from fastapi import Depends, Request, Response
from fastapi.applications import FastAPI
from fastapi.requests import HTTPConnection
from starlette.datastructures import Headers, MutableHeaders, State
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps.concurrency import LRUMap
from jwt_deps.errors import (
    AuthError,
    ConfigurationError,
    InsufficientPermissionsError,
    InsufficientScopeError,
    InvalidTokenError,
    KeysUnavailableError,
    MissingTokenError,
    Reason,
)
from jwt_deps.revocation import refuse_revoked
from jwt_deps.settings import IssuerSettings, JWTSettings, get_settings
from jwt_deps.tokens import Claims, Principal, verified_principal
from jwt_deps.web import (
    WEBSOCKET,
    Inventory,
    needs_no_token,
    protect,
    refused,
    routers_of,
    sent_token,
    settings_for,
)

try:
    from agno.os import AgentOS
    from agno.os.auth import (
        aprovision_user_with_default_role,
        build_insufficient_permissions_detail,
    )
    from agno.os.authz import AuthorizationContext, AuthorizationProvider
    from agno.os.authz.audit import arecord_decision
    from agno.os.authz.run_context import request_authorization
    from agno.os.config import MCP_SERVER_CARD_PATH, AuthorizationConfig
    from agno.os.middleware.jwt import JWTMiddleware, is_reserved_principal
    from agno.os.scopes import (
        RouteScopeCheck,
        check_route_scopes,
        get_required_scopes_for_route,
        get_resource_context_from_path,
    )
    from agno.os.service_accounts import TOKEN_PREFIX
    from agno.os.utils import resolve_ws_jwt_config
    from agno.run.authorization import authorization_scope
except ImportError as error:
    raise ConfigurationError(
        "unknown_agno",
        f"jwt_deps.agentos needs agno 3.1: pip install 'jwt-deps[agentos]' ({error}).",
    ) from error

__all__ = ["protect_agent_os"]

#: What AgentOS itself leaves open.
_OPEN = ("/", "/health", "/info")
#: What agno's middleware leaves open that is no exclusion of the guard: `exclude` says whether the
#: routes of AgentOS are open, and FastAPI's own pages are open without being told.
_NOT_EXCLUDED = {*_OPEN, "/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"}
_SOCKET = "/workflows/ws"
_ROOT = "jwt_deps.agentos"
_DECIDED = "jwt_deps.agentos.decided"  # the requests whose users' permissions agno's tools ask for
_ACCEPTED = "jwt_deps.agentos.accepted"
_BEFORE = "jwt_deps.agentos.before"  # what was in the state of a request when it came
_SENT = "jwt_deps.agentos.sent"  # the scope of which agno has a copy
#: By what agno knows its own credentials in a state, which are asked for less than a user, and that
#: its middleware need not look again.
_MARKS = ("service_account_name", "is_internal_service", "_agno_auth_complete")
_UNAUTHORIZED = 401
_CHALLENGE = 'Bearer error="invalid_token"'
# Codes with which a WebSocket is closed (RFC 6455 §7.4).
_REFUSED, _TRY_AGAIN = 1008, 1013
# What may differ in a pattern of agno's, and the parameters of a template.
_DIFFERS = re.compile(r"\{[^}]*\}|\[[^]]*\]|[?*]")
_PARAMETER = re.compile(r"\{[^}:]*(:[^}]*)?\}")
_HOST = re.compile(r"^//[^/]*")  # in a template of an inventory
_ANY, _SEGMENT = "*", "+"  # any text, and any without a slash
_READ = ("authorization", "authorization_config", "base_app", "id", "mcp_auth", "public")


def protect_agent_os(  # noqa: PLR0913 - the parameters of agno's middleware
    agent_os: AgentOS,
    settings: JWTSettings | None = None,
    *,
    authorization: bool = True,
    scope_mappings: Mapping[str, list[str]] | None = None,
    admin_scope: str = "agent_os:admin",
    user_isolation: bool = True,
    exclude: Iterable[str | Callable[..., Any]] = _OPEN,
) -> FastAPI:
    """Guard an AgentOS in place of its own JWT middleware, and return its application.

        app = protect_agent_os(AgentOS(id="support", agents=[agent]))

    Runs of agents, teams and workflows get `user_id`, `session_id`, `dependencies` and
    `session_state` of the verified token. Service accounts (`agno_pat_...`) and the scheduler are
    let in by agno's own check of their credentials. On an application of your own, use
    `AgentOS(base_app=app)`.

    Args:
        agent_os: the AgentOS, whose `get_app()` was not called yet where it has a `base_app`.
        settings: what is accepted; `None` for `get_settings`, asked once, here. The scopes are in
            the claim `scopes` unless `scopes_claim` names another. Where no audience is configured,
            a token that names one has to name the AgentOS by its id.
        authorization: whether routes ask for scopes: `agents:run`, `agents:<id>:run`,
            `agents:*:run`, or the admin scope.
        scope_mappings: scopes by route, `{"POST /reports/*": ["reports:write"]}`, beside agno's own
            and before them; an empty list asks for none. One that is for no route stops the start.
        admin_scope: the scope that satisfies every other one, and sees the data of all users. With
            several `issuers`, only those can grant it whose `IssuerSettings` name it, too.
        user_isolation: whether a user sees only their own sessions, memories, traces and runs.
        exclude: endpoints, and patterns of whole route templates, that need no token.

    Returns:
        The application of the AgentOS, guarded as by `protect`. Without a token that verifies the
        answer is 401, without a scope that the route needs 403 (RFC 6750 §3.1).

    Raises:
        ConfigurationError: there are no settings that can work; the AgentOS has something that
            cannot be guarded; or agno is a release that this package does not know.
    """
    _try_out()
    _refuse_unknown(agent_os)
    _check_mappings(scope_mappings or {})
    settings = get_settings() if settings is None else settings
    if settings.issuers is None:  # each of several issuers says for itself what holds
        settings = settings.with_defaults(scopes_claim="scopes", audience=str(agent_os.id))
    config = agent_os.authorization_config or AuthorizationConfig()
    # With it AgentOS prepares everything for its middleware, whose place is taken below. The key
    # verifies nothing: no JWT comes to that middleware any more.
    agent_os.authorization = True
    agent_os.authorization_config = config.model_copy(
        update={
            "verification_keys": [secrets.token_urlsafe(64)],
            "jwks_file": None,
            "algorithm": "HS256",
            "verify_audience": False,
            "audience": None,
            "admin_scope": admin_scope,
            "user_isolation": config.user_isolation or user_isolation,
        }
    )
    app = agent_os.get_app()
    # agno goes by the first one that fits.
    given, agnos = dict(scope_mappings or {}), app.state.scope_mappings
    app.state.scope_mappings = given | {it: agnos[it] for it in agnos if it not in given}
    excluded = _take_place_of_middleware(app, authorization=authorization)
    if agent_os.base_app is None:
        _keep_headers_of_refusals(app)
    left_open = _OPEN if exclude is _OPEN else ()
    rules = _Rules(app, [*given], left_open, authorization=authorization)
    _look_at_start(app, rules)
    _wrap_router(app)
    exclude = [*exclude, *_sockets(app), *(it for it in excluded if it not in _NOT_EXCLUDED)]
    return protect(app, settings, exclude, [Depends(rules)], credentials=[_AgnoCredential()])


def _look_at_start(app: FastAPI, rules: "_Rules") -> None:
    """Refuse to start with scopes that are for no route: a misspelt path would be open."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def looking(served: Any) -> AsyncIterator[Any]:
        async with inner(served) as state:
            rules.look()
            yield state

    app.router.lifespan_context = looking


def _wrap_router(app: FastAPI) -> None:
    """Keep what is known of a request once it comes to the router, inside of all middleware.

    That is its root path, which middleware may change, and what its user may do. Agno's tools know
    the latter by the state that agno's own middleware has seen, and the user is in the state that
    the request has at its route, which may be another. Around the router, and not in the
    dependency: up to FastAPI 0.117 one with `yield` ends before an answer is streamed.
    """
    inner = app.router.middleware_stack

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope[_ROOT] = scope.get("root_path", "")
        if scope["type"] == "lifespan":
            await inner(scope, receive, send)
            return
        decided: list[HTTPConnection] = []
        scope[_DECIDED] = decided
        with authorization_scope(lambda: request_authorization(decided[-1]) if decided else None):
            await inner(scope, receive, send)

    app.router.middleware_stack = serve


def _agno_scopes(
    settings: JWTSettings, app: State, claims: Mapping[str, Any], scopes: list[str]
) -> list[str]:
    """The scopes of a token, without the admin scope where its issuer may not give that.

    Of several issuers, which may be those of customers, only those may whose settings name it.
    """
    issuer = settings.server.accepted.of(claims.get("iss"))
    if settings.issuers is None or (
        issuer is not None and issuer.policy.settings.admin_scope == app.admin_scope
    ):
        return scopes
    return [scope for scope in scopes if scope != app.admin_scope]


def _check_mappings(mappings: Mapping[str, object]) -> None:
    """Check the form of mappings: what has another one would ask for no scopes, or for letters."""
    for name, scopes in mappings.items():
        method, _, template = name.partition(" ")
        listed = isinstance(scopes, list) and all(isinstance(one, str) for one in scopes)
        if not (
            listed and method.isupper() and template.startswith(("/", "*")) and " " not in template
        ):
            raise ConfigurationError(
                "agent_os_scope_mappings",
                "scope_mappings of protect_agent_os takes a method in capitals and a path, with "
                'a list of scopes: {"GET /reports/*": ["reports:read"]}.',
            )


def _refuse_unknown(agent_os: AgentOS) -> None:
    if isinstance(agent_os, FastAPI):
        raise ConfigurationError(
            "agent_os_middleware",
            "protect_agent_os takes the AgentOS, not its application: call "
            "protect_agent_os(agent_os) in place of agent_os.get_app().",
        )
    missing = [name for name in _READ if not hasattr(agent_os, name)]
    if missing:
        raise _unknown(f"AgentOS has no {', '.join(missing)}")
    for name in ("public", "mcp_auth"):
        if getattr(agent_os, name) is not None:
            raise ConfigurationError(
                "agent_os_own_access",
                f"AgentOS({name}=...) lets requests in by rules of its own, which the guard does "
                "not know: leave it out, or leave the AgentOS to its own middleware.",
            )


def _take_place_of_middleware(app: FastAPI, *, authorization: bool) -> list[str]:
    """Take the place of agno's middleware, and return the paths that it was told to leave open."""
    ours = [at for at, it in enumerate(app.user_middleware) if _is_agnos(it.cls)]
    if len(ours) != 1:
        raise ConfigurationError(
            "agent_os_middleware",
            "This application has a JWTMiddleware of agno's own: remove it, protect_agent_os takes "
            "its place."
            if ours
            else "agent_os.get_app() was called before: call protect_agent_os(agent_os) instead.",
        )
    (at,) = ours
    agnos, tokens = app.user_middleware[at], _SocketTokens(app)
    app.user_middleware[at] = Middleware(_AgnoMiddleware, agno=agnos, tokens=tokens)
    app.user_middleware.insert(0, Middleware(_OwnState))
    app.state.jwt_validator = tokens
    if resolve_ws_jwt_config(app).get("validator") is not tokens:
        raise _unknown("its WebSocket does not ask app.state.jwt_validator")
    options: Any = agnos.kwargs
    options["authorization"] = authorization  # of the scheduler; it always asks service accounts
    # Below a mount nothing is excluded: a mount is one route.
    excluded = [it for it in options["excluded_route_paths"] or () if it != MCP_SERVER_CARD_PATH]
    if excluded:  # agno looks at no service account where a path is
        options["excluded_route_paths"] = excluded
    return excluded


def _is_agnos(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, JWTMiddleware)


def _sockets(app: FastAPI) -> list[Any]:
    """What excludes AgentOS's WebSocket, to which the token comes in a message.

    `AgentOS.resync` gives it another endpoint, so it is the path, unless the application has
    something of its own there.
    """
    # As they were added: what FastAPI makes of 130 routes here, it would make again at the start.
    added = [route for router in routers_of(app.router) for route in router.routes]
    there = [route for route in added if getattr(route, "path", None) == _SOCKET]
    endpoints = [getattr(it, "endpoint", None) for it in there]
    agnos = [it for it in endpoints if _is_socket(it)]
    return [_SOCKET] if agnos and agnos == endpoints else agnos


def _is_socket(endpoint: Any) -> bool:
    return getattr(endpoint, "__module__", None) == "agno.os.router"


def _keep_headers_of_refusals(app: FastAPI) -> None:
    """Let the application's handler of `HTTPException` keep its headers, the challenge for one."""
    for kind, answer in list(app.exception_handlers.items()):
        if isinstance(kind, type) and issubclass(kind, HTTPException):
            app.add_exception_handler(kind, _with_headers(answer))


def _with_headers(answer: Callable[[Request, Any], Any]) -> Callable[[Request, Any], Any]:
    async def answer_with_headers(request: Request, error: HTTPException) -> Response:
        response: Response = await answer(request, error)
        for name, value in (error.headers or {}).items():
            response.headers.setdefault(name, value)
        return response

    return answer_with_headers


class _Rules:
    """The dependency that applies agno's rules to a request whose token is verified.

    Attributes:
        asks_agno_scopes: whether routes ask for scopes.
    """

    def __init__(
        self,
        app: FastAPI,
        given: list[str],
        left_open: Collection[str],
        *,
        authorization: bool,
    ) -> None:
        self.asks_agno_scopes = authorization
        # FastAPI remembers dependencies, and is not to keep the application with this one.
        self._app = weakref.proxy(app)
        self._unseen: tuple[FastAPI, list[str], Collection[str]] | None = app, given, left_open
        # agno compares a path with each of its patterns, a hundred of them.
        self._required: LRUMap[str, list[str]] = LRUMap(512)

    async def __call__(self, connection: HTTPConnection) -> None:
        """Complete `request.state` for AgentOS, or refuse the request.

        Raises:
            HTTPException: 401, the user id is one that agno reserves; 403, a scope is lacking or
                the user is disabled.
        """
        await self._decide(connection)
        # A copy: what is mounted changes the application. The list would be in itself.
        served = {**connection.scope, _DECIDED: ()}
        self._decided(connection).append(HTTPConnection(served))

    @staticmethod
    def _decided(connection: HTTPConnection) -> list[HTTPConnection]:
        decided: list[HTTPConnection] | None = connection.scope.get(_DECIDED)
        if decided is None:
            raise ConfigurationError(
                "agent_os_middleware",
                "The routes of this AgentOS are served by another application, without its "
                "middleware, and its tools would check no permissions: mount the application.",
            )
        return decided

    async def _decide(self, connection: HTTPConnection) -> None:
        self.look()
        state, agnos = connection.state, _accepted_by_agno(connection.scope)
        for name in _MARKS:  # of another request, where an endpoint has sent this one on
            connection.scope["state"].pop(name, None)
        if agnos is not None and getattr(state, "user_id", None) == agnos["user_id"]:
            # As agno has it for its own credentials; claims are stored as JSON with a schedule.
            for name in ("dependencies", "session_state"):
                if not getattr(state, name, True):
                    delattr(state, name)
            connection.scope["state"].update(agnos, claims=dict(state.claims))
        elif hasattr(state, "authenticated") or needs_no_token(connection) is False:
            try:
                await self._apply(connection, state)
            except AuthError as error:
                raise await refused(error, connection) from error
        elif (
            needs_no_token(connection)
            and f"{_route_path(connection.scope)}/".startswith(f"{_SOCKET}/")
            and not _is_socket(connection.scope.get("endpoint"))
        ):  # it came after the path was excluded
            raise await refused(MissingTokenError("Invalid token: none was given"), connection)

    def look(self) -> None:
        """Check once that the given scopes are for routes, and nothing is open unasked."""
        if self._unseen is None:
            return
        app, given, left_open = self._unseen
        served = Inventory.of(app, is_starting=True).routes
        for one in (one for it in served for one in (it, *it.mounts)):
            if one.path.endswith("/*") and one.path.removesuffix("/*") in left_open:
                raise ConfigurationError(
                    "agent_os_open_mount",
                    f"A mount at {one.path.removesuffix('/*')} needs no token, nor what is below "
                    "it, by the default of exclude: mount it elsewhere, or say in exclude=[...] "
                    "what is to be open.",
                )
        # Not their mounts: one at the root has any path. For WebSockets agno asks no scopes, and it
        # knows no hosts.
        routes = [
            (_HOST.sub("", one.path), one.methods) for one in served if one.methods != (WEBSOCKET,)
        ]
        for name in given:
            method, _, path = name.partition(" ")
            as_get = "GET" if method == "HEAD" else method  # Starlette answers it where it does GET
            if not any(
                not {method, as_get, "*"}.isdisjoint(methods) and _overlap(path, template)
                for template, methods in routes
            ):
                raise ConfigurationError(
                    "agent_os_scope_mappings",
                    f"scope_mappings names {name!r}, and the application has no such route: a "
                    "route whose path is misspelt there asks for no scopes.",
                )
        self._unseen = None

    async def _apply(self, connection: HTTPConnection, state: State) -> None:
        if not state.authenticated:  # `validate=False`
            state.user_id, state.scopes, state.claims = None, [], Claims({})
        if is_reserved_principal(state.user_id):
            subject = "Invalid token subject"
            raise InvalidTokenError(Reason.CLAIM_INVALID, subject, subject)
        state.claims = dict(state.claims)
        settings = await settings_for(connection)
        state.scopes = _agno_scopes(settings, self._app.state, state.claims, state.scopes)
        state.authorization_enabled = self.asks_agno_scopes
        state.admin_scope = self._app.state.admin_scope
        state.user_isolation_enabled = self._app.state.user_isolation_enabled
        if state.user_id and getattr(self._app.state, "user_store", None) is not None:
            await self._refuse_disabled(connection, state)
        if self.asks_agno_scopes and connection.scope["type"] == "http":
            await self._refuse_without_scopes(connection, state)

    async def _refuse_disabled(self, connection: HTTPConnection, state: State) -> None:
        app = self._app.state
        try:
            if app.user_auto_provision:
                row = await aprovision_user_with_default_role(
                    app.user_store,
                    app.role_store,
                    state.user_id,
                    state.claims,
                    email_claim=app.user_email_claim,
                    name_claim=app.user_name_claim,
                )
                disabled = bool(row and row.get("disabled"))
            else:
                disabled = await app.user_store.ais_disabled(state.user_id)
        except Exception as error:  # whatever a directory raises: the operator chose what follows
            if not app.user_directory_fail_closed:
                return
            raise _saying("User directory unavailable", KeysUnavailableError(1)) from error
        if disabled:
            await self._record(connection, state, [], allowed=False, reason="user_disabled")
            disabled_user = InsufficientPermissionsError(Reason.CHECK, "the user is disabled")
            raise _saying("User is disabled", disabled_user)

    async def _refuse_without_scopes(self, connection: HTTPConnection, state: State) -> None:
        # What is mounted may not mind the case of a method.
        method, path = connection.scope["method"].upper(), _route_path(connection.scope)
        required = [
            scope
            for spelling in dict.fromkeys((path, _normal(path)))
            for scope in self._required_for(method, spelling)
        ]
        mappings = {f"{method} {path}": list(dict.fromkeys(required))}
        provider = getattr(self._app.state, "authorization_provider", None)
        if provider is None:
            found = check_route_scopes(state.scopes, mappings, method, path, state.admin_scope)
        else:
            found = await _ask(provider, state, mappings, method, path)
        state.required_scopes = found.required_scopes
        if found.accessible_resource_ids is not None:
            state.accessible_resource_ids = found.accessible_resource_ids
        reason = found.reason or (None if found.required_scopes else "no_scopes_required")
        await self._record(
            connection, state, found.required_scopes, allowed=found.allowed, reason=reason
        )
        if not found.allowed:
            detail = build_insufficient_permissions_detail(found.required_scopes)
            raise _saying(detail, InsufficientScopeError(found.required_scopes))

    def _required_for(self, method: str, path: str) -> list[str]:
        required = self._required.get(f"{method} {path}")
        if required is None:
            required = get_required_scopes_for_route(self._app.state.scope_mappings, method, path)
            if method == "HEAD" and not required:  # Starlette answers it where it answers GET
                required = self._required_for("GET", path)
            self._required.put(f"{method} {path}", required)
        return required

    async def _record(
        self,
        connection: HTTPConnection,
        state: State,
        required: list[str],
        *,
        allowed: bool,
        reason: str | None,
    ) -> None:
        """Record a decision where `Authorization(audit=...)` is on."""
        if getattr(self._app.state, "authz_audit", None) is not None:
            await arecord_decision(
                connection,
                allowed=allowed,
                target=f"{connection.scope.get('method')} {_route_path(connection.scope)}",
                principal=state.user_id,
                required_scopes=required,
                scopes=state.scopes,
                claims=state.claims,
                token=state.token,
                reason=reason,
            )


async def _ask(
    provider: AuthorizationProvider,
    state: State,
    mappings: dict[str, list[str]],
    method: str,
    path: str,
) -> RouteScopeCheck:
    """What an `Authorization` with roles, or with a provider of its own, decides about a route.

    A list that is not granted as a whole is answered with the resources that are.
    """
    required = get_required_scopes_for_route(mappings, method, path)
    if not required:
        return RouteScopeCheck(allowed=True, required_scopes=required)
    kind, resource = get_resource_context_from_path(path)
    actions = {scope.rpartition(":")[2] for scope in required if ":" in scope}
    context = AuthorizationContext(
        principal_id=state.user_id,
        scopes=state.scopes,
        claims=state.claims,
        resource_type=kind,
        resource_id=resource,
        action=actions.pop() if len(actions) == 1 else None,
        admin_scope=state.admin_scope,
    )
    try:
        if await provider.aauthorize_route(context, required):
            return RouteScopeCheck(allowed=True, required_scopes=required)
        family, _, action = required[0].partition(":")
        if method == "GET" and kind and not resource and family == kind:
            context.action = action.rpartition(":")[2]
            ids = await provider.aaccessible_resource_ids(context)
            return RouteScopeCheck(True, required, accessible_resource_ids=ids)  # noqa: FBT003
    except Exception:  # noqa: BLE001 - a provider that fails, however, has granted nothing
        return RouteScopeCheck(False, required, reason="provider_error")  # noqa: FBT003
    return RouteScopeCheck(allowed=False, required_scopes=required)


def _saying(detail: str, error: AuthError) -> AuthError:
    """The error, in the words of agno's middleware."""
    error.args = (detail,)
    return error


def _overlap(pattern: str, template: str) -> bool:
    """Whether a pattern of agno's can match a path of a route."""

    @cache
    def fit(left: str, right: str) -> bool:
        if left[:1] == _ANY:
            return fit(left[1:], right) or (right != "" and fit(left, right[1:]))
        if right[:1] in {_ANY, _SEGMENT}:
            goes_on = left != "" and (right[0] == _ANY or left[0] != "/")
            return fit(left, right[1:]) or (goes_on and fit(left[1:], right))
        return left[:1] == right[:1] and (left == "" or fit(left[1:], right[1:]))

    named = _PARAMETER.sub(lambda it: _ANY if it[1] == ":path" else _SEGMENT, template)
    return fit(_DIFFERS.sub(_ANY, pattern), named)


def _normal(path: str) -> str:
    """A path as what is mounted may read it, a file server for one: without `//`, `.`, `..`."""
    normal = normpath(f"/{path.lstrip('/')}")
    return f"{normal}/" if path.endswith("/") and normal != "/" else normal


def _route_path(scope: Scope) -> str:
    """The path of a request as the application's router has matched it, which agno compares."""
    path: str = scope["path"]
    # Below a mount Starlette has another root path in the scope.
    root: str = scope.get(_ROOT, scope.get("root_path", ""))
    return path[len(root) :] if path.startswith(root) and path[len(root) :][:1] == "/" else path


def _members(message: Message) -> dict[str, Any]:
    """The JSON object in a message of a WebSocket; empty if it has none."""
    try:
        found = json.loads(message.get("text") or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class _Payload(dict[str, Any]):
    """The claims of a verified token, as AgentOS's WebSocket takes them."""

    principal: Principal


class _SocketTokens:
    """What AgentOS's WebSocket asks in place of agno's validator.

    It asks without waiting, so the token of a message is verified when the message arrives.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        #: The token of the last message on a connection, and what was found.
        self._last: ContextVar[tuple[str, _Payload | AuthError] | None] = ContextVar(
            "jwt_deps_agentos", default=None
        )

    @property
    def settings(self) -> JWTSettings:
        """Those of the guard, in whose place `jwt_deps.testing.using_settings` puts others."""
        guard: Any = self.app.router.dependencies[0].dependency
        settings: JWTSettings = guard.settings
        return settings

    def of(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """What a connection receives and sends: it is closed once its token is not accepted.

        Its token is the one of the last message to which AgentOS has answered `authenticated`.
        """
        current: str | None = None
        offered: str | None = None  # empty for a service account, which agno alone checks

        async def receive_verified() -> Message:
            nonlocal offered
            message = await receive()
            offered = await self.verify(message)
            if offered is None and current and message["type"] == "websocket.receive":
                try:
                    await verified_principal(current, self.settings)
                except AuthError as error:
                    code = _TRY_AGAIN if isinstance(error, KeysUnavailableError) else _REFUSED
                    await send({"type": "websocket.close", "code": code})
                    return {"type": "websocket.disconnect", "code": code}
            return message

        async def send_observed(message: Message) -> None:
            nonlocal current
            if offered is not None and _members(message).get("event") == "authenticated":
                current = offered
            await send(message)

        return receive_verified, send_observed

    async def verify(self, message: Message) -> str | None:
        """Verify the token of a message that authenticates; `None` if it does not, or is not valid.

        It is empty for a service account.
        """
        self._last.set(None)
        sent = _members(message)
        token = sent.get("token")
        if sent.get("action") != "authenticate" or not isinstance(token, str):
            return None
        if token.startswith(TOKEN_PREFIX):
            return ""
        try:
            principal = await verified_principal(token, self.settings)
        except AuthError as error:
            self._last.set((token, error))
            return None
        payload = _Payload(principal.claims)
        payload.principal = principal
        self._last.set((token, payload))
        return token

    def validate_token(self, token: str, _: object = None) -> dict[str, Any]:
        """The claims of the token of the last message.

        Raises:
            AuthError: it is not valid, or another one.
        """
        known, found = self._last.get() or (None, None)
        if isinstance(found, AuthError):
            raise found
        if known != token or found is None:
            raise InvalidTokenError(Reason.MISSING, "it did not come with the last message")
        return found

    def extract_claims(self, payload: _Payload) -> dict[str, Any]:
        """The user, the session, the scopes and the audience in what `validate_token` gave."""
        state, claims = payload.principal.fixed_state, payload.principal.claims
        found = {name: state[name] for name in ("user_id", "session_id")}
        scopes = _agno_scopes(self.settings, self.app.state, claims.view(), state["scopes"])
        return {**found, "scopes": scopes, "audience": claims.aud}


class _OwnState:
    """What is known of one request is not known of a part of it, nor in another AgentOS.

    Around all middleware, because agno keeps the state of a request before it knows the user.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _BEFORE in scope:  # a part of another request, or an AgentOS in another one
            scope["state"] = dict(scope[_BEFORE])
            for name in (_ACCEPTED, _ROOT):
                scope.pop(name, None)
        else:
            scope[_BEFORE] = dict(scope.get("state", {}))
        await self._app(scope, receive, send)


class _AgnoMiddleware:
    """In place of agno's middleware: it sees what is no JWT, service accounts and the scheduler."""

    def __init__(self, app: ASGIApp, agno: Middleware, tokens: _SocketTokens) -> None:
        self._app, self._tokens = app, tokens
        self._agno: ASGIApp = agno.cls(self._authenticated, *agno.args, **agno.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"].endswith("\n"):
                # Starlette's templates match in front of a line break at the end, agno's do not.
                await Response(status_code=404)(scope, receive, send)
                return
            if self._is_agnos(scope):
                # In a state in which only this agno has said something.
                await self._agno({**scope, "state": {}, _SENT: scope}, receive, _challenging(send))
                return
        elif scope["type"] == "websocket" and scope["path"].endswith(_SOCKET):
            receive, send = self._tokens.of(receive, send)
        await self._app(scope, receive, send)

    def _is_agnos(self, scope: Scope) -> bool:
        """Whether the one credential of a request is a service account's or the scheduler's."""
        sent = Headers(scope=scope).getlist("authorization")
        scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        internal = getattr(self._tokens.app.state, "internal_service_token", None) or ""
        is_theirs = scheme.lower() == "bearer" and (
            token.startswith(TOKEN_PREFIX)
            or (bool(internal) and compare_digest(token.encode(), internal.encode()))
        )
        if not is_theirs:
            return False
        try:
            return sent_token(HTTPConnection(scope), self._tokens.settings) == token
        except AuthError:  # the guard finds no token either, or refuses the request
            return True

    async def _authenticated(self, passed: Scope, receive: Receive, send: Send) -> None:
        """Serve what agno let pass, as authenticated where it did that.

        Where it was told to leave a path open, it has looked at nothing.
        """
        state, scope = passed["state"], passed[_SENT]
        is_known = state.get("service_account_name") or state.get("is_internal_service")
        method, path = scope["method"], _route_path(scope)
        # agno has no scopes for HEAD, and compares the rest with its mappings as it is written.
        is_decided = method.isupper() and method != "HEAD" and path == _normal(path)
        if is_known and is_decided:
            scope[_ACCEPTED] = _request_of(scope), state
        await self._app(scope, receive, send)


def _request_of(scope: Scope) -> tuple[Any, ...]:
    """What agno has decided about: a scope with another path, in itself or by its root, is not."""
    return scope["method"], _route_path(scope), Headers(scope=scope).getlist("authorization")


def _accepted_by_agno(scope: Scope) -> dict[str, Any] | None:
    """What agno says of the service account or the scheduler; `None` if it let none pass."""
    accepted: tuple[Any, dict[str, Any]] | None = scope.get(_ACCEPTED)
    if accepted is None:
        return None
    request, state = accepted
    return state if request == _request_of(scope) else None


class _AgnoCredential:
    """The second credential of the guard: what agno's middleware has let pass.

    What the settings say of tokens, which claims hold what for instance, does not apply to it.
    """

    def __repr__(self) -> str:
        return "a service account of agno"

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        agnos = _accepted_by_agno(connection.scope)
        if agnos is None:
            return None
        claims = Claims({"sub": agnos["user_id"], "scopes": [*agnos["scopes"]]})
        settings = await settings_for(connection)
        sent = connection.headers["authorization"].partition(" ")[2]
        principal = Principal(claims, _settings_of_accounts(settings.admin_scope), token=sent)
        if settings.revocations is not None:
            await refuse_revoked(settings.revocations, principal.revocable())
        return principal


@cache
def _settings_of_accounts(admin_scope: str | None) -> IssuerSettings:
    return IssuerSettings(
        secret_key=secrets.token_urlsafe(64),  # which verifies nothing
        scopes_claim="scopes",
        admin_scope=admin_scope,
    )


def _challenging(send: Send) -> Send:
    """Add the challenge that a 401 has to carry (RFC 6750 §3): agno sends none."""

    async def send_with_challenge(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == _UNAUTHORIZED:
            MutableHeaders(scope=message).setdefault("WWW-Authenticate", _CHALLENGE)
        await send(message)

    return send_with_challenge


def _try_out() -> None:
    """Try agno's rules.

    Raises:
        ConfigurationError: they decide otherwise than this module relies on.
    """
    rules = {"GET /agents": ["agents:read"], "POST /agents/*/runs": ["agents:run"]}
    run, listing = ("POST", "/agents/a/runs"), ("GET", "/agents")
    decided = [
        check_route_scopes(["agents:a:run"], rules, *run).allowed,
        check_route_scopes(["root"], rules, *run, admin_scope="root").allowed,
        not check_route_scopes(["agents:b:run"], rules, *run).allowed,
        not check_route_scopes([], rules, *run).allowed,
        check_route_scopes(["agents:a:read"], rules, *listing).accessible_resource_ids == {"a"},
        all(map(is_reserved_principal, ("sa:a", "__scheduler__"))),
        not is_reserved_principal("a"),
    ]
    if not all(decided):
        raise _unknown("its rules for scopes decide otherwise")


def _unknown(why: str) -> ConfigurationError:
    return ConfigurationError(
        "unknown_agno",
        f"This agno is not one that jwt-deps knows ({why}), and an AgentOS could let in what it "
        "should refuse: install a release of jwt-deps that knows it, or an older agno.",
    )
