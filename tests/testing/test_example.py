"""The page about testing shows files of the example."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"

_SHOWN = re.compile(
    r"^`(examples/testing/\w+\.py)`:\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


def test_the_page_shows_the_very_files() -> None:
    """With `JWT_DEPS_UPDATE_DOCS=1` in the environment it is made to."""
    text = PAGE.read_text()
    true = _SHOWN.sub(
        lambda shown: f"`{shown[1]}`:\n\n```python\n{(ROOT / shown[1]).read_text()}```", text
    )
    if os.environ.get("JWT_DEPS_UPDATE_DOCS"):
        PAGE.write_text(true)
    else:
        assert true == text, f"{PAGE.name} is out of date: run this with JWT_DEPS_UPDATE_DOCS=1"
