"""`alg: none`: a token that says that it needs no signature (RFC 8725 §2.1)."""

import itertools

import pytest

from jwt_deps.errors import ConfigurationError, MalformedTokenError, Reason
from jwt_deps.settings import JWTSettings
from tests.minting import SECRET, b64, claims, clock, compact, mint, pair, verification_text
from tests.verifying import verify

SPELLINGS = ["".join(letters) for letters in itertools.product("nN", "oO", "nN", "eE")]
PAYLOAD = b'{"sub":"admin","exp":9999999999}'


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
def test_is_refused_in_every_case(spelling: str, algorithm: str) -> None:
    """No mix of small letters and capitals makes `none` an algorithm, whatever is configured."""
    settings = JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)
    token = compact(b'{"alg":"%s"}' % spelling.encode(), PAYLOAD, b"anything")

    with pytest.raises(MalformedTokenError) as refused:
        verify(token, settings, clock=clock)

    assert refused.value.reason is Reason.ALGORITHM


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_is_refused_without_a_signature(spelling: str) -> None:
    """An unsecured JWS (RFC 7515 appendix A.5), which has an empty third part, is no token."""
    header = b'{"alg":"%s"}' % spelling.encode()
    token = f"{b64(header)}.{b64(PAYLOAD)}."

    with pytest.raises(MalformedTokenError):
        verify(token, JWTSettings(secret_key=SECRET), clock=clock)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_is_refused_though_properly_signed(spelling: str) -> None:
    """A good signature does not make up for `none`."""
    token = mint(claims(), header={"alg": spelling})

    with pytest.raises(MalformedTokenError) as refused:
        verify(token, JWTSettings(secret_key=SECRET), clock=clock)

    assert refused.value.reason is Reason.ALGORITHM


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("beside", [[], ["HS256"]], ids=["alone", "beside-HS256"])
def test_cannot_be_configured(spelling: str, beside: list[str]) -> None:
    """`none` is not among the algorithms, alone or beside others."""
    with pytest.raises(ConfigurationError, match=r"JWT_ALGORITHM \(algorithm\)"):
        JWTSettings(secret_key=SECRET, algorithm=[*beside, spelling])


def test_cannot_be_configured_with_a_public_key() -> None:
    """Nor is it with a public key."""
    with pytest.raises(ConfigurationError, match=r"JWT_ALGORITHM \(algorithm\)"):
        JWTSettings(secret_key=pair("RSA").public_pem, algorithm=["RS256", "none"])
