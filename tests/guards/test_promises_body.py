"""A request without a token, or with a bad one, is refused before its body is read."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, File, HTTPException, Security, UploadFile
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from jwt_deps import (
    JWTSettings,
    current_user_id,
    get_claims,
    get_scopes,
    get_settings,
    jwt_guard,
    optional,
    protect,
    protected_router,
    require_scopes,
)
from jwt_deps.testing import Prover
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, token, who

from .asking import (
    FOREIGN,
    GOOD,
    INSIDE,
    LIVE,
    drive,
    guarded_by,
    including,
    kinds_of_guard,
    read,
    scope_of,
    send_request,
)

Headers = dict[str, str]

CHUNKS = 100
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
MULTIPART = [PART + b"x" * 1024, *[b"x" * 1024] * (CHUNKS - 2), b"\r\n--b--\r\n"]
JSON = [b'{"size":', *[b" " * 1024] * (CHUNKS - 2), b"1}"]
FORM = [b"a=1", *[b"x" * 1024] * (CHUNKS - 1)]

BODIES = {
    "multipart": ("/upload", "multipart/form-data; boundary=b", MULTIPART),
    "json": ("/json", "application/json", JSON),
    "raw-in-an-api-route": ("/raw", "application/octet-stream", FORM),
    "raw-in-a-plain-route": ("/plain", "application/octet-stream", FORM),
}
bodies = pytest.mark.parametrize("body", list(BODIES))


def reading() -> APIRouter:
    """Make a router whose endpoints answer with the size of what they read."""
    router = APIRouter()

    @router.post("/upload")
    async def upload(file: Annotated[UploadFile, File()]) -> int:
        return len(await file.read())

    @router.post("/json")
    async def json(members: Annotated[dict[str, Any], Body()]) -> int:
        return int(members["size"])

    @router.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    async def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    router.add_route("/plain", plain, methods=["POST"])
    return router


def protected_application() -> FastAPI:
    return protect(including(reading()), SETTINGS)


def protected_before() -> FastAPI:
    """Protect an application first, and include the router then."""
    app = protect(FastAPI(), SETTINGS)
    app.include_router(reading())
    return app


def router_of_protected_application() -> FastAPI:
    app = FastAPI()
    app.router.routes.extend(reading().routes)
    return protect(app, SETTINGS)


def mounted_in_protected_application() -> FastAPI:
    app = protect(FastAPI(openapi_url=None), SETTINGS)
    app.mount("", including(reading()))
    return app


def behind_protected_router() -> FastAPI:
    return including(protected_router(reading(), settings=SETTINGS))


def behind_two_protected_routers() -> FastAPI:
    inner = protected_router(reading(), settings=SETTINGS)
    return including(protected_router(inner, settings=OTHER))


def protected_router_decorated_and_mounted() -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.mount("", protected_router(reading(), settings=SETTINGS))
    return app


def protected_router_mounted_below_a_guard() -> FastAPI:
    app = protect(FastAPI(openapi_url=None), OTHER)
    app.mount("", protected_router(reading(), settings=SETTINGS))
    return app


PLACES: list[Callable[[], FastAPI]] = [
    protected_application,
    protected_before,
    router_of_protected_application,
    mounted_in_protected_application,
]
if LIVE:  # up to 0.136 nothing of a router is asked before FastAPI reads the body
    PLACES += [
        behind_protected_router,
        behind_two_protected_routers,
        protected_router_decorated_and_mounted,
        protected_router_mounted_below_a_guard,
    ]
places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)


def send(app: FastAPI, body: str, headers: Headers) -> tuple[int, bytes, int]:
    path, content_type, chunks = BODIES[body]
    return send_request(app, "POST", path, {"content-type": content_type, **headers}, chunks)


@places
@bodies
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-token"),
        pytest.param(FOREIGN, id="foreign-token"),
        pytest.param({"Authorization": "Bearer nonsense"}, id="no-jwt"),
        pytest.param({"Authorization": "Basic YTpi"}, id="other-scheme"),
    ],
)
def test_a_refused_request_has_none_of_its_body_read(
    headers: Headers, body: str, place: Callable[[], FastAPI]
) -> None:
    """401, and `receive()` was not called once."""
    status, _, asked = send(place(), body, headers)

    assert (401, 0) == (status, asked)


class UnknownTenantError(Exception):
    """An error of the application's own."""


async def of_no_tenant(_: HTTPConnection) -> Any:
    raise UnknownTenantError


async def unknown_tenant(_: Request, __: Exception) -> Response:
    return PlainTextResponse("no such tenant", 404)


@bodies
@pytest.mark.parametrize("where", ["an override of get_settings", "a credential"])
@pytest.mark.parametrize("kind", ["protect", *(["protected_router"] if LIVE else [])])
def test_an_error_that_the_application_raises_for_a_guard_comes_before_the_body(
    kind: str, where: str, body: str
) -> None:
    """Its own exception handler answers, in place of a 422 that shows the schema."""
    options: dict[str, Any] = {}
    if where == "a credential":
        options = {"settings": SETTINGS, "credentials": [of_no_tenant]}
    app = FastAPI(exception_handlers={UnknownTenantError: unknown_tenant})
    app.dependency_overrides[get_settings] = of_no_tenant
    if kind == "protect":
        app.include_router(reading())
        protect(app, **options)
    else:
        app.include_router(protected_router(reading(), **options))

    status, answer, asked = send(app, body, {})

    assert (404, b"no such tenant", 0) == (status, answer, asked)


def failing_once() -> FastAPI:
    """An application that has no settings for the first request."""
    calls: list[int] = []

    async def flaky(_: HTTPConnection) -> JWTSettings:
        calls.append(1)
        if len(calls) == 1:
            raise UnknownTenantError
        return SETTINGS

    app = FastAPI(exception_handlers={UnknownTenantError: unknown_tenant})
    app.dependency_overrides[get_settings] = flaky
    return app


@bodies
def test_an_error_that_does_not_come_again_is_answered_all_the_same(body: str) -> None:
    """Otherwise the endpoint would take the body that was not read for an empty one."""
    app = failing_once()
    app.include_router(reading())

    status, _, asked = send(protect(app), body, GOOD)

    assert (404, 0) == (status, asked)


def test_an_error_before_a_route_that_no_guard_applies_to_takes_no_body_away() -> None:
    """There nothing is asked before the body is read."""
    app = failing_once()
    app.include_router(protected_router())
    app.include_router(reading(), dependencies=[Depends(current_user_id)])

    with TestClient(app) as client:  # which looks at the application
        answers = [client.post("/json", json={"size": 3}, headers=GOOD) for _ in range(2)]

    assert [404, 200] == [it.status_code for it in answers]
    assert 3 == answers[1].json()


@bodies
@pytest.mark.parametrize(
    "needed",
    [
        pytest.param(Depends(require_scopes("write")), id="requirement"),
        pytest.param(Depends(get_claims), id="claims"),
        pytest.param(Security(get_scopes, scopes=["write"]), id="scopes"),
        pytest.param(Security(optional(get_scopes), scopes=["write"]), id="optional-scopes"),
    ],
)
@pytest.mark.parametrize("headers", [{}, FOREIGN], ids=["no-token", "foreign-token"])
def test_a_requirement_over_an_excluded_route_refuses_before_its_body(
    headers: Headers, needed: Any, body: str
) -> None:
    """The guard lets the route pass, what is required asks for a token all the same."""
    app = protect(including(reading()), SETTINGS, ["/*"], [needed])

    status, _, asked = send(app, body, headers)

    assert (401, 0) == (status, asked)


@bodies
@pytest.mark.parametrize(
    "needed",
    [
        pytest.param(Depends(require_scopes("write")), id="requirement"),
        pytest.param(Security(get_scopes, scopes=["write"]), id="scopes"),
        pytest.param(Security(optional(get_scopes), scopes=["write"]), id="optional-scopes"),
    ],
)
def test_a_requirement_refuses_before_the_body_where_tokens_are_not_checked(
    needed: Any, body: str
) -> None:
    """Under `validate=False` the guard lets anonymous requests pass, what is required does not."""
    lenient = JWTSettings(secret_key=SECRET, validate=False)
    app = protect(including(reading()), lenient, dependencies=[needed])

    status, _, asked = send(app, body, {})

    assert (401, 0) == (status, asked)


def scoped_by_template(inner: APIRouter) -> FastAPI:
    return protect(including(inner), SETTINGS, scopes={"*": "write"})


def scoped_by_security(inner: APIRouter) -> FastAPI:
    router = APIRouter(dependencies=[Security(jwt_guard(SETTINGS), scopes=["write"])])
    router.include_router(inner)
    app = protect(FastAPI(), OTHER)  # before, so that FastAPI 0.136 takes the scopes along, too
    app.include_router(router)
    return app


@bodies
@pytest.mark.parametrize("place", [scoped_by_template, scoped_by_security])
@pytest.mark.parametrize("headers", [{}, FOREIGN], ids=["no-token", "foreign-token"])
def test_the_scopes_of_an_outer_guard_are_asked_for_before_the_body(
    headers: Headers, place: Callable[[APIRouter], FastAPI], body: str
) -> None:
    """They hold where the innermost guard excludes the route."""
    app = place(protected_router(reading(), settings=SETTINGS, exclude=["/*"]))

    status, _, asked = send(app, body, headers)

    assert (401, 0) == (status, asked)


@bodies
def test_an_override_of_what_is_optional_decides_over_an_excluded_route(body: str) -> None:
    """It is not asked for a token before, nor for its scopes."""
    needed = Security(optional(current_user_id), scopes=["write"])
    app = protect(including(reading()), SETTINGS, exclude=["/*"], dependencies=[needed])
    app.dependency_overrides[current_user_id] = lambda: "alice"

    status, _, asked = send(app, body, {})

    assert (200, CHUNKS) == (status, asked)


@bodies
def test_an_optional_guard_over_an_excluded_route_asks_by_its_own_settings(body: str) -> None:
    """Not by those of the guard that excludes the route."""
    needed = Security(optional(jwt_guard(OTHER)), scopes=["write"])
    app = protect(including(reading()), SETTINGS, exclude=["/*"], dependencies=[needed])

    status, _, asked = send(app, body, bearer(OTHER_SECRET, scope="write"))

    assert (200, CHUNKS) == (status, asked)


@bodies
def test_what_is_optional_over_an_excluded_route_asks_for_nothing(body: str) -> None:
    """The whole body arrives without a token."""
    app = protect(including(reading()), SETTINGS, ["/*"], [Depends(optional(get_claims))])

    assert (200, CHUNKS) == send(app, body, {})[::2]


@pytest.mark.parametrize("may", [Depends(optional(get_claims)), Depends(get_claims)])
def test_what_an_application_replaces_over_an_excluded_route_asks_for_nothing(may: Any) -> None:
    """Nor does what is optional: the whole body arrives."""
    app = protect(including(reading()), SETTINGS, ["/*"], [may])
    app.dependency_overrides[get_claims] = lambda: {"sub": "alice"}

    assert (200, CHUNKS) == send(app, "json", {})[::2]


@places
@bodies
def test_the_body_arrives_whole_with_a_good_token(body: str, place: Callable[[], FastAPI]) -> None:
    """All chunks, in their order."""
    size = {"json": 1, "multipart": 1024 * (CHUNKS - 1)}.get(body, 3 + 1024 * (CHUNKS - 1))

    status, answer, asked = send(place(), body, GOOD)

    assert (200, str(size), CHUNKS) == (status, answer.decode(), asked)


def test_a_body_may_have_any_number_of_parts() -> None:
    """The guard is asked before the first of them alone."""
    headers = {"content-type": "application/json", **GOOD}
    parts = [b'{"size":', *[b" "] * 2_000, b"1}"]

    status, answer, _ = send_request(protected_application(), "POST", "/json", headers, parts)

    assert (200, "1") == (status, answer.decode())


@places
@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), (FOREIGN, 401), (GOOD, 422)], ids=["none", "foreign", "good"]
)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"size":', id="malformed"),
        pytest.param(b"[]", id="of-another-type"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_wrong_body_is_explained_with_a_good_token_only(
    text: bytes, headers: Headers, status: int, place: Callable[[], FastAPI]
) -> None:
    """422 shows the schema; without a token it is 401."""
    answer = send_request(
        place(), "POST", "/json", {"content-type": "application/json", **headers}, [text]
    )

    assert status == answer[0]


@places
def test_a_client_that_hangs_up_after_its_headers_is_refused(place: Callable[[], FastAPI]) -> None:
    """No body, no end of a body: the refusal does not wait for either."""
    status, _, asked = send_request(
        place(), "POST", "/json", {"content-type": "application/json"}, []
    )

    assert (401, 0) == (status, asked)


@pytest.mark.parametrize("place", [behind_protected_router, protected_application])
def test_a_large_upload_is_answered_with_its_size(place: Callable[[], FastAPI]) -> None:
    """Through a real client, which streams."""
    client = TestClient(place())

    files = {"file": b"x" * 200_000}
    answers = [
        client.post("/upload", files=files, headers=headers) for headers in ({}, FOREIGN, GOOD)
    ]

    assert [401, 401, 200] == [answer.status_code for answer in answers]
    assert 200_000 == answers[2].json()


if not LIVE:

    def test_a_protected_router_refuses_after_the_body_up_to_0_136() -> None:
        """FastAPI reads it first there; the refusal is a 401 all the same, and nothing runs."""
        status, _, _ = send(behind_protected_router(), "json", {})

        assert status == 401


ORIGIN = "https://api.example.com"


def with_a_body() -> APIRouter:
    """Make a router with a route that has a body."""
    router = APIRouter()

    @router.post("/x")
    async def x(number: Annotated[int, Body(embed=True)]) -> list[Any]:
        return [INSIDE, number]

    return router


class Unreachable:
    """A list of revoked tokens that cannot be asked."""

    def is_revoked(self, _: Mapping[str, Any]) -> bool:
        """Fail as a database that is down."""
        raise ConnectionError


@kinds_of_guard
def test_an_error_of_the_check_is_no_error_of_the_body(kind: str) -> None:
    """FastAPI would answer it with 400, as if the client were to blame."""
    router = with_a_body()
    router.get("/x")(read)
    settings = SETTINGS.model_copy(update={"revocation": Unreachable()})
    client = TestClient(guarded_by(kind, router, settings))

    for method, sent in (("GET", None), ("POST", {"number": 1})):
        with pytest.raises(ConnectionError):
            client.request(method, "/x", headers=GOOD, json=sent)


@kinds_of_guard
def test_what_replaces_a_dependency_may_read_the_body(kind: str) -> None:
    """It is there for the route afterwards."""

    async def claims(request: Request) -> dict[str, str]:
        return {"sub": str((await request.json())["number"])}

    app = guarded_by(kind, with_a_body())
    app.dependency_overrides[get_claims] = claims

    assert [INSIDE, 1] == TestClient(app).post("/x", json={"number": 1}).json()


class Distant:
    """A store of proofs that takes its time, as one in the network does."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    async def add_if_absent(self, key: str, _: float) -> bool:
        """Keep the proof, and answer later."""
        is_new = key not in self.known
        self.known.add(key)
        await asyncio.sleep(0.01)
        return is_new


async def connected(request: Request) -> None:
    """End the request if the client has gone: Starlette cancels what it waits for then."""
    if await request.is_disconnected():
        raise HTTPException(499)


class Connected(APIRoute):
    """A route class that asks first whether the client has gone."""

    def get_route_handler(self) -> Any:
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            await connected(request)
            answer: Response = await original(request)
            return answer

        return handler


@pytest.mark.parametrize("place", ["dependency", "route class"])
@kinds_of_guard
def test_a_proof_is_not_used_up_by_asking_whether_the_client_is_there(
    kind: str, place: str
) -> None:
    """The check of the proof is not cancelled half-way."""
    alice = Prover(ORIGIN)
    bound = token(**alice.binding)
    settings = JWTSettings(
        secret_key=SECRET, public_origin=ORIGIN, dpop="required", dpop_replay_store=Distant()
    )
    router = APIRouter(route_class=Connected if place == "route class" else APIRoute)

    router.get("/me")(who)
    inner = guarded_by(kind, router, settings)
    app = FastAPI(dependencies=[Depends(connected)] if place == "dependency" else [])
    app.include_router(inner.router) if kind != "protect" else app.mount("", inner)

    answer = TestClient(app).get("/me", headers=alice(bound, "GET", "/me"))

    assert (200, "alice") == (answer.status_code, answer.json())


def test_a_route_class_that_asks_first_who_is_calling() -> None:
    """The settings that the application replaces were asked for by then."""

    class Asking(APIRoute):
        def get_route_handler(self) -> Any:
            original = super().get_route_handler()

            async def handler(request: Request) -> Response:
                with suppress(HTTPException):
                    await current_user_id(request, SecurityScopes())
                answer: Response = await original(request)
                return answer

            return handler

    app = protect(FastAPI())
    app.dependency_overrides[get_settings] = lambda: SETTINGS
    app.router.route_class = Asking

    @app.post("/x")
    async def x(number: Annotated[int, Body(embed=True)]) -> int:
        return number

    for headers in ({}, FOREIGN):
        status, _, chunks = send_request(app, "POST", "/x", headers, JSON)
        assert (401, 0) == (status, chunks)


class Recording(APIRoute):
    """A route class that keeps a body for a report where it gets one, as the Sentry SDK does."""

    def get_route_handler(self) -> Any:
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            with suppress(Exception):
                await request.body()
            answer: Response = await original(request)
            return answer

        return handler


def reading_in(route_class: type[APIRoute]) -> APIRouter:
    """Make the same router, with a route class around its routes."""
    router = APIRouter(route_class=route_class)
    for route in reading().routes:
        if isinstance(route, APIRoute):
            router.add_api_route(route.path, route.endpoint, methods=["POST"])
    return router


@pytest.mark.parametrize("kind", ["protect", *(["protected_router"] if LIVE else [])])
@pytest.mark.parametrize("body", ["multipart", "json", "raw-in-an-api-route"])
def test_what_swallows_a_refusal_reads_no_body_either(body: str, kind: str) -> None:
    """Nor does FastAPI after it."""
    app = guarded_by(kind, reading_in(Recording))

    for headers in ({}, FOREIGN):
        status, _, chunks = send(app, body, headers)
        assert (401, 0) == (status, chunks)
    assert 200 == send(app, body, GOOD)[0]


@pytest.mark.parametrize("kind", ["protect", *(["protected_router"] if LIVE else [])])
def test_what_answers_a_refusal_can_read_the_body(kind: str) -> None:
    """A log of refused requests may have it."""
    app = guarded_by(kind, reading())

    @app.exception_handler(HTTPException)
    async def log(request: Request, error: HTTPException) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())), error.status_code)

    status, answer, chunks = send(app, "json", {})

    assert (401, CHUNKS) == (status, chunks)
    assert len(b"".join(JSON)) == int(answer)


class Streaming(APIRoute):
    """A route class that answers a refusal by itself, in parts."""

    def get_route_handler(self) -> Any:
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                answer: Response = await original(request)
            except HTTPException as error:
                return StreamingResponse(iter(["refused ", "here"]), error.status_code)
            return answer

        return handler


def test_a_route_class_can_answer_a_refusal_with_a_stream() -> None:
    """Starlette receives meanwhile, to see whether the client leaves, up to ASGI 2.3."""
    app = guarded_by("protect", reading_in(Streaming))
    scope = {**scope_of("POST", "/json", {}), "asgi": {"version": "3.0", "spec_version": "2.3"}}

    status, answer, _ = asyncio.run(drive(app, scope, JSON, pause=0.05))

    assert (401, b"refused here") == (status, answer)
