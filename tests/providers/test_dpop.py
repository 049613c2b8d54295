"""DPoP-bound tokens of a real provider with proofs of another library (RFC 9449)."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .conftest import running
from .identity import API, NODE, Provider, missing, node
from .oauth import OAuthClient
from .programs import browser
from .service import INVALID, Service, discovering, refused, served

NONCE_KEY = "a secret for the nonces of this service"


class Client:
    """A client with a key of its own, and npm's `dpop` to prove it with."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.thumbprint: str = json.loads(self._line())["thumbprint"]

    def proof(self, htm: str, htu: str, **more: str) -> str:
        """Have the library make a proof."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"htm": htm, "htu": htu, **more}) + "\n")
        self._process.stdin.flush()
        return self._line()

    def token(self, provider: Provider) -> dict[str, Any]:
        """Get a token that is bound to the key (RFC 9449 §5)."""
        endpoint = OAuthClient(provider.issuer).metadata()["token_endpoint"]
        request = {"grant_type": "client_credentials", "scope": "read:items", "resource": API}
        headers = {"DPoP": self.proof("POST", endpoint)}
        with browser() as http:
            answer = http.post(
                endpoint, data=request, headers=headers, auth=("worker", "worker-secret")
            )
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def get(self, service: Service, token: str, path: str = "/me", **more: str) -> httpx2.Response:
        """Ask with the token and a new proof for it."""
        made = self.proof("GET", f"{API}{path}", token=token, **more)
        return ask(service, token, made, path)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def ask(service: Service, token: str, made: str, path: str = "/me") -> httpx2.Response:
    return service.http.get(path, headers={"Authorization": f"DPoP {token}", "DPoP": made})


@contextmanager
def client_of(algorithm: str) -> Iterator[Client]:
    """Run a client."""
    if reason := missing("oidc-provider"):
        pytest.skip(reason)
    program = node()
    assert program is not None
    with subprocess.Popen(  # noqa: S603 - a program of this directory
        [program, str(NODE / "proofs.mjs"), algorithm],
        env={"PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Client(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """Run npm's `oidc-provider`."""
    with running("oidc-provider", tmp_path_factory.mktemp("provider")) as one:
        yield one


@pytest.fixture(scope="module")
def service(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Serve with DPoP allowed."""
    configuration = {"JWT_DPOP": "allowed", "JWT_PUBLIC_ORIGIN": API}
    directory = tmp_path_factory.mktemp("service")
    with served({**discovering(provider.issuer), **configuration}, directory) as one:
        yield one


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_bound_token(provider: Provider, service: Service, algorithm: str) -> None:
    """The client that got the token uses it, with a proof for each request."""
    with client_of(algorithm) as client:
        answer = client.token(provider)
        token = answer["access_token"]

        responses = [client.get(service, token, path) for path in ("/me", "/items", "/me")]

    assert "DPoP" == answer["token_type"]
    assert [200, 200, 200] == [response.status_code for response in responses]
    assert {"sub": "worker", "scopes": ["read:items"]} == responses[0].json()


def test_stolen_token(provider: Provider, service: Service) -> None:
    """A stolen one is refused: as a bearer token, with another key, with a used proof."""
    with client_of("ES256") as client, client_of("ES256") as thief:
        token = client.token(provider)["access_token"]
        made = client.proof("GET", f"{API}/me", token=token)

        first, again = ask(service, token, made), ask(service, token, made)
        bearer = service.get(token)
        other_key = thief.get(service, token)

    assert 200 == first.status_code
    assert (401, "invalid_dpop_proof") == refused(again)
    assert [INVALID, INVALID] == [refused(bearer), refused(other_key)]
    assert 'DPoP algs="' in bearer.headers["www-authenticate"]


def test_unbound_token(provider: Provider, service: Service) -> None:
    """The same provider's bearer tokens are good as ever, and no good as bound ones."""
    with client_of("ES256") as client:
        token = OAuthClient(provider.issuer).work()["access_token"]

        bearer, as_bound = service.get(token), client.get(service, token)

    assert (200, INVALID) == (bearer.status_code, refused(as_bound))


def test_nonces(provider: Provider, tmp_path: Path) -> None:
    """The library's proof with the nonce that the challenge brought is accepted."""
    configuration = {
        "JWT_DPOP": "required",
        "JWT_PUBLIC_ORIGIN": API,
        "JWT_DPOP_NONCE_KEYS": json.dumps([NONCE_KEY]),
    }
    asked = {**discovering(provider.issuer), **configuration}
    with served(asked, tmp_path) as service, client_of("ES256") as client:
        token = client.token(provider)["access_token"]

        without = client.get(service, token)
        nonce = without.headers["dpop-nonce"]
        with_nonce = client.get(service, token, nonce=nonce)

    assert (401, "use_dpop_nonce") == refused(without)
    assert 200 == with_nonce.status_code
