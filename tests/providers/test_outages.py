"""Requests during an outage of a provider: cached keys work, unknown keys have to wait."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx2

from .identity import Provider, sign
from .oauth import OAuthClient
from .programs import PATIENCE
from .service import INVALID, Service, discovering, refused, served

T = TypeVar("T")

#: Keys that are kept for a moment only, whatever the provider says.
SHORT_LIVED = {
    "JWT_JWKS_CACHE__TTL": "2",
    "JWT_JWKS_CACHE__MAX_TTL": "2",
    "JWT_JWKS_CACHE__TIMEOUT": "1",
}


def poll(ask: Callable[[], T], until: Callable[[T], bool]) -> T:
    """Ask until the answer is the one that is waited for."""
    deadline = time.monotonic() + PATIENCE
    while not until(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def ready(response: httpx2.Response) -> bool:
    """Whether a response says more than to come back later."""
    return response.status_code != 503


def test_cached_keys(provider: Provider, service: Service, client: OAuthClient) -> None:
    """With the keys in the cache, the death of the provider goes unnoticed, even by a refresh."""
    known, unseen = (client.log_in(user)["access_token"] for user in ("alice", "bob"))
    service.get(known)

    provider.kill()
    answers = [service.get(token).json()["sub"] for token in (known, unseen, known)]
    health = service.refresh_keys()
    after_refresh = service.get(known)

    assert ["alice", "bob", "alice"] == answers
    assert health["last_error"]
    assert 200 == after_refresh.status_code


def test_keys_past_their_time(provider: Provider, client: OAuthClient, tmp_path: Path) -> None:
    """Keys that ought to have been fetched again are good as long as that cannot be done."""
    known, unseen = (client.log_in(user)["access_token"] for user in ("alice", "bob"))
    with served({**discovering(provider.issuer), **SHORT_LIVED}, tmp_path) as service:
        service.get(known)
        provider.kill()
        poll(service.refresh_keys, until=lambda health: health["degraded"])
        answers = [service.get(token).json()["sub"] for token in (known, unseen)]

    assert ["alice", "bob"] == answers


def test_started_without_provider(provider: Provider, client: OAuthClient, tmp_path: Path) -> None:
    """Before the first keys came, a token is neither good nor bad: come back later."""
    token = client.log_in()["access_token"]
    provider.kill()

    with served(discovering(provider.issuer), tmp_path) as service:
        down = service.get(token)
        anonymous = service.http.get("/me")
        provider.start()
        up = poll(lambda: service.get(token), until=ready)

    assert (503, None) == refused(down)
    assert int(down.headers["retry-after"]) > 0
    assert "invalid_token" not in down.text
    assert (401, None) == refused(anonymous)
    assert 200 == up.status_code
    assert "alice" == up.json()["sub"]


def test_back_with_other_keys(provider: Provider, service: Service, client: OAuthClient) -> None:
    """A token of unknown keys gets 503 during the outage, and is accepted afterwards."""
    old = client.log_in()["access_token"]
    service.get(old)

    provider.kill()
    provider.renew_keys(overlap=False)
    new = sign(provider.claims(sub="bob"), provider.keys[0])
    down = [service.get(token).status_code for token in (new, old)]
    provider.start()
    up = poll(lambda: service.get(new), until=ready)

    assert [503, 200] == down
    assert "bob" == up.json()["sub"]
    assert INVALID == refused(service.get(old))
