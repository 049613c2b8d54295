"""`require_roles`, `require_any_role`, `require_claim` and `require`: 403 for a good token."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request, Response, Security
from fastapi.exception_handlers import http_exception_handler
from fastapi.testclient import TestClient
from pydantic import BaseModel

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    InsufficientPermissionsError,
    IssuerSettings,
    JWTSettings,
    Reason,
    claims_as,
    current_user_id,
    get_settings,
    granted,
    optional,
    protect,
    protected_router,
    require,
    require_acr,
    require_any_role,
    require_any_scope,
    require_claim,
    require_roles,
    require_scopes,
)
from jwt_deps.audit import audit, compare
from jwt_deps.testing import TokenFactory, acting_as, using_settings
from jwt_deps.testing import bearer as header
from tests.minting import SECRET
from tests.web.serving import including

from .serving import SETTINGS, bearer, document_of, live_routes

YES = True
PAYING = require_claim("plan", "team", 7, YES)


def app_with(*dependencies: Any, path: str = "/x", settings: JWTSettings = SETTINGS) -> FastAPI:
    """An application with one guarded route that has these dependencies."""
    router = protected_router(settings=settings)
    router.add_api_route(path, lambda: "done", dependencies=[Depends(it) for it in dependencies])
    return including(router)


def ask(*dependencies: Any, **members: Any) -> Any:
    """Ask for that route with a token that has these claims."""
    return TestClient(app_with(*dependencies)).get("/x", headers=bearer(**members))


@pytest.mark.parametrize(
    ("dependency", "members", "status"),
    [
        pytest.param(require_roles("a", "b"), {"roles": ["a", "b", "c"]}, 200, id="all-roles"),
        pytest.param(require_roles("a", "b"), {"roles": "b a"}, 200, id="roles-in-a-text"),
        pytest.param(require_roles("a", "b"), {"roles": ["a"]}, 403, id="a-role-too-few"),
        pytest.param(require_roles("a"), {"roles": ["A"]}, 403, id="case-of-a-role-counts"),
        pytest.param(require_roles("a"), {}, 403, id="no-roles"),
        pytest.param(require_roles("a"), {"scope": "a"}, 403, id="a-scope-is-no-role"),
        pytest.param(require_any_role("a", "b"), {"roles": ["b"]}, 200, id="one-role"),
        pytest.param(require_any_role("a", "b"), {"roles": ["c"]}, 403, id="none-of-the-roles"),
        pytest.param(PAYING, {"plan": "team"}, 200, id="the-text"),
        pytest.param(PAYING, {"plan": "free"}, 403, id="another-text"),
        pytest.param(PAYING, {"plan": ["free", "team"]}, 200, id="a-list-with-the-text"),
        pytest.param(PAYING, {"plan": ["free"]}, 403, id="a-list-without"),
        pytest.param(PAYING, {"plan": []}, 403, id="an-empty-list"),
        pytest.param(PAYING, {"plan": {"team": 1}}, 403, id="an-object"),
        pytest.param(PAYING, {"plan": [["team"], {}, None]}, 403, id="a-list-of-others"),
        pytest.param(PAYING, {"plan": 7.0}, 200, id="the-same-number"),
        pytest.param(PAYING, {"plan": "7"}, 403, id="a-number-as-a-text"),
        pytest.param(PAYING, {"plan": True}, 200, id="the-boolean"),
        pytest.param(PAYING, {"plan": 1}, 403, id="1-is-not-true"),
        pytest.param(require_claim("n", 1), {"n": True}, 403, id="true-is-not-1"),
        pytest.param(require_claim("n", ""), {}, 403, id="absent-is-not-empty"),
        pytest.param(require_claim("org.id", "acme"), {"org": {"id": "acme"}}, 200, id="nested"),
        pytest.param(require_claim("plan"), {"plan": "free"}, 200, id="any-value"),
        pytest.param(require_claim("plan"), {"plan": False}, 200, id="false-is-a-value"),
        pytest.param(require_claim("plan"), {"plan": None}, 403, id="null-is-none"),
        pytest.param(require_claim("plan"), {}, 403, id="absent"),
        pytest.param(require(lambda claims: "plan" in claims), {"plan": 1}, 200, id="a-check"),
        pytest.param(require(lambda claims: "plan" in claims), {}, 403, id="a-check-that-refuses"),
        pytest.param(require(lambda: True), {}, 200, id="a-check-that-takes-nothing"),
        pytest.param(require(lambda: False), {}, 403, id="one-that-takes-nothing-and-refuses"),
        pytest.param(require_scopes("a", "b"), {"scope": "a b c"}, 200, id="all-scopes"),
        pytest.param(require_scopes("a", "b"), {"scope": "a"}, 403, id="a-scope-too-few"),
        pytest.param(require_scopes("a"), {"scope": "A"}, 403, id="case-of-a-scope-counts"),
        pytest.param(require_scopes("a"), {"scope": "aa"}, 403, id="no-prefixes"),
        pytest.param(require_any_scope("a", "b"), {"scope": "b"}, 200, id="one-scope"),
        pytest.param(require_any_scope("a", "b"), {"scope": "c"}, 403, id="none-of-the-scopes"),
        pytest.param(require_any_scope("a", "b"), {"scope": None}, 403, id="no-scopes-at-all"),
    ],
)
def test_requirements_are_enforced(dependency: Any, members: dict[str, Any], status: int) -> None:
    """A good token without what is needed is refused with 403."""
    assert status == ask(dependency, **members).status_code


@pytest.mark.parametrize(
    ("dependency", "description", "needs"),
    [
        pytest.param(
            require_roles("a", "b"),
            "the access token lacks a role that this needs",
            ("role=a", "role=b"),
            id="roles",
        ),
        pytest.param(
            require_any_role("a", "b"),
            "the access token lacks a role that this needs",
            ("role=a|b",),
            id="any-role",
        ),
        pytest.param(
            PAYING,
            "the access token lacks a claim that this needs: plan",
            ("claim=plan=team|7|true",),
            id="claim",
        ),
        pytest.param(
            require(lambda _: False, description="members of the tenant alone"),
            "members of the tenant alone",
            ("check=members of the tenant alone",),
            id="check",
        ),
    ],
)
def test_a_refusal_says_what_is_needed(
    dependency: Any, description: str, needs: tuple[str, ...]
) -> None:
    """In words, in the challenge with the scopes of the route, and as attributes of the error."""
    app, caught = app_with(dependency, require_scopes("read")), []

    async def answer(request: Request, error: Any) -> Any:
        caught.append(error.__cause__)
        return await http_exception_handler(request, error)

    app.exception_handler(HTTPException)(answer)

    refused = TestClient(app).get("/x", headers=bearer(scope="read", plan="free"))

    assert 403 == refused.status_code
    assert {"detail": f"Insufficient permissions: {description}"} == refused.json()
    assert (
        f'Bearer error="insufficient_scope", error_description="{description}", scope="read"'
    ) == refused.headers["www-authenticate"]
    (error,) = caught
    assert isinstance(error, InsufficientPermissionsError)
    assert (("read",), needs) == (error.scopes, error.needs)


def test_without_scopes_the_challenge_names_none() -> None:
    """RFC 6750 §3: the parameter may be left out."""
    assert "scope=" not in ask(require_roles("a")).headers["www-authenticate"]


def test_a_description_cannot_break_the_challenge() -> None:
    """What no `error_description` can have is left out of it."""
    refused = ask(require(lambda _: False, description='the "owner"\r\nalone'))

    assert 'error_description="the owneralone"' in refused.headers["www-authenticate"]


def test_debug_hints_name_what_is_needed() -> None:
    """Under `JWT_EXPLAIN`."""
    app = app_with(require_any_role("a", "b"), settings=SETTINGS.model_copy(update={"explain": 1}))

    told = TestClient(app).get("/x", headers=bearer()).json()

    assert ("role", "permissions", "role=a|b") == (told["reason"], told["step"], told["needs"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: require_roles("a", "b"),
        lambda: require_any_role("a", "b"),
        lambda: require_claim("plan", "team", 7),
        lambda: require(bool_of, description="it is so"),
        lambda: require_acr("a", max_age=1),
        lambda: require_scopes("a", "b"),
        lambda: require_any_scope("a", "b"),
        lambda: granted("agents", "read"),
        lambda: claims_as(Profile),
        lambda: optional(current_user_id),
    ],
    ids=[
        *("roles", "any-role", "claim", "check", "acr", "scopes", "any-scope"),
        *("granted", "model", "optional"),
    ],
)
def test_the_same_arguments_give_the_same_callable(make: Any) -> None:
    """FastAPI runs it once for each request, and a test can override it."""
    assert make() is make()


class Profile(BaseModel):
    sub: str


def bool_of(claims: Claims) -> bool:
    return bool(claims)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(require_claim("n", 1), require_claim("n", YES), id="1-and-true"),
        pytest.param(require_claim("n", 0), require_claim("n", not YES), id="0-and-false"),
        pytest.param(require_claim("n", "1"), require_claim("n", 1), id="text-and-number"),
        pytest.param(require_roles("a", "b"), require_any_role("a", "b"), id="all-and-any"),
        pytest.param(require_acr("a"), require_acr("b"), id="acr"),
    ],
)
def test_other_arguments_give_another_one(one: Any, other: Any) -> None:
    """Python takes `True` for `1`: a cache by equality would mix them up."""
    assert one is not other


class Text(str, Enum):  # noqa: UP042 - what older programs have
    """What a member is called is not what it says."""

    READ = "read"


@pytest.mark.parametrize(
    ("dependency", "members"),
    [
        pytest.param(require_scopes(Text.READ), {"scope": "read"}, id="scope"),
        pytest.param(require_any_scope(Text.READ, "other"), {"scope": "read"}, id="any-scope"),
        pytest.param(require_roles(Text.READ), {"roles": ["read"]}, id="role"),
        pytest.param(require_claim("may", Text.READ), {"may": "read"}, id="claim"),
        pytest.param(require_acr(Text.READ), {"acr": "read"}, id="acr"),
    ],
)
def test_a_member_of_an_enum_is_the_text_that_it_is(dependency: Any, members: Any) -> None:
    """In the check, the audit and OpenAPI alike."""
    app = app_with(dependency)
    (route,) = (it for it in audit(app).routes if it.path == "/x")

    assert 200 == TestClient(app).get("/x", headers=bearer(**members)).status_code
    assert "Text" not in f"{route.scopes}{route.requires}{document_of(app)['paths']}"


@pytest.mark.parametrize("wrong", [["read"], {"read"}, None, 7])
@pytest.mark.parametrize("make", [require_scopes, require_any_scope, require_roles, require_acr])
def test_texts_are_arguments_of_their_own(make: Any, wrong: Any) -> None:
    """A list would be taken for one scope, which no token has."""
    with pytest.raises(ConfigurationError):
        make(wrong)


class Quota:
    """A check that equals every other one of its kind, and has no hash."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quota)

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, claims: Claims) -> bool:  # noqa: ARG002
        return self._allowed

    check = __call__


def test_checks_that_are_equal_are_not_the_same() -> None:
    """Each is asked; a method is the same each time."""
    allowing, refusing = Quota(allowed=True), Quota(allowed=False)

    assert [200, 403] == [ask(require(it)).status_code for it in (allowing, refusing)]
    assert [200, 403] == [ask(require(it.check)).status_code for it in (allowing, refusing)]
    assert require(allowing.check) is require(allowing.check)


@pytest.mark.parametrize(
    ("dependency", "name"),
    [
        (require_scopes("a"), "require_scopes"),
        (require_any_scope("a"), "require_any_scope"),
        (require_roles("a"), "require_roles"),
        (require_any_role("a"), "require_any_role"),
        (require_claim("a"), "require_claim"),
        (require_acr("a"), "require_acr"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_each_is_called_as_it_was_made(dependency: Any, name: str) -> None:
    assert f"<dependency {name}>" == repr(dependency)


@pytest.mark.parametrize("dependency", [require_scopes("a"), require_any_scope("a")])
def test_an_anonymous_request_lacks_a_token_before_it_lacks_a_scope(dependency: Any) -> None:
    """Without validation too."""
    app = app_with(dependency, settings=JWTSettings(secret_key=SECRET, validate=False))

    assert 401 == TestClient(app).get("/x").status_code


@pytest.mark.parametrize(
    ("make", "arguments", "said"),
    [
        *((require_roles, it, "take one or more roles") for it in ((), ("",), (7,))),
        *(
            (require_claim, it, "takes the name of one claim")
            for it in (
                *(("",), (" ", "a"), (7,), ("a,b",)),
                *(("n", None), ("n", ["a"]), ("n", float("nan"))),
            )
        ),
        *(
            (make, it, "each as an argument of its own")
            for make in (require_scopes, require_any_scope)
            for it in ((), ("a b",), ('"',), ("",), ("é",))
        ),
    ],
    ids=lambda it: getattr(it, "__name__", repr(it)),
)
def test_what_no_token_can_have_is_a_configuration_error(
    make: Any, arguments: tuple[Any, ...], said: str
) -> None:
    """It would refuse every request, or none; JSON texts, numbers and booleans can be compared."""
    with pytest.raises(ConfigurationError, match=said):
        make(*arguments)


WITHOUT_ROLES = [
    pytest.param(JWTSettings(secret_key=SECRET, verify_audience=False), id="one-issuer"),
    pytest.param(
        JWTSettings(
            issuers={
                "a": IssuerSettings(secret_key=SECRET, issuer="https://a.example", audience="api")
            }
        ),
        id="several-issuers",
    ),
]


class TestRolesClaim:
    @pytest.mark.parametrize("settings", WITHOUT_ROLES)
    def test_is_needed(self, settings: JWTSettings) -> None:
        """A route that requires roles cannot work where no setting names their claim."""
        app = app_with(require_roles("a"), settings=settings)

        (problem,) = audit(app).problems
        assert "JWT_ROLES_CLAIM" in problem
        with pytest.raises(ConfigurationError, match="JWT_ROLES_CLAIM"), TestClient(app):
            pass
        with pytest.raises(ConfigurationError, match="JWT_ROLES_CLAIM"):
            TestClient(app).get("/x")

    @live_routes
    def test_is_needed_for_a_plain_route_of_an_inclusion(self) -> None:
        """FastAPI runs no dependencies for it, so it is asked for apart."""
        router, app = APIRouter(), FastAPI()
        router.add_route("/x", lambda _: Response())
        app.include_router(router, dependencies=[Depends(require_roles("a"))])
        protect(app, JWTSettings(secret_key=SECRET))

        with pytest.raises(ConfigurationError, match="JWT_ROLES_CLAIM"), TestClient(app):
            pass

    @pytest.mark.parametrize("settings", WITHOUT_ROLES)
    def test_is_needed_without_a_guard(self, settings: JWTSettings) -> None:
        """The request that would be refused says so."""
        app = FastAPI(dependencies=[Depends(require_roles("a"))])
        app.add_api_route("/x", lambda: "done")
        app.dependency_overrides[get_settings] = lambda: settings
        token = bearer(roles=["a"], iss="https://a.example", aud="api")

        with pytest.raises(ConfigurationError, match="JWT_ROLES_CLAIM"):
            TestClient(app).get("/x", headers=token)

    def test_is_not_known_of_issuers_that_a_function_gives(self) -> None:
        """Their tokens without roles are refused."""

        def issuers(_: str) -> IssuerSettings:
            return IssuerSettings(secret_key=SECRET, audience="api")

        with TestClient(app_with(require_roles("a"), settings=JWTSettings(issuers=issuers))) as it:
            refused = it.get("/x", headers=bearer(iss="https://a.example", aud="api"))

        assert 403 == refused.status_code

    def test_is_not_known_before_a_request_where_a_test_replaces_the_settings(self) -> None:
        app = FastAPI()
        router = protected_router()
        router.add_api_route("/x", lambda: "done", dependencies=[Depends(require_roles("a"))])
        app.include_router(router)

        with using_settings(app, SETTINGS), TestClient(app) as client:
            assert 200 == client.get("/x", headers=bearer(roles=["a"])).status_code

    def test_what_replaces_the_settings_is_not_called_before_a_request(self) -> None:
        called: list[JWTSettings] = []

        def settings() -> JWTSettings:
            called.append(SETTINGS)
            return SETTINGS

        router = protected_router(scopes={"/x": "s"})
        router.add_api_route("/x", lambda: "done", dependencies=[Depends(require_roles("a"))])
        app = including(router)
        app.dependency_overrides[get_settings] = settings

        with TestClient(app) as client:
            assert [] == called
            answer = client.get("/x", headers=bearer(roles=["a"], scope="s"))
            assert 200 == answer.status_code

    def test_one_of_several_issuers_can_have_none(self) -> None:
        """Its tokens have no roles, and are refused."""
        common: Any = {"secret_key": SECRET, "audience": "api"}
        table = {
            "staff": IssuerSettings(issuer="https://staff.example", roles_claim="groups", **common),
            "guests": IssuerSettings(issuer="https://guests.example", **common),
        }
        client = TestClient(app_with(require_roles("a"), settings=JWTSettings(issuers=table)))

        def status(issuer: str) -> int:
            members: dict[str, Any] = {"iss": issuer, "aud": "api", "groups": ["a"], "roles": ["a"]}
            return client.get("/x", headers=bearer(**members)).status_code

        assert [200, 403] == [status("https://staff.example"), status("https://guests.example")]

    def test_fills_the_roles_of_a_user(self) -> None:
        """A frozenset; empty where the token has none."""
        router = protected_router(settings=SETTINGS)

        @router.get("/me")
        async def me(user: Annotated[CurrentUser, Depends()]) -> list[str]:
            return sorted(user.roles)

        app = including(router)
        client = TestClient(app)

        assert ["a", "b"] == client.get("/me", headers=bearer(roles=["b", "a"])).json()
        assert [] == client.get("/me", headers=bearer()).json()


def owns(claims: Claims, name: Annotated[str, Path()], asked: Request) -> bool:
    return bool(name == claims.sub) and asked.method == "GET"


async def owns_later(
    claims: Mapping[str, Any], user: str = Depends(current_user_id), name: str = Path()
) -> bool:
    return bool(name == user == claims["sub"])


def owns_by_text(claims: "Claims", name: "Annotated[str, Path()]") -> bool:
    return bool(name == claims.sub)


def names_the_user(user: Annotated[str, Depends(current_user_id)]) -> bool:
    return user == "alice"


def of_tenant(tenant: str) -> bool:
    return tenant == "acme"


def unreadable(claims: "Unknown") -> bool:  # type: ignore[name-defined]  # noqa: F821
    return bool(claims)


class Check:
    async def __call__(self, claims: Any) -> bool:
        return bool(claims.sub == "alice")


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(owns, id="plain-function"),
        pytest.param(owns_later, id="coroutine-function"),
        pytest.param(owns_by_text, id="annotations-are-texts"),
        pytest.param(names_the_user, id="without-the-claims"),
        pytest.param(Check(), id="callable-object"),
    ],
)
def test_a_check_can_have_dependencies_of_its_own(check: Any) -> None:
    """As any dependency of FastAPI: others, path parameters, the request."""
    client = TestClient(app_with(require(check), path="/users/{name}"))

    answers = [client.get("/users/alice", headers=bearer(sub=it)) for it in ("alice", "bob")]

    assert [200, 403] == [it.status_code for it in answers]


def test_a_check_is_asked_where_its_dependency_is_overridden() -> None:
    """`dependency_overrides` holds below it."""
    app = app_with(require(names_the_user))
    app.dependency_overrides[current_user_id] = lambda: "alice"

    assert 200 == TestClient(app).get("/x", headers=bearer(sub="bob")).status_code


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(lambda claims, tenant: bool(claims and tenant), id="a-plain-parameter"),
        pytest.param(lambda claims, leeway=0: bool(claims and leeway), id="one-with-a-default"),
        pytest.param(lambda *, claims: bool(claims), id="claims-by-keyword"),
        pytest.param(min, id="no-signature"),
        pytest.param(of_tenant, id="a-path-parameter-in-place-of-the-claims"),
        pytest.param(unreadable, id="annotations-that-cannot-be-read"),
    ],
)
def test_a_check_takes_nothing_that_a_client_could_send(check: Any) -> None:
    """FastAPI would read a plain parameter from the query, and a text would get the claims."""
    with pytest.raises(
        ConfigurationError, match=r"as its first parameter.*Annotated\[str, Path\(\)\]"
    ):
        require(check)


@pytest.mark.parametrize("answer", [None, 1, "yes", []])
def test_a_check_answers_true_or_false(answer: Any) -> None:
    """A forgotten `return` refuses every request, with a sentence."""
    with pytest.raises(ConfigurationError, match="True or False"):
        ask(require(lambda _: answer))


def test_a_check_can_refuse_with_an_error_of_its_own() -> None:
    """A typed error is answered as those of the package."""

    def check(_: Claims) -> bool:
        raise InsufficientPermissionsError(Reason.CHECK, "the trial has ended")

    answer = ask(require(check))

    assert 403 == answer.status_code
    assert {"detail": "Insufficient permissions: the trial has ended"} == answer.json()


ALL = [require_roles("a"), require_claim("plan"), require(bool_of), require(names_the_user)]


@pytest.mark.parametrize("dependency", ALL, ids=["roles", "claim", "check", "check-with-own"])
class TestAsAnyDependency:
    def test_scopes_of_security_are_asked_too(self, dependency: Any) -> None:
        """`Security(..., scopes=[...])` adds to what it asks."""
        app = FastAPI()
        app.add_api_route("/x", lambda: "x", dependencies=[Security(dependency, scopes=["s"])])
        members: dict[str, Any] = {"roles": ["a"], "plan": 1, "sub": "alice"}

        with using_settings(app, SETTINGS):
            client = TestClient(app)
            assert 403 == client.get("/x", headers=bearer(**members)).status_code
            assert 200 == client.get("/x", headers=bearer(scope="s", **members)).status_code

    def test_optional(self, dependency: Any) -> None:
        """Nothing is asked of a request without a token, and 403 of one that lacks it."""
        app = FastAPI()
        app.add_api_route("/x", lambda: "x", dependencies=[Depends(optional(dependency))])

        with using_settings(app, SETTINGS):
            client = TestClient(app)
            assert 200 == client.get("/x").status_code
            assert (
                200
                == client.get("/x", headers=bearer(roles=["a"], plan=1, sub="alice")).status_code
            )


def test_the_audit_shows_what_is_needed_and_catches_its_loss() -> None:
    """Each requirement in words that compare."""
    asked = [
        require_roles("a", "b"),
        require_any_role("c", "d"),
        require_claim("plan", "team"),
        require(names_the_user, description="alice alone"),
    ]
    before = audit(app_with(*asked))

    (route,) = (one for one in before.routes if one.path == "/x")

    assert route.requires == (
        "role=a",
        "role=b",
        "role=c|d",
        "claim=plan=team",
        "check=alice alone",
    )
    for lost in range(len(asked)):
        rest = [it for at, it in enumerate(asked) if at != lost]
        assert [] != compare(before, audit(app_with(*rest)))


@pytest.mark.parametrize(
    "dependency", [require_scopes("a|b"), require_any_scope("a", "b"), require_scopes("a", "b|c")]
)
def test_the_audit_finds_scopes_with_a_bar_in_the_document(dependency: Any) -> None:
    """A bar is allowed in a scope (RFC 6749 §3.3)."""
    assert () == audit(app_with(dependency)).problems


def test_the_audit_takes_a_document_without_a_guard_for_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FastAPI writes it alone there, and lists the scopes of `Security` only."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    app = FastAPI(docs_url=None, redoc_url=None)
    app.get("/x", dependencies=[Depends(require_scopes("read"))])(lambda: "done")

    assert () == audit(app).problems


def test_openapi_shows_what_is_needed() -> None:
    """A list is what one of is needed; of a list of lists, one of each."""
    asked = [
        require_roles("a", "b"),
        require_any_role("c", "d"),
        require_claim("plan", "team"),
        require_claim("verified", True, 1),  # noqa: FBT003
        require(names_the_user, description="alice alone"),
    ]

    operation = document_of(app_with(*asked))["paths"]["/x"]["get"]

    assert {
        "roles": [["a"], ["b"], ["c", "d"]],
        "claims": [["plan=team"], ["verified=true|1"]],
        "checks": ["alice alone"],
    } == operation["x-jwt-requires"]
    assert "403" in operation["responses"]


class TestInTests:
    def test_acting_as_someone_with_roles(self) -> None:
        """They stand where the settings say."""
        app = app_with(require_roles("a"))
        client = TestClient(app)

        for roles, status in (("a", 200), (["a", "b"], 200), ([], 403)):
            with acting_as(app, "alice", roles=roles):
                assert status == client.get("/x").status_code

    def test_tokens_with_roles(self) -> None:
        """The factory has the same keyword."""
        tokens = TokenFactory.for_settings(SETTINGS)
        client = TestClient(app_with(require_roles("a")))

        answers = [client.get("/x", headers=header(tokens("alice", roles=it))) for it in ("a", "b")]

        assert [200, 403] == [it.status_code for it in answers]

    def test_roles_need_their_claim(self) -> None:
        """Else the test would say nothing."""
        with pytest.raises(ValueError, match="roles_claim"):
            TokenFactory()("alice", roles=["a"])
