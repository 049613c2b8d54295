"""What does OpenAPI say of tokens? A lock where one is needed, and nowhere else."""

import re
from collections.abc import Iterable
from inspect import iscoroutinefunction, signature
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from .credentials import TokenDependency
from .discovery import well_known_urls
from .environment import get_settings
from .errors import ConfigurationError
from .guards import asked_of, is_excluded
from .responses import DOCUMENTED_OUTAGE, DOCUMENTED_REFUSALS
from .routers import served_routes
from .routes import RouteGuard, match_of_route
from .senders import DPoPMode
from .settings import JWTSettings, TokenSource
from .step_up import RequireACR

__all__ = ["describe", "known_settings"]

# The extension of an operation that asks for more than scopes: OpenAPI itself knows nothing of it.
_FURTHER = "x-jwt-requires"

_NATIVE = "JWT"  # the name under which FastAPI itself lists the dependencies of this package

# What the name of a component cannot have (OpenAPI 3.1 §4.8.7).
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def describe(app: FastAPI, schema: dict[str, Any]) -> None:
    """Correct a freshly made schema: FastAPI cannot know which routes a guard leaves out."""
    used: dict[str, Any] = {}
    for added, route in served_routes(app.router):
        if not isinstance(added, APIRoute) or not route.include_in_schema:
            continue
        needed, schemes, scopes, refusals, further = _needs(app, route)
        item = schema.get("paths", {}).get(route.path_format, {})
        for method in route.methods or ():
            operation = item.get(method.lower())
            if operation is None:
                continue
            others = [one for one in operation.pop("security", ()) if _NATIVE not in one]
            if needed:
                used.update(schemes)
                others += [{name: scopes} for name in schemes]
                if further:
                    operation[_FURTHER] = further
                for status, refusal in refusals.items():
                    operation["responses"].setdefault(status, refusal)
            if others:
                operation["security"] = others
    _replace_schemes(schema, used)


def _replace_schemes(schema: dict[str, Any], used: dict[str, Any]) -> None:
    components = schema.setdefault("components", {})
    schemes = components.setdefault("securitySchemes", {})
    schemes.pop(_NATIVE, None)
    schemes.update(used)
    if not schemes:
        del components["securitySchemes"]
    if not components:
        del schema["components"]


def _needs(
    app: FastAPI, route: Any
) -> tuple[bool, dict[str, Any], list[str], dict[str, dict[str, Any]], dict[str, Any]]:
    match = match_of_route(route)
    guard = match.guards[-1] if match.guards else None
    settings = known_settings(app, guard)
    open_ = guard is None or guard.excludes(match)
    if settings is not None and is_excluded(match, settings):
        open_ = True
    over: tuple[Any, ...] = match.guards
    # A guard that is no guard over the route, but a parameter of its endpoint, always asks.
    asked = [
        (call, scopes)
        for call, scopes in asked_of(match)
        if not (call in over and (open_ or call is not over[-1]))
    ]
    scopes = [scope for _, scopes in asked for scope in scopes]
    fetches = settings is not None and settings.key_caches
    refusals = {**DOCUMENTED_REFUSALS, **(DOCUMENTED_OUTAGE if fetches else {})}
    further = {**_further(call for call, _ in asked), **_proofs(settings)}
    return bool(asked), _schemes(settings), list(dict.fromkeys(scopes)), refusals, further


def _further(calls: Iterable[TokenDependency[Any]]) -> dict[str, Any]:
    """What an operation needs beside scopes: how and when its user authenticated (RFC 9470)."""
    asked = [call for call in calls if isinstance(call, RequireACR)]
    levels = [list(call.acr_values) for call in asked if call.acr_values]
    ages = [call.max_age for call in asked if call.max_age is not None]
    acr = {"acr_values": levels[0] if len(levels) == 1 else levels} if levels else {}
    return {**acr, **({"max_age": min(ages)} if ages else {})}


def _proofs(settings: JWTSettings | None) -> dict[str, str]:
    """What the sender of a token has to prove (RFC 9449, RFC 8705)."""
    policy = None if settings is None else settings.senders
    if policy is None:
        return {}
    dpop = {"dpop": policy.dpop.value} if policy.with_dpop else {}
    return {**dpop, **({"client_certificate": "allowed"} if policy.with_certificates else {})}


def known_settings(app: FastAPI, guard: RouteGuard | None) -> JWTSettings | None:
    """The settings under a guard, as far as they are known before a request."""
    if guard is not None and guard.settings is not None:
        return guard.settings
    override = app.dependency_overrides.get(get_settings)
    if override is not None:
        if signature(override).parameters or iscoroutinefunction(override):
            return None  # what needs a request cannot be asked here
        try:
            found = override()
        except Exception:  # noqa: BLE001 - an override can be any code
            return None
        return found if isinstance(found, JWTSettings) else None
    try:
        return get_settings()
    except ConfigurationError:
        # A schema can be printed where there are no secrets, in a build of the docs for one.
        # Every request still raises this error.
        return None


def _schemes(settings: JWTSettings | None) -> dict[str, Any]:
    source = settings.token_source if settings is not None else TokenSource.HEADER
    schemes: dict[str, Any] = {}
    if source is not TokenSource.COOKIE:
        header = settings.token_header_key if settings is not None else "Authorization"
        if header.lower() == "authorization":
            schemes.update(_of_authorization(settings))
        else:
            schemes[f"{_NATIVE}-header-{header}"] = {
                "type": "apiKey",
                "in": "header",
                "name": header,
                "description": "`Bearer <token>`, the word included",
            }
    if settings is not None and source is not TokenSource.HEADER:
        cookie = settings.cookie_name
        schemes[f"{_NATIVE}-cookie-{cookie}"] = {"type": "apiKey", "in": "cookie", "name": cookie}
    return schemes


def _of_authorization(settings: JWTSettings | None) -> dict[str, Any]:
    policy = None if settings is None else settings.senders
    mode = DPoPMode.OFF if policy is None else policy.dpop
    schemes: dict[str, Any] = {}
    if mode is not DPoPMode.REQUIRED:
        schemes[_NATIVE] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        schemes.update(_of_discovery(settings))
    if mode is not DPoPMode.OFF:
        schemes[f"{_NATIVE}-DPoP"] = {
            "type": "http",
            "scheme": "dpop",
            "description": "`DPoP <token>`, with a proof in the header `DPoP` (RFC 9449)",
        }
    return schemes


def _of_discovery(settings: JWTSettings | None) -> dict[str, Any]:
    """Where people get a token, of issuers that publish it (OpenAPI 3.1 §4.8.27).

    The browser reads the document, not this process: a schema never waits for an issuer, is the
    same whether it is up or down, and where it is down Swagger UI offers plain bearer alone.
    """
    if settings is None:
        return {}
    issuers = [settings] if settings.issuers is None else settings.issuers.values()
    found: dict[str, Any] = {}
    for one in issuers:
        if not one.is_remote or one.jwks_url is not None:
            continue
        (issuer,) = one.accepted_issuers
        name = _NOT_IN_NAMES.sub("-", issuer.partition("://")[2].strip("/"))
        url = one.discovery_url or well_known_urls(issuer)[-1]
        found[f"{_NATIVE}-openid-{name}"] = {"type": "openIdConnect", "openIdConnectUrl": url}
    return found
