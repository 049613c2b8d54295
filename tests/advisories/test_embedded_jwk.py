"""A token that brings its own key in the header `jwk` (CVE-2018-0114)."""

from tests.minting import KINDS, b64, pair
from tests.sources import Service, each_source, minted


@each_source(*KINDS)
def test_key_in_the_header_is_not_used(source: str, algorithm: str) -> None:
    """A token signed with a stranger's key, which it carries along, is refused."""
    stranger = pair(KINDS[algorithm], "stranger")
    token = minted(algorithm, stranger, {"jwk": stranger.jwk(kid="a")}, sub="admin")

    assert "signature" == Service(source, algorithm).reason(token)


@each_source("HS256", "HS384", "HS512")
def test_secret_in_the_header_is_not_used(source: str, algorithm: str) -> None:
    """A secret that the token carries along is none."""
    secret = b"s" * 64
    token = minted(algorithm, secret, {"jwk": {"kty": "oct", "k": b64(secret)}})

    assert "signature" == Service(source, algorithm).reason(token)


@each_source("HS256", "RS256")
def test_a_good_token_may_carry_one(source: str, algorithm: str) -> None:
    """What stands in `jwk` is passed over, so it does not spoil a good token either."""
    service = Service(source, algorithm)

    members: tuple[object, ...] = (pair("RSA", "stranger").jwk(), "x", None, [], 1)
    for jwk in members:
        assert service.accepts(minted(algorithm, header={"jwk": jwk}))
