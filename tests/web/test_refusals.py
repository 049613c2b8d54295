"""Status, challenge and words of every refusal, with nothing of the token in them."""

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from jwt_deps import (
    AuthError,
    ExpiredTokenError,
    JWTSettings,
    TokenSource,
    current_user_id,
    protected_router,
    require_scopes,
)
from jwt_deps.errors import (
    CrossSiteRequestError,
    InsufficientScopeError,
    InvalidRequestError,
    KeysUnavailableError,
    MissingTokenError,
    Reason,
    ReplaysUnavailableError,
    RevocationUnavailableError,
    SignatureError,
    TooManyProofsError,
)
from jwt_deps.web.responses import refusal
from jwt_deps.web.routing import UNKNOWN
from tests.minting import OTHER_SECRET, SECRET, claims, mint
from tests.web.serving import bearer, client_of, token


def serving(**options: Any) -> TestClient:
    router = protected_router(
        settings=JWTSettings(secret_key=SECRET, issuer="idp", audience="api", **options)
    )

    @router.api_route("/me", methods=["GET", "POST"])
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    @router.get("/admin", dependencies=[Depends(require_scopes("admin", "write"))])
    async def admin() -> None: ...

    return client_of(router)


def good(**members: Any) -> str:
    return token(**{"iss": "idp", "aud": "api", **members})


BARE = 'Bearer realm="api"'


def said(error: str, words: str) -> str:
    return f'Bearer error="{error}", error_description="{words}"'


#: What a client that was told nothing else is told of a token: what is wrong with it.
INVALID = {
    "malformed": ("nonsense", "it is not a JWS in compact serialization"),
    "forged": (good(secret=OTHER_SECRET), "signature verification failed"),
    "foreign-audience": (good(aud="evil☃"), "it is meant for another service"),
    "foreign-issuer": (good(iss="evil"), "its issuer is not accepted"),
    "no-user": (good(sub=""), "it names no user"),
    "too-large": ("x" * 20000, "it is longer than this service reads"),
}
NO_BEARER = "Invalid token: the Authorization header has no Bearer token"
EXPIRED = "Token has expired", said("invalid_token", "The access token expired")


@pytest.mark.parametrize(
    ("values", "status", "detail", "challenge"),
    [
        pytest.param([], 401, "Authorization header missing", BARE, id="absent"),
        pytest.param(["Basic YTpi"], 401, NO_BEARER, BARE, id="other-scheme"),
        pytest.param(["Bearer"], 401, NO_BEARER, BARE, id="scheme-alone"),
        *(
            pytest.param(
                values, 400, f"Invalid token: {words}", said("invalid_request", words), id=name
            )
            for name, values, words in (
                ("list", ["Bearer a, Bearer b"], "one header carries several credentials"),
                (
                    "two-headers",
                    [f"Bearer {good()}"] * 2,
                    "more than one header carries credentials",
                ),
            )
        ),
        *(
            pytest.param([f"Bearer {good(exp=1, secret=secret)}"], 401, *EXPIRED, id=name)
            for name, secret in (("expired", SECRET), ("forged-and-expired", OTHER_SECRET))
        ),
        *(
            pytest.param(
                [f"Bearer {it}"],
                401,
                f"Invalid token: {words}",
                said("invalid_token", words),
                id=name,
            )
            for name, (it, words) in INVALID.items()
        ),
    ],
)
def test_refusals_are_exact(values: list[str], status: int, detail: str, challenge: str) -> None:
    """Status, body and challenge are those of RFC 6750 §3, in fixed words.

    Of two headers it cannot be known which one another component believed.
    """
    answer = serving().get("/me", headers=[("Authorization", value) for value in values])

    assert (status, {"detail": detail}, challenge) == (
        answer.status_code,
        answer.json(),
        answer.headers["www-authenticate"],
    )
    assert "no-store" == answer.headers["cache-control"]


def test_missing_scope_is_forbidden_with_all_scopes_needed() -> None:
    """403 `insufficient_scope`, and the scopes that would do."""
    answer = serving().get("/admin", headers={"Authorization": f"Bearer {good(scope='admin')}"})

    assert 403 == answer.status_code
    assert (
        'Bearer error="insufficient_scope", '
        'error_description="the access token lacks a scope that this needs", '
        'scope="admin write"'
    ) == answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        pytest.param(TokenSource.HEADER, "X-Token header missing", id="header"),
        pytest.param(TokenSource.COOKIE, "JWT cookie 'jar' missing", id="cookie"),
        pytest.param(
            TokenSource.BOTH,
            "JWT token missing from both X-Token header and 'jar' cookie",
            id="both",
        ),
    ],
)
def test_a_missing_token_is_named_in_the_words_of_the_middleware(
    source: TokenSource, detail: str
) -> None:
    """Clients of the AgentOS middleware keep working."""
    client = serving(token_source=source, token_header_key="X-Token", cookie_name="jar")

    assert {"detail": detail} == client.get("/me").json()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="cross-site"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="foreign-origin"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="same-origin"),
        pytest.param({"Origin": "http://testserver"}, 200, id="own-origin"),
        pytest.param({}, 200, id="no-browser"),
    ],
)
def test_a_cookie_on_a_request_that_can_change_state_has_to_come_from_the_own_site(
    headers: dict[str, str], status: int
) -> None:
    """A page of another site cannot borrow the user's cookie."""
    client = serving(token_source="cookie")
    client.cookies.set("access_token", good())

    answer = client.post("/me", headers=headers)

    assert status == answer.status_code
    if status == 403:
        assert {"detail": "Invalid token: it came with a cross-site request"} == (answer.json())
        assert "www-authenticate" not in answer.headers


def test_a_cookie_on_a_request_that_changes_nothing_may_come_from_anywhere() -> None:
    """A link from another site to a page still opens it."""
    client = serving(token_source="cookie")
    client.cookies.set("access_token", good())

    assert 200 == client.get("/me", headers={"Sec-Fetch-Site": "cross-site"}).status_code


def test_the_typed_error_is_within_reach_of_an_exception_handler() -> None:
    """An application can send its own body: the cause of the exception is the typed error."""
    app = FastAPI()
    router = protected_router(settings=JWTSettings(secret_key=SECRET))

    @router.get("/me")
    async def me() -> None: ...

    app.include_router(router)

    @app.exception_handler(HTTPException)
    async def problem(_: Request, error: HTTPException) -> JSONResponse:
        cause = error.__cause__
        reason = cause.reason if isinstance(cause, AuthError) else None
        kind = type(cause).__name__
        return JSONResponse({"reason": reason, "kind": kind}, error.status_code, error.headers)

    answer = TestClient(app).get("/me", headers=bearer(exp=1))

    assert {"reason": "expired", "kind": ExpiredTokenError.__name__} == answer.json()
    assert "invalid_token" in answer.headers["www-authenticate"]


def test_the_log_has_the_reason_and_the_kid_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Reason code and `kid`, escaped; never the token, never a claim."""
    forged = mint(
        claims(now=time.time(), sub="alice@example.com", iss="idp", aud="api"),
        OTHER_SECRET,
        header={"kid": "k1\nlevel=ERROR " + "x" * 100},
    )

    with caplog.at_level(logging.INFO, "jwt_deps"):
        serving().get("/me", headers={"Authorization": f"Bearer {forged}"})

    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("request refused: reason=signature kid='k1\\nlevel=ERROR x")
    assert "\n" not in message
    assert len(message) < 120
    assert forged not in message
    assert "alice" not in message


def test_no_header_injection_through_a_scope_that_fastapi_did_not_check() -> None:
    """`Security` takes any text as a scope; the challenge takes only what a scope can be."""
    router = protected_router(settings=JWTSettings(secret_key=SECRET))

    @router.get("/r", dependencies=[Security(current_user_id, scopes=['a"\r\nX: y', "good", "☃"])])
    async def read() -> None: ...

    answer = client_of(router).get("/r", headers=bearer())

    assert 403 == answer.status_code
    assert answer.headers["www-authenticate"].endswith('scope="good"')


@pytest.mark.parametrize(
    ("parent", "given", "status"),
    [
        pytest.param(KeysUnavailableError, [7], 503, id="keys"),
        pytest.param(RevocationUnavailableError, [7], 503, id="revocation"),
        pytest.param(ReplaysUnavailableError, [7], 503, id="replays"),
        pytest.param(TooManyProofsError, [7], 429, id="too-many-proofs"),
        pytest.param(InsufficientScopeError, [["admin"]], 403, id="scope"),
        pytest.param(CrossSiteRequestError, [], 403, id="cross-site"),
        pytest.param(InvalidRequestError, [Reason.REPEATED_CREDENTIALS, "two"], 400, id="request"),
        pytest.param(SignatureError, [], 401, id="token"),
    ],
)
def test_an_error_of_ones_own_is_answered_like_the_one_it_is_made_of(
    parent: type[AuthError], given: list[Any], status: int
) -> None:
    """A revocation source may raise its own kind of outage, which is no reason to log out."""
    connection = HTTPConnection({"type": "http", "headers": []})
    own = type("Own", (parent,), {})

    answers = [refusal(SETTINGS, kind(*given), connection, UNKNOWN) for kind in (own, parent, own)]

    said = [(it.status_code, it.headers) for it in answers if isinstance(it, HTTPException)]
    assert [(status, said[1][1])] * 3 == said


SETTINGS = JWTSettings(secret_key=SECRET)
SCOPE = 'Bearer error="insufficient_scope", error_description="it lacks a scope"'


class WithoutCodeError(InsufficientScopeError):
    code = None  # type: ignore[assignment]


class LackingError(InsufficientScopeError):
    def __init__(self, scopes: list[str]) -> None:
        AuthError.__init__(self, Reason.SCOPE, "it lacks a scope")
        self.scopes = tuple(scopes)


class ScopeFirstError(LackingError, KeysUnavailableError): ...


class TokenLastError(LackingError, MissingTokenError): ...


@pytest.mark.parametrize(
    ("kind", "challenge"),
    [
        pytest.param(WithoutCodeError, None, id="without-a-code"),
        pytest.param(ScopeFirstError, f'{SCOPE}, scope="a"', id="a-scope-before-an-outage"),
        pytest.param(TokenLastError, 'Bearer realm="api"', id="no-token"),
    ],
)
def test_an_error_of_several_kinds_has_nothing_in_its_answer_that_it_has_no_value_for(
    kind: Callable[[list[str]], AuthError], challenge: str | None
) -> None:
    """Its status is that of the first kind that has one."""
    connection = HTTPConnection({"type": "http", "headers": []})

    answer = refusal(SETTINGS, kind(["a"]), connection, UNKNOWN)

    assert isinstance(answer, HTTPException)
    expected = {"Cache-Control": "no-store"}
    if challenge is not None:
        expected["WWW-Authenticate"] = challenge
    assert (403, expected) == (answer.status_code, answer.headers)
