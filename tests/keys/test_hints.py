"""Errors about keys over HTTP say what is wrong and what to change."""

import itertools
import socket
import ssl
from typing import Any

import pytest

from jwt_deps import ConfigurationError, JWTSettings
from jwt_deps.keys.http import _problem
from tests.minting import SECRET

ISSUER: dict[str, Any] = {"issuer": "https://issuer.example", "audience": "api"}


def chained(*causes: BaseException) -> BaseException:
    """Return the first error, caused by the second, and so on."""
    for error, cause in itertools.pairwise(causes):
        error.__cause__ = cause
    return causes[0]


def client_certificate_wanted() -> ssl.SSLError:
    """Return what OpenSSL raises if the alert arrives before the connection breaks."""
    error = ssl.SSLError()
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    return error


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        pytest.param(ssl.SSLCertVerificationError(), "its certificate is not trusted", id="ca"),
        pytest.param(
            client_certificate_wanted(), "it asks for a client cert", id="client-certificate"
        ),
        pytest.param(ssl.SSLError(), "TLS failed", id="tls"),
        pytest.param(socket.gaierror(), "its host is not known", id="host"),
        pytest.param(ConnectionRefusedError(), "it refuses connections", id="refused"),
        pytest.param(ValueError("secret"), "OSError", id="anything-else"),
    ],
)
def test_why_a_connection_failed(cause: BaseException, words: str) -> None:
    """The client library says `ConnectError` for all of them."""
    error = chained(OSError("what the answer held"), RuntimeError(), cause)

    assert _problem(error).startswith(words)


def test_an_issuer_without_keys_hears_of_discovery() -> None:
    """Of all ways to have keys, it is the one that was forgotten."""
    with pytest.raises(ConfigurationError, match=r"JWT_DISCOVERY=true \(discovery\)"):
        JWTSettings(**ISSUER)


def test_limits_given_as_a_keyword_are_not_mixed_with_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A keyword wins over its variable, as a whole."""
    monkeypatch.setenv("JWT_JWKS_CACHE__MAX_TTL", "1000")

    settings = JWTSettings(secret_key=SECRET, jwks_cache={"ttl": 700})

    assert (700, 3600) == (settings.jwks_cache.ttl, settings.jwks_cache.max_ttl)
