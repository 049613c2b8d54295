"""`require_acr` requires a user authentication (RFC 9470)."""

import time
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends

from jwt_deps import (
    ConfigurationError,
    InsufficientAuthenticationError,
    JWTSettings,
    Reason,
    Step,
    optional,
    protected_router,
    require_acr,
    require_scopes,
)
from jwt_deps.audit import audit
from jwt_deps.tokens import Claims
from jwt_deps.web.requirements import insufficiency
from tests.web.serving import SETTINGS, bearer, client_of, document_of, including

NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"acr": "phr", "auth_time": NOW}, None, id="first-value"),
        pytest.param({"acr": "phrh", "auth_time": NOW - 300}, None, id="other-value-at-the-limit"),
        pytest.param({"acr": "phr", "auth_time": NOW - 310}, None, id="within-leeway"),
        pytest.param({"acr": "phr", "auth_time": NOW - 299.5}, None, id="fraction"),
        pytest.param({"acr": "phr", "auth_time": NOW + 10}, None, id="clock-behind"),
        pytest.param({"acr": "phr", "auth_time": NOW - 311}, Reason.AUTH_TIME, id="too-long-ago"),
        pytest.param({"acr": "phr", "auth_time": NOW + 11}, Reason.AUTH_TIME, id="to-come"),
        pytest.param({"acr": "phr"}, Reason.AUTH_TIME, id="no-time"),
        pytest.param({"acr": "phr", "auth_time": str(NOW)}, Reason.AUTH_TIME, id="time-as-text"),
        pytest.param({"acr": "phr", "auth_time": True}, Reason.AUTH_TIME, id="time-as-bool"),
        pytest.param({"acr": "phr", "auth_time": None}, Reason.AUTH_TIME, id="time-null"),
        pytest.param({"acr": "phr", "auth_time": 10**400}, Reason.AUTH_TIME, id="beyond-floats"),
        pytest.param({"auth_time": NOW}, Reason.ACR, id="no-acr"),
        pytest.param({"acr": "pwd", "auth_time": NOW}, Reason.ACR, id="weaker"),
        pytest.param({"acr": "PHR", "auth_time": NOW}, Reason.ACR, id="other-case"),
        pytest.param({"acr": "phr phrh", "auth_time": NOW}, Reason.ACR, id="both-in-one-text"),
        pytest.param({"acr": ["phr"], "auth_time": NOW}, Reason.ACR, id="list"),
        pytest.param({"acr": "pwd", "auth_time": 0}, Reason.ACR, id="acr-comes-first"),
    ],
)
def test_what_suffices(claims: dict[str, Any], reason: Reason | None) -> None:
    """Any of the values, and recent enough, by the clocks' difference that is forgiven."""
    assert reason == insufficiency(Claims(claims), ("phr", "phrh"), 300, 10, float(NOW))


router = APIRouter()


@router.post("/pay", dependencies=[Depends(require_acr("phr", "phrh", max_age=300))])
async def pay() -> str:
    """Ask for a strong and recent authentication."""
    return "paid"


@router.post(
    "/transfer", dependencies=[Depends(require_acr("phr")), Depends(require_scopes("write:money"))]
)
async def transfer() -> None:
    """Ask for a scope as well."""


@router.get("/recent", dependencies=[Depends(require_acr(max_age=60))])
async def recent() -> None:
    """Ask for a recent one, however strong."""


@router.get("/maybe")
async def maybe(_: Annotated[None, Depends(optional(require_acr("phr")))]) -> None:
    """Ask only who comes with a token."""


client = client_of(protected_router(router, settings=SETTINGS))


def test_who_authenticated_so_passes() -> None:
    """With the same token again, too."""
    strong = bearer(acr="phr", auth_time=time.time())

    assert [200, 200] == [client.post("/pay", headers=strong).status_code for _ in range(2)]


def test_the_challenge() -> None:
    """401 with what RFC 9470 §3 has a client send its user back with."""
    response = client.post("/pay", headers=bearer(acr="pwd", auth_time=time.time()))

    assert 401 == response.status_code
    assert "no-store" == response.headers["cache-control"]
    assert response.headers["www-authenticate"] == (
        'Bearer error="insufficient_user_authentication", '
        'error_description="a different user authentication is needed for this", '
        'acr_values="phr phrh", max_age="300"'
    )


def test_the_challenge_when_it_was_too_long_ago() -> None:
    """Only what is needed is in there."""
    response = client.get("/recent", headers=bearer(auth_time=time.time() - 3600))

    assert response.headers["www-authenticate"] == (
        'Bearer error="insufficient_user_authentication", '
        'error_description="a more recent user authentication is needed for this", max_age="60"'
    )


def test_a_time_that_no_float_holds() -> None:
    """401 as for any time that is not recent, never a server error."""
    headers = bearer(auth_time=10**309)

    assert 401 == client.get("/recent", headers=headers).status_code


def test_the_challenge_names_the_scopes_of_the_route_too() -> None:
    """So that one new authorization request is enough."""
    response = client.post("/transfer", headers=bearer())

    assert 'acr_values="phr", scope="write:money"' in response.headers["www-authenticate"]


def test_a_remembered_token_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The age is asked with every request, also of a token that is known."""
    headers = bearer(auth_time=time.time() - 50)
    first = client.get("/recent", headers=headers)

    later = time.time() + 30
    monkeypatch.setattr("jwt_deps.web.requirements.time.time", lambda: later)

    assert [200, 401] == [first.status_code, client.get("/recent", headers=headers).status_code]


def test_optional() -> None:
    """A token that does not suffice is refused there too."""
    answers = [client.get("/maybe", headers=headers) for headers in (bearer(), bearer(acr="phr"))]

    assert [401, 200] == [answer.status_code for answer in answers]


@pytest.mark.parametrize(
    ("values", "max_age"),
    [
        pytest.param((), None, id="nothing"),
        pytest.param(("",), None, id="empty"),
        pytest.param(("a b",), None, id="space"),
        pytest.param(('a"',), None, id="quote"),
        pytest.param((), -1, id="negative"),
        pytest.param((), True, id="bool"),
        pytest.param((), 1.5, id="fraction"),
    ],
)
def test_what_no_challenge_can_carry_is_refused(values: tuple[str, ...], max_age: Any) -> None:
    """When the route is written, not when it is asked."""
    with pytest.raises(ConfigurationError) as refused:
        require_acr(*values, max_age=max_age)

    assert "acr_values" == refused.value.reason
    require_acr(max_age=0)  # a log-in of this moment
    require_acr("phr")


def test_the_error_is_typed() -> None:
    """For an application's own exception handler."""
    error = InsufficientAuthenticationError(Reason.ACR, ["phr"], 300)

    assert (("phr",), 300, (), Step.AUTHENTICATION) == (
        error.acr_values,
        error.max_age,
        error.scopes,
        error.step,
    )


class TestTold:
    """OpenAPI and the audit tell of it."""

    app = including(protected_router(router, settings=SETTINGS))

    def test_openapi(self) -> None:
        """In an extension of the operation."""
        paths = document_of(self.app)["paths"]

        assert {"acr_values": ["phr", "phrh"], "max_age": 300} == (
            paths["/pay"]["post"]["x-jwt-requires"]
        )
        assert {"max_age": 60} == paths["/recent"]["get"]["x-jwt-requires"]

    def test_openapi_of_several(self) -> None:
        """One of each list, and the strictest age."""
        both = APIRouter(dependencies=[Depends(require_acr("a", max_age=9))])
        both.get("/x", dependencies=[Depends(require_acr("b", "c", max_age=5))])(recent)
        app = including(protected_router(both, settings=SETTINGS))

        assert {"acr_values": [["a"], ["b", "c"]], "max_age": 5} == (
            document_of(app)["paths"]["/x"]["get"]["x-jwt-requires"]
        )

    def test_audit(self) -> None:
        """As a requirement of the route."""
        found = {route.path: route.requires for route in audit(self.app).routes}

        assert ("acr=phr|phrh", "max_age=300") == found["/pay"]
        assert (("max_age=60",), ()) == (found["/recent"], found["/maybe"])


def test_settings_are_those_of_the_route() -> None:
    strict = JWTSettings(secret_key=SETTINGS.secret_key, leeway=0)
    asked = client_of(protected_router(router, settings=strict))

    assert 401 == asked.get("/recent", headers=bearer(auth_time=time.time() - 65)).status_code
    assert 200 == client.get("/recent", headers=bearer(auth_time=time.time() - 65)).status_code
