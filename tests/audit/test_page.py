"""The page about the audit shows what the command prints."""

import shutil
import sysconfig
from pathlib import Path

import pytest

from tests.documented import check_page, shell
from tests.minting import SECRET

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.skipif(
    not Path(sysconfig.get_path("scripts"), "jwt-deps").exists(),
    reason="the command is not installed beside this Python",
)
def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    """Run again with every test."""
    shutil.copy(ROOT / "examples" / "audit" / "service.py", tmp_path)

    check_page(ROOT / "docs" / "audit.md", shell(tmp_path, JWT_SECRET_KEY=SECRET))
