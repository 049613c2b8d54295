"""`acting_as` and `using_settings`: what they override, where, and for how long."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Host, Mount, Route

from jwt_deps import (
    CurrentUser,
    IssuerSettings,
    JWTSettings,
    claims_as,
    current_user_id,
    get_claims,
    get_settings,
    get_token,
    jwt_guard,
    optional,
    protect,
    protected_router,
    require_scopes,
)
from jwt_deps.jose import decode_base64url, parse_object
from jwt_deps.testing import TokenFactory, acting_as, bearer, user, using_settings
from tests.guards.asking import Layer
from tests.web.serving import including, live_mounts

SECRET = "correct-horse-battery-staple-".ljust(64, "0")
SETTINGS = JWTSettings(secret_key=SECRET)


class Profile(BaseModel):
    sub: str
    tenant: int = 0


async def nothing() -> None: ...


def with_security() -> APIRouter:
    """Scopes that FastAPI's `Security` asks for with a dependency that a test may replace."""
    router, model = APIRouter(), claims_as(Profile)
    router.get("/read/claims", dependencies=[Security(get_claims, scopes=["read"])])(nothing)
    router.get("/read/token", dependencies=[Security(get_token, scopes=["read"])])(nothing)
    router.get("/read/model", dependencies=[Security(model, scopes=["read"])])(nothing)
    return router


def routes() -> APIRouter:
    """One route for each way to ask who is calling."""
    router = APIRouter()

    @router.get("/me")
    async def me(user: Annotated[CurrentUser, Depends()]) -> list[Any]:
        return [user.id, user.session_id, sorted(user.scopes)]

    @router.get("/claims")
    async def claims(
        claims: Annotated[Mapping[str, Any], Depends(get_claims)],
    ) -> Mapping[str, Any]:
        return claims

    @router.get("/profile")
    async def profile(profile: Annotated[Profile, Depends(claims_as(Profile))]) -> Profile:
        return profile

    @router.get("/token")
    async def token(token: Annotated[str, Depends(get_token)]) -> str:
        return token

    @router.get("/perhaps")
    async def perhaps(user_id: Annotated[str | None, Depends(optional(current_user_id))]) -> Any:
        return user_id

    @router.get("/write", dependencies=[Depends(require_scopes("write"))])
    async def write() -> str:
        return "written"

    @router.get("/read")
    async def read(user_id: Annotated[str, Security(current_user_id, scopes=["read"])]) -> str:
        return user_id

    router.include_router(with_security())

    @router.get("/state")
    async def state(request: Request) -> dict[str, Any]:
        state = request.state
        return {name: getattr(state, name, None) for name in ("user_id", "session_id", "token")}

    @router.websocket("/ws")
    async def told(websocket: WebSocket, user_id: Annotated[str, Depends(current_user_id)]) -> None:
        await websocket.accept()
        await websocket.send_text(user_id)
        await websocket.close()

    return router


def app_of(*routers: APIRouter, **options: Any) -> FastAPI:
    app = FastAPI(**options)
    for router in routers:
        app.include_router(router)
    return app


def bare() -> FastAPI:
    return app_of(routes())


def guarded() -> FastAPI:
    return app_of(protected_router(routes()))


def guarded_with_settings() -> FastAPI:
    return app_of(protected_router(routes(), settings=SETTINGS))


def guarded_twice() -> FastAPI:
    inner = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
    inner.include_router(routes())
    return app_of(inner, dependencies=[Depends(jwt_guard())])


def get(app: FastAPI, path: str) -> Any:
    return TestClient(app).get(path).json()


@pytest.mark.parametrize("build", [bare, guarded, guarded_with_settings, guarded_twice])
class TestUser:
    """Asks in whatever way, under whatever guard, with no key configured but those shown."""

    def test_is_told_in_whatever_way_is_asked(self, build: Callable[[], FastAPI]) -> None:
        """By a model with further claims, by `optional`, and by what looks like a token."""
        app = build()

        with acting_as(app, "alice", scopes=["b", "a"], session_id="s", claims={"tenant": 7}):
            payload = get(app, "/token").split(".")[1]
            assert ["alice", "s", ["a", "b"]] == get(app, "/me")
            assert {"sub": "alice", "tenant": 7} == get(app, "/profile")
            assert "alice" == get(app, "/perhaps")
            with TestClient(app).websocket_connect("/ws") as websocket:
                assert "alice" == websocket.receive_text()

        assert "alice" == parse_object(decode_base64url(payload.encode()))["sub"]

    def test_scopes_are_still_asked_for(self, build: Callable[[], FastAPI]) -> None:
        """403 without, in both forms."""
        app = build()
        client = TestClient(app)

        with acting_as(app, "alice", scopes="read"):
            assert (200, 403) == (client.get("/read").status_code, client.get("/write").status_code)
        with acting_as(app, "alice", scopes=iter(["write"])):
            assert (403, 200) == (client.get("/read").status_code, client.get("/write").status_code)
            assert 200 == client.get("/write").status_code

    @pytest.mark.parametrize("name", ["claims", "token", "model"])
    def test_scopes_of_security_are_asked_for_whatever_it_is_given(
        self, build: Callable[[], FastAPI], name: str
    ) -> None:
        """FastAPI calls the replacement in the place of a dependency that would look at them."""
        app = build()
        client = TestClient(app)

        with acting_as(app, "alice"):
            refused = client.get(f"/read/{name}")
        with acting_as(app, "alice", scopes="read"):
            granted = client.get(f"/read/{name}")

        assert (403, 200) == (refused.status_code, granted.status_code)
        assert 'scope="read"' in refused.headers["www-authenticate"]


class TestClaims:
    def test_those_that_a_token_would_have(self) -> None:
        """Under the names of the settings of the matched route, issuer and audience too."""
        settings = JWTSettings(
            secret_key=SECRET,
            issuer=["https://me.test", "https://old.test"],
            audience="api",
            audience_claim="client_id",
            user_id_claim="realm.user",
            scopes_claim="scp",
        )
        app = app_of(protected_router(routes(), settings=settings))

        with acting_as(app, "alice", scopes=["read"], claims={"exp": None}):
            claims = get(app, "/claims")
            me = get(app, "/me")

        assert {
            "iss": "https://me.test",
            "client_id": "api",
            "realm": {"user": "alice"},
            "scp": "read",
        } == {name: value for name, value in claims.items() if name != "iat"}
        assert ["alice", None, ["read"]] == me

    @pytest.mark.parametrize(
        ("issuer", "found"), [(None, "alice-of-one"), ("https://other.test", "alice-of-other")]
    )
    def test_of_several_issuers(self, issuer: str | None, found: str) -> None:
        """The first, unless another one is named; the names are its own, and before the id."""

        def settings_of(name: str) -> IssuerSettings:
            return IssuerSettings(
                secret_key=SECRET,
                issuer=f"https://{name}.test",
                audience="api",
                user_id_claim=f"{name}_user",
            )

        settings = JWTSettings(issuers={name: settings_of(name) for name in ("one", "other")})
        app = app_of(protected_router(routes(), settings=settings))
        name = found.rpartition("-")[2]

        with acting_as(app, "alice", issuer=issuer):
            claims, (user_id, *_) = get(app, "/claims"), get(app, "/me")

        assert ("alice", f"{name}|alice", f"https://{name}.test") == (
            claims[f"{name}_user"],
            user_id,
            claims["iss"],
        )

    @pytest.mark.parametrize(
        "named",
        [{"issuer": "https://a.test"}, {"claims": {"iss": "https://a.test"}}],
        ids=["issuer", "claims"],
    )
    def test_of_an_issuer_that_a_function_knows(self, named: Any) -> None:
        """It is asked, as for a token; of which issuer the user is has to be said."""

        def issuers(issuer: str) -> IssuerSettings:
            return IssuerSettings(
                secret_key=SECRET, issuer=issuer, audience="api", user_id_claim="oid"
            )

        settings = JWTSettings(issuers=issuers)
        app = app_of(protected_router(routes(), settings=settings))

        with acting_as(app, "alice", **named):
            assert ["https://a.test|alice", "alice"] == [
                get(app, "/me")[0],
                get(app, "/claims")["oid"],
            ]
        with acting_as(app, "alice"), pytest.raises(ValueError, match="give issuer"):
            get(app, "/me")

    def test_an_issuer_that_is_not_accepted(self) -> None:
        """Is told all the same: nothing is checked here."""
        settings = JWTSettings(
            issuers={
                "one": IssuerSettings(secret_key=SECRET, issuer="https://one.test", audience="api")
            }
        )
        app = app_of(protected_router(routes(), settings=settings))

        with acting_as(app, "alice", issuer="https://foreign.test"):
            assert "https://foreign.test" == get(app, "/claims")["iss"]

    def test_the_environment_names_claims(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a key in it."""
        monkeypatch.setenv("JWT_USER_ID_CLAIM", "user")
        app = guarded()

        with acting_as(app, "alice"):
            assert "alice" == get(app, "/claims")["user"]

    def test_request_state(self) -> None:
        """It has the names that AgentOS reads, and no token, since the request had none."""
        app = guarded()

        with acting_as(app, "alice", session_id="s"):
            assert {"user_id": "alice", "session_id": "s", "token": None} == get(app, "/state")


async def plain(request: Any) -> JSONResponse:
    return JSONResponse(getattr(request.state, "user_id", None))


class TestMounts:
    @pytest.mark.parametrize(
        ("mount", "url"),
        [
            pytest.param(lambda app: Mount("/sub", app), "/sub/me", id="mount"),
            pytest.param(
                lambda app: Mount("/sub", app, middleware=[Middleware(Layer)]),
                "/sub/me",
                id="behind-middleware",
            ),
            pytest.param(lambda app: Mount("/sub", Layer(app)), "/sub/me", id="in-a-layer"),
            pytest.param(lambda app: Host("testserver", app), "/me", id="host"),
            pytest.param(
                lambda app: Mount("/a", Starlette(routes=[Mount("/b", app)])),
                "/a/b/me",
                id="below-starlette",
            ),
            pytest.param(
                lambda app: Mount("/a", app_of(APIRouter(routes=[Mount("/b", app)]))),
                "/a/b/me",
                id="below-another",
                marks=live_mounts,
            ),
        ],
    )
    def test_mounted_applications_are_covered(
        self, mount: Callable[[FastAPI], Any], url: str
    ) -> None:
        """Each has overrides of its own, that are put back as well."""
        inner, app = guarded(), FastAPI()
        app.router.routes.append(mount(inner))
        app.router.routes.append(Mount("/again", inner))
        app.router.routes.append(Mount("/files", Layer(FastAPI())))

        with acting_as(app, "alice"):
            assert ["alice", None, []] == get(app, url)

        assert {} == inner.dependency_overrides

    def test_a_plain_route_under_guard(self) -> None:
        app = including(protected_router(APIRouter(routes=[Route("/plain", plain)])))

        with acting_as(app, "alice"):
            assert "alice" == get(app, "/plain")


class TestHowLong:
    def test_until_the_block_ends(self) -> None:
        """Then requests have no user, even after an error inside."""
        app = app_of(protected_router(routes(), settings=SETTINGS))

        with pytest.raises(KeyError), acting_as(app, "alice"):
            raise KeyError

        assert ({}, 401) == (app.dependency_overrides, TestClient(app).get("/me").status_code)

    def test_the_innermost_of_nested_blocks_holds(self) -> None:
        """And the outer one again after it."""
        app = guarded()

        with acting_as(app, "alice"):
            with acting_as(app, "bob"):
                inner = get(app, "/perhaps")
            outer = get(app, "/perhaps")

        assert ("bob", "alice") == (inner, outer)

    def test_what_was_there_before_comes_back(self) -> None:
        """And what was added meanwhile stays."""
        app = guarded()

        async def replaced() -> dict[str, str]:
            return {"sub": "carol"}

        app.dependency_overrides[get_claims] = replaced
        with acting_as(app, "alice"):
            app.dependency_overrides[get_settings] = replaced

        assert {get_claims: replaced, get_settings: replaced} == app.dependency_overrides

    def test_one_at_a_time_and_several_times(self) -> None:
        """The same block can be entered again."""
        app = guarded()
        alice = acting_as(app, "alice", scopes=iter(["read"]))

        for _ in range(2):
            with alice:
                assert "alice" == get(app, "/read")
        assert {} == app.dependency_overrides


class TestOverlap:
    """Blocks that end in another order than the reverse of that in which they began."""

    @pytest.mark.parametrize("first", [0, 1, 2])
    @pytest.mark.parametrize("second", [0, 1])
    def test_the_last_one_still_open_holds(self, first: int, second: int) -> None:
        """In whatever order they end; after the last one a token is needed again."""
        app = app_of(protected_router(routes(), settings=SETTINGS))
        users = ["alice", "bob", "carol"]
        open_blocks = [(user, acting_as(app, user)) for user in users]
        for _, block in open_blocks:
            block.__enter__()

        for position in (first, second, 0):
            assert open_blocks[-1][0] == get(app, "/perhaps")
            open_blocks.pop(position)[1].__exit__(None, None, None)

        assert ({}, 401) == (app.dependency_overrides, TestClient(app).get("/me").status_code)

    def test_an_application_and_one_that_is_mounted_in_it(self) -> None:
        """Each has overrides of its own, and each block takes away those that it made."""
        inner, outer = guarded(), guarded()
        outer.mount("/sub", inner)
        both, one = acting_as(outer, "both"), acting_as(inner, "one")
        both.__enter__()
        one.__enter__()

        assert ("both", "one") == (get(outer, "/perhaps"), get(outer, "/sub/perhaps"))
        both.__exit__(None, None, None)
        assert ({}, "one") == (outer.dependency_overrides, get(outer, "/sub/perhaps"))
        one.__exit__(None, None, None)
        assert ({}, {}) == (outer.dependency_overrides, inner.dependency_overrides)

    def test_settings(self) -> None:
        """Those of `using_settings` too."""
        app, one, other = guarded(), TokenFactory(), TokenFactory()
        first, second = using_settings(app, one.settings), using_settings(app, other.settings)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)

        assert "bob" == TestClient(app).get("/perhaps", headers=bearer(other("bob"))).json()
        second.__exit__(None, None, None)
        assert {} == app.dependency_overrides


async def replaced_claims() -> dict[str, str]:
    return {"sub": "dave"}


class TestOwnOverrides:
    """Those that a test makes itself, beside the blocks."""

    def test_from_within_a_block(self) -> None:
        """Stay: the block takes away only what it put there."""
        app = guarded()

        with acting_as(app, "alice"):
            app.dependency_overrides[get_claims] = replaced_claims
            within = get(app, "/perhaps")

        assert ("dave", {get_claims: replaced_claims}) == (within, app.dependency_overrides)

    def test_from_between_two_blocks(self) -> None:
        """Come back after the one that began later, and stay after the other."""
        app = guarded()
        alice, bob = acting_as(app, "alice"), acting_as(app, "bob")
        alice.__enter__()
        app.dependency_overrides[get_claims] = replaced_claims
        bob.__enter__()
        alice.__exit__(None, None, None)

        assert "bob" == get(app, "/perhaps")
        bob.__exit__(None, None, None)
        assert {get_claims: replaced_claims} == app.dependency_overrides

    def test_cleared_within_a_block(self) -> None:
        """Nothing comes back that the test itself took away."""
        app = guarded()

        with acting_as(app, "alice"), acting_as(app, "bob"):
            app.dependency_overrides.clear()

        assert {} == app.dependency_overrides

    def test_another_dictionary(self) -> None:
        """A test may put one in the place of the application's."""
        app = guarded()

        with acting_as(app, "alice"):
            app.dependency_overrides = dict(app.dependency_overrides)
            assert "alice" == get(app, "/perhaps")

        assert {} == app.dependency_overrides


class TestSettings:
    def test_they_stand_in_for_those_of_the_environment(self) -> None:
        tokens, inner, app = TokenFactory(), guarded(), guarded()
        app.mount("/sub", inner)

        with using_settings(app, tokens.settings), TestClient(app) as client:
            told = [
                client.get(path, headers=bearer(tokens("alice"))).json()[0]
                for path in ("/me", "/sub/me")
            ]

        assert ["alice", "alice"] == told
        assert ({}, {}) == (app.dependency_overrides, inner.dependency_overrides)


class TestGuardsWithSettingsOfTheirOwn:
    """`using_settings` takes the place of these too, and gives them back."""

    def app(self) -> FastAPI:
        """Guard an application, a router in it and one that is mounted, each in its way."""
        inner, router, mounted = protect(FastAPI(), SETTINGS), APIRouter(), APIRouter()
        inner.include_router(routes())
        router.include_router(routes(), dependencies=[Depends(jwt_guard(SETTINGS))])
        mounted.include_router(routes())
        app = FastAPI()
        app.include_router(router, prefix="/included")
        app.include_router(protected_router(routes(), settings=SETTINGS), prefix="/protected")
        app.mount("/inner", inner)
        app.mount("/mounted", protected_router(mounted, settings=SETTINGS))
        return app

    @live_mounts
    @pytest.mark.parametrize("where", ["/included", "/protected", "/inner", "/mounted"])
    def test_they_accept_what_the_block_does(self, where: str) -> None:
        """And nothing else; afterwards it is as before."""
        app, tokens = self.app(), TokenFactory()
        theirs = bearer(TokenFactory.for_settings(SETTINGS)("alice"))
        ours = bearer(tokens("bob"))
        client = TestClient(app)

        def answers() -> list[int]:
            return [client.get(f"{where}/me", headers=it).status_code for it in (theirs, ours)]

        before = answers()
        with using_settings(app, tokens.settings):
            within = answers()
            with using_settings(app, SETTINGS):
                nested = answers()

        assert ([200, 401], [401, 200], [200, 401]) == (before, within, nested)
        assert [200, 401] == answers()

    def test_no_key_of_their_issuer_is_requested(self) -> None:
        """Nor when the application starts."""
        away = JWTSettings(
            issuer="https://issuer.invalid", audience="api", discovery=True, warm_up=True
        )
        tokens, app = TokenFactory(), FastAPI()
        app.include_router(protected_router(routes(), settings=away))

        with using_settings(app, tokens.settings), TestClient(app) as client:
            assert 200 == client.get("/me", headers=bearer(tokens("alice"))).status_code
        assert [None] == [one.last_error for one in away.key_health().values()]


def test_a_user_for_a_function_that_takes_one() -> None:
    """It equals that of a token with the same claims."""
    made = user("alice", scopes="read write", session_id="s1", claims={"azp": "app", "tenant": 7})
    plain = user("bob", scopes=["read"], roles=["editor"])
    admin = user("eve", roles="admin")

    assert ("alice", "s1", frozenset({"read", "write"}), "app") == (
        made.id,
        made.session_id,
        made.scopes,
        made.client_id,
    )
    assert {"sub": "alice", "azp": "app", "tenant": 7} == dict(made.claims)
    assert ("bob", None, frozenset({"read"}), None, frozenset({"editor"})) == (
        plain.id,
        plain.session_id,
        plain.scopes,
        plain.issuer,
        plain.roles,
    )
    assert {"admin"} == admin.roles


class TestTheOpenAPIDocument:
    """FastAPI keeps the first one that it has built."""

    OTHERS = JWTSettings(secret_key=SECRET, token_source="cookie", cookie_name="others")

    @staticmethod
    def schemes(app: FastAPI) -> list[str]:
        return sorted(app.openapi()["components"]["securitySchemes"])

    def test_in_a_block_it_is_that_of_its_settings_and_afterwards_the_own_one(self) -> None:
        app = protect(FastAPI(), SETTINGS)
        app.include_router(routes())
        own = self.schemes(app)

        with using_settings(app, self.OTHERS):
            within = self.schemes(app)

        assert (["JWT"], ["JWT-cookie-others"], ["JWT"]) == (own, within, self.schemes(app))

    def test_one_that_is_built_in_a_block_is_not_kept(self) -> None:
        app = protect(FastAPI(), SETTINGS)
        app.include_router(routes())
        with using_settings(app, self.OTHERS):
            app.openapi()

        assert ["JWT"] == self.schemes(app)

    @pytest.mark.parametrize("first", [0, 1])
    def test_of_overlapping_blocks_it_is_that_of_the_one_still_open(self, first: int) -> None:
        app = protect(FastAPI(), SETTINGS)
        third = JWTSettings(secret_key=SECRET, token_source="cookie", cookie_name="third")
        app.include_router(routes())
        before = app.openapi()
        blocks = [using_settings(app, self.OTHERS), using_settings(app, third)]
        found = []
        for block in blocks:
            block.__enter__()
        found.append(self.schemes(app))
        blocks[first].__exit__(None, None, None)
        found.append(self.schemes(app))
        blocks[1 - first].__exit__(None, None, None)

        last = ["JWT-cookie-third"] if first == 0 else ["JWT-cookie-others"]
        assert [["JWT-cookie-third"], last] == found
        assert app.openapi() == before

    def test_one_that_was_given_comes_back(self) -> None:
        """With what it says itself, and what its routes ask for, once."""
        app = protect(FastAPI(), SETTINGS)
        app.include_router(routes())
        given = app.openapi_schema = {**app.openapi(), "info": {"title": "given", "version": "1"}}
        before = str(app.openapi())
        with acting_as(app, "alice"):
            app.openapi()

        assert app.openapi() is given
        assert before == str(given)
