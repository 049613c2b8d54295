"""The URL of a proof behind a proxy that removes a prefix, with a real uvicorn."""

import os
import re
import sys
from collections.abc import Iterator

import pytest

from tests.minting import SECRET
from tests.providers.programs import Program, browser
from tests.proving import ORIGIN, bound_token, with_dpop

_UVICORN = ("-m", "uvicorn", "tests.providers.app:app", "--host", "127.0.0.1", "--port", "0")


@pytest.fixture(scope="module", params=["--root-path=/api", "--root-path="])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Serve below a prefix, told to the server or not; the proxy would have cut it off."""
    service = Program(
        [sys.executable, *_UVICORN, "--no-use-colors", request.param],
        ready=re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)"),
        log=tmp_path_factory.mktemp("root-path") / "app.log",
        environment={
            "PATH": os.environ["PATH"],
            "JWT_SECRET_KEY": SECRET,
            "JWT_DPOP": "required",
            "JWT_PUBLIC_ORIGIN": f"{ORIGIN}/api",
        },
    )
    try:
        yield service.start()[1]
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("htu", "status"),
    [
        pytest.param("/api/me", 200, id="what-the-client-asked"),
        pytest.param("/me", 401, id="without-the-prefix"),
        pytest.param("/api/api/me", 401, id="prefix-twice"),
    ],
)
def test_prefix_of_the_public_origin(address: str, htu: str, status: int) -> None:
    """The proof is for the address that the client asked, whether uvicorn knows of the prefix."""
    headers = with_dpop(bound_token(scope="x"), htu=f"{ORIGIN}{htu}")

    with browser(address) as http:
        assert status == http.get("/me", headers=headers).status_code
