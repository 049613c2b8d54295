"""The metadata document by which a service describes itself to clients (RFC 9728)."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from jwt_deps.errors import ConfigurationError
from jwt_deps.possession import DPoPMode, SenderPolicy
from jwt_deps.settings import WELL_KNOWN, JWTSettings, TokenSource, get_settings, with_prefix
from jwt_deps.tokens import filled_scopes

from . import _fastapi
from .installation import Installation
from .inventory import Inventory, Served
from .request_principal import token_dependency
from .routing import RouteGuard, Snapshot, mark_public

#: The path of the route where the settings are not known before a request.
ANY_METADATA = WELL_KNOWN + "{rest:path}"

_PAGES = ("resource_name", "resource_documentation", "resource_policy_uri", "resource_tos_uri")

# Any web page may read it: it is public, and a client that runs in a browser has to.
_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}
_HEADERS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=300"}


def mount_resource_metadata(app: FastAPI, settings: JWTSettings | None = None) -> None:
    """Serve the metadata document of a protected resource (RFC 9728), without a token.

    It is at `/.well-known/oauth-protected-resource`, followed by the path of the resource
    identifier, and names the issuers that are accepted and the scopes that the routes under these
    settings ask for. Every URL in it comes from the settings, none from a request.

    Args:
        app: the outermost application, because the path begins at the root of the host; with all
            of its own dependencies, those that `protect` adds too.
        settings: whose `resource` is described; `None` for `get_settings`, which is called when
            the document is requested.

    Raises:
        ConfigurationError: the settings name no `resource`, or something other than a guard
            requires a token on every route of the application.
    """
    if settings is not None and settings.resource is None:
        error = ConfigurationError(
            "resource_missing",
            "JWT_RESOURCE (resource) is missing: the URL that clients know this service by.",
        )
        raise with_prefix(error, settings.env_prefix)
    for node in _fastapi.dependants(_fastapi.dependency_tree(app.router.dependencies)):
        call = token_dependency(node.call)
        if call is not None and not isinstance(call, RouteGuard):
            raise ConfigurationError(
                "metadata_not_public",
                f"{call!r} applies to the whole application, and so to its metadata: call "
                "protect(app) instead, or give the dependency to a router.",
            )

    async def given() -> JWTSettings | None:
        return settings

    async def protected_resource_metadata(
        request: Request,
        found: Annotated[JWTSettings, Depends(given if settings is not None else get_settings)],
    ) -> Response:
        here = WELL_KNOWN + request.path_params["rest"] if settings is None else found.metadata_path
        if found.resource is None or here != found.metadata_path:
            return JSONResponse({"detail": "Not Found"}, 404, _PREFLIGHT)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        return JSONResponse(_document(request.app, found), headers=_HEADERS)

    mark_public(protected_resource_metadata)
    # What `get_settings` will say is not known yet, hence all paths that it can be.
    path = ANY_METADATA if settings is None else settings.metadata_path
    methods = ["GET", "HEAD", "OPTIONS"]
    app.add_api_route(path, protected_resource_metadata, methods=methods, include_in_schema=False)


def _document(app: FastAPI, settings: JWTSettings) -> dict[str, Any]:
    """The members of RFC 9728 §2; what would be empty is left out."""
    by_header = settings.token_source is not TokenSource.COOKIE and settings.token_getter is None
    standard = by_header and settings.server.header_name == b"authorization"
    members = {
        "resource": settings.resource,
        "authorization_servers": list(settings.authorization_servers),
        "scopes_supported": _scopes_of(app, settings),
        "bearer_methods_supported": ["header"] if standard else [],
        **{name: getattr(settings, name) for name in _PAGES},
        **_bindings(settings.server.sender_policy),
    }
    return {name: value for name, value in members.items() if value not in (None, [], False)}


def _bindings(policy: SenderPolicy | None) -> dict[str, Any]:
    """What is said of tokens that are bound to a key or a certificate (RFC 9449, RFC 8705)."""
    if policy is None:
        return {}
    return {
        "dpop_signing_alg_values_supported": list(policy.algorithms) if policy.with_dpop else [],
        "dpop_bound_access_tokens_required": policy.dpop is DPoPMode.REQUIRED,
        "tls_client_certificate_bound_access_tokens": policy.with_certificates,
    }


def _scopes_of(app: FastAPI, settings: JWTSettings) -> list[str]:
    resource = str(settings.resource)
    # Anyone may ask, and walking all routes costs more than seeing that they are the same.
    known = Installation.of(app).scopes
    if resource not in known or not known[resource][0].is_current():
        inventory = Inventory.of(app)
        asked = (
            scope
            for served in inventory.routes
            for one in (*served.mounts, served)
            for scope in _scopes_of_route(one, resource)
        )
        # Refresh tokens are between clients and issuers (MCP, "Refresh Tokens").
        names = [it for it in filled_scopes(asked, {}) if it != "offline_access"]
        seen = Snapshot()
        for router in inventory.routers:
            if isinstance(router, APIRouter):
                seen.add(router, ())
            else:  # of an application of Starlette's, an MCP server for one
                seen.add_mounted(router)
        known[resource] = seen, names
    return known[resource][1]


def _scopes_of_route(served: Served, resource: str) -> Iterator[str]:
    """The scopes that a route asks for, if tokens for this resource open it."""
    settings = served.settings
    if settings is not None and settings.resource == resource:
        for _, scopes in served.asked(is_public=False):
            yield from scopes
