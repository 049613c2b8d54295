"""A token bound to a key, stolen and sent as a bearer token (RFC 7800, RFC 9449, RFC 8705)."""

import pytest

from jwt_deps.errors import ClaimError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import SECRET, b64, claims, clock, mint, pair
from tests.verifying import verify


@pytest.mark.parametrize(
    "cnf",
    [
        pytest.param({"jkt": b64(bytes(32))}, id="dpop"),
        pytest.param({"x5t#S256": b64(bytes(32))}, id="certificate"),
        pytest.param({"jwk": pair("P-256").jwk()}, id="key"),
        pytest.param({"jwe": "a.b.c.d.e"}, id="encrypted-key"),
        pytest.param({"kid": "a"}, id="key-id"),
        pytest.param({"jku": "https://issuer.example/keys"}, id="key-url"),
        pytest.param({"something-new": 1}, id="unknown-member"),
        pytest.param({}, id="empty"),
        pytest.param(None, id="null"),
        pytest.param("x", id="string"),
        pytest.param(False, id="false"),
    ],
)
def test_is_refused(cnf: object) -> None:
    """A token with `cnf` is refused, as nothing that is enabled can prove the key."""
    with pytest.raises(ClaimError) as refused:
        verify(mint(claims(cnf=cnf)), JWTSettings(secret_key=SECRET), clock=clock)

    assert (refused.value.reason, refused.value.claim) == (Reason.CONFIRMATION, "cnf")


def test_only_the_claim_of_that_name() -> None:
    """A claim called alike, or a `cnf` inside another claim, binds nothing."""
    members = claims(CNF={"jkt": "x"}, act={"cnf": {"jkt": "x"}})

    assert verify(mint(members), JWTSettings(secret_key=SECRET), clock=clock) == members
