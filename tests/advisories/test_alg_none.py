"""`alg: none`: a token that says that it needs no signature (RFC 8725 §2.1)."""

import itertools
import json

import pytest

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import JWTSettings
from tests.minting import SECRET, b64, pair
from tests.sources import Service, each_source, good, minted

SPELLINGS = ["".join(letters) for letters in itertools.product("nN", "oO", "nN", "eE")]


@each_source()
def test_is_refused_in_every_case(source: str, algorithm: str) -> None:
    """No mix of small letters and capitals makes `none` an algorithm, however it is signed."""
    service = Service(source, algorithm)
    payload = b64(json.dumps(good(sub="admin")).encode())
    spellings = SPELLINGS if algorithm in {"HS256", "RS256"} else ["none", "NONE"]
    headers = [b64(b'{"alg":"%s"}' % spelling.encode()) for spelling in spellings]
    unsigned = {service.reason(f"{header}.{payload}.") for header in headers}
    signed = {service.reason(f"{header}.{payload}.{b64(b'anything')}") for header in headers}
    properly = {
        service.reason(minted(algorithm, header={"alg": name})) for name in ("none", "NONE")
    }

    assert [{"not_compact"}, {"algorithm"}, {"algorithm"}] == [unsigned, signed, properly]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_cannot_be_configured(spelling: str) -> None:
    """`none` is not among the algorithms, alone or beside others, with a secret or a public key."""
    for key, beside in ((SECRET, []), (SECRET, ["HS256"]), (pair("RSA").public_pem, ["RS256"])):
        with pytest.raises(ConfigurationError, match=r"JWT_ALGORITHM \(algorithm\)"):
            JWTSettings(secret_key=key, algorithm=[*beside, spelling])
