"""What an operator writes: the settings, from code and from the environment."""

from .env_values import HEADER_NAME as HEADER_NAME
from .env_values import PREFIX as PREFIX
from .env_values import NoneOrSeveral as NoneOrSeveral
from .env_values import as_tuple as as_tuple
from .env_values import is_variable as is_variable
from .env_values import read_secret as read_secret
from .env_values import with_prefix as with_prefix
from .issuer import IssuerSettings as IssuerSettings
from .issuer_policy import IssuerPolicy as IssuerPolicy
from .issuers import AcceptedIssuer as AcceptedIssuer
from .issuers import AcceptedIssuers as AcceptedIssuers
from .issuers import UserPrefix as UserPrefix
from .key_sources import shared_secrets as shared_secrets
from .mcp import mcp_settings as mcp_settings
from .path_patterns import PathPatterns as PathPatterns
from .path_patterns import expression_of as expression_of
from .path_patterns import split_exclusions as split_exclusions
from .resource import WELL_KNOWN as WELL_KNOWN
from .server import ResourceServer as ResourceServer
from .service import JWTSettings as JWTSettings
from .service import TokenSource as TokenSource
from .service import get_settings as get_settings
from .service import settings_without_keys as settings_without_keys
from .tenants import EntraTenants as EntraTenants
