"""OpenAPI tells the truth: a lock where a token is needed, and nowhere else."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBasic

from jwt_deps import (
    Claims,
    CurrentUser,
    JWTSettings,
    SessionState,
    current_client_id,
    current_user_id,
    get_claims,
    get_settings,
    get_token,
    optional,
    protect,
    protected_router,
    public,
    require_any_scope,
    require_scopes,
)
from tests.guards.asking import LIVE
from tests.minting import SECRET
from tests.web.documents import (
    BEARER,
    locks,
    nothing,
    open_to_all,
    operations,
    protected,
    schemes,
    started,
)
from tests.web.serving import SETTINGS, including


def test_guarded_routes_have_a_lock_and_public_ones_have_none() -> None:
    """In an application that has started, and before any request."""
    router = protected_router(settings=SETTINGS, prefix="/r", exclude=["/r/pattern", nothing])
    router.get("/closed")(lambda: None)
    router.get("/pattern")(lambda: None)
    router.get("/endpoint")(nothing)
    router.get("/marked")(public(lambda: None))
    app = including(router)
    app.get("/outside")(lambda: None)

    assert {
        "/r/closed": [{"JWT": []}],
        "/r/pattern": None,
        "/r/endpoint": None,
        "/r/marked": None,
        "/outside": None,
    } == locks(started(app))
    assert {"JWT": BEARER} == schemes(app)


def test_what_the_settings_exclude_has_no_lock() -> None:
    """Their patterns mean whole templates, as those of the guard."""
    settings = JWTSettings(secret_key=SECRET, excluded_route_paths=["/open"])
    app = protected(settings)
    app.get("/open")(nothing)
    app.get("/open/closed")(nothing)

    assert {"/open": None, "/open/closed": [{"JWT": []}]} == locks(app)


def own(claims: Annotated[Claims, Depends(get_claims)]) -> Claims:
    return claims


@pytest.mark.parametrize(
    ("dependency", "expected"),
    [
        pytest.param(Depends(get_claims), [{}, {"JWT": []}], id="claims"),
        pytest.param(Security(get_claims, scopes=["a"]), [{"JWT": ["a"]}], id="scopes"),
        pytest.param(Depends(current_user_id), [{"JWT": []}], id="user"),
        pytest.param(Depends(current_client_id), [{"JWT": []}], id="client"),
        pytest.param(Depends(get_token), [{"JWT": []}], id="token"),
        pytest.param(Security(optional(get_claims), scopes=["a"]), [{"JWT": ["a"]}], id="optional"),
        pytest.param(Security(optional(own), scopes=["a"]), [{"JWT": ["a"]}], id="optional-own"),
    ],
)
def test_what_needs_a_token_without_validation(dependency: Any, expected: Any) -> None:
    """Scopes, and a user, which no anonymous request has."""
    app = protected(JWTSettings(secret_key=SECRET, validate=False))
    app.get("/r", dependencies=[dependency])(nothing)

    assert {"/r": expected} == locks(app)
    assert ("401" in operations(app)["/r"]["responses"]) == ({} not in expected)


def test_a_ready_made_route_has_no_callbacks() -> None:
    """Its own attribute is `None`, which a decorator makes a list of."""
    app = FastAPI()
    app.router.routes.append(APIRoute("/r", nothing))

    assert {"/r": [{"JWT": []}]} == locks(protect(app, SETTINGS))


def test_a_route_that_is_not_in_the_document_says_nothing_of_one_that_is() -> None:
    """Also where both have one path."""
    app = protected()
    app.get("/r")(nothing)
    app.get("/r", include_in_schema=False)(public(lambda: None))

    assert {"/r": [{"JWT": []}]} == locks(app)


def test_refusals_are_documented_where_there_is_a_lock() -> None:
    """400, 401 and 403 with their challenge and body; what a route says of them itself stays."""
    router = protected_router(settings=SETTINGS)
    router.get("/closed", responses={403: {"description": "not you"}})(nothing)
    router.get("/open")(public(lambda: None))
    app = including(router)

    found = operations(started(app))

    assert ["200", "400", "401", "403"] == sorted(found["/closed"]["responses"])
    assert "WWW-Authenticate" in found["/closed"]["responses"]["401"]["headers"]
    assert "not you" == found["/closed"]["responses"]["403"]["description"]
    assert ["200"] == list(found["/open"]["responses"])


def test_dependencies_bring_their_lock_where_no_guard_asks() -> None:
    """A route that asks for the user needs a token, wherever it stands."""
    app = open_to_all()

    @app.get("/function")
    async def function(user_id: Annotated[str, Depends(current_user_id)]) -> None: ...

    @app.get("/class")
    async def class_(user: Annotated[CurrentUser, Depends()]) -> None: ...

    @app.get("/state")
    async def state(state: Annotated[SessionState, Depends(SessionState)]) -> None: ...

    @app.get("/optional")
    async def maybe(user: Annotated[Any, Depends(optional(current_user_id))]) -> None: ...

    assert {
        "/function": [{"JWT": []}],
        "/class": [{"JWT": []}],
        "/state": [{"JWT": []}],
        "/optional": [{}, {"JWT": []}],
    } == locks(app)
    for path in ("/class", "/optional"):
        assert ["200", "400", "401", "403"] == sorted(operations(app)[path]["responses"])


def test_a_public_route_that_asks_for_the_user_has_a_lock() -> None:
    """The guard lets everyone pass, the dependency does not, and the lock says so."""
    router = protected_router(settings=SETTINGS)

    @router.get("/me")
    @public
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> None: ...

    app = including(router)

    assert {"/me": [{"JWT": []}]} == locks(started(app))


def test_attack_alternatives_do_not_multiply_without_a_bound() -> None:
    """Six requirements with six scopes each would make 46,656."""
    several = [require_any_scope(*(f"{one}{other}" for other in "abcdef")) for one in "abcdef"]
    router = protected_router(settings=SETTINGS)
    router.get("/many", dependencies=list(map(Depends, several)))(nothing)

    ((scopes,),) = (it.values() for it in locks(started(including(router)))["/many"])

    assert len(scopes) == 36


@pytest.mark.parametrize(("scopes", "alternatives"), [(16, 16), (17, 1)])
def test_alternatives_are_listed_up_to_a_bound(scopes: int, alternatives: int) -> None:
    """Beyond it all scopes are in one requirement, which asks for more and is readable."""
    router = protected_router(settings=SETTINGS)
    asked = require_any_scope(*(f"s{at}" for at in range(scopes)))
    router.get("/many", dependencies=[Depends(asked)])(nothing)

    assert alternatives == len(locks(started(including(router)))["/many"])


def test_scopes_are_shown_however_they_are_asked_for() -> None:
    """`Security`, `require_scopes`, `require_any_scope`, and the caller's own above them."""

    async def own(claims: Annotated[Claims, Security(get_claims, scopes=["c"])]) -> None: ...

    router = protected_router(settings=SETTINGS)
    router.get("/required", dependencies=[Depends(require_scopes("a", "b"))])(nothing)
    router.get("/any", dependencies=[Depends(require_any_scope("a", "b"))])(nothing)
    several = [require_any_scope("a", "b"), require_scopes("c"), require_any_scope("a", "d")]
    router.get("/several", dependencies=list(map(Depends, several)))(nothing)
    router.get("/security", dependencies=[Security(current_user_id, scopes=["a"])])(nothing)
    router.get("/own", dependencies=[Security(own, scopes=["d"])])(nothing)
    app = including(router)

    assert {
        "/required": [{"JWT": ["a", "b"]}],
        "/any": [{"JWT": ["a"]}, {"JWT": ["b"]}],
        "/several": [
            {"JWT": ["c", "a"]},
            {"JWT": ["c", "a", "d"]},
            {"JWT": ["c", "b", "a"]},
            {"JWT": ["c", "b", "d"]},
        ],
        "/security": [{"JWT": ["a"]}],
        "/own": [{"JWT": ["d", "c"]}],
    } == locks(started(app))


def api_key(where: str, name: str, **members: str) -> dict[str, str]:
    return {"type": "apiKey", "in": where, "name": name, **members}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, {"JWT": BEARER}, id="header"),
        pytest.param(
            {"token_source": "cookie", "cookie_name": "jar"},
            {"JWT-cookie-jar": api_key("cookie", "jar")},
            id="cookie",
        ),
        pytest.param(
            {"token_source": "both"},
            {"JWT": BEARER, "JWT-cookie-access_token": api_key("cookie", "access_token")},
            id="both",
        ),
        pytest.param(
            {"token_header_key": "X-Token"},
            {
                "JWT-header-X-Token": api_key(
                    "header", "X-Token", description="`Bearer <token>`, the word included"
                )
            },
            id="other-header",
        ),
        pytest.param(
            {"token_header_key": "Cf-Access-Jwt-Assertion", "token_header_scheme": ""},
            {
                "JWT-header-Cf-Access-Jwt-Assertion": api_key(
                    "header", "Cf-Access-Jwt-Assertion", description="The token, without `Bearer`"
                )
            },
            id="bare-header",
        ),
        pytest.param(
            {"token_getter": lambda _: None},
            {
                "JWT-custom": {
                    **BEARER,
                    "description": "This service looks for the token in a place of its own",
                }
            },
            id="getter",
        ),
    ],
)
@pytest.mark.parametrize("where", ["guard", "override"])
def test_the_scheme_is_what_the_settings_read(
    options: dict[str, Any], expected: dict[str, Any], where: str
) -> None:
    """Authorize asks for what the service will look at."""
    settings = JWTSettings(secret_key=SECRET, **options)
    app = FastAPI()
    router = protected_router(settings=settings if where == "guard" else None)
    router.get("/r")(nothing)
    app.include_router(router)
    if where == "override":
        app.dependency_overrides[get_settings] = lambda: settings

    assert expected == schemes(started(app))
    assert {"/r": [{name: []} for name in expected]} == locks(app)


class KeysOfOnesOwn:
    async def fetch_keys(self) -> dict[str, Any]:
        raise NotImplementedError


AT_LOGIN: dict[str, Any] = {"issuer": "https://login.example.com", "audience": "api"}
DISCOVERED: dict[str, Any] = {"audience": "api", "discovery": True}
PLACES = {
    "JWT-openid-login.example.com": "https://login.example.com/.well-known/openid-configuration",
    "JWT-openid-id.example.com-realms-staff": (
        "https://id.example.com/realms/staff/.well-known/openid-configuration"
    ),
    "JWT-openid-b2c.example.com": "https://b2c.example.com/sign-in/document",
}
LOGIN, STAFF, B2C = PLACES


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"issuer": "https://login.example.com/", **DISCOVERED}, [LOGIN], id="slash"),
        pytest.param(
            {"issuer": "https://id.example.com/realms/staff", **DISCOVERED}, [STAFF], id="path"
        ),
        pytest.param(
            {"issuer": "https://b2c.example.com", "audience": "api", "discovery_url": PLACES[B2C]},
            [B2C],
            id="named",
        ),
        pytest.param(
            {
                **AT_LOGIN,
                "discovery_url": "http://keycloak:8080/document",
                "allow_http_hosts": ["keycloak"],
            },
            [LOGIN],
            id="in-the-own-network",
        ),
        pytest.param(
            {**AT_LOGIN, "discovery_url": "https://login.example.com/document?key=s3cret"},
            [LOGIN],
            id="with-an-api-key",
        ),
        pytest.param({**AT_LOGIN, "key_source": KeysOfOnesOwn()}, [], id="keys-of-ones-own"),
        pytest.param(
            {
                "issuers": {
                    "everybody": {**AT_LOGIN, "discovery": True},
                    "staff": {"issuer": "https://id.example.com/realms/staff", **DISCOVERED},
                    "machines": {"issuer": "ours", "audience": "api", "secret_key": SECRET},
                }
            },
            [LOGIN, STAFF],
            id="several",
        ),
        pytest.param(
            {**AT_LOGIN, "jwks_url": "https://login.example.com/keys"}, [], id="keys-named-outright"
        ),
    ],
)
def test_where_people_log_in_is_named_where_it_is_discovered(
    options: dict[str, Any], expected: list[str]
) -> None:
    """Beside plain bearer, with the scopes, and without a word to the issuer."""
    app = protected(JWTSettings(**options))
    app.get("/r", dependencies=[Depends(require_scopes("a"))])(nothing)

    places = {
        name: {"type": "openIdConnect", "openIdConnectUrl": PLACES[name]} for name in expected
    }
    assert {"JWT": BEARER, **places} == schemes(app)
    assert {"/r": [{"JWT": ["a"]}, *({name: ["a"]} for name in expected)]} == locks(app)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"token_source": "cookie"}, id="cookie"),
        pytest.param({"token_header_key": "X-Token"}, id="other-header"),
        pytest.param({"dpop": "required", "public_origin": "https://api.example.com"}, id="dpop"),
    ],
)
def test_no_log_in_is_named_whose_token_would_not_do(options: dict[str, Any]) -> None:
    """Swagger UI sends what it gets as `Authorization: Bearer`."""
    settings = JWTSettings(issuer="https://login.example.com", **DISCOVERED, **options)
    app = protected(settings)
    app.get("/r")(nothing)

    assert LOGIN not in schemes(app)


def test_a_schema_needs_no_configuration() -> None:
    """It can be printed in a build that has no secrets."""
    app = protected(None)
    app.get("/closed")(nothing)

    assert {"/closed": [{"JWT": []}]} == locks(app)


def test_other_schemes_of_the_application_stay() -> None:
    """Only what this package knows of is touched."""
    app = FastAPI()
    basic = HTTPBasic()
    app.get("/basic", dependencies=[Depends(basic)])(nothing)
    router = protected_router(settings=SETTINGS, prefix="/r", exclude=["/r/open"])
    router.get("/both", dependencies=[Depends(basic)])(nothing)
    router.get("/open", dependencies=[Depends(basic)])(nothing)
    app.include_router(router)

    assert {
        "/basic": [{"HTTPBasic": []}],
        "/r/both": [{"HTTPBasic": []}, {"JWT": []}],
        "/r/open": [{"HTTPBasic": []}],
    } == locks(started(app))
    assert {"HTTPBasic", "JWT"} == set(schemes(app))


def test_the_schema_is_made_once_and_again_for_new_routes() -> None:
    """As FastAPI does it: up to 0.136 it keeps the document until it is taken away."""
    app = protected()
    app.get("/a")(nothing)
    first = app.openapi()

    assert first is app.openapi()

    app.get("/b")(nothing)
    if not LIVE:
        assert first is app.openapi()
        app.openapi_schema = None

    assert {"/a": [{"JWT": []}], "/b": [{"JWT": []}]} == locks(app)


def test_routes_outside_the_schema_stay_outside() -> None:
    """Hidden routes and plain ones are guarded, not described."""
    router = APIRouter()
    router.get("/hidden", include_in_schema=False)(nothing)
    router.websocket("/ws")(nothing)
    app = protected()
    app.include_router(router)

    assert {} == locks(app)


def test_each_router_shows_its_own_scheme() -> None:
    """Two configurations in one application are two schemes."""
    app = FastAPI()
    both: dict[str, Any] = {"/a": {}, "/b": {"token_source": "cookie"}}
    for prefix, options in both.items():
        router = protected_router(settings=JWTSettings(secret_key=SECRET, **options), prefix=prefix)
        router.get("/r")(nothing)
        app.include_router(router)

    assert {"/a/r": [{"JWT": []}], "/b/r": [{"JWT-cookie-access_token": []}]} == locks(started(app))
