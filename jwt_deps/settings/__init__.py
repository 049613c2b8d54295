"""What an operator writes: the settings, from code and from the environment."""

from .env_values import (
    HEADER_NAME,
    PREFIX,
    NoneOrSeveral,
    as_tuple,
    is_variable,
    read_secret,
    with_prefix,
)
from .issuer import IssuerSettings
from .issuer_policy import IssuerPolicy
from .issuers import AcceptedIssuer, AcceptedIssuers, UserPrefix
from .key_sources import shared_secrets
from .mcp import mcp_settings
from .path_patterns import PathPatterns, expression_of, split_exclusions
from .resource import WELL_KNOWN
from .server import ResourceServer
from .service import JWTSettings, TokenSource, get_settings, settings_without_keys
from .tenants import EntraTenants

__all__ = [
    "HEADER_NAME",
    "PREFIX",
    "WELL_KNOWN",
    "AcceptedIssuer",
    "AcceptedIssuers",
    "EntraTenants",
    "IssuerPolicy",
    "IssuerSettings",
    "JWTSettings",
    "NoneOrSeveral",
    "PathPatterns",
    "ResourceServer",
    "TokenSource",
    "UserPrefix",
    "as_tuple",
    "expression_of",
    "get_settings",
    "is_variable",
    "mcp_settings",
    "read_secret",
    "settings_without_keys",
    "shared_secrets",
    "split_exclusions",
    "with_prefix",
]
