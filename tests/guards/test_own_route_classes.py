"""A route class of the application answers in its own way, and no answer leaves without the guard.

Nor does one that lacks what else applies to the route: requirements of routers and routes are run
for every answer. What FastAPI's own routes do with such a class stays as it is.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import current_user_id, protect, protected_router, public, require_scopes
from tests.web.serving import OTHER, SETTINGS, VERSION, bearer

from .asking import (
    GOOD,
    INSIDE,
    REFUSED,
    ask,
    drive,
    guarded_by,
    kinds_of_guard,
    read,
)

ADMIN = bearer(scope="admin")
#: Whether FastAPI makes the handler of a route once: in between, an inclusion makes one each time.
KEEPS_HANDLERS = not (0, 137) <= VERSION <= (0, 139)

Handler = Callable[[Request], Any]


class Caching(APIRoute):
    """A class that answers from a cache, as FastAPI's documentation wraps a handler."""

    def get_route_handler(self) -> Handler:
        """Keep one answer for each path."""
        original, kept = super().get_route_handler(), dict[str, Response]()

        async def handler(request: Request) -> Response:
            path = request.url.path
            if path not in kept:
                kept[path] = await original(request)
            return kept[path]

        return handler


class Idempotent(APIRoute):
    """A class that reads the body first, and repeats the answer to an equal one."""

    def get_route_handler(self) -> Handler:
        """Keep one answer for each body."""
        original, kept = super().get_route_handler(), dict[bytes, Response]()

        async def handler(request: Request) -> Response:
            body = await request.body()
            if body not in kept:
                kept[body] = await original(request)
            return kept[body]

        return handler


class Answering(APIRoute):
    """A class that answers without running what applies to the route."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await PlainTextResponse(INSIDE)(scope, receive, send)


class ReadingFirst(Answering):
    """The same, after it has read the body."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and answer."""
        await Request(scope, receive).body()
        await super().handle(scope, receive, send)


class Repeating:
    """A middleware around one route that repeats its first good answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
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
        router = APIRouter(route_class=Caching)
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
        router = APIRouter(
            route_class=APIRoute if place == "around the route" else Idempotent, dependencies=outer
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


@pytest.mark.parametrize("route_class", [Answering, ReadingFirst])
class TestAHandleOfItsOwn:
    """It runs no dependencies, and so its answer is refused."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("kind", ["protect", "protected_router"])
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


class TestAHandleThatAsksAnother:
    """What is decided about a copy of its scope decides nothing about its answer."""

    @pytest.mark.parametrize("kind", ["protect", "protected_router"])
    def test_an_application_where_the_path_is_public(self, kind: str) -> None:
        """The copy is equal."""
        mirror = protect(FastAPI(), OTHER)
        mirror.get("/x")(public(lambda: INSIDE))

        class Mirroring(Answering):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await drive(mirror, dict(scope))
                await super().handle(scope, receive, send)

        router = APIRouter(route_class=Mirroring)
        router.get("/x")(read)

        with TestClient(guarded_by(kind, router)) as client:
            assert REFUSED == ask(client, "/x")

    @pytest.mark.parametrize("kind", ["protect", "protected_router"])
    def test_one_that_answers_in_place_of_a_refusal(self, kind: str) -> None:
        """It asks FastAPI with a copy of the scope, and has an older answer for errors."""

        class Stale(Answering):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                sent: list[Message] = []

                async def keep(message: Message) -> None:
                    sent.append(message)

                await APIRoute.handle(self, dict(scope), receive, keep)
                assert 401 == sent[0]["status"]
                await super().handle(scope, receive, send)

        router = APIRouter(route_class=Stale)
        router.get("/x")(read)

        with TestClient(guarded_by(kind, router)) as client:
            assert REFUSED == ask(client, "/x")


class Timing(APIRoute):
    """A class that adds a header to the answers, as in FastAPI's documentation."""

    def get_route_handler(self) -> Handler:
        """Add it."""
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            response: Response = await original(request)
            response.headers["x-time"] = "1"
            return response

        return handler


@pytest.mark.parametrize(
    ("status", "respond"),
    [
        pytest.param(303, lambda: RedirectResponse("/login", 303), id="redirect"),
        pytest.param(200, lambda: JSONResponse({"code": 401}), id="envelope"),
        pytest.param(200, lambda: StreamingResponse(iter(["log in"])), id="stream"),
    ],
)
@pytest.mark.parametrize("route_class", [APIRoute, Timing])
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


class Forcing(APIRoute):
    """A class that hands on a copy of the scope with another header."""

    def get_route_handler(self) -> Handler:
        """Take every body for JSON."""
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            headers = [it for it in request.scope["headers"] if it[0] != b"content-type"]
            headers.append((b"content-type", b"application/json"))
            copy = Request({**request.scope, "headers": headers}, request.receive)
            answer: Response = await original(copy)
            return answer

        return handler


@kinds_of_guard
def test_a_class_that_hands_on_a_copy_of_the_scope(kind: str) -> None:
    """It is the same request: valid ones are served, public routes stay public."""
    router = APIRouter(route_class=Forcing)

    @router.get("/me")
    async def me(user: Annotated[str, Depends(current_user_id)]) -> str:
        return user

    @router.post("/body")
    async def body(number: Annotated[int, Body(embed=True)]) -> int:
        return number

    router.get("/anyone")(public(lambda: INSIDE))
    client = TestClient(guarded_by(kind, router))

    assert [401, 200] == [client.get("/me", headers=it).status_code for it in ({}, GOOD)]
    assert 1 == client.post("/body", headers=GOOD, content='{"number": 1}').json()
    assert [200, 200] == [ask(client, "/anyone", it) for it in ({}, GOOD)]


class TestADependencyOutsideOfTheGuard:
    """FastAPI runs it before the guard of a router in the application, and it can end a request."""

    @pytest.mark.parametrize("status", [303, 304, 307])
    @pytest.mark.parametrize("headers", [{}, GOOD], ids=["no token", "token"])
    def test_by_a_redirect(self, headers: dict[str, str], status: int) -> None:
        """No endpoint runs."""
        client = self.client(HTTPException(status, headers={"Location": "/login"}))

        assert [status] * 2 == [client.get(it, headers=headers).status_code for it in PATHS]

    @pytest.mark.parametrize("headers", [{}, GOOD], ids=["no token", "token"])
    def test_by_an_error_that_is_answered_with_success(self, headers: dict[str, str]) -> None:
        """The application puts the code into the body."""
        client = self.client(HTTPException(429))

        assert [{"code": 429}] * 2 == [client.get(it, headers=headers).json() for it in PATHS]

    def client(self, error: HTTPException) -> TestClient:
        """A client of an application with a dependency that raises an error."""

        async def end() -> None:
            raise error

        router = protected_router(settings=SETTINGS)
        router.get("/x")(read)
        router.get("/anyone")(public(lambda: INSIDE))
        app = FastAPI(dependencies=[Depends(end)])
        app.include_router(router)
        if error.status_code == 429:
            app.add_exception_handler(HTTPException, lambda *_: JSONResponse({"code": 429}))
        return TestClient(app, follow_redirects=False)


PATHS = ("/x", "/anyone")
