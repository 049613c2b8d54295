"""A document comes out right whichever code made it, whatever else is in it, and however often."""

import copy
import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, HTTPBasic, OAuth2PasswordBearer
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_deps import (
    AnyRevocation,
    CurrentUser,
    JWTSettings,
    MemoryRevocations,
    SessionState,
    current_user_id,
    get_claims,
    get_settings,
    get_token,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
    require_acr,
    require_scopes,
)
from jwt_deps.audit import audit
from jwt_deps.web.openapi import describe
from tests.minting import SECRET
from tests.web.documents import (
    BEARER,
    dangling,
    locks,
    named,
    nothing,
    open_to_all,
    operations,
    protected,
    schemes,
    served,
    started,
)
from tests.web.serving import OTHER, SETTINGS, including

COOKIE = JWTSettings(secret_key=SECRET, token_source="cookie")
LAX = JWTSettings(secret_key=SECRET, validate=False)
CERTIFICATE = {"client_certificate": "client-cert", "trusted_proxies": ["10.0.0.0/8"]}
GATEWAY = {"type": "apiKey", "in": "header", "name": "X-Gateway"}

maybe = optional(current_user_id)


def recipe(app: FastAPI, edit: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """FastAPI's own for a document of one's own ("Extending OpenAPI"), and a request for it."""
    replace_openapi(app, edit)
    served(app)


def replace_openapi(
    app: FastAPI, edit: Callable[[dict[str, Any]], object] = lambda _: None
) -> None:
    def custom_openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        openapi_schema = get_openapi(
            title="x", version="1", routes=app.routes, webhooks=app.webhooks.routes
        )
        edit(openapi_schema)
        app.openapi_schema = openapi_schema
        return app.openapi_schema

    app.openapi = custom_openapi  # type: ignore[method-assign]


def two_routes(settings: JWTSettings = SETTINGS) -> FastAPI:
    app = protected(settings)
    app.get("/closed")(lambda: None)
    app.get("/open")(public(lambda: None))
    return app


class TestCustomDocuments:
    def test_the_recipe_of_fastapi(self) -> None:
        """Locks and refusals are those of the application's own document."""
        app = two_routes()
        expected = operations(app)
        app.openapi_schema = None
        recipe(app)

        assert expected == operations(app)
        assert {"/closed": [{"JWT": []}], "/open": None} == locks(app)
        assert {"JWT": BEARER} == schemes(app)

    @pytest.mark.parametrize("settings", [SETTINGS, COOKIE, LAX], ids=["header", "cookie", "lax"])
    def test_correcting_it_again_changes_nothing(self, settings: JWTSettings) -> None:
        """Not even the order of its members."""
        app = two_routes(settings)
        app.get("/maybe")(public(with_optional()))
        document = app.openapi()
        text = json.dumps(document)

        describe(app, document)

        assert text == json.dumps(document)

    def test_what_the_application_adds_stays(self) -> None:
        """Servers, components, members of an operation, and its own words for the scheme."""
        app = two_routes()
        added = {"type": "oauth2", "flows": {}}

        def edit(document: dict[str, Any]) -> None:
            document["servers"] = [{"url": "/v1"}]
            document["components"]["securitySchemes"]["JWT"]["description"] = "ask the help desk"
            document["components"]["securitySchemes"]["theirs"] = added
            document["paths"]["/closed"]["get"]["x-rate"] = 5
            document["paths"]["/by-hand"] = {"get": {"security": [{"theirs": []}]}}

        recipe(app, edit)

        document = app.openapi()
        assert [{"url": "/v1"}] == document["servers"]
        assert {**BEARER, "description": "ask the help desk"} == schemes(app)["JWT"]
        assert added == schemes(app)["theirs"]
        assert 5 == document["paths"]["/closed"]["get"]["x-rate"]
        assert [{"theirs": []}] == document["paths"]["/by-hand"]["get"]["security"]

    def test_a_lock_over_the_whole_document(self) -> None:
        """It is no lock of ours on a route that needs no token; other people's stays there."""
        app = two_routes()
        app.get("/stated")(public(lambda: None))

        def edit(document: dict[str, Any]) -> None:
            document["paths"]["/stated"]["get"]["security"] = []
            document["security"] = [{"JWT": []}, {"gateway": []}]
            document["components"]["securitySchemes"]["gateway"] = GATEWAY

        recipe(app, edit)

        assert {"/closed": [{"JWT": []}], "/open": [{"gateway": []}], "/stated": []} == locks(app)
        assert [{"JWT": []}, {"gateway": []}] == app.openapi()["security"]
        assert locks(app) == locks(app)

    @pytest.mark.parametrize("place", ["paths", "webhooks", "pathItems", "callbacks", "nested"])
    def test_a_definition_that_is_referred_to_by_hand_stays(self, place: str) -> None:
        """Wherever a document can have an operation."""
        app = two_routes(COOKIE)
        item = {"summary": "by hand", "post": {"security": [{"JWT": []}]}}
        places: dict[str, dict[str, Any]] = {
            "paths": {"paths": {"/hand": item}},
            "webhooks": {"webhooks": {"hand": item}},
            "pathItems": {"components": {"pathItems": {"hand": item}}},
            "callbacks": {"components": {"callbacks": {"hand": {"/x": item}}}},
            "nested": {"paths": {"/hand": {"get": {"callbacks": {"hand": {"/x": item}}}}}},
        }

        def edit(document: dict[str, Any]) -> None:
            for member, added in places[place].items():
                document.setdefault(member, {}).update(added)

        recipe(app, edit)

        assert "JWT" in schemes(app)
        assert set() == dangling(app.openapi())

    @pytest.mark.parametrize(
        ("place", "added"),
        [
            pytest.param("paths", {"x-a": "b", "x-c": {"y": []}}, id="paths"),
            pytest.param("webhooks", {"x-a": ["b"]}, id="webhooks"),
            pytest.param("callbacks", {"a": {"$ref": "#/b"}, "x-a": "b"}, id="callbacks"),
            pytest.param("pathItems", {"a": {"$ref": "#/b"}, "x-a": None}, id="path-items"),
        ],
    )
    def test_extensions_and_references_stay(self, place: str, added: dict[str, Any]) -> None:
        """OpenAPI 3.1 §4.9 allows them beside the items."""
        app = two_routes(COOKIE)
        called = {"callbacks": {"a": {"$ref": "#/b"}}}
        app.post("/orders", openapi_extra=called)(nothing)

        def edit(document: dict[str, Any]) -> None:
            parent = document if place in {"paths", "webhooks"} else document["components"]
            parent.setdefault(place, {}).update(added)

        recipe(app, edit)
        document = app.openapi()
        parent = document if place in {"paths", "webhooks"} else document["components"]

        assert added.items() <= parent[place].items()
        assert called.items() <= document["paths"]["/orders"]["post"].items()
        assert "JWT" not in schemes(app)

    def test_a_token_and_another_credential_together(self) -> None:
        """What an application writes by hand is more exact than FastAPI's alternatives."""
        app = two_routes(COOKIE)
        both: list[Any] = [{"JWT": [], "gateway": []}]

        def edit(document: dict[str, Any]) -> None:
            for path in ("/closed", "/open"):
                document["paths"][path]["get"]["security"] = copy.deepcopy(both)
            document["components"]["securitySchemes"]["gateway"] = GATEWAY

        recipe(app, edit)

        assert {
            "/closed": [{"gateway": [], "JWT-cookie-access_token": []}],
            "/open": [{"gateway": []}],
        } == locks(app)
        assert locks(app) == locks(app)

    def test_models_stay_where_no_scheme_is_left(self) -> None:
        """They have the other half of the components."""
        app = protected(exclude=["/open/{number}"])
        app.get("/open/{number}")(with_number)

        components = app.openapi()["components"]
        assert {"HTTPValidationError", "ValidationError"} == set(components["schemas"])
        assert "securitySchemes" not in components

    def test_an_operation_says_of_itself_that_it_needs_nothing(self) -> None:
        app = protected()
        app.get("/r", openapi_extra={"security": [{}]})(nothing)

        assert {"/r": [{"JWT": []}]} == locks(app)

    def test_a_document_that_is_not_all(self) -> None:
        """Without responses, without operations, without routes at all."""
        app = two_routes()
        bare: dict[str, Any] = {"paths": {"/closed": {"get": {}}}}
        empty: dict[str, Any] = {}

        describe(app, bare)
        describe(app, empty)

        assert [{"JWT": []}] == bare["paths"]["/closed"]["get"]["security"]
        assert {"400", "401", "403"} == set(bare["paths"]["/closed"]["get"]["responses"])
        assert {"JWT"} == set(bare["components"]["securitySchemes"])
        assert set() == dangling(empty)

    def test_an_application_without_tokens_is_left_alone(self) -> None:
        """Also what looks like ours in it."""
        app = FastAPI()
        app.get("/r", openapi_extra={"security": [{"JWT": []}]})(nothing)
        document = get_openapi(title="x", version="1", routes=app.routes)
        document["components"] = {"securitySchemes": {"JWT": dict(BEARER), "other": {}}}
        document["security"] = [{"other": []}]
        before = copy.deepcopy(document)

        describe(app, document)

        assert before == document

    def test_two_routes_with_one_path(self) -> None:
        """FastAPI describes the one that was added last."""
        app = protected()
        app.get("/r")(nothing)
        app.get("/r")(public(lambda: None))

        assert {"/r": None} == locks(app)
        assert ["200"] == list(operations(app)["/r"]["responses"])


class TestWhoMeetsAnApplication:
    """A document is corrected on an application that a guard has met, and on no other."""

    @pytest.mark.parametrize("asked", [False, True], ids=["not-asked", "asked"])
    def test_dependencies_alone_leave_the_document_of_fastapi(self, *, asked: bool) -> None:
        """It is what FastAPI makes of them: a lock named JWT, and not a word of refusals."""
        app = FastAPI()
        made = app.openapi
        app.get("/claims", dependencies=[Depends(get_claims)])(nothing)
        app.get("/scopes", dependencies=[Security(current_user_id, scopes=["a"])])(nothing)
        app.get("/maybe")(with_optional())
        app.get("/open")(public(lambda: None))
        app.dependency_overrides[get_settings] = lambda: SETTINGS
        if asked:
            with TestClient(app) as client:
                assert 401 == client.get("/claims").status_code
                assert 200 == client.get("/openapi.json").status_code

        native = get_openapi(title=app.title, version=app.version, routes=app.routes)
        assert made == app.openapi
        assert native == app.openapi()
        found = locks(app)
        assert [{"JWT": []}] == found["/claims"]
        assert [["JWT"]] == [list(one) for one in found["/scopes"]]  # with scopes from 0.123
        assert [None, None] == [found["/maybe"], found["/open"]]
        assert {"JWT": BEARER} == schemes(app)
        assert "401" not in operations(app)["/claims"]["responses"]

    def test_another_application_stays_as_it_is(self) -> None:
        """Nothing is changed in the class, only on the instance."""
        before = FastAPI.openapi
        two_routes()
        other = FastAPI()

        assert before is FastAPI.openapi
        assert "openapi" not in vars(other)

    @pytest.mark.parametrize("how", ["start", "request", "refused-request"])
    def test_a_router_meets_it(self, how: str) -> None:
        """When the application starts, or with the first request to what is guarded."""
        router = protected_router(settings=SETTINGS)
        router.get("/closed")(nothing)
        router.get("/open")(public(lambda: None))
        app = including(router)
        native: dict[str, Any] = {"/closed": [{"JWT": []}], "/open": [{"JWT": []}]}

        assert native == locks(app)

        app.openapi_schema = None
        if how == "start":
            started(app)
        else:
            TestClient(app).get("/open" if how == "request" else "/closed")

        assert {"/closed": [{"JWT": []}], "/open": None} == locks(app)
        assert "401" in operations(app)["/closed"]["responses"]

    def test_a_document_that_was_made_before_is_corrected(self) -> None:
        """FastAPI keeps it, and the same object comes right."""
        router = protected_router(settings=SETTINGS)
        router.get("/open")(public(lambda: None))
        app = including(router)
        made = app.openapi()

        assert {"/open": [{"JWT": []}]} == locks(app)
        assert made is started(app).openapi()
        assert {"/open": None} == locks(app)

    def test_a_guard_as_a_dependency_meets_it(self) -> None:
        """With the first request that it is asked for."""
        app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
        app.get("/open")(public(lambda: None))

        assert {"/open": [{"JWT": []}]} == locks(app)
        assert 200 == TestClient(app).get("/open").status_code
        assert {"/open": None} == locks(app)


def marked(document: dict[str, Any]) -> None:
    document["info"]["x-mine"] = True


class TestReplacedOpenAPI:
    """Applications replace `app.openapi`, as FastAPI documents it, before `protect` or after."""

    def routes(self, app: FastAPI) -> FastAPI:
        app.get("/closed")(nothing)
        app.get("/open")(public(lambda: None))
        return app

    def true(self, document: dict[str, Any]) -> bool:
        closed, open_ = (document["paths"][path]["get"] for path in ("/closed", "/open"))
        assert [{"JWT": []}] == closed["security"]
        assert {"400", "401", "403"} <= set(closed["responses"])
        assert "security" not in open_
        assert ["200"] == list(open_["responses"])
        assert {"JWT": BEARER} == document["components"]["securitySchemes"]
        return True

    @pytest.mark.parametrize("order", ["before", "after", "after-the-routes"])
    def test_the_document_that_is_served(self, order: str) -> None:
        """Its own, and true: FastAPI's recipe keeps it in `app.openapi_schema`."""
        app = FastAPI()
        if order == "before":
            replace_openapi(app, marked)
        protect(app, SETTINGS)
        if order == "after":
            replace_openapi(app, marked)
        self.routes(app)
        if order == "after-the-routes":
            replace_openapi(app, marked)

        first, second = (TestClient(app).get("/openapi.json") for _ in range(2))

        assert self.true(first.json())
        assert first.json()["info"]["x-mine"]
        assert first.text == second.text
        assert app.openapi() is app.openapi_schema

    def test_one_replaced_while_serving(self) -> None:
        """And again: each request looks which one is there now."""
        app = self.routes(protected())
        client = TestClient(app)
        assert self.true(client.get("/openapi.json").json())
        for _ in range(2):
            app.openapi_schema = None
            replace_openapi(app, marked)

            document = client.get("/openapi.json").json()

            assert self.true(document)
            assert document["info"]["x-mine"]

    def test_one_that_calls_what_it_replaces(self) -> None:
        """Which is corrected already: nothing is there twice."""
        app = self.routes(protected())
        replaced = app.openapi

        def custom() -> dict[str, Any]:
            return {**copy.deepcopy(replaced()), "servers": [{"url": "/v1"}]}

        app.openapi = custom  # type: ignore[method-assign]
        first, second = (TestClient(app).get("/openapi.json") for _ in range(2))

        assert self.true(first.json())
        assert [{"url": "/v1"}] == first.json()["servers"]
        assert first.text == second.text

    def test_one_of_a_subclass(self) -> None:
        """A method is as good as a function on the instance."""

        class Own(FastAPI):
            def openapi(self) -> dict[str, Any]:
                document = super().openapi()
                marked(document)
                return document

        app = self.routes(protect(Own(), SETTINGS))

        assert self.true(app.openapi())
        assert app.openapi()["info"]["x-mine"]
        assert app.openapi() is app.openapi()


async def with_number(number: int) -> None: ...


def with_optional() -> Any:
    async def endpoint(user_id: Annotated[str | None, Depends(maybe)]) -> None: ...

    return endpoint


class TestOptional:
    def test_what_an_application_says_of_requests_without_a_token(self) -> None:
        """An empty requirement is met by every request, and stays."""
        app = open_to_all()
        said: list[Any] = [{}, {"gateway": []}]
        app.get("/r", openapi_extra={"security": said})(with_optional())

        assert {"/r": [*said, {"JWT": []}]} == locks(app)

    def test_who_asks_decides(self) -> None:
        """A guard, a dependency that needs a token, or scopes asked of the optional one."""
        app = protected(exclude=["/open/*"])
        app.get("/open/maybe", dependencies=[Depends(maybe)])(nothing)
        app.get("/open/both", dependencies=[Depends(maybe), Depends(get_claims)])(nothing)
        app.get("/open/scoped", dependencies=[Security(maybe, scopes=["a"])])(nothing)
        app.get("/closed", dependencies=[Depends(maybe)])(nothing)

        assert {
            "/open/maybe": [{}, {"JWT": []}],
            "/open/both": [{"JWT": []}],
            "/open/scoped": [{"JWT": ["a"]}],
            "/closed": [{"JWT": []}],
        } == locks(app)

    def test_below_a_credential_of_the_whole_document(self) -> None:
        """What holds everywhere holds here too, with a token or without one."""
        app = open_to_all(SETTINGS)
        app.get("/r", dependencies=[Depends(maybe)])(nothing)
        recipe(app, lambda document: document.update(security=[{"gateway": []}]))

        assert {"/r": [{"gateway": []}, {"JWT": []}]} == locks(app)
        assert locks(app) == locks(app)

    def test_with_another_credential_together(self) -> None:
        """Written by hand: the token may be left out, the other one may not."""
        app = open_to_all()
        extra: dict[str, Any] = {"security": [{"JWT": [], "gateway": []}]}
        app.get("/r", dependencies=[Depends(maybe)], openapi_extra=extra)(nothing)

        expected: list[Any] = [{"gateway": []}, {"gateway": [], "JWT": []}]
        assert {"/r": expected} == locks(app)
        describe(app, app.openapi())
        assert {"/r": expected} == locks(app)


class TestUnderValidateFalse:
    @pytest.mark.parametrize(
        ("dependency", "lock"),
        [
            pytest.param(get_claims, [{}, {"JWT": []}], id="claims"),
            pytest.param(SessionState, [{}, {"JWT": []}], id="state"),
            pytest.param(maybe, [{}, {"JWT": []}], id="optional"),
            pytest.param(CurrentUser, [{"JWT": []}], id="user"),
            pytest.param(current_user_id, [{"JWT": []}], id="user-id"),
            pytest.param(get_token, [{"JWT": []}], id="token"),
            pytest.param(require_acr("a"), [{"JWT": []}], id="acr"),
            pytest.param(require_scopes("a"), [{"JWT": ["a"]}], id="scopes"),
        ],
    )
    def test_a_lock_where_a_request_without_a_token_is_refused(
        self, dependency: Any, lock: list[dict[str, list[str]]]
    ) -> None:
        """Other routes accept every request, and describe no refusal."""
        app = protected(LAX)
        app.get("/r", dependencies=[Depends(dependency)])(nothing)

        assert {"/r": lock} == locks(app)
        assert (lock[0] != {}) == ("401" in operations(app)["/r"]["responses"])


class Unreachable:
    """A source of revocations that is not in this process."""

    def is_revoked(self, _: Any) -> bool:
        return False


class TestRefusals:
    @pytest.mark.parametrize(
        ("described", "missing"),
        [
            pytest.param({400: {"description": "mine"}}, set(), id="one"),
            pytest.param({"4XX": {"description": "mine"}}, {"400", "401", "403"}, id="range"),
            pytest.param({"5XX": {"description": "mine"}}, {"503"}, id="other-range"),
            pytest.param(
                {"default": {"description": "mine"}}, {"400", "401", "403", "503"}, id="default"
            ),
        ],
    )
    def test_what_the_application_describes_stays(
        self, described: dict[int | str, dict[str, Any]], missing: set[str]
    ) -> None:
        """By its status, by a range, or by `default`, which a status would override."""
        settings = JWTSettings(secret_key=SECRET, revocation=Unreachable())
        app = protected(settings)
        app.get("/r", responses=described)(nothing)

        responses = operations(app)["/r"]["responses"]
        (status,) = described
        assert "mine" == responses[str(status)]["description"]
        assert missing == {"400", "401", "403", "503"} - set(responses)

    def test_a_status_that_a_recipe_wrote_as_a_number(self) -> None:
        """JSON would have it twice."""
        app = two_routes()

        def edit(document: dict[str, Any]) -> None:
            document["paths"]["/closed"]["get"]["responses"][401] = {"description": "mine"}

        recipe(app, edit)

        assert "401" not in operations(app)["/closed"]["responses"]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            pytest.param({}, set(), id="nothing"),
            pytest.param({"revocation": MemoryRevocations()}, set(), id="revocations-in-memory"),
            pytest.param({"revocation": Unreachable()}, {"503"}, id="revocations-elsewhere"),
            pytest.param(
                {"revocation": AnyRevocation(MemoryRevocations(), Unreachable())},
                {"503"},
                id="some-revocations-elsewhere",
            ),
            pytest.param({"dpop": "allowed"}, {"429", "503"}, id="proofs-in-memory"),
            pytest.param(
                {"dpop": "allowed", "dpop_replay_store": "redis://127.0.0.1"},
                {"503"},
                id="proofs-in-redis",
            ),
            pytest.param(CERTIFICATE, set(), id="certificate"),
            pytest.param({"secret_key": None, "issuers": lambda _: None}, {"503"}, id="tenants"),
            pytest.param(
                {
                    "secret_key": None,
                    "issuer": "https://a.example",
                    "audience": "api",
                    "jwks_url": "https://a.example/keys",
                },
                {"503"},
                id="fetched-keys",
            ),
        ],
    )
    def test_where_a_token_may_be_impossible_to_check(
        self, options: dict[str, Any], expected: set[str]
    ) -> None:
        """503 where what is asked can be out of reach or full, 429 where proofs are counted."""
        values = {"secret_key": SECRET, "public_origin": "https://a.example", **options}
        found = operations(two_routes(JWTSettings(**values)))

        assert expected == {"429", "503"} & found["/closed"]["responses"].keys()
        assert {"429", "503"}.isdisjoint(found["/open"]["responses"])

    def test_an_application_that_edits_them(self) -> None:
        """Edits those of one operation; nothing that it does reaches another application's."""
        first, second = two_routes(), two_routes()
        first.get("/other")(nothing)
        edited = operations(first)["/closed"]["responses"]["401"]
        edited["description"] = "edited"

        assert "edited" != operations(first)["/other"]["responses"]["401"]["description"]
        edited["headers"].clear()
        assert operations(second)["/closed"]["responses"]["401"]["headers"]


class TestCallbacksAndWebhooks:
    """They are requests that this application sends, so no token for it is in them."""

    @pytest.mark.parametrize("where", ["route", "router", "application"])
    def test_callbacks(self, where: str) -> None:
        """No lock of ours, however it got there; other people's stays."""
        basic = [Depends(HTTPBasic())]
        inner = APIRouter(dependencies=[Depends(get_claims)])
        inner.post("/inner", name="inner", dependencies=basic)(lambda: None)
        sent = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
        sent.post("{$request.body.url}/{number:int}", name="sent", dependencies=basic)(nothing)
        sent.post("/bare", name="bare", callbacks=inner.routes)(lambda: None)
        sent.add_route("/plain", nothing)  # type: ignore[arg-type]  # FastAPI describes its own alone
        at: dict[str, Any] = {where: {"callbacks": sent.routes}}
        app = protected(COOKIE, **at.get("application", {}))
        router = APIRouter(**at.get("router", {}))
        router.get("/r", **at.get("route", {}))(nothing)
        app.include_router(router)

        callbacks = operations(app)["/r"]["callbacks"]
        assert {"sent", "bare"} == set(callbacks)
        ((item,), bare) = callbacks["sent"].values(), callbacks["bare"]["/bare"]["post"]
        assert [{"HTTPBasic": []}] == item["post"]["security"]
        assert {"401", "403"}.isdisjoint(item["post"]["responses"])
        assert "security" not in bare
        assert [{"HTTPBasic": []}] == bare["callbacks"]["inner"]["/inner"]["post"]["security"]
        assert {"HTTPBasic", "JWT-cookie-access_token"} == set(schemes(app))
        assert set() == dangling(app.openapi())

    def test_callbacks_alone(self) -> None:
        """Nothing is left to define, unless the whole document refers to it."""
        sent = APIRouter()
        sent.post("/sent", dependencies=[Depends(get_claims)])(nothing)
        alone, referred_to = (open_to_all(SETTINGS, callbacks=sent.routes) for _ in range(2))
        for app in (alone, referred_to):
            app.get("/r")(nothing)
        recipe(referred_to, lambda document: document.update(security=[{"JWT": []}]))

        assert "components" not in alone.openapi()
        assert {"JWT": BEARER} == schemes(referred_to)

    def test_callbacks_written_by_hand(self) -> None:
        """Whatever they say is the application's own statement, and does not dangle."""
        called: dict[str, Any] = {
            "on": {"/x": {"post": {"security": [{"JWT": []}], "responses": {}}}}
        }
        app = protected(COOKIE)
        app.get("/r", openapi_extra={"callbacks": called})(nothing)

        assert called == operations(app)["/r"]["callbacks"]
        assert set() == dangling(app.openapi())

    def test_webhooks(self) -> None:
        """Also in a router of webhooks that has the guard itself, and in one that it includes."""
        basic = Depends(HTTPBasic())
        inner = APIRouter(dependencies=[Depends(get_claims)])
        inner.post("inner", dependencies=[basic])(nothing)
        outer = APIRouter(dependencies=[Depends(jwt_guard(SETTINGS))])
        outer.post("outer")(nothing)
        outer.include_router(inner)
        app = open_to_all(webhooks=outer)
        app.get("/r")(nothing)

        document = app.openapi()
        assert "security" not in document["webhooks"]["outer"]["post"]
        assert [{"HTTPBasic": []}] == document["webhooks"]["inner"]["post"]["security"]
        assert {"HTTPBasic"} == set(schemes(app))


THEIRS = {"type": "apiKey", "in": "header", "name": "X-Theirs"}


def theirs(name: str = "JWT") -> Any:
    return APIKeyHeader(name="X-Theirs", scheme_name=name)


class TestForeignSchemes:
    @pytest.mark.parametrize("first", ["ours", "theirs"])
    def test_one_of_our_name(self, first: str) -> None:
        """Both are defined, whichever FastAPI met last, and each operation names its own."""
        key = theirs()
        app = open_to_all()
        both = [Depends(get_claims), Depends(key)]

        def ours() -> None:
            app.get("/ours", dependencies=both[:1])(nothing)

        def other() -> None:
            app.get("/theirs", dependencies=both[1:])(nothing)
            app.get("/both", dependencies=both)(nothing)
            app.get("/other-way", dependencies=both[::-1])(nothing)

        for add in (ours, other) if first == "ours" else (other, ours):
            add()

        assert {"JWT": THEIRS, "JWT-bearer": BEARER} == schemes(app)
        assert {
            "/ours": [{"JWT-bearer": []}],
            "/theirs": [{"JWT": []}],
            "/both": [{"JWT": []}, {"JWT-bearer": []}],
            "/other-way": [{"JWT": []}, {"JWT-bearer": []}],
        } == locks(app)

    def test_scopes_go_to_whom_they_are_asked_of(self) -> None:
        """FastAPI puts those of both under the one name."""
        other = OAuth2PasswordBearer("token", scheme_name="JWT")
        app = open_to_all()
        asked = [Security(other, scopes=["b"]), Security(get_claims, scopes=["a"])]
        app.get("/r", dependencies=asked)(nothing)

        assert {"/r": [{"JWT": ["b"]}, {"JWT-bearer": ["a"]}]} == locks(app)
        assert "oauth2" == schemes(app)["JWT"]["type"]

    def test_what_is_added_to_the_corrected_document_stays(self) -> None:
        """The name is theirs in it, also on a route that asks for a token of ours."""
        app = open_to_all()
        app.get("/ours", dependencies=[Depends(get_claims)])(nothing)
        app.get("/theirs", dependencies=[Depends(theirs())])(nothing)
        document = app.openapi()
        document["paths"]["/ours"]["get"]["security"].append({"JWT": []})

        describe(app, document)

        assert {"/ours": [{"JWT": []}, {"JWT-bearer": []}], "/theirs": [{"JWT": []}]} == locks(app)

    def test_beside_a_third_one(self) -> None:
        """Each is an alternative of its own."""
        app = open_to_all()
        asked = (HTTPBasic(), theirs(), get_claims)
        app.get("/r", dependencies=[Depends(it) for it in asked])(nothing)

        expected: list[Any] = [{"HTTPBasic": []}, {"JWT": []}, {"JWT-bearer": []}]
        assert expected == sorted(locks(app)["/r"], key=str)

    def test_behind_one_that_the_application_adds(self) -> None:
        """Both stay, and in that order."""
        app = open_to_all(SETTINGS)
        app.get("/r", dependencies=[Depends(theirs()), Depends(get_claims)])(nothing)

        recipe(app, lambda it: it["paths"]["/r"]["get"]["security"].insert(0, {"gateway": []}))

        assert {"/r": [{"gateway": []}, {"JWT": []}, {"JWT-bearer": []}]} == locks(app)

    def test_what_is_written_by_hand_beside_it(self) -> None:
        """Where nothing of this package asks, or FastAPI does not show it, the name is theirs."""
        router = protected_router(settings=SETTINGS)
        router.get("/closed")(nothing)
        app = including(router)
        app.get("/theirs", dependencies=[Depends(theirs())])(nothing)
        app.get("/hand", openapi_extra={"security": [{"JWT": []}]})(nothing)
        app.get("/maybe", openapi_extra={"security": [{"JWT": []}]})(with_optional())

        assert {
            "/closed": [{"JWT-bearer": []}],
            "/theirs": [{"JWT": []}],
            "/hand": [{"JWT": []}],
            "/maybe": [{"JWT": []}, {"JWT-bearer": []}],
        } == locks(started(app))

    @pytest.mark.parametrize("name", ["JWT", "Key"])
    def test_what_the_application_says_of_it_stays(self, name: str) -> None:
        """Its own words, and that it does not say anything."""
        app = open_to_all(SETTINGS)
        app.get("/said", dependencies=[Depends(theirs(name))])(nothing)
        app.get("/unsaid", dependencies=[Depends(theirs("Other"))])(nothing)

        def edit(document: dict[str, Any]) -> None:
            defined = document["components"]["securitySchemes"]
            defined[name] = {**THEIRS, "description": "ask the help desk"}
            del defined["Other"], document["paths"]["/unsaid"]["get"]["security"]

        recipe(app, edit)

        assert {name: {**THEIRS, "description": "ask the help desk"}} == schemes(app)

    def test_one_that_the_application_says_is_like_ours(self) -> None:
        """It has a name of its own, and stays what the application says."""
        app = open_to_all(SETTINGS)
        app.get("/r", dependencies=[Depends(theirs("Key"))])(nothing)
        app.get("/ours", dependencies=[Depends(get_claims)])(nothing)

        recipe(app, lambda it: it["components"]["securitySchemes"].update(Key=BEARER))

        assert {"JWT": BEARER, "Key": BEARER} == schemes(app)

    def test_over_the_whole_document(self) -> None:
        """The name is theirs there."""
        app = protected(exclude=["/open"])
        app.get("/theirs", dependencies=[Depends(theirs())])(nothing)
        app.get("/open")(nothing)
        recipe(app, lambda document: document.update(security=[{"JWT": []}]))

        assert {"/theirs": [{"JWT": []}, {"JWT-bearer": []}], "/open": None} == locks(app)

    def test_an_optional_token_below_one_over_the_whole_document(self) -> None:
        """Describing it again does not take theirs for ours."""
        sent = APIRouter()
        sent.post("/sent", dependencies=[Depends(theirs())])(nothing)
        app = protected(LAX)
        app.get("/r", callbacks=sent.routes)(nothing)
        whole: list[Any] = [{"JWT": []}, {"JWT": [], "gateway": []}]
        recipe(app, lambda document: document.update(security=whole))

        assert {"/r": [*whole, {"JWT-bearer": []}]} == locks(app)
        assert {"/r": [*whole, {"JWT-bearer": []}]} == locks(app)

    @pytest.mark.parametrize("where", ["callback", "webhook"])
    def test_elsewhere_in_the_document(self, where: str) -> None:
        """A name is one name in all of it."""
        sent = APIRouter()
        sent.post("/sent", dependencies=[Depends(theirs())])(nothing)
        app = protected(webhooks=sent if where == "webhook" else None)
        app.get("/r", callbacks=sent.routes if where == "callback" else None)(nothing)

        assert {"JWT": THEIRS, "JWT-bearer": BEARER} == schemes(app)
        assert {"/r": [{"JWT-bearer": []}]} == locks(app)
        assert {"JWT", "JWT-bearer"} == set(named(app.openapi()))

    def test_our_second_choice_is_theirs_too(self) -> None:
        """The next one is free."""
        app = protected(JWTSettings(secret_key=SECRET, token_source="both", cookie_name="c"))
        keys = [theirs(name) for name in ("JWT", "JWT-bearer", "JWT-cookie-c")]
        app.get("/r", dependencies=[Depends(key) for key in keys])(nothing)

        assert [
            {"JWT": []},
            {"JWT-bearer": []},
            {"JWT-cookie-c": []},
            {"JWT-bearer-2": []},
            {"JWT-cookie-c-2": []},
        ] == locks(app)["/r"]
        assert set() == dangling(app.openapi())

    def test_two_configurations_that_would_have_one_name(self) -> None:
        """What no component can be called is written with a dash, which is not all there is."""
        app = FastAPI()
        for number, name in enumerate(("a!b", "a#b")):
            settings = JWTSettings(secret_key=SECRET, token_source="cookie", cookie_name=name)
            router = protected_router(settings=settings, prefix=f"/{number}")
            router.get("/r")(nothing)
            app.include_router(router)

        assert {
            "JWT-cookie-a-b": {"type": "apiKey", "in": "cookie", "name": "a!b"},
            "JWT-cookie-a-b-2": {"type": "apiKey", "in": "cookie", "name": "a#b"},
        } == schemes(started(app))


def issuers(number: int) -> JWTSettings:
    return JWTSettings(
        issuers={
            f"customer-{one}": {
                "issuer": f"https://customer-{one}.example.com",
                "audience": "api",
                "discovery": True,
            }
            for one in range(number)
        }
    )


class TestManyIssuers:
    @pytest.mark.parametrize(("number", "named_in_it"), [(4, True), (5, False), (100, False)])
    def test_customers_are_not_listed(self, number: int, *, named_in_it: bool) -> None:
        """Up to four issuers are named; of more, plain bearer says enough."""
        app = two_routes(issuers(number))
        text = json.dumps(app.openapi())

        assert named_in_it == ("customer-3" in text)
        assert (number + 1 if named_in_it else 1) == len(schemes(app))

    def test_the_size_does_not_grow(self) -> None:
        """An issuer more is no byte more."""
        assert 1 == len({len(json.dumps(two_routes(issuers(n)).openapi())) for n in (5, 6, 50)})


def test_scopes_of_an_outer_guard_are_shown() -> None:
    """They are asked for what the innermost guard excludes too."""
    app = FastAPI(dependencies=[Security(jwt_guard(OTHER), scopes=["outer"])])
    router = protected_router(settings=SETTINGS, exclude=["/open"])
    router.get("/closed")(nothing)
    router.get("/open")(nothing)
    app.include_router(router)

    assert {path: [{"JWT": ["outer"]}] for path in ("/closed", "/open")} == locks(started(app))


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        pytest.param(SETTINGS, {"JWT": ["read"], "JWT-header-X-Token": ["approve"]}, id="both"),
        pytest.param(None, {"JWT-header-X-Token": ["approve", "read"]}, id="alone"),
    ],
)
def test_a_guard_that_is_a_parameter_wants_a_token_of_its_own(
    over: JWTSettings | None, expected: dict[str, list[str]]
) -> None:
    """Beside that of the route's guard; without one, it decides."""
    supervisor = jwt_guard(JWTSettings(secret_key=SECRET, token_header_key="X-Token"))
    app = FastAPI() if over is None else protect(FastAPI(), over)

    @app.get("/x")
    async def answer(
        _: Annotated[None, Security(supervisor, scopes=["approve"])],
        __: Annotated[None, Depends(require_scopes("read"))],
    ) -> None: ...

    TestClient(app).get("/x")  # an application without another guard is known from then on

    ours, own = "own: HS256 roles_claim=roles", "own: HS256 token_header_key=X-Token"
    settings = own if over is None else f"{ours} and {own}"
    assert {"/x": [expected]} == locks(app) == locks(app)
    found = audit(app)
    assert ((), settings) == (found.problems, found.routes[-1].settings)


FOREIGN: list[Any] = [theirs(), theirs("JWT-bearer"), HTTPBasic()]
DEPENDENCIES: list[Any] = [get_claims, CurrentUser, maybe, require_scopes("a"), *FOREIGN]
ASKING = {get_claims, CurrentUser, require_scopes("a")}
ALL_SETTINGS = [
    SETTINGS,
    COOKIE,
    LAX,
    JWTSettings(secret_key=SECRET, token_source="both"),
    JWTSettings(secret_key=SECRET, token_header_key="X-Token"),
    JWTSettings(secret_key=SECRET, dpop="required", public_origin="https://a.example"),
    issuers(2),
    issuers(5),
]
of_route = st.lists(st.sampled_from(DEPENDENCIES), max_size=3)
of_document: st.SearchStrategy[list[Any]] = st.lists(
    st.sampled_from([{}, {"JWT": []}, {"JWT": [], "HTTPBasic": []}]), max_size=2
)


@example(settings=ALL_SETTINGS[0], routes=[([], [], [FOREIGN[0]], False)], sent=[], whole=[])
@example(
    settings=ALL_SETTINGS[0],
    routes=[([], [], [get_claims], False)],
    sent=[],
    whole=[{"JWT": []}],
)
@given(
    settings=st.sampled_from(ALL_SETTINGS),
    routes=st.lists(st.tuples(of_route, of_route, of_route, st.booleans()), max_size=4),
    sent=of_route,
    whole=of_document,
)
def test_nothing_dangles(
    settings: JWTSettings, routes: list[Any], sent: list[Any], whole: list[Any]
) -> None:
    """Every scheme that a document refers to is defined in it, whatever the application is like.

    Describing twice changes nothing, a lock is where a token is needed and nowhere else, and an
    application that asks for no token is left alone.
    """
    hooks = APIRouter(dependencies=[Depends(one) for one in sent])
    hooks.post("hook")(nothing)
    app = FastAPI(webhooks=hooks)
    for number, (own, over, called, guarded) in enumerate(routes):
        inmost = APIRouter(dependencies=[Depends(one) for one in sent])
        inmost.post(f"/inmost/{number}")(nothing)
        callbacks = APIRouter(dependencies=[Depends(one) for one in called])
        callbacks.post(f"/called/{number}", callbacks=inmost.routes)(nothing)
        inner = APIRouter(dependencies=[Depends(one) for one in over])
        below = [Depends(one) for one in own]
        inner.get(f"/{number}", dependencies=below, callbacks=callbacks.routes)(nothing)
        app.include_router(protected_router(inner, settings=settings) if guarded else inner)
    app.dependency_overrides[get_settings] = lambda: settings
    document = get_openapi(title="x", version="1", routes=app.routes, webhooks=app.webhooks.routes)
    if {name for one in whole for name in one} <= set(named(document)):
        document["security"] = whole

    before = copy.deepcopy(document)

    describe(app, document)
    text = json.dumps(document)

    dependencies = {*sent, *(one for *lists, _ in routes for part in lists for one in part)}
    if dependencies <= set(FOREIGN) and not any(guarded for *_, guarded in routes):
        assert before == document  # whatever FastAPI itself leaves undefined
        return
    assert set() == dangling(document)
    describe(app, document)
    assert text == json.dumps(document)
    if not settings.validate:
        return
    taken = {one.scheme_name for one in dependencies if one in FOREIGN}
    for number, (own, over, _, guarded) in enumerate(routes):
        asked = [*own, *over]
        required = guarded or not ASKING.isdisjoint(asked)
        operation = document["paths"][f"/{number}"]["get"]
        security = operation.get("security", document.get("security", []))
        names = {name for one in security for name in one}
        assert (required or maybe in asked) == ("401" in operation["responses"])
        assert (required or maybe in asked) == (not names <= taken)
        assert not (required and {} in security)
