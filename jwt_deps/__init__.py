"""FastAPI dependencies for JWT access tokens: composable callables instead of a middleware."""

from .applications import extend_fastapi
from .claims import Claims
from .cookies import clear_token_cookie, set_token_cookie
from .credentials import get_claims, get_token
from .dependencies import (
    claims_as,
    current_session_id,
    current_user_id,
    get_dependencies,
    get_scopes,
    get_session_state,
    optional,
    require_any_scope,
    require_scopes,
)
from .environment import get_settings
from .errors import (
    AuthError,
    ClaimError,
    ConfigurationError,
    CrossSiteRequestError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    JWTDepsError,
    KeysUnavailableError,
    MalformedTokenError,
    MissingTokenError,
    Reason,
    SignatureError,
    Step,
    UnknownKeyError,
)
from .freshness import JWKSCacheSettings
from .identities import CurrentUser, SessionState
from .issuers import IssuerSettings
from .mcp import mcp_settings
from .published import KeyHealth
from .resource_metadata import mount_resource_metadata
from .router import jwt_guard, protected_router, public
from .settings import JWTSettings, TokenSource

__all__ = [
    "AuthError",
    "ClaimError",
    "Claims",
    "ConfigurationError",
    "CrossSiteRequestError",
    "CurrentUser",
    "ExpiredTokenError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "InvalidTokenError",
    "IssuerSettings",
    "JWKSCacheSettings",
    "JWTDepsError",
    "JWTSettings",
    "KeyHealth",
    "KeysUnavailableError",
    "MalformedTokenError",
    "MissingTokenError",
    "Reason",
    "SessionState",
    "SignatureError",
    "Step",
    "TokenSource",
    "UnknownKeyError",
    "claims_as",
    "clear_token_cookie",
    "current_session_id",
    "current_user_id",
    "get_claims",
    "get_dependencies",
    "get_scopes",
    "get_session_state",
    "get_settings",
    "get_token",
    "jwt_guard",
    "mcp_settings",
    "mount_resource_metadata",
    "optional",
    "protected_router",
    "public",
    "require_any_scope",
    "require_scopes",
    "set_token_cookie",
]

extend_fastapi()
