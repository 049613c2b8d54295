"""FastAPI dependencies for JWT access tokens: composable callables instead of a middleware."""

from .errors import (
    AuthError,
    ClaimError,
    ConfigurationError,
    ConfirmationError,
    CrossSiteRequestError,
    DPoPNonceError,
    DPoPProofError,
    ExpiredTokenError,
    InsufficientAuthenticationError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    JWTDepsError,
    KeysUnavailableError,
    MalformedTokenError,
    MissingTokenError,
    Reason,
    ReplaysUnavailableError,
    RevocationUnavailableError,
    RevokedTokenError,
    SignatureError,
    Step,
    UnknownKeyError,
)
from .keys.lifetime import JWKSCacheSettings
from .keys.provider import KeyHealth
from .possession.policy import ClientCertificate, DPoPMode
from .possession.redis_replay_store import RedisReplayStore
from .possession.replay_store import MemoryReplayStore, ReplayStore, StoreUnavailableError
from .revocation import (
    AnyRevocation,
    MemoryRevocations,
    RedisRevocations,
    RevocationHealth,
    RevocationSource,
    StatusLists,
    WhenStale,
)
from .settings.environment import get_settings
from .settings.issuer import IssuerSettings
from .settings.mcp import mcp_settings
from .settings.service import JWTSettings, TokenSource
from .tokens.claims import Claims
from .tokens.issue import create_access_token
from .web.caller import get_claims, get_token
from .web.cookies import clear_token_cookie, set_token_cookie
from .web.dependencies import (
    CurrentUser,
    SessionState,
    claims_as,
    current_session_id,
    current_user_id,
    get_dependencies,
    get_scopes,
    get_session_state,
    optional,
    require_acr,
    require_any_scope,
    require_scopes,
)
from .web.installation import protect
from .web.resource_metadata import mount_resource_metadata
from .web.router import ProtectedRouter, jwt_guard, protected_router, public

__all__ = [
    "AnyRevocation",
    "AuthError",
    "ClaimError",
    "Claims",
    "ClientCertificate",
    "ConfigurationError",
    "ConfirmationError",
    "CrossSiteRequestError",
    "CurrentUser",
    "DPoPMode",
    "DPoPNonceError",
    "DPoPProofError",
    "ExpiredTokenError",
    "InsufficientAuthenticationError",
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
    "MemoryReplayStore",
    "MemoryRevocations",
    "MissingTokenError",
    "ProtectedRouter",
    "Reason",
    "RedisReplayStore",
    "RedisRevocations",
    "ReplayStore",
    "ReplaysUnavailableError",
    "RevocationHealth",
    "RevocationSource",
    "RevocationUnavailableError",
    "RevokedTokenError",
    "SessionState",
    "SignatureError",
    "StatusLists",
    "Step",
    "StoreUnavailableError",
    "TokenSource",
    "UnknownKeyError",
    "WhenStale",
    "claims_as",
    "clear_token_cookie",
    "create_access_token",
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
    "protect",
    "protected_router",
    "public",
    "require_acr",
    "require_any_scope",
    "require_scopes",
    "set_token_cookie",
]
