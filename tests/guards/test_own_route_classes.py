"""No answer leaves without the guard, whatever serves a route in a way of its own.

A route class that answers by itself, caches, or takes a refusal for something else; what replaces
a route, its handle or what a mount serves after the guard was found. What FastAPI's own routes do
with such a class stays as it is, and an exception handler of the application may answer a refusal.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from inspect import signature
from typing import Annotated, Any, cast
from unittest.mock import MagicMock

import fastapi.routing
import pytest
import starlette.routing
import wrapt
from fastapi import (
    APIRouter,
    Body,
    Depends,
    FastAPI,
    Form,
    HTTPException,
    Request,
    WebSocket,
    WebSocketException,
)
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import (
    ConfigurationError,
    jwt_guard,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.audit import Verdict, audit
from tests.web.serving import LIVE, OTHER, SETTINGS, VERSION, bearer, live_routes, who

from .asking import (
    FOREIGN,
    GOOD,
    INSIDE,
    REFUSED,
    Answer,
    Layer,
    answers_of,
    ask,
    assert_guarded,
    drive,
    filled,
    guarded_by,
    kinds_of_guard,
    knock,
    page,
    plain,
    read,
    talk,
)

ADMIN = bearer(scope="admin")
#: Whether FastAPI makes the handler of a route once: in between, an inclusion makes one each time.
KEEPS_HANDLERS = not (0, 137) <= VERSION <= (0, 139)
Handler = Callable[[Request], Any]
gated = pytest.mark.parametrize("kind", ["protect", "protected_router"])


def handling(around: Callable[[Handler], Handler], base: type[APIRoute] = APIRoute) -> Any:
    """A route class that wraps FastAPI's handler, as its documentation shows."""

    class Wrapping(base):  # type: ignore[misc, valid-type]
        def get_route_handler(self) -> Handler:
            return around(super().get_route_handler())

    return Wrapping


def caching(key: Callable[[Request], Any]) -> Callable[[Handler], Handler]:
    """Keep an answer, and give it again to a request with the same key."""

    def around(original: Handler) -> Handler:
        kept: dict[Any, Response] = {}

        async def handler(request: Request) -> Response:
            found = await key(request)
            if found not in kept:
                kept[found] = await original(request)
            return kept[found]

        return handler

    return around


async def path_of(request: Request) -> str:
    return request.url.path


class Answering(APIRoute):
    """A class that answers without running what applies to the route."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(INSIDE)(scope, receive, send)


class ReadingFirst(Answering):
    """The same, after it has read the body."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and answer."""
        await Request(scope, receive).body()
        await super().handle(scope, receive, send)


class Swallowing(APIRoute):
    """It answers while the refusal is handled, and is no exception handler all the same."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        except Exception:  # noqa: BLE001 - as such classes are written
            await JSONResponse(INSIDE)(scope, receive, send)


MIRROR = protect(FastAPI(), OTHER)
MIRROR.get("/x")(public(lambda: INSIDE))


class Mirroring(Answering):
    """What another application decides about an equal copy of its scope says nothing of it."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await drive(MIRROR, dict(scope))
        await super().handle(scope, receive, send)


class AnsweringForErrors(Answering):
    """It asks FastAPI with a copy of the scope, and has an older answer for errors."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        await APIRoute.handle(self, dict(scope), receive, keep)
        assert 401 == sent[0]["status"]
        await super().handle(scope, receive, send)


class Repeating(Layer):
    """A middleware around one route that repeats its first good answer."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.kept: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receive the body, and answer as before or ask the route."""
        messages, answer = [await receive()], list[Message]()

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        async def record(message: Message) -> None:
            answer.append(message)
            await send(message)

        if not self.kept:
            await self.app(scope, replay, record)
            self.kept = answer if answer[0]["status"] == 200 else []
            return
        for message in self.kept:
            await send(message)


class TestACache:
    """A good answer that is kept is not given to a request that no guard has decided about."""

    @pytest.mark.skipif(not KEEPS_HANDLERS, reason="FastAPI makes the handler anew each time")
    @pytest.mark.parametrize("start", [False, True])
    @kinds_of_guard
    def test_a_route_that_keeps_its_answers(self, kind: str, *, start: bool) -> None:
        """Filled by a good request, it answers one without a token with an error."""
        router = APIRouter(route_class=handling(caching(path_of)))
        router.get("/x")(read)
        client = TestClient(guarded_by(kind, router))

        with client if start else nullcontext():
            assert [401, 200, REFUSED] == [ask(client, "/x", it) for it in ({}, GOOD, {})]

    @pytest.mark.parametrize("place", ["application or router", "route", "around the route"])
    @kinds_of_guard
    def test_one_that_reads_the_body_runs_the_requirements(self, kind: str, place: str) -> None:
        """An administrator's answer is not repeated for a token that lacks the scope."""
        asked = [Depends(require_scopes("admin"))]
        outer = asked if place == "application or router" else []
        idempotent = handling(caching(Request.body))
        router = APIRouter(
            route_class=APIRoute if place == "around the route" else idempotent, dependencies=outer
        )

        @router.post("/x", dependencies=[] if outer else asked)
        async def x(number: Annotated[int, Body(embed=True)]) -> str:
            return INSIDE * number

        app = guarded_by(kind, router)
        if place == "around the route":
            for route in (*router.routes, *app.routes):
                if isinstance(route, APIRoute):
                    route.app = Repeating(route.app)

        def answer(headers: dict[str, str]) -> Any:
            return TestClient(app, raise_server_exceptions=False).post(
                "/x", headers=headers, json={"number": 1}
            )

        assert [403, 200] == [answer(it).status_code for it in (GOOD, ADMIN)]
        assert answer(GOOD).status_code in {403, 500}
        assert 401 == answer({}).status_code

    def test_one_that_raises_what_it_kept(self) -> None:
        """It reaches a handler as an exception, and the guard was not asked."""

        class CachedError(Exception):
            """A cached answer."""

        def raising(_: Handler) -> Handler:
            async def handler(_: Request) -> Any:
                raise CachedError

            return handler

        app = FastAPI(openapi_url=None)
        app.router.route_class = handling(raising)
        app.get("/x")(read)
        app.add_exception_handler(CachedError, lambda *_: PlainTextResponse(INSIDE))

        assert REFUSED == ask(protect(app, SETTINGS), "/x")


class TestAHandleOfItsOwn:
    """It runs no dependencies, and so its answer is refused."""

    @pytest.mark.parametrize("route_class", [Answering, ReadingFirst])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    @gated
    def test_its_answer_is_refused(
        self, kind: str, method: str, route_class: type[APIRoute]
    ) -> None:
        """Up to FastAPI 0.136 from the start of the application on."""
        asked = [Depends(require_scopes("admin"))]
        router = APIRouter(route_class=route_class, dependencies=asked)
        router.api_route("/x", methods=["GET", "POST"])(read)

        with TestClient(guarded_by(kind, router)) as client:
            assert REFUSED == ask(client, "/x", GOOD, method)
            assert ask(client, "/x", {}, method) in {401, REFUSED}

    @pytest.mark.parametrize(
        ("route_class", "method"),
        [(Swallowing, "POST"), (Mirroring, "GET"), (AnsweringForErrors, "GET")],
    )
    @gated
    def test_so_it_is_where_it_answers_in_place_of_a_refusal(
        self, kind: str, route_class: type[APIRoute], method: str
    ) -> None:
        router = APIRouter(route_class=route_class)
        router.add_api_route("/x", read, methods=[method])

        with TestClient(guarded_by(kind, router)) as client:
            assert REFUSED == ask(client, "/x", {}, method)

    @pytest.mark.parametrize("route_class", [Answering, ReadingFirst])
    def test_under_a_mere_guard_from_its_first_request_on(
        self, route_class: type[APIRoute]
    ) -> None:
        """Before that nothing of the application is known."""
        router = APIRouter(route_class=route_class)
        router.get("/x")(read)
        router.add_api_route("/met", read, route_class_override=APIRoute)
        client = TestClient(guarded_by("jwt_guard", router))

        assert 200 == ask(client, "/met", GOOD)
        assert ask(client, "/x") in {401, REFUSED}

    @pytest.mark.parametrize("kind", [FastAPI, APIRouter])
    def test_below_the_guard_of_a_mount(self, kind: Any) -> None:
        inner = kind(dependencies=[Depends(jwt_guard(OTHER))])
        (inner if kind is APIRouter else inner.router).route_class = Answering
        inner.get("/x")(read)
        app = protect(FastAPI(), SETTINGS)
        app.mount("/sub", inner)

        assert REFUSED == ask(app, "/sub/x")

    def test_in_a_router_that_is_mounted_below_a_guard(self) -> None:
        """That the guard at the mount let the request pass says nothing of the one inside."""
        inner = protected_router(settings=OTHER, route_class=Answering)
        inner.get("/x")(read)
        app = protect(FastAPI(), SETTINGS)
        app.router.routes.append(Mount("/sub", routes=[Mount("/in", inner)]))

        assert REFUSED == ask(app, "/sub/in/x", GOOD)

    def test_in_an_application_that_replaces_another_dependency(self) -> None:
        """That says nothing of the guard."""
        app = protect(FastAPI(), SETTINGS)
        app.router.route_class = Answering
        app.get("/x")(read)
        app.dependency_overrides[read] = plain

        assert REFUSED == ask(app, "/x")

    def test_of_which_another_application_gives_the_answer(self) -> None:
        """A guard applies to some routes of that one, and not to this."""

        class Bare(FastAPI):
            def build_middleware_stack(self) -> ASGIApp:
                return self.router

        router, other = protected_router(settings=SETTINGS, prefix="/met"), Bare()
        filled(router)
        other.include_router(router)
        other.get("/api")(read)
        with TestClient(other):
            """Since it has started it looks at its routes."""

        class HandingOn(APIRoute):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await other(scope, receive, send)

        app = protect(FastAPI(), SETTINGS)
        app.router.route_class = HandingOn
        app.get("/api")(read)

        assert REFUSED == ask(app, "/api")

    @pytest.mark.parametrize(("status", "expected"), [(302, REFUSED), (399, REFUSED), (400, 400)])
    def test_an_answer_of_its_own_that_says_no(self, status: int, expected: Answer) -> None:
        """An error tells nothing that is guarded; a redirect can carry a code or a session."""

        class Refusing(APIRoute):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await PlainTextResponse("no", status)(scope, receive, send)

        app = protect(FastAPI(), SETTINGS)
        app.router.route_class = Refusing
        app.get("/x")(read)

        assert expected == ask(app, "/x")

    @gated
    def test_a_redirect_of_a_part_that_comes_to_the_route_of_its_batch(self, kind: str) -> None:
        """The route is the one that the copied scope named already."""

        def redirecting(original: Handler) -> Handler:
            async def handler(request: Request) -> Response:
                if "x-part" in request.headers:
                    return RedirectResponse("/inside", 302)
                return cast("Response", await original(request))

            return handler

        router = APIRouter(route_class=handling(redirecting))

        @router.get("/batch")
        async def batch(request: Request) -> None:
            await drive(app, {**request.scope, "headers": [(b"x-part", b"1")]})

        app = guarded_by(kind, router)

        with TestClient(app) as client:
            assert REFUSED == ask(client, "/batch", GOOD)

    @pytest.mark.parametrize("kind", ["protected_router", "jwt_guard"])
    def test_where_an_open_mount_hands_the_request_on_to_it(self, kind: str) -> None:
        """That no guard applies to the mount says nothing of the route."""
        router = APIRouter(route_class=Answering)
        router.get("/x")(read)
        router.add_api_route("/met", read, route_class_override=APIRoute)
        app = guarded_by(kind, router)

        async def forward(scope: Scope, receive: Receive, send: Send) -> None:
            await app.router({**scope, "path": "/x", "root_path": ""}, receive, send)

        app.mount("/open", forward)

        assert 200 == ask(app, "/met", GOOD)
        assert REFUSED == ask(app, "/open/")

    @pytest.mark.parametrize(
        "respond", [lambda: JSONResponse(INSIDE), lambda: RedirectResponse("/inside", 302)]
    )
    @pytest.mark.parametrize("arguments", [1, 3])
    def test_a_handshake_that_is_answered_with_a_denial_response_that_denies_nothing(
        self, respond: Callable[[], Response], arguments: int
    ) -> None:
        """Also where the endpoint takes as many arguments as an ASGI application."""

        class OwnWebSocket(APIWebSocketRoute):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                websocket = WebSocket(scope, receive, send)
                await websocket.receive()
                await websocket.send_denial_response(respond())

        async def endpoint(websocket: WebSocket, first: str = "", second: str = "") -> None:
            """Not called."""

        app = protect(FastAPI(), SETTINGS)
        app.add_api_websocket_route("/ws", read if arguments == 1 else endpoint)
        app.routes[-1].__class__ = OwnWebSocket

        with pytest.raises(ConfigurationError), TestClient(app).websocket_connect("/ws"):
            pass

    @pytest.mark.parametrize(
        "way", ["protect", pytest.param("protected_router", marks=live_routes)]
    )
    def test_a_scope_that_is_served_twice_passes_the_gate_twice(self, way: str) -> None:
        """What was put around the first passage is gone with it."""

        class Again(Layer):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                for _ in range(2 if scope["type"] == "http" else 0):
                    try:
                        return await self.app(scope, receive, send)
                    except ConfigurationError:
                        continue
                return await self.app(scope, receive, send)

        router = APIRouter(route_class=Answering)
        router.get("/x")(read)
        app = guarded_by(way, router)
        app.add_middleware(Again)

        assert REFUSED == ask(app, "/x")


@kinds_of_guard
def test_a_handler_that_swallows_the_refusal_answers_nothing(kind: str) -> None:
    """It reads the body under `except Exception`, and meant no JSON."""

    def swallowing(original: Handler) -> Handler:
        async def handler(request: Request) -> Response:
            try:
                await request.json()
            except Exception:  # noqa: BLE001 - that is the point
                return JSONResponse(INSIDE)
            return await original(request)  # type: ignore[no-any-return]

        return handler

    router = APIRouter(route_class=handling(swallowing))

    @router.post("/x")
    async def x(_: dict[str, str]) -> str:
        return INSIDE

    app = guarded_by(kind, router)
    # A mere guard has to have been asked once.
    assert 200 == TestClient(app).post("/x", json={}, headers=GOOD).status_code

    assert [REFUSED, REFUSED] == [ask(app, "/x", it, "POST") for it in ({}, FOREIGN)]


@gated
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_that_becomes_an_error_of_the_application(kind: str, method: str) -> None:
    """The handler of that error answers as it likes."""

    class LoginNeededError(Exception):
        """An error of the application's own."""

    def translating(original: Handler) -> Handler:
        async def handler(request: Request) -> Any:
            try:
                return await original(request)
            except HTTPException as error:
                raise LoginNeededError from error

        return handler

    router = APIRouter(route_class=handling(translating))
    router.add_api_route("/x", read, methods=[method])
    app = guarded_by(kind, router)
    app.add_exception_handler(LoginNeededError, lambda *_: Response(status_code=303))

    with TestClient(app, follow_redirects=False) as client:
        answers = [client.request(method, "/x", headers=it).status_code for it in ({}, GOOD)]

    assert [303, 200] == answers


def timing(original: Handler) -> Handler:
    """Add a header to the answers, as in FastAPI's documentation."""

    async def handler(request: Request) -> Response:
        response: Response = await original(request)
        response.headers["x-time"] = "1"
        return response

    return handler


Timed = handling(timing)


@pytest.mark.parametrize(
    ("status", "respond"),
    [
        pytest.param(303, lambda: RedirectResponse("/login", 303), id="redirect"),
        pytest.param(200, lambda: JSONResponse({"code": 401}), id="envelope"),
        pytest.param(200, lambda: StreamingResponse(iter(["log in"])), id="stream"),
    ],
)
@pytest.mark.parametrize("route_class", [APIRoute, Timed], ids=["fastapi", "timed"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@kinds_of_guard
def test_an_exception_handler_answers_a_refusal(
    kind: str,
    method: str,
    route_class: type[APIRoute],
    status: int,
    respond: Callable[[], Response],
) -> None:
    """With whatever status, and whether or not the route reads a body."""
    router = APIRouter(route_class=route_class)
    router.get("/x")(read)

    @router.post("/x")
    async def x(number: Annotated[int, Body(embed=True)]) -> str:
        return INSIDE * number

    app = guarded_by(kind, router)
    app.add_exception_handler(HTTPException, lambda *_: respond())
    client = TestClient(app, follow_redirects=False)

    answer = client.request(method, "/x", json={"number": 1} if method == "POST" else None)

    assert status == answer.status_code
    assert INSIDE not in answer.text


@kinds_of_guard
def test_an_exception_handler_answers_with_a_part_of_a_file(kind: str) -> None:
    """The client asked for it, and Starlette's `FileResponse` answers 206 in place of 200."""

    class Handler:
        async def __call__(self, *_: object) -> Response:
            return FileResponse(__file__)

    router = APIRouter()
    router.get("/x")(read)
    app = guarded_by(kind, router)
    app.add_exception_handler(401, Handler())

    answer = TestClient(app).get("/x", headers={"Range": "bytes=0-2"})

    assert (206, '"""') == (answer.status_code, answer.text)


@kinds_of_guard
@pytest.mark.parametrize("of", [401, WebSocketException, HTTPException])
def test_an_exception_handler_accepts_a_websocket_to_close_it(kind: str, of: Any) -> None:
    """A browser sees the code of a connection that was accepted, and no status."""

    async def close(websocket: WebSocket, _: Exception) -> None:
        await websocket.accept()
        await websocket.close(4401)

    router = APIRouter()
    router.websocket("/x")(talk)
    app = guarded_by(kind, router)
    app.add_exception_handler(of, close)
    without_denials = of is WebSocketException

    async def served(scope: Any, receive: Receive, send: Send) -> None:
        await app({**scope, **({"extensions": {}} if without_denials else {})}, receive, send)

    with TestClient(served).websocket_connect("/x") as websocket:
        assert 4401 == websocket.receive()["code"]


def test_an_exception_handler_that_fails_has_answered_nothing() -> None:
    """What a route class makes of it is refused."""

    class Swallowing(APIRoute):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await super().handle(scope, receive, send)
            except ZeroDivisionError:
                await PlainTextResponse(INSIDE)(scope, receive, send)

    async def fail(*_: object) -> Response:
        raise ZeroDivisionError

    router = APIRouter(route_class=Swallowing)
    router.get("/x")(read)
    app = protect(FastAPI(), SETTINGS)
    app.include_router(router)
    app.add_exception_handler(401, fail)

    assert REFUSED == ask(app, "/x")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_handler_below_a_middleware_that_serves_in_a_task(method: str) -> None:
    """The guard of the application around it lets the redirect to the login pass."""

    async def in_a_task(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    async def to_the_login(*_: Any) -> Response:
        return RedirectResponse("/login", 303)

    inner = FastAPI(
        dependencies=[Depends(jwt_guard(OTHER))], exception_handlers={HTTPException: to_the_login}
    )
    inner.add_middleware(BaseHTTPMiddleware, dispatch=in_a_task)
    inner.router.route_class = Timed
    inner.add_api_route("/x", lambda: JSONResponse(INSIDE), methods=[method])
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", inner)
    client = TestClient(app, follow_redirects=False)

    # From its first request on the inner application is known to have a guard.
    found = [client.request(method, "/m/x", headers=it).status_code for it in (FOREIGN, {})]

    assert [200, 303] == found


@live_routes
@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/m/none", id="no-route"),
        pytest.param("POST", "/m/api", id="another-method"),
        pytest.param("POST", "/m/plain", id="another-method-of-a-plain-route"),
    ],
)
def test_a_handler_around_a_mounted_router_answers_what_no_route_serves(
    method: str, path: str
) -> None:
    """With a page, as for the paths of an application in the browser."""
    router = filled(protected_router(settings=SETTINGS))
    handler = ExceptionMiddleware(
        router, handlers=dict.fromkeys((404, 405), lambda *_: PlainTextResponse("a page"))
    )
    app = FastAPI(routes=[Mount("/m", handler)])
    client = TestClient(app)

    # From its first request to a guard on the application is known to have one.
    found = [client.get("/m/api"), *(client.request(method, path) for _ in range(2))]

    assert [401, 200, 200] == [it.status_code for it in found]


@kinds_of_guard
def test_a_class_that_hands_on_a_copy_of_the_scope(kind: str) -> None:
    """It is the same request: valid ones are served, public routes stay public."""

    def forcing(original: Handler) -> Handler:
        """Take every body for JSON."""

        async def handler(request: Request) -> Any:
            headers = [it for it in request.scope["headers"] if it[0] != b"content-type"]
            headers.append((b"content-type", b"application/json"))
            return await original(Request({**request.scope, "headers": headers}, request.receive))

        return handler

    router = APIRouter(route_class=handling(forcing))

    router.get("/me")(who)

    @router.post("/body")
    async def body(number: Annotated[int, Body(embed=True)]) -> int:
        return number

    router.get("/anyone")(public(lambda: INSIDE))
    client = TestClient(guarded_by(kind, router))

    assert [401, 200] == [client.get("/me", headers=it).status_code for it in ({}, GOOD)]
    assert 1 == client.post("/body", headers=GOOD, content='{"number": 1}').json()
    assert [200, 200] == [ask(client, "/anyone", it) for it in ({}, GOOD)]


def test_a_token_that_is_gone_after_the_body_was_read_is_missed() -> None:
    """The guard is asked again, as FastAPI does."""

    def stripping(original: Handler) -> Handler:
        async def handler(request: Request) -> Any:
            await request.body()
            kept = [it for it in request.scope["headers"] if it[0] != b"authorization"]
            request.scope["headers"] = kept
            return await original(request)

        return handler

    app = protect(FastAPI(), SETTINGS)
    app.router.route_class = handling(stripping)
    app.post("/x")(read)

    assert 401 == ask(app, "/x", GOOD, method="POST")


class Compressing(APIRoute):
    """A class that puts a middleware around its routes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = GZipMiddleware(self.app)


@pytest.mark.parametrize(
    "route_class", [APIRoute, Timed, Compressing], ids=["fastapi", "timed", "compressing"]
)
@pytest.mark.parametrize("kind", ["protected_router", "jwt_guard"])
@pytest.mark.parametrize(
    ("status", "answer"), [(303, 303), (304, 304), (307, 307), (429, 200)], ids=str
)
def test_a_dependency_further_out_can_end_a_request(
    status: int, answer: int, kind: str, route_class: type[APIRoute]
) -> None:
    """Before the guard is asked, by a redirect or by an error that is answered with success."""

    async def end() -> None:
        raise HTTPException(status, headers={"Location": "/elsewhere"})

    router = APIRouter(route_class=route_class)
    router.get("/x")(read)
    router.get("/anyone")(public(lambda: INSIDE))
    guarded = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
    guarded.include_router(router)
    if kind == "protected_router":
        guarded = protected_router(router, settings=SETTINGS)
    app = FastAPI(dependencies=[Depends(end)], openapi_url=None)
    app.include_router(guarded)
    if status == 429:
        app.add_exception_handler(HTTPException, lambda *_: JSONResponse({"code": 429}))

    with TestClient(app, follow_redirects=False) as client:
        found = [
            client.get(path, headers=it) for it in ({}, GOOD, GOOD) for path in ("/x", "/anyone")
        ]

    assert [answer] * 6 == [it.status_code for it in found]
    assert not any(INSIDE in it.text for it in found)


# ---- what is replaced ---------------------------------------------------------------------------

# Starlette's, until FastAPI had one of its own.
to_app = getattr(fastapi.routing, "request_response", starlette.routing.request_response)


async def other() -> str:
    """Answer in place of the endpoint."""
    return INSIDE


async def from_a_cache(_: Request) -> PlainTextResponse:
    return PlainTextResponse(INSIDE)


async def see_other(_: Request) -> PlainTextResponse:
    raise HTTPException(303, headers={"Location": "/done"})


def with_another_endpoint(route: APIRoute) -> None:
    """As a decorator does that comes after the route."""
    route.endpoint = other
    route.dependant = get_dependant(path=route.path_format, call=other)
    route.app = to_app(route.get_route_handler())


def without_dependencies(route: APIRoute) -> None:
    """As a tool does that removes some of them."""
    route.dependant.dependencies.clear()
    route.app = to_app(route.get_route_handler())


def with_a_cache(route: APIRoute) -> None:
    route.app = to_app(from_a_cache)


def with_a_redirect(route: APIRoute) -> None:
    """Its endpoint has run when it raises."""
    route.app = to_app(see_other)


def with_a_handle(route: APIRoute) -> None:
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(INSIDE)(scope, receive, send)

    route.handle = handle  # type: ignore[method-assign]


async def to_the_cache(_: Message) -> None:
    """Send something to a server that is down."""
    raise ConnectionError


class FromCache(Layer):
    """An ASGI application around a route, which answers where its cache is down."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or accept, in an `except` block: that is no exception handler."""
        try:
            await to_the_cache({})
        except ConnectionError:
            if scope["type"] == "websocket":
                await talk(WebSocket(scope, receive, send))
            else:
                await PlainTextResponse(INSIDE)(scope, receive, send)


class Stale(Layer):
    """An ASGI application around a route, which answers for it where it fails or refuses."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the answer, and send another one."""

        async def keep(_: Message) -> None: ...

        try:
            await self.app(scope, receive, keep)
        except Exception:  # noqa: BLE001 - whatever it is
            await PlainTextResponse(INSIDE)(scope, receive, send)
        else:
            await PlainTextResponse(INSIDE)(scope, receive, send)


def around(layer: Callable[[ASGIApp], ASGIApp], route: APIRoute) -> None:
    route.app = layer(route.app)


STALE = partial(around, Stale)


@pytest.mark.parametrize(
    "rebuild",
    [
        with_another_endpoint,
        without_dependencies,
        with_a_cache,
        with_a_redirect,
        with_a_handle,
        pytest.param(partial(around, FromCache), id="from_cache"),
        pytest.param(STALE, id="stale"),
    ],
)
@pytest.mark.parametrize("kind", ["protect", "jwt_guard"])
def test_a_route_that_no_longer_runs_its_guard_answers_nothing(
    kind: str, rebuild: Callable[[APIRoute], None]
) -> None:
    """With a token neither: the guard is what reads it."""
    guards = [Depends(jwt_guard(SETTINGS))] if kind == "jwt_guard" else []
    app = FastAPI(openapi_url=None, dependencies=guards)
    app.get("/x")(read)
    app.get("/y")(read)
    if kind == "protect":
        protect(app, SETTINGS)
    assert [401, 401] == [ask(app, path) for path in ("/x", "/y")]

    rebuild(next(it for it in app.routes if isinstance(it, APIRoute) and it.path == "/x"))

    assert REFUSED == ask(app, "/x")
    assert rebuild is STALE or REFUSED == ask(app, "/x", GOOD)
    assert 401 == ask(app, "/y")


def test_a_route_class_that_replaces_what_serves_it_answers_nothing() -> None:
    """As the one of `fastapi-jsonrpc`."""

    class Replacing(APIRoute):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.app = to_app(from_a_cache)

    app = FastAPI(openapi_url=None)
    app.router.route_class = Replacing
    app.get("/x")(read)

    assert REFUSED == ask(protect(app, SETTINGS), "/x", GOOD)


def test_a_websocket_that_is_accepted_in_an_except_block_is_refused() -> None:
    """Its route never asks the guard."""
    app = protect(FastAPI(openapi_url=None), SETTINGS)
    app.websocket("/x")(talk)
    route = next(it for it in app.routes if isinstance(it, APIWebSocketRoute))
    route.app = FromCache(route.app)

    assert [REFUSED, REFUSED] == [knock(app, "/x", headers) for headers in ({}, GOOD)]


async def effect(scope: Scope, *_: Any) -> None:
    """An application that must not run."""
    if scope["type"] != "lifespan":
        pytest.fail("it ran")


class TestWhatServesInAnotherWayLater:
    """Nothing runs before it is looked at."""

    @pytest.mark.parametrize("guarded", [False, True])
    def test_a_mount_of_something_else(self, *, guarded: bool) -> None:
        """The guard of what was mounted there decides nothing any more."""
        app = protect(FastAPI(), SETTINGS)
        app.mount("/m", protect(FastAPI(), OTHER) if guarded else page())
        assert ask(app, "/m/x") in {401, 404}
        (mount,) = [it for it in app.router.routes if isinstance(it, Mount)]
        mount.app = effect

        assert ask(app, "/m/x") in {401, REFUSED}

    def test_a_default_application(self) -> None:
        """It would serve what no route matches."""
        app = protect(FastAPI(), SETTINGS)
        app.get("/x")(read)
        assert 401 == ask(app, "/x")
        app.router.default = effect

        assert REFUSED == ask(app, "/nowhere")

    @pytest.mark.parametrize("path", ["/api", "/plain"])
    @pytest.mark.parametrize("guarded", [[], [Depends(jwt_guard(SETTINGS))]], ids=["", "guarded"])
    def test_a_route_with_a_handle_of_its_own(self, path: str, guarded: list[Any]) -> None:
        """Set on the one instance, it runs no dependencies."""
        app, router = protect(FastAPI(), SETTINGS), filled(APIRouter(dependencies=guarded))
        (route,) = (it for it in router.routes if getattr(it, "path", "") == path)
        vars(route)["handle"] = effect
        try:
            app.include_router(router)
        except ConfigurationError:
            assert guarded  # up to FastAPI 0.136, where it is looked at before it is copied
            return

        # Up to FastAPI 0.136 the route is copied, without its handle.
        assert (REFUSED if LIVE else 401) == ask(app, path)

    def test_a_route_that_lets_nothing_be_put_around_it(self) -> None:
        """Its application is a property."""

        class Fixed(Route):
            @property
            def app(self) -> ASGIApp:
                return effect

            @app.setter
            def app(self, _: ASGIApp) -> None:
                """Take nothing."""

        app = protect(FastAPI(), SETTINGS)
        app.router.routes.append(Fixed("/p", plain))

        assert REFUSED == ask(app, "/p")

    @pytest.mark.parametrize("when", ["before the inclusion", "after a request"])
    def test_a_router_with_a_handle_of_its_own(self, when: str) -> None:
        """It may run no dependencies."""
        router = APIRouter()
        router.get("/x")(read)
        app = protect(FastAPI(), SETTINGS)
        if when == "before the inclusion":
            vars(router)["handle"] = effect
        app.include_router(router)
        if when == "after a request":
            assert 401 == ask(app, "/x")
            vars(router)["handle"] = effect

        assert ask(app, "/x") in {REFUSED, 401}

    @live_routes
    def test_a_class_of_routers_with_a_handle_of_its_own(self) -> None:
        class Own(APIRouter):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await effect(scope, receive, send)

        with pytest.raises(ConfigurationError, match="in its own way"):
            protected_router(Own(), settings=SETTINGS)

    @live_routes
    def test_a_class_of_routers_with_a_handle_of_its_own_below_a_mount(self) -> None:
        """Only the guard of the mount applies to it, which is asked before."""

        class Own(APIRouter):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await super().handle(scope, receive, send)

        app, mounted = protect(FastAPI(), SETTINGS), APIRouter()
        mounted.include_router(filled(Own()))
        app.mount("/m", mounted)

        assert_guarded(app, "/m/api")

    @pytest.mark.parametrize("served", [False, True])
    def test_another_router_of_the_application(self, *, served: bool) -> None:
        """Nothing of this package would be asked there, also where a new stack has it."""
        app = FastAPI()
        app.get("/before")(read)
        if served:
            assert 200 == ask(app, "/before")
        protect(app, SETTINGS)
        app.router = APIRouter()
        filled(app)
        app.router.get("/x")(read)
        if served:
            app.middleware_stack = None

        for path in ("/api", "/plain", "/x"):
            for headers in ({}, GOOD) if not served else ({},):
                assert ask(app, path, headers) in {REFUSED, 401}

    @pytest.mark.parametrize("by", ["protect", "jwt_guard"])
    def test_a_router_that_is_called_in_its_own_way(self, by: str) -> None:
        """It may never come to the gate; an error in the log is easily missed, so it stays."""

        class Own(APIRouter):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await self.app(scope, receive, send)

        app = FastAPI(openapi_url=None)
        guards = [Depends(jwt_guard(SETTINGS))] if by == "jwt_guard" else []
        app.router = Own(dependencies=guards)
        filled(app)
        if by == "protect":
            with pytest.raises(ConfigurationError, match="called in its own way"):
                protect(app, SETTINGS)
        else:
            assert [REFUSED] * 3 == [ask(app, "/api", headers) for headers in ({}, GOOD, GOOD)]


@pytest.mark.parametrize(
    "inner",
    [lambda: protect(FastAPI(), OTHER), lambda: protected_router(settings=OTHER)],
    ids=["protect", "protected_router"],
)
@pytest.mark.parametrize("kind", ["protect", pytest.param("protected_router", marks=live_routes)])
def test_a_middleware_in_front_of_an_inner_guard_answers_no_anonymous_request(
    kind: str, inner: Callable[[], ASGIApp]
) -> None:
    """The outer guard leaves the decision to the inner one, and sees that there was none."""

    class AnsweringItself(Layer):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse(INSIDE)(scope, receive, send)

    router = APIRouter()
    router.routes.append(Mount("/sub", app=inner(), middleware=[Middleware(AnsweringItself)]))
    app = guarded_by(kind, router)
    if kind == "protect":
        app.router.routes.extend(router.routes)

    assert [REFUSED] * 2 == [ask(app, "/sub/x"), ask(app, "/sub/x")]


@gated
def test_a_redirect_to_the_right_spelling_of_a_route_that_a_middleware_knows(kind: str) -> None:
    """It has looked the route up, to name a metric by it, and the router has not found it yet."""

    class Naming(Layer):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope["endpoint"] = read
            await self.app(scope, receive, send)

    router = APIRouter()
    router.get("/x")(read)
    app = guarded_by(kind, router)
    app.add_middleware(Naming)

    assert 307 == TestClient(app, follow_redirects=False).get("/x/").status_code


@pytest.mark.parametrize("kind", ["protect", "jwt_guard"])
def test_a_mounted_application_redirects_to_the_right_spelling(kind: str) -> None:
    """No route of it has matched, so there is nothing to decide."""
    inner = FastAPI(dependencies=[] if kind == "protect" else [Depends(jwt_guard(OTHER))])
    if kind == "protect":
        protect(inner, OTHER)
    inner.get("/x")(read)
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", inner)

    answer = TestClient(app, follow_redirects=False).get("/m/x/")

    assert (307, "http://testserver/m/x") == (answer.status_code, answer.headers["location"])


@pytest.mark.parametrize("handler", [partial(PlainTextResponse, INSIDE), None])
def test_a_body_that_cannot_be_read_may_be_answered_with_success(handler: Any) -> None:
    """The guard let the request pass before, and what FastAPI raises comes from no endpoint."""

    async def later(request: Request, error: Exception) -> PlainTextResponse:  # noqa: ARG001
        return PlainTextResponse(INSIDE)

    app = protect(FastAPI(openapi_url=None), SETTINGS)

    @app.post("/x")
    async def x(body: dict[str, int]) -> str:
        return INSIDE * len(body)

    answer = partial(later) if handler is None else lambda *_: handler()
    app.add_exception_handler(RequestValidationError, answer)
    client = TestClient(app)

    found = [client.post("/x", content="{", headers=it).status_code for it in ({}, GOOD)]

    assert [401, 200] == found


@pytest.mark.parametrize("kind", ["protect", "protected_router"])
def test_a_form_that_cannot_be_read_may_be_answered_with_success(kind: str) -> None:
    """Starlette raises the error where FastAPI reads the form."""
    router = APIRouter()

    @router.post("/form")
    async def form(name: Annotated[str, Form()]) -> str:
        return INSIDE + name

    app = FastAPI(openapi_url=None)
    if kind == "protect":
        protect(app, SETTINGS).include_router(router)
    else:
        app.include_router(protected_router(router, settings=SETTINGS))

    @app.exception_handler(StarletteHTTPException)
    async def envelope(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"code": error.status_code})

    answer = TestClient(app).post(
        "/form", content="x", headers={**GOOD, "content-type": "multipart/form-data"}
    )

    assert (200, {"code": 400}) == (answer.status_code, answer.json())


class Cyclic:
    """A layer that has itself inside."""

    def __init__(self) -> None:
        self.app = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(INSIDE)(scope, receive, send)


def test_a_layer_that_has_itself_inside() -> None:
    """It is not looked through for ever, and it is guarded."""
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", Cyclic())

    assert [401, 200] == [ask(app, "/m/x", it) for it in ({}, GOOD)]


class AroundItself(Cyclic):
    """A proxy, which gives another class than its own, and stands for itself."""

    def __init__(self) -> None:
        self.__wrapped__ = self

    @property  # type: ignore[misc] # which cannot be set
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What `isinstance` asks; `type` is another question."""
        return Cyclic


@pytest.mark.parametrize("kind", ["protect", "protected_router"])
def test_an_endpoint_that_stands_for_itself(kind: str) -> None:
    """It is not looked behind for ever, and it is guarded."""
    router = APIRouter()
    router.add_route("/x", cast("Any", AroundItself()))

    app = guarded_by(kind, router)

    assert [401, 200] == [ask(app, "/x", it) for it in ({}, GOOD)]


class Endless:
    """A layer that makes another one whenever its members are looked at."""

    __slots__ = ("_app", "_depth")

    def __init__(self, app: ASGIApp, depth: int = 0) -> None:
        self._app, self._depth = app, depth

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            assert self._depth < 10_000
            return {"next": Endless(self._app, self._depth + 1)}
        return object.__getattribute__(self, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def test_a_layer_around_a_route_whose_members_have_no_end() -> None:
    """They are looked through for the dependencies of the route, and not for ever."""
    app = FastAPI(openapi_url=None)
    app.get("/x")(read)
    route = next(it for it in app.routes if isinstance(it, APIRoute))
    route.app = Endless(route.app)
    protect(app, SETTINGS)

    assert [401, 200] == [ask(app, "/x", it) for it in ({}, GOOD)]


@pytest.mark.parametrize("layer", [Cyclic(), MagicMock()], ids=["cyclic", "mock"])
def test_a_layer_without_an_end_that_takes_the_place_of_what_was_mounted(layer: Any) -> None:
    """The audit ends all the same."""
    app = protect(FastAPI(), SETTINGS)
    app.mount("/m", FastAPI())
    app.routes[-1].app = layer  # type: ignore[attr-defined]

    assert audit(app).routes


# ---- what may stay ------------------------------------------------------------------------------


@pytest.fixture
def _traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `wrapt` wrap methods of FastAPI's and Starlette's classes, as Datadog's tracer does.

    And the endpoints of plain routes, as New Relic's agent does.
    """

    def traced(wrapped: Callable[..., Any], _: object, args: Any, options: Any) -> Any:
        return wrapped(*args, **options)

    for kind, name in (
        (FastAPI, "build_middleware_stack"),
        (APIRoute, "handle"),
        (starlette.routing.Route, "handle"),
        (starlette.routing.Mount, "handle"),
    ):
        wrapped = wrapt.FunctionWrapper(getattr(kind, name), traced)
        monkeypatch.setattr(kind, name, wrapped)

    def with_proxy(init: Callable[..., Any], _: object, args: Any, options: Any) -> Any:
        given = signature(init).bind(*args, **options).arguments
        return init(**{**given, "endpoint": wrapt.FunctionWrapper(given["endpoint"], traced)})

    route = starlette.routing.Route
    monkeypatch.setattr(route, "__init__", wrapt.FunctionWrapper(route.__init__, with_proxy))


@pytest.mark.usefixtures("_traced")
class TestATracer:
    """It replaces methods by wrappers, which are not equal from one look to the next."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @kinds_of_guard
    def test_a_handler_may_answer_a_refusal(self, kind: str, method: str) -> None:
        """With a redirect to a log-in, say."""
        router = APIRouter()

        @router.api_route("/x", methods=["GET", "POST"])
        async def x(body: Any = None) -> str:  # noqa: ARG001 - there is one to read
            return INSIDE

        app = guarded_by(kind, router)
        app.add_exception_handler(401, lambda *_: RedirectResponse("/log-in", 302))

        with TestClient(app, follow_redirects=False) as client:
            assert 302 == client.request(method, "/x").status_code
            assert 200 == client.request(method, "/x", headers=GOOD).status_code

    @gated
    def test_the_audit_finds_the_guard(self, kind: str) -> None:
        """Of plain routes and mounts too."""
        app = guarded_by(kind, filled(APIRouter()))

        found = {it.path: it.verdict for it in audit(app).routes if it.path in {"/api", "/plain"}}

        assert {"/api": Verdict.GUARDED, "/plain": Verdict.GUARDED} == found
        assert [401, 401] == [ask(app, path) for path in ("/api", "/plain")]

    @gated
    def test_a_plain_route_can_be_excluded_by_its_template(self, kind: str) -> None:
        """FastAPI up to 0.136 makes another one of it, with what stands around its endpoint."""
        router = APIRouter()
        router.add_route("/open", plain)
        router.add_route("/other", plain)

        app = guarded_by(kind, router, exclude=["/open"])

        assert [200, 401] == [ask(app, path) for path in ("/open", "/other")]

    @gated
    def test_an_endpoint_of_which_it_has_made_another_opens_nothing(self, kind: str) -> None:
        """Nothing tells it from what a decorator has made of the endpoint."""
        router = APIRouter()
        router.add_route("/open", plain)
        app = guarded_by(kind, router, exclude=[plain])

        assert ask(app, "/open") in {REFUSED, 401}


def test_attack_what_a_decorator_made_of_an_excluded_endpoint() -> None:
    """Excluded is one function, and not those that call it."""

    async def preview() -> str:
        return INSIDE

    def whole(wrapped: Callable[..., Any], _: object, args: Any, options: Any) -> Any:
        return wrapped(*args, **options)

    app = protect(FastAPI(), SETTINGS, exclude=[preview])
    app.get("/preview")(preview)
    app.get("/whole")(wrapt.FunctionWrapper(preview, whole))

    assert [200, 401] == [ask(app, path) for path in ("/preview", "/whole")]


def test_a_guard_that_applies_twice_is_one() -> None:
    """To the audit as to requests."""
    guard = jwt_guard(SETTINGS)
    app = FastAPI(openapi_url=None, dependencies=[Depends(guard)])
    app.get("/x", dependencies=[Depends(guard)])(read)

    assert [Verdict.GUARDED] == [it.verdict for it in audit(app).routes]
    assert [401, 200] == [ask(app, "/x", headers) for headers in ({}, GOOD)]


class TestAGuardBelowAProtectedApplication:
    """The guard inside decides, and nothing is wrong with the application."""

    @pytest.mark.parametrize("exclude", [[], ["/m"]], ids=["guarded", "excluded"])
    @pytest.mark.parametrize("where", ["router", "route", "inclusion", "protected_router"])
    def test_in_a_router_that_is_mounted(self, where: str, exclude: list[str]) -> None:
        """Over it, over one of its routes, over an inclusion, or a protected router in it."""
        guarded = [Depends(jwt_guard(SETTINGS))]
        router = APIRouter(dependencies=guarded if where == "router" else [])
        if where == "inclusion":
            inner = APIRouter()
            inner.get("/x")(read)
            router.include_router(inner, dependencies=guarded)
        elif where == "protected_router":
            protected = protected_router(settings=SETTINGS)
            protected.get("/x")(read)
            router.include_router(protected)
        else:
            router.get("/x", dependencies=guarded if where == "route" else [])(read)
        app = protect(FastAPI(), SETTINGS, exclude)
        app.mount("/m", router)

        assert [401, 401, 200] == answers_of(app, "/m/x")

    def test_over_an_application_with_plain_routes(self) -> None:
        """The guard outside covers these, also once the one inside was asked."""
        inner = filled(FastAPI(dependencies=[Depends(jwt_guard(OTHER))]))
        app = protect(FastAPI(), OTHER)
        app.mount("/m", inner)

        for path in ("/m/plain", "/m/api", "/m/plain"):
            assert [401, 401, 200] == answers_of(app, path, good=FOREIGN, bad=GOOD)


@live_routes
@pytest.mark.parametrize("kind", ["protect", "protected_router"])
def test_attack_an_exception_handler_that_serves_the_route(kind: str) -> None:
    """While it runs, it may accept a WebSocket to close it, and send nothing else by itself."""

    async def serve(request: Request, _: Exception) -> Any:
        await PlainTextResponse(INSIDE)(request.scope, request.receive, request._send)

    router = APIRouter()
    router.get("/x")(read)
    app = guarded_by(kind, router)
    app.add_exception_handler(401, serve)

    assert REFUSED == ask(app, "/x")
