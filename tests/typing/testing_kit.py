"""The types of the test kit, checked by mypy and pyright, never run."""

from contextlib import AbstractContextManager
from typing import assert_type

from fastapi import FastAPI

from jwt_deps import JWTSettings, Reason
from jwt_deps.testing import (
    Answer,
    FakeIssuer,
    Prover,
    SigningKey,
    TokenFactory,
    VirtualClock,
    Wrong,
    acting_as,
    bearer,
    using_settings,
)


def acting(app: FastAPI, settings: JWTSettings) -> None:
    alice = acting_as(app, "alice", scopes=["a"], session_id="s", claims={"tenant": 7})
    assert_type(alice, AbstractContextManager[None])
    assert_type(using_settings(app, settings), AbstractContextManager[None])
    acting_as(app, "alice", scopes="a b", issuer="https://issuer.test")
    acting_as(app, 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def tokens(settings: JWTSettings, key: SigningKey) -> None:
    made = TokenFactory(key, clock=VirtualClock(), user_id_claim="user")
    assert_type(made, TokenFactory)
    assert_type(made.settings, JWTSettings)
    assert_type(TokenFactory.for_settings(settings, key=key), TokenFactory)
    assert_type(made("alice", scopes=("a",), wrong=Wrong.EXPIRED), str)
    assert_type(made.ways, tuple[Wrong, ...])
    assert_type(Wrong.EXPIRED.reason, Reason)
    assert_type(bearer(made("alice")), dict[str, str])
    made("alice", wrong="expired")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def issuers() -> None:
    with FakeIssuer(url="https://issuer.test") as issuer:
        assert_type(issuer, FakeIssuer)
        assert_type(issuer.settings("api", clock=VirtualClock()), JWTSettings)
        assert_type(issuer.rotate(), SigningKey)
        issuer.jwks = Answer(status=500)
    with issuer.outage(), issuer.latency(1):
        pass


def provers(tokens: TokenFactory, issuer: FakeIssuer, key: SigningKey) -> None:
    alice = Prover("https://api.test", key=key, clock=VirtualClock())
    token = tokens("alice", claims=alice.binding)
    assert_type(alice(token, "GET", "/notes", nonce="n"), dict[str, str])
    assert_type(alice.proof(token, "GET", "/notes", claims={"ath": None}), str)
    assert_type(issuer.token({"sub": "alice", **alice.binding}), str)
    alice(token, 7, "/notes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    alice(token)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def keys(text: str) -> None:
    assert_type(SigningKey.load(text), SigningKey)
    assert_type(SigningKey.load(text.encode(), "HS256", "a").verification_text, str)
