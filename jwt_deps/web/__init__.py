"""FastAPI: dependencies, guards, routers, answers, OpenAPI, cookies, WebSockets."""

from ._fastapi import dependants, dependency_tree, path_parameters, unchanged
from .cookies import clear_token_cookie, set_token_cookie
from .credentials import ApiKey, Introspection
from .dependencies import (
    CurrentUser,
    SessionState,
    claims_as,
    current_client_id,
    current_session_id,
    current_user_id,
    get_dependencies,
    get_scopes,
    get_session_state,
    is_optional,
    optional,
    until_expiry,
)
from .forward_auth import forward_auth
from .guard import needs_no_token
from .installation import Installation, protect
from .inventory import WEBSOCKET, Inventory, Reached, Served
from .known_settings import settings_problem
from .plain_routes import GuardedApp
from .request_principal import (
    TokenDependency,
    get_claims,
    get_token,
    refuse_without,
    refused,
    sent_token,
    settings_for,
    token_dependency,
)
from .requirements import (
    Requirement,
    granted,
    require,
    require_acr,
    require_any_role,
    require_any_scope,
    require_claim,
    require_roles,
    require_scopes,
)
from .resource_metadata import ANY_METADATA, mount_resource_metadata
from .responses import REFUSALS
from .router import ProtectedRouter, jwt_guard, protected_router, public
from .routing import (
    MatchedRoute,
    RouteGuard,
    is_marked_public,
    mounted_apps,
    routers_of,
    same_endpoint,
)
from .start_checks import guards_in, reasons_not_to_serve, route_problems

__all__ = [
    "ANY_METADATA",
    "REFUSALS",
    "WEBSOCKET",
    "ApiKey",
    "CurrentUser",
    "GuardedApp",
    "Installation",
    "Introspection",
    "Inventory",
    "MatchedRoute",
    "ProtectedRouter",
    "Reached",
    "Requirement",
    "RouteGuard",
    "Served",
    "SessionState",
    "TokenDependency",
    "claims_as",
    "clear_token_cookie",
    "current_client_id",
    "current_session_id",
    "current_user_id",
    "dependants",
    "dependency_tree",
    "forward_auth",
    "get_claims",
    "get_dependencies",
    "get_scopes",
    "get_session_state",
    "get_token",
    "granted",
    "guards_in",
    "is_marked_public",
    "is_optional",
    "jwt_guard",
    "mount_resource_metadata",
    "mounted_apps",
    "needs_no_token",
    "optional",
    "path_parameters",
    "protect",
    "protected_router",
    "public",
    "reasons_not_to_serve",
    "refuse_without",
    "refused",
    "require",
    "require_acr",
    "require_any_role",
    "require_any_scope",
    "require_claim",
    "require_roles",
    "require_scopes",
    "route_problems",
    "routers_of",
    "same_endpoint",
    "sent_token",
    "set_token_cookie",
    "settings_for",
    "settings_problem",
    "token_dependency",
    "unchanged",
    "until_expiry",
]
