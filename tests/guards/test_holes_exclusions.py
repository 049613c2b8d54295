"""Attack: an exclusion that means more, or less, than what it names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router
from starlette.types import Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    jwt_guard,
    protect,
    protected_router,
    public,
)
from tests.minting import SECRET
from tests.web.serving import SETTINGS, frontend

from .asking import INSIDE, LIVE, REFUSED, ask, including, page, plain, read

Guarding = Callable[[APIRouter, list[Any]], FastAPI]


def by_protected_router(router: APIRouter, exclude: Any) -> FastAPI:
    """Exclude in `protected_router`."""
    return including(protected_router(router, settings=SETTINGS, exclude=exclude))


def by_mounted_protected_router(router: APIRouter, exclude: Any) -> FastAPI:
    """Exclude in a `protected_router` that is mounted at the root."""
    app = FastAPI(openapi_url=None)
    app.mount("", protected_router(router, settings=SETTINGS, exclude=exclude))
    return app


def by_protect(router: APIRouter, exclude: Any) -> FastAPI:
    """Exclude in `protect`."""
    return protect(including(router), SETTINGS, exclude)


def by_protect_before(router: APIRouter, exclude: Any) -> FastAPI:
    """Exclude in `protect`, before there are routes."""
    app = protect(FastAPI(), SETTINGS, exclude)
    app.include_router(router)
    return app


WAYS = [by_protected_router, by_mounted_protected_router, by_protect, by_protect_before]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


# ---- by identity --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """An endpoint that is equal to every other one of its class."""

    def __call__(self) -> str:
        return INSIDE


class Unhashable(Reader):
    """An endpoint that no set can hold."""

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Page:
    """An ASGI endpoint that is equal to every other one of its class."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(INSIDE)(scope, receive, send)


@dataclass(frozen=True)
class Pages:
    """Endpoints as methods of an object that is equal to every other one of its class."""

    async def read(self) -> str:
        return INSIDE

    async def write(self) -> str:
        return INSIDE


async def item(name: str = "public") -> str:
    return INSIDE if name else ""


async def wrapper() -> str:
    return INSIDE


wrapper.__wrapped__ = item  # type: ignore[attr-defined]
PAGES = Pages()


@ways
@pytest.mark.parametrize(
    ("excluded", "opened", "closed"),
    [
        pytest.param(reader := Reader(), reader, Reader(), id="equal"),
        pytest.param(unhashable := Unhashable(), unhashable, Unhashable(), id="unhashable"),
        pytest.param(page_ := Page(), page_, Page(), id="plain"),
        # A bound method is a new object each time, and meant by its object and its function.
        pytest.param(PAGES.read, PAGES.read, PAGES.write, id="another-method"),
        pytest.param(PAGES.read, PAGES.read, Pages().read, id="method-of-another-object"),
        # What it is called with may be what has to be guarded.
        pytest.param(item, item, partial(item, "secret"), id="partial"),
        pytest.param(item, item, wrapper, id="wrapper"),
    ],
)
def test_an_endpoint_is_excluded_by_identity(
    excluded: Any, opened: Any, closed: Any, way: Guarding
) -> None:
    """`exclude` holds the object itself, and what is equal to it is another endpoint."""
    router = APIRouter()
    for path, endpoint in (("/open", opened), ("/closed", closed)):
        if isinstance(endpoint, Page):
            router.routes.append(Route(path, endpoint))
        else:
            router.get(path)(endpoint)

    app = way(router, [excluded])

    assert (200, 401) == (ask(app, "/open"), ask(app, "/closed"))


@pytest.mark.parametrize("way", [by_protect, by_protect_before])
@pytest.mark.parametrize("kind", ["dataclass", "router", "application"])
def test_an_equal_application_is_not_excluded_with_it(kind: str, way: Guarding) -> None:
    """Two routers are equal when their routes are; each is mounted at a place of its own."""
    route = Route("/", plain)
    pairs: dict[str, tuple[Any, Any]] = {
        "dataclass": (Page(), Page()),
        "router": (APIRouter(routes=[route]), APIRouter(routes=[route])),
        "application": (FastAPI(), FastAPI()),
    }
    opened, closed = pairs[kind]
    for one in (opened, closed):
        if isinstance(one, FastAPI):
            one.get("/")(read)
    app = FastAPI()
    if way is by_protect_before:
        protect(app, SETTINGS, [opened])
    app.mount("/open", opened)
    app.mount("/closed", closed)
    if way is by_protect:
        protect(app, SETTINGS, [opened])

    assert ask(app, "/closed/") in (401, REFUSED)
    assert ask(app, "/open/") in (200, REFUSED)


def test_plain_routes_are_public_as_any_other() -> None:
    """By mark, by endpoint and by pattern."""
    router = protected_router(settings=SETTINGS, prefix="/r", exclude=[plain, "/r/pattern", "/m/*"])
    endpoints: dict[str, Callable[..., Any]] = {
        "/r/marked": public(MarkedPage()),
        "/r/endpoint": plain,
        "/r/pattern": MarkedPage(),
        "/r/closed": MarkedPage(),
    }
    router.routes += [Route(path, endpoint) for path, endpoint in endpoints.items()]
    router.routes.append(Mount("/m", page()))
    app = FastAPI()
    app.mount("", router)

    answers = [ask(app, f"/r/{it}") for it in ("marked", "endpoint", "pattern", "closed")]

    assert [200, 200, 200, 401] == answers
    assert 200 == ask(app, "/m/anything")


class MarkedPage:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(INSIDE)(scope, receive, send)


def test_the_endpoint_of_a_wrapped_route_can_serve_elsewhere() -> None:
    """Its exclusions stay where they were."""
    first = Route("/open", plain)
    router = protected_router(settings=SETTINGS, exclude=["/open"])
    router.routes.append(first)
    router.routes.append(Route("/closed", first.endpoint))
    app = including(router)

    assert (200, 401) == (ask(app, "/open"), ask(app, "/closed"))


# ---- patterns -----------------------------------------------------------------------------------


@ways
@pytest.mark.parametrize(
    ("pattern", "closed"),
    [
        pytest.param("/v?/x", "/v1/x", id="question-mark"),
        pytest.param("/v[0-9]/x", "/v1/x", id="range"),
        pytest.param("/v[!2]/x", "/v1/x", id="not-in"),
        pytest.param("/v./x", "/v1/x", id="regex-dot"),
        pytest.param("/v(1|2)/x", "/v1/x", id="regex-group"),
        pytest.param("/v1/x$", "/v1/x", id="regex-end"),
        pytest.param("/V1/X", "/v1/x", id="case"),
        pytest.param("/v1", "/v1/x", id="prefix"),
        pytest.param("v1/x", "/v1/x", id="no-slash"),
        pytest.param("/v1/x/", "/v1/x", id="slash-more"),
        pytest.param("/v1/x\n", "/v1/x", id="line-feed"),
        pytest.param("", "/v1/x", id="empty"),
        pytest.param("{path}", "/v1/x", id="braces"),
    ],
)
def test_nothing_but_the_star_is_a_wildcard(pattern: str, closed: str, way: Guarding) -> None:
    """The pattern matches no route: nothing is open, and the start says so."""
    router = APIRouter()
    router.get(closed)(read)

    try:
        app = way(router, [pattern])
        assert ask(app, closed) in (401, REFUSED)
        if way is by_mounted_protected_router:
            return  # a mounted router has no lifespan of its own
        with TestClient(app):
            pytest.fail("it started")
    except ConfigurationError:
        return


@ways
@pytest.mark.parametrize("template", ["/a?b", "/a[b]", "/a.b", "/a+b", "/a(b)", "/a|b", "/a^b$"])
def test_characters_of_a_template_mean_themselves(template: str, way: Guarding) -> None:
    """A pattern that is the template excludes it, and not its neighbours."""
    router = APIRouter()
    router.get(template)(read)
    router.get("/axb")(read)
    router.get("/ab")(read)
    path = template.replace("?", "%3F").replace("|", "%7C").replace("^", "%5E")

    app = way(router, [template])

    assert [200, 401, 401] == [ask(app, one) for one in (path, "/axb", "/ab")]


@ways
@pytest.mark.parametrize("kind", ["api-route", "plain"])
@pytest.mark.parametrize(
    ("named", "other", "paths"),
    [
        pytest.param("/f/{name}", "/f/{name:path}", ("/f/a", "/f/a/b"), id="longer-text"),
        pytest.param("/d/{id:int}", "/d/{id}", ("/d/7", "/d/a"), id="number-beside-text"),
        pytest.param("/d/{id:float}", "/d/{id:uuid}", ("/d/1.5", f"/d/{'a' * 32}"), id="types"),
    ],
)
def test_attack_a_template_with_another_type_of_its_parameter(
    named: str, other: str, paths: tuple[str, str], kind: str, way: Guarding
) -> None:
    """It is another route, also where OpenAPI writes both alike."""
    router = APIRouter()
    for path in (named, other):
        if kind == "plain":
            router.add_route(path, plain)
        else:
            router.get(path)(lambda: INSIDE)
    client = TestClient(way(router, [named]))

    assert [200, 401] == [client.get(path).status_code for path in paths]


@pytest.mark.parametrize("kind", ["api-route", "plain"])
def test_an_exclusion_without_the_type_that_its_route_has_is_told(kind: str) -> None:
    """At the start, with an example."""
    router = APIRouter()
    router.add_route("/d/{id:int}", plain) if kind == "plain" else router.get("/d/{id:int}")(read)
    app = by_protect(router, ["/d/{id}"])

    with (
        pytest.raises(
            ConfigurationError, match=r"with its prefixes and types, '/api/items/\{id:int"
        ),
        TestClient(app),
    ):
        pass


@ways
@pytest.mark.parametrize(
    ("pattern", "opened"),
    [
        pytest.param("/a/{id}", {"/a/1"}, id="template"),
        pytest.param("/a/*", {"/a/1", "/a/1/b"}, id="star-at-the-end"),
        pytest.param("*/b", {"/a/1/b", "/c/b"}, id="star-at-the-start"),
        pytest.param("/*/b", {"/a/1/b", "/c/b"}, id="star-inside"),
        pytest.param("/**", {"/a/1", "/a/1/b", "/c/b"}, id="two-stars"),
    ],
)
def test_a_star_is_any_text(pattern: str, opened: set[str], way: Guarding) -> None:
    """Slashes included, over the whole template."""
    router = APIRouter()
    for template in ("/a/{id}", "/a/{id}/b", "/c/b"):
        router.get(template)(read)
    app = way(router, [pattern])

    assert opened == {path for path in ("/a/1", "/a/1/b", "/c/b") if ask(app, path) == 200}


WRONG = [
    pytest.param([None], id="none"),
    pytest.param([Path("/x")], id="path"),
    pytest.param([PurePosixPath("/x")], id="pure-path"),
    pytest.param([re.compile("/x")], id="regex"),
    pytest.param([b"/x"], id="bytes"),
    pytest.param([1], id="number"),
    pytest.param([["/x"]], id="list-in-list"),
    pytest.param([True], id="boolean"),
    pytest.param(Path("/x"), id="path-alone"),
    pytest.param(re.compile("/x"), id="regex-alone"),
    pytest.param(b"/x", id="bytes-alone"),
    pytest.param(1, id="number-alone"),
]


@pytest.mark.parametrize("exclude", WRONG)
@pytest.mark.parametrize("where", ["protected_router", "protect", "jwt_guard"])
def test_what_can_exclude_nothing_is_refused_with_a_sentence(where: str, exclude: Any) -> None:
    """`ConfigurationError` at once, and no `TypeError` of the machinery."""
    make: Callable[[], Any] = {
        "protected_router": lambda: protected_router(settings=SETTINGS, exclude=exclude),
        "protect": lambda: protect(FastAPI(), SETTINGS, exclude),
        "jwt_guard": lambda: jwt_guard(SETTINGS, exclude),
    }[where]

    with pytest.raises(ConfigurationError, match=r"(?i)exclu"):
        make()


@pytest.mark.parametrize(
    "exclude",
    [
        pytest.param(lambda: "/x", id="text"),
        pytest.param(lambda: read, id="endpoint"),
        *(
            pytest.param(partial(kind, ["/x"]), id=kind.__name__)
            for kind in (tuple, set, frozenset, iter)
        ),
    ],
)
@ways
def test_exclusions_come_alone_or_in_any_collection(
    exclude: Callable[[], Any], way: Guarding
) -> None:
    """A text is not taken for a list of characters, and what can be read once is read once."""
    router = APIRouter()
    router.get("/x")(read)
    router.get("/y")(other_read)

    app = way(router, exclude())

    assert [200, 401, 200] == [ask(app, path) for path in ("/x", "/y", "/x")]


async def other_read() -> str:
    return INSIDE


@ways
def test_a_list_that_changes_later_changes_nothing(way: Guarding) -> None:
    """The exclusions are those that were given."""
    router = APIRouter()
    router.get("/x")(read)
    router.get("/y")(other_read)
    exclude = ["/x"]
    app = way(router, exclude)
    exclude.append("/y")

    assert (200, 401) == (ask(app, "/x"), ask(app, "/y"))


def files(app: Any, folder: Path) -> None:
    """Serve two folders by `frontend()`."""
    (folder / "index.html").write_text(INSIDE)
    for path in ("/x", "/y"):
        app.frontend(path, directory=folder)


@frontend
@ways
@pytest.mark.parametrize("pattern", ["/x", "/x/*"])
def test_a_frontend_can_be_excluded(pattern: str, way: Guarding, tmp_path: Path) -> None:
    """By its path, with or without a star, and it alone."""
    router = APIRouter()
    files(router, tmp_path)
    router.get("/first")(read)
    app = way(router, [pattern])

    answers = [ask(app, path) for path in ("/x/", "/x/index.html", "/y/", "/first")]

    assert [200, 200, 401, 401] == answers


@frontend
@pytest.mark.parametrize("pattern", ["/api/x", "/api/x/*"])
@pytest.mark.parametrize("by", ["protected_router", "jwt_guard"])
def test_a_frontend_with_a_prefix_is_excluded_by_its_whole_path(
    by: str, pattern: str, tmp_path: Path
) -> None:
    router = APIRouter()
    files(router, tmp_path)
    outer = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS, [pattern]))])
    if by == "protected_router":
        outer = protected_router(settings=SETTINGS, exclude=[pattern])
    outer.include_router(router, prefix="/api")

    app = including(outer)

    assert (200, 401) == (ask(app, "/api/x/"), ask(app, "/api/y/"))


@frontend
def test_an_exclusion_of_a_path_below_a_frontend_is_told(tmp_path: Path) -> None:
    """A file is no route: the pattern matches none."""
    app = FastAPI()
    files(app, tmp_path)
    protect(app, SETTINGS, ["/x/index.html"])

    with pytest.raises(ConfigurationError, match=r"/x/index\.html"), TestClient(app):
        pytest.fail("it started")


@frontend
@pytest.mark.parametrize("path", ["/x/../first", "/x/%2e%2e/first", "/x/..%2ffirst"])
def test_an_open_frontend_opens_no_other_path(path: str, tmp_path: Path) -> None:
    """However the path is written."""
    app = FastAPI()
    app.get("/first")(read)
    app.add_route("/first-plain", plain)
    files(app, tmp_path)
    (tmp_path / "index.html").write_text("page")
    client = TestClient(protect(app, SETTINGS, ["/x"]))

    for spelling in (path, path.replace("first", "first-plain")):
        assert INSIDE not in client.get(spelling).text


@ways
def test_an_excluded_mount_opens_nothing_beside_it(way: Guarding) -> None:
    """Names that begin alike are other mounts."""
    router = APIRouter()
    for name in ("/pub", "/public", "/pu"):
        router.mount(name, page())

    app = way(router, ["/pub"])

    answers = [ask(app, f"{name}/x") for name in ("/pub", "/public", "/pu")]
    if LIVE:
        assert [200, 401, 401] == answers
    else:  # the mounts are not copied, and so the pattern matches no route
        assert set(answers) <= {404, REFUSED}


def test_attack_the_template_of_a_route_excludes_no_mount_at_its_prefix() -> None:
    """Whose own template ends with another type."""
    app = FastAPI()
    app.get("/files/{path}")(read)
    app.mount("/files", Router(routes=[Route("/a/b", plain)]))
    client = TestClient(protect(app, SETTINGS, ["/files/{path}"]))

    assert [200, 401] == [client.get(it).status_code for it in ("/files/a", "/files/a/b")]


def test_an_exclusion_of_a_path_below_a_mount_is_told_or_excludes_it_alone() -> None:
    app = FastAPI()
    app.router.routes.append(Mount("/m", routes=[Route("/a", plain), Route("/b", plain)]))
    protect(app, SETTINGS, ["/m/a"])

    assert (ask(app, "/m/a"), ask(app, "/m/b")) in ((200, 401), (REFUSED, REFUSED), (401, 401))


@pytest.mark.parametrize("kind", [Starlette, Router, APIRouter])
@pytest.mark.parametrize("excluded", ["/a", "/b", "/c", "/d", plain, read, "settings"])
def test_an_exclusion_of_what_is_below_a_mount_is_told(
    excluded: Any, kind: type[Starlette | Router]
) -> None:
    """The mount is one route, and by an exclusion that names another one nothing is open."""
    app = FastAPI()
    inner = protect(FastAPI(), SETTINGS)
    routes = [Route("/a", plain), Mount("/b", page()), APIRoute("/c", read), Mount("/d", inner)]
    app.mount("/m", kind(routes=routes))
    in_settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/a"])
    settings, exclude = (in_settings, []) if excluded == "settings" else (SETTINGS, [excluded])
    protect(app, settings, exclude)

    with (
        pytest.raises(ConfigurationError, match=r"matches no route|no guarded route"),
        TestClient(app),
    ):
        pass


def test_an_endpoint_excluded_in_one_router_is_guarded_in_another() -> None:
    app = FastAPI()
    for prefix, exclude in (("/a", [read]), ("/b", [])):
        router = protected_router(settings=SETTINGS, exclude=exclude)
        router.get("/x")(read)
        router.add_route("/plain", plain)
        app.include_router(router, prefix=prefix)

    assert [200, 401] == [ask(app, path) for path in ("/a/x", "/b/x")]
    assert [401, 401] == [ask(app, path) for path in ("/a/plain", "/b/plain")]


def test_an_exclusion_by_endpoint_holds_for_the_request_of_its_route_only() -> None:
    """A plain route that shares the endpoint's name stays guarded."""

    async def plain_endpoint(_: Request) -> PlainTextResponse:
        return PlainTextResponse(INSIDE)

    plain_endpoint.__name__ = plain_endpoint.__qualname__ = "read"
    router = protected_router(settings=SETTINGS, exclude=[read])
    router.get("/open")(read)
    router.add_route("/closed", plain_endpoint)
    app = including(router)

    assert (200, 401) == (ask(app, "/open"), ask(app, "/closed"))
