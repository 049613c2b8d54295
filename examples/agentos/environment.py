"""Whose are the `JWT_*` variables? This package's; AgentOS must not act on those it knows too."""

import os

from jwt_deps import JWTSettings, get_settings

__all__ = ["settings_from_environment"]


def settings_from_environment() -> JWTSettings:
    """Read the settings, then hide the variables that make AgentOS bring its own middleware.

    `JWT_JWKS_FILE` has the same name there, `JWT_VERIFICATION_KEY` configures only that
    middleware. To be called before an `AgentOS` is built.

    Raises:
        ConfigurationError: the environment holds no configuration that can work.
    """
    settings = get_settings()
    for name in ("JWT_JWKS_FILE", "JWT_VERIFICATION_KEY"):
        os.environ.pop(name, None)
    return settings
