"""How do you test against an issuer? With one of your own, and a clock that you turn.

    with FakeIssuer() as issuer:
        token = issuer.token({"sub": "alice"}, audience="api")
        issuer.rotate()                         # a new signing key beside the old one
        issuer.jwks = Answer(status=500)        # its keys cannot be had any more

`FakeIssuer` serves its keys and its metadata over HTTP on the loopback interface, `Answer` says
what it sends instead of the truth, `VirtualClock` lets hours pass. Needs no test framework.
"""

from .answers import Answer
from .clock import VirtualClock
from .issuer import FakeIssuer
from .signing import SigningKey

__all__ = ["Answer", "FakeIssuer", "SigningKey", "VirtualClock"]
