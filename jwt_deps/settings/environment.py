"""The configuration of the process, read from its environment once."""

import secrets
from functools import cache

from jwt_deps.errors import ConfigurationError

from .service import JWTSettings

__all__ = ["get_settings", "settings_without_keys"]


@cache
def get_settings() -> JWTSettings:
    """Read the settings from the environment, once per process.

    Override it with `app.dependency_overrides[get_settings]`; `get_settings.cache_clear()` makes
    the next call read again. A `JWT_*` variable that is not a setting gets a warning in the log: a
    misspelt `JWT_AUDIENCES` would leave the audience unchecked.

    Returns:
        The same settings each time.

    Raises:
        ConfigurationError: the environment holds no configuration that can work.
    """
    return JWTSettings()


def settings_without_keys() -> JWTSettings:
    """Read the settings of an application that replaced `get_claims`, and so verifies no token.

    Where no key is configured, a random secret takes its place, which no token is signed with.

    Raises:
        ConfigurationError: the environment holds another configuration that cannot work.
    """
    try:
        return get_settings()
    except ConfigurationError as error:
        if error.reason != "no_key":
            raise
    return JWTSettings(secret_key=secrets.token_urlsafe(64), algorithm="HS256")
