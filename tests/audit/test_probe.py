"""The probe takes for a refusal what a guard refused, and nothing else."""

import asyncio
from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request, WebSocket
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from jwt_deps import current_user_id, get_settings, optional, protect, protected_router, public
from jwt_deps.audit import Audit, AuditedRoute, Verdict, audit, probe
from tests.audit.holes import LIVE, endpoint, page
from tests.minting import SECRET
from tests.web.serving import SETTINGS, including

live = pytest.mark.skipif(not LIVE, reason="up to 0.136 inclusions have no mounts and hosts")


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)


def named(found: Audit) -> dict[str, AuditedRoute]:
    return {f"{' '.join(route.methods)} {route.path}": route for route in found.routes}


def asked(app: FastAPI, **options: Any) -> Audit:
    return asyncio.run(probe(app, audit(app), **options))


def one_route(path: str = "/x", answer: Callable[..., Any] | None = None) -> FastAPI:
    """An application with one guarded route."""
    router, app = APIRouter(), FastAPI()
    router.add_api_route(path, answer or endpoint())
    app.include_router(protected_router(router, settings=SETTINGS))
    return app


class Open(APIRoute):
    """A route that runs no dependencies: it looks guarded, and its endpoint runs."""

    ran: list[int]

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        self.endpoint.ran.append(1)  # type: ignore[attr-defined]
        await self.endpoint(scope, receive, send)


def open_route(status: int, headers: Any = None) -> tuple[FastAPI, list[int]]:
    """An application whose route looks guarded; its endpoint runs and answers with a status."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("mine", status, headers)(scope, receive, send)

    answer.ran = []  # type: ignore[attr-defined]
    router = protected_router(settings=SETTINGS, route_class=Open)
    app = FastAPI()

    @router.get("/x")
    async def read() -> None: ...

    route = router.routes[-1]
    route.endpoint = answer  # type: ignore[attr-defined]
    app.include_router(router)
    return app, answer.ran  # type: ignore[attr-defined]


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mine"'}

unseen = pytest.mark.skipif(
    not LIVE, reason="up to 0.136 the audit calls a route class with its own handle unguarded"
)


class TestAnEndpointThatRuns:
    @unseen
    @pytest.mark.parametrize("status", [404, 405])
    def test_what_a_router_would_answer_is_no_refusal(self, status: int) -> None:
        app, ran = open_route(status)

        found = asked(app)

        assert [1] == ran
        assert not found.ok
        sentence = f"GET /x looks guarded, but answered {status} without a token."
        assert (sentence,) == found.problems

    @unseen
    @pytest.mark.parametrize("headers", [None, CHALLENGE], ids=["bare", "with-a-challenge"])
    @pytest.mark.parametrize("status", [401, 403])
    def test_its_own_refusal_is_none_of_a_guard(self, status: int, headers: Any) -> None:
        """It ran, whatever it says then."""
        app, ran = open_route(status, headers)

        found = asked(app)

        assert [1] == ran
        (problem,) = found.problems
        assert problem == (
            f"GET /x answered {status} without a token, but no guard of jwt-deps refused it: "
            "whether it is guarded is not known."
        )

    @unseen
    def test_a_redirect(self) -> None:
        """What became of it is told: no guard decided about it, so the gate refuses it."""
        app, _ = open_route(302)

        sentence = "GET /x looks guarded, but answered 500 without a token."
        assert (sentence,) == asked(app).problems

    @unseen
    @pytest.mark.parametrize("status", [400, 422, 500])
    def test_any_other_answer(self, status: int) -> None:
        app, _ = open_route(status)

        sentence = f"GET /x looks guarded, but answered {status} without a token."
        assert (sentence,) == asked(app).problems

    def test_the_guard_is_gone_since_the_audit(self) -> None:
        """The route that matched has the endpoint: then it is known that it was reached."""

        async def answer() -> None:
            raise HTTPException(404)

        guarded, bare = one_route(answer=answer), FastAPI()
        bare.add_api_route("/x", answer)

        found = asyncio.run(probe(bare, audit(guarded)))

        assert ("GET /x looks guarded, but answered 404 without a token.",) == found.problems

    def test_a_plain_endpoint_that_is_reached(self) -> None:
        """Likewise, through what is around it."""

        async def answer(_: Request) -> Any:
            raise HTTPException(404)

        app = FastAPI()
        app.add_route("/x", answer)
        looked = audit(protect(app, SETTINGS))
        app.dependency_overrides.update({one: lambda: None for one in guards_of(app)})

        found = asyncio.run(probe(app, looked))

        assert "GET /x looks guarded, but answered 404 without a token." in found.problems


def guards_of(app: FastAPI) -> list[Any]:
    return [one.dependency for one in app.router.dependencies]


class TestARefusal:
    def test_only_guarded_routes_are_asked(self) -> None:
        """The endpoints of others would run."""
        ran: list[str] = []
        app = one_route()

        @app.get("/open")
        @public
        async def open_() -> None:
            ran.append("open")

        found = named(asked(app))

        assert ("401", None, []) == (found["GET /x"].answer, found["GET /open"].answer, ran)

    def test_an_own_dependency_refuses_as_a_guard_does(self) -> None:
        """It is of this package, too."""
        app = FastAPI()

        @app.get("/x")
        async def read(_: Annotated[str, Depends(current_user_id)]) -> None: ...

        found = asked(app)

        assert ((), "401") == (found.problems, named(found)["GET /x"].answer)

    def test_an_exception_handler_that_drops_the_challenge(self) -> None:
        """It is a refusal by the guard, with a note on what is missing."""
        app = one_route()

        @app.exception_handler(HTTPException)
        async def own(_: Request, error: HTTPException) -> PlainTextResponse:
            return PlainTextResponse("no", error.status_code)

        found = asked(app)

        assert () == found.problems
        (note,) = found.notes
        assert note == (
            "GET /x refuses without a challenge (WWW-Authenticate): the exception handler that "
            "makes the response must send exc.headers."
        )

    def test_an_exception_handler_that_makes_another_answer_of_it(self) -> None:
        """The guard refused, and nothing tells the client."""
        app = one_route()

        @app.exception_handler(HTTPException)
        async def own(*_: Any) -> PlainTextResponse:
            return PlainTextResponse("no", 404)

        assert not asked(app).ok

    def test_a_copied_scope(self) -> None:
        class Copying(FastAPI):
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await super().__call__(dict(scope), receive, send)

        app = Copying()
        router = protected_router(settings=SETTINGS)
        router.add_api_route("/x", endpoint())
        app.include_router(router)

        assert () == asked(app).problems

    def test_what_is_optional_is_no_refusal(self) -> None:
        """A dependency that does without a token does not refuse one."""
        looked = audit(one_route())
        app = FastAPI()

        @app.get("/x")
        async def read(_: Annotated[Any, Depends(optional(current_user_id))]) -> None:
            raise HTTPException(401)

        assert not asyncio.run(probe(app, looked)).ok

    @live
    def test_a_host_is_asked_by_its_name(self) -> None:
        router = protected_router(settings=SETTINGS)
        router.routes.append(Host("{name}.example.org", Router(routes=[Route("/page", page)])))
        app = including(router)

        found = asked(app)

        assert ((), "401") == (found.problems, named(found)["GET //{name}.example.org/page"].answer)

    @live
    def test_a_mount_is_asked(self) -> None:
        """With a GET for whatever it takes."""
        router, app = protected_router(settings=SETTINGS), FastAPI()
        router.routes.append(Mount("/m", app=PlainTextResponse("x")))
        app.include_router(router)

        found = asked(app)

        assert ((), "401") == (found.problems, named(found)["* /m/*"].answer)

    @pytest.mark.parametrize(
        ("path", "name"),
        [("//a.test/docs", "GET //a.test/docs"), ("/read", "GET /{anything}")],
        ids=["page-of-a-host", "template"],
    )
    def test_a_route_behind_a_public_one_is_not_reached(self, path: str, name: str) -> None:
        """What answers there is that one, which is judged by itself; a note says so."""
        app, inner = FastAPI(), FastAPI()
        app.get("/read")(public(endpoint()))
        app.add_api_route("/{anything}", endpoint())
        app.host("a.test", inner)

        found = asked(protect(app, SETTINGS), values={"anything": "read"})

        assert found.problems == ()
        at = path.removeprefix("//a.test")
        assert f"{name} is not reached: a public route before it answered {at}." in found.notes

    def test_the_pages_of_an_application_that_is_mounted_at_the_root(self) -> None:
        """They have the paths of the outer one's, which come first."""
        app = protect(FastAPI(), SETTINGS)
        app.mount("/", FastAPI())

        found = asked(app)

        assert found.problems == ()
        assert any(it.startswith("GET /docs is not reached") for it in found.notes)

    def test_each_method_is_asked(self) -> None:
        """The answers are told once."""
        router, app = APIRouter(), FastAPI()
        router.add_api_route("/x", endpoint(), methods=["GET", "POST"])
        app.include_router(protected_router(router, settings=SETTINGS))

        assert "401" == named(asked(app))["GET POST /x"].answer


class TestNoAnswer:
    def test_an_endpoint_that_answers_all_the_same_is_a_problem(self) -> None:
        """Whatever the reason: here a middleware that answers first."""
        app = one_route()

        @app.middleware("http")
        async def cached(*_: Any) -> PlainTextResponse:
            return PlainTextResponse("from the cache")

        found = asked(app)

        assert ("GET /x looks guarded, but answered 200 without a token.",) == found.problems
        assert not found.ok

    def test_an_error_is_no_refusal(self) -> None:
        """It is told by its kind."""
        app = one_route()

        @app.middleware("http")
        async def broken(*_: Any) -> None:
            raise ZeroDivisionError

        assert "answered 500" in asked(app).problems[0]

    def test_an_application_that_says_nothing_has_not_refused(self) -> None:
        """It is waited for no longer than told."""
        app = one_route()

        @app.middleware("http")
        async def slow(*_: Any) -> None:
            await asyncio.Event().wait()

        assert "answered nothing" in asked(app, seconds=0.05).problems[0]

    def test_an_application_that_fails_before_it_answers(self) -> None:
        """What was raised is named, by its kind alone."""

        class Failing(FastAPI):
            async def __call__(self, *_: Any) -> None:
                raise ZeroDivisionError("secret")

        found = asyncio.run(probe(Failing(), audit(one_route())))

        (problem,) = {one.rpartition("answered")[2] for one in found.problems}
        assert " ZeroDivisionError without a token." == problem

    def test_an_application_that_ends_without_an_answer(self) -> None:
        class Silent(FastAPI):
            async def __call__(self, *_: Any) -> None:
                """Say nothing."""

        found = asyncio.run(probe(Silent(), audit(one_route())))

        assert "answered nothing" in found.problems[0]

    def test_an_application_that_waits_for_more_of_the_request_gets_no_more(self) -> None:
        """There is no more, and the answer is not waited for longer than told."""

        class Reading(FastAPI):
            async def __call__(self, _: Any, receive: Any, __: Any) -> None:
                while True:
                    await receive()

        found = asyncio.run(probe(Reading(), audit(one_route()), seconds=0.05))

        assert "answered nothing" in found.problems[0]


class TestWebSockets:
    CLAIMED = Audit((AuditedRoute("/w", ("WEBSOCKET",), "", Verdict.GUARDED, "claimed"),))

    def asked(self, answer: Callable[..., Any]) -> Audit:
        app = FastAPI()
        app.add_api_websocket_route("/w", answer)
        return asyncio.run(probe(app, self.CLAIMED))

    def test_a_denial(self) -> None:
        """With the status and the challenge of an HTTP answer."""
        router, app = APIRouter(), FastAPI()
        router.add_api_websocket_route("/w", accepting)
        app.include_router(protected_router(router, settings=SETTINGS))

        found = asked(app)

        assert ((), "401") == (found.problems, named(found)["WEBSOCKET /w"].answer)

    def test_a_close(self) -> None:
        """Where the server cannot deny, the guard closes with 1008."""

        class WithoutDenial(FastAPI):
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await super().__call__({**scope, "extensions": {}}, receive, send)

        router, app = APIRouter(), WithoutDenial()
        router.add_api_websocket_route("/w", accepting)
        app.include_router(protected_router(router, settings=SETTINGS))

        found = asked(app)

        assert ((), "closed") == (found.problems, named(found)["WEBSOCKET /w"].answer)

    def test_an_endpoint_that_accepts(self) -> None:
        found = self.asked(accepting)

        assert "accepted" == found.routes[0].answer
        assert "WEBSOCKET /w looks guarded, but answered accepted" in found.problems[0]

    def test_an_endpoint_that_closes(self) -> None:
        """With the same code: no guard was asked."""

        async def closing(websocket: WebSocket) -> None:
            await websocket.close(1008)

        assert "whether it is guarded is not known" in self.asked(closing).problems[0]

    def test_a_router_that_closes(self) -> None:
        found = asyncio.run(probe(FastAPI(), self.CLAIMED))

        assert "closed(1000)" == found.routes[0].answer
        assert not found.ok


async def accepting(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive()


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 9


KINDS = [
    pytest.param(str, id="text"),
    pytest.param(int, id="int"),
    pytest.param(float, id="float"),
    pytest.param(UUID, id="uuid"),
    pytest.param(bool, id="bool"),
    pytest.param(Colour, id="enum"),
    pytest.param(Level, id="int-enum"),
    pytest.param(Annotated[str, Path(pattern=r"^[A-Z]{2}-\d+$")], id="pattern"),
    pytest.param(Annotated[int, Path(ge=100)], id="at-least"),
    pytest.param(Annotated[str, Path(min_length=5)], id="long"),
]


class TestPathParameters:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_type_of_a_parameter_is_filled_in(self, kind: Any) -> None:
        """The guard is reached by a path that would reach the endpoint."""
        seen: list[str] = []

        async def read(a: Any) -> None: ...

        read.__annotations__["a"] = kind
        app = one_route("/{a}", read)

        @app.middleware("http")
        async def note(request: Request, go_on: Any) -> Any:
            seen.append(request.url.path)
            return await go_on(request)

        found = asked(app)
        open_app = FastAPI()
        open_app.add_api_route("/{a}", read)
        opened = asyncio.run(probe(open_app, audit(app)))

        assert ((), {"401"}) == (found.problems, {it.answer for it in found.routes if it.answer})
        # Without the guard the endpoint runs: 422 would say that the value did not fit.
        assert {"200"} == {it.answer for it in opened.routes if it.answer}

    def test_what_does_not_lead_to_the_route_is_not_known(self) -> None:
        """Here a dispatcher knows its tenants; a value of one helps."""
        app = one_route("/{tenant}/x")

        @app.middleware("http")
        async def dispatch(request: Request, go_on: Any) -> Any:
            if not request.url.path.startswith("/acme/"):
                return PlainTextResponse("no such tenant", 404)
            return await go_on(request)

        unknown, known = asked(app), asked(app, values={"tenant": "acme"})

        (problem,) = unknown.problems
        assert problem == (
            "GET /{tenant}/x answered 404 at /1/x, before a guard ran: whether it is guarded "
            "is not known. Give values for its path parameters that match (values={...}, "
            "--value NAME=VALUE)."
        )
        assert ((), "401") == (known.problems, named(known)["GET /{tenant}/x"].answer)


def test_settings_that_cannot_be_had() -> None:
    """The error of a request is no refusal."""
    app = FastAPI()
    router = protected_router()
    router.add_api_route("/x", endpoint())
    app.include_router(router)
    app.dependency_overrides[get_settings] = lambda: 1 / 0

    assert "answered" in asked(app).problems[-1]
