"""FastAPI dependencies for JWT access tokens: composable callables instead of a middleware."""

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
from .freshness import JWKSCacheSettings
from .identities import CurrentUser, SessionState
from .installation import protect
from .issuers import IssuerSettings
from .mcp import mcp_settings
from .published import KeyHealth
from .redis_replays import RedisReplayStore
from .redis_revocations import RedisRevocations
from .replays import MemoryReplayStore, ReplayStore, StoreUnavailableError
from .resource_metadata import mount_resource_metadata
from .revocation import AnyRevocation, MemoryRevocations, RevocationSource
from .revocation_health import RevocationHealth, WhenStale
from .router import ProtectedRouter, jwt_guard, protected_router, public
from .senders import ClientCertificate, DPoPMode
from .settings import JWTSettings, TokenSource
from .status_lists import StatusLists
from .step_up import require_acr

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
