"""Which layer answers, and with what: behind each is another one, which would refuse as well."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.security import SecurityScopes
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Match, Mount, Route
from starlette.types import Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    jwt_guard,
    protect,
    protected_router,
    require_scopes,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import (
    OTHER,
    SETTINGS,
    bearer,
    frontend,
    including,
    live_mounts,
    live_routes,
    who,
)

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


class OwnNotFound(APIRouter):
    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(scope, receive, send)


def test_what_a_router_class_answers_where_no_route_matches() -> None:
    """It is a default application, too."""
    guarded, protected = FastAPI(), FastAPI()
    guarded.router = OwnNotFound(dependencies=[Depends(jwt_guard(SETTINGS))])
    guarded.get("/api")(read)
    protected.router = OwnNotFound()

    with pytest.raises(ConfigurationError, match="default application"):
        protect(protected, SETTINGS)
    assert ["default_application"] * 2 == told(guarded, "/api")


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
    def test_its_scopes_hold_around_another_router(self) -> None:
        router = filled(protected_router(settings=SETTINGS))
        outer = protected_router(router, settings=SETTINGS, scopes={"/plain": ["a"]})
        outer.dependencies.clear()

        assert [401, 403, 200] == told(including(outer), "/plain", *TOKENS)

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

    @live_routes
    def test_a_protected_router_looks_at_its_own_routes(self) -> None:
        """They are not looked at twice."""
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
        app.get("/api")(read)
        app.include_router(filled(protected_router(settings=SETTINGS, prefix="/r")))

        assert [[401, 200]] * 3 == [told(app, it) for it in ("/api", "/r/api", "/plain")]


#: Without a token, with a good one, and with one that has the scope `a`.
TOKENS: tuple[dict[str, str], ...] = ({}, GOOD, SCOPED)
#: A plain route `/plain` behind a guard that needs the scope there, and nothing else.
SCOPES: dict[str, Callable[[], FastAPI]] = {
    "by-template-of-the-application": lambda: filled(
        protect(FastAPI(), SETTINGS, scopes={"/*": ["a"]})
    ),
    "by-template-of-a-router": lambda: including(
        filled(protected_router(settings=SETTINGS, scopes={"GET /api": "a", "GET /plain": "a"}))
    ),
    "by-template-of-an-outer-guard": lambda: protect(
        including(filled(protected_router(settings=SETTINGS))), SETTINGS, scopes={"/*": ["a"]}
    ),
    "of-a-dependency": lambda: filled(
        protect(FastAPI(), SETTINGS, dependencies=[Depends(require_scopes("a"))])
    ),
    "of-the-guard-of-a-router": lambda: protect(
        including(filled(APIRouter(dependencies=[Security(jwt_guard(SETTINGS), scopes=["a"])]))),
        SETTINGS,
    ),
}


@live_routes
@pytest.mark.parametrize("path", ["/api", "/plain"])
@pytest.mark.parametrize("build", [pytest.param(it, id=name) for name, it in SCOPES.items()])
def test_scopes_of_a_plain_route_are_those_of_any_other(
    build: Callable[[], FastAPI], path: str
) -> None:
    assert [401, 403, 200] == told(build(), path, *TOKENS)


@live_mounts
class TestAMountOfAnApplicationWithAGuard:
    """The guard of the application decides below, whatever the mount is asked."""

    def test_its_scopes_are_asked_where_it_asks_for_a_token(self) -> None:
        inner = protect(FastAPI(), SETTINGS, exclude=["/plain"], scopes={"/*": ["a"]})
        app = protect(FastAPI(), SETTINGS)
        app.mount("/m", filled(inner))

        assert [200, 200, 200] == told(app, "/m/plain", *TOKENS)
        assert [401, 403, 200] == told(app, "/m/api", *TOKENS)

    @pytest.mark.parametrize("path", ["/m/api", "/m/plain"])
    def test_a_dependency_further_out_finds_the_user(self, path: str) -> None:
        """It runs before that guard decides, and refuses nothing in its place."""
        seen: list[Any] = []

        async def look(request: Request) -> None:
            seen.append(getattr(request.state, "user_id", None))

        inner = protect(FastAPI(), SETTINGS, exclude=["/plain"])
        app = protect(FastAPI(), SETTINGS, dependencies=[Depends(look)])
        app.mount("/m", filled(inner))

        expected = [200, 200] if path == "/m/plain" else [401, 200]
        assert expected == told(app, path, {}, bearer(sub="alice"))
        assert [None, "alice"] == seen

    def test_a_public_route_asks_for_no_credential(self) -> None:
        """No key is fetched and no server asked for it, where nothing further out reads it."""
        asked: list[Any] = []

        async def credential(request: Any) -> None:
            asked.append(request)

        inner = protect(FastAPI(), SETTINGS, exclude=["/api"], credentials=[credential])
        app = protect(FastAPI(), SETTINGS)
        app.mount("/m", filled(inner))

        assert [200, 200] == told(app, "/m/api", {}, {})
        assert [] == asked

    def test_without_one_the_settings_of_the_mount_hold(self) -> None:
        inner = FastAPI()
        inner.get("/me")(who)
        app = protect(FastAPI(), OTHER)
        app.mount("/m", inner)

        good = bearer(OTHER_SECRET, sub="alice")
        assert [401, 401, 200] == told(app, "/m/me", {}, GOOD, good)


def excluded_in_its_application() -> FastAPI:
    return filled(protect(FastAPI(), SETTINGS, exclude=["/plain"]))


def excluded_in_a_protected_router() -> FastAPI:
    return including(filled(protected_router(settings=SETTINGS, exclude=["/plain"])))


def excluded_in_a_mounted_router() -> FastAPI:
    app = protect(FastAPI(), SETTINGS)
    guard = Depends(jwt_guard(SETTINGS, exclude=["/plain"]))
    app.mount("", filled(APIRouter(dependencies=[guard])))
    return app


def excluded_by_the_settings() -> FastAPI:
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/plain"])
    return filled(protect(FastAPI(), settings))


def excluded_by_its_endpoint() -> FastAPI:
    return filled(protect(FastAPI(), SETTINGS, exclude=[plain]))


@live_mounts
@pytest.mark.parametrize(
    "build",
    [
        excluded_in_its_application,
        excluded_in_a_protected_router,
        excluded_in_a_mounted_router,
        excluded_by_the_settings,
        excluded_by_its_endpoint,
    ],
)
def test_a_plain_route_is_known_by_its_template(build: Callable[[], FastAPI]) -> None:
    app = build()

    assert [[200, 200], [401, 200]] == [told(app, "/plain"), told(app, "/api")]


def test_a_mount_can_be_excluded_by_what_is_mounted() -> None:
    mounted = page()
    app = protect(FastAPI(), SETTINGS, exclude=[mounted])
    app.mount("/m", mounted)
    app.mount("/n", page())

    assert [[200, 200], [401, 200]] == [told(app, "/m/x"), told(app, "/n/x")]


@live_routes
def test_a_page_of_fastapi_in_another_router_below_a_prefix_is_a_plain_route() -> None:
    """Also where the application has a page of that path of its own, which is open."""
    router = protected_router(settings=SETTINGS)
    router.routes.extend(it for it in FastAPI().routes if getattr(it, "path", "") == "/docs")
    app = including(router, prefix="/x")

    assert [[200, 200], [401, 200]] == [told(app, "/docs"), told(app, "/x/docs")]


def test_a_page_of_fastapi_in_an_application_of_starlettes_is_a_plain_route() -> None:
    """Also where a guarded router is the one of that application."""
    app, router = Starlette(), protected_router(settings=SETTINGS)
    router.routes.extend(it for it in FastAPI().routes if getattr(it, "path", "") == "/docs")
    app.router = router

    assert [401, 200] == told(app, "/docs")


@live_routes
def test_an_inclusion_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What applies to the plain route is not known, so it is not served."""
    app = including(filled(protected_router(settings=SETTINGS)))
    assert [401, 200] == told(app, "/plain")
    monkeypatch.setattr("jwt_deps.web._fastapi.inclusion_dependencies", lambda _: None)

    assert ["unknown_fastapi"] * 2 == told(app, "/plain")


@live_routes
@pytest.mark.parametrize("kind", ["protect", "jwt_guard"])
def test_an_inclusion_that_could_not_be_read_from_the_beginning(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as can be read, the guard does not apply to it."""
    router = APIRouter()
    router.get("/api")(read)
    if kind == "protect":
        app = protect(FastAPI(), SETTINGS)
    else:
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.include_router(router)
    monkeypatch.setattr("jwt_deps.web._fastapi.inclusion_dependencies", lambda _: None)

    assert "unguarded_route" in told(app, "/api")


@live_routes
def test_what_applied_where_a_route_was_taken_from_comes_first() -> None:
    """Its dependencies run from the outside to the inside."""
    ran: list[str] = []

    def step(name: str) -> Any:
        async def run() -> None:
            ran.append(name)

        return Depends(run)

    first = protected_router(settings=SETTINGS, dependencies=[step("first")])
    first.add_route("/x", plain)
    (route,) = first.routes
    second = protected_router(settings=SETTINGS, dependencies=[step("second")])
    second.add_route("/plain", route.endpoint)  # type: ignore[attr-defined]
    app = including(second, dependencies=[step("inclusion")])

    assert [401, 200] == told(app, "/plain")
    assert ["first", "inclusion", "second"] == ran


def append(app: FastAPI) -> None:
    app.router.routes.append(Route("/new", plain))


def replace(app: FastAPI) -> None:
    app.router.routes[-1] = Route("/new", plain)


def replace_list(app: FastAPI) -> None:
    app.router.routes = [*app.router.routes[:-1], Route("/new", plain)]


def insert(app: FastAPI) -> None:
    app.router.routes.insert(0, Route("/new", plain))


@pytest.mark.parametrize("change", [append, replace, replace_list, insert])
def test_a_route_that_comes_after_a_request_is_guarded(change: Callable[[FastAPI], None]) -> None:
    """In whatever way the list of routes was changed."""
    app = filled(protect(FastAPI(), SETTINGS))
    assert [401, 200] == told(app, "/api")
    change(app)

    assert [401, 200] == told(app, "/new")


@live_mounts
@pytest.mark.parametrize("change", [append, replace, replace_list, insert])
def test_one_of_a_mounted_application_is_guarded_too(change: Callable[[FastAPI], None]) -> None:
    """What applies to that application holds for it."""
    inner = filled(FastAPI(dependencies=[Depends(require_scopes("a"))]))
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", inner)
    assert [401, 403, 200] == told(app, "/m/plain", *TOKENS)
    change(inner)

    assert [401, 403, 200] == told(app, "/m/new", *TOKENS)


def test_a_dependency_that_comes_after_a_request_holds_for_plain_routes() -> None:
    """They ask for what applies at the time of the request."""
    app = protect(FastAPI(), SETTINGS)
    app.add_route("/plain", plain)
    assert [401, 200, 200] == told(app, "/plain", *TOKENS)
    app.router.dependencies.append(Depends(require_scopes("a")))

    assert [401, 403, 200] == told(app, "/plain", *TOKENS)


@frontend
@pytest.mark.parametrize("prefix", ["", "/in"], ids=["own", "included"])
def test_a_file_is_known_by_the_frontend_that_serves_it(tmp_path: Path, prefix: str) -> None:
    """By its own path and what is below it, with the prefixes of inclusions."""
    (tmp_path / "a.txt").write_text(INSIDE)
    (tmp_path / "index.html").write_text(INSIDE)
    router: Any = APIRouter()
    for path in ("/open", "/closed", "/openly"):
        router.frontend(path, directory=tmp_path)
    exclude = [f"{prefix}/open", f"{prefix}/open/*"]
    app = protect(FastAPI(openapi_url=None), SETTINGS, exclude=exclude)
    app.include_router(router, prefix=prefix)

    for name in ("", "a.txt"):
        assert [200, 200] == told(app, f"{prefix}/open/{name}")
        assert [[401, 200]] * 2 == [
            told(app, f"{prefix}{path}/{name}") for path in ("/closed", "/openly")
        ]


@frontend
@pytest.mark.parametrize("excluded", ["/", "/*"])
def test_a_frontend_at_the_root(tmp_path: Path, excluded: str) -> None:
    """`/` is what it is called there, as is anything below."""
    (tmp_path / "a.txt").write_text(INSIDE)
    app: Any = protect(FastAPI(openapi_url=None), SETTINGS, exclude=[excluded])
    app.frontend("/", directory=tmp_path)
    app.get("/api")(read)

    assert [200, 200] == told(app, "/a.txt")
    assert ([401, 200] if excluded == "/" else [200, 200]) == told(app, "/api")


def test_a_dependency_that_comes_after_a_request_is_missing_on_routes_of_fastapi() -> None:
    """FastAPI has fixed theirs by then: nothing is served until they are added again."""
    app = filled(protect(FastAPI(), SETTINGS))
    assert [401, 200, 200] == told(app, "/api", *TOKENS)
    app.router.dependencies.append(Depends(require_scopes("a")))

    assert ["unguarded_route"] * 3 == told(app, "/api", *TOKENS)


def test_a_dependency_of_the_application_is_missing_on_a_protected_router_before_it() -> None:
    """FastAPI has fixed what applies to its inclusion by then: nothing is served."""
    router = protected_router(settings=SETTINGS)
    router.get("/api")(read)
    app = including(router)
    app.router.dependencies.append(Depends(require_scopes("a")))

    assert ["unguarded_route"] * 3 == told(app, "/api", *TOKENS)


@frontend
def test_a_frontend_below_the_mount_of_an_included_router(tmp_path: Path) -> None:
    """What FastAPI tells of the mount is not taken for the frontend."""
    (tmp_path / "a.txt").write_text(INSIDE)
    inner: Any = protect(FastAPI(openapi_url=None), SETTINGS, exclude=["/open/*"])
    router = APIRouter()
    router.mount("/m", inner)
    for path in ("/open", "/closed"):
        inner.frontend(path, directory=tmp_path)
    app = including(router)

    assert [200, 200] == told(app, "/m/open/a.txt")
    assert [401, 200] == told(app, "/m/closed/a.txt")
