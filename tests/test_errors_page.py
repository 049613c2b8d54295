"""The errors page has one section for every error, and no others."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from jwt_deps import ConfigurationError, IssuerSettings, JWTSettings, Reason
from jwt_deps.jose import KeyForm
from tests.mistakes import MISTAKES, Mistake

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "errors.md").read_text()
SECTIONS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
REFUSALS = {reason.value for reason in Reason}


def _raised(tree: ast.AST) -> set[str]:
    """The reasons in a module's text; what is raised again keeps its own, `error.reason`."""
    return {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "ConfigurationError"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


@cache  # once a test asks: each worker imports this file
def configuration() -> set[str]:
    """The reasons of all mistakes in a configuration."""
    modules = (ROOT / "jwt_deps").rglob("*.py")
    raised = (_raised(ast.parse(module.read_text())) for module in modules)
    return {form.value for form in KeyForm}.union(*raised)


def test_the_page_and_the_code_name_the_same_errors() -> None:
    """No error without a section, no section without its error, and none twice."""
    assert sorted(configuration() | REFUSALS) == sorted(SECTIONS)


def test_one_word_never_means_both() -> None:
    """A reason is a refusal or a mistake in the configuration."""
    assert set() == configuration() & REFUSALS


def test_a_section_is_short() -> None:
    """Each has at most five lines, and its name is its anchor."""
    lines = {
        section: len(PAGE.split(f"## {section}\n")[1].split("\n## ")[0].strip().splitlines())
        for section in SECTIONS
    }

    assert {} == {section: count for section, count in lines.items() if not 1 <= count <= 5}
    assert [] == [section for section in SECTIONS if not re.fullmatch("[a-z0-9_]+", section)]


def test_every_variable_on_the_page_exists() -> None:
    """A cure that names a setting names a real one."""
    variables = set(re.findall(r"\bJWT_[A-Z_]*[A-Z]", PAGE))
    members = set(re.findall(r"\bJWT_ISSUERS__(?:<NAME>|STAFF)__([A-Z_]*[A-Z])", PAGE))

    assert {name.split("__")[0] for name in variables} <= {
        f"JWT_{name}".upper() for name in JWTSettings.model_fields
    }
    assert members <= {name.upper() for name in IssuerSettings.model_fields}


def test_every_mistake_is_made_by_a_test() -> None:
    """The table has each of them."""
    assert set(MISTAKES) == configuration()


@pytest.mark.parametrize(("reason", "mistake"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_named_and_says_where_to_read_on(
    reason: str, mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is a sentence, and the anchor behind it is the one of its section."""
    with pytest.raises(ConfigurationError) as caught:
        mistake(tmp_path, monkeypatch)

    assert reason == caught.value.reason
    assert f"docs/errors.md#{reason}" == caught.value.anchor
    assert f"{caught.value.message} More: jwt-deps explain {reason}" == str(caught.value)
    assert caught.value.message.endswith(".")
