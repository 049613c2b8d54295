"""What does the environment say? One configuration for the process, from its `JWT_*` variables."""

import logging
import os
import re
from functools import cache

from jwt_deps.errors import ConfigurationError

from .service import JWTSettings

__all__ = ["get_settings", "is_variable"]

logger = logging.getLogger("jwt_deps")

# `JWT_DEPS_*` is for the package's own tests and tools.
_VARIABLE = re.compile(r"JWT_(?!DEPS_)", re.IGNORECASE)
# Members of settings that are models themselves, which refuse members that do not exist.
_NESTED = re.compile(r"JWT_(?:ISSUERS|JWKS_CACHE)__", re.IGNORECASE)


def is_variable(name: str) -> bool:
    """Whether an environment variable looks like one of this package's settings."""
    return _VARIABLE.match(name) is not None


@cache
def get_settings() -> JWTSettings:
    """Read the settings from the environment, once.

    Override it with `app.dependency_overrides[get_settings]`; `get_settings.cache_clear()` makes
    the next call read again. A `JWT_*` variable that is no setting gets a warning in the log: a
    misspelt `JWT_AUDIENCES` would leave the audience unchecked.

    Raises:
        ConfigurationError: the environment holds no configuration that can work.
    """
    known = {f"JWT_{name}".upper() for name in JWTSettings.model_fields}
    unknown = [
        name
        for name in sorted(os.environ)
        if is_variable(name) and not _NESTED.match(name) and name.upper() not in known
    ]
    for name in unknown:
        logger.warning("%s is set, and is no setting of jwt-deps: is it misspelt?", name)
    try:
        return JWTSettings()
    except ConfigurationError as error:
        if not unknown:
            raise
        hint = f"{error.message} ({', '.join(unknown)} is set and is no setting: misspelt?)"
        raise ConfigurationError(error.reason, hint) from None
