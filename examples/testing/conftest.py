"""The client of all tests; no test sees the notes of another."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.testing.app import app, notes
from jwt_deps import JWTSettings
from jwt_deps.testing import using_settings


@pytest.fixture
def client(jwt_settings: JWTSettings) -> Iterator[TestClient]:
    """A client of the application, whose settings accept the tokens of `jwt_tokens`."""
    with using_settings(app, jwt_settings), TestClient(app) as client:
        yield client
    notes.clear()
