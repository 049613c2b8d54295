"""Attack: `frontend()`, for which FastAPI names no route: another one may be taken for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    current_user_id,
    get_settings,
    jwt_guard,
    protect,
    protected_router,
    public,
)
from jwt_deps.audit import Verdict, audit
from tests.minting import SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, frontend

from .asking import GOOD, drive

pytestmark = frontend

EMPLOYEES = JWTSettings(secret_key=SECRET, user_id_claim="employee")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("a file")
    return tmp_path


def handing_on(router: APIRouter | FastAPI, target: Callable[[], Any]) -> None:
    """Add a public endpoint that has another application serve its own scope."""

    @router.get("/to/{path:path}")
    @public
    async def to(request: Request, path: str) -> Response:
        request.scope.update(path=f"/{path}", raw_path=f"/{path}".encode())
        request.scope.pop("path_params")
        status, body, _ = await drive(target(), request.scope)
        return Response(body, status)


def shared_router(files: Path) -> FastAPI:
    """One protected router in two applications, and a public route that hands on to the other."""
    inner, outer, router = FastAPI(), FastAPI(), protected_router(settings=SETTINGS)
    router.frontend("/files", directory=files)
    handing_on(router, lambda: inner)
    inner.include_router(router)
    outer.include_router(router)
    return outer


def shared_guard(files: Path) -> FastAPI:
    """One guard over two applications."""
    guard = Depends(jwt_guard(SETTINGS))
    inner, outer = FastAPI(dependencies=[guard]), FastAPI(dependencies=[guard])
    inner.frontend("/files", directory=files)
    handing_on(outer, lambda: inner)
    return outer


def itself(files: Path) -> FastAPI:
    """An application that serves a request of its own again."""
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.frontend("/files", directory=files)
    handing_on(app, lambda: app)
    return app


@pytest.mark.parametrize("build", [shared_router, shared_guard, itself])
def test_attack_files_by_way_of_a_public_route_that_hands_its_scope_on(
    build: Callable[[Path], FastAPI], files: Path
) -> None:
    """The first request too: the public route is not what is served."""
    client = TestClient(build(files))

    statuses = [client.get("/to/files/a.txt", headers=it).status_code for it in ({}, {}, GOOD)]

    assert [401, 401, 200] == statuses


@pytest.mark.parametrize(
    "exclude", ["/", "/files", "/files/*", "/*"], ids=["root", "itself", "below", "everything"]
)
def test_the_audit_shows_an_excluded_frontend(exclude: str, files: Path) -> None:
    """As requests meet it."""
    app = FastAPI(openapi_url=None)
    path = "/" if exclude == "/" else "/files"
    app.frontend(path, directory=files)
    protect(app, SETTINGS, exclude=[exclude])

    (route,) = audit(app).routes
    answer = TestClient(app).get(f"{path.rstrip('/')}/a.txt")

    assert ("public", 200) == (route.verdict, answer.status_code)


def test_the_audit_shows_an_excluded_frontend_of_an_included_router(files: Path) -> None:
    """Its template has the prefix of the inclusion."""
    router, app = APIRouter(), FastAPI(openapi_url=None)
    router.frontend("/files", directory=files)
    app.include_router(router, prefix="/in")
    protect(app, SETTINGS, exclude=["/in/files/*"])

    (route,) = audit(app).routes

    assert ("/in/files/{path}", "public") == (route.path, route.verdict)
    assert 200 == TestClient(app).get("/in/files/a.txt").status_code


@pytest.mark.parametrize("template", ["/files/*", "GET /files/*", "/files/{path:path}", "/files"])
def test_scopes_of_a_frontend(template: str, files: Path) -> None:
    """Asked of its files and of nothing else, and shown by the audit."""
    app = FastAPI(openapi_url=None)
    app.get("/api")(lambda: "api")
    app.frontend("/files", directory=files)
    protect(app, SETTINGS, scopes={template: "files"})
    client = TestClient(app)

    statuses = [
        client.get(path, headers=headers).status_code
        for path in ("/files/a.txt", "/api")
        for headers in (GOOD, bearer(scope="files"))
    ]

    assert [403, 200, 200, 200] == statuses
    assert {"/api": (), "/files/{path}": ("files",)} == {
        route.path: route.scopes for route in audit(app).routes
    }


@pytest.mark.parametrize("outer", ["starlette", "fastapi"])
def test_a_frontend_below_an_application_of_starlettes(outer: str, files: Path) -> None:
    """What applies to the application around it goes by the settings of its guard."""
    seen: list[str] = []

    async def note(user_id: Annotated[str, Depends(current_user_id)]) -> None:
        seen.append(user_id)

    router = protected_router(settings=EMPLOYEES, exclude=["/open", "/open/*"])
    router.frontend("/files", directory=files)
    router.frontend("/open", directory=files)
    inner, around = FastAPI(), APIRouter()
    around.include_router(router, dependencies=[Depends(note)] if outer == "starlette" else [])
    inner.include_router(around)
    app: Any = Starlette(routes=[Mount("/m", inner)])
    if outer == "fastapi":
        app = FastAPI()
        app.mount("/m", Starlette(routes=[Mount("", inner)]))
    client = TestClient(app)

    headers = bearer(sub="boss", employee="e1")
    assert [200, 401] == [
        client.get("/m/files/a.txt", headers=it).status_code for it in (headers, {})
    ]
    assert seen == (["e1"] if outer == "starlette" else [])
    if outer == "fastapi":
        assert 200 == client.get("/m/open/a.txt").status_code


@pytest.mark.parametrize(
    ("options", "statuses"),
    [({"exclude": ["/files"]}, [200, 200]), ({"scopes": {"/files": "files"}}, [403, 200])],
)
def test_a_frontend_two_mounts_further_in_has_a_template(
    options: dict[str, Any], statuses: list[int], files: Path
) -> None:
    """Exclusions and scopes find it there."""
    router, between, app = protected_router(settings=SETTINGS, **options), APIRouter(), FastAPI()
    router.frontend("/files", directory=files)
    between.mount("/b", router)
    app.mount("/a", between)
    client = TestClient(app)

    assert statuses == [
        client.get("/a/b/files/a.txt", headers=it).status_code
        for it in (GOOD, bearer(scope="files"))
    ]


def test_scopes_of_a_frontend_below_an_application_of_starlettes(files: Path) -> None:
    """They are asked for, as those of all templates are there."""
    router, app = protected_router(settings=SETTINGS, scopes={"/files": "files"}), FastAPI()
    router.frontend("/files", directory=files)
    app.mount("/m", Starlette(routes=[Mount("", router)]))
    client = TestClient(app)

    assert [403, 200] == [
        client.get("/m/files/a.txt", headers=it).status_code for it in (GOOD, bearer(scope="files"))
    ]


def protect_it(app: FastAPI) -> FastAPI:
    return protect(app, SETTINGS, exclude=["/"])


def depend_on_it(app: FastAPI) -> FastAPI:
    guarded = FastAPI(openapi_url=None, dependencies=[Depends(jwt_guard(SETTINGS, ["/"]))])
    guarded.include_router(app.router)
    return guarded


@pytest.mark.parametrize("by", [protect_it, depend_on_it], ids=["protect", "jwt_guard"])
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("way", ["cascade", "handler"])
def test_attack_a_site_of_files_that_hands_on_what_it_does_not_have(
    way: str, by: Callable[[FastAPI], FastAPI], files: Path, *, guarded: bool
) -> None:
    """The next application's own files are excluded, and its API is none of them."""
    api, site = FastAPI(openapi_url=None), FastAPI(openapi_url=None)
    api.frontend("/", directory=files)
    api.get("/api/secret")(lambda: "secret")
    api.get("/api/anyone")(public(lambda: "anyone"))
    api = by(api)
    site.frontend("/", directory=files, fallback=None)
    if guarded:
        protect(site, OTHER, exclude=["/"])

    class HandedOn(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await api(scope, receive, send)

    async def cascade(scope: Scope, receive: Receive, send: Send) -> None:
        status, body, _ = await drive(site, scope)
        answer = api if status == 404 else Response(body, status)
        await answer(scope, receive, send)

    @site.exception_handler(404)
    async def hand_on(*_: Any) -> Response:
        return HandedOn() if way == "handler" else Response(status_code=404)

    client = TestClient(site if way == "handler" else cascade)

    assert [401, 401, 200] == [
        client.get("/api/secret", headers=it).status_code for it in ({}, {}, GOOD)
    ]
    assert [200, 200] == [client.get(it).status_code for it in ("/a.txt", "/api/anyone")]


def test_an_excluded_frontend_is_open_beside_one_of_a_mounted_router(files: Path) -> None:
    """Each file is of the `frontend()` at whose path it is."""
    app, router = FastAPI(openapi_url=None), APIRouter()
    app.frontend("/open", directory=files)
    router.frontend("/other", directory=files)
    app.mount("/m", router)
    protect(app, SETTINGS, exclude=["/open/*"])

    assert 200 == TestClient(app).get("/open/a.txt").status_code


def test_a_file_of_an_application_that_a_guarded_route_hands_its_request_to(files: Path) -> None:
    """The route in the scope is a left-over of the outer application."""
    site = protect(FastAPI(openapi_url=None), SETTINGS, exclude=["/"])
    site.frontend("/", directory=files)

    class HandingOn(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await site(scope, receive, send)

    app = protect(FastAPI(openapi_url=None), SETTINGS, exclude=["/{path:path}"])

    @app.get("/{path:path}", response_model=None)
    async def everything() -> Response:
        return HandingOn()

    assert 200 == TestClient(app).get("/a.txt").status_code


def test_a_plain_route_at_the_path_of_a_frontend_goes_by_its_own_settings(files: Path) -> None:
    """The guard of the files does not apply to it."""
    router = protected_router(settings=OTHER)
    router.frontend("/files", directory=files)
    app = FastAPI()
    app.dependency_overrides[get_settings] = lambda: SETTINGS

    async def upload(request: Request) -> Response:
        return Response(await current_user_id(request, SecurityScopes()))

    app.include_router(router)
    app.add_route("/files", upload, methods=["POST"])

    assert "alice" == TestClient(app).post("/files", headers=GOOD).text


def test_what_applies_to_one_of_two_frontends_at_one_path_goes_by_its_guard(files: Path) -> None:
    """Which of them it is cannot be known, and its router has a guard."""
    seen: list[str] = []

    async def note(user_id: Annotated[str, Depends(current_user_id)]) -> None:
        seen.append(user_id)

    app = FastAPI()
    for path in ("/shop", "/staff"):
        site = protected_router(settings=EMPLOYEES)
        site.dependencies.insert(0, Depends(note))  # it runs before the guard
        site.frontend("/", directory=files)
        app.mount(path, site)

    answer = TestClient(app).get("/shop/a.txt", headers=bearer(sub="boss", employee="e1"))

    assert (200, ["e1"]) == (answer.status_code, seen)


def _beside_another(site: APIRouter, other: APIRouter) -> FastAPI:
    app = FastAPI()
    app.mount("/shop", site)
    app.mount("/staff", other)
    return app


def _below_starlette(site: APIRouter, _: APIRouter) -> FastAPI:
    app = FastAPI()
    app.mount("/", Starlette(routes=[Mount("/shop", site)]))
    return app


def _sites(files: Path, **options: Any) -> list[APIRouter]:
    sites = [protected_router(settings=SETTINGS, scopes={"/users": "admin"}, **options)]
    sites.append(protected_router(settings=SETTINGS))
    for site in sites:
        site.frontend("/", directory=files)
    sites[0].get("/users")(lambda: None)
    return [*sites]


def test_an_exclusion_of_one_that_cannot_be_told_from_others_is_refused(files: Path) -> None:
    """It would never apply."""
    app = _beside_another(*_sites(files, exclude=["/"]))

    with pytest.raises(ConfigurationError, match="The exclusion '/' matches no route"):
        TestClient(app).get("/shop/a.txt", headers=GOOD)


@pytest.mark.parametrize("build", [_beside_another, _below_starlette])
def test_the_audit_shows_an_exclusion_of_one_that_cannot_be_told_from_others(
    build: Callable[[APIRouter, APIRouter], FastAPI], files: Path
) -> None:
    """Also where only the audit can know it."""
    problems = audit(build(*_sites(files, exclude=["/"]))).problems

    assert any("exclusion '/' matches no route" in it for it in problems)


@pytest.mark.parametrize("build", [_beside_another, _below_starlette])
def test_the_audit_shows_one_that_cannot_be_told_from_others_as_it_is_served(
    build: Callable[[APIRouter, APIRouter], FastAPI], files: Path
) -> None:
    """The scopes of all templates are asked for."""
    app = build(*_sites(files))

    found = {it.path: (it.verdict, it.scopes) for it in audit(app).routes}

    assert (Verdict.GUARDED, ("admin",)) == found["/shop/{path}"]
    client = TestClient(app)
    answers = [client.get("/shop/a.txt", headers=it).status_code for it in ({}, GOOD)]
    assert [401, 403] == answers
