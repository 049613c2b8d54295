"""Does every route need a token, unless it was meant to be public?"""

from collections.abc import Callable

import pytest

from examples.testing.app import app
from jwt_deps.audit import Audit


@pytest.mark.usefixtures("client")  # for its settings
def test_every_route_is_accounted_for(jwt_audit: Callable[..., Audit]) -> None:
    found = jwt_audit(app)

    assert found.ok, str(found)
