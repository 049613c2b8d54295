"""Test kit for applications that take access tokens: override the user, make tokens, run an issuer.

    with acting_as(app, "alice", scopes=["notes:read"]):    # requests need no token
        client.get("/notes")

    await orders_of(user("alice"))                          # a `CurrentUser` without a request

    tokens = TokenFactory()                                 # a fresh secret and matching settings
    with using_settings(app, tokens.settings):
        tokens("alice", scopes=["notes:read"])              # a valid token
        tokens("alice", wrong=Wrong.EXPIRED)                # an invalid token of the given kind

    with FakeIssuer() as issuer:                            # over HTTP, or FakeIssuer(url=...)
        settings = issuer.settings("api")
        issuer.rotate()                                     # adds a key and signs with it
        issuer.jwks = Answer(status=500)                    # the JWK Set request fails

    alice = Prover("https://api.example.com")               # a DPoP client with its own key
    token = tokens("alice", claims=alice.binding)
    client.get("/notes", headers=alice(token, "GET", "/notes"))

`VirtualClock` is a clock that a test sets, `SigningKey` generates and loads keys, `bearer` builds
the `Authorization` header. Nothing here needs a test framework; pytest has fixtures for all of it.
"""

from jwt_deps.jose import SigningKey

from .answers import Answer
from .clock import VirtualClock
from .dpop_client import Prover
from .invalid_tokens import Wrong
from .issuer import FakeIssuer
from .overrides import acting_as, using_settings
from .tokens import TokenFactory, bearer
from .user import user

__all__ = [
    "Answer",
    "FakeIssuer",
    "Prover",
    "SigningKey",
    "TokenFactory",
    "VirtualClock",
    "Wrong",
    "acting_as",
    "bearer",
    "user",
    "using_settings",
]
