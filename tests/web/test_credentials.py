"""A second kind of credential under the guard: API keys, and opaque tokens by introspection."""

import asyncio
import base64
import functools
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qs

import httpx2
import pytest
import trustme
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBasic, HTTPBearer
from fastapi.testclient import TestClient
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route

from jwt_deps import (
    ApiKey,
    Claims,
    ConfigurationError,
    CurrentUser,
    Introspection,
    IssuerSettings,
    JWTSettings,
    MemoryRevocations,
    Reason,
    current_user_id,
    get_token,
    optional,
    protect,
    protected_router,
    public,
    require_scopes,
)
from jwt_deps.audit import audit
from jwt_deps.jose import encode_base64url
from jwt_deps.testing import Prover, TokenFactory, VirtualClock, using_settings
from jwt_deps.web import credentials as module
from tests.keys.test_key_sources import certified
from tests.minting import OTHER_SECRET, SECRET, claims, mint
from tests.proving import ORIGIN, OTHER_KEY, jkt, with_dpop
from tests.web.serving import SETTINGS, bearer, including, who

WITH_LIMITS = ("application", "router", "route")

#: What is served at `/in/` with a limit of its own.
PLAIN_WITH_LIMITS: dict[str, Callable[[], BaseRoute]] = {
    "route": lambda: Route("/in/", Response(), max_body_size=50),
    "mount": lambda: Mount("/in", Response(), max_body_size=50),
    "mounted application": lambda: Mount("/in", FastAPI(max_body_size=50)),
    "application in a layer": lambda: Mount("/in", GZipMiddleware(FastAPI(max_body_size=50))),
    "mounted router": lambda: Mount("/in", APIRouter(max_body_size=50)),
}

limited = pytest.mark.skipif(
    "max_body_size" not in APIRouter.__init__.__annotations__,
    reason="this FastAPI has no max_body_size",
)


class Copying(APIRoute):
    """A route class that hands on a copy of the scope, as those do that wrap the request."""

    def get_route_handler(self) -> Any:
        handler = super().get_route_handler()

        async def copying(request: Request) -> Response:
            return await handler(Request({**request.scope}, request.receive))

        return copying


KEYS = {ApiKey.digest("key-of-ann"): Claims({"sub": "ann", "scope": "read"})}


async def owner_of(key: str) -> Claims | None:
    return KEYS.get(ApiKey.digest(key))


API_KEY = {"X-API-Key": "key-of-ann"}
FOR_API = {"audience": "api", "audience_claim": "for"}
PROVEN = {"dpop": "required", "public_origin": ORIGIN}


async def headers_of(connection: HTTPConnection) -> Any:
    return {"sub": "root", **connection.headers}


async def headers_in_pairs(connection: HTTPConnection) -> Any:
    return [("sub", "root"), *connection.headers.items()]


def serving(*credentials: Any, settings: JWTSettings = SETTINGS) -> TestClient:
    app = protect(FastAPI(), settings, credentials=credentials)

    @app.get("/me")
    @app.post("/me")
    async def me(request: Request, user: Annotated[CurrentUser, Depends()]) -> dict[str, Any]:
        return {"id": user.id, "scopes": sorted(user.scopes), "state": request.state.user_id}

    @app.get("/read", dependencies=[Depends(require_scopes("read"))])
    @app.get("/write", dependencies=[Depends(require_scopes("write"))])
    async def scoped() -> None: ...

    @app.get("/maybe")
    @public
    async def maybe(user_id: Annotated[str | None, Depends(optional(current_user_id))]) -> Any:
        return user_id

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, user_id: Annotated[str, Depends(current_user_id)]) -> None:
        await websocket.accept()
        await websocket.send_text(user_id)

    return TestClient(app)


class TestApiKey:
    def test_a_known_key(self) -> None:
        """Its owner is the user everywhere, with the scopes that the claims have."""
        client = serving(ApiKey(owner_of))

        assert {"id": "ann", "scopes": ["read"], "state": "ann"} == client.get(
            "/me", headers=API_KEY
        ).json()
        assert [200, 403] == [
            client.get(path, headers=API_KEY).status_code for path in ("/read", "/write")
        ]
        assert "ann" == client.get("/maybe", headers=API_KEY).json()
        with client.websocket_connect("/ws", headers=API_KEY) as websocket:
            assert "ann" == websocket.receive_text()

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"X-API-Key": "unknown"}, id="unknown"),
            pytest.param({"X-API-Key": ""}, id="empty"),
            pytest.param({"X-API-Key": "k" * 4097}, id="long"),
            pytest.param([("X-API-Key", "key-of-ann"), ("X-API-Key", "key-of-ann")], id="twice"),
        ],
    )
    def test_a_bad_key(self, headers: Any) -> None:
        """It is refused, also where a credential is optional."""
        client = serving(ApiKey(owner_of))

        for path in ("/me", "/maybe"):
            answer = client.get(path, headers=headers)
            assert (401, {"detail": "Invalid token: the API key is not known"}) == (
                answer.status_code,
                answer.json(),
            )

    @pytest.mark.parametrize(
        ("key", "asked"),
        [
            pytest.param("", False, id="empty"),
            pytest.param("k", True, id="one-character"),
            pytest.param("k" * 4096, True, id="longest"),
            pytest.param("k" * 4097, False, id="too-long"),
        ],
    )
    def test_the_check_is_asked_about_keys_of_a_usual_length(
        self, key: str, *, asked: bool
    ) -> None:
        """A mapping will do as its answer."""
        seen: list[str] = []

        def check(key: str) -> dict[str, Any]:
            seen.append(key)
            return {"sub": "ann"}

        answer = serving(ApiKey(check)).get("/me", headers={"X-API-Key": key})

        assert (200 if asked else 401, [key] * asked) == (answer.status_code, seen)

    @pytest.mark.parametrize(
        ("check", "header"), [("owner", "X-API-Key"), (owner_of, "Authorization")]
    )
    def test_what_cannot_be_one(self, check: Any, header: str) -> None:
        with pytest.raises(ConfigurationError, match="a header of its own"):
            ApiKey(check, header)

    def test_tokens_are_accepted_as_ever(self) -> None:
        """A token wins over a key, and a bad one is refused whatever key comes with it."""
        client = serving(ApiKey(owner_of))
        expired, forged = bearer(exp=1), bearer(OTHER_SECRET)

        assert "alice" == client.get("/me", headers=bearer() | API_KEY).json()["id"]
        assert [401, 401] == [
            client.get("/me", headers=bad | API_KEY).status_code for bad in (expired, forged)
        ]

    def test_without_any(self) -> None:
        """The answer is that of a missing token; an optional user is none."""
        client = serving(ApiKey(owner_of))

        assert {"detail": "Authorization header missing"} == client.get("/me").json()
        assert client.get("/maybe").json() is None

    @pytest.mark.parametrize(
        ("headers", "user"),
        [({}, None), ({"X-API-Key": "unknown"}, None), (API_KEY, "ann")],
        ids=["none", "unknown", "known"],
    )
    def test_where_nothing_is_refused(self, headers: Any, user: str | None) -> None:
        """With `validate=False` an optional user without a good key is none."""
        client = serving(ApiKey(owner_of), settings=JWTSettings(secret_key=SECRET, validate=False))

        assert user == client.get("/maybe", headers=headers).json()

    def test_an_owner_of_no_claims(self) -> None:
        """A check that answers with an empty mapping knows no owner."""
        assert 401 == serving(ApiKey(lambda _: {})).get("/me", headers=API_KEY).status_code

    @pytest.mark.parametrize("found", [True, "alice", ["alice"]], ids=str)
    def test_a_function_that_returns_no_claims(self, found: Any) -> None:
        """It is told what to return."""
        given: Any = ApiKey(lambda _: found)

        with pytest.raises(ConfigurationError, match=r"return Claims\(...\)"):
            serving(given).get("/me", headers=API_KEY)

    def test_a_bearer_that_is_no_jwt_is_not_the_token(self) -> None:
        """It was not verified: `request.state` would hand it to what calls other services."""
        app = protect(FastAPI(), SETTINGS, credentials=[ApiKey(owner_of)])

        @app.get("/token")
        async def token(request: Request) -> Any:
            return request.state.token

        answer = TestClient(app).get("/token", headers=API_KEY | {"Authorization": "Bearer b"})

        assert (200, "") == (answer.status_code, answer.json())

    @pytest.mark.parametrize(
        ("settings", "found", "status"),
        [
            ({"client_certificate": "tls"}, {"cnf": {"x5t#S256": "A" * 43}}, 401),
            ({**PROVEN, "dpop": "allowed"}, {"cnf": {"jkt": "A" * 43}}, 401),
            (PROVEN, {"cnf": {"jkt": "A" * 43}}, 401),
            (PROVEN, {}, 200),
        ],
        ids=["certificate", "dpop", "dpop-required", "unbound"],
    )
    def test_a_bound_key_needs_the_proof(
        self, settings: dict[str, Any], found: dict[str, Any], status: int
    ) -> None:
        """As a token does; that tokens have to be bound says nothing of keys."""
        key = ApiKey(lambda _: {"sub": "ann", **found})
        client = serving(key, settings=SETTINGS.model_copy(update=settings))

        assert status == client.get("/me", headers=API_KEY).status_code

    def test_a_plain_function_and_a_header(self) -> None:
        """A mapping will do as claims."""
        key = ApiKey(lambda key: {"sub": "bob"} if ApiKey.equal(key, "k") else None, "X-Key")
        client = serving(key)

        assert "bob" == client.get("/me", headers={"X-Key": "k"}).json()["id"]
        assert 401 == client.get("/me", headers={"X-Key": "l"}).status_code

    def test_documents(self) -> None:
        """OpenAPI and the audit show both; no `repr` has a key."""
        client = serving(ApiKey(owner_of))
        app: Any = client.app
        document = client.get("/openapi.json").json()

        assert {"type": "apiKey", "in": "header", "name": "X-API-Key"} == document["components"][
            "securitySchemes"
        ]["JWT-X-API-Key"]
        operation = document["paths"]["/me"]["get"]
        assert [{"JWT": []}, {"JWT-X-API-Key": []}] == operation["security"]
        assert "503" not in operation["responses"]  # a function answers
        assert "or <ApiKey in X-API-Key>" in next(
            route.settings for route in audit(app).routes if route.path == "/me"
        )


class TestSeveralIssuers:
    """Claims of another credential need not name an issuer."""

    STAFF = IssuerSettings(secret_key=SECRET, issuer="https://staff.example", audience="api")

    def settings(self, kind: str) -> JWTSettings:
        if kind == "table":
            return JWTSettings(issuers={"staff": self.STAFF})
        return JWTSettings(issuers=lambda iss: self.STAFF if iss == self.STAFF.issuer else None)

    @pytest.mark.parametrize(
        ("kind", "found", "expected"),
        [
            pytest.param("table", {"sub": "job"}, "job", id="table"),
            pytest.param("table", {"sub": "staff|boss"}, 401, id="id-of-a-user-of-staff"),
            pytest.param("function", {"sub": "job"}, "|job", id="function"),
            pytest.param(
                "function",
                {"sub": "job", "iss": "https://staff.example"},
                "https://staff.example|job",
                id="function-and-issuer",
            ),
            pytest.param("function", {"sub": "job", "iss": "https://x"}, 401, id="no-issuer"),
        ],
    )
    def test_attack_the_id_of_a_user_of_another_issuer(
        self, kind: str, found: dict[str, str], expected: str | int
    ) -> None:
        """The id of no two people is one, also before a token of an issuer has come."""
        client = serving(ApiKey(lambda _: found), settings=self.settings(kind))

        answer = client.get("/me", headers=API_KEY)

        assert expected == (answer.json()["id"] if answer.status_code == 200 else 401)


class TestOfOnesOwn:
    def test_a_function(self) -> None:
        """Whatever a request has: here a header of a gateway."""

        async def by_gateway(connection: HTTPConnection) -> Claims | None:
            name = connection.headers.get("X-Gateway-User")
            return None if name is None else Claims({"sub": name})

        client = serving(by_gateway, ApiKey(owner_of))

        assert ["eve", "ann"] == [
            client.get("/me", headers=headers).json()["id"]
            for headers in ({"X-Gateway-User": "eve"}, API_KEY)
        ]
        assert "X-Gateway-User" not in client.get("/openapi.json").text

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            pytest.param({"exp": 1}, Reason.EXPIRED, id="expired"),
            pytest.param({"nbf": 9e9}, Reason.NOT_YET_VALID, id="not-yet"),
            pytest.param({"aud": "other"}, Reason.CLAIM_FOREIGN, id="audience"),
            pytest.param({"iss": "https://other"}, Reason.CLAIM_FOREIGN, id="issuer"),
            pytest.param({"sub": 5}, Reason.CLAIM_INVALID, id="subject"),
            pytest.param({"cnf": {"jkt": "x"}}, Reason.CONFIRMATION, id="bound"),
            pytest.param({"jti": "1"}, Reason.REVOKED, id="revoked"),
            pytest.param({"aud": "api", "iss": "https://idp", "exp": 9e9}, None, id="good"),
            pytest.param({}, None, id="nothing-but-a-user"),
        ],
    )
    def test_its_claims_are_checked(self, claims: dict[str, Any], reason: Reason | None) -> None:
        """As those of a token, as far as they are there."""
        revocations = MemoryRevocations()
        revocations.revoke(jti="1")
        settings = JWTSettings(
            secret_key=SECRET, audience="api", issuer="https://idp", revocation=revocations
        )

        async def known(_: HTTPConnection) -> Claims:
            return Claims({"sub": "ann", **claims})

        caught: list[Any] = []
        client = serving(known, settings=settings)
        app: Any = client.app

        @app.exception_handler(HTTPException)  # type: ignore[untyped-decorator]
        async def refused(_: Request, error: HTTPException) -> JSONResponse:
            caught.append(error.__cause__)
            return JSONResponse({}, error.status_code)

        answer = client.get("/me")

        assert (200 if reason is None else 401) == answer.status_code
        assert ([] if reason is None else [reason]) == [error.reason for error in caught]

    @pytest.mark.parametrize(
        ("configured", "claims", "status"),
        [
            pytest.param({"max_token_age": 300}, {}, 200, id="without-iat"),  # RFC 7662 §2.2
            pytest.param({"max_token_age": 300}, {"iat": 1}, 401, id="old"),
            pytest.param({"required_claims": ["tenant"]}, {"tenant": 7}, 200, id="required"),
            pytest.param({"required_claims": ["tenant"]}, {}, 401, id="required-and-missing"),
            pytest.param(FOR_API, {"for": "api"}, 200, id="audience"),
            pytest.param(FOR_API, {"for": "x"}, 401, id="another-audience"),
            pytest.param(FOR_API, {"aud": "x"}, 401, id="audience-in-another-claim"),
            pytest.param(FOR_API, {}, 200, id="without-audience"),
        ],
    )
    def test_what_the_settings_say_of_claims(
        self, configured: dict[str, Any], claims: dict[str, Any], status: int
    ) -> None:
        """It holds as for a token; an API key has no age, and introspection need not tell it."""

        async def known(_: HTTPConnection) -> Claims:
            return Claims({"sub": "ann", **claims})

        settings = JWTSettings(secret_key=SECRET, **configured)

        assert status == serving(known, settings=settings).get("/me").status_code

    def test_documents(self) -> None:
        """OpenAPI shows the one that says what it is."""

        class Basic:
            scheme: ClassVar[dict[str, Any]] = {"type": "http", "scheme": "basic"}

            async def __call__(self, _: HTTPConnection) -> Claims | None: ...

        document = serving(Basic()).get("/openapi.json").json()

        assert Basic.scheme == document["components"]["securitySchemes"]["JWT-basic"]
        assert [{"JWT": []}, {"JWT-basic": []}] == document["paths"]["/me"]["get"]["security"]

    @pytest.mark.parametrize("guarded", ["application", "router", "mounted"])
    @pytest.mark.parametrize("path", ["/model", "/raw", "/plain", "/copied"])
    def test_one_that_reads_the_body_is_asked_once(self, path: str, guarded: str) -> None:
        """A signature over the body counts once, wherever the guard runs."""
        used: set[bytes] = set()

        async def signed(connection: HTTPConnection) -> Claims | None:
            body = await connection.body() if isinstance(connection, Request) else b""
            if body in used:
                return None
            used.add(body)
            return Claims({"sub": "shop"})

        async def plain(request: Request) -> Response:
            return JSONResponse(len(await request.body()))

        router = APIRouter(routes=[Route("/plain", plain, methods=["POST"])])

        @router.post("/model")
        async def model(order: dict[str, str]) -> int:
            return len(json.dumps(order, separators=(",", ":")))

        @router.post("/raw")
        async def raw(request: Request) -> int:
            return len(await request.body())

        router.add_api_route("/copied", raw, methods=["POST"], route_class_override=Copying)
        app = FastAPI()
        if guarded == "router":
            app.include_router(protected_router(router, settings=SETTINGS, credentials=[signed]))
        else:
            inner = FastAPI()
            inner.include_router(router)
            protect(inner if guarded == "application" else app, SETTINGS, credentials=[signed])
            app.mount("", inner)

        answer = TestClient(app).post(path, json={"of": "x"})

        assert (200, 10) == (answer.status_code, answer.json())

    def test_no_claims_let_nothing_in(self) -> None:
        """What a dictionary of sessions gives by default is no credential."""

        async def session(connection: HTTPConnection) -> Any:
            known = {"of-ann": Claims({"sub": "ann"})}
            return known.get(connection.cookies.get("sid", ""), Claims({}))

        app = protect(FastAPI(), SETTINGS, credentials=[session])

        @app.get("/")
        async def inside() -> None: ...

        client = TestClient(app)

        assert [401, 200] == [
            client.get("/", headers={"Cookie": f"sid={sid}"}).status_code
            for sid in ("unknown", "of-ann")
        ]

    @pytest.mark.parametrize(
        "headers",
        [{"Authorization": "Bearer made-up"}, {"Authorization": "Basic cm9vdDphZG1pbg=="}, API_KEY],
        ids=["bearer", "basic", "other"],
    )
    @pytest.mark.parametrize(
        "credential",
        [HTTPBearer(auto_error=False), HTTPBasic(auto_error=False), headers_of, headers_in_pairs],
        ids=["HTTPBearer", "HTTPBasic", "mapping", "pairs"],
    )
    def test_attack_what_was_not_verified(self, credential: Any, headers: dict[str, str]) -> None:
        """Only `Claims` say that it was; FastAPI's own classes return what the client sent."""
        app = protect(FastAPI(), SETTINGS, credentials=[credential])
        app.get("/me")(who)

        with TestClient(app, raise_server_exceptions=False) as client:
            assert client.get("/me", headers=headers).status_code in {401, 500}

    @pytest.mark.parametrize("kind", ["protect", "protected_router"])
    @pytest.mark.parametrize("path", ["/page", "/form"])
    def test_a_redirect_to_a_log_in(self, path: str, kind: str) -> None:
        """Also before a body is read, and once the application has met the guard of a router."""

        async def session(_: HTTPConnection) -> Claims | None:
            raise HTTPException(303, headers={"Location": "/login"})

        router = APIRouter()

        @router.post("/page")
        async def page() -> None: ...

        @router.post("/form")
        async def form(name: Annotated[str, Form()]) -> str:
            return name

        if kind == "protect":
            app = protect(including(router), SETTINGS, credentials=[session])
        else:
            app = including(protected_router(router, settings=SETTINGS, credentials=[session]))
        client = TestClient(app, follow_redirects=False)

        statuses = [client.post(path, data={"name": "x"}).status_code for _ in range(2)]

        assert [303, 303] == statuses

    @limited
    @pytest.mark.parametrize("where", WITH_LIMITS)
    @pytest.mark.parametrize(("size", "status"), [(40, 401), (60, 413)])
    def test_attack_a_body_without_an_end(self, where: str, size: int, status: int) -> None:
        """A credential that reads the body gets no more of it than the limit allows."""
        received: list[int] = []

        async def signed(connection: Any) -> None:
            received.append(len(await connection.body()))

        limits: Any = {it: {"max_body_size": 50} if it == where else {} for it in WITH_LIMITS}
        router = APIRouter(**limits["router"])

        @router.post("/form", **limits["route"])
        async def form(name: Annotated[str, Form()]) -> str:
            return name

        app = FastAPI(**limits["application"])
        app.include_router(router)
        protect(app, SETTINGS, credentials=[signed])
        chunks = (part for part in (b"name=", b"x" * (size - 5)))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}

        answer = TestClient(app).post("/form", content=chunks, headers=headers)

        assert (status, size if status == 401 else 0) == (answer.status_code, sum(received))

    @limited
    @pytest.mark.parametrize("guarded", [True, False], ids=["credential", "dependency"])
    @pytest.mark.parametrize("where", PLAIN_WITH_LIMITS)
    def test_attack_a_body_without_an_end_for_a_plain_route(
        self, where: str, *, guarded: bool
    ) -> None:
        """Nor does a dependency that applies to a public one."""

        async def signed(request: Request) -> None:
            await request.body()

        app = FastAPI(routes=[PLAIN_WITH_LIMITS[where]()])
        asked: dict[str, Any] = {"credentials": [signed]} if guarded else {"exclude": ["/in*"]}
        protect(app, SETTINGS, dependencies=[Depends(signed)], **asked)
        chunks = (b"x" * 10 for _ in range(1000))

        answer = TestClient(app).post("/in/", content=chunks)

        assert 413 == answer.status_code

    @limited
    def test_a_limit_further_in_replaces_one_further_out(self) -> None:
        """As Starlette has it, also for what is read before the application is asked."""

        async def signed(request: Request) -> None:
            await request.body()

        inner = FastAPI(max_body_size=100)
        inner.post("/")(signed)
        app = FastAPI(routes=[Mount("/in", inner, max_body_size=50)])
        protect(app, SETTINGS, exclude=["/in*"], dependencies=[Depends(signed)])
        client = TestClient(app)

        statuses = [
            client.post("/in/", content=(b"x" * 10 for _ in range(parts))).status_code
            for parts in (8, 12)
        ]

        assert [200, 413] == statuses

    def test_an_issuer_that_a_table_does_not_have(self) -> None:
        """It is refused; one that it has gives the user its prefix."""
        members: dict[str, Any] = {"secret_key": SECRET, "issuer": "https://a", "audience": "x"}
        settings = JWTSettings(issuers={"a": members})

        async def named(connection: HTTPConnection) -> Claims | None:
            issuer = connection.headers.get("X-Issuer")
            return Claims({"sub": "ann", **({"iss": issuer} if issuer else {})})

        client = serving(named, settings=settings)

        assert "a|ann" == client.get("/me", headers={"X-Issuer": "https://a"}).json()["id"]
        assert 401 == client.get("/me", headers={"X-Issuer": "https://b"}).status_code
        assert "ann" == client.get("/me").json()["id"]

    @pytest.mark.parametrize(
        "credential",
        [lambda _: None, ApiKey, object(), "key"],
        ids=["function", "class", "object", "text"],
    )
    def test_what_is_no_credential(self, credential: Any) -> None:
        """It is refused when the guard is made."""
        with pytest.raises(ConfigurationError) as refused:
            protect(FastAPI(), SETTINGS, credentials=[credential])

        assert "credential_form" == refused.value.reason

    def test_a_function_with_some_arguments_given(self) -> None:
        """`functools.partial` of an async one is one."""

        async def by_header(name: str, connection: HTTPConnection) -> Claims | None:
            return Claims({"sub": connection.headers[name]})

        client = serving(functools.partial(by_header, "X-Gateway-User"))

        assert "eve" == client.get("/me", headers={"X-Gateway-User": "eve"}).json()["id"]

    def test_settings_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are read when the guard is made."""
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        router = APIRouter()

        router.get("/me")(who)
        app = including(protected_router(router, credentials=[ApiKey(owner_of)]))
        client = TestClient(app)

        assert ["ann", "alice"] == [
            client.get("/me", headers=headers).json() for headers in (API_KEY, bearer())
        ]

    def test_settings_of_a_test(self) -> None:
        """`using_settings` replaces the settings, and leaves the credentials."""
        tokens = TokenFactory()
        client = serving(ApiKey(owner_of))
        app: Any = client.app

        with using_settings(app, tokens.settings):
            answers = [
                client.get("/me", headers=headers)
                for headers in (API_KEY, {"Authorization": f"Bearer {tokens('bob')}"}, bearer())
            ]

        assert [200, 200, 401] == [answer.status_code for answer in answers]

    def test_another_guard_with_the_same_settings_accepts_none(self) -> None:
        inner = protect(FastAPI(), SETTINGS)

        @inner.get("/me")
        async def me() -> None: ...

        outer = protect(FastAPI(), SETTINGS, credentials=[ApiKey(owner_of)])
        outer.mount("/inner", inner)

        assert 401 == TestClient(outer).get("/inner/me", headers=API_KEY).status_code


class Server:
    """An authorization server with an introspection endpoint (RFC 7662)."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.status, self.body = 200, b""
        #: Where set: no answer is given until it is asked about a token that it knows.
        self.until_known: threading.Event | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(size).decode())
                (token,), client = form["token"], form.get("client_id")
                server.asked.append((token, self.headers["Authorization"] or str(client)))
                found = server.tokens.get(token)
                if server.until_known is not None:
                    if found is not None:
                        server.until_known.set()
                    server.until_known.wait(30)
                answer = {"active": False} if found is None else {"active": True, **found}
                body = server.body or json.dumps(answer).encode()
                self.send_response(server.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls is not None:
            scheme = "https"
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._http.server_address[1]}/introspect"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


ABSENT = ("exp", "nbf", "iat", "aud", "iss", "jti", "cnf")
OPAQUE = {"Authorization": "Bearer opaque-token"}


class TestIntrospection:
    @pytest.fixture
    def server(self) -> Iterator[Server]:
        running = Server()
        running.tokens["opaque-token"] = {"sub": "ann", "scope": "read", "client_id": "app"}
        yield running
        running.close()

    @staticmethod
    def introspection(server: Server, **options: Any) -> Introspection:
        return Introspection(server.url, "orders", "s3cret:/", allow_loopback=True, **options)

    def test_an_active_token(self, server: Server) -> None:
        """It is asked for once, with the client's authentication."""
        client = serving(self.introspection(server))

        for _ in range(3):
            assert {"id": "ann", "scopes": ["read"], "state": "ann"} == client.get(
                "/me", headers=OPAQUE
            ).json()
        assert 403 == client.get("/write", headers=OPAQUE).status_code

        encoded = base64.b64encode(b"orders:s3cret%3A%2F").decode()
        assert [("opaque-token", f"Basic {encoded}")] == server.asked

    def test_an_inactive_one(self, server: Server) -> None:
        """401, remembered for a short time."""
        introspection = self.introspection(server)
        clock = introspection.clock = VirtualClock(introspection.clock())
        client = serving(introspection)
        headers = {"Authorization": "Bearer unknown"}

        for _ in range(2):
            answer = client.get("/me", headers=headers)
            assert 401 == answer.status_code
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert "the authorization server does not accept it" in answer.json()["detail"]
        assert 1 == len(server.asked)
        server.tokens["unknown"] = {"sub": "bob"}
        clock.advance(5)

        assert "bob" == client.get("/me", headers=headers).json()["id"]

    @pytest.mark.parametrize(
        ("said", "status", "user_id"),
        [
            pytest.param({}, 200, "b|boss", id="none"),
            pytest.param({"iss": "https://b.example"}, 200, "b|boss", id="its-own"),
            pytest.param({"iss": None}, 200, "b|boss", id="null"),
            pytest.param({"iss": "https://a.example"}, 401, None, id="another-accepted-one"),
            pytest.param({"iss": "https://c.example"}, 401, None, id="one-that-is-not-accepted"),
            pytest.param({"iss": ["https://b.example"]}, 401, None, id="no-text"),
        ],
    )
    def test_attack_a_server_that_answers_for_the_users_of_another_issuer(
        self, server: Server, said: dict[str, Any], status: int, user_id: str | None
    ) -> None:
        """With `issuer` it speaks for that one alone."""
        issuers = {
            name: IssuerSettings(
                secret_key=SECRET, issuer=f"https://{name}.example", audience="orders"
            )
            for name in "ab"
        }
        server.tokens["opaque-token"] = {"sub": "boss", **said}
        introspection = self.introspection(server, issuer="https://b.example")
        client = serving(introspection, settings=JWTSettings(issuers=issuers))

        answer = client.get("/me", headers=OPAQUE)

        assert (status, user_id) == (answer.status_code, answer.json().get("id"))

    def test_attack_a_flood_of_unknown_tokens(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It does not drive out what is known of active ones."""
        monkeypatch.setattr(module, "_MOST_CACHED", 4)
        client = serving(self.introspection(server))
        client.get("/me", headers=OPAQUE)
        for number in range(20):
            client.get("/me", headers={"Authorization": f"Bearer unknown-{number}"})

        assert 200 == client.get("/me", headers=OPAQUE).status_code
        assert 1 == sum(token == "opaque-token" for token, _ in server.asked)

    def test_several_authorization_servers(self, server: Server) -> None:
        """A token that one does not know may be another's, or another kind of credential."""
        other = Server()
        other.tokens["opaque-other"] = {"sub": "bob"}

        async def own(connection: HTTPConnection) -> Claims | None:
            known = connection.headers["authorization"] == "Bearer opaque-own"
            return Claims({"sub": "cy"}) if known else None

        client = serving(self.introspection(server), self.introspection(other), own)
        answers = [
            client.get("/me", headers={"Authorization": f"Bearer opaque-{name}"})
            for name in ("token", "other", "own", "unknown")
        ]
        other.close()

        assert ["ann", "bob", "cy", None] == [answer.json().get("id") for answer in answers]
        assert 401 == answers[-1].status_code

    @pytest.mark.parametrize(
        ("members", "status"),
        [
            pytest.param({"token_type": "Bearer"}, 200, id="bearer"),
            pytest.param({"token_use": "access_token"}, 200, id="hydra-access"),
            # Some servers write what is absent so.
            pytest.param(dict.fromkeys(ABSENT), 200, id="what-is-absent-as-null"),
            # Ory Hydra writes an empty audience where none was asked for.
            pytest.param({"aud": []}, 200, id="audience-of-none"),
            pytest.param({"aud": ""}, 200, id="empty-audience"),
            pytest.param({"token_type": "refresh_token"}, 401, id="refresh"),
            pytest.param({"token_use": "refresh_token", "token_type": "Bearer"}, 401, id="hydra"),
            pytest.param({"typ": "Refresh"}, 401, id="keycloak"),
            pytest.param({"typ": "ID"}, 401, id="id-token"),
            pytest.param({"typ": "Offline"}, 401, id="offline"),
            pytest.param({"token_type": "N_A"}, 401, id="no-access-token"),
            pytest.param({"token_type": ["Bearer"]}, 401, id="list"),
            pytest.param({"token_type": "DPoP"}, 401, id="bound-to-nothing"),
        ],
    )
    def test_attack_a_token_of_another_kind(
        self, server: Server, members: dict[str, Any], status: int
    ) -> None:
        """The server says that it is active, and it is not one for resources."""
        server.tokens["opaque-token"] |= members
        settings = JWTSettings(secret_key=SECRET, audience="orders")
        client = serving(self.introspection(server), settings=settings)

        assert status == client.get("/me", headers=OPAQUE).status_code

    @pytest.mark.parametrize(
        ("members", "status"),
        [
            pytest.param({"cnf": {"jkt": jkt()}, "token_type": "DPoP"}, 200, id="bound"),
            pytest.param({"cnf": {"jkt": jkt(OTHER_KEY)}}, 401, id="bound-to-another-key"),
            pytest.param({}, 401, id="bound-to-nothing"),
        ],
    )
    def test_a_token_that_needs_a_proof(
        self, server: Server, members: dict[str, Any], status: int
    ) -> None:
        """The server says to which key it is bound (RFC 9449 §6.2)."""
        server.tokens["opaque-token"] |= members
        settings = SETTINGS.model_copy(update=PROVEN)
        client = serving(self.introspection(server), settings=settings)

        assert status == client.get("/me", headers=with_dpop("opaque-token")).status_code

    def test_a_server_on_the_same_machine_has_to_be_allowed(self, server: Server) -> None:
        """Its answers come without TLS."""
        with pytest.raises(ConfigurationError) as refused:
            Introspection(server.url, "orders", "secret")

        assert "introspection_url" == refused.value.reason

    @pytest.mark.parametrize(
        ("members", "seconds"), [({}, 30), ({"exp": 20}, 20)], ids=["setting", "exp"]
    )
    def test_an_answer_is_used_again_for_a_time(
        self, server: Server, members: dict[str, float], seconds: float
    ) -> None:
        """At most until the token ends; then a revoked one is refused."""
        if "exp" in members:
            server.tokens["opaque-token"]["exp"] = time.time() + members["exp"]
        introspection = self.introspection(server)
        clock = introspection.clock = VirtualClock(introspection.clock())
        client = serving(introspection)
        assert 200 == client.get("/me", headers=OPAQUE).status_code
        server.tokens.clear()

        clock.advance(seconds - 1)
        assert 200 == client.get("/me", headers=OPAQUE).status_code
        clock.advance(1)
        assert 401 == client.get("/me", headers=OPAQUE).status_code

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            pytest.param(500, b"", id="error"),
            pytest.param(401, b"", id="wrong-client"),
            pytest.param(200, b"<html>", id="html"),
            pytest.param(200, b"[]", id="list"),
            pytest.param(302, b"", id="redirect"),
            pytest.param(200, b'{"error": "server_error"}', id="error-in-json"),
            *(
                pytest.param(200, b'{"active": %b, "sub": "ann"}' % active, id=active.decode())
                for active in (b'"true"', b"1", b"null", b"{}")
            ),
        ],
    )
    def test_an_outage_is_503(
        self, server: Server, status: int, body: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing is known without a boolean `active` (RFC 7662 §2.2), and nothing remembered."""
        server.status, server.body = status, body
        client = serving(self.introspection(server))

        answers = [client.get("/me", headers=OPAQUE) for _ in range(2)]

        assert [503, 503] == [answer.status_code for answer in answers]
        assert "1" == answers[0].headers["retry-after"]
        assert "a token cannot be introspected" in caplog.text
        assert (status == 200) == ("no introspection response" in caplog.text)
        assert not {"opaque-token", "s3cret"} & set(caplog.text.split())
        server.status, server.body = 200, b""
        assert 200 == client.get("/me", headers=OPAQUE).status_code

    def test_many_requests_ask_once(self, server: Server) -> None:
        """Those that come while it is asked wait for the answer."""
        introspection = self.introspection(server)
        app: Any = serving(introspection).app

        async def many() -> list[int]:
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://a") as client:
                answers = await asyncio.gather(
                    *(client.get("/me", headers=OPAQUE) for _ in range(20))
                )
            return [answer.status_code for answer in answers]

        assert [200] * 20 == asyncio.run(many())
        assert 1 == len(server.asked)

    def test_attack_a_flood_of_random_tokens(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server is asked about so many at once, and about as many that it knew before."""
        monkeypatch.setattr(module, "_MOST_ASKED", 2)
        introspection = self.introspection(server)
        clock = introspection.clock = VirtualClock(introspection.clock())
        app: Any = serving(introspection).app

        async def flooded() -> list[int]:
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://a") as client:
                assert 200 == (await client.get("/me", headers=OPAQUE)).status_code
                clock.advance(31)
                server.until_known = threading.Event()
                headers = [{"Authorization": f"Bearer random-{it}"} for it in range(3)]
                sent = [asyncio.ensure_future(client.get("/me", headers=it)) for it in headers]
                first, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
                known = await client.get("/me", headers=OPAQUE)
                answers = [*map(asyncio.Future.result, first), known, *await asyncio.gather(*sent)]
            return [answer.status_code for answer in answers]

        refused, known, *others = asyncio.run(flooded())

        assert (503, 200) == (refused, known)
        assert {401: 2, 503: 1} == Counter(others)

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param("AbCdEfGh.0123456789abcdef.0123456789abcdef0123456789abcdef", id="random"),
            pytest.param("eyJ1c2VyIjoxfQ.aSn5Xw.pPMJTEIyhH2NTH5Yeq8Hcng4vKU", id="itsdangerous"),
            pytest.param(
                encode_base64url(b'{"alg":"dir","enc":"A256GCM"}') + "..AAAA.AAAA.AAAA", id="jwe"
            ),
        ],
    )
    def test_an_opaque_token_that_looks_like_a_jwt(self, server: Server, token: str) -> None:
        """Without a header that names an algorithm it is none (RFC 7519 §7.2).

        An encrypted one can be read by the server alone (RFC 7516).
        """
        server.tokens[token] = {"sub": "ann"}
        client = serving(self.introspection(server))

        answer = client.get("/me", headers={"Authorization": f"Bearer {token}"})

        assert (200, [token]) == (answer.status_code, [asked for asked, _ in server.asked])

    def test_an_opaque_token_of_a_test(self, server: Server) -> None:
        """An override of `get_token` gives it."""
        client = serving(self.introspection(server))
        client.app.dependency_overrides[get_token] = lambda: "opaque-token"  # type: ignore[attr-defined]

        assert "ann" == client.get("/me").json()["id"]

    @pytest.mark.parametrize("token", ["\ud800", "ü"], ids=ascii)
    def test_a_token_of_characters_that_no_token_has(self, server: Server, token: str) -> None:
        """RFC 6750 §2.1: it is not active, and the server is not asked."""
        settings = JWTSettings(secret_key=SECRET, token_getter=lambda _: token)
        client = serving(self.introspection(server), settings=settings)

        assert (401, []) == (client.get("/me").status_code, server.asked)

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            bearer(),
            bearer(exp=1),
            bearer(OTHER_SECRET),
            {"Authorization": "Bearer " + "x" * 16400},
        ],
        ids=["none", "jwt", "expired-jwt", "forged-jwt", "long"],
    )
    def test_the_server_is_not_asked(self, server: Server, headers: dict[str, str]) -> None:
        """For what is a JWT, or no token."""
        serving(self.introspection(server)).get("/me", headers=headers)

        assert [] == server.asked

    @pytest.mark.parametrize(
        "respell",
        [
            pytest.param(lambda it: it + "=", id="padding"),
            pytest.param(lambda it: it.replace(".", "=.", 1), id="padding of the header"),
            pytest.param(lambda it: it[:3] + "=" + it[3:], id="padding in the header"),
            pytest.param(lambda it: it.replace(".", "A.", 1), id="a character too many"),
            pytest.param(lambda it: it[:-1] + chr(ord(it[-1]) + 1), id="spare bits"),
            pytest.param(lambda it: "!" + it, id="another character in front"),
            pytest.param(lambda it: it[:9] + "~" + it[9:], id="another character"),
            pytest.param(lambda it: it + "*", id="another character behind"),
            pytest.param(lambda it: it + ".", id="a dot behind"),  # which Java's split drops
            pytest.param(lambda it: it + ".ImVuYyI", id="a part behind"),
            pytest.param(lambda it: it + "..", id="five parts"),
            pytest.param(lambda it: "." + it, id="a dot in front"),
            pytest.param(lambda it: "Bearer " + it, id="a second scheme"),
            pytest.param(lambda it: "eyJlbmMiOjF9." + it, id="a header of a JWE in front"),
            pytest.param(lambda it: "ImVuYyI " + it, id="the enc of a JWE in front"),
            pytest.param(lambda it: it.replace(".", "%2E"), id="escaped dots"),
        ],
    )
    def test_attack_a_revoked_token_in_another_spelling(
        self, server: Server, respell: Callable[[str], str]
    ) -> None:
        """A server that reads it all the same is not asked: it may not say which `jti` it has."""
        revocations = MemoryRevocations()
        revocations.revoke(jti="1")
        settings = JWTSettings(secret_key=SECRET, revocation=revocations)
        token = respell(mint(claims(jti="1")))
        server.tokens[token] = {"sub": "ann"}
        client = serving(self.introspection(server), settings=settings)

        answer = client.get("/me", headers={"Authorization": f"Bearer {token}"})

        assert (401, []) == (answer.status_code, server.asked)

    def test_a_bound_token(self, server: Server) -> None:
        """Its sender has to prove the key, and it is no bearer token."""
        client_key = Prover("https://api.example")
        settings = JWTSettings(
            secret_key=SECRET, dpop="allowed", public_origin="https://api.example"
        )
        server.tokens["opaque-token"] |= client_key.binding
        client = serving(self.introspection(server), settings=settings)
        headers = client_key("opaque-token", "GET", "/me")

        assert 401 == client.get("/me", headers=OPAQUE).status_code
        assert 200 == client.get("/me", headers=headers).status_code

    def test_documents(self, server: Server) -> None:
        """OpenAPI shows both kinds of bearer, and outages; the secret is in no `repr`."""
        introspection = self.introspection(server)
        document = serving(introspection).get("/openapi.json").json()

        scheme = document["components"]["securitySchemes"]["JWT-bearer"]
        assert "An opaque token (RFC 7662)" == scheme["description"]
        assert "503" in document["paths"]["/me"]["get"]["responses"]
        assert "<Introspection at 127.0.0.1>" == repr(introspection)

    def test_a_client_certificate(self, tmp_path: Path) -> None:
        """The client authenticates with it alone (RFC 8705 §2)."""
        authority, path = trustme.CA(), tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(path)
        own = authority.issue_cert("orders.example")
        own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
        with closing(Server(certified(authority, asks=True))) as server:
            server.tokens["opaque-token"] = {"sub": "ann"}

            def ask(secret: str | None, **options: Any) -> int:
                introspection = Introspection(
                    server.url, "orders", secret, allow_loopback=True, ca_file=path, **options
                )
                return serving(introspection).get("/me", headers=OPAQUE).status_code

            assert 503 == ask("s3cret")
            assert 200 == ask(None, certificate_file=tmp_path / "client.pem")
            assert [("opaque-token", "['orders']")] == server.asked

    @pytest.mark.parametrize("name", ["ca_file", "certificate_file", "key_file"])
    def test_the_empty_name_of_a_file(self, name: str) -> None:
        """A variable that is not set may give it: it is refused when the service starts."""
        options: dict[str, Any] = {name: ""}
        with pytest.raises(ConfigurationError, match="cannot be read"):
            Introspection("https://idp.example/introspect", "orders", "s3cret", **options)

    def test_plain_http_elsewhere(self) -> None:
        """Only for hosts that are named."""
        with pytest.raises(ConfigurationError, match="does not begin with https"):
            Introspection("http://idp.internal/introspect", "a", "b")

        Introspection("http://idp.internal/introspect", "a", "b", allow_http_hosts=["IDP.internal"])
