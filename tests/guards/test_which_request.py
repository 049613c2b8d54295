"""Which copy of a scope is the same request, and what one that is another request knows.

A wrapper, a route class or an application further in serves the same request: it is authenticated
once. What a batch or an endpoint sends is another one, with the settings of where it comes.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from jwt_deps import (
    JWTSettings,
    current_user_id,
    get_settings,
    jwt_guard,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.testing import Prover, TokenFactory
from tests.minting import SECRET
from tests.web.serving import OTHER, SETTINGS, bearer, live_mounts, live_routes, who

from .asking import FOREIGN, GOOD, INSIDE, Cutting, Layer, ask, drive, headers_of, plain, read

ORIGIN = "https://api.example.com"
PROVEN = JWTSettings(secret_key=SECRET, dpop="required", public_origin=ORIGIN)
EMPLOYEES = SETTINGS.model_copy(update={"user_id_claim": "employee"})
EMPLOYEE = bearer(sub="customer", employee="e1")


def proven(app: ASGIApp, path: str) -> Any:
    """Ask once, with a proof for this request."""
    prover = Prover(ORIGIN)
    token = TokenFactory.for_settings(PROVEN)("alice", claims=prover.binding)
    return TestClient(app).get(path, headers=prover(token, "GET", path))


def user_in_state(request: Request) -> Response:
    """Say who is calling, by the state alone."""
    return JSONResponse(getattr(request.state, "user_id", None))


class HandingOn(Response):
    """An answer that another application gives, for the same scope."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class TestTheSameRequest:
    """It is authenticated once, so that its DPoP proof is used once."""

    @pytest.mark.parametrize(
        "make",
        [lambda: protect(FastAPI(), PROVEN), lambda: protected_router(settings=PROVEN)],
        ids=["application", "router"],
    )
    def test_in_what_an_endpoint_hands_it_on_to(self, make: Callable[[], Any]) -> None:
        inner, app = make(), protect(FastAPI(), PROVEN)
        inner.get("/x")(read)

        @app.get("/{path:path}", response_model=None)
        async def everything(path: str) -> Response:
            assert path == "x"
            return HandingOn(inner)

        assert 200 == proven(app, "/x").status_code

    def test_in_a_copy_that_a_route_class_makes(self) -> None:
        """The class has asked who is calling before; no guard is there."""

        class Copying(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Any]:
                original = super().get_route_handler()

                async def handler(request: Request) -> Response:
                    await current_user_id(request, SecurityScopes())
                    return await original(Request({**request.scope}, request.receive))

                return handler

        app = FastAPI()
        app.dependency_overrides[get_settings] = lambda: PROVEN
        app.router.route_class = Copying
        app.get("/x")(who)

        assert 200 == proven(app, "/x").status_code

    def test_with_one_header_less_behind_a_layer(self) -> None:
        """Below a mount: what the guard wrote for it stays."""

        class Dropping(Layer):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                headers = [it for it in scope["headers"] if it[0] != b"x-drop"]
                await self.app({**scope, "headers": headers}, receive, send)

        inner, app = FastAPI(), protect(FastAPI(), EMPLOYEES)
        inner.add_route("/who", user_in_state)
        app.mount("/m", Dropping(inner))

        answer = TestClient(app).get("/m/who", headers=EMPLOYEE | {"X-Drop": "1"})

        assert "e1" == answer.json()

    @pytest.mark.parametrize("where", ["mount", "root"])
    def test_with_another_path_has_the_public_routes_of_the_guard_below(self, where: str) -> None:
        """The router that it comes to routes it anew."""
        inner, app = protect(FastAPI(), OTHER, exclude=["/anyone"]), protect(FastAPI(), SETTINGS)
        inner.get("/anyone")(read)
        inner.get("/closed")(read)
        prefix = "/m" if where == "mount" else ""
        app.mount(prefix, Cutting(inner))

        found = [ask(app, f"{prefix}{path}/", GOOD) for path in ("/anyone", "/closed")]

        assert [200, 401] == found

    def test_redirected_by_an_application_that_an_endpoint_hands_it_on_to(self) -> None:
        """The endpoint in the scope is a left-over of the outer application."""
        inner = protect(FastAPI(openapi_url=None), SETTINGS)
        inner.get("/x")(read)
        app = protect(FastAPI(openapi_url=None), SETTINGS, exclude=["/{path:path}"])

        @app.get("/{path:path}", response_model=None)
        async def everything() -> Response:
            return HandingOn(inner)

        answer = TestClient(app).get("/x/", follow_redirects=False)

        assert (307, "http://testserver/x") == (answer.status_code, answer.headers["location"])

    @live_mounts
    def test_redirected_below_two_guards_before_one_has_decided(self) -> None:
        """A redirect to the right spelling of a path has no effect, so it needs no token."""
        inner, router, app = protect(FastAPI(), SETTINGS), APIRouter(), protect(FastAPI(), SETTINGS)
        inner.get("/x")(read)
        router.mount("/m", inner)
        app.include_router(router)

        answer = TestClient(app).get("/m/x/", follow_redirects=False)

        assert (307, "http://testserver/m/x") == (answer.status_code, answer.headers["location"])


class TestAnotherRequest:
    """What the first was accepted with says nothing of it."""

    def test_attack_the_same_scope_and_proof_again_in_a_mounted_router(self) -> None:
        """RFC 9449 §11.1: a proof is accepted once."""
        router, app = protected_router(settings=PROVEN), FastAPI()
        router.get("/x")(read)

        async def twice(scope: Scope, receive: Receive, send: Send) -> None:
            found = [(await drive(router, scope))[0] for _ in range(2)]
            await JSONResponse(found)(scope, receive, send)

        app.mount("/m", twice)

        assert [200, 401] == proven(app, "/m/x").json()

    def test_attack_below_a_mount_at_the_path_none(self) -> None:
        """A plain route has no root path, under which another application could be."""
        root, api, beside = FastAPI(), protect(FastAPI(), OTHER), FastAPI()
        beside.dependency_overrides[get_settings] = lambda: SETTINGS
        beside.get("/me")(who)

        async def go(request: Request) -> Response:
            headers = headers_of({"authorization": request.headers["x-token"]})
            copy = {**request.scope, "path": "/None/me", "root_path": "", "headers": headers}
            return JSONResponse((await drive(root, copy))[0])

        api.add_route("/go", go)
        root.mount("/api", api)
        root.mount("/None", beside)

        found = [
            TestClient(root)
            .get("/api/go", headers=FOREIGN | {"X-Token": one["Authorization"]})
            .json()
            for one in (FOREIGN, GOOD)
        ]

        assert [401, 200] == found

    def test_sent_to_an_application_at_the_same_mount(self) -> None:
        """It goes by the guard of the mount, and a plain route there does not read the sender."""
        inner, between, app = FastAPI(), FastAPI(), protect(FastAPI(), EMPLOYEES)
        inner.dependency_overrides[get_settings] = lambda: SETTINGS
        inner.get("/me")(who)
        inner.add_route("/who", user_in_state)
        own = protected_router(settings=EMPLOYEES)

        @own.get("/batch")
        async def batch(request: Request) -> Any:
            root = request.scope["root_path"]
            copies = [{**request.scope, "path": f"{root}{path}"} for path in ("/me", "/who")]
            return [json.loads((await drive(inner, copy))[1]) for copy in copies]

        between.include_router(own)
        between.mount("/deep", inner)
        app.mount("/m", between)

        # Up to FastAPI 0.136 the application between has to have met its guard.
        found = [TestClient(app).get("/m/batch", headers=EMPLOYEE).json() for _ in range(2)]
        assert ["e1", None] == found[-1]

    def test_attack_with_another_credential_added(self) -> None:
        """Where more than a JWT is accepted, any header may name another sender."""

        async def by_key(connection: Any) -> None:
            """Accept nothing."""

        inner, between = FastAPI(), FastAPI()
        inner.add_route("/who", user_in_state)

        @between.get("/batch")
        async def batch(request: Request) -> Any:
            root = f"{request.scope['root_path']}/deep"
            headers = [*request.scope["headers"], (b"x-key", b"of another one")]
            copy = {**request.scope, "path": f"{root}/who", "root_path": root, "headers": headers}
            return json.loads((await drive(inner, copy))[1])

        between.mount("/deep", inner)
        app = FastAPI()
        app.mount("/m", between)
        protect(app, SETTINGS, credentials=[by_key])

        assert TestClient(app).get("/m/batch", headers=GOOD).json() is None

    @live_mounts
    def test_attack_sent_by_a_plain_route_to_a_router_that_is_mounted(self) -> None:
        """The requirements of that router hold for its plain routes."""
        app = protect(FastAPI(), SETTINGS)
        app.dependency_overrides[get_settings] = lambda: SETTINGS
        router = APIRouter(dependencies=[Depends(require_scopes("a"))])
        router.add_route("/plain", plain)
        app.mount("/m", router)

        async def batch(request: Request) -> Response:
            status, *_ = await drive(router, {**request.scope, "path": "/plain"})
            return PlainTextResponse(INSIDE, status)

        app.add_route("/batch", batch)

        assert [403, 200] == [ask(app, "/batch", it) for it in (GOOD, bearer(scope="a"))]

    def test_attack_served_by_another_router_in_the_scope_of_a_public_route(self) -> None:
        """What was found for the public route says nothing of the route that it comes to."""
        guard = Depends(jwt_guard(SETTINGS))
        app, inner = FastAPI(dependencies=[guard]), APIRouter(dependencies=[guard])
        inner.get("/closed")(read)

        @app.get("/open")
        @public
        async def opened(request: Request) -> int:
            request.scope["path"] = "/closed"
            return (await drive(inner, request.scope))[0]

        client = TestClient(app)

        assert [401, 401] == [client.get("/open").json() for _ in range(2)]

    @live_routes
    def test_attack_a_copy_of_a_copy_that_a_public_route_hands_to_another_route(self) -> None:
        """The route in its scope is still the public one, which it was not routed to."""
        app = protect(FastAPI(), SETTINGS)
        app.get("/closed")(read)
        closed: Any = app.routes[-1]

        @app.get("/open")
        @public
        async def opened(request: Request) -> int:
            part = Request({**request.scope, "path": "/closed", "headers": []})
            with suppress(HTTPException):
                await current_user_id(part, SecurityScopes())
            try:
                return (await drive(closed.handle, {**part.scope}))[0]
            except HTTPException as refused:
                return refused.status_code

        assert 401 == TestClient(app).get("/open").json()

    def test_its_challenge_names_the_scopes_of_its_own_route(self) -> None:
        """Where no guard is, FastAPI tells all parts that run at once of one route."""
        router, app = APIRouter(), FastAPI()
        app.dependency_overrides[get_settings] = lambda: SETTINGS

        async def slow() -> None:
            await asyncio.sleep(0.01)

        needed = [Depends(slow), *(Depends(require_scopes(it)) for it in ("one", "other"))]
        router.get("/closed", dependencies=needed)(read)
        router.get("/open")(read)

        @app.exception_handler(403)
        async def challenge(_: Request, error: HTTPException) -> Response:
            return PlainTextResponse((error.headers or {})["WWW-Authenticate"], 403)

        @router.get("/batch")
        async def batch(request: Request) -> list[str]:
            copies = ({**request.scope, "path": it} for it in ("/closed", "/open"))
            parts = await asyncio.gather(*(drive(app, copy) for copy in copies))
            return [body.decode() for _, body, _ in parts]

        app.include_router(router)

        closed, opened = TestClient(app).get("/batch", headers=GOOD).json()

        assert 'scope="one other"' in closed
        assert f'"{INSIDE}"' == opened


class TestSettings:
    """Those of the application where the guard is, or of the guard further out."""

    def test_a_public_route_of_a_mounted_application_goes_by_its_own_override(self) -> None:
        """The guard of that application decides there."""
        inner, app = protect(FastAPI(), exclude=["/me"]), protect(FastAPI())
        inner.dependency_overrides[get_settings] = lambda: SETTINGS
        app.dependency_overrides[get_settings] = lambda: OTHER
        inner.get("/me")(who)
        app.mount("/m", inner)

        assert [200, 401] == [
            TestClient(app).get("/m/me", headers=it).status_code for it in (GOOD, FOREIGN)
        ]

    def test_middleware_of_a_mounted_application_goes_by_the_override_further_out(self) -> None:
        """It runs before the guard of that application."""
        seen: list[str] = []

        class Reading(Layer):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                if scope["type"] == "http":
                    seen.append(await current_user_id(Request(scope), SecurityScopes()))
                await self.app(scope, receive, send)

        inner, app = protect(FastAPI()), protect(FastAPI())
        inner.add_middleware(Reading)
        for one in (inner, app):
            one.dependency_overrides[get_settings] = lambda: SETTINGS
        inner.get("/x")(read)
        app.mount("/m", inner)

        assert 200 == ask(app, "/m/x", GOOD)
        assert ["alice"] == seen
