"""Every route needs a token, unless it is public on purpose."""

from collections.abc import Callable

import pytest

from examples.testing.app import app
from jwt_deps.audit import Audit


@pytest.mark.usefixtures("client")  # for its settings
def test_every_route_is_guarded_or_public(jwt_audit: Callable[..., Audit]) -> None:
    found = jwt_audit(app)

    assert found.ok, str(found)
