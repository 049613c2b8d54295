"""The URL of a proof behind a proxy that removes a prefix, with a real uvicorn."""

from collections.abc import Iterator

import pytest

from tests.minting import SECRET
from tests.providers.service import Service, served
from tests.proving import ORIGIN, bound_token, with_dpop


@pytest.fixture(scope="module", params=["--root-path=/api", "--root-path="])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Serve below a prefix, told to the server or not; the proxy would have cut it off."""
    public = {"JWT_DPOP": "required", "JWT_PUBLIC_ORIGIN": f"{ORIGIN}/api"}
    directory = tmp_path_factory.mktemp("root-path")
    with served({"JWT_SECRET_KEY": SECRET, **public}, directory, request.param) as running:
        yield running


@pytest.mark.parametrize(
    ("htu", "status"),
    [
        pytest.param("/api/me", 200, id="what-the-client-asked"),
        pytest.param("/me", 401, id="without-the-prefix"),
        pytest.param("/api/api/me", 401, id="prefix-twice"),
    ],
)
def test_prefix_of_the_public_origin(service: Service, htu: str, status: int) -> None:
    """The proof is for the address that the client asked, whether uvicorn knows of the prefix."""
    headers = with_dpop(bound_token(scope="x"), htu=f"{ORIGIN}{htu}")

    assert status == service.http.get("/me", headers=headers).status_code
