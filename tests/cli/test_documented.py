"""The page of the commands shows what they print, and the helper that finds out can be trusted."""

import re
from pathlib import Path

import pytest

from tests.documented import check_page, commands_of, comparable, shell
from tests.minting import SECRET

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


@pytest.fixture(autouse=True)
def _as_it_is_called(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper's own tests compare, also while pages are being updated."""
    if "commands_page" not in request.node.name:
        monkeypatch.delenv("JWT_DEPS_UPDATE_DOCS", raising=False)


def test_the_commands_page(tmp_path: Path) -> None:
    """Every block of the page is what a shell shows: each command in a process of its own."""
    check_page(PAGE, shell(tmp_path, JWT_SECRET_KEY=SECRET, JWT_AUDIENCE="orders"))


def test_the_commands_page_has_every_command() -> None:
    """Each of the daily commands is shown at work."""
    shown = "\n".join(commands_of(PAGE))

    assert {"keygen", "mint", "inspect", "settings"} <= set(re.findall(r"jwt-deps (\w+)", shown))


def page(folder: Path, *blocks: str) -> Path:
    """A page of these blocks."""
    path = folder / "page.md"
    path.write_text("Text.\n\n".join(f"```console\n{block}```\n" for block in blocks))
    return path


@pytest.mark.parametrize(
    "block",
    [
        pytest.param("$ echo a\na\n", id="one"),
        pytest.param("$ echo a\na\n$ echo b\nb\n", id="two"),
        pytest.param("$ true\n$ echo b\nb\n", id="silent"),
        pytest.param("$ echo \\\n    a\na\n", id="continued"),
        pytest.param("$ echo a >&2\na\n", id="standard-error"),
        pytest.param("$ printf 'a  \\n\\nb'\na\n\nb\n", id="spaces-and-no-line-break"),
        pytest.param("$ echo in 5 min\nin 4 min\n", id="varying"),
    ],
)
def test_a_page_that_is_true(block: str, tmp_path: Path) -> None:
    """It passes, and an update leaves it alone."""
    path = page(tmp_path, block, block)
    before = path.read_text()

    check_page(path, shell(tmp_path))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("JWT_DEPS_UPDATE_DOCS", "1")
        check_page(path, shell(tmp_path))

    assert before == path.read_text()


@pytest.mark.parametrize("block", ["$ echo a\nb\n", "$ echo a\n", "$ true\na\n"])
def test_a_page_that_is_out_of_date(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails, and an update puts it right."""
    path = page(tmp_path, block)

    with pytest.raises(AssertionError, match=r"page\.md is out of date"):
        check_page(path, shell(tmp_path))
    monkeypatch.setenv("JWT_DEPS_UPDATE_DOCS", "1")
    check_page(path, shell(tmp_path))
    monkeypatch.delenv("JWT_DEPS_UPDATE_DOCS")

    check_page(path, shell(tmp_path))


def test_the_shell_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a fixed width, the settings that it is given, and no others."""
    monkeypatch.setenv("JWT_AUDIENCE", "mine")
    run = shell(tmp_path, JWT_ISSUER="theirs")

    assert "100//theirs\n" == run('echo "$COLUMNS/$JWT_AUDIENCE/$JWT_ISSUER"')
    assert f"{tmp_path}\n" == run("pwd")


def test_varying_parts() -> None:
    """What is another one each time counts by its kind; what is not is left alone."""
    text = "exp 1700000290 2023-11-14 22:18:10 UTC, in 14 min, 3 days ago, port 8000, 86 bytes"

    assert "exp <seconds> <time>, in <while>, <while> ago, port 8000, 86 bytes" == comparable(text)
    assert "<token> <thumbprint>" == comparable(f"eyJhbGciOi.eyJz.c2ln {'x' * 43}")
