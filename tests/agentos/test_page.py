"""The page on AgentOS has each parameter of agno's middleware and of its `Authorization`."""

import inspect
import re

import pytest
from agno.os.authz import Authorization
from agno.os.middleware.jwt import JWTMiddleware

from tests.providers.programs import ROOT

PAGE = (ROOT / "docs" / "moving" / "agentos.md").read_text()


@pytest.mark.parametrize(
    ("kind", "heading"),
    [(JWTMiddleware, "Of `JWTMiddleware`"), (Authorization, "Of `Authorization`")],
    ids=["JWTMiddleware", "Authorization"],
)
def test_each_parameter_has_its_counterpart(kind: type, heading: str) -> None:
    """In the first column of its table; none that is gone."""
    table = PAGE.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]

    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(inspect.signature(kind).parameters) - {"self", "app"}
