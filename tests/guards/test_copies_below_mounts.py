"""Several requests in one: what a batch below a mount sends, and what a wrapper there changes.

Each part of a batch is authenticated on its own, also where it is equal to another one, or where
the same scope is served again. A copy that a wrapper makes stays the request that it was.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import (
    JWTSettings,
    current_user_id,
    get_settings,
    jwt_guard,
    protect,
    protected_router,
    public,
)
from jwt_deps.testing import Prover, TokenFactory
from tests.minting import SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, live_routes, token

from .asking import (
    FOREIGN,
    GOOD,
    INSIDE,
    REFUSED,
    Cutting,
    Layer,
    ask,
    drive,
    guarded_by,
    headers_of,
    kinds_of_guard,
    read,
    send_request,
)

Serve = Callable[[ASGIApp, Scope, str, dict[str, str]], Awaitable[int]]

EMPLOYEES = SETTINGS.model_copy(update={"user_id_claim": "employee"})
ORIGIN = "https://api.example.com"
PROVEN = JWTSettings(secret_key=SECRET, dpop="required", public_origin=ORIGIN)
EMPLOYEE = bearer(sub="customer", employee="e1")
BOB = bearer(sub="bob")
PARTS: Sequence[dict[str, str]] = ({}, FOREIGN, {})

outer_guards = pytest.mark.parametrize("exclude", [[], ["/m"]], ids=["guarded", "excluded"])


async def slow() -> None:
    """Let other parts run meanwhile."""
    await asyncio.sleep(0.01)


async def me(request: Request, user: Annotated[str, Depends(current_user_id)]) -> list[str]:
    """Say who is calling, by a dependency and by the state."""
    return [user, request.state.user_id]


async def copied(app: ASGIApp, scope: Scope, path: str, headers: dict[str, str]) -> int:
    """Serve a copy of a scope."""
    return (await drive(app, {**scope, "path": path, "headers": headers_of(headers)}))[0]


async def edited(app: ASGIApp, scope: Scope, path: str, headers: dict[str, str]) -> int:
    scope.update(path=path, headers=headers_of(headers))
    return (await drive(app, scope))[0]


class Batch:
    """An application, or a middleware, that serves another one several times."""

    def __init__(self, app: ASGIApp, serve: Serve, path: str, *, at_once: bool = False) -> None:
        self.app, self._serve, self._path, self._at_once = app, serve, path, at_once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the status of each."""
        calls = [self._serve(self.app, scope, self._path, it) for it in PARTS]
        found = await asyncio.gather(*calls) if self._at_once else [await it for it in calls]
        await JSONResponse(found)(scope, receive, send)


class TestPartsOfABatch:
    """The second token opens nothing for the part without one."""

    @outer_guards
    @pytest.mark.parametrize("at_once", [False, True])
    @pytest.mark.parametrize("place", ["around", "middleware"])
    @kinds_of_guard
    def test_below_a_mount(
        self, kind: str, place: str, exclude: list[str], *, at_once: bool
    ) -> None:
        """One after the other and at once, around the application and as its middleware."""
        router, app = APIRouter(), protect(FastAPI(), SETTINGS, exclude)
        router.get("/x", dependencies=[Depends(slow)])(read)
        inner = guarded_by(kind, router, OTHER)
        batch: ASGIApp = inner
        if place == "around":
            batch = Batch(inner, copied, "/m/x", at_once=at_once)
        else:
            inner.add_middleware(Batch, serve=copied, path="/m/x", at_once=at_once)
        app.mount("/m", batch)

        assert [401, 200, 401] == TestClient(app).get("/m/x", headers=GOOD).json()

    @pytest.mark.parametrize("serve", [copied, edited])
    @pytest.mark.parametrize("included", [False, True])
    @pytest.mark.parametrize("by", ["jwt_guard", "protected_router"])
    def test_in_a_router_that_is_mounted(self, by: str, serve: Serve, *, included: bool) -> None:
        """As copies, and as the same scope with other headers."""
        router = APIRouter(dependencies=[Depends(jwt_guard(OTHER))])
        if by == "protected_router":
            router = protected_router(settings=OTHER)
        router.get("/x")(read)
        if included:
            within = APIRouter()
            within.include_router(router)
            router = within
        app = FastAPI()
        app.mount("/m", Batch(router, serve, "/m/x"))

        assert [401, 200, 401] == TestClient(app).get("/m/").json()

    @pytest.mark.parametrize("serve", [copied, edited])
    def test_to_the_same_path_of_another_application(self, serve: Serve) -> None:
        """The batch is a plain route below a guard."""
        app, other = protect(FastAPI(), SETTINGS), FastAPI()
        other.get("/x", dependencies=[Depends(jwt_guard(OTHER))])(read)

        async def batch(request: Request) -> Response:
            return JSONResponse([await serve(other, request.scope, "/x", it) for it in PARTS])

        app.add_route("/x", batch)

        assert [401, 200, 401] == TestClient(app).get("/x", headers=GOOD).json()

    @kinds_of_guard
    def test_handshakes(self, kind: str) -> None:
        """A WebSocket is multiplexed into several."""
        router, app = APIRouter(), protect(FastAPI(), SETTINGS, ["/m"])

        @router.websocket("/ws")
        async def talk(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.close()

        inner = guarded_by(kind, router, OTHER)

        async def multiplexer(scope: Scope, receive: Receive, send: Send) -> None:
            websocket, sent = WebSocket(scope, receive, send), list[str]()

            async def record(message: Message) -> None:
                sent.append(message["type"])

            async def connect() -> Message:
                return {"type": "websocket.connect"}

            accepted = []
            for one in PARTS:
                sent.clear()
                await inner({**scope, "headers": headers_of(one)}, connect, record)
                accepted.append("websocket.accept" in sent)
            await websocket.accept()
            await websocket.send_json(accepted)
            await websocket.close()

        app.mount("/m", multiplexer)

        with TestClient(app).websocket_connect("/m/ws") as websocket:
            assert [False, True, False] == websocket.receive_json()


@pytest.mark.parametrize("start", [False, True])
@kinds_of_guard
def test_each_part_with_the_path_of_the_batch_needs_a_token(kind: str, *, start: bool) -> None:
    """They are told from it by nothing but the scope that they are copies in."""
    router = APIRouter()

    @router.post("/rpc")
    async def rpc(request: Request) -> list[int]:
        if "last" in request.headers:
            return []
        parts = [{"last": "1", **it} for it in ({}, {"authorization": "Bearer junk"}, BOB)]
        return [await copied(app, request.scope, "/rpc", it) for it in parts]

    app = guarded_by(kind, router)
    # The first request there is, or one of an application that has started.
    with TestClient(app) if start else nullcontext(TestClient(app)) as client:
        assert [401, 401, 200] == client.post("/rpc", headers=GOOD).json()


@kinds_of_guard
def test_a_part_that_a_plain_router_guards_is_judged_by_that_guard(kind: str) -> None:
    """Its dependencies name the user by the settings of that guard too."""
    inner, router = APIRouter(dependencies=[Depends(jwt_guard(EMPLOYEES))]), APIRouter()
    inner.get("/who")(me)

    @router.get("/batch")
    async def batch(request: Request) -> Any:
        _, answer, _ = await drive(inner, {**request.scope, "path": "/who"})
        return json.loads(answer)

    client = TestClient(guarded_by(kind, router))

    assert ["e1", "e1"] == client.get("/batch", headers=EMPLOYEE).json()


def test_a_route_that_an_endpoint_hands_its_request_on_to_is_judged_by_that_guard() -> None:
    """What FastAPI tells of is the route of the endpoint, which has no guard."""
    app, inner = protect(FastAPI(), SETTINGS), FastAPI()
    served = APIRouter(dependencies=[Depends(jwt_guard(EMPLOYEES))])
    served.get("/who")(me)

    @inner.get("/who", dependencies=[Depends(slow)])
    async def forward(request: Request) -> Any:
        _, answer, _ = await drive(served.routes[0].handle, request.scope)
        return json.loads(answer)

    app.mount("/m", inner)

    assert ["e1", "e1"] == TestClient(app).get("/m/who", headers=EMPLOYEE).json()


def stripping(app: ASGIApp) -> ASGIApp:
    """Make the same of a function, which has no `app`."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": scope["path"].rstrip("/")}, receive, send)

    return serve


def cutting_in_place(app: ASGIApp) -> ASGIApp:
    """Make one that changes the path in the scope itself."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = scope["path"].rstrip("/")
        await app(scope, receive, send)

    return serve


@pytest.mark.parametrize("layer", [Cutting, stripping, cutting_in_place])
@pytest.mark.parametrize("where", ["mount", "root", "host"])
class TestAWrapperThatCutsThePath:
    """What is below the mount is the same request, with another path."""

    def client(self, where: str, inner: ASGIApp, settings: JWTSettings = EMPLOYEES) -> TestClient:
        """Put an application below a guard."""
        app = protect(FastAPI(openapi_url=None), settings)
        if where == "host":
            app.host("testserver", inner)
        else:
            app.mount("/m" if where == "mount" else "/", inner)
        return TestClient(app, base_url=f"http://testserver{'/m' if where == 'mount' else ''}")

    def test_the_settings_are_those_of_the_guard(
        self, where: str, layer: Callable[[ASGIApp], ASGIApp]
    ) -> None:
        """And not what `get_settings` answers."""
        inner = FastAPI()
        inner.dependency_overrides[get_settings] = lambda: SETTINGS
        inner.get("/who")(me)

        answer = self.client(where, layer(inner)).get("/who/", headers=EMPLOYEE)

        assert ["e1", "e1"] == answer.json()

    def test_the_state_is_that_of_the_guard(
        self, where: str, layer: Callable[[ASGIApp], ASGIApp]
    ) -> None:
        """Also where another route of the application has a guard."""
        inner, router = FastAPI(), protected_router(settings=EMPLOYEES)
        router.get("/guarded")(read)
        inner.include_router(router)

        @inner.get("/who")
        async def who(request: Request) -> Any:
            return [request.state.user_id, request.state.scopes]

        client = self.client(where, layer(inner))
        # From then on the application is watched.
        assert 200 == client.get("/guarded/", headers=EMPLOYEE).status_code

        assert ["e1", []] == client.get("/who/", headers=EMPLOYEE).json()

    @pytest.mark.parametrize("guarded", [False, True])
    def test_a_proof_is_used_once(
        self, where: str, layer: Callable[[ASGIApp], ASGIApp], *, guarded: bool
    ) -> None:
        """A guard further in does not refuse it as used before."""
        inner, prover = FastAPI(), Prover(ORIGIN)
        router = protected_router(settings=PROVEN) if guarded else APIRouter()
        router.get("/who")(me)
        inner.include_router(router)
        client = self.client(where, layer(inner), PROVEN)
        token = TokenFactory.for_settings(PROVEN)("alice", claims=prover.binding)

        path = "/m/who/" if where == "mount" else "/who/"

        answer = client.get("/who/", headers=prover(token, "GET", path))

        assert (200, ["alice", "alice"]) == (answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("change", "expected"),
    [("query_string", [401, 401]), pytest.param("headers", [200, 401], id="another header")],
)
def test_one_proof_does_not_serve_several_parts(change: str, expected: list[int]) -> None:
    """RFC 9449 §11.1: parts below a mount whose guard was accepted with it, to the same path.

    A wrapper there may add a header, so it serves one part that is equal but for that.
    """
    app, inner, prover = protect(FastAPI(), PROVEN), FastAPI(), Prover(ORIGIN)
    router = protected_router(settings=PROVEN)
    router.get("/x")(read)
    inner.include_router(router)

    async def batch(scope: Scope, receive: Receive, send: Send) -> None:
        found = []
        for at in range(2):
            changed = b"%d" % at
            value = [*scope["headers"], (b"x-n", changed)] if change == "headers" else changed
            found.append((await drive(inner, {**scope, change: value}))[0])
        await JSONResponse(found)(scope, receive, send)

    app.mount("/m", batch)
    token = TokenFactory.for_settings(PROVEN)("alice", claims=prover.binding)

    answer = TestClient(app).get("/m/x", headers=prover(token, "GET", "/m/x"))

    assert expected == answer.json()


class TestWhatAnOuterGuardLetPass:
    """It says nothing to the guards further in."""

    def below(self, kind: str, exclude: list[str], route_class: type[APIRoute]) -> FastAPI:
        """Make an application whose routes are guarded, below another one."""
        app, inner = protect(FastAPI(), SETTINGS, exclude), FastAPI()
        router = APIRouter(dependencies=[Depends(jwt_guard(OTHER))], route_class=route_class)
        if kind == "protected_router":
            router = protected_router(settings=OTHER, route_class=route_class)

        @router.post("/x")
        async def echo(body: dict[str, str]) -> dict[str, str]:
            return body

        inner.include_router(router)
        app.mount("/m", inner)
        # The guard has been asked: from then on what is answered is looked at.
        assert 401 == send_request(app, "POST", "/m/x", GOOD, [b"{}"])[0]
        return app

    @outer_guards
    @pytest.mark.parametrize("kind", ["jwt_guard", "protected_router"])
    def test_a_route_class_that_answers_itself_is_refused(
        self, kind: str, exclude: list[str]
    ) -> None:
        """As it is where the application is not mounted."""

        class Cached(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Any]:
                original = super().get_route_handler()

                async def handler(request: Request) -> Response:
                    if "cached" in request.headers:
                        return PlainTextResponse(INSIDE)
                    return await original(request)

                return handler

        app = self.below(kind, exclude, Cached)

        assert REFUSED == ask(app, "/m/x", {"cached": "1", **GOOD}, "POST")

    @outer_guards
    @pytest.mark.parametrize("kind", ["jwt_guard", "protected_router"])
    def test_the_body_is_not_read_before_the_refusal(self, kind: str, exclude: list[str]) -> None:
        """The inner guard is asked at the first byte."""
        app = self.below(kind, exclude, APIRoute)

        status, _, chunks = send_request(app, "POST", "/m/x", GOOD, [b"{}"])

        assert (401, 0) == (status, chunks)


class TestTheSameScopeAgain:
    """With another path: what was found for the first says nothing of the second."""

    @pytest.mark.parametrize("place", ["endpoint", "middleware"])
    @kinds_of_guard
    def test_another_inclusion_of_the_same_route(self, kind: str, place: str) -> None:
        """One is excluded, and the other is not."""

        class Retrying(Layer):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await self.app(scope, receive, ignore)
                scope["path"] = "/closed/x"
                await self.app(scope, receive, send)

        async def ignore(_: Message) -> None:
            """Send nothing."""

        shared, router = APIRouter(), APIRouter()

        @shared.get("/x")
        async def x(request: Request) -> Any:
            if place == "middleware" or request.scope["path"] == "/closed/x":
                return INSIDE
            request.scope["path"] = "/closed/x"
            return (await drive(app, request.scope))[0]

        router.include_router(shared, prefix="/open")
        router.include_router(shared, prefix="/closed")
        app = guarded_by(kind, router, exclude=["/open/x"])
        if place == "middleware":
            app.add_middleware(Retrying)
            assert 401 == ask(app, "/open/x")
        else:
            assert 401 == TestClient(app).get("/open/x").json()

    def test_a_plain_route_that_a_dependency_ended(self) -> None:
        async def exists(request: Request) -> None:
            if request.scope["path"] == "/m/open":
                raise HTTPException(404)

        async def dispatcher(scope: Scope, receive: Receive, send: Send) -> None:
            for path in ("/m/open", "/m/closed"):
                scope["path"] = path
                try:
                    await within(scope, receive, send)
                except HTTPException as error:
                    if error.status_code != 404:
                        raise

        router = protected_router(settings=SETTINGS, dependencies=[Depends(exists)])

        @public
        async def anyone(_: Request) -> Response:
            return PlainTextResponse(INSIDE)

        router.add_route("/open", anyone)
        router.get("/closed")(read)
        within, app = APIRouter(), FastAPI()
        within.include_router(router)
        app.mount("/m", dispatcher)

        assert 401 == ask(app, "/m/")


def test_a_copy_to_another_application_does_not_refuse_the_answer_of_the_first() -> None:
    """Traffic is mirrored while the first is being answered."""

    class Mirroring:
        def __init__(self, app: ASGIApp, mirror: ASGIApp) -> None:
            self.app, self._mirror = app, mirror

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            mirrored = asyncio.create_task(drive(self._mirror, dict(scope)))
            await self.app(scope, receive, send)
            await mirrored

    async def page(_: Request) -> Response:
        await slow()
        return PlainTextResponse(INSIDE)

    app, first, second = (protect(FastAPI(), SETTINGS) for _ in range(3))
    first.add_route("/x", page)
    app.mount("/m", Mirroring(first, second))

    assert 200 == ask(app, "/m/x", GOOD)


class Adding(Layer):
    """A middleware that serves a copy of the scope with one more header."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(
            {**scope, "headers": [*scope["headers"], (b"x-request-id", b"1")]}, receive, send
        )


@pytest.mark.parametrize("first", ["a copy", "the scope itself"])
@pytest.mark.parametrize("where", ["mount", "root", "host"])
def test_each_of_two_applications_below_a_mount_goes_by_its_guard(where: str, first: str) -> None:
    """A wrapper mirrors requests to the second, or asks it where the first has no such route."""

    def answering() -> FastAPI:
        inner = FastAPI()
        inner.dependency_overrides[get_settings] = lambda: SETTINGS
        inner.get("/who")(me)
        return inner

    class Mirroring:
        def __init__(self, old: ASGIApp, new: ASGIApp) -> None:
            self.old, self.new = old, new

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            copy = dict(scope)
            await drive(self.old, dict(scope) if first == "a copy" else scope)
            await self.new(copy, receive, send)

    client = TestAWrapperThatCutsThePath().client(where, Mirroring(answering(), answering()))

    assert ["e1", "e1"] == client.get("/who", headers=EMPLOYEE).json()


@pytest.mark.parametrize("prefix", ["", "/deep"])
@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize("where", ["mount", "root", "host"])
def test_an_application_two_mounts_below_goes_by_the_guard(
    where: str, kind: type[Starlette], prefix: str
) -> None:
    """The application between has a middleware that serves a copy of the scope."""
    inner, between = FastAPI(), kind()
    inner.dependency_overrides[get_settings] = lambda: SETTINGS
    inner.get("/who")(me)
    between.mount(prefix, inner)
    between.add_middleware(Adding)

    answer = (
        TestAWrapperThatCutsThePath().client(where, between).get(f"{prefix}/who", headers=EMPLOYEE)
    )

    assert ["e1", "e1"] == answer.json()


@pytest.mark.parametrize("layer", [Adding, Cutting])
@pytest.mark.parametrize("adds", ["middleware", "wrapper"])
@pytest.mark.parametrize("mounts", [("/deep",), ("/deep", "/deep"), ("",), ("host",)])
def test_below_an_application_with_a_protected_router_of_its_own(
    mounts: tuple[str, ...], adds: str, layer: Callable[[ASGIApp], ASGIApp]
) -> None:
    """Once that was asked, its application is watched; the guard of the mount holds as before."""
    inner, between = FastAPI(), FastAPI()
    inner.add_route("/who", lambda request: JSONResponse(getattr(request.state, "user_id", None)))
    if adds == "middleware":
        inner.add_middleware(layer)
    mount_at(between, mounts, inner if adds == "middleware" else layer(inner))
    client = TestAWrapperThatCutsThePath().client("mount", between)
    path = path_below(mounts) + ("/who/" if layer is Cutting else "/who")

    first = client.get(path, headers=EMPLOYEE).json()
    client.get("/own", headers=EMPLOYEE)

    assert ["e1", "e1"] == [first, client.get(path, headers=EMPLOYEE).json()]


@pytest.mark.parametrize("mounts", [("/deep",), ("/deep", "/deep"), ("",), ("host",)])
def test_one_proof_serves_a_copy_below_an_application_with_a_protected_router(
    mounts: tuple[str, ...],
) -> None:
    """The guard of the mount was accepted with it, and what is below is the same request."""
    inner, between, app = FastAPI(), FastAPI(), protect(FastAPI(), PROVEN)
    inner.get("/who")(me)
    mount_at(between, mounts, Adding(inner))
    app.mount("/m", between)
    prover, client = Prover(ORIGIN), TestClient(app)
    token = TokenFactory.for_settings(PROVEN)("alice", claims=prover.binding)

    def status(path: str) -> int:
        return client.get(path, headers=prover(token, "GET", path)).status_code

    paths = "/m/own", f"/m{path_below(mounts)}/who"
    assert [200] * 4 == [status(path) for path in paths * 2]


def mount_at(app: FastAPI, mounts: Sequence[str], inner: ASGIApp) -> None:
    """Mount an application in one with a protected router of its own, with others between."""
    own = protected_router(settings=PROVEN)
    own.get("/own")(read)
    app.include_router(own)
    for path in mounts[:-1]:
        between = FastAPI()
        app.mount(path, between)
        app = between
    if mounts[-1] == "host":
        app.host("testserver", inner)
    else:
        app.mount(mounts[-1], inner)


def path_below(mounts: Sequence[str]) -> str:
    return "".join(mounts).removeprefix("host")


@pytest.mark.parametrize(
    "place",
    [
        pytest.param({"token_source": "both", "cookie_name": "t"}, id="Authorization"),
        pytest.param(
            {"token_source": "both", "cookie_name": "t", "token_header_key": "X-Token"},
            id="a header of its own",
        ),
        pytest.param(
            {"token_getter": lambda it: it.headers.get("x-token") or it.cookies.get("t")},
            id="a place that only code knows",
        ),
    ],
)
def test_attack_a_part_of_a_batch_that_adds_a_token_has_its_own_sender(
    place: dict[str, Any],
) -> None:
    """Beside the cookie with which the batch came."""
    inner, between = FastAPI(), FastAPI()
    inner.add_route("/who", lambda request: JSONResponse(getattr(request.state, "user_id", None)))
    name = b"authorization" if len(place) == 2 else b"x-token"

    @between.get("/batch")
    async def batch(request: Request) -> Any:
        root = f"{request.scope['root_path']}/deep"
        headers = [*request.scope["headers"], (name, FOREIGN["Authorization"].encode())]
        path = {"path": f"{root}/who", "root_path": root, "headers": headers}
        return Response((await drive(inner, {**request.scope, **path}))[1])

    settings = JWTSettings(secret_key=SECRET, **place)
    between.mount("/deep", inner)
    app = FastAPI()
    app.mount("/m", between)
    client = TestClient(protect(app, settings), cookies={"t": token()})

    assert client.get("/m/batch").json() is None


@pytest.mark.parametrize("sent", ["another", "none"])
def test_attack_a_part_of_a_batch_below_a_mount_has_its_own_sender(sent: str) -> None:
    """A plain route of the application that it is sent to does not read who sent the batch."""
    inner, between = FastAPI(), FastAPI()
    inner.add_route("/who", lambda request: JSONResponse(getattr(request.state, "user_id", None)))

    @between.get("/batch")
    async def batch(request: Request) -> Any:
        root = f"{request.scope['root_path']}/deep"
        path = {"path": f"{root}/who", "root_path": root}
        headers = [it for it in request.scope["headers"] if it[0] != b"authorization"]
        if sent == "another":
            headers.append((b"authorization", FOREIGN["Authorization"].encode()))
        _, body, _ = await drive(inner, {**request.scope, **path, "headers": headers})
        return Response(body)

    own = protected_router(settings=SETTINGS)
    own.get("/own")(me)
    between.include_router(own)
    between.mount("/deep", inner)
    client = TestAWrapperThatCutsThePath().client("mount", between)
    client.get("/own", headers=EMPLOYEE)

    assert client.get("/batch", headers=EMPLOYEE).json() is None


class Gateway:
    """Hands each request on to another application, under another path and with other headers."""

    def __init__(self, target: ASGIApp, path: str, *, in_its_scope: bool) -> None:
        self._target, self._path, self._in_its_scope = target, path, in_its_scope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask with the token that the client names in another header."""
        sent = dict(scope["headers"])[b"x-token"]
        part = scope if self._in_its_scope else {**scope, "state": {}}
        part.update(path=self._path, raw_path=self._path.encode(), root_path="")
        part["headers"] = [(b"host", b"t"), (b"authorization", sent)]
        await self._target(part, receive, send)

    async def endpoint(self, request: Request) -> Response:
        """The same for an endpoint."""
        status, body, _ = await drive(self._answer(request), {**request.scope})
        return Response(body, status)

    def _answer(self, request: Request) -> ASGIApp:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await self(request.scope, receive, send)

        return app


def plain_in_an_application(root: FastAPI, gateway: Gateway) -> None:
    api = protect(FastAPI(), OTHER)
    api.add_route("/go", gateway.endpoint)
    root.mount("/api", api)


def asgi_in_an_application(root: FastAPI, gateway: Gateway) -> None:
    api = protect(FastAPI(), OTHER)
    api.router.routes.append(Route("/go", gateway))
    root.mount("/api", api)


def api_route_in_an_application(root: FastAPI, gateway: Gateway) -> None:
    api = protect(FastAPI(), OTHER)
    api.get("/go")(gateway.endpoint)
    root.mount("/api", api)


def mount_in_an_application(root: FastAPI, gateway: Gateway) -> None:
    api = protect(FastAPI(), OTHER)
    api.mount("/go", gateway)
    root.mount("/api", api)


def plain_in_a_router_of_an_application(root: FastAPI, gateway: Gateway) -> None:
    api, router = FastAPI(), protected_router(settings=OTHER)
    router.add_route("/go", gateway.endpoint)
    api.include_router(router)
    root.mount("/api", api)


def plain_in_a_mounted_router(root: FastAPI, gateway: Gateway) -> None:
    router = protected_router(settings=OTHER)
    router.add_route("/go", gateway.endpoint)
    root.mount("/api", router)


def plain_in_a_router(root: FastAPI, gateway: Gateway) -> None:
    router = protected_router(settings=OTHER)
    router.add_route("/api/go", gateway.endpoint)
    root.include_router(router)


def api_route_in_a_router_mounted_in_a_router(root: FastAPI, gateway: Gateway) -> None:
    router, mounted = protected_router(settings=OTHER), APIRouter()
    mounted.get("/go")(gateway.endpoint)
    router.mount("/api", mounted)
    root.include_router(router)


def api_route_in_a_mounted_router_within_another(root: FastAPI, gateway: Gateway) -> None:
    outer, inner = (protected_router(settings=OTHER) for _ in range(2))
    inner.get("/go")(gateway.endpoint)
    outer.mount("", inner)
    root.mount("/api", outer)


def mount_in_a_router_at_a_host(root: FastAPI, gateway: Gateway) -> None:
    router, mounted = protected_router(settings=OTHER), APIRouter()
    mounted.add_route("/api/go", gateway.endpoint)
    router.mount("", mounted)
    root.host("testserver", router)


def mounts_in_a_router_at_a_host(root: FastAPI, gateway: Gateway) -> None:
    router, between, mounted = protected_router(settings=OTHER), APIRouter(), APIRouter()
    mounted.add_route("/api/go", gateway.endpoint)
    between.mount("", mounted)
    router.mount("", between)
    root.host("testserver", router)


@pytest.mark.parametrize("in_its_scope", [False, True], ids=["copy", "same-scope"])
@pytest.mark.parametrize("target", ["/me", "/beside/me"])
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        plain_in_an_application,
        asgi_in_an_application,
        api_route_in_an_application,
        mount_in_an_application,
        plain_in_a_router_of_an_application,
        plain_in_a_mounted_router,
        plain_in_a_router,
        pytest.param(api_route_in_a_router_mounted_in_a_router, marks=live_routes),
        api_route_in_a_mounted_router_within_another,
        mount_in_a_router_at_a_host,
        mounts_in_a_router_at_a_host,
    ],
    ids=lambda it: it.__name__,
)
def test_attack_a_part_that_leaves_the_guard_goes_by_the_settings_where_it_comes(
    place: Callable[[FastAPI, Gateway], None],
    target: str,
    *,
    started: bool,
    in_its_scope: bool,
) -> None:
    """A token of the guard's issuer opens nothing there, and one of the right issuer does."""
    root, beside = FastAPI(), FastAPI()
    for app in (root, beside):
        app.dependency_overrides[get_settings] = lambda: SETTINGS
        app.get("/me")(me)
    place(root, Gateway(root, target, in_its_scope=in_its_scope))
    root.mount("/beside", beside)
    path = "/api/go/" if place is mount_in_an_application else "/api/go"
    client = TestClient(root)

    with client if started else nullcontext():
        found = [
            client.get(path, headers=FOREIGN | {"x-token": sent["Authorization"]}).status_code
            for sent in (FOREIGN, GOOD, FOREIGN, GOOD)
        ]

    assert [401, 200, 401, 200] == found


def test_a_part_from_a_mounted_router_within_another_is_decided_about() -> None:
    """By the guard of the outer one, where an application that is watched is mounted too."""
    shop, own = FastAPI(), protected_router(settings=SETTINGS)
    outer, inner = protected_router(settings=SETTINGS), protected_router(settings=OTHER)
    app = protect(FastAPI(), OTHER)
    own.get("/own")(read)
    shop.get("/x")(read)
    shop.include_router(own)

    @inner.get("/batch")
    async def batch(request: Request) -> int:
        copy = {**request.scope, "path": "/r/shop/x", "root_path": "", "headers": headers_of(GOOD)}
        return (await drive(app, copy))[0]

    outer.mount("/in", inner)
    outer.mount("/shop", shop)
    app.mount("/r", outer)
    client = TestClient(app)

    assert 200 == client.get("/r/shop/own", headers=GOOD).status_code
    assert 200 == client.get("/r/in/batch", headers=FOREIGN).json()


@pytest.mark.parametrize("plainly", [False, True], ids=["api-route", "plain-route"])
@pytest.mark.parametrize("started", [False, True])
def test_attack_a_part_at_the_same_path_with_another_method(
    *, started: bool, plainly: bool
) -> None:
    """It leaves the guard as one at another path does."""
    root, router = FastAPI(), protected_router(settings=OTHER)
    root.dependency_overrides[get_settings] = lambda: SETTINGS
    root.get("/thing")(me)

    async def overriding(request: Request) -> Response:
        headers = headers_of({"authorization": request.headers["x-token"]})
        copy = {**request.scope, "method": "GET", "headers": headers, "state": {}}
        status, body, _ = await drive(root, copy)
        return Response(body, status)

    if plainly:
        router.add_route("/thing", overriding, methods=["POST"])
    else:
        router.post("/thing")(overriding)
    root.include_router(router)
    client = TestClient(root)

    with client if started else nullcontext():
        found = [
            client.post("/thing", headers=FOREIGN | {"x-token": it["Authorization"]}).status_code
            for it in (FOREIGN, GOOD, FOREIGN, GOOD)
        ]

    assert [401, 200, 401, 200] == found
