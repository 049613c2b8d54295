"""Keys that verify tokens: key sets, and keys over HTTP with discovery and a cache."""

from .cache import GRACE as GRACE
from .cache import KeyCache as KeyCache
from .discovery import well_known_urls as well_known_urls
from .files import KeyFiles as KeyFiles
from .http import HEADER_VALUE as HEADER_VALUE
from .http import Fetched as Fetched
from .http import Fetcher as Fetcher
from .http import FetchError as FetchError
from .http import host_of as host_of
from .http import is_issuer_url as is_issuer_url
from .http import is_loopback_host as is_loopback_host
from .http import origin_of_url as origin_of_url
from .http import shown as shown
from .http import split_url as split_url
from .key_set import EVERY_TENANT as EVERY_TENANT
from .key_set import TENANT_ID as TENANT_ID
from .key_set import KeySet as KeySet
from .key_set import VerificationKey as VerificationKey
from .key_set import require_asymmetric as require_asymmetric
from .lifetime import JWKSCacheSettings as JWKSCacheSettings
from .provider import HTTPKeyProvider as HTTPKeyProvider
from .provider import KeyHealth as KeyHealth
from .provider import KeySource as KeySource
from .provider import SourceKeyProvider as SourceKeyProvider
