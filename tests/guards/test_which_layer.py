"""Which layer answers, and with what: behind each is another one, which would refuse as well."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.security import SecurityScopes
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Match, Mount, Route
from starlette.types import Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    jwt_guard,
    protect,
    protected_router,
    require_scopes,
)
from tests.web.serving import SETTINGS, bearer, including, live_mounts, live_routes

from .asking import (
    GOOD,
    INSIDE,
    Answer,
    Homemade,
    filled,
    page,
    plain,
    read,
    send_request,
    talk,
)

SCOPED = bearer(scope="a")


def told(app: Any, path: str, *headers: dict[str, str]) -> list[Answer]:
    """What requests are answered, or with which reason they are refused: without a token first."""
    found: list[Answer] = []
    for one in headers or ({}, GOOD):
        try:
            found.append(send_request(app, "GET", path, one)[0])
        except ConfigurationError as error:
            found.append(error.reason)
    return found


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(INSIDE)(scope, receive, send)


def with_handle(router: APIRouter) -> APIRouter:
    """Let each of its routes have a `handle` of its own, on the instance."""
    for route in filled(router).routes:
        vars(route)["handle"] = serve
    return router


def with_default(router: APIRouter) -> APIRouter:
    router.default = page()
    return router


def with_unknown(router: APIRouter) -> APIRouter:
    router.routes.append(Homemade())
    return router


def with_mount(kind: type[Mount], router: APIRouter) -> APIRouter:
    router.routes.append(kind("", app=page()))
    return router


class OwnHandle(Mount):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(scope, receive, send)


class OwnMatches(Mount):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope)


class OwnMatchesOfARoute(Route):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope)


#: What cannot be guarded, and with which reason.
STRANGE: dict[str, tuple[Callable[[APIRouter], APIRouter], str]] = {
    "a-handle": (with_handle, "route_class"),
    "a-default": (with_default, "default_application"),
    "an-unknown-kind": (with_unknown, "route_class"),
    "a-mount-that-handles": (partial(with_mount, OwnHandle), "route_class"),
    "a-mount-that-matches": (partial(with_mount, OwnMatches), "route_class"),
}
strange = pytest.mark.parametrize(
    ("fill", "reason"), [pytest.param(*row, id=name) for name, row in STRANGE.items()]
)


@strange
def test_what_cannot_be_guarded_is_refused_before_it_is_asked(
    fill: Callable[[APIRouter], APIRouter], reason: str
) -> None:
    """In the application itself, and with a sentence that says why."""
    app = protect(FastAPI(), SETTINGS)
    fill(app.router)

    assert [reason, reason] == told(app, "/api")


@strange
@live_mounts
def test_below_a_guarded_mount_the_mount_is_guarded(
    fill: Callable[[APIRouter], APIRouter],
    reason: str,  # noqa: ARG001
) -> None:
    """What nothing else applies to may be of any kind."""
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", fill(APIRouter()))

    assert [401, 200] == told(app, "/m/api")


@strange
@live_mounts
def test_a_dependency_of_the_router_below_it_is_not_lost(
    fill: Callable[[APIRouter], APIRouter], reason: str
) -> None:
    """So there it is refused again."""
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", fill(APIRouter(dependencies=[Depends(require_scopes("a"))])))

    assert [reason, reason] == told(app, "/m/api")


@pytest.mark.parametrize(
    "fill",
    [
        pytest.param(partial(with_mount, Mount), id="a-mount"),
        pytest.param(partial(with_mount, type("Named", (Mount,), {})), id="a-kind-of-mount"),
    ],
)
def test_a_mount_of_a_class_that_serves_as_starlettes_does(
    fill: Callable[[APIRouter], APIRouter],
) -> None:
    app = protect(FastAPI(), SETTINGS)
    fill(app.router)

    assert [401, 200] == told(app, "/api")


def test_a_plain_route_may_match_in_a_way_of_its_own() -> None:
    """It serves its endpoint all the same."""
    app = protect(FastAPI(), SETTINGS)
    app.router.routes.append(OwnMatchesOfARoute("/api", plain))

    assert [401, 200] == told(app, "/api")


class TestAGuardThatIsTakenOffTheList:
    """FastAPI's list of dependencies is for routes that come later."""

    def test_of_an_application(self) -> None:
        app = filled(protect(FastAPI(), SETTINGS))
        app.router.dependencies.clear()

        assert [401, 200] == told(app, "/plain")
        assert [401, 200] == told(app, "/api")

    @live_routes
    def test_of_a_router(self) -> None:
        """Up to FastAPI 0.136 its inclusion copies what applies to the routes by then."""
        router = filled(protected_router(settings=SETTINGS))
        router.dependencies.clear()
        app = including(router)

        assert [401, 200] == told(app, "/plain")

    @live_routes
    def test_a_route_that_comes_after_it(self) -> None:
        app = protect(FastAPI(), SETTINGS)
        app.router.dependencies.clear()
        app.get("/api")(read)

        assert ["unguarded_route"] * 2 == told(app, "/api")


async def marked(_: SecurityScopes) -> None:
    """Be a dependency with scopes."""


@pytest.mark.parametrize("scope", ["a", "b"])
def test_scopes_of_a_requirement_count(scope: str) -> None:
    """A ready-made route that asks the same dependency for other scopes lacks the requirement."""
    guard = Depends(jwt_guard(SETTINGS))
    wanted = Security(marked, scopes=["a"])
    routes = [APIRoute("/api", read, dependencies=[guard, Security(marked, scopes=[scope])])]
    app = FastAPI(dependencies=[guard, wanted])
    app.router.routes.extend(routes)

    assert ([401, 200] if scope == "a" else ["unguarded_route"] * 2) == told(app, "/api")


class TestAMereGuard:
    """It looks at its application from the first request on that it is asked for."""

    @pytest.mark.parametrize(
        ("add", "reason"),
        [
            pytest.param(lambda app: app.add_route("/p", plain), "unprotected_route", id="plain"),
            pytest.param(lambda app: app.mount("/p", page()), "unprotected_route", id="mount"),
            pytest.param(
                lambda app: app.router.routes.append(Host("a.test", page())),
                "unprotected_route",
                id="host",
            ),
            pytest.param(lambda app: with_default(app.router), "default_application", id="default"),
            pytest.param(
                lambda app: app.router.routes.append(APIRoute("/p", read)),
                "unguarded_route",
                id="route",
            ),
            pytest.param(
                lambda app: app.router.routes.append(APIWebSocketRoute("/p", talk)),
                "unguarded_route",
                id="websocket",
            ),
        ],
    )
    def test_what_it_does_not_cover(self, add: Callable[[FastAPI], Any], reason: str) -> None:
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
        app.get("/api")(read)
        assert [401, 200] == told(app, "/api")
        add(app)

        assert [reason, reason] == told(app, "/api")

    def test_the_pages_of_fastapi_are_no_hole(self) -> None:
        """Those of the application itself; in another router they are plain routes."""
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
        app.get("/api")(read)
        assert [401, 200] == told(app, "/api")
        assert [200, 200] == told(app, "/docs")

    @live_routes
    def test_a_protected_router_looks_at_its_own_routes(self) -> None:
        """They are not looked at twice."""
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
        app.get("/api")(read)
        app.include_router(filled(protected_router(settings=SETTINGS, prefix="/r")))

        assert [[401, 200]] * 3 == [told(app, it) for it in ("/api", "/r/api", "/plain")]
