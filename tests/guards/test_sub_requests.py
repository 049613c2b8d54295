"""A scope that comes to an application again is another request; one changed on its way is not.

What comes again is authenticated on its own, also where nothing in it has changed. What a wrapper,
a route or a dependency copies or changes stays below the guard that let it pass.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import copy
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Path, Request, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps import (
    Claims,
    JWTSettings,
    current_user_id,
    get_claims,
    get_settings,
    get_token,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
    require,
    require_scopes,
)
from jwt_deps.testing import Prover, TokenFactory
from tests.minting import OTHER_SECRET, SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, live_mounts, live_routes, token

from .asking import (
    FOREIGN,
    GOOD,
    Cutting,
    Layer,
    ask,
    drive,
    filled,
    guarded_by,
    headers_of,
    including,
    kinds_of_guard,
    plain,
    read,
)

NONE: dict[str, str] = {}
ALICE, BOB = bearer(sub="alice"), bearer(sub="bob")
ADMIN, MALLORY = bearer(sub="carol", scope="admin"), bearer(OTHER_SECRET, sub="mallory")

User = Annotated[str, Depends(current_user_id)]
MaybeUser = Annotated[str | None, Depends(optional(current_user_id))]


async def me(user: User) -> str:
    """Say who is calling, by a dependency."""
    return user


def user_of(request: Request) -> str | None:
    """Who is calling, by the state."""
    return getattr(request.state, "user_id", None)


async def plain_me(request: Request) -> PlainTextResponse:
    """Say who is calling, by the state, before and after others had their turn."""
    before = user_of(request)
    await request.body()
    await asyncio.sleep(0.002)
    return PlainTextResponse(json.dumps([before, user_of(request)]))


async def send_copy(app: ASGIApp, scope: Scope, **changes: Any) -> tuple[int, Any]:
    """Serve a copy of a scope with something changed, and return the status and the JSON."""
    if "path" in changes:
        changes["raw_path"] = changes["path"].encode()
    status, answer, _ = await drive(app, {**scope, **changes})
    return status, json.loads(answer) if status == 200 else None


# ---- batches ------------------------------------------------------------------------------------


def fill(router: APIRouter) -> APIRouter:
    """Add an open, a closed, an administrator's and a plain route."""

    @router.post("/open")
    @public
    async def opened(request: Request, user: MaybeUser) -> Any:
        await request.body()
        await asyncio.sleep(0.002)
        return [user, user_of(request)]

    @router.post("/closed")
    async def closed(request: Request, body: dict[str, str]) -> Any:
        before = user_of(request)
        await asyncio.sleep(0.002)
        is_own = body["number"] == request.headers["x-number"]
        return [before, user_of(request)] if is_own else "the body of another one"

    @router.post("/raw")
    async def raw(request: Request, user: User) -> Any:
        await request.body()
        return [user, user_of(request)]

    @router.post("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin(request: Request, body: dict[str, str]) -> Any:
        return [user_of(request), body and user_of(request)]

    router.add_route("/plain", plain_me, methods=["POST"])
    router.add_route("/plain-open", public(plain_open), methods=["POST"])
    return router


async def plain_open(request: Request) -> PlainTextResponse:
    return await plain_me(request)


def foreign_routes() -> APIRouter:
    """Make a protected router with other settings."""
    router = protected_router(settings=OTHER)

    @router.post("/foreign")
    async def foreign(request: Request, user: User) -> Any:
        await request.body()
        await asyncio.sleep(0.001)
        return [user, user_of(request)]

    router.add_route("/foreign-plain", plain_me, methods=["POST"])
    return router


Place = Callable[[], tuple[FastAPI, str]]


def behind_protected_router() -> tuple[FastAPI, str]:
    return including(protected_router(fill(APIRouter()), settings=SETTINGS), foreign_routes()), ""


def in_protected_application() -> tuple[FastAPI, str]:
    return protect(including(fill(APIRouter()), foreign_routes()), SETTINGS), ""


def own_of_protected_application() -> tuple[FastAPI, str]:
    app = protect(FastAPI(), SETTINGS)
    fill(app.router)
    app.include_router(foreign_routes())
    return app, ""


def mounted_in_protected_application() -> tuple[FastAPI, str]:
    app = protect(FastAPI(), OTHER)
    app.mount("/m", in_protected_application()[0])
    return app, "/m"


places = pytest.mark.parametrize(
    "place",
    [
        behind_protected_router,
        in_protected_application,
        own_of_protected_application,
        mounted_in_protected_application,
    ],
)
together = pytest.mark.parametrize("together", [False, True], ids=["one-by-one", "at-once"])
Call = tuple[str, dict[str, str]]

#: What is asked, as whom, and the status; a good answer says twice who asked.
CALLS: list[tuple[str, dict[str, str], int, str | None]] = [
    ("/open", NONE, 200, None),
    ("/closed", NONE, 401, None),
    ("/plain-open", NONE, 200, None),
    ("/plain", NONE, 401, None),
    ("/closed", ALICE, 200, "alice"),
    ("/closed", BOB, 200, "bob"),
    ("/open", NONE, 200, None),
    ("/raw", NONE, 401, None),
    ("/raw", ADMIN, 200, "carol"),
    ("/open", BOB, 200, "bob"),
    ("/plain", BOB, 200, "bob"),
    ("/plain", ALICE, 200, "alice"),
    ("/closed", MALLORY, 401, None),
    ("/admin", ADMIN, 200, "carol"),
    ("/admin", ALICE, 403, None),
    ("/admin", NONE, 401, None),
    ("/foreign", MALLORY, 200, "mallory"),
    ("/foreign", ALICE, 401, None),
    ("/foreign-plain", MALLORY, 200, "mallory"),
    ("/plain", MALLORY, 401, None),
    ("/foreign-plain", ALICE, 401, None),
    ("/raw", MALLORY, 401, None),
    ("/foreign", NONE, 401, None),
]


def batch(
    placed: tuple[FastAPI, str], caller: dict[str, str], calls: list[Call], *, at_once: bool
) -> tuple[list[list[Any]], Any]:
    """Add an open batch endpoint, call it, and return the answers and who its caller is then."""
    app, prefix = placed
    router = protected_router(settings=SETTINGS)

    async def one(scope: Scope, number: int, call: Call) -> list[Any]:
        path, headers = call
        text = json.dumps({"number": str(number)}).encode()
        kind = {"content-type": "application/json", "x-number": str(number)}
        copy = {
            **scope,
            "path": prefix + path,
            "raw_path": (prefix + path).encode(),
            "headers": headers_of({**kind, **headers}),
        }
        chunks = [text[:3], text[3:6], text[6:]]
        status, answer, _ = await drive(app, copy, chunks, pause=0.001 * (1 + number % 3))
        return [status, json.loads(answer)]

    @router.post("/batch")
    @public
    async def collect(request: Request, _: MaybeUser) -> Any:
        scope = dict(request.scope)
        coming = [one(scope, number, call) for number, call in enumerate(calls)]
        answers = await asyncio.gather(*coming) if at_once else [await it for it in coming]
        return [answers, user_of(request)]

    app.include_router(router)
    found = TestClient(app).post("/batch", headers=caller)
    assert 200 == found.status_code, found.text
    answers, after = found.json()
    return answers, after


@places
@together
@pytest.mark.parametrize("caller", [NONE, ALICE], ids=["anonymous", "authenticated"])
def test_every_sub_request_is_its_own_caller(
    caller: dict[str, str], place: Place, *, together: bool
) -> None:
    """Nothing of one decides about another: user, state, body, scopes and settings are its own."""
    expected = [*CALLS, *reversed(CALLS)]

    calls = [(path, headers) for path, headers, *_ in expected]
    answers, after = batch(place(), caller, calls, at_once=together)

    for (path, _, status, user), (found, answer) in zip(expected, answers, strict=True):
        assert (path, status) == (path, found)
        assert status != 200 or [user, user] == answer
    assert (None if caller is NONE else "alice") == after


@together
def test_a_batch_with_the_callers_own_headers_authenticates_as_the_caller(
    *, together: bool
) -> None:
    """A copy that keeps the headers keeps the caller, and meets the route's own requirements."""
    app, _ = in_protected_application()

    @app.post("/same")
    async def same(request: Request) -> Any:
        copies = [
            drive(app, {**request.scope, "path": it, "raw_path": it.encode()}, [b"{}"])
            for it in ("/raw", "/admin", "/foreign")
        ]
        found = await asyncio.gather(*copies) if together else [await it for it in copies]
        return [status for status, *_ in found]

    assert [200, 403, 401] == TestClient(app).post("/same", headers=ALICE).json()


@together
def test_an_override_of_settings_per_request_is_asked_for_each(*, together: bool) -> None:
    """One tenant's settings do not decide about the sub-request of another tenant."""

    def per_request(request: Request) -> JWTSettings:
        return OTHER if request.headers.get("x-tenant") == "other" else SETTINGS

    app = including(protected_router(fill(APIRouter())))
    app.dependency_overrides[get_settings] = per_request
    other = {"x-tenant": "other"}
    calls: list[Call] = [("/raw", it) for it in (MALLORY | other, MALLORY, ALICE | other, ALICE)]

    answers, _ = batch((app, ""), NONE, calls, at_once=together)

    assert [200, 401, 401, 200] == [status for status, _ in answers]


@live_mounts
@together
def test_sub_requests_into_a_mount_are_requests_of_their_own(*, together: bool) -> None:
    """The mount of a protected router is asked for each of them."""
    router = protected_router(settings=SETTINGS, exclude=["/open-files"])
    router.mount("/files", PlainTextResponse("[]"))
    router.mount("/open-files", PlainTextResponse("[]"))
    calls: list[Call] = [
        ("/open-files/a", NONE),
        ("/files/a", NONE),
        ("/files/a", ALICE),
        ("/files/a", MALLORY),
        ("/open-files/a", NONE),
        ("/files/b", NONE),
    ]

    answers, _ = batch((including(router), ""), NONE, calls, at_once=together)

    assert [200, 401, 200, 401, 200, 401] == [status for status, _ in answers]


def test_a_sub_request_to_an_open_route_does_not_open_the_outer_request_again() -> None:
    """The dependency that comes after the sub-request still meets the caller's own token."""
    app, _ = in_protected_application()
    seen: list[Any] = []

    async def first(request: Request) -> None:
        copy = {**request.scope, "path": "/open", "raw_path": b"/open", "headers": []}
        seen.append((await drive(app, copy, [b"{}"]))[0])

    async def second(request: Request, claims: Annotated[Any, Depends(get_claims)]) -> None:
        seen.append((claims.sub, user_of(request)))

    app.post("/outer", dependencies=[Depends(first), Depends(second)])(lambda: None)

    assert 200 == TestClient(app).post("/outer", headers=BOB).status_code
    assert [200, ("bob", "bob")] == seen


class TestABatchThatNoGuardKnows:
    """Its own route is unguarded, so nothing of this package has seen the scope that it copies."""

    @pytest.mark.parametrize("prefix", ["/open", pytest.param("/{tenant}", marks=live_routes)])
    @pytest.mark.parametrize("kind", ["protected_router", "jwt_guard"])
    @pytest.mark.parametrize("root", ["", "/m"], ids=["alone", "below a guarded mount"])
    def test_one_that_is_excluded_does_not_open_the_other(
        self, root: str, kind: str, prefix: str
    ) -> None:
        """Both wait above the guard, and what FastAPI writes into the scope is one dictionary.

        Where templates overlap, it can be that of the other one, and both fit the path.
        """
        ran: list[str] = []
        router = APIRouter()

        @router.get("/x")
        async def x(request: Request) -> str:
            ran.append(request.url.path)
            return "inside"

        async def slow() -> None:
            await asyncio.sleep(0.02)

        exclude = [f"{prefix}/x"]
        guarded = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS, exclude))])
        guarded.include_router(router)
        if kind == "protected_router":
            guarded = protected_router(router, settings=SETTINGS, exclude=exclude)
        app = FastAPI(dependencies=[Depends(slow)])
        app.include_router(guarded, prefix="/closed")
        app.include_router(guarded, prefix=prefix)

        @app.get("/a/batch/of/these")
        async def batch(request: Request) -> list[int]:
            async def later(path: str, wait: float) -> int:
                await asyncio.sleep(wait)
                return (await send_copy(app, request.scope, path=root + path, headers=[]))[0]

            both = (later("/closed/x", 0), later("/open/x", 0.01))
            found = await asyncio.gather(*both, return_exceptions=True)
            return [it if isinstance(it, int) else 500 for it in found]

        outer = FastAPI()
        outer.mount(root, app)
        if root:
            protect(outer, OTHER)
        closed, opened = TestClient(outer).get(f"{root}/a/batch/of/these", headers=FOREIGN).json()

        assert closed == 401 if prefix == "/open" else closed in {401, 500}
        assert f"{root}/closed/x" not in ran
        # Below a mount a mere guard may not know the route of the first copy.
        assert prefix != "/open" or opened == 200 or (root and kind == "jwt_guard")

    @pytest.mark.parametrize("guarded", [False, True])
    def test_the_state_of_each_is_its_own(self, *, guarded: bool) -> None:
        """Where a guard applies to their routes, and where only another route has one.

        Also where the state was there before: it is one dictionary in all copies, too. Up to
        FastAPI 0.136 the application has to have started, or to have met the guard.
        """
        routes = protected_router(settings=SETTINGS) if guarded else APIRouter()

        @routes.get("/me")
        async def slow(request: Request, user: User) -> Any:
            await asyncio.sleep(0.02 if "x-slow" in request.headers else 0.01)
            return [user, user_of(request)]

        @routes.get("/anyone")
        @public
        async def anyone(request: Request) -> Any:
            return user_of(request)

        app = including(routes, protected_router(settings=SETTINGS, prefix="/guarded"))
        app.dependency_overrides[get_settings] = lambda: SETTINGS

        @app.get("/batch")
        async def batch(request: Request) -> Any:
            request.state.mine = 1
            both = (
                send_copy(app, request.scope, path="/me", headers=headers_of(it))
                for it in (ALICE | {"X-Slow": "1"}, BOB)
            )
            return [
                *await asyncio.gather(*both),
                await send_copy(app, request.scope, path="/anyone", headers=[]),
                user_of(request),
            ]

        expected = [[200, ["alice", "alice"]], [200, ["bob", "bob"]], [200, None], None]
        with TestClient(app) as client:
            assert expected == client.get("/batch").json()

    def test_where_the_server_gives_no_state(self) -> None:
        """One that runs no lifespan."""
        app = including(filled(protected_router(settings=SETTINGS)))

        @app.get("/batch")
        async def batch(request: Request) -> int:
            return (await send_copy(app, request.scope, path="/api", headers=[]))[0]

        scope: Scope = {"type": "http", "method": "GET", "path": "/batch", "raw_path": b"/batch"}
        for name, value in (("root_path", ""), ("query_string", b""), ("headers", [])):
            scope[name] = value

        assert b"401" == asyncio.run(drive(app, scope))[1]

    @live_routes
    @pytest.mark.parametrize("add", ["add_api_route", "add_route"])
    def test_before_the_application_has_started(self, add: str) -> None:
        """No user comes into the state of the batch, whatever kind of route that is."""
        app = including(filled(protected_router(settings=SETTINGS)))

        async def batch(request: Request) -> JSONResponse:
            request.state.mine = 1
            status, _ = await send_copy(app, request.scope, path="/api", headers=headers_of(ALICE))
            return JSONResponse([status, user_of(request)])

        getattr(app, add)("/batch", batch)

        assert [200, None] == TestClient(app).get("/batch").json()

    def test_where_no_route_has_a_guard(self) -> None:
        """Each has a caller of its own, also where only dependencies ask."""
        app = FastAPI()
        app.dependency_overrides[get_settings] = lambda: SETTINGS
        app.get("/me")(me)

        @app.get("/batch")
        async def batch(request: Request, user: User) -> list[Any]:
            both = (
                send_copy(app, request.scope, path="/me", headers=headers_of(it))
                for it in (BOB, NONE)
            )
            return [user, *await asyncio.gather(*both)]

        assert ["alice", [200, "bob"], [401, None]] == TestClient(app).get(
            "/batch", headers=ALICE
        ).json()


class TestEachOneIsAuthenticated:
    """Whatever the scope of a request was used for before."""

    @pytest.mark.parametrize(
        ("kind", "path"),
        [
            *((kind, "/api") for kind in ("protect", "protected_router", "jwt_guard")),
            *((kind, "/plain") for kind in ("protect", "protected_router")),
        ],
    )
    def test_headers_that_are_edited_in_place(self, kind: str, path: str) -> None:
        """One scope and one list of headers serve all requests of a batch."""
        router = APIRouter()

        @router.get("/api")
        async def twice(user: User) -> list[str]:
            return [user, user]

        if path == "/plain":
            router.add_route("/plain", plain_me)

        @router.get("/batch")
        @public
        async def batch(request: Request) -> list[Any]:
            scope = {**request.scope, "path": path, "raw_path": path.encode(), "headers": []}
            answers = []
            for one in (NONE, ALICE, BOB, NONE):
                scope["headers"][:] = headers_of(one)
                status, answer, _ = await drive(app, scope)
                answers.append(json.loads(answer)[0] if status == 200 else status)
            return answers

        app = guarded_by(kind, router)

        assert [401, "alice", "bob", 401] == TestClient(app).get("/batch").json()

    @pytest.mark.parametrize("path", ["/api", "/plain"])
    def test_a_token_that_a_middleware_renews(self, path: str) -> None:
        """It serves the same scope again after a 401."""

        class Renewing(Layer):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                sent: list[Message] = []

                async def keep(message: Message) -> None:
                    sent.append(message)

                scope["headers"].append((b"authorization", b"Bearer old"))
                await self.app(scope, receive, keep)
                assert 401 == sent[0]["status"]
                scope["headers"][-1] = (b"authorization", GOOD["Authorization"].encode())
                scope["path"] = path
                await self.app(scope, receive, send)

        app = filled(protect(FastAPI(), SETTINGS))
        app.add_middleware(Renewing)

        assert 200 == ask(app, path)

    @kinds_of_guard
    def test_a_token_in_the_query(self, kind: str) -> None:
        """The rest of the request is the same."""

        async def token_of_query(request: Request) -> str | None:
            return request.query_params.get("t")

        router = APIRouter()

        @router.get("/me")
        async def batch(request: Request, user: User, last: int = 0) -> Any:
            queries = [] if last else [token(sub="alice"), token(sub="bob"), "garbage"]
            return user, [
                await send_copy(app, request.scope, query_string=f"last=1&t={it}".encode())
                for it in queries
            ]

        app = guarded_by(kind, router)
        app.dependency_overrides[get_token] = token_of_query
        answer = TestClient(app).get(f"/me?t={token()}").json()

        expected = [[200, ["alice", []]], [200, ["bob", []]], [401, None]]
        assert ["alice", expected] == answer

    @pytest.mark.parametrize("is_open", [False, True])
    @kinds_of_guard
    def test_a_proof_serves_one_of_them(self, kind: str, *, is_open: bool) -> None:
        """RFC 9449 §11.1: also where the batch itself was accepted with DPoP."""
        origin = "https://api.example.com"
        settings = JWTSettings(secret_key=SECRET, dpop="allowed", public_origin=origin)
        alice = Prover(origin)
        bound = TokenFactory.for_settings(settings)(claims=alice.binding)
        paid: list[int] = []
        router = APIRouter()
        router.post("/pay")(lambda: paid.append(1))

        async def batch(request: Request) -> list[int]:
            headers = headers_of(alice(bound, "POST", "/pay"))
            found = [
                await send_copy(app, request.scope, path="/pay", headers=headers) for _ in range(3)
            ]
            return [status for status, _ in found]

        router.post("/batch")(public(batch) if is_open else batch)
        app = guarded_by(kind, router, settings)

        headers = {} if is_open else alice(bound, "POST", "/batch")
        assert [200, 401, 401] == TestClient(app).post("/batch", headers=headers).json()
        assert [1] == paid

    def test_a_handshake_with_another_subprotocol(self) -> None:
        """A WebSocket brings its token there, too."""
        app = protect(FastAPI(), SETTINGS)
        users: list[str] = []

        @app.websocket("/ws")
        async def endpoint(websocket: WebSocket, user: User) -> None:
            users.append(user)
            if "copy" in websocket.scope:
                return
            await websocket.accept(subprotocol="bearer")
            for second in (token(sub="bob"), "garbage"):
                copy = {**websocket.scope, "copy": True, "subprotocols": ["bearer", second]}
                await app(copy, websocket.receive, unheard)
            await websocket.close()

        async def unheard(message: Message) -> None:
            pass

        offered = ["bearer", token(sub="alice")]
        with TestClient(app).websocket_connect("/ws", subprotocols=offered) as websocket:
            websocket.receive()

        assert ["alice", "bob"] == users


@kinds_of_guard
class TestAnEqualCopyInAnotherApplication:
    """It shares nothing with the request that it was copied from."""

    @pytest.mark.parametrize(("path", "answer"), [("/old", "inside"), ("/new", "own page")])
    def test_the_answer_of_the_first_is_its_own(self, kind: str, path: str, answer: str) -> None:
        """An endpoint asks another application, and answers itself where that has no such route."""
        legacy, router = protect(FastAPI(), SETTINGS), APIRouter()
        legacy.get("/old")(read)

        @router.get("/{path:path}")
        async def page(request: Request, path: str) -> Any:  # noqa: ARG001 - it takes any
            status, found = await send_copy(legacy, request.scope)
            return found if status == 200 else "own page"

        got = TestClient(guarded_by(kind, router)).get(path, headers=GOOD)

        assert (200, answer) == (got.status_code, got.json())

    def test_the_state_of_the_first_is_its_own(self, kind: str) -> None:
        """The other application may name another user, or refuse."""
        employees = protect(FastAPI(), SETTINGS.model_copy(update={"user_id_claim": "employee"}))
        refusing, router = protect(FastAPI(), OTHER), APIRouter()
        employees.get("/x")(read)
        refusing.get("/x")(read)

        @router.get("/x")
        async def x(request: Request) -> list[Any]:
            users = [user_of(request)]
            for other in (employees, refusing):
                await send_copy(other, request.scope)
                users.append(user_of(request))
            return users

        headers = bearer(sub="customer", employee="e1")
        answer = TestClient(guarded_by(kind, router)).get("/x", headers=headers)

        assert ["customer"] * 3 == answer.json()

    @pytest.mark.parametrize("path", ["/x", "/y"])
    def test_the_settings_of_the_first_are_its_own(self, kind: str, path: str) -> None:
        """A dependency without a guard goes by `get_settings` in the other application."""
        other, router = FastAPI(), APIRouter()
        other.dependency_overrides[get_settings] = lambda: OTHER
        other.get(path)(me)

        @router.get("/x")
        async def x(request: Request) -> int:
            return (await send_copy(other, request.scope, path=path))[0]

        assert 401 == TestClient(guarded_by(kind, router)).get("/x", headers=GOOD).json()


@pytest.mark.parametrize(
    ("path", "root"),
    [("/submarine/me", ""), ("/marine/me", ""), ("/me", None), ("/me", "")],
    ids=["name that begins alike", "other name", "root path kept", "outermost"],
)
def test_a_copy_that_leaves_a_mount_leaves_its_guard(path: str, root: str | None) -> None:
    """Neither what the paths begin with nor the root path that was kept decides."""
    top, sub, leaf = FastAPI(), protect(FastAPI(), SETTINGS), FastAPI()
    beside = [FastAPI(), FastAPI()]
    for app in (top, *beside):
        app.dependency_overrides[get_settings] = lambda: OTHER
        app.get("/me")(me)

    @leaf.get("/batch")
    async def batch(request: Request) -> int:
        kept = request.scope["root_path"] if root is None else root
        return (await send_copy(top, request.scope, path=path, root_path=kept))[0]

    sub.mount("", leaf)
    top.mount("/submarine", beside[0])
    top.mount("/marine", beside[1])
    top.mount("/sub", sub)

    assert 401 == ask(top, path, GOOD)
    assert 401 == TestClient(top).get("/sub/batch", headers=GOOD).json()


# ---- changes on the way -------------------------------------------------------------------------


class Calling:
    """An application that calls another one."""

    def __init__(self, app: ASGIApp) -> None:
        self.inner = app

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inner(scope, receive, send)

    __call__ = serve


class Logging(Layer):
    """A middleware that looks at the state when the request has ended."""

    def __init__(self, app: ASGIApp, seen: list[Any]) -> None:
        super().__init__(app)
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = Request(scope).state
        state.begun = True
        await self.app(scope, receive, send)
        self.seen.append((getattr(state, "user_id", None), getattr(state, "tenant", None)))


async def write(request: Request) -> str:
    """Write to the state."""
    request.state.tenant = "t1"
    return "inside"


@pytest.mark.parametrize(
    "mount",
    [
        pytest.param(lambda app: Mount("/api", app=app), id="itself"),
        pytest.param(lambda app: Mount("/api", app=CORSMiddleware(app)), id="in a layer"),
        pytest.param(
            lambda app: Mount("/api", app=app, middleware=[Middleware(CORSMiddleware)]),
            id="with middleware",
        ),
        pytest.param(lambda app: Mount("/api", routes=[Mount("", app=app)]), id="in a mount"),
        pytest.param(lambda app: Mount("/api", app=Calling(app)), id="in another object"),
        pytest.param(lambda app: Mount("/api", app=Calling(app).serve), id="in a method"),
        pytest.param(lambda app: Mount("/api", routes=[Route("/x", app)]), id="in a route"),
    ],
)
@kinds_of_guard
def test_a_middleware_outside_sees_what_an_application_inside_wrote(
    kind: str, mount: Callable[[ASGIApp], Mount]
) -> None:
    """The application is mounted, with whatever is around it."""
    top, router, seen = FastAPI(), APIRouter(), list[Any]()
    router.get("/x")(write)
    top.router.routes.append(mount(guarded_by(kind, router)))
    top.add_middleware(Logging, seen=seen)

    answers = [ask(top, "/api/x", GOOD) for _ in range(2)]

    assert [200, 200] == answers
    assert [("alice", "t1")] * 2 == seen


def test_a_middleware_outside_sees_what_a_router_inside_wrote() -> None:
    """A plain route serves the router: an `APIRouter` is an ASGI application."""
    top, router, seen = FastAPI(), protected_router(settings=SETTINGS), list[Any]()
    router.get("/x")(write)
    top.mount("/api", Starlette(routes=[Route("/x", router)]))
    top.add_middleware(Logging, seen=seen)

    assert 200 == ask(top, "/api/x", GOOD)
    assert [("alice", "t1")] == seen


def test_dependencies_of_a_plain_route_end_with_its_request() -> None:
    """And not with the request of the batch, or never."""
    log: list[str] = []

    async def session() -> AsyncIterator[None]:
        log.append("open")
        yield
        log.append("close")

    async def page(_: Request) -> PlainTextResponse:
        log.append("page")
        return PlainTextResponse("null")

    app = protect(FastAPI(), SETTINGS, dependencies=[Depends(session)])
    app.add_route("/page", page)

    @app.get("/batch")
    async def batch(request: Request) -> None:
        await send_copy(app, request.scope, path="/page")
        log.append("end of batch")

    TestClient(app).get("/batch", headers=GOOD)

    assert ["open", "open", "page", "close", "end of batch", "close"] == log


def assigning(request: Request) -> None:
    """Add a header by a new list."""
    request.scope["headers"] = [*request.scope["headers"], (b"x-request-id", b"1")]


def appending(request: Request) -> None:
    request.scope["headers"].append((b"x-request-id", b"1"))


def setting(request: Request) -> None:
    """Add a header as Starlette lets a middleware do it."""
    MutableHeaders(scope=request.scope)["x-request-id"] = "1"


def lowering(request: Request) -> None:
    request.scope["path"] = request.scope["path"].lower()


def overriding(request: Request) -> None:
    request.scope["method"] = "PUT"


@public
async def anyone(user: MaybeUser) -> Any:
    return user


async def admin(_: Annotated[Any, Depends(require_scopes("admin"))]) -> None: ...


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        pytest.param(me, [(200, "alice"), (401, None), (401, None)], id="user"),
        # By the settings of the guard, and not by `get_settings`.
        pytest.param(anyone, [(200, "alice"), (401, None), (200, None)], id="optional-user"),
        pytest.param(admin, [(403, None), (401, None), (401, None)], id="scopes"),
    ],
)
@pytest.mark.parametrize("change", [assigning, appending, setting, lowering, overriding])
@kinds_of_guard
def test_a_dependency_that_changes_the_scope_leaves_the_request_what_it_was(
    kind: str,
    change: Callable[..., None],
    endpoint: Callable[..., Awaitable[Any]],
    expected: list[Any],
) -> None:
    """It runs after the guard."""
    router = APIRouter(dependencies=[Depends(change)])
    router.get("/A/x")(endpoint)
    app = guarded_by(kind, router)
    app.dependency_overrides[get_settings] = lambda: OTHER
    client = TestClient(app)

    found = [client.get("/A/x", headers=it) for it in (GOOD, FOREIGN, {})]

    assert expected == [
        (it.status_code, it.json() if it.status_code == 200 else None) for it in found
    ]


class Forwarding(Layer):
    """A middleware that puts `X-Forwarded-Prefix` before the paths."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a copy of the scope."""
        root, path = "/proxy" + scope["root_path"], "/proxy" + scope["path"]
        await self.app({**scope, "root_path": root, "path": path}, receive, send)


class Outermost(Layer):
    """A middleware that hides from an application that it is mounted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a copy of the scope."""
        path = scope["path"].removeprefix(scope["root_path"])
        await self.app({**scope, "root_path": "", "path": path}, receive, send)


@pytest.mark.parametrize("around", [Forwarding, Outermost])
@pytest.mark.parametrize("exclude", [[], ["/sub"]], ids=["guarded", "excluded"])
@pytest.mark.parametrize("place", ["in the application", "around it"])
def test_a_mounted_application_keeps_the_settings_of_the_guard_around_it(
    around: Callable[[ASGIApp], ASGIApp], exclude: list[str], place: str
) -> None:
    """Whatever a middleware makes of its root path."""
    app, sub = protect(FastAPI(), SETTINGS, exclude), FastAPI()
    sub.get("/me")(me)
    for one in (app, sub):
        one.dependency_overrides[get_settings] = lambda: OTHER
    if place == "in the application":
        sub.add_middleware(around)
    app.mount("/sub", sub if place == "in the application" else around(sub))

    client = TestClient(app)
    found = [client.get("/sub/me", headers=it).status_code for it in (GOOD, FOREIGN)]

    assert [200, 401] == found


class Adding(Layer):
    """A middleware that serves a copy of the scope with one more header."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*scope["headers"], (b"x-request-id", b"1")]
        await self.app({**scope, "headers": headers}, receive, send)


def test_the_first_request_to_a_public_route_is_served() -> None:
    """A middleware hands on a copy of the scope before anything of it is known."""
    guarded = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS, ["/anyone"]))])
    guarded.get("/anyone")(read)
    sub, app = including(guarded), protect(FastAPI(), SETTINGS, exclude=["/m"])
    sub.add_middleware(Adding)
    app.mount("/m", sub)

    assert [200, 200] == [ask(app, "/m/anyone") for _ in range(2)]


class Moved(Layer):
    """A middleware that serves a scope a second time, at another path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await drive(self.app, scope)
        scope["path"] = "/closed/api"
        await self.app(scope, receive, send)


def test_the_first_scope_that_is_served_a_second_time_is_at_its_second_path() -> None:
    """The same route can be excluded at one path and not at another."""
    guard = jwt_guard(SETTINGS, exclude=["/open/*"])
    app = FastAPI(openapi_url=None, dependencies=[Depends(guard)], middleware=[Middleware(Moved)])
    router = APIRouter()
    router.get("/api")(read)
    for prefix in ("/open", "/closed"):
        app.include_router(router, prefix=prefix)

    assert 401 == ask(app, "/open/api")


# ---- parameters of the path ---------------------------------------------------------------------


def same_tenant(claims: Claims, tenant: Annotated[str, Path()]) -> bool:
    return bool(claims["tenant"] == tenant)


def for_tenants() -> FastAPI:
    """An application of which every route asks for the tenant in its path."""
    app, mounted = FastAPI(), FastAPI()

    @app.get("/t/{tenant}/data")
    @mounted.get("/{tenant}/data")
    async def data(tenant: str) -> str:
        return tenant

    @app.get("/without")
    async def without() -> str:
        return "inside"

    @app.post("/t/{tenant}/batch")
    async def batch(tenant: str, request: Request) -> Any:
        parts = [
            await send_copy(app, request.scope, path=it, method="GET")
            for it in await request.json()
        ]
        return [tenant, *[status for status, _ in parts]]

    @app.get("/t/{tenant}/new/{rest:path}")
    async def new(tenant: str, rest: str) -> PlainTextResponse:
        return PlainTextResponse(tenant + rest, 404)

    app.add_route("/plain", plain)
    app.mount("/mounted", mounted)
    return protect(app, SETTINGS, dependencies=[Depends(require(same_tenant))])


ACME = bearer(tenant="acme")
TENANTS = {
    "/t/acme/data": 200,
    "/t/umbrella/data": 403,
    "/mounted/umbrella/data": 422,
    "/without": 422,
    "/plain": 422,
}


def test_attack_a_part_with_the_parameters_of_the_path_of_the_batch() -> None:
    """Each is answered as it is directly: no other tenant's data, and none without a tenant."""
    client = TestClient(for_tenants(), headers=ACME)

    direct = {path: client.get(path).status_code for path in TENANTS}
    parts = client.post("/t/acme/batch", json=list(TENANTS)).json()

    assert direct == TENANTS
    assert ["acme", *TENANTS.values()] == parts


def test_attack_a_second_path_in_the_scope_of_the_first() -> None:
    """A middleware that tries an older address where the new one has nothing."""

    def fallback(app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            status, _, _ = await drive(app, scope)
            scope["path"] = "/mounted/umbrella/data"
            await app(scope, receive, send)
            assert status == 404

        return serve

    client = TestClient(fallback(for_tenants()), headers=ACME)

    assert 422 == client.get("/t/acme/new/umbrella/data").status_code


@pytest.mark.parametrize("override", [get_settings, get_claims])
def test_attack_a_second_path_in_a_scope_that_went_to_a_mounted_application(
    override: Callable[..., Any],
) -> None:
    """What that one replaces says nothing of the routes around it."""
    app, mounted = FastAPI(), FastAPI()
    mounted.dependency_overrides[override] = lambda: (
        OTHER if override is get_settings else {"sub": "mallory"}
    )
    app.dependency_overrides[get_settings] = lambda: SETTINGS
    filled(app).mount("/new", mounted)

    def fallback(app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            before = {**scope}
            status, _, _ = await drive(app, scope)
            scope.update(path=before["path"].removeprefix("/new"), root_path=before["root_path"])
            await app(scope, receive, send)
            assert status == 404

        return serve

    app.add_middleware(fallback)
    protect(app, exclude=["/new/*"])

    for path in ("/new/api", "/new/plain"):
        assert [401, 401, 200] == [ask(app, path, it) for it in (NONE, FOREIGN, GOOD)]


def batching(mounted_at: str = "") -> FastAPI:
    """A guarded application that sends `/me` to the application that a request came to."""
    app = FastAPI()
    app.get("/me")(me)

    @app.post("/batch")
    async def batch(request: Request) -> Any:
        path, scope = f"{mounted_at}/me", {**request.scope, "method": "GET", "root_path": ""}
        return [
            (await send_copy(request.app, {**scope, "headers": headers_of(it)}, path=path))[0]
            for it in (FOREIGN, GOOD)
        ]

    return protect(app)


def test_attack_a_part_of_a_copy_of_an_application_goes_by_the_overrides_of_the_copy() -> None:
    """They share a router, in which the part comes to the guard."""
    app = batching()
    app.dependency_overrides = {get_settings: lambda: OTHER}
    copied = copy(app)
    copied.dependency_overrides = {get_settings: lambda: SETTINGS}

    assert [401, 200] == TestClient(copied, headers=GOOD).post("/batch").json()
    assert [200, 401] == TestClient(app, headers=FOREIGN).post("/batch").json()


@pytest.mark.parametrize("guard", [lambda app: app, protect], ids=["open", "guarded"])
def test_attack_a_part_to_a_router_of_another_application_goes_by_the_one_it_is_mounted_in(
    guard: Callable[[FastAPI], FastAPI],
) -> None:
    """As every request to it does: the other one has not received it."""
    app, outer = batching("/in"), guard(FastAPI())
    app.dependency_overrides[get_settings] = lambda: OTHER
    outer.dependency_overrides[get_settings] = lambda: SETTINGS
    outer.mount("/in", app.router)

    client = TestClient(outer)
    assert [401, 200] == [client.get("/in/me", headers=it).status_code for it in (FOREIGN, GOOD)]
    assert [401, 200] == client.post("/in/batch", headers=GOOD).json()


def test_attack_a_part_that_an_application_without_guards_sends() -> None:
    """What is known of its path says nothing here."""
    app, guarded = FastAPI(), for_tenants()

    @app.post("/t/{tenant}/batch")
    async def batch(tenant: str, request: Request) -> Any:
        parts = [await send_copy(guarded, request.scope, path=it, method="GET") for it in TENANTS]
        return [tenant, *[status for status, _ in parts]]

    client = TestClient(app, headers=ACME)

    for _ in range(2):
        assert ["acme", *TENANTS.values()] == client.post("/t/acme/batch").json()


def test_the_parameters_of_a_mount_further_out_stay_those_of_a_part() -> None:
    """It is below that mount as the batch is."""
    inner, outer = FastAPI(), FastAPI()

    @inner.get("/one")
    async def one(tenant: Annotated[str, Path()]) -> str:
        return tenant

    @inner.post("/batch/{tenant}")
    async def batch(tenant: str, request: Request) -> Any:
        assert tenant == "umbrella"
        return await send_copy(inner, request.scope, path="/b/acme/one", method="GET")

    outer.mount("/b/{tenant}", protect(inner, SETTINGS))

    assert [200, "acme"] == TestClient(outer, headers=ACME).post("/b/acme/batch/umbrella").json()


def test_the_parameters_of_a_mount_stay_where_a_wrapper_copies_the_scope() -> None:
    """The application below it is the same request."""
    inner, outer = protect(FastAPI(), SETTINGS), protect(FastAPI(), SETTINGS)

    @inner.get("/one")
    async def one(tenant: Annotated[str, Path()]) -> str:
        return tenant

    outer.mount("/b/{tenant}", Cutting(inner))

    assert "acme" == TestClient(outer, headers=ACME).get("/b/acme/one/").json()


def test_a_part_has_the_parameters_of_the_mount_that_it_comes_through() -> None:
    """A router is mounted there, which it comes to as well."""
    app, router = FastAPI(), protected_router(settings=SETTINGS)

    @router.get("/one")
    async def one(tenant: Annotated[str, Path()]) -> str:
        return tenant

    @app.post("/batch")
    async def batch(request: Request) -> Any:
        return await send_copy(app, request.scope, path="/b/acme/one", method="GET")

    app.mount("/b/{tenant}", router)
    client = TestClient(protect(app, SETTINGS), headers=ACME)

    assert [200, "acme"] == client.post("/batch").json()
