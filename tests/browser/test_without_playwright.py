"""Without Playwright, the browser tests are skipped with a reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_RUN = """
import sys
import pytest
sys.modules["playwright"] = None
pytest.main(["-q", "-rs", "--no-cov", "-p", "no:cacheprovider", "tests/browser/test_demo_page.py"])
"""


@pytest.mark.parametrize(
    ("required", "said"),
    [
        pytest.param("", "1 skipped", id="skipped"),
        pytest.param("1", "skipped, although JWT_DEPS_REQUIRE_ALL is set", id="required"),
    ],
)
def test_the_reason_is_given(required: str, said: str) -> None:
    """Skipped with what to install, and failed where everything is required."""
    environment = {**os.environ, "JWT_DEPS_REQUIRE_ALL": required}
    command = [sys.executable, "-c", _RUN]
    done = subprocess.run(  # noqa: S603 - this very suite
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert said in done.stdout
    assert "there is no playwright" in done.stdout
