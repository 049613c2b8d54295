"""Plain routes that are in several places, or were made of another: what applies to each.

FastAPI runs no dependencies for them, so the wrapper around each has to know where it is served.
"""

from typing import Any
from unittest.mock import AsyncMock

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from jwt_deps import (
    ConfigurationError,
    jwt_guard,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.audit import audit
from tests.web.serving import OTHER, SETTINGS, bearer, including, live_mounts, live_routes

from .asking import FOREIGN, GOOD, INSIDE, Homemade, ask, drive, filled, plain

SCOPED = bearer(scope="a")


class TestAnExclusion:
    """It is for the route at its own template, and for no other place where its endpoint is."""

    def test_in_an_application_whose_guard_was_taken_off_the_list(self) -> None:
        """The router of the application still serves the route itself."""
        app = filled(protect(FastAPI(), SETTINGS, exclude=["/plain"]))
        app.router.dependencies.clear()

        assert [200, 401] == [ask(app, "/plain"), ask(app, "/api")]

    @live_routes
    def test_of_a_route_that_is_made_of_a_wrapped_one(self) -> None:
        """The new one has a template of its own."""
        first = protected_router(settings=SETTINGS)
        first.add_route("/plain", plain)
        app = protect(FastAPI(), SETTINGS, exclude=["/open"])
        app.add_route("/open", first.routes[0].endpoint)  # type: ignore[attr-defined]

        assert 200 == ask(app, "/open")

    @live_mounts
    def test_attack_the_endpoint_of_an_excluded_route_below_a_mount(self) -> None:
        """Its guard is asked there."""
        router = protected_router(settings=OTHER, exclude=["/plain"])
        router.add_route("/plain", plain)
        endpoint: Any = router.routes[0].endpoint  # type: ignore[attr-defined]
        app = protect(including(router), SETTINGS)
        app.mount("/m", Starlette(routes=[Route("/x", endpoint)]))

        assert 200 == ask(app, "/plain")
        assert [401, 401] == [ask(app, "/m/x", it) for it in ({}, GOOD)]

    @live_mounts
    def test_attack_the_endpoint_of_an_excluded_route_of_a_mounted_router_elsewhere(self) -> None:
        """Also in an application without a guard."""
        router = protected_router(settings=OTHER, exclude=["/plain"])
        router.add_route("/plain", plain)
        app = protect(FastAPI(), SETTINGS)
        app.mount("/m", router)
        assert 200 == ask(app, "/m/plain", GOOD)
        endpoint: Any = router.routes[0].endpoint  # type: ignore[attr-defined]
        other = FastAPI()
        other.add_route("/x", endpoint)

        assert [401, 200] == [ask(other, "/x", it) for it in ({}, FOREIGN)]

    @live_routes
    def test_attack_an_endpoint_that_runs_an_excluded_route_itself(self) -> None:
        """It is served at another template, which no exclusion is for."""
        router = protected_router(settings=SETTINGS, exclude=["/plain"])
        router.add_route("/plain", plain)
        route: Any = router.routes[0]

        @router.get("/to")
        @public
        async def to(request: Request) -> Response:
            status, body, _ = await drive(route.app, {**request.scope})
            return PlainTextResponse(body, status)

        app = including(router)

        assert [200, 401] == [ask(app, "/plain"), ask(app, "/to")]


class TestWhatAppliedToARouter:
    """Where it was included, that holds for its plain routes where it is mounted as well."""

    @live_mounts
    def test_runs_once_however_often_its_routes_were_looked_at(self) -> None:
        """A dependency without a cache, too."""
        ran: list[str] = []

        async def step() -> None:
            ran.append("ran")

        router = APIRouter()
        router.add_route("/plain", plain)
        app = protect(FastAPI(), SETTINGS)
        app.include_router(router, prefix="/in", dependencies=[Depends(step, use_cache=False)])
        for at in range(3):
            app.add_route(f"/{at}", plain)
            assert 200 == ask(app, f"/{at}", GOOD)
        app.mount("/m", router)

        assert 200 == ask(app, "/m/plain", GOOD)
        assert ["ran"] == ran

    @live_mounts
    def test_attack_one_route_in_three_routers_of_which_two_were_included_alike(self) -> None:
        """The third one is mounted too, and needs what its inclusion does."""
        route, app = Route("/plain", plain), protect(FastAPI(), SETTINGS)
        routers = [protected_router(settings=SETTINGS) for _ in range(3)]
        for at, router in enumerate(routers):
            router.routes.append(route)
            needed = [Depends(require_scopes("a"))] if at else []
            app.include_router(router, prefix=f"/{at}", dependencies=needed)
        app.mount("/m", routers[-1])

        assert [403, 200] == [ask(app, "/m/plain", it) for it in (GOOD, SCOPED)]

    @live_mounts
    def test_is_shown_by_the_audit(self) -> None:
        """Once requests were served."""
        router, app = protected_router(settings=SETTINGS), protect(FastAPI(), SETTINGS)
        router.add_route("/plain", plain)
        app.include_router(router, prefix="/in", dependencies=[Depends(require_scopes("a"))])
        app.mount("/m", router)

        assert 403 == ask(app, "/m/plain", GOOD)
        assert ("a",) in [it.scopes for it in audit(app).routes if it.path == "/m/plain"]


@live_routes
def test_one_route_in_an_application_and_in_a_router_with_another_guard_beside_its_own() -> None:
    """Each of the two serves it to the tokens of its own innermost guard."""
    route, app = Route("/x", plain), protect(FastAPI(), SETTINGS)
    router = APIRouter(dependencies=[*app.router.dependencies, Depends(jwt_guard(OTHER))])
    router.routes.append(route)
    app.include_router(router, prefix="/in")
    assert [401, 200] == [ask(app, "/in/x", it) for it in (GOOD, FOREIGN)]
    app.router.routes.append(route)

    assert [200, 401] == [ask(app, "/x", it) for it in (GOOD, FOREIGN)]


def test_an_endpoint_that_gives_another_class_than_its_own() -> None:
    """A mock does, and stands for nothing."""
    app = protect(FastAPI(), SETTINGS)
    mock = AsyncMock(spec=PlainTextResponse(), side_effect=PlainTextResponse(INSIDE).__call__)
    app.router.routes.append(Route("/x", mock))

    assert [401, 200] == [ask(app, "/x", it) for it in ({}, GOOD)]


def test_an_application_that_cannot_be_guarded_is_left_as_it_was() -> None:
    """Also its routes before the one for which it is refused."""
    app = FastAPI()
    app.add_route("/plain", plain)
    app.router.routes.append(Homemade())

    with pytest.raises(ConfigurationError, match="Homemade"):
        protect(app, SETTINGS)

    assert [200, 200] == [ask(app, "/plain"), ask(app, "/other")]
    assert plain is app.routes[-2].endpoint  # type: ignore[attr-defined]


@live_routes
def test_the_audit_shows_what_applies_to_a_shared_route_in_each_place() -> None:
    """Not what applies in the other one as well."""
    route = Route("/x", plain)
    app = protect(FastAPI(), SETTINGS)
    for name in ("a", "b"):
        router = APIRouter(dependencies=[Depends(require_scopes(name))])
        router.routes.append(route)
        app.include_router(router, prefix=f"/{name}")

    assert 200 == ask(app, "/a/x", SCOPED)
    assert 403 == ask(app, "/b/x", SCOPED)
    shown = {it.path: it.scopes for it in audit(app).routes}
    assert (("a",), ("b",)) == (shown["/a/x"], shown["/b/x"])
