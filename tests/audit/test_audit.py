"""The audit finds every hole, and nothing else, and the application agrees with it."""

import asyncio
import json
import warnings
from collections.abc import Callable
from contextlib import AsyncExitStack
from copy import deepcopy
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.security import APIKeyHeader
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    current_user_id,
    get_claims,
    get_settings,
    get_token,
    granted,
    jwt_guard,
    mount_resource_metadata,
    optional,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.audit import Audit, AuditedRoute, Verdict, audit, compare, probe
from jwt_deps.web.installation import Installation
from jwt_deps.web.inventory import Inventory
from jwt_deps.web.plain_routes import GuardedApp
from tests.audit.holes import (
    FRONTEND,
    GUARDED,
    HOLES,
    LIVE,
    PUBLIC,
    app,
    endpoint,
    make_app,
    page,
    user_only,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, including

live = pytest.mark.skipif(not LIVE, reason="up to 0.136 inclusions copy some kinds of routes")
frontend = pytest.mark.skipif(not FRONTEND, reason="this FastAPI has no frontend()")


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)


def named(found: Audit) -> dict[str, AuditedRoute]:
    return {f"{' '.join(route.methods)} {route.path}": route for route in found.routes}


def of(app: FastAPI, name: str, **options: Any) -> AuditedRoute:
    return named(audit(app, **options))[name]


class TestAnApplicationWithEveryHole:
    @pytest.fixture
    def found(self) -> Audit:
        return audit(app)

    def test_its_holes_are_found_and_no_others(self, found: Audit) -> None:
        """A verdict for each of them, with its grounds."""
        unguarded = {name: one.why for name, one in named(found).items() if one in found.unguarded}
        assert HOLES == unguarded
        assert not found.ok

    @pytest.mark.parametrize("name", PUBLIC)
    def test_public_is_what_is_meant_to_be(self, found: Audit, name: str) -> None:
        """And the audit tells who said so."""
        route = named(found)[name]

        assert (Verdict.PUBLIC, PUBLIC[name]) == (route.verdict, route.why)

    @pytest.mark.parametrize("name", GUARDED)
    def test_guarded_is_told_with_settings_and_scopes(self, found: Audit, name: str) -> None:
        """At any depth, late, included twice, plain, mounted."""
        route = named(found)[name]

        assert (Verdict.GUARDED, GUARDED[name]) == (
            route.verdict,
            (route.why, route.settings, route.scopes),
        )

    def test_the_application_agrees(self, found: Audit) -> None:
        """Asked without a token, every guarded route refuses."""
        asked = asyncio.run(probe(app, found))
        answers = {one.answer for one in asked.routes if one.verdict is Verdict.GUARDED}

        assert ((), {"401"}) == (asked.problems, answers)

    def test_its_message_names_each_hole(self, found: Audit) -> None:
        lines = str(found).splitlines()

        assert {f"{name} is unguarded: {why}" for name, why in HOLES.items()} == set(lines)

    def test_the_schema_is_not_kept(self) -> None:
        """A route that comes after the audit is in the document all the same."""
        fresh = make_app()
        audit(fresh)
        fresh.add_api_route("/later", endpoint())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert "/later" in fresh.openapi()["paths"]


def one_route(*dependencies: Any, guard: bool = True, **options: Any) -> FastAPI:
    """An application with the route `/x`."""
    router = APIRouter()
    router.add_api_route("/x", endpoint(), dependencies=list(dependencies))
    settings = options.pop("settings", SETTINGS)
    return including(protected_router(router, settings=settings, **options) if guard else router)


def whole_app(*dependencies: Any, kind: type[FastAPI] = FastAPI, **options: Any) -> FastAPI:
    app = kind(dependencies=list(dependencies), **options)
    app.add_api_route("/x", endpoint())
    return app


def nested(inner: Any, outer: Any) -> FastAPI:
    router = APIRouter()
    router.add_api_route("/x", endpoint())
    return including(protected_router(protected_router(router, **inner), **outer))


def replaced() -> FastAPI:
    guard = jwt_guard(SETTINGS)
    return overridden(whole_app(Depends(guard)), guard)


def overridden(app: FastAPI, dependency: Any) -> FastAPI:
    app.dependency_overrides[dependency] = lambda: "replaced"
    return app


def with_default(app: FastAPI) -> FastAPI:
    app.router.default = PlainTextResponse("whatever")
    return app


class Everything(APIRouter):
    """It answers what no route matches."""

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("whatever")(scope, receive, send)


def with_not_found(app: FastAPI) -> FastAPI:
    app.router = Everything()
    return app


LAX = JWTSettings(secret_key=SECRET, validate=False)


class Member(CurrentUser):
    """A user as an application has it."""


async def built_on_ours(user_id: Annotated[str, Depends(current_user_id)]) -> str:
    return user_id


def asking(dependency: Callable[..., Any]) -> FastAPI:
    app = FastAPI()

    @app.get("/x")
    async def read(_: Annotated[Any, Depends(dependency)]) -> str:
        return "inside"

    return app


def plain(to: Any, *paths: str) -> Any:
    """Add plain routes to a router or an application."""
    for path in paths or ("/p",):
        to.add_route(path, page)
    return to


def mounting(mounted: Any, app: FastAPI | None = None, path: str = "/m", **options: Any) -> FastAPI:
    """An application in which something is mounted."""
    app = app or FastAPI()
    app.router.routes.append(Mount(path, app=mounted, **options))
    return app


def behind(guarded: Any, **mount: Any) -> FastAPI:
    router = protected_router(**guarded) if guarded else APIRouter()
    router.routes.append(Mount("/x", app=Router(routes=[Route("/", page)]), **mount))
    return including(router)


class Passing:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, *connection: Any) -> None:
        await self.app(*connection)


class OwnStack(FastAPI):
    """An application that builds its middleware in a way of its own."""

    def build_middleware_stack(self) -> Any:
        return Passing(super().build_middleware_stack())


class PastTheRouter(FastAPI):
    """An application whose requests pass the router's own middleware by."""

    def build_middleware_stack(self) -> Any:
        return ExceptionMiddleware(self.router.app)


class OwnCall(FastAPI):
    """An application that is called in a way of its own."""

    async def __call__(self, *connection: Any) -> None:
        connection[0]["app"] = self
        async with AsyncExitStack() as stack:
            connection[0]["fastapi_middleware_astack"] = stack
            await ExceptionMiddleware(self.router.app)(*connection)


def moved_out() -> FastAPI:
    app = FastAPI()
    app.router.routes.extend(plain(protected_router(settings=SETTINGS)).routes)
    return app


def router_replaced() -> FastAPI:
    app = FastAPI()
    app.router = plain(protected_router(settings=SETTINGS))
    return app


def own_stack_below() -> FastAPI:
    inner = protect(OwnStack(), OTHER)
    app = mounting(inner, protect(FastAPI(), SETTINGS))
    inner.add_route("/p", page)
    return app


def docs_of_ones_own() -> FastAPI:
    app = FastAPI(docs_url=None)
    app.add_api_route("/docs", endpoint())
    return app


def mounted_in_itself() -> FastAPI:
    app: FastAPI = plain(protect(FastAPI(), SETTINGS))
    app.mount("/v1", app.router)
    return app


def guarded_inside(kind: Any = APIRouter, *exclude: str) -> Any:
    """A router or an application with a guard of its own."""
    return kind(dependencies=[Depends(jwt_guard(OTHER, exclude=exclude))])


def two_ways_in() -> FastAPI:
    inner = plain(guarded_inside(FastAPI))
    outer = protected_router(settings=SETTINGS)
    outer.mount("/in", inner)
    app = mounting(inner, path="/open")
    app.mount("/m", outer)
    return app


def protected_router_there() -> FastAPI:
    router = protected_router(settings=OTHER)
    router.add_api_route("/r", endpoint())
    inner = plain(guarded_inside(FastAPI))
    inner.include_router(router)
    return mounting(inner, protect(FastAPI(), SETTINGS))


def starlette_on_the_way(kind: Any, inner: Any) -> FastAPI:
    routes = [Mount("/r", app=plain(guarded_inside(inner))), Route("/p", page)]
    return mounting(kind(routes=routes), protect(FastAPI(), SETTINGS))


def app_in_a_guarded_mount(**options: Any) -> FastAPI:
    inner, outer = guarded_inside(FastAPI, "/open"), protected_router(settings=SETTINGS)
    inner.add_api_route("/open", endpoint())
    inner.add_api_route("/kept", endpoint())
    outer.routes.append(Mount("/x", app=inner, **options))
    return including(outer)


AROUND: dict[str, dict[str, Any]] = {
    "nothing": {},
    "middleware": {"middleware": [Middleware(Passing)]},
    "limit": {"max_body_size": 100},
}
GUARD, OUTER = jwt_guard(SETTINGS), jwt_guard(OTHER)
GUARDED_BY_ITS_OWN, OPEN = ("guarded", "its guard"), ("unguarded", "no guard applies to it")
BY_MOUNT = ("guarded", "the mount '/x/*' is guarded")
BY_MOUNT_M = ("guarded", "the mount '/m/*' is guarded")
#: Applications, the verdicts of routes in them with their grounds, and whether they need FastAPI
#: 0.137, since up to that inclusions copy some kinds of routes.
VERDICTS: dict[str, tuple[Callable[[], FastAPI], dict[str, tuple[str, str]]]] = {
    "protected-router": (one_route, {"GET /x": GUARDED_BY_ITS_OWN}),
    "no-guard": (lambda: one_route(guard=False), {"GET /x": OPEN}),
    "excluded": (lambda: one_route(exclude="/x"), {"GET /x": ("public", "exclude '/x'")}),
    "validate-false": (
        lambda: one_route(settings=LAX),
        {"GET /x": ("unguarded", "its guard refuses no request: JWT_VALIDATE is false")},
    ),
    "validate-false-and-scopes": (
        lambda: one_route(Depends(require_scopes("a")), settings=LAX),
        {"GET /x": ("guarded", "its own dependency require_scopes")},
    ),
    "validate-false-and-ids": (
        lambda: one_route(Depends(granted("agents", "read")), settings=LAX),
        {"GET /x": ("guarded", "its own dependency granted_ids")},
    ),
    "validate-false-and-a-subclass-of-the-user": (
        lambda: one_route(Depends(Member), settings=LAX),
        {"GET /x": ("guarded", "its own dependency Member")},
    ),
    "the-token-with-scopes": (
        lambda: one_route(Security(get_token, scopes=["a"]), guard=False),
        {"GET /x": ("guarded", "its own dependency get_token")},
    ),
    "excluded-and-asking": (
        lambda: one_route(Depends(current_user_id), exclude="/x"),
        {"GET /x": ("guarded", "its own dependency current_user_id")},
    ),
    "whole-app": (lambda: whole_app(Depends(GUARD)), {"GET /x": GUARDED_BY_ITS_OWN}),
    "whole-app-lax": (
        lambda: whole_app(Depends(jwt_guard(LAX, ["/x"]))),
        {"GET /x": ("public", "exclude '/x'")},
    ),
    "replaced": (replaced, {"GET /x": ("unguarded", "dependency_overrides replaces its guard")}),
    "the-innermost-leaves-it-out": (
        lambda: nested({"settings": SETTINGS, "exclude": "/x"}, {"settings": OTHER}),
        {"GET /x": ("public", "exclude '/x'")},
    ),
    "the-outer-one-leaves-it-out": (
        lambda: nested({"settings": SETTINGS}, {"settings": OTHER, "exclude": "/x"}),
        {"GET /x": GUARDED_BY_ITS_OWN},
    ),
    "built-on-ours": (
        lambda: asking(built_on_ours),
        {"GET /x": ("guarded", "its own dependency current_user_id")},
    ),
    "as-a-parameter": (
        lambda: asking(jwt_guard(SETTINGS)),
        {"GET /x": ("guarded", "its own dependency jwt_guard")},
    ),
    "the-token-alone": (
        lambda: asking(get_token),
        {"GET /x": ("unguarded", "get_token does not verify what it finds")},
    ),
    "optional": (
        lambda: asking(optional(current_user_id)),
        {"GET /x": ("public", "a token is optional")},
    ),
    "what-was-built-on-ours-is-replaced": (
        lambda: overridden(asking(built_on_ours), built_on_ours),
        {"GET /x": OPEN},
    ),
    "ours-is-replaced": (
        lambda: overridden(asking(current_user_id), current_user_id),
        {"GET /x": OPEN},
    ),
    "optional-with-a-credential-of-another-kind": (
        lambda: one_route(Depends(APIKeyHeader(name="X-Key", auto_error=False)), exclude="/x"),
        {"GET /x": ("public", "exclude '/x'")},
    ),
    "a-page-that-is-called-docs": (docs_of_ones_own, {"GET /docs": OPEN}),
    "a-plain-route-under-a-mere-dependency": (
        lambda: plain(FastAPI(dependencies=[Depends(current_user_id)])),
        {"GET /p": ("unguarded", "FastAPI runs no dependencies for it, so it needs a guard")},
    ),
    "a-default": (lambda: with_default(FastAPI()), {"* /*": OPEN}),
    "not-found": (lambda: with_not_found(FastAPI()), {"* /*": OPEN}),
    "not-found-mounted": (lambda: mounting(Everything()), {"* /m/*": OPEN}),
    "moved-out-of-a-protected-router": (moved_out, {"GET /p": GUARDED_BY_ITS_OWN}),
    "a-protected-application-mounted": (
        lambda: mounting(protect(plain(FastAPI(), "/p", "/o"), OTHER, exclude=["/o"])),
        {"GET /m/p": GUARDED_BY_ITS_OWN, "GET /m/o": ("public", "exclude '/o'")},
    ),
    "an-own-stack-below-a-guarded-mount": (own_stack_below, {"GET /m/p": GUARDED_BY_ITS_OWN}),
    "two-mounts-below-a-guarded-application": (
        lambda: mounting(mounting(plain(FastAPI())), protect(FastAPI(), SETTINGS)),
        {"GET /m/m/p": ("guarded", "the mount '/m/*' is guarded")},
    ),
    "a-protected-router-mounted": (
        lambda: mounting(plain(protected_router(settings=SETTINGS))),
        {"GET /m/p": GUARDED_BY_ITS_OWN},
    ),
    "a-protected-router-in-place-of-an-applications": (
        router_replaced,
        {"GET /p": GUARDED_BY_ITS_OWN},
    ),
    "its-router-mounted-in-itself": (mounted_in_itself, {"GET /v1/p": GUARDED_BY_ITS_OWN}),
    "a-router-with-a-guard-mounted": (
        lambda: mounting(one_route_of(protected_router(settings=SETTINGS))),
        {"GET /m/x": GUARDED_BY_ITS_OWN},
    ),
    "a-mere-guard-below-a-protected-application": (
        lambda: mounting(plain(guarded_inside(FastAPI)), protect(FastAPI(), SETTINGS)),
        {"GET /m/p": GUARDED_BY_ITS_OWN},
    ),
    **{
        f"{inner.__name__}-below-{kind.__name__}-of-starlettes": (
            lambda kind=kind, inner=inner: starlette_on_the_way(kind, inner),  # type: ignore[misc]
            {
                "GET /m/p": BY_MOUNT_M,
                "GET /m/r/p": GUARDED_BY_ITS_OWN,
            },
        )
        for kind in (Starlette, Router)
        for inner in (APIRouter, FastAPI)
    },
    **{
        f"a-plain-route-before-protect-{kind.__name__}": (
            lambda kind=kind: protect(plain(kind()), SETTINGS),  # type: ignore[misc]
            {"GET /p": GUARDED_BY_ITS_OWN},
        )
        for kind in (FastAPI, OwnStack, OwnCall)
    },
}
LIVE_VERDICTS: dict[str, tuple[Callable[[], FastAPI], dict[str, tuple[str, str]]]] = {
    "a-mount": (lambda: behind({}), {"GET /x/": OPEN}),
    "a-guarded-mount": (lambda: behind({"settings": SETTINGS}), {"GET /x/": BY_MOUNT}),
    "a-guarded-mount-with-middleware": (
        lambda: behind({"settings": SETTINGS}, middleware=[Middleware(Passing)]),
        {"GET /x/": BY_MOUNT},
    ),
    "an-excluded-mount": (
        lambda: behind({"settings": SETTINGS, "exclude": "/x"}),
        {"GET /x/": OPEN},
    ),
    "an-own-stack-below-a-protected-application": (
        lambda: mounting(plain(protect(OwnStack(), SETTINGS)), protect(FastAPI(), SETTINGS)),
        {"GET /m/p": GUARDED_BY_ITS_OWN},
    ),
    "two-ways-in": (
        two_ways_in,
        {"GET /open/p": GUARDED_BY_ITS_OWN, "GET /m/in/p": GUARDED_BY_ITS_OWN},
    ),
    "a-protected-router-there": (
        protected_router_there,
        {"GET /m/r": GUARDED_BY_ITS_OWN, "GET /m/p": GUARDED_BY_ITS_OWN},
    ),
    **{
        f"an-application-with-a-guard-in-a-mount-with-{name}": (
            lambda options=options: app_in_a_guarded_mount(**options),  # type: ignore[misc]
            {"GET /x/open": ("public", "exclude '/open'"), "GET /x/kept": GUARDED_BY_ITS_OWN},
        )
        for name, options in AROUND.items()
    },
    **{
        f"a-router-with-a-guard-below-a-protected-application-in-{name}": (
            lambda options=options: mounting(  # type: ignore[misc]
                plain(guarded_inside(APIRouter, "/o"), "/p", "/o"),
                protect(FastAPI(), SETTINGS),
                **options,
            ),
            {"GET /m/p": GUARDED_BY_ITS_OWN, "GET /m/o": ("public", "exclude '/o'")},
        )
        for name, options in AROUND.items()
    },
}


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        *(pytest.param(*row, id=name) for name, row in VERDICTS.items()),
        *(pytest.param(*row, id=name, marks=live) for name, row in LIVE_VERDICTS.items()),
    ],
)
def test_a_verdict_is_what_the_application_does(
    build: Callable[[], FastAPI], expected: dict[str, tuple[str, str]]
) -> None:
    """Without a token a guarded route refuses a request, and any other one accepts it."""
    app = build()
    before = audit(app)
    found = named(before)

    for name, (verdict, why) in expected.items():
        assert (verdict, why) == (found[name].verdict, found[name].why)
        with TestClient(app) as client:
            header = {"Authorization": "Bearer x"} if "get_token" in why else {}
            status = client.get(name.split()[1], headers=header).status_code
        assert (401 if verdict == "guarded" else 200) == status
        if why == "its guard" and name.startswith("GET /m/"):
            assert () == before.problems == audit(app).problems


def one_route_of(router: APIRouter) -> APIRouter:
    router.add_api_route("/x", endpoint())
    return router


def both(*over: Any, replaced: Any = None, outside: Any = None) -> FastAPI:
    """An application with a plain route `/p` and FastAPI's own `/x` under the same dependencies."""
    router = APIRouter(dependencies=list(over))
    router.add_route("/p", page)
    router.add_api_route("/x", endpoint())
    app, outer = FastAPI(), APIRouter(dependencies=[] if outside is None else [outside])
    outer.include_router(router)
    app.include_router(outer)
    app = protect(app, SETTINGS, exclude=["/p", "/x"])
    return app if replaced is None else overridden(app, replaced)


LEAVES_OUT = jwt_guard(SETTINGS, exclude=["/p", "/x"])
NEEDS_A = require_scopes("a")


async def built_on_scopes(_: Annotated[None, Depends(NEEDS_A)]) -> None:
    """Be a dependency of the application's own, with scopes inside."""


LEFT = ("exclude '/x'", None)
ASKED = [
    pytest.param(both(Depends(GUARD)), ("its guard", ()), id="a-guard"),
    pytest.param(both(), LEFT, id="the-only-guard-excludes-it"),
    pytest.param(
        both(Depends(NEEDS_A)), ("its own dependency require_scopes", ("a",)),
        id="a-dependency-where-the-guard-excludes-it",
    ),
    pytest.param(
        both(Depends(built_on_scopes)), ("its own dependency require_scopes", ("a",)),
        id="a-dependency-inside-of-another",
    ),
    pytest.param(
        both(Depends(GUARD), Depends(built_on_scopes)), ("its guard", ("a",)),
        id="a-dependency-beside-the-guard",
    ),
    pytest.param(
        both(Depends(GUARD), Depends(NEEDS_A), replaced=NEEDS_A), ("its guard", ()),
        id="a-dependency-is-replaced",
    ),
    pytest.param(
        both(Depends(GUARD), replaced=GUARD), LEFT, id="the-guard-is-replaced-and-the-next-decides"
    ),
    pytest.param(
        both(Depends(LEAVES_OUT), outside=Depends(GUARD), replaced=LEAVES_OUT), ("its guard", ()),
        id="the-guard-is-replaced-and-the-next-asks",
    ),
    pytest.param(
        both(Security(GUARD, scopes=["a"])), ("its guard", ("a",)), id="scopes-of-the-guard"
    ),
    pytest.param(
        both(Security(LEAVES_OUT, scopes=["a"])), LEFT, id="scopes-of-a-guard-that-excludes-it"
    ),
    pytest.param(
        both(Depends(GUARD), outside=Security(OUTER, scopes=["a"])), ("its guard", ("a",)),
        id="scopes-of-an-outer-guard",
    ),
    pytest.param(
        both(Depends(LEAVES_OUT), outside=Security(OUTER, scopes=["a"])),
        ("the scopes that an outer guard requires", ("a",)),
        id="scopes-where-the-inner-guard-excludes-it",
    ),
    pytest.param(
        both(Depends(GUARD), outside=Security(OUTER, scopes=["a"]), replaced=GUARD),
        ("its guard", ("a",)), id="scopes-of-an-outer-guard-that-decides",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("app", "expected"), ASKED)
@pytest.mark.parametrize("path", ["/p", "/x"])
def test_what_is_asked_of_a_request_is_what_the_application_asks(
    app: FastAPI, expected: tuple[str, Any], path: str
) -> None:
    """Requirements add up, for plain routes and for FastAPI's own in the same way."""
    if path == "/p" and not LIVE:
        pytest.skip("up to 0.136 a plain route is copied without what applies to it")
    why, scopes = expected
    route, client = of(app, f"GET {path}"), TestClient(app)
    secret = OTHER_SECRET if OUTER is route_guard(app, path) else SECRET

    statuses = [
        client.get(path, headers=headers).status_code
        for headers in ({}, bearer(secret, sub="u"), bearer(secret, sub="u", scope="a"))
    ]

    assert (why.replace("/x", path), scopes or ()) == (route.why, route.scopes)
    assert ([200] * 3 if scopes is None else [401, 403 if scopes else 200, 200]) == statuses


def route_guard(app: FastAPI, path: str) -> Any:
    return next(one.guard for one in Inventory.of(app).routes if one.path == path)


def plain_under(*over: Any) -> FastAPI:
    """An application with a plain route under dependencies, and no `protect`."""
    app, router = FastAPI(), APIRouter(dependencies=list(over))
    router.add_api_route("/x", endpoint())
    router.add_route("/p", page)
    app.include_router(router)
    return app


class TestPlainRoutesThatNothingCovers:
    SENTENCE = (
        "jwt_guard() applies to '/p', which FastAPI runs no dependencies for: call protect(app) "
        "for a whole application, or protected_router(...) for a router, which guard such routes "
        "too. More: jwt-deps explain unprotected_route"
    )
    WHY = "jwt_guard() does not cover it: protect(app) or protected_router(...) would"

    @live
    def test_a_guard_that_is_a_mere_dependency(self) -> None:
        """The plain route is open, and the first guarded request refuses to serve on."""
        app = plain_under(Depends(jwt_guard(SETTINGS)))

        found = audit(app)

        plain, own = named(found)["GET /p"], named(found)["GET /x"]
        assert (Verdict.UNGUARDED, self.WHY) == (plain.verdict, plain.why)
        assert Verdict.GUARDED is own.verdict
        assert (self.SENTENCE,) == found.problems
        assert 200 == TestClient(app).get("/p").status_code
        with pytest.raises(ConfigurationError, match="call protect"):
            TestClient(app).get("/x")

    @live
    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({}, id="nothing-around-it"),
            pytest.param({"middleware": [Middleware(Passing)]}, id="middleware"),
            pytest.param({"max_body_size": 100}, id="a-limit"),
        ],
    )
    def test_a_router_with_a_guard_that_is_mounted(self, options: dict[str, Any]) -> None:
        """Whatever is around the mount, FastAPI runs no dependencies for the plain route in it."""
        inner = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
        inner.add_route("/p", page)
        inner.add_api_route("/x", endpoint())
        app = FastAPI()
        app.router.routes.append(Mount("/m", app=inner, **options))

        found = named(audit(app))

        assert (Verdict.UNGUARDED, self.WHY) == (found["GET /m/p"].verdict, found["GET /m/p"].why)
        assert Verdict.GUARDED is found["GET /m/x"].verdict
        assert (self.SENTENCE,) == audit(app).problems
        assert 200 == TestClient(app).get("/m/p").status_code

    @live
    def test_a_requirement_where_no_guard_is_below_it(self) -> None:
        """A router can be mounted behind a guard and without one."""
        inner = APIRouter(dependencies=[Depends(require_scopes("a"))])
        outer, app = protect(FastAPI(), SETTINGS), FastAPI()
        outer.mount("/in", plain(inner))
        app.mount("/m", outer)
        app.mount("/open", inner)
        client = TestClient(app)

        statuses = [
            client.get(path, headers=bearer()).status_code for path in ("/m/in/p", "/open/p")
        ]

        assert [403, 200] == statuses
        found = named(audit(app))
        assert (Verdict.GUARDED, ("a",)) == (
            found["GET /m/in/p"].verdict,
            found["GET /m/in/p"].scopes,
        )
        assert Verdict.UNGUARDED is found["GET /open/p"].verdict

    @live
    def test_a_plain_route_that_comes_after_the_first_request(self) -> None:
        """The next request is refused, as the first one would have been."""
        router = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
        router.add_api_route("/x", endpoint())
        app = including(router)
        assert 401 == TestClient(app).get("/x").status_code
        router.add_route("/p", page)

        assert (self.SENTENCE,) == audit(app).problems
        with pytest.raises(ConfigurationError, match="call protect"):
            TestClient(app).get("/x")

    @live
    def test_in_an_application_that_mounts_another(self) -> None:
        """What is wrong with it is told, although nothing is wrong with the other."""
        app = mounting(FastAPI(), plain_under(Depends(jwt_guard(SETTINGS))))

        assert (self.SENTENCE,) == audit(app).problems

    @pytest.mark.parametrize("covered", [0, 1], ids=["covered-first", "covered-last"])
    def test_an_application_that_is_covered_on_one_of_two_ways(self, covered: int) -> None:
        """The other one is open until a request comes through the first."""
        inner, outer, app = plain(guarded_inside(FastAPI)), protect(FastAPI(), SETTINGS), FastAPI()
        outer.mount("/in", inner)
        ways = [("/open", inner), ("/m", outer)]
        for path, mounted in (ways[covered], ways[1 - covered]):
            app.mount(path, mounted)

        assert (self.SENTENCE,) == audit(app).problems
        assert 200 == TestClient(app).get("/open/p").status_code


class TestProtect:
    LATE = "not known whether protect(app) is asked, because {} builds its own middleware"

    @pytest.mark.parametrize("kind", [OwnStack, PastTheRouter, OwnCall])
    def test_a_plain_route_that_comes_later(self, kind: type[FastAPI]) -> None:
        """Whether its requests are seen is not known before the middleware is built."""
        app = protect(kind(), SETTINGS)
        app.add_route("/p", page)

        route = of(app, "GET /p")

        assert (Verdict.UNGUARDED, self.LATE.format(kind.__name__)) == (route.verdict, route.why)

    def test_middleware_that_was_built_is_looked_through(self) -> None:
        """Then it is known that requests come to the router of the application."""
        app = protect(OwnStack(), SETTINGS)
        TestClient(app).get("/docs")
        app.add_route("/p", page)

        route = of(app, "GET /p")

        assert (Verdict.GUARDED, 401) == (route.verdict, TestClient(app).get("/p").status_code)

    def test_middleware_that_passes_the_router_by(self) -> None:
        """Every answer of a route is refused, and the audit calls none guarded."""
        app = protect(PastTheRouter(), SETTINGS)
        app.add_route("/p", page)

        assert Verdict.UNGUARDED is of(app, "GET /p").verdict
        for path in ("/docs", "/p"):
            with pytest.raises(ConfigurationError, match="without calling its router"):
                TestClient(app).get(path)

    def test_a_call_that_passes_the_router_by(self) -> None:
        """The first route that the guard is asked for tells."""
        app = protect(OwnCall(), SETTINGS)
        app.get("/api")(lambda: "inside")

        with pytest.raises(ConfigurationError, match="without calling its router"):
            TestClient(app).get("/api", headers=bearer())

    @pytest.mark.parametrize("replaced", ["middleware_stack", "router"])
    def test_what_it_was_put_into_is_replaced(self, replaced: str) -> None:
        """Nothing is asked for what comes later, so nothing plain is called guarded."""
        app = FastAPI()
        app.add_route("/p", page)
        protect(app, SETTINGS)
        if replaced == "router":
            app.router = APIRouter(routes=app.router.routes)
        else:
            app.router.middleware_stack = app.router.app

        found = audit(app)

        route = named(found)["GET /p"]
        why = "what protect(app) was put into was replaced"
        assert (Verdict.UNGUARDED, why) == (route.verdict, route.why)
        assert found.problems[0].startswith("protect(app) was called, and app.router or")

    @pytest.mark.parametrize("kind", [FastAPI, APIRouter])
    def test_a_mere_guard_two_mounts_below(self, kind: Any) -> None:
        """A token for the guard of the outer mount alone is refused."""
        between = mounting(plain(guarded_inside(kind)))
        app = mounting(between, protect(FastAPI(), SETTINGS))

        route = of(app, "GET /m/m/p")

        assert GUARDED_BY_ITS_OWN == (route.verdict, route.why)
        assert 401 == TestClient(app).get("/m/m/p", headers=bearer()).status_code

    def test_the_pages_of_the_documentation_need_nothing(self) -> None:
        """What is asked of all routes is not asked of them."""
        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(require_scopes("a"))])

        assert ((), 200) == (of(app, "GET /docs").scopes, TestClient(app).get("/docs").status_code)

    @live
    def test_a_page_of_fastapi_in_a_guarded_router(self) -> None:
        """There it is guarded like any other plain route."""
        app, router = FastAPI(), protected_router(settings=SETTINGS)
        router.routes.extend(it for it in app.routes if getattr(it, "path", None) == "/docs")
        app.include_router(router)

        assert Verdict.GUARDED in [it.verdict for it in audit(app).routes if it.path == "/docs"]

    def test_what_it_was_not_put_into_is_not_replaced(self) -> None:
        """An application that has served a protected router is told of as before."""
        app = including(protected_router(settings=SETTINGS))
        app.add_route("/p", page)
        before = named(audit(app))["GET /p"]
        with TestClient(app):
            after = named(audit(app))["GET /p"]

        assert (before.verdict, before.why) == (after.verdict, after.why)

    def test_a_router_that_is_replaced_where_it_was_not_called(self) -> None:
        """There is nothing to say of `protect(app)` then."""
        app = including(protected_router(settings=SETTINGS))
        with TestClient(app):
            app.router.middleware_stack = app.router.app

        assert () == audit(app).problems


@live
class TestRequirementsAddUp:
    def test_of_routers_and_inclusions(self) -> None:
        """Each level has its own, for a plain route as for any other."""
        inner, middle = APIRouter(), APIRouter(dependencies=[Depends(require_scopes("router"))])
        inner.add_route("/p", page)
        inner.add_api_route("/x", endpoint())
        middle.include_router(inner, dependencies=[Depends(require_scopes("inclusion"))])
        app = including(protected_router(middle, settings=SETTINGS))

        found = named(audit(app))

        scopes = ("router", "inclusion")
        assert (scopes, scopes) == (found["GET /p"].scopes, found["GET /x"].scopes)

    @pytest.mark.parametrize("guarded", [protect, lambda app, _: app], ids=["guarded", "open"])
    def test_of_a_mount_and_what_is_mounted(self, guarded: Callable[..., FastAPI]) -> None:
        """A guard of the mounted application adds to them, and takes none away."""
        inner = FastAPI()
        inner.add_api_route("/x", endpoint(), dependencies=[Depends(require_scopes("inner"))])
        outer = protected_router(settings=OTHER, dependencies=[Depends(require_scopes("mount"))])
        outer.mount("/m", guarded(inner, OTHER))
        app = including(outer)

        route, client = of(app, "GET /m/x"), TestClient(app)

        assert ("guarded", ("mount", "inner")) == (route.verdict, route.scopes)
        for scope, status in (("", 403), ("inner", 403), ("mount", 403), ("mount inner", 200)):
            good = bearer(OTHER_SECRET, scope=scope)
            assert status == client.get("/m/x", headers=good).status_code

    @pytest.mark.parametrize("met", [False, True], ids=["not-met", "met"])
    def test_of_a_route_that_was_moved_in(self, *, met: bool) -> None:
        """It keeps those of the router that it was added to, before a request as after one."""
        dependencies = [[Depends(require_scopes(it))] for it in ("app", "router")]
        app = protect(FastAPI(), SETTINGS, dependencies=dependencies[0])
        router = protected_router(settings=SETTINGS, dependencies=dependencies[1])
        app.router.routes.extend(plain(router).routes)
        client = TestClient(app)
        if met:
            client.get("/docs")

        assert ("router", "app") == of(app, "GET /p").scopes
        statuses = [
            client.get("/p", headers=bearer(scope=it)).status_code
            for it in ("router", "app", "router app")
        ]
        assert [403, 403, 200] == statuses

    def test_where_the_mounted_application_excludes_a_route(self) -> None:
        """What the mount asks for is asked for all the same."""
        inner = protect(FastAPI(), SETTINGS, exclude=["/x"])
        inner.add_api_route("/x", endpoint())
        outer = protected_router(settings=SETTINGS, dependencies=[Depends(require_scopes("mount"))])
        outer.mount("/m", inner)
        app = including(outer)

        route, client = of(app, "GET /m/x"), TestClient(app)

        assert ("guarded", ("mount",)) == (route.verdict, route.scopes)
        assert "the mount '/m/*' is guarded" == route.why
        assert [401, 403] == [
            client.get("/m/x", headers=headers).status_code for headers in ({}, bearer())
        ]


@frontend
def test_frontends_of_included_routers_are_each_their_own(tmp_path: Path) -> None:
    """At every level, under the guard of that level."""
    (tmp_path / "index.html").write_text("page")
    inner, outer = APIRouter(prefix="/inner"), protected_router(settings=SETTINGS, prefix="/outer")
    inner.frontend("/a", directory=tmp_path)
    outer.frontend("/b", directory=tmp_path)
    outer.include_router(inner)
    app = including(outer)

    pages = {one.path: one.why for one in audit(app).routes if one.path.startswith("/outer")}

    assert dict.fromkeys(("/outer/inner/a/{path}", "/outer/b/{path}"), "its guard") == pages


@frontend
def test_a_frontend_under_a_mere_guard(tmp_path: Path) -> None:
    """FastAPI runs dependencies for it, whatever class its routes are of."""
    app: Any = whole_app(Depends(jwt_guard(SETTINGS)))
    app.frontend("/f", directory=tmp_path)

    assert (Verdict.GUARDED, "its guard") == ((one := of(app, "GET /f/{path}")).verdict, one.why)


def test_a_route_that_is_not_in_the_document_is_not_judged_by_it() -> None:
    """Not by what the document says of another one with its path."""
    router = protected_router(settings=SETTINGS)
    router.add_api_route("/x", endpoint())
    router.add_api_route("/x", public(endpoint()), include_in_schema=False)

    assert () == audit(including(router)).problems


def test_an_application_mounted_in_itself_is_walked_once() -> None:
    app = whole_app(Depends(jwt_guard(SETTINGS)))
    app.mount("/self", app)

    paths = [route.path for route in audit(app).routes if route.path.endswith("/x")]

    assert ["/x", "/self/x", "/self/self/x"] == paths


def test_a_route_of_an_unknown_kind_is_no_secret() -> None:
    """It is unguarded, and named by its class."""

    class Strange(BaseRoute):
        def matches(self, scope: Any) -> Any: ...

    app = FastAPI()
    app.routes.append(Strange())

    route = of(app, "* /(Strange)")

    assert (Verdict.UNGUARDED, "") == (route.verdict, route.endpoint)


def test_endpoints_are_named_by_module_and_name() -> None:
    """An object by its class."""
    app = FastAPI()
    app.add_api_route("/f", user_only)
    app.mount("/o", PlainTextResponse("x"))
    found = named(audit(app))

    assert "tests.audit.holes.user_only" == found["GET /f"].endpoint
    assert "starlette.responses.PlainTextResponse" == found["* /o/*"].endpoint


STAFF = {"issuer": "https://a.test", "audience": "api"}
WITH_A_SECRET = {**STAFF, "secret_key": SECRET}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        pytest.param(
            {"issuers": {"staff": {**STAFF, "jwks_url": "https://a.test/k"}}},
            "7 algorithms staff",
            id="issuers",
        ),
        pytest.param(
            {"issuers": {"staff": {**WITH_A_SECRET, "require_exp": False}}},
            "HS256 staff staff.require_exp=false",
            id="a-setting-of-an-issuer",
        ),
        # Another one lets other tokens in.
        pytest.param(
            {"secret_key": SECRET, "audience": ["api", "admin"]},
            "HS256 for api, admin",
            id="audience",
        ),
    ],
)
def test_settings_are_named_by_what_distinguishes_them(settings: dict[str, Any], told: str) -> None:
    """Algorithms, if they are few, issuers and audiences."""
    configured = JWTSettings(**settings, _env_prefix="JWT_DEPS_AUDIT_")

    assert f"own: {told}" == of(one_route(settings=configured), "GET /x").settings


def in_query(connection: HTTPConnection) -> str | None:
    return connection.query_params.get("token")


class Anyone:
    async def __call__(self, _: HTTPConnection) -> Claims | None: ...


@pytest.mark.parametrize(
    ("values", "told"),
    [
        pytest.param({"required_claims": ["tenant", "org.id"]}, "required_claims=tenant,org.id"),
        pytest.param({"max_token_age": 60}, "max_token_age=60.0"),
        pytest.param({"verify_audience": False}, "verify_audience=false"),
        pytest.param({"scopes_claim": "scp"}, "scopes_claim=scp"),
        pytest.param({"token_source": "both"}, "token_source=both"),
        pytest.param({"token_getter": in_query}, "token_getter=tests.audit.test_audit.in_query"),
        pytest.param({"roles_claim": "r", "admin_scope": "x"}, "roles_claim=r admin_scope=x"),
        pytest.param(
            {"token_header_key": "X-Token", "token_header_scheme": ""},
            "token_header_key=X-Token token_header_scheme=",
        ),
    ],
    ids=lambda it: next(iter(it)) if isinstance(it, dict) else "",
)
def test_settings_that_are_not_the_default_are_told(values: Any, told: str) -> None:
    """Those that decide which tokens are accepted, and what they grant."""
    settings = JWTSettings(secret_key=SECRET, **values)

    assert f"own: HS256 {told}" == of(one_route(settings=settings), "GET /x").settings


def test_another_credential_is_told_by_its_name() -> None:
    """The same in each process, so that `--against` reports no change where there is none."""

    async def by_gateway(_: HTTPConnection) -> Claims | None: ...

    told = of(one_route(credentials=[by_gateway, Anyone()]), "GET /x").settings

    assert told.endswith(
        "or tests.audit.test_audit.test_another_credential_is_told_by_its_name.<locals>.by_gateway "
        "or tests.audit.test_audit.Anyone"
    )


class TestAllowed:
    def test_a_route_may_be_open_by_name(self) -> None:
        """The audit says that it was told so; a guarded route stays guarded."""
        route = of(one_route(guard=False), "GET /x", allow=["/x"])

        assert (Verdict.PUBLIC, "allowed by name in this audit") == (route.verdict, route.why)
        assert Verdict.GUARDED is of(one_route(), "GET /x", allow=["/*"]).verdict

    def test_a_name_of_no_route_is_a_problem(self) -> None:
        found = audit(one_route(), allow=["/x", "/y"])

        assert ("The allowed path '/y' matches no route.",) == found.problems


def of_request(_: Request) -> JWTSettings:
    return SETTINGS


def document(security: Any) -> dict[str, Any]:
    """An OpenAPI document of the route `/x`."""
    locked = {} if security is None else {"security": security}
    return {"paths": {"/x": {"get": {"responses": {}, **locked}}}}


class TestProblems:
    def test_nothing_is_wrong(self) -> None:
        """Then it is well, and says so."""
        found = audit(one_route())

        assert (True, "every route is guarded or public") == (found.ok, str(found))

    def test_an_exclusion_that_matches_nothing(self) -> None:
        """All of them, not only the first."""
        found = audit(one_route(exclude=["/y", endpoint()]))

        assert 2 == len(found.problems)
        assert found.problems[0].startswith("The exclusion '/y' matches no route")
        assert found.problems[1].startswith("exclude names the endpoint 'answer'")

    @live
    def test_a_route_that_cannot_be_guarded(self) -> None:
        """The application would not start."""
        router = protected_router(settings=SETTINGS)
        app = including(router)
        router.routes.append(_StrangeRoute("/s", page))

        found = audit(app)

        assert any("cannot be guarded" in problem for problem in found.problems)
        assert Verdict.UNGUARDED is named(found)["GET /s"].verdict
        assert 500 == TestClient(app, raise_server_exceptions=False).get("/s").status_code

    def test_no_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What `excluded_route_paths` says is not known."""
        monkeypatch.delenv("JWT_SECRET_KEY")
        get_settings.cache_clear()

        found = audit(one_route(settings=None))

        assert found.problems[0].startswith("There are no usable settings: ")
        assert ("JWT_*", Verdict.GUARDED) == (
            (route := named(found)["GET /x"]).settings,
            route.verdict,
        )

    @pytest.mark.parametrize(
        "dependency",
        [
            pytest.param(require_scopes("a"), id="needs"),
            pytest.param(optional(get_claims), id="may"),
        ],
    )
    def test_no_settings_and_no_guard(
        self, dependency: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every request is an error where what asks for a token is no guard, too."""
        monkeypatch.delenv("JWT_SECRET_KEY")
        get_settings.cache_clear()
        app = whole_app(Depends(dependency))

        (problem,) = audit(app).problems

        assert problem.startswith("There are no usable settings: ")
        assert 500 == TestClient(app, raise_server_exceptions=False).get("/x").status_code

    def test_settings_that_nothing_needs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or that a guard has, or an override brings: also where one around a mount does."""
        monkeypatch.delenv("JWT_SECRET_KEY")
        get_settings.cache_clear()
        bare = whole_app(Depends(require_scopes("a")))
        app = mounting(bare, protect(FastAPI(), SETTINGS))
        app.get("/own")(user_only)
        overriding = asking(current_user_id)
        overriding.dependency_overrides[get_settings] = lambda: SETTINGS

        for one in (app, overriding, one_route(guard=False)):
            assert () == audit(one).problems

    @live
    def test_settings_of_the_application_around_a_mount(self) -> None:
        """What it replaces holds for what is mounted there without a guard of its own."""
        inner, app = one_route(guard=False), FastAPI()
        router = protected_router()
        router.mount("/m", inner)
        app.include_router(router)
        other = JWTSettings(secret_key=SECRET, audience="api")
        app.dependency_overrides[get_settings] = lambda: other

        assert "JWT_*: HS256 for api" == of(app, "GET /m/x").settings

    @pytest.mark.parametrize(
        ("dependency", "consequence"),
        [
            (get_claims, "no token is checked"),
            (get_token, "the token that is checked may not be the request's"),
        ],
    )
    def test_a_token_or_claims_that_are_replaced(self, dependency: Any, consequence: str) -> None:
        """A test's override that found its way into the application."""
        (problem,) = audit(overridden(one_route(), dependency)).problems

        assert f"dependency_overrides replaces {dependency.__name__}: {consequence}." == problem

    @pytest.mark.parametrize("below", [False, True], ids=["itself", "what depends on it"])
    def test_a_placeholder_that_asks_for_a_token(self, *, below: bool) -> None:
        """Bound where an application is composed: what that needs is looked into no further."""

        def placeholder() -> None: ...

        def bound(_: Annotated[None, Depends(require_scopes("admin"))]) -> None: ...

        app = one_route(Depends(placeholder))
        app.dependency_overrides[placeholder] = bound if below else require_scopes("admin")

        (problem,) = audit(app).problems

        assert "what its routes need is more than is shown" in problem
        assert "placeholder" in problem

    @pytest.mark.parametrize(
        ("dependency", "security", "problem"),
        [
            pytest.param(
                *(current_user_id, None),
                "OpenAPI says that GET /x needs no token, but it does.",
                id="no-lock",
            ),
            pytest.param(
                *(current_user_id, [{}, {"JWT": []}]),
                "OpenAPI says that GET /x needs no token, but it does.",
                id="an-optional-lock",
            ),
            pytest.param(
                *(optional(current_user_id), [{"JWT": []}]),
                "OpenAPI says that GET /x needs a token, but it does not.",
                id="a-lock-too-many",
            ),
            pytest.param(
                *(require_scopes("a"), [{"JWT": ["b"]}]),
                "OpenAPI lists other scopes for GET /x than it needs.",
                id="other-scopes",
            ),
        ],
    )
    def test_a_document_that_says_something_else(
        self, dependency: Any, security: Any, problem: str
    ) -> None:
        """Made by hand, or by something that replaced `app.openapi`, and corrected by no guard."""
        app = asking(dependency)
        app.openapi = lambda: document(security)  # type: ignore[method-assign]

        assert (problem,) == audit(app).problems

    def test_a_document_of_fastapis_own_lists_the_scopes_of_security_alone(self) -> None:
        """Only a guard adds those of `require_scopes` to it."""
        app, asks = asking(require_scopes("a")), Security(current_user_id, scopes=["b"])
        app.add_api_route("/y", endpoint(), dependencies=[asks, Depends(require_scopes("c"))])

        assert () == audit(app).problems

    @pytest.mark.parametrize("security", [None, [{"JWT": []}]], ids=["no-lock", "a-lock"])
    @pytest.mark.parametrize("exclude", [[], ["/x"]], ids=["guarded", "excluded"])
    @pytest.mark.parametrize("met", [False, True])
    def test_a_document_that_the_guard_corrects(
        self,
        security: Any,
        exclude: list[str],
        met: bool,  # noqa: FBT001
    ) -> None:
        """What requests get once the application serves is judged, and nothing of it is kept."""
        app, mine = one_route(exclude=exclude), document(security)
        app.openapi = lambda: mine  # type: ignore[method-assign]
        if met:
            TestClient(app).get("/x")
        before = deepcopy(mine)

        assert () == audit(app).problems
        assert met or before == mine

    def test_a_document_that_was_edited_since_the_guard_corrected_it(self) -> None:
        """Requests get what was edited, and that is judged."""
        app = one_route()
        client = TestClient(app)
        client.get("/x")
        del app.openapi()["paths"]["/x"]["get"]["security"]

        assert ("OpenAPI says that GET /x needs no token, but it does.",) == audit(app).problems
        assert "security" not in client.get("/openapi.json").json()["paths"]["/x"]["get"]

    def test_a_document_that_was_set_since_the_last_request(self) -> None:
        """Likewise one in the place where the application keeps its own."""
        app = one_route()
        TestClient(app).get("/x")
        app.openapi_schema = deepcopy(app.openapi())
        del app.openapi_schema["paths"]["/x"]["get"]["security"]

        assert () == audit(app).problems
        found = TestClient(app).get("/openapi.json").json()
        assert [{"JWT": []}] == found["paths"]["/x"]["get"]["security"]

    def test_a_document_that_was_replaced_since_the_last_request(self) -> None:
        """The next request corrects it, and what it would show is judged."""
        app = one_route()
        TestClient(app).get("/x")
        app.openapi = lambda: document(None)  # type: ignore[method-assign]

        assert () == audit(app).problems

    @pytest.mark.parametrize("guarded", [protect, lambda app, _: app], ids=["protect", "router"])
    @pytest.mark.parametrize("made", [False, True], ids=["not-made", "made"])
    @pytest.mark.parametrize("met", [False, True], ids=["not-met", "met"])
    def test_the_document_of_an_application_is_as_before(
        self,
        guarded: Any,
        made: bool,  # noqa: FBT001
        met: bool,  # noqa: FBT001
    ) -> None:
        """Whether one was made, and corrected, or not: the next request gets what it would have."""
        app = guarded(one_route(Depends(require_scopes("a"))), SETTINGS)
        if made:
            app.openapi()
        if met:
            TestClient(app).get("/openapi.json")
        kept, text = app.openapi_schema, json.dumps(app.openapi_schema)

        found = audit(app)

        assert () == found.problems
        assert (kept, text) == (app.openapi_schema, json.dumps(app.openapi_schema))
        assert kept is app.openapi_schema
        client = TestClient(app)
        client.get("/x")
        ((operation,),) = [it.values() for it in client.get("/openapi.json").json()["paths"].values()]  # fmt: skip  # noqa: E501
        assert [{"JWT": ["a"]}] == operation["security"]

    @pytest.mark.parametrize(
        ("mounted", "lacks"),
        [
            pytest.param(whole_app, True, id="nothing"),
            pytest.param(lambda: whole_app(Depends(optional(get_claims))), True, id="may"),
            pytest.param(lambda: whole_app(Depends(get_claims)), False, id="its-own-lock"),
            pytest.param(
                lambda: whole_app(Depends(APIKeyHeader(name="X-Key"))), True, id="another-lock"
            ),
            pytest.param(lambda: protect(whole_app(), SETTINGS), False, id="protected"),
            pytest.param(lambda: whole_app(openapi_url=None), False, id="no-document"),
        ],
    )
    def test_a_document_that_does_not_know_the_mount(
        self,
        mounted: Callable[[], FastAPI],
        lacks: bool,  # noqa: FBT001
    ) -> None:
        """FastAPI writes it for the mounted application alone, so it is a note and no problem."""
        inner, other = mounted(), Depends(require_scopes("other"))
        found = audit(mounting(inner, protect(FastAPI(), SETTINGS, dependencies=[other])))

        assert found.problems == ()
        assert lacks is bool(found.notes)
        if lacks:
            (note,) = found.notes
            assert note.startswith("The mount at '/m/*' asks for a token, and the OpenAPI document")

    def test_a_document_that_leaves_a_route_out_says_nothing_of_it(self) -> None:
        """Nor does an application without a document."""
        silent, without = one_route(), one_route()
        silent.openapi = dict  # type: ignore[method-assign]
        without.openapi_url = None

        assert ((), ()) == (audit(silent).problems, audit(without).problems)


def state_of(app: FastAPI) -> dict[str, Any]:
    """Every attribute of an application and of all routers, routes and mounts in it."""
    found: dict[str, Any] = {}
    waiting: list[Any] = [app]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, Starlette | Router | BaseRoute | GuardedApp | Installation | State):
            continue
        if str(id(one)) in found:
            continue
        found[str(id(one))] = {
            name: list(value) if isinstance(value, list) else value
            for name, value in vars(one).items()
        }
        for value in vars(one).values():
            waiting.extend(value if isinstance(value, list | tuple) else [value])
            waiting.extend(value.values() if isinstance(value, dict) else [])
    return found


def made_of_everything() -> FastAPI:
    return protect(make_app(), SETTINGS)


def without_protect() -> FastAPI:
    app = plain_under(Depends(jwt_guard(SETTINGS)))
    app.router.dependencies.append(Depends(jwt_guard(SETTINGS)))
    return app


class TestNothingIsChanged:
    @pytest.mark.parametrize("make", [make_app, made_of_everything, without_protect])
    @pytest.mark.parametrize("served", [False, True], ids=["not-served", "served"])
    def test_every_attribute_is_as_before(self, make: Any, served: bool) -> None:  # noqa: FBT001
        """Of the application, of its routers and routes, and of what is mounted."""
        app = make()
        if served:
            TestClient(app, raise_server_exceptions=False).get("/api/user")
        before = state_of(app)

        audit(app)

        after = state_of(app)
        assert before.keys() == after.keys()
        for one, attributes in before.items():
            assert attributes.keys() == after[one].keys()
            for name, value in attributes.items():
                assert (name, value is after[one][name] or value == after[one][name]) == (
                    name,
                    True,
                )

    def test_a_plain_route_is_as_open_as_before(self) -> None:
        app = plain_under(Depends(jwt_guard(SETTINGS)))

        audit(app)

        assert 200 == TestClient(app).get("/p").status_code

    @live
    @pytest.mark.parametrize("served", [False, True], ids=["not-served", "served"])
    def test_a_route_that_is_moved_in_by_hand_afterwards(self, served: bool) -> None:  # noqa: FBT001
        """It is met as it would have been without an audit."""
        app, router = FastAPI(), APIRouter()
        router.add_api_route("/x", endpoint())
        app.include_router(router)
        if served:
            TestClient(app).get("/x")
        audit(app)
        router.routes.append(Route("/p", page))

        assert (404 if served else 200) == TestClient(app).get("/p").status_code


@live
class TestRoutesMovedByHand:
    def test_into_a_protected_router(self) -> None:
        """A plain route is guarded, an inclusion that has no guard is a problem."""
        other, inner = APIRouter(), APIRouter()
        inner.add_api_route("/x", endpoint())
        other.add_route("/p", page)
        other.include_router(inner)
        router = protected_router(settings=SETTINGS)
        router.routes.extend(other.routes)
        app = including(router)

        found = audit(app)

        assert Verdict.GUARDED is named(found)["GET /p"].verdict
        sentence = "The route _IncludedRouter is in a guarded router and no guard applies to it"
        assert found.problems[0].startswith(sentence)
        assert 500 == TestClient(app, raise_server_exceptions=False).get("/x").status_code

    def test_into_a_router_that_was_served(self) -> None:
        """The next request meets it, and so does the audit."""
        router = protected_router(settings=SETTINGS)
        router.add_api_route("/x", endpoint())
        app = including(router)
        client = TestClient(app)
        client.get("/x")
        router.routes.append(Route("/p", page))

        route = of(app, "GET /p")

        assert Verdict.GUARDED is route.verdict
        assert 401 == client.get("/p").status_code

    def test_a_guard_that_came_after_a_route(self) -> None:
        """The route has none, and the application refuses to serve."""
        app, router = FastAPI(), APIRouter()
        router.add_api_route("/x", endpoint())
        app.include_router(router)
        app.router.dependencies.append(Depends(jwt_guard(SETTINGS)))

        found = audit(app)

        assert ["GET /x"] == [f"GET {one.path}" for one in found.unguarded]
        assert "no guard applies to it" in found.problems[0]


@live
class TestWhatCannotBeRead:
    """A FastAPI in which something that is read has changed: nothing is called guarded."""

    NOT_KNOWN = "not known: this FastAPI does not tell what applies to it"

    @pytest.fixture
    def app(self) -> FastAPI:
        router = APIRouter()
        router.add_api_route("/x", endpoint())
        router.add_route("/p", page)
        return including(protected_router(router, settings=SETTINGS))

    def test_what_an_inclusion_serves(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is one unguarded entry."""
        monkeypatch.setattr("jwt_deps.web._fastapi.candidates", lambda _: None)

        route = of(app, "* /(_IncludedRouter)")

        assert (Verdict.UNGUARDED, self.NOT_KNOWN) == (route.verdict, route.why)

    @frontend
    def test_what_its_frontend_serves(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is an unguarded entry beside the routes."""
        monkeypatch.setattr("jwt_deps.web._fastapi.included_frontends", lambda _: None)

        assert Verdict.UNGUARDED is of(app, "* /(_IncludedRouter)").verdict
        assert Verdict.GUARDED is of(app, "GET /x").verdict

    def test_what_applies_to_an_inclusion(
        self, app: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """FastAPI runs the dependencies of its own routes, those of a plain route are not known."""
        monkeypatch.setattr("jwt_deps.web._fastapi.inclusion_dependencies", lambda _: None)

        route = of(app, "GET /p")

        assert (Verdict.UNGUARDED, self.NOT_KNOWN) == (route.verdict, route.why)


class OwnHandle(APIRoute):
    """Serves its requests in a way of its own, in which FastAPI may run no dependencies."""

    async def handle(self, *connection: Any) -> None:
        await self.app(*connection)


class TestRouteClasses:
    def test_a_mounted_router_is_not_in_the_document(self) -> None:
        """That of the application describes another route with the same path."""
        app, admin = FastAPI(), APIRouter(dependencies=[Depends(current_user_id)])
        app.add_api_route("/status", endpoint())
        admin.add_api_route("/status", endpoint())
        app.mount("/admin", admin)

        assert () == audit(app).problems

    def test_a_websocket_route_with_a_handle_of_its_own(self) -> None:
        """The same for a route class that was made for WebSockets."""

        class OwnSocket(APIWebSocketRoute):
            async def handle(self, *connection: Any) -> None:
                await self.app(*connection)

        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
        applied = app.router.dependencies
        app.router.routes.append(OwnSocket("/feed", endpoint(), dependencies=applied))

        assert Verdict.UNGUARDED is of(app, "WEBSOCKET /feed").verdict

    @pytest.mark.parametrize("over", ["app", "router", "inclusion"])
    def test_a_handle_of_its_own_under_a_mere_guard(self, over: str) -> None:
        """No gate stands before it as long as the guard was not asked, so it is not guarded."""
        guard = [Depends(jwt_guard(SETTINGS))]
        router = APIRouter(route_class=OwnHandle, dependencies=guard if over == "router" else [])
        router.get("/x")(endpoint())
        app = FastAPI(dependencies=guard if over == "app" else [])
        app.include_router(router, dependencies=guard if over == "inclusion" else [])

        route = of(app, "GET /x")

        assert Verdict.UNGUARDED is route.verdict
        assert "OwnHandle are served in a way of their own" in route.why

    @pytest.mark.parametrize("over", ["protect", "protected_router"])
    @live
    def test_a_handle_of_its_own_behind_a_gate(self, over: str) -> None:
        """What it answers is refused unless the guard was asked."""
        router = APIRouter(route_class=OwnHandle)
        router.get("/x")(endpoint())
        app = FastAPI()
        if over == "protect":
            app.include_router(router)
            protect(app, SETTINGS)
        else:
            app.include_router(protected_router(router, settings=SETTINGS))

        assert Verdict.GUARDED is of(app, "GET /x").verdict

    @pytest.mark.parametrize(
        ("inner", "around", "verdict"),
        [
            pytest.param(
                lambda: protected_router(settings=OTHER),
                lambda: protect(FastAPI(), SETTINGS),
                GUARDED_BY_ITS_OWN,
                id="protected-router",
            ),
            pytest.param(
                lambda: protect(OwnStack(), OTHER),
                lambda: protect(FastAPI(), SETTINGS),
                GUARDED_BY_ITS_OWN,
                id="protected-application",
            ),
            pytest.param(
                lambda: protected_router(settings=SETTINGS),
                FastAPI,
                GUARDED_BY_ITS_OWN,
                id="protected-router-without-a-guard-around",
            ),
            # No gate there knows the guard of its router.
            pytest.param(
                FastAPI, lambda: protect(FastAPI(), SETTINGS), BY_MOUNT_M, id="guarded-mount"
            ),
            pytest.param(
                APIRouter,
                lambda: protect(FastAPI(), SETTINGS),
                BY_MOUNT_M,
                id="guarded-mount-of-a-router",
            ),
        ],
    )
    @live
    def test_a_handle_of_its_own_behind_a_gate_that_is_mounted(
        self, inner: Callable[[], Any], around: Callable[[], FastAPI], verdict: tuple[str, str]
    ) -> None:
        """It is guarded by the guard there, whatever the application around does, or by that."""
        router, within = guarded_inside(), inner()
        router.route_class = OwnHandle
        router.get("/x")(endpoint())
        within.include_router(router)

        route = of(mounting(within, around()), "GET /m/x")

        assert verdict == (route.verdict, route.why)


@live
def test_a_host_with_a_prefix() -> None:
    """The prefix is part of the path below the host."""
    router = APIRouter()
    router.routes.append(Host("a.test", Router(routes=[Route("/p", page)])))
    app = FastAPI()
    app.include_router(protected_router(router, settings=SETTINGS), prefix="/r")

    verdicts = [of(app, "GET //a.test/r/p").verdict]
    answer = TestClient(app, base_url="http://a.test").get("/r/p")
    verdicts.append(of(app, "GET //a.test/r/p").verdict)

    assert ([Verdict.GUARDED] * 2, 401) == (verdicts, answer.status_code)


@pytest.mark.parametrize("outer", [None, "a.test"], ids=["", "a-host-around"])
def test_a_host_below_a_mount(outer: str | None) -> None:
    """Requests to it have the path of the mount, also below another host."""
    inner = protect(plain(FastAPI(openapi_url=None)), SETTINGS)
    app = mounting(Router(routes=[Host("a.test", inner)]), FastAPI(openapi_url=None))
    if outer is not None:
        around = FastAPI(openapi_url=None)
        around.router.routes.append(Host(outer, app))
        app = around

    (route,) = audit(app).routes

    assert "//a.test/m/p" == route.path
    assert () == asyncio.run(probe(app, audit(app))).problems
    assert 401 == TestClient(app, base_url="http://a.test").get("/m/p").status_code


def test_a_default_application_in_a_guarded_router() -> None:
    """It is unguarded, and the application refuses to serve it."""
    found = audit(with_default(protect(FastAPI(), SETTINGS)))

    assert ("/*",) == tuple(one.path for one in found.unguarded)
    assert "default application" in found.problems[0]


@live
@pytest.mark.parametrize("to", ["route", "mount", "mount-of-a-mount"])
def test_what_is_below_a_guarded_mount_is_listed_before_the_first_request_too(to: str) -> None:
    """A plain route there has the requirements of its router once the guard has wrapped it."""
    app, inner = protect(FastAPI(), SETTINGS), FastAPI()
    app.mount("/m", inner)
    router = APIRouter(dependencies=[Depends(require_scopes("reports:read"))])
    below: BaseRoute = Route("/p", page)
    for _ in range(to.count("mount")):
        below = Mount("/b", app=Router(routes=[below]))
    router.routes.append(below)
    inner.include_router(router)
    path = "/m" + "/b" * to.count("mount") + "/p"

    before = audit(app)
    status = TestClient(app).get(path, headers=bearer()).status_code

    assert 403 == status
    assert ("reports:read",) == named(before)[f"GET {path}"].scopes
    assert [] == compare(before, audit(app))


class TestNotes:
    NOTE = (
        "Challenges name /.well-known/oauth-protected-resource/v1, but no route here serves it: "
        "call mount_resource_metadata(app), unless another server has it."
    )
    RESOURCE = JWTSettings(secret_key=SECRET, resource="https://api.example.com/v1")

    def test_a_metadata_document_that_is_not_there(self) -> None:
        """Told once, however many routes; a proxy may serve it, so that no audit fails."""
        router = APIRouter()
        router.add_api_route("/x", endpoint())
        router.add_api_route("/y", endpoint())
        app = including(protected_router(router, settings=self.RESOURCE))

        found = audit(app)

        assert ((self.NOTE,), True) == (found.notes, found.ok)

    def test_a_service_of_dependencies_alone(self) -> None:
        """Without a guard challenges name it just as well."""
        app = whole_app(Depends(current_user_id))
        app.dependency_overrides[get_settings] = lambda: self.RESOURCE

        assert (self.NOTE,) == audit(app).notes

    @pytest.mark.parametrize("known", [True, False], ids=["own-settings", "get_settings"])
    def test_a_metadata_document_that_is_there(self, known: bool) -> None:  # noqa: FBT001
        """At its own path, or wherever the settings of a request say."""
        app = one_route(settings=self.RESOURCE)
        mount_resource_metadata(app, self.RESOURCE if known else None)

        assert () == audit(app).notes

    def test_settings_that_only_a_request_can_tell(self) -> None:
        """What they name is not known."""
        app = one_route(settings=None)
        app.dependency_overrides[get_settings] = of_request

        assert () == audit(app).notes

    def test_no_resource(self) -> None:
        """Then no challenge names anything."""
        assert () == audit(one_route()).notes

    def test_no_token_is_asked_for(self) -> None:
        """Nor does an open application send challenges."""
        app = whole_app()
        app.dependency_overrides[get_settings] = lambda: self.RESOURCE

        assert () == audit(app).notes


class _StrangeRoute(Route):
    async def handle(self, *_: Any) -> None:
        """Serve in a way of its own."""


def forgiving(dependency: Any) -> Callable[..., Any]:
    """Wrap a dependency as callers do that want it to be optional."""

    @wraps(dependency)
    async def wrapper(*args: Any, **named: Any) -> Any:
        try:
            return await dependency(*args, **named)
        except HTTPException:
            return None

    return wrapper


@pytest.mark.parametrize(
    "dependency",
    [current_user_id, get_claims, require_scopes("admin"), jwt_guard(SETTINGS)],
    ids=["current_user_id", "get_claims", "require_scopes", "jwt_guard"],
)
def test_a_wrapper_around_a_dependency_guards_nothing(dependency: Any) -> None:
    """It can drop the refusal."""
    app = FastAPI(dependencies=[Depends(forgiving(dependency))])
    app.dependency_overrides[get_settings] = lambda: SETTINGS
    app.get("/x")(lambda: "inside")

    assert 200 == TestClient(app).get("/x").status_code
    assert Verdict.UNGUARDED is of(app, "GET /x").verdict


@pytest.mark.parametrize("mark", [public, lambda endpoint: endpoint], ids=["public", "guarded"])
def test_scopes_asked_of_an_optional_dependency(mark: Callable[..., Any]) -> None:
    """They make it one that needs a token, and the audit names them."""
    app = protect(FastAPI(), SETTINGS)

    async def x(_: Annotated[Any, Security(optional(current_user_id), scopes=["a"])]) -> None: ...

    app.get("/x")(mark(x))
    client = TestClient(app)

    tokens: list[dict[str, str]] = [{}, bearer(), bearer(scope="a")]
    assert [401, 403, 200] == [client.get("/x", headers=it).status_code for it in tokens]
    found = of(app, "GET /x")
    assert (Verdict.GUARDED, ("a",)) == (found.verdict, found.scopes)
    assert audit(app).ok


def test_an_override_without_a_signature() -> None:
    """FastAPI cannot call it, and so it asks for no token."""

    async def database() -> str:
        return "database"

    app = protect(FastAPI(openapi_url=None), SETTINGS)
    app.dependency_overrides[database] = map

    assert () == audit(app).problems


@pytest.mark.parametrize("kind", ["new", "class", "one", "without-keys-to-fetch"])
def test_an_override_that_makes_settings_for_each_request(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would fetch the issuer's keys: a problem where there is something to fetch."""
    fetched: dict[str, Any] = {"issuer": "https://a.example", "audience": "api"}
    fetched["jwks_url"] = "https://a.example/keys"
    monkeypatch.delenv("JWT_SECRET_KEY")
    for name, value in fetched.items() if kind == "class" else ():
        monkeypatch.setenv(f"JWT_{name.upper()}", value)
    one, app = JWTSettings(**fetched), protect(FastAPI())
    app.dependency_overrides[get_settings] = {
        "new": lambda: JWTSettings(**fetched),
        "class": JWTSettings,
        "one": lambda: one,
        "without-keys-to-fetch": lambda: JWTSettings(secret_key=SECRET),
    }[kind]

    found = [it for it in audit(app).problems if it.startswith("What replaces get_settings makes")]

    assert len(found) == (kind in {"new", "class"})


def test_an_override_around_an_application_of_starlettes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not reach a router in there, whose settings are those of the environment."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_AUDIENCE", "api")
    app = mounting(Starlette(routes=[Mount("/r", one_route_of(protected_router()))]))
    app.dependency_overrides[get_settings] = lambda: OTHER
    served = TestClient(app).get("/m/r/x", headers=bearer(aud="api"))

    assert "JWT_*: HS256 for api" == of(app, "GET /m/r/x").settings
    assert 200 == served.status_code
