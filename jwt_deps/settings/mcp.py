"""Settings of a server for the Model Context Protocol, by revision 2026-07-28."""

from collections.abc import Iterator
from typing import Unpack

from jwt_deps.errors import ConfigurationError

from .env_values import with_prefix
from .keywords import JWTKeywords
from .service import JWTSettings, TokenSource


def mcp_settings(**values: Unpack[JWTKeywords]) -> JWTSettings:
    """Make the settings of a server for the Model Context Protocol, and refuse what it forbids.

    The issuer's keys are found by discovery unless keys or their address are given, here or in the
    environment. Tokens are taken only from the `Authorization` header, must be meant for this
    server, and must expire. What is not given comes from the environment, as for `JWTSettings`.

    Args:
        **values: as for `JWTSettings`; `resource` is the URL that clients connect to, without a
            trailing slash, and `issuer` the authorization server.

    Returns:
        The settings, for `protected_router` or `protect`.

    Raises:
        ConfigurationError: the settings are not those of an MCP server, or cannot work.
    """
    try:
        settings = JWTSettings(**values)
    except ConfigurationError as error:
        if error.reason != "no_key":
            raise
        values["discovery"] = True
        settings = JWTSettings(**values)
    for wrong in _forbidden(settings):
        forbidden = ConfigurationError("mcp_forbids", f"For MCP, {wrong}")
        raise with_prefix(forbidden, settings.env_prefix)
    return settings


def _forbidden(settings: JWTSettings) -> Iterator[str]:
    by_header = settings.token_source is TokenSource.HEADER
    several = settings.server.accepted.settings
    if settings.resource is None:
        yield "JWT_RESOURCE (resource) is missing: the server's URL."
    if not settings.authorization_servers:
        yield "JWT_ISSUER (issuer) has to be the https:// address of an authorization server."
    standard = settings.server.header_name == b"authorization" and settings.token_getter is None
    if not (by_header and standard):
        yield "tokens come in the Authorization header: leave the token_* settings alone."
    if not all(
        one.verify_audience and one.accepted_audiences and one.audience_claim == "aud"
        for one in several
    ):
        yield (
            "tokens name this server in `aud`: leave JWT_VERIFY_AUDIENCE (verify_audience) and "
            "JWT_AUDIENCE_CLAIM (audience_claim) alone."
        )
    if not all(one.require_exp for one in several):
        yield "tokens expire: leave JWT_REQUIRE_EXP (require_exp) alone."
    if not settings.validate:
        yield "every request needs a token: leave JWT_VALIDATE (validate) alone."
