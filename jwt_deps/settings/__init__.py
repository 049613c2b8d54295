"""What an operator writes: the settings, from code and from the environment."""

from .env_values import NoneOrSeveral, as_tuple
from .environment import get_settings, is_variable
from .issuer import IssuerSettings
from .mcp import mcp_settings
from .path_patterns import PathPatterns, split_exclusions
from .resource import WELL_KNOWN
from .service import JWTSettings, KeylessSettings, TokenSource

__all__ = [
    "WELL_KNOWN",
    "IssuerSettings",
    "JWTSettings",
    "KeylessSettings",
    "NoneOrSeveral",
    "PathPatterns",
    "TokenSource",
    "as_tuple",
    "get_settings",
    "is_variable",
    "mcp_settings",
    "split_exclusions",
]
