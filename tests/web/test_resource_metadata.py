"""The metadata document (RFC 9728) comes from the configuration only."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Route, Router

from jwt_deps import (
    ConfigurationError,
    IssuerSettings,
    JWTSettings,
    get_claims,
    get_settings,
    jwt_guard,
    mcp_settings,
    mount_resource_metadata,
    protected_router,
    require_any_scope,
    require_scopes,
)
from jwt_deps.web.inventory import Inventory
from tests.minting import SECRET, mint
from tests.minting import claims as claims_of
from tests.web.serving import including, live_mounts, live_routes

RESOURCE = "https://api.example.com/v1"
ISSUER = "https://login.example.com"
PATH = "/.well-known/oauth-protected-resource/v1"
BARE = 'Bearer realm="api", '
WHERE = f'resource_metadata="https://api.example.com{PATH}"'


def settings(**values: Any) -> JWTSettings:
    return JWTSettings(**{"secret_key": SECRET, "resource": RESOURCE, "issuer": ISSUER, **values})


async def asking(_: Annotated[Any, Depends(get_claims)]) -> None:
    """Be a dependency of the application's own."""


def service(**values: Any) -> FastAPI:
    """A guarded service with a route that needs scopes and one that needs none."""
    router = APIRouter()

    @router.get("/items", dependencies=[Depends(require_scopes("read", "list"))])
    async def items() -> None: ...

    @router.get("/any", dependencies=[Security(require_any_scope("a", "b"), scopes=["read"])])
    async def any_of() -> None: ...

    @router.get("/me", dependencies=[Depends(get_claims)])
    async def me() -> None: ...

    used = settings(**values)
    app = including(protected_router(router, settings=used))
    mount_resource_metadata(app, used)
    return app


def good(**members: Any) -> dict[str, Any]:
    stated = {"iss": ISSUER, "aud": RESOURCE, **members}
    return claims_of(now=time.time(), **stated)


def token(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint(good(**claims))}"}


class TestDocument:
    def test_members(self) -> None:
        """What is configured and what routes ask for; nothing empty, nothing about signing."""
        app = service(resource_name="Items", resource_documentation="https://docs.example.com")

        answer = TestClient(app).get(PATH)

        assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
        assert {
            "resource": RESOURCE,
            "authorization_servers": [ISSUER],
            "scopes_supported": ["read", "list", "a", "b"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Items",
            "resource_documentation": "https://docs.example.com",
        } == answer.json()

    def test_attack_host_header(self) -> None:
        """Nothing in it is derived from the request."""
        client = TestClient(service(), base_url="http://attacker.example")

        answer = client.get(PATH, headers={"X-Forwarded-Host": "attacker.example"})

        assert "attacker" not in answer.text
        assert RESOURCE == answer.json()["resource"]

    def test_a_request_with_two_tokens(self) -> None:
        """It is no token that the client lacks, so it is not told where to get one."""
        twice = {"Authorization": "Bearer a, Bearer b"}

        answer = TestClient(service()).get("/me", headers=twice)

        assert 400 == answer.status_code
        assert "resource_metadata" not in answer.headers["www-authenticate"]

    def test_path_is_not_dropped(self) -> None:
        """The document of `/v1` is not that of the host."""
        assert 404 == TestClient(service()).get(PATH.removesuffix("/v1")).status_code

    @pytest.mark.parametrize(
        ("resource", "path"),
        [
            pytest.param("https://a.example", "", id="host"),
            pytest.param("https://a.example/", "", id="slash"),
            pytest.param("https://a.example/mcp", "/mcp", id="path"),
            pytest.param("https://a.example/mcp/", "/mcp/", id="path-and-slash"),
            pytest.param("https://a.example/a%20b", "/a%20b", id="encoded"),
            pytest.param("http://127.0.0.1:8000/mcp", "/mcp", id="loopback"),
        ],
    )
    def test_place(self, resource: str, path: str) -> None:
        """Inserted between host and path; the identifier is repeated exactly."""
        app = FastAPI()
        mount_resource_metadata(app, settings(resource=resource))

        answer = TestClient(app).get("/.well-known/oauth-protected-resource" + path)

        assert resource == answer.json()["resource"]

    @pytest.mark.parametrize("origin", ["https://inspector.example", "null"])
    def test_browsers_may_read_it(self, origin: str) -> None:
        """With a preflight for the version header that MCP clients send."""
        client = TestClient(service())
        asked = {"Access-Control-Request-Method": "GET", "Origin": origin}

        preflight, answer = client.options(PATH, headers=asked), client.get(PATH)

        assert 204 == preflight.status_code
        assert "*" == preflight.headers["access-control-allow-headers"]
        assert "*" == answer.headers["access-control-allow-origin"]

    @pytest.mark.parametrize("outer", [jwt_guard, lambda _: jwt_guard(settings(resource=None))])
    def test_it_is_public(self, outer: Callable[..., Any]) -> None:
        """Under a guard over the whole application too, and has no lock in OpenAPI."""
        app = FastAPI(dependencies=[Depends(outer(settings()))])
        mount_resource_metadata(app, settings())

        assert 200 == TestClient(app).get(PATH).status_code
        assert PATH not in app.openapi().get("paths", {})

    def test_scopes_are_those_of_this_resource(self) -> None:
        """Of mounted applications too; none of another resource, no `offline_access`."""
        app, below, used = FastAPI(), FastAPI(), settings()
        other = settings(resource="https://other.example")
        scopes = {"mine": used, "others": other, "offline_access": used}
        for scope, under in scopes.items():
            needed = [Depends(require_scopes(scope))]
            router = protected_router(settings=under, dependencies=needed)
            router.add_api_route(f"/{scope}", lambda: None)
            app.include_router(router)
        guarded = Security(jwt_guard(used, exclude=["/open"]), scopes=["deep"])
        public = APIRouter(dependencies=[Security(jwt_guard(used, ["/open"]), scopes=["never"])])
        public.add_api_route("/open", lambda: None)
        inner = APIRouter(dependencies=[guarded])
        inner.add_api_route("/inner", lambda: None)
        below.include_router(inner)
        below.include_router(public)
        app.mount("/below", below)
        mount_resource_metadata(app, used)

        client = TestClient(app)

        assert ["mine", "deep"] == client.get(PATH).json()["scopes_supported"]

    def test_settings_of_the_environment(self) -> None:
        """They are asked when the document is, so that overrides count."""
        app = FastAPI()
        mount_resource_metadata(app)
        client, answers = TestClient(app), []
        for used in (settings(), settings(resource=None)):
            app.dependency_overrides[get_settings] = lambda used=used: used
            answers.append([client.get(PATH).status_code, client.get(PATH + "/x").status_code])

        assert [[200, 404], [404, 404]] == answers

    def test_behind_a_prefix(self) -> None:
        """`root_path` is where a proxy has put the application; no URL is made of it."""
        app = service()

        answer = TestClient(app, root_path="/v9").get(PATH)

        assert RESOURCE == answer.json()["resource"]

    def test_several_issuers(self) -> None:
        """Each is named; what is no URL of an authorization server is not."""
        one = IssuerSettings(secret_key=SECRET, issuer=[ISSUER, "me"], audience="x")
        two = IssuerSettings(secret_key=SECRET, issuer="https://b.example?x", audience="x")
        several = JWTSettings(resource=RESOURCE, issuers={"one": one, "two": two})

        assert (ISSUER,) == several.authorization_servers
        assert () == several.accepted_audiences

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"token_source": "cookie"}, id="cookie"),
            pytest.param({"token_getter": lambda _: None}, id="getter"),
            pytest.param({"token_header_key": "X-Token"}, id="another-header"),
        ],
    )
    def test_no_bearer_header(self, options: dict[str, Any]) -> None:
        """Where tokens come in another place there is no method of RFC 6750 to name."""
        answer = TestClient(service(**options)).get(PATH)

        assert "bearer_methods_supported" not in answer.json()

    @pytest.mark.parametrize("algorithms", ["ES256", ["ES256"]], ids=["one", "a-list"])
    def test_bound_tokens(self, algorithms: str | list[str]) -> None:
        """DPoP and certificates, as far as the settings have them."""
        bound = {
            "dpop": "required",
            "dpop_algorithms": algorithms,
            "public_origin": "https://api.example.com",
            "client_certificate": "tls",
        }
        expected = {
            "dpop_signing_alg_values_supported": ["ES256"],
            "dpop_bound_access_tokens_required": True,
            "tls_client_certificate_bound_access_tokens": True,
        }

        document = TestClient(service(**bound)).get(PATH).json()

        assert expected == {name: document[name] for name in expected}


class TestChallenge:
    @pytest.mark.parametrize(
        ("path", "claims", "status", "challenge"),
        [
            pytest.param("/items", None, 401, BARE + f'scope="read list", {WHERE}', id="missing"),
            pytest.param("/me", None, 401, f'Bearer realm="api", {WHERE}', id="no-scopes"),
            pytest.param("/any", None, 401, BARE + f'scope="read a b", {WHERE}', id="any-of"),
            pytest.param(
                "/me",
                {"aud": "other"},
                401,
                'Bearer error="invalid_token", error_description="{}", ' + WHERE,
                id="audience",
            ),
            pytest.param(
                "/items",
                {"scope": "read"},
                403,
                'Bearer error="insufficient_scope", error_description="{}", '
                'scope="read list", ' + WHERE,
                id="scope",
            ),
        ],
    )  # fmt: skip
    def test_it_says_where_the_metadata_is(
        self, path: str, claims: dict[str, Any] | None, status: int, challenge: str
    ) -> None:
        """The URL of the document, not of the resource; the scopes of the route, all at once."""
        headers = {} if claims is None else token(**claims)

        client = TestClient(service())
        first, answer = (client.get(path, headers=headers) for _ in range(2))

        said = answer.headers["www-authenticate"]
        assert first.headers["www-authenticate"] == said
        before, _, after = challenge.partition("{}")
        assert status == answer.status_code
        assert (said.startswith(before), said.endswith(after)) == (True, True)

    def test_without_resource_nothing_changes(self) -> None:
        """The bare challenge stays bare."""
        app = FastAPI(dependencies=[Depends(jwt_guard(settings(resource=None)))])
        app.add_api_route("/", lambda: None, dependencies=[Depends(require_scopes("read"))])

        assert 'Bearer realm="api"' == TestClient(app).get("/").headers["www-authenticate"]

    @live_mounts
    def test_on_a_mount(self) -> None:
        """FastAPI runs no dependencies for it; its scopes are those of its router."""
        needed = [Security(require_scopes("call"), scopes=["read"]), Depends(get_claims)]
        router = protected_router(settings=settings(), dependencies=needed)
        router.mount("/mcp", FastAPI())
        app = including(router)

        said = TestClient(app).get("/mcp/x").headers["www-authenticate"]

        assert f'Bearer realm="api", scope="read call", {WHERE}' == said


class TestSettings:
    def test_the_resource_is_the_audience(self) -> None:
        """RFC 8707: a token that a client asks for has that audience."""
        accepted = settings()

        assert (RESOURCE,) == accepted.accepted_audiences
        assert ("x",) == settings(audience="x").accepted_audiences
        assert () == settings(verify_audience=False).accepted_audiences

    @pytest.mark.parametrize("audience", [RESOURCE + "/", RESOURCE.upper(), "other"])
    def test_attack_token_for_another_resource(self, audience: str) -> None:
        client = TestClient(service())

        assert 200 == client.get("/me", headers=token()).status_code
        assert 401 == client.get("/me", headers=token(aud=audience)).status_code

    @pytest.mark.parametrize(
        "resource",
        [
            pytest.param("", id="empty"),
            pytest.param("api", id="no-url"),
            pytest.param("http://api.example.com", id="plain-http"),
            pytest.param("https://api.example.com/#x", id="fragment"),
            pytest.param("https://api.example.com/?x", id="query"),
            pytest.param('https://api.example.com/"', id="quote"),
            pytest.param("https://api.example.com/{x}", id="template"),
            pytest.param("https://api.example.com/a/../b", id="dots"),
            pytest.param("https://u:p@api.example.com", id="credentials"),
        ],
    )
    def test_resources_that_cannot_be_one(self, resource: str) -> None:
        """They are refused when the settings are built."""
        with pytest.raises(ConfigurationError) as caught:
            settings(resource=resource)
        assert "resource_identifier" == caught.value.reason

    def test_pages_are_urls(self) -> None:
        """Clients show them to people."""
        with pytest.raises(ConfigurationError) as caught:
            settings(resource_tos_uri="javascript:alert(1)")
        assert "resource_page" == caught.value.reason

    def test_nothing_to_describe(self) -> None:
        """Settings without a resource have no document."""
        assert settings(resource=None).metadata_url is None
        with pytest.raises(ConfigurationError) as caught:
            mount_resource_metadata(FastAPI(), settings(resource=None))
        assert "resource_missing" == caught.value.reason

    @pytest.mark.parametrize("applied", [get_claims, asking], ids=["ours", "depends-on-ours"])
    def test_a_document_that_would_need_a_token(self, applied: Callable[..., Any]) -> None:
        """A dependency over the whole application would ask for a token there too."""
        with pytest.raises(ConfigurationError) as caught:
            mount_resource_metadata(FastAPI(dependencies=[Depends(applied)]), settings())
        assert "metadata_not_public" == caught.value.reason

    def test_a_document_beside_a_dependency_of_another_kind(self) -> None:
        """It asks for no token."""

        async def other() -> None: ...

        app = FastAPI(dependencies=[Depends(other)])
        mount_resource_metadata(app, settings())

        assert 200 == TestClient(app).get(PATH).status_code


class TestMCP:
    def test_preset(self) -> None:
        """Discovery, the audience, the header."""
        made = mcp_settings(resource=RESOURCE, issuer=ISSUER)

        assert (True, (RESOURCE,)) == (made.discovery, made.accepted_audiences)

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param({"resource": None}, id="no-resource"),
            pytest.param({"issuer": "me"}, id="no-authorization-server"),
            pytest.param({"token_source": "both"}, id="cookie"),
            pytest.param({"token_header_key": "X-Token"}, id="other-header"),
            pytest.param({"token_getter": lambda _: None}, id="getter"),
            pytest.param({"verify_audience": False}, id="passthrough"),
            pytest.param(
                {"audience": "cursor", "audience_claim": "client_id"}, id="audience-of-the-client"
            ),
            pytest.param({"require_exp": False}, id="no-expiry"),
            pytest.param({"validate": False}, id="anonymous"),
        ],
    )
    def test_what_the_specification_forbids(self, values: dict[str, Any]) -> None:
        """Each is refused when the settings are built."""
        good = {"resource": RESOURCE, "issuer": ISSUER, "secret_key": SECRET}

        with pytest.raises(ConfigurationError) as caught:
            mcp_settings(**{**good, **values})
        assert "mcp_forbids" == caught.value.reason

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("JWT_SECRET_KEY", SECRET),
            ("JWT_JWKS_URL", f"{ISSUER}/keys"),
            ("JWT_DISCOVERY_URL", f"{ISSUER}/.well-known/openid-configuration"),
        ],
    )
    def test_keys_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        """Or their place: then nothing is discovered beside them."""
        monkeypatch.setenv(name, value)

        made = mcp_settings(resource=RESOURCE, issuer=ISSUER)

        assert getattr(made, name.removeprefix("JWT_").lower())
        assert not made.discovery

    @pytest.mark.parametrize(
        ("values", "reason"),
        [({"secret_key": "short"}, "short_secret"), ({"resource": "x"}, "resource_identifier")],
    )
    def test_settings_that_cannot_work_are_refused_as_elsewhere(
        self, values: dict[str, Any], reason: str
    ) -> None:
        """Discovery helps where there is no key, and only there."""
        with pytest.raises(ConfigurationError) as caught:
            mcp_settings(**{"resource": RESOURCE, "issuer": ISSUER, **values})
        assert reason == caught.value.reason

    @pytest.mark.parametrize("resource", ["https://mcp.example.com", "https://mcp.example.com/"])
    def test_origin_is_the_same_audience_with_a_slash_and_without(self, resource: str) -> None:
        """Clients of the SDK ask for either; of an URL with a path there is one spelling."""
        made = mcp_settings(resource=resource, issuer=ISSUER)

        origin = "https://mcp.example.com"
        assert {origin, f"{origin}/"} == set(made.accepted_audiences)
        assert resource == made.accepted_audiences[0]

    def test_several_issuers(self) -> None:
        one = IssuerSettings(secret_key=SECRET, issuer=ISSUER, audience=RESOURCE)

        assert (ISSUER,) == mcp_settings(
            resource=RESOURCE, issuers={"one": one}
        ).authorization_servers


def _with_an_inner_router(*scopes: str) -> tuple[FastAPI, APIRouter]:
    inner = APIRouter()
    for scope in scopes:
        _ask_for(inner, scope)
    app, used = FastAPI(), settings()
    app.include_router(protected_router(inner, settings=used))
    mount_resource_metadata(app, used)
    return app, inner


def _ask_for(router: APIRouter, scope: str) -> None:
    @router.get(f"/{scope}", dependencies=[Depends(require_scopes(scope))])
    async def route() -> None: ...


@live_routes
def test_a_route_that_is_added_to_an_inner_router() -> None:
    """Its scopes are told, although the application itself has not changed."""
    app, inner = _with_an_inner_router()
    client = TestClient(app)
    _ask_for(inner, "first")
    before = client.get(PATH).json()["scopes_supported"]

    _ask_for(inner, "second")

    assert ["first"] == before
    assert ["first", "second"] == client.get(PATH).json()["scopes_supported"]


def test_a_route_that_is_added_to_a_mounted_application() -> None:
    """Likewise: every router that was walked is seen to have changed."""
    app, _ = _with_an_inner_router("first")
    below = FastAPI()
    below.include_router(protected_router(settings=settings()))
    app.mount("/below", below)
    client = TestClient(app)
    before = client.get(PATH).json()["scopes_supported"]

    late = protected_router(settings=settings())
    _ask_for(late, "second")
    below.include_router(late)

    assert ["first"] == before
    assert ["first", "second"] == client.get(PATH).json()["scopes_supported"]


def test_an_application_that_is_added_to_a_mounted_one_of_starlettes() -> None:
    """Likewise: the routes of that one are seen to have changed."""
    app, _ = _with_an_inner_router("first")
    between, late, below = Starlette(), FastAPI(), protected_router(settings=settings())
    app.mount("/between", between)
    client = TestClient(app)
    before = client.get(PATH).json()["scopes_supported"]

    _ask_for(below, "second")
    late.include_router(below)
    between.mount("/late", late)

    assert ["first"] == before
    assert ["first", "second"] == client.get(PATH).json()["scopes_supported"]


@pytest.mark.parametrize(
    "mount",
    [
        pytest.param(lambda _: None, id="nothing-mounted"),
        pytest.param(lambda app: app.mount("/s", Starlette()), id="starlette"),
        pytest.param(lambda app: app.mount("/r", Router()), id="router"),
        pytest.param(lambda app: app.host("h.test", Starlette()), id="host"),
    ],
)
def test_the_routes_are_walked_once(
    mount: Callable[[FastAPI], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as they are the same: anyone may ask for the document, beside an MCP server too."""
    app, _ = _with_an_inner_router("first")
    mount(app)
    walked: list[FastAPI] = []
    walk = Inventory.of

    def counted(application: FastAPI) -> Inventory:
        walked.append(application)
        return walk(application)

    monkeypatch.setattr(Inventory, "of", counted)
    client = TestClient(app)

    told = [client.get(PATH).json()["scopes_supported"] for _ in range(3)]

    assert ([["first"]] * 3, [app]) == (told, walked)


def test_a_plain_route_that_nothing_covers_asks_for_nothing() -> None:
    """Only what is asked for is named."""
    used = settings()
    router = APIRouter(dependencies=[Depends(jwt_guard(used)), Depends(require_scopes("never"))])
    router.routes.append(Route("/plain", lambda _: None))
    app = FastAPI()
    app.mount("/m", router)
    mount_resource_metadata(app, used)

    assert "scopes_supported" not in TestClient(app).get(PATH).json()
