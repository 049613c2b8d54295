"""What do the tests share? A client, and nothing that one test leaves to the next."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.testing.app import app, notes
from jwt_deps import JWTSettings
from jwt_deps.testing import using_settings


@pytest.fixture
def client(jwt_settings: JWTSettings) -> Iterator[TestClient]:
    """A client of the application, which takes the tokens of `jwt_tokens`."""
    with using_settings(app, jwt_settings), TestClient(app) as client:
        yield client
    notes.clear()
