"""How do you test an application that takes tokens? As somebody, with tokens, or with an issuer.

    with acting_as(app, "alice", scopes=["notes:read"]):    # no token at all
        client.get("/notes")

    tokens = TokenFactory()                                 # a secret and settings of its own
    with using_settings(app, tokens.settings):
        tokens("alice", scopes=["notes:read"])              # a good token
        tokens("alice", wrong=Wrong.EXPIRED)                # one that is wrong in one way

    with FakeIssuer() as issuer:                            # over HTTP, or FakeIssuer(url=...)
        settings = issuer.settings("api")
        issuer.rotate()                                     # a new key beside the old one
        issuer.jwks = Answer(status=500)                    # its keys cannot be had any more

    alice = Prover("https://api.example.com")               # a client with a DPoP key of its own
    token = tokens("alice", claims=alice.binding)
    client.get("/notes", headers=alice(token, "GET", "/notes"))

`VirtualClock` lets hours pass, `SigningKey` makes and loads keys, `bearer` is the header that
carries a token. Nothing here needs a test framework; pytest has fixtures of all of it.
"""

from jwt_deps.jose import SigningKey

from .answers import Answer
from .clock import VirtualClock
from .dpop_client import Prover
from .invalid_tokens import Wrong
from .issuer import FakeIssuer
from .overrides import acting_as, using_settings
from .tokens import TokenFactory, bearer

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
    "using_settings",
]
