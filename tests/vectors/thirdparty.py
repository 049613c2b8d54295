"""Third-party test vectors and their keys.

They lie outside the project (`../shared/vectors`, see its README for origin and licence), so the
tests that read them are skipped where that folder is absent.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jwt_deps.errors import ConfigurationError, InvalidTokenError
from jwt_deps.jose import require_strong_secret, signature_key
from jwt_deps.keys import KeySet, VerificationKey
from jwt_deps.keys.key_set import NoUsableKeyError
from tests.checking import check_with

FOLDER = Path(__file__).parents[3] / "shared" / "vectors"

ACCEPTED = "accepted"
CONFIGURATION = "refused when configured"


def load(name: str) -> Any:
    """Read one file of vectors, or skip the module that asks for it."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"third-party vectors are not there: {path}", allow_module_level=True)
    return json.loads(path.read_text())


def configured(algorithm: str, jwks: Any) -> KeySet:
    """Read a JWK Set as one of the settings, or a file that they name: all of it has to be good."""
    return KeySet.build([algorithm], jwks=jwks)


def fetched(algorithm: str, jwks: Any) -> KeySet:
    """Read a JWK Set as an issuer's answer: what is bad in it is skipped."""
    return KeySet.from_response([algorithm], jwks)[0]


#: Where a service has a JWK Set from. Shared secrets come from the settings alone.
each_source = pytest.mark.parametrize("read", [configured, fetched])
Read = Callable[[str, Any], KeySet]


def secret_key_set(*secrets: bytes, algorithm: str) -> KeySet:
    """Configure shared secrets that are any bytes.

    The settings take secrets as text. These are put where `KeySet.build` puts those, behind the
    same check.

    Raises:
        ConfigurationError: a secret is too short.
    """
    for secret in secrets:
        require_strong_secret(secret, algorithm)
    keys = tuple(
        VerificationKey(algorithm=algorithm, key=signature_key(secret, algorithm))
        for secret in secrets
    )
    return KeySet(
        algorithms=frozenset({algorithm}),
        static={algorithm: keys},
        named={},
        kids=frozenset(),
        in_set={},
        most_unnamed=1,
    )


def outcome(jws: str, configure: Callable[[], KeySet]) -> str:
    """Return `ACCEPTED`, `CONFIGURATION`, or the reason for which the token is refused.

    An issuer's set without any good key is refused as a configured one is.

    The payloads of vectors are rarely claims, so this stops where the signature is checked.
    """
    try:
        keys = configure()
    except (ConfigurationError, NoUsableKeyError):
        return CONFIGURATION
    try:
        check_with(jws, keys)
    except InvalidTokenError as error:
        return error.reason
    return ACCEPTED
