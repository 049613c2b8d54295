"""Read `JWT_*` for jwt_deps and hide the variables that AgentOS reads too."""

import os

from jwt_deps import JWTSettings, get_settings

__all__ = ["settings_from_environment"]


def settings_from_environment() -> JWTSettings:
    """Read the settings, then remove the variables that make AgentOS add its own JWT middleware.

    `JWT_JWKS_FILE` has the same name in AgentOS, `JWT_VERIFICATION_KEY` is read by AgentOS alone.
    Call this before an `AgentOS` is built.

    Returns:
        The settings.

    Raises:
        ConfigurationError: the environment has no usable configuration.
    """
    settings = get_settings()
    for name in ("JWT_JWKS_FILE", "JWT_VERIFICATION_KEY"):
        os.environ.pop(name, None)
    return settings
