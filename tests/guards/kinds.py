"""The kinds of routes there are, and the places where a router can be guarded.

`KINDS` puts one route into a router, `PLACES` puts a router behind a guard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route
from starlette.staticfiles import StaticFiles

from jwt_deps import JWTSettings, protect, protected_router
from tests.web.serving import SETTINGS, including

from .asking import HAS_FRONTEND, INSIDE, LIVE, Answer, page, plain, read

__all__ = [
    "FEW_PLACES",
    "KINDS",
    "PLACES",
    "Kind",
    "Place",
    "Placed",
    "few_places",
    "kinds",
    "places",
]

Fill = Callable[[APIRouter], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of route.

    Attributes:
        add: puts it into a router; the folder is for files.
        path: what to ask for.
        copied: whether `include_router` of FastAPI up to 0.136 copies it.
        lost: whether it is in an included router, and not copied from there either.
    """

    add: Callable[[APIRouter, Path], Any]
    path: str = "/x"
    copied: bool = True
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A router that was put behind a guard.

    Attributes:
        app: the application to ask.
        router: the router itself, to which more can be added.
        prefix: of its paths.
        included: whether it is included anywhere, which copies it up to FastAPI 0.136.
        mounted: whether the guard stands before a mount, and answers for what is not there.
    """

    app: FastAPI
    router: APIRouter
    prefix: str = ""
    included: bool = True
    mounted: bool = False

    def expected(self, kind: Kind | None = None, *, late: bool = False) -> list[Answer]:
        """Without a token, with a bad one, with a good one: 404 where FastAPI has no such route."""
        copied = (kind is None or kind.copied) and not late
        lost = kind is not None and kind.lost
        if LIVE or (not lost and (copied or not self.included)):
            return [401, 401, 200]
        return [401, 401, 404] if self.mounted else [404, 404, 404]


Place = Callable[[Fill], Placed]


class Endpoint(HTTPEndpoint):
    async def get(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse(INSIDE)


class OwnRoute(APIRoute):
    """A route class of an application's own."""


def _files(folder: Path) -> Path:
    (folder / "index.html").write_text(INSIDE)
    (folder / "y").write_text(INSIDE)
    return folder


def _application() -> FastAPI:
    app = FastAPI()
    app.get("/y")(read)
    return app


def _own_route(router: APIRouter, _: Path) -> None:
    router.add_api_route("/x", read, route_class_override=OwnRoute)


def _nested(router: APIRouter, _: Path) -> None:
    inner = APIRouter(prefix="/x")
    inner.get("/y")(read)
    middle = APIRouter()
    middle.include_router(inner)
    router.include_router(middle)


def _nested_plain(router: APIRouter, _: Path) -> None:
    inner = APIRouter()
    inner.add_route("/y", plain)
    router.include_router(inner, prefix="/x")


def _nested_mount(router: APIRouter, _: Path) -> None:
    inner = APIRouter()
    inner.mount("/x", page())
    router.include_router(inner)


def _mount_below_mount(router: APIRouter, _: Path) -> None:
    router.routes.append(Mount("/x", routes=[Mount("/in", page())]))


def _frontend(router: APIRouter, folder: Path) -> None:
    router.frontend("/x", directory=_files(folder))


def _nested_frontend(router: APIRouter, folder: Path) -> None:
    inner = APIRouter()
    inner.frontend("/x", directory=_files(folder))
    router.include_router(inner)


KINDS = {
    "api": Kind(lambda router, _: router.get("/x")(read)),
    "api-own-class": Kind(_own_route),
    "api-nested": Kind(_nested, "/x/y"),
    "plain": Kind(lambda router, _: router.add_route("/x", plain)),
    "plain-class": Kind(lambda router, _: router.add_route("/x", Endpoint)),  # type: ignore[arg-type]
    "plain-asgi": Kind(lambda router, _: router.routes.append(Route("/x", page()))),
    "plain-nested": Kind(_nested_plain, "/x/y"),
    "mount": Kind(lambda router, _: router.mount("/x", page()), "/x/y", copied=False),
    "mount-application": Kind(
        lambda router, _: router.mount("/x", _application()), "/x/y", copied=False
    ),
    "mount-starlette": Kind(
        lambda router, _: router.mount("/x", Starlette(routes=[Route("/y", plain)])),
        "/x/y",
        copied=False,
    ),
    "mount-routes": Kind(
        lambda router, _: router.routes.append(Mount("/x", routes=[Route("/y", plain)])),
        "/x/y",
        copied=False,
    ),
    "mount-files": Kind(
        lambda router, folder: router.mount("/x", StaticFiles(directory=_files(folder))),
        "/x/y",
        copied=False,
    ),
    "mount-nested": Kind(_nested_mount, "/x/y", copied=False, lost=True),
    "mount-below-mount": Kind(_mount_below_mount, "/x/in/y", copied=False),
}
if LIVE:  # up to 0.136 `include_router` fails for a route that has no path
    KINDS["host"] = Kind(lambda router, _: router.routes.append(Host("testserver", page())))
if HAS_FRONTEND:
    KINDS["frontend"] = Kind(_frontend, "/x/")
    KINDS["frontend-nested"] = Kind(_nested_frontend, "/x/")


def in_protected(fill: Fill, settings: JWTSettings = SETTINGS) -> Placed:
    """Given to `protected_router`."""
    router = APIRouter()
    fill(router)
    app = including(protected_router(router, settings=settings))
    return Placed(app, router)


def is_protected(fill: Fill) -> Placed:
    """The protected router itself, decorated."""
    router = protected_router(settings=SETTINGS)
    fill(router)
    app = including(router)
    return Placed(app, router)


def included_in_protected(fill: Fill) -> Placed:
    router, protected = APIRouter(), protected_router(settings=SETTINGS)
    fill(router)
    protected.include_router(router, prefix="/v1")
    app = including(protected, prefix="/api")
    return Placed(app, router, "/api/v1")


def deep_in_protected(fill: Fill) -> Placed:
    """Two inclusions below the protected router, and it two inclusions below the application."""
    router, middle, outer = APIRouter(), APIRouter(), APIRouter()
    fill(router)
    middle.include_router(router, prefix="/m")
    # Not a prefix of the router itself: up to 0.136 `include_router` drops it for plain routes.
    outer.include_router(protected_router(middle, settings=SETTINGS), prefix="/p")
    app = including(outer, prefix="/o")
    return Placed(app, router, "/o/p/m")


def in_protected_in_protected(fill: Fill) -> Placed:
    """Behind two protected routers with the same settings."""
    router = APIRouter()
    fill(router)
    inner = protected_router(router, settings=SETTINGS)
    app = including(protected_router(inner, settings=SETTINGS))
    return Placed(app, router)


def protected_and_mounted(fill: Fill) -> Placed:
    """The protected router itself, mounted as an application."""
    router = protected_router(settings=SETTINGS)
    fill(router)
    app = FastAPI()
    app.mount("/m", router)
    return Placed(app, router, "/m", included=False)


def in_protected_and_mounted(fill: Fill) -> Placed:
    """Given to a protected router that is mounted as an application."""
    router = APIRouter()
    fill(router)
    app = FastAPI()
    app.mount("/m", protected_router(router, settings=SETTINGS))
    return Placed(app, router, "/m")


def in_protected_application(fill: Fill) -> Placed:
    router = APIRouter()
    fill(router)
    app = protect(FastAPI(), SETTINGS)
    app.include_router(router, prefix="/r")
    return Placed(app, router, "/r")


def in_application_protected_later(fill: Fill) -> Placed:
    router = APIRouter()
    fill(router)
    app = including(router, prefix="/r")
    return Placed(protect(app, SETTINGS), router, "/r")


def is_router_of_protected_application(fill: Fill) -> Placed:
    app = protect(FastAPI(), SETTINGS)
    fill(app.router)
    return Placed(app, app.router, included=False)


def is_router_of_application_protected_later(fill: Fill) -> Placed:
    app = FastAPI()
    fill(app.router)
    protect(app, SETTINGS)
    return Placed(app, app.router, included=False)


def mounted_in_protected_application(fill: Fill) -> Placed:
    router, app = APIRouter(), protect(FastAPI(), SETTINGS)
    fill(router)
    app.mount("/m", router)
    return Placed(app, router, "/m", included=False, mounted=True)


def application_mounted_in_protected_application(fill: Fill) -> Placed:
    inner, app = FastAPI(), protect(FastAPI(), SETTINGS)
    fill(inner.router)
    app.mount("/m", inner)
    return Placed(app, inner.router, "/m", included=False, mounted=True)


PLACES: list[Place] = [
    in_protected,
    is_protected,
    included_in_protected,
    deep_in_protected,
    in_protected_in_protected,
    protected_and_mounted,
    in_protected_and_mounted,
    in_protected_application,
    in_application_protected_later,
    is_router_of_protected_application,
    is_router_of_application_protected_later,
    mounted_in_protected_application,
    application_mounted_in_protected_application,
]

#: One place of each sort, where a table of all would show nothing new.
FEW_PLACES: list[Place] = [
    is_protected,
    included_in_protected,
    in_protected_application,
    is_router_of_application_protected_later,
]

kinds = pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=name) for name, kind in KINDS.items()]
)
places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
few_places = pytest.mark.parametrize("place", FEW_PLACES, ids=lambda place: place.__name__)
