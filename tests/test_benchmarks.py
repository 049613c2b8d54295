"""The benchmarks run, check the contestants and report every figure."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fastapi import FastAPI

from benchmarks import __main__ as command
from benchmarks import (
    contract,
    driving,
    environment,
    loopback,
    measuring,
    plot,
    report,
    server,
    targets,
)
from benchmarks.contestants import AGAIN, BARE, NOOP, Contestant, ours, serving, simple
from benchmarks.measuring import Findings
from benchmarks.peers import AGENTOS, PEERS
from benchmarks.tokens import bad, good

ROOT = Path(__file__).parent.parent
REPORT, PAGE = ROOT / report.PAGE, ROOT / "docs" / "speed.md"


@pytest.fixture(scope="module", autouse=True)
def _no_warm_up() -> Iterator[None]:
    """No figure is asserted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driving, "_WARM", 1)
        yield


@pytest.fixture(scope="module")
def findings() -> dict[str, Findings]:
    """Every group, measured in this process as briefly as can be."""
    return {group: command.measured(group, command.QUICK) for group in command.GROUPS}


def test_every_group_has_figures_and_something_to_read(findings: dict[str, Findings]) -> None:
    """No group is silent about what it found."""
    assert [] == [group for group, it in findings.items() if not (it.figures and it.markdown)]


def test_the_report_answers_for_every_target(findings: dict[str, Findings]) -> None:
    """Met, missed or not measured, with the figure."""
    text = report.markdown(findings, {})

    assert [] == [it.what for it in targets.TARGETS if f"| {it.what} |" not in text]


def test_the_report_names_what_could_not_be_installed(findings: dict[str, Findings]) -> None:
    """With the reason."""
    text = report.markdown(findings, {"peer==1": "it needs another Python"})

    assert "- `peer==1`: it needs another Python" in text


def test_the_picture_is_well_formed_and_says_what_it_shows(findings: dict[str, Findings]) -> None:
    """In its title, for those who cannot see it."""
    figures = findings["requests"].figures

    title = ET.fromstring(plot.svg(figures))[0].text  # noqa: S314 - our own

    assert plot.alternative(figures) == title


def test_the_page_keeps_what_was_written_by_hand(
    findings: dict[str, Findings], tmp_path: Path
) -> None:
    """Only what is between the marks is replaced."""
    (tmp_path / report.PAGE).parent.mkdir()
    (tmp_path / report.PAGE).write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")

    report.write("new\n", findings, tmp_path)

    written = (tmp_path / report.PAGE).read_text()
    assert f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n" == written
    assert (tmp_path / report.PICTURE).exists()


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    """It is another file, which this command must not replace."""
    (tmp_path / report.PAGE).parent.mkdir()
    (tmp_path / report.PAGE).write_text("mine\n")

    with pytest.raises(ValueError, match="add both"):
        report.write("new\n", {}, tmp_path)

    assert "mine\n" == (tmp_path / report.PAGE).read_text()


def test_the_report_has_every_contestant_and_target() -> None:
    """The generated part of it."""
    _, _, rest = REPORT.read_text().partition(report.BEGIN)
    generated, end, _ = rest.partition(report.END)
    contestants = [BARE, AGAIN, NOOP, *(it.name for it in (*simple(), *ours()))]
    peers = [f"{name} {algorithm}" for _, name, known, _ in PEERS for algorithm in known]
    wanted = [*contestants, *peers, *loopback.SERVED, *(it.what for it in targets.TARGETS)]

    assert end
    assert [] == [name for name in wanted if name not in generated]


def test_the_report_names_every_package_that_is_compared() -> None:
    """With its version, or with the reason why it is not there."""
    text = REPORT.read_text()
    names = [line.partition("==")[0] for line in environment.requirements()]
    unversioned = {"python-multipart"}  # what an AgentOS needs to be imported

    assert [] == [name for name in names if name not in text and name not in unversioned]


def test_a_contestant_that_accepts_a_bad_token_is_found() -> None:
    """A contestant that checks nothing is faster than any that does."""
    open_to_all = Contestant("open", serving(), good("HS256"), "HS256", secure=True)

    assert [f"accepts: {wrong}" for wrong in bad("HS256")] == asyncio.run(
        driving.flaws(open_to_all)
    )


def test_a_contestant_that_raises_is_found() -> None:
    """An exception that comes out of an application is a server error."""
    app = FastAPI()

    @app.get("/x")
    async def broken() -> None:
        raise LookupError

    contestant = Contestant("broken", app, good("HS256"))

    assert ["does not answer the good token as it should"] == asyncio.run(driving.flaws(contestant))


def test_this_package_has_no_flaws() -> None:
    """Its contestants are held to what the peers are held to."""
    found = {it.name: asyncio.run(driving.flaws(it)) for it in ours()}

    assert {} == {name: flaws for name, flaws in found.items() if flaws}


@pytest.mark.parametrize("name", [BARE, NOOP, f"{AGENTOS} HS256"])
def test_a_server_is_found_by_its_name(name: str) -> None:
    """And nothing else is imported for it."""
    assert name == server.find(name).name


def test_an_unknown_name_is_refused() -> None:
    """Rather than serving something else."""
    with pytest.raises(LookupError, match="nobody"):
        server.find("nobody")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        pytest.param(
            "error: no\n  \u2570 cause: Because it needs Python>=3.12, it cannot be used.\n",
            "Because it needs Python>=3.12, it cannot be used.",
            id="uv",
        ),
        pytest.param(
            "Looking in indexes\nERROR: No matching distribution found for peer==1\n",
            "ERROR: No matching distribution found for peer==1",
            id="pip",
        ),
        pytest.param(
            "error: Failed to fetch: https://index.invalid/simple/peer/\n",
            "error: Failed to fetch: (an address)",
            id="no address is repeated",
        ),
        pytest.param("", "no reason was given", id="nothing"),
    ],
)
def test_the_reason_is_read_from_what_an_installer_says(output: str, reason: str) -> None:
    """One sentence, for the page."""
    assert reason == environment.reason_in(output)


def test_what_is_dearer_has_a_higher_ratio() -> None:
    """The one thing that the method has to get right, with a clock that is not one."""

    async def costs(_: int, seconds: float) -> float:
        return seconds

    effort = measuring.Effort(rounds=3)
    found = asyncio.run(
        measuring.take_turns(
            lambda count: costs(count, 1e-5), {"twice": lambda count: costs(count, 2e-5)}, effort
        )
    )["twice"]

    assert (2.0, 20.0, 10.0) == (found.ratio, round(found.quiet, 6), round(found.added, 6))


def test_the_command_prints_one_group(capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, without an environment for peers, and writes no page."""
    before = REPORT.stat().st_mtime_ns

    assert 0 == command.main(["--quick", "--here", "--only", "verify"])
    assert "## Verification alone" in capsys.readouterr().out
    assert before == REPORT.stat().st_mtime_ns


@pytest.fixture(scope="module")
def contract_rows() -> list[contract.Row]:
    """The contract, measured in this process as briefly as can be."""
    return contract.rows(contract.QUICK)


def test_every_row_of_the_contract_is_measured(contract_rows: list[contract.Row]) -> None:
    """All sides of all comparisons are installed, accept good tokens and refuse bad ones."""
    assert {} == {it.what: it.detail for it in contract_rows if it.figure is None}


def test_the_contract_has_the_bounds_of_the_design(contract_rows: list[contract.Row]) -> None:
    """In its order; no figure is asserted, except that no body is read."""
    uploads = [it for it in contract_rows if it.unit == "bytes"]

    assert [
        *(1.15, 1.15, 1.15, None),
        *(1.3, 1.3, None),
        *(1.15, 1.15),
        *(0.10, 0.25, 0.10, 0.25),
        *(0, 0, 0, 0),
        *(1, 1.25),
    ] == [it.bound for it in contract_rows]
    assert [0, 0, 0, 0] == [it.figure for it in uploads]


def test_the_table_of_the_contract_has_five_cells_in_a_line(
    contract_rows: list[contract.Row],
) -> None:
    """What, figure, bound, whether it is met, and what was compared."""
    lines = contract.markdown(contract_rows).splitlines()

    assert 2 + len(contract_rows) == len(lines)
    assert {6} == {line.count("|") for line in lines}


def test_the_page_has_the_rows_and_bounds_of_the_contract(
    contract_rows: list[contract.Row],
) -> None:
    """The figures are of the run that was written last."""
    _, _, rest = PAGE.read_text().partition(contract.BEGIN)
    _, _, table = rest.partition(contract.END)[0].partition("|---|")
    written = [line.split(" | ") for line in table.splitlines()[1:] if line.startswith("| ")]
    measured = [str(it).split(" | ") for it in contract_rows]

    assert [(it[0], it[2]) for it in measured] == [(it[0], it[2]) for it in written]


@pytest.mark.parametrize(
    ("bound", "figure", "verdict"),
    [
        pytest.param(1.15, 1.15, "met", id="at the bound"),
        pytest.param(1.15, 1.151, "**not met**", id="above it"),
        pytest.param(1.15, None, "not measured", id="without a figure"),
        pytest.param(None, 2.0, "no bound", id="without a bound"),
        pytest.param(0, 0, "met", id="nothing"),
    ],
)
def test_a_row_says_whether_its_bound_is_met(
    bound: float | None, figure: float | None, verdict: str
) -> None:
    """The figure itself is compared, not what the table shows of it."""
    row = contract.Row("this / that", bound, figure, "")

    assert verdict == row.verdict
    assert f" | {verdict} | " in str(row)


def test_the_command_writes_the_table_between_its_marks(
    contract_rows: list[contract.Row],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And prints it; the rest of the page stays."""
    monkeypatch.setattr(contract, "rows", lambda _: contract_rows)
    page = tmp_path / "speed.md"
    page.write_text(f"before\n{contract.BEGIN}\nold\n{contract.END}\nafter\n")

    assert 0 == contract.main(["--rounds", "1", "--write", str(page)])

    written = page.read_text()
    printed = capsys.readouterr().out
    assert contract.markdown(contract_rows) in printed
    assert f"before\n{contract.BEGIN}\n\n{printed}\n{contract.END}\nafter\n" == written


def test_a_page_without_the_marks_of_the_contract_is_refused_first(tmp_path: Path) -> None:
    """Before minutes are spent on measuring."""
    page = tmp_path / "speed.md"
    page.write_text("mine\n")

    with pytest.raises(ValueError, match="add both"):
        contract.main(["--write", str(page)])

    assert "mine\n" == page.read_text()
