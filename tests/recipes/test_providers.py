"""Every recipe of `docs/providers.md` works with tokens of that provider's form."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from jwt_deps import (
    ClaimError,
    Claims,
    ConfigurationError,
    CurrentUser,
    InvalidTokenError,
    JWTSettings,
    Reason,
    get_settings,
    protected_router,
    require_scopes,
)
from jwt_deps.testing import FakeIssuer, SigningKey
from jwt_deps.tokens.principal import scopes_of
from jwt_deps.tokens.verify import Verification, verify
from tests.recipes.page import RECIPES
from tests.recipes.provider import EC_KEY, KEY, OF_EC, OTHER_KEY, give_keys, issue

TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
OTHER_TENANT = "82229342-1101-4ab6-817b-70c0747630f3"
COGNITO = "https://cognito-idp.eu-west-1.amazonaws.com"

#: Whom the recipe finds in which token of the page: user, session, scopes.
FOUND: dict[tuple[str, int], tuple[str, str | None, set[str]]] = {
    ("auth0", 0): ("auth0|65f1c0a2b3d4e5f6a7b8c9d0", None, {"openid", "profile", "reports:read"}),
    ("keycloak", 0): (
        "f1c4f64e-2c0c-4cda-8c9f-9f3f8f3a2b0e",
        "4c0a3a8a-3a47-4f2f-8e89-9e5f9b0a0a0a",
        {"openid", "email", "profile"},
    ),
    ("entra", 0): (
        "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "00341d5e-2b1c-4f3a-9d8e-7c6b5a493827",
        {"Reports.Read", "Reports.Write"},
    ),
    ("entra", 1): ("1f2e3d4c-5b6a-4798-8a9b-0c1d2e3f4a5b", None, set()),
    ("entra_v1", 0): (
        "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "00341d5e-2b1c-4f3a-9d8e-7c6b5a493827",
        {"user_impersonation"},
    ),
    ("cognito", 0): (
        "a2f5e4d4-c0b1-70a2-9f3e-1b2c3d4e5f60",
        "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9",
        {"openid", "https://api.example.com/reports.read"},
    ),
    ("okta", 0): ("00u1gm0z3nXyZaBcD0h7", None, {"openid", "profile", "reports.read"}),
    ("google", 0): ("110169484474386276334", None, set()),
    ("google", 1): ("107517467455664443766", None, set()),
    ("firebase", 0): ("Xk3vQ0pZr8hV2nT5mW7yB1cD4eF6", None, set()),
    ("supabase", 0): (
        "0c1e7a52-3b4d-4f6a-8b9c-1d2e3f4a5b6c",
        "5b8f8c1e-6d0a-4c55-9a43-0f5b7f1d2c3e",
        set(),
    ),
    ("kubernetes", 0): ("system:serviceaccount:shop:cart", None, set()),
    ("clerk", 0): ("user_2aBcD3eF4gH5iJ6kL7mN", "sess_2bYzQ8r7s6t5u4v3w2x1", set()),
    ("iap", 0): ("accounts.google.com:110169484474386276334", None, set()),
    ("cloudflare", 0): ("7335d417-61da-459d-899c-0a01c76a2f94", None, set()),
    ("alb", 0): ("a2f5e4d4-c0b1-70a2-9f3e-1b2c3d4e5f60", None, {"openid"}),
}

#: The roles that the recipe finds, where it names their claim.
ROLES = {("keycloak", 0): {"offline_access", "default-roles-staff", "editor"}}

#: What the page says to set instead, and what is found then.
VARIANTS: dict[tuple[str, int, str, str], str | set[str]] = {
    ("auth0", 0, "scopes_claim", "permissions"): {"reports:read", "reports:write"},
    ("auth0", 0, "scopes_claim", "https://example.com/roles"): {"editor"},
    ("keycloak", 0, "roles_claim", "resource_access.my-api.roles"): {"reports-read"},
    ("keycloak", 0, "scopes_claim", "realm_access.roles"): ROLES["keycloak", 0],
    ("entra", 1, "scopes_claim", "roles"): {"Reports.Read.All"},
    ("cognito", 0, "scopes_claim", "cognito:groups"): {"editors"},
    ("cognito", 0, "user_id_claim", "username"): "ada",
    ("okta", 0, "scopes_claim", "groups"): {"Everyone", "editors"},
    ("okta", 0, "roles_claim", "groups"): {"Everyone", "editors"},
    ("okta", 0, "user_id_claim", "sub"): "ada@example.com",
}

FOREIGN, MISSING = Reason.CLAIM_FOREIGN, Reason.CLAIM_MISSING
AUD, ISS = (FOREIGN, "aud"), (FOREIGN, "iss")
LOGIN, STS = "https://login.microsoftonline.com", "https://sts.windows.net"
KEYCLOAK, OKTA = "https://login.example.com", "https://example.okta.com"

#: Tokens of the same provider, well signed, that the recipe refuses: what is different in the
#: claims of the page's first token, and why it is refused.
REFUSED: list[tuple[str, str, dict[str, Any], tuple[Reason, str]]] = [
    ("auth0", "the ID token", {"aud": "kT3n5PqRsTuVwXyZ0123456789abcdef"}, AUD),
    ("auth0", "another API", {"aud": "https://billing.example.com"}, AUD),
    ("auth0", "only userinfo", {"aud": "https://example.eu.auth0.com/userinfo"}, AUD),
    ("auth0", "no slash", {"iss": "https://example.eu.auth0.com"}, ISS),
    ("auth0", "another tenant", {"iss": "https://other.eu.auth0.com/"}, ISS),
    ("keycloak", "no audience mapper", {"aud": "account"}, AUD),
    ("keycloak", "no audience at all", {"aud": None}, (MISSING, "aud")),
    ("keycloak", "the ID token", {"aud": "my-frontend", "typ": "ID"}, AUD),
    ("keycloak", "another realm", {"iss": f"{KEYCLOAK}/realms/customers"}, ISS),
    ("keycloak", "a slash", {"iss": f"{KEYCLOAK}/realms/staff/"}, ISS),
    ("keycloak", "with /auth", {"iss": f"{KEYCLOAK}/auth/realms/staff"}, ISS),
    ("entra", "another tenant", {"iss": f"{LOGIN}/{OTHER_TENANT}/v2.0", "tid": OTHER_TENANT}, ISS),
    ("entra", "common", {"iss": f"{LOGIN}/common/v2.0"}, ISS),
    ("entra", "the template of common", {"iss": f"{LOGIN}/{{tenantid}}/v2.0"}, ISS),
    ("entra", "version 1", {"iss": f"{STS}/{TENANT}/"}, ISS),
    ("entra", "Graph", {"aud": "00000003-0000-0000-c000-000000000000"}, AUD),
    (
        "entra",
        "the ID token of another registration",
        {"aud": "75dbe77f-10a3-4e59-85fd-8c127544f17c"},
        AUD,
    ),
    ("entra_v1", "version 2", {"iss": f"{LOGIN}/{TENANT}/v2.0"}, ISS),
    ("entra_v1", "no slash", {"iss": f"{STS}/{TENANT}"}, ISS),
    ("entra_v1", "another tenant", {"iss": f"{STS}/{OTHER_TENANT}/"}, ISS),
    ("entra_v1", "Graph", {"aud": "https://graph.microsoft.com"}, AUD),
    (
        "cognito",
        "another app client",
        {"client_id": "3n4b5urk1ft4fl3mg5e62d9ado"},
        (FOREIGN, "client_id"),
    ),
    (
        "cognito",
        "the ID token",
        {"client_id": None, "aud": "57cbishk4j24pabc1234567890", "token_use": "id", "scope": None},
        (MISSING, "client_id"),
    ),
    ("cognito", "another pool", {"iss": f"{COGNITO}/eu-west-1_Zz98Yy76X"}, ISS),
    ("okta", "the ID token", {"aud": "0oa1gm0z3nXyZaBcD0h8"}, AUD),
    ("okta", "another authorization server", {"iss": f"{OKTA}/oauth2/aus1gm0z3nXyZaBcD0h9"}, ISS),
    ("okta", "the org itself", {"iss": f"{OKTA}"}, ISS),
    ("google", "another client", {"aud": "987654321-xyz.apps.googleusercontent.com"}, AUD),
    ("google", "another service", {"aud": "https://billing.example.com"}, AUD),
    (
        "google",
        "Identity-Aware Proxy",
        {"iss": "https://cloud.google.com/iap", "aud": "/projects/1/global/backendServices/2"},
        ISS,
    ),
    ("firebase", "another project", {"aud": "other-project"}, AUD),
    (
        "firebase",
        "the issuer of another project",
        {"iss": "https://securetoken.google.com/other-project"},
        ISS,
    ),
    ("supabase", "the key of the API", {"aud": None, "role": "anon"}, (MISSING, "aud")),
    ("supabase", "another project", {"iss": "https://ponmlkjihgfedcba.supabase.co/auth/v1"}, ISS),
    ("kubernetes", "another service", {"aud": ["billing"]}, AUD),
    ("kubernetes", "a legacy token", {"aud": None, "exp": None}, (MISSING, "exp")),
    ("kubernetes", "another cluster", {"iss": "https://other.example"}, ISS),
    ("clerk", "a token without an audience", {"aud": None}, (MISSING, "aud")),
    ("clerk", "another instance", {"iss": "https://clerk.other.example"}, ISS),
    ("iap", "another backend", {"aud": "/projects/1/apps/example"}, AUD),
    ("iap", "an ID token", {"iss": "https://accounts.google.com"}, ISS),
    ("cloudflare", "another application", {"aud": ["f" * 64]}, AUD),
    ("cloudflare", "the global token", {"type": "org", "aud": None}, (MISSING, "aud")),
    ("alb", "another app client", {"client_id": "3n4b5urk1ft4fl3mg5e"}, (FOREIGN, "client_id")),
    ("alb", "no issuer, as in X-Amzn-Oidc-Data", {"iss": None}, (MISSING, "iss")),
]


def settings_of(name: str, **changed: object) -> JWTSettings:
    """The settings of the page, with the provider's keys already known."""
    settings = RECIPES[name].settings()
    if changed:
        settings = settings.model_copy(update=changed)
    give_keys(settings, name)
    return settings


def verified(token: str, settings: JWTSettings) -> Verification:
    return asyncio.run(verify(token, settings))


def claims_of(name: str, number: int = 0, **changed: object) -> dict[str, Any]:
    return {**RECIPES[name].tokens[number], **changed}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sent(token: str, settings: JWTSettings) -> dict[str, str]:
    """The header in which the settings look for a token."""
    return {settings.token_header_key: f"{settings.token_header_scheme} {token}".strip()}


def client_of(settings: JWTSettings, *scopes: str) -> TestClient:
    """A client of a service with one route, which asks for these scopes."""
    router = APIRouter(dependencies=[Depends(require_scopes(*scopes))] if scopes else [])

    @router.get("/me")
    async def me(user: Annotated[CurrentUser, Depends()]) -> dict[str, Any]:
        return {
            "user": user.id,
            "session": user.session_id,
            "scopes": sorted(user.scopes),
            "roles": sorted(user.roles),
        }

    app = FastAPI()
    app.include_router(protected_router(router, settings=settings))
    return TestClient(app)


# The page


@pytest.mark.parametrize("name", ["auth0", "entra", "several"])
def test_environment_and_code_are_the_same_settings(name: str) -> None:
    """In every field, those of the issuers included."""
    recipe = RECIPES[name]

    assert recipe.settings().model_dump() == recipe.run()[name].model_dump()


@pytest.mark.parametrize("name", RECIPES)
def test_no_variable_is_misspelt(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that starts with the environment of the page logs no warning."""
    for variable, value in RECIPES[name].environment.items():
        monkeypatch.setenv(variable, value)

    get_settings.__wrapped__()

    unverified = ["VERIFY_AUDIENCE is false" in it for it in caplog.messages]
    assert unverified == ([True] if name == "whole_pool" else [])


def test_every_token_and_variant_of_the_page_is_tested() -> None:
    """Nothing is shown that no test has tried."""
    shown = {
        (name, number) for name, recipe in RECIPES.items() for number in range(len(recipe.tokens))
    }
    said = {(name, *variant) for name, recipe in RECIPES.items() for variant in recipe.variants}

    assert shown == set(FOUND)
    assert said == {(name, setting, claim) for name, _, setting, claim in VARIANTS}
    assert {name for name, _ in FOUND} == {name for name, *_ in REFUSED}


# Good tokens


@pytest.mark.parametrize(("name", "number"), FOUND, ids=str)
def test_a_route_serves_the_token_of_the_page(name: str, number: int) -> None:
    """With its scopes if there are any, and with 403 where another one is asked for."""
    settings = settings_of(name)
    headers = sent(issue(claims_of(name, number), name), settings)
    user, session, scopes = FOUND[name, number]

    served = client_of(settings, *scopes).get("/me", headers=headers)
    refused = client_of(settings, *scopes, "admin").get("/me", headers=headers)

    assert {
        "user": user,
        "session": session,
        "scopes": sorted(scopes),
        "roles": sorted(ROLES.get((name, number), ())),
    } == served.json()
    assert 403 == refused.status_code


@pytest.mark.parametrize(
    ("name", "number", "setting", "claim", "found"),
    [(*variant, found) for variant, found in VARIANTS.items()],
    ids=[f"{name}-{setting}-{claim}" for name, _, setting, claim in VARIANTS],
)
def test_a_variant_finds_what_the_page_says(
    name: str, number: int, setting: str, claim: str, found: str | set[str]
) -> None:
    """One setting differs from the recipe."""
    settings = settings_of(name, **{setting: claim})
    headers = sent(issue(claims_of(name, number), name), settings)

    me = client_of(settings).get("/me", headers=headers).json()

    read = me[{"scopes_claim": "scopes", "roles_claim": "roles", "user_id_claim": "user"}[setting]]
    assert (found if isinstance(found, str) else sorted(found)) == read


CLIENT, OTHER_CLIENT = "57cbishk4j24pabc1234567890", "3n4b5urk1ft4fl3mg5e62d9ado"
API_OF_ENTRA = "6e74172b-be56-4843-9ff4-e66a39bb12e3"
RESOURCE = {"aud": "https://api.example.com"}
#: What else is accepted: changes of the settings, of the claims and of the header.
ALSO: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "google, with the scheme": ("google", {}, {"iss": "https://accounts.google.com"}, {}),
    "google, without": ("google", {}, {"iss": "accounts.google.com"}, {}),
    "entra, application ID URI": ("entra_v1", {}, {"aud": f"api://{API_OF_ENTRA}"}, {}),
    "entra, client id": ("entra_v1", {}, {"aud": API_OF_ENTRA}, {}),
    "auth0, RFC 9068": ("auth0", {}, {"azp": None, "client_id": "kT3n5P"}, {"typ": "at+jwt"}),
    "cognito, several clients": (
        "cognito",
        {"audience": [CLIENT, OTHER_CLIENT]},
        {"client_id": OTHER_CLIENT},
        {},
    ),
    "cognito, bound to a resource": (
        "cognito",
        {"audience": RESOURCE["aud"], "audience_claim": "aud"},
        RESOURCE,
        {},
    ),
}


@pytest.mark.parametrize(("name", "changed", "members", "header"), ALSO.values(), ids=ALSO)
def test_what_else_is_accepted(
    name: str, changed: dict[str, Any], members: dict[str, Any], header: dict[str, str]
) -> None:
    """As the page says of the provider."""
    token = issue(claims_of(name, **members), name, header=header)

    found = verified(token, settings_of(name, **changed)).claims

    assert members == {claim: found.get(claim) for claim in members}


# Wrong tokens


@pytest.mark.parametrize(
    ("name", "changed", "expected"),
    [(name, changed, expected) for name, _, changed, expected in REFUSED],
    ids=[f"{name}-{label}" for name, label, *_ in REFUSED],
)
def test_a_token_for_another_audience_is_refused(
    name: str, changed: Mapping[str, Any], expected: tuple[Reason, str]
) -> None:
    """Although the provider has signed it."""
    token = issue(claims_of(name, **changed), name, key=OTHER_KEY)

    with pytest.raises(ClaimError) as caught:
        verified(token, settings_of(name))

    assert expected == (caught.value.reason, caught.value.claim)


@pytest.mark.parametrize("name", sorted({name for name, _ in FOUND}))
def test_a_forged_token_is_refused(name: str) -> None:
    """Another key under the provider's key id."""
    real = EC_KEY if name in OF_EC else KEY
    forger = SigningKey.generate(real.algorithm, kid=real.kid)

    with pytest.raises(InvalidTokenError) as caught:
        verified(issue(claims_of(name), name, key=forger), settings_of(name))

    assert Reason.SIGNATURE is caught.value.reason


def test_what_the_okta_org_issues_is_refused_by_its_type() -> None:
    """Even where the org is configured as the issuer."""
    org = "https://example.okta.com"
    settings = settings_of("okta", issuer=org, audience=org)
    header = {"typ": "application/okta-internal-at+jwt"}

    with pytest.raises(InvalidTokenError) as caught:
        verified(issue(claims_of("okta", iss=org, aud=org), "okta", header=header), settings)

    assert Reason.TYPE is caught.value.reason


@pytest.mark.parametrize(
    ("name", "token", "reason"),
    [
        ("auth0", "kR5vXw0pQ2", Reason.NOT_COMPACT),
        ("auth0", "e30..e30.e30.e30", Reason.ENCRYPTED),
        ("google", "ya29.a0AfH6SMBx", Reason.NOT_COMPACT),
    ],
    ids=["auth0, opaque", "auth0, opaque and encrypted", "google, opaque"],
)
def test_an_opaque_token_is_refused(name: str, token: str, reason: Reason) -> None:
    """It is no JWS."""
    with pytest.raises(InvalidTokenError) as caught:
        verified(token, settings_of(name))

    assert reason is caught.value.reason


def test_a_token_without_its_signature_is_refused() -> None:
    """Cloud Run puts this in its place."""
    head = issue(claims_of("google", 1), "google").rpartition(".")[0]

    with pytest.raises(InvalidTokenError):
        verified(f"{head}.SIGNATURE_REMOVED_BY_GOOGLE", settings_of("google"))


# What the page warns of


@pytest.mark.parametrize(
    ("name", "provider", "changed"),
    [
        ("entra", "entra", {"scp": None, "nonce": "n-0S6_WzA2Mj"}),
        ("keycloak", "keycloak", {"typ": "ID", "realm_access": None, "scope": None}),
        ("whole_pool", "cognito", {"token_use": "id", "client_id": None, "scope": None}),
    ],
    ids=["entra, one registration", "keycloak, one client", "cognito, no audience"],
)
def test_an_id_token_that_passes_has_no_scope(
    name: str, provider: str, changed: dict[str, Any]
) -> None:
    """Where nothing else tells it apart, a route that asks for a scope refuses it."""
    settings = RECIPES[name].settings()
    give_keys(settings, provider)
    headers = bearer(issue(claims_of(provider, **changed), provider, key=OTHER_KEY))

    accepted = client_of(settings).get("/me", headers=headers)
    refused = client_of(settings, "reports:read").get("/me", headers=headers)

    assert (200, []) == (accepted.status_code, accepted.json()["scopes"])
    assert 403 == refused.status_code


def test_groups_are_in_the_id_tokens_of_cognito_too() -> None:
    """So they must not be all that stands between an ID token and a route."""
    settings = (
        RECIPES["whole_pool"].settings().model_copy(update={"scopes_claim": "cognito:groups"})
    )
    give_keys(settings, "cognito")
    token = issue(claims_of("cognito", token_use="id", client_id=None, scope=None), "cognito")

    assert 200 == client_of(settings, "editors").get("/me", headers=bearer(token)).status_code


def test_a_program_has_no_uid_at_okta() -> None:
    """401 where the user is asked for."""
    settings = settings_of("okta")
    token = issue(claims_of("okta", uid=None, sub="0oa1gm0z3nXyZaBcD0h8"), "okta")

    assert 401 == client_of(settings).get("/me", headers=bearer(token)).status_code


def test_each_kind_of_entras_tokens_has_its_router() -> None:
    """The example of the page: people with `scp`, applications with `roles`, and no others."""
    namespace = RECIPES["entra"].run()
    for settings in (namespace["entra"], namespace["entra_jobs"]):
        give_keys(settings, "entra")
    client = TestClient(namespace["app"])
    people, jobs = (bearer(issue(claims_of("entra", number), "entra")) for number in (0, 1))
    nobody = bearer(issue(claims_of("entra", 1, roles=None), "entra"))

    assert [200, 403, 403] == [
        client.get("/reports", headers=headers).status_code for headers in (people, jobs, nobody)
    ]
    assert [403, 200, 403] == [
        client.get("/jobs/reports", headers=headers).status_code
        for headers in (people, jobs, nobody)
    ]


@pytest.mark.parametrize(
    ("number", "changed", "status"),
    [
        (0, {}, 200),
        (1, {}, 200),
        (0, {"hd": None, "email": "ada@gmail.com"}, 403),
        (0, {"hd": "example.org"}, 403),
        (0, {"email_verified": False}, 403),
        (1, {"email": "nightly@other-project.iam.gserviceaccount.com"}, 403),
    ],
    ids=["ours", "our program", "anybody", "another domain", "unverified", "another's program"],
)
def test_google_says_who_it_is_and_the_service_decides(
    number: int, changed: dict[str, Any], status: int
) -> None:
    """The example of the page."""
    known_caller = RECIPES["google"].run()["known_caller"]
    app = FastAPI()
    router = protected_router(settings=settings_of("google"), dependencies=[Depends(known_caller)])
    router.add_api_route("/me", lambda: None)
    app.include_router(router)
    token = issue(claims_of("google", number, **changed), "google")

    assert status == TestClient(app).get("/me", headers=bearer(token)).status_code


def test_the_padded_token_of_a_load_balancer_is_refused() -> None:
    """`X-Amzn-Oidc-Data`: each part ends in equals signs, and they are signed."""
    settings = settings_of("alb", token_header_key="X-Amzn-Oidc-Data")
    header, payload, signature = issue(claims_of("alb"), "alb").split(".")
    padded = ".".join(part + "=" * (-len(part) % 4) for part in (header + "==", payload, signature))

    answer = client_of(settings).get("/me", headers={"X-Amzn-Oidc-Data": padded})

    assert 401 == answer.status_code


def test_a_service_token_of_cloudflare() -> None:
    """Its `sub` is empty, and its name in another claim."""
    settings = settings_of("cloudflare")
    token = issue(claims_of("cloudflare", sub="", common_name="ci.example"), "cloudflare")
    headers = sent(token, settings)
    programs = settings_of("cloudflare", user_id_claim="common_name")

    assert 401 == client_of(settings).get("/me", headers=headers).status_code
    assert "ci.example" == client_of(programs).get("/me", headers=headers).json()["user"]


@pytest.mark.parametrize(
    ("name", "path", "claims"),
    [
        (
            "keycloak",
            "resource_access.my.api.roles",
            {"resource_access": {"my.api": {"roles": ["editor"]}}},
        ),
        (
            "auth0",
            "https://example.com/app.roles",
            {"https://example.com/app": {"roles": ["editor"]}},
        ),
    ],
    ids=["a client id with dots", "inside an object under a name with dots"],
)
def test_what_a_path_does_not_reach_grants_nothing(
    name: str, path: str, claims: dict[str, Any]
) -> None:
    """A dot inside a name looks like one between two."""
    settings = settings_of(name, scopes_claim=path)

    assert frozenset() == scopes_of(Claims(claims), settings)


def test_a_role_with_a_space_cannot_be_asked_for() -> None:
    """Such as `Domain Users`."""
    with pytest.raises(ConfigurationError):
        require_scopes("Domain Users")


# Several, none, and local ones


@pytest.mark.parametrize(
    ("issuer", "provider", "user", "scope"),
    [
        ("customers", "auth0", "customers|auth0|65f1c0a2b3d4e5f6a7b8c9d0", "reports:read"),
        ("staff", "entra", "staff|690222be-ff1a-4d56-abd1-7e4f7d38e474", "Reports.Read"),
    ],
    ids=["customers", "staff"],
)
def test_several_providers_are_served_side_by_side(
    issuer: str, provider: str, user: str, scope: str
) -> None:
    """Each token under the claim names of its own issuer."""
    settings = RECIPES["several"].settings()
    give_keys(settings, provider, issuer)
    headers = bearer(issue(claims_of(provider), provider))

    answer = client_of(settings, scope).get("/me", headers=headers)

    assert user == answer.json()["user"]


def test_one_providers_audience_is_not_the_others() -> None:
    """A token of the customers' issuer for the staff's audience is refused."""
    settings = RECIPES["several"].settings()
    audience = RECIPES["entra"].tokens[0]["aud"]

    with pytest.raises(ClaimError) as caught:
        verified(issue(claims_of("auth0", aud=audience), "auth0"), settings)

    assert (FOREIGN, "aud") == (caught.value.reason, caught.value.claim)


def test_without_an_audience_every_app_client_is_accepted() -> None:
    """Of this pool, and of no other."""
    settings = RECIPES["whole_pool"].settings()
    give_keys(settings, "cognito")
    scope = "https://api.example.com/reports.read"
    answers = [
        client_of(settings, scope).get("/me", headers=bearer(issue(claims, "cognito")))
        for claims in (
            claims_of("cognito", client_id="3n4b5urk1ft4fl3mg5e62d9ado"),
            claims_of("cognito", iss=f"{COGNITO}/eu-west-1_Zz98Yy76X"),
        )
    ]

    assert [200, 401] == [answer.status_code for answer in answers]


def test_an_audience_is_not_given_and_waived_at_once() -> None:
    """It would look like a check."""
    with pytest.raises(ConfigurationError):
        RECIPES["cognito"].settings().model_copy(update={"verify_audience": False})


def test_http_is_for_this_machine_only() -> None:
    """And only where the settings say so."""
    local = RECIPES["local"].settings()

    for changed in ({"allow_loopback": False}, {"issuer": "http://keycloak:8080/realms/demo"}):
        with pytest.raises(ConfigurationError):
            local.model_copy(update=changed)


def test_a_provider_on_this_machine() -> None:
    """Over real HTTP: found by discovery, under a path as Keycloak has it."""
    with FakeIssuer(path="/realms/demo") as issuer:
        settings = RECIPES["local"].settings().model_copy(update={"issuer": issuer.issuer})
        token = issuer.token({"sub": "alice"}, audience="my-api")

        assert "alice" == verified(token, settings).claims["sub"]
