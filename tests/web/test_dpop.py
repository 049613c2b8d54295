"""A DPoP-bound token is accepted only with its key (RFC 9449), attack by attack."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable
from typing import Annotated, Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.exception_handlers import http_exception_handler
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from jwt_deps import (
    AuthError,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    Reason,
    TooManyProofsError,
    current_user_id,
    get_claims,
    get_settings,
    protected_router,
    require_scopes,
)
from jwt_deps.audit import audit
from jwt_deps.jose import thumbprint
from jwt_deps.possession import MemoryReplayStore, Nonces, StoreUnavailableError, confirm
from jwt_deps.testing import FakeIssuer, SigningKey
from tests.forking import Halt, in_a_child, may_fork
from tests.guards.asking import scope_of
from tests.minting import SECRET, b64, claims, mint, pair
from tests.mistakes import refusing
from tests.proving import KEY, ORIGIN, OTHER_KEY, ath, bound_token, jkt, proof, with_dpop
from tests.web.serving import LIVE, SETTINGS, bearer, document_of, including, live_mounts, token

ALGS = 'algs="ES256 PS256 Ed25519 EdDSA"'


def settings(**members: Any) -> JWTSettings:
    return JWTSettings(
        **{"secret_key": SECRET, "public_origin": ORIGIN, "dpop": "allowed"} | members
    )


def test_a_key_that_cryptography_does_not_support_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In FIPS mode, for example: it is the client's mistake and no error of the server."""
    monkeypatch.setattr(Ed25519PublicKey, "from_public_bytes", refusing)
    key = pair("Ed25519", "client")
    bound = mint(claims(now=time.time(), cnf={"jkt": thumbprint(key.jwk())}), SECRET)

    asked = ask(with_dpop(bound, key=key, algorithm="EdDSA"))

    assert (401, Reason.PROOF_KEY) == asked[:2]


def _always(configured: JWTSettings) -> Any:
    return lambda: configured


async def reading(request: Request) -> str:
    """Read a header, and then ask for the user."""
    request.headers.get("x")
    return await current_user_id(request, SecurityScopes())


def app_of(configured: JWTSettings, reasons: list[Reason] | None = None) -> FastAPI:
    router = APIRouter()

    @router.head("/me", include_in_schema=False)
    @router.post("/me", include_in_schema=False)
    @router.get("/me")
    async def me(user: Annotated[CurrentUser, Depends()]) -> dict[str, str]:
        return {"id": user.id}

    @router.get("/files/{name:path}")
    async def file(name: str) -> str:
        return name

    @router.get("/scoped", dependencies=[Depends(require_scopes("a"))])
    async def scoped() -> None:
        """Ask for a scope."""

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    app = including(protected_router(router, settings=configured))
    if reasons is not None:
        _note(app, reasons)
    return app


def _note(app: FastAPI, reasons: list[Reason]) -> None:
    """Note the reasons of refusals."""

    @app.exception_handler(HTTPException)
    async def note(request: Request, error: HTTPException) -> Response:
        cause = error.__cause__
        assert isinstance(cause, AuthError)
        reasons.append(Reason(cause.reason))
        return await http_exception_handler(request, error)


def ask(
    headers: dict[str, str] | list[tuple[str, str]],
    method: str = "GET",
    path: str = "/me",
    configured: JWTSettings | None = None,
) -> tuple[int, Reason | None, str]:
    """Ask once, and return the status, the reason and the challenge."""
    reasons: list[Reason] = []
    client = TestClient(app_of(configured or settings(), reasons))
    response = client.request(method, path, headers=headers)
    challenge = response.headers.get("www-authenticate", "")
    return response.status_code, reasons[0] if reasons else None, challenge


TOKEN = bound_token()


def timed(parts: dict[str, Any]) -> dict[str, Any]:
    """Turn seconds from now into times; the tables are read long before they are used."""
    return {
        name: time.time() + value
        if name in {"iat", "exp", "nbf"} and type(value) in (int, float) and abs(value) < 10_000
        else value
        for name, value in parts.items()
    }


class TestAccepted:
    @pytest.mark.parametrize(
        ("key", "algorithm"),
        [
            pytest.param(KEY, "ES256", id="ES256"),
            pytest.param(pair("RSA", "client"), "PS256", id="PS256"),
            pytest.param(pair("Ed25519", "client"), "Ed25519", id="Ed25519"),
            pytest.param(pair("Ed25519", "client"), "EdDSA", id="EdDSA"),
        ],
    )
    def test_a_token_with_its_proof(self, key: Any, algorithm: str) -> None:
        """Of any algorithm that is accepted by default."""
        bound = mint(claims(now=time.time(), cnf={"jkt": thumbprint(key.jwk())}), SECRET)

        assert (200, None, "") == ask(with_dpop(bound, key=key, algorithm=algorithm))

    @pytest.mark.parametrize(
        "parts",
        [
            pytest.param({"htu": f"{ORIGIN}:443/me"}, id="default-port"),
            pytest.param({"htu": f"{ORIGIN}/m%65?q=1#f"}, id="escapes-query-fragment"),
            pytest.param({"htu": "HTTPS://API.example.com/a/../me"}, id="case-and-dots"),
            pytest.param({"iat": -55}, id="nearly-a-minute-old"),
            pytest.param({"iat": 25}, id="clock-ahead"),
            pytest.param({"iat": 0.5}, id="fraction-of-a-second"),
            pytest.param({"exp": 5, "nbf": -5}, id="exp-and-nbf"),
            pytest.param({"nonce": "anything"}, id="nonce-that-nobody-asked-for"),
        ],
    )
    def test_what_a_proof_may_say(self, parts: dict[str, Any]) -> None:
        """The same target by RFC 3986, and a clock that is a little off."""
        assert 200 == ask(with_dpop(TOKEN, **timed(parts)))[0]

    def test_scheme_in_any_case(self) -> None:
        """RFC 9110 §11.1."""
        assert 200 == ask({"Authorization": f"dpop  {TOKEN}", "DPoP": proof(TOKEN)})[0]

    def test_bearer_tokens_where_dpop_is_allowed(self) -> None:
        """Tokens that are bound to nothing stay what they were, with a stray proof too."""
        assert 200 == ask(bearer())[0]
        assert 200 == ask({**bearer(), "DPoP": "junk"})[0]

    def test_a_proof_per_method(self) -> None:
        """HEAD is one of its own."""
        assert 200 == ask(with_dpop(TOKEN, htm="HEAD"), "HEAD")[0]

    def test_prefix_of_a_proxy(self) -> None:
        """It is part of the public origin."""
        headers = with_dpop(TOKEN, htu=f"{ORIGIN}/v1/me")

        assert 200 == ask(headers, configured=settings(public_origin=f"{ORIGIN}/v1/"))[0]

    @pytest.mark.parametrize(
        ("prefix", "root_path", "path", "htu"),
        [
            pytest.param("/v1", "/v1", "/v1/me", "/v1/me", id="the-server-put-it-back"),
            pytest.param("/a/v1", "/v1", "/v1/me", "/a/v1/me", id="longer-outside"),
            pytest.param("/v1", "/v1", "/me", "/v1/me", id="only-the-application-knows"),
            pytest.param("", "/v1", "/v1/me", "/v1/me", id="nothing-cut-off"),
            pytest.param("/ev1", "/v1", "/v1/me", "/ev1/v1/me", id="another-prefix"),
            pytest.param("/fi", "/fi", "/files/a", "/fi/files/a", id="a-longer-name"),
        ],
    )
    def test_root_path(self, prefix: str, root_path: str, path: str, htu: str) -> None:
        """The prefix counts once, whether server or proxy adds it to the path."""
        app = app_of(settings(public_origin=f"{ORIGIN}{prefix}"))
        client = TestClient(app, root_path=root_path)

        assert 200 == client.get(path, headers=with_dpop(TOKEN, htu=f"{ORIGIN}{htu}")).status_code

    def test_root_path_above_a_mount(self) -> None:
        """What a mount adds to it is no prefix of a proxy's."""
        outer = FastAPI()
        outer.mount("/v1", app_of(settings(public_origin=f"{ORIGIN}/v1")))
        headers = with_dpop(TOKEN, htu=f"{ORIGIN}/v1/v1/me")

        assert 200 == TestClient(outer).get("/v1/me", headers=headers).status_code

    def test_once_per_request(self) -> None:
        """Guard, user and scopes ask about the same proof, which is used up once."""
        allowed = bound_token(scope="a")

        assert 200 == ask(with_dpop(allowed, htu=f"{ORIGIN}/scoped"), path="/scoped")[0]

    @live_mounts
    def test_under_two_guards_with_the_same_store(self) -> None:
        """A mount with a guard of its own uses the proof of the same request."""
        store = MemoryReplayStore()
        inner = app_of(settings(dpop_replay_store=store))
        outer = APIRouter()
        outer.mount("/in", inner)
        app = including(protected_router(outer, settings=settings(dpop_replay_store=store)))
        headers = with_dpop(TOKEN, htu=f"{ORIGIN}/in/me")
        client = TestClient(app)

        answers = [client.get("/in/me", headers=headers).status_code for _ in range(2)]

        assert [200, 401] == answers

    def test_once_per_request_whatever_reads_headers(self) -> None:
        """Starlette copies the list of headers when they are read."""
        app = FastAPI()

        @app.get("/me")
        async def me(
            first: Annotated[CurrentUser, Depends()], again: Annotated[Any, Depends(reading)]
        ) -> bool:
            return bool(first.id == again)

        app.dependency_overrides[get_settings] = _always(settings())

        assert TestClient(app).get("/me", headers=with_dpop(TOKEN)).json() is True

    def test_websocket(self) -> None:
        """The handshake is a GET to the https address, and denied like any other request."""
        client = TestClient(app_of(settings()))

        with client.websocket_connect("/live", headers=with_dpop(TOKEN, htu=f"{ORIGIN}/live")):
            pass
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/live", headers={"Authorization": f"Bearer {TOKEN}"}),
        ):
            pass


OTHER_TOKEN = bound_token(other=1)

ATTACKS = [
    pytest.param({"made": "x"}, Reason.PROOF_MALFORMED, id="no-jwt"),
    pytest.param({"made": "a.b.c.d.e"}, Reason.PROOF_MALFORMED, id="encrypted"),
    pytest.param({"made": f"{proof(TOKEN)}, {proof(TOKEN)}"}, Reason.PROOF_MALFORMED, id="list"),
    pytest.param({"made": f"{proof(TOKEN)}="}, Reason.PROOF_MALFORMED, id="padding"),
    pytest.param({"made": "e30.e30.e31"}, Reason.PROOF_MALFORMED, id="spare-bits"),
    pytest.param({"junk": "x" * 9000}, Reason.PROOF_MALFORMED, id="huge"),
    pytest.param({"header": {"crit": ["x"]}}, Reason.PROOF_MALFORMED, id="crit"),
    pytest.param({"header": {"b64": False}}, Reason.PROOF_MALFORMED, id="b64-without-crit"),
    pytest.param({"jti": None}, Reason.PROOF_CLAIMS, id="no-jti"),
    pytest.param({"jti": ""}, Reason.PROOF_CLAIMS, id="empty-jti"),
    pytest.param({"jti": 1}, Reason.PROOF_CLAIMS, id="jti-a-number"),
    pytest.param({"htm": None}, Reason.PROOF_CLAIMS, id="no-htm"),
    pytest.param({"htu": None}, Reason.PROOF_CLAIMS, id="no-htu"),
    pytest.param({"iat": None}, Reason.PROOF_CLAIMS, id="no-iat"),
    pytest.param({"iat": True}, Reason.PROOF_CLAIMS, id="iat-bool"),
    pytest.param({"iat": "1"}, Reason.PROOF_CLAIMS, id="iat-text"),
    pytest.param({"iat": 10**400}, Reason.PROOF_CLAIMS, id="iat-beyond-floats"),
    pytest.param({"header": {"typ": "JWT"}}, Reason.PROOF_TYPE, id="typ-of-a-token"),
    pytest.param({"header": {"typ": "DPOP+JWT"}}, Reason.PROOF_TYPE, id="typ-in-capitals"),
    pytest.param({"header": {"alg": "none"}}, Reason.PROOF_ALGORITHM, id="alg-none"),
    pytest.param({"header": {"alg": "HS256"}}, Reason.PROOF_ALGORITHM, id="alg-hs256"),
    pytest.param({"header": {"alg": ["ES256"]}}, Reason.PROOF_ALGORITHM, id="alg-list"),
    pytest.param({"header": {"alg": "PS256"}}, Reason.PROOF_ALGORITHM, id="alg-of-another-key"),
    pytest.param({"header": {"jwk": None}}, Reason.PROOF_KEY, id="no-jwk"),
    pytest.param({"header": {"jwk": {}}}, Reason.PROOF_KEY, id="empty-jwk"),
    pytest.param(
        {"header": {"jwk": {**KEY.jwk(), "x": "AAAA"}}}, Reason.PROOF_KEY, id="not-on-the-curve"
    ),
    pytest.param({"header": {"jwk": {**KEY.jwk(), "use": "enc"}}}, Reason.PROOF_KEY, id="enc-key"),
    pytest.param(
        {"header": {"jwk": {**KEY.jwk(), "d": "AAAA"}}}, Reason.PROOF_PRIVATE_KEY, id="private-jwk"
    ),
    pytest.param(
        {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}}, Reason.PROOF_PRIVATE_KEY, id="secret-jwk"
    ),
    pytest.param({"key": OTHER_KEY}, Reason.PROOF_BINDING, id="key-of-another-client"),
    pytest.param(
        {"key": OTHER_KEY, "header": {"jwk": KEY.jwk()}}, Reason.PROOF_SIGNATURE, id="forged"
    ),
    pytest.param({"htm": "POST"}, Reason.PROOF_METHOD, id="other-method"),
    pytest.param({"htm": "get"}, Reason.PROOF_METHOD, id="htm-in-another-case"),
    pytest.param({"htu": "https://evil.example/me"}, Reason.PROOF_TARGET, id="other-host"),
    pytest.param({"htu": "http://testserver/me"}, Reason.PROOF_TARGET, id="host-header"),
    pytest.param({"htu": "http://api.example.com/me"}, Reason.PROOF_TARGET, id="other-scheme"),
    pytest.param({"htu": f"{ORIGIN}:444/me"}, Reason.PROOF_TARGET, id="other-port"),
    pytest.param({"htu": f"{ORIGIN}/me/"}, Reason.PROOF_TARGET, id="slash-at-the-end"),
    pytest.param({"htu": f"{ORIGIN}/ME"}, Reason.PROOF_TARGET, id="path-in-another-case"),
    pytest.param({"htu": f"{ORIGIN}/me%2F"}, Reason.PROOF_TARGET, id="escaped-slash"),
    pytest.param({"htu": "https://a@api.example.com/me"}, Reason.PROOF_TARGET, id="userinfo"),
    pytest.param(
        {"htu": "https://api.example.com@evil.example/me"}, Reason.PROOF_TARGET, id="host-userinfo"
    ),
    pytest.param({"htu": "/me"}, Reason.PROOF_TARGET, id="relative"),
    pytest.param({"htu": "https:\\\\api.example.com\\me"}, Reason.PROOF_TARGET, id="backslashes"),
    pytest.param({"ath": None}, Reason.PROOF_TOKEN, id="no-ath"),
    pytest.param({"ath": ath(OTHER_TOKEN)}, Reason.PROOF_TOKEN, id="proof-of-another-token"),
    pytest.param({"iat": -3600}, Reason.PROOF_TIME, id="old"),
    pytest.param({"iat": 3600}, Reason.PROOF_TIME, id="future-iat"),
    pytest.param({"exp": -60}, Reason.PROOF_TIME, id="expired"),
    pytest.param({"exp": "soon"}, Reason.PROOF_TIME, id="exp-text"),
    pytest.param({"nbf": 60}, Reason.PROOF_TIME, id="not-yet"),
    pytest.param({"nbf": "now"}, Reason.PROOF_TIME, id="nbf-text"),
]


@pytest.mark.parametrize(("parts", "reason"), ATTACKS)
def test_attack(parts: dict[str, Any], reason: Reason) -> None:
    """Each check has its own reason; the answer says which scheme and algorithms to use."""
    status, found, challenge = ask(with_dpop(TOKEN, **timed(parts)))

    code = "invalid_token" if reason is Reason.PROOF_BINDING else "invalid_dpop_proof"
    assert (401, reason) == (status, found)
    assert challenge.startswith(f'DPoP error="{code}", ')
    assert challenge.endswith(f", {ALGS}")


def host_header_of_another_service() -> dict[str, str]:
    """A proof that was caught at another service, with every header that could name that."""
    return {
        **with_dpop(TOKEN, htu="https://evil.example/me"),
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.example;proto=https",
    }


def two_proofs() -> list[tuple[str, str]]:
    return [("Authorization", f"DPoP {TOKEN}"), *(("DPoP", proof(TOKEN)) for _ in range(2))]


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], Reason]] = {
    "no-proof": (lambda: {"Authorization": f"DPoP {TOKEN}"}, {}, Reason.PROOF_MISSING),
    "two-proofs-though-both-are-good": (two_proofs, {}, Reason.PROOF_REPEATED),
    "an-algorithm-of-the-key-that-is-not-accepted": (
        lambda: with_dpop(TOKEN),
        {"dpop_algorithms": ["PS256"]},
        Reason.PROOF_ALGORITHM,
    ),
    "a-plain-token-where-bound-ones-are-required": (
        bearer,
        {"dpop": "required"},
        Reason.NOT_BOUND,
    ),
    "an-expired-token": (
        lambda: with_dpop(mint(claims(now=0, cnf={"jkt": jkt()}), SECRET)),
        {},
        Reason.EXPIRED,
    ),
    "attack-the-host-header": (host_header_of_another_service, {}, Reason.PROOF_TARGET),
}


@pytest.mark.parametrize(("headers", "configured", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(headers: Callable[[], Any], configured: dict[str, Any], reason: Reason) -> None:
    """A token alone is not enough, and the token is looked at first."""
    assert (401, reason) == ask(headers(), configured=settings(**configured))[:2]


@pytest.mark.parametrize(
    ("times", "accepted"),
    [
        ({"iat": -60}, True),
        ({"iat": -61}, False),
        ({"iat": 30}, True),
        ({"iat": 31}, False),
        ({"nbf": 30}, True),
        ({"nbf": 31}, False),
        ({"exp": -29}, True),
        ({"exp": -30}, False),
    ],
    ids=str,
)
def test_clocks_that_differ(
    times: dict[str, int], monkeypatch: pytest.MonkeyPatch, *, accepted: bool
) -> None:
    """By half a minute; a proof may take half a minute more on its way (RFC 9449 §11.1)."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)

    asked = ask(with_dpop(TOKEN, **timed({"iat": 0, **times})))

    assert accepted == (asked[0] == 200)


def test_every_reason_has_an_attack() -> None:
    """But for those that one proof alone cannot show."""
    elsewhere = {
        Reason.PROOF_MISSING,
        Reason.PROOF_REPEATED,
        Reason.PROOF_NONCE,
        Reason.PROOF_REPLAYED,
        Reason.PROOF_LIMIT,
    }
    proofs = {reason for reason in Reason if reason.startswith("proof_")}

    assert proofs - elsewhere == {row.values[1] for row in ATTACKS}


class TestTheRequest:
    @pytest.mark.parametrize("mode", ["off", "allowed", "required"])
    def test_downgraded_to_bearer(self, mode: str) -> None:
        """Also with a good proof beside it, also where DPoP is off."""
        headers = {"Authorization": f"Bearer {TOKEN}", "DPoP": proof(TOKEN)}

        status, reason, challenge = ask(headers, configured=settings(dpop=mode))

        expected = Reason.CONFIRMATION if mode == "off" else Reason.DOWNGRADED
        assert (401, expected) == (status, reason)
        assert challenge.startswith('Bearer error="invalid_token"')
        assert challenge.endswith(f", DPoP {ALGS}") is (mode != "off")

    @pytest.mark.parametrize("where", ["cookie", "getter"])
    @pytest.mark.parametrize(
        ("header", "bound", "expected"),
        [
            pytest.param("DPoP x", True, (401, Reason.DOWNGRADED), id="bound-other-token-beside"),
            pytest.param(None, True, (401, Reason.DOWNGRADED), id="bound-alone"),
            pytest.param("DPoP x", False, (200, None), id="plain-other-token-beside"),
        ],
    )
    def test_attack_the_scheme_of_a_header_beside_the_token(
        self, header: str | None, expected: tuple[int, Reason | None], where: str, *, bound: bool
    ) -> None:
        """What counts is how the token came, and not what a header says that is not looked at."""
        sent = TOKEN if bound else token()
        place: dict[str, Any] = {"token_source": "cookie"}
        if where == "getter":
            place = {"token_getter": lambda connection: connection.cookies.get("access_token")}
        headers = {"Cookie": f"access_token={sent}", "DPoP": proof(sent)}
        if header is not None:
            headers["Authorization"] = header

        asked = ask(headers, configured=settings(dpop="allowed", **place))

        assert expected == asked[:2]

    def test_scheme_where_dpop_is_off(self) -> None:
        """It is another scheme, whose credentials are ignored here."""
        asked = ask(with_dpop(TOKEN), configured=settings(dpop="off"))

        assert (401, Reason.HEADER_FORM, 'Bearer realm="api"') == asked

    def test_plain_token_under_the_scheme(self) -> None:
        """A bearer token does not become bound by its scheme."""
        plain = token()

        status, reason, challenge = ask(with_dpop(plain))

        assert (401, Reason.NOT_BOUND) == (status, reason)
        assert challenge.startswith('DPoP error="invalid_token"')

    @pytest.mark.parametrize("bound", [{}, {"cnf": {"kid": "a"}}], ids=["unbound", "another-way"])
    def test_attack_no_key_is_fetched_for_a_token_that_is_not_bound(self, bound: Any) -> None:
        """Where bound ones are required, no key would save it."""
        with FakeIssuer(algorithm="ES256") as issuer:
            fetched = issuer.settings("api", dpop="required", public_origin=ORIGIN)
            made_up = SigningKey.generate("ES256", kid="made-up")
            sent = issuer.token({"sub": "alice", "aud": "api", **bound}, key=made_up)
            status, reason, _ = ask(with_dpop(sent), configured=fetched)

        assert (401, []) == (status, issuer.requests)
        assert reason in {Reason.NOT_BOUND, Reason.CONFIRMATION}

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param(
                [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"DPoP {TOKEN}")],
                id="two-headers",
            ),
            pytest.param({"Authorization": f"DPoP {TOKEN}, Bearer {TOKEN}"}, id="dpop-first"),
            pytest.param({"Authorization": f"Bearer {TOKEN}, DPoP {TOKEN}"}, id="bearer-first"),
            pytest.param({"Authorization": f"DPoP {TOKEN}, DPoP {TOKEN}"}, id="twice"),
        ],
    )
    def test_both_schemes_at_once(self, headers: Any) -> None:
        """400, for both schemes (RFC 9449 §7.2)."""
        status, _, challenge = ask(headers)

        assert 400 == status
        assert challenge.startswith('Bearer error="invalid_request", ')
        assert ', DPoP error="invalid_request", ' in challenge

    def test_nothing_at_all(self) -> None:
        """A challenge for each scheme that would do, without an error."""
        assert f'Bearer realm="api", DPoP {ALGS}' == ask({})[2]
        assert ask({})[2] == ask({"Authorization": "DPoP"})[2]
        assert f'DPoP realm="api", {ALGS}' == ask({}, configured=settings(dpop="required"))[2]

    def test_scope_missing(self) -> None:
        """The challenge speaks of the scheme that was used."""
        status, _, challenge = ask(with_dpop(TOKEN, htu=f"{ORIGIN}/scoped"), path="/scoped")

        assert 403 == status
        assert challenge.startswith('DPoP error="insufficient_scope"')

    @pytest.mark.parametrize(
        "cnf",
        [
            pytest.param({"jkt": jkt(), "kid": "x"}, id="and-something-unknown"),
            pytest.param({"jkt": jkt(), "x5t#S256": "x"}, id="and-a-certificate"),
            pytest.param({"jkt": 1}, id="no-text"),
            pytest.param({}, id="empty"),
            pytest.param([["jkt", "x"]], id="list"),
            pytest.param("x", id="text"),
        ],
    )
    def test_whatever_cannot_be_proved(self, cnf: Any) -> None:
        """Every member has to be."""
        bound = mint(claims(now=time.time(), cnf=cnf), SECRET)

        assert (401, Reason.CONFIRMATION) == ask(with_dpop(bound))[:2]

    def test_escaped_slash_is_no_slash(self) -> None:
        """A proof for one file opens no other."""
        configured = settings()
        one = with_dpop(TOKEN, htu=f"{ORIGIN}/files/a%2fb")
        other = with_dpop(TOKEN, htu=f"{ORIGIN}/files/a/b")

        assert 200 == ask(one, path="/files/a%2Fb", configured=configured)[0]
        assert (401, Reason.PROOF_TARGET) == ask(other, path="/files/a%2Fb")[:2]

    def test_anonymous(self) -> None:
        """With `validate=False` a stolen token leaves the request anonymous."""
        app = FastAPI()

        @app.get("/who")
        async def who(found: Annotated[Any, Depends(get_claims)]) -> list[str]:
            return sorted(found)

        configured = settings(validate=False)
        app.dependency_overrides[get_settings] = lambda: configured
        answer = TestClient(app).get("/who", headers={"Authorization": f"Bearer {TOKEN}"})

        assert [] == answer.json()


class _Broken:
    async def add_if_absent(self, key: str, ttl: float) -> bool:
        raise StoreUnavailableError(key, ttl)


async def _later(*_: object) -> bool:
    return True


class TestReplay:
    @pytest.mark.parametrize(
        "store",
        [
            type("Store", (), {"add_if_absent": bool})(),
            type("Store", (), {"add_if_absent": _later, "close": bool})(),
            MemoryReplayStore,
        ],
        ids=["add_if_absent", "close", "class"],
    )
    def test_a_store_whose_methods_are_not_async(self, store: Any) -> None:
        """Each request would fail, or the end of the application; so would those of a class."""
        with pytest.raises(ConfigurationError, match="ReplayStore with async methods"):
            settings(dpop_replay_store=store)

    def test_replay(self) -> None:
        """The same request a second time."""
        reasons: list[Reason] = []
        client = TestClient(app_of(settings(), reasons))
        headers = with_dpop(TOKEN)

        answers = [client.get("/me", headers=headers).status_code for _ in range(3)]

        assert ([200, 401, 401], [Reason.PROOF_REPLAYED] * 2) == (answers, reasons)

    def test_attack_a_replay_where_each_request_has_settings_of_its_own(self) -> None:
        """The memory of proofs is one for the process."""
        app = app_of(settings())
        app.dependency_overrides[get_settings] = settings
        client, headers = TestClient(app), with_dpop(TOKEN)

        assert [200, 401] == [client.get("/me", headers=headers).status_code for _ in range(2)]

    def test_replay_of_a_refused_request(self) -> None:
        """What was refused for another reason has used nothing up: replay is asked last."""
        client = TestClient(app_of(settings()))
        made = with_dpop(TOKEN)

        answers = [client.request(m, "/me", headers=made).status_code for m in ("POST", "GET")]

        assert [401, 200] == answers

    def test_a_remembered_token_needs_its_proof(self) -> None:
        """The token's signature is checked once, its sender always."""
        client = TestClient(app_of(settings()))
        first = client.get("/me", headers=with_dpop(TOKEN))

        thief = client.get("/me", headers=with_dpop(TOKEN, key=OTHER_KEY))
        plain = client.get("/me", headers={"Authorization": f"DPoP {TOKEN}"})

        assert [200, 401, 401] == [one.status_code for one in (first, thief, plain)]

    def test_store_down(self) -> None:
        """503, and the client keeps its token."""
        reasons: list[Reason] = []
        client = TestClient(app_of(settings(dpop_replay_store=_Broken()), reasons))

        response = client.get("/me", headers=with_dpop(TOKEN))

        assert (503, [Reason.REPLAYS_UNAVAILABLE]) == (response.status_code, reasons)
        assert "1" == response.headers["retry-after"]
        assert "www-authenticate" not in response.headers

    def test_store_full(self) -> None:
        """It forgets nothing to make room."""
        store = MemoryReplayStore(size=2)
        client = TestClient(app_of(settings(dpop_replay_store=store)))

        answers = [client.get("/me", headers=with_dpop(TOKEN)).status_code for _ in range(3)]

        assert [200, 200, 503] == answers

    def test_too_many_of_one_key(self) -> None:
        """429 with the true wait; others go on, and so does this one when it is over."""
        now = [1000.0]
        store = MemoryReplayStore(per_key=2, clock=lambda: now[0])
        reasons: list[Reason] = []
        client = TestClient(app_of(settings(dpop_replay_store=store), reasons))
        other = bound_token(OTHER_KEY)
        made = with_dpop(TOKEN, iat=int(time.time()) - 30)

        first = [client.get("/me", headers=made), client.get("/me", headers=with_dpop(TOKEN))]
        third = client.get("/me", headers=with_dpop(TOKEN))
        replayed = client.get("/me", headers=made)
        others = client.get("/me", headers=with_dpop(other, key=OTHER_KEY))
        wait = int(third.headers["retry-after"])
        now[0] += wait - 2
        early = client.get("/me", headers=with_dpop(TOKEN))
        now[0] += 2
        late = client.get("/me", headers=with_dpop(TOKEN))

        assert [200, 200] == [answer.status_code for answer in first]
        assert (429, 401, 200) == (third.status_code, replayed.status_code, others.status_code)
        assert Reason.PROOF_LIMIT == reasons[0]
        assert "www-authenticate" not in third.headers
        assert 58 <= wait <= 61
        assert (429, 200) == (early.status_code, late.status_code)

    def test_request_1001(self) -> None:
        """By default a key has 1,000 proofs within the time in which one is good."""
        store = MemoryReplayStore()

        async def scene() -> int:
            for number in range(1000):
                assert await store.add_if_absent(f"a.{number}", 90)
            with pytest.raises(TooManyProofsError) as refused:
                await store.add_if_absent("a.1000", 90)
            return refused.value.retry_after

        assert 90 >= asyncio.run(scene()) >= 60


class TestMemoryStore:
    @staticmethod
    def add(store: MemoryReplayStore, key: str, ttl: float = 10) -> bool | None:
        """Add a key; `None` if the store cannot tell."""
        try:
            return asyncio.run(store.add_if_absent(key, ttl))
        except (StoreUnavailableError, TooManyProofsError):
            return None

    def test_it_forgets_what_has_ended(self) -> None:
        """By its own clock, in the order in which it ends."""
        now = [0.0]
        store = MemoryReplayStore(clock=lambda: now[0])

        found = [self.add(store, "a.1", 20), self.add(store, "a.2", 10), self.add(store, "a.1")]
        now[0] = 10.0
        found += [self.add(store, "a.1"), self.add(store, "a.2")]
        now[0] = 30.0

        assert [True, True, False, False, True] == found
        assert True is self.add(store, "a.1")
        assert 1 == len(store)

    def test_the_share_of_one_key(self) -> None:
        """One client cannot fill it."""
        now = [0.0]
        store = MemoryReplayStore(per_key=2, clock=lambda: now[0])

        found = [self.add(store, key) for key in ("a.1", "a.2", "a.3", "b.1")]
        now[0] = 10.0

        assert ([True, True, None, True], True) == (found, self.add(store, "a.3"))
        assert "memory" == repr(store)

    def test_attack_a_request_after_a_flood(self) -> None:
        """It does not pay for all that has ended since, which makes room all the same."""
        now = [0.0]
        store = MemoryReplayStore(size=1200, per_key=1000, clock=lambda: now[0])

        async def scene() -> list[int]:
            for number in range(1200):
                assert await store.add_if_absent(f"{number // 1000}.{number}", 90)
            now[0] = 90.0
            sizes = []
            for number in range(13):
                assert await store.add_if_absent(f"0.later-{number}", 90)
                sizes.append(len(store))
            return sizes

        sizes = asyncio.run(scene())

        assert [1101, 1002] == sizes[:2]
        assert 13 == sizes[-1]

    @may_fork
    def test_a_fork_while_a_thread_is_in_it(self) -> None:
        """The forked process does not wait for a thread that only its parent has."""
        halt = Halt()

        def clock() -> float:
            halt()
            return 0

        store = MemoryReplayStore(clock=clock)
        with halt.held(lambda: self.add(store, "a.1")):
            said = in_a_child(store.add_if_absent("a.2", 10))

        assert "True" == said
        assert False is self.add(store, "a.1")


NONCE_KEY = "k" * 32


def met(app: FastAPI) -> TestClient:
    """A client of an application that has not started.

    Up to FastAPI 0.136 it meets a guarded router with the first request that is for that.
    """
    client = TestClient(app)
    assert LIVE or 401 == client.get("/me").status_code
    return client


class TestNonces:
    def test_needed(self) -> None:
        client = TestClient(app_of(settings(dpop_nonce_keys=[NONCE_KEY])))

        first = client.get("/me", headers=with_dpop(TOKEN))
        second = client.get("/me", headers=with_dpop(TOKEN, nonce=first.headers["dpop-nonce"]))

        assert [401, 200] == [first.status_code, second.status_code]
        assert first.headers["www-authenticate"].startswith('DPoP error="use_dpop_nonce"')
        assert "no-store" == first.headers["cache-control"]
        assert "dpop-nonce" not in second.headers

    @pytest.mark.parametrize(
        "nonce", [1, "", "ü", "AAAA", "A" * 48], ids=["number", "empty", "umlaut", "short", "junk"]
    )
    def test_junk(self, nonce: Any) -> None:
        configured = settings(dpop_nonce_keys=[NONCE_KEY])

        asked = ask(with_dpop(TOKEN, nonce=nonce), configured=configured)

        assert (401, Reason.PROOF_NONCE) == asked[:2]

    def test_rotation(self) -> None:
        """The former key's nonces are accepted beside the new key's; another's are not."""
        former, other = Nonces([NONCE_KEY]), Nonces(["o" * 32])
        both = settings(dpop_nonce_keys=["n" * 32, NONCE_KEY])
        now = time.time()

        answers = [
            ask(with_dpop(TOKEN, nonce=made.issue(now)), configured=both)[0]
            for made in (former, other)
        ]

        assert [200, 401] == answers

    @pytest.mark.parametrize(
        ("age", "status", "fresh"),
        [
            pytest.param(100, 200, False, id="young"),
            pytest.param(200, 200, True, id="near-its-end"),
            pytest.param(301, 401, True, id="ended"),
            pytest.param(-301, 401, True, id="from-the-future"),
        ],
    )
    def test_age(self, age: float, status: int, fresh: bool) -> None:  # noqa: FBT001
        """Near its end a new one comes with the answer, which caches may not store.

        The other headers of the answer stay.
        """
        nonce = Nonces([NONCE_KEY]).issue(time.time() - age)
        client = met(app_of(settings(dpop_nonce_keys=[NONCE_KEY])))

        response = client.get("/me", headers=with_dpop(TOKEN, nonce=nonce))

        assert (status, fresh) == (response.status_code, "dpop-nonce" in response.headers)
        assert fresh is (response.headers.get("cache-control") == "no-store")
        assert "application/json" == response.headers["content-type"]

    def test_repr(self) -> None:
        assert "<nonces>" == repr(Nonces([NONCE_KEY]))


class TestWhereverItRuns:
    def test_server_without_a_raw_path(self) -> None:
        """ASGI lets a server leave it out; then the path is escaped again."""
        configured = settings()
        made = proof(TOKEN, htu=f"{ORIGIN}/files/a%20%C3%BC")
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/files/a ü",
            "headers": [(b"authorization", f"DPoP {TOKEN}".encode()), (b"dpop", made.encode())],
        }
        bound = {"jkt": jkt()}
        assert configured.server.sender_policy is not None

        used: set[str] = set()
        asyncio.run(
            confirm(scope, TOKEN, bound, configured.server.sender_policy, by_dpop=True, used=used)
        )

        assert used

    def test_lifespan(self) -> None:
        """With nonces, and below another application, everything is as it was."""
        closed = []

        class Closing(MemoryReplayStore):
            async def close(self) -> None:
                closed.append(self)

        store = Closing()
        inner = app_of(settings(dpop_nonce_keys=[NONCE_KEY], dpop_replay_store=store))
        outer = FastAPI(lifespan=inner.router.lifespan_context)
        outer.mount("/in", inner)
        nonce = Nonces([NONCE_KEY]).issue(time.time() - 200)
        headers = with_dpop(TOKEN, htu=f"{ORIGIN}/in/me", nonce=nonce)

        with TestClient(outer) as client:
            fresh = client.get("/in/me", headers=headers).headers.get_list("dpop-nonce")
        with TestClient(inner):
            before = list(closed)

        assert (1, [], [store]) == (len(fresh), before, closed)

    @pytest.mark.parametrize("headers", [{}, {"headers": [(b"x-a", b"1")]}], ids=["none", "some"])
    def test_headers_that_an_application_sends(self, headers: dict[str, Any]) -> None:
        """ASGI lets it leave them out; the body that follows has none."""

        class Bare(Response):
            def __init__(self) -> None:
                super().__init__()

            async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
                await send({"type": "http.response.start", "status": 200, **headers})
                await send({"type": "http.response.body", "body": b"inside"})

        sent: list[Any] = []

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        async def collect(message: Message) -> None:
            sent.append(dict(message))

        router = protected_router(settings=settings(dpop_nonce_keys=[NONCE_KEY]))
        router.add_api_route("/bare", Bare, response_model=None)
        nonce = Nonces([NONCE_KEY]).issue(time.time() - 200)
        sender = with_dpop(TOKEN, htu=f"{ORIGIN}/bare", nonce=nonce)

        with TestClient(app := including(router)):
            asyncio.run(app(scope_of("GET", "/bare", sender), nothing, collect))

        start, body = sent
        names = [name for name, _ in start["headers"]]
        own = [name for name, _ in headers.get("headers", ())]
        assert [*own, b"cache-control", b"dpop-nonce"] == names
        assert {"type": "http.response.body", "body": b"inside"} == body

    def test_websocket_with_a_stale_nonce(self) -> None:
        """The handshake's answer brings the fresh one."""
        nonce = Nonces([NONCE_KEY]).issue(time.time() - 200)
        headers = with_dpop(TOKEN, htu=f"{ORIGIN}/live", nonce=nonce)
        client = met(app_of(settings(dpop_nonce_keys=[NONCE_KEY])))

        with client.websocket_connect("/live", headers=headers) as session:
            sent: Any = session.extra_headers
            names = [name for name, _ in sent]

        assert b"dpop-nonce" in names

    def test_key_and_certificate(self) -> None:
        """A token that is bound to both needs both."""
        der = load_pem_x509_certificate(CERTIFICATE).public_bytes(Encoding.DER)
        bound = b64(hashlib.sha256(der).digest())
        both = bound_token(cnf={"jkt": jkt(), "x5t#S256": bound})
        shown = {"Client-Cert": f":{base64.b64encode(der).decode()}:"}
        configured = settings(client_certificate="client-cert", trusted_proxies="10.0.0.0/8")
        app = app_of(configured)
        client = TestClient(app, client=("10.0.0.1", 5))

        answers = [
            client.get("/me", headers={**with_dpop(both), **shown}),
            client.get("/me", headers=with_dpop(both)),
            client.get("/me", headers={"Authorization": f"Bearer {both}", **shown}),
        ]

        assert [200, 401, 401] == [answer.status_code for answer in answers]
        assert {"dpop": "allowed", "client_certificate": "allowed"} == (
            app.openapi()["paths"]["/me"]["get"]["x-jwt-requires"]
        )
        assert ("dpop=allowed", "client_certificate=client-cert") == audit(app).routes[-4].requires

    def test_certificate_alone(self) -> None:
        """Without DPoP, the challenge says nothing of it."""
        bound = mint(claims(now=time.time(), cnf={"x5t#S256": "x"}), SECRET)
        configured = JWTSettings(secret_key=SECRET, client_certificate="tls")

        asked = ask({"Authorization": f"Bearer {bound}"}, configured=configured)

        assert (401, Reason.CERTIFICATE) == asked[:2]
        assert "DPoP" not in asked[2]


CERTIFICATE = trustme.CA().issue_cert("client.test").cert_chain_pems[0].bytes()


class TestTold:
    @pytest.mark.parametrize(
        ("configured", "security", "requires"),
        [
            pytest.param(
                settings(dpop="required", dpop_nonce_keys=[NONCE_KEY]),
                [{"JWT-DPoP": []}],
                "required",
                id="required",
            ),
            pytest.param(settings(), [{"JWT": []}, {"JWT-DPoP": []}], "allowed", id="allowed"),
            pytest.param(SETTINGS, [{"JWT": []}], None, id="off"),
        ],
    )
    def test_openapi_and_audit(
        self, configured: JWTSettings, security: list[Any], requires: str | None
    ) -> None:
        """Both say what a route needs."""
        app = app_of(configured)

        operation = document_of(app)["paths"]["/me"]["get"]
        found = {route.path: route.requires for route in audit(app).routes}

        assert ({"dpop": requires} if requires else None) == operation.get("x-jwt-requires")
        assert security == operation["security"]
        assert ((f"dpop={requires}",) if requires else ()) == found["/me"]
        assert audit(app).ok
