"""A guarded route and the tokens of a real provider, configured by discovery only."""

from pathlib import Path

import pytest
from joserfc.jws import extract_compact

from .identity import API, BILLING, Provider, fresh_keys, sign
from .oauth import OAuthClient
from .service import INSUFFICIENT, INVALID, Service, refused, served


@pytest.fixture
def client(shared_provider: Provider) -> OAuthClient:
    """Return a client of the shared provider."""
    return OAuthClient(shared_provider.issuer)


def header(token: str) -> dict[str, object]:
    """Return the header of a token."""
    return dict(extract_compact(token.encode()).headers())


def test_login(shared_service: Service, client: OAuthClient) -> None:
    """A user who logged in and consented is known, with the scopes that were granted."""
    token = client.log_in("alice", scope="read:items write:items")["access_token"]

    response = shared_service.get(token, "/me")

    assert {"sub": "alice", "scopes": ["read:items", "write:items"]} == response.json()


def test_users_are_told_apart(shared_service: Service, client: OAuthClient) -> None:
    """The user is the one who logged in last."""
    tokens = [client.log_in(user)["access_token"] for user in ("alice", "bob")]

    users = [shared_service.get(token, "/me").json()["sub"] for token in tokens]

    assert ["alice", "bob"] == users


def test_client_credentials(shared_service: Service, client: OAuthClient) -> None:
    """A client without a user is known by its own name."""
    token = client.work()["access_token"]

    response = shared_service.get(token, "/me")

    assert {"sub": "worker", "scopes": ["read:items"]} == response.json()


def test_type(client: OAuthClient) -> None:
    """What the provider issues says of itself that it is an access token (RFC 9068)."""
    assert "at+jwt" == header(client.log_in()["access_token"])["typ"]


def test_both_algorithms(shared_service: Service, client: OAuthClient) -> None:
    """The provider signs with RSA and with an elliptic curve, and both are believed."""
    tokens = [client.log_in()["access_token"], client.work()["access_token"]]

    assert ["RS256", "ES256"] == [header(token)["alg"] for token in tokens]
    assert [200, 200] == [shared_service.get(token).status_code for token in tokens]


def test_scope(shared_service: Service, client: OAuthClient) -> None:
    """Who was granted reading may not write, and hears what it would take."""
    token = client.log_in(scope="read:items")["access_token"]

    reading = shared_service.get(token, "/items")
    writing = shared_service.post(token, "/items")

    assert 200 == reading.status_code
    assert INSUFFICIENT == refused(writing)
    assert 'scope="write:items"' in writing.headers["www-authenticate"]


def test_other_resource(shared_service: Service, client: OAuthClient) -> None:
    """A token for another resource of the same issuer is refused."""
    token = client.log_in(scope="read:items", resource=BILLING)["access_token"]

    assert INVALID == refused(shared_service.get(token))


def test_no_resource(shared_service: Service, client: OAuthClient) -> None:
    """A token that was asked for without a resource is refused, opaque or not."""
    token = client.log_in(scope="openid", resource=None)["access_token"]

    assert INVALID == refused(shared_service.get(token))


def test_id_token(shared_service: Service, client: OAuthClient) -> None:
    """The ID token of the same login, signed with the same key, is not for the API."""
    answer = client.log_in(scope="openid read:items")

    assert INVALID == refused(shared_service.get(answer["id_token"]))
    assert 200 == shared_service.get(answer["access_token"]).status_code


def test_other_issuer(shared_service: Service, shared_provider: Provider) -> None:
    """A token of the provider's own key that names another issuer, or none, is refused."""
    key, _ = shared_provider.keys

    tokens = [
        sign(shared_provider.claims(iss=issuer), key)
        for issuer in (shared_provider.issuer, f"{shared_provider.issuer}/", None)
    ]

    assert 200 == shared_service.get(tokens[0]).status_code
    assert [INVALID, INVALID] == [refused(shared_service.get(token)) for token in tokens[1:]]


def test_forged(shared_service: Service, shared_provider: Provider, client: OAuthClient) -> None:
    """A token with the name of the provider's key and the signature of another is refused."""
    shared_service.get(client.log_in()["access_token"])  # now the provider's keys are known
    key, _ = shared_provider.keys
    another, _ = fresh_keys()
    claims = shared_provider.claims()

    genuine = sign(claims, key)
    forged = sign(claims, another, kid=key.kid)

    assert 200 == shared_service.get(genuine).status_code
    assert INVALID == refused(shared_service.get(forged))


def test_without_discovery(shared_provider: Provider, client: OAuthClient, tmp_path: Path) -> None:
    """Told where the keys are, the application does not look for them."""
    configuration = {
        "JWT_ISSUER": shared_provider.issuer,
        "JWT_AUDIENCE": API,
        "JWT_JWKS_URL": client.metadata()["jwks_uri"],
        "JWT_ALLOW_LOOPBACK": "true",
    }
    with served(configuration, tmp_path) as service:
        response = service.get(client.log_in()["access_token"])

    assert 200 == response.status_code
