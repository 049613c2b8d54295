"""A DPoP client is accepted with its own key and token, and only with them."""

import time
from typing import Any

import pytest
from fastapi import APIRouter, WebSocket
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, protected_router
from jwt_deps.testing import (
    FakeIssuer,
    Prover,
    SigningKey,
    TokenFactory,
    VirtualClock,
    Wrong,
    bearer,
)
from tests.web.serving import including, who

ORIGIN = "https://api.example.com"
KEYS = {name: SigningKey.generate(name) for name in ("ES256", "PS256", "EdDSA", "Ed25519")}


def client_of(settings: JWTSettings) -> TestClient:
    """A client of an application whose routes ask for proofs."""
    router = APIRouter()

    router.get("/me")(who)

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    app = including(protected_router(router, settings=settings))
    return TestClient(app)


def tokens_of(**values: Any) -> TokenFactory:
    """A factory whose settings ask for proofs."""
    return TokenFactory(**{"dpop": "required", "public_origin": ORIGIN} | values)


class TestGood:
    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    def test_its_requests_are_let_in(self, key: SigningKey) -> None:
        """With every kind of key, each request with a proof of its own."""
        tokens, alice = tokens_of(), Prover(ORIGIN, key=key)
        client, token = client_of(tokens.settings), tokens("alice", claims=alice.binding)

        answers = [client.get("/me", headers=alice(token, "GET", "/me")) for _ in range(2)]

        assert ["alice", "alice"] == [answer.json() for answer in answers]

    @pytest.mark.parametrize(
        "url",
        ["/me", "/me?since=1#top", f"{ORIGIN}/me", f"{ORIGIN}/me?since=1"],
        ids=["path", "query", "whole", "whole-with-a-query"],
    )
    def test_the_address_in_any_form(self, url: str) -> None:
        """What follows the path is no part of `htu`."""
        tokens, alice = tokens_of(), Prover(f"{ORIGIN}/")
        token = tokens("alice", claims=alice.binding)

        response = client_of(tokens.settings).get("/me", headers=alice(token, "GET", url))

        assert 200 == response.status_code

    def test_a_nonce(self) -> None:
        """That of the refusal is good for the next request."""
        tokens, alice = tokens_of(dpop_nonce_keys=["k" * 32]), Prover(ORIGIN)
        client, token = client_of(tokens.settings), tokens("alice", claims=alice.binding)

        first = client.get("/me", headers=alice(token, "GET", "/me"))
        nonce = first.headers["dpop-nonce"]
        second = client.get("/me", headers=alice(token, "GET", "/me", nonce=nonce))

        assert [401, 200] == [first.status_code, second.status_code]

    def test_a_websocket(self) -> None:
        """Its handshake is a GET."""
        tokens, alice = tokens_of(), Prover(ORIGIN)
        headers = alice(tokens("alice", claims=alice.binding), "GET", "/live")

        with client_of(tokens.settings).websocket_connect("/live", headers=headers):
            pass

    def test_a_token_of_an_issuer(self) -> None:
        """`FakeIssuer` binds its tokens the same way."""
        alice = Prover(ORIGIN)
        with FakeIssuer(url="https://login.example.com") as issuer:
            client = client_of(issuer.settings("api", dpop="allowed", public_origin=ORIGIN))
            token = issuer.token({"sub": "alice", **alice.binding}, audience="api")

            assert 200 == client.get("/me", headers=alice(token, "GET", "/me")).status_code


class TestBad:
    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param({"claims": {"ath": None}}, id="without-a-claim"),
            pytest.param({"claims": {"htm": "POST"}}, id="another-claim"),
            pytest.param({"header": {"typ": "JWT"}}, id="another-type"),
            pytest.param({"header": {"jwk": None}}, id="without-its-key"),
        ],
    )
    def test_a_proof_that_is_wrong(self, wrong: dict[str, Any]) -> None:
        """In whatever the test chooses."""
        tokens, alice = tokens_of(), Prover(ORIGIN)
        token = tokens("alice", claims=alice.binding)
        headers = {**alice(token, "GET", "/me"), "DPoP": alice.proof(token, "GET", "/me", **wrong)}

        assert 401 == client_of(tokens.settings).get("/me", headers=headers).status_code

    def test_another_client(self) -> None:
        """Another key is refused, and so is the token alone."""
        tokens, alice, thief = tokens_of(), Prover(ORIGIN), Prover(ORIGIN)
        client, token = client_of(tokens.settings), tokens("alice", claims=alice.binding)

        for headers in (thief(token, "GET", "/me"), bearer(token)):
            assert 401 == client.get("/me", headers=headers).status_code

    def test_an_old_proof(self) -> None:
        """By a clock of the test's own."""
        tokens, alice = tokens_of(), Prover(ORIGIN, clock=VirtualClock(time.time() - 3600))
        headers = alice(tokens("alice", claims=alice.binding), "GET", "/me")

        assert 401 == client_of(tokens.settings).get("/me", headers=headers).status_code

    def test_a_shared_secret(self) -> None:
        """It has nothing that a proof could show."""
        with pytest.raises(ValueError, match="no public half"):
            Prover(ORIGIN, key=SigningKey.generate("HS256"))

    @pytest.mark.parametrize("dpop", ["off", "allowed"])
    def test_a_token_bound_to_another_key(self, dpop: str) -> None:
        """`Wrong.BOUND_TO_KEY` is refused for its reason whether DPoP is on."""
        tokens = tokens_of(dpop=dpop, explain=True)
        headers = bearer(tokens("alice", wrong=Wrong.BOUND_TO_KEY))

        refused: dict[str, Any] = client_of(tokens.settings).get("/me", headers=headers).json()

        assert Wrong.BOUND_TO_KEY.reason in str(refused)


def test_what_it_shows() -> None:
    """Its algorithm, and nothing of its key."""
    assert "<Prover with a key for ES256>" == repr(Prover(ORIGIN))
