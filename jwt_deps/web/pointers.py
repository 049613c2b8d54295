"""What does a challenge say besides the error? Where the resource is described, and its scopes."""

from collections.abc import Iterator
from typing import Any

from fastapi.params import Security
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from jwt_deps.errors import AuthError
from jwt_deps.settings.service import JWTSettings

from ._fastapi import dependants, scopes_at
from .explained import explaining
from .responses import Pointer, is_scope, refusal
from .routing import Match

__all__ = ["REFUSALS", "pointer_to", "refusal_under", "scopes_of"]

#: Where a scope has a list for the refusals that are made for it: `jwt_deps.audit` gives one.
REFUSALS = "jwt_deps.refusals"


def scopes_of(match: Match) -> list[str]:
    """Every scope that a route asks for, in the order declared, once or more often."""
    return list(_asked(match))


def _asked(match: Match) -> Iterator[str]:
    for node in dependants(match.dependant) if match.dependant is not None else ():
        yield from scopes_at(node)
        yield from _own(node.call)
    for depends in match.dependencies:
        if isinstance(depends, Security):
            yield from depends.scopes or ()
        yield from _own(depends.dependency)


def _own(call: Any) -> tuple[str, ...]:
    """The scopes that a dependency of this package needs by itself."""
    scopes = getattr(call, "scopes", ()) if isinstance(call, SecurityBase) else ()
    return scopes if isinstance(scopes, tuple) else ()


def refusal_under(
    settings: JWTSettings, error: AuthError, connection: HTTPConnection, match: Match
) -> Exception:
    """The exception that answers for an error as settings have it, on the matched route."""
    if REFUSALS in connection.scope:
        connection.scope[REFUSALS].append(error)
    if settings.explain:
        explaining(connection.scope)
    pointer = pointer_to(settings, match) if settings.resource else None
    return refusal(
        error, connection, explained=settings.explain, pointer=pointer, senders=settings.senders
    )


def pointer_to(settings: JWTSettings, match: Match) -> Pointer:
    """The parameters for the challenges of a route, made once for it.

    Clients ask for the scopes that a challenge names (MCP, "Scope Selection Strategy"), so they
    are those of the route, not all that the service has.
    """
    url = str(settings.metadata_url)
    known: Pointer | None = match.pointers.get(url)
    if known is None:
        metadata = f', resource_metadata="{url}"'
        scopes = " ".join(dict.fromkeys(filter(is_scope, scopes_of(match))))
        known = Pointer(metadata, f', scope="{scopes}"{metadata}' if scopes else metadata)
        match.pointers[url] = known
    return known
