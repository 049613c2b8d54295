"""Does the errors page have a section for every reason, and none besides?"""

import ast
import re
from pathlib import Path

from jwt_deps.errors import Reason

ROOT = Path(__file__).parent.parent


def raised() -> set[str]:
    """The reasons that the package's own code gives a `ConfigurationError`."""
    calls = (
        node
        for path in (ROOT / "jwt_deps").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ConfigurationError"
    )
    return {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}


def test_every_reason_has_its_section() -> None:
    """And no section is of a reason that nobody gives, or there twice."""
    sections = re.findall(r"^## (\S+)$", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)

    assert sorted(raised() | {reason.value for reason in Reason}) == sorted(sections)
