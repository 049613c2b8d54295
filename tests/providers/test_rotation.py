"""A provider changes its keys, and no valid token is refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from .identity import Provider
from .oauth import OAuthClient
from .service import INVALID, Service, refused


@contextmanager
def asking(service: Service, token: str) -> Iterator[list[int]]:
    """Go on asking with a token while the block runs; then the list has every answer's status."""
    answers: list[int] = []
    done = Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(service.get(token).status_code)

    with ThreadPoolExecutor() as pool:
        worker = pool.submit(ask)
        try:
            yield answers
        finally:
            done.set()
    worker.result()


def test_with_overlap(provider: Provider, service: Service, client: OAuthClient) -> None:
    """While the old keys are still published, no token is refused."""
    old = client.log_in()["access_token"]
    service.get(old)  # now the old keys are cached

    with asking(service, old) as answers:
        provider.rotate(overlap=True)
        new = client.log_in()["access_token"]
        uses = [service.get(token).status_code for token in (new, old, new, old)]
    provider.withdraw()
    service.refresh_keys()

    assert [200, 200, 200, 200] == uses
    assert {200} == set(answers)
    assert INVALID == refused(service.get(old))
    assert 200 == service.get(new).status_code


def test_without_overlap(provider: Provider, service: Service, client: OAuthClient) -> None:
    """Keys that were not announced are fetched for the first token that names one of them.

    With that, tokens of the old ones are refused, however good they were.
    """
    old = client.log_in()["access_token"]
    before = service.get(old).status_code

    provider.rotate(overlap=False)
    first_uses = [
        service.get(token).status_code
        for token in (client.log_in()["access_token"], client.work()["access_token"])
    ]

    assert 200 == before
    assert [200, 200] == first_uses
    assert INVALID == refused(service.get(old))


def test_withdrawn_by_an_operator(
    provider: Provider, service: Service, client: OAuthClient
) -> None:
    """After a leak, the operator refreshes the keys and need not wait for a new token."""
    old = client.log_in()["access_token"]
    service.get(old)

    provider.rotate(overlap=False)
    still_cached = service.get(old).status_code
    service.refresh_keys()

    assert 200 == still_cached
    assert INVALID == refused(service.get(old))
