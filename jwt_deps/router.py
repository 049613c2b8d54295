"""How is a whole router protected? `protected_router`, `jwt_guard` and the mark `public`."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fastapi import APIRouter, Depends

from .errors import ConfigurationError
from .gaps import close_gaps
from .guards import JWTGuard
from .routes import mark_public
from .settings import JWTSettings

__all__ = ["jwt_guard", "protected_router", "public"]

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])


def protected_router(
    *routers: APIRouter,
    settings: JWTSettings | None = None,
    exclude: Iterable[str | Callable[..., Any]] = (),
    **apirouter_options: Any,
) -> APIRouter:
    """Make a router whose routes need a token, unless they are excluded.

    With routers given it contains them, with none it is a router to decorate; both may be mixed,
    and routes added to any of them later are guarded too. Excluded is an endpoint marked
    `@public`, an endpoint listed in `exclude`, or a route whose whole template, prefixes included,
    matches a pattern in `exclude` or in the settings' `excluded_route_paths`.

    Args:
        *routers: the routers to contain.
        settings: what is accepted here; `None` for `get_settings`. Every dependency on these
            routes goes by it, the caller's own ones that are built on this package's too.
        exclude: endpoints and path patterns (`*` as in `fnmatch`).
        **apirouter_options: whatever `APIRouter` takes, `prefix` and `tags` for instance.

    Raises:
        ConfigurationError: something given is not a router, or holds a route that cannot be
            guarded.
    """
    guard = JWTGuard(settings, exclude)
    dependencies = [Depends(guard), *(apirouter_options.pop("dependencies", None) or ())]
    outer = APIRouter(dependencies=dependencies, **apirouter_options)
    for router in routers:
        if not isinstance(router, APIRouter):
            raise ConfigurationError(
                "not_a_router",
                f"protected_router takes APIRouter objects, not {type(router).__name__}: of an "
                "application give its .router.",
            )
        outer.include_router(router)
    close_gaps(outer)
    return outer


def jwt_guard(
    settings: JWTSettings | None = None, exclude: Iterable[str | Callable[..., Any]] = ()
) -> JWTGuard:
    """Make the guard of `protected_router` as one dependency, for a whole application.

    `FastAPI(dependencies=[Depends(jwt_guard())])`, and the same for `AgentOS(base_app=...)`. The
    pages that FastAPI adds itself, `/docs` and the schema, stay open, so that *Authorize* works;
    `FastAPI(openapi_url=None)` takes them away.

    Args:
        settings: as for `protected_router`.
        exclude: as for `protected_router`.
    """
    return JWTGuard(settings, exclude)


def public(endpoint: EndpointT) -> EndpointT:
    """Mark an endpoint as one that needs no token, above or below its route decorator.

    Raises:
        ConfigurationError: the object cannot be marked; list it in `exclude` instead.
    """
    try:
        mark_public(endpoint)
    except AttributeError as error:
        raise ConfigurationError(
            "not_markable",
            f"@public cannot mark {type(endpoint).__name__} objects: list it in exclude=[...].",
        ) from error
    return endpoint
