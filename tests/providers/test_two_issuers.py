"""An application with two providers accepts from each only its own tokens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import running
from .identity import API, NAMES, Provider, sign
from .oauth import OAuthClient
from .service import INVALID, Service, refused, served


def both(providers: tuple[Provider, ...]) -> dict[str, str]:
    """Return the configuration that trusts several providers."""
    configuration: dict[str, str] = {}
    for name, provider in zip(("NODE", "PYTHON"), providers, strict=True):
        configuration |= {
            f"JWT_ISSUERS__{name}__ISSUER": provider.issuer,
            f"JWT_ISSUERS__{name}__AUDIENCE": API,
            f"JWT_ISSUERS__{name}__DISCOVERY": "true",
            f"JWT_ISSUERS__{name}__ALLOW_LOOPBACK": "true",
        }
    return configuration


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, ...]]:
    """Return one provider of each kind."""
    node, python = NAMES
    with (
        running(node, tmp_path_factory.mktemp(node)) as one,
        running(python, tmp_path_factory.mktemp(python)) as other,
    ):
        yield one, other


@pytest.fixture(scope="module")
def service(
    providers: tuple[Provider, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return an application that trusts both."""
    with served(both(providers), tmp_path_factory.mktemp("service")) as service:
        yield service


def test_each_for_its_own(service: Service, providers: tuple[Provider, ...]) -> None:
    """A user of either provider is let in, under an id that says which one it is."""
    tokens = [OAuthClient(each.issuer).log_in(each.name)["access_token"] for each in providers]

    users = [service.get(token).json()["sub"] for token in tokens]

    node, python = (each.name for each in providers)
    assert [f"node|{node}", f"python|{python}"] == users


@pytest.mark.parametrize("signer", [0, 1], ids=NAMES)
def test_not_for_the_other(service: Service, providers: tuple[Provider, ...], signer: int) -> None:
    """A trusted provider cannot speak for another one that is trusted as well."""
    own, other = providers[signer], providers[1 - signer]
    key = own.keys[0]

    honest = sign(own.claims(), key)
    impostor = sign(own.claims(iss=other.issuer), key)
    named_alike = sign(own.claims(iss=other.issuer), key, kid=other.keys[0].kid)

    assert 200 == service.get(honest).status_code
    assert INVALID == refused(service.get(impostor))
    assert INVALID == refused(service.get(named_alike))


def test_not_for_a_stranger(service: Service, providers: tuple[Provider, ...]) -> None:
    """Neither can it speak for an issuer that is not trusted at all, or for none."""
    own = providers[0]
    key = own.keys[0]
    stranger = sign(own.claims(iss="https://stranger.example.com"), key)
    nobody = sign(own.claims(iss=None), key)

    assert INVALID == refused(service.get(stranger))
    assert INVALID == refused(service.get(nobody))


def test_one_is_down(providers: tuple[Provider, ...], tmp_path: Path) -> None:
    """While one provider is down, only its own users have to wait."""
    tokens = [OAuthClient(each.issuer).log_in()["access_token"] for each in providers]
    providers[0].kill()

    try:
        with served(both(providers), tmp_path) as service:
            answers = [service.get(token).status_code for token in tokens]
    finally:
        providers[0].start()

    assert [503, 200] == answers
