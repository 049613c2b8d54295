"""Requirements add up from the outside to the inside, and none of them is ever dropped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    current_user_id,
    jwt_guard,
    protect,
    protected_router,
    require,
    require_acr,
    require_claim,
    require_roles,
    require_scopes,
)
from tests.minting import OTHER_SECRET, SECRET
from tests.pairing import pairwise
from tests.web.serving import OTHER, SETTINGS, bearer

from .asking import (
    INSIDE,
    LIVE,
    REFUSED,
    Answer,
    ask,
    filled,
    including,
    knock,
    page,
    plain,
    read,
    talk,
)
from .kinds import Kind, kinds


async def only_admins(user: Annotated[str, Depends(current_user_id)]) -> None:
    """Refuse every user but one."""
    if user != "admin":
        raise HTTPException(403, "not an admin")


async def only_admins_by_class(user: Annotated[CurrentUser, Depends()]) -> None:
    """Refuse every user but one."""
    if user.id != "admin":
        raise HTTPException(403, "not an admin")


async def scoped_inside(_: Annotated[str, Security(current_user_id, scopes=["admin"])]) -> None:
    """Ask for a scope in a dependency of one's own."""


def only_admins_in_a_thread(user: Annotated[str, Depends(current_user_id)]) -> None:
    """Refuse every user but one, in a plain function."""
    if user != "admin":
        raise HTTPException(403, "not an admin")


def is_staff(claims: Claims) -> bool:
    """Whether the user works here."""
    return claims.get("staff") is True


async def is_an_admin(_: Claims, user: Annotated[str, Depends(current_user_id)]) -> bool:
    """Whether the user is the one."""
    return user == "admin"


@dataclass(frozen=True)
class Requirement:
    """Something that is asked of the caller.

    Attributes:
        dependency: asks for it.
        members: the claims of a token that suffices.
        status: of the refusal of a good token without them.
    """

    dependency: Callable[[], Any]
    members: dict[str, Any]
    status: int = 403


REQUIREMENTS = {
    "require_scopes": Requirement(lambda: Depends(require_scopes("admin")), {"scope": "admin"}),
    "security": Requirement(
        lambda: Security(current_user_id, scopes=["admin"]), {"scope": "admin"}
    ),
    "require_acr": Requirement(lambda: Depends(require_acr("phr")), {"acr": "phr"}, 401),
    "require_roles": Requirement(lambda: Depends(require_roles("admin")), {"roles": ["admin"]}),
    "require_claim": Requirement(lambda: Depends(require_claim("plan", "team")), {"plan": "team"}),
    "require": Requirement(lambda: Depends(require(is_staff)), {"staff": True}),
    "require-with-dependencies": Requirement(
        lambda: Depends(require(is_an_admin)), {"sub": "admin"}
    ),
    "own": Requirement(lambda: Depends(only_admins), {"sub": "admin"}),
    "own-by-class": Requirement(lambda: Depends(only_admins_by_class), {"sub": "admin"}),
    "own-in-a-thread": Requirement(lambda: Depends(only_admins_in_a_thread), {"sub": "admin"}),
    "own-with-scopes-inside": Requirement(lambda: Depends(scoped_inside), {"scope": "admin"}),
    "own-under-security": Requirement(
        lambda: Security(only_admins, scopes=["admin"]), {"sub": "admin", "scope": "admin"}
    ),
}
requirements = pytest.mark.parametrize("name", list(REQUIREMENTS))
#: In each place one that names scopes, in both spellings, and one of the caller's own.
IN_EACH_PLACE = ["require_scopes", "security", "own"]


def protected(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in `protected_router(dependencies=…)`, which is decorated."""
    router = protected_router(settings=SETTINGS, dependencies=asked)
    fill(router)
    return including(router)


def given_to_protected(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in `protected_router(router, dependencies=…)`."""
    router = APIRouter()
    fill(router)
    return including(protected_router(router, settings=SETTINGS, dependencies=asked))


def own_of_the_router(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in the router that is protected."""
    router = APIRouter(dependencies=asked)
    fill(router)
    return including(protected_router(router, settings=SETTINGS))


def inclusion_in_protected(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    router, outer = APIRouter(), protected_router(settings=SETTINGS)
    fill(router)
    outer.include_router(router, dependencies=asked)
    return including(outer)


def inclusion_of_protected(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it where a protected router is included in the application."""
    router = protected_router(settings=SETTINGS)
    fill(router)
    return including(router, dependencies=asked)


def outer_protected(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in a protected router around another one, with other settings."""
    router = protected_router(settings=SETTINGS)
    fill(router)
    return including(protected_router(router, settings=OTHER, dependencies=asked))


def whole_application(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in `protect(app, dependencies=…)`."""
    app = FastAPI()
    fill(app.router)
    return protect(app, SETTINGS, dependencies=asked)


def application_protected_before(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in `protect(app, dependencies=…)`, before there are routes."""
    app = protect(FastAPI(), SETTINGS, dependencies=asked)
    fill(app.router)
    return app


def application_including(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in `protect(app, dependencies=…)` over a router."""
    router = APIRouter()
    fill(router)
    return protect(including(router), SETTINGS, dependencies=asked)


def inclusion_in_protected_application(
    fill: Callable[[APIRouter], Any], asked: list[Any]
) -> FastAPI:
    router, app = APIRouter(), protect(FastAPI(), SETTINGS)
    fill(router)
    app.include_router(router, dependencies=asked)
    return app


def own_of_the_protected_application(fill: Callable[[APIRouter], Any], asked: list[Any]) -> FastAPI:
    """Ask for it in `FastAPI(dependencies=…)`, protected then."""
    app = FastAPI(dependencies=asked)
    fill(app.router)
    return protect(app, SETTINGS)


PLACES = [
    protected,
    given_to_protected,
    own_of_the_router,
    inclusion_in_protected,
    inclusion_of_protected,
    outer_protected,
    whole_application,
    application_protected_before,
    application_including,
    inclusion_in_protected_application,
    own_of_the_protected_application,
]
INCLUSIONS = {inclusion_of_protected, inclusion_in_protected_application}
OWN = {whole_application, application_protected_before, own_of_the_protected_application}
CASES = [
    pytest.param(name, place, id=f"{name}-{place.__name__}")
    for name in REQUIREMENTS
    for place in PLACES
    if name in IN_EACH_PLACE or place in {protected, whole_application}
]


def found(build: Callable[[], FastAPI], path: str, *tokens: Any, by: Any = ask) -> list[Answer]:
    """Return the answers to some tokens; all are `REFUSED` if the application cannot be built."""
    try:
        client = TestClient(build())
    except ConfigurationError:
        return [REFUSED] * len(tokens)
    return [by(client, path, headers) for headers in tokens]


@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_requirement_holds_for_api_routes(name: str, place: Callable[..., FastAPI]) -> None:
    """A good token without it is refused."""
    asked = REQUIREMENTS[name]
    app = place(lambda router: router.get("/x")(read), [asked.dependency()])

    assert [401, asked.status, 200] == [
        ask(app, "/x", headers) for headers in ({}, bearer(), bearer(**asked.members))
    ]


@pytest.mark.parametrize("kind", ["plain", "mount"])
@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_requirement_holds_where_fastapi_runs_no_dependencies(
    kind: str, name: str, place: Callable[..., FastAPI]
) -> None:
    """It is run there too, or the application is refused with a sentence."""
    asked = REQUIREMENTS[name]

    def fill(router: APIRouter) -> None:
        if kind == "plain":
            router.add_route("/x", plain)
        else:
            router.mount("/x", page())

    answers = found(
        lambda: place(fill, [asked.dependency()]),
        "/x" if kind == "plain" else "/x/y",
        {},
        bearer(),
        bearer(**asked.members),
    )

    if not LIVE and kind == "mount" and place not in OWN:
        assert [404, 404, 404] == answers
    elif not LIVE and place in INCLUSIONS:
        # Up to 0.136 FastAPI copies a plain route and throws away what its inclusion asks for.
        assert (401, 200) == (answers[0], answers[2])
    else:
        assert answers in ([401, asked.status, 200], [REFUSED] * 3)


@kinds
@pytest.mark.parametrize("name", ["require_scopes", "own"])
@pytest.mark.parametrize("place", [protected, whole_application])
def test_a_requirement_is_never_forgotten(
    place: Callable[..., FastAPI], name: str, kind: Kind, tmp_path: Path
) -> None:
    """Whatever the kind: never 200 without it."""
    asked = REQUIREMENTS[name]

    answers = found(
        lambda: place(lambda router: kind.add(router, tmp_path), [asked.dependency()]),
        kind.path,
        {},
        bearer(),
        bearer(**asked.members),
    )

    unserved = not LIVE and (kind.lost or (not kind.copied and place is protected))
    assert answers in ([404, 404, 404] if unserved else [401, asked.status, 200], [REFUSED] * 3)


@requirements
@pytest.mark.parametrize("place", [protected, whole_application, inclusion_of_protected])
@pytest.mark.parametrize("kind", ["api", "plain"])
def test_a_requirement_holds_for_websockets(
    kind: str, place: Callable[..., FastAPI], name: str
) -> None:
    asked = REQUIREMENTS[name]

    def fill(router: APIRouter) -> None:
        if kind == "api":
            router.websocket("/ws")(talk)
        else:
            router.add_websocket_route("/ws", talk)

    answers = found(
        lambda: place(fill, [asked.dependency()]),
        "/ws",
        {},
        bearer(),
        bearer(**asked.members),
        by=knock,
    )

    if kind == "api":
        assert [401, asked.status, 200] == answers
    elif not LIVE and place in INCLUSIONS:
        assert (401, 200) == (answers[0], answers[2])
    else:
        assert answers in ([401, asked.status, 200], [REFUSED] * 3)


def guarded_application(kind: str) -> Any:
    """Make an application with a guard of its own, under other settings."""
    app = FastAPI()
    if kind == "dependency":
        app = FastAPI(dependencies=[Depends(jwt_guard(OTHER))])
    inner = protected_router(settings=OTHER) if kind.endswith("router") else app.router
    inner.get("/x")(read)
    if kind != "dependency":
        inner.add_route("/plain", plain)
    if kind == "mounted-router":
        return inner
    if kind == "router":
        app.include_router(inner)
    return protect(app, OTHER) if kind == "protected" else app


@pairwise(
    place=[protected, whole_application, inclusion_of_protected],
    path=["/in/x", "/in/plain"],
    inner=["protected", "mounted-router", "dependency"],
    name=list(REQUIREMENTS),
)
def test_a_requirement_holds_for_a_mounted_application_with_a_guard_of_its_own(
    place: Callable[..., FastAPI], path: str, inner: str, name: str
) -> None:
    """It is checked under the settings of the inner guard, which authenticates."""
    if inner == "dependency" and path == "/in/plain":
        path = "/in/x"
    asked = REQUIREMENTS[name]

    answers = found(
        lambda: place(
            lambda router: router.mount("/in", guarded_application(inner)), [asked.dependency()]
        ),
        path,
        {},
        bearer(**asked.members),
        bearer(OTHER_SECRET),
        bearer(OTHER_SECRET, **asked.members),
    )

    if not LIVE and place is not whole_application:
        assert [404] * 4 == answers
    elif inner == "router":
        # The application has no guard, a router in it has: the requirement may be asked under the
        # settings at the mount, which refuses the tokens of the router.
        assert 200 not in answers[:3]
    else:
        assert answers in ([401, 401, asked.status, 200], [REFUSED] * 4)


@requirements
@pytest.mark.parametrize("path", ["/in/x", "/in/plain"])
def test_a_mounted_application_that_is_guarded_in_part_is_one_route_to_the_outer_guard(
    path: str, name: str
) -> None:
    """Its own guard covers one router of it: so both guards ask, each under its own settings."""
    asked = REQUIREMENTS[name]

    answers = found(
        lambda: whole_application(
            lambda router: router.mount("/in", guarded_application("router")), [asked.dependency()]
        ),
        path,
        {},
        bearer(**asked.members),
        bearer(OTHER_SECRET, **asked.members),
    )

    assert [401, 401, 401] == answers


def test_requirements_of_all_levels_add_up() -> None:
    """The application's, the inclusion's, the router's and the route's."""
    router = APIRouter(dependencies=[Depends(require_scopes("c"))])
    router.get("/api", dependencies=[Depends(require_scopes("d"))])(read)
    router.add_route("/plain", plain)
    outer = protected_router(router, settings=SETTINGS, dependencies=[Depends(require_scopes("b"))])
    app = including(outer, dependencies=[Depends(require_scopes("a"))])
    protect(app, SETTINGS, dependencies=[Depends(require_scopes("z"))])

    every = ["z", "a", "b", "c"]
    for missing in every:
        lost = missing == "a" and not LIVE  # FastAPI throws it away for a plain route
        scope = " ".join(scope for scope in [*every, "d"] if scope != missing)
        assert 403 == ask(app, "/api", bearer(scope=scope)), missing
        assert ask(app, "/plain", bearer(scope=scope)) in (200 if lost else 403, REFUSED), missing
    assert 403 == ask(app, "/api", bearer(scope=" ".join(every)))
    assert 200 == ask(app, "/api", bearer(scope=" ".join([*every, "d"])))
    assert ask(app, "/plain", bearer(scope=" ".join(every))) in (200, REFUSED)


def test_an_excluded_route_still_meets_the_callers_own_dependencies() -> None:
    """An exclusion is from the token, not from a rate limit or an API key of the caller's own."""

    async def closed() -> None:
        raise HTTPException(429)

    router = protected_router(
        settings=SETTINGS, dependencies=[Depends(closed)], exclude=["/api", "/plain"]
    )
    filled(router)
    app = including(router)

    assert 429 == ask(app, "/api")
    assert ask(app, "/plain") in (429, REFUSED)


def test_a_dependency_runs_once_per_request() -> None:
    """For an API route as for a plain one."""
    seen: list[str] = []

    async def note() -> None:
        seen.append("note")

    router = filled(protected_router(settings=SETTINGS, dependencies=[Depends(note)]))
    app = including(router)

    for path in ("/api", "/plain"):
        seen.clear()
        if ask(app, path, bearer()) == 200:
            assert ["note"] == seen


def test_a_dependency_never_runs_for_a_refused_request() -> None:
    """The guard runs first, before every other dependency over the same router."""
    seen: list[str] = []

    async def note() -> None:
        seen.append("note")

    router = filled(protected_router(settings=SETTINGS, dependencies=[Depends(note)]))
    router.mount("/mount", page())
    app = protect(including(router), SETTINGS, dependencies=[Depends(note)])

    for path in ("/api", "/plain", "/mount/x"):
        ask(app, path)

    assert [] == seen


def test_a_dependency_with_yield_is_left_after_the_answer() -> None:
    """Its resources are open while the endpoint runs, of a plain route as well."""
    seen: list[str] = []

    async def resource() -> Any:
        seen.append("open")
        yield "resource"
        seen.append("close")

    async def noting(_: Any) -> Any:
        seen.append("endpoint")
        return await plain(_)

    router = protected_router(settings=SETTINGS, dependencies=[Depends(resource)])
    router.add_route("/plain", noting)

    if found(lambda: including(router), "/plain", bearer()) == [200]:
        assert ["open", "endpoint", "close"] == seen


@pytest.mark.parametrize("own", [[], [Depends(require_scopes("hook"))]], ids=["guard", "and more"])
def test_an_exception_handler_has_the_request_of_a_plain_route(own: list[Any]) -> None:
    """It can read the body, which the endpoint has read before."""
    app = protect(FastAPI(), SETTINGS, dependencies=own)

    @app.exception_handler(HTTPException)
    async def handler(request: Request, _: Exception) -> PlainTextResponse:
        return PlainTextResponse(await request.body(), 422)

    async def hook(request: Request) -> PlainTextResponse:
        await request.body()
        raise HTTPException(422)

    app.add_route("/hook", hook, methods=["POST"])

    answer = TestClient(app).post("/hook", content="bad", headers=bearer(scope="hook"))

    assert (422, "bad") == (answer.status_code, answer.text)


def test_an_override_of_a_callers_own_dependency_holds_for_plain_routes() -> None:
    """Where it runs for them at all."""
    router = filled(protected_router(settings=SETTINGS, dependencies=[Depends(only_admins)]))
    app = including(router)
    app.dependency_overrides[only_admins] = lambda: None

    assert 200 == ask(app, "/api", bearer())
    assert ask(app, "/plain", bearer()) in (200, REFUSED)


def test_settings_that_refuse_no_request_still_require_scopes() -> None:
    """`validate=False` lets anonymous requests in; it grants nothing."""
    settings = JWTSettings(secret_key=SECRET, validate=False)
    router = filled(
        protected_router(settings=settings, dependencies=[Depends(require_scopes("admin"))])
    )
    app = including(router)

    for path in ("/api", "/plain"):
        client = TestClient(app)
        answers = [
            client.get(path, headers=headers) for headers in ({}, bearer(), bearer(scope="admin"))
        ]
        assert [False, False, True] == [INSIDE in answer.text for answer in answers]
