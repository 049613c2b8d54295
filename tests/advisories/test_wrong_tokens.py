"""The wrong tokens of `jwt_deps.testing`, and guessed secrets, at a service for each source."""

import base64
from collections.abc import Callable
from functools import cache

from jwt_deps.testing import SigningKey, TokenFactory, Wrong
from tests.minting import KeyPair, signing_key
from tests.sources import ISSUER, Service, each_source, minted

#: `NO_USER` is refused where the user is asked for, and these services ask for claims.
WAYS = [way for way in Wrong if way is not Wrong.NO_USER]
#: Those that only a set of named keys, or only public keys, can refuse.
SOME = {Wrong.UNKNOWN_KID, Wrong.WRONG_ALGORITHM}


@cache
def signer(algorithm: str) -> SigningKey:
    """The key of the service's issuer. An RSA key is checked when it is loaded: 30 ms."""
    key = signing_key(algorithm)
    return SigningKey.load(key.private_pem if isinstance(key, KeyPair) else str(key), algorithm)


def factory_for(service: Service, algorithm: str) -> TokenFactory:
    """What makes tokens with the key of the service's issuer."""
    return TokenFactory.for_settings(service.settings, key=signer(algorithm), issuer=ISSUER)


@each_source("HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA")
def test_is_refused(source: str, algorithm: str) -> None:
    """Each for its own reason."""
    service = Service(source, algorithm)
    factory = factory_for(service, algorithm)
    ways = [way for way in WAYS if way in factory.ways]

    assert SOME >= {*WAYS} - {*ways}
    assert {way: way.reason for way in ways} == {
        way: service.reason(factory("alice", header={"kid": "a"}, wrong=way)) for way in ways
    }


#: What is like the secret, or is often one.
GUESSES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "nul": lambda _: b"\x00",
    "zeros": lambda secret: bytes(len(secret)),
    "byte-behind": lambda secret: secret + b"\x01",
    "line-end-behind": lambda secret: secret + b"\n",
    "space-ahead": lambda secret: b" " + secret,
    "cut-off": lambda secret: secret[:-1],
    "half": lambda secret: secret[:32],
    "twice": lambda secret: secret * 2,
    "capitals": lambda secret: secret.upper(),
    "backwards": lambda secret: secret[::-1],
    "base64": base64.b64encode,
    "word": lambda _: b"secret",
    "issuer": lambda _: ISSUER.encode(),
}


@each_source("HS256", "HS384", "HS512")
def test_a_secret_that_is_almost_the_one(source: str, algorithm: str) -> None:
    """A token that another secret signed is refused, however near it is."""
    service, secret = Service(source, algorithm), str(signing_key(algorithm)).encode()

    assert dict.fromkeys(GUESSES, "signature") == {
        name: service.reason(minted(algorithm, guess(secret))) for name, guess in GUESSES.items()
    }
