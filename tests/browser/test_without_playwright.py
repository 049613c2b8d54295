"""Without Playwright, the browser tests are skipped with a reason."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Twice: where a missing Playwright is left out, and where everything is required.
_RUN = """
import os, sys
import pytest
sys.modules["playwright"] = None
for required in ("", "1"):
    os.environ["JWT_DEPS_REQUIRE_ALL"] = required
    pytest.main(["-qrs", "-p", "no:cacheprovider", "tests/browser/test_demo_page.py"])
    print("NEXT", flush=True)
    for name in [it for it in sys.modules if it.startswith("tests")]:
        del sys.modules[name]
"""


def test_the_reason_is_given() -> None:
    """Skipped with what to install, and failed where everything is required."""
    command = [sys.executable, "-c", _RUN]
    done = subprocess.run(  # noqa: S603 - this very suite
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    skipped, failed, _ = done.stdout.split("NEXT")

    assert "1 skipped" in skipped
    assert "skipped, although JWT_DEPS_REQUIRE_ALL is set" in failed
    assert all("there is no playwright" in said for said in (skipped, failed))
