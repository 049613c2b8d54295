"""Responses with keys over HTTP, also during an outage."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from jwt_deps import (
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
    require_scopes,
)
from jwt_deps.testing import Answer, FakeIssuer
from tests.keys.asking import AUDIENCE, discovering, settings_for
from tests.listening import listening
from tests.minting import SECRET
from tests.web.serving import document_of, including
from tests.web.test_websockets import WithoutDenials

DETAIL = {"detail": "Access token cannot be checked now"}


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(algorithm="ES256") as running:
        yield running


def add_routes(router: APIRouter | FastAPI) -> None:
    """Give a router what these tests ask for."""

    @router.get("/me")
    async def me(request: Request, user: Annotated[str, Depends(current_user_id)]) -> Any:
        state = request.state
        return [user, state.user_id, state.claims["iss"], state.scopes]

    @router.get("/maybe")
    @public
    async def maybe(user: Annotated[str | None, Depends(optional(current_user_id))]) -> Any:
        return user

    @router.get("/whoever")
    async def whoever(request: Request, claims: Annotated[Any, Depends(get_claims)]) -> Any:
        return [dict(claims), request.state.authenticated]

    @router.get("/scoped", dependencies=[Depends(require_scopes("read"))])
    async def scoped() -> None: ...

    @router.get("/open")
    @public
    async def opened() -> str:
        return "open"

    @router.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(websocket.state.user_id)


def routed(settings: JWTSettings | None) -> FastAPI:
    """An application with a protected router."""
    router = protected_router(settings=settings)
    add_routes(router)
    return including(router)


def guarded(settings: JWTSettings | None) -> FastAPI:
    """An application that is guarded as a whole."""
    app = protect(FastAPI(), settings)
    add_routes(app)
    return app


def with_plain_guard(settings: JWTSettings | None) -> FastAPI:
    """An application whose guard is one dependency."""
    app = FastAPI(dependencies=[Depends(jwt_guard(settings))])
    add_routes(app)
    return app


Build = Callable[[JWTSettings | None], FastAPI]
each_guard = pytest.mark.parametrize("build", [routed, guarded, with_plain_guard])
each_with_a_lifespan = pytest.mark.parametrize("build", [routed, guarded])


def bearer(issuer: FakeIssuer, **members: Any) -> dict[str, str]:
    """The header with a good token of an issuer."""
    claims = {"sub": "alice", **members}
    return {"Authorization": f"Bearer {issuer.token(claims, audience=AUDIENCE)}"}


class TestRequests:
    @each_guard
    def test_a_good_token(self, issuer: FakeIssuer, build: Build) -> None:
        """The keys are fetched by the first request that needs them, and by no other."""
        client = TestClient(build(settings_for(issuer)))
        assert 0 == len(issuer.requests)

        answers = [client.get("/me", headers=bearer(issuer)) for _ in range(3)]

        assert [["alice", "alice", issuer.issuer, []]] * 3 == [one.json() for one in answers]
        assert (1, 1) == (issuer.count("discovery"), issuer.count("jwks"))

    @each_guard
    def test_several_dependencies_of_one_request(self, issuer: FakeIssuer, build: Build) -> None:
        """They ask once, between them."""
        issuer.jwks = Answer(status=500)

        TestClient(build(settings_for(issuer))).get("/me", headers=bearer(issuer))

        assert 1 == issuer.count("jwks")

    @pytest.mark.parametrize("path", ["/open", "/maybe"])
    def test_nothing_is_fetched_without_a_token(self, issuer: FakeIssuer, path: str) -> None:
        assert 200 == TestClient(routed(settings_for(issuer))).get(path).status_code
        assert [] == issuer.requests

    def test_a_bad_token_is_refused_as_ever(self, issuer: FakeIssuer) -> None:
        """401 and a challenge, and no fetch where none could help."""
        client = TestClient(routed(settings_for(issuer)))

        answer = client.get("/me", headers=bearer(issuer, exp=1))

        assert (401, True) == (
            answer.status_code,
            'error="invalid_token"' in answer.headers["www-authenticate"],
        )
        assert [] == issuer.requests


def everything_out(issuer: FakeIssuer) -> None:
    issuer.down()


def keys_out(issuer: FakeIssuer) -> None:
    issuer.jwks = Answer(status=500)


def no_keys(issuer: FakeIssuer) -> None:
    issuer.jwks = Answer.json({"keys": []})


def a_page(issuer: FakeIssuer) -> None:
    issuer.jwks = Answer.html()


def document_out(issuer: FakeIssuer) -> None:
    issuer.discovery = Answer(status=503)


def another_issuers_document(issuer: FakeIssuer) -> None:
    issuer.metadata["issuer"] = "https://evil.example"


each_outage = pytest.mark.parametrize(
    "outage", [everything_out, keys_out, no_keys, a_page, document_out, another_issuers_document]
)


class TestOutage:
    @each_guard
    @each_outage
    def test_the_answer(
        self, issuer: FakeIssuer, build: Build, outage: Callable[[FakeIssuer], None]
    ) -> None:
        """503 and when to try again; no challenge, because another token would not help."""
        outage(issuer)

        answer = TestClient(build(settings_for(issuer))).get("/me", headers=bearer(issuer))

        assert (503, DETAIL) == (answer.status_code, answer.json())
        assert "no-store" == answer.headers["cache-control"]
        assert int(answer.headers["retry-after"]) in {1, 2}
        assert "www-authenticate" not in answer.headers
        assert "invalid_token" not in f"{answer.text} {answer.headers}"

    def test_what_is_refused_in_an_outage_too(self, issuer: FakeIssuer) -> None:
        """A token that no key could make good is bad in an outage as well."""
        issuer.down()
        client = TestClient(routed(settings_for(issuer)))

        assert 401 == client.get("/me").status_code
        assert 401 == client.get("/me", headers=bearer(issuer, exp=1)).status_code
        assert 401 == client.get("/me", headers={"Authorization": "Bearer x"}).status_code

    def test_what_needs_no_token(self, issuer: FakeIssuer) -> None:
        """A public route is open, even to those who bring a token."""
        issuer.down()
        client = TestClient(routed(settings_for(issuer)))

        assert "open" == client.get("/open", headers=bearer(issuer)).json()

    def test_an_optional_caller(self, issuer: FakeIssuer) -> None:
        """Without a token the request is anonymous; with one it gets 503, and is not anonymous."""
        issuer.down()
        client = TestClient(routed(settings_for(issuer)))

        assert (200, None) == ((answer := client.get("/maybe")).status_code, answer.json())
        assert 503 == client.get("/maybe", headers=bearer(issuer)).status_code

    def test_where_no_request_is_refused(self, issuer: FakeIssuer) -> None:
        """With `validate=False` a caller who cannot be checked is anonymous, and has no scope."""
        issuer.down()
        client = TestClient(routed(settings_for(issuer, validate=False)))

        assert [{}, False] == client.get("/whoever", headers=bearer(issuer)).json()
        assert client.get("/maybe", headers=bearer(issuer)).json() is None
        assert 503 == client.get("/scoped", headers=bearer(issuer, scope="read")).status_code
        assert 503 == client.get("/me", headers=bearer(issuer)).status_code

    def test_the_log(self, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture) -> None:
        """It has the reason and what could not be fetched, and nothing of the token."""
        keys_out(issuer)
        headers = bearer(issuer, email="alice@example.com")
        with caplog.at_level(logging.INFO, "jwt_deps"):
            TestClient(routed(settings_for(issuer))).get("/me", headers=headers)

        assert "request refused: reason=keys_unavailable" in caplog.text
        assert f"{issuer.jwks_url!r} answered with status 500" in caplog.text
        assert headers["Authorization"].removeprefix("Bearer ") not in caplog.text
        assert "alice" not in caplog.text


class TestWebSockets:
    def test_an_outage(self, issuer: FakeIssuer) -> None:
        """The handshake is denied with 503, before it is accepted."""
        issuer.down()
        client = TestClient(routed(settings_for(issuer)))

        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect("/ws", headers=bearer(issuer)),
        ):
            pytest.fail("it was accepted")

        assert 503 == denied.value.status_code
        assert int(denied.value.headers["retry-after"]) in {1, 2}
        assert "www-authenticate" not in denied.value.headers

    @pytest.mark.parametrize(
        ("members", "code", "reason"),
        [({}, 1013, "Access token cannot be checked now"), ({"exp": 1}, 1008, "Token has expired")],
        ids=["outage", "bad-token"],
    )
    def test_a_server_that_cannot_deny(
        self, issuer: FakeIssuer, members: dict[str, Any], code: int, reason: str
    ) -> None:
        """It closes with "try again later", and with "policy violation" for a bad token."""
        issuer.down()
        client = TestClient(WithoutDenials(routed(settings_for(issuer))))

        with (
            pytest.raises(WebSocketDisconnect) as closed,
            client.websocket_connect("/ws", headers=bearer(issuer, **members)),
        ):
            pytest.fail("it was accepted")

        assert (code, reason) == (closed.value.code, closed.value.reason)


class TestSeveralIssuers:
    @each_guard
    def test_each_has_its_own_claims(self, issuer: FakeIssuer, build: Build) -> None:
        """The user and the scopes come from where their issuer puts them."""
        with FakeIssuer(algorithm="ES256") as staff:
            settings = JWTSettings(
                issuers={
                    "customers": discovering(issuer),
                    "staff": discovering(
                        staff, user_id_claim="user.id", scopes_claim="permissions"
                    ),
                }
            )
            client = TestClient(build(settings))
            members = {"user": {"id": "bob"}, "permissions": ["read"]}

            assert ["customers|alice", "customers|alice", issuer.issuer, []] == client.get(
                "/me", headers=bearer(issuer, **members)
            ).json()
            assert ["staff|bob", "staff|bob", staff.issuer, ["read"]] == client.get(
                "/me", headers=bearer(staff, **members)
            ).json()
            assert 403 == client.get("/scoped", headers=bearer(issuer, **members)).status_code
            assert 200 == client.get("/scoped", headers=bearer(staff, **members)).status_code

    def test_one_of_them_out(self, issuer: FakeIssuer) -> None:
        """The users of the others notice nothing."""
        with FakeIssuer(algorithm="ES256") as staff:
            client = TestClient(routed(settings_for(issuer, staff)))
            staff.down()

            assert 503 == client.get("/me", headers=bearer(staff)).status_code
            assert 200 == client.get("/me", headers=bearer(issuer)).status_code

    def test_one_that_is_not_accepted(self, issuer: FakeIssuer) -> None:
        """401 in words that name no issuer."""
        local = {"secret_key": SECRET, "issuer": "local", "audience": AUDIENCE}
        settings = JWTSettings(issuers={"a": discovering(issuer), "local": local})
        with FakeIssuer(algorithm="ES256") as stranger:
            answer = TestClient(routed(settings)).get("/me", headers=bearer(stranger))

            assert (401, {"detail": "Invalid token: its issuer is not accepted"}) == (
                answer.status_code,
                answer.json(),
            )
            assert [] == [*stranger.requests, *issuer.requests]

    @pytest.mark.parametrize(
        ("iss", "user"), [("staff", "staff|bob"), ("customers", "customers|alice"), (None, "alice")]
    )
    def test_claims_that_a_test_puts_in(self, iss: str | None, user: str) -> None:
        """`get_claims` overridden: read by the settings of the issuer that they name, if any."""
        settings = JWTSettings(
            issuers={
                "customers": self._named("customers"),
                "staff": self._named("staff", user_id_claim="oid"),
            }
        )
        app = routed(settings)
        claims = {"sub": "alice", "oid": "bob", **({"iss": iss} if iss else {})}
        app.dependency_overrides[get_claims] = lambda: claims

        answer = TestClient(app).get("/maybe")

        assert (200, user) == (answer.status_code, answer.json())

    def test_claims_of_a_test_need_no_configuration(self) -> None:
        """And no keys: nothing is verified."""
        app = routed(None)
        app.dependency_overrides[get_claims] = lambda: {"sub": "alice", "iss": "x"}

        assert ["alice", "alice", "x", []] == TestClient(app).get("/me").json()

    @staticmethod
    def _named(name: str, **options: Any) -> dict[str, Any]:
        url = "https://issuer.example/keys"
        return {"issuer": name, "audience": AUDIENCE, "jwks_url": url, **options}


class TestOpenAPI:
    def test_where_keys_are_fetched(self, issuer: FakeIssuer) -> None:
        """An operation that needs a token can answer 503, and says when to try again."""
        paths = document_of(routed(settings_for(issuer)))["paths"]

        outage = paths["/me"]["get"]["responses"]["503"]
        assert ["Retry-After"] == list(outage["headers"])
        assert "503" not in paths["/open"]["get"]["responses"]
        assert {"401", "403", "503"} <= set(paths["/scoped"]["get"]["responses"])
        assert [] == issuer.requests


class TestLifespan:
    @each_with_a_lifespan
    def test_warm_up(self, issuer: FakeIssuer, build: Build) -> None:
        """Keys are there before the first request."""
        with TestClient(build(settings_for(issuer, warm_up=True))) as client:
            assert 1 == issuer.count("jwks")
            assert 200 == client.get("/me", headers=bearer(issuer)).status_code

        assert 1 == issuer.count("jwks")

    def test_several_routers_with_the_same_settings(self, issuer: FakeIssuer) -> None:
        """The issuer is asked once for all of them."""
        settings = settings_for(issuer, warm_up=True)
        app = routed(settings)
        app.include_router(protected_router(settings=settings, prefix="/other"))
        other = protected_router(settings=settings, prefix="/more")
        add_routes(other)
        app.include_router(other)

        with TestClient(app):
            assert 1 == issuer.count("jwks")

    @each_outage
    def test_warm_up_in_an_outage(
        self, issuer: FakeIssuer, outage: Callable[[FakeIssuer], None]
    ) -> None:
        """The application starts all the same, and says 503 where it has to."""
        outage(issuer)

        with TestClient(routed(settings_for(issuer, warm_up=True))) as client:
            assert "open" == client.get("/open").json()
            assert 503 == client.get("/me", headers=bearer(issuer)).status_code

    def test_under_trio_where_nothing_is_to_be_fetched(self) -> None:
        """Only what waits for an issuer or for revocations needs asyncio."""
        app = protect(FastAPI(), JWTSettings(secret_key=SECRET, warm_up=True))
        app.get("/open")(public(lambda: "open"))

        with TestClient(app, backend="trio") as client:
            assert "open" == client.get("/open").json()

    def test_settings_that_a_test_puts_in(self, issuer: FakeIssuer) -> None:
        """Only a request can ask for them, so they are not warmed up; requests work as ever."""
        settings = settings_for(issuer, warm_up=True)
        app = routed(None)
        app.dependency_overrides[get_settings] = lambda: settings

        with TestClient(app) as client:
            assert [] == issuer.requests
            assert 200 == client.get("/me", headers=bearer(issuer)).status_code


class TestHealth:
    def application(self, settings: JWTSettings) -> FastAPI:
        app = routed(settings)

        @app.get("/health")
        async def health() -> Any:
            return settings.key_health()

        return app

    def test_as_json(self, issuer: FakeIssuer) -> None:
        """A readiness endpoint returns it as it is."""
        settings = settings_for(issuer)
        client = TestClient(self.application(settings))

        before = client.get("/health").json()
        client.get("/me", headers=bearer(issuer))
        after = client.get("/health").json()

        nothing = {"fresh": False, "degraded": False, "cooling_down": False, "reloading": False}
        told: dict[str, object] = {"age": None, "keys": 0, "skipped": [], "last_error": None}
        assert {"default": {**nothing, **told}} == before
        assert (True, 1, None) == tuple(
            after["default"][name] for name in ("fresh", "keys", "last_error")
        )
        assert set(before["default"]) == set(asdict(settings.key_health()["default"]))


class TestServer:
    def test_a_client_that_goes_away_stops_nothing_for_the_others(self, issuer: FakeIssuer) -> None:
        """The fetch that it started goes on, and serves the next request."""
        issuer.jwks = Answer(delay=0.4)
        headers = bearer(issuer)
        app = routed(settings_for(issuer))

        @app.middleware("http")
        async def passing(request: Request, call_next: Any) -> Any:
            return await call_next(request)  # which cancels what a disconnected client has begun

        with listening(app, ws="none") as port:
            lines = ["GET /me HTTP/1.1", "Host: a", *(": ".join(one) for one in headers.items())]
            with closing(socket.create_connection(("127.0.0.1", port))) as impatient:
                impatient.sendall("\r\n".join([*lines, "", ""]).encode())
                deadline = time.monotonic() + 60
                while not issuer.count("jwks"):
                    assert time.monotonic() < deadline
                    time.sleep(0.005)

            answer = httpx2.get(f"http://127.0.0.1:{port}/me", headers=headers, trust_env=False)

        assert 200 == answer.status_code
        assert 1 == issuer.count("jwks")

    def test_a_shutdown_does_not_wait_for_a_fetch(self, issuer: FakeIssuer) -> None:
        """A provider that hangs does not keep a service from ending."""
        settings = settings_for(issuer, jwks_cache={"timeout": 30})
        app = routed(settings)

        @app.get("/begin", dependencies=[Depends(get_token)])
        async def begin() -> None:
            settings.server.key_caches["default"]._start()

        issuer.jwks = Answer(hang=True)
        with listening(app, ws="none") as port:
            url = f"http://127.0.0.1:{port}/begin"
            httpx2.get(url, headers=bearer(issuer), trust_env=False)

        health = settings.key_health()["default"]
        assert (None, False) == (health.last_error, health.reloading)  # stopped, not waited for
